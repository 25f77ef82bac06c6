"""A stream of events and a whole reply mean the same, whichever comes first."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from headgate.chat import (
    Audio,
    ChatReply,
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
    Start,
    StreamEvent,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    Usage,
    UsageEvent,
    collect,
    replay,
)
from headgate.errors import ProviderFailed

A, B = Opaque("a", "1"), Opaque("b", "2")
ONE, TWO = Citation("one"), Citation("two")


def parts(*events: StreamEvent) -> tuple[Part, ...]:
    """The parts that these events of one choice make."""
    (choice,) = collect((Start("x", "m"), *events)).choices
    return choice.message.parts


# both ways

WORDS = st.text(min_size=1, max_size=5)
OPAQUES = st.none() | st.sampled_from([A, B])
CITATIONS = st.lists(st.sampled_from([ONE, TWO]), max_size=2).map(tuple)
EXTRAS = st.dictionaries(st.sampled_from(["x", "y"]), st.integers(), max_size=2)
PARTS = st.one_of(
    st.builds(Text, WORDS, citations=CITATIONS, opaque=OPAQUES),
    st.builds(Text, st.just(""), opaque=st.just(A)),
    st.builds(Reasoning, WORDS, OPAQUES, st.just(False), st.booleans(), st.none() | WORDS),
    st.builds(Reasoning, st.just(""), st.just(A), st.booleans(), item_id=st.none() | WORDS),
    st.builds(Refusal, WORDS),
    st.builds(ToolCall, WORDS, WORDS, st.text(max_size=5), opaque=OPAQUES, item_id=st.none() | WORDS, extra=EXTRAS),
    st.builds(ToolCall, WORDS, WORDS, WORDS, custom=st.just(True)),
    st.builds(Image, url=WORDS) | st.builds(Audio, WORDS, WORDS) | st.builds(Item, WORDS, EXTRAS),
)
FINISHED = st.builds(
    Choice,
    st.builds(Message, st.just("assistant"), st.lists(PARTS, max_size=5).map(tuple), extra=EXTRAS),
    st.sampled_from(["stop", "length", "error"]),
    st.none() | WORDS,
    st.none() | WORDS,
    logprobs=st.none() | st.just({"content": [1]}),
    extra=EXTRAS,
)
REPLIES = st.builds(
    ChatReply,
    WORDS,
    WORDS,
    st.lists(FINISHED, max_size=3).map(tuple),
    st.integers(0, 9),
    st.builds(Usage, st.integers(0, 9)),
    st.none() | WORDS,
    extra=EXTRAS,
)


@settings(deadline=None)
@given(REPLIES)
def test_a_replayed_reply_is_collected_as_it_was(reply: ChatReply) -> None:
    """Nothing is lost; plain texts and refusals that stand side by side are one, calls have the number of their place."""
    choices = tuple(replace(choice, index=at) for at, choice in enumerate(reply.choices))
    reply = replace(reply, choices=choices)
    assert collect(replay(reply)) == replace(reply, choices=tuple(map(canonical, choices)))


def is_one(last: Text, part: Text) -> bool:
    """Whether a text only goes on with the one before it; one with sources of its own does not."""
    return not last.opaque and not part.citations and not (last.citations and part.text)


def canonical(choice: Choice) -> Choice:
    """A choice as it is collected."""
    held: list[Part] = []
    calls = 0
    for part in choice.message.parts:
        last = held[-1] if held else None
        if isinstance(part, ToolCall):
            held.append(replace(part, index=calls))
            calls += 1
        elif isinstance(last, Refusal) and isinstance(part, Refusal):
            held[-1] = Refusal(last.text + part.text)
        elif isinstance(last, Text) and isinstance(part, Text) and is_one(last, part):
            held[-1] = replace(part, text=last.text + part.text, citations=last.citations)
        else:
            held.append(part)
    return replace(choice, message=replace(choice.message, parts=tuple(held)))


def test_the_stream_of_a_reply() -> None:
    """Each part is one delta; its sources follow it, and usage is the last word."""
    message = Message(
        "assistant", (Reasoning("r", A), Text("t", citations=(ONE,)), ToolCall("i", "f", "{}", 7)), extra={"x": 1}
    )
    choice = Choice(message, "tool_calls", "tool_use", "END", 0, [1], {"y": 2})
    reply = ChatReply("id", "m", (choice,), 5, Usage(1, 2), "flex", "google.generate", {"z": 3})
    assert list(replay(reply)) == [
        Start("id", "m", 5),
        ReasoningDelta("r"),
        ReasoningEnd(A),
        TextDelta("t", begins=True),
        CitationDelta(ONE),
        ToolCallStart(0, "i", "f"),
        ToolCallDelta(0, "{}"),
        ExtraDelta({"x": 1}),
        Finish("tool_calls", 0, "tool_use", "END", {"y": 2, "logprobs": [1]}),
        UsageEvent(Usage(1, 2), {"z": 3, "service_tier": "flex"}),
    ]


def test_a_reply_without_usage_or_finish_loses_nothing_else() -> None:
    """Nobody says that nothing was used, and no finish is made up; the members come with the first choice."""
    choices = (
        Choice(Message("assistant", (Text("a"),)), extra={"y": 2}),
        Choice(Message("assistant"), "stop", index=1),
    )
    reply = ChatReply("id", "m", choices, service_tier="flex", extra={"z": 3})
    events = list(replay(reply))
    assert not any(isinstance(event, UsageEvent) for event in events)
    first, second = collect(events).choices
    assert (first.finish, first.message.extra) == (None, {"z": 3, "service_tier": "flex", "y": 2})
    assert (second.finish, second.message.extra) == ("stop", {})


def test_a_part_that_no_model_answers_with() -> None:
    """It is a mistake of a decoder and says so."""
    reply = ChatReply("id", "m", (Choice(Message("assistant", (File("u"),))),))
    with pytest.raises(TypeError, match="`File`"):
        list(replay(reply))


# what the deltas make


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([TextDelta("a"), TextDelta("b")], (Text("ab"),)),
        ([TextDelta(""), TextDelta("a")], (Text("a"),)),
        ([TextDelta("a"), TextDelta("", opaque=A)], (Text("a", opaque=A),)),
        ([TextDelta("a", opaque=A), TextDelta("b", opaque=B)], (Text("a", opaque=A), Text("b", opaque=B))),
        ([TextDelta("", opaque=A), TextDelta("b")], (Text("", opaque=A), Text("b"))),
        ([ToolCallStart(0, "i", "f"), TextDelta("", opaque=A)], (ToolCall("i", "f", ""), Text("", opaque=A))),
        ([TextDelta("a"), RefusalDelta("b"), TextDelta("c")], (Text("a"), Refusal("b"), Text("c"))),
    ],
    ids=["joined", "empty", "signed behind", "two signed", "signed before", "signed last", "in between"],
)
def test_texts(events: list[StreamEvent], expected: tuple[Part, ...]) -> None:
    """Deltas of one kind are one part; a signature ends the text it signs, and is never lost for want of one."""
    assert parts(*events) == expected


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([TextDelta("a"), CitationDelta(ONE), CitationDelta(TWO)], (Text("a", citations=(ONE, TWO)),)),
        ([TextDelta("a"), CitationDelta(ONE), TextDelta("b")], (Text("a", citations=(ONE,)), Text("b"))),
        ([CitationDelta(ONE), TextDelta("a"), TextDelta("b")], (Text("ab", citations=(ONE,)),)),
        ([CitationDelta(ONE)], (Text("", citations=(ONE,)),)),
        (
            [TextDelta("a"), ToolCallStart(0, "i", "f"), CitationDelta(ONE)],
            (Text("a", citations=(ONE,)), ToolCall("i", "f", "")),
        ),
        ([TextDelta("a"), CitationDelta(ONE), TextDelta("", opaque=A)], (Text("a", citations=(ONE,), opaque=A),)),
    ],
    ids=["two", "then text", "before the text", "alone", "behind a call", "then signed"],
)
def test_sources(events: list[StreamEvent], expected: tuple[Part, ...]) -> None:
    """A source belongs to the text before it; without one to the text behind it."""
    assert parts(*events) == expected


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([ReasoningDelta("a"), ReasoningDelta("b"), ReasoningEnd(A)], (Reasoning("ab", A),)),
        ([ReasoningDelta("a"), ReasoningEnd(), ReasoningDelta("b")], (Reasoning("a"), Reasoning("b"))),
        (
            [ReasoningDelta("a"), ReasoningDelta("b", is_summary=True)],
            (Reasoning("a"), Reasoning("b", is_summary=True)),
        ),
        ([ReasoningEnd(A, is_redacted=True)], (Reasoning("", A, is_redacted=True),)),
        (
            [ReasoningDelta("a"), ReasoningEnd(A, is_redacted=True)],
            (Reasoning("a"), Reasoning("", A, is_redacted=True)),
        ),
        ([ReasoningEnd(A, item_id="i")], (Reasoning("", A, item_id="i"),)),
        ([ReasoningDelta("a"), TextDelta("b"), ReasoningEnd(A)], (Reasoning("a"), Text("b"), Reasoning("", A))),
        ([TextDelta("a"), ReasoningEnd()], (Text("a"),)),
    ],
    ids=["signed", "two blocks", "summary", "redacted", "then redacted", "item", "late signature", "nothing"],
)
def test_thinking(events: list[StreamEvent], expected: tuple[Part, ...]) -> None:
    """A block ends where it is said to; what travels along is kept even where there is no text."""
    assert parts(*events) == expected


def test_interleaved_calls_and_whole_parts() -> None:
    """Arguments go to their call, and a part that comes whole ends the text before it."""
    assert parts(
        TextDelta("a"),
        ToolCallStart(3, "i", "f", item_id="fc", opaque=A, extra={"x": 1}),
        ToolCallStart(1, "j", "g", custom=True),
        ToolCallDelta(3, "{"),
        ToolCallDelta(1, "in"),
        ToolCallDelta(3, "}"),
        PartDelta(Image("u")),
        TextDelta("b"),
    ) == (
        Text("a"),
        ToolCall("i", "f", "{}", 3, item_id="fc", opaque=A, extra={"x": 1}),
        ToolCall("j", "g", "in", 1, custom=True),
        Image("u"),
        Text("b"),
    )


def test_arguments_of_a_call_that_never_began() -> None:
    """A stream that says such a thing is broken, and is not taken for an answer."""
    with pytest.raises(ProviderFailed, match="tool call 0"):
        parts(ToolCallDelta(0, "{}"))


def test_members_of_several_deltas_are_joined() -> None:
    """Lists grow, objects are joined at every depth, and of plain values the last one counts."""
    events: list[StreamEvent] = [
        Start("x", "m"),
        ExtraDelta({"list": [1], "object": {"a": {"b": 1}}, "word": "one"}),
        ExtraDelta({"list": [2], "object": {"a": {"c": 2}}, "word": "two"}),
    ]
    (choice,) = collect(events).choices
    assert choice.message.extra == {"list": [1, 2], "object": {"a": {"b": 1, "c": 2}}, "word": "two"}


def test_choices_and_the_whole_reply() -> None:
    """Choices are told apart and come in their order; what belongs to the reply is there once, by its last word."""
    reply = collect(
        [
            Start("x", "m", 5, usage=Usage(1)),
            TextDelta("b", 1),
            TextDelta("a", 0),
            Finish("length", 1, "MAX", None, {"score": 1, "logprobs": [2]}),
            Finish("stop", 0, "STOP", "END"),
            UsageEvent(Usage(1, 2), {"service_tier": "flex", "citations": ["u"]}),
            UsageEvent(Usage(1, 3), {"cost": 4}),
        ]
    )
    assert reply == ChatReply(
        "x",
        "m",
        (
            Choice(Message("assistant", (Text("a"),)), "stop", "STOP", "END"),
            Choice(Message("assistant", (Text("b"),)), "length", "MAX", None, 1, [2], {"score": 1}),
        ),
        5,
        Usage(1, 3),
        "flex",
        extra={"citations": ["u"], "cost": 4},
    )
    assert collect([Start("x", "m", usage=Usage(1))]).usage == Usage(1)


def test_a_stream_that_broke_off_is_no_reply() -> None:
    """The provider's words are those of the error."""
    with pytest.raises(ProviderFailed, match="busy"):
        collect([Start("x", "m"), TextDelta("a"), ErrorEvent("busy")])
    with pytest.raises(ProviderFailed, match="broke off"):
        collect([ErrorEvent("")])


def test_only_events_of_a_choice_are_taken() -> None:
    """Anything else is a mistake of a decoder and says so."""

    class Odd:
        index = 0

    with pytest.raises(TypeError, match="`Odd`"):
        collect(cast("list[Any]", [Odd()]))
