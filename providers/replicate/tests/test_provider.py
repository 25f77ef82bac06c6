"""The provider: what every provider promises, what a prediction takes of calls, and where the token goes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import urlsplit

import msgspec
import pytest
from providers.replicate.tests.replicate_wire import (
    GPT,
    ID,
    LLAMA,
    METRICS,
    STREAM_URL,
    Json,
    described,
    event,
    inputs,
    prediction,
)
from typing_extensions import override

from headgate.builtin import Core
from headgate.dialects import Gaps, OpenAIChat
from headgate.errors import InvalidRequest, ProviderError, ProviderFailed, ProviderTimeout, UnsupportedField
from headgate.exchange import Attempt, Exchange, Principal, Reply, Target
from headgate.operations import CHAT, MESSAGES, PASSTHROUGH, Operation
from headgate.provider import DeploymentConfig, Provider
from headgate.secret import Secret
from headgate.testing import ProviderContract, Recorded, ReplayUpstream
from headgate.testing.providers import SECRET
from headgate.testing.waiting import eventually
from headgate.upstream import Timeouts, UpstreamRequest, origin_of
from headgate_replicate import Replicate, ReplicateChat, predictions

EVENTS = (("content-type", "text/event-stream"),)
API = "https://api.replicate.com/v1"
MODEL, BEGIN = "/v1/models/o/n", "/v1/models/o/n/predictions"
SEEN, CANCEL = f"/v1/predictions/{ID}", f"/v1/predictions/{ID}/cancel"
STREAM = urlsplit(STREAM_URL).path
ENDED = Recorded.from_json(prediction(output=["Grü", "ße"], metrics=METRICS))
BEGUN = Recorded.from_json(prediction("starting"), 201)
WHOLE = ENDED.varied(status=201)
SPOKEN = Recorded(
    headers=EVENTS, body=event("output", "Grü") + event("output", "ße") + event("done", "{}"), framing="chunked"
)
CANCELED = Recorded.from_json(prediction("canceled"))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause of these tests is longer than a moment."""
    monkeypatch.setattr(predictions, "POLL_S", 0.001)
    monkeypatch.setattr(predictions, "LEAVING_S", 0.05)


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


async def pieces_of(reply: Reply) -> list[bytes]:
    return [reply.body] if reply.chunks is None else [piece async for piece in reply.chunks]


def canceled(upstream: ReplayUpstream) -> bool:
    return any(urlsplit(request.url).path.endswith(f"/predictions/{ID}/cancel") for request in upstream.requests)


def answers(model: Json = LLAMA, **recorded: Recorded | list[Recorded]) -> ReplayUpstream:
    """An upstream: `begin`, `seen`, `stream` and `cancel` are the calls of a prediction."""
    paths = {"begin": BEGIN, "seen": SEEN, "stream": STREAM, "cancel": CANCEL}
    given = {"cancel": CANCELED, **recorded}
    return ReplayUpstream({MODEL: Recorded.from_json(model), **{paths[name]: held for name, held in given.items()}})


def deploy(upstream: ReplayUpstream, **config: Any) -> Replicate:
    held: Json = {"provider": "replicate", "api_key": Secret(SECRET), **config}
    return Replicate("main", DeploymentConfig(**held), upstream)


def exchange(
    provider: Provider, operation: Operation = CHAT, model: str = "o/n", *, stream: bool = False, **fields: Any
) -> Exchange:
    dialects = {dialect.name: dialect for dialect in Core().dialects()}
    ex = Exchange(operation, {}, request_id="r", trace_id="t", dialect=dialects.get(operation.dialect), **fields)
    asked: Json = {"model": model, "messages": [{"role": "user", "content": "hi"}], "stream": stream}
    ex.body = json.dumps(asked | ({"max_tokens": 50} if operation is MESSAGES else {})).encode()
    ex.model, ex.stream, ex.principal = model, stream, Principal("k")
    attempt = ex.attempt = Attempt(Target(deployment="main"), provider, model, 0.0)
    spoken = provider.spoken(ex, model)
    assert spoken is not None
    attempt.operation, attempt.dialect = spoken[0], provider.codecs.get(spoken[1])
    return ex


def error_of(reply: Reply) -> Json:
    return json.loads(reply.body)["error"]


# whole answers


async def test_an_answer_that_takes_longer() -> None:
    """Replicate holds the call a little; then the prediction is looked at until it is over."""
    running = Recorded.from_json(prediction("processing"))
    upstream = answers(begin=BEGUN.varied(status=202), seen=[running, Recorded(status=503), running, ENDED])
    provider = deploy(upstream)
    reply = await provider.call(exchange(provider))
    assert json.loads(reply.body)["choices"][0]["message"]["content"] == "Grüße"
    assert dict(upstream.requests[1].headers)[b"prefer"] == b"wait=5"
    looks = upstream.requests[2:]
    assert [(look.method, look.url, look.body) for look in looks] == [("GET", f"{API}/predictions/{ID}", b"")] * 4
    assert not any(b"prefer" in dict(look.headers) for look in looks)
    assert all(response.is_closed for response in upstream.responses)


@pytest.mark.parametrize(("status", "code"), [("failed", "prediction_failed"), ("canceled", "prediction_canceled")])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_prediction_that_fails(status: str, code: str, *, stream: bool) -> None:
    """It is an error of the model's, at once or after a while."""
    failed = Recorded.from_json(prediction(status, error="it broke" if status == "failed" else None), 201)
    for upstream in (answers(begin=failed), answers(begin=nowhere(BEGUN), seen=failed.varied(status=200))):
        provider = deploy(upstream)
        reply = await provider.call(exchange(provider, stream=stream))
        assert (reply.status, error_of(reply)["code"]) == (502, code)
        await provider.predictions.settled()
        assert not canceled(upstream)


def nowhere(begun: Recorded) -> Recorded:
    """The same beginning of a prediction that has no stream."""
    return Recorded.from_json({**json.loads(begun.body), "urls": {}}, 201)


async def test_looks_that_fail_give_up_in_the_end() -> None:
    """Three in a row: what came last is the answer, and the prediction is canceled."""
    upstream = answers(begin=BEGUN, seen=Recorded.from_json({"detail": "down"}, 503))
    provider = deploy(upstream)
    reply = await provider.call(exchange(provider))
    assert (reply.status, error_of(reply)["message"]) == (503, "down")
    assert sum(request.url.endswith(ID) for request in upstream.requests) == 3
    await provider.predictions.settled()
    assert canceled(upstream)


async def test_an_answer_that_is_late() -> None:
    """At its limit the call fails as late, and the prediction is canceled."""
    upstream = answers(begin=BEGUN, seen=Recorded.from_json(prediction("processing")))
    provider = deploy(upstream, timeouts=Timeouts(first_byte_s=0.05))
    with pytest.raises(ProviderTimeout) as caught:
        await provider.call(exchange(provider))
    assert caught.value.deployment == "main"
    await provider.predictions.settled()
    assert canceled(upstream)


@pytest.mark.parametrize("recorded", [BEGUN, BEGUN.varied(delay_s=0.01)])
async def test_a_caller_who_leaves(recorded: Recorded) -> None:
    """While the prediction is begun or watched: it is canceled as soon as its id is known."""
    upstream = answers(begin=recorded, seen=Recorded.from_json(prediction("processing")))
    provider = deploy(upstream)
    task = asyncio.create_task(provider.call(exchange(provider)))
    looks = 2 if recorded.delay_s else 4
    await eventually(lambda: len(upstream.requests) >= looks, "the prediction is under way")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually(lambda: canceled(upstream), "the prediction was canceled")
    await provider.predictions.settled()
    request = next(one for one in upstream.requests if one.url.endswith("/cancel"))
    assert (request.method, request.body, request.credential is not None) == ("POST", b"", True)


async def test_a_prediction_that_cannot_be_canceled() -> None:
    """That fails nobody: it is logged."""
    upstream = answers(begin=BEGUN, stream=SPOKEN.varied(cut_at=0), cancel=Recorded(status=200, body=b"no json"))
    provider = deploy(upstream)
    with pytest.raises(ProviderError):
        await pieces_of(await provider.call(exchange(provider, stream=True)))
    await provider.predictions.settled()
    assert canceled(upstream)


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"status":"starting"}', b'{"id":"../x","status":"starting"}'])
async def test_a_reply_that_is_no_prediction(body: bytes) -> None:
    """Without a good id there is nothing to wait for."""
    provider = deploy(answers(begin=Recorded(status=201, body=body)))
    with pytest.raises(ProviderFailed, match="no prediction") as caught:
        await provider.call(exchange(provider))
    assert caught.value.provider == "replicate"


# streams


async def test_where_the_token_goes() -> None:
    """To the API, and to Replicate's own host of streams, which gets nothing else of the deployment's."""
    upstream = answers(begin=BEGUN, stream=SPOKEN, seen=ENDED)
    provider = deploy(upstream, headers={"X-Secret-Header": Secret("h")})
    await pieces_of(await provider.call(exchange(provider, stream=True)))
    bound = [(urlsplit(one.url).hostname, one.credential and one.credential.origins) for one in upstream.requests]
    api = frozenset({"https://api.replicate.com:443"})
    host = "stream.replicate.com"
    assert bound == [
        ("api.replicate.com", api), ("api.replicate.com", api), (host, frozenset({f"https://{host}:443"})),
        ("api.replicate.com", api),
    ]  # fmt: skip
    streamed = dict(upstream.requests[2].headers)
    assert streamed.keys() == {b"user-agent", b"accept"}
    assert (upstream.requests[2].method, streamed[b"accept"]) == ("GET", b"text/event-stream")
    assert b'"stream":true' in upstream.requests[1].body


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/v1/x", "http://stream.replicate.com/v1/x", "https://stream.replicate.com:8443/x",
        "https://stream.replicate.com@evil.example/", "https://stream.replicate.com.evil.example/", "file:///etc/passwd",
        "http://169.254.169.254/",
    ],
)  # fmt: skip
async def test_a_stream_elsewhere_is_not_reached(address: str) -> None:
    """An answer cannot send the gateway, or its token, to a host of its choice; what was begun is canceled."""
    begun = prediction(
        "starting", urls={"stream": address, "cancel": "https://evil.example/c", "get": "https://evil.example/"}
    )
    upstream = answers(begin=Recorded.from_json(begun, 201))
    provider = deploy(upstream)
    with pytest.raises(ProviderFailed, match="not Replicate's"):
        await provider.call(exchange(provider, stream=True))
    await provider.predictions.settled()
    assert {urlsplit(request.url).hostname for request in upstream.requests} == {"api.replicate.com"}
    assert canceled(upstream)


@pytest.mark.parametrize(("address", "has_key"), [("https://proxy.example/s/1", True), (STREAM_URL, False)])
async def test_a_proxy_before_replicate(address: str, *, has_key: bool) -> None:
    """A deployment's own address serves its own streams; its key is none of Replicate's and does not go there."""
    begun = prediction("starting", urls={"stream": address})
    paths = {"/models/o/n": Recorded.from_json(LLAMA), "/models/o/n/predictions": Recorded.from_json(begun, 201)}
    upstream = ReplayUpstream({**paths, f"/predictions/{ID}": ENDED, "*": SPOKEN})
    provider = deploy(upstream, base_url="https://proxy.example")
    await pieces_of(await provider.call(exchange(provider, stream=True)))
    assert upstream.requests[2].url == address
    assert (upstream.requests[2].credential is not None) == has_key


async def test_a_model_that_does_not_stream() -> None:
    """Its answer comes whole, and is told as a stream."""
    provider = deploy(answers(begin=nowhere(BEGUN), seen=ENDED))
    reply = await provider.call(exchange(provider, stream=True))
    body = b"".join(await pieces_of(reply)).decode()
    assert "Grüße" in body
    assert body.endswith("data: [DONE]\n\n")


async def test_metrics_that_do_not_come() -> None:
    """The stream ends well all the same, without usage."""
    for seen in (Recorded(status=404), Recorded.from_json(prediction("processing")), ENDED.varied(cut_at=3)):
        provider = deploy(answers(begin=BEGUN, stream=SPOKEN, seen=seen))
        reply = await provider.call(exchange(provider, stream=True))
        assert b"".join(await pieces_of(reply)).endswith(b"data: [DONE]\n\n")
        assert reply.usage is None


async def test_a_stream_that_is_refused() -> None:
    """An error in place of the stream is the answer, and the prediction is canceled."""
    upstream = answers(begin=BEGUN, stream=Recorded.from_json({"detail": "gone"}, 404))
    provider = deploy(upstream)
    reply = await provider.call(exchange(provider, stream=True))
    assert (reply.status, error_of(reply)["message"]) == (404, "gone")
    await provider.predictions.settled()
    assert canceled(upstream)


async def test_a_stream_that_fails_midway() -> None:
    """What was said is said; then comes the error, and no finish."""
    broken = SPOKEN.varied(body=event("output", "a") + event("error", "it broke") + event("done", '{"reason":"error"}'))
    upstream = answers(begin=BEGUN, stream=broken, seen=ENDED)
    provider = deploy(upstream)
    reply = await provider.call(exchange(provider, MESSAGES, stream=True))
    body = b"".join(await pieces_of(reply)).decode()
    assert "event: error" in body
    assert "it broke" in body
    assert "message_stop" not in body
    await provider.predictions.settled()
    assert not canceled(upstream)


# models


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
    with pytest.raises(InvalidRequest, match="language model"):
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
