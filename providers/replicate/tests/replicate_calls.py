"""The calls that a prediction takes, answered as its tests want them."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from providers.replicate.tests.replicate_wire import ID, LLAMA, METRICS, STREAM_URL, Json, event, prediction

from headgate.builtin import Core
from headgate.exchange import Attempt, Exchange, Principal, Reply, Target
from headgate.operations import CHAT, MESSAGES, Operation
from headgate.provider import DeploymentConfig, Provider
from headgate.secret import Secret
from headgate.testing import Recorded, ReplayUpstream
from headgate.testing.providers import SECRET
from headgate_replicate import Replicate

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
