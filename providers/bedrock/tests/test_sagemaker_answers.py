"""What SageMaker's endpoints answer: the container's words as it wrote them, and errors that tell whose they are."""

from __future__ import annotations

import json

import msgspec
import pytest
from providers.bedrock.tests.sagemaker_wire import (
    BASE,
    FRAMED,
    REFUSED,
    Json,
    aws_error,
    deploy,
    exception,
    exchange,
    framed,
    model_error,
    part,
    pieces_of,
)

from headgate.dialects.sse import events_of
from headgate.errors import ProviderFailed
from headgate.operations import CHAT, COMPLETIONS, EMBEDDINGS, MESSAGES, PASSTHROUGH, Operation
from headgate.testing import Recorded, ReplayUpstream, samples
from headgate_bedrock.frames import encode_frame


@pytest.mark.parametrize("size", [1, 2, 3, 5, 64, 1000])
@pytest.mark.parametrize("read", [1, 2, 13, 1000])
async def test_streams_do_not_depend_on_parts_or_reads(size: int, read: int) -> None:
    """However SageMaker cuts the container's bytes, and the network SageMaker's, the client gets what the container wrote."""
    quirky = samples.STREAM.body.replace(b"data: [DONE]", b": ping\r\n\r\ndata: [DONE]")
    provider = deploy(ReplayUpstream({"*": framed(quirky, size).varied(sizes=(read,))}))
    reply = await provider.call(exchange(provider, body={"messages": [], "stream": True}))
    pieces = await pieces_of(reply)
    assert b"".join(pieces) == quirky
    assert dict(reply.headers)[b"content-type"] == b"text/event-stream"
    assert b"x-amzn-sagemaker-content-type" not in dict(reply.headers)
    assert reply.usage is not None


async def test_a_torn_message_is_a_cut() -> None:
    """A container that sends no `[DONE]` has finished when its stream ends, unless that is within a message of SageMaker's."""
    said = samples.STREAM.body.removesuffix(b"data: [DONE]\n\n")
    asked: Json = {"messages": [], "stream": True}
    whole = deploy(ReplayUpstream({"*": framed(said)}))
    assert b"".join(await pieces_of(await whole.call(exchange(whole, body=asked)))) == said
    torn = deploy(ReplayUpstream({"*": framed(said, 7, part(b": more")[:20])}))
    with pytest.raises(ProviderFailed, match="within a message"):
        await pieces_of(await torn.call(exchange(torn, body=asked)))


@pytest.mark.parametrize(
    ("last", "code", "message"),
    [
        (exception("InternalStreamFailure", Message="an unknown failure"), "InternalStreamFailure", "an unknown failure"),
        (exception("ModelStreamError", ErrorCode="StreamBroken", Message="it was reset"), "StreamBroken", "it was reset"),
        (exception("ModelStreamError", ErrorCode="ModelInvocationTimeExceeded"), "504", "the container's answer was broken off"),
        (
            encode_frame({":message-type": "error", ":error-code": "InternalFailure", ":error-message": "no"}, b""),
            "InternalFailure",
            "no",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("torn", [0, 20])
async def test_a_stream_that_fails_ends_with_an_error_event(last: bytes, code: str, message: str, torn: int) -> None:
    """What came whole is said, the half of an event is not, and no end is made up."""
    events = events_of(samples.STREAM.body)
    said = b"".join(events[:3])
    provider = deploy(ReplayUpstream({"*": framed(said + events[3][:torn], 9, last)}))
    reply = await provider.call(exchange(provider, body={"messages": [], "stream": True}))
    body = b"".join(await pieces_of(reply))
    assert body.startswith(said)
    error = json.loads(body[len(said) :].removeprefix(b"data: "))["error"]
    assert error == {"message": message, "type": "upstream_error", "param": None, "code": code}
    assert reply.has_error_event
    assert b"[DONE]" not in body


@pytest.mark.parametrize(
    ("last", "status"),
    [
        (exception("ModelStreamError", ErrorCode="ModelInvocationTimeExceeded", Message="late"), 504),
        (exception("InternalStreamFailure", Message="late"), 502),
    ],
)
@pytest.mark.parametrize("operation", [CHAT, MESSAGES])
async def test_a_stream_that_fails_at_once_is_an_error_reply(last: bytes, status: int, operation: Operation) -> None:
    """Nothing is committed yet, so another target may still be tried."""
    provider = deploy(ReplayUpstream({"*": framed(b"", 1, last)}))
    asked: Json = {"messages": [{"role": "user", "content": "hi"}], "stream": True, "max_tokens": 5}
    reply = await provider.call(exchange(provider, operation, body=asked))
    assert (reply.status, reply.chunks) == (status, None)
    assert json.loads(reply.body)["error"]["message"] == "late"


async def test_a_container_that_does_not_stream() -> None:
    """Its whole answer, in parts, is told to a translated client as a stream; in its own dialect it is no stream."""
    whole = framed(samples.REPLY.body, 5)
    case = whole.varied(headers=(*FRAMED[:1], ("x-amzn-sagemaker-content-type", "application/json")))
    asked: Json = {"messages": [{"role": "user", "content": "hi"}], "stream": True, "max_tokens": 5}
    provider = deploy(ReplayUpstream({"*": case}))
    body = b"".join(await pieces_of(await provider.call(exchange(provider, MESSAGES, body=asked))))
    assert "Hello there, Jürgen".encode() in body
    with pytest.raises(ProviderFailed, match="something else came"):
        await provider.call(exchange(provider, body=asked))
    broken = case.varied(body=part(b'{"a"') + exception("ModelStreamError", Message="reset"))
    provider = deploy(ReplayUpstream({"*": broken}))
    with pytest.raises(ProviderFailed, match="reset"):
        await provider.call(exchange(provider, MESSAGES, body=asked))


@pytest.mark.parametrize(
    ("recorded", "status", "code", "message"),
    [
        (model_error(400, REFUSED), 400, "400", "the context is 4096 tokens"),
        (model_error(500, "CUDA out of memory"), 500, "ModelError", "CUDA out of memory"),
        (model_error(0, "Your invocation timed out"), 504, "ModelError", "Your invocation timed out"),
        (aws_error(424, "ModelError", Message="Your model primary failed. See https://x"), 502, "ModelError",
         "Your model primary failed"),
        (model_error(424, '{"error":{"message":"no model m","type":"NotFoundError","code":404}}'), 424, "404", "no model m"),
        (aws_error(530, "InternalDependencyException", Message="call support"), 502, "InternalDependencyException",
         "call support"),
        (aws_error(400, "ThrottlingException", Message="Rate exceeded"), 429, "ThrottlingException", "Rate exceeded"),
        (aws_error(400, "ValidationError", Message="Endpoint e of account 1 not found."), 400, "ValidationError",
         "Endpoint e of account 1 not found."),
        (aws_error(403, "UnrecognizedClientException", message="The security token is invalid."), 401,
         "UnrecognizedClientException", "The security token is invalid."),
        (Recorded(status=502, body=b"<html>"), 502, None, "SageMaker answered with status 502"),
    ],
)  # fmt: skip
async def test_errors(recorded: Recorded, status: int, code: str | None, message: str) -> None:
    """A container that refuses is heard in its own words and status, SageMaker in its own; nobody sees the account's logs."""
    for stream in (False, True):
        upstream = ReplayUpstream({"*": recorded})
        provider = deploy(upstream)
        reply = await provider.call(exchange(provider, body={"messages": [], "stream": stream}))
        error = json.loads(reply.body)["error"]
        assert (reply.status, error["code"], error["message"]) == (status, code, message)
        assert b"123456789012" not in reply.body
        assert [response.is_closed for response in upstream.responses] == [True]


async def test_what_is_passed_keeps_awss_framing() -> None:
    """A client of AWS's own reads the event stream and the errors itself, so they come back untouched, signed on their way."""
    for recorded in (framed(samples.STREAM.body), model_error(400, REFUSED).varied(status=200)):
        upstream = ReplayUpstream({"*": recorded})
        provider = deploy(upstream)
        path = "/v1/endpoints/llama/invocations-response-stream"
        ex = exchange(provider, PASSTHROUGH, path=path)
        body = b"".join(await pieces_of(await provider.call(ex)))
        assert body == recorded.body
        assert upstream.requests[0].body == ex.body
        assert b"authorization" in dict(upstream.requests[0].headers)
        assert upstream.requests[0].url == f"{BASE}/llama/invocations-response-stream"


async def test_embeddings_and_completions_pass() -> None:
    """Bodies of both are the container's own, usage included."""
    said: Json = {"object": "list", "data": [], "model": "m", "usage": {"prompt_tokens": 4, "total_tokens": 4}}
    for operation, asked in ((EMBEDDINGS, {"input": "a"}), (COMPLETIONS, {"prompt": "a"})):
        upstream = ReplayUpstream({"*": Recorded.from_json(said)})
        provider = deploy(upstream)
        reply = await provider.call(exchange(provider, operation, body=asked))
        assert json.loads(reply.body) == said
        assert msgspec.json.decode(upstream.requests[0].body) == asked
        assert reply.usage is not None
        assert reply.usage.prompt == 4
