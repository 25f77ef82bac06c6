"""One HTTP/1.1 connection to a provider.

Framing is read by llhttp in its strict mode, as RFC 9112 wants it; what llhttp leaves open (sizes, interim replies,
coding lists, bytes nobody asked for) is refused here. A connection carries one exchange at a time and goes back to its
pool only when the exchange ended in a way that leaves no doubt where the next reply begins.
"""

from __future__ import annotations

import asyncio
import math
import re
import select
import ssl
from typing import Any, cast

import httptools
from typing_extensions import override

from headgate.upstream.h1_response import HIGH_BYTES, H1Response, Owner, Unsent
from headgate.upstream.interface import Pieces
from headgate.upstream.pieces import Taking
from headgate.upstream.rules import words_of

MAX_HEADERS = 256
MAX_HEAD_BYTES = 64 * 1024
MAX_INTERIM = 16
PIECE_BYTES = 256 * 1024
"""How much of a request body is handed over at once."""
_KEEP_ALIVE = re.compile(rb'\b(timeout|max)[ \t]*=[ \t]*"?([0-9]{1,9})(?![0-9])')
_NO_BODY = frozenset({204, 304})
_NO_SUCCESS = 300


class Connection(asyncio.Protocol):
    """One connection. `served` counts finished exchanges; while it waits in a pool, `idle_until` says until when it is good,
    in the loop's time. `keep_s` and `max_served` are what its server has said of that.
    """

    __slots__ = (
        "_chunked",
        "_extra",
        "_head_bytes",
        "_headers",
        "_interim",
        "_is_paused",
        "_length",
        "_parser",
        "_poll",
        "_reply",
        "_room",
        "_state",
        "idle_until",
        "is_dead",
        "keep_s",
        "key",
        "max_served",
        "owner",
        "served",
        "transport",
    )

    def __init__(self, owner: Owner, key: object) -> None:
        self.owner = owner
        self.key = key
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)
        self.idle_until = 0.0
        self.keep_s = math.inf
        self.served = 0
        self.max_served = math.inf
        self.is_dead = True  # until it is made
        self._parser: Any = httptools.HttpResponseParser(self)
        self._poll = select.poll()
        self._reply: H1Response | None = None
        self._state = "idle"
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._extra = 0
        self._interim = 0
        self._chunked = False
        self._length: bytes | None = None
        self._is_paused = False
        self._room: asyncio.Future[None] | None = None

    # the life of an exchange

    def is_open(self) -> bool:
        """Whether the connection was made and has not ended, as far as the loop has looked."""
        return not self.is_dead and not self.transport.is_closing()

    def is_usable(self, now: float) -> bool:
        """Whether an idle connection is open with nothing to read: neither the end nor bytes nobody asked for."""
        return self.idle_until > now and not self.is_dead and not self.transport.is_closing() and not self._poll.poll(0)

    def begin(self, reply: H1Response, head: bytes, body: bytes) -> None:
        """Write a request and take replies for `reply` from now on. A large body is left to `send_body`."""
        self._reply = reply
        self._state = "waiting"
        self._interim = self._head_bytes = self._extra = 0
        if not body:
            self.transport.write(head)
        elif len(body) <= PIECE_BYTES:
            self.transport.writelines((head, body))
        else:
            reply.must_close = True  # until it is written whole
            self.transport.write(head)

    async def send_body(self, reply: H1Response, body: bytes) -> None:
        """Write a large body in pieces, waiting for the socket. An answer that is no success stops it."""
        if await self._write(reply, body):
            reply.must_close = False

    async def send_pieces(self, reply: H1Response, pieces: Pieces) -> None:
        """Take the pieces of a body and write each, waiting for the socket before the next. What one raises ends the reply."""
        taking = Taking(pieces)
        is_chunked = pieces.length is None
        try:
            while await self._is_wanted(reply):
                reply.wait_for_client()
                piece = await taking.next()
                reply.wait_for_server()
                if not piece:
                    self._end_body(reply, is_chunked=is_chunked)
                    return
                if not await self._write(reply, piece, is_chunked=is_chunked):
                    return
        except Exception as error:
            reply.lose(error)
            if self._reply is reply:
                self.end()

    async def _write(self, reply: H1Response, data: bytes, *, is_chunked: bool = False) -> bool:
        """Write as fast as the socket takes it; False when it is no longer wanted.

        Not with `writelines`, which asyncio's transport of Python 3.12.0-3.12.8 and 3.13.0-3.13.1 does not pause
        (CVE-2024-12254, https://github.com/python/cpython/issues/127655): everything would be taken into memory.
        """
        view = memoryview(data)
        for at in range(0, len(data), PIECE_BYTES):
            if not await self._is_wanted(reply):
                return False
            part = view[at : at + PIECE_BYTES]
            self.transport.write(b"%x\r\n%b\r\n" % (len(part), part) if is_chunked else part)
        return True

    def _end_body(self, reply: H1Response, *, is_chunked: bool) -> None:
        if self._reply is reply and self.is_open():
            if is_chunked:
                self.transport.write(b"0\r\n\r\n")
            reply.must_close = False

    async def _is_wanted(self, reply: H1Response) -> bool:
        """Whether more of the request can be written, once there is room for it. An answer that is no success ends it."""
        while self._room is not None:
            await self._room
        return self._reply is reply and self.is_open() and reply.status < _NO_SUCCESS

    def end(self) -> None:
        """Give the exchange up: whatever still comes belongs to nobody."""
        self._reply = None
        self._drop()

    # asyncio.Protocol

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.is_dead = False
        if transport.get_extra_info("ssl_object") is not None:
            # While reading is paused the end must wait in the socket: uvloop drops what TLS holds when it sees the end.
            cast("Any", transport).set_read_buffer_limits(high=1)
        sock = transport.get_extra_info("socket")
        self._poll.register(sock.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)

    @override
    def data_received(self, data: bytes) -> None:
        reply = self._reply
        if reply is None:
            self._drop()
            return
        self._extra += len(data)
        reply.begin_read()
        self._feed(data)
        reply.end_read()

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail("it answered with an upgrade that was not asked for", "upstream_bad_reply")
        except httptools.HttpParserCallbackError as error:
            self._fail(str(error.__context__ or "its answer is not valid HTTP"), "upstream_bad_reply")
        except httptools.HttpParserError:
            self._fail("its answer is not valid HTTP", "upstream_bad_reply")
        else:
            if self._extra > MAX_HEAD_BYTES + 256 * 1024:
                self._fail("its answer has too much around its body", "upstream_bad_reply")

    @override
    def eof_received(self) -> None:
        reply = self._reply
        if (
            reply is not None
            and self._state == "body"
            and not self._chunked
            and self._length is None
            and _is_said(self.transport)
        ):
            self._complete(reply, keep=False)  # the end of the connection is the end of the body, RFC 9112 section 6.3
        self._drop()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.is_dead = True
        self.owner.forget(self)
        self.resume_writing()
        reply, self._reply = self._reply, None
        if reply is None:
            return
        if self._state in {"head", "body"}:
            reply.fail("cut", "upstream_cut", in_body=self._state == "body")
        elif self._state == "waiting" and self.served and reply.is_safe:
            reply.lose(Unsent())
        else:
            words = words_of(exc) if exc is not None else "it closed the connection without an answer"
            reply.fail(words, "")

    @override
    def pause_writing(self) -> None:
        self._room = self.owner.loop.create_future()

    @override
    def resume_writing(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    # httptools

    def on_message_begin(self) -> None:
        if self._reply is None:
            raise ValueError("it sent more than one answer")
        self._chunked = False
        self._length = None
        self._state = "head"

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > MAX_HEAD_BYTES:
            raise ValueError("the head of its answer is too large")
        if self._state != "head":
            return  # a trailer, which nobody reads
        name, value = name.lower(), value.rstrip(b" \t")
        if name == b"transfer-encoding":
            if self._chunked or value.strip().lower() != b"chunked":
                raise ValueError("its answer is not valid HTTP")
            self._chunked = True
        elif name == b"content-length":
            if self._length is not None:
                raise ValueError("its answer is not valid HTTP")
            self._length = value
        elif name == b"keep-alive":
            self._keep_alive(value)
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        if len(self._headers) > MAX_HEADERS:
            raise ValueError("its answer has too many headers")
        status = self._parser.get_status_code()
        if 100 <= status < 200:
            return
        if self._parser.get_http_version() not in {"1.1", "1.0"} or (self._chunked and self._length is not None):
            raise ValueError("its answer is not valid HTTP")
        self._state = "body"
        reply = self._reply
        if reply is None:
            return
        reply.answer(status, tuple(self._headers))
        if reply.is_bodyless or status in _NO_BODY:
            self._complete(reply, keep=not reply.is_bodyless and self._parser.should_keep_alive())

    def on_body(self, body: bytes) -> None:
        self._extra = 0
        reply = self._reply
        if reply is not None and reply.take(body) > HIGH_BYTES:
            self.pause_reading()

    def on_message_complete(self) -> None:
        if self._state == "head":  # an interim answer: 100 Continue, 103 Early Hints
            self._interim += 1
            if self._interim > MAX_INTERIM:
                raise ValueError("it sent too many interim answers")
            self._state = "waiting"
            self._headers = []
            return
        reply = self._reply
        if reply is not None and self._state == "body":
            self._complete(reply, keep=self._parser.should_keep_alive())

    # reading

    def pause_reading(self) -> None:
        """Leave the socket alone until the reader has caught up."""
        if not self._is_paused and not self.transport.is_closing():
            self._is_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Take more from the socket."""
        if self._is_paused:
            self._is_paused = False
            if not self.transport.is_closing():
                self.transport.resume_reading()

    def _keep_alive(self, value: bytes) -> None:
        """Take `timeout` and `max` from a `keep-alive` header; in its last second the server may be closing already."""
        for name, number in _KEEP_ALIVE.findall(value.lower()):
            if name == b"max":
                self.max_served = int(number)
            else:
                self.keep_s = int(number) - 1.0

    def _complete(self, reply: H1Response, *, keep: bool) -> None:
        self._state = "done"
        self._reply = None
        self._headers = []
        self.served += 1
        reply.complete()
        if (
            keep
            and not reply.must_close
            and not self.is_dead
            and self.served < self.max_served
            and not self.transport.get_write_buffer_size()
        ):
            self.resume_reading()
            self.owner.release(self)  # bytes behind this reply, in the same read, take it out of the pool again
        else:
            self._drop()

    def _fail(self, words: str, code: str) -> None:
        reply, self._reply = self._reply, None
        if reply is not None:
            reply.fail(words, code, in_body=self._state == "body")
        self._drop()

    def _drop(self) -> None:
        self.is_dead = True
        self.owner.forget(self)
        self.transport.abort()  # also where it is closing: a TLS farewell to a mute peer would hold the socket for long


def _is_said(transport: asyncio.Transport) -> bool:
    """Whether the other side has ended the connection itself: over TLS anyone can cut it, RFC 9112 section 9.8."""
    tls = transport.get_extra_info("ssl_object")
    if tls is None:
        return True
    try:
        return not tls.read(1)
    except (ssl.SSLError, OSError):
        return False
