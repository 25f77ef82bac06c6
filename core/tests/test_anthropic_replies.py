"""Anthropic's whole replies and errors: what they mean, and what the official SDK reads of those written here."""

from __future__ import annotations

from typing import Any

import anthropic
import msgspec
import pytest
from core.tests.anthropic_sdk import DIALECT, client, decoded, message, read

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
)
from headgate.errors import ErrorWords, InvalidRequest, ProviderFailed

Json = dict[str, Any]

SEARCH = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}}


def reply_of(*blocks: Json, stop: str | None = "end_turn", **members: Any) -> ChatReply:
    return DIALECT.decode_reply(msgspec.json.encode(message(*blocks, stop=stop, **members)))


def answer(*parts: Part, finish: FinishReason | None = "stop", **fields: Any) -> ChatReply:
    choice = Choice(Message("assistant", parts), finish, **fields)
    return ChatReply("chatcmpl-1234567890", "gpt-5", (choice,), 1, Usage(10, 5, 3, 2, 4), dialect="openai.chat")


def written(reply: ChatReply) -> Json:
    held = DIALECT.encode_reply(reply, decoded())
    read(held)
    return msgspec.json.decode(held)


# what Anthropic says


def test_a_reply_is_understood() -> None:
    """Thinking, text with sources, a search of Anthropic's own and a call are parts in their order."""
    cited = {"type": "web_search_result_location", "url": "https://e.org", "title": "E", "cited_text": "so"}
    reply = reply_of(
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "c2VjcmV0"},
        SEARCH,
        {"type": "text", "text": "It is so.", "citations": [cited]},
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"n": 1.50}, "caller": {"type": "direct"}},
        stop="tool_use",
        container={"id": "c"},
    )
    assert reply.choices[0].message.parts == (
        Reasoning("hm", Opaque("anthropic", "c2ln")),
        Reasoning("", Opaque("anthropic", "c2VjcmV0"), is_redacted=True),
        Item("anthropic.messages", SEARCH),
        Text("It is so.", citations=(Citation("https://e.org", "E", "so", raw=cited),)),
        ToolCall("toolu_1", "f", '{"n":1.5}', extra={"caller": {"type": "direct"}}),
    )
    assert (reply.choices[0].finish, reply.extra) == ("tool_calls", {"container": {"id": "c"}})


def test_inputs_keep_every_byte() -> None:
    """The arguments of a call are the model's own JSON, numbers and spaces included."""
    body = msgspec.json.encode(message({"type": "tool_use", "id": "a", "name": "f", "input": 0}))
    body = body.replace(b'"input":0', b'"input": {"n": 1.50, "big": 12345678901234567890123}')
    call = DIALECT.decode_reply(body).choices[0].message.parts[0]
    assert isinstance(call, ToolCall)
    assert call.arguments == '{"n": 1.50, "big": 12345678901234567890123}'


@pytest.mark.parametrize(
    ("stop", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
        ("something_new", "stop"),
        ("tool_use", "stop"),
        (None, None),
    ],
)
def test_stop_reasons(stop: str | None, finish: str | None) -> None:
    """Every stop reason has its meaning, and the vendor's word stays."""
    choice = reply_of({"type": "text", "text": "x"}, stop=stop).choices[0]
    assert (choice.finish, choice.finish_raw) == (finish, stop)


def test_calls_decide_over_the_stop_reason() -> None:
    """A reply with calls asks for their results, whatever the vendor calls that; one cut off stays cut off."""
    call: Json = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
    assert reply_of(call).choices[0].finish == "tool_calls"
    assert reply_of(call, stop="max_tokens").choices[0].finish == "length"


def test_the_stop_sequence_and_the_refusal() -> None:
    """The sequence that stopped the model is told, and so is why it refused."""
    assert reply_of(stop="stop_sequence", stop_sequence="END").choices[0].stop == "END"
    details = {"type": "refusal", "category": "cyber", "explanation": "no"}
    assert reply_of(stop="refusal", stop_details=details).choices[0].extra == {"stop_details": details}


def test_the_output_tool_is_content() -> None:
    """The input of the reserved tool is the answer, finished as one; a call beside it stays a call."""
    output = {"type": "tool_use", "id": "a", "name": "headgate_output", "input": {"n": 1}}
    choice = reply_of(output, stop="tool_use").choices[0]
    assert (choice.message.parts, choice.finish) == ((Text('{"n":1}'),), "stop")
    other: Json = {"type": "tool_use", "id": "b", "name": "f", "input": {}}
    assert reply_of(other, stop="tool_use").choices[0].finish == "tool_calls"


@pytest.mark.parametrize("body", [b"[]", b"{}", b"<html>", b'{"type":"message","content":[{"type":"text"}]}'])
def test_what_is_no_message_is_the_providers_fault(body: bytes) -> None:
    """A reply in another shape is a failure of the provider."""
    with pytest.raises(ProviderFailed) as caught:
        DIALECT.decode_reply(body)
    assert caught.value.error_code == "upstream_bad_reply"


# usage


def test_usage_counts_the_whole_prompt() -> None:
    """What was read from the cache and written to it belongs to the prompt."""
    raw = {
        "input_tokens": 3,
        "cache_creation_input_tokens": 50,
        "cache_read_input_tokens": 400,
        "output_tokens": 20,
        "output_tokens_details": {"thinking_tokens": 7},
        "service_tier": "standard",
    }
    reply = reply_of(usage=raw)
    assert reply.usage == Usage(453, 20, 400, 50, 7, raw=raw)
    assert reply.service_tier == "default"
    assert DIALECT.reply_usage(msgspec.json.encode({"usage": raw})) == reply.usage


@pytest.mark.parametrize(
    "raw",
    [{"input_tokens": None, "cache_read_input_tokens": -5, "output_tokens": 2}, {"output_tokens": 2.0}],
)
def test_odd_counts(raw: Json) -> None:
    """Null, absent and negative counts are 0."""
    assert reply_of(usage=raw).usage == Usage(0, 2, raw=raw)


def test_no_usage_is_none() -> None:
    """Absent usage is unknown, not zero."""
    assert reply_of(usage=None).usage is None
    assert DIALECT.reply_usage(b"{}") is None
    with pytest.raises(ProviderFailed):
        DIALECT.reply_usage(b"<html>")


# what clients read


def test_the_sdk_reads_a_reply() -> None:
    """A reply of another vendor is a message: thinking, text, calls, stop reason and counts."""
    thought = Reasoning("hm", Opaque("google", "AAAA", "acme"))
    calls = ToolCall("call_1", "f", '{"n": 1}'), ToolCall("call_1", "g", "[1]", 1), ToolCall("", "h", "x", custom=True)
    body = DIALECT.encode_reply(answer(thought, Text("Well."), *calls, finish="tool_calls"), decoded())
    held = read(body)
    assert (held.id, held.model, held.role, held.stop_reason) == (
        "chatcmpl-1234567890",
        "gpt-5",
        "assistant",
        "tool_use",
    )
    assert [block.to_dict() for block in held.content] == [
        {"type": "thinking", "thinking": "hm", "signature": "headgate:google:acme:AAAA"},
        {"type": "text", "text": "Well."},
        {"type": "tool_use", "id": "call_1", "name": "f", "input": {"n": 1}},
        {"type": "tool_use", "id": "toolu_34567890_1", "name": "g", "input": {"arguments": "[1]"}},
        {"type": "tool_use", "id": "toolu_34567890_2", "name": "h", "input": {"input": "x"}},
    ]
    assert held.usage.to_dict() == {
        "input_tokens": 5,
        "cache_creation_input_tokens": 2,
        "cache_read_input_tokens": 3,
        "output_tokens": 5,
        "output_tokens_details": {"thinking_tokens": 4},
    }


@pytest.mark.parametrize(
    "part",
    [
        Reasoning("hm", Opaque("google", "AA:AA", "acme")),
        Reasoning("hm", Opaque("openai", "AAAA"), item_id="rs_1"),
        Reasoning("", Opaque("openrouter", "AAAA"), is_redacted=True),
        Reasoning("hm"),
        Text("x", opaque=Opaque("google", "AAAA", "acme")),
        ToolCall("a", "f", "{}", opaque=Opaque("google", "AAAA")),
    ],
)
def test_thoughts_of_others_come_back(part: Part) -> None:
    """A client that sends an answer back as it came gives every vendor its signature again."""
    content = written(answer(Text("before"), part))["content"]
    request = decoded("x", {"role": "assistant", "content": content}, "y")
    assert request.messages[1].parts == (Text("before"), part)


def test_what_another_vendor_signed_is_known() -> None:
    """A request with another vendor's signatures is told from one that can go out as it is."""
    sealed = b'{"messages": [{"content": [{"type": "thinking", "thinking": "", "signature": "headgate.call:google::AAAA"}]}]}'
    assert DIALECT.carries_foreign(sealed)
    assert DIALECT.carries_foreign(b'{"type":"redacted_thinking","data":"headgate:openrouter:acme:AAAA"}')
    assert not DIALECT.carries_foreign(b'{"type": "thinking", "signature": "c2ln", "text": "headgate: x"}')
    assert not DIALECT.carries_foreign(b'{"text": "\\"signature\\": \\"headgate:x"}')
    assert DIALECT.carries_foreign(b'{"type": "thinking", "thinking": "hm", "signature": ""}')
    assert not DIALECT.carries_foreign(b'{"text": "\\"signature\\": \\"\\""}')


@pytest.mark.parametrize(
    ("finish", "fields", "expected"),
    [
        ("stop", {}, ("end_turn", None)),
        ("length", {"finish_raw": "MAX_TOKENS"}, ("max_tokens", None)),
        ("tool_calls", {}, ("tool_use", None)),
        ("content_filter", {"finish_raw": "SAFETY"}, ("refusal", None)),
        ("stop", {"finish_raw": "pause_turn"}, ("pause_turn", None)),
        ("length", {"finish_raw": "model_context_window_exceeded"}, ("model_context_window_exceeded", None)),
        ("stop", {"stop": "END"}, ("stop_sequence", "END")),
        (None, {}, (None, None)),
    ],
)
def test_why_it_stopped(finish: FinishReason | None, fields: Json, expected: tuple[str | None, str | None]) -> None:
    """A finish is a stop reason; Anthropic's own word is used where the vendor said it."""
    held = written(answer(Text("x"), finish=finish, **fields))
    assert (held["stop_reason"], held["stop_sequence"]) == expected
    native = fields.get("finish_raw")
    assert held.get("native_finish_reason") == (None if native == expected[0] else native)


def test_a_refusal_says_why() -> None:
    """A refusal is text that the model stopped with, and its explanation."""
    held = written(answer(Refusal("I cannot.")))
    assert (held["content"], held["stop_reason"]) == ([{"type": "text", "text": "I cannot."}], "refusal")
    assert held["stop_details"]["explanation"] == "I cannot."


def test_an_answer_that_ended_with_an_error_is_none() -> None:
    """No stop reason can say that the provider failed: the client gets an error."""
    with pytest.raises(ProviderFailed, match="MALFORMED_FUNCTION_CALL"):
        DIALECT.encode_reply(answer(finish="error", finish_raw="MALFORMED_FUNCTION_CALL"), decoded())


def test_what_no_block_can_say_stands_beside() -> None:
    """Pictures, sound and blocks of other vendors are members of the message; a spoken text is text."""
    parts = Image(data="AAAA", media_type="image/png"), Audio("AAAA", "wav", "hello"), Item("x.y", {"type": "z"})
    held = written(answer(Text("see", citations=(Citation("https://e.org", "E"),)), *parts))
    assert [block["text"] for block in held["content"]] == ["see", "hello"]
    assert held["content"][0]["citations"][0]["url"] == "https://e.org"
    assert held["images"] == [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    ]
    assert held["audio"] == [{"data": "AAAA", "format": "wav", "transcript": "hello"}]
    assert held["provider_items"] == [{"type": "z", "dialect": "x.y"}]


def test_members_of_the_vendor_never_hide_the_messages() -> None:
    """Further members of a vendor stay, but not over those of a message."""
    reply = msgspec.structs.replace(answer(Text("x")), extra={"type": "odd", "system_fingerprint": "fp"})
    held = written(reply)
    assert (held["type"], held["system_fingerprint"]) == ("message", "fp")


@pytest.mark.parametrize(
    ("tier", "within", "beside"),
    [("default", "standard", None), ("priority", "priority", None), ("flex", None, "flex"), (None, None, None)],
)
def test_service_tiers(tier: str | None, within: str | None, beside: str | None) -> None:
    """A tier that Anthropic has is part of the usage, any other stands beside."""
    held = written(msgspec.structs.replace(answer(Text("x")), service_tier=tier))
    assert (held["usage"].get("service_tier"), held.get("service_tier")) == (within, beside)


def test_who_called_a_tool() -> None:
    """The caller of a call is told where Anthropic knows it, and never another vendor's."""
    call = ToolCall("a", "f", "{}", extra={"caller": {"type": "program"}, "status": "completed"})
    assert written(answer(call))["content"][0].keys() == {"type", "id", "name", "input", "status"}
    own = ToolCall("a", "f", "{}", extra={"caller": {"type": "code_execution_20250825", "tool_id": "t"}})
    assert written(answer(own))["content"][0]["caller"]["tool_id"] == "t"


def test_an_own_reply_comes_out_as_it_was() -> None:
    """Decoded and encoded again, a message of Anthropic's is the same."""
    said = message(
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        SEARCH,
        {"type": "text", "text": "x", "new": 1},
        {"type": "tool_use", "id": "a", "name": "f", "input": {}},
        stop="tool_use",
        container={"id": "c", "expires_at": "2026-01-01T00:00:00Z"},
    )
    reply = DIALECT.decode_reply(msgspec.json.encode(said))
    assert msgspec.json.decode(DIALECT.encode_reply(reply, decoded())) == said


# errors


@pytest.mark.parametrize(
    ("status", "kind", "raised"),
    [
        (400, "invalid_request_error", anthropic.BadRequestError),
        (401, "authentication_error", anthropic.AuthenticationError),
        (403, "permission_error", anthropic.PermissionDeniedError),
        (404, "not_found_error", anthropic.NotFoundError),
        (412, "billing_error", anthropic.APIStatusError),
        (413, "request_too_large", anthropic.RequestTooLargeError),
        (422, "invalid_request_error", anthropic.UnprocessableEntityError),
        (429, "rate_limit_error", anthropic.RateLimitError),
        (500, "api_error", anthropic.InternalServerError),
        (502, "api_error", anthropic.InternalServerError),
        (503, "overloaded_error", anthropic.ServiceUnavailableError),
        (504, "timeout_error", anthropic.DeadlineExceededError),
    ],
)
def test_the_sdk_reads_errors(status: int, kind: str, raised: type[anthropic.APIStatusError]) -> None:
    """An error in Anthropic's envelope raises the SDK's own exception, with its type and the id of the request."""
    words = ErrorWords(status, "no", "some_error", "some_code", "messages", extra={"request_id": "req_1"})
    body = DIALECT.encode_error(words)
    with pytest.raises(raised) as caught:
        client(status, body).messages.create(
            model="claude-opus-5", max_tokens=1, messages=[{"role": "user", "content": "x"}]
        )
    held: Any = caught.value.body
    assert held["error"] == {
        "type": kind,
        "message": "no",
        "details": {"error_code": "some_code"},
        "param": "messages",
    }
    assert (held["type"], held["request_id"]) == ("error", "req_1")


def test_errors_are_understood() -> None:
    """Anthropic's words stay as they are, and 529 is a status that others know."""
    body = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_1"}'
    words = DIALECT.decode_error(529, body)
    assert (words.status, words.message, words.type) == (503, "Overloaded", "overloaded_error")
    assert words.extra == {"request_id": "req_1"}
    detailed = b'{"type":"error","error":{"type":"t","message":"m","details":{"error_code":"credits_out"}}}'
    assert DIALECT.decode_error(400, detailed).code == "credits_out"
    assert DIALECT.decode_error(502, b"<html>Bad gateway</html>").status == 502


def test_errors_of_the_gateway_name_the_place() -> None:
    """What the gateway refuses itself is told in the same envelope."""
    held = msgspec.json.decode(DIALECT.encode_error(InvalidRequest("`x` is odd", param="x").words()))
    assert (held["error"]["type"], held["error"]["message"]) == ("invalid_request_error", "`x` is odd")
    assert held["error"]["param"] == "x"
