"""Requests that hold what other providers answered cannot be forwarded as they are, even to a provider of their dialect."""

from __future__ import annotations

import msgspec
import pytest
from core.tests.openai_samples import CHAT, Json, decode, encoded, request

from headgate.chat import (
    ChatReply,
    ChatRequest,
    Choice,
    Item,
    Message,
    Opaque,
    Part,
    Reasoning,
    Text,
    ToolCall,
    replay,
)
from headgate.dialects import Gaps


def with_answer(**members: object) -> Json:
    return request(messages=[{"role": "assistant", "content": "a", **members}])


@pytest.mark.parametrize(
    "part",
    [
        Reasoning("hm", Opaque("anthropic", "s")),
        Reasoning("hm", Opaque("openai", "s", "acc"), item_id="rs"),
        ToolCall("c", "f", "{}", opaque=Opaque("google", "s", "acc")),
        ToolCall("c", "f", "{}", opaque=Opaque("bedrock", "s")),
        Text("a", opaque=Opaque("google", "s", "acc")),
        Item("anthropic.messages", {"type": "server_tool_use"}),
    ],
)
def test_answers_of_others_are_known_when_they_come_back(part: Part) -> None:
    """Whatever a client was given of another provider's says so."""
    reply = ChatReply("id", "m", (Choice(Message("assistant", (part,)), "stop"),), dialect="anthropic.messages")
    message = CHAT.decode_reply(CHAT.encode_reply(reply, ChatRequest("m", ()))).choices[0].message
    assert part in message.parts
    told = CHAT.encode_request(ChatRequest("m", (message,), dialect="openai.chat"), Gaps("vendor"))
    written = decoded_message(CHAT.encode_reply(reply, ChatRequest("m", ())))
    assert CHAT.carries_foreign(encoded(request(messages=[written])))
    assert CHAT.carries_foreign(told) == (not isinstance(part, Item))


def decoded_message(reply: bytes) -> Json:
    return msgspec.json.decode(reply)["choices"][0]["message"]


@pytest.mark.parametrize(
    "body",
    [
        with_answer(),
        with_answer(reasoning_content="hm"),
        with_answer(reasoning_details=[{"type": "reasoning.text", "text": "a", "format": "anthropic-claude-v1"}]),
        with_answer(extra_content={"google": {"thought_signature": "s"}}),
        with_answer(provider_items=[], extra_content=None, tool_calls=None),
        request(messages=[{"role": "user", "content": '"provider_items"'}]),
        request(messages=['"extra_content"']),
    ],
)
def test_what_vendors_write_themselves_is_not_foreign(body: Json) -> None:
    """It is forwarded as it is."""
    assert not CHAT.carries_foreign(encoded(body))


def test_what_is_no_request_is_not_foreign() -> None:
    """It is refused elsewhere."""
    assert not CHAT.carries_foreign(b'["provider_items"]')


def test_a_request_without_what_was_foreign_can_be_sent() -> None:
    """Decoded, stripped and encoded again, it holds nothing of another provider."""
    held = decode(
        with_answer(
            provider_items=[{"dialect": "d", "type": "x"}],
            annotations=[{"type": "url_citation", "url_citation": {"url": "u"}, "raw": {"a": 1}}],
        )
    )
    gaps = Gaps("vendor")
    assert not CHAT.carries_foreign(CHAT.encode_request(held, gaps))
    assert gaps.dropped == ["messages[0].provider_items", "messages[0].annotations"]


def test_a_call_that_the_model_makes_itself_has_no_caller() -> None:
    """Anthropic says so of every call; told to a chat client it would come back, to vendors that do not know the member."""
    call = ToolCall("c", "f", "{}", extra={"caller": {"type": "direct"}, "namespace": "n"})
    held = ChatReply("r", "m", (Choice(Message("assistant", (call,)), "tool_calls"),), dialect="anthropic.messages")
    told = msgspec.json.decode(CHAT.encode_reply(held, ChatRequest("m", ())))["choices"][0]["message"]["tool_calls"][0]
    assert told.keys() == {"id", "type", "function", "namespace"}
    encoder = CHAT.stream_encoder(ChatRequest("m", ()))
    assert b"direct" not in b"".join((*map(encoder.feed, replay(held)), encoder.end()))
