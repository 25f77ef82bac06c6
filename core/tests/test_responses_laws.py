"""What must hold of any Responses request, answer or stream, whatever stands in it."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import msgspec
from core.tests.responses_samples import RESPONSES, answer, encode, encoded, events_in, parts_of, replayed, told
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.chat import (
    ChatReply,
    ChatRequest,
    Choice,
    FinishReason,
    Image,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Role,
    Text,
    ToolCall,
    ToolResult,
    Usage,
    collect,
)
from headgate.chat import messages as canonical
from headgate.chat import request as canonical_request
from headgate.dialects import Gaps
from headgate.dialects.responses.encode import IGNORED
from headgate.errors import InvalidRequest, ProviderFailed

Json = dict[str, Any]

brief = settings(max_examples=60, deadline=None)
words = st.text(min_size=1, max_size=8)
names = st.sampled_from(["f", "get_weather", "a.b:c", "x" * 80, "über"])
ids = st.sampled_from(["c1", "c2", "call_3", "y" * 70, ""])
opaques = st.one_of(
    st.builds(Opaque, st.just("openai"), words),
    st.builds(Opaque, st.sampled_from(["anthropic", "google"]), words, st.sampled_from(["", "acc1"])),
)
objects = st.dictionaries(words, st.integers() | words, max_size=3)
calls = st.builds(ToolCall, ids, names, objects.map(lambda held: msgspec.json.encode(held).decode()))
thoughts = st.one_of(
    st.builds(Reasoning, words, st.none() | opaques),
    st.builds(Reasoning, st.just(""), opaques, st.just(value=True)),
)
spoken: st.SearchStrategy[Part] = st.one_of(st.builds(Text, words), st.builds(Refusal, words), thoughts, calls)
finishes: st.SearchStrategy[FinishReason] = st.sampled_from(["stop", "length", "tool_calls", "content_filter"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KINDS = [
    "message",
    "reasoning",
    "function_call",
    "custom_tool_call",
    "function_call_output",
    "web_search_call",
    "other",
]
loose_items = st.fixed_dictionaries(
    {"type": st.sampled_from(KINDS) | json_values},
    optional=dict.fromkeys(
        ("id", "role", "content", "summary", "arguments", "call_id", "name", "output", "encrypted_content"), json_values
    ),
)
EVENTS = [
    "response.created",
    "response.output_item.added",
    "response.output_item.done",
    "response.content_part.done",
    "response.output_text.delta",
    "response.reasoning_summary_text.delta",
    "response.function_call_arguments.delta",
    "response.completed",
    "response.failed",
    "error",
    "other",
]
loose_events = st.fixed_dictionaries(
    {"type": st.sampled_from(EVENTS)},
    optional={
        "output_index": st.integers(0, 2) | json_values,
        "content_index": st.integers(0, 2) | json_values,
        "item": loose_items | json_values,
        "part": json_values,
        "delta": st.text(max_size=3) | json_values,
        "response": st.fixed_dictionaries({"output": st.lists(loose_items, max_size=2) | json_values}) | json_values,
        "error": json_values,
    },
)


def numbered(parts: list[Part]) -> tuple[Part, ...]:
    """Parts with their calls counted, as every decoder gives them."""
    counted: list[Part] = []
    for part in parts:
        number = sum(isinstance(each, ToolCall) for each in counted)
        counted.append(msgspec.structs.replace(part, index=number) if isinstance(part, ToolCall) else part)
    return tuple(counted)


def meaning(parts: tuple[Part, ...]) -> Json:
    return {
        "text": "".join(part.text for part in parts if isinstance(part, Text)),
        "refusal": "".join(part.text for part in parts if isinstance(part, Refusal)),
        "thinking": "".join(part.text for part in parts if isinstance(part, Reasoning)),
        "opaque": [(part.opaque, part.is_redacted) for part in parts if isinstance(part, Reasoning) and part.opaque],
        "calls": [(part.name, json.loads(part.arguments)) for part in parts if isinstance(part, ToolCall)],
    }


def reply_of(parts: list[Part], finish: FinishReason, usage: Usage) -> ChatReply:
    return ChatReply("id-1", "m", (Choice(Message("assistant", numbered(parts)), finish, finish),), 3, usage)


counts = st.integers(0, 99)
replies = st.builds(reply_of, st.lists(spoken, max_size=6), finishes, st.builds(Usage, counts, counts))


@given(replies)
@brief
def test_answers_keep_their_meaning(held: ChatReply) -> None:
    """What a client is told means what the provider said, streamed or whole, and both are the same answer."""
    body = answer(held)
    again = RESPONSES.decode_reply(encoded(body))
    whole = meaning(parts_of(held))
    assert meaning(parts_of(again)) == whole
    assert again.usage is not None
    assert held.usage is not None
    assert (again.usage.prompt, again.usage.completion) == (held.usage.prompt, held.usage.completion)
    stream = replayed(held)
    assert told(stream)[-1]["response"] == body
    assert meaning(parts_of(collect(events_in(stream)))) == whole


@given(replies, st.integers(1, 64))
@brief
def test_streams_in_any_pieces(held: ChatReply, size: int) -> None:
    """However a stream is cut on its way, it says the same."""
    stream = replayed(held)
    assert events_in(stream, size=size) == events_in(stream)


@given(replies)
@brief
def test_answers_go_back(held: ChatReply) -> None:
    """A client that sends the output back says what it was told."""
    body = encoded({"model": "m", "input": [{"role": "user", "content": "x"}, *answer(held)["output"]]})
    request = RESPONSES.decode_request(body)
    parts = tuple(part for message in request.messages[1:] for part in message.parts)
    assert meaning(parts) == meaning(parts_of(held))


def turn_of(role: Role, parts: list[Part]) -> Message:
    return Message(role, numbered(parts))


texts: st.SearchStrategy[Part] = st.builds(Text, words)
asked: st.SearchStrategy[Part] = st.one_of(texts, st.builds(Image, st.just("https://x/y")))
results: st.SearchStrategy[Part] = st.builds(ToolResult, ids, st.builds(Text, words).map(lambda part: (part,)))
firsts: st.SearchStrategy[Role] = st.sampled_from(["system", "developer"])
turns = st.one_of(
    st.builds(turn_of, firsts, st.lists(texts, min_size=1, max_size=1)),
    st.builds(turn_of, st.just("user"), st.lists(asked, min_size=1, max_size=3)),
    st.builds(turn_of, st.just("assistant"), st.lists(spoken, min_size=1, max_size=4)),
    st.builds(turn_of, st.just("tool"), st.lists(results, min_size=1, max_size=1)),
)


@given(st.lists(turns, min_size=1, max_size=6))
@brief
def test_requests_keep_their_meaning(messages: list[Message]) -> None:
    """Any history is a valid body that says the same words, calls and results in the same order."""
    request = ChatRequest("m", tuple(messages), dialect="openai.chat")
    again = RESPONSES.decode_request(encoded(encode(request, Gaps("vendor"))))

    def told_by(held: ChatRequest) -> Json:
        parts = [part for message in held.messages for part in message.parts]
        return {
            "texts": "".join(part.text for part in parts if isinstance(part, Text | Refusal)),
            "images": sum(isinstance(part, Image) for part in parts),
            "calls": [json.loads(part.arguments) for part in parts if isinstance(part, ToolCall)],
            "results": [part.text for part in parts if isinstance(part, ToolResult)],
        }

    assert told_by(again) == told_by(request)
    sent = [part.id for message in again.messages for part in message.parts if isinstance(part, ToolCall)]
    assert len(set(sent)) == len(sent)


@given(st.lists(loose_items, max_size=3) | json_values, st.dictionaries(st.text(max_size=6), json_values, max_size=3))
@brief
def test_any_json_is_a_request_or_refused(value: Any, members: Json) -> None:
    """Whatever a client sends is understood or refused, never a crash; texts are found in any of it."""
    body = {**members, "input": value}
    with contextlib.suppress(InvalidRequest):
        request = RESPONSES.decode_request(encoded(body))
        RESPONSES.encode_request(request, Gaps("vendor", "drop"))
    RESPONSES.request_texts(body)


@given(st.lists(loose_items, max_size=3) | json_values, st.dictionaries(st.text(max_size=6), json_values, max_size=3))
@brief
def test_any_json_is_an_answer_or_a_failure(output: Any, members: Json) -> None:
    """Whatever a provider answers is understood or its failure."""
    body = {**members, "output": output, "usage": members.get("u")}
    with contextlib.suppress(ProviderFailed):
        RESPONSES.decode_reply(encoded(body))
    RESPONSES.reply_texts(body)
    RESPONSES.reply_usage(encoded(body))


@given(st.lists(loose_events, max_size=6))
@brief
def test_any_events_are_understood_or_a_failure(events: list[Json]) -> None:
    """Whatever events a provider sends, the decoder understands them or says that the provider failed."""
    decoder = RESPONSES.stream_decoder()
    with contextlib.suppress(ProviderFailed):
        for event in events:
            RESPONSES.event_texts(event)
            decoder.feed(b"data: " + encoded(event) + b"\n\n")
        decoder.end()


def test_every_canonical_field_is_written_or_known_to_be_left_out() -> None:
    """A list of what is never written names only fields there are."""
    fields = {
        f"{name}.{field}"
        for module in (canonical, canonical_request)
        for name, kind in vars(module).items()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
        for field in kind.__struct_fields__
    }
    assert fields >= IGNORED
