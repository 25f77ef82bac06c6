"""Whole answers of Gemini, read, and whole answers of anybody as Google's clients read them."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import msgspec
import pytest
from core.tests.google_wire import GOOGLE, answer, ask, check_reply, decode, read, turn, write
from core.tests.google_wire import said as chunks_of

from headgate.chat import (
    Audio,
    ChatReply,
    Choice,
    Citation,
    FinishReason,
    Image,
    Item,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    Usage,
    replay,
)
from headgate.dialects.gaps import Gaps
from headgate.errors import ProviderFailed

USED = {
    "promptTokenCount": 100,
    "cachedContentTokenCount": 60,
    "toolUsePromptTokenCount": 10,
    "candidatesTokenCount": 20,
    "thoughtsTokenCount": 30,
    "totalTokenCount": 160,
    "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 7}, {"modality": "TEXT", "tokenCount": 93}],
}


def said_by(*parts: Part, finish: FinishReason = "stop", **fields: Any) -> ChatReply:
    return ChatReply("id", "m", (Choice(Message("assistant", parts), finish, **fields),))


def test_an_answer() -> None:
    """Text, thoughts and the head of a reply find their places."""
    reply = read(
        answer({"text": "hm", "thought": True}, "Hello", createTime="2026-01-02T03:04:05.678901Z", modelStatus={})
    )
    assert (reply.id, reply.model, reply.created, reply.dialect) == (
        "abcDEF-123_4567",
        "gemini-2.5-flash",
        1_767_323_045,
        "google.generate",
    )
    assert reply.choices == (
        Choice(Message("assistant", (Reasoning("hm", is_summary=True), Text("Hello"))), "stop", "STOP"),
    )
    assert reply.extra == {"modelStatus": {}}


def test_a_text_in_pieces() -> None:
    """Plain texts side by side are one, as they are in a stream; what is signed or stands behind something else is its own."""
    signed = {"text": "c", "thoughtSignature": "c2ln"}
    [choice] = read(answer("It i", "s sunny", signed, "d", {"text": "hm", "thought": True}, "e", "f")).choices
    texts = (Text("It is sunny"), Text("c", opaque=Opaque("google", "c2ln")), Text("d"))
    assert choice.message.parts == (*texts, Reasoning("hm", is_summary=True), Text("ef"))


def test_calls() -> None:
    """Calls end in `tool_calls`, keep their arguments and signatures, and have ids that nobody else has."""
    body = msgspec.json.encode(
        answer(
            {"functionCall": {"name": "f", "args": {"a": "X"}}, "thoughtSignature": "c2ln"},
            {"functionCall": {"name": "f", "args": {}}},
            {"functionCall": {"id": "w6geog7o", "name": "g"}},
        )
    ).replace(b'"X"', b"1.50")
    [choice] = GOOGLE.decode_reply(body).choices
    assert (choice.finish, choice.finish_raw) == ("tool_calls", "STOP")
    assert choice.message.parts == (
        ToolCall("call_bcDEF1234567_0", "f", '{"a":1.50}', 0, opaque=Opaque("google", "c2ln")),
        ToolCall("call_bcDEF1234567_1", "f", "{}", 1),
        ToolCall("gemini_w6geog7o", "g", "", 2),
    )
    assert GOOGLE.decode_reply(body) == GOOGLE.decode_reply(body)


def test_ids_without_a_reply_id() -> None:
    """Calls of replies that do not say their id differ by what they ask for."""
    made = [
        read({**answer({"functionCall": {"name": "f", "args": {"n": n}}}), "responseId": None})
        .choices[0]
        .message.parts[0]
        for n in (1, 2)
    ]
    assert len({part.id for part in made if isinstance(part, ToolCall)}) == 2


@pytest.mark.parametrize(
    ("word", "finish"),
    [
        ("STOP", "stop"),
        (1, "stop"),
        ("MAX_TOKENS", "length"),
        (2, "length"),
        ("CONTINUATION", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("LANGUAGE", "content_filter"),
        ("BLOCKLIST", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("SPII", "content_filter"),
        ("IMAGE_SAFETY", "content_filter"),
        ("MODEL_ARMOR", "content_filter"),
        ("MALFORMED_FUNCTION_CALL", "error"),
        ("UNEXPECTED_TOOL_CALL", "error"),
        ("TOO_MANY_TOOL_CALLS", "error"),
        ("MALFORMED_RESPONSE", "error"),
        ("MISSING_THOUGHT_SIGNATURE", "error"),
        ("OTHER", "error"),
        ("SOMETHING_NEW", "error"),
        ("FINISH_REASON_UNSPECIFIED", None),
        (None, None),
    ],
)
def test_finish_reasons(word: Any, finish: FinishReason | None) -> None:
    """Every word has its meaning and is kept; none of a failure becomes a plain stop."""
    [choice] = read(answer("x", finish=word)).choices
    assert choice.finish == finish
    assert choice.finish_raw == (None if finish is None else {1: "STOP", 2: "MAX_TOKENS"}.get(word, word))


def test_a_blocked_prompt() -> None:
    """A prompt that was refused is an empty answer, with the reason beside it."""
    feedback: dict[str, Any] = {"blockReason": "PROHIBITED_CONTENT", "safetyRatings": []}
    reply = read({"promptFeedback": feedback, "usageMetadata": {"promptTokenCount": 4, "totalTokenCount": 4}})
    [choice] = reply.choices
    assert (choice.message.parts, choice.finish, choice.finish_raw) == ((), "content_filter", "PROHIBITED_CONTENT")
    assert choice.extra == {"promptFeedback": feedback}
    assert reply.usage is not None
    assert (reply.usage.prompt, reply.usage.completion) == (4, 0)
    assert write(reply)["promptFeedback"] == feedback


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b"not json", b'{"candidates": 5}', b'{"usageMetadata": {}}', b'"x"']
)
def test_what_is_no_answer(body: bytes) -> None:
    """A reply of another shape, or one without any answer, is the provider's failure."""
    with pytest.raises(ProviderFailed):
        GOOGLE.decode_reply(body)


def test_an_error_that_is_labelled_as_an_answer() -> None:
    """Its own words are what the failure says."""
    with pytest.raises(ProviderFailed, match="overloaded"):
        GOOGLE.decode_reply(b'{"error": {"code": 503, "message": "overloaded"}}')


def test_content_without_parts() -> None:
    """A candidate may have no parts, or no content at all."""
    body = {
        "candidates": [
            {"content": {"role": "model"}, "finishReason": "MAX_TOKENS"},
            {"index": 1, "finishReason": "OTHER"},
        ]
    }
    assert [choice.message.parts for choice in read(body).choices] == [(), ()]


def test_usage() -> None:
    """The prompt holds cached tokens and what tools brought in, the completion holds thoughts; together they are the total."""
    usage = read(answer("x", usageMetadata=USED)).usage
    assert usage == Usage(110, 50, 60, 0, 30, 7, 0, USED)
    assert usage is not None
    assert usage.total == USED["totalTokenCount"]


def test_odd_usage() -> None:
    """Null counts as nothing, as do negative and absent numbers; usage that only names the traffic says nothing."""
    odd = {"promptTokenCount": None, "candidatesTokenCount": -1, "totalTokenCount": 0, "cachedContentTokenCount": 9}
    assert read(answer("x", usageMetadata=odd)).usage == Usage(raw=odd)
    assert read(answer("x", usageMetadata={"trafficType": "ON_DEMAND"})).usage is None
    assert read(answer("x", usageMetadata={"promptTokenCount": 1, "serviceTier": "standard"})).service_tier == "default"


def test_usage_of_relayed_replies() -> None:
    """Usage is found in a whole reply, in an array of chunks, and in the last events of a stream."""
    body = msgspec.json.encode(answer("x", usageMetadata=USED))
    first = msgspec.json.encode(answer("x", usageMetadata={"promptTokenCount": 1}))
    assert (
        GOOGLE.reply_usage(body)
        == GOOGLE.reply_usage(b"[" + first + b"," + body + b"]")
        == Usage(110, 50, 60, 0, 30, 7, 0, USED)
    )
    traffic = msgspec.json.encode({"usageMetadata": {"trafficType": "ON_DEMAND"}})
    tail = [b"data: " + data + b"\r\n\r\n" for data in (first, body, traffic)]
    assert GOOGLE.tail_usage(tail) == GOOGLE.reply_usage(body)
    assert (GOOGLE.reply_usage(b"{}"), GOOGLE.tail_usage([b": ping\n\n"])) == (None, None)
    with pytest.raises(ProviderFailed):
        GOOGLE.reply_usage(b"<html>")


def test_citations() -> None:
    """Sources are on the text they belong to, by characters and not by bytes; the metadata stays as well."""
    grounding = {
        "groundingChunks": [{"web": {"uri": "https://a.example", "title": "A"}}, {"web": {"uri": "https://b.example"}}],
        "groundingSupports": [
            {"segment": {"endIndex": 7, "text": "Zürich"}, "groundingChunkIndices": [0, 1, 9]},
            {"segment": {"partIndex": 1, "startIndex": 1, "endIndex": 3}, "groundingChunkIndices": [0]},
        ],
    }
    body = answer("Zürich", " is big")
    body["candidates"][0]["groundingMetadata"] = grounding
    [choice] = read(body).choices
    first, second = choice.message.parts
    assert isinstance(first, Text)
    assert isinstance(second, Text)
    assert [(one.url, one.title, one.quote, one.start, one.end) for one in first.citations] == [
        ("https://a.example", "A", "Zürich", 0, 6),
        ("https://b.example", None, "Zürich", 0, 6),
    ]
    assert [(one.start, one.end) for one in second.citations] == [(1, 3)]
    assert choice.extra == {"groundingMetadata": grounding}


def test_other_parts() -> None:
    """Pictures, sounds, films and blocks of Google's own."""
    code = {"executableCode": {"language": "PYTHON", "code": "1"}}
    film = {"inlineData": {"mimeType": "video/mp4", "data": "CC=="}}
    [choice] = read(
        answer(
            {"inlineData": {"mimeType": "image/png", "data": "AA"}},
            {"inlineData": {"mimeType": "audio/L16;rate=24000", "data": "BB"}},
            film,
            code,
        )
    ).choices
    assert choice.message.parts == (
        Image(data="AA==", media_type="image/png"),
        Audio("BB==", "pcm16", extra={"inlineData": {"mimeType": "audio/L16;rate=24000"}}),
        Item("google.generate", film),
        Item("google.generate", code),
    )


def test_log_probabilities() -> None:
    """They have OpenAI's shape inside, and Google's again for a client."""
    body = answer("é")
    body["candidates"][0]["logprobsResult"] = {
        "chosenCandidates": [{"token": "é", "logProbability": -0.5}],
        "topCandidates": [
            {"candidates": [{"token": "é", "logProbability": -0.5}, {"token": "e", "logProbability": -2}]}
        ],
    }
    reply = read(body)
    assert reply.choices[0].logprobs["content"][0] == {
        "token": "é",
        "logprob": -0.5,
        "bytes": [195, 169],
        "top_logprobs": [
            {"token": "é", "logprob": -0.5, "bytes": [195, 169]},
            {"token": "e", "logprob": -2, "bytes": [101]},
        ],
    }
    assert write(reply)["candidates"][0]["logprobsResult"] == body["candidates"][0]["logprobsResult"]


def test_a_stream_that_came_as_an_array() -> None:
    """A JSON array of chunks is the reply that they make."""
    chunks = [answer("Hel", finish=None), answer("lo", usageMetadata=USED)]
    reply = GOOGLE.decode_reply(b"\n" + msgspec.json.format(msgspec.json.encode(chunks)))
    assert (reply.choices[0].message.text, reply.choices[0].finish, reply.dialect) == (
        "Hello",
        "stop",
        "google.generate",
    )
    assert reply.usage == read(answer("x", usageMetadata=USED)).usage
    with pytest.raises(ProviderFailed):
        GOOGLE.decode_reply(msgspec.json.encode(chunks[:1]))


def test_an_answer_to_a_client() -> None:
    """Texts, thoughts, refusals and calls are parts; ids of calls are there for clients to send back."""
    reply = ChatReply(
        "r1",
        "gpt-5",
        (
            Choice(
                Message(
                    "assistant",
                    (
                        Reasoning("why", Opaque("openai", "enc", "acc"), item_id="rs_1"),
                        Text("hi"),
                        Refusal("no"),
                        ToolCall("call_1", "f", '{"a": 1}', opaque=Opaque("google", "c2ln")),
                        ToolCall("gemini_x1", "g", "", 1),
                    ),
                ),
                "tool_calls",
                "tool_calls",
            ),
        ),
        created=1_700_000_000,
        usage=Usage(10, 7, 4, 0, 5),
        dialect="openai.chat",
        extra={"system_fingerprint": None},
    )
    body = json.loads(GOOGLE.encode_reply(reply, ask()))
    sealed = b64encode(b"headgate.item:openai:acc:rs_1:enc").decode()
    assert body == {
        "system_fingerprint": None,
        "candidates": [
            {
                "content": {
                    "role": "model",
                    "parts": [
                        {"text": "why", "thought": True, "thoughtSignature": sealed},
                        {"text": "hi"},
                        {"text": "no"},
                        {"functionCall": {"id": "call_1", "name": "f", "args": {"a": 1}}, "thoughtSignature": "c2ln"},
                        {"functionCall": {"id": "x1", "name": "g", "args": {}}},
                    ],
                },
                "index": 0,
                "finishReason": "STOP",
            }
        ],
        "usageMetadata": {
            "promptTokenCount": 10,
            "candidatesTokenCount": 2,
            "totalTokenCount": 17,
            "thoughtsTokenCount": 5,
            "cachedContentTokenCount": 4,
        },
        "modelVersion": "gpt-5",
        "responseId": "r1",
        "createTime": "2023-11-14T22:13:20Z",
    }
    del body["system_fingerprint"]
    assert [call.id for call in check_reply(body).function_calls or ()] == ["call_1", "x1"]


@pytest.mark.parametrize(
    ("finish", "raw", "said"),
    [
        ("stop", "stop", {"finishReason": "STOP"}),
        ("stop", "end_turn", {"finishReason": "STOP", "finishMessage": "end_turn"}),
        ("length", "max_tokens", {"finishReason": "MAX_TOKENS", "finishMessage": "max_tokens"}),
        ("content_filter", "content_filter", {"finishReason": "SAFETY"}),
        ("content_filter", "RECITATION", {"finishReason": "RECITATION"}),
        ("error", "MALFORMED_FUNCTION_CALL", {"finishReason": "MALFORMED_FUNCTION_CALL"}),
        ("error", None, {"finishReason": "OTHER"}),
    ],
)
def test_finish_reasons_for_clients(finish: FinishReason, raw: str | None, said: dict[str, Any]) -> None:
    """Google's own word where it was one; another vendor's word stands beside what it means."""
    candidate = write(said_by(Text("x"), finish=finish, finish_raw=raw))["candidates"][0]
    assert {name: value for name, value in candidate.items() if name.startswith("finish")} == said


@pytest.mark.parametrize(
    ("raw", "said"),
    [("stop_sequence", 'stop_sequence: "END\\n"'), ("stop", 'stop: "END\\n"'), (None, 'stop: "END\\n"')],
)
def test_the_stop_sequence_for_clients(raw: str | None, said: str) -> None:
    """Google has no member for it: the message about the end tells it as JSON, whole and in a stream."""
    reply = said_by(Text("x"), finish_raw=raw, stop="END\n")
    candidate = write(reply)["candidates"][0]
    assert (candidate["finishReason"], candidate["finishMessage"]) == ("STOP", said)
    assert chunks_of(list(replay(reply)))[-1]["candidates"][0]["finishMessage"] == said


def test_the_transcript_of_a_sound() -> None:
    """What is said in a sound stands beside it, for a client whole and in a stream, and is read there of a vendor."""
    reply = said_by(Audio("QkJC", "wav", "hello"))
    [part] = write(reply)["candidates"][0]["content"]["parts"]
    assert part == {"inlineData": {"mimeType": "audio/wav", "data": "QkJC"}, "audioTranscription": {"text": "hello"}}
    assert chunks_of(list(replay(reply)))[0]["candidates"][0]["content"]["parts"] == [part]
    more = {**part, "audioTranscription": {"text": "hello", "languageCode": "en"}}
    found = read(answer(part, more)).choices[0].message.parts
    assert found == (
        Audio("QkJC", "wav", "hello"),
        Audio("QkJC", "wav", "hello", extra={"audioTranscription": {"languageCode": "en"}}),
    )


def test_a_sound_goes_back_to_google_with_its_transcript() -> None:
    """What a client of Google's sends back is what it got."""
    spoken: dict[str, Any] = {"text": "a", "words": []}
    part = {"inlineData": {"mimeType": "audio/wav", "data": "QkJC"}, "audioTranscription": spoken}
    body = {"contents": [turn("hi"), turn(part, role="model")]}
    assert json.loads(GOOGLE.encode_request(decode(**body), Gaps("google")))["contents"][1]["parts"] == [part]


def test_blocks_and_media_for_clients() -> None:
    """Pictures and sounds are inline; a block of another provider rides in the metadata of an empty text."""
    parts = write(
        said_by(
            Image(data="QUFB", media_type="image/png"),
            Image(url="https://x.example/a.png"),
            Audio("QkJC", "wav"),
            Item("anthropic.messages", {"type": "server_tool_use", "id": "1"}),
        )
    )["candidates"][0]["content"]["parts"]
    carried = {"dialect": "anthropic.messages", "type": "server_tool_use", "id": "1"}
    assert parts == [
        {"inlineData": {"mimeType": "image/png", "data": "QUFB"}},
        {"fileData": {"fileUri": "https://x.example/a.png"}},
        {"inlineData": {"mimeType": "audio/wav", "data": "QkJC"}},
        {"text": "", "partMetadata": {"provider_item": carried}},
    ]


def test_citations_for_clients() -> None:
    """Sources of another vendor become grounding, in bytes."""
    cited = Text("Zürich is", citations=(Citation("https://a.example", "A", "Zürich", 0, 6),))
    assert write(said_by(cited))["candidates"][0]["groundingMetadata"] == {
        "groundingChunks": [{"web": {"uri": "https://a.example", "title": "A"}}],
        "groundingSupports": [
            {"segment": {"startIndex": 0, "endIndex": 7, "text": "Zürich"}, "groundingChunkIndices": [0]}
        ],
    }


def test_googles_own_reply_goes_out_as_it_came() -> None:
    """A reply of Google's keeps all its members, usage included."""
    body = answer({"text": "a", "thoughtSignature": "c2ln"}, {"functionCall": {"id": "x1", "name": "f", "args": {}}})
    body["candidates"][0] |= {"safetyRatings": [], "finishMessage": "m"}
    body["usageMetadata"] = USED
    assert write(read(body)) == body


@pytest.mark.parametrize(
    "part",
    [
        Reasoning("hm", Opaque("anthropic", "c2ln")),
        Reasoning("hm", Opaque("openai", "c2ln"), item_id="rs_1"),
        ToolCall("a", "f", "{}", opaque=Opaque("mistral", "c2ln", "team")),
        Item("anthropic.messages", {"type": "server_tool_use", "id": "1"}),
    ],
)
def test_what_came_from_others_is_known_again(part: Part) -> None:
    """A client that sends another vendor's signatures or items back must not have them reach Google as they are."""
    own = write(said_by(Reasoning("hm", Opaque("google", "c2ln")), Text("Hi")))["candidates"][0]["content"]
    foreign = write(said_by(part))["candidates"][0]["content"]
    assert not GOOGLE.carries_foreign(msgspec.json.encode({"contents": [own]}))
    assert GOOGLE.carries_foreign(msgspec.json.encode({"contents": [own, foreign]}))


def test_hints_that_another_dialect_may_leave_out() -> None:
    """They are known by Google's own name for them, whichever way a client spells them."""
    request = decode(contents=[turn("hi")], safety_settings=[{"category": "x"}], labels={"a": "b"})
    assert set(request.extra) == {"safetySettings", "labels"}
    gaps = Gaps("openai.chat", hints=GOOGLE.hints)
    gaps.extra(request.extra)
    assert sorted(gaps.dropped) == ["labels", "safetySettings"]


def test_members_of_a_foreign_message_stand_beside_the_content() -> None:
    """As they do in a stream."""
    message = Message("assistant", (Text("a"),), extra={"executed_tools": [{"type": "search"}]})
    held = ChatReply("r", "m", (Choice(message, "stop", extra={"flag": 1}),), created=1, dialect="openai.chat")
    candidate = json.loads(GOOGLE.encode_reply(held, ask()))["candidates"][0]
    assert (candidate["executed_tools"], candidate["flag"]) == ([{"type": "search"}], 1)
    assert candidate["content"] == {"parts": [{"text": "a"}], "role": "model"}
