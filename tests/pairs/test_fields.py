"""No field of the canonical model is forgotten by a codec: it changes what is written, is told, or is declared as never written.

Dialects are found where the gateway finds them and fields in the model itself, so that neither can be new without a word here.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from msgspec.structs import replace
from tests.pairs.dialects import CLIENTS, SPOKEN, dropping, model_of

from headgate.chat import (
    Audio,
    ChatReply,
    ChatRequest,
    Choice,
    Citation,
    CitationDelta,
    ErrorEvent,
    ExtraDelta,
    File,
    Finish,
    Image,
    Item,
    Message,
    Opaque,
    Part,
    PartDelta,
    Reasoning,
    ReasoningDelta,
    ReasoningEnd,
    Refusal,
    RefusalDelta,
    ResponseFormat,
    Sampling,
    Start,
    StreamEvent,
    Text,
    TextDelta,
    Thinking,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    ToolChoice,
    ToolResult,
    Usage,
    UsageEvent,
)
from headgate.errors import InvalidRequest, ProviderFailed

Json = dict[str, Any]
Made = Callable[[Any], Any]
Case = tuple[msgspec.Struct, Made, Json]

EXTRA: Json = {"new_member": 1}
MARK: Json = {"type": "ephemeral"}
SIGNED, SEALED = Opaque("anthropic", "c2ln"), Opaque("google", "c2ln")
FOREIGN = Opaque("bedrock", "c2ln")
CALL = ToolCall("c", "f", '{"a": 1}')
OBJECT: Json = {"type": "object", "properties": {"a": {"type": "string"}}}
TOOLS = (Tool("f"), Tool("g"))
OTHERS: Json = {"extra": EXTRA}
CITED = Citation("https://x.example", "t", "q", 0, 1)


def asking(*turns: Message, **fields: Any) -> ChatRequest:
    return ChatRequest("m", turns or (Message("user", (Text("hi"),)),), **fields)


def shown(part: Part | None) -> ChatRequest:
    return asking(Message("user", (Text("x"), *([part] if part else []))))


def said(part: Part | None) -> ChatRequest:
    return asking(Message("assistant", (Text("x"), *([part] if part else []))), Message("user", (Text("y"),)))


def resulting(result: ToolResult | None) -> ChatRequest:
    called = Message("assistant", (CALL, replace(CALL, id="d", name="g")))
    other = ToolResult("d", (Text("z"),))
    return asking(Message("user", (Text("x"),)), called, Message("tool", (*([result] if result else []), other)))


def inside(part: Text | Image | File | None) -> ChatRequest:
    return resulting(ToolResult("c", (Text("x"), *([part] if part else []))))


IMAGE: Json = {"data": "UklGRg==", "media_type": "image/webp", "detail": "high", "cache": MARK, **OTHERS}
TEXT: Json = {"text": "b", "cache": MARK, "citations": (CITED,), "opaque": SEALED, **OTHERS}
FILE: Json = {
    "data": "YQ==",
    "media_type": "text/plain",
    "filename": "n.pdf",
    "title": "t",
    "context": "c",
    "cites": True,
}
ASKED: list[Case] = [
    (Text("a"), shown, {"text": "b", "cache": MARK, **OTHERS}),
    (Text("a"), said, TEXT),
    (Text("a"), inside, {"text": "b", "cache": MARK, **OTHERS}),
    (Image(data="iVBORw0KGgo=", media_type="image/png"), shown, IMAGE),
    (Image(data="iVBORw0KGgo=", media_type="image/png"), inside, IMAGE),
    (Image("https://x.example/a.png"), shown, {"url": "https://x.example/b.png"}),
    (Image(file_id="f"), shown, {"file_id": "g"}),
    (Audio("QQ==", "wav"), shown, {"data": "Qg==", "format": "mp3", **OTHERS}),
    (Audio("", "", id="h"), said, {"transcript": "t", "id": "i"}),
    (File(data="JVBERi0=", media_type="application/pdf"), shown, {**FILE, "cache": MARK, **OTHERS}),
    (File(data="YQ==", media_type="text/plain"), shown, {**FILE, "data": "Yg==", "media_type": "a/b"}),
    (File("https://x.example/a.pdf"), shown, {"url": "https://x.example/b.pdf"}),
    (File(file_id="f"), shown, {"file_id": "g"}),
    (
        CALL,
        said,
        {"id": "d", "name": "g", "arguments": "{}", "index": 3, "custom": True, "item_id": "i", "opaque": SEALED}
        | {"cache": MARK, **OTHERS},
    ),
    (
        ToolResult("c", (Text("r"),)),
        resulting,
        {"call_id": "d", "content": (Text("q"),), "is_error": True, "cache": MARK, **OTHERS},
    ),
    (ToolResult("e", (Text("r"),)), lambda held: asking(Message("tool", (held,) if held else ())), {"name": "n"}),
    (
        Reasoning("t", SIGNED),
        said,
        {"text": "u", "opaque": None, "is_redacted": True, "is_summary": True, "item_id": "rs_1", **OTHERS},
    ),
    (SIGNED, lambda held: said(Reasoning("t", held)), {"origin": "google", "data": "QUJD", "account": "a"}),
    (Refusal("t"), said, {"text": "u", **OTHERS}),
    (Item("x.y", {"type": "a"}), said, {"dialect": "x.z", "raw": {"type": "b"}}),
    (
        CITED,
        lambda held: said(Text("t", citations=(held,) if held else ())),
        {"url": "https://y.example", "title": "u", "quote": "r", "start": 1, "end": 2, "raw": {"a": 1}},
    ),
    (
        Message("user", (Text("a"),)),
        lambda held: asking(*([held] if held else []), Message("user", (Text("z"),))),
        {"role": "system", "parts": (Text("b"),), "name": "n", **OTHERS},
    ),
    (
        Tool("f"),
        lambda held: asking(tools=(held,) if held else ()),
        {"name": "g", "description": "d", "parameters": OBJECT, "strict": True, "kind": "w", "cache": MARK, **OTHERS},
    ),
    (
        Tool("f", kind="w", raw={"type": "w"}),
        lambda held: asking(tools=(held,) if held else ()),
        {"raw": {"type": "v"}},
    ),
    (ToolChoice("auto"), lambda held: asking(tools=TOOLS, tool_choice=held), {"mode": "none", "allowed": ("f",)}),
    (ToolChoice("named", "f"), lambda held: asking(tools=TOOLS, tool_choice=held), {"name": "g"}),
    (ToolChoice("other", raw="x"), lambda held: asking(tools=TOOLS, tool_choice=held), {"raw": "y"}),
    (
        ResponseFormat("json_schema", "n", OBJECT),
        lambda held: asking(response_format=held),
        {"kind": "text", "name": "o", "schema": {"type": "object"}, "strict": True, "description": "d"},
    ),
    (
        Thinking("low"),
        lambda held: asking(thinking=held),
        {"effort": "high", "summary": "detailed"},
    ),
    (Thinking(mode="adaptive"), lambda held: asking(thinking=held), {"is_shown": True}),
    (Thinking(), lambda held: asking(thinking=held), {"budget_tokens": 2048, "mode": "disabled"}),
    (
        Sampling(),
        lambda held: asking(sampling=held or Sampling()),
        {"temperature": 0.5, "top_p": 0.5, "top_k": 5, "max_tokens": 50, "stop": ("a",), "seed": 1, "n": 2}
        | {"presence_penalty": 0.5, "frequency_penalty": 0.5, "logit_bias": {"1": 1.0}, "logprobs": True}
        | {"top_logprobs": 2},
    ),
    (
        asking(tools=TOOLS),
        lambda held: held or asking(),
        {"model": "n", "messages": (Message("user", (Text("b"),)),), "sampling": Sampling(temperature=0.5), "tools": ()}
        | {"tool_choice": ToolChoice("required"), "parallel_tool_calls": False, "thinking": Thinking("low")}
        | {"response_format": ResponseFormat("json_object"), "stream": True, "include_usage": True, "user": "u"}
        | {"metadata": {"a": "b"}, "service_tier": "flex", "verbosity": "low", "cache_key": "k", "store": True}
        | {"safety_identifier": "s", "dialect": "x.y", **OTHERS},
    ),
]
"""A value of every Struct of a request, the request around it, and another value for each of its fields."""


def answering(*parts: Part | None, usage: Usage | None = None) -> ChatReply:
    held = tuple(part for part in parts if part)
    return ChatReply(
        "i", "m", (Choice(Message("assistant", (Text("x"), *held)), "stop", "end"),), 1, usage or Usage(1, 1)
    )


ANSWERED: list[Case] = [
    (Text("a"), answering, TEXT),
    (Image(data="iVBORw0KGgo=", media_type="image/png"), answering, IMAGE),
    (Image("https://x.example/a.png"), answering, {"url": "https://x.example/b.png", "file_id": "g"}),
    (Audio("QQ==", "wav"), answering, {"data": "Qg==", "format": "mp3", "transcript": "t", "id": "i", **OTHERS}),
    (
        CALL,
        answering,
        {"id": "d", "name": "g", "arguments": "{}", "index": 3, "custom": True, "item_id": "i", "opaque": SEALED}
        | {"cache": MARK, **OTHERS},
    ),
    (
        Reasoning("t", FOREIGN),
        answering,
        {"text": "u", "opaque": None, "is_redacted": True, "is_summary": True, "item_id": "rs_1", **OTHERS},
    ),
    (FOREIGN, lambda held: answering(Reasoning("t", held)), {"origin": "google", "data": "QUJD", "account": "a"}),
    (Refusal("t"), answering, {"text": "u", **OTHERS}),
    (Item("x.y", {"type": "a"}), answering, {"dialect": "x.z", "raw": {"type": "b"}}),
    (
        CITED,
        lambda held: answering(Text("t", citations=(held,) if held else ())),
        {"url": "https://y.example", "title": "u", "quote": "r", "start": 1, "end": 2, "raw": {"a": 1}},
    ),
    (
        Message("assistant", (Text("a"),)),
        lambda held: ChatReply("i", "m", (Choice(held or Message("assistant"), "stop"),)),
        {"role": "user", "parts": (Text("b"),), "name": "n", **OTHERS},
    ),
    (
        Choice(Message("assistant", (Text("a"),)), "stop", "end"),
        lambda held: ChatReply("i", "m", (held,) if held else ()),
        {
            "message": Message("assistant", (Text("b"),)),
            "finish": "length",
            "finish_raw": "odd",
            "stop": "END",
            "index": 1,
        }
        | {"logprobs": {"content": [{"token": "a", "logprob": -1.0, "bytes": None, "top_logprobs": []}]}, **OTHERS},
    ),
    (
        Usage(20, 9),
        lambda held: answering(usage=held),
        {"prompt": 21, "completion": 8, "cached": 1, "cache_write": 1, "reasoning": 1, "audio_in": 1, "audio_out": 1}
        | {"raw": dict.fromkeys(("prompt_tokens", "input_tokens", "promptTokenCount"), 20) | {"cost": 1}},
    ),
    (
        answering(),
        lambda held: held or answering(Text("z")),
        {"id": "j", "model": "n", "choices": (), "created": 2, "usage": None, "service_tier": "priority", **OTHERS}
        | {"dialect": "x.y"},
    ),
]
"""The same for replies."""


def streaming(*events: StreamEvent | None) -> list[StreamEvent]:
    held = [event for event in events if event]
    is_begun = bool(held) and isinstance(held[0], Start)
    tail = [] if any(isinstance(event, Finish | ErrorEvent) for event in held) else [Finish("stop")]
    return [*([] if is_begun else [Start("i", "m", 1)]), *held, *tail]


def calling(event: StreamEvent | None) -> list[StreamEvent]:
    return streaming(ToolCallStart(0, "c", "f"), ToolCallStart(1, "d", "g"), ToolCallStart(0, "e", "h", 1), event)


STREAMED: list[Case] = [
    (Start("i", "m", 1), streaming, {"id": "j", "model": "n", "created": 2, "role": "user", "usage": Usage(1)}),
    (TextDelta("a"), streaming, {"text": "b", "index": 1, "opaque": SEALED}),
    (TextDelta("a"), lambda held: streaming(TextDelta("b"), held, CitationDelta(CITED)), {"begins": True}),
    (CitationDelta(CITED), lambda held: streaming(TextDelta("a"), held), {"citation": Citation("u"), "index": 1}),
    (ReasoningDelta("a"), streaming, {"text": "b", "index": 1, "is_summary": True}),
    (
        ReasoningEnd(FOREIGN),
        lambda held: streaming(ReasoningDelta("a"), held),
        {"opaque": None, "index": 1, "is_redacted": True, "item_id": "rs_1"},
    ),
    (RefusalDelta("a"), streaming, {"text": "b", "index": 1}),
    (
        ToolCallStart(0, "c", "f"),
        streaming,
        {"call": 1, "id": "d", "name": "g", "index": 1, "custom": True, "item_id": "i", "opaque": SEALED, **OTHERS},
    ),
    (ToolCallDelta(0, '{"a":1}'), calling, {"call": 1, "arguments": "{}", "index": 1}),
    (PartDelta(Image(data="QUJD", media_type="image/png")), streaming, {"part": Audio("QQ==", "wav"), "index": 1}),
    (ExtraDelta({"a": 1}), streaming, {"members": {"b": 1}, "index": 1}),
    (Finish("stop"), streaming, {"reason": "length", "index": 1, "raw": "odd", "stop": "END", **OTHERS}),
    (UsageEvent(Usage(1, 1)), lambda held: [*streaming(), *([held] if held else [])], {"usage": Usage(2, 1), **OTHERS}),
    (ErrorEvent("a"), streaming, {"message": "b", "code": "c", "raw": {"type": "t"}, "status": 429}),
]
"""The same for streams."""


OWN = {"ChatRequest.dialect", "ChatReply.dialect", "Citation.raw"}
"""Fields that a dialect writes, or goes by, only where they are of its own: its own tests hold those."""


def structs_of(kind: Any) -> Iterator[type[msgspec.Struct]]:
    """Every Struct that can stand in a value of this type."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
        for hint in get_type_hints(kind).values():
            yield from structs_of(hint)
    for inner in get_args(kind):
        yield from structs_of(inner)


def fields_of(cases: list[Case]) -> set[str]:
    return {f"{type(held).__name__}.{name}" for held, _, values in cases for name in values}


@pytest.mark.parametrize(
    ("kind", "cases"),
    [(ChatRequest, ASKED), (ChatReply, [*ASKED, *ANSWERED]), (StreamEvent, [*ASKED, *ANSWERED, *STREAMED])],
)
def test_every_field_is_tried(kind: Any, cases: list[Case]) -> None:
    """The samples have another value for each field of each Struct that can be reached, and name no others."""
    known = {f"{struct.__name__}.{name}" for struct in structs_of(kind) for name in struct.__struct_fields__}
    assert known - fields_of(cases) == set()


@pytest.mark.parametrize("name", SPOKEN)
def test_what_is_declared_exists(name: str) -> None:
    """The lists name fields of the canonical model."""
    reached = {struct for kind in (ChatRequest, ChatReply, StreamEvent) for struct in structs_of(kind)}
    known = {f"{struct.__name__}.{field}" for struct in reached for field in struct.__struct_fields__}
    assert SPOKEN[name].ignored | SPOKEN[name].ignored_in_replies <= known


@pytest.mark.parametrize("name", SPOKEN)
def test_requests_forget_nothing(name: str) -> None:
    """A field of a request that is neither written nor told is declared, and none that is written is."""
    dialect = SPOKEN[name]

    def encode(request: ChatRequest) -> tuple[Any, list[str]]:
        gaps = dropping(name)
        try:
            return dialect.encode_request(
                replace(request, model=request.model.replace("m", model_of(name))), gaps
            ), gaps.dropped
        except InvalidRequest as error:
            return b"", [error.message]

    assert_declared(ASKED, encode, dialect.ignored)


@pytest.mark.parametrize("name", CLIENTS)
def test_replies_forget_nothing(name: str) -> None:
    """A field of a reply or of a stream that is not written is declared, and none that is written is."""
    dialect = CLIENTS[name]
    request = replace(asking(stream=True, include_usage=True), dialect=name)

    def encode(held: Any) -> tuple[Any, list[str]]:
        try:
            return [dialect.encode_reply(replace(held, dialect=whose), request) for whose in ("", name)], []
        except ProviderFailed as error:
            return error.message, []

    def stream(held: list[StreamEvent]) -> tuple[Any, list[str]]:
        encoder = dialect.stream_encoder(request)
        return b"".join((*map(encoder.feed, held), encoder.end())), []

    assert_declared(ANSWERED, encode, frozenset(each for each in dialect.ignored_in_replies if not _is_event(each)))
    assert_declared(STREAMED, stream, frozenset(each for each in dialect.ignored_in_replies if _is_event(each)))


def assert_declared(
    cases: list[Case], encode: Callable[[Any], tuple[Any, list[str]]], declared: frozenset[str]
) -> None:
    silent, written = set[str](), set[str]()
    for held, made, values in cases:
        body, told = encode(made(held))
        bare, _ = encode(made(None))
        is_refused = body == bare and bool(told)
        for field, value in values.items():
            other = encode(made(replace(held, **{field: value})))
            label = f"{type(held).__name__}.{field}"
            if label in OWN:
                continue
            if other[0] != body:
                written.add(label)
            elif other[1] == told and not is_refused:
                silent.add(label)
    assert {"forgotten": silent - declared, "stale": declared & written - silent} == {
        "forgotten": set(),
        "stale": set(),
    }


def _is_event(label: str) -> bool:
    return label.partition(".")[0] in {kind.__name__ for kind in typing.get_args(StreamEvent)}
