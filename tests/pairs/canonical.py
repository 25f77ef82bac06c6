"""Requests, replies and streams of the canonical chat model as hypothesis makes them: whatever a client may well say.

Texts have neither blank ends nor line breaks, since dialects join texts by them; what becomes of those is each codec's own test.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec
from hypothesis import strategies as st
from msgspec.structs import replace

from headgate.chat import (
    ChatReply,
    ChatRequest,
    Choice,
    Citation,
    File,
    FinishReason,
    Image,
    Item,
    Message,
    Opaque,
    Part,
    Reasoning,
    ReasoningDelta,
    Refusal,
    RefusalDelta,
    ResponseFormat,
    Role,
    Sampling,
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
    replay,
)

Json = dict[str, Any]
T = TypeVar("T")

WORDS = st.text('abä "\\{}<é\u2028\U0001f600', min_size=1, max_size=8).map(str.strip).filter(bool)
NAMES = st.sampled_from(["f", "get_weather", "a.b:c", "g" * 80])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.sampled_from([0.1, 1e300, 2**70]) | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=3,
)
ARGUMENTS = st.just("") | st.dictionaries(WORDS, VALUES, max_size=2).map(
    lambda held: msgspec.json.encode(held).decode()
)
PICTURES = st.sampled_from(
    [
        Image(data="iVBORw0KGgo=", media_type="image/png"),
        Image(data="UklGRg==", media_type="image/webp", detail="low"),
        Image("https://x.example/a.png"),
    ]
)
FILES = st.just(File(data="JVBERi0=", media_type="application/pdf", filename="a.pdf"))
MARKS = st.sampled_from([None, None, {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}])
TEXTS = st.builds(Text, WORDS, MARKS)
ORIGINS = ("anthropic", "google", "openai")
SIGNATURES = st.builds(Opaque, st.sampled_from(ORIGINS), st.sampled_from(["c2ln", "QUJD"]))
THOUGHTS = st.builds(Reasoning, WORDS, SIGNATURES) | st.builds(Reasoning, WORDS)
ITEMS = st.sampled_from(
    [
        Item("anthropic.messages", {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}}),
        Item("openai.responses", {"type": "web_search_call", "id": "ws_1", "status": "completed"}),
    ]
)


def lists(values: st.SearchStrategy[T], least: int, most: int) -> st.SearchStrategy[list[T]]:
    """A list of between so many values."""
    return st.lists(values, min_size=least, max_size=most)


def rarely(*values: T) -> st.SearchStrategy[T | None]:
    """Nothing, as often as one of these values."""
    return st.none() | st.sampled_from(values)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Message, ...]:
    """Turns of every role in any order a client may send, but results behind their calls; the user has the last word."""
    turns: list[Message] = []
    if draw(st.booleans()):
        role: Role = draw(st.sampled_from(["system", "developer"]))
        turns.append(Message(role, tuple(draw(lists(TEXTS, 1, 2)))))
    for number in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["user", "users", "answer", "calls", "system"]))
        turns += _turns(draw, kind, number)
    turns.append(Message("user", (draw(TEXTS),)))
    return tuple(turns)


def _turns(draw: st.DrawFn, kind: str, number: int) -> list[Message]:
    asked = Message("user", tuple(draw(lists(TEXTS | PICTURES | FILES, 1, 3))), draw(rarely("ann")))
    match kind:
        case "user":
            return [asked]
        case "users":
            return [asked, Message("user", (draw(TEXTS),))]
        case "system":
            return [asked, Message("system", (Text(draw(WORDS)),))]
        case "answer":
            said: list[Part] = [*draw(lists(THOUGHTS, 0, 1)), *draw(lists(TEXTS, 0, 2))]
            declined = draw(lists(st.builds(Refusal, WORDS), 0, 1)) if said else [Refusal(draw(WORDS))]
            return [asked, Message("assistant", (*said, *declined))]
        case _:
            return [asked, *_calls(draw, number)]


def _calls(draw: st.DrawFn, number: int) -> list[Message]:
    """Calls, with thoughts and words before them, and their results: in one turn or each in its own, in any order."""
    calls = [
        ToolCall(f"call_{number}{at}", draw(NAMES), draw(ARGUMENTS), at, cache=draw(MARKS))
        for at in range(draw(st.integers(1, 3)))
    ]
    said: list[Part] = [*draw(lists(THOUGHTS, 0, 1)), *draw(lists(st.builds(Text, WORDS), 0, 1))]
    results = [draw(_result(call)) for call in draw(st.permutations(calls))]
    answer = Message("assistant", (*said, *calls))
    if draw(st.booleans()):
        return [answer, Message("tool", tuple(results))]
    return [answer, *(Message("tool", (result,)) for result in results)]


@st.composite
def _result(draw: st.DrawFn, call: ToolCall) -> ToolResult:
    texts = draw(lists(st.builds(Text, WORDS), 0, 2))
    shown = [draw(PICTURES)] if texts and not draw(st.integers(0, 4)) else []
    is_failed = bool(texts) and not draw(st.integers(0, 3))
    return ToolResult(call.id, (*texts, *shown), is_error=is_failed, name=draw(rarely(call.name)))


SCHEMA: Json = {
    "type": "object",
    "properties": {"a": {"type": "string", "description": "d"}, "b": {"type": "array", "items": {"type": "integer"}}},
    "required": ["a"],
    "additionalProperties": False,
}
TOOLS = lists(
    st.builds(
        Tool,
        st.sampled_from(["f", "get_weather", "a.b:c"]),
        rarely("what it does"),
        st.sampled_from([None, SCHEMA, {"type": "object", "properties": {}}]),
        rarely(True, False),
        cache=MARKS,
    ),
    1,
    2,
).map(lambda tools: tuple({tool.name: tool for tool in tools}.values()))


@st.composite
def choices(draw: st.DrawFn, tools: tuple[Tool, ...]) -> ToolChoice | None:
    """What is said about the use of these tools."""
    first = tools[0].name
    kinds = [ToolChoice("auto"), ToolChoice("none"), ToolChoice("required"), ToolChoice("named", first)]
    narrowed = [ToolChoice("auto", allowed=(first,)), ToolChoice("required", allowed=(first,))]
    return draw(rarely(*kinds, *narrowed))


SAMPLINGS = st.builds(
    Sampling,
    rarely(0.0, 0.5, 1.5),
    rarely(0.25, 1.0),
    rarely(1, 40),
    rarely(8, 4000),
    st.sampled_from([(), ("x",), ("a", "b", "c", "d", "e", "f"), (" ",), ("x", "\n")]),
    rarely(0, 7),
    rarely(0.0, 0.5),
    rarely(0.0, -0.5),
    rarely({"8": 9.0}, {}),
    rarely(True, False),
    rarely(0, 3),
    rarely(1, 2),
)
FORMATS = rarely(
    ResponseFormat("text"),
    ResponseFormat("json_object"),
    ResponseFormat("json_schema", "card", SCHEMA, strict=True, description="a card"),
    ResponseFormat("json_schema", schema=SCHEMA),
)
THINKINGS = st.sampled_from(
    [
        None,
        Thinking("none"),
        Thinking("minimal"),
        Thinking("low", is_shown=True),
        Thinking("high", summary="detailed"),
        Thinking("max"),
        Thinking(budget_tokens=2048, mode="enabled"),
        Thinking(mode="disabled"),
        Thinking(mode="adaptive"),
        Thinking(mode="adaptive", is_shown=False),
        Thinking("high", is_shown=False),
    ]
)


@st.composite
def requests(draw: st.DrawFn) -> ChatRequest:
    """A request of no dialect."""
    messages = draw(conversations())
    tools = draw(TOOLS) if draw(st.booleans()) else ()
    return ChatRequest(
        "m",
        messages,
        draw(SAMPLINGS),
        tools,
        draw(choices(tools)) if tools else None,
        draw(rarely(True, False)) if tools else None,
        draw(FORMATS),
        draw(THINKINGS),
        stream=draw(st.booleans()),
        include_usage=True,
        user=draw(rarely("ann")),
        metadata=draw(rarely({"a": "b"})),
        service_tier=draw(rarely("auto", "default", "flex", "priority")),
        verbosity=draw(rarely("low")),
        cache_key=draw(rarely("k")),
        safety_identifier=draw(rarely("s")),
        store=draw(rarely(True, False)),
    )


FINISHES: st.SearchStrategy[FinishReason] = st.sampled_from(["stop", "length", "content_filter"])
COUNTS = st.integers(0, 9)
CITATIONS = lists(
    st.sampled_from([Citation("https://x.example/1", "one"), Citation("https://x.example/2", "two")]), 0, 2
)


@st.composite
def _answers(draw: st.DrawFn, index: int) -> Choice:
    """One answer: thoughts, words, a refusal or calls, as models give them in this order."""
    parts: list[Part] = list(draw(lists(THOUGHTS, 0, 1)))
    parts += [Text(draw(WORDS), citations=tuple(draw(CITATIONS)))] if draw(st.booleans()) else []
    parts += draw(lists(st.sampled_from([Image(data="iVBORw0KGgo=", media_type="image/png")]), 0, 1))
    parts += draw(lists(ITEMS, 0, 1))
    if draw(st.booleans()):
        signed = draw(rarely(Opaque("google", "c2ln")))
        parts += [
            ToolCall(f"call_{at}", draw(NAMES), draw(ARGUMENTS), at, opaque=None if at else signed)
            for at in range(draw(st.integers(1, 3)))
        ]
        return Choice(Message("assistant", tuple(parts)), "tool_calls", index=index)
    if not any(isinstance(part, Text) for part in parts):
        parts.append(draw(st.builds(Text, WORDS) | st.builds(Refusal, WORDS)))
    finish = draw(FINISHES)
    stop = draw(rarely("END")) if finish == "stop" else None
    return Choice(Message("assistant", tuple(parts)), finish, stop=stop, index=index)


@st.composite
def replies(draw: st.DrawFn, count: int = 1) -> ChatReply:
    """A whole reply of no dialect with so many answers, and usage whose parts are within their sums."""
    plain, cached, written, said, thought = (draw(COUNTS) for _ in range(5))
    usage = Usage(plain + cached + written, said + thought, cached, written, thought)
    held = tuple(draw(_answers(index)) for index in range(count))
    return ChatReply("r-1", "m", held, 1_700_000_000, usage, draw(rarely("default")))


@st.composite
def streams(draw: st.DrawFn, reply: ChatReply) -> list[StreamEvent]:
    """The stream of a reply with its texts and arguments in pieces, and those of parallel calls interleaved."""
    events: list[StreamEvent] = []
    waiting: list[ToolCallDelta] = []
    for event in replay(reply):
        pieces = list(_pieces(event, draw(st.integers(1, 6))))
        if isinstance(event, ToolCallDelta):
            waiting += [piece for piece in pieces if isinstance(piece, ToolCallDelta)]
        elif isinstance(event, ToolCallStart):
            events.append(event)
        else:
            events += [*draw(_interleaved(waiting)), *pieces]
            waiting = []
    return events


def _pieces(event: StreamEvent, size: int) -> Iterator[StreamEvent]:
    """A delta in several."""
    match event:
        case ReasoningDelta() | RefusalDelta() | TextDelta():
            yield from (replace(event, text=event.text[at : at + size]) for at in range(0, len(event.text), size))
        case ToolCallDelta():
            said = event.arguments
            yield from (replace(event, arguments=said[at : at + size]) for at in range(0, len(said), size))
        case _:
            yield event


@st.composite
def _interleaved(draw: st.DrawFn, deltas: list[ToolCallDelta]) -> list[StreamEvent]:
    """Deltas of several calls in any order that keeps the order within each."""
    left = list(deltas)
    order = draw(st.permutations([delta.call for delta in deltas]))
    chosen: list[StreamEvent] = []
    for call in order:
        found = next(delta for delta in left if delta.call == call)
        left.remove(found)
        chosen.append(found)
    return chosen
