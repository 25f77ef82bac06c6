"""A mock OpenAI upstream that costs as little as Python allows, so that a benchmark measures what stands before it.

It answers `POST /v1/chat/completions` with about 1 KB of JSON, or with a paced stream when the body asks for one. Each
content chunk of a stream is one event of about 150 bytes with a record of its number and the instant it was written.
"""

import argparse
import asyncio
import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast
from urllib.parse import parse_qs

import httptools
import uvloop
from typing_extensions import override

RECORD_SIZE = 31
REPLY_TEXT = " ".join(f"word{n:03d}" for n in range(90))

_ENVELOPE = b'{"id":"c","object":"%s","created":1,"model":"m",%s}'
_USAGE = b'"usage":{"prompt_tokens":200,"completion_tokens":180,"total_tokens":380}'
_STREAM_MARKS = (b'"stream":true', b'"stream": true')
_MAX_TOKENS = re.compile(rb'"max_tokens": ?([0-9]+)')


@dataclass(frozen=True, slots=True)
class Pace:
    """How a reply is timed: `delay_ms` before the first content, then `chunks` content chunks `gap_ms` apart."""

    chunks: int = 64
    gap_ms: float = 10.0
    delay_ms: float = 0.0


DEFAULT_PACE = Pace()


def record(number: int, instant_ns: int) -> bytes:
    """The text of one content chunk: its number and the monotonic instant of its writing, `RECORD_SIZE` bytes."""
    return b"%06d %019d mock" % (number, instant_ns)


def _http_reply(status: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % (status, len(body)) + body


def _event(data: bytes) -> bytes:
    frame = b"data: " + data + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(frame), frame)


def _delta(delta: bytes, end: bytes = b"") -> bytes:
    choice = b'"choices":[{"index":0,"delta":{%s}%s}]' % (delta, end)
    return _event(_ENVELOPE % (b"chat.completion.chunk", choice))


def reply_body() -> bytes:
    """The JSON of a whole reply."""
    message = b'{"role":"assistant","content":"%s"}' % REPLY_TEXT.encode()
    choice = b'"choices":[{"index":0,"message":%s,"finish_reason":"stop"}],' % message
    return _ENVELOPE % (b"chat.completion", choice + _USAGE)


_JSON_REPLY = _http_reply(b"200 OK", reply_body())
_NOT_FOUND = _http_reply(b"404 Not Found", b'{"error":{"message":"only POST /v1/chat/completions is known here"}}')
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
) + _delta(b'"role":"assistant","content":""')
_CONTENT = _delta(b'"content":"%s"' % record(0, 0)).split(record(0, 0))
_STREAM_TAIL = (
    _delta(b"", b',"finish_reason":"stop"')
    + _event(_ENVELOPE % (b"chat.completion.chunk", b'"choices":[],' + _USAGE))
    + _event(b"[DONE]")
    + b"0\r\n\r\n"
)


def stream_events(chunks: int) -> list[bytes]:
    """The events of a stream as they are before they are framed for HTTP/1.1, without waiting between them."""
    framed = [_delta(b'"role":"assistant","content":""')]
    framed += [record(number, 0).join(_CONTENT) for number in range(chunks)]
    events = [frame.partition(b"\r\n")[2].removesuffix(b"\r\n") for frame in framed]
    tail = _STREAM_TAIL.split(b"\r\n")[1::2]
    return events + [event for event in tail if event.startswith(b"data:")]


def _paced_by(pace: Pace, query: bytes) -> Pace:
    given = {name: float(values[-1]) for name, values in parse_qs(query.decode()).items()}
    return replace(
        pace,
        chunks=int(given.get("chunks", pace.chunks)),
        gap_ms=given.get("gap_ms", pace.gap_ms),
        delay_ms=given.get("delay_ms", pace.delay_ms),
    )


class Upstream(asyncio.Protocol):
    """One keep-alive connection; the query of a request (`chunks`, `gap_ms`, `delay_ms`) overrides `pace`.

    A stream has at most `max_tokens` content chunks, as if each were a token.
    """

    def __init__(self, pace: Pace) -> None:
        self.default = pace
        self.pace = pace
        self.loop = asyncio.get_running_loop()
        self.parser = httptools.HttpRequestParser(self)
        self.timer: asyncio.TimerHandle | None = None
        self.url = b""
        self.body = b""
        self.chunks = 0
        self.position = 0
        self.started = 0.0

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self.timer is not None:
            self.timer.cancel()

    @override
    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_begin(self) -> None:
        self.url = b""
        self.body = b""

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        path, _, query = self.url.partition(b"?")
        if self.parser.get_method() != b"POST" or path != b"/v1/chat/completions":
            self.transport.write(_NOT_FOUND)
            return
        self.pace = _paced_by(self.default, query) if query else self.default
        if any(mark in self.body for mark in _STREAM_MARKS):
            limit = _MAX_TOKENS.search(self.body)
            self.chunks = min(self.pace.chunks, int(limit[1])) if limit else self.pace.chunks
            self.transport.write(_STREAM_HEAD)
            self._after(self._start_content)
        else:
            self._after(self._answer)

    def _after(self, step: Callable[[], None]) -> None:
        if self.pace.delay_ms:
            self.timer = self.loop.call_later(self.pace.delay_ms / 1000, step)
        else:
            step()

    def _answer(self) -> None:
        self.transport.write(_JSON_REPLY)

    def _start_content(self) -> None:
        self.position = 0
        self.started = self.loop.time()
        self._write_content()

    def _write_content(self) -> None:
        if self.position == self.chunks:
            self.transport.write(_STREAM_TAIL)
            return
        self.transport.write(record(self.position, time.monotonic_ns()).join(_CONTENT))
        self.position += 1
        self.timer = self.loop.call_at(self.started + self.position * self.pace.gap_ms / 1000, self._write_content)


async def serve(port: int, pace: Pace, hosts: list[str]) -> None:
    """Serve on every one of `hosts` until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await loop.create_server(lambda: Upstream(pace), hosts, port, backlog=1024)
    await stopped.wait()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--host", action="append", help="address to listen on, may be repeated; 127.0.0.1 without it")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--chunks", type=int, default=DEFAULT_PACE.chunks, help="content chunks of a stream")
    parser.add_argument("--gap-ms", type=float, default=DEFAULT_PACE.gap_ms, help="time between two content chunks")
    parser.add_argument("--delay-ms", type=float, default=DEFAULT_PACE.delay_ms, help="time before the first content")
    given = parser.parse_args()
    uvloop.run(serve(given.port, Pace(given.chunks, given.gap_ms, given.delay_ms), given.host or ["127.0.0.1"]))


if __name__ == "__main__":
    main()
