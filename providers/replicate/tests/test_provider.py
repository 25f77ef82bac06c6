"""The provider: what every provider promises, and what is asked of models."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import urlsplit

import msgspec
import pytest
from providers.replicate.tests.replicate_calls import (
    API,
    BEGIN,
    BEGUN,
    CANCELED,
    ENDED,
    MODEL,
    SEEN,
    SPOKEN,
    STREAM,
    WHOLE,
    answers,
    canceled,
    deploy,
    exchange,
    pieces_of,
)
from providers.replicate.tests.replicate_wire import GPT, ID, LLAMA, METRICS, described, event, inputs, prediction
from typing_extensions import override

from headgate.dialects import Gaps, OpenAIChat
from headgate.errors import InvalidRequest, ProviderError, UnsupportedField
from headgate.exchange import Exchange, Principal
from headgate.operations import PASSTHROUGH
from headgate.provider import Provider
from headgate.secret import Secret
from headgate.testing import ProviderContract, Recorded, ReplayUpstream
from headgate.testing.providers import SECRET
from headgate.testing.waiting import eventually
from headgate.upstream import UpstreamRequest, origin_of
from headgate_replicate import Replicate, ReplicateChat, predictions


class TestReplicate(ProviderContract):
    """Chat of an OpenAI client, translated both ways. The model's schema comes first, and a stream takes three calls more."""

    provider = Replicate
    url = f"{API}/models/o/n/predictions"
    request = b'{"model":"o/n","messages":[{"role":"user","content":"hi"}]}'
    reply = ENDED
    stream = SPOKEN
    tool_reply = None
    tool_stream = None
    usage = (9, 3)
    errors: ClassVar[Mapping[int, Recorded]] = {
        401: Recorded.from_json({"title": "Unauthenticated", "detail": "Invalid token.", "status": 401}, 401),
        402: Recorded.from_json({"title": "Insufficient credit", "detail": "You have insufficient credit", "status": 402}, 402),
        404: Recorded.from_json({"detail": "The requested resource could not be found.", "status": 404}, 404),
        422: Recorded.from_json({"title": "Input validation failed", "detail": "- input.prompt: required", "status": 422}, 422),
        429: Recorded.from_json({"detail": "Request was throttled. Expected available in 1 second."}, 429),
        500: Recorded(status=500, body=b"<html>"),
    }  # fmt: skip

    @override
    def deploy(self, upstream: ReplayUpstream, **changes: Any) -> Provider:
        for base in ("/v1", "/api"):
            upstream.answer(f"{base}/models/o/n", Recorded.from_json(LLAMA))
            upstream.answer(f"{base}/predictions/{ID}", ENDED)
            upstream.answer(f"{base}/predictions/{ID}/cancel", CANCELED)
        return super().deploy(upstream, **changes)

    @override
    def exchange(self, provider: Provider, *, stream: bool = False) -> Exchange:
        if stream and isinstance(provider.upstream, ReplayUpstream):
            provider.upstream.answer(BEGIN, BEGUN)
        return super().exchange(provider, stream=stream)

    @override
    async def _sent(self) -> UpstreamRequest:
        upstream = ReplayUpstream({"*": self.reply})
        await self.call(upstream)
        asked, begun = upstream.requests
        assert (asked.method, asked.url, asked.body) == ("GET", f"{API}/models/o/n", b"")
        return begun

    @override
    def forwarded(self, body: bytes) -> bytes:
        return ReplicateChat(inputs(LLAMA)).encode_request(OpenAIChat().decode_request(body), Gaps("replicate"))

    @override
    def relayed(self, recorded: Recorded) -> bytes:
        dialect, client = ReplicateChat(), OpenAIChat()
        asked = client.decode_request(self.request)
        if recorded is not SPOKEN:
            return client.encode_reply(dialect.decode_reply(recorded.body), asked)
        told = b"".join(predictions.prediction_event(one.body) for one in (BEGUN, ENDED))
        first, last = told.split(b"\n\n")[:2]
        decoder, encoder = dialect.stream_decoder(), client.stream_encoder(asked)
        frames = [first + b"\n\n", *dialect.framer().feed(SPOKEN.body), last + b"\n\n"]
        events = [one for frame in frames for one in decoder.feed(frame)]
        return b"".join((*map(encoder.feed, events), encoder.end()))

    @override
    async def test_stream_is_relayed(self) -> None:
        """Every event comes back, every connection is given up, and a prediction that is over is not canceled."""
        upstream = ReplayUpstream({"*": SPOKEN})
        assert b"".join(await pieces_of(await self.call(upstream, stream=True))) == self.relayed(SPOKEN)
        assert all(response.is_closed for response in upstream.responses)
        assert [urlsplit(request.url).path for request in upstream.requests] == [MODEL, BEGIN, STREAM, SEEN]

    @override
    async def test_tool_calls_pass(self) -> None:
        """There are no tools to call: who asks for one is refused by name, and nothing begins."""
        await self._refuses_tools(stream=False)

    @override
    async def test_streamed_tool_calls_pass(self) -> None:
        """The same for a stream."""
        await self._refuses_tools(stream=True)

    async def _refuses_tools(self, *, stream: bool) -> None:
        upstream = ReplayUpstream({"*": self.reply})
        provider = self.deploy(upstream)
        ex = self.exchange(provider, stream=stream)
        tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
        ex.body = msgspec.json.encode(msgspec.json.decode(ex.body) | {"tools": [tool]})
        with pytest.raises(UnsupportedField, match="`tools`"):
            await provider.call(ex)
        assert all(request.method == "GET" for request in upstream.requests)

    @override
    async def test_cut_stream_raises(self) -> None:
        """A stream without `done` raises, however much of it came and however the connection ended; it is canceled then."""
        end = SPOKEN.body.index(b"event: done")
        for size in (0, 1, 30, end, end + 9):
            for framing in ("chunked", "close"):
                upstream = ReplayUpstream({"*": SPOKEN.varied(cut_at=size, framing=framing)})
                with pytest.raises(ProviderError):
                    await pieces_of(await self.call(upstream, stream=True))
                await eventually(lambda up=upstream: canceled(up), "the prediction was canceled")

    @override
    async def test_cancelled_call_ends_the_upstream(self) -> None:
        """When the caller leaves while a prediction is begun, it is waited for only so long."""
        upstream = ReplayUpstream({"*": self.reply.varied(stall_at=1)})
        task = asyncio.create_task(self.call(upstream))
        await eventually(lambda: len(upstream.responses) == 2, "the prediction is being begun")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await eventually(lambda: upstream.responses[1].is_closed, "the connection is given up")
        assert not canceled(upstream)

    @override
    async def test_abandoned_stream_ends_the_upstream(self) -> None:
        """When the caller leaves during a stream, its connection is closed and the prediction is canceled."""
        upstream = ReplayUpstream({"*": SPOKEN.varied(stall_at=len(event("output", "Grü")))})
        reply = await self.call(upstream, stream=True)
        chunks: Any = reply.chunks
        assert await anext(chunks)
        await chunks.aclose()
        assert upstream.responses[2].is_closed
        await eventually(lambda: canceled(upstream), "the prediction was canceled")

    @override
    async def test_secret_never_comes_back(self) -> None:
        """A model that says the token, or an API that echoes it, does not give it to the caller."""
        echoed = Recorded.from_json(prediction(output=[SECRET], metrics=METRICS), 201)
        failed = Recorded.from_json(prediction("failed", error=f"bad {SECRET}"), 201)
        streamed = SPOKEN.varied(body=event("output", SECRET) + event("done", "{}"))
        cases = [
            (echoed, False),
            (failed, False),
            (Recorded.from_json({"detail": SECRET}, 401), False),
            (streamed, True),
        ]
        for recorded, stream in cases:
            upstream = ReplayUpstream({"*": recorded.varied(headers=(*recorded.headers, ("x-echo", SECRET)))})
            reply = await self.call(upstream, stream=stream)
            assert SECRET.encode() not in b"".join(await pieces_of(reply))
            assert SECRET not in repr(reply.headers)


@pytest.mark.parametrize("model", ["", "gpt", "o/", "o/n/x", "../n", "o/..", "o/n:latest", "o n/x", "o/n?x=1"])
async def test_names_that_none_can_have(model: str) -> None:
    """A name of another form reaches nobody."""
    upstream = ReplayUpstream()
    provider = deploy(upstream)
    with pytest.raises(InvalidRequest, match="owner/name"):
        await provider.call(exchange(provider, model=model))
    assert upstream.requests == []


async def test_a_version() -> None:
    """A model with a version is described and begun by it."""
    version = "0123456789abcdef"
    described_version = {"id": version, **LLAMA["latest_version"]}
    paths = {f"{MODEL}/versions/{version}": Recorded.from_json(described_version), "/v1/predictions": WHOLE}
    upstream = ReplayUpstream(paths)
    provider = deploy(upstream)
    await provider.call(exchange(provider, model=f"o/n:{version}"))
    assert json.loads(upstream.requests[1].body) == {"version": version, "input": {"prompt": "hi"}}


async def test_schemas_are_kept_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """One is read once in ten minutes, and not for a caller with a key of their own, who may see other models."""
    upstream = answers(begin=WHOLE)
    provider = deploy(upstream)
    for _ in range(3):
        await provider.call(exchange(provider))
    assert sum(request.url.endswith("/o/n") for request in upstream.requests) == 1
    ex = exchange(provider)
    ex.principal = Principal("k", credential=Secret("callers-own"))
    await provider.call(ex)
    asked = [request.credential for request in upstream.requests if request.url.endswith("/o/n")]
    assert [one.secret.reveal() for one in asked if one] == [SECRET, "callers-own"]
    monkeypatch.setattr("headgate_replicate.provider.KEPT_S", 0.0)
    await provider.call(exchange(provider))
    assert sum(request.url.endswith("/o/n") for request in upstream.requests) == 3


async def test_few_schemas_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of models are the callers' choice: the oldest makes room for the newest."""
    monkeypatch.setattr("headgate_replicate.provider.MOST_KEPT", 2)
    upstream = answers(begin=WHOLE)
    for name in "ab":
        upstream.answer(f"/v1/models/o/{name}", Recorded.from_json(LLAMA))
        upstream.answer(f"/v1/models/o/{name}/predictions", WHOLE)
    provider = deploy(upstream)
    for name in "nabbn":
        await provider.call(exchange(provider, model=f"o/{name}"))
    asked = [request.url[-1] for request in upstream.requests if request.method == "GET"]
    assert asked == ["n", "a", "b", "n"]


async def test_models_that_are_no_language_models() -> None:
    """They are refused before anything is begun."""
    upstream = ReplayUpstream({MODEL: Recorded.from_json(described(image={"type": "string"}))})
    provider = deploy(upstream)
    with pytest.raises(InvalidRequest, match="takes no `prompt`"):
        await provider.call(exchange(provider))
    assert len(upstream.requests) == 1


async def test_histories() -> None:
    """A history reaches a model that takes one, and is refused by name for others before anything is begun."""
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    for model, is_taken in ((GPT, True), (LLAMA, False)):
        upstream = answers(model, begin=WHOLE)
        provider = deploy(upstream)
        ex = exchange(provider)
        ex.body = json.dumps({"model": "o/n", "messages": turns}).encode()
        if is_taken:
            await provider.call(ex)
            assert json.loads(upstream.requests[1].body)["input"] == {"messages": turns}
        else:
            with pytest.raises(UnsupportedField, match="one turn"):
                await provider.call(ex)
            assert len(upstream.requests) == 1


async def test_other_paths_pass() -> None:
    """Everything else of the API is reached at its own path, as it was when Replicate was a row."""
    upstream = ReplayUpstream({"/v1/predictions": Recorded.from_json({"results": []})})
    provider = deploy(upstream)
    ex = exchange(provider, PASSTHROUGH, path="/v1/predictions", method="GET")
    ex.body = b""
    reply = await provider.call(ex)
    assert b"".join(await pieces_of(reply)) == b'{"results":[]}'
    (request,) = upstream.requests
    assert (request.method, request.url) == ("GET", f"{API}/predictions")
    assert request.credential is not None
    assert request.credential.origins == {origin_of(API)}


async def test_a_callers_own_address() -> None:
    """A base URL of the caller's choice serves every call of the prediction, without the deployment's token."""
    paths = {
        "/b/models/o/n": Recorded.from_json(LLAMA),
        "/b/models/o/n/predictions": BEGUN,
        f"/b/predictions/{ID}": ENDED,
    }
    upstream = ReplayUpstream(paths)
    provider = deploy(upstream)
    ex = exchange(provider)
    ex.base_url = "https://callers.example/b/"
    ex.principal = Principal("k", credential=Secret("callers-own"))
    reply = await provider.call(ex)
    assert reply.status == 200
    assert {urlsplit(request.url).hostname for request in upstream.requests} == {"callers.example"}
    assert {request.credential.secret.reveal() for request in upstream.requests if request.credential} == {
        "callers-own"
    }
