"""A gateway before Vertex AI for the tests of its jobs, and what Google's own client sends and reads."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import httpx2
from google import genai
from google.auth.credentials import AnonymousCredentials
from google.genai import types

from headgate.testing import Client, Recorded, ReplayUpstream, gateway
from headgate.upstream import UpstreamRequest

Json = dict[str, Any]
T = TypeVar("T")

PROJECT, REGION = "my-project", "us-central1"
PLACE = f"projects/{PROJECT}/locations/{REGION}"
URL = f"https://{REGION}-aiplatform.googleapis.com/v1/{PLACE}"


class Vertex:
    """A gateway before Vertex AI, which answers as it is told."""

    def __init__(self, client: Client, upstream: ReplayUpstream) -> None:
        self._client, self._upstream = client, upstream
        self.dropped: str | None = None

    @property
    def calls(self) -> list[UpstreamRequest]:
        return self._upstream.requests

    def answer(self, *said: Json, path: str = "*", status: int = 200) -> None:
        self._upstream.answer(path, *(Recorded.from_json(each, status) for each in said))

    async def ask(self, method: str, path: str, body: Json | None = None, **headers: str) -> tuple[int, Json]:
        reply = await self._client.request(method, path, json=body, headers={"x-headgate-provider": "mine", **headers})
        self.dropped = reply.headers.get("x-headgate-dropped")
        return reply.status_code, reply.json()


@asynccontextmanager
async def serving(**settings: Any) -> AsyncGenerator[Vertex]:
    """Vertex AI behind the deployment `mine`."""
    upstream = ReplayUpstream()
    held = {"provider": "vertex", "project": PROJECT, "location": REGION, "api_key": "AIza-some-key", **settings}
    deployed = {name: value for name, value in held.items() if value is not None}
    async with gateway(providers={"mine": deployed}, upstream=upstream) as client:
        yield Vertex(client, upstream)


def sent(call: UpstreamRequest) -> tuple[str, str, Any]:
    return call.method, call.url, json.loads(call.body) if call.body else None


def official(ask: Callable[[genai.Client], T], answer: Json) -> tuple[T, Json]:
    """What Google's client makes of an answer, and the body that it asked with."""
    bodies: list[bytes] = []

    def take(request: httpx2.Request) -> httpx2.Response:
        bodies.append(request.read())
        return httpx2.Response(200, json=answer)

    options = types.HttpOptions(httpx_client=httpx2.Client(transport=httpx2.MockTransport(take)))
    who: Any = AnonymousCredentials()
    who.token = "some-token"
    with genai.Client(vertexai=True, project=PROJECT, location=REGION, credentials=who, http_options=options) as google:
        told = ask(google)
    return told, json.loads(bodies[0]) if bodies[0] else {}
