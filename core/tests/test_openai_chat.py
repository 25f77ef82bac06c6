"""The OpenAI chat dialect: what comes in goes out again, every text is found, and odd shapes are refused, not crashed on."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headgate.body import replace_paths
from headgate.chat import (
    ChatReply,
    ChatRequest,
    Choice,
    ErrorEvent,
    ExtraDelta,
    File,
    Finish,
    Image,
    Message,
    Opaque,
    Reasoning,
    ReasoningDelta,
    Refusal,
    RefusalDelta,
    Start,
    StreamEvent,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    ToolResult,
    Usage,
    UsageEvent,
)
from headgate.dialects import OpenAIChat
from headgate.dialects.sse import DONE, Splitter, data_event, data_of, events_of
from headgate.errors import Blocked, InvalidRequest, ProviderFailed, UnsupportedField

Json = dict[str, Any]

CHAT = OpenAIChat()
CORPUS = Path(os.environ.get("HEADGATE_CORPUS") or Path(__file__).parents[2].parent / "shared" / "corpus")
brief = settings(max_examples=60, deadline=None)


def encoded(data: Any) -> bytes:
    return msgspec.json.encode(data)


def request(**members: Any) -> Json:
    return {"model": "m", "messages": [{"role": "user", "content": "hi"}], **members}


def plain(value: Any) -> Any:
    """A canonical value without the provider's own words, which encoding rightly leaves out."""
    if isinstance(value, dict):
        held = cast("dict[str, Any]", value)
        return {name: plain(item) for name, item in held.items() if name not in {"raw", "finish_raw"}}
    return [plain(item) for item in cast("list[Any]", value)] if isinstance(value, list | tuple) else value


def canonical(value: Any) -> Any:
    return plain(msgspec.to_builtins(value))


# JSON of the dialect

Values = st.SearchStrategy[Any]

WORDS = st.text(max_size=6)
JSONS: Values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=5,
)
OBJECTS: Values = st.dictionaries(WORDS, JSONS, max_size=3)
IDS = st.text("abc_1", min_size=1, max_size=4)
OWN_NAMES = st.sampled_from(["x_vendor", "annotations", "audio", "store", "service_tier", "prediction"])
EXTRAS: Values = st.dictionaries(OWN_NAMES, JSONS, max_size=2)
MARK = {"cache_control": {"type": "ephemeral"}}
TEXT_PARTS: Values = st.fixed_dictionaries(
    {"type": st.just("text"), "text": WORDS}, optional={name: st.just(mark) for name, mark in MARK.items()}
)
IMAGES: Values = st.fixed_dictionaries({"url": WORDS}, optional={"detail": st.just("low")})
SOUNDS: Values = st.fixed_dictionaries({"data": WORDS, "format": st.just("wav")})
FILES: Values = st.fixed_dictionaries({}, optional={"file_id": WORDS, "filename": WORDS, "file_data": WORDS})
PARTS: Values = (
    TEXT_PARTS
    | st.fixed_dictionaries({"type": st.just("image_url"), "image_url": IMAGES})
    | st.fixed_dictionaries({"type": st.just("input_audio"), "input_audio": SOUNDS})
    | st.fixed_dictionaries({"type": st.just("file"), "file": FILES})
)
FUNCTIONS: Values = st.fixed_dictionaries({"name": IDS, "arguments": st.just("{}") | WORDS})
CALLS: Values = st.fixed_dictionaries(
    {"id": IDS, "type": st.just("function"), "function": FUNCTIONS}
) | st.fixed_dictionaries(
    {"id": IDS, "type": st.just("custom"), "custom": st.fixed_dictionaries({"name": IDS, "input": WORDS})}
)


@st.composite
def messages(draw: st.DrawFn, roles: Sequence[str] = ("system", "developer", "user", "assistant", "tool")) -> Json:
    """A message as a client or a vendor writes it."""
    role = draw(st.sampled_from(roles))
    message: Json = {"role": role, **draw(EXTRAS)}
    message["content"] = draw(WORDS | st.lists(PARTS if role == "user" else TEXT_PARTS, min_size=1, max_size=3))
    if role == "tool":
        message["tool_call_id"] = draw(IDS)
    elif draw(st.booleans()):
        message["name"] = draw(IDS)
    if role == "assistant":
        name, text = draw(st.sampled_from([("", ""), ("reasoning_content", "hm"), ("refusal", "no")]))
        calls = draw(st.lists(CALLS, max_size=2))
        if calls:
            message["tool_calls"] = calls
        if calls or name == "refusal":
            message["content"] = draw(st.none() | WORDS)
        if name:
            message[name] = text
    return message


TOOL: Values = st.fixed_dictionaries(
    {"name": IDS}, optional={"description": WORDS, "parameters": OBJECTS, "strict": st.booleans()}
)
CUSTOM: Values = st.fixed_dictionaries({"name": IDS, "format": OBJECTS})
TOOLS: Values = st.fixed_dictionaries({"type": st.just("function"), "function": TOOL}) | st.fixed_dictionaries(
    {"type": st.just("custom"), "custom": CUSTOM}
)
SCHEMAS: Values = st.fixed_dictionaries(
    {"name": IDS}, optional={"description": WORDS, "schema": OBJECTS, "strict": st.booleans()}
)
FORMATS: Values = st.fixed_dictionaries({"type": st.sampled_from(["text", "json_object"])}) | st.fixed_dictionaries(
    {"type": st.just("json_schema"), "json_schema": SCHEMAS}
)
NAME: Values = st.fixed_dictionaries({"name": IDS})
NAMED: Values = st.fixed_dictionaries({"type": st.just("function"), "function": NAME}) | st.fixed_dictionaries(
    {"type": st.just("allowed_tools"), "allowed_tools": OBJECTS}
)
MEMBERS: dict[str, Values] = {
    "temperature": st.floats(0, 2),
    "top_p": st.floats(0, 1),
    "top_k": st.integers(0, 100),
    "seed": st.integers(),
    "presence_penalty": st.floats(-2, 2),
    "frequency_penalty": st.floats(-2, 2),
    "logit_bias": st.dictionaries(st.text("123", min_size=1), st.integers(-100, 100), max_size=2),
    "logprobs": st.booleans(),
    "top_logprobs": st.integers(0, 20),
    "n": st.integers(1, 4),
    "max_tokens": st.integers(1, 100),
    "stop": WORDS | st.lists(WORDS, min_size=1, max_size=3),
    "tools": st.lists(TOOLS, min_size=1, max_size=2),
    "tool_choice": st.sampled_from(["auto", "none", "required"]) | NAMED,
    "parallel_tool_calls": st.booleans(),
    "response_format": FORMATS,
    "reasoning_effort": st.sampled_from(["low", "none"]),
    "stream": st.booleans(),
    "stream_options": st.fixed_dictionaries({"include_usage": st.booleans()}),
    "user": WORDS,
    "metadata": st.dictionaries(WORDS, WORDS, max_size=2),
}


@st.composite
def requests(draw: st.DrawFn) -> Json:
    """A whole request."""
    held = draw(st.lists(messages(), min_size=1, max_size=4))
    return {"model": "m", "messages": held, **draw(st.fixed_dictionaries({}, optional=MEMBERS)), **draw(EXTRAS)}


USAGES: Values = st.fixed_dictionaries(
    {"prompt_tokens": st.integers(0, 10**6), "completion_tokens": st.integers(0, 10**6)},
    optional={
        "prompt_tokens_details": st.fixed_dictionaries({}, optional={"cached_tokens": st.integers(0, 99)}) | st.none(),
        "completion_tokens_details": st.fixed_dictionaries({}, optional={"reasoning_tokens": st.integers(0, 99)}),
        "cost": st.floats(0, 1),
    },
)


@st.composite
def replies(draw: st.DrawFn) -> Json:
    """A whole answer."""
    reasons = st.sampled_from(["stop", "length", "tool_calls", "content_filter", None])
    choices = [
        {"index": at, "message": message, "finish_reason": draw(reasons), "logprobs": None}
        for at, message in enumerate(draw(st.lists(messages(("assistant",)), min_size=1, max_size=3)))
    ]
    reply: Json = {"id": "x", "object": "chat.completion", "created": 5, "model": "m", "choices": choices}
    usage = draw(st.none() | USAGES)
    return {**reply, **({} if usage is None else {"usage": usage}), **draw(EXTRAS)}


def until_finished(held: Sequence[StreamEvent]) -> list[StreamEvent]:
    """What is left when nothing follows the finish of its choice."""
    finished: set[int] = set()
    kept: list[StreamEvent] = []
    for event in held:
        index = cast("Any", event).index
        if index not in finished:
            kept.append(event)
        if isinstance(event, Finish):
            finished.add(index)
    return kept


EVENTS = st.lists(
    st.builds(TextDelta, WORDS.filter(bool), st.integers(0, 2))
    | st.builds(ReasoningDelta, WORDS.filter(bool), st.integers(0, 2))
    | st.builds(RefusalDelta, WORDS.filter(bool), st.integers(0, 2))
    | st.builds(ToolCallDelta, st.integers(0, 2), WORDS.filter(bool), st.integers(0, 2))
    | st.builds(ExtraDelta, st.just({"audio": {"transcript": "a"}}), st.integers(0, 2))
    | st.builds(Finish, st.sampled_from(["stop", "length", "tool_calls", "content_filter"]), st.integers(0, 2)),
    max_size=8,
).map(until_finished)

# round trips


@settings(deadline=None)
@given(requests())
def test_a_request_keeps_its_meaning(data: Json) -> None:
    """Decoded, encoded and decoded again, a request means what it meant."""
    first = CHAT.decode_request(encoded(data))
    assert CHAT.decode_request(CHAT.encode_request(first)) == first


@brief
@given(requests())
def test_a_request_keeps_its_members(data: Json) -> None:
    """Encoded again, a request holds every member it had, with an equal value; forms that mean the same are one."""
    result = json.loads(CHAT.encode_request(CHAT.decode_request(encoded(data))))
    expected = json.loads(encoded(data))
    limit = expected.pop("max_tokens", None)
    if limit is not None:
        expected["max_completion_tokens"] = limit
    if isinstance(expected.get("stop"), str):
        expected["stop"] = [expected["stop"]]
    if expected.get("stream") is False:
        del expected["stream"]
    if expected.get("stream_options") == {"include_usage": False}:
        del expected["stream_options"]
    for message in expected["messages"]:
        match message["content"]:
            case [{"type": "text", "text": text, **rest}] if not rest:
                message["content"] = text
            case _:
                pass
    assert result == expected


@settings(deadline=None)
@given(replies())
@example({"choices": [{"index": 0, "message": {"role": "assistant", "content": None, "refusal": "no"}}]})
@example({"choices": [{"index": 0, "message": {"role": "assistant", "content": None}, "finish_reason": "length"}]})
def test_a_reply_keeps_its_meaning(data: Json) -> None:
    """Decoded, encoded and decoded again, a reply means what it meant."""
    first = CHAT.decode_reply(encoded(data))
    assert canonical(CHAT.decode_reply(CHAT.encode_reply(first))) == canonical(first)


@settings(deadline=None)
@given(EVENTS)
def test_a_stream_keeps_its_meaning(held: list[StreamEvent]) -> None:
    """Encoded and decoded again, the events of a stream are the same, in the same order."""
    calls = sorted({(event.index, event.call) for event in held if isinstance(event, ToolCallDelta)})
    started: list[StreamEvent] = [
        Start("x", "m", 5),
        *(ToolCallStart(call, f"call_{call}", "f", index) for index, call in calls),
        *held,
        UsageEvent(Usage(3, 4, cached=1, reasoning=2)),
    ]
    assert canonical(replayed(started)) == canonical(started)


def replayed(held: Sequence[StreamEvent], *, include_usage: bool = True) -> list[StreamEvent]:
    encoder = CHAT.stream_encoder(ChatRequest("m", (), include_usage=include_usage))
    decoder = CHAT.stream_decoder()
    stream = b"".join(encoder.feed(event) for event in held) + encoder.end()
    return [event for raw in events_of(stream) for event in decoder.feed(raw)]


# recorded exchanges


def recorded() -> Iterator[Json]:
    for provider in ("openai", "groq", "mistral", "deepseek"):
        with gzip.open(CORPUS / f"{provider}.jsonl.gz") as lines:
            for line in lines:
                exchange: Json = json.loads(line)
                if exchange["operation"] == "chat" and exchange["status"] == 200:
                    yield exchange


@pytest.fixture(scope="module")
def exchanges() -> list[Json]:
    if not CORPUS.is_dir():
        pytest.skip("no recorded exchanges: set HEADGATE_CORPUS to their folder")
    return list(recorded())


def test_recorded_requests_keep_their_meaning(exchanges: list[Json]) -> None:
    """Every request a vendor has accepted is understood, and means the same when encoded again."""
    wrong: list[str] = []
    for exchange in exchanges:
        if exchange["req_json"] is None:
            continue
        try:
            first = CHAT.decode_request(encoded(exchange["req_json"]))
        except InvalidRequest as error:
            wrong.append(f"{exchange['provider']} {exchange['id']}: {error}")
            continue
        if CHAT.decode_request(CHAT.encode_request(first)) != first:
            wrong.append(f"{exchange['provider']} {exchange['id']}: changed")
    assert wrong == []


def test_recorded_replies_keep_their_meaning(exchanges: list[Json]) -> None:
    """Every whole answer a vendor has given is understood, and means the same when encoded again."""
    wrong: list[str] = []
    for exchange in exchanges:
        if exchange["stream"]:
            continue
        try:
            first = CHAT.decode_reply(exchange["resp_text"].encode())
        except ProviderFailed as error:
            wrong.append(f"{exchange['provider']} {exchange['id']}: {error}")
            continue
        if canonical(CHAT.decode_reply(CHAT.encode_reply(first))) != canonical(first):
            wrong.append(f"{exchange['provider']} {exchange['id']}: changed")
    assert wrong == []


def decoded_stream(text: str) -> list[StreamEvent]:
    splitter, decoder = Splitter(), CHAT.stream_decoder()
    stream = splitter.feed(text.encode()) + splitter.end()
    return [event for raw in events_of(stream) for event in decoder.feed(raw)]


def test_recorded_streams_keep_their_meaning(exchanges: list[Json]) -> None:
    """Every stream a vendor has sent is understood, means the same when encoded again, and ended as complete."""
    for exchange in exchanges:
        if exchange["stream"]:
            held = decoded_stream(exchange["resp_text"])
            assert canonical(replayed(held)) == canonical(held), exchange["id"]
            assert CHAT.ending(events_of(exchange["resp_text"].encode())[-8:]) == "complete", exchange["id"]


def test_recorded_streams_obey_the_grammar(exchanges: list[Json]) -> None:
    """One start first, then deltas, each choice finished once, and nothing but one usage behind the last finish."""
    wrong: list[str] = []
    for exchange in exchanges:
        if not exchange["stream"]:
            continue
        kinds = [type(event).__name__ for event in decoded_stream(exchange["resp_text"])]
        finishes = [at for at, kind in enumerate(kinds) if kind == "Finish"]
        if kinds.count("Start") != 1 or kinds[0] != "Start" or not finishes:
            wrong.append(f"{exchange['provider']} {exchange['id']}: {kinds[:3]}")
        elif kinds.count("UsageEvent") > 1 or set(kinds[finishes[-1] + 1 :]) - {"UsageEvent"}:
            wrong.append(f"{exchange['provider']} {exchange['id']}: {kinds[finishes[-1] - 1 :]}")
    assert wrong == []


def test_recorded_streams_have_every_visible_text_in_a_place(exchanges: list[Json]) -> None:
    """What a client would show is what guardrails see: joined by channel, the places are the deltas."""
    for exchange in exchanges:
        if not exchange["stream"]:
            continue
        seen: dict[str, str] = {}
        for raw in events_of(exchange["resp_text"].encode()):
            data = data_of(raw)
            if data and data != b"[DONE]":
                for place in CHAT.event_texts(json.loads(data)):
                    seen[place.channel] = seen.get(place.channel, "") + place.text
        for event in decoded_stream(exchange["resp_text"]):
            if isinstance(event, TextDelta):
                channel = f"{event.index}.content"
                assert seen[channel].startswith(event.text), exchange["id"]
                seen[channel] = seen[channel].removeprefix(event.text)
        assert not any(seen.get(f"{index}.content") for index in range(4)), exchange["id"]


# what must not be lost


@pytest.mark.parametrize(
    "members",
    [
        {"stream_options": {"include_usage": True, "include_obfuscation": False}},
        {
            "tools": [
                {"type": "function", "function": {"name": "f"}, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
            ]
        },
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": {"url": "u"}, "cache_control": {"type": "ephemeral"}},
                        {"type": "text", "text": "a"},
                    ],
                }
            ]
        },
        {
            "messages": [
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {
                            "id": "c",
                            "type": "function",
                            "function": {"name": "f", "arguments": "{}"},
                            "extra_content": {"google": {"thought_signature": "c2ln"}},
                        }
                    ],
                }
            ]
        },
    ],
    ids=["stream_options", "tool cache mark", "image cache mark", "thought signature"],
)
def test_nothing_is_dropped_silently(members: Json) -> None:
    """A member below the top that has no place in the canonical model rides along, or is refused by name."""
    data = request(**members)
    try:
        result = json.loads(CHAT.encode_request(CHAT.decode_request(encoded(data))))
    except (InvalidRequest, UnsupportedField):
        return
    assert {name: result[name] for name in members} == members


def test_unknown_members_ride_in_extra() -> None:
    """Top level and messages: what the model has no place for is kept by name and comes out again."""
    data = request(
        messages=[{"role": "user", "content": "x", "x_mark": [1]}], service_tier="flex", web_search_options={"a": 1}
    )
    held = CHAT.decode_request(encoded(data))
    assert held.extra == {"service_tier": "flex", "web_search_options": {"a": 1}}
    assert held.messages[0].extra == {"x_mark": [1]}
    assert json.loads(CHAT.encode_request(held)) == data
    reply = CHAT.decode_reply(
        encoded({"choices": [{"message": {"content": "a", "annotations": [1]}}], "citations": ["u"], "object": "x"})
    )
    assert (reply.extra, reply.choices[0].message.extra) == ({"citations": ["u"]}, {"annotations": [1]})
    assert json.loads(CHAT.encode_reply(reply))["citations"] == ["u"]


def test_two_tool_results_stay_two() -> None:
    """A turn that answers two calls becomes two messages, or is refused; it never answers one call with both texts."""
    results = (ToolResult("a", (Text("1"),)), ToolResult("b", (Text("2"),)))
    held = ChatRequest("m", (Message("tool", results),))
    try:
        sent = json.loads(CHAT.encode_request(held))["messages"]
    except UnsupportedField:
        return
    assert [(message["tool_call_id"], message["content"]) for message in sent] == [("a", "1"), ("b", "2")]


def test_two_thoughts_are_both_kept() -> None:
    """Several reasoning parts of a turn are joined or refused; none is dropped."""
    held = ChatRequest("m", (Message("assistant", (Reasoning("one "), Reasoning("two"), Text("x"))),))
    try:
        sent = json.loads(CHAT.encode_request(held))["messages"][0]
    except UnsupportedField:
        return
    assert sent["reasoning_content"] == "one two"


def test_an_image_by_its_bytes_is_sent_as_a_data_url() -> None:
    """The canonical model may hold an image as bytes; OpenAI takes it as a data URL."""
    held = ChatRequest("m", (Message("user", (Image(data=b"\x89PNG", media_type="image/png"),)),))
    sent = json.loads(CHAT.encode_request(held))["messages"][0]["content"][0]
    assert sent == {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}}


def test_what_the_dialect_cannot_say_is_refused() -> None:
    """Another provider's reasoning item, bytes of no type and a failed tool are refused, never sent as something else."""
    part = Reasoning("x", Opaque("anthropic", "a", b"sig"))
    with pytest.raises(UnsupportedField):
        CHAT.encode_request(ChatRequest("m", (Message("assistant", (part,)),)))


# single facts


def test_a_request_in_the_canonical_model() -> None:
    """Each member finds its place."""
    data = request(
        messages=[
            {"role": "developer", "content": "be kind", "name": "d"},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "file", "file": {"file_id": "f"}}]},
            {
                "role": "assistant",
                "content": None,
                "reasoning_content": "hm",
                "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{ }"}}],
            },
            {"role": "tool", "tool_call_id": "c", "content": "42"},
        ],
        max_tokens=5,
        max_completion_tokens=7,
        stop="END",
        stream=True,
        stream_options={"include_usage": True},
    )
    held = CHAT.decode_request(encoded(data))
    assert held.messages == (
        Message("developer", (Text("be kind"),), "d"),
        Message("user", (Text("a"), File("f"))),
        Message("assistant", (Reasoning("hm"), ToolCall("c", "f", "{ }"))),
        Message("tool", (ToolResult("c", (Text("42"),)),)),
    )
    assert (held.sampling.max_tokens, held.sampling.stop, held.stream, held.include_usage) == (7, ("END",), True, True)


def test_function_messages_are_tool_results() -> None:
    """The legacy `function` role joins its result by name."""
    held = CHAT.decode_request(encoded(request(messages=[{"role": "function", "name": "f", "content": "1"}])))
    assert held.messages[0] == Message("tool", (ToolResult("f", (Text("1"),)),), "f")


def test_an_image_url_may_be_a_plain_string() -> None:
    """OpenAI and Mistral take `image_url` as a string too."""
    part = {"type": "image_url", "image_url": "https://example.com/a.png"}
    held = CHAT.decode_request(encoded(request(messages=[{"role": "user", "content": [part]}])))
    assert held.messages[0].parts == (Image("https://example.com/a.png"),)


@pytest.mark.parametrize(
    "raw",
    [
        {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        {"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": None},
        {"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": None}},
    ],
)
def test_usage_details_may_be_absent(raw: Json) -> None:
    """Missing and null details count as nothing, and the provider's own object is kept."""
    reply = CHAT.decode_reply(encoded({"choices": [{"message": {"content": ""}}], "usage": raw}))
    expected = Usage(10, 5, raw=raw)
    assert (reply.usage, expected.total) == (expected, 15)


def test_usage_in_detail() -> None:
    """Cached, cache-written, reasoning and audio tokens each have their number."""
    raw = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3, "audio_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 1, "audio_tokens": 6},
    }
    reply = CHAT.decode_reply(encoded({"choices": [{"message": {"content": ""}}], "usage": raw}))
    assert reply.usage == Usage(10, 5, 4, 3, 1, 2, 6, raw)


def test_a_filtered_choice_has_no_message() -> None:
    """Azure answers a filtered request with a choice that holds the filter's findings alone."""
    choice = {"index": 0, "finish_reason": "content_filter", "content_filter_results": {"hate": {"filtered": True}}}
    reply = CHAT.decode_reply(encoded({"choices": [choice]}))
    extra = {"content_filter_results": {"hate": {"filtered": True}}}
    assert reply.choices == (Choice(Message("assistant"), "content_filter", "content_filter", extra=extra),)
    assert json.loads(CHAT.encode_reply(reply))["choices"][0].items() >= choice.items()


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("tool_calls", "tool_calls"),
        ("function_call", "tool_calls"),
        ("content_filter", "content_filter"),
        ("eos", "stop"),
        (None, None),
        ("", None),
    ],
)
def test_finish_reasons_agree_with_and_without_stream(word: str | None, expected: str | None) -> None:
    """The same word means the same in a whole answer and in a stream."""
    choice = {"index": 0, "message": {"content": "x"}, "delta": {"content": "x"}, "finish_reason": word}
    whole = CHAT.decode_reply(encoded({"choices": [choice]})).choices[0]
    streamed = CHAT.stream_decoder().feed(data_event(encoded({"choices": [choice]})))
    finishes = [event.reason for event in streamed if isinstance(event, Finish)]
    assert whole.finish == expected
    assert finishes == ([expected] if expected else [])
    assert whole.finish_raw == word


# streams


def test_tool_calls_are_told_apart_by_their_index() -> None:
    """Interleaved deltas of two calls and two choices go to their calls; each starts once."""
    decoder = CHAT.stream_decoder()

    def feed(index: int, *calls: Json) -> list[StreamEvent]:
        data = {"id": "x", "model": "m", "choices": [{"index": index, "delta": {"tool_calls": list(calls)}}]}
        return [event for event in decoder.feed(data_event(encoded(data))) if not isinstance(event, Start)]

    one = {"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}
    two = {"index": 1, "id": "b", "function": {"name": "g", "arguments": "{"}}
    assert feed(0, one, two) == [ToolCallStart(0, "a", "f"), ToolCallStart(1, "b", "g"), ToolCallDelta(1, "{")]
    assert feed(1, one) == [ToolCallStart(0, "a", "f", 1)]
    more = ({"index": 1, "function": {"arguments": "}"}}, {"index": 0, "function": {"arguments": "{}"}})
    assert feed(0, *more) == [ToolCallDelta(1, "}"), ToolCallDelta(0, "{}")]


def test_custom_tool_calls_stream_their_input() -> None:
    """A custom tool's call has a name, and its input comes as deltas, as a whole answer's has."""
    call = {"index": 0, "id": "a", "type": "custom", "custom": {"name": "sql", "input": "select"}}
    events = CHAT.stream_decoder().feed(data_event(encoded({"choices": [{"delta": {"tool_calls": [call]}}]})))
    assert list(events[1:]) == [ToolCallStart(0, "a", "sql", custom=True), ToolCallDelta(0, "select")]
    assert canonical(replayed(events)) == canonical(events)


def test_thinking_parts_are_reasoning() -> None:
    """Mistral's `thinking` parts are reasoning in whole answers and in streams."""
    content = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "4"},
    ]
    whole = CHAT.decode_reply(encoded({"choices": [{"message": {"role": "assistant", "content": content}}]}))
    assert whole.choices[0].message.parts == (Reasoning("hm"), Text("4"))
    events = CHAT.stream_decoder().feed(data_event(encoded({"choices": [{"delta": {"content": content}}]})))
    assert list(events[1:]) == [ReasoningDelta("hm"), TextDelta("4")]


def chunk(delta: Json | None = None, finish: str | None = None, **members: Any) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return data_event(encoded({"id": "x", "model": "m", "choices": choices, **members}))


def decoded(*chunks: bytes) -> list[StreamEvent]:
    decoder = CHAT.stream_decoder()
    return [event for raw in chunks for event in decoder.feed(raw)]


def test_what_vendors_repeat_is_said_once() -> None:
    """A filter chunk first, usage in every chunk and a finish reason twice: one start, one finish, the last usage."""
    one, two = ({"prompt_tokens": 1, "completion_tokens": count} for count in (1, 2))
    held = decoded(
        chunk(prompt_filter_results=[], id="", model=""),
        chunk({"content": "a"}, usage=one),
        chunk({"content": ""}, "stop", usage=two),
        chunk({"content": ""}, "stop", usage=two),
        DONE,
    )
    assert held == [Start("x", "m"), TextDelta("a"), Finish("stop", 0, "stop"), UsageEvent(Usage(1, 2, raw=two))]


def test_usage_without_finish_is_said_at_the_end() -> None:
    """Usage before any finish reason waits for the end of the stream."""
    usage = {"prompt_tokens": 1}
    assert decoded(chunk({"content": "a"}, usage=usage))[2:] == []
    assert decoded(chunk({"content": "a"}, usage=usage), DONE)[2:] == [UsageEvent(Usage(1, raw=usage))]


def test_text_behind_the_finish_is_a_failure() -> None:
    """Text that no event can carry any more is not dropped silently."""
    with pytest.raises(ProviderFailed, match="behind its finish reason"):
        decoded(chunk({"content": "a"}, "stop"), chunk({"content": "b"}))


def test_calls_without_an_index_are_told_apart_by_their_id() -> None:
    """Mistral sends whole calls without an index; a piece without an id belongs to the last call."""
    one, two = ({"id": name, "function": {"name": name, "arguments": "{"}} for name in "ab")
    held = decoded(
        chunk({"tool_calls": [one]}),
        chunk({"tool_calls": [two]}),
        chunk({"tool_calls": [{"function": {"arguments": "}"}}]}),
    )
    assert held[1:] == [
        ToolCallStart(0, "a", "a"),
        ToolCallDelta(0, "{"),
        ToolCallStart(1, "b", "b"),
        ToolCallDelta(1, "{"),
        ToolCallDelta(1, "}"),
    ]


def test_legacy_function_calls_are_calls_by_name() -> None:
    """`function_call` is a tool call whose id is its name, whole and streamed, so that its result finds it."""
    legacy = {"function_call": {"name": "f", "arguments": "{}"}}
    whole = CHAT.decode_reply(encoded({"choices": [{"message": {"content": None, **legacy}}]}))
    assert whole.choices[0].message.parts == (ToolCall("f", "f", "{}"),)
    assert decoded(chunk(legacy))[1:] == [ToolCallStart(0, "f", "f"), ToolCallDelta(0, "{}")]


def test_vendor_members_of_a_delta_ride_along() -> None:
    """What has no event of its own, such as a thought signature, is kept by name and comes out again."""
    signature = {"extra_content": {"google": {"thought_signature": "c2ln"}}}
    call = {"index": 0, "id": "a", "type": "function", "function": {"name": "f"}, **signature}
    later = chunk({"tool_calls": [{"index": 0, "x_late": 1}]})
    held = decoded(chunk({"role": "assistant", "audio": {"id": "a"}, "tool_calls": [call]}), later)
    assert held[1:] == [
        ToolCallStart(0, "a", "f", extra=signature),
        ExtraDelta({"audio": {"id": "a"}}),
        ExtraDelta({"tool_calls": [{"index": 0, "x_late": 1}]}),
    ]
    assert canonical(replayed(held)) == canonical(held)


def test_an_error_may_be_the_event_itself() -> None:
    """Servers such as vLLM send `{"object": "error", "message": …}` without an envelope."""
    held = decoded(data_event(encoded({"object": "error", "message": "no", "code": 400})))
    assert held == [ErrorEvent("no", "400", {"message": "no", "code": 400})]


def test_a_provider_error_ends_the_events() -> None:
    """An error event becomes one ErrorEvent with the provider's words, and encodes as an error again."""
    raw = {"message": "too much", "code": 429}
    held = CHAT.stream_decoder().feed(data_event(encoded({"error": raw})))
    assert held == [ErrorEvent("too much", "429", raw)]
    event = CHAT.stream_encoder(ChatRequest("m", ())).feed(held[0])
    assert json.loads(data_of(event)) == {"error": raw}
    assert CHAT.ending([event]) == "error"


def test_usage_is_sent_to_those_who_asked() -> None:
    """Without `include_usage` the client gets no usage chunk."""
    events: list[StreamEvent] = [Start("x", "m"), Finish("stop"), UsageEvent(Usage(1, 2))]
    assert any(isinstance(event, UsageEvent) for event in replayed(events))
    assert not any(isinstance(event, UsageEvent) for event in replayed(events, include_usage=False))
    assert CHAT.stream_encoder(ChatRequest("m", ())).end() == DONE


def test_comments_and_the_end_say_nothing() -> None:
    """Keep-alives and `[DONE]` give no events."""
    decoder = CHAT.stream_decoder()
    for raw in (b": ping\n\n", DONE, b"\n\n", b"data: [DONE]\r\n\r\n", b"data:  [DONE] \n\n"):
        assert list(decoder.feed(raw)) == []


# hostile shapes

ODD_WORDS = ("text", "function", "image_url", "thinking", "auto", "json_schema", "user", "tool", "stop", "{}")
ODD_NAMES = (
    *("type", "text", "role", "content", "function", "name", "arguments", "id", "index", "delta", "message", "custom"),
    *(
        "tool_calls",
        "finish_reason",
        "image_url",
        "url",
        "refusal",
        "usage",
        "choices",
        "error",
        "prompt_tokens",
        "input",
    ),
)
REQUEST_NAMES = (
    "model",
    "messages",
    "tools",
    "tool_choice",
    "stop",
    "stream_options",
    "response_format",
    "n",
    "metadata",
)
ODD: Values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(ODD_WORDS) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(ODD_NAMES), inner, max_size=4),
    max_leaves=14,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(REQUEST_NAMES), ODD))
@example({"messages": [{"role": ["user"], "content": 5}]})
@example({"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]})
@example({"messages": [{"role": "user", "content": "x"}], "stop": [1]})
@example({"messages": [{"role": "user", "content": "x"}], "temperature": "hot"})
@example({"messages": [{"role": "user", "content": "x"}], "response_format": {"type": "xml"}})
@example({"messages": [{"role": "user", "content": "x", "name": 5}]})
def test_odd_requests_are_well_typed_or_refused(data: Json) -> None:
    """Any JSON is a request whose every field has its declared type, or InvalidRequest: providers need not look again."""
    try:
        held = CHAT.decode_request(encoded(data))
    except InvalidRequest:
        return
    msgspec.convert(msgspec.to_builtins(held), ChatRequest)
    assert all(isinstance(message.text, str) for message in held.messages)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["choices", "usage", "id", "created", "model"]), ODD))
@example({"choices": [{"message": {"content": "x"}, "finish_reason": ["stop"]}]})
@example({"choices": [], "usage": {"prompt_tokens": "many"}})
def test_odd_replies_are_read_or_refused(data: Json) -> None:
    """Any JSON is a reply, or ProviderFailed."""
    with contextlib.suppress(ProviderFailed):
        assert isinstance(CHAT.decode_reply(encoded(data)), ChatReply)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["choices", "usage", "id", "created", "error"]), ODD))
@example({"choices": [{"delta": {}, "finish_reason": ["stop"]}]})
@example({"choices": [{"index": "first", "delta": {"content": "x"}}]})
@example({"choices": [{"delta": {"tool_calls": [{"function": "f"}]}}]})
@example({"choices": [], "usage": [1]})
def test_odd_chunks_are_read_or_refused(data: Json) -> None:
    """Any JSON in a stream gives events, or ProviderFailed, so that a broken stream ends as one."""
    with contextlib.suppress(ProviderFailed):
        assert isinstance(CHAT.stream_decoder().feed(data_event(encoded(data))), Sequence)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"null", b"\xff", b'{"messages":[]}', b'{"messages":{}}'])
def test_bodies_that_are_no_request(body: bytes) -> None:
    """What is no chat request is refused with a 400; what is no answer is the provider's failure."""
    with pytest.raises(InvalidRequest):
        CHAT.decode_request(body)
    if b"messages" not in body:
        with pytest.raises(ProviderFailed):
            CHAT.decode_reply(body)
        if body:
            with pytest.raises(ProviderFailed):
                CHAT.stream_decoder().feed(data_event(body))


# texts

EVERYWHERE: Json = {
    "messages": [
        {"role": "system", "content": "T0"},
        {"role": "developer", "content": "T1"},
        {"role": "user", "content": [{"type": "text", "text": "T2"}, {"type": "text", "text": "T3"}]},
        {
            "role": "assistant",
            "content": "T4",
            "refusal": "T5",
            "reasoning_content": "T6",
            "reasoning": "T7",
            "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "f", "arguments": "T8"}},
                {"id": "d", "type": "custom", "custom": {"name": "g", "input": "T9"}},
            ],
            "function_call": {"name": "f", "arguments": "Ta"},
        },
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "Tb"}]},
        {"role": "tool", "tool_call_id": "c", "content": "Tc"},
        {"role": "tool", "tool_call_id": "d", "content": [{"type": "text", "text": "Td"}]},
        {"role": "function", "name": "f", "content": "Te"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "description": "Tf", "parameters": {}}}],
}


def found(body: Json) -> list[str]:
    return sorted(place.text for place in CHAT.request_texts(body))


def test_every_text_of_a_request_is_found() -> None:
    """All roles, plain and listed content, refusals, reasoning, arguments, tool results and tool descriptions."""
    assert found(EVERYWHERE) == [f"T{digit}" for digit in "0123456789abcdef"]
    roles = {place.text: place.role for place in CHAT.request_texts(EVERYWHERE)}
    assert (roles["T0"], roles["T2"], roles["T4"], roles["Tc"], roles["Tf"]) == (
        "system",
        "user",
        "assistant",
        "tool",
        "tool_definition",
    )


def test_every_text_of_a_request_can_be_replaced() -> None:
    """Replaced at its place, each text is the new one and nothing else has changed."""
    places = CHAT.request_texts(EVERYWHERE)
    changed = replace_paths(EVERYWHERE, [(place.path, place.text.lower()) for place in places])
    assert found(changed) == [f"t{digit}" for digit in "0123456789abcdef"]
    assert json.loads(json.dumps(changed).replace('"t', '"T')) == json.loads(json.dumps(EVERYWHERE).replace('"t', '"T'))


@pytest.mark.parametrize(
    "members",
    [
        {"prediction": {"type": "content", "content": "HIDDEN"}},
        {"prediction": {"type": "content", "content": [{"type": "text", "text": "HIDDEN"}]}},
        {"tools": [{"type": "custom", "custom": {"name": "f", "description": "HIDDEN"}}]},
        {"functions": [{"name": "f", "description": "HIDDEN"}]},
        {"messages": [{"role": "assistant", "content": "x", "reasoning_details": [{"text": "HIDDEN"}]}]},
        {
            "messages": [
                {
                    "role": "assistant",
                    "content": [{"type": "thinking", "thinking": [{"type": "text", "text": "HIDDEN"}]}],
                }
            ]
        },
        {"tools": [{"function": {"name": "f", "parameters": {"properties": {"a": {"description": "HIDDEN"}}}}}]},
        {"tools": [{"custom": {"name": "f", "format": {"grammar": {"definition": "HIDDEN"}}}}]},
        {"response_format": {"json_schema": {"schema": {"anyOf": [{"title": "HIDDEN"}]}}}},
    ],
    ids=[
        "prediction",
        "prediction parts",
        "custom tool",
        "function",
        "reasoning details",
        "thinking",
        "schema",
        "grammar",
        "response format",
    ],
)
def test_no_text_of_a_request_hides_from_guardrails(members: Json) -> None:
    """Texts a model reads outside of the usual messages are places too."""
    assert "HIDDEN" in found(request(**members))


@pytest.mark.parametrize(
    "message",
    [
        {"content": None, "audio": {"id": "a", "transcript": "HIDDEN"}},
        {"content": "x", "reasoning_details": [{"type": "reasoning.text", "text": "HIDDEN"}]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "HIDDEN"}]}]},
        {"content": [{"type": "thinking", "thinking": "HIDDEN"}]},
    ],
    ids=["audio transcript", "reasoning details", "thinking", "thinking as text"],
)
def test_no_text_of_an_answer_hides_from_guardrails(message: Json) -> None:
    """Transcripts and thoughts in vendors' own places are seen, whole and streamed."""
    whole = CHAT.reply_texts({"choices": [{"message": {"role": "assistant", **message}}]})
    streamed = CHAT.event_texts({"choices": [{"index": 0, "delta": message}]})
    assert "HIDDEN" in [place.text for place in whole]
    assert "HIDDEN" in [place.text for place in streamed]


def test_the_texts_of_an_answer_and_its_stream() -> None:
    """Each text of an answer is found by its choice; streamed pieces carry the channel they belong to."""
    message = EVERYWHERE["messages"][3]
    whole = CHAT.reply_texts({"choices": [{"message": message}, {"message": {"content": "second"}}]})
    assert sorted(place.text for place in whole) == ["T4", "T5", "T6", "T7", "T8", "T9", "Ta", "second"]
    delta = {"content": "a", "tool_calls": [{"index": 3, "function": {"arguments": "b"}}]}
    streamed = CHAT.event_texts({"choices": [{"index": 2, "delta": delta}]})
    assert [(place.path, place.text, place.channel) for place in streamed] == [
        (("choices", 0, "delta", "content"), "a", "2.content"),
        (("choices", 0, "delta", "tool_calls", 0, "function", "arguments"), "b", "2.tool.3.arguments"),
    ]


@brief
@given(ODD)
def test_odd_bodies_have_no_texts_and_no_errors(data: Any) -> None:
    """Guardrails run on anything that is JSON: a wrong shape gives fewer places, never an exception."""
    body = cast("Json", data) if isinstance(data, dict) else {"choices": data, "messages": data, "tools": data}
    for places in (CHAT.request_texts(body), CHAT.reply_texts(body), CHAT.event_texts(body)):
        for place in places:
            assert replace_paths(body, [(place.path, "x")]) is not body


def test_an_error_event_is_what_clients_raise_on() -> None:
    """The vendor's SDK raises on an event whose data has `error`."""
    event = CHAT.error_event(Blocked("no"))
    assert json.loads(data_of(event))["error"]["message"] == "no"
    assert CHAT.ending([event]) == "error"


def test_the_shapes_that_are_sent() -> None:
    """The wire form of an answer, as the API reference writes it."""
    reply = ChatReply(
        "id", "m", (Choice(Message("assistant", (Text("a"), Refusal("r"))), "stop"),), 7, Usage(2, 3, cached=1)
    )
    assert json.loads(CHAT.encode_reply(reply)) == {
        "id": "id",
        "object": "chat.completion",
        "created": 7,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "a", "refusal": "r"},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 2,
            "completion_tokens": 3,
            "total_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 1, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
    }
