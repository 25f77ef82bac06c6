"""What leaves the gateway for Anthropic, and what comes back: as it is for Anthropic's clients, translated for others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec
import pytest
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from pydantic import TypeAdapter
from typing_extensions import override

from headgate.chat import Image, Opaque
from headgate.dialects import AnthropicMessages, OpenAIChat
from headgate.errors import StartupError, UnsupportedField
from headgate.exchange import Attempt, Exchange, Principal, Reply, Target
from headgate.operations import CHAT, COUNT_TOKENS, EMBEDDINGS, MESSAGES, PASSTHROUGH, Operation
from headgate.secret import Secret
from headgate.testing import ProviderContract, Recorded, ReplayUpstream
from headgate.testing.providers import SECRET
from headgate_anthropic import Anthropic

Json = dict[str, Any]

EVENT_STREAM = (("content-type", "text/event-stream; charset=utf-8"),)
BODY = (
    b'{ "max_tokens": 9,"messages":[{"role":"user","content":"h\xc3\xa9"}] , "model": "claude-opus-5",\n "new": 1.50 }'
)
DIALECTS = {"messages": AnthropicMessages(), "chat": OpenAIChat()}
TOOL: Json = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Montréal"}}


def message(*blocks: Json, stop: str | None = "end_turn") -> Json:
    held = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-opus-5", "content": list(blocks)}
    usage = {"input_tokens": 4, "cache_read_input_tokens": 5, "output_tokens": 3}
    return {**held, "stop_reason": stop, "stop_sequence": None, "usage": usage}


def stream(block: Json, *deltas: Json, stop: str = "end_turn") -> Recorded:
    events: list[Json] = [
        {"type": "message_start", "message": message(stop=None)},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "ping"},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": stop, "stop_sequence": None},
            "usage": {"input_tokens": 4, "cache_read_input_tokens": 5, "output_tokens": 3},
        },
        {"type": "message_stop"},
    ]
    data = [f"event: {event['type']}\ndata: ".encode() + msgspec.json.encode(event) + b"\n\n" for event in events]
    return Recorded(headers=EVENT_STREAM, body=b"".join(data), framing="chunked")


def error(status: int, kind: str) -> Recorded:
    held = {"type": "error", "error": {"type": kind, "message": f"sample of {status}"}, "request_id": "req_1"}
    return Recorded.from_json(held, status)


REPLY = Recorded.from_json(message({"type": "text", "text": "Hello there, Jürgen"}))
TOOL_REPLY = Recorded.from_json(message(TOOL, stop="tool_use"))
STREAM = stream(
    {"type": "text", "text": ""},
    {"type": "text_delta", "text": "Hello there,\u2028"},
    {"type": "text_delta", "text": " Jürgen \U0001f600"},
)
TOOL_STREAM = stream(
    {**TOOL, "input": {}},
    {"type": "input_json_delta", "partial_json": ""},
    {"type": "input_json_delta", "partial_json": '{"city": "Mon'},
    {"type": "input_json_delta", "partial_json": 'tréal"}'},
    stop="tool_use",
)


class TestContract(ProviderContract):
    """Anthropic keeps what every provider promises."""

    provider = Anthropic
    operation = MESSAGES
    url = "https://api.anthropic.com/v1/messages"
    request = BODY
    reply = REPLY
    stream = STREAM
    tool_reply = TOOL_REPLY
    tool_stream = TOOL_STREAM
    usage = (9, 3)
    errors: ClassVar[Mapping[int, Recorded]] = {
        400: error(400, "invalid_request_error"),
        401: error(401, "authentication_error"),
        413: error(413, "request_too_large"),
        429: error(429, "rate_limit_error").varied(
            headers=(("content-type", "application/json"), ("retry-after", "7"))
        ),
        500: error(500, "api_error"),
        502: Recorded(status=502, headers=(("content-type", "text/html"),), body=b"<html>Bad Gateway</html>"),
        529: error(529, "overloaded_error"),
    }

    @override
    @pytest.mark.asyncio
    async def test_error_keeps_its_status(self, error_status: int) -> None:
        """An error of Anthropic's is a reply with its status and its envelope, streams too."""
        for streamed in (False, True):
            reply = await self.call(ReplayUpstream({"*": self.errors[error_status]}), stream=streamed)
            assert reply.status == error_status
            body = msgspec.json.decode(reply.body, type=Json)
            assert isinstance(body["error"]["message"], str)
            assert (b"content-type", b"application/json") in reply.headers


class TestContractOfAnotherHost(TestContract):
    """So does a deployment at another host that serves the Messages API."""

    config: ClassVar[Mapping[str, Any]] = {
        "api_key": SECRET,
        "base_url": "https://messages.example/anthropic/v1/",
        "headers": {"x-team": "a"},
    }
    url = "https://messages.example/anthropic/v1/messages"


def deploy(upstream: ReplayUpstream | None = None, **config: Any) -> Anthropic:
    held: Json = {"provider": "anthropic", "api_key": Secret("sk-ant-deployment"), **config}
    return Anthropic("main", Anthropic.Config(**held), upstream or ReplayUpstream())


def exchange(
    operation: Operation = MESSAGES, body: bytes = BODY, provider: Anthropic | None = None, **fields: Any
) -> Exchange:
    """An exchange whose attempt goes to Anthropic as the pipeline would make it."""
    headers = {name.encode(): value.encode() for name, value in fields.pop("headers", {}).items()}
    ex = Exchange(operation, headers, request_id="r", trace_id="t", dialect=DIALECTS.get(operation.name), **fields)
    ex.body, ex.principal = body, Principal("caller")
    held = provider or deploy()
    ex.model = msgspec.json.decode(body).get("model", "") if body else ""
    ex.attempt = Attempt(Target(deployment="main"), held, ex.model, 0.0)
    spoken = held.spoken(ex, ex.model)
    assert spoken is not None
    ex.attempt.operation = spoken[0]
    if operation is CHAT:
        ex.attempt.dialect = AnthropicMessages()
    return ex


def headers_of(ex: Exchange, **config: Any) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in deploy(**config).prepare(ex).headers}


# as it is


def test_a_key_is_needed() -> None:
    """A deployment without a key cannot start, and the message says where the key usually is."""
    with pytest.raises(StartupError, match="ANTHROPIC_API_KEY"):
        deploy(api_key=None)


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual variable switches Anthropic on, by reference and not by value."""
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    assert Anthropic.from_environment() is None
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-x")
    assert Anthropic.from_environment() == {"provider": "anthropic", "api_key": "env:ANTHROPIC_API_KEY"}


def test_the_key_travels_bare() -> None:
    """The key is the whole of `x-api-key`."""
    credential = deploy().prepare(exchange()).credential
    assert credential is not None
    assert (credential.header, credential.prefix, credential.secret.reveal()) == ("x-api-key", "", "sk-ant-deployment")


def test_bytes_are_forwarded() -> None:
    """What Anthropic's client wrote goes out byte for byte."""
    request = deploy().prepare(exchange())
    assert (request.method, request.url, request.body) == ("POST", "https://api.anthropic.com/v1/messages", BODY)


def test_versions_and_betas() -> None:
    """A client's API version and betas go out; without a version there is one, since every call must name it."""
    assert headers_of(exchange())["anthropic-version"] == "2023-06-01"
    client = {
        "anthropic-version": "2026-10-21",
        "anthropic-beta": "context-1m-2025-08-07",
        "x-api-key": "hg-caller",
        "anthropic-dangerous-direct-browser-access": "true",
    }
    sent = headers_of(exchange(headers=client))
    assert (sent["anthropic-version"], sent["anthropic-beta"]) == ("2026-10-21", "context-1m-2025-08-07")
    assert "x-api-key" not in sent
    assert "anthropic-dangerous-direct-browser-access" not in sent


@pytest.mark.parametrize(
    ("block", "named", "sent"),
    [
        ("fallback", None, "server-side-fallback-2026-06-01"),
        ("fallback", "server-side-fallback-2026-07-01", "server-side-fallback-2026-07-01"),
        ("mcp_tool_use", "a-2026-01-01, b-2026-01-01", "a-2026-01-01,b-2026-01-01,mcp-client-2025-11-20"),
        ("text", None, None),
    ],
)
def test_betas_of_a_history(block: str, named: str | None, sent: str | None) -> None:
    """A translated request names the beta that a block of its history needs, beside those that the client names."""
    provider = deploy()
    ex = exchange(CHAT, provider=provider, headers={"anthropic-beta": named} if named else {})
    assert ex.attempt is not None
    ex.attempt.body = msgspec.json.encode({"messages": [{"role": "assistant", "content": [{"type": block}]}]})
    assert {name.decode(): value.decode() for name, value in provider.prepare(ex).headers}.get("anthropic-beta") == sent


def test_a_version_of_the_deployments_own() -> None:
    """A version that the deployment sets wins."""
    held = {"anthropic-version": Secret("2024-01-01")}
    assert headers_of(exchange(), headers=held)["anthropic-version"] == "2024-01-01"


@pytest.mark.parametrize(
    ("operation", "path", "query", "url"),
    [
        (MESSAGES, "/v1/messages", b"beta=true", "/messages?beta=true"),
        (MESSAGES, "/v1/messages", b"a=b&beta=true", "/messages?beta=true"),
        (MESSAGES, "/v1/messages", b"beta=truest", "/messages"),
        (COUNT_TOKENS, "/v1/messages/count_tokens", b"", "/messages/count_tokens"),
        (COUNT_TOKENS, "/v1/messages/count_tokens", b"beta=true", "/messages/count_tokens?beta=true"),
        (PASSTHROUGH, "/v1/messages/batches/b1/results", b"limit=5", "/messages/batches/b1/results?limit=5"),
        (PASSTHROUGH, "/v1/files", b"beta=true", "/files?beta=true"),
    ],
)
def test_paths(operation: Operation, path: str, query: bytes, url: str) -> None:
    """Every operation has its path; a client that asks for beta members by the query keeps that."""
    ex = exchange(operation, path=path, query=query)
    assert deploy().prepare(ex).url == f"https://api.anthropic.com/v1{url}"


def test_operations_that_anthropic_does_not_have() -> None:
    """Embeddings are not to be had here."""
    assert deploy().spoken(Exchange(EMBEDDINGS, {}, request_id="r", trace_id="t"), "m") is None


async def test_tokens_are_counted() -> None:
    """Counting tokens passes both ways, with the model put in."""
    upstream = ReplayUpstream({"*": Recorded.from_json({"input_tokens": 14})})
    provider = deploy(upstream)
    ex = exchange(COUNT_TOKENS, provider=provider)
    reply = await provider.call(ex)
    assert upstream.requests[0].body == BODY
    assert reply.chunks is not None
    assert b"".join([piece async for piece in reply.chunks]) == b'{"input_tokens":14}'


# translated


def asked(text: str = "Grüße", **members: Any) -> bytes:
    return msgspec.json.encode({"model": "claude-opus-5", "messages": [{"role": "user", "content": text}], **members})


async def translated(recorded: Recorded, body: bytes | None = None, **fields: Any) -> tuple[Json, Reply, Exchange]:
    """What Anthropic gets for an OpenAI client's request, which its types must accept, and what the client gets."""
    upstream = ReplayUpstream({"*": recorded})
    provider = deploy(upstream)
    ex = exchange(CHAT, body or asked(), provider, **fields)
    ex.stream = bool(msgspec.json.decode(ex.body).get("stream"))
    reply = await provider.call(ex)
    sent: Json = msgspec.json.decode(upstream.requests[0].body)
    if not ex.stream:
        TypeAdapter[Any](MessageCreateParamsNonStreaming).validate_python(sent)
    assert upstream.requests[0].url == "https://api.anthropic.com/v1/messages"
    return sent, reply, ex


async def test_chat_is_translated() -> None:
    """A chat completion asks Claude, with all that it can write as the limit, and the answer is a chat completion."""
    sent, reply, _ = await translated(REPLY, asked(reasoning_effort="low", temperature=1))
    assert sent == {
        "model": "claude-opus-5",
        "max_tokens": 128_000,
        "messages": [{"role": "user", "content": "Grüße"}],
        "output_config": {"effort": "low"},
    }
    body = msgspec.json.decode(reply.body)
    choice = body["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("Hello there, Jürgen", "stop")
    assert (body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"]) == (9, 3)
    assert reply.usage is not None
    assert (reply.usage.prompt, reply.usage.cached) == (9, 5)


async def test_a_tool_is_called() -> None:
    """A tool call comes back as OpenAI's, with its arguments as they were."""
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    sent, reply, _ = await translated(TOOL_REPLY, asked(tools=tools))
    assert sent["tools"][0]["name"] == "weather"
    choice = msgspec.json.decode(reply.body)["choices"][0]
    call = choice["message"]["tool_calls"][0]
    assert (choice["finish_reason"], call["id"]) == ("tool_calls", "toolu_1")
    assert call["function"] == {"name": "weather", "arguments": '{"city":"Montréal"}'}


async def test_a_stream_is_translated() -> None:
    """A stream comes back as OpenAI's chunks, usage and `[DONE]` at its end."""
    sent, reply, _ = await translated(TOOL_STREAM, asked(stream=True, stream_options={"include_usage": True}))
    assert sent["stream"] is True
    assert reply.chunks is not None
    body = b"".join([piece async for piece in reply.chunks])
    assert body.endswith(b"data: [DONE]\n\n")
    chunks = [msgspec.json.decode(event[6:]) for event in body.split(b"\n\n") if event.startswith(b"data: {")]
    calls = [call for chunk in chunks for choice in chunk["choices"] for call in choice["delta"].get("tool_calls", [])]
    assert "".join(call["function"].get("arguments", "") for call in calls) == '{"city": "Montréal"}'
    assert chunks[-1]["usage"]["prompt_tokens"] == 9


async def test_headers_of_a_translated_call() -> None:
    """A translated call has the gateway's version, and no query: its body is not the client's."""
    client = {"anthropic-version": "2026-10-21"}
    ex = exchange(CHAT, asked(), headers=client, query=b"beta=true")
    assert deploy().prepare(ex).url == "https://api.anthropic.com/v1/messages"
    assert headers_of(ex)["anthropic-version"] == "2023-06-01"


async def test_a_history_of_several_vendors() -> None:
    """What another vendor signed is taken out of a request of Anthropic's own dialect, and the rest goes out as it came."""
    thought = {"type": "thinking", "thinking": "hm", "signature": "headgate:google::AAAA"}
    turn = {"role": "assistant", "content": [thought, {"type": "text", "text": "y"}]}
    said = {"role": "user", "content": "x"}
    body = {
        "model": "claude-opus-5",
        "max_tokens": 9,
        "messages": [said, turn, said],
        "context_management": {"edits": [1]},
    }
    upstream = ReplayUpstream({"*": REPLY})
    provider = deploy(upstream)
    headers = {"anthropic-version": "2026-10-21"}
    ex = exchange(MESSAGES, msgspec.json.encode(body), provider, headers=headers, query=b"beta=true")
    assert ex.attempt is not None
    ex.attempt.dialect = AnthropicMessages()
    await provider.call(ex)
    request = upstream.requests[0]
    expected = {**body, "messages": [said, {"role": "assistant", "content": "y"}, said]}
    assert msgspec.json.decode(request.body) == expected
    assert request.url.endswith("?beta=true")
    assert (b"anthropic-version", b"2026-10-21") in request.headers


async def test_what_cannot_be_said() -> None:
    """What Claude does not take is refused by name, or left out and named where the caller lets it be."""
    with pytest.raises(UnsupportedField, match="`seed`"):
        await translated(REPLY, asked(seed=5))
    sent, _, ex = await translated(REPLY, asked(seed=5), headers={"x-headgate-unsupported": "drop"})
    assert ("seed" in sent, ex.dropped) == (False, ["seed"])


async def test_not_thinking_between_tools() -> None:
    """A model that has its own word for not thinking gets it."""
    sent, _, _ = await translated(REPLY, asked(model="claude-sonnet-5-5", reasoning_effort="none"))
    assert sent["thinking"] == {"type": "between_tools"}


async def test_errors_are_translated() -> None:
    """An error comes back in OpenAI's envelope, and 529 as a status that clients know."""
    _, reply, _ = await translated(error(529, "overloaded_error"))
    body = msgspec.json.decode(reply.body)
    assert (reply.status, body["error"]["message"]) == (503, "sample of 529")


def test_whose_thoughts_it_reads() -> None:
    """Signatures of Anthropic's, of any account: only Anthropic can read them."""
    provider = deploy()
    assert provider.understands(Opaque("anthropic", "c2ln"))
    assert provider.understands(Opaque("anthropic", "c2ln", provider.account))
    assert provider.understands(Opaque("anthropic", "c2ln", "account-of-another-platform"))
    assert not provider.understands(Opaque("google", "c2ln"))


def test_what_it_fetches() -> None:
    """Pictures by https are Anthropic's to fetch."""
    assert deploy().fetches(Image(url="https://e.org/a.png"))
    assert not deploy().fetches(Image(url="http://e.org/a.png"))
