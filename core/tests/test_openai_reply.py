"""OpenAI chat completions: read from every vendor, and written for clients as the official types have them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from core.tests.openai_samples import CHAT, Json, check_reply, decode, encoded, replies, request
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from headgate.chat import (
    Audio,
    ChatReply,
    ChatRequest,
    Choice,
    Citation,
    Image,
    Item,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    Usage,
)
from headgate.dialects.openai.message import decode_message
from headgate.dialects.openai.reply import FINISH
from headgate.errors import ProviderFailed

ASKED = ChatRequest("asked", ())
FOREIGN = ChatReply("id", "m", (), 7, dialect="anthropic.messages")


def reply_of(message: Json, finish: str | None = "stop", **members: Any) -> ChatReply:
    choice = {"index": 0, "message": message, "finish_reason": finish, **members}
    return CHAT.decode_reply(encoded({"id": "chatcmpl-1", "choices": [choice]}))


def written(reply: ChatReply, asked: ChatRequest = ASKED) -> Json:
    """A reply as a client gets it."""
    return json.loads(CHAT.encode_reply(reply, asked))


def answer(*parts: Part, finish: Any = "stop", asked: ChatRequest = ASKED, **members: Any) -> Json:
    """The choice that a client gets of a foreign reply with these parts."""
    choice = Choice(Message("assistant", parts), finish, **members)
    body = written(replace(FOREIGN, choices=(choice,)), asked)
    check_reply(body)
    return body["choices"][0]


# round trips


@settings(deadline=None)
@given(replies())
@example({"choices": [{"index": 0, "message": {"role": "assistant", "content": None, "refusal": "no"}}]})
def test_a_reply_keeps_its_meaning(data: Json) -> None:
    """Decoded, encoded and decoded again, a reply means what it meant; pieces of its text are one."""
    first = CHAT.decode_reply(encoded(data))
    again = CHAT.decode_reply(CHAT.encode_reply(first, ASKED))
    assert [choice.message.text for choice in again.choices] == [choice.message.text for choice in first.choices]
    assert [_other_parts(choice) for choice in again.choices] == [_other_parts(choice) for choice in first.choices]
    assert again.extra.items() >= first.extra.items()
    assert _counts(again) == _counts(first)
    for mine, theirs in zip(again.choices, first.choices, strict=True):
        assert mine.message.extra == theirs.message.extra
        assert theirs.finish in {None, mine.finish}


def _other_parts(choice: Choice) -> list[Part]:
    """The parts but the texts; a call without arguments has an empty object of them."""
    parts = [part for part in choice.message.parts if not isinstance(part, Text)]
    return [
        replace(part, arguments=part.arguments or "{}") if isinstance(part, ToolCall) and not part.custom else part
        for part in parts
    ]


def _counts(reply: ChatReply) -> Usage | None:
    return None if reply.usage is None else replace(reply.usage, raw=None)


TEXTS = st.text(max_size=6)
LOGPROBS: Json = {"content": []}
OPAQUES = st.none() | st.builds(Opaque, TEXTS, TEXTS, TEXTS)
CITED = st.builds(Citation, st.none() | TEXTS, st.none() | TEXTS, st.none() | TEXTS, st.none() | st.integers(0, 9))
PARTS = st.one_of(
    st.builds(Text, TEXTS, citations=st.lists(CITED, max_size=2).map(tuple), opaque=OPAQUES),
    st.builds(Reasoning, TEXTS, OPAQUES, st.booleans(), st.booleans(), st.none() | TEXTS),
    st.builds(Refusal, TEXTS),
    st.builds(ToolCall, TEXTS, TEXTS, TEXTS, opaque=OPAQUES),
    st.builds(ToolCall, TEXTS, TEXTS, TEXTS, custom=st.just(True)),
    st.builds(Image, url=TEXTS) | st.builds(Image, data=TEXTS, media_type=TEXTS),
    st.builds(Audio, TEXTS, TEXTS, st.none() | TEXTS, st.none() | TEXTS),
    st.builds(Item, TEXTS, st.dictionaries(TEXTS, TEXTS, max_size=2)),
)
MEMBERS = st.dictionaries(st.sampled_from(["content", "logprobs", "index", "message", "role", "usage", "x"]), TEXTS)
CHOICES = st.builds(
    Choice,
    st.builds(Message, st.just("assistant"), st.lists(PARTS, max_size=4).map(tuple), extra=MEMBERS),
    st.sampled_from(["stop", "length", "tool_calls", "content_filter", None]),
    st.none() | TEXTS,
    st.none() | TEXTS,
    st.integers(0, 3),
    st.none() | st.sampled_from([{"tokens": [1]}, LOGPROBS]),
    MEMBERS,
)
REPLIES = st.builds(
    ChatReply,
    TEXTS,
    TEXTS,
    st.lists(CHOICES, max_size=3).map(tuple),
    st.integers(0, 9),
    st.none() | st.builds(Usage, st.integers(0, 9), st.integers(0, 9)),
    st.sampled_from([None, "default", "standard", "batch"]),
    st.just("anthropic.messages"),
    MEMBERS,
)


@settings(max_examples=150, deadline=None)
@given(REPLIES, st.booleans())
def test_any_reply_is_valid(reply: ChatReply, legacy: bool) -> None:
    """Whatever another dialect's model answers, the official types take it, and choices are numbered from 0."""
    asked = decode(request(functions=[{"name": "f"}])) if legacy else ASKED
    checked = check_reply(written(reply, asked))
    assert [choice.index for choice in checked.choices] == list(range(len(reply.choices)))


# what vendors say


@pytest.mark.parametrize(
    ("word", "expected", "beside_calls"),
    [
        ("stop", "stop", "tool_calls"),
        ("eos", "stop", "tool_calls"),
        ("length", "length", "length"),
        ("model_length", "length", "length"),
        ("tool_calls", "tool_calls", "tool_calls"),
        ("function_call", "tool_calls", "tool_calls"),
        ("content_filter", "content_filter", "content_filter"),
        ("SAFETY", "content_filter", "content_filter"),
        ("content_filter: RECITATION", "content_filter", "content_filter"),
        ("function_call_filter: MALFORMED_FUNCTION_CALL", "error", "error"),
        ("error", "error", "error"),
        (None, None, "tool_calls"),
        ("", None, "tool_calls"),
    ],
)
def test_why_it_ended(word: str | None, expected: str | None, beside_calls: str) -> None:
    """The vendor's word is kept; a reply with calls has ended for them, whatever it calls that."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    plain, calling = reply_of({"content": "x"}, word), reply_of({"content": None, "tool_calls": [call]}, word)
    assert (plain.choices[0].finish, plain.choices[0].finish_raw) == (expected, word)
    assert calling.choices[0].finish == beside_calls


def test_words_are_known_in_lower_case() -> None:
    """They are looked up so."""
    assert [word for word in FINISH if word != word.lower()] == []


def test_a_filtered_choice_has_no_message() -> None:
    """Azure answers a filtered request with a choice that holds the filter's findings alone."""
    found = {"hate": {"filtered": True}}
    data = {"choices": [{"index": 0, "finish_reason": "content_filter", "content_filter_results": found}]}
    reply = CHAT.decode_reply(encoded(data))
    extra = {"content_filter_results": found}
    assert reply.choices == (Choice(Message("assistant"), "content_filter", "content_filter", extra=extra),)
    assert written(reply)["choices"][0]["content_filter_results"] == found


def test_an_error_with_a_status_of_200_is_one() -> None:
    """Some vendors say an error where an answer should be: their words are passed on."""
    with pytest.raises(ProviderFailed, match="the vendor says: too rude"):
        CHAT.decode_reply(encoded({"error": {"message": "too rude", "code": "content_filter"}}))


def test_calls_without_an_id_get_one() -> None:
    """It is the same for the same reply, and differs between calls."""
    call = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
    reply = reply_of({"tool_calls": [call, {**call, "id": ""}, {**call, "id": "c"}]})
    ids = [part.id for part in reply.choices[0].message.parts if isinstance(part, ToolCall)]
    assert ids == ["call_chatcmpl1_0_0", "call_chatcmpl1_0_1", "c"]
    legacy = reply_of({"content": None, "function_call": {"name": "f", "arguments": "{}"}}, "function_call")
    assert legacy.choices[0].message.parts == (ToolCall("call_chatcmpl1_0_0", "f", "{}"),)


def test_vendors_own_members_ride_along() -> None:
    """At their own depth; those that say nothing do not."""
    data = {
        "id": "x",
        "choices": [
            {
                "message": {"content": "a", "executed_tools": [1]},
                "finish_reason": "stop",
                "stop_reason": "END",
                "seed": None,
            }
        ],
        "citations": ["u"],
        "service_tier": "flex",
        "system_fingerprint": None,
    }
    reply = CHAT.decode_reply(encoded(data))
    assert (reply.extra, reply.service_tier, reply.dialect) == ({"citations": ["u"]}, "flex", "openai.chat")
    choice = reply.choices[0]
    assert (choice.message.extra, choice.extra, choice.stop) == ({"executed_tools": [1]}, {}, "END")
    assert written(reply)["citations"] == ["u"]


def test_thinking_in_a_list_of_content() -> None:
    """Mistral's thinking parts are thinking, and its sources are blocks of its own."""
    content = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}], "closed": True},
        {"type": "text", "text": "4"},
        {"type": "reference", "reference_ids": [1]},
    ]
    assert reply_of({"role": "assistant", "content": content}).choices[0].message.parts == (
        Reasoning("hm", extra={"closed": True}),
        Text("4"),
        Item("openai.chat", {"type": "reference", "reference_ids": [1]}),
    )


# what clients get


def test_the_shape_that_is_sent() -> None:
    """The wire form of an answer, as the API reference writes it."""
    choice = Choice(Message("assistant", (Text("a"), Text("b"))), "stop", "end_turn")
    body = written(replace(FOREIGN, choices=(choice,), usage=Usage(2, 3, cached=1), service_tier="standard"))
    check_reply(body)
    assert body == {
        "id": "id",
        "object": "chat.completion",
        "created": 7,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "ab", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
                "native_finish_reason": "end_turn",
            }
        ],
        "service_tier": "default",
        "usage": {
            "prompt_tokens": 2,
            "completion_tokens": 3,
            "total_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 1, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
    }


def test_calls_with_nothing_to_say_have_an_empty_object() -> None:
    """Clients parse arguments; content beside calls may be null."""
    told = answer(ToolCall("c", "f", ""), finish="tool_calls")
    assert told["message"]["tool_calls"] == [
        {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    ]
    assert told["message"]["content"] is None
    assert answer(Reasoning("hm"))["message"]["content"] == ""


def test_a_signed_text_behind_calls_comes_back_behind_them() -> None:
    """Gemini signs the end of an answer too: what came behind the calls goes back behind them."""
    signed = Text("", opaque=Opaque("google", "s"))
    parts = (Text("a"), ToolCall("c", "f", "{}"), signed)
    message = answer(*parts, finish="tool_calls")["message"]
    assert message["extra_content"] == {"google": {"thought_signature": "s", "behind_calls": True}}
    back = decode_message(message, "messages[0]")
    assert back.parts == parts
    assert back.extra == {}


def test_signatures_travel_with_what_they_sign() -> None:
    """On calls and texts, under the name of their origin; the account stands beside where it is known."""
    message = answer(
        Text("a", opaque=Opaque("google", "s1")), ToolCall("c", "f", "{}", opaque=Opaque("x", "s2", "acc"))
    )["message"]
    assert message["extra_content"] == {"google": {"thought_signature": "s1"}}
    assert message["tool_calls"][0]["extra_content"] == {"x": {"signature": "s2", "account": "acc"}}


def test_sources_are_annotations() -> None:
    """Places count from the begin of the content; what the vendor said is kept, as its own annotation or beside ours."""
    own = {"type": "url_citation", "url_citation": {"url": "v", "title": "t", "x": 1}}
    message = answer(
        Text("abc"),
        Text("def", citations=(Citation("u", quote="q", start=1, end=2, raw={"a": 1}), Citation("v", "t", raw=own))),
    )["message"]
    assert message["annotations"] == [
        {
            "type": "url_citation",
            "url_citation": {"title": "", "url": "u", "quote": "q", "start_index": 4, "end_index": 5},
            "raw": {"a": 1},
        },
        {"type": "url_citation", "url_citation": {"url": "v", "title": "t", "x": 1, "start_index": 3, "end_index": 6}},
    ]
    back = decode(request(messages=[{**message, "content": "abcdef"}])).messages[0].parts[0]
    assert isinstance(back, Text)
    assert back.citations[0] == Citation("u", None, "q", 4, 5, {"a": 1})


def test_pictures_sounds_and_blocks_of_a_model() -> None:
    """Each has its member, and comes back as it was."""
    parts = (
        Item("anthropic.messages", {"type": "server_tool_use", "id": "s"}),
        Image(data="AAAA", media_type="image/png"),
        Audio("AAAA", "", "hi", "audio_1", {"expires_at": 5}),
    )
    message = answer(*parts)["message"]
    assert message["images"] == [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    assert message["audio"] == {"id": "audio_1", "data": "AAAA", "transcript": "hi", "expires_at": 5}
    assert message["provider_items"] == [{"type": "server_tool_use", "id": "s", "dialect": "anthropic.messages"}]
    assert decode(request(messages=[message])).messages[0].parts == parts


def test_thoughts_are_hidden_from_those_who_do_not_want_them() -> None:
    """`reasoning.exclude` keeps them out of the answer."""
    hidden = replace(ASKED, thinking=Thinking("low", is_shown=False))
    part = Reasoning("hm", Opaque("anthropic", "s"))
    assert answer(part, Text("a"), asked=hidden)["message"] == {"role": "assistant", "content": "a", "refusal": None}


def test_callers_with_functions_get_a_function_call() -> None:
    """The older form has room for one; any other stands where it is seen."""
    asked = decode(request(functions=[{"name": "f"}]))
    told = answer(ToolCall("c", "f", "{}"), ToolCall("d", "g", "{}"), finish="tool_calls", asked=asked)
    assert told["message"]["function_call"] == {"name": "f", "arguments": "{}"}
    assert [call["id"] for call in told["message"]["tool_calls"]] == ["d"]
    assert told["finish_reason"] == "function_call"


def test_members_of_others_do_not_stand_for_openais() -> None:
    """A foreign member with the name of one of OpenAI's is left out, all others are kept beside."""
    message = Message("assistant", (Text("a"),), extra={"role": "model", "container": {"id": "c"}})
    choice = Choice(message, "error", "MALFORMED", "END", logprobs={"tokens": [1]}, extra={"index": "z", "score": 1})
    body = written(replace(FOREIGN, choices=(choice,), service_tier="batch", extra={"object": "o", "citations": ["u"]}))
    assert body["choices"][0] == {
        "score": 1,
        "index": 0,
        "message": {"container": {"id": "c"}, "role": "assistant", "content": "a", "refusal": None},
        "logprobs": None,
        "native_logprobs": {"tokens": [1]},
        "finish_reason": "error",
        "native_finish_reason": "MALFORMED",
        "stop_reason": "END",
    }
    assert (body["object"], body["citations"], body["native_service_tier"]) == ("chat.completion", ["u"], "batch")


def test_a_cost_stays_in_the_usage() -> None:
    """What an OpenAI-shaped vendor says beyond the counts is kept; another vendor's object is not mixed in."""
    raw = {"prompt_tokens": 1, "completion_tokens": 2, "cost": 0.5}
    choice = Choice(Message("assistant", (Text("a"),)), "stop")
    assert written(replace(FOREIGN, choices=(choice,), usage=Usage(1, 2, raw=raw)))["usage"]["cost"] == 0.5
    assert "input_tokens" not in written(replace(FOREIGN, usage=Usage(1, 2, raw={"input_tokens": 1})))["usage"]
