"""A running WebSocket session: what passes, how it ends on each side, and what is recorded of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from core.tests.realtime import SECRET, Answer, Retelling, closed, eventually, provided, served
from websockets.asyncio.server import ServerConnection

from headgate.dialects import OpenAIRealtime
from headgate.errors import ProviderFailed

PROVIDER_CUT = "provider `talker` closed the connection"


def done(prompt: int, completion: int, **details: Any) -> str:
    """A `response.done` as OpenAI documents it."""
    usage = {
        "total_tokens": prompt + completion,
        "input_tokens": prompt,
        "output_tokens": completion,
        "input_token_details": {"text_tokens": 1, "audio_tokens": 2, "cached_tokens": 3, **details},
        "output_token_details": {"text_tokens": 4, "audio_tokens": 5},
    }
    return json.dumps({"type": "response.done", "event_id": "e", "response": {"id": "r", "usage": usage}})


def saying(*messages: str | list[str], code: int = 1000) -> Answer:
    """A provider that says these messages, a list as one message in fragments, and closes when the client has spoken."""

    async def answer(connection: ServerConnection) -> None:
        for message in messages:
            await connection.send(message)
        await connection.recv()
        await connection.close(code)

    return answer


async def pieces(*items: str) -> AsyncIterator[str]:
    for item in items:
        yield item


# what passes


async def test_messages_pass_unchanged_both_ways(tmp_path: Path) -> None:
    """Text and binary of every size of length field arrive as they were sent, in their order."""
    sent = ["", "ü€", b"", b"\x00\xff", "x" * 125, b"y" * 126, "z" * 65_535, b"w" * 65_536, "v" * 1_000_000]
    async with provided() as provider, served(provider.port, tmp_path) as gateway:
        async with gateway.connect(max_size=None) as client:
            for message in sent:
                await client.send(message)
            assert [await client.recv() for _ in sent] == sent
        ex = await gateway.record()
        size = sum(len(item.encode() if isinstance(item, str) else item) for item in sent)
        assert (ex.request_bytes, ex.reply_bytes) == (size, size)
        assert ex.ttft_s is not None


async def test_fragments_stay_fragments(tmp_path: Path) -> None:
    """A message in several frames is passed on frame by frame, without waiting for its end."""
    got: list[str] = []
    first = asyncio.Event()

    async def answer(connection: ServerConnection) -> None:
        async for fragment in connection.recv_streaming():
            got.append(str(fragment))
            first.set()
        await connection.send(pieces("c", "d", "e"))

    async def slowly() -> AsyncIterator[str]:
        yield "a"
        await asyncio.wait_for(first.wait(), 5)
        yield "b"

    async with provided(answer) as provider, served(provider.port, tmp_path) as gateway, gateway.connect() as client:
        await client.send(slowly())
        back = [fragment async for fragment in client.recv_streaming()]
        assert [item for item in got if item] == ["a", "b"]
        assert [item for item in back if item] == ["c", "d", "e"]


async def test_pings_are_answered_hop_by_hop(tmp_path: Path) -> None:
    """The gateway answers a client's ping itself, also between fragments, and does not bother the provider with it."""
    pinged: list[bytes] = []

    async def answer(connection: ServerConnection) -> None:
        await asyncio.wait_for(await connection.ping(b"provider"), 5)
        async for _ in connection.recv_streaming():
            pass
        await connection.send("whole")
        await connection.wait_closed()

    async def with_ping(client: Any) -> AsyncIterator[str]:
        yield "a"
        await asyncio.wait_for(await client.ping(b"client"), 5)
        pinged.append(b"client")
        yield "b"

    async with provided(answer) as provider, served(provider.port, tmp_path) as gateway, gateway.connect() as client:
        await client.send(with_ping(client))
        assert await client.recv() == "whole"
        assert pinged == [b"client"]


async def test_a_provider_that_speaks_first_is_heard(tmp_path: Path) -> None:
    """What the provider says together with its answer to the handshake reaches the client."""
    async with (
        provided(saying("session.created", "second")) as provider,
        served(provider.port, tmp_path) as gateway,
        gateway.connect() as client,
    ):
        assert [await client.recv(), await client.recv()] == ["session.created", "second"]


async def test_the_key_does_not_come_back(tmp_path: Path) -> None:
    """A provider that echoes its key, in a message or in the reason of a close, does not give it to the client."""

    async def answer(connection: ServerConnection) -> None:
        await connection.send(f"your key is {SECRET}!")
        await connection.close(4000, f"bad key {SECRET}")

    async with provided(answer) as provider, served(provider.port, tmp_path) as gateway:
        async with gateway.connect() as client:
            assert await client.recv() == "your key is [redacted]!"
            assert await closed(client) == (4000, "bad key [redacted]")
        assert SECRET not in str((await gateway.record()).reply)


# usage


async def test_usage_is_the_sum_of_what_answers_state(tmp_path: Path) -> None:
    """Every `response.done` counts, one in fragments too; what only looks like one does not."""
    whole = done(30, 7)
    others = [
        '{"type":"response.output_text.delta","delta":"response.done"}',
        '{"type":"response.done"',
        '{"type":"response.done","response":{"usage":null}}',
        '{"type":"response.done","response":5}',
        '["response.done"]',
    ]
    said = [done(10, 5), *others, [whole[:20], whole[20:40], whole[40:]], done(1, 1, cached_tokens=0)]
    async with provided(saying(*said)) as provider, served(provider.port, tmp_path) as gateway:
        async with gateway.connect() as client:
            for _ in said:
                await client.recv()
            await client.send("enough")
            assert await closed(client) == (1000, "")
        reply = (await gateway.record()).reply
        assert reply is not None
        assert reply.usage is not None
        used = reply.usage
        assert (used.prompt, used.completion, used.cached, used.audio_in, used.audio_out) == (41, 13, 6, 6, 15)
        assert used.raw is not None
        assert used.raw["input_token_details"] == {"text_tokens": 3, "audio_tokens": 6, "cached_tokens": 6}
        assert used.raw["total_tokens"] == 54


async def test_binary_messages_state_nothing(tmp_path: Path) -> None:
    """Usage is read off texts alone."""

    async def answer(connection: ServerConnection) -> None:
        await connection.send(done(1, 1).encode())

    async with provided(answer) as provider, served(provider.port, tmp_path) as gateway:
        async with gateway.connect() as client:
            await client.recv()
        reply = (await gateway.record()).reply
        assert reply is not None
        assert reply.usage is None


def test_the_dialect_adds_up_what_messages_state() -> None:
    """Messages together use what each of them states, in whatever order; what cannot be read states nothing."""
    dialect = OpenAIRealtime()
    first, second = done(2, 3).encode(), done(4, 5).encode()
    both = dialect.tail_usage([b"{}", first, b"\xff", second])
    assert both is not None
    assert (both.prompt, both.completion) == (6, 8)
    assert both == dialect.tail_usage([second, first])
    assert dialect.tail_usage([b"\xff"]) is None


def test_an_error_event_is_as_openais() -> None:
    """The dialect's error event has the members of OpenAI's."""
    event = json.loads(OpenAIRealtime().error_event(ProviderFailed("it broke")))
    assert event["type"] == "error"
    assert event["error"] == {"type": "upstream_error", "code": "upstream_failed", "message": "it broke", "param": None}


# how it ends


@pytest.mark.parametrize("code", [1000, 1001, 1011, 3000, 4999, None])
async def test_the_clients_close_reaches_the_provider(tmp_path: Path, code: int | None) -> None:
    """Code and reason pass on, also that there is none."""
    async with provided() as provider, served(provider.port, tmp_path) as gateway:
        async with gateway.connect() as client:
            await client.send("x")
            await client.recv()
            if code is None:
                client.protocol.send_close()
                client.transport.writelines(client.protocol.data_to_send())
            else:
                await client.close(code, "goodbye ü")
        await eventually(lambda: provider.closes, "the provider was told")
        assert provider.closes == [(1005, "") if code is None else (code, "goodbye ü")]
        ex = await gateway.record()
        assert ex.reply is not None
        assert ex.reply.closing is not None
        assert (ex.reply.closing.by, ex.reply.closing.code, ex.outcome) == ("client", code or 1005, "complete")


@pytest.mark.parametrize(("code", "outcome"), [(1000, "complete"), (1001, "complete"), (1011, "cut"), (4001, "cut")])
async def test_the_providers_close_reaches_the_client(tmp_path: Path, code: int, outcome: str) -> None:
    """Code and reason pass on behind everything that was said; what is no usual end is recorded as an error."""

    async def answer(connection: ServerConnection) -> None:
        await connection.send("x" * 100_000)
        await connection.close(code, "that was all")

    async with provided(answer) as provider, served(provider.port, tmp_path) as gateway:
        async with gateway.connect() as client:
            assert len(await client.recv()) == 100_000
            assert await closed(client) == (code, "that was all")
        ex = await gateway.record()
        assert ex.reply is not None
        assert ex.reply.closing is not None
        assert (ex.reply.closing.by, ex.reply.closing.code, ex.outcome) == ("provider", code, outcome)
        assert (ex.error.error_code if ex.error else "") == ("" if outcome == "complete" else "upstream_closed")


async def test_a_provider_that_dies_is_an_error_to_the_client(tmp_path: Path) -> None:
    """Without a close frame from the provider the client gets 1011 and a reason that names no address and no secret."""

    async def answer(connection: ServerConnection) -> None:
        await connection.send("x")
        connection.transport.abort()

    async with provided(answer) as provider, served(provider.port, tmp_path) as gateway:
        async with gateway.connect() as client:
            assert await client.recv() == "x"
            assert await closed(client) == (1011, PROVIDER_CUT)
        ex = await gateway.record()
        assert ex.error is not None
        assert (ex.outcome, ex.error.error_code) == ("cut", "upstream_cut")


async def test_a_client_that_dies_ends_the_providers_session(tmp_path: Path) -> None:
    """A client that is gone without a word is told to the provider as 1001."""
    async with provided() as provider, served(provider.port, tmp_path) as gateway:
        async with gateway.connect() as client:
            await client.send("x")
            await client.recv()
            client.transport.abort()
            await eventually(lambda: provider.closes, "the provider was told")
        assert provider.closes == [(1001, "")]
        ex = await gateway.record()
        assert ex.reply is not None
        assert ex.reply.closing is not None
        assert (ex.reply.closing.by, ex.reply.closing.code, ex.outcome) == ("client", 1006, "client_gone")


async def test_a_drain_ends_sessions_with_going_away(tmp_path: Path) -> None:
    """When the process is to end both sides are told 1001 at once, and new sessions are refused."""
    async with provided() as provider, served(provider.port, tmp_path) as gateway:
        async with gateway.connect() as client:
            await client.send("x")
            await client.recv()
            gateway.drain()
            assert await closed(client) == (1001, "the gateway is shutting down")
        await eventually(lambda: provider.closes, "the provider was told")
        assert provider.closes == [(1001, "")]
        assert (await gateway.record()).outcome == "cut"


@pytest.mark.parametrize(
    ("timeouts", "reason"),
    [
        pytest.param({"gap_s": 0.2}, "nobody said anything for 0.2 s", id="silence"),
        pytest.param({"total_s": 0.3}, "the session lasted longer than 0.3 s", id="whole session"),
    ],
)
async def test_limits_end_a_session(tmp_path: Path, timeouts: dict[str, float], reason: str) -> None:
    """Silence of both sides for `gap_s`, and a session of `total_s`, end with 1001 and the reason."""
    async with provided() as provider, served(provider.port, tmp_path, timeouts=timeouts) as gateway:
        async with gateway.connect() as client:
            assert await closed(client) == (1001, reason)
        await eventually(lambda: provider.closes, "the provider was told")
        assert provider.closes == [(1001, "")]
        ex = await gateway.record()
        assert ex.error is not None
        assert (ex.outcome, ex.error.error_code) == ("cut", "upstream_timeout")


async def test_a_session_in_which_something_is_said_goes_on(tmp_path: Path) -> None:
    """Words of one side, or pings alone, keep a session from being taken for silent."""
    async with provided() as provider, served(provider.port, tmp_path, timeouts={"gap_s": 0.5}) as gateway:
        async with gateway.connect() as client:
            end = asyncio.get_running_loop().time() + 1.2
            while asyncio.get_running_loop().time() < end:
                await asyncio.wait_for(await client.ping(), 5)
                await asyncio.sleep(0.05)
            await client.send("still here")
            assert await client.recv() == "still here"
        assert (await gateway.record()).outcome == "complete"


async def test_what_a_vendor_is_told_of_a_clients_messages(tmp_path: Path) -> None:
    """A whole message of the client's becomes those that the provider says, text or bytes as it came, however it was cut."""
    async with (
        provided() as provider,
        served(provider.port, tmp_path, Retelling, provider="retelling") as held,
        held.connect() as client,
    ):
        await client.send(["gr", "üß", "e"])
        assert [await client.recv(), await client.recv()] == ["hello", "GRüßE"]
        await client.send(b"bytes")
        assert await client.recv() == b"BYTES"
        await client.close()
        ex = await held.record()
        assert ex.request_bytes == len("grüße".encode()) + len(b"bytes")
