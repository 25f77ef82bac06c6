"""WebSocket sessions to a provider over TLS, whose certificate is checked as that of every call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from core.tests import engines
from core.tests.engines import HOST, Authority
from core.tests.realtime import SECRET, closed, echo, provided, served
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode

authority = engines.authority
BIG = "x" * 300_000
"""More than a socket takes at once."""


def over_tls(port: int, authority: Authority | None) -> dict[str, Any]:
    """The settings of a deployment that is reached over TLS."""
    trusted = {} if authority is None else {"tls": {"ca_file": authority.file}}
    return {"base_url": f"https://{HOST}:{port}/v1", **trusted}


@pytest.mark.parametrize("engine", ["h1", "aiohttp"])
async def test_a_session_over_tls(tmp_path: Path, authority: Authority, engine: str) -> None:
    """Where the provider speaks TLS so does the gateway; messages of any size pass, and the close with its code."""
    async with provided(echo, ssl=authority.server(HOST)) as provider:
        config = {"server": {"engine": engine}}
        async with served(provider.port, tmp_path, config=config, **over_tls(provider.port, authority)) as gateway:
            async with gateway.connect() as client:
                for message in ("hello", BIG, "\u2028"):
                    await client.send(message)
                    assert await client.recv() == message
                await client.close(4001, "enough")
            assert provider.heads[0]["authorization"] == f"Bearer {SECRET}"
            await gateway.record()
        assert provider.closes == [(4001, "enough")]


async def test_the_last_words_over_tls_arrive(tmp_path: Path, authority: Authority) -> None:
    """All that a provider says before it closes reaches the client, and its close behind it."""

    async def answer(connection: ServerConnection) -> None:
        for _ in range(8):
            await connection.send(BIG)
        await connection.close(1000, "said")

    async with (
        provided(answer, ssl=authority.server(HOST)) as provider,
        served(provider.port, tmp_path, **over_tls(provider.port, authority)) as gateway,
        gateway.connect() as client,
    ):
        assert [await client.recv() for _ in range(8)] == [BIG] * 8
        assert await closed(client) == (1000, "said")


@pytest.mark.parametrize("is_tls", [False, True])
async def test_many_last_words_arrive(tmp_path: Path, authority: Authority, is_tls: bool) -> None:
    """So do messages that are taken in many turns, of a provider that ends the connection right behind them."""
    words = [f"{number}" for number in range(20_000)]

    async def answer(connection: ServerConnection) -> None:
        frames = [Frame(Opcode.TEXT, word.encode()) for word in words] + [Frame(Opcode.CLOSE, b"\x03\xe8said")]
        connection.transport.write(b"".join(frame.serialize(mask=False) for frame in frames))
        connection.transport.close()

    async with (
        provided(answer, ssl=authority.server(HOST) if is_tls else None) as provider,
        served(provider.port, tmp_path, **(over_tls(provider.port, authority) if is_tls else {})) as gateway,
        gateway.connect() as client,
    ):
        assert [await client.recv() for _ in words] == words
        assert await closed(client) == (1000, "said")


@pytest.mark.parametrize("case", ["stranger", "other name"])
async def test_a_certificate_nobody_vouches_for(tmp_path: Path, authority: Authority, case: str) -> None:
    """The client gets an ordinary error before anything is opened, and the provider never sees the key."""
    name, trusted = (HOST, None) if case == "stranger" else ("models.internal", authority)
    async with provided(echo, ssl=authority.server(name)) as provider:
        async with served(provider.port, tmp_path, **over_tls(provider.port, trusted)) as gateway:
            with pytest.raises(InvalidStatus) as refused:
                async with gateway.connect():
                    pass
        assert refused.value.response.status_code == 502
        assert "certificate" in json.loads(refused.value.response.body)["error"]["message"]
        assert provider.heads == []
