"""Every field of the canonical model is sent, told or listed as ignored: nothing is lost without a word."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from providers.cohere.tests.cohere_wire import DIALECT, asked

from headgate.chat import (
    Audio,
    ChatRequest,
    Citation,
    File,
    Image,
    Item,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    ResponseFormat,
    Sampling,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from headgate.dialects import Gaps
from headgate.errors import InvalidRequest
from headgate_cohere.encode import IGNORED

Made = Callable[[Any], ChatRequest]

OPAQUE = Opaque("google", "d")
MARK = {"type": "ephemeral"}
EXTRA = {"k": 1}
CALL = ToolCall("c", "f", '{"a": 1}')
TOOLS = (Tool("f"), Tool("g"))


def shown(part: Part) -> ChatRequest:
    return asked(Message("user", (part,)))


def said(part: Part) -> ChatRequest:
    return asked(Message("assistant", (Text("x"), part)))


def answered(result: ToolResult) -> ChatRequest:
    return asked(Message("assistant", (CALL,)), Message("tool", (result,)))


def choosing(choice: ToolChoice) -> ChatRequest:
    return asked(tools=TOOLS, tool_choice=choice)


REFUSED = {
    "Item.dialect",
    "Item.raw",
    *(f"Audio.{name}" for name in Audio.__struct_fields__),
    "File.url",
}
"""Of parts that are refused as a whole."""
CASES: list[tuple[Any, Made, dict[str, Any]]] = [
    (Text("a"), shown, {"text": "b", "cache": MARK, "citations": (Citation("u"),), "opaque": OPAQUE, "extra": EXTRA}),
    (
        Image(data="AAAA"),
        shown,
        {"data": "BBBB", "media_type": "image/gif", "detail": "high", "cache": MARK, "extra": EXTRA},
    ),
    (Image(), shown, {"url": "https://x.example", "file_id": "f"}),
    (Audio("A", "wav"), shown, {"data": "B", "format": "mp3", "transcript": "t", "id": "i", "extra": EXTRA}),
    (
        File(data="aGk=", media_type="text/plain"),
        shown,
        {
            "data": "aGo=",
            "media_type": "a/b",
            "filename": "n",
            "title": "t",
            "context": "c",
            "cites": True,
            "cache": MARK,
            "extra": EXTRA,
        },
    ),
    (File(), shown, {"url": "https://x.example", "file_id": "f"}),
    (
        CALL,
        said,
        {
            "id": "d",
            "name": "g",
            "arguments": "{}",
            "index": 3,
            "custom": True,
            "item_id": "i",
            "opaque": OPAQUE,
            "cache": MARK,
            "extra": EXTRA,
        },
    ),
    (
        ToolResult("d", (Text("r"),)),
        answered,
        {"call_id": "c", "content": (Text("q"),), "is_error": True, "name": "n", "cache": MARK, "extra": EXTRA},
    ),
    (
        Reasoning("t"),
        said,
        {"text": "u", "opaque": OPAQUE, "is_redacted": True, "is_summary": True, "item_id": "i", "extra": EXTRA},
    ),
    (Refusal("t"), said, {"text": "u", "extra": EXTRA}),
    (Item("x", {"type": "a"}), said, {"dialect": "y", "raw": {"type": "b"}}),
    (Message("user", (Text("a"),)), asked, {"role": "assistant", "parts": (), "name": "n", "extra": EXTRA}),
    (
        Tool("f"),
        lambda tool: asked(tools=(tool,)),
        {
            "name": "g",
            "description": "d",
            "parameters": {"type": "x"},
            "strict": True,
            "kind": "w",
            "cache": MARK,
            "extra": EXTRA,
        },
    ),
    (
        Tool("f", kind="w", raw={"a": 1}),
        lambda tool: asked(tools=(tool,), dialect=DIALECT.name),
        {"raw": {"type": "w"}},
    ),
    (ToolChoice("auto"), choosing, {"mode": "none", "allowed": ("f",)}),
    (ToolChoice("named", "f"), choosing, {"name": "g"}),
    (
        ResponseFormat("json_schema", "n", {"a": 1}),
        lambda form: asked(response_format=form),
        {"kind": "text", "name": "o", "schema": {"b": 1}, "strict": True, "description": "d"},
    ),
    (
        Thinking("low"),
        lambda thinking: asked(thinking=thinking),
        {"effort": "high", "budget_tokens": 0, "mode": "disabled", "is_shown": False, "summary": "auto"},
    ),
    (
        Sampling(),
        lambda sampling: asked(sampling=sampling),
        {"temperature": 0.5, "top_p": 0.5, "top_k": 5, "max_tokens": 5, "stop": ("a",), "seed": 1}
        | {"presence_penalty": 0.5, "frequency_penalty": 0.5, "logit_bias": {"1": 1.0}}
        | {"logprobs": True, "top_logprobs": 2, "n": 2},
    ),
    (
        asked(tools=TOOLS),
        lambda request: request,
        {"model": "n", "messages": (), "sampling": Sampling(seed=1), "tools": (), "tool_choice": ToolChoice("none")}
        | {"parallel_tool_calls": False, "response_format": ResponseFormat("json_object"), "thinking": Thinking("low")}
        | {"stream": True, "include_usage": True, "user": "u", "metadata": {"a": "b"}, "service_tier": "flex"}
        | {
            "verbosity": "low",
            "cache_key": "k",
            "safety_identifier": "s",
            "store": True,
            "dialect": "z",
            "extra": EXTRA,
        },
    ),
]
KINDS: dict[str, type[msgspec.Struct]] = {type(case[0]).__name__: type(case[0]) for case in CASES}
NAMES = [f"{type(case[0]).__name__}.{name}" for case in CASES for name in case[2]]


def told(request: ChatRequest) -> Any:
    """All that becomes of a request."""
    gaps = Gaps("cohere", "drop")
    try:
        return DIALECT.encode_request(request, gaps), gaps.dropped
    except InvalidRequest as error:
        return error.message


def test_every_field_makes_a_difference() -> None:
    """To what is sent or to what is told; those that make none are listed, and no others."""
    silent = {
        f"{type(held).__name__}.{name}"
        for held, made, values in CASES
        for name, value in values.items()
        if told(made(replace(held, **{name: value}))) == told(made(held))
    }
    assert silent == IGNORED | REFUSED


@pytest.mark.parametrize("kind", KINDS)
def test_no_field_is_missing(kind: str) -> None:
    """In the table above."""
    missing = {f"{kind}.{name}" for name in KINDS[kind].__struct_fields__} - set(NAMES)
    assert missing <= {"ToolChoice.raw"}
