"""What the tests of WebSocket sessions share: a gateway behind its own front door in this process, and providers to talk to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import uvicorn
from typing_extensions import override
from uvicorn.server import ServerState
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from headgate import Exchange, Hooks, Principal, Provider, Unauthenticated, hookimpl
from headgate.builtin import gateway_key
from headgate.gateway import Gateway
from headgate.server.app import build_app
from headgate.server.door import Door, use_limits
from headgate.server.handler import Handler
from headgate.testing.running import load
from headgate.upstream import Upstream
from headgate.upstream.engines import create_engine

KEY = "hg-good-key"
SECRET = "sk-secret-of-the-deployment"
SHAKE = (
    b"GET /v1/realtime?model=talk/gpt-realtime HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer hg-good-key\r\n"
    b"connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
Answer = Callable[[ServerConnection], Awaitable[None]]


class Talker(Provider):
    """A provider that has realtime and nothing else."""

    name = "talker"
    key_env = "TALKER_KEY"
    dialects: ClassVar[Mapping[str, str]] = {"realtime": "openai.realtime"}
    paths: ClassVar[Mapping[str, str]] = {"realtime": "/realtime"}
    forwarded = ("openai-beta",)


class Retelling(Talker):
    """A provider that is told an own message before the first of a client's, and all of those in capitals."""

    name = "retelling"

    @override
    def session_writer(self, ex: Exchange) -> Any:
        said: list[bytes] = []

        def told(message: bytes) -> list[bytes]:
            said.append(message)
            return [*([b"hello"] if len(said) == 1 else []), message.upper()]

        return told


class Mute(Talker):
    """A provider without realtime."""

    name = "mute"
    dialects: ClassVar[Mapping[str, str]] = {"chat": "openai.chat"}


class Keys(Hooks):
    """One key is good, and may use what the configuration has; `seen` are the exchanges that have ended."""

    def __init__(self, models: tuple[str, ...] = ()) -> None:
        self.seen: list[Exchange] = []
        self._models = models

    @override
    @hookimpl
    async def authenticate(self, ex: Exchange) -> Principal | None:
        if gateway_key(ex) != KEY:
            raise Unauthenticated("this key is not known")
        return Principal("tester", models=self._models)

    @override
    @hookimpl
    async def record(self, ex: Exchange) -> None:
        self.seen.append(ex)


class Provided:
    """A provider's WebSocket server on loopback. `heads` are the handshakes it had, `open` the sessions it has now."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.heads: list[Mapping[str, str]] = []
        self.paths: list[str] = []
        self.open = 0
        self.closes: list[tuple[int | None, str | None]] = []
        self.port = 0

    async def __call__(self, connection: ServerConnection) -> None:
        request = connection.request
        assert request is not None
        self.heads.append({name.lower(): value for name, value in request.headers.raw_items()})
        self.paths.append(request.path)
        self.open += 1
        try:
            await self.answer(connection)
        except ConnectionClosed:
            pass
        finally:
            await connection.wait_closed()
            self.open -= 1
            self.closes.append((connection.close_code, connection.close_reason))


async def echo(connection: ServerConnection) -> None:
    """Send back what comes."""
    async for message in connection:
        await connection.send(message)


@asynccontextmanager
async def provided(answer: Answer = echo, **options: Any) -> AsyncGenerator[Provided]:
    """A provider that answers every session with `answer`."""
    held = Provided(answer)
    async with serve(held, "127.0.0.1", 0, compression=None, ping_interval=None, **options) as server:
        held.port = next(iter(server.sockets)).getsockname()[1]
        yield held


class Served:
    """A gateway that listens on loopback."""

    def __init__(self, gateway: Gateway, state: ServerState, port: int, keys: Keys) -> None:
        self.gateway = gateway
        self.state = state
        self.port = port
        self.keys = keys

    def url(self, model: str = "talk/gpt-realtime", more: str = "") -> str:
        return f"ws://127.0.0.1:{self.port}/v1/realtime?model={model}{more}"

    def connect(self, model: str = "talk/gpt-realtime", more: str = "", **options: Any) -> connect:
        """A client with the good key. `options` are those of `websockets.connect`."""
        headers = {"Authorization": f"Bearer {KEY}", **options.pop("headers", {})}
        options = {"compression": None, "ping_interval": None, "proxy": None, **options}
        return connect(self.url(model, more), additional_headers=headers, **options)

    async def raw(self, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A bare connection on which `data` was sent."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        await writer.drain()
        return reader, writer

    def drain(self) -> None:
        """What the server does to its connections when the process is to end."""
        self.gateway.is_draining = True
        for connection in list[Any](self.state.connections):
            connection.shutdown()

    def is_idle(self) -> bool:
        """Whether nothing runs and nobody is connected."""
        return self.gateway.in_flight == 0 and not self.state.connections and not self.state.tasks

    async def record(self, number: int = 0) -> Exchange:
        """An exchange that has ended, as soon as it has."""
        await eventually(lambda: len(self.keys.seen) > number, "the exchange was recorded")
        return self.keys.seen[number]


@asynccontextmanager
async def served(
    port: int,
    folder: Path,
    *plugins: Hooks | type[Provider],
    config: Mapping[str, Any] | None = None,
    others: Mapping[str, Any] | None = None,
    upstream: Upstream | None = None,
    **deployment: Any,
) -> AsyncGenerator[Served]:
    """A gateway whose deployment `talk` is the provider on `port`. At the end nothing of it may be running.

    `upstream` is what it calls through, by default the engine that it is configured with.
    """
    keys = next((plugin for plugin in plugins if isinstance(plugin, Keys)), Keys())
    rest = [plugin for plugin in plugins if plugin is not keys]
    own = {"provider": "talker", "base_url": f"http://127.0.0.1:{port}/v1", "api_key": SECRET, **deployment}
    providers = {"talk": own, "quiet": {**own, "provider": "mute"}, **(others or {})}
    settings = {"models": {"voice": "talk/gpt-realtime"}, **(config or {})}
    loaded = load(keys, *rest, Talker, Mute, providers=providers, config=settings, folder=folder)
    held = Gateway(lambda: loaded, upstream or create_engine(loaded.config.server.engine))
    await held.start(loaded)
    use_limits(loaded.config.limits)
    uvicorn_config = uvicorn.Config(
        build_app(held, Handler(held)),
        http=Door,
        interface="asgi3",
        ws="none",
        lifespan="off",
        log_config=None,
        proxy_headers=False,
    )
    uvicorn_config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Door(uvicorn_config, state, {}), "127.0.0.1", 0)
    served = Served(held, state, server.sockets[0].getsockname()[1], keys)
    try:
        yield served
        await eventually(served.is_idle, "everything has ended")
        assert held.body_bytes == 0
    finally:
        server.close()
        for connection in list[Any](state.connections):
            connection.transport.abort()
        await held.close()


async def eventually(predicate: Callable[[], Any], what: str, deadline_s: float = 8.0) -> None:
    """Poll until `predicate()` is true; AssertionError with `what` after the deadline."""
    end = asyncio.get_running_loop().time() + deadline_s
    while not predicate():
        assert asyncio.get_running_loop().time() < end, f"it did not happen that {what}"
        await asyncio.sleep(0.005)


async def closed(client: ClientConnection) -> tuple[int | None, str | None]:
    """Code and reason with which a client's session ended, as soon as it has."""
    await asyncio.wait_for(client.wait_closed(), 8)
    return client.close_code, client.close_reason
