"""A gateway before one vendor with jobs of its own kind, for the tests of this folder."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from headgate.testing import Client, Recorded, ReplayUpstream, gateway
from headgate.upstream import UpstreamRequest

Json = dict[str, Any]

KEY = "sk-vendor-0f1e2d3c4b5a"
SETTINGS: Mapping[str, Json] = {"fireworks": {"account_id": "acme"}}


class Vendor:
    """A gateway before one vendor, which answers as it is told."""

    def __init__(self, client: Client, upstream: ReplayUpstream) -> None:
        self.client = client
        self.upstream = upstream

    @property
    def calls(self) -> Sequence[UpstreamRequest]:
        return self.upstream.requests

    def answer(self, *said: Any, path: str = "*", status: int = 200) -> None:
        recorded = [
            Recorded(
                status=status,
                headers=(("content-type", "application/json"),),
                body=each if isinstance(each, bytes) else json.dumps(each).encode(),
            )
            for each in said
        ]
        self.upstream.answer(path, *recorded)

    async def ask(self, method: str, path: str, body: Json | None = None, **headers: str) -> tuple[int, Json]:
        named = {"x-headgate-provider": "mine", **headers}
        reply = await self.client.request(method, path, json=body, headers=named)
        self.dropped = reply.headers.get("x-headgate-dropped")
        return reply.status_code, reply.json()


@asynccontextmanager
async def at(vendor: str, **settings: Any) -> AsyncGenerator[Vendor]:
    """The vendor behind the deployment `mine`."""
    upstream = ReplayUpstream()
    deployed = {"provider": vendor, "api_key": KEY, **SETTINGS.get(vendor, {}), **settings}
    async with gateway(providers={"mine": deployed}, upstream=upstream) as client:
        yield Vendor(client, upstream)


def sent(call: UpstreamRequest) -> tuple[str, str, Any]:
    return call.method, call.url, json.loads(call.body) if call.body else None
