"""Replies of Converse: every block, every word for the end, and what else stands beside them."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from headgate.chat import (
    ChatReply,
    Choice,
    Citation,
    Image,
    Item,
    Message,
    Opaque,
    Part,
    Reasoning,
    Text,
    ToolCall,
    Usage,
)
from headgate.errors import ProviderFailed
from headgate_bedrock import BedrockConverse
from headgate_bedrock.decode import decode_reply

Json = dict[str, Any]
SIGNATURE = base64.b64encode(b"\x12\x04sign").decode()
FUTURE: Json = {"futureContent": {"a": 1}}
USAGE = {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15}


def decoded(*blocks: Json, stop: str = "end_turn", **members: Any) -> ChatReply:
    body = {"output": {"message": {"role": "assistant", "content": list(blocks)}}, "stopReason": stop, "usage": USAGE}
    return decode_reply(msgspec.json.encode({**body, **members}))


def parts(*blocks: Json) -> tuple[Part, ...]:
    return decoded(*blocks).choices[0].message.parts


def test_a_plain_answer() -> None:
    """Text, its end and what it used; the rest stands beside it. It says no model."""
    reply = decoded({"text": "hi"}, metrics={"latencyMs": 3})
    assert reply == ChatReply(
        "",
        "",
        (Choice(Message("assistant", (Text("hi"),)), "stop", "end_turn"),),
        usage=Usage(10, 5, raw=USAGE),
        dialect="bedrock.converse",
        extra={"metrics": {"latencyMs": 3}},
    )


def test_blocks() -> None:
    """Each kind of block is the part it means; what nobody knows is kept as it is."""
    server: Json = {"toolUse": {"toolUseId": "s", "name": "nova_grounding", "input": {}, "type": "server_tool_use"}}
    found = parts(
        {"reasoningContent": {"reasoningText": {"text": "why", "signature": SIGNATURE}}},
        {"reasoningContent": {"redactedContent": "QUJD"}},
        {"text": ""},
        {"type": "text", "text": "a"},
        {"image": {"format": "png", "source": {"bytes": "QUJD"}}},
        {"toolUse": {"toolUseId": "c", "name": "f", "input": {"a": 1}, "type": "tool_use"}},
        server,
        FUTURE,
    )
    assert found == (
        Reasoning("why", Opaque("anthropic", SIGNATURE)),
        Reasoning("", Opaque("bedrock", "QUJD"), is_redacted=True),
        Text("a"),
        Image(data="QUJD", media_type="image/png"),
        ToolCall("c", "f", '{"a":1}'),
        Item("bedrock.converse", server),
        Item("bedrock.converse", FUTURE),
    )


@pytest.mark.parametrize(
    ("signature", "origin"),
    [(SIGNATURE, "anthropic"), ("CAISBHNpZ24=", "anthropic"), ("QUJD", "bedrock"), ("no base64!", "bedrock")],
)
def test_signatures_have_an_origin(signature: str, origin: str) -> None:
    """Anthropic's signatures are told by their first byte and count on every platform; others count here."""
    part = parts({"reasoningContent": {"reasoningText": {"text": "", "signature": signature}}})[0]
    assert part == Reasoning("", Opaque(origin, signature))


def test_arguments_keep_their_form() -> None:
    """Numbers and order of a call's input are those of the model's JSON."""
    body = (
        b'{"output":{"message":{"content":[{"text":"x"},'
        b'{"toolUse":{"toolUseId":"c","name":"f","input":{"b": 1.50, "a": 123456789012345678901234567890}}}]}},'
        b'"stopReason":"tool_use"}'
    )
    call = BedrockConverse().decode_reply(body).choices[0].message.parts[1]
    assert isinstance(call, ToolCall)
    assert call.arguments == '{"b": 1.50, "a": 123456789012345678901234567890}'


def test_citations() -> None:
    """Text with sources is text with citations; AWS's own object is kept."""
    raw = {
        "title": "Doc",
        "source": "x",
        "sourceContent": [{"text": "q1"}, {"text": "q2"}],
        "location": {"web": {"url": "https://a.example", "domain": "a.example"}},
    }
    part = parts({"citationsContent": {"content": [{"text": "a"}, {"text": "b"}], "citations": [raw, {}]}})[0]
    assert part == Text(
        "ab", citations=(Citation(url="https://a.example", title="Doc", quote="q1q2", raw=raw), Citation(raw={}))
    )


@pytest.mark.parametrize(
    ("raw", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("tool_use", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("malformed_model_output", "error"),
        ("malformed_tool_use", "error"),
        ("something_new", "stop"),
    ],
)
def test_ends(raw: str, finish: str) -> None:
    """The canonical reason by the vendor's word, which is kept; a reply without a call is never `tool_calls`."""
    choice = decoded({"text": "a"}, stop=raw).choices[0]
    assert (choice.finish, choice.finish_raw) == (finish, raw)


@pytest.mark.parametrize(
    ("raw", "finish"), [("end_turn", "tool_calls"), ("tool_use", "tool_calls"), ("max_tokens", "length")]
)
def test_ends_with_calls(raw: str, finish: str) -> None:
    """Calls make the end `tool_calls`, unless the reply was cut."""
    call: Json = {"toolUse": {"toolUseId": "c", "name": "f", "input": {}}}
    assert decoded(call, stop=raw).choices[0].finish == finish


def test_the_answer_in_a_tool() -> None:
    """The input of the tool for answers is the text of the reply, and no call."""
    block = {"toolUse": {"toolUseId": "c", "name": "headgate_output", "input": {"a": 1}}}
    choice = decoded(block, stop="tool_use").choices[0]
    assert choice.message.parts == (Text('{"a":1}'),)
    assert (choice.finish, choice.finish_raw) == ("stop", "tool_use")


@pytest.mark.parametrize(
    ("fields", "stop", "extra"),
    [
        ({"stop_sequence": "END"}, "END", {}),
        ({"delta": {"stop_sequence": None}}, None, {}),
        (None, None, {}),
        ({"stop_sequence": "END", "x": 1}, "END", {"additionalModelResponseFields": {"stop_sequence": "END", "x": 1}}),
    ],
)
def test_the_stop_sequence(fields: Json | None, stop: str | None, extra: Json) -> None:
    """The stop sequence that Claude met is told; other additional fields go to the caller."""
    reply = decoded({"text": "a"}, stop="stop_sequence", additionalModelResponseFields=fields)
    assert (reply.choices[0].stop, reply.extra) == (stop, extra)


@pytest.mark.parametrize(
    ("raw", "usage"),
    [
        (
            {"inputTokens": 10, "outputTokens": 5, "cacheReadInputTokens": 100, "cacheWriteInputTokens": 20},
            (130, 5, 100, 20),
        ),
        ({"outputTokens": 50}, (0, 50, 0, 0)),
        ({"inputTokens": None, "outputTokens": -3, "cacheReadInputTokens": None}, (0, 0, 0, 0)),
    ],
)
def test_usage(raw: Json, usage: tuple[int, int, int, int]) -> None:
    """What was read from and written to the cache is part of the prompt; null and negative numbers count as nothing."""
    found = decoded({"text": "a"}, usage=raw).usage
    assert found is not None
    assert (found.prompt, found.completion, found.cached, found.cache_write) == usage
    assert found.raw == raw


def test_tier_and_router() -> None:
    """The tier that served is told, and the model that a prompt router chose."""
    trace = {"promptRouter": {"invokedModelId": "anthropic.claude-y"}}
    reply = decoded({"text": "a"}, serviceTier={"type": "flex"}, trace=trace)
    assert (reply.service_tier, reply.model, reply.extra) == ("flex", "anthropic.claude-y", {"trace": trace})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"output":{"message":{"content":7}}}',
        b'{"output":{"message":{"content":[{"toolUse":{"toolUseId":"c"}}]}}}',
        b'{"output":{"message":{"content":[{"text":5}]}}}',
        b'{"output":{"message":{"content":[{"toolUse":7}]}}}',
        b"\xff",
    ],
)
def test_what_is_no_reply(body: bytes) -> None:
    """Whatever else comes is the vendor's failure, never a crash and never half an answer."""
    with pytest.raises(ProviderFailed) as caught:
        BedrockConverse().decode_reply(body)
    assert caught.value.error_code == "upstream_bad_reply"


def test_usage_of_a_relayed_reply() -> None:
    """Usage is read from the bytes of a whole reply; a body that is no JSON fails."""
    assert BedrockConverse().reply_usage(b'{"usage":{"inputTokens":3,"outputTokens":4}}') == Usage(
        3, 4, raw={"inputTokens": 3, "outputTokens": 4}
    )
    assert BedrockConverse().reply_usage(b"{}") is None
    with pytest.raises(ProviderFailed):
        BedrockConverse().reply_usage(b"<html>")
