"""No canonical field is forgotten: each changes what is written, or is one of those that are listed as never written."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any, cast

from core.tests.anthropic_sdk import DIALECT, MODEL, Json, decoded, gaps
from msgspec import Struct
from msgspec.structs import replace

from headgate.chat import (
    Audio,
    ChatReply,
    ChatRequest,
    Choice,
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
    Usage,
)
from headgate.dialects.anthropic import encode as anthropic_encode
from headgate.dialects.anthropic import reply as anthropic_reply

MARK: Json = {"type": "ephemeral"}
EXTRA: Json = {"new": 1}
NAME = "anthropic.messages"
RAW: Json = {"type": "char_location", "cited_text": "q"}
CSV = b64encode(b"a,b").decode()
CHOOSING = {"Audio.data", "Audio.format", "Choice.finish", "Item.dialect", "Message.role", "Thinking.mode", "Tool.kind"}
"""Fields that decide what is written of others."""


def history(*parts: Part) -> tuple[Message, ...]:
    call = ToolCall("a", "f", "{}", cache=MARK, extra=EXTRA)
    signed = Opaque("anthropic", "c2ln")
    thought = Reasoning("hm", signed, extra=EXTRA)
    redacted = Reasoning("", signed, is_redacted=True)
    cited = Text("t", citations=(Citation("u", "t", "q", 1, 2, RAW),), extra=EXTRA)
    result = ToolResult("a", (Text("r"),), is_error=True, name="n", extra=EXTRA)
    return (
        Message("system", (Text("s"),)),
        Message("user", parts, "n", EXTRA),
        Message("assistant", (thought, redacted, cited, Refusal("r"), Item(NAME, {"type": "x"}), call)),
        Message("tool", (result,)),
    )


IMAGES = (
    Image("https://e.org/a.png", detail="low", cache=MARK, extra=EXTRA),
    Image(file_id="i"),
    Image(None, "AAAA", "image/png"),
)
FILES = (
    File(data=CSV, media_type="text/csv", filename="n", context="c", cites=True, cache=MARK, extra=EXTRA),
    File("u", title="t"),
    File(file_id="i"),
)
SAID = Text("t", MARK, extra=EXTRA), Audio("d", "wav", "t", "i", EXTRA)
REQUEST = ChatRequest(
    MODEL,
    history(*IMAGES),
    Sampling(0.1, 0.2, 3, 4, ("s",), 5, 0.6, 0.7, {"8": 9.0}, logprobs=True, top_logprobs=10, n=11),
    (
        Tool("f", "d", {"type": "object"}, strict=True, cache=MARK, extra=EXTRA),
        Tool("w", kind="web", raw={"type": "web", "name": "w"}),
    ),
    ToolChoice("named", "f"),
    parallel_tool_calls=True,
    response_format=ResponseFormat("json_schema", "n", {"a": 1}, strict=True, description="d"),
    thinking=Thinking("low", 2048, "enabled", is_shown=True, summary="s"),
    stream=True,
    include_usage=True,
    user="u",
    metadata={"a": "b"},
    service_tier="auto",
    verbosity="low",
    cache_key="k",
    store=True,
    dialect=NAME,
    extra=EXTRA,
)
REQUESTS = (
    REQUEST,
    replace(REQUEST, messages=history(*FILES), safety_identifier="s", thinking=Thinking("high", mode="adaptive")),
    replace(REQUEST, messages=history(*SAID), tool_choice=ToolChoice("other", raw={"type": "x"})),
    replace(REQUEST, tool_choice=ToolChoice("auto", allowed=("f", "w"))),
)
REPLY = ChatReply(
    "i",
    "m",
    (
        Choice(
            Message(
                "assistant",
                (
                    Reasoning("t", Opaque("google", "s", "a"), item_id="i", extra=EXTRA),
                    Reasoning("", Opaque("google", "s", "a"), is_redacted=True),
                    Text("t", MARK, (Citation("u", "t", "q", 1, 2),), Opaque("google", "s", "a"), EXTRA),
                    Text("t", citations=(Citation(raw=RAW),)),
                    Refusal("r"),
                    Audio("d", "wav", "t", "i"),
                    Image("u"),
                    Image(None, "AAAA", "image/png"),
                    Image(file_id="f"),
                    Item("x.y", {"a": 1}),
                    ToolCall(
                        "a", "f", "{}", custom=True, cache=MARK, item_id="i", opaque=Opaque("x", "y"), extra=EXTRA
                    ),
                ),
                "n",
                EXTRA,
            ),
            "stop",
            "odd",
            "s",
            0,
            {"content": []},
            {"more": 1},
        ),
    ),
    1,
    Usage(10, 5, 4, 3, 2, 1, 1),
    "default",
    "",
    {"further": 1},
)
OWN_REPLY = replace(REPLY, dialect=NAME, usage=Usage(1, 2, raw={"input_tokens": 1}))


def test_requests_forget_nothing() -> None:
    """A field of a request that makes no difference to what is sent is listed as never written, and nothing else is."""
    seen, told = _told(REQUESTS, lambda held: DIALECT.encode_request(held, gaps("drop")))
    assert len(seen) > 90
    assert seen - told <= anthropic_encode.IGNORED
    assert told & anthropic_encode.IGNORED == set()


def test_replies_forget_nothing() -> None:
    """A field of a reply that makes no difference to what is written is listed as never written, and nothing else is."""
    seen, told = _told((REPLY, OWN_REPLY), lambda held: DIALECT.encode_reply(held, decoded()))
    assert len(seen) > 50
    assert seen - told <= anthropic_reply.IGNORED
    assert told & anthropic_reply.IGNORED == set()


def _told(helds: tuple[Any, ...], encode: Callable[[Any], bytes]) -> tuple[set[str], set[str]]:
    """The fields that were changed, and those of them that made a difference."""
    seen: set[str] = set()
    told: set[str] = set()
    for held in helds:
        written = encode(held)
        for name, changed in _changed(held):
            seen.add(name)
            if encode(changed) != written:
                told.add(name)
    return seen, told


def _changed(held: Struct) -> Iterator[tuple[str, Any]]:
    """Every variant of a value with one field of one Struct within it changed, and the name of that field."""
    for name in held.__struct_fields__:
        value: Any = getattr(held, name)
        label = f"{type(held).__name__}.{name}"
        if isinstance(value, Struct):
            yield from ((inner, replace(held, **{name: changed})) for inner, changed in _changed(value))
        elif isinstance(value, tuple) and value and isinstance(value[0], Struct):
            items = cast("tuple[Any, ...]", value)
            for at, item in enumerate(items):
                for inner, changed in _changed(item):
                    yield inner, replace(held, **{name: (*items[:at], changed, *items[at + 1 :])})
        elif value is not None and value not in ((), "", {}) and label not in CHOOSING:
            yield label, replace(held, **{name: _other(value)})


def _other(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return "x" + value if value != CSV else b64encode(b"x").decode()
    if isinstance(value, tuple):
        return ("other",)
    return value + 1 if isinstance(value, int | float) else {"other": 1}
