"""A bare reverse proxy on the same libraries as the gateway: the price of the libraries, with no gateway in it.

It reads the body, forwards it and relays status and body as they come. A gateway's CPU time is given as a multiple of
this one's.
"""

import argparse
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import aiohttp
import uvicorn

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_FORWARDED = frozenset({b"content-type", b"authorization", b"accept"})
_RELAYED = frozenset({b"content-type", b"content-length"})


async def _read_body(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    return body


class BareProxy:
    """An ASGI application that forwards every request to `origin`."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.session: aiohttp.ClientSession | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Relay one request, or follow the server's life-cycle."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif self.session is not None:
            await self._relay(self.session, scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        ) as self.session:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def _relay(self, session: aiohttp.ClientSession, scope: Message, receive: Receive, send: Send) -> None:
        body = await _read_body(receive)
        headers = {name.decode(): value.decode() for name, value in scope["headers"] if name in _FORWARDED}
        query = f"?{scope['query_string'].decode()}" if scope["query_string"] else ""
        url = f"{self.origin}{scope['path']}{query}"
        async with session.request(scope["method"], url, data=body, headers=headers) as reply:
            relayed = [(name.lower(), value) for name, value in reply.raw_headers if name.lower() in _RELAYED]
            await send({"type": "http.response.start", "status": reply.status, "headers": relayed})
            async for chunk in reply.content.iter_any():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})


def main() -> None:
    """Read the command line and serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--origin", required=True, help="where to forward to, such as http://127.0.0.1:9000")
    given = parser.parse_args()
    uvicorn.run(
        BareProxy(given.origin),
        host="127.0.0.1",
        port=given.port,
        http="httptools",
        loop="uvloop",
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
