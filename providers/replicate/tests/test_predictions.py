"""Predictions, whole and streamed: how long one is looked at, when it is canceled, and where the token goes."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import urlsplit

import pytest
from providers.replicate.tests.replicate_calls import (
    API,
    BEGUN,
    ENDED,
    SPOKEN,
    answers,
    canceled,
    deploy,
    error_of,
    exchange,
    pieces_of,
)
from providers.replicate.tests.replicate_wire import ID, LLAMA, STREAM_URL, event, prediction

from headgate.errors import ProviderError, ProviderFailed, ProviderTimeout
from headgate.operations import MESSAGES
from headgate.secret import Secret
from headgate.testing import Recorded, ReplayUpstream
from headgate.testing.waiting import eventually
from headgate.upstream import Timeouts

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
