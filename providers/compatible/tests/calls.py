"""Calls of a provider in any client's dialect, as the pipeline makes them, for the tests of this folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import msgspec

from headgate.builtin import Core
from headgate.dialects import Dialect
from headgate.exchange import Attempt, Exchange, Reply, Target
from headgate.operations import OPERATIONS, Operation
from headgate.provider import Provider
from headgate.secret import Secret
from headgate.testing import Recorded, ReplayUpstream
from headgate.testing.samples import chat_reply
from headgate.upstream import UpstreamRequest
from headgate_compatible import Row, catalogue
from headgate_compatible.catalogue import read_row

Json = dict[str, Any]

DIALECTS: Mapping[str, Dialect] = {dialect.name: dialect for dialect in Core().dialects()}
BY_NAME: Mapping[str, Operation] = {operation.name: operation for operation in OPERATIONS}
VARS = {
    "account": "acc",
    "account_id": "acc-1",
    "deployment": "dep-1",
    "host": "https://dbc-1.cloud.example/",
    "region": "us-1",
    "tenant": "ten-1",
}
"""A value for every placeholder of the rows; hosts are often given with their scheme."""
FILLED = {**VARS, "host": "dbc-1.cloud.example"}
OK = Recorded.from_json(chat_reply({"content": "yes"}))
VENDORS = sorted(
    file.name.removesuffix(".toml")
    for file in files("headgate_compatible").joinpath("vendors").iterdir()
    if file.name.endswith(".toml")
)
DROP = {b"x-headgate-unsupported": b"drop"}
USER: Json = {"role": "user", "content": "hi"}
TOOL: Json = {"name": "f", "input_schema": {"type": "object"}}
THINK: Json = {"thinking": {"type": "enabled", "budget_tokens": 2000}, "max_tokens": 4000}
CALL: Json = {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]}
RESULT: Json = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "r"}]}


def row_of(name: str) -> Row:
    """The row of a vendor."""
    return read_row(files("headgate_compatible").joinpath("vendors", f"{name}.toml").read_text("utf-8"))


def deploy(kind: type[Provider], upstream: ReplayUpstream | None = None, **config: Any) -> Provider:
    """A deployment of a provider class."""
    held: Json = {"provider": kind.name, **config}
    return kind("mine", kind.Config(**held), upstream or ReplayUpstream({"*": OK}))


def deploy_row(name: str, upstream: ReplayUpstream | None = None, **config: Any) -> Provider:
    """A deployment of a vendor, by the name of its row."""
    row = row_of(name)
    if row.vars_env:
        config.setdefault("vars", {placeholder: VARS[placeholder] for placeholder in row.vars_env})
    key = {} if row.keyless else {"api_key": Secret("sk")}
    return deploy(catalogue()[name], upstream, **{**key, **config})


def exchange(
    provider: Provider,
    body: Json | bytes = b'{"model":"m","messages":[]}',
    operation: str = "chat",
    overrides: Mapping[str, Any] | None = None,
    **request: Any,
) -> Exchange:
    """An exchange whose attempt is at `provider`, in the dialect it speaks for that, or of the operation `asked`."""
    asked = BY_NAME[operation]
    wanted: str = request.pop("asked", "")
    headers: dict[bytes, bytes] = request.pop("headers", {})
    ex = Exchange(asked, headers, request_id="r", trace_id="t", dialect=DIALECTS.get(asked.dialect), **request)
    ex.body = body if isinstance(body, bytes) else msgspec.json.encode(body)
    members: Any = json.loads(ex.body) if asked.has_model else {}
    ex.model, ex.stream = str(members.get("model") or "m"), bool(members.get("stream"))
    attempt = ex.attempt = Attempt(Target(deployment="mine", override_params=overrides or {}), provider, ex.model, 0.0)
    spoken = (wanted, BY_NAME[wanted].dialect) if wanted else provider.spoken(ex, ex.model)
    if spoken is not None:
        attempt.operation, name = spoken
        if name != asked.dialect:
            attempt.dialect = provider.codecs.get(name) or DIALECTS[name]
    return ex


def held(request: UpstreamRequest) -> bytes:
    """The body of a request, which none of these comes in pieces."""
    assert isinstance(request.body, bytes)
    return request.body


async def send(provider: Provider, body: Json, operation: str = "messages", **request: Any) -> tuple[Json, list[str]]:
    """What a vendor is sent for a client's body, and what was dropped on the way."""
    ex = exchange(provider, body, operation, **request)
    await provider.call(ex)
    upstream: Any = provider.upstream
    return json.loads(upstream.requests[-1].body), ex.dropped


async def sent_by(name: str, body: Json, operation: str = "messages", **request: Any) -> tuple[Json, list[str]]:
    """What the vendor of this name is sent by chat for a client's body, and what was dropped on the way."""
    return await send(deploy_row(name), body, operation, asked="chat", **request)


async def body_of(reply: Reply) -> bytes:
    """All of a reply."""
    return reply.body if reply.chunks is None else b"".join([piece async for piece in reply.chunks])


def messages_request(*turns: Json, **members: Any) -> Json:
    """A body of the Messages API."""
    return {"model": "m", "max_tokens": 64, "messages": list(turns), **members}


def responses_request(*items: Json, **members: Any) -> Json:
    """A body of the Responses API."""
    return {"model": "m", "input": list(items), **members}
