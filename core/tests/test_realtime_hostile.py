"""WebSocket sessions with peers that break the rules, do not read, or leave at any moment."""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from core.tests.realtime import SHAKE, Retelling, Served, closed, echo, eventually, provided, served
from websockets.asyncio.server import ServerConnection
from websockets.utils import accept_key

from headgate.sockets import Socket

MIB = 1024 * 1024
MASK = b"\x01\x02\x03\x04"
HELD_BYTES = 2 * MIB
"""More than what both sides of a session may hold while a peer does not read: a read of the socket, framed, on each side."""


def frame(payload: bytes, first: int = 0x81, mask: bytes = MASK) -> bytes:
    """A client's frame; `first` is its first byte."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + struct.pack("!H", size)
    return bytes([first]) + length + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


@asynccontextmanager
async def shaken(gateway: Served) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A bare connection whose handshake is done."""
    reader, writer = await gateway.raw(SHAKE)
    try:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert head.startswith(b"HTTP/1.1 101 ")
        yield reader, writer
    finally:
        writer.close()


async def close_code(reader: asyncio.StreamReader) -> int:
    """The code of the close frame that must come next, and the end behind it."""
    head = await asyncio.wait_for(reader.readexactly(2), 5)
    assert head[0] == 0x88
    payload = await reader.readexactly(head[1] & 0x7F)
    assert await asyncio.wait_for(reader.read(), 8) == b""
    return int.from_bytes(payload[:2], "big")


def sockets(gateway: Served) -> list[Socket]:
    """Clients' ends of the running sessions."""
    return [each for each in gateway.state.connections if isinstance(each, Socket)]


# what breaks the rules


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(b"\x81\x02hi", 1002, id="unmasked"),
        pytest.param(frame(b"x", 0x83), 1002, id="unknown kind"),
        pytest.param(frame(b"x", 0xC1), 1002, id="reserved bit"),
        pytest.param(frame(b"x", 0x80), 1002, id="end of nothing"),
        pytest.param(frame(b"a", 0x01) + frame(b"b", 0x81), 1002, id="message in a message"),
        pytest.param(frame(b"", 0x09 & 0x7F), 1002, id="ping in pieces"),
        pytest.param(frame(b"x" * 126, 0x89), 1002, id="large ping"),
        pytest.param(frame(b"x", 0x88), 1002, id="close of one byte"),
        pytest.param(frame(b"\x03\xed", 0x88), 1002, id="close with a code that is never sent"),
        pytest.param(frame(b"\x03\xe8\xff", 0x88), 1007, id="close with a reason that is no text"),
        pytest.param(b"\x81\xff" + struct.pack("!Q", 2**62) + MASK, 1009, id="endless frame"),
        pytest.param(b"\x81\xff" + struct.pack("!Q", 5001) + MASK, 1009, id="a byte too much"),
        pytest.param(frame(b"x" * 3000, 0x01) + frame(b"x" * 2001, 0x80), 1009, id="too much in pieces"),
    ],
)
async def test_a_client_that_breaks_the_rules_is_closed(tmp_path: Path, data: bytes, code: int) -> None:
    """The client gets the code that RFC 6455 has for it, the provider is told that it is gone, and the record says why."""
    config = {"limits": {"body_bytes": {"realtime": 5000}}}
    async with provided() as provider, served(provider.port, tmp_path, config=config) as gateway:
        async with shaken(gateway) as (reader, writer):
            writer.write(data)
            assert await close_code(reader) == code
        await eventually(lambda: provider.closes, "the provider was told")
        assert provider.closes == [(1001, "")]
        ex = await gateway.record()
        assert ex.error is not None
        assert ex.reply is not None
        assert ex.reply.closing is not None
        assert (ex.outcome, ex.error.error_code, ex.reply.closing.code) == ("cut", "bad_websocket", code)


async def test_a_message_as_large_as_allowed_passes(tmp_path: Path) -> None:
    """The limit is the size of a message, whole or in pieces, and not of a session."""
    config = {"limits": {"body_bytes": {"realtime": 5000}}}
    async with (
        provided() as provider,
        served(provider.port, tmp_path, config=config) as gateway,
        gateway.connect() as client,
    ):
        for _ in range(3):
            await client.send("x" * 5000)
            assert await client.recv() == "x" * 5000
            await client.send(["x" * 2500, "x" * 2500])
            assert await client.recv() == "x" * 5000


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x81\x82" + MASK + b"hi", id="masked"),
        pytest.param(b"\x81\x7f" + struct.pack("!Q", 2**62), id="endless frame"),
        pytest.param(b"\x81\x7e" + struct.pack("!H", 5001), id="a byte too much"),
        pytest.param(b"\x88\x02\x03\xed", id="code that is never sent"),
        pytest.param(b"\xf1\x00", id="reserved bits"),
    ],
)
async def test_a_provider_that_breaks_the_rules_is_an_error(tmp_path: Path, data: bytes) -> None:
    """The client gets 1011, whatever the provider did wrong: its own messages were right."""

    async def answer(connection: ServerConnection) -> None:
        await connection.recv()
        connection.transport.write(data)
        await connection.wait_closed()

    config = {"limits": {"body_bytes": {"realtime": 5000}}}
    async with provided(answer) as provider, served(provider.port, tmp_path, config=config) as gateway:
        async with gateway.connect() as client:
            await client.send("go")
            code, reason = await closed(client)
            assert code == 1011
            assert (reason or "").startswith("provider `talker` broke the rules of WebSocket")
        ex = await gateway.record()
        assert ex.error is not None
        assert (ex.outcome, ex.error.error_code) == ("cut", "upstream_bad_reply")


async def test_messages_held_for_all_have_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames that are not whole count among the bodies that the gateway holds; over the limit the session ends with 1013."""
    monkeypatch.setattr("headgate.sockets.CLOSE_S", 0.05)
    config = {"limits": {"inflight_bytes": 50_000}}
    async with (
        provided() as provider,
        served(provider.port, tmp_path, config=config) as gateway,
        shaken(gateway) as (reader, writer),
    ):
        writer.write(b"\x81\xff" + struct.pack("!Q", MIB) + MASK + bytes(40_000))
        await eventually(lambda: gateway.gateway.body_bytes >= 40_000, "the half frame counts")
        writer.write(bytes(40_000))
        assert await close_code(reader) == 1013


async def test_pieces_of_a_message_count_where_it_is_told_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So do whole frames of a message that is not whole, which a provider is told in other words."""
    monkeypatch.setattr("headgate.sockets.CLOSE_S", 0.05)
    config = {"limits": {"inflight_bytes": 50_000}}
    async with (
        provided() as provider,
        served(provider.port, tmp_path, Retelling, provider="retelling", config=config) as gateway,
        shaken(gateway) as (reader, writer),
    ):
        writer.write(frame(bytes(30_000), 0x01))
        await eventually(lambda: gateway.gateway.body_bytes >= 30_000, "the first piece counts")
        writer.write(frame(bytes(30_000), 0x00))
        assert await close_code(reader) == 1013


@pytest.mark.parametrize("is_client", [False, True])
async def test_a_message_in_endless_frames_ends_the_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_client: bool
) -> None:
    """A message may not come in more frames than anybody needs, from whichever side."""
    monkeypatch.setattr("headgate.sockets.MAX_FRAMES", 100)

    async def answer(connection: ServerConnection) -> None:
        connection.transport.write(b"\x01\x00" + bytes(2 * 200))
        await connection.wait_closed()

    async with (
        provided(echo if is_client else answer) as provider,
        served(provider.port, tmp_path) as gateway,
        gateway.connect(max_queue=None) as client,
    ):
        if is_client:
            client.transport.write(frame(b"", 0x01) + frame(b"", 0x00) * 200)
        code, _ = await closed(client)
        assert code == (1009 if is_client else 1011)
        ex = await gateway.record()
        assert ex.error is not None
        assert ex.error.error_code == ("bad_websocket" if is_client else "upstream_bad_reply")


# who does not read


async def test_a_client_that_does_not_read_holds_the_provider_up(tmp_path: Path) -> None:
    """While a client reads nothing, the gateway holds a bounded part of what the provider says; all of it arrives later."""
    block, blocks = os.urandom(64 * 1024), 1024
    sent = 0

    async def answer(connection: ServerConnection) -> None:
        nonlocal sent
        for _ in range(blocks):
            await connection.send(block)
            sent += 1

    async with provided(answer) as provider, served(provider.port, tmp_path) as gateway:
        async with gateway.connect(max_queue=1) as client:
            client.transport.pause_reading()
            await settled(lambda: sent)
            assert 0 < sent < blocks // 2
            (end,) = sockets(gateway)
            assert end.is_full
            assert end.transport.get_write_buffer_size() < HELD_BYTES
            client.transport.resume_reading()
            for _ in range(blocks):
                assert await client.recv() == block
        ex = await gateway.record()
        assert (ex.outcome, ex.reply_bytes) == ("complete", len(block) * blocks)


async def test_a_provider_that_does_not_read_holds_the_client_up(tmp_path: Path) -> None:
    """The other way round: a client can send only as fast as the provider takes it."""
    block, blocks = os.urandom(64 * 1024), 1024
    go, got = asyncio.Event(), 0

    async def answer(connection: ServerConnection) -> None:
        nonlocal got
        connection.transport.pause_reading()
        await go.wait()
        connection.transport.resume_reading()
        async for message in connection:
            assert message == block
            got += 1

    async with provided(answer, max_queue=1) as provider, served(provider.port, tmp_path) as gateway:
        async with gateway.connect() as client:
            sent = 0

            async def send() -> None:
                nonlocal sent
                for _ in range(blocks):
                    await client.send(block)
                    sent += 1

            sending = asyncio.create_task(send())
            await settled(lambda: sent)
            assert 0 < sent < blocks // 2
            assert gateway.gateway.body_bytes < HELD_BYTES
            go.set()
            await sending
        await eventually(lambda: got == blocks, "all of it arrived")


async def test_a_client_that_only_pings_is_not_answered_without_end(tmp_path: Path) -> None:
    """Answers to pings that nobody reads do not pile up: the client is no longer read."""
    config = {"limits": {"reader_stall_s": 30}}
    async with (
        provided() as provider,
        served(provider.port, tmp_path, config=config) as gateway,
        shaken(gateway) as (_, writer),
    ):
        cast("asyncio.Transport", writer.transport).pause_reading()
        pings, sent = frame(b"p" * 100, 0x89) * 1000, 0

        async def flood() -> None:
            nonlocal sent
            while True:
                writer.write(pings)
                await writer.drain()
                sent += len(pings)

        flooding = asyncio.create_task(flood())
        await settled(lambda: sent)
        (end,) = sockets(gateway)
        assert end.transport.get_write_buffer_size() < HELD_BYTES
        flooding.cancel()
        writer.transport.abort()


async def test_a_client_that_never_reads_is_cut(tmp_path: Path) -> None:
    """After `reader_stall_s` without a byte taken the connection is broken off, and the provider's session ends."""

    async def answer(connection: ServerConnection) -> None:
        while True:
            await connection.send(bytes(64 * 1024))

    config = {"limits": {"reader_stall_s": 0.2}}
    async with provided(answer) as provider, served(provider.port, tmp_path, config=config) as gateway:
        async with gateway.connect(max_queue=1) as client:
            client.transport.pause_reading()
            assert (await gateway.record()).outcome == "client_gone"
            client.transport.abort()
        await eventually(lambda: provider.open == 0, "the provider's session ended")


async def test_a_client_that_does_not_answer_a_close_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed session does not wait for ever for the other side to close too."""
    monkeypatch.setattr("headgate.sockets.CLOSE_S", 0.1)

    async def answer(connection: ServerConnection) -> None:
        await connection.close(1000)

    async with provided(answer) as provider, served(provider.port, tmp_path) as gateway, shaken(gateway) as (reader, _):
        assert await asyncio.wait_for(reader.readexactly(2), 5) == b"\x88\x02"
        assert (await gateway.record()).outcome == "complete"


# who leaves


@pytest.mark.parametrize("is_reset", [False, True])
async def test_a_client_may_leave_at_every_byte(tmp_path: Path, is_reset: bool) -> None:
    """Whatever part of the handshake and of what follows has been sent, nothing is left behind by a client that leaves."""
    data = SHAKE + frame(b"hello") + frame(b"a", 0x01) + frame(b"b", 0x80) + frame(b"\x03\xe8", 0x88)
    stages = [*range(0, len(SHAKE), 40), *range(len(SHAKE), len(data) + 1)]
    async with provided() as provider, served(provider.port, tmp_path) as gateway:
        for size in stages:
            reader, writer = await gateway.raw(data[: min(size, len(SHAKE))])
            if size > len(SHAKE):
                await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
                writer.write(data[len(SHAKE) : size])
                await writer.drain()
            if is_reset:
                writer.transport.abort()
            else:
                writer.close()
        await eventually(gateway.is_idle, "everything has ended", 20)
        await eventually(lambda: provider.open == 0, "the provider's sessions ended", 20)


async def test_a_provider_may_leave_at_every_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that closes in the middle of its answer or of a frame is a 502, or ends the session with 1011."""
    monkeypatch.setattr("headgate.sockets.CLOSE_S", 0.05)
    stage = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = head.split("sec-websocket-key: ")[1].split("\r\n")[0]
        shake = f"HTTP/1.1 101 S\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: {accept_key(key)}\r\n\r\n"
        writer.write((shake.encode() + b"\x81\x05hello\x01\x01a\x80\x01b")[:stage])
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    size = len("HTTP/1.1 101 S\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: \r\n\r\n") + 28
    async with served(port, tmp_path) as gateway:
        for stage in (0, 1, 12, 30, size - 1, *range(size, size + 13)):
            reader, writer = await gateway.raw(SHAKE)
            said = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
            assert said.startswith(b"HTTP/1.1 502 " if stage < size else b"HTTP/1.1 101 ")
            if stage >= size:
                rest = await asyncio.wait_for(reader.read(), 8)
                assert b"\x03\xf3provider `talker` closed the connection" in rest
            writer.close()
    server.close()


async def test_many_sessions_leave_nothing_behind(tmp_path: Path) -> None:
    """200 sessions at once, ended in every way there is, leave no task, no connection and no memory held."""
    before = len(asyncio.all_tasks())
    async with provided() as provider, served(provider.port, tmp_path) as gateway:

        async def talk(number: int) -> None:
            async with gateway.connect(open_timeout=20) as client:
                await client.send(f"number {number}")
                assert await client.recv() == f"number {number}"
                match number % 4:
                    case 0:
                        await client.close(1000, "done")
                    case 1:
                        client.transport.abort()
                    case 2:
                        await client.send(bytes(100_000))
                        client.transport.abort()
                    case _:
                        client.transport.write_eof()
                await client.wait_closed()

        await asyncio.gather(*map(talk, range(200)))
        await eventually(gateway.is_idle, "everything has ended", 20)
        await eventually(lambda: provider.open == 0, "the provider's sessions ended", 20)
        assert len(gateway.keys.seen) == 200
        assert {ex.outcome for ex in gateway.keys.seen} == {"complete", "client_gone"}
    await eventually(lambda: len(asyncio.all_tasks()) <= before, "no task is left")


async def settled(count: Any, still_s: float = 0.4) -> None:
    """Poll until `count()` has not changed for a while."""
    loop = asyncio.get_running_loop()
    last, since = count(), loop.time()
    while loop.time() < since + still_s or not last:
        await asyncio.sleep(0.01)
        if count() != last:
            last, since = count(), loop.time()
