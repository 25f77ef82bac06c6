"""One exchange at the ASGI border: from scope to Exchange, through the pipeline, and back onto the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from types import MappingProxyType
from typing import Any, Literal

import msgspec
import structlog

from headgate import pipeline
from headgate.caller import check_path
from headgate.config import Limits
from headgate.dialects.words import words_of
from headgate.errors import (
    BodyTimeout,
    InvalidRequest,
    MethodNotAllowed,
    Overloaded,
    RequestError,
    RouteNotFound,
    UpgradeRequired,
)
from headgate.exchange import Exchange, Reply
from headgate.folds import bounded
from headgate.gateway import Gateway, Generation
from headgate.ids import IdSource, trace_id_from
from headgate.listing import answer_models, is_for_vendor
from headgate.operations import (
    BY_GOOGLE,
    GENERATE,
    GENERATE_MODELS,
    MESSAGES,
    MODELS,
    PASSTHROUGH,
    REALTIME,
    ROOTS,
    Operation,
    client_dialect,
    find_named,
    named_below,
)
from headgate.plan import Plan
from headgate.relay import discard
from headgate.server.arrays import CONTENT_TYPE, ArrayStream, wants_array
from headgate.server.cycle import Cycle
from headgate.server.realtime import Handshake, Opening, let_in, model_in, read_subprotocols, run_session
from headgate.server.replies import JSON, SHOULD_NOT_RETRY, error_headers, has_retried, own_headers
from headgate.server.uploads import Inflow, is_sent_on, too_large, too_many_bodies
from headgate.suggest import shown

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

_ONCE = (b"authorization", b"content-type", b"content-length", b"api-key", b"x-api-key", b"traceparent")
_ANTHROPIC = MESSAGES.dialect
_BELOW = tuple(f"{root}/" for root in ROOTS)
_FAILED = "the gateway failed; its log has the reason"

log = structlog.get_logger("headgate")


class ClientGone(Exception):
    """The client left before its body was whole."""


class Handler:
    """Serves the operations of one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self._ids = IdSource()
        self._running: dict[asyncio.Task[Any], _Run] = {}

    async def serve(self, operation: Operation, scope: Any, receive: Receive, send: Send) -> None:
        """Carry one request through. Every way it can end is settled, recorded and answered here."""
        gateway = self.gateway
        generation = gateway.enter()
        ex = self._exchange(operation, scope, generation)
        run = _Run(scope, send)
        self._running[run.task] = run
        try:
            await self._answer(generation, ex, run, scope, receive)
        except ClientGone:
            ex.outcome = "client_gone"
        except asyncio.CancelledError:
            await self._cancelled(ex, run)
        finally:
            del self._running[run.task]
            run.unwatch()
            if ex.upload is not None:
                ex.upload.close()
            gateway.body_bytes -= ex.held_bytes
            try:
                await pipeline.finish(generation.plans[ex.operation.name], ex)
            finally:
                gateway.leave(generation)

    def cut_all(self) -> None:
        """The drain deadline has passed: end every running exchange with an error that says so."""
        for task, run in list(self._running.items()):
            run.why = "drain"
            task.cancel()

    async def _answer(self, generation: Generation, ex: Exchange, run: _Run, scope: Any, receive: Receive) -> None:
        try:
            self._check(ex, scope)
            run.watch()
            if ex.operation.is_socket:
                await self._talk(generation, ex, run, scope)
                return
            if ex.operation is MODELS or ex.operation is GENERATE_MODELS:
                await pipeline.authenticate(generation.plan, ex)
                reply = Reply(200, (JSON,), await answer_models(generation.plan, ex))
            else:
                plan = generation.plans[ex.operation.name]
                reply = await pipeline.run(plan, ex, partial(self._body, generation, ex, run, receive))
            await self._write(ex, run, reply)
        except RequestError as error:
            await self._write_error(ex, run, error)
        except (ClientGone, asyncio.CancelledError):
            raise
        except Exception:
            log.exception("the gateway failed", request_id=ex.id)
            await self._write_error(ex, run, RequestError(_FAILED))

    async def _talk(self, generation: Generation, ex: Exchange, run: _Run, scope: Any) -> None:
        """A WebSocket session, or the reply that refuses it."""
        handshake = Handshake.from_scope(scope, generation.body_limits[ex.operation.name])
        if self.gateway.is_draining:
            raise Overloaded("the gateway is shutting down", code="shutting_down", retry_after_s=1)
        plan = generation.plans[ex.operation.name]
        if ex.operation.is_model_in_message:
            await self._talk_first(plan, ex, run, handshake)
            return
        reply = await pipeline.run(plan, ex, _no_body)
        if reply.socket is None:
            await self._write(ex, run, reply)
            return
        run.has_started = True
        try:
            client = await let_in(self.gateway, ex, handshake, reply.headers)
            await run_session(self.gateway, ex, reply, client)
        finally:
            await discard(reply)

    async def _talk_first(self, plan: Plan, ex: Exchange, run: _Run, handshake: Handshake) -> None:
        """A WebSocket session that the client's first message decides on: refused once it is let in, it is closed."""
        opening = Opening(self.gateway, ex, handshake, run.gone)
        reply: Reply | None = None
        try:
            reply = await pipeline.run(plan, ex, opening.read)
            if reply.socket is None or opening.client is None:
                reply.closing = opening.refuse(reply.status, words_of(reply.status, reply.body).message)
                ex.outcome = "complete"
            else:
                await run_session(self.gateway, ex, reply, opening.client)
        except RequestError as error:
            if opening.client is None:
                raise
            ex.error, ex.outcome = error, "error"
            opening.refuse(error.status, error.message)
        except Exception:
            opening.refuse(RequestError.status, _FAILED)
            raise
        finally:
            run.has_started = opening.client is not None
            opening.leave()
            if reply is not None:
                await discard(reply)

    def _exchange(self, operation: Operation, scope: Any, generation: Generation) -> Exchange:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if operation.is_socket:
            read_subprotocols(headers, scope["headers"])
        traceparent, given = headers.get(b"traceparent"), None
        for name in (b"x-headgate-trace-id", b"x-portkey-trace-id"):
            if name in headers:
                given = headers[name].decode("latin-1")
                break
        trace_id = trace_id_from(traceparent.decode("latin-1") if traceparent else None, given)
        ex = Exchange(
            operation,
            MappingProxyType(headers),
            request_id=self._ids.request_id(),
            trace_id=trace_id or self._ids.random(),
            method=scope["method"],
            path=scope["raw_path"].decode("ascii", "replace"),
            query=scope["query_string"],
            dialect=generation.plan.registry.dialects.get(operation.dialect),
        )
        ex.generation = generation.number
        if operation.is_model_in_path:
            named = find_named(scope["path"])
            ex.model, ex.stream = (named.model, named.stream) if named is not None else ("", False)
        elif operation.is_socket:
            ex.model = model_in(scope["query_string"])
        if operation.errors:
            ex.error_dialect = generation.plan.registry.dialects.get(operation.errors)
        elif not operation.dialect:
            theirs = client_dialect(ex.path, ex.headers)
            ex.error_dialect = generation.plan.registry.dialects.get(theirs)
            if operation is MODELS and is_for_vendor(ex):
                ex.operation = PASSTHROUGH
            elif theirs == GENERATE.dialect:
                ex.operation = BY_GOOGLE.get(operation, operation)
        if generation.loaded.config.server.timing:
            ex.timings = {}
        return ex

    def _check(self, ex: Exchange, scope: Any) -> None:
        """What is refused before any plugin runs."""
        gateway = self.gateway
        limits = gateway.generation.loaded.config.limits
        if gateway.in_flight > limits.in_flight or gateway.body_bytes > limits.inflight_bytes:
            raise Overloaded("the gateway is at its limit of requests; try again shortly", retry_after_s=1)
        if len(ex.headers) != len(scope["headers"]):
            seen: set[bytes] = set()
            for name, _ in scope["headers"]:
                if name in seen and (name in _ONCE or name.startswith((b"x-headgate-", b"x-portkey-"))):
                    shown = name.decode("latin-1")
                    raise InvalidRequest(f"the header `{shown}` stands more than once", code="repeated_header")
                seen.add(name)
        operation = ex.operation
        if operation.method != ex.scope_method and not operation.takes(ex.scope_method):
            raise _not_taken(ex)
        if operation is PASSTHROUGH and not ex.path.startswith(_BELOW):
            raise _nothing_at(ex)
        if operation is PASSTHROUGH or operation.is_tree:
            check_path(ex.path)
        if b"content-encoding" in ex.headers and operation is not PASSTHROUGH:
            raise InvalidRequest("send the body without a content-encoding", code="unsupported_encoding")

    def _body(self, generation: Generation, ex: Exchange, run: _Run, receive: Receive) -> Awaitable[bytes]:
        """The body as the pipeline wants it: whole, or no bytes for one that is sent on as `ex.upload`."""
        limits = generation.loaded.config.limits
        limit = generation.body_limits[ex.operation.name]
        if ex.operation.is_form or ex.operation.is_streamed:
            if is_sent_on(ex):
                run.let_finish(min(limit, int(ex.headers.get(b"content-length", limit))))
                return self._send_on(ex, Inflow(self.gateway, limits, limit, ex, receive, run.gone))
            limit = min(limit, limits.form_bytes)
        return self._read(ex, run, receive, limits, limit)

    async def _send_on(self, ex: Exchange, inflow: Inflow) -> bytes:
        ex.upload = await inflow.open()
        return b""

    async def _read(self, ex: Exchange, run: _Run, receive: Receive, limits: Limits, limit: int) -> bytes:
        """The whole body, within the limits of its operation."""
        declared = ex.headers.get(b"content-length")
        if declared is not None and int(declared) > limit:
            raise too_large(ex, limit)
        gateway = self.gateway
        if gateway.body_bytes + int(declared or 0) > limits.inflight_bytes:
            raise too_many_bodies()
        ex.request_bytes = ex.held_bytes = int(
            declared or 0
        )  # what is announced is reserved, other is counted as it comes
        gateway.body_bytes += ex.request_bytes
        whole = run.whole_body() if declared is not None else None
        if whole is not None:
            return whole  # as long as it was declared: llhttp takes neither more nor less
        size = 0
        pieces: list[bytes] = []
        while True:
            try:
                message = await bounded(receive(), limits.body_stall_s)
            except TimeoutError:
                raise BodyTimeout(f"the body stalled for {limits.body_stall_s:g} s") from None
            if message["type"] == "http.disconnect":
                raise ClientGone
            piece: bytes = message.get("body", b"")
            size += len(piece)
            if declared is None:
                ex.request_bytes = ex.held_bytes = size
                gateway.body_bytes += len(piece)
            if size > limit:
                raise too_large(ex, limit)
            pieces.append(piece)
            if not message.get("more_body"):
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)
            if gateway.body_bytes > limits.inflight_bytes:
                raise too_many_bodies()

    async def _write(self, ex: Exchange, run: _Run, reply: Reply) -> None:
        headers = [*own_headers(ex), *reply.headers]
        if reply.chunks is not None and ex.dialect is not None:
            headers.append((b"x-accel-buffering", b"no"))  # a proxy in front must pass each event on as it comes
        names = dict(reply.headers)
        if b"x-request-id" not in names:
            headers.append((b"x-request-id", ex.id.encode()))
        if ex.error_dialect is not None and ex.error_dialect.name == _ANTHROPIC and b"request-id" not in names:
            headers.append((b"request-id", ex.id.encode()))  # where Anthropic's SDK looks
        if reply.status >= 400 and has_retried(ex):
            headers = [*(pair for pair in headers if pair[0] != SHOULD_NOT_RETRY[0]), SHOULD_NOT_RETRY]
        if reply.chunks is None:
            headers.append((b"content-length", b"%d" % len(reply.body)))
            ex.reply_bytes = len(reply.body)
            await run.reply(reply.status, headers, reply.body)
            ex.outcome = "complete"
            return
        try:
            if wants_array(ex):
                await self._write_array(ex, run, reply, reply.chunks, headers)
                return
            await run.start(reply.status, headers)
            await pipeline.relay_stream(ex, reply.chunks, run.send_chunk, run.offer)
            await run.end()
        except RequestError:
            run.abort()
        finally:
            await discard(reply)

    async def _write_array(
        self, ex: Exchange, run: _Run, reply: Reply, chunks: AsyncIterator[bytes], headers: list[tuple[bytes, bytes]]
    ) -> None:
        array = ArrayStream(run.send_chunk)
        kept = [pair for pair in headers if pair[0] != b"content-type"]
        await run.start(reply.status, [*kept, CONTENT_TYPE])
        await pipeline.relay_stream(ex, chunks, array.send)
        await array.end()
        await run.end()

    async def _write_error(self, ex: Exchange, run: _Run, error: RequestError) -> None:
        ex.error, ex.outcome = error, "error"
        if run.has_started:
            run.abort()
            return
        words = error.words()
        dialect = ex.error_dialect
        is_anthropic = dialect is not None and dialect.name == _ANTHROPIC
        if is_anthropic:
            words = msgspec.structs.replace(words, extra={**words.extra, "request_id": ex.id})
        body = error.envelope() if dialect is None else dialect.encode_error(words)
        ex.reply_bytes = len(body)
        headers = [
            *own_headers(ex),
            JSON,
            (b"x-request-id", ex.id.encode()),
            *(((b"request-id", ex.id.encode()),) if is_anthropic else ()),
            (b"content-length", str(len(body)).encode()),
            *error_headers(error),
            *((SHOULD_NOT_RETRY,) if has_retried(ex) else ()),
        ]
        if isinstance(error, UpgradeRequired):
            headers += [(b"upgrade", b"websocket"), (b"sec-websocket-version", b"13")]
        if isinstance(error, MethodNotAllowed):
            headers.append((b"allow", ex.operation.method.encode()))
        await run.reply(error.status, headers, body)

    async def _cancelled(self, ex: Exchange, run: _Run) -> None:
        """Somebody ended this task: the client by leaving, the drain deadline, or the loop itself."""
        reply = ex.reply
        if reply is not None:
            await discard(reply)
        if not run.why:
            ex.outcome = "cut"
            raise asyncio.CancelledError
        if run.task.uncancel() > 0:
            raise asyncio.CancelledError
        if run.why == "gone":
            ex.outcome = "client_gone"
            return
        error = Overloaded("the gateway is shutting down", code="shutting_down", retry_after_s=1)
        if not run.has_started:
            await self._write_error(ex, run, error)
            return
        ex.error, ex.outcome = error, "cut"
        if ex.event_dialect is not None:
            await run.send_chunk(ex.event_dialect.error_event(error))
            await run.end()
        else:
            run.abort()


def _not_taken(ex: Exchange) -> RequestError:
    """What the path takes. What Google calls a method stands in the path, so one that is not there is no path."""
    operation = ex.operation
    if operation is GENERATE_MODELS and ex.scope_method == "POST":
        return _nothing_at(ex)
    if operation.is_socket:
        path = ex.path
        others = f"; other ways in are passed through: `POST {path}/client_secrets`, `POST {path}/calls`"
        return UpgradeRequired(
            f"`{path}` speaks WebSocket: ask for it with GET and `upgrade: websocket`{others if operation is REALTIME else ''}"
        )
    return MethodNotAllowed(f"`{operation.path}` takes {operation.method}{_there_is(operation.path)}")


def _nothing_at(ex: Exchange) -> RouteNotFound:
    return RouteNotFound(f"there is nothing at `{shown(ex.path)}`{_there_is(ex.path)}")


def _there_is(path: str) -> str:
    """What there is of another vendor's API, for those who ask for what there is not."""
    prefix = next((held for held in (MESSAGES.path, "/v1beta") if path.startswith(held)), None)
    return f"; there are {named_below(prefix)}" if prefix is not None else ""


async def _no_body() -> bytes:
    """The body of a handshake."""
    return b""


class _Run:
    """The wire side of one exchange: what was sent, and who ended it.

    Under our own server it talks to the connection's cycle directly, under any other one through ASGI messages.
    """

    __slots__ = ("_cycle", "_direct", "has_started", "offer", "send", "send_chunk", "task", "why")

    def __init__(self, scope: Any, send: Send) -> None:
        self.send = send
        self.has_started = False
        self.why: Literal["", "gone", "drain"] = ""
        self._cycle: Any = scope["extensions"].get("headgate.cycle") if "extensions" in scope else None
        self._direct: Cycle | None = self._cycle if isinstance(self._cycle, Cycle) else None
        task = self._direct.task if self._direct is not None else asyncio.current_task()
        if task is None:
            raise RuntimeError("an exchange needs a task to run in")
        self.task: asyncio.Task[Any] = task
        self.send_chunk: Callable[[bytes], Awaitable[None]] = self._direct.relay if self._direct else self._send_chunk
        self.offer: Callable[[bytes], bool] = self._direct.offer if self._direct else pipeline.never

    def whole_body(self) -> bytes | None:
        """The request body if all of it is here already."""
        return self._direct.whole_body() if self._direct is not None else None

    async def reply(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Send a whole reply."""
        self.has_started = True
        if self._direct is not None:
            await self._direct.reply(status, headers, body)
            return
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Send the head of a stream."""
        self.has_started = True
        await self.send({"type": "http.response.start", "status": status, "headers": headers})

    async def _send_chunk(self, chunk: bytes) -> None:
        await self.send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def end(self) -> None:
        """End a stream properly."""
        await self.send({"type": "http.response.body", "body": b""})

    def let_finish(self, size: int) -> None:
        """Let the client send up to `size` bytes after a reply that does not wait for them."""
        if self._direct is not None:
            self._direct.linger_bytes = max(self._direct.linger_bytes, size)

    def watch(self) -> None:
        """Be told when the client leaves."""
        if self._cycle is not None:
            if self._cycle.is_lost:
                raise ClientGone
            self._cycle.on_gone = self._gone

    def unwatch(self) -> None:
        if self._cycle is not None:
            self._cycle.on_gone = None

    def abort(self) -> None:
        """Break the reply off."""
        if self._cycle is not None:
            self._cycle.abort()

    def gone(self) -> None:
        """The client has left, as the end of its body says; unless that is known already."""
        if not self.why:
            self._gone()

    def _gone(self) -> None:
        self.why = self.why or "gone"
        self.task.cancel()
