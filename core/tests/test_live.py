"""Sessions of Gemini's Live API: the client is let in first, and its first message decides what becomes of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from core.tests.realtime import KEY, SECRET, SHAKE, Keys, Served, Talker, closed, eventually, provided, served
from typing_extensions import override
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode

from headgate import Exchange, Hooks, hookimpl
from headgate.dialects import GoogleLive
from headgate.errors import Blocked
from headgate.operations import GENERATE_LIVE
from headgate.provider import Provider
from headgate.sockets import Socket

SETUP = {"setup": {"model": "models/talk/gemini-live", "generationConfig": {"temperature": 0.5}}}
USED = {"promptTokenCount": 10, "responseTokenCount": 4, "thoughtsTokenCount": 1, "totalTokenCount": 15}


class Liver(Talker):
    """A provider that has the Live API and nothing else."""

    name = "liver"
    dialects: ClassVar[Mapping[str, str]] = {"generate.live": "google.live"}
    paths: ClassVar[Mapping[str, str]] = {"generate.live": "/live"}

    @override
    def socket_query(self, ex: Exchange) -> Mapping[str, str]:
        return {}


class Shouting(Liver):
    """A provider whose messages are told to clients in capitals."""

    name = "shouting"

    @override
    def session_reader(self, ex: Exchange) -> Any:
        return bytes.upper


def gateway(port: int, folder: Path, *plugins: Hooks | type[Provider], **more: Any) -> Any:
    """A gateway whose deployment `talk` has the Live API."""
    return served(port, folder, *plugins, Liver, provider="liver", **more)


def live(held: Served, query: str = f"?key={KEY}") -> connect:
    """A client, by default with the good key."""
    return connect(
        f"ws://127.0.0.1:{held.port}{GENERATE_LIVE.path}{query}", compression=None, ping_interval=None, proxy=None
    )


async def echo_setup(connection: ServerConnection) -> None:
    """Send back what comes, in bytes."""
    async for message in connection:
        await connection.send(message if isinstance(message, bytes) else message.encode())


async def test_what_came_too_early_arrives(tmp_path: Path) -> None:
    """Messages that a client sends behind the first one, while the provider is being called, arrive in their order."""
    async with provided(echo_setup) as provider, gateway(provider.port, tmp_path) as held, live(held) as client:
        await client.send(json.dumps(SETUP))
        for number in range(50):
            await client.send(f"{number}")
        assert json.loads(await client.recv())["setup"]["generationConfig"] == {"temperature": 0.5}
        assert [await client.recv() for _ in range(50)] == [f"{number}".encode() for number in range(50)]
        await client.close()
        await held.record()
    assert provider.heads[0]["authorization"] == f"Bearer {SECRET}"


async def test_a_first_message_in_pieces(tmp_path: Path) -> None:
    """The first message may come in several frames and in bytes."""
    async with provided(echo_setup) as provider, gateway(provider.port, tmp_path) as held, live(held) as client:
        whole = json.dumps(SETUP).encode()
        await client.send([whole[:7], whole[7:20], whole[20:]])
        assert json.loads(await client.recv())["setup"]["model"]
        await client.close()
        ex = await held.record()
        assert (ex.model, ex.outcome, ex.request_bytes) == ("talk/gemini-live", "complete", len(whole))


@pytest.mark.parametrize(
    ("message", "code", "words"),
    [
        ("no json", 1008, "must be a JSON object with `setup`"),
        ("[1]", 1008, "must be a JSON object with `setup`"),
        ('{"clientContent": {}}', 1008, "must be a JSON object with `setup`"),
        ('{"setup": {}}', 1008, "`model` is missing"),
        ('{"setup": {"model": 7}}', 1008, "`setup.model` must be a string"),
        ('{"config": {"model": "models/absent"}}', 1008, "absent"),
        ('{"setup": {"model": "models/quiet/m"}}', 1008, "has no operation `generate.live`"),
    ],
)
async def test_what_the_first_message_gets_wrong(tmp_path: Path, message: str, code: int, words: str) -> None:
    """A client that was let in is told by the close what an HTTP reply would have said; no provider is called."""
    async with provided() as provider, gateway(provider.port, tmp_path) as held, live(held) as client:
        await client.send(message)
        found, reason = await closed(client)
        assert (found, words in str(reason)) == (code, True), reason
        ex = await held.record()
        assert (ex.outcome, ex.error is not None, provider.heads) == ("error", True, [])


async def test_a_provider_that_refuses(tmp_path: Path) -> None:
    """What the vendor says against the handshake is the reason of the close."""

    def refuse(connection: ServerConnection, request: Any) -> Any:
        return connection.respond(403, json.dumps({"error": {"code": 403, "message": "no such project"}}))

    async with (
        provided(process_request=refuse) as provider,
        gateway(provider.port, tmp_path) as held,
        live(held) as client,
    ):
        await client.send(json.dumps(SETUP))
        assert await closed(client) == (1008, "no such project")
        ex = await held.record()
        assert ex.reply is not None
        assert (ex.reply.status, ex.reply.closing.by if ex.reply.closing else "") == (403, "gateway")


async def test_a_provider_that_is_down(tmp_path: Path) -> None:
    """A provider that cannot be reached is an error of the gateway's side."""
    async with gateway(9, tmp_path) as held, live(held) as client:
        await client.send(json.dumps(SETUP))
        code, reason = await closed(client)
        assert (code, "could not be reached" in str(reason)) == (1011, True)


async def test_nothing_is_said(tmp_path: Path) -> None:
    """A client that was let in and says nothing is not waited for longer than for a body."""
    limits = {"limits": {"body_stall_s": 0.05}}
    async with provided() as provider, gateway(provider.port, tmp_path, config=limits) as held, live(held) as client:
        code, reason = await closed(client)
        assert (code, "no first message" in str(reason)) == (1008, True)
        ex = await held.record()
        assert ex.error is not None
        assert ex.error.error_code == "body_timeout"


async def test_pieces_of_a_first_message_count(tmp_path: Path) -> None:
    """Whole frames of a first message that is not whole count among the bodies that the gateway holds."""
    limits = {"limits": {"inflight_bytes": 50_000}}
    async with provided() as provider, gateway(provider.port, tmp_path, config=limits) as held, live(held) as client:
        client.transport.write(Frame(Opcode.TEXT, bytes(30_000), fin=False).serialize(mask=True))
        await eventually(lambda: held.gateway.body_bytes == 30_000, "the first piece counts")
        client.transport.write(Frame(Opcode.CONT, bytes(30_000), fin=False).serialize(mask=True))
        code, reason = await closed(client)
        assert (code, "too many messages" in str(reason)) == (1013, True)


async def test_what_comes_after_the_wait_is_dropped(tmp_path: Path) -> None:
    """What a client says once its time is over is not collected, and counts for no exchange that has ended."""
    limits = {"limits": {"body_stall_s": 0.05}}
    async with provided() as provider, gateway(provider.port, tmp_path, config=limits) as held:
        head = SHAKE.replace(b"/v1/realtime?model=talk/gpt-realtime", GENERATE_LIVE.path.encode())
        reader, writer = await held.raw(head)
        await reader.readuntil(b"\r\n\r\n")
        ex = await held.record()
        (end,) = (each for each in held.state.connections if isinstance(each, Socket))
        text = Frame(Opcode.TEXT, bytes(3000)).serialize(mask=True)
        writer.write(text * 3 + text[:1000])
        await eventually(lambda: end.held_bytes, "all of it was read")
        assert (ex.request_bytes, held.gateway.body_bytes) == (0, 0)
        writer.close()


@pytest.mark.parametrize("rude", [False, True])
async def test_a_client_that_leaves_at_once(tmp_path: Path, rude: bool) -> None:
    """A client that leaves before it said anything is gone, and nobody is called."""
    async with provided() as provider, gateway(provider.port, tmp_path) as held:
        client = await live(held)
        if rude:
            client.transport.abort()
        else:
            await client.close()
        ex = await held.record()
        assert (ex.outcome, provider.heads) == ("client_gone", [])


async def test_a_client_that_breaks_the_rules(tmp_path: Path) -> None:
    """A first message that is no frame of WebSocket's is refused as one."""
    async with provided() as provider, gateway(provider.port, tmp_path) as held, live(held) as client:
        client.transport.write(Frame(Opcode.TEXT, b"x").serialize(mask=False))
        code, _ = await closed(client)
        assert code == 1002
        ex = await held.record()
        assert ex.error is not None
        assert (ex.outcome, ex.error.error_code) == ("error", "bad_websocket")


async def test_a_client_that_leaves_while_the_provider_is_called(tmp_path: Path) -> None:
    """The provider's session is closed when there is nobody left for it."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def wait(_: ServerConnection, __: Any) -> None:
        begun.set()
        await go_on.wait()

    async with provided(process_request=wait) as provider, gateway(provider.port, tmp_path) as held:
        client = await live(held)
        await client.send(json.dumps(SETUP))
        await begun.wait()
        client.transport.abort()
        go_on.set()
        ex = await held.record()
        assert ex.outcome == "client_gone"
        await eventually(lambda: provider.closes, "the provider was left")


async def test_draining(tmp_path: Path) -> None:
    """A client that has said nothing yet is told that the gateway ends."""
    async with provided() as provider, gateway(provider.port, tmp_path) as held, live(held) as client:
        held.drain()
        code, reason = await closed(client)
        assert (code, "shutting down" in str(reason)) == (1013, True)


async def test_no_key_no_session(tmp_path: Path) -> None:
    """Without a key the handshake itself is refused, in Google's envelope."""
    async with provided() as provider, gateway(provider.port, tmp_path) as held:
        with pytest.raises(InvalidStatus) as found:
            await live(held, "")
        assert found.value.response.status_code == 401
        assert json.loads(found.value.response.body or b"")["error"]["status"] == "UNAUTHENTICATED"
        assert provider.heads == []


async def test_a_key_that_may_not(tmp_path: Path) -> None:
    """A key that may use other models alone is told so."""
    keys = Keys(models=("other",))
    async with provided() as provider, gateway(provider.port, tmp_path, keys) as held, live(held) as client:
        await client.send(json.dumps(SETUP))
        code, reason = await closed(client)
        assert (code, provider.heads) == (1008, []), reason


class Guard(Hooks):
    """A guardrail of all that is said."""

    @override
    @hookimpl
    async def guard_request(self, ex: Exchange) -> None:
        raise Blocked("not that")


async def test_where_something_guards(tmp_path: Path) -> None:
    """What nobody can guard is refused where something guards."""
    async with provided() as provider, gateway(provider.port, tmp_path, Guard()) as held, live(held) as client:
        await client.send(json.dumps(SETUP))
        code, reason = await closed(client)
        assert (code, "cannot be guarded" in str(reason), provider.heads) == (1008, True, [])
        ex = await held.record()
        assert ex.error is not None
        assert ex.error.error_code == "realtime_unguarded"


async def test_what_differs_is_told_anew(tmp_path: Path) -> None:
    """Where a vendor's messages differ, each is read whole, whatever frames it came in, and its kind of frame is kept."""

    async def answer(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send(["gr", "ü", "ße"])
        await connection.send(b'{"usagemetadata": 1}')

    async with (
        provided(answer) as provider,
        served(provider.port, tmp_path, Shouting, provider="shouting") as held,
        live(held) as client,
    ):
        await client.send(json.dumps(SETUP))
        assert await client.recv() == "GR\u00fcßE"
        assert await client.recv() == b'{"USAGEMETADATA": 1}'
        await client.close()


def metered(*messages: Any) -> tuple[int, int, int] | None:
    usage = GoogleLive().tail_usage([json.dumps(each).encode() for each in messages])
    return None if usage is None else (usage.prompt, usage.completion, usage.reasoning)


def test_usage() -> None:
    """Every answer states what it used, in either spelling; they are added up. What states none counts nothing."""
    assert metered(
        {"usageMetadata": USED}, {"usage_metadata": {"prompt_token_count": 3, "response_token_count": 2}}
    ) == (
        13,
        7,
        1,
    )
    assert metered({"serverContent": {"modelTurn": {}}}, {"usageMetadata": None}, {"usageMetadata": {}}) is None
    assert GoogleLive().tail_usage([b'"usageMetadata" no json', b"\xff usageMetadata"]) is None


async def test_usage_is_counted_over_a_session(tmp_path: Path) -> None:
    """What the messages of both kinds of frames state is on the reply when the session has ended."""

    async def answer(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send(json.dumps({"usageMetadata": USED}).encode())
        await connection.send(json.dumps({"usageMetadata": USED}))
        await connection.close()

    async with provided(answer) as provider, gateway(provider.port, tmp_path) as held, live(held) as client:
        await client.send(json.dumps(SETUP))
        assert [type(await client.recv()) for _ in range(2)] == [bytes, str]
        await closed(client)
        ex = await held.record()
        assert ex.reply is not None
        assert ex.reply.usage is not None
        assert (ex.reply.usage.prompt, ex.reply.usage.completion) == (20, 10)
