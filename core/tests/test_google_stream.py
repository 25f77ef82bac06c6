"""Streams of Gemini as events, however they are framed and cut, and how a relayed one ended."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from core.tests.google_wire import GOOGLE, answer, events, read, stream
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.chat import (
    CitationDelta,
    ErrorEvent,
    ExtraDelta,
    Finish,
    Image,
    Item,
    Opaque,
    PartDelta,
    ReasoningDelta,
    Start,
    Text,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    Usage,
    UsageEvent,
    collect,
)
from headgate.dialects.google.facts import OUTPUT_TOOL
from headgate.dialects.sse import MAX_EVENT_BYTES, events_of
from headgate.errors import ProviderFailed

Json = dict[str, Any]

USED = {"promptTokenCount": 3, "candidatesTokenCount": 2, "thoughtsTokenCount": 1, "totalTokenCount": 6}
START = Start("abcDEF-123_4567", "gemini-2.5-flash")


def chunk(*parts: Any, finish: str | None = None, **members: Any) -> Json:
    return answer(*parts, finish=finish, **members)


def call(**members: Any) -> Json:
    return {"functionCall": members}


def piece(path: str, *, more: bool = False, **value: Any) -> Json:
    return call(
        partialArgs=[{"jsonPath": path, **value, **({"willContinue": True} if more else {})}], willContinue=True
    )


def test_a_stream() -> None:
    """Thoughts, text, the signature on an empty last part, the end and the last usage, each said once."""
    told = events(
        [
            chunk({"text": "hm", "thought": True}, usageMetadata={"promptTokenCount": 3}),
            chunk("Hel", usageMetadata={"trafficType": "ON_DEMAND"}),
            chunk("lo"),
            chunk({"text": "", "thoughtSignature": "c2ln"}, finish="STOP", usageMetadata=USED),
        ]
    )
    assert told == [
        START,
        ReasoningDelta("hm", is_summary=True),
        TextDelta("Hel"),
        TextDelta("lo"),
        TextDelta("", opaque=Opaque("google", "c2ln")),
        Finish("stop", raw="STOP"),
        UsageEvent(Usage(3, 3, reasoning=1, raw=USED)),
    ]


def test_the_output_tool_is_content() -> None:
    """The input of the gateway's own tool is what the model answers, whole and in a stream, and no call."""
    held = {"functionCall": {"name": OUTPUT_TOOL, "args": {"n": 1}}, "thoughtSignature": "c2ln"}
    signed = Opaque("google", "c2ln")
    assert events([chunk(held, finish="STOP")])[1:3] == [
        TextDelta('{"n":1}', opaque=signed),
        Finish("stop", raw="STOP"),
    ]
    [choice] = read(answer(held, finish="STOP")).choices
    assert (choice.message.parts, choice.finish) == ((Text('{"n":1}', opaque=signed),), "stop")


def test_calls_of_separate_chunks() -> None:
    """Each call has a number and an id of its own, whichever chunk it came in."""
    told = events([chunk(call(name="f", args={"a": 1})), chunk(call(name="f", args={"a": 2}), finish="STOP")])
    assert told == [
        START,
        ToolCallStart(0, "call_bcDEF1234567_0", "f"),
        ToolCallDelta(0, '{"a":1}'),
        ToolCallStart(1, "call_bcDEF1234567_1", "f"),
        ToolCallDelta(1, '{"a":2}'),
        Finish("tool_calls", raw="STOP"),
    ]


def test_arguments_in_pieces() -> None:
    """Arguments that come as values with their paths are one JSON object in the end."""
    told = events(
        [
            chunk({**call(name="f", willContinue=True), "thoughtSignature": "c2ln"}),
            chunk(piece("$.city", stringValue="Bo", more=True)),
            chunk(piece("$.city", stringValue="ston")),
            chunk(piece("$.days[0].n", numberValue=1.5)),
            chunk(piece("$['days'][1]", boolValue=True)),
            chunk(piece("$.none", nullValue="NULL_VALUE")),
            chunk(call()),
            chunk(call(name="g")),
            chunk(call(name="h", willContinue=True)),
            chunk(call(), finish="STOP"),
        ]
    )
    assert told[1:-1] == [
        ToolCallStart(0, "call_bcDEF1234567_0", "f", opaque=Opaque("google", "c2ln")),
        ToolCallDelta(0, '{"city":"Boston","days":[{"n":1.5},true],"none":null}'),
        ToolCallStart(1, "call_bcDEF1234567_1", "g"),
        ToolCallStart(2, "call_bcDEF1234567_2", "h"),
        ToolCallDelta(2, "{}"),
    ]


@pytest.mark.parametrize("path", ["$[0]", "$.a[3]", "$.a.b"])
def test_pieces_that_do_not_fit(path: str) -> None:
    """A path that leads nowhere is the provider's failure."""
    with pytest.raises(ProviderFailed):
        events(
            [
                chunk(call(name="f", willContinue=True)),
                chunk(piece("$.a", stringValue="x")),
                chunk(piece(path, stringValue="y")),
            ]
        )


def test_several_candidates() -> None:
    """Candidates are told apart by their index, and each has its own end."""
    first, second = chunk("a", finish="STOP"), chunk("b", finish="MAX_TOKENS")
    second["candidates"][0]["index"] = 1
    assert events([first, second])[1:] == [
        TextDelta("a"),
        TextDelta("b", 1),
        Finish("stop", raw="STOP"),
        Finish("length", 1, "MAX_TOKENS"),
    ]


def test_a_finish_in_every_chunk() -> None:
    """Older models finish again and again: the last word counts."""
    told = events([chunk("a", finish="STOP"), chunk("b", finish="MAX_TOKENS")])
    assert told == [START, TextDelta("a"), TextDelta("b"), Finish("length", raw="MAX_TOKENS")]


def test_a_blocked_prompt() -> None:
    """A prompt that was refused is an empty answer with the reason beside it."""
    feedback = {"blockReason": "SAFETY"}
    told = events([{"promptFeedback": feedback, "usageMetadata": {"promptTokenCount": 4}, "responseId": "r"}])
    assert told == [
        Start("r", ""),
        Finish("content_filter", raw="SAFETY", extra={"promptFeedback": feedback}),
        UsageEvent(Usage(4, raw={"promptTokenCount": 4})),
    ]


def test_other_parts_and_members() -> None:
    """Media and Google's own blocks come whole; metadata of candidates and replies comes with the end."""
    code = {"codeExecutionResult": {"outcome": "OUTCOME_OK"}}
    first = chunk(
        {"inlineData": {"mimeType": "image/png", "data": "AA"}}, code, {"text": "x", "partMetadata": {"a": 1}}
    )
    first["candidates"][0] |= {"safetyRatings": [1], "logprobsResult": {"chosenCandidates": [{"token": "x"}]}}
    last = chunk(finish="STOP", modelStatus={"s": 1}, usageMetadata={**USED, "serviceTier": "flex"})
    last["candidates"][0] |= {"safetyRatings": [], "logprobsResult": {"chosenCandidates": [{"token": "y"}]}}
    told = events([first, last])
    assert told[1:5] == [
        PartDelta(Image(data="AA==", media_type="image/png")),
        PartDelta(Item("google.generate", code)),
        TextDelta("x"),
        ExtraDelta({"partMetadata": {"a": 1}}),
    ]
    finish, used = told[5:]
    assert isinstance(finish, Finish)
    assert isinstance(used, UsageEvent)
    assert finish.extra["safetyRatings"] == [1]
    assert [one["token"] for one in finish.extra["logprobs"]["content"]] == ["x", "y"]
    assert used.extra == {"modelStatus": {"s": 1}, "service_tier": "flex"}


def test_sources_come_at_the_end() -> None:
    """Grounding of the last chunk is about the whole text."""
    last = chunk("ich", finish="STOP")
    last["candidates"][0]["groundingMetadata"] = {
        "groundingChunks": [{"web": {"uri": "https://a.example"}}],
        "groundingSupports": [{"segment": {"startIndex": 3, "endIndex": 7}, "groundingChunkIndices": [0]}],
    }
    told = events([chunk("Zür"), last])
    [cited] = [event.citation for event in told if isinstance(event, CitationDelta)]
    assert (cited.url, cited.start, cited.end) == ("https://a.example", 2, 6)


def test_an_error_in_mid_stream() -> None:
    """It ends the stream with its own words; nothing is made up behind it. It may stand there as plain JSON."""
    error = {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}
    expected = [START, TextDelta("a"), ErrorEvent("overloaded", "UNAVAILABLE", error["error"], 503)]
    assert events([chunk("a"), error]) == expected
    first = b"data: " + msgspec.json.encode(chunk("a")) + b"\r\n\r\n"
    plain = msgspec.json.format(msgspec.json.encode(error))
    assert stream(first + plain) == stream(first + plain + b"\n\n") == expected
    assert stream(plain) == expected[2:]
    assert stream(b"[" + plain + b"\n]") == expected[2:]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b": ping\n\n",
        b"data: " + msgspec.json.encode(chunk("a")) + b"\n\n",
        b"data: " + msgspec.json.encode(chunk("a", finish="STOP")) + b"\n\ndata: {",
        b"[" + msgspec.json.encode(chunk("a", finish="STOP")) + b',{"a',
        b'data: {"usageMetadata": {"promptTokenCount": 1}}\n\n',
    ],
)
def test_a_cut_stream(body: bytes) -> None:
    """A stream without its proper end raises, and no finish is made up."""
    with pytest.raises(ProviderFailed) as caught:
        stream(body)
    assert caught.value.error_code == "upstream_cut"


def test_a_broken_transport() -> None:
    """A stream whose transport was cut is not complete, whatever it said."""
    decoder = GOOGLE.stream_decoder()
    decoder.feed(b"data: " + msgspec.json.encode(chunk("a", finish="STOP")) + b"\n\n")
    with pytest.raises(ProviderFailed):
        decoder.end(is_broken=True)


@pytest.mark.parametrize("body", [b"data: <html>\n\n", b"data: []\n\n", b'data: {"candidates": 1}\n\n', b"}{"])
def test_what_is_no_stream(body: bytes) -> None:
    """Anything else is the provider's failure."""
    with pytest.raises(ProviderFailed):
        stream(body)


def test_one_endless_object() -> None:
    """An object that never ends is given up at the size of an event."""
    framer = GOOGLE.framer()
    framer.feed(b'[{"a": "' + b"x" * (MAX_EVENT_BYTES // 2))
    with pytest.raises(ProviderFailed, match="16 MiB"):
        framer.feed(b"x" * (MAX_EVENT_BYTES // 2))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text('ab{}[]"\\,: \u2028é', max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('k{"', max_size=2), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.dictionaries(st.text("xy", max_size=2), JSON, max_size=3), max_size=4), st.integers(1, 9), st.booleans()
)
def test_an_array_is_cut_into_its_objects(values: list[Json], size: int, is_spaced: bool) -> None:
    """However the bytes arrive, each object of an array is one frame."""
    body = msgspec.json.encode(values)
    body = msgspec.json.format(body) if is_spaced else body
    framer = GOOGLE.framer()
    frames = [frame for at in range(0, len(body), size) for frame in framer.feed(body[at : at + size])]
    assert [msgspec.json.decode(frame) for frame in [*frames, *framer.end()]] == values


@pytest.mark.parametrize("size", [1, 7, 64])
def test_the_framing_does_not_matter(size: int) -> None:
    """Events and an array say the same, at every size of the pieces."""
    chunks = [chunk("Grüße \u2028{"), chunk(call(name="f", args={"x": "}"})), chunk(finish="STOP", usageMetadata=USED)]
    expected = events(chunks)
    assert events(chunks, size=size) == expected
    assert stream(msgspec.json.format(msgspec.json.encode(chunks)), size=size) == expected


def test_a_stream_and_a_reply_mean_the_same() -> None:
    """What a stream adds up to is what the whole reply says."""
    parts = (
        {"text": "hm", "thought": True},
        "Hello",
        {**call(id="x1", name="f", args={"a": 1}), "thoughtSignature": "c2ln"},
    )
    whole = read(answer(*parts, usageMetadata=USED))
    told = collect(events([*(chunk(part) for part in parts), chunk(finish="STOP", usageMetadata=USED)]))
    assert (told.choices, told.usage, told.id, told.model) == (whole.choices, whole.usage, whole.id, whole.model)


# how a relayed stream ended


@pytest.mark.parametrize(
    ("chunks", "is_broken", "ending"),
    [
        ([chunk("a"), chunk(finish="STOP")], False, "complete"),
        ([chunk("a"), chunk(finish="STOP")], True, "cut"),
        ([chunk("a")], False, "cut"),
        ([], False, "cut"),
        ([{"promptFeedback": {"blockReason": "SAFETY"}}], False, "complete"),
        ([chunk(finish="STOP"), {"usageMetadata": USED}], False, "complete"),
        ([chunk("a"), {"error": {"code": 500}}], False, "error"),
        ([{"candidates": [{"index": 0, "finishReason": "STOP"}, {"index": 1}]}], False, "cut"),
    ],
)
def test_how_a_stream_ended(chunks: list[Json], is_broken: bool, ending: str) -> None:
    """Complete when every candidate has finished or the prompt was refused, and the transport was not cut."""
    body = b"".join(b"data: " + msgspec.json.encode(one) + b"\n\n" for one in chunks)
    assert GOOGLE.ending(events_of(body), is_broken=is_broken) == ending
