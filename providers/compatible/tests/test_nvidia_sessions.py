"""Sessions of NVIDIA's speech servers of one's own: a token before the handshake, and OpenAI's events from then on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import pytest
from core.tests.realtime import KEY as CALLERS_KEY
from core.tests.realtime import Served, served
from providers.compatible.tests.asking import KEY, Json
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from headgate.errors import ProviderFailed
from headgate_compatible import catalogue
from headgate_compatible.vendors.nvidia_sessions import token_in, with_model

TOKEN = "eph-0a1b2c3d"
HEARD: Json = {
    "type": "conversation.item.input_audio_transcription.completed",
    "event_id": "e",
    "item_id": "i",
    "transcript": f"Grüße, {TOKEN}",
    "is_last_result": True,
}


class Nim:
    """A speech server on loopback. The first connection of each session asks for its token."""

    def __init__(self, answer: Json | None, status: int = 200) -> None:
        self.answer, self.status = answer, status
        self.asked: list[tuple[str, str, Mapping[str, str]]] = []
        self.said: list[Json] = []
        self.port = 0
        self.minting = 0

    async def mint(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the call that comes first."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        line, *rest = head.split("\r\n")
        headers = {name.lower(): value for name, _, value in (each.partition(": ") for each in rest if each)}
        body = await reader.readexactly(int(headers["content-length"]))
        assert body == b"{}"
        self.asked.append(("POST", line.split()[1], headers))
        told = json.dumps(self.answer).encode()
        phrase = HTTPStatus(self.status).phrase
        writer.write(f"HTTP/1.1 {self.status} {phrase}\r\ncontent-length: {len(told)}\r\n".encode())
        writer.write(b"content-type: application/json\r\nconnection: close\r\n\r\n" + told)
        await writer.drain()
        writer.close()

    async def talk(self, connection: ServerConnection) -> None:
        """A session."""
        await connection.send(json.dumps({"type": "conversation.created", "event_id": "e0"}))
        async for message in connection:
            event = json.loads(message)
            self.said.append(event)
            if event["type"] == "transcription_session.update":
                told = {"type": "transcription_session.updated", "session": event["session"]}
                await connection.send(json.dumps(told))
            elif event["type"] == "input_audio_buffer.done":
                await connection.send(json.dumps(HEARD))

    def look(self, connection: ServerConnection, request: Request) -> Response | None:
        """Take the token out of the handshake, or refuse it."""
        headers = {name.lower(): value for name, value in request.headers.raw_items()}
        self.asked.append(("GET", request.path, headers))
        wanted = f"realtime, realtime-token.{TOKEN}"
        if self.answer and self.answer.get("client_secret") and headers.get("sec-websocket-protocol") != wanted:
            return Response(401, "Unauthorized", Headers(), b'{"detail":"no token"}')
        return None


@asynccontextmanager
async def nim(folder: Path, answer: Json | None, status: int = 200) -> AsyncGenerator[tuple[Served, Nim]]:
    """A gateway before a server, which has one port for the call and one for the session behind one that tells them apart."""
    held = Nim(answer, status)
    minting = await asyncio.start_server(held.mint, "127.0.0.1", 0)
    async with serve(
        held.talk,
        "127.0.0.1",
        0,
        process_request=held.look,
        select_subprotocol=_choose,
        compression=None,
    ) as talking:
        ports = [next(iter(server.sockets)).getsockname()[1] for server in (minting, talking)]

        async def front(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            first = await reader.readexactly(4)
            there = await asyncio.open_connection("127.0.0.1", ports[0 if first == b"POST" else 1])
            there[1].write(first)
            await asyncio.gather(_pump(reader, there[1]), _pump(there[0], writer))

        server = await asyncio.start_server(front, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        own = {"provider": "nvidia", "api_key": KEY, "base_url": f"http://127.0.0.1:{port}/v1"}
        try:
            async with served(port, folder, catalogue()["nvidia"], others={"mine": own}) as gateway:
                yield gateway, held
        finally:
            server.close()
            minting.close()


def _choose(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """What the server chooses: the name without the token."""
    return Subprotocol("realtime") if "realtime" in offered else None


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


@pytest.mark.parametrize("secret", [{"value": TOKEN, "expires_at": 1}, None])
async def test_a_session(tmp_path: Path, secret: Json | None) -> None:
    """The token goes into the handshake where the server gives one, and comes back to nobody."""
    async with nim(tmp_path, {"id": "sess_1", "client_secret": secret}) as (gateway, server):
        async with gateway.connect("mine/parakeet") as client:
            assert json.loads(await client.recv())["type"] == "conversation.created"
            heard = {"model": "mine/parakeet", "language": "de-DE"}
            update = {"type": "transcription_session.update", "session": {"input_audio_transcription": heard}}
            await client.send(json.dumps(update))
            told = json.loads(await client.recv())
            assert told["session"] == {"input_audio_transcription": {"model": "parakeet", "language": "de-DE"}}
            await client.send(json.dumps({"type": "input_audio_buffer.append", "audio": "AAAA"}))
            await client.send(json.dumps({"type": "input_audio_buffer.done"}))
            transcript = json.loads(await client.recv())["transcript"]
        await gateway.record()
    assert [each["type"] for each in server.said][1:] == ["input_audio_buffer.append", "input_audio_buffer.done"]
    assert (TOKEN in transcript) == (secret is None)
    (post, there, head), (get, path, handshake) = server.asked
    assert (post, there, get, path) == (
        "POST",
        "/v1/realtime/transcription_sessions",
        "GET",
        "/v1/realtime?intent=transcription",
    )
    assert head["authorization"] == handshake["authorization"] == f"Bearer {KEY}"
    assert ("sec-websocket-protocol" in handshake) == (secret is not None)
    assert CALLERS_KEY not in json.dumps([head, handshake])


async def test_no_token(tmp_path: Path) -> None:
    """What the server says to the first call is the answer to the client's handshake."""
    async with nim(tmp_path, {"detail": "wrong key"}, 401) as (gateway, server):
        with pytest.raises(InvalidStatus) as refused:
            async with gateway.connect("mine/parakeet"):
                pass
        assert refused.value.response.status_code == 401
        assert "wrong key" in refused.value.response.body.decode()
        assert [each[0] for each in server.asked] == ["POST"]
        await gateway.record()


def test_tokens() -> None:
    """A token that no handshake can hold, and what is no session, are errors of the provider."""
    assert token_in(b'{"client_secret":{"value":"a.b-c"}}') == "a.b-c"
    assert token_in(b'{"client_secret":null}') == ""
    for body in (b'{"client_secret":{"value":"a, b"}}', b'{"client_secret":{"value":"a\\r\\nb"}}', b"[]", b"\xff"):
        with pytest.raises(ProviderFailed):
            token_in(body)


@pytest.mark.parametrize(
    "message",
    [
        b"no json",
        b"[]",
        b'{"type":"input_audio_buffer.append","audio":"AA"}',
        b'{"type":"transcription_session.update"}',
    ],
)
def test_what_passes(message: bytes) -> None:
    """Only an update that names a model is changed."""
    assert with_model(message, model="m") == (message,)
