"""OpenAI chat JSON as clients and vendors write it, what official types say of it, and short ways to and from the dialect."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast

import msgspec
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)
from pydantic import TypeAdapter

from headgate.chat import ChatRequest, StreamEvent
from headgate.dialects import Gaps, OpenAIChat
from headgate.dialects.sse import data_event, data_of, events_of, is_done

Json = dict[str, Any]
Values = st.SearchStrategy[Any]

CHAT = OpenAIChat()
CORPUS = Path(os.environ.get("HEADGATE_CORPUS") or Path(__file__).parents[2].parent / "shared" / "corpus")
VENDORS = ("openai", "azure", "deepseek", "groq", "mistral", "openrouter", "perplexity", "together", "xai")

_PARAMS: dict[bool, TypeAdapter[Any]] = {
    True: TypeAdapter(CompletionCreateParamsStreaming),
    False: TypeAdapter(CompletionCreateParamsNonStreaming),
}


def encoded(data: Any) -> bytes:
    return msgspec.json.encode(data)


def request(**members: Any) -> Json:
    return {"model": "m", "messages": [{"role": "user", "content": "hi"}], **members}


def user(**members: Any) -> Json:
    """A request of one user message with these members."""
    return request(messages=[{"role": "user", "content": "x", **members}])


def decode(data: Json) -> ChatRequest:
    return CHAT.decode_request(encoded(data))


def encode(held: ChatRequest, gaps: Gaps | None = None) -> Json:
    return json.loads(CHAT.encode_request(held, gaps or Gaps("vendor")))


def events_in(stream: bytes, *, size: int = 0) -> list[StreamEvent]:
    """The events of a whole stream that comes in pieces of `size` bytes."""
    framer, decoder = CHAT.framer(), CHAT.stream_decoder()
    step = size or len(stream) or 1
    frames = [frame for at in range(0, len(stream), step) for frame in framer.feed(stream[at : at + step])]
    events = [event for frame in (*frames, *framer.end()) for event in decoder.feed(frame)]
    return [*events, *decoder.end()]


def stream_of(events: Iterable[StreamEvent], asked: ChatRequest | None = None) -> bytes:
    encoder = CHAT.stream_encoder(asked or ChatRequest("m", (), include_usage=True))
    return b"".join((*map(encoder.feed, events), encoder.end()))


def chunks_of(stream: bytes) -> list[Json]:
    """The data of a stream's events but `[DONE]`."""
    return [json.loads(data_of(event)) for event in events_of(stream) if not is_done(event)]


def chunk(delta: Json | None = None, finish: str | None = None, **members: Any) -> bytes:
    """A vendor's chunk with one choice, or with none."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return data_event(encoded({"id": "x", "model": "m", "choices": choices, **members}))


def exhaust(value: Any) -> Any:
    """Look at all of a validated value: iterables are validated while they are read."""
    if isinstance(value, dict):
        return {name: exhaust(item) for name, item in cast("Json", value).items()}
    if isinstance(value, str | int | float | None):
        return value
    return [exhaust(item) for item in cast("Iterable[Any]", value)]


def check_request(body: Json) -> None:
    """Raises ValidationError unless the official types take a request."""
    exhaust(_PARAMS[bool(body.get("stream"))].validate_python(body))


def check_reply(body: Json) -> ChatCompletion:
    return ChatCompletion.model_validate(body, strict=True)


def check_chunks(stream: bytes) -> list[ChatCompletionChunk]:
    """The chunks of a stream by the official types; each choice has one role and one finish, indices are dense."""
    events = events_of(stream)
    assert [is_done(event) for event in events] == [False] * (len(events) - 1) + [True]
    chunks = [ChatCompletionChunk.model_validate(data, strict=True) for data in chunks_of(stream)]
    choices = [choice for held in chunks for choice in held.choices]
    for index in range(len({choice.index for choice in choices})):
        mine = [choice for choice in choices if choice.index == index]
        assert [choice.delta.role for choice in mine if choice.delta.role] == ["assistant"]
        assert [bool(choice.finish_reason) for choice in mine] == [False] * (len(mine) - 1) + [True]
        numbers = [call.index for choice in mine for call in choice.delta.tool_calls or ()]
        assert sorted(set(numbers)) == list(range(len(set(numbers))))
    return chunks


@cache
def recorded(vendor: str) -> tuple[Json, ...]:
    """The recorded chat exchanges with one vendor."""
    with gzip.open(CORPUS / f"{vendor}.jsonl.gz") as lines:
        return tuple(held for held in map(json.loads, lines) if held["operation"] == "chat")


def all_recorded() -> Iterator[tuple[str, Json]]:
    for vendor in VENDORS:
        for exchange in recorded(vendor):
            yield vendor, exchange


WORDS = st.text(max_size=6)
SOME = st.text(min_size=1, max_size=6)
JSONS: Values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=5,
)
OBJECTS: Values = st.dictionaries(WORDS, JSONS, max_size=3)
IDS = st.text("abc_1", min_size=1, max_size=4)
EXTRAS: Values = st.dictionaries(st.sampled_from(["x_vendor", "min_p", "safe_prompt"]), JSONS, max_size=2)
MARK = {"type": "ephemeral"}
TEXT_PARTS: Values = st.fixed_dictionaries(
    {"type": st.just("text"), "text": SOME}, optional={"cache_control": st.just(MARK)}
)
URLS = st.sampled_from(["https://example.com/a", "data:image/png;base64,AAAA", "gs://bucket/a"])
IMAGES: Values = st.fixed_dictionaries({"url": URLS}, optional={"detail": st.just("low")})
SOUNDS: Values = st.fixed_dictionaries({"data": WORDS, "format": st.just("wav")})
DATA = st.sampled_from(["data:application/pdf;base64,AAAA", "https://example.com/a.pdf"])
FILES: Values = st.fixed_dictionaries({}, optional={"file_id": IDS, "filename": IDS, "file_data": DATA})
PARTS: Values = (
    TEXT_PARTS
    | st.fixed_dictionaries({"type": st.just("image_url"), "image_url": IMAGES})
    | st.fixed_dictionaries({"type": st.just("input_audio"), "input_audio": SOUNDS})
    | st.fixed_dictionaries({"type": st.just("file"), "file": FILES})
    | st.fixed_dictionaries({"type": st.just("x_part"), "x_vendor": JSONS})
)
SIGNED: Values = st.fixed_dictionaries({"google": st.fixed_dictionaries({"thought_signature": IDS})}) | (
    st.fixed_dictionaries({"bedrock": st.fixed_dictionaries({"signature": IDS, "account": IDS})})
)
FUNCTIONS: Values = st.fixed_dictionaries({"name": IDS, "arguments": st.just("{}") | WORDS})
CALLS: Values = st.fixed_dictionaries(
    {"id": IDS, "type": st.just("function"), "function": FUNCTIONS}, optional={"extra_content": SIGNED}
) | st.fixed_dictionaries(
    {"id": IDS, "type": st.just("custom"), "custom": st.fixed_dictionaries({"name": IDS, "input": WORDS})}
)
BOUND = {"format": IDS, "account": IDS}
DETAILS: Values = (
    st.fixed_dictionaries({"type": st.just("reasoning.text"), "text": SOME, "signature": IDS, **BOUND})
    | st.fixed_dictionaries({"type": st.just("reasoning.encrypted"), "data": IDS, **BOUND}, optional={"id": IDS})
    | st.fixed_dictionaries({"type": st.just("reasoning.summary"), "summary": SOME, "id": IDS, "data": IDS, **BOUND})
)
CITATIONS: Values = st.fixed_dictionaries(
    {
        "type": st.just("url_citation"),
        "url_citation": st.fixed_dictionaries(
            {"url": SOME, "title": SOME, "start_index": st.integers(0, 3), "end_index": st.integers(3, 9)}
        ),
    }
)


@st.composite
def thinking(draw: st.DrawFn) -> Json:
    """What an assistant's message says of its thinking."""
    details = [{**detail, "index": at} for at, detail in enumerate(draw(st.lists(DETAILS, max_size=3)))]
    if not details:
        return draw(st.fixed_dictionaries({}, optional={"reasoning_content": SOME}))
    return {"reasoning_details": details}


@st.composite
def messages(draw: st.DrawFn, roles: Sequence[str] = ("system", "developer", "user", "assistant", "tool")) -> Json:
    """A message as a client or a vendor writes it."""
    role = draw(st.sampled_from(roles))
    message: Json = {"role": role, **draw(EXTRAS)}
    message["content"] = draw(SOME | st.lists(PARTS if role == "user" else TEXT_PARTS, min_size=1, max_size=3))
    if role == "tool":
        message["tool_call_id"] = draw(IDS)
    elif draw(st.booleans()):
        message["name"] = draw(IDS)
    if role != "assistant":
        return message
    message |= draw(thinking())
    calls = draw(st.lists(CALLS, max_size=2))
    if calls:
        message["tool_calls"] = calls
        message["content"] = draw(st.none() | SOME)
    if draw(st.booleans()):
        message["refusal"], message["content"] = "no", None
    elif isinstance(message["content"], str):
        beside = BESIDE if len(roles) == 1 else BESIDE.keys() - {"provider_items"}
        message |= {name: draw(BESIDE[name]) for name in sorted(beside) if draw(st.booleans())}
    return message


BESIDE: dict[str, Values] = {
    "annotations": st.lists(CITATIONS, min_size=1, max_size=2),
    "extra_content": SIGNED,
    "provider_items": st.lists(st.fixed_dictionaries({"dialect": IDS, "type": IDS}), min_size=1, max_size=2),
}
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
NAMED: Values = st.fixed_dictionaries(
    {"type": st.just("function"), "function": st.fixed_dictionaries({"name": st.just("fn")})}
)
ALLOWED: Values = st.fixed_dictionaries(
    {"mode": st.sampled_from(["auto", "required"]), "tools": st.lists(NAMED, min_size=1, max_size=2)}
)
CHOICES: Values = (
    st.sampled_from(["auto", "none", "required"])
    | NAMED
    | st.fixed_dictionaries({"type": st.just("x_choice"), "x": JSONS})
    | st.fixed_dictionaries({"type": st.just("allowed_tools"), "allowed_tools": ALLOWED})
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
    "tool_choice": CHOICES,
    "parallel_tool_calls": st.booleans(),
    "response_format": FORMATS,
    "reasoning_effort": st.sampled_from(["low", "none"]),
    "stream": st.booleans(),
    "user": WORDS,
    "metadata": st.dictionaries(WORDS, WORDS, max_size=2),
    "service_tier": st.sampled_from(["auto", "flex"]),
    "verbosity": st.just("low"),
    "prompt_cache_key": WORDS,
    "safety_identifier": WORDS,
    "store": st.booleans(),
    "prediction": OBJECTS,
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
