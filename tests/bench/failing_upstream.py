"""A mock upstream that may be sick: it never answers (`hang`), always answers 500 (`fail`), or is well (`ok`).

`GET /calls` tells when each call arrived, in seconds of the machine's monotonic clock.
"""

import argparse
import asyncio
import json
import time
from typing import Literal, get_args

import uvloop
from typing_extensions import override
from upstream import Pace, Upstream

Mode = Literal["ok", "hang", "fail"]

DELAY_MS = 10.0
_ERROR = b'{"error":{"message":"out of order","type":"server_error","param":null,"code":null}}'
_FAILED = b"HTTP/1.1 500 Internal Server Error\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
    len(_ERROR),
    _ERROR,
)


class FailingUpstream(Upstream):
    """One connection of it. `calls` are shared by all."""

    def __init__(self, mode: Mode, calls: list[float]) -> None:
        super().__init__(Pace(delay_ms=DELAY_MS))
        self.mode = mode
        self.calls = calls

    @override
    def on_message_complete(self) -> None:
        if self.parser.get_method() == b"GET":
            told = json.dumps(self.calls).encode()
            self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(told), told))
            return
        self.calls.append(time.monotonic())
        if self.mode == "ok":
            super().on_message_complete()
        elif self.mode == "fail":
            self.transport.write(_FAILED)


async def serve(port: int, mode: Mode) -> None:
    """Serve until the process is ended."""
    calls: list[float] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: FailingUpstream(mode, calls), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--mode", choices=get_args(Mode), default="ok")
    given = parser.parse_args()
    uvloop.run(serve(given.port, given.mode))


if __name__ == "__main__":
    main()
