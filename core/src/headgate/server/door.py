"""The front door: HTTP/1.1 to ASGI, strict about what it takes and with a deadline for everything.

It stands where uvicorn's own protocol would (`Config(http=Door)`) because a gateway needs what that one leaves open:
a deadline for the head, limits on its size, exactly one valid Host, a bounded wait for slow readers, a lingering close
so that a client still reads the error while it sends, and a word to the running exchange the moment its client leaves.
Framing rules are those of RFC 9112; llhttp refuses what is ambiguous.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections import deque
from collections.abc import Callable
from typing import Any, NoReturn, cast

import httptools
import uvicorn
from typing_extensions import override

from headgate.config import Limits
from headgate.errors import InvalidRequest, Overloaded, RequestError
from headgate.operations import SOCKETS
from headgate.server.cycle import LINGER_BYTES, Cycle
from headgate.server.heads import FRAMING, HeadLate, HeadTooLarge, expects_continue, host_port, target_of
from headgate.server.replies import error_reply

READ_HIGH_BYTES = 64 * 1024
WRITE_HIGH_BYTES = 32 * 1024
UNSENT_BYTES = 16 * 1024
MAX_PIPELINED = 64
LINGER_S = 2.0
LINGER_LONG_S = 30.0
"""How long a large upload may go on after its reply, as long as it does."""
_TCP_NOTSENT_LOWAT = 25  # linux/tcp.h; the socket module names it from Python 3.12 on

_limits = Limits()


def use_limits(limits: Limits) -> None:
    """Set the limits that new connections of this process are held to."""
    globals()["_limits"] = limits


class Door(asyncio.Protocol):
    """One client connection."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: Any,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.app: Any = cast("Any", config).loaded_app
        self.loop = _loop or asyncio.get_running_loop()
        self.limits = _limits
        self.state = server_state
        self.app_state = app_state
        self.parser = self._new_parser()
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)
        self.client: tuple[str, int] | None = None
        self.server: tuple[str, int] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.deadline = 0.0
        self.on_deadline: Callable[[], object] | None = None
        self.reader_timer: asyncio.TimerHandle | None = None
        self.full: asyncio.Event | None = None
        self.cycle: Cycle | None = None
        self.waiting: deque[Cycle] = deque()
        self.parsing: Cycle | None = None
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.head_bytes = 0
        self.unfinished_bytes = 0
        self.in_head = False
        self.is_known = False  # what a head says that is parsed again
        self.reading_paused = False
        self.closing = False
        self.linger_bytes = LINGER_BYTES
        self.linger_end = 0.0
        self.refusal: RequestError | None = None

    # connection

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=WRITE_HIGH_BYTES)
        self.state.connections.add(self)
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in {socket.AF_INET, socket.AF_INET6}:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if sys.platform == "linux":
                # keep what a slow reader has not taken with us, where it is bounded and its progress can be seen
                sock.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        peer, own = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        self.client = host_port(peer)
        self.server = host_port(own)
        if len(self.state.connections) > self.limits.connections:
            self._refuse(Overloaded("the gateway has too many connections", retry_after_s=1))
            return
        self._arm(self.limits.header_s, self._head_late)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.state.connections.discard(self)
        self._disarm()
        if self.reader_timer is not None:
            self.reader_timer.cancel()
        self.closing = True
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        self._end_wait()
        for cycle in (self.cycle, self.parsing, *self.waiting):
            if cycle is not None:
                cycle.lose()
        self.waiting.clear()

    @override
    def data_received(self, data: bytes) -> None:
        if self.closing or self.refusal is not None:
            self._linger(data)
            return
        is_first = not self.unfinished_bytes
        self.unfinished_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._meet_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError:
            self._refuse(self.refusal or InvalidRequest("the request is not valid HTTP", code="bad_http"))
        except httptools.HttpParserError as error:
            words = str(error).rstrip(".") or "malformed request"
            self._refuse(InvalidRequest(f"the request is not valid HTTP/1.1: {words}", code="bad_http"))
        else:
            if self.in_head or self.parsing is not None:
                self._wait_for_rest(is_first=is_first)
            else:
                self.unfinished_bytes = 0

    def _wait_for_rest(self, *, is_first: bool) -> None:
        """What has arrived ended inside of a head, or between or behind chunks: that is bounded, and a head comes in time."""
        if self.in_head and is_first and self.cycle is None:
            self._arm(self.limits.header_s, self._head_late)
        if self.unfinished_bytes > self.limits.header_bytes + READ_HIGH_BYTES:
            self._refuse(self._head_too_large())

    @override
    def pause_writing(self) -> None:
        self.full = asyncio.Event()
        self._watch_reader(self.transport.get_write_buffer_size())

    @override
    def resume_writing(self) -> None:
        self._end_wait()
        if self.reader_timer is not None and not self.transport.is_closing():
            self.reader_timer.cancel()
            self.reader_timer = None

    def _end_wait(self) -> None:
        """Let go on who waits for the client to read."""
        full, self.full = self.full, None
        if full is not None:
            full.set()

    def _watch_reader(self, unread: int) -> None:
        """Cut a client that takes nothing of its reply for `reader_stall_s`; a slow one that goes on reading stays."""
        left = self.transport.get_write_buffer_size()
        if self.reader_timer is not None and left >= unread:
            self.transport.abort()
            return
        self.reader_timer = self.loop.call_later(self.limits.reader_stall_s, self._watch_reader, left)

    def close(self) -> None:
        """Close once the client has taken what is written, or takes nothing of it for `reader_stall_s`."""
        self.closing = True
        self.transport.close()
        unread = self.transport.get_write_buffer_size()
        if unread and self.reader_timer is None:
            self._watch_reader(unread)

    def shutdown(self) -> None:
        """The server drains: close when idle, else after the current reply."""
        if self.cycle is None:
            self.close()
        else:
            self.cycle.keep_alive = False

    # httptools callbacks

    def on_message_begin(self) -> None:
        if self.is_known:
            return
        self.url = b""
        self.headers = []
        self.in_head = True
        self.head_bytes = 0

    def on_url(self, url: bytes) -> None:
        self.url += url
        self.head_bytes += len(url)
        if self.head_bytes > self.limits.header_bytes:
            self._fail(self._head_too_large())

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.in_head:  # a trailer is no header (RFC 9110 section 6.5.1)
            self.headers.append((name.lower(), value))
        self.head_bytes += len(name) + len(value) + 4
        if self.head_bytes > self.limits.header_bytes:
            self._fail(self._head_too_large())

    def on_headers_complete(self) -> None:
        self.in_head = False
        self._disarm()
        if self.is_known:
            return
        version = self.parser.get_http_version()
        try:
            is_awaited = expects_continue(version, self.url, self.headers)
            scope = self._scope(version)
        except RequestError as error:
            self._fail(error)
        cycle = self.parsing = Cycle(self, scope, keep_alive=version != "1.0" and self.parser.should_keep_alive())
        cycle.expects_continue = is_awaited
        if self.cycle is None:
            self._begin(cycle)
        else:
            if len(self.waiting) >= MAX_PIPELINED:
                self._fail(Overloaded("too many pipelined requests"))
            self.waiting.append(cycle)

    def on_body(self, body: bytes) -> None:
        self.unfinished_bytes = 0
        cycle = self.parsing
        if cycle is None or cycle.is_done:
            return
        if cycle.feed(body) > READ_HIGH_BYTES or (self.waiting and self._waits_with_too_much()):
            self._pause_reading()

    def on_message_complete(self) -> None:
        cycle, self.parsing = self.parsing, None
        self.unfinished_bytes = 0
        if cycle is not None:
            cycle.end_body()
        if not self.waiting or not self._waits_with_too_much():
            self.resume_reading()  # a client that leaves is noticed only while its connection is read
        if self.closing:
            self.close()

    def _waits_with_too_much(self) -> bool:
        """Whether the requests behind the current one hold more than is read ahead: they are counted nowhere yet."""
        return sum(cycle.size for cycle in self.waiting) > READ_HIGH_BYTES

    # another protocol

    def _meet_upgrade(self, rest: bytes) -> None:
        """The head offers another protocol: a WebSocket is let in where one is spoken, and refused where it may not come.

        So is what comes behind its head before it is answered (RFC 6455 section 4.1), or one in the middle of a pipeline.
        Elsewhere the offer is not taken up (RFC 9110 section 7.8): Java's clients offer HTTP/2 with every first request.
        """
        cycle = self.waiting[-1] if self.waiting else self.cycle
        if cycle is not None:
            scope = cycle.scope
            is_spoken = scope["path"] in SOCKETS
            if not is_spoken and scope["method"] != "CONNECT":
                self._read_on(cycle, rest)
                return
            is_first = not self.waiting and not cycle.wants_socket
            cycle.wants_socket = is_spoken and is_first and not rest and scope["http_version"] == "1.1"
            if cycle.wants_socket:
                return
        self._refuse(InvalidRequest("protocol upgrades are not supported", code="bad_http"))

    def _read_on(self, cycle: Cycle, rest: bytes) -> None:
        """Read the body of a request, and what follows it, which the parser took for the other protocol's."""
        framing = [b"%b: %b\r\n" % pair for pair in self.headers if pair[0] in FRAMING]
        cycle.more_body = True
        self.parsing = cycle
        self.parser = self._new_parser()
        self.is_known, self.head_bytes = True, 0
        self.parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % b"".join(framing))
        self.is_known = False
        if rest:
            self.data_received(rest)

    def _new_parser(self) -> Any:
        parser: Any = httptools.HttpRequestParser(self)
        # what follows a `connection: close` request is dropped, not parsed as a smuggled one
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    def hand_over(self, protocol: asyncio.Protocol) -> None:
        """Give the connection to another protocol, for good: this one has no part in it any more."""
        self._disarm()
        for timer in (self.timer, self.reader_timer):
            if timer is not None:
                timer.cancel()
        self.timer = self.reader_timer = None
        self.closing = True
        self.state.total_requests += 1
        self.state.connections.discard(self)
        self.state.connections.add(protocol)
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)

    # the life of a request

    def _begin(self, cycle: Cycle) -> None:
        self.cycle = cycle
        cycle.task = self.loop.create_task(cycle.run(self.app))
        self.state.tasks.add(cycle.task)

    def cycle_done(self, cycle: Cycle) -> None:
        """The current reply is complete: go on with the next request, or close."""
        self.state.total_requests += 1
        self.cycle = None
        if self.transport.is_closing() or self.closing:
            return
        if not cycle.keep_alive or self.refusal is not None:
            self._close_after(cycle)
            return
        if self.waiting:
            self._begin(self.waiting.popleft())
        elif self.in_head:
            self._arm(self.limits.header_s, self._head_late)
        else:
            self._arm(self.limits.keepalive_s, self.close)
        self.resume_reading()

    def resume_reading(self) -> None:
        """Take more from the socket."""
        if self.reading_paused and not self.transport.is_closing():
            self.reading_paused = False
            self.transport.resume_reading()

    def _pause_reading(self) -> None:
        if not self.reading_paused and not self.transport.is_closing():
            self.reading_paused = True
            self.transport.pause_reading()

    def _close_after(self, cycle: Cycle) -> None:
        """Close now, or after what the client is still sending has been read and thrown away, within bounds.

        Closing a socket with unread data resets it, and the client would lose the reply it has not read yet.
        """
        self.closing = True
        self.waiting.clear()
        if not cycle.more_body and self.refusal is None:
            self.close()
            return
        self.linger_bytes = cycle.linger_bytes
        self.linger_end = self.loop.time() + LINGER_LONG_S if cycle.linger_bytes > LINGER_BYTES else 0.0
        self.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._arm(LINGER_S, self.close)

    def _linger(self, data: bytes) -> None:
        """Throw away what a refused client still sends. While an earlier reply runs there is only no reading on."""
        self.linger_bytes -= len(data)
        if self.linger_bytes < 0:
            if self.cycle is None:
                self.transport.abort()
            else:
                self._pause_reading()
        elif self.linger_end and self.cycle is None:
            self._arm(min(LINGER_S, max(0.0, self.linger_end - self.loop.time())), self.close)

    # refusing

    def _head_too_large(self) -> RequestError:
        what = "the request head is" if self.in_head else "what stands between and behind the request's chunks is"
        return HeadTooLarge(f"{what} larger than {self.limits.header_bytes} bytes")

    def _fail(self, error: RequestError) -> NoReturn:
        """Stop the parser from inside a callback; `data_received` answers."""
        self.refusal = error
        raise ValueError(error.message)

    def _refuse(self, error: RequestError) -> None:
        """Answer with an error and close. While an earlier reply is running it is finished first and nothing is said."""
        self.refusal = error
        self._disarm()
        if self.parsing is not None:
            broken, self.parsing = self.parsing, None
            if broken is self.cycle and not broken.has_started:
                broken.lose()
                self.cycle = None
            elif broken in self.waiting:
                self.waiting.remove(broken)
        if self.cycle is not None:
            self.cycle.keep_alive = False
            return
        self.transport.write(error_reply(error))
        self.closing = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._arm(LINGER_S, self.close)

    def _head_late(self) -> None:
        if self.in_head:
            self._refuse(HeadLate(f"the request head did not arrive within {self.limits.header_s:g} s"))
        else:
            self.close()

    def _arm(self, delay: float, callback: Callable[[], object]) -> None:
        """Call back after `delay` seconds unless disarmed. The loop's timer is left running from request to request."""
        self.deadline = deadline = self.loop.time() + delay
        self.on_deadline = callback
        if self.timer is not None:
            if self.timer.when() <= deadline:
                return
            self.timer.cancel()
        self.timer = self.loop.call_at(deadline, self._ring)

    def _disarm(self) -> None:
        self.on_deadline = None

    def _ring(self) -> None:
        self.timer = None
        callback = self.on_deadline
        if callback is None:
            return
        if self.loop.time() < self.deadline:
            self.timer = self.loop.call_at(self.deadline, self._ring)
        else:
            self.on_deadline = None
            callback()

    def _scope(self, version: str) -> dict[str, Any]:
        path, raw_path, query = target_of(self.url)
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": version,
            "method": self.parser.get_method().decode("ascii"),
            "scheme": "http",
            "path": path,
            "raw_path": raw_path,
            "query_string": query,
            "root_path": "",
            "headers": self.headers,
            "client": self.client,
            "server": self.server,
            "state": self.app_state.copy(),
            "extensions": {},
        }
