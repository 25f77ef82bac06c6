"""A gateway in front of vendors in memory: one that speaks chat only, others that speak Responses and keep what they make."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import urlsplit

import msgspec
import pytest
from openai import AsyncOpenAI
from typing_extensions import override

from headgate import Exchange, Hooks, Outcome, Principal, Provider, Scene, Strategy, Target, hookimpl
from headgate.builtin import bearer
from headgate.hooks import StateStore
from headgate.testing import Client, OpenGateway, Recorded, ReplayUpstream
from headgate.testing.recorded import EVENT_STREAM
from headgate.testing.samples import chat_chunk, chat_reply, usage_chunk
from headgate.upstream import UpstreamRequest, UpstreamResponse
from headgate_responses import Responses, ResponsesConfig, Shelf

Json = dict[str, Any]


class Who(Hooks):
    """The bearer token is the key. Brings a strategy too."""

    @override
    @hookimpl
    def strategies(self) -> Mapping[str, Strategy]:
        return {"in-turn": InTurn()}

    @override
    @hookimpl
    async def authenticate(self, ex: Exchange) -> Principal | None:
        key = bearer(ex)
        return Principal(key) if key else None


class InTurn(Strategy):
    """Another target for each exchange, and no second one: what a load balancer does."""

    def __init__(self) -> None:
        self._turn = itertools.count()

    @override
    def choose(self, target: Target, ex: Exchange, outcomes: Sequence[Outcome], scene: Scene) -> int | None:
        return None if outcomes else next(self._turn) % len(target.targets)


class ChatOnly(Provider):
    """A vendor without Responses."""

    name = "chat-only"
    is_keyless = True
    base_url = "http://chat.test/v1"
    dialects: ClassVar[Mapping[str, str]] = {"chat": "openai.chat"}
    paths: ClassVar[Mapping[str, str]] = {"chat": "/chat/completions"}


class Native(Provider):
    """A vendor with Responses."""

    name = "native"
    is_keyless = True
    dialects: ClassVar[Mapping[str, str]] = {"responses": "openai.responses", "passthrough": ""}
    paths: ClassVar[Mapping[str, str]] = {"responses": "/responses"}


class Stateless(Native):
    """A vendor that speaks Responses and keeps nothing."""

    name = "stateless"
    keeps_responses: ClassVar[bool] = False


class Vendors(ReplayUpstream):
    """All vendors: `bodies` are the requests they got, `hosts` who got them, `said` the last reply. `status` lets one fail.

    The vendor that speaks chat says back what it was told. The others answer with ids of their own; `says_store` is what
    they say of keeping the response.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[Json] = []
        self.hosts: list[str] = []
        self.said = b""
        self.status: dict[str, int] = {}
        self.says_store: bool | None = True
        self.call: Json | None = None
        self._serial = itertools.count(1)

    @override
    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        host = urlsplit(request.url).hostname or ""
        path = urlsplit(request.url).path
        sent: Any = request.body
        body: Json = msgspec.json.decode(sent) if sent else {}
        self.hosts.append(host)
        self.bodies.append(body)
        recorded = self._answer(host, request.method, path, body)
        self.said = recorded.body
        self.answer("*", recorded)
        return await super().send(request)

    def _answer(self, host: str, method: str, path: str, body: Json) -> Recorded:
        status = self.status.get(host, 200)
        if status != 200:
            return Recorded.from_json({"error": {"message": f"{host} is down", "type": "server_error"}}, status)
        if path.endswith("/chat/completions"):
            return self._chat(body)
        if path.endswith("/responses"):
            return self._respond(host, body)
        return Recorded.from_json({"host": host, "method": method, "path": path})

    def _chat(self, body: Json) -> Recorded:
        said = " | ".join(f"{message['role']}: {_text_of(message)}" for message in body["messages"])
        if self.call is not None:
            call, self.call = self.call, None
            return Recorded.from_json(chat_reply({"content": None, "tool_calls": [call]}, "tool_calls"))
        if not body.get("stream"):
            return Recorded.from_json(chat_reply({"content": said}))
        pieces = [chat_chunk({"content": piece}) for piece in re.split(r"(?<= )", said)]
        return Recorded.from_events(chat_chunk({"role": "assistant"}), *pieces, chat_chunk({}, "stop"), usage_chunk())

    def _respond(self, host: str, body: Json) -> Recorded:
        response = response_of(f"resp_{host.partition('.')[0]}{next(self._serial)}", store=self.says_store)
        if not body.get("stream"):
            return Recorded.from_json(response)
        begun: Json = {**response, "status": "in_progress", "output": []}
        kinds = (("response.created", begun), ("response.in_progress", begun), ("response.completed", response))
        events = [
            b"event: %s\ndata: %s\n\n" % (kind.encode(), msgspec.json.encode({"type": kind, "response": held}))
            for kind, held in kinds
        ]
        return Recorded(headers=EVENT_STREAM, body=b"".join(events), framing="chunked", sizes=(50,))


def response_of(response_id: str, *, store: bool | None = True, text: str = "hello") -> Json:
    """A finished response as OpenAI writes it."""
    message = {"id": f"msg_{response_id}", "type": "message", "role": "assistant", "status": "completed"}
    part: Json = {"type": "output_text", "text": text, "annotations": []}
    return {
        "id": response_id,
        "object": "response",
        "created_at": 1_700_000_000,
        "status": "completed",
        "model": "m",
        "output": [{**message, "content": [part]}],
        **({} if store is None else {"store": store}),
    }


def _text_of(message: Json) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


class BrokenStore:
    """A StateStore around another one, which fails while `is_down`."""

    def __init__(self, inner: StateStore) -> None:
        self.inner = inner
        self.is_down = False

    def _check(self) -> None:
        if self.is_down:
            raise ConnectionError("no store")

    async def get(self, key: bytes) -> bytes | None:
        self._check()
        return await self.inner.get(key)

    async def set(self, key: bytes, value: bytes, ttl_s: float | None = None) -> None:
        self._check()
        await self.inner.set(key, value, ttl_s)

    async def add(self, key: bytes, amount: int, ttl_s: float | None = None) -> int:
        self._check()
        return await self.inner.add(key, amount, ttl_s)

    async def delete(self, key: bytes) -> None:
        self._check()
        await self.inner.delete(key)


class House:
    """A gateway, its vendors, and clients of it by key."""

    def __init__(self, client: Client, vendors: Vendors) -> None:
        self.http = client
        self.vendors = vendors
        self.store = BrokenStore(client.gateway.context.state)

    def sdk(self, key: str = "ann", **options: Any) -> AsyncOpenAI:
        """The official client, as a caller with this key."""
        return AsyncOpenAI(
            base_url="http://gateway.test/v1", api_key=key, http_client=self.http, max_retries=0, **options
        )


OpenHouse = Callable[..., Awaitable[House]]

DEPLOYMENTS: dict[str, Any] = {
    "chat": {"provider": "chat-only"},
    "a": {"provider": "native", "base_url": "http://a.test/v1", "api_key": "sk-1"},
    "none": {"provider": "stateless", "base_url": "http://none.test/v1"},
    "b": {"provider": "native", "base_url": "http://b.test/v1"},
    "twin": {"provider": "native", "base_url": "http://a.test/v1", "api_key": "sk-1"},
}


@pytest.fixture
def open_house(gateway_client: OpenGateway) -> OpenHouse:
    """Opens a house: more plugins, which come after this one, and the settings of this one."""

    async def opened(*plugins: Hooks, models: Mapping[str, Any] | None = None, **settings: Any) -> House:
        vendors = Vendors()
        config = ResponsesConfig(**settings)
        plugin = Responses(config, Shelf(config.ttl_s, sleep=lambda _: asyncio.sleep(0)))
        client = await gateway_client(
            Who(), plugin, *plugins, ChatOnly, Native, Stateless,
            providers=DEPLOYMENTS, models=models or {"m": "chat/m"}, config={"plugins": ["router-standard"]}, upstream=vendors,
        )  # fmt: skip
        house = House(client, vendors)
        client.gateway.context.state = house.store
        plugin.configure(client.gateway.context)
        return house

    return opened
