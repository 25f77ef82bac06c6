"""One end of a WebSocket on a transport that only notes what is asked of it: turns, order and limits of what comes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from typing_extensions import override
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from headgate.sockets import STEP_BYTES, TURN_FRAMES, End, Socket

READ_BYTES = 256 * 1024
MOST_FRAMES = TURN_FRAMES + STEP_BYTES // 6
"""How many frames of a client, which have 6 bytes at least, one turn may take."""


class Wire(asyncio.Transport):
    """A transport whose peer takes everything at once."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_reading_on = True
        self.is_closed = False

    @override
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is ever left in the buffer."""

    @override
    def get_write_buffer_size(self) -> int:
        return 0

    @override
    def write(self, data: Any) -> None:
        self.written += data

    @override
    def can_write_eof(self) -> bool:
        return True

    @override
    def write_eof(self) -> None:
        self.written += b"(end)"

    @override
    def pause_reading(self) -> None:
        assert self.is_reading_on
        self.is_reading_on = False

    @override
    def resume_reading(self) -> None:
        assert not self.is_reading_on
        self.is_reading_on = True

    @override
    def is_closing(self) -> bool:
        return self.is_closed

    @override
    def close(self) -> None:
        self.is_closed = True

    @override
    def abort(self) -> None:
        self.is_closed = True


class Listener:
    """An owner that notes what it is told, and after `room_for` frames has no room for more."""

    def __init__(self, room_for: int | None = None) -> None:
        self.told: list[bytes | End | str] = []
        self._room_for = room_for

    def take(self, socket: Socket, frame: Frame) -> None:
        """See Owner."""
        self.told.append(bytes(frame.data))
        if len(self.told) == self._room_for:
            socket.hold(True)

    def heard(self, socket: Socket) -> None:
        """See Owner."""

    def room(self, socket: Socket) -> None:
        """See Owner."""

    def ended(self, socket: Socket, end: End) -> None:
        """See Owner."""
        self.told.append(end)

    def lost(self, socket: Socket) -> None:
        """See Owner."""
        self.told.append("lost")

    def drain(self) -> None:
        """See Owner."""


def opened(owner: Listener | None) -> tuple[Socket, Wire]:
    """A client's connection whose handshake is done."""
    socket, wire = Socket(ServerProtocol(state=OPEN, max_size=READ_BYTES), 30), Wire()
    socket.connection_made(wire)
    if owner is not None:
        socket.start(owner)
    return socket, wire


def sent(opcode: Opcode, data: bytes = b"", *, fin: bool = True) -> bytes:
    """A client's frame."""
    return Frame(opcode, data, fin).serialize(mask=True)


def numbered(count: int) -> tuple[bytes, list[bytes]]:
    """So many messages as they come, and what they say."""
    words = [b"%d" % number for number in range(count)]
    return b"".join(sent(Opcode.TEXT, word) for word in words), words


async def turns(count: int = 1) -> None:
    """Let the loop run so many times."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_many_frames_leave_others_their_turn() -> None:
    """However many frames one read holds, a bounded number is taken before other callbacks run; in the end all are."""
    socket, wire = opened(Listener())
    ping, pong = sent(Opcode.PING), b"\x8a\x00"
    count = READ_BYTES // len(ping)
    answered: list[int] = []

    def other() -> None:
        answered.append(len(wire.written) // len(pong))
        if len(wire.written) < count * len(pong):
            asyncio.get_running_loop().call_soon(other)

    asyncio.get_running_loop().call_soon(other)
    socket.data_received(ping * count)
    assert not wire.is_reading_on
    while len(wire.written) < count * len(pong):
        await turns()
    await turns(2)
    assert wire.written == pong * count
    assert wire.is_reading_on
    assert all(later - earlier <= MOST_FRAMES for earlier, later in zip([0, *answered], answered, strict=False))


async def test_a_large_frame_is_taken_at_once() -> None:
    """Few frames need no turns, however long they are."""
    owner = Listener()
    socket, wire = opened(owner)
    socket.data_received(sent(Opcode.BINARY, bytes(READ_BYTES)))
    assert owner.told == [bytes(READ_BYTES)]
    assert wire.is_reading_on


async def test_what_comes_meanwhile_waits_in_line() -> None:
    """What is read before the rest of an earlier read was taken is taken behind it."""
    owner = Listener()
    socket, _ = opened(owner)
    data, words = numbered(5000)
    socket.data_received(data[:20_001])
    socket.data_received(data[20_001:])
    assert len(owner.told) <= MOST_FRAMES
    await turns(40)
    assert owner.told == words


async def test_an_owner_without_room_is_given_no_more() -> None:
    """Of what was read already, what is left waits until there is room, and nothing more is read."""
    owner = Listener(room_for=10)
    socket, wire = opened(owner)
    data, words = numbered(5000)
    socket.data_received(data)
    held = len(owner.told)
    assert held <= 10 + STEP_BYTES // 6
    await turns(10)
    assert (len(owner.told), wire.is_reading_on) == (held, False)
    socket.hold(False)
    await turns(40)
    assert (owner.told, wire.is_reading_on) == (words, True)


async def test_what_comes_before_start_is_kept_for_the_owner() -> None:
    """Little is taken before somebody owns the connection, and all of it is given then, in order."""
    socket, wire = opened(None)
    data, words = numbered(5000)
    socket.data_received(data)
    await turns(10)
    assert not wire.is_reading_on
    owner = Listener()
    socket.start(owner)
    assert len(owner.told) <= STEP_BYTES // 6
    await turns(40)
    assert (owner.told, wire.is_reading_on) == (words, True)


@pytest.mark.parametrize("is_held", [False, True])
@pytest.mark.parametrize("is_eof", [False, True])
@pytest.mark.parametrize("is_proper", [False, True])
async def test_the_end_comes_behind_what_had_arrived(is_held: bool, is_eof: bool, is_proper: bool) -> None:
    """A connection that ends while something of it is left ends for its owner behind that, also when it has no room."""
    owner = Listener(room_for=10 if is_held else None)
    socket, wire = opened(owner)
    gone: list[Socket] = []
    socket.on_lost = gone.append
    data, words = numbered(5000)
    socket.data_received(data + (sent(Opcode.CLOSE, b"\x03\xe8bye") if is_proper else b""))
    if is_eof:
        socket.eof_received()
    wire.close()
    socket.connection_lost(None)
    assert len(owner.told) <= MOST_FRAMES
    assert (socket.is_dead, socket.is_open(), gone) == (False, False, [])
    await turns(40)
    end = End("closed", 1000, "bye") if is_proper else End("lost", 1006)
    assert owner.told == [*words, end, "lost"]
    assert (socket.is_dead, gone) == (True, [socket])


async def test_what_is_left_of_a_connection_broken_off_is_dropped() -> None:
    """Whoever breaks a connection off is told nothing more of it than that it has ended."""
    owner = Listener()
    socket, wire = opened(owner)
    socket.data_received(numbered(5000)[0])
    told = len(owner.told)
    socket.end()
    assert wire.is_closed
    await turns(10)
    socket.connection_lost(None)
    await turns(10)
    assert owner.told[told:] == [End("lost", 1006), "lost"]


async def test_a_message_has_a_limit_of_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames that add nothing to the size of a message are bounded by their number, of each message for itself."""
    monkeypatch.setattr("headgate.sockets.MAX_FRAMES", 100)
    owner = Listener()
    socket, wire = opened(owner)
    most = [sent(Opcode.TEXT, fin=False), *[sent(Opcode.CONT, fin=False)] * 98, sent(Opcode.CONT)]
    socket.data_received(b"".join(most) * 2)
    assert owner.told == [b""] * 200
    socket.data_received(b"".join(most[:-1]) + sent(Opcode.CONT, fin=False) * 50 + sent(Opcode.PING))
    assert owner.told == [b""] * 300 + [End("failed", 1009, "a message may have 100 frames")]
    assert wire.written.endswith(b"\x88\x1f\x03\xf1a message may have 100 frames(end)")
    socket.connection_lost(None)
