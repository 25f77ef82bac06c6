"""Opening a WebSocket session: who is let in, what the provider is told, and how a refusal reads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from core.tests.realtime import KEY, SECRET, SHAKE, Keys, Provided, Served, eventually, provided, served
from msgspec.structs import replace
from typing_extensions import override
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import InvalidStatus
from websockets.http11 import Request, Response

from headgate import Exchange, Hooks, Strategy, Target, hookimpl
from headgate.errors import ProviderFailed
from headgate.hooks import Outcome, Scene
from headgate.secret import Secret
from headgate.upstream import Credential, UpstreamRequest, origin_of
from headgate.upstream.h1_engine import H1Upstream


class Guard(Hooks):
    """A guardrail."""

    @override
    @hookimpl
    async def guard_request(self, ex: Exchange) -> None:
        return


class Blind(Guard):
    """A guardrail that is not for sessions, whatever is said in them."""

    operations = frozenset({"chat"})


class InTurn(Hooks):
    """Brings a strategy that calls the targets in order until one answers with a 2xx."""

    class Next(Strategy):
        """The strategy."""

        @override
        def choose(self, target: Target, ex: Exchange, outcomes: Sequence[Outcome], scene: Scene) -> int | None:
            done = bool(outcomes) and 200 <= outcomes[-1].status < 300
            return None if done or len(outcomes) == len(target.targets) else len(outcomes)

    @override
    @hookimpl
    def strategies(self) -> dict[str, Strategy]:
        return {"in-turn": self.Next()}


@asynccontextmanager
async def both(folder: Path, *plugins: Hooks, **options: Any) -> AsyncGenerator[tuple[Served, Provided]]:
    """A gateway, and a provider that echoes."""
    async with provided() as provider, served(provider.port, folder, *plugins, **options) as gateway:
        yield gateway, provider


@asynccontextmanager
async def raw_provider(answer: bytes) -> AsyncGenerator[tuple[int, list[bytes]]]:
    """A port that answers every head with these bytes and closes, and the heads it had."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], heads
    finally:
        server.close()


async def refusal(gateway: Served, model: str = "talk/gpt-realtime", **options: Any) -> tuple[int, dict[str, Any]]:
    """Status and error with which a handshake is refused."""
    with pytest.raises(InvalidStatus) as refused:
        async with gateway.connect(model, **options):
            pass
    response = refused.value.response
    assert response.headers["content-type"] == "application/json"
    assert SECRET not in f"{response.headers}{bytes(response.body).decode()}"
    return response.status_code, json.loads(response.body)["error"]


async def raw_answer(gateway: Served, data: bytes) -> tuple[int, bytes]:
    """Status and all that a bare connection gets for these bytes."""
    reader, writer = await gateway.raw(data)
    said = await asyncio.wait_for(reader.read(65536), 5)
    writer.close()
    return int(said.split(b" ", 2)[1]), said


async def test_the_provider_gets_its_own_key_and_the_model(tmp_path: Path) -> None:
    """An alias becomes the deployment's model, the deployment's key goes up, and the caller's key and options do not."""
    async with both(tmp_path) as (gateway, provider):
        async with gateway.connect("voice", "&intent=x&key=hg-other", headers={"OpenAI-Beta": "realtime=v1"}) as client:
            await client.send("hello")
            assert await client.recv() == "hello"
            assert client.response is not None
            assert client.response.headers["x-headgate-provider"] == "talker"
            assert client.response.headers["x-headgate-request-id"]
        assert provider.paths == ["/v1/realtime?model=gpt-realtime&intent=x"]
        assert provider.heads[0]["authorization"] == f"Bearer {SECRET}"
        assert provider.heads[0]["openai-beta"] == "realtime=v1"
        assert KEY not in str(provider.heads)
        ex = await gateway.record()
        assert (ex.operation.name, ex.model, ex.outcome) == ("realtime", "voice", "complete")
        assert ex.reply is not None
        assert (ex.reply.status, [attempt.status for attempt in ex.attempts]) == (101, [101])
        assert ex.attempts[0].ended - ex.attempts[0].started > 0


async def test_a_browser_says_its_key_in_a_subprotocol(tmp_path: Path) -> None:
    """The key in `openai-insecure-api-key.` lets in, `realtime` is chosen, and no subprotocol goes to the provider."""
    offered = ["realtime", f"openai-insecure-api-key.{KEY}", "openai-beta.realtime-v1"]
    async with both(tmp_path) as (gateway, provider):
        async with gateway.connect(subprotocols=offered, headers={"Authorization": ""}) as client:
            assert client.subprotocol == "realtime"
        head = provider.heads[0]
        assert "sec-websocket-protocol" not in head
        assert head["openai-beta"] == "realtime=v1"
        assert KEY not in str(provider.heads)
        assert b"sec-websocket-protocol" not in (await gateway.record()).headers


@pytest.mark.parametrize(
    ("model", "options", "status", "code"),
    [
        pytest.param("voice", {"headers": {"Authorization": "Bearer hg-bad"}}, 401, "invalid_api_key", id="wrong key"),
        pytest.param("voice", {"headers": {"Authorization": ""}}, 401, "invalid_api_key", id="no key"),
        pytest.param("nothing", {}, 404, "model_not_found", id="unknown model"),
        pytest.param("", {}, 400, "missing_model", id="no model"),
        pytest.param("voice", {"more": "&model=other"}, 400, "invalid_request", id="two models"),
        pytest.param("quiet/m", {}, 400, "unsupported_operation", id="provider without realtime"),
        pytest.param("x" * 600, {}, 400, "invalid_request", id="endless name"),
        pytest.param("voice", {"headers": {"x-headgate-request-timeout": "soon"}}, 400, "invalid_request", id="option"),
    ],
)
async def test_refusals_come_before_the_upgrade(
    tmp_path: Path, model: str, options: dict[str, Any], status: int, code: str
) -> None:
    """What any other request would be refused for is answered with an ordinary error, and nobody is called."""
    async with both(tmp_path) as (gateway, provider):
        found, error = await refusal(gateway, model, **options)
        assert (found, error["code"]) == (status, code)
        assert provider.heads == []
        assert (await gateway.record()).outcome == "error"


async def test_a_key_reaches_only_its_models(tmp_path: Path) -> None:
    """The allow-list of a key holds for sessions."""
    async with both(tmp_path, Keys(("other",))) as (gateway, provider):
        assert (await refusal(gateway, "voice"))[0] == 403
        assert provider.heads == []


@pytest.mark.parametrize("path", ["client_secrets", "calls", "sessions"])
async def test_a_key_for_models_makes_no_client_secrets(tmp_path: Path, path: str) -> None:
    """What would let a client past the gateway is for keys that may use all of the deployment."""
    body = b'{"session":{"model":"gpt-realtime"}}'
    head = f"POST /v1/realtime/{path} HTTP/1.1\r\nhost: g\r\nconnection: close\r\nx-headgate-provider: talk\r\n"
    rest = f"authorization: Bearer {KEY}\r\ncontent-length: {len(body)}\r\n\r\n"
    async with both(tmp_path, Keys(("voice", "talk/gpt-realtime"))) as (gateway, provider):
        status, said = await raw_answer(gateway, (head + rest).encode() + body)
        assert status == 403
        assert b"model_not_allowed" in said
        assert provider.heads == []


async def test_the_deployment_may_be_named_in_a_header(tmp_path: Path) -> None:
    """`x-headgate-provider` takes the place of the model, as for transcription sessions, which name none."""
    async with both(tmp_path) as (gateway, provider):
        async with gateway.connect("", "&intent=transcription", headers={"x-headgate-provider": "talk"}):
            pass
        assert provider.paths == ["/v1/realtime?intent=transcription"]


async def test_where_guardrails_judge_there_are_no_sessions(tmp_path: Path) -> None:
    """A gateway with a guardrail refuses sessions with an error that names it, since nobody could judge what is said."""
    async with both(tmp_path, Guard()) as (gateway, provider):
        status, error = await refusal(gateway)
        assert (status, error["code"]) == (403, "realtime_unguarded")
        assert "`guard`" in error["message"]
        assert provider.heads == []


async def test_guardrails_that_are_for_other_operations_stop_no_session(tmp_path: Path) -> None:
    """Only what guards `realtime` counts: a guardrail beside it is named, and one that is for others lets sessions be."""
    async with both(tmp_path, Blind()) as (gateway, provider):
        async with gateway.connect() as client:
            await client.send("hello")
            assert await client.recv() == "hello"
        assert len(provider.heads) == 1
    async with both(tmp_path, Blind(), Guard()) as (gateway, provider):
        status, error = await refusal(gateway)
        assert (status, error["code"]) == (403, "realtime_unguarded")
        assert "`guard`" in error["message"]
        assert "`blind`" not in error["message"]


@pytest.mark.parametrize(
    "head",
    [
        b"POST /v1/realtime?model=talk/gpt-realtime HTTP/1.1\r\ncontent-length: 0\r\n",
        b"POST /v1/realtime HTTP/1.1\r\ncontent-type: application/sdp\r\ncontent-length: 3\r\n",
        b"GET /v1/realtime?model=talk/gpt-realtime HTTP/1.1\r\n",
        b"DELETE /v1/realtime HTTP/1.1\r\n",
    ],
)
async def test_what_is_no_handshake_is_told_of_one(tmp_path: Path, head: bytes) -> None:
    """Any other request for a session gets 426, which names the protocol, and nobody is called."""
    async with both(tmp_path) as (gateway, provider):
        rest = b"host: gateway\r\nauthorization: Bearer hg-good-key\r\nconnection: close\r\n\r\n"
        body = b"v=0" if b"application/sdp" in head else b""
        status, said = await raw_answer(gateway, head + rest + body)
        assert status == 426
        assert b"\r\nupgrade: websocket\r\n" in said
        assert b"upgrade_required" in said
        assert b"`upgrade: websocket`" in said
        assert provider.heads == []


async def test_overrides_are_refused(tmp_path: Path) -> None:
    """`override_params`, which nobody could put into a session, are refused and not left out."""
    target = {"provider": "talk", "override_params": {"model": "gpt-realtime", "temperature": 1}}
    config = {"models": {"voice": target}}
    async with both(tmp_path, config=config) as (gateway, provider):
        status, error = await refusal(gateway, "voice")
        assert (status, error["code"], error["param"]) == (400, "unsupported_field", "temperature")
        assert provider.heads == []


async def test_another_target_is_tried_while_connecting(tmp_path: Path) -> None:
    """A strategy goes on from a target that cannot be reached or refuses to the next, and stays with one that opens."""
    async with provided() as provider, raw_provider(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n") as (port, heads):
        own = {"provider": "talker", "api_key": SECRET}
        targets = [{"provider": name, "override_params": {"model": "m"}} for name in ("dead", "full", "talk", "full")]
        config = {"models": {"voice": {"strategy": {"mode": "in-turn"}, "targets": targets}}}
        others = {
            "dead": {**own, "base_url": "http://127.0.0.1:9/v1"},
            "full": {**own, "base_url": f"http://127.0.0.1:{port}/v1"},
        }
        async with served(provider.port, tmp_path, InTurn(), config=config, others=others) as gateway:
            async with gateway.connect("voice") as client:
                await client.send("x")
                assert await client.recv() == "x"
            ex = await gateway.record()
            assert [attempt.status for attempt in ex.attempts] == [502, 503, 101]
            assert (len(heads), len(provider.heads)) == (1, 1)


# the handshake itself


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        pytest.param(b"upgrade: websocket\r\n", b"", 426, id="no upgrade"),
        pytest.param(b"connection: Upgrade\r\n", b"", 426, id="no connection"),
        pytest.param(b"upgrade: websocket", b"upgrade: h2c", 400, id="another protocol"),
        pytest.param(b"version: 13", b"version: 8", 426, id="old version"),
        pytest.param(b"version: 13\r\n", b"version: 13\r\nsec-websocket-version: 8\r\n", 426, id="two versions"),
        pytest.param(b"sec-websocket-version: 13\r\n", b"", 400, id="no version"),
        pytest.param(b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b"", 400, id="no nonce"),
        pytest.param(b"dGhlIHNhbXBsZSBub25jZQ==", b"AAAA", 400, id="short nonce"),
        pytest.param(b"dGhlIHNhbXBsZSBub25jZQ==", b"*", 400, id="garbled nonce"),
        pytest.param(b"GET", b"POST", 426, id="method"),
        pytest.param(b"HTTP/1.1", b"HTTP/1.0", 426, id="old HTTP"),
        pytest.param(b"connection: Upgrade\r\n", b"connection: Upgrade\r\ncontent-length: 3\r\n", 426, id="body"),
        pytest.param(b"/v1/realtime", b"/v1/models", 200, id="another path"),
        pytest.param(b"/v1/realtime", b"/nothing", 404, id="no path"),
    ],
)
async def test_a_bad_handshake_is_refused(tmp_path: Path, old: bytes, new: bytes, status: int) -> None:
    """A handshake that breaks the rules gets an HTTP error, and nothing goes to the provider."""
    async with both(tmp_path) as (gateway, provider):
        assert old in SHAKE
        found, said = await raw_answer(gateway, SHAKE.replace(old, new) + (b"abc" if b"content-length" in new else b""))
        assert (found, b"101 Switching" in said) == (status, False)
        if status == 426:
            assert b"upgrade: websocket\r\n" in said
            assert b"sec-websocket-version: 13\r\n" in said
        assert provider.heads == []


async def test_nothing_may_come_before_the_answer(tmp_path: Path) -> None:
    """Bytes behind the head, which a client may not send yet, end the connection without an upgrade."""
    async with both(tmp_path) as (gateway, provider):
        reader, writer = await gateway.raw(SHAKE + b"\x81\x80\x00\x00\x00\x00")
        assert b" 101 " not in await asyncio.wait_for(reader.read(), 5)
        writer.close()
        await eventually(lambda: provider.open == 0, "the provider is left alone")


async def test_a_request_before_the_handshake_is_answered_first(tmp_path: Path) -> None:
    """A connection that was used for requests can become a session; one with requests still running cannot."""
    ask = b"GET /v1/models HTTP/1.1\r\nhost: g\r\nauthorization: Bearer hg-good-key\r\n\r\n"
    async with both(tmp_path) as (gateway, _):
        reader, writer = await gateway.raw(ask)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(size)
        writer.write(SHAKE)
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).startswith(b"HTTP/1.1 101 ")
        writer.close()
        reader, writer = await gateway.raw(ask + SHAKE)
        assert b" 101 " not in await asyncio.wait_for(reader.read(), 5)
        writer.close()


async def test_no_extension_is_negotiated(tmp_path: Path) -> None:
    """A client that offers compression is let in without it, and the provider is not offered any."""
    async with both(tmp_path) as (gateway, provider):
        async with gateway.connect(compression="deflate") as client:
            assert client.response is not None
            assert "sec-websocket-extensions" not in client.response.headers
        assert "sec-websocket-extensions" not in provider.heads[0]


# what the provider answers


async def test_the_providers_refusal_is_passed_on(tmp_path: Path) -> None:
    """An error status of the provider's reaches the client with its words, and without the key where it says that."""

    def refuse(connection: ServerConnection, _: Request) -> Response:
        body = json.dumps({"error": {"message": f"bad key {SECRET}", "type": "t", "code": "c", "param": None}})
        response = connection.respond(401, body)
        response.headers["retry-after"] = "7"
        return response

    async with (
        provided(process_request=refuse) as provider,
        served(provider.port, tmp_path) as gateway,
    ):
        with pytest.raises(InvalidStatus) as refused:
            async with gateway.connect():
                pass
        response = refused.value.response
        assert response.status_code == 401
        assert json.loads(response.body)["error"]["message"] == "bad key [redacted]"
        assert response.headers["retry-after"] == "7"


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        pytest.param(
            b"HTTP/1.1 302 Go\r\nlocation: http://127.0.0.1:9/\r\n\r\n", 502, "upstream_redirect", id="redirect"
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", 502, "upstream_bad_reply", id="no upgrade"),
        pytest.param(
            b"HTTP/1.1 101 S\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: AAAA\r\n\r\n",
            *(502, "upstream_bad_reply"),
            id="wrong proof",
        ),
        pytest.param(b"HTTP/1.1 101 S\r\nupgrade: websocket\r\n\r\n", 502, "upstream_bad_reply", id="half an upgrade"),
        pytest.param(b"garbage\r\n\r\n", 502, "upstream_bad_reply", id="no HTTP"),
        pytest.param(b"HTTP/1.1 101 S\r\nx: " + b"y" * 100_000, 502, "upstream_bad_reply", id="endless head"),
        pytest.param(b"", 502, "upstream_failed", id="nothing"),
        pytest.param(b"HTTP/1.1 503 No\r\ncontent-length: 4\r\n\r\nbusy", 503, "503", id="words of its own"),
    ],
)
async def test_a_broken_answer_is_an_error(tmp_path: Path, answer: bytes, status: int, code: str) -> None:
    """Whatever is no WebSocket becomes an ordinary error before the client is let in."""
    async with raw_provider(answer) as (port, heads), served(port, tmp_path) as gateway:
        found, error = await refusal(gateway)
        assert (found, error["code"]) == (status, code)
        assert len(heads) == 1


async def test_a_silent_provider_is_not_waited_for(tmp_path: Path) -> None:
    """Without an answer within `first_byte_s` the client gets a 504."""
    stop = asyncio.Event()

    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await stop.wait()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with served(port, tmp_path, timeouts={"first_byte_s": 0.1}) as gateway:
        assert (await refusal(gateway))[0] == 504
    stop.set()
    server.close()


async def test_a_client_that_leaves_while_connecting_ends_the_call(tmp_path: Path) -> None:
    """When the client is gone before the provider answers, the provider's connection is closed."""
    ended = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        ended.set()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    async with served(server.sockets[0].getsockname()[1], tmp_path) as gateway:
        _, writer = await gateway.raw(SHAKE)
        await eventually(lambda: gateway.gateway.in_flight == 1, "the call runs")
        writer.close()
        assert (await gateway.record()).outcome == "client_gone"
    await asyncio.wait_for(ended.wait(), 5)
    server.close()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({"private_hosts": frozenset[str]()}, "upstream_denied", id="private address"),
        pytest.param({"url": "http://localhost.evil:9/"}, "upstream_denied", id="origin of the key"),
        pytest.param({"headers": ((b"sec-websocket-extensions", b"x"),)}, "upstream_denied", id="handshake header"),
        pytest.param({"headers": ((b"x", b"a\r\nb: c"),)}, "upstream_denied", id="line break"),
    ],
)
async def test_the_outbound_rules_hold_for_handshakes(changes: dict[str, Any], code: str) -> None:
    """Addresses, the binding of a credential to its origin and the rules for headers are those of every call."""
    engine = H1Upstream()
    url = "http://127.0.0.1:9/v1/realtime"
    credential = Credential("authorization", Secret(SECRET), frozenset({origin_of(url)}), "Bearer ")
    request = UpstreamRequest("GET", url, credential=credential, private_hosts=frozenset({"127.0.0.1"}))
    with pytest.raises(ProviderFailed) as refused:
        await engine.connect(replace(request, **changes))
    assert refused.value.error_code == code
    assert SECRET not in refused.value.message
    await engine.close()
