"""Foundry: Claude by the Messages API, whoever asks, and every other model by OpenAI's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from typing_extensions import override

from headgate.builtin import Core
from headgate.dialects import Dialect
from headgate.exchange import Attempt, Exchange, Principal, Reply, Target
from headgate.operations import MESSAGES, OPERATIONS, Operation
from headgate.provider import Provider
from headgate.secret import Secret
from headgate.testing import ProviderContract, Recorded, ReplayUpstream
from headgate.testing.providers import SECRET
from headgate.testing.samples import REPLY as CHAT_REPLY
from headgate_azure import AzureFoundry

DIALECTS: Mapping[str, Dialect] = {dialect.name: dialect for dialect in Core().dialects()}
BY_NAME = {operation.name: operation for operation in OPERATIONS}
HOST = "https://res.services.ai.azure.com"
CLAUDE = "claude-sonnet-4-5"
SAID: dict[str, Any] = {"type": "text", "text": "Hello there"}
CALL: dict[str, Any] = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Montréal"}}
USAGE = {"input_tokens": 9, "output_tokens": 3}


def message(*content: dict[str, Any], stop: str = "end_turn") -> dict[str, Any]:
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": CLAUDE, "stop_sequence": None}
    return {**head, "content": list(content), "stop_reason": stop, "usage": USAGE}


def streamed(*deltas: dict[str, Any], block: dict[str, Any], stop: str = "end_turn") -> Recorded:
    events: list[dict[str, Any]] = [
        {
            "type": "message_start",
            "message": {**message(), "stop_reason": None, "usage": {**USAGE, "output_tokens": 1}},
        },
        {"type": "content_block_start", "index": 0, "content_block": block},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None}, "usage": {"output_tokens": 3}},
        {"type": "message_stop"},
    ]
    body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    return Recorded(headers=(("content-type", "text/event-stream"),), body=body.encode())


def error(status: int, kind: str) -> Recorded:
    return Recorded.from_json({"type": "error", "error": {"type": kind, "message": f"sample of {status}"}}, status)


class TestClaude(ProviderContract):
    """Claude at Foundry keeps what every provider promises to a Messages client."""

    provider = AzureFoundry
    config: ClassVar[Mapping[str, Any]] = {"api_key": SECRET, "resource": "res"}
    operation: ClassVar[Operation] = MESSAGES
    url = f"{HOST}/anthropic/v1/messages"
    request = (
        b'{"model": "claude-sonnet-4-5",  "max_tokens":9,"messages":[{"role":"user","content":"Gr\xc3\xbc\xc3\x9fe"}]}'
    )
    reply = Recorded.from_json(message(SAID))
    stream = streamed(
        {"type": "text_delta", "text": "Hello"},
        {"type": "text_delta", "text": " there"},
        block={"type": "text", "text": ""},
    )
    tool_reply = Recorded.from_json(message(CALL, stop="tool_use"))
    tool_stream = streamed(
        {"type": "input_json_delta", "partial_json": '{"city": "Mon'},
        {"type": "input_json_delta", "partial_json": 'tréal"}'},
        block={**CALL, "input": {}},
        stop="tool_use",
    )
    errors: ClassVar[Mapping[int, Recorded]] = {
        400: error(400, "invalid_request_error"),
        429: error(429, "rate_limit_error"),
    }

    @override
    async def test_error_keeps_its_status(self, error_status: int) -> None:
        """An error of Anthropic's shape passes byte for byte, streams too."""
        for stream in (False, True):
            reply = await self.call(ReplayUpstream({"*": self.errors[error_status]}), stream=stream)
            assert (reply.status, reply.body) == (error_status, self.errors[error_status].body)

    @override
    async def test_base_url_of_the_deployment(self) -> None:
        """Of a deployment's own base URL the place of Claude is beside OpenAI's API."""
        upstream = ReplayUpstream({"*": self.reply})
        provider = self.deploy(upstream, base_url="https://elsewhere.example/api/openai/v1/")
        await provider.call(self.exchange(provider))
        assert upstream.requests[0].url == "https://elsewhere.example/api/anthropic/v1/messages"


def deploy(upstream: ReplayUpstream | None = None, **config: Any) -> Provider:
    held: dict[str, Any] = {"provider": "azure-foundry", "resource": "res", "api_key": Secret("k"), **config}
    return AzureFoundry("mine", AzureFoundry.Config(**held), upstream or ReplayUpstream())


def exchange(provider: Provider, operation: str, model: str, **request: Any) -> Exchange:
    asked = BY_NAME[operation]
    headers: dict[bytes, bytes] = request.pop("headers", {})
    bodies: dict[str, Any] = {
        "chat": {"messages": [{"role": "user", "content": "hi"}]},
        "responses": {"input": "hi"},
        "messages": {"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]},
        "embeddings": {"input": "hi"},
        "rerank": {"query": "q", "documents": ["a"]},
    }
    ex = Exchange(asked, headers, request_id="r", trace_id="t", dialect=DIALECTS.get(asked.dialect), **request)
    ex.body, ex.model = json.dumps({"model": model, **bodies.get(operation, {})}).encode(), model
    attempt = ex.attempt = Attempt(Target(deployment="mine"), provider, model, 0.0)
    spoken = provider.spoken(ex, model)
    assert spoken is not None
    attempt.operation, name = spoken
    if name != asked.dialect:
        attempt.dialect = DIALECTS[name]
    return ex


async def answered(provider: Provider, operation: str, model: str, **request: Any) -> tuple[Reply, Any]:
    ex = exchange(provider, operation, model, **request)
    reply = await provider.call(ex)
    upstream: Any = provider.upstream
    return reply, upstream.requests[-1]


async def called(provider: Provider, ex: Exchange) -> Any:
    """What the vendor was sent for one exchange."""
    await provider.call(ex)
    upstream: Any = provider.upstream
    return upstream.requests[-1]


@pytest.mark.parametrize(
    ("operation", "model", "asked", "path"),
    [
        ("chat", "gpt-5", "chat", "/openai/v1/chat/completions"),
        ("responses", "gpt-5", "responses", "/openai/v1/responses"),
        ("messages", "gpt-5", "chat", "/openai/v1/chat/completions"),
        ("chat", CLAUDE, "messages", "/anthropic/v1/messages"),
        ("responses", CLAUDE, "messages", "/anthropic/v1/messages"),
        ("messages", CLAUDE, "messages", "/anthropic/v1/messages"),
        ("count_tokens", CLAUDE, "count_tokens", "/anthropic/v1/messages/count_tokens"),
        ("messages", "our-best", "messages", "/anthropic/v1/messages"),
        ("chat", "our-named", "messages", "/anthropic/v1/messages"),
    ],
)
def test_model_decides_the_dialect(operation: str, model: str, asked: str, path: str) -> None:
    """Claude is known by its name, by the setting, and by the name of the deployment it stands for."""
    provider = deploy(claude=["our-best"], deployments={"our-named": "claude-opus"})
    ex = exchange(provider, operation, model)
    assert ex.attempt is not None
    assert ex.attempt.operation == asked
    ex.attempt.body = b"{}" if ex.attempt.dialect is not None else None
    assert provider.prepare(ex).url == HOST + path


@pytest.mark.parametrize("place", [{}, {"base_url": f"{HOST}/openai/v1"}, {"api_version": "2025-04-01-preview"}])
async def test_where_coheres_rankings_are(place: Mapping[str, str]) -> None:
    """They are asked for in Cohere's words, beside OpenAI's API and without an API version, by the name of the deployment."""
    answer = Recorded.from_json({"id": "r", "results": [{"index": 0, "relevance_score": 0.5}], "meta": {}})
    provider = deploy(ReplayUpstream({"*": answer}), **place)
    sent = await called(provider, exchange(provider, "rerank", "Cohere-rerank-v4.0-fast"))
    assert sent.url == f"{HOST}/providers/cohere/v2/rerank"
    assert sent.credential.field() == (b"api-key", b"k")
    assert json.loads(sent.body) == {"model": "Cohere-rerank-v4.0-fast", "query": "q", "documents": ["a"]}


def test_what_neither_has() -> None:
    """Claude embeds nothing; the tokens of any other model are estimated."""
    provider = deploy()
    for operation in ("embeddings", "completions", "rerank"):
        ex = Exchange(BY_NAME[operation], {}, request_id="r", trace_id="t")
        assert provider.spoken(ex, CLAUDE) is None
    ex = Exchange(BY_NAME["count_tokens"], {}, request_id="r", trace_id="t")
    assert provider.spoken(ex, "gpt-5") == ("estimate", "")


async def test_claude_for_a_chat_client() -> None:
    """A chat client gets Claude's answer, and its request becomes one that Claude takes, with the deployment's name."""
    upstream = ReplayUpstream({"*": Recorded.from_json(message(SAID))})
    provider = deploy(upstream, deployments={CLAUDE: "my-claude"})
    reply, request = await answered(provider, "chat", CLAUDE)
    sent = json.loads(request.body)
    assert (sent["model"], sent["messages"]) == ("my-claude", [{"role": "user", "content": "hi"}])
    assert sent["max_tokens"] > 9000  # the model's own limit
    headers = dict(request.headers)
    assert headers[b"anthropic-version"] == b"2023-06-01"
    assert request.credential.field() == (b"x-api-key", b"k")
    answer = json.loads(reply.body)
    assert answer["choices"][0]["message"]["content"] == "Hello there"
    assert answer["usage"]["total_tokens"] == 12


async def test_instructions_between_turns_are_said_as_the_user() -> None:
    """Foundry's Claude takes instructions at the top alone, also a model that takes them anywhere at Anthropic's own API."""
    turns = [("user", "hi"), ("system", "be brief"), ("assistant", "ok"), ("user", "go")]
    messages = [{"role": role, "content": text} for role, text in turns]
    provider = deploy(ReplayUpstream({"*": Recorded.from_json(message(SAID))}))
    ex = exchange(provider, "chat", "claude-opus-4-8")
    ex.body = json.dumps({"model": "claude-opus-4-8", "messages": messages}).encode()
    sent = json.loads((await called(provider, ex)).body)
    assert [turn["role"] for turn in sent["messages"]] == ["user", "assistant", "user"]
    assert "<system>\nbe brief\n</system>" in json.dumps(sent["messages"][0]).replace("\\n", "\n")
    assert ex.dropped == ["messages[1].role"]


async def test_messages_client_at_another_model() -> None:
    """A Messages client gets the answer of any model in its own words, with no header of Anthropic's on the way."""
    upstream = ReplayUpstream({"*": CHAT_REPLY})
    headers = {b"anthropic-version": b"2023-06-01", b"anthropic-beta": b"b"}
    reply, request = await answered(deploy(upstream), "messages", "DeepSeek-V3.1", headers=headers)
    assert json.loads(reply.body)["content"][0]["text"] == "Hello there, Jürgen"
    assert not {b"anthropic-version", b"anthropic-beta"} & set(dict(request.headers))
    assert request.credential.field() == (b"api-key", b"k")


async def test_headers_of_a_messages_client() -> None:
    """Its version and its betas reach Claude, and so does `?beta=true`."""
    upstream = ReplayUpstream({"*": Recorded.from_json(message(SAID))})
    headers = {b"anthropic-version": b"2026-10-21", b"anthropic-beta": b"b-1"}
    _, request = await answered(deploy(upstream), "messages", CLAUDE, headers=headers, query=b"beta=true")
    sent = dict(request.headers)
    assert (sent[b"anthropic-version"], sent[b"anthropic-beta"]) == (b"2026-10-21", b"b-1")
    assert request.url == f"{HOST}/anthropic/v1/messages?beta=true"


def test_passed_paths() -> None:
    """Batches of messages go to Anthropic's API, everything else to OpenAI's."""
    provider = deploy()

    def sent(path: str) -> Any:
        ex = Exchange(BY_NAME["passthrough"], {}, request_id="r", trace_id="t", path=path, method="GET")
        ex.attempt = Attempt(Target(deployment="mine"), provider, "", 0.0)
        return provider.prepare(ex)

    assert sent("/v1/messages/batches").url == f"{HOST}/anthropic/v1/messages/batches"
    assert sent("/v1/messages/batches").credential.header == "x-api-key"
    assert sent("/v1/files").url == f"{HOST}/openai/v1/files"


def test_a_callers_key_goes_where_it_should() -> None:
    """A key of the caller's own is sent to Claude in the header that Claude's API reads."""
    provider = deploy()
    ex = exchange(provider, "messages", CLAUDE)
    ex.principal = Principal("caller", credential=Secret("theirs"))
    credential = provider.prepare(ex).credential
    assert credential is not None
    assert credential.field() == (b"x-api-key", b"theirs")
