"""WebSocket sessions: the handshake with the client, and the relay between it and the provider.

Frames pass as they come, from one connection's read to the other's write, with no queue and no task between them: a side that
does not read has the other side's socket left unread. What the gateway itself looks at are the events that state usage.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from msgspec import Struct
from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from headgate.dialects import SessionDialect
from headgate.errors import (
    BodyTimeout,
    InvalidRequest,
    Overloaded,
    ProviderFailed,
    ProviderTimeout,
    RequestError,
    UpgradeRequired,
)
from headgate.exchange import Closing, Exchange, RawHeaders, Reply
from headgate.gateway import Gateway
from headgate.relay import scrub
from headgate.server.cycle import Cycle
from headgate.server.replies import own_headers
from headgate.sockets import LOST, NO_STATUS, End, Socket
from headgate.upstream import Timeouts

_SHAKING = frozenset({b"connection", b"upgrade", b"sec-websocket-key", b"sec-websocket-version", b"origin"})
_OFFERED = b"sec-websocket-protocol"
_SUBPROTOCOL = b"realtime"
_SAID = (
    (b"openai-insecure-api-key.", b"authorization", b"Bearer "),
    (b"openai-organization.", b"x-headgate-openai-organization", b""),
    (b"openai-project.", b"x-headgate-openai-project", b""),
    (b"openai-beta.realtime-v1", b"openai-beta", b"realtime=v1"),
)
"""What a browser, which cannot set headers, says in subprotocols: the beginning, the header it stands for, and what that says
before the rest. https://developers.openai.com/api/docs/guides/realtime-websocket, and the official clients."""
_USUAL = frozenset({CloseCode.NORMAL_CLOSURE, CloseCode.GOING_AWAY, NO_STATUS})
_TICK_S = 0.001
"""How early a loop's timer may ring."""


def read_subprotocols(headers: dict[bytes, bytes], lines: list[tuple[bytes, bytes]]) -> None:
    """Put what a client says in subprotocols where others say it in headers, so that hooks find keys in their one place."""
    headers.pop(_OFFERED, None)
    for offered in _offered(lines):
        for beginning, name, prefix in _SAID:
            if offered.startswith(beginning):
                headers[name] = headers.get(name) or prefix + offered.removeprefix(beginning)


def model_in(query: bytes) -> str:
    """The model that the query of a handshake names; empty when it names none."""
    return parse_qs(query.decode("latin-1")).get("model", [""])[0]


def _offered(lines: list[tuple[bytes, bytes]]) -> list[bytes]:
    return [item.strip() for name, value in lines if name == _OFFERED for item in value.split(b",")]


class Handshake(Struct, frozen=True):
    """A client's handshake that is as it should be: the protocol that reads its frames, and what answers it."""

    cycle: Cycle
    ws: ServerProtocol
    headers: tuple[tuple[bytes, bytes], ...]

    @classmethod
    def from_scope(cls, scope: Mapping[str, Any], message_bytes: int) -> Handshake:
        """Raises UpgradeRequired for what is no WebSocket of version 13, InvalidRequest for a broken handshake."""
        cycle: object = scope["extensions"].get("headgate.cycle") if "extensions" in scope else None
        path = scope["path"]
        if not isinstance(cycle, Cycle) or not cycle.wants_socket:
            raise UpgradeRequired(f"`{path}` speaks WebSocket: ask for it with `upgrade: websocket`")
        headers = Headers()
        for name, value in scope["headers"]:
            if name in _SHAKING:
                headers[name.decode("latin-1")] = value.decode("latin-1")
        if headers.get_all("sec-websocket-version") not in (["13"], []):
            raise UpgradeRequired(f"`{path}` speaks version 13 of WebSocket and no other")
        if len(parse_qs(scope["query_string"].decode("latin-1")).get("model", ())) > 1:
            raise InvalidRequest("`model` stands more than once", param="model")
        ws = ServerProtocol(state=OPEN, max_size=message_bytes)
        try:
            accept, _, _ = ws.process_request(Request(path, headers))
        except InvalidHandshake as error:
            raise InvalidRequest(f"the WebSocket handshake is wrong: {error}", code="bad_handshake") from None
        said = [(b"upgrade", b"websocket"), (b"connection", b"Upgrade"), (b"sec-websocket-accept", accept.encode())]
        if _SUBPROTOCOL in _offered(scope["headers"]):
            said.append((_OFFERED, _SUBPROTOCOL))
        return cls(cycle, ws, tuple(said))


async def let_in(gateway: Gateway, ex: Exchange, handshake: Handshake, more: RawHeaders = ()) -> Socket:
    """Answer a client's handshake, with `more` headers than the gateway's own, and take its connection over."""
    cycle = handshake.cycle
    client = Socket(handshake.ws, gateway.generation.loaded.config.limits.reader_stall_s)
    client.on_lost = cycle.door.state.connections.discard
    if cycle.door.full is not None:
        await cycle.door.full.wait()
    if not cycle.wants_socket:
        raise InvalidRequest("nothing may be sent before the handshake is answered", code="bad_handshake")
    cycle.switch((*own_headers(ex), (b"x-request-id", ex.id.encode()), *more, *handshake.headers), client)
    return client


async def run_session(gateway: Gateway, ex: Exchange, reply: Reply, client: Socket) -> None:
    """Relay between a client that was let in and the provider until both connections have ended. `ex` and `reply` tell how
    it went.
    """
    provider, attempt = reply.socket, ex.attempt
    if provider is None or attempt is None:
        raise ProviderFailed("a session needs an open socket")
    session = Session(gateway, ex, reply, client, provider)
    reply.status = attempt.status = 101
    await session.run(attempt.provider.timeouts_for(ex))


class Held:
    """How many bytes of messages that are not whole are held of one side: they count as bodies do."""

    def __init__(self, gateway: Gateway, ex: Exchange) -> None:
        self._gateway = gateway
        self._ex = ex
        self._limit = gateway.generation.loaded.config.limits.inflight_bytes
        self._bytes = 0

    def count(self, held_bytes: int) -> bool:
        """Note how many it is now. False when it has become more and the gateway holds too much."""
        more = held_bytes - self._bytes
        self._bytes += more
        self._ex.held_bytes += more
        self._gateway.body_bytes += more
        return more <= 0 or self._gateway.body_bytes <= self._limit


class Opening:
    """A client that is let in before a provider is found for it, which its first message says.

    What goes wrong until then is told by how its connection is closed.
    """

    def __init__(self, gateway: Gateway, ex: Exchange, handshake: Handshake, gone: Callable[[], None]) -> None:
        self.client: Socket | None = None
        self._gateway = gateway
        self._ex = ex
        self._handshake = handshake
        self._gone = gone
        self._held = Held(gateway, ex)
        self._parts: list[bytes] = []
        self._parts_bytes = 0
        self._message: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def read(self) -> bytes:
        """Let the client in, and wait for its first message, which is the body and names the model."""
        ex = self._ex
        self.client = await let_in(self._gateway, ex, self._handshake)
        self.client.start(self)
        stall_s = self._gateway.generation.loaded.config.limits.body_stall_s
        try:
            async with asyncio.timeout(stall_s):
                message = await self._message
        except TimeoutError:
            raise BodyTimeout(f"no first message came for {stall_s:g} s") from None
        if not self._held.count(len(message)):
            raise _too_many()
        if isinstance(ex.dialect, SessionDialect):
            ex.model = ex.dialect.model_in(message)
        return message

    def refuse(self, status: int, message: str) -> Closing:
        """Tell the client why there is no session: what an HTTP reply would have said. How it was closed."""
        code = _close_code(status)
        if self.client is not None:
            self.client.close(code, message)
        return Closing("gateway", code, message)

    def leave(self) -> None:
        """Nobody will say more to a client that was let in; what was said stands."""
        self._parts.clear()
        if self.client is not None:
            self.client.close(CloseCode.GOING_AWAY)

    # what the socket tells

    def take(self, socket: Socket, frame: Frame) -> None:
        """See Owner. Nothing is kept of what comes once the wait for the message is over."""
        if self._message.done():
            return
        self._parts.append(bytes(frame.data))
        self._parts_bytes += len(frame.data)
        self._ex.request_bytes += len(frame.data)
        if frame.fin:
            socket.rest()
            self._message.set_result(b"".join(self._parts))
            self._parts.clear()

    def heard(self, socket: Socket) -> None:
        """See Owner. What is held of a message that is not whole counts as bodies do, while the exchange still waits for it."""
        if not self._message.done() and not self._held.count(socket.held_bytes + self._parts_bytes):
            self._fail(_too_many())

    def room(self, socket: Socket) -> None:
        """See Owner. Nothing is sent yet."""

    def ended(self, socket: Socket, end: End) -> None:  # noqa: ARG002 - see Owner
        """See Owner."""
        if end.kind == "failed":
            self._fail(InvalidRequest(f"the client broke off: {end.reason}", code="bad_websocket"))
        else:
            self._gone()

    def lost(self, socket: Socket) -> None:
        """See Owner. `ended` has said it."""

    def drain(self) -> None:
        """See Owner."""
        self._fail(Overloaded("the gateway is shutting down", code="shutting_down"))

    def _fail(self, error: RequestError) -> None:
        if not self._message.done():
            self._message.set_exception(error)


class Session:
    """A client and a provider that talk. The first end of either, or a limit, ends it."""

    def __init__(self, gateway: Gateway, ex: Exchange, reply: Reply, client: Socket, provider: Socket) -> None:
        self._ex = ex
        self._reply = reply
        self._client = client
        self._provider = provider
        self._held = {client: Held(gateway, ex), provider: Held(gateway, ex)}
        self._parts: dict[Socket, list[bytes]] = {client: [], provider: []}
        self._parts_bytes = {client: 0, provider: 0}
        self._kinds = {client: Opcode.TEXT, provider: Opcode.TEXT}
        if not isinstance(ex.dialect, SessionDialect) or ex.attempt is None:
            raise TypeError(f"`{ex.operation.name}` has no dialect of sessions")
        self._meter = ex.dialect.meter()
        self._is_in_bytes = ex.dialect.is_in_bytes
        self._read = ex.attempt.provider.session_reader(ex)
        self._write = ex.attempt.provider.session_writer(ex)
        self._ending = asyncio.Event()
        self._gone = asyncio.Event()
        if client.ws.max_message_size is not None:
            provider.limit(client.ws.max_message_size)

    async def run(self, timeouts: Timeouts) -> None:
        """Relay until both connections have ended; what is left of them is broken off when this is cancelled."""
        client, provider = self._client, self._provider
        try:
            client.start(self)
            provider.start(self)
            await self._watch(timeouts)
            await self._gone.wait()
        finally:
            for socket in (client, provider):
                if not socket.is_dead:
                    socket.end()

    async def _watch(self, timeouts: Timeouts) -> None:
        """Wait for the end, and bring it about when nobody says anything for too long or all of it takes too long."""
        loop = asyncio.get_running_loop()
        last = loop.time() - (time.perf_counter() - self._ex.started) + timeouts.total_s
        while not self._ending.is_set():
            silent = max(self._client.heard_at, self._provider.heard_at) + timeouts.gap_s
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(min(last, silent)):
                    await self._ending.wait()
            now = loop.time() + _TICK_S
            if now >= last:
                self._stop(ProviderTimeout(f"the session lasted longer than {timeouts.total_s:g} s"))
            elif now >= max(self._client.heard_at, self._provider.heard_at) + timeouts.gap_s:
                self._stop(ProviderTimeout(f"nobody said anything for {timeouts.gap_s:g} s"))

    # what the sockets tell

    def take(self, socket: Socket, frame: Frame) -> None:
        """See Owner."""
        ex = self._ex
        if self._ending.is_set():
            return
        if frame.opcode is not Opcode.CONT:
            self._kinds[socket] = frame.opcode
        if socket is self._client:
            ex.request_bytes += len(frame.data)
            self._pass(frame)
            return
        if ex.ttft_s is None:
            ex.ttft_s = time.perf_counter() - ex.started
        data = bytes(frame.data)
        ex.reply_bytes += len(data)
        if self._read is None:
            said = scrub(data, self._provider.secrets)
            self._client.send(frame if said is data else Frame(frame.opcode, said, frame.fin))
        kind = self._kinds[socket]
        if self._read is None and kind is not Opcode.TEXT and not self._is_in_bytes:
            return  # nobody reads it
        message = self._whole(socket, frame, data)
        if message is None:
            return
        if self._read is not None:
            self._client.send(Frame(kind, scrub(self._read(message), self._provider.secrets)))
        self._meter.take(message)
        self._reply.usage, self._reply.usage_by_model = self._meter.usage, self._meter.by_model

    def heard(self, socket: Socket) -> None:
        """See Owner. What is held of frames and messages that are not whole counts as bodies do."""
        if not self._held[socket].count(socket.held_bytes + self._parts_bytes[socket]):
            self._stop(_too_many(), CloseCode.TRY_AGAIN_LATER)

    def room(self, socket: Socket) -> None:
        """See Owner."""
        self._other(socket).hold(socket.is_full)

    def ended(self, socket: Socket, end: End) -> None:
        """See Owner. The other side is told the code and the reason; of a connection that broke, that it did."""
        if socket is self._client:
            self._client_ended(end)
        else:
            self._provider_ended(end)

    def lost(self, socket: Socket) -> None:
        """See Owner."""
        if self._other(socket).is_dead:
            self._gone.set()

    def drain(self) -> None:
        """See Owner: a client that is told at once has all of the drain to connect elsewhere."""
        self._stop(Overloaded("the gateway is shutting down", code="shutting_down"))

    # the end

    def _client_ended(self, end: End) -> None:
        match end.kind:
            case "closed":
                self._end(Closing("client", end.code, end.reason), None)
                self._provider.close(end.code, end.reason)
            case "failed":
                error = InvalidRequest(f"the client broke off: {end.reason}", code="bad_websocket")
                self._end(Closing("gateway", end.code, end.reason), error)
            case "lost":
                self._end(Closing("client", LOST), None, is_gone=True)
        self._provider.close(CloseCode.GOING_AWAY)

    def _provider_ended(self, end: End) -> None:
        name = self._ex.attempt.provider.name if self._ex.attempt is not None else ""
        match end.kind:
            case "closed":
                reason = scrub(end.reason.encode(), self._provider.secrets).decode()
                words = f"provider `{name}` closed the session with code {end.code}"
                error = None if end.code in _USUAL else ProviderFailed(words, provider=name, code="upstream_closed")
                self._end(Closing("provider", end.code, reason), error)
                self._client.close(end.code, reason)
            case "failed":
                words = f"provider `{name}` broke the rules of WebSocket (code {end.code})"
                self._break(ProviderFailed(words, provider=name, code="upstream_bad_reply"), end.code)
            case "lost":
                words = f"provider `{name}` closed the connection"
                self._break(ProviderFailed(words, provider=name, code="upstream_cut"), LOST)

    def _break(self, error: ProviderFailed, code: int) -> None:
        self._end(Closing("provider", code), error)
        self._client.close(CloseCode.INTERNAL_ERROR, error.message)

    def _stop(self, error: RequestError, code: int = CloseCode.GOING_AWAY) -> None:
        """The gateway ends it: both sides are told."""
        if not self._ending.is_set():
            self._end(Closing("gateway", code, error.message), error)
            self._client.close(code, error.message)
            self._provider.close(CloseCode.GOING_AWAY)

    def _end(self, closing: Closing, error: RequestError | None, *, is_gone: bool = False) -> None:
        """Note how it ended; what comes later is only the answer to it."""
        if self._ending.is_set():
            return
        self._ending.set()
        ex = self._ex
        self._reply.closing, ex.error = closing, error
        ex.outcome = "client_gone" if is_gone else "complete" if error is None else "cut"

    # parts

    def _other(self, socket: Socket) -> Socket:
        return self._provider if socket is self._client else self._client

    def _pass(self, frame: Frame) -> None:
        """Pass a frame of the client's on; where the provider is told other messages, those of the one that it completes."""
        if self._write is None:
            self._provider.send(frame)
            return
        message = self._whole(self._client, frame, bytes(frame.data))
        for told in () if message is None else self._write(message):
            self._provider.send(Frame(self._kinds[self._client], told))

    def _whole(self, socket: Socket, frame: Frame, data: bytes) -> bytes | None:
        """The message of one side that `frame` completes with its `data`; it may come in several frames."""
        self._parts[socket].append(data)
        self._parts_bytes[socket] += len(data)
        if not frame.fin:
            return None
        parts, self._parts[socket], self._parts_bytes[socket] = self._parts[socket], [], 0
        return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_many() -> Overloaded:
    return Overloaded("the gateway holds too many messages")


def _close_code(status: int) -> int:
    """How a connection is closed for an error of this HTTP status (RFC 6455 section 7.4.1, and the registry of codes)."""
    if status in {429, 503}:
        return CloseCode.TRY_AGAIN_LATER
    return CloseCode.POLICY_VIOLATION if 400 <= status < 500 else CloseCode.INTERNAL_ERROR
