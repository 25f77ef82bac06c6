"""One end of a WebSocket connection (RFC 6455), whichever end: frames in and out of a transport of the loop's.

The protocol itself is that of the library `websockets`, without its own I/O, so that a connection can be taken over from the
front door on one side and from the vetted outbound path on the other. No extension is negotiated: what is not compressed
cannot swell.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal, Protocol, cast

from msgspec import Struct
from typing_extensions import override
from websockets.client import ClientProtocol
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

WRITE_HIGH_BYTES = 32 * 1024
OWN_HIGH_BYTES = 1024 * 1024
"""How much of its own a peer that reads nothing may have us answer (pongs) before it is not read either."""
STEP_BYTES = 2048
TURN_FRAMES = 256
"""After how many frames of one connection the others have their turn; a step may have more of them. A read holds 100,000."""
MAX_FRAMES = 65_536
"""In how many frames a message may come: empty ones count nothing in its size."""
CLOSE_S = 5.0
"""How long a closed connection may go on without anything of it being read."""
MAX_REASON_BYTES = 123
NO_STATUS = 1005
LOST = 1006
DATA = frozenset({Opcode.TEXT, Opcode.BINARY, Opcode.CONT})


class End(Struct, frozen=True):
    """How one end ended: its peer `closed` with a code, broke the protocol (`failed`, the code it was told), or was `lost`."""

    kind: Literal["closed", "failed", "lost"]
    code: int
    reason: str = ""


class Owner(Protocol):
    """Who relays for a socket. Every method is called from the loop and must not wait."""

    def take(self, socket: Socket, frame: Frame) -> None:
        """A frame of data has come."""
        ...

    def heard(self, socket: Socket) -> None:
        """Something was read: `socket.held_bytes` may have changed."""
        ...

    def room(self, socket: Socket) -> None:
        """`socket.is_full` has changed."""
        ...

    def ended(self, socket: Socket, end: End) -> None:
        """No more frames will come. Called once."""
        ...

    def lost(self, socket: Socket) -> None:
        """The connection is gone. Called once, after `ended`."""
        ...

    def drain(self) -> None:
        """The process is to end."""
        ...


class Socket(asyncio.Protocol):
    """A WebSocket whose frames go to its owner, from `start` on. Pings are answered here.

    `stall_s` is how long the other side may leave what it was sent unread. `is_full` says that it has more to read than it
    should; the owner then gives nothing more. What comes must not pass on with `secrets` in it.
    """

    def __init__(self, ws: ClientProtocol | ServerProtocol, stall_s: float) -> None:
        self.ws = ws
        self.stall_s = stall_s
        self.loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)
        self.answer: asyncio.Future[Response | None] = self.loop.create_future()
        self.secrets: tuple[bytes, ...] = ()
        self.on_lost: Callable[[Socket], object] | None = None
        self.is_dead = True  # until it is made
        self.is_full = False
        self.heard_at = self.loop.time()
        self._owner: Owner | None = None
        self._early: list[Frame] = []
        self._unread = bytearray()
        self._turn: asyncio.Handle | None = None
        self._frames = 0
        self._end: End | None = None
        self._is_eof = False
        self._is_gone = False
        self._is_told = False
        self._is_held = False
        self._is_paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._is_closing = False

    def start(self, owner: Owner) -> None:
        """Give everything to `owner` from now on, what has come already first."""
        self._owner, self._is_told = owner, False
        early, self._early = self._early, []
        for frame in early:
            owner.take(self, frame)
        self._tell_end()
        if self.is_dead:
            owner.lost(self)
        else:
            self._regulate()

    def rest(self) -> None:
        """Keep what comes for the next owner; little more is read meanwhile."""
        self._owner = None

    @property
    def held_bytes(self) -> int:
        """How much of a frame that is not whole is held."""
        return len(self.ws.reader.buffer)

    def limit(self, size: int) -> None:
        """Take no message of more than `size` bytes."""
        self.ws.max_message_size = size

    def send(self, frame: Frame) -> None:
        """Pass a frame of data on; nothing happens once this end is closing."""
        if self.ws.state is OPEN:
            self.ws.send_frame(frame)
            self._flush()

    def close(self, code: int, reason: str = "") -> None:
        """Begin the closing handshake; the connection ends at the latest when nothing moves for `CLOSE_S`."""
        if self.is_dead:
            return
        if self.ws.state is OPEN:
            if code == NO_STATUS:
                self.ws.send_close()
            else:
                self.ws.send_close(code, _short(reason))
            self._flush()
        self._linger()

    def hold(self, is_held: bool) -> None:  # noqa: FBT001 - a switch
        """Read nothing more while held."""
        self._is_held = is_held
        self._regulate()

    # what an engine asks of the connections it makes

    def is_open(self) -> bool:
        """Whether the connection was made and has not ended, as far as the loop has looked."""
        return not self.is_dead and not self.transport.is_closing()

    def end(self) -> None:
        """Break the connection off. What of it was not taken yet is dropped."""
        self._unread.clear()
        if not self._is_gone:
            self.transport.abort()

    # what a server asks of the connections it has

    def shutdown(self) -> None:
        """The server drains."""
        if self._owner is not None:
            self._owner.drain()

    # asyncio.Protocol

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=WRITE_HIGH_BYTES)
        if transport.get_extra_info("ssl_object") is not None:
            # while reading is paused the end must wait in the socket: uvloop drops what TLS holds when it sees the end
            cast("Any", transport).set_read_buffer_limits(high=1)
        self.is_dead = False

    @override
    def data_received(self, data: bytes) -> None:
        self.heard_at = self.loop.time()
        self._unread += data
        if self._turn is None:
            self._read()

    @override
    def eof_received(self) -> None:
        self._is_eof = True
        self._conclude()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._is_gone = True
        if self._timer is not None:
            self._timer.cancel()
        self._conclude()

    @override
    def pause_writing(self) -> None:
        self.is_full = True
        if self._owner is not None:
            self._owner.room(self)
        if not self._is_closing:
            self._watch(self.stall_s)

    @override
    def resume_writing(self) -> None:
        self.is_full = False
        if self._timer is not None and not self._is_closing:
            self._timer.cancel()
            self._timer = None
        if self._owner is not None:
            self._owner.room(self)
        self._regulate()

    # parts

    def _read(self) -> None:
        """Take what has come while there is room for it. Many frames are taken in turns with whatever else the loop has to do."""
        self._turn = None
        frames = 0
        while self._unread and frames < TURN_FRAMES and not self._is_waiting():
            step = bytes(self._unread[:STEP_BYTES])
            del self._unread[:STEP_BYTES]
            self.ws.receive_data(step)
            frames += self._process()
            if self.ws.parser_exc is not None:
                self._failed(self.ws.parser_exc)
        self._tell_end()
        if self._owner is not None:
            self._owner.heard(self)
        self._conclude()

    def _conclude(self) -> None:
        """Go on with what was not taken yet; the end of the connection comes behind it."""
        if not self._unread and self._is_eof:
            self.ws.receive_eof()
            self._process()
            self._end = self._end or End("lost", LOST)
            self._tell_end()
        if not self._unread and self._is_gone and not self.is_dead:
            self._die()
        self._regulate()

    def _die(self) -> None:
        self.is_dead = True
        if not self.answer.done():
            self.answer.set_result(None)
        self.is_full = False
        self._end = self._end or End("lost", LOST)
        self._tell_end()
        if self._owner is not None:
            self._owner.room(self)
            self._owner.lost(self)
        if self.on_lost is not None:
            self.on_lost(self)

    def _process(self) -> int:
        """Write what the protocol answers to what was read, and take what it made of it: how much that was."""
        self._flush()
        events = self.ws.events_received()
        for event in events:
            self._take(event)
        if self.ws.handshake_exc is not None and not self.answer.done():
            self.answer.set_result(None)
        return len(events)

    def _take(self, event: object) -> None:
        if isinstance(event, Response):
            if not self.answer.done():
                self.answer.set_result(event)
        elif isinstance(event, Frame) and event.opcode in DATA:
            if self._end is not None or self._has_too_many(event):
                return
            if self._owner is None:
                self._early.append(event)
            else:
                self._owner.take(self, event)
        elif isinstance(event, Frame) and event.opcode is Opcode.CLOSE and self.ws.close_rcvd is not None:
            self._end = self._end or End("closed", self.ws.close_rcvd.code, self.ws.close_rcvd.reason)

    def _has_too_many(self, frame: Frame) -> bool:
        """Whether `frame` is one too many of its message, which fails the connection."""
        self._frames += 1
        if self._frames > MAX_FRAMES:
            self._end = End("failed", CloseCode.MESSAGE_TOO_BIG, f"a message may have {MAX_FRAMES} frames")
            self.ws.fail(self._end.code, self._end.reason)
            self._flush()
            return True
        if frame.fin:
            self._frames = 0
        return False

    def _failed(self, error: Exception) -> None:
        sent = self.ws.close_sent
        if self._end is None:
            self._end = End("failed", sent.code if sent is not None else CloseCode.PROTOCOL_ERROR, str(error))

    def _tell_end(self) -> None:
        if self._end is not None and self._owner is not None and not self._is_told:
            self._is_told = True
            self._owner.ended(self, self._end)
            self._linger()

    def _flush(self) -> None:
        """Write what the protocol has to say; no bytes are its way to say that this was all."""
        for data in self.ws.data_to_send():
            if self.transport.is_closing():
                return
            if data:
                self.transport.write(data)
            elif self.transport.can_write_eof():
                self.transport.write_eof()
            else:
                self.transport.close()

    def _is_waiting(self) -> bool:
        """Whether the owner has no room, or the peer has us answer and reads nothing; and before `start` nothing twice.

        Nobody is held up by waiting once the connection has ended.
        """
        if self._is_eof or self._is_gone or self.transport.is_closing():
            return False
        is_deaf = self.is_full and self.transport.get_write_buffer_size() > OWN_HIGH_BYTES
        is_early = self._owner is None and bool(self._early)
        return (self._is_held and not self._is_closing) or is_deaf or is_early

    def _regulate(self) -> None:
        """Read while somebody has room for it and nothing of what was read is left."""
        if self.is_dead:
            return
        is_waiting = self._is_waiting()
        if self._unread and not is_waiting and self._turn is None:
            self._turn = self.loop.call_soon(self._read)
        if self._is_gone or self.transport.is_closing():
            return
        wanted = is_waiting or bool(self._unread)
        if wanted and not self._is_paused:
            self.transport.pause_reading()
        elif not wanted and self._is_paused:
            self.transport.resume_reading()
        self._is_paused = wanted

    def _linger(self) -> None:
        """The end has begun: what is written may still be read, at least a byte in every `CLOSE_S`."""
        if not self._is_closing and not self._is_gone:
            self._is_closing = True
            self._regulate()  # or the answer to a close would never be read
            if self._timer is not None:
                self._timer.cancel()
            self._watch(CLOSE_S)

    def _watch(self, wait_s: float, unread: int | None = None) -> None:
        """Break off when no byte of what is written was taken for `wait_s`, or when none is left in a closed connection."""
        left = self.transport.get_write_buffer_size()
        if unread is not None and (left >= unread or left == 0):
            self.transport.abort()
            return
        self._timer = self.loop.call_later(wait_s, self._watch, wait_s, left)


def _short(reason: str) -> str:
    """As much of a reason as a close frame holds."""
    return reason.encode()[:MAX_REASON_BYTES].decode("utf-8", "ignore")
