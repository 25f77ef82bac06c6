"""Asking the demo without a gateway around it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from headgate.dialects import OpenAIChat, OpenAICompletions, OpenAIEmbeddings
from headgate.exchange import Attempt, Exchange, Reply, Target
from headgate.operations import CHAT, Operation
from headgate.provider import DeploymentConfig
from headgate.testing import ReplayUpstream
from headgate_demo import Demo

DIALECTS = {"chat": OpenAIChat(), "completions": OpenAICompletions(), "embeddings": OpenAIEmbeddings()}


def call(
    asked: Mapping[str, Any],
    operation: Operation = CHAT,
    headers: Mapping[str, str] | None = None,
    target: Target | None = None,
    model: str = "echo",
    **config: Any,
) -> Awaitable[Reply]:
    upstream = ReplayUpstream()
    held: dict[str, Any] = {"provider": "demo", **config}
    demo = Demo("try", DeploymentConfig(**held), upstream)
    raw = {name.encode(): value.encode() for name, value in (headers or {}).items()}
    ex = Exchange(operation, raw, request_id="r", trace_id="t", dialect=DIALECTS.get(operation.name))
    ex.body = json.dumps({"model": model, **asked}).encode()
    ex.stream = bool(asked.get("stream"))
    ex.attempt = Attempt(target or Target(deployment="try"), demo, model, 0.0)
    return demo.call(ex)


@pytest.fixture(scope="session")
def ask() -> Callable[..., Awaitable[Reply]]:
    """Asks a fresh demo: the members of a request, then operation, headers, target, model and deployment settings."""
    return call


@pytest.fixture(scope="session")
def events() -> Callable[..., Awaitable[list[bytes]]]:
    """Asks for a stream and gives all of its chunks."""

    async def collect(asked: Mapping[str, Any], operation: Operation = CHAT) -> list[bytes]:
        reply = await call({**asked, "stream": True}, operation)
        assert reply.chunks is not None
        assert (reply.status, dict(reply.headers)[b"content-type"]) == (200, b"text/event-stream")
        return [chunk async for chunk in reply.chunks]

    return collect
