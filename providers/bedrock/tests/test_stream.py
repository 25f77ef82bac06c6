"""Streams of Converse: events in their order, errors as errors, and no end that was not said."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from headgate.chat import (
    Citation,
    CitationDelta,
    ErrorEvent,
    ExtraDelta,
    Finish,
    Image,
    Item,
    Opaque,
    PartDelta,
    ReasoningDelta,
    ReasoningEnd,
    Start,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    Usage,
    UsageEvent,
    collect,
)
from headgate.errors import ProviderFailed
from headgate_bedrock import BedrockConverse
from headgate_bedrock.frames import encode_frame
from headgate_bedrock.replies import exception_frame
from headgate_bedrock.stream import ConverseDecoder

Json = dict[str, Any]
SIGNATURE = base64.b64encode(b"\x12\x04sign").decode()
USAGE = {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15}


def event(kind: str, **payload: Any) -> bytes:
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return encode_frame(headers, msgspec.json.encode({**payload, "p": "abcdef"}))


def delta(index: int, **held: Any) -> bytes:
    return event("contentBlockDelta", contentBlockIndex=index, delta=held)


def begin(index: int, **held: Any) -> bytes:
    return event("contentBlockStart", contentBlockIndex=index, start=held)


def over(index: int) -> bytes:
    return event("contentBlockStop", contentBlockIndex=index)


START = event("messageStart", role="assistant")
STOP = event("messageStop", stopReason="end_turn")
META = event("metadata", usage=USAGE, metrics={"latencyMs": 9})
SAID = UsageEvent(Usage(10, 5, raw=USAGE), {"metrics": {"latencyMs": 9}})


def events(*frames: bytes) -> list[StreamEvent]:
    decoder = ConverseDecoder()
    return [*(one for frame in frames for one in decoder.feed(frame)), *decoder.end()]


def test_text() -> None:
    """Text begins without a contentBlockStart; empty deltas say nothing; usage comes behind the end."""
    frames = (START, delta(0, text=""), delta(0, text="a"), delta(0, text="b"), over(0), STOP, META)
    assert events(*frames) == [
        Start("", ""),
        TextDelta("a"),
        TextDelta("b"),
        Finish("stop", raw="end_turn"),
        SAID,
    ]


def test_thinking_then_text() -> None:
    """Thinking ends with its signature, which may come in pieces; what was taken out is told as such."""
    frames = (
        START,
        delta(0, reasoningContent={"text": "w"}),
        delta(0, reasoningContent={"text": "hy"}),
        delta(0, reasoningContent={"signature": SIGNATURE[:4]}),
        delta(0, reasoningContent={"signature": SIGNATURE[4:]}),
        over(0),
        delta(1, reasoningContent={"redactedContent": "QUI="}),
        delta(1, reasoningContent={"redactedContent": "Qw=="}),
        over(1),
        delta(2, text="a"),
        over(2),
        STOP,
        META,
    )
    assert events(*frames)[1:6] == [
        ReasoningDelta("w"),
        ReasoningDelta("hy"),
        ReasoningEnd(Opaque("anthropic", SIGNATURE)),
        ReasoningEnd(Opaque("bedrock", "QUJD"), is_redacted=True),
        TextDelta("a"),
    ]


def test_calls() -> None:
    """Calls are numbered as they begin; their fragments go on as they are."""
    frames = (
        START,
        delta(0, text="x"),
        over(0),
        begin(1, toolUse={"toolUseId": "c1", "name": "f"}),
        delta(1, toolUse={"input": ""}),
        delta(1, toolUse={"input": '{"a": 1.5'}),
        delta(1, toolUse={"input": "0}"}),
        over(1),
        begin(2, toolUse={"toolUseId": "c2", "name": "g", "type": "tool_use"}),
        over(2),
        event("messageStop", stopReason="tool_use"),
        META,
    )
    assert events(*frames)[2:] == [
        ToolCallStart(0, "c1", "f"),
        ToolCallDelta(0, '{"a": 1.5'),
        ToolCallDelta(0, "0}"),
        ToolCallStart(1, "c2", "g"),
        Finish("tool_calls", raw="tool_use"),
        SAID,
    ]


@pytest.mark.parametrize("fragments", [['{"a"', ":1}"], []])
def test_the_answer_in_a_tool(fragments: Sequence[str]) -> None:
    """The input of the tool for answers is text; one that never says anything is an empty object."""
    frames = (
        START,
        begin(0, toolUse={"toolUseId": "c", "name": "headgate_output"}),
        *(delta(0, toolUse={"input": fragment}) for fragment in fragments),
        over(0),
        event("messageStop", stopReason="tool_use"),
        META,
    )
    reply = collect(events(*frames))
    assert reply.choices[0].message.text == ("".join(fragments) or "{}")
    assert (reply.choices[0].finish, reply.choices[0].finish_raw) == ("stop", "tool_use")


def test_blocks_that_come_whole() -> None:
    """Pictures and what Bedrock's own tools did are told when they are complete."""
    frames = (
        START,
        begin(0, toolUse={"toolUseId": "s", "name": "nova_grounding", "type": "server_tool_use"}),
        delta(0, toolUse={"input": '{"q":"x"}'}),
        over(0),
        begin(1, toolResult={"toolUseId": "s", "type": "nova_grounding_result", "status": "success"}),
        delta(1, toolResult=[{"text": "found"}]),
        over(1),
        begin(2, image={"format": "png"}),
        delta(2, image={"source": {"bytes": "QUI="}}),
        delta(2, image={"source": {"bytes": "Qw=="}}),
        over(2),
        STOP,
        META,
    )
    used = {"toolUseId": "s", "name": "nova_grounding", "type": "server_tool_use", "input": {"q": "x"}}
    result = {"toolUseId": "s", "type": "nova_grounding_result", "status": "success", "content": [{"text": "found"}]}
    assert events(*frames)[1:4] == [
        PartDelta(Item("bedrock.converse", {"toolUse": used})),
        PartDelta(Item("bedrock.converse", {"toolResult": result})),
        PartDelta(Image(data="QUJD", media_type="image/png")),
    ]


def test_citations_and_what_nobody_knows() -> None:
    """A source belongs to the text; members without an event of their own are kept; unknown kinds of events say nothing."""
    raw = {"title": "T"}
    frames = (START, delta(0, text="a"), delta(0, citation=raw), delta(0, new={"a": 1}), event("ping"), STOP, META)
    found = events(*frames)
    assert found[2:4] == [ExtraDelta({"new": {"a": 1}}), CitationDelta(Citation(title="T", raw=raw))]
    assert [type(one) for one in found[4:]] == [Finish, UsageEvent]


def test_sources_belong_to_the_text_of_their_block() -> None:
    """A source comes before the text it stands for, in a block of its own: it is no source of the text before."""
    raw = {"title": "T"}
    frames = (START, delta(0, text="By it, "), over(0), delta(1, citation=raw), delta(1, text="so"), delta(1, text="."))
    assert events(*frames, over(1), STOP, META)[1:5] == [
        TextDelta("By it, "),
        TextDelta("so", begins=True),
        TextDelta("."),
        CitationDelta(Citation(title="T", raw=raw)),
    ]


def test_names_with_marks_of_a_models_own_format() -> None:
    """A call is of the function that was offered, whatever the model wrote behind its name, whole and in a stream."""
    use = {"name": "f<|channel|>commentary", "toolUseId": "t1"}
    told = collect(events(START, begin(0, toolUse=use), over(0), STOP, META)).choices[0].message.parts
    whole: Json = {"output": {"message": {"content": [{"toolUse": {**use, "input": {}}}]}}, "stopReason": "tool_use"}
    read = BedrockConverse().decode_reply(msgspec.json.encode(whole)).choices[0].message.parts
    assert [part.name for part in (*told, *read) if isinstance(part, ToolCall)] == ["f", "f"]


def test_streams_that_leave_things_out() -> None:
    """Without messageStart, without contentBlockStop, with usage before the end: the order of events is kept."""
    frames = (
        delta(0, reasoningContent={"text": "w", "signature": SIGNATURE}),
        delta(1, text="a"),
        begin(2, toolUse={"toolUseId": "c", "name": "f"}),
        META,
        event("messageStop", stopReason="tool_use"),
    )
    assert [type(one) for one in events(*frames)] == [
        Start,
        ReasoningDelta,
        ReasoningEnd,
        TextDelta,
        ToolCallStart,
        Finish,
        UsageEvent,
    ]
    assert [type(one) for one in events(START, delta(0, text="a"), over(0), STOP)][-1] is Finish


def test_the_stop_sequence_and_the_tier() -> None:
    """What the last events say besides is told: the stop sequence, the tier that served."""
    stop = event(
        "messageStop", stopReason="stop_sequence", additionalModelResponseFields={"delta": {"stop_sequence": "E"}}
    )
    meta = event("metadata", usage=USAGE, serviceTier={"type": "flex"}, trace={"guardrail": {}})
    found = events(START, delta(0, text="a"), stop, meta)
    assert found[2] == Finish("stop", raw="stop_sequence", stop="E")
    assert found[3] == UsageEvent(Usage(10, 5, raw=USAGE), {"service_tier": "flex", "trace": {"guardrail": {}}})


# errors and ends

EXCEPTIONS = {
    "throttlingException": 429,
    "validationException": 400,
    "modelStreamErrorException": 502,
    "modelTimeoutException": 504,
    "serviceUnavailableException": 503,
    "internalServerException": 500,
    "newException": 502,
}


@pytest.mark.parametrize(("kind", "status"), EXCEPTIONS.items())
def test_exceptions_are_errors(kind: str, status: int) -> None:
    """An exception in the stream is an error with its words and the status it stands for; nothing follows it."""
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    frame = encode_frame(headers, b'{"message":"no more"}')
    found = events(START, delta(0, text="a"), frame, STOP, META)
    assert found[2:] == [ErrorEvent("no more", kind, {"message": "no more"}, status)]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"message": "Stream Error", "originalMessage": "it failed"}, "Stream Error: it failed"),
        ({"message": "no more", "originalMessage": "no more"}, "no more"),
        ({"originalMessage": "it failed"}, "it failed"),
        ({"message": "no more", "originalMessage": None}, "no more"),
    ],
)
def test_words_of_the_model(said: dict[str, Any], words: str) -> None:
    """A model's own words are told beside those that hold for every one."""
    headers = {":exception-type": "modelStreamErrorException", ":message-type": "exception"}
    frame = encode_frame(headers, msgspec.json.encode(said))
    assert events(frame) == [ErrorEvent(words, "modelStreamErrorException", said, 502)]


def test_errors_without_a_body() -> None:
    """An error that is not modelled has its words in the headers."""
    headers = {":message-type": "error", ":error-code": "InternalFailure", ":error-message": "oops"}
    assert events(encode_frame(headers, b"")) == [ErrorEvent("oops", "InternalFailure", None, 502)]


@pytest.mark.parametrize(
    "frames", [(), (START,), (START, delta(0, text="a")), (START, delta(0, text="a"), over(0), META)]
)
def test_a_stream_that_does_not_finish_is_cut(frames: tuple[bytes, ...]) -> None:
    """Without messageStop the answer is not complete, and no end is made up."""
    decoder = BedrockConverse().stream_decoder()
    for frame in frames:
        decoder.feed(frame)
    with pytest.raises(ProviderFailed) as caught:
        decoder.end()
    assert caught.value.error_code == "upstream_cut"


def test_a_broken_end() -> None:
    """Cut between the end and the usage, what it cost is unknown: that is a cut; with the usage it is complete."""
    decoder = BedrockConverse().stream_decoder()
    for frame in (START, STOP):
        decoder.feed(frame)
    with pytest.raises(ProviderFailed):
        decoder.end(is_broken=True)
    decoder.feed(META)
    assert list(decoder.end(is_broken=True)) == []


@pytest.mark.parametrize(
    "frame",
    [
        encode_frame({":event-type": "messageStop", ":message-type": "event"}, b"{"),
        event("contentBlockDelta", contentBlockIndex=0),
        event("contentBlockDelta", contentBlockIndex="x", delta={}),
        event("contentBlockStart", contentBlockIndex=0, start={"toolUse": {"name": "f"}}),
        delta(0, reasoningContent={"redactedContent": "%"}),
        event("messageStop"),
    ],
)
def test_what_is_no_event_fails(frame: bytes) -> None:
    """A payload that is no JSON or has another shape is the vendor's failure."""
    with pytest.raises(ProviderFailed) as caught:
        events(START, frame)
    assert caught.value.error_code == "upstream_bad_reply"


def test_ends_by_the_tail() -> None:
    """A relayed stream is complete by its last messages, cut without them, and an exception is an error."""
    dialect = BedrockConverse()
    assert dialect.ending([STOP, META]) == "complete"
    assert dialect.ending([STOP]) == "complete"
    assert dialect.ending([STOP], is_broken=True) == "cut"
    assert dialect.ending([delta(0, text="a"), b"torn"]) == "cut"
    assert dialect.ending([STOP, META, exception_frame(429, "x")]) == "error"
    assert dialect.tail_usage([STOP, META]) == Usage(10, 5, raw=USAGE)
    assert dialect.tail_usage([STOP]) is None
