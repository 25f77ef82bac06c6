"""What holds for every request, reply and stream of `google.generate`, and for everything that is none."""

from __future__ import annotations

import contextlib
import json
from typing import Any, cast

import msgspec
from core.tests.google_wire import GOOGLE, NEWER, answer, check_reply, encode, events, stream, turn, without
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.body import replace_paths
from headgate.chat import (
    Audio,
    ChatReply,
    ChatRequest,
    Choice,
    File,
    Image,
    Item,
    Message,
    Opaque,
    Part,
    Reasoning,
    ResponseFormat,
    Sampling,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Usage,
    collect,
    replay,
)
from headgate.dialects.gaps import Gaps
from headgate.dialects.google.facts import generation, legal_name, sealed, unsealed
from headgate.errors import InvalidRequest, ProviderFailed

Json = dict[str, Any]
many = settings(max_examples=80, deadline=None)

words = st.text('aé \n\u2028{}"\\', min_size=1, max_size=8)
names = st.sampled_from(["f", "get_weather", "a.b:c-d"])
base64 = st.sampled_from(["QUFB", "c2ln", "Zg=="])
opaques = st.builds(Opaque, st.just("google"), base64) | st.builds(
    Opaque, st.sampled_from(["openai", "anthropic"]), words, st.sampled_from(["", "acc"])
)
signed = st.none() | opaques
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2),
    max_leaves=4,
)
objects = st.dictionaries(words, values, max_size=2)
arguments = objects.map(lambda held: msgspec.json.encode(held).decode())
answered = st.text("aé 1\n", min_size=1, max_size=8) | arguments
"""What tools say: plain words, or an object without spaces around its members, which are not kept."""
texts = st.builds(Text, words, opaque=signed)
asked = (
    texts
    | st.builds(Image, data=base64, media_type=st.sampled_from(["image/png", "image/webp"]))
    | st.builds(Image, url=st.just("https://x.example/a.png"), media_type=st.just("image/png"))
    | st.builds(Audio, base64, st.sampled_from(["wav", "mp3", "flac"]))
    | st.builds(File, data=base64, media_type=st.just("application/pdf"), filename=st.sampled_from([None, "a.pdf"]))
)


@st.composite
def histories(draw: st.DrawFn) -> tuple[Message, ...]:
    """Turns of a conversation: questions, answers, and calls with their results in any order."""
    turns: list[Message] = [Message("user", tuple(draw(st.lists(asked, min_size=1, max_size=3))))]
    for number in range(draw(st.integers(0, 2))):
        calls = [
            ToolCall(f"id{number}_{at}", draw(names), draw(arguments), at, opaque=draw(signed))
            for at in range(draw(st.integers(0, 3)))
        ]
        thoughts = draw(st.lists(st.builds(Reasoning, words, opaques, is_summary=st.just(value=True)), max_size=1))
        parts: list[Part] = [*thoughts, draw(texts), *calls]
        turns.append(Message("assistant", tuple(parts)))
        if calls:
            results = tuple(ToolResult(call.id, (Text(draw(answered)),), name=call.name) for call in calls)
            turns.append(Message("tool", results))
        turns.append(Message("user", (draw(texts),)))
    return tuple(turns)


requests = st.builds(
    ChatRequest,
    st.just(""),
    histories(),
    sampling=st.builds(
        Sampling,
        temperature=st.none() | st.floats(0, 2),
        top_k=st.none() | st.integers(1, 64),
        max_tokens=st.none() | st.integers(1, 9999),
        stop=st.lists(words, max_size=3).map(tuple),
        seed=st.none() | st.integers(0, 99),
        n=st.none() | st.integers(2, 4),
    ),
    tools=st.lists(st.builds(Tool, names, words, st.just({"type": "object"})), max_size=2).map(tuple),
    tool_choice=st.none() | st.sampled_from([ToolChoice("auto"), ToolChoice("none"), ToolChoice("named", "f")]),
    response_format=st.sampled_from([None, ResponseFormat("json_object"), ResponseFormat("json_schema", schema={})]),
    thinking=st.sampled_from(
        [None, Thinking("high"), Thinking(budget_tokens=5, is_shown=True), Thinking("none", 0, "disabled")]
    ),
    dialect=st.just("google.generate"),
)


@many
@given(requests)
def test_requests_keep_their_meaning(request: ChatRequest) -> None:
    """A request that is encoded and decoded again says the same, and its types are Google's."""
    body, dropped = encode(request)
    assert dropped == []
    assert GOOGLE.decode_request(msgspec.json.encode(body)) == request


answers = st.lists(
    texts
    | st.builds(Reasoning, words, signed, is_summary=st.just(value=True))
    | st.builds(ToolCall, st.sampled_from(["gemini_1", "gemini_2"]), names, arguments, opaque=signed)
    | st.builds(Image, data=base64, media_type=st.just("image/png"))
    | st.builds(Item, st.just("anthropic.messages"), objects.filter(lambda held: "dialect" not in held)),
    max_size=4,
)


def replied(parts: list[Any], finish: Any, usage: Usage) -> ChatReply:
    calls = 0
    numbered: list[Part] = []
    for part in parts:
        held = msgspec.structs.replace(part, index=calls, id=f"gemini_{calls}") if isinstance(part, ToolCall) else part
        calls += isinstance(part, ToolCall)
        last = numbered[-1] if numbered else None
        if isinstance(last, Text) and isinstance(held, Text) and last.opaque is None and held.opaque is None:
            numbered[-1] = Text(last.text + held.text)  # plain texts side by side are one there
        else:
            numbered.append(held)
    reason = "tool_calls" if calls and finish == "stop" else finish
    return ChatReply("r", "m", (Choice(Message("assistant", tuple(numbered)), reason, reason),), 1_700_000_000, usage)


replies = st.builds(
    replied,
    answers,
    st.sampled_from(["stop", "length", "content_filter"]),
    st.builds(Usage, st.integers(5, 9), st.integers(5, 9), st.integers(0, 5), st.just(0), st.integers(0, 5)),
)


def counts(usage: Usage | None) -> Any:
    return None if usage is None else (usage.prompt, usage.completion, usage.cached, usage.reasoning)


@many
@given(replies)
def test_replies_keep_their_meaning(reply: ChatReply) -> None:
    """What a client of Google's reads is what was answered, whole or streamed."""
    body = GOOGLE.encode_reply(reply, ChatRequest("", ()))
    check_reply(without(json.loads(body), NEWER))
    whole = GOOGLE.decode_reply(body)
    assert (whole.choices[0].message, whole.choices[0].finish) == (reply.choices[0].message, reply.choices[0].finish)
    assert counts(whole.usage) == counts(reply.usage)
    encoder = GOOGLE.stream_encoder(ChatRequest("", ()))
    told = stream(b"".join([*map(encoder.feed, replay(reply)), encoder.end()]), size=7)
    streamed = collect(told)
    assert counts(streamed.usage) == counts(reply.usage)
    assert streamed.choices[0].finish == reply.choices[0].finish
    assert streamed.choices[0].message.text == reply.choices[0].message.text


@many
@given(opaques, st.none() | st.sampled_from(["rs_1", "rs:1"]))
def test_signatures_find_their_way_back(opaque: Opaque, item_id: str | None) -> None:
    """What another vendor signed is told from Google's own by its text alone."""
    expected = None if opaque.origin == "google" else item_id
    if item_id != "rs:1":
        assert unsealed(sealed(opaque, item_id)) == (opaque, expected)


@many
@given(st.text(max_size=200))
def test_every_name_becomes_legal(name: str) -> None:
    """Whatever a tool is called, Google takes what is sent, and two names do not become one."""
    sent = legal_name(name)
    assert legal_name(sent) == sent
    assert sent.isascii()
    assert 0 < len(sent) <= 128
    assert (sent == name) == (legal_name(name) == name)
    assert generation(name) is None or name.rpartition("/")[2].startswith("gemini-")


OLDER: Json = {"type": "OBJECT", "properties": {"a": {"anyOf": [{"type": "STRING", "enum": ["b"]}]}}}
SAMPLES: list[Json] = [
    {
        "systemInstruction": {"parts": [{"text": "s"}]},
        "contents": [
            turn(
                "a", {"inlineData": {"mimeType": "image/png", "data": "AA"}}, {"fileData": {"fileUri": "gs://b/a.png"}}
            ),
            turn(
                {"functionCall": {"id": "x", "name": "f", "args": {"a": [1]}}, "thoughtSignature": "c2ln"}, role="model"
            ),
            turn({"functionResponse": {"id": "x", "name": "f", "response": {"output": "y"}, "parts": []}}),
        ],
        "tools": [
            {
                "functionDeclarations": [
                    {"name": "f", "parameters": {"type": "OBJECT", "properties": {"a": {"enum": ["b"]}}}}
                ]
            }
        ],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
        "generationConfig": {
            "topK": 1,
            "responseMimeType": "application/json",
            "responseSchema": {"anyOf": [{"type": "STRING"}]},
        },
    },
    {
        **answer(
            {"text": "a", "thought": True},
            "b",
            {
                "functionCall": {
                    "name": "f",
                    "partialArgs": [{"jsonPath": "$.a[0]", "stringValue": "x"}],
                    "willContinue": True,
                }
            },
            {"executableCode": {"code": "1"}},
            usageMetadata={"promptTokenCount": 1, "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 1}]},
        ),
        "promptFeedback": {"blockReason": "SAFETY"},
    },
    {
        "candidates": [
            {
                "content": turn("abc", role="model"),
                "groundingMetadata": {
                    "groundingChunks": [{"web": {"uri": "u"}}],
                    "groundingSupports": [{"segment": {"endIndex": 2}, "groundingChunkIndices": [0]}],
                },
                "citationMetadata": {"citations": [{"uri": "u", "startIndex": 1, "endIndex": 2}]},
                "logprobsResult": {
                    "chosenCandidates": [{"token": "a"}],
                    "topCandidates": [{"candidates": [{"token": "a"}]}],
                },
                "finishReason": "STOP",
            }
        ]
    },
    {
        "error": {
            "code": 400,
            "message": "m",
            "status": "X",
            "details": [{"reason": "R", "fieldViolations": [{"field": "f"}]}],
        }
    },
]
"""Bodies that have everything, to be broken in one place."""


ODD: list[Any] = [None, True, 0, -1, 1.5, 10**30, "", "x", [], {}, [None], [[]], ["x"], {"a": 1}]


def places_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inner = list(cast("Json", value).items())
    elif isinstance(value, list):
        inner = list(enumerate(cast("list[Any]", value)))
    return [path, *(place for key, item in inner for place in places_in(item, (*path, key)))]


@st.composite
def broken(draw: st.DrawFn) -> Any:
    """A sample with something else in one place of it."""
    body: Any = json.loads(json.dumps(draw(st.sampled_from(SAMPLES))))
    *way, last = draw(st.sampled_from(places_in(body)[1:]))
    node = body
    for key in way:
        node = node[key]
    node[last] = draw(st.sampled_from(ODD))
    return body


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "contents",
                    "candidates",
                    "content",
                    "parts",
                    "text",
                    "role",
                    "functionCall",
                    "function_response",
                    "args",
                    "name",
                    "inlineData",
                    "tools",
                    "functionDeclarations",
                    "parameters",
                    "generationConfig",
                    "thinkingConfig",
                    "finishReason",
                    "usageMetadata",
                    "promptTokenCount",
                    "error",
                    "details",
                    "groundingMetadata",
                    "groundingSupports",
                    "segment",
                    "index",
                    "partialArgs",
                    "systemInstruction",
                    "toolConfig",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=14,
)


@settings(max_examples=400, deadline=None)
@given(broken() | anything)
def test_odd_shapes_are_refused_and_never_crash(value: Any) -> None:
    """Whatever JSON comes, requests raise InvalidRequest, replies ProviderFailed, and the rest answers something."""
    body = msgspec.json.encode(value)
    with contextlib.suppress(InvalidRequest):
        request = GOOGLE.decode_request(body)
        GOOGLE.encode_request(request, Gaps("google", "drop"))
        older = msgspec.structs.replace(request, model="gemini-1.5-pro", dialect="")
        GOOGLE.encode_request(older, Gaps("google", "drop"))
    with contextlib.suppress(ProviderFailed):
        GOOGLE.encode_reply(GOOGLE.decode_reply(body), ChatRequest("", ()))
    with contextlib.suppress(ProviderFailed):
        GOOGLE.reply_usage(body)
    with contextlib.suppress(ProviderFailed):
        events([answer("a", finish=None), value, value])
    frame = b"data: " + body + b"\n\n"
    GOOGLE.ending([frame])
    GOOGLE.tail_usage([frame])
    assert GOOGLE.decode_error(500, body).status in {401, 500}
    held: Any = value
    if isinstance(held, dict):
        for places in (GOOGLE.request_texts(cast("Json", held)), GOOGLE.reply_texts(cast("Json", held))):
            replace_paths(cast("Json", held), [(place.path, "x") for place in places])
