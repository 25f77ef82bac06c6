"""A provider's Responses stream: every listed event is understood, unknown ones are passed over, and a cut is told."""

from __future__ import annotations

from typing import Any

import pytest
from core.tests.responses_samples import (
    RESPONSES,
    collected,
    completed,
    created,
    events_in,
    function_call,
    message,
    parts_of,
    reply,
    sse,
)

from headgate.chat import (
    Citation,
    CitationDelta,
    ErrorEvent,
    ExtraDelta,
    Finish,
    Item,
    Opaque,
    Reasoning,
    ReasoningDelta,
    ReasoningEnd,
    Refusal,
    RefusalDelta,
    Start,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    UsageEvent,
)
from headgate.errors import ProviderFailed

Json = dict[str, Any]

START = Start("resp_1", "gpt-x", 1700000000)
ADDED = "response.output_item.added"
DONE = "response.output_item.done"


def item_events(at: int, item: Json, *between: Json, **begun: Any) -> list[Json]:
    """An item from its beginning to its end."""
    first = {**item, "status": "in_progress", **begun}
    middle = [{"output_index": at, "item_id": item["id"], **event} for event in between]
    return [
        {"type": ADDED, "output_index": at, "item": first},
        *middle,
        {"type": DONE, "output_index": at, "item": item},
    ]


def text_delta(text: str, index: int = 0) -> Json:
    return {"type": "response.output_text.delta", "content_index": index, "delta": text, "logprobs": []}


def arguments_delta(text: str) -> Json:
    return {"type": "response.function_call_arguments.delta", "delta": text}


def test_text_and_a_call() -> None:
    """Deltas as they come, one start, one finish, and usage last; padding, keep-alive and the rest say nothing."""
    words = message("Hi!")
    stream = sse(
        created(),
        {"type": "response.in_progress", "response": {}},
        {"type": "keepalive"},
        *item_events(
            0,
            words,
            {"type": "response.content_part.added", "content_index": 0, "part": {"type": "output_text", "text": ""}},
            {**text_delta("Hi"), "obfuscation": "xx"},
            text_delta("!"),
            {"type": "response.output_text.done", "content_index": 0, "text": "Hi!", "logprobs": []},
            {"type": "response.content_part.done", "content_index": 0, "part": words["content"][0]},
            content=[],
        ),
        *item_events(
            1,
            function_call('{"a":1}'),
            arguments_delta('{"a"'),
            arguments_delta(":1}"),
            {"type": "response.function_call_arguments.done", "arguments": '{"a":1}'},
            arguments="",
        ),
        {"type": "response.telepathy.delta", "delta": "x"},
        completed(words, function_call('{"a":1}'), service_tier="default"),
    )
    *events, usage = events_in(b": hello\n\n" + stream + b"data: [DONE]\n\n")
    assert events == [
        START,
        TextDelta("Hi"),
        TextDelta("!"),
        ToolCallStart(0, "call_1", "weather", item_id="fc_1"),
        ToolCallDelta(0, '{"a"'),
        ToolCallDelta(0, ":1}"),
        Finish("tool_calls", raw="completed"),
    ]
    assert isinstance(usage, UsageEvent)
    assert (usage.usage.prompt, usage.usage.completion, usage.extra) == (9, 6, {"service_tier": "default"})


def test_thinking() -> None:
    """Summaries stream part by part as paragraphs; what travels along comes with the end of the item."""
    item = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}],
        "encrypted_content": "E",
    }
    kind = "response.reasoning_summary_text.delta"
    between: list[Json] = [
        {"type": "response.reasoning_summary_part.added", "summary_index": 0, "part": {}},
        {"type": kind, "summary_index": 0, "delta": "a"},
        {"type": "response.reasoning_summary_part.added", "summary_index": 1, "part": {}},
        {"type": kind, "summary_index": 1, "delta": "b"},
    ]
    stream = sse(created(), *item_events(0, item, *between, summary=[]), completed(item))
    assert events_in(stream)[1:4] == [
        ReasoningDelta("a", is_summary=True),
        ReasoningDelta("\n\nb", is_summary=True),
        ReasoningEnd(Opaque("openai", "E"), item_id="rs_1"),
    ]
    assert parts_of(collected(stream)) == parts_of(RESPONSES.decode_reply(reply(item)))


def test_full_thinking_behind_its_summary() -> None:
    """The text that open models give beside a summary is a block of its own, in streams as in whole answers."""
    item = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "s"}],
        "content": [{"type": "reasoning_text", "text": "long"}],
    }
    between = [
        {"type": "response.reasoning_summary_text.delta", "summary_index": 0, "delta": "s"},
        {"type": "response.reasoning_text.delta", "content_index": 0, "delta": "lo"},
        {"type": "response.reasoning_text.delta", "content_index": 0, "delta": "ng"},
    ]
    stream = sse(created(), *item_events(0, item, *between, summary=[], content=[]), completed(item))
    expected = (Reasoning("s", is_summary=True, item_id="rs_1"), Reasoning("long", item_id="rs_1"))
    assert parts_of(collected(stream)) == expected == parts_of(RESPONSES.decode_reply(reply(item)))


def test_secret_thinking() -> None:
    """Thinking without a text is redacted; an item that says nothing at all is left out."""
    secret: Json = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "E"}
    empty: Json = {"type": "reasoning", "id": "rs_2", "summary": []}
    stream = sse(created(), *item_events(0, secret), *item_events(1, empty), completed(secret, empty))
    expected = (Reasoning("", Opaque("openai", "E"), is_redacted=True, item_id="rs_1"),)
    assert parts_of(collected(stream)) == expected == parts_of(RESPONSES.decode_reply(reply(secret, empty)))


def test_sources_come_when_their_text_is_whole() -> None:
    """A source told amid a text does not cut it; the places of a second part count from the start of what precedes it."""
    note = {"type": "url_citation", "url": "https://x", "title": "X", "start_index": 0, "end_index": 2}
    first: Json = {"type": "output_text", "text": "ab", "annotations": []}
    second = {"type": "output_text", "text": "cd", "annotations": [note]}
    item = message("", content=[first, second])
    between: list[Json] = [
        text_delta("ab"),
        {"type": "response.content_part.done", "content_index": 0, "part": first},
        text_delta("c", 1),
        {"type": "response.output_text.annotation.added", "content_index": 1, "annotation": note},
        text_delta("d", 1),
        {"type": "response.content_part.done", "content_index": 1, "part": second},
    ]
    stream = sse(created(), *item_events(0, item, *between, content=[]), completed(item))
    citation = Citation("https://x", "X", None, 2, 4, note)
    assert events_in(stream)[1:5] == [TextDelta("ab"), TextDelta("c"), TextDelta("d"), CitationDelta(citation)]
    assert parts_of(collected(stream)) == (Text("abcd", citations=(citation,)),)


def test_refusals_custom_tools_and_built_in_ones() -> None:
    """Each has its own events; what the vendor's tools did comes as one item when it is done."""
    refusal = message("", content=[{"type": "refusal", "refusal": "no"}], phase="final_answer")
    custom = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "c1", "name": "sql", "input": "SELECT"}
    search: Json = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {}}
    stream = sse(
        created(),
        *item_events(0, search, {"type": "response.web_search_call.searching"}),
        *item_events(1, refusal, {"type": "response.refusal.delta", "content_index": 0, "delta": "no"}, content=[]),
        *item_events(2, custom, {"type": "response.custom_tool_call_input.delta", "delta": "SEL"}, input=""),
        completed(search, refusal, custom),
    )
    assert ExtraDelta({"phase": "final_answer"}) in events_in(stream)
    assert RefusalDelta("no") in events_in(stream)
    held = collected(stream)
    assert parts_of(held) == (
        Item("openai.responses", search),
        Refusal("no"),
        ToolCall("c1", "sql", "SELECT", custom=True, item_id="ctc_1"),
    )
    assert held.choices[0].finish == "tool_calls"


@pytest.mark.parametrize("is_added", [True, False])
def test_what_was_not_streamed_is_said_at_the_end(*, is_added: bool) -> None:
    """Vendors that give whole items, or nothing before the last event, lose nothing, and nothing is said twice."""
    items: list[Json] = [
        message("Hi"),
        function_call(),
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "E"},
    ]
    between = [event for at, item in enumerate(items) for event in item_events(at, item)] if is_added else []
    stream = sse(created(), *between, completed(*items))
    assert parts_of(collected(stream)) == parts_of(RESPONSES.decode_reply(reply(*items)))


def test_ids_may_change_on_the_way() -> None:
    """GitHub's gateway gives items another id in every event: their place tells them apart."""
    words, call = message("Hi", id="msg_9"), function_call(id="fc_9")
    stream = sse(
        created(),
        *item_events(0, message("Hi"), text_delta("Hi"), content=[])[:-1],
        {"type": DONE, "output_index": 0, "item": words},
        *item_events(1, function_call(), arguments="")[:-1],
        {"type": DONE, "output_index": 1, "item": call},
        completed(message("Hi", id="msg_8"), function_call(id="fc_8")),
    )
    assert parts_of(collected(stream)) == (Text("Hi"), ToolCall("call_1", "weather", call["arguments"], item_id="fc_1"))


def test_logprobs_come_with_the_finish() -> None:
    """Log probabilities of the whole text, in the form of a chat completion."""
    logprobs: list[Json] = [{"token": "a", "logprob": -0.1, "top_logprobs": []}]
    done: Json = {"type": "response.output_text.done", "content_index": 0, "text": "a", "logprobs": logprobs}
    stream = sse(created(), *item_events(0, message("a"), text_delta("a"), done, content=[]), completed(message("a")))
    finish = next(event for event in events_in(stream) if isinstance(event, Finish))
    assert finish.extra == {"logprobs": {"content": logprobs, "refusal": None}}


def test_incomplete() -> None:
    """A stream that ends at a limit is complete as a stream, and says why the answer is not."""
    cut = completed(message("Hi"), status="incomplete", incomplete_details={"reason": "max_output_tokens"})
    (finish,) = [event for event in events_in(sse(created(), cut)) if isinstance(event, Finish)]
    assert (finish.reason, finish.raw) == ("length", "max_output_tokens")


def test_usage_may_be_missing() -> None:
    """Without usage none is made up, and what else the last event says comes with the finish."""
    events = events_in(sse(created(), completed(usage=None, cost=1)))
    assert events == [START, Finish("stop", raw="completed", extra={"cost": 1})]


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (
            {"type": "error", "error": {"type": "tokens", "code": "rate_limit_exceeded", "message": "slow"}},
            ("slow", "rate_limit_exceeded", 429),
        ),
        ({"type": "error", "code": "server_error", "message": "broke", "param": None}, ("broke", "server_error", 500)),
        (
            {"type": "response.failed", "response": {"error": {"code": "insufficient_quota", "message": "paid?"}}},
            ("paid?", "insufficient_quota", 429),
        ),
        (
            {"type": "error", "error": {"type": "server_error", "code": None, "message": "?"}},
            ("?", "server_error", 500),
        ),
        ({"type": "response.failed", "response": {"error": None}}, ("", None, 0)),
        (
            {"type": "response.failed", "error": {"type": "server_error", "message": "died"}},
            ("died", "server_error", 500),
        ),
        ({"type": "error", "error": "plain words"}, ("plain words", None, 0)),
    ],
)
def test_errors_within_a_stream(event: Json, expected: tuple[str, str | None, int]) -> None:
    """The vendor's error in each of its forms, said once; nothing follows it, no finish above all."""
    failed = {"type": "response.failed", "response": {"error": {"message": "again"}}}
    events = events_in(sse(created(), event, failed, completed()))
    error = events[1]
    assert isinstance(error, ErrorEvent)
    assert (error.message, error.code, error.status) == expected
    assert events == [START, error]


@pytest.mark.parametrize(
    "stream",
    [b"", sse(created()), sse(created(), *item_events(0, message("Hi"), text_delta("Hi"))), b"data: [DONE]\n\n"],
)
def test_cut_stream(stream: bytes) -> None:
    """A stream that ends without its last event was cut, and no end is made up for it."""
    decoder = RESPONSES.stream_decoder()
    for frame in RESPONSES.framer().feed(stream):
        decoder.feed(frame)
    with pytest.raises(ProviderFailed) as caught:
        decoder.end()
    assert caught.value.error_code == "upstream_cut"


@pytest.mark.parametrize(
    "data", [b"{", b"[]", b"\xff", b'{"type": "response.output_item.done", "item": {"type": "message", "content": 3}}']
)
def test_what_is_no_event(data: bytes) -> None:
    """What cannot be read is the provider's failure."""
    with pytest.raises(ProviderFailed):
        RESPONSES.stream_decoder().feed(b"data: " + data + b"\n\n")


def test_messages_without_a_type_and_those_of_the_user() -> None:
    """Fireworks' messages have no `type`, and the first is the user's own: the answer is what the model said."""
    asked = {"role": "user", "content": [{"type": "input_text", "text": "hi"}]}
    said: Json = {
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "yes"}],
    }
    whole = RESPONSES.decode_reply(reply(asked, said)).choices[0]
    assert (whole.message.parts, whole.finish) == ((Text("yes"),), "stop")
    done = (
        {"type": "response.output_item.done", "output_index": at, "item": item} for at, item in enumerate((asked, said))
    )
    streamed = collected(sse(created(), *done, completed(asked, said))).choices[0]
    assert (streamed.message.parts, streamed.finish) == ((Text("yes"),), "stop")
