"""The beginning and the end: servers that go away at once, engines that close early, and what is kept in memory."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

import pytest
from core.tests import engines
from core.tests.engines import (
    HOST,
    LOCAL,
    NAME,
    OK,
    Authority,
    Engine,
    Server,
    black_hole,
    fetched,
    h1_only,
    refused,
    resolve_to,
    turns,
)

from headgate.errors import ProviderError, ProviderFailed
from headgate.testing import eventually
from headgate.upstream import Tls, Upstream, UpstreamRequest, interface

server = engines.server
engine = engines.engine
loop_factory = engines.loop_factory
upstream = engines.upstream
authority = engines.authority

RESET = b"\x01\0\0\0\0\0\0\0"


@pytest.mark.parametrize("how", ["close", "reset", "half-close", "garbage", "garbage, close"])
async def test_a_server_that_is_done_at_once(upstream: Upstream, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """A connection that ended, or said something, before the request could be written is a failure in words, at once."""
    loop = asyncio.get_running_loop()
    connect = loop.create_connection
    held: list[socket.socket] = []
    with socket.create_server((HOST, 0)) as listening:

        async def create_connection(*args: Any, **options: Any) -> Any:
            sock, _ = listening.accept()
            held.append(sock)
            if "garbage" in how:
                sock.sendall(b"220 mail.example.com\r\n")
            if how == "reset":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            if how == "half-close":
                sock.shutdown(socket.SHUT_WR)
            elif how != "garbage":
                sock.close()
            return await connect(*args, **options)

        monkeypatch.setattr(loop, "create_connection", create_connection)
        request = UpstreamRequest(
            "POST", f"http://{HOST}:{listening.getsockname()[1]}", body=b"{}", private_hosts=LOCAL
        )
        for _ in range(3):
            assert isinstance(await refused(upstream, request), ProviderFailed)
    for sock in held:
        sock.close()


# closing


@h1_only
@pytest.mark.parametrize("where", ["name", "connect", "handshake", "made"])
async def test_closing_ends_the_calls_that_connect(
    engine: Engine, authority: Authority, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """A call that has no connection yet when the engine closes fails at once, and gets none afterwards.

    aiohttp lets such calls go on.
    """
    loop = asyncio.get_running_loop()
    upstream = engine()
    reached = asyncio.Event()
    going_on = asyncio.Event()
    connect = loop.create_connection

    async def getaddrinfo(*_: Any, **__: Any) -> Any:
        reached.set()
        await going_on.wait()

    async def create_connection(*args: Any, **options: Any) -> Any:
        made = await connect(*args, **options)
        reached.set()
        with contextlib.suppress(asyncio.CancelledError):
            await going_on.wait()  # the very moment before the engine learns of it
        return made

    with black_hole() as hole, socket.create_server((HOST, 0)) as listening:
        port = hole if where == "connect" else listening.getsockname()[1]
        resolve_to(monkeypatch, "127.0.0.2" if where == "connect" else HOST)
        if where == "name":
            monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
        elif where == "made":
            monkeypatch.setattr(loop, "create_connection", create_connection)
        else:
            reached.set()
        url = f"http{'s' if where == 'handshake' else ''}://{NAME}:{port}/"
        request = UpstreamRequest("POST", url, private_hosts=LOCAL, tls=Tls(ca_file=authority.file))
        calls = [asyncio.create_task(fetched(upstream, request)) for _ in range(2)]
        await reached.wait()
        await asyncio.sleep(0.02)
        await upstream.close()
        if where == "made":
            going_on.set()
        async with asyncio.timeout(engines.HANG_S):
            for error in await asyncio.gather(*calls, return_exceptions=True):
                assert isinstance(error, ProviderError)
                assert "shutting down" in error.message
        listening.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                with listening.accept()[0] as sock:
                    sock.settimeout(1)
                    with contextlib.suppress(ConnectionResetError):
                        while await loop.run_in_executor(None, sock.recv, 65536):
                            pass
    await turns()
    assert len(asyncio.all_tasks()) == 1


@h1_only
async def test_a_closed_engine_refuses(engine: Engine, server: Server) -> None:
    """A call that comes after `close` fails, and sets no timer."""
    upstream = engine()
    await fetched(upstream, server.request())
    await upstream.close()
    assert "shutting down" in (await refused(upstream, server.request())).message
    await eventually(lambda: server.open == 0, "every connection was closed")
    assert len(server.connections) == 1


# memory


@h1_only
async def test_long_addresses_are_not_remembered(server: Server, upstream: Upstream) -> None:
    """What a caller puts into a query is not kept after the call: addresses past 1 KiB are made each time."""
    for number in range(20):
        assert await fetched(upstream, server.request(f"/{number}?q=" + "x" * 50_000)) == b"ok"
    remembered: Any = interface
    before = remembered._origin.cache_info().currsize
    await fetched(upstream, server.request("/?q=" + "y" * 50_000))
    assert remembered._origin.cache_info().currsize == before
    kept: Any = upstream
    assert sum(len(route.start) for route in kept._routes.values()) < 10_000
    assert len(server.connections) == 1


@h1_only
async def test_an_idle_connection_keeps_no_headers(server: Server, upstream: Upstream) -> None:
    """What a reply's head held goes with the reply."""
    server.answer = engines.answering(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 50_000 + b"\r\n" + OK.partition(b"\r\n")[2])
    assert await fetched(upstream, server.request()) == b"ok"
    held: Any = upstream
    assert [connection._headers for connection in held._open] == [[]]
