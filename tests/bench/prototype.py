"""The least that a gateway on Headgate's parts could do: a Litestar route, a two-field probe, the own engine.

There is no pipeline, no error handling and no accounting in it: what a request costs beyond this is the pipeline's.
"""

import argparse
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast, get_args

import msgspec
import uvicorn
from litestar import Litestar, asgi

from headgate.upstream import Upstream, UpstreamRequest
from headgate.upstream.engines import EngineName, create_engine

_FORWARDED = frozenset({b"content-type", b"authorization", b"accept"})
_RELAYED = frozenset({b"content-type", b"content-length"})


class _Probe(msgspec.Struct):
    model: str
    stream: bool = False


_decode = msgspec.json.Decoder(_Probe).decode


def build_app(origin: str, engine: EngineName) -> Litestar:
    """An application with one route, which forwards to the same path of `origin`."""
    held: list[Upstream] = []
    url = f"{origin}/v1/chat/completions"
    private = frozenset({origin.partition("://")[2].partition(":")[0]})

    @asynccontextmanager
    async def with_engine(app: Litestar) -> AsyncGenerator[None]:
        held.append(create_engine(engine))
        yield
        await held[0].close()

    @asgi("/v1/chat/completions", copy_scope=False)
    async def relay(scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        body: bytes = message["body"]
        while message.get("more_body"):
            message = await receive()
            body += message["body"]
        probe = _decode(body)
        headers = tuple([pair for pair in scope["headers"] if pair[0] in _FORWARDED])
        reply = await held[0].send(UpstreamRequest("POST", url, headers, body, private_hosts=private))
        relayed = [pair for pair in reply.headers if pair[0] in _RELAYED]
        await send({"type": "http.response.start", "status": reply.status, "headers": relayed})
        if probe.stream:
            async for chunk in reply.chunks():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        else:
            await send({"type": "http.response.body", "body": await reply.read()})

    return Litestar([relay], openapi_config=None, logging_config=None, lifespan=[with_engine])


def main() -> None:
    """Read the command line and serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--origin", required=True, help="where to forward to, such as http://127.0.0.1:9000")
    parser.add_argument("--engine", choices=get_args(EngineName), default="h1")
    given = parser.parse_args()
    uvicorn.run(
        build_app(given.origin, cast("EngineName", given.engine)),
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
