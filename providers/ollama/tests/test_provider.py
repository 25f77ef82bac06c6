"""The provider: what every provider promises, and where its calls go."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec
import pytest
from providers.ollama.tests.ollama_wire import DIALECT, Json, calling, decoded, last, line
from typing_extensions import override

from headgate.chat import ChatRequest, File, Image, Message, Role, Text
from headgate.dialects import Gaps, OpenAIChat, OpenAIEmbeddings
from headgate.errors import ProviderError, UnsupportedField
from headgate.exchange import Attempt, Exchange, Principal, Reply, Target
from headgate.operations import CHAT, EMBEDDINGS, MESSAGES, RESPONSES, Operation
from headgate.provider import Provider
from headgate.secret import Secret
from headgate.testing import ProviderContract, Recorded, ReplayUpstream
from headgate_ollama import Ollama

LINES = (("content-type", "application/x-ndjson"),)
PNG = b"\x89PNG\r\n\x1a\n0000"
CALLS = b'"tool_calls":[{"function":{"name":"f","arguments":{"a":1}}}]'
SIMPLE: Json = {"model": "llama3.2", "messages": [{"role": "user", "content": "hi"}]}


def answer(body: bytes) -> Recorded:
    return Recorded(body=body.rstrip(b"\n"), headers=(("content-type", "application/json; charset=utf-8"),))


def streamed(body: bytes) -> Recorded:
    return Recorded(headers=LINES, body=body, framing="chunked")


class TestOllama(ProviderContract):
    """Chat of an OpenAI client, translated both ways, on a server that needs no key."""

    provider = Ollama
    config: ClassVar[Mapping[str, Any]] = {}
    key_setting = ""
    url = "http://127.0.0.1:11434/api/chat"
    reply = answer(last().replace(b'"content":""', '"content":"Grüße"'.encode()))
    stream = streamed(line({"content": "Grü"}) + line({"content": "ße"}) + last())
    tool_reply = answer(
        last().replace(b'"content":""', b'"content":"","tool_calls":[{"function":{"name":"f","arguments":{"a":1}}}]')
    )
    tool_stream = streamed(line(calling({"name": "f", "arguments": {"a": 1}})) + last())
    usage = (9, 3)
    errors: ClassVar[Mapping[int, Recorded]] = {
        400: Recorded.from_json({"error": "llama3.2 does not support tools"}, 400),
        404: Recorded.from_json({"error": "model 'x' not found"}, 404),
        429: Recorded.from_json({"error": "too many requests"}, 429),
        500: Recorded.from_json({"error": "the model failed to generate a response"}, 500),
    }

    @override
    def exchange(self, provider: Provider, *, stream: bool = False) -> Exchange:
        return spoken(super().exchange(provider, stream=stream), provider)

    @override
    def forwarded(self, body: bytes) -> bytes:
        return DIALECT.encode_request(OpenAIChat().decode_request(body), Gaps("ollama"))

    @override
    def relayed(self, recorded: Recorded) -> bytes:
        client, request = OpenAIChat(), OpenAIChat().decode_request(self.request)
        if recorded.headers != LINES:
            return client.encode_reply(DIALECT.decode_reply(recorded.body), request)
        encoder = client.stream_encoder(request)
        return b"".join((*map(encoder.feed, decoded(recorded.body)), encoder.end()))

    @override
    async def test_cut_stream_raises(self) -> None:
        """A stream without its last line raises, however much of it came and however the connection ended."""
        assert self.stream is not None
        end = self.stream.body.index(b'"done":true')
        for size in (0, 1, 30, end):
            for framing in ("chunked", "close"):
                upstream = ReplayUpstream({"*": self.stream.varied(cut_at=size, framing=framing)})
                with pytest.raises(ProviderError):
                    await body_of(await self.call(upstream, stream=True))

    @override
    async def test_abandoned_stream_ends_the_upstream(self) -> None:
        """When the caller leaves during a stream, the vendor's connection is closed."""
        assert self.stream is not None
        upstream = ReplayUpstream({"*": self.stream.varied(stall_at=self.stream.body.index(b"\n") + 1)})
        reply = await self.call(upstream, stream=True)
        chunks: Any = reply.chunks
        assert await anext(chunks)
        await chunks.aclose()
        assert [response.is_closed for response in upstream.responses] == [True]


def spoken(ex: Exchange, provider: Provider) -> Exchange:
    """An exchange whose attempt speaks what the provider speaks, as the pipeline makes it."""
    attempt = ex.attempt
    assert attempt is not None
    said = provider.spoken(ex, ex.model)
    assert said is not None
    attempt.operation, name = said
    attempt.dialect = provider.codecs.get(name)
    return ex


async def body_of(reply: Reply) -> bytes:
    if reply.chunks is None:
        return reply.body
    return b"".join([chunk async for chunk in reply.chunks])


def deploy(upstream: ReplayUpstream, **config: Any) -> Ollama:
    return Ollama("mine", Ollama.Config(provider="ollama", **config), upstream)


def exchange(provider: Provider, operation: Operation, dialect: Any, body: Json, **fields: Any) -> Exchange:
    ex = Exchange(operation, {}, request_id="r", trace_id="t", dialect=dialect, **fields)
    ex.body, ex.model, ex.stream = msgspec.json.encode(body), str(body.get("model")), bool(body.get("stream"))
    ex.principal = Principal("p")
    ex.attempt = Attempt(Target(deployment="mine"), provider, ex.model, 0.0)
    return ex


def test_what_is_spoken() -> None:
    """Every chat operation is chat, embeddings are translated, and nothing is fetched by the vendor."""
    provider = deploy(ReplayUpstream())
    for operation in (CHAT, MESSAGES, RESPONSES):
        assert provider.spoken(exchange(provider, operation, None, SIMPLE), "m") == ("chat", "ollama.chat")
    assert provider.spoken(exchange(provider, EMBEDDINGS, None, SIMPLE), "m") == ("embeddings", "ollama.embed")
    assert (provider.fetches(Image("https://x.example")), provider.fetches(File("https://x.example"))) == (False, False)
    assert {name: codec.name for name, codec in Ollama.codecs.items()} == {name: name for name in Ollama.codecs}
    assert Ollama.from_environment() is None


async def test_a_key_for_the_cloud() -> None:
    """Where the server is somebody else's, the key goes with the call."""
    upstream = ReplayUpstream({"*": TestOllama.reply})
    provider = deploy(upstream, base_url="https://ollama.com", api_key=Secret("sk-cloud"))
    await provider.call(spoken(exchange(provider, CHAT, OpenAIChat(), SIMPLE), provider))
    (request,) = upstream.requests
    assert request.url == "https://ollama.com/api/chat"
    assert request.credential is not None
    assert request.credential.secret.reveal() == "sk-cloud"


@pytest.mark.parametrize(
    ("model", "roles", "dropped"),
    [
        ("qwen3.8:27b", ["system", "user", "assistant", "user"], ["messages[4].role"]),
        ("llama3.2", ["system", "developer", "user", "assistant", "system"], []),
    ],
)
def test_instructions_first_for_qwen(model: str, roles: list[str], dropped: list[str]) -> None:
    """Its renderer answers any other with an error: https://github.com/ollama/ollama/issues/17774."""
    said: tuple[Role, ...] = ("system", "developer", "user", "assistant", "system")
    gaps = Gaps("ollama")
    adapted = deploy(ReplayUpstream()).adapt(
        ChatRequest(model, tuple(Message(role, (Text(role),)) for role in said)), gaps
    )
    assert [message.role for message in adapted.messages] == roles
    assert gaps.dropped == dropped


async def test_pictures_are_fetched() -> None:
    """The gateway fetches what is asked for by URL and sends the bytes."""
    picture = Recorded(body=PNG, headers=(("content-type", "image/png"),))
    upstream = ReplayUpstream({"/cat.png": picture, "/api/chat": TestOllama.reply})
    provider = deploy(upstream)
    content = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "https://x.example/cat.png"}},
    ]
    asked = {**SIMPLE, "messages": [{"role": "user", "content": content}]}
    await provider.call(spoken(exchange(provider, CHAT, OpenAIChat(), asked), provider))
    (message,) = msgspec.json.decode(upstream.requests[-1].body)["messages"]
    assert message == {"role": "user", "content": "look", "images": [b64encode(PNG).decode()]}


async def test_embeddings() -> None:
    """An OpenAI client's texts become vectors in OpenAI's form."""
    reply = {"model": "all-minilm", "embeddings": [[0.5, 1.0]], "prompt_eval_count": 2}
    upstream = ReplayUpstream({"/api/embed": Recorded.from_json(reply)})
    provider = deploy(upstream)
    ex = spoken(exchange(provider, EMBEDDINGS, OpenAIEmbeddings(), {"model": "all-minilm", "input": "hi"}), provider)
    told: Any = msgspec.json.decode((await provider.call(ex)).body)
    assert (told["data"][0]["embedding"], told["usage"]["prompt_tokens"]) == ([0.5, 1.0], 2)


async def test_passthrough() -> None:
    """Other paths of Ollama's are reached below `/v1`."""
    upstream = ReplayUpstream({"*": Recorded.from_json({})})
    provider = deploy(upstream)
    passed = Operation("passthrough", "GET", "/v1/*", "", 1, has_model=False)
    await provider.call(exchange(provider, passed, None, {}, path="/v1/api/tags"))
    assert upstream.requests[0].url == "http://127.0.0.1:11434/api/tags"


async def test_a_stream_that_breaks_with_an_error() -> None:
    """Before the first word it is an error reply, behind it an event; never an end."""
    broken = b'{"error":"out of cheese"}\n'
    first = line({"content": "hi"})
    for body, status in ((broken, 502), (first + broken, 200)):
        provider = deploy(ReplayUpstream({"*": streamed(body).varied(sizes=(len(first),))}))
        ex = exchange(provider, CHAT, OpenAIChat(), {**SIMPLE, "stream": True})
        reply = await provider.call(spoken(ex, provider))
        said = await body_of(reply)
        assert (reply.status, b"out of cheese" in said, b"[DONE]" in said) == (status, True, False)


async def test_parallel_calls_of_a_stream() -> None:
    """A client that joins calls by their number gets each of them whole."""
    call = {"name": "f", "arguments": {"a": 1}}
    body = line(calling(call, call)) + line(calling(call)) + last()
    provider = deploy(ReplayUpstream({"*": streamed(body)}))
    ex = exchange(provider, CHAT, OpenAIChat(), {**SIMPLE, "stream": True})
    said = await body_of(await provider.call(spoken(ex, provider)))
    chunks = [msgspec.json.decode(part.removeprefix(b"data: ")) for part in said.split(b"\n\n")[:-2]]
    pieces = [piece for chunk in chunks for one in chunk["choices"] for piece in one["delta"].get("tool_calls", [])]
    joined: dict[int, str] = {}
    for piece in pieces:
        joined[piece["index"]] = joined.get(piece["index"], "") + piece["function"]["arguments"]
    assert joined == dict.fromkeys(range(3), '{"a":1}')
    assert len({piece["id"] for piece in pieces if "id" in piece}) == 3


async def test_what_was_left_out_is_named() -> None:
    """Fields that Ollama has no place for are refused or named, as the deployment says."""
    asked = {**SIMPLE, "n": 2, "user": "u"}
    provider = deploy(ReplayUpstream({"*": TestOllama.reply}))
    with pytest.raises(UnsupportedField):
        await provider.call(spoken(exchange(provider, CHAT, OpenAIChat(), asked), provider))
    lenient = deploy(ReplayUpstream({"*": TestOllama.reply}), unsupported="drop")
    ex = spoken(exchange(lenient, CHAT, OpenAIChat(), asked), lenient)
    await lenient.call(ex)
    assert sorted(ex.dropped) == ["n", "user"]
