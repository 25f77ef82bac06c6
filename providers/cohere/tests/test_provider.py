"""The provider: what every provider promises, and where its calls go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec
import pytest
from providers.cohere.tests.cohere_wire import DIALECT, USAGE, Json, call, content, finished, start
from typing_extensions import override

from headgate.chat import File, Image
from headgate.dialects import ChatDialect, Gaps, OpenAIChat, OpenAIEmbeddings
from headgate.dialects.sse import events_of
from headgate.errors import ProviderError, UnsupportedField
from headgate.exchange import Attempt, Exchange, Principal, Reply, Target
from headgate.operations import CHAT, EMBEDDINGS, MESSAGES, RERANK, RESPONSES, Operation
from headgate.provider import Provider
from headgate.secret import Secret
from headgate.testing import ProviderContract, Recorded, ReplayUpstream, gateway
from headgate.testing.recorded import EVENT_STREAM
from headgate_cohere import Cohere

CALLS = [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Bern"}'}}]


def answer(message: Json, finish: str = "COMPLETE") -> Recorded:
    said = {"id": "r-1", "message": {"role": "assistant", **message}, "finish_reason": finish, "usage": USAGE}
    return Recorded.from_json(said)


def streamed(body: bytes) -> Recorded:
    return Recorded(headers=EVENT_STREAM, body=body, framing="chunked")


class TestCohere(ProviderContract):
    """Chat of an OpenAI client, translated both ways."""

    provider = Cohere
    url = "https://api.cohere.com/v2/chat"
    reply = answer({"content": [{"type": "text", "text": "Grüße"}]})
    stream = streamed(start() + content("text", "Grü", "ße") + finished())
    tool_reply = answer({"tool_plan": "I look.", "tool_calls": CALLS}, "TOOL_CALL")
    tool_stream = streamed(start() + call("weather", "c1", '{"city": ', '"Bern"}') + finished("TOOL_CALL"))
    usage = (9, 3)
    errors: ClassVar[Mapping[int, Recorded]] = {
        400: Recorded.from_json({"id": "x", "message": "invalid request"}, 400),
        404: Recorded.from_json({"id": "x", "message": "model 'command-r' was removed"}, 404),
        429: Recorded.from_json({"message": "You are using a Trial key"}, 429),
        500: Recorded.from_json({"message": "internal"}, 500),
    }

    @override
    def exchange(self, provider: Provider, *, stream: bool = False) -> Exchange:
        return spoken(super().exchange(provider, stream=stream), provider)

    @override
    def forwarded(self, body: bytes) -> bytes:
        return DIALECT.encode_request(OpenAIChat().decode_request(body), Gaps("cohere"))

    @override
    def relayed(self, recorded: Recorded) -> bytes:
        client, request = OpenAIChat(), OpenAIChat().decode_request(self.request)
        if recorded.headers != EVENT_STREAM:
            return client.encode_reply(DIALECT.decode_reply(recorded.body), request)
        decoder, encoder = DIALECT.stream_decoder(), client.stream_encoder(request)
        events = [event for frame in events_of(recorded.body) for event in decoder.feed(frame)]
        return b"".join((*map(encoder.feed, events), encoder.end()))

    @override
    async def test_cut_stream_raises(self) -> None:
        """A stream without its last event raises, however much of it came and however the connection ended."""
        assert self.stream is not None
        events = events_of(self.stream.body)
        for count in range(len(events) - 1):
            size = len(b"".join(events[:count]))
            for framing in ("chunked", "close"):
                upstream = ReplayUpstream({"*": self.stream.varied(cut_at=size + 5 * (count % 2), framing=framing)})
                with pytest.raises(ProviderError):
                    await body_of(await self.call(upstream, stream=True))

    @override
    async def test_abandoned_stream_ends_the_upstream(self) -> None:
        """When the caller leaves during a stream, the vendor's connection is closed."""
        assert self.stream is not None
        upstream = ReplayUpstream({"*": self.stream.varied(stall_at=self.stream.body.index(b"event: content-end"))})
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


def deploy(upstream: ReplayUpstream, **config: Any) -> Cohere:
    return Cohere("mine", Cohere.Config(provider="cohere", api_key=Secret("co-key"), **config), upstream)


def exchange(provider: Provider, operation: Operation, dialect: Any, body: Json, **fields: Any) -> Exchange:
    ex = Exchange(operation, fields.pop("headers", {}), request_id="r", trace_id="t", dialect=dialect, **fields)
    ex.body, ex.model, ex.stream = msgspec.json.encode(body), str(body.get("model")), bool(body.get("stream"))
    ex.principal = Principal("p")
    ex.attempt = Attempt(Target(deployment="mine"), provider, ex.model, 0.0)
    return ex


def test_what_is_spoken() -> None:
    """Every chat operation is chat; embeddings are translated; reranking goes as it comes."""
    provider = deploy(ReplayUpstream())
    wanted = {CHAT: "cohere.chat", MESSAGES: "cohere.chat", RESPONSES: "cohere.chat", EMBEDDINGS: "cohere.embed"}
    for operation, dialect in {**wanted, RERANK: "cohere.rerank"}.items():
        ex = exchange(provider, operation, None, {"model": "m"})
        said = provider.spoken(ex, "m")
        assert said is not None
        assert said[1] == dialect
    assert isinstance(Cohere.codecs["cohere.chat"], ChatDialect)
    assert (provider.fetches(Image("https://x.example")), provider.fetches(File("https://x.example"))) == (True, False)


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Either variable switches it on; the longer name goes first."""
    for name in ("COHERE_API_KEY", "CO_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert Cohere.from_environment() is None
    monkeypatch.setenv("CO_API_KEY", "x")
    assert Cohere.from_environment() == {"provider": "cohere", "api_key": "env:CO_API_KEY"}
    monkeypatch.setenv("COHERE_API_KEY", "y")
    assert Cohere.from_environment() == {"provider": "cohere", "api_key": "env:COHERE_API_KEY"}


async def test_embeddings() -> None:
    """An OpenAI client's texts become vectors in OpenAI's form."""
    reply = {"id": "e", "embeddings": {"float": [[0.5, 1.0]]}, "meta": {"billed_units": {"input_tokens": 2}}}
    upstream = ReplayUpstream({"/v2/embed": Recorded.from_json(reply)})
    provider = deploy(upstream)
    ex = spoken(exchange(provider, EMBEDDINGS, OpenAIEmbeddings(), {"model": "embed-v4.0", "input": "hi"}), provider)
    answered = await provider.call(ex)
    told: Any = msgspec.json.decode(answered.body)
    assert (told["data"][0]["embedding"], told["usage"]["prompt_tokens"]) == ([0.5, 1.0], 2)
    assert msgspec.json.decode(upstream.requests[0].body)["texts"] == ["hi"]


async def test_rerank_goes_as_it_comes() -> None:
    """Bytes out and bytes back."""
    answered = Recorded.from_json({"id": "x", "results": [{"index": 0, "relevance_score": 0.9}]})
    upstream = ReplayUpstream({"/v2/rerank": answered})
    provider = deploy(upstream)
    ex = spoken(exchange(provider, RERANK, None, {"model": "rerank-v3.5", "query": "q", "documents": ["d"]}), provider)
    reply = await provider.call(ex)
    assert (await body_of(reply), upstream.requests[0].body) == (answered.body, ex.body)


async def test_version_1_of_a_ranking() -> None:
    """What version 2 knows no more, such as the documents in the answer, is asked of version 1 where a client asks that."""
    upstream = ReplayUpstream({"*": Recorded.from_json({"results": [{"index": 0, "relevance_score": 0.9}]})})
    body = {"model": "c/rerank-v3.5", "query": "q", "documents": ["d"]}
    async with gateway(Cohere, providers={"c": {"provider": "cohere", "api_key": "k"}}, upstream=upstream) as client:
        for path, members in (("/v1/rerank", {"return_documents": True}), ("/v1/rerank", {}), ("/v2/rerank", {})):
            await client.post(path, json={**body, **members})
    assert [call.url.partition(".com")[2] for call in upstream.requests] == ["/v1/rerank", "/v2/rerank", "/v2/rerank"]


async def test_transcriptions_go_as_they_come() -> None:
    """A form of OpenAI's clients is Cohere's too: sent whole, under the model's own name, and the transcript comes back."""
    upstream = ReplayUpstream({"*": Recorded.from_json({"text": "Grüße"})})
    config = {"c": {"provider": "cohere", "api_key": "co-key"}}
    sound = b"RIFF\x00\xff\r\n--"
    async with gateway(Cohere, providers=config, upstream=upstream) as client:
        reply = await client.post(
            "/v1/audio/transcriptions",
            data={"model": "c/cohere-transcribe-03-2026", "language": "de"},
            files={"file": ("talk.wav", sound, "audio/wav")},
        )
    assert (reply.status_code, reply.json()) == (200, {"text": "Grüße"})
    request = upstream.requests[-1]
    assert request.url == "https://api.cohere.com/v2/audio/transcriptions"
    assert b'name="model"\r\n\r\ncohere-transcribe-03-2026\r\n' in request.body
    assert request.body.index(b'name="language"') < request.body.index(sound)


async def test_passthrough_and_names() -> None:
    """Other paths of Cohere's are reached below `/v1`; the caller may name its project."""
    upstream = ReplayUpstream({"*": Recorded.from_json({})})
    provider = deploy(upstream)
    passed = Operation("passthrough", "GET", "/v1/*", "", 1, has_model=False)
    ex = exchange(provider, passed, None, {}, path="/v1/v1/models", headers={b"x-client-name": b"app"})
    await provider.call(ex)
    assert upstream.requests[0].url == "https://api.cohere.com/v1/models"
    assert dict(upstream.requests[0].headers)[b"x-client-name"] == b"app"


@pytest.mark.parametrize(("status", "wanted"), [(498, 401), (499, 502), (422, 422)])
async def test_statuses(status: int, wanted: int) -> None:
    """Statuses that only Cohere has become those that clients know, with the message kept."""
    upstream = ReplayUpstream({"*": Recorded.from_json({"message": "no"}, status)})
    provider = deploy(upstream)
    reply = await provider.call(spoken(exchange(provider, CHAT, OpenAIChat(), SIMPLE), provider))
    assert (reply.status, msgspec.json.decode(reply.body)["error"]["message"]) == (wanted, "no")


async def test_errors_before_the_first_word_can_go_elsewhere() -> None:
    """A stream that begins with an error is an error reply; one that breaks later says so in an event."""
    broken = finished("ERROR", error="out of cheese")
    for body, is_early in ((start() + broken, True), (start() + content("text", "hi") + broken, False)):
        provider = deploy(ReplayUpstream({"*": streamed(body).varied(sizes=(40,))}))
        reply = await provider.call(
            spoken(exchange(provider, CHAT, OpenAIChat(), {**SIMPLE, "stream": True}), provider)
        )
        said = await body_of(reply)
        assert (reply.status, b"out of cheese" in said, b"[DONE]" in said) == (502 if is_early else 200, True, False)


async def test_what_was_left_out_is_named() -> None:
    """Fields that Cohere has no place for are refused or named, as the deployment says."""
    asked = {**SIMPLE, "n": 2, "user": "u"}
    provider = deploy(ReplayUpstream({"*": TestCohere.reply}))
    with pytest.raises(UnsupportedField):
        await provider.call(spoken(exchange(provider, CHAT, OpenAIChat(), asked), provider))
    lenient = deploy(ReplayUpstream({"*": TestCohere.reply}), unsupported="drop")
    ex = spoken(exchange(lenient, CHAT, OpenAIChat(), asked), lenient)
    await lenient.call(ex)
    assert sorted(ex.dropped) == ["n", "user"]


SIMPLE: Json = {"model": "command-a", "messages": [{"role": "user", "content": "hi"}]}


def test_the_dialect_has_its_name() -> None:
    """The names of dialects and codecs agree."""
    assert {name: codec.name for name, codec in Cohere.codecs.items()} == {name: name for name in Cohere.codecs}
