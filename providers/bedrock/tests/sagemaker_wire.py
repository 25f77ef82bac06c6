"""SageMaker's answers, written by hand after its API reference, and calls of a deployment of it."""

from __future__ import annotations

import json
from typing import Any

from headgate.builtin import Core
from headgate.exchange import Attempt, Exchange, Principal, Reply, Target
from headgate.operations import CHAT, Operation
from headgate.provider import Provider
from headgate.secret import Secret
from headgate.testing import Recorded, ReplayUpstream
from headgate.testing.providers import SECRET
from headgate_bedrock import SageMaker, SageMakerConfig
from headgate_bedrock.frames import encode_frame

Json = dict[str, Any]
FRAMED = (
    ("content-type", "application/vnd.amazon.eventstream"),
    ("x-amzn-sagemaker-content-type", "text/event-stream"),
    ("x-amzn-invoked-production-variant", "AllTraffic"),
)
BASE = "https://runtime.sagemaker.eu-west-1.amazonaws.com/endpoints"
KEYS: Json = {"region": "eu-west-1", "access_key_id": "AKIDEXAMPLE", "secret_access_key": SECRET}


def part(payload: bytes) -> bytes:
    return encode_frame(
        {":event-type": "PayloadPart", ":content-type": "application/octet-stream", ":message-type": "event"}, payload
    )


def exception(kind: str, **said: str) -> bytes:
    head = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return encode_frame(head, json.dumps(said).encode())


def framed(body: bytes, size: int = 7, *frames: bytes) -> Recorded:
    """A container's bytes in parts of `size`, which cut events and characters, and then `frames`."""
    parts = [part(body[at : at + size]) for at in range(0, len(body), size)]
    return Recorded(headers=FRAMED, body=b"".join((*parts, *frames)), framing="chunked")


def model_error(status: int, message: str) -> Recorded:
    link = "See https://eu-west-1.console.aws.amazon.com/cloudwatch/home in account 123456789012 for more information."
    said = {
        "ErrorCode": "CLIENT_ERROR_FROM_MODEL",
        "LogStreamArn": "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/sagemaker/Endpoints/e",
        "Message": f'Received client error ({status}) from primary with message "{message}". {link}',
        "OriginalMessage": message,
        "OriginalStatusCode": status,
    }
    return aws_error(424, "ModelError", **said)


def aws_error(status: int, kind: str, **said: Any) -> Recorded:
    headers = (("content-type", "application/json"), ("x-amzn-errortype", f"{kind}:http://internal.amazon.com/"))
    return Recorded.from_json(said, status).varied(headers=headers)


REFUSED = '{"object":"error","message":"the context is 4096 tokens","type":"BadRequestError","param":null,"code":400}'


async def pieces_of(reply: Reply, pieces: list[bytes] | None = None) -> list[bytes]:
    held: list[bytes] = [] if pieces is None else pieces
    if reply.chunks is None:
        return [reply.body]
    async for piece in reply.chunks:
        held.append(piece)  # noqa: PERF401 - what came before an error must be kept
    return held


def deploy(upstream: ReplayUpstream | None = None, **config: Any) -> SageMaker:
    held: Json = {"provider": "sagemaker", **KEYS, "secret_access_key": Secret(SECRET), **config}
    return SageMaker("main", SageMakerConfig(**held), upstream or ReplayUpstream())


def exchange(
    provider: Provider, operation: Operation = CHAT, *, model: str = "llama", body: Json | None = None, **request: Any
) -> Exchange:
    dialects = {dialect.name: dialect for dialect in Core().dialects()}
    ex = Exchange(
        operation,
        request.pop("headers", {}),
        request_id="r",
        trace_id="t",
        dialect=dialects.get(operation.dialect),
        **request,
    )
    ex.body = json.dumps({"model": model, **(body or {})}).encode()
    ex.model, ex.stream, ex.principal = model, bool((body or {}).get("stream")), Principal("k")
    attempt = ex.attempt = Attempt(Target(deployment="main"), provider, model, 0.0)
    spoken = provider.spoken(ex, model)
    assert spoken is not None
    attempt.operation = spoken[0]
    attempt.dialect = dialects[spoken[1]] if spoken[1] != operation.dialect else None
    return ex
