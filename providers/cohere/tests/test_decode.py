"""Answers of Cohere, whole and streamed, mean the same."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from providers.cohere.tests.cohere_wire import (
    ARGUMENTS,
    DIALECT,
    USAGE,
    Json,
    call,
    content,
    decoded,
    event,
    finished,
    start,
    texts,
    whole,
)

from headgate.chat import (
    CitationDelta,
    ErrorEvent,
    Finish,
    Reasoning,
    Start,
    Text,
    TextDelta,
    ToolCall,
    Usage,
    UsageEvent,
    collect,
)
from headgate.errors import ProviderFailed

CITED: Json = {
    "start": 3,
    "end": 8,
    "text": "sunny",
    "sources": [
        {
            "type": "document",
            "id": "doc:0",
            "document": {"url": "https://x.example/w", "title": "W", "text": "It is sunny."},
        },
        {"type": "tool", "id": "c1:0", "tool_output": {"content": "sunny"}},
    ],
    "type": "TEXT_CONTENT",
}


def test_text_and_usage() -> None:
    """Tokens are those that were read and written, not those that are billed; the vendor's object is kept."""
    reply = whole({"content": [{"type": "text", "text": "hi"}]}, usage=USAGE)
    assert (reply.id, reply.dialect, texts(reply.choices[0].message.parts)) == ("r-1", "cohere.chat", ["hi"])
    assert reply.usage == Usage(9, 3, cached=4, raw=USAGE)


@pytest.mark.parametrize(
    ("usage", "wanted"),
    [
        ({}, None),
        (None, None),
        ({"billed_units": {"input_tokens": 5, "output_tokens": 1}}, (5, 1, 0)),
        ({"tokens": {"input_tokens": 5.0, "output_tokens": None}, "cached_tokens": 99}, (5, 0, 5)),
        ({"tokens": {"input_tokens": -1, "output_tokens": True}}, (0, 0, 0)),
    ],
)
def test_usage_of_any_shape(usage: Any, wanted: tuple[int, int, int] | None) -> None:
    """Null counts as nothing, nothing is below 0, and what was cached is part of the prompt."""
    held = whole({"content": []}, usage=usage).usage
    assert (None if held is None else (held.prompt, held.completion, held.cached)) == wanted


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("COMPLETE", "stop"),
        ("STOP_SEQUENCE", "stop"),
        ("MAX_TOKENS", "length"),
        ("TOOL_CALL", "tool_calls"),
        ("ERROR", "error"),
        ("TIMEOUT", "error"),
        ("SOMETHING_NEW", "stop"),
    ],
)
def test_finish(word: str, reason: str) -> None:
    """The vendor's word is kept, whole or streamed."""
    choice = whole({"content": "x"}, word).choices[0]
    assert (choice.finish, choice.finish_raw) == (reason, word)
    streamed = collect(decoded(start() + content("text", "x") + finished(word))).choices[0]
    assert (streamed.finish, streamed.finish_raw) == (reason, word)


def test_calls_beside_a_plan() -> None:
    """The plan is text before the calls; arguments keep every byte, and `null` means there are none."""
    calls = [
        {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": ARGUMENTS}},
        {"id": "c2", "type": "function", "function": {"name": "now", "arguments": "null"}},
        {"type": "function", "function": {"name": "now", "arguments": ""}},
    ]
    reply = whole({"tool_plan": "I look.", "tool_calls": calls}, "COMPLETE")
    wanted = (
        Text("I look."),
        ToolCall("c1", "weather", ARGUMENTS),
        ToolCall("c2", "now", "", 1),
        ToolCall("call_r1_0_2", "now", "", 2),
    )
    assert reply.choices[0].message.parts == wanted
    assert (reply.choices[0].finish, reply.choices[0].finish_raw) == ("tool_calls", "COMPLETE")
    plans = [event("tool-plan-delta", delta={"message": {"tool_plan": piece}}) for piece in ("I", " look.")]
    unnamed = event(
        "tool-call-start", index=2, delta={"message": {"tool_calls": [{"function": {"name": "now", "arguments": ""}}]}}
    )
    stream = [
        start(),
        *plans,
        call("weather", "c1", ARGUMENTS[:7], ARGUMENTS[7:]),
        call("now", "c2", "nu", "ll", index=1),
    ]
    streamed = collect(decoded(b"".join((*stream, unnamed, finished("COMPLETE")))))
    assert streamed.choices[0].message.parts == wanted
    assert streamed.choices[0].finish == "tool_calls"


def test_thinking() -> None:
    """Thinking is reasoning, apart from the text."""
    blocks = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "4"}]
    stream = start() + content("thinking", "h", "m") + content("text", "4", index=1) + finished()
    for reply in (whole({"content": blocks}), collect(decoded(stream))):
        assert reply.choices[0].message.parts == (Reasoning("hm"), Text("4"))


def test_citations() -> None:
    """A source names its first document, its place in the text, and everything as it came."""
    part = whole({"content": [{"type": "text", "text": "Is sunny."}], "citations": [CITED]}).choices[0].message.parts[0]
    assert isinstance(part, Text)
    (citation,) = part.citations
    assert (citation.url, citation.title, citation.quote) == ("https://x.example/w", "W", "It is sunny.")
    assert (citation.start, citation.end, citation.raw) == (3, 8, CITED)


def test_citations_of_each_block() -> None:
    """Sources go to the block they name; those of thinking stay beside the message."""
    second, thought, plan = CITED | {"content_index": 2}, CITED | {"type": "THINKING_CONTENT"}, CITED | {"type": "PLAN"}
    blocks = [
        {"type": "text", "text": "a"},
        {"type": "thinking", "thinking": "b"},
        {"type": "text", "text": "Is sunny."},
    ]
    message = (
        whole({"content": blocks, "tool_plan": "A  sunny plan", "citations": [second, thought, plan], "tool_calls": []})
        .choices[0]
        .message
    )
    cited = [len(part.citations) for part in message.parts if isinstance(part, Text)]
    assert (cited, message.extra) == ([1, 0, 1], {"citations": [thought]})
    assert message.text == "A  sunny planaIs sunny."


def test_citations_in_a_stream() -> None:
    """They are told when the text they stand in is over, with places that count from where it began."""
    cited = event("citation-start", index=0, delta={"message": {"citations": CITED}}) + event("citation-end", index=0)
    begin, *rest = content("text", "Is ", "sunny", ".").split(b"event: content-end")
    plan = event("tool-plan-delta", delta={"message": {"tool_plan": "Well. "}})
    body = start() + begin + cited + b"event: content-end" + b"".join(rest) + finished()
    events = decoded(body)
    assert [type(one).__name__ for one in events][-3:] == ["CitationDelta", "Finish", "UsageEvent"]
    late = start() + plan + content("text", "Is sunny.") + cited + finished()
    moved = [one for one in decoded(late) if isinstance(one, CitationDelta)]
    assert [(one.citation.start, one.citation.end) for one in moved] == [(9, 14)]
    part = collect(events).choices[0].message.parts[0]
    assert isinstance(part, Text)
    assert (part.citations[0].start, part.citations[0].raw) == (3, CITED)
    lonely = collect(decoded(start() + cited + finished("MAX_TOKENS")))
    assert lonely.choices[0].message.extra == {"citations": [CITED]}


def test_logprobs() -> None:
    """Single tokens take OpenAI's form; anything else stays as it is."""
    item = {"text": "hi", "token_ids": [5], "logprobs": [-0.5]}
    wanted = {"content": [{"token": "hi", "logprob": -0.5, "bytes": [104, 105], "top_logprobs": [], "token_ids": [5]}]}
    assert whole({"content": "hi"}, logprobs=[item]).choices[0].logprobs == wanted
    odd = [{"token_ids": [5, 6], "logprobs": [-0.5, -0.1]}]
    assert whole({"content": "hi"}, logprobs=odd).choices[0].logprobs == odd
    delta = event("content-delta", index=0, delta={"message": {"content": {"text": "hi"}}}, logprobs=item)
    finish = next(one for one in decoded(start() + delta + finished()) if isinstance(one, Finish))
    assert finish.extra == {"logprobs": wanted}


def test_unknown_members_are_kept() -> None:
    """At their own depth; blocks of unknown types are items of the dialect."""
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}", "new": 1}, "more": 2}]
    reply = whole({"content": [{"type": "video", "id": 3}], "tool_calls": calls, "mood": "good"}, region="eu")
    item, made = reply.choices[0].message.parts
    assert (item.raw, item.dialect) == ({"type": "video", "id": 3}, "cohere.chat")  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    assert isinstance(made, ToolCall)
    assert made.extra == {"function": {"new": 1}, "more": 2}
    assert (reply.choices[0].message.extra, reply.extra) == ({"mood": "good"}, {"region": "eu"})


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"message": []}', b'{"message": {"content": 5}}', b'{"text":"v1"}']
)
def test_what_is_no_answer(body: bytes) -> None:
    """It is the provider's failure, whatever it is; version 1 is not spoken."""
    with pytest.raises(ProviderFailed) as caught:
        DIALECT.decode_reply(body)
    assert caught.value.error_code == "upstream_bad_reply"


STREAM = b"".join(
    (
        start(),
        event("tool-plan-delta", delta={"message": {"tool_plan": "Ü "}}),
        content("thinking", "h"),
        content("text", "grü", "ße", index=1),
        call("weather", "c1", "{", "}"),
        call("time", "c2", "{}", index=1),
        finished("TOOL_CALL"),
    )
)


@given(st.integers(1, 90))
def test_how_it_is_split_does_not_matter(size: int) -> None:
    """Any pieces give the same events, with one start and one finish."""
    events = decoded(STREAM, size)
    assert events == decoded(STREAM)
    assert [sum(isinstance(one, kind) for one in events) for kind in (Start, Finish, UsageEvent)] == [1, 1, 1]


def test_noise_gives_nothing() -> None:
    """Comments, pings, debug events and unknown ones are passed over; so is what follows the end."""
    noise = b": ping\n\n" + event("debug", prompt="x") + event("new-kind", index=3) + b"data: \n\n"
    events = decoded(start() + noise + content("text", "hi") + finished() + event("content-delta", index=0))
    assert events[:2] == [Start("r-1", ""), TextDelta("hi")]
    assert len(events) == 4


def test_a_stream_without_its_start() -> None:
    """Start is said all the same."""
    assert decoded(content("text", "hi") + finished())[0] == Start("", "")


def test_a_cut_stream() -> None:
    """Without `message-end` nothing is complete, `[DONE]` or not."""
    for rest in (b"", b"data: [DONE]\n\n"):
        with pytest.raises(ProviderFailed) as caught:
            decoded(start() + content("text", "hi") + rest)
        assert caught.value.error_code == "upstream_cut"


def test_errors_in_a_stream() -> None:
    """They end it, with the vendor's words and no finish."""
    events = decoded(start() + content("text", "hi") + finished("ERROR", error="out of cheese"))
    assert events[-1] == ErrorEvent("out of cheese", "ERROR", {"message": "out of cheese", "type": "ERROR"})
    plain = decoded(start() + b'data: {"message": "too many requests", "id": "x"}\n\n')
    assert plain[-1] == ErrorEvent("too many requests", raw={"message": "too many requests", "id": "x"})
    assert not any(isinstance(one, Finish) for one in (*events, *plain))


@pytest.mark.parametrize("body", [b"data: nonsense\n\n", b"data: []\n\n"])
def test_what_is_no_event(body: bytes) -> None:
    """It is the provider's failure."""
    with pytest.raises(ProviderFailed):
        decoded(start() + body)


def test_a_delta_of_a_call_that_has_not_begun() -> None:
    """It is the provider's failure too: arguments of no function are worth nothing."""
    with pytest.raises(ProviderFailed, match="call 4"):
        decoded(start() + call("f", "c", "{}").split(b"\n\n", 1)[1].replace(b'"index":0', b'"index":4'))


@pytest.mark.parametrize(
    ("status", "body", "wanted"),
    [
        (400, {"id": "x", "message": "invalid request: no"}, (400, "invalid request: no", "")),
        (498, {"message": "invalid token"}, (401, "invalid token", "")),
        (499, {"message": "request cancelled"}, (502, "request cancelled", "")),
        (422, {"message": "No valid response", "error_type": "NO_RESPONSE"}, (422, "No valid response", "NO_RESPONSE")),
        (429, {"message": "You are using a Trial key"}, (429, "You are using a Trial key", "")),
        (502, "<html>bad gateway</html>", (502, "", "")),
    ],
)
def test_errors(status: int, body: Any, wanted: tuple[int, str, str]) -> None:
    """The vendor's message, with a status that clients know."""
    raw = body.encode() if isinstance(body, str) else msgspec.json.encode(body)
    words = DIALECT.decode_error(status, raw)
    assert (words.status, words.message, words.type) == wanted
