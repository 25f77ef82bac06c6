"""The six stages of an exchange: auth, cache, route, guardrail, call, log.

`run` goes from the headers to a reply, `relay_stream` sends a running one, `finish` settles and records. Between them
the server writes; nothing here knows HTTP.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
import structlog

from headgate.body import examine_body
from headgate.caller import deadline_s
from headgate.calling import call_leaf, call_target, refuse_unguarded
from headgate.errors import (
    InvalidRequest,
    ModelNotFound,
    ProviderError,
    RequestError,
    Unauthenticated,
)
from headgate.exchange import Exchange, Principal, Reply, Target
from headgate.fleet import broke, let_go
from headgate.folds import every, first, notify
from headgate.operations import model_of
from headgate.plan import Plan
from headgate.provider import Provider
from headgate.relay import OwnedStream, discard

ReadBody = Callable[[], Awaitable[bytes]]

MAX_COLLECTED_BYTES = 8 * 1024 * 1024
METADATA_CHARS = 128
MODEL_CHARS = 512
log = structlog.get_logger("headgate")


async def run(plan: Plan, ex: Exchange, read_body: ReadBody) -> Reply:
    """From headers to a reply. The body is read only after authentication. Raises RequestError."""
    await authenticate(plan, ex)
    ex.body = await read_body()
    _probe(plan, ex)
    if plan.admit:
        await every(plan.admit, ex)
        if ex.timings is not None:
            ex.mark("auth")
    if plan.lookup and not ex.operation.is_socket:
        ex.reply = await first(plan.lookup, ex, Reply)
        if ex.timings is not None:
            ex.mark("cache")
        if ex.reply is not None:
            ex.cache_status = "HIT"
            return ex.reply
    ex.target = await first(plan.route, ex, Target)
    if ex.target is None:
        raise ModelNotFound(f"no route for model `{ex.model}`", param="model")
    if ex.target.deadline_s:
        ex.deadline = min(ex.deadline, plan.fleet.clock() + ex.target.deadline_s)
    if ex.pinned is not None:
        ex.target = _pinned(plan, ex.target, ex.pinned) or ex.target
    if ex.timings is not None:
        ex.mark("route")
    if ex.principal is not None and ex.principal.credential is not None:
        fleet = plan.fleet.seen_by(ex.principal.credential, ex.custom_host)
        plan = msgspec.structs.replace(plan, fleet=fleet)
    call = call_target if ex.target.targets else call_leaf
    ex.reply = await call(plan, ex, ex.target)
    return ex.reply


async def authenticate(plan: Plan, ex: Exchange) -> None:
    """Set `ex.principal`, or raise Unauthenticated."""
    ex.principal = await first(plan.authenticate, ex, Principal)
    if ex.principal is None:
        raise Unauthenticated("no API key was given; send it as `Authorization: Bearer KEY`", code="missing_api_key")
    options = ex.options()
    given = options.get("metadata")
    if given is not None or ex.principal.metadata:
        ex.metadata = {**_metadata(given), **ex.principal.metadata}
    asked = options.get("deadline")
    if asked is not None or ex.principal.deadline_s:
        ex.deadline = plan.fleet.clock() + deadline_s(asked, ex.principal.deadline_s)
    if ex.timings is not None:
        ex.mark("auth")


def _pinned(plan: Plan, target: Target, can_answer: Callable[[Provider], bool]) -> Target | None:
    """The first leaf below `target` whose provider can answer; None when there is none."""
    if not target.targets:
        name = target.deployment
        return target if name in plan.deployments and can_answer(plan.deployments[name]) else None
    return next((leaf for child in target.targets if (leaf := _pinned(plan, child, can_answer)) is not None), None)


def never(_: bytes) -> bool:
    """The offer of a client that must always be waited for."""
    return False


async def relay_stream(
    ex: Exchange,
    chunks: AsyncIterator[bytes],
    send: Callable[[bytes], Awaitable[None]],
    offer: Callable[[bytes], bool] = never,
) -> None:
    """Send a running reply, and after a failure a last event that says so. `ex.outcome` tells how it ended.

    What has no room for an error event (`Exchange.event_dialect`) is cut: the error is raised again.
    `offer` sends without waiting and says whether it would take more; of no bytes it only says so. While it would,
    chunks go straight from the provider's connection to the client's and no task is woken for them.
    """
    sent = _Sent(ex, offer)
    pour = chunks.pour if isinstance(chunks, OwnedStream) else None
    try:
        async for chunk in chunks:
            if ex.ttft_s is None:
                ex.ttft_s = time.perf_counter() - ex.started
            ex.reply_bytes += len(chunk)
            if sent.kept is not None:
                sent.keep(chunk)
            await send(chunk)
            if pour is not None and offer(b""):
                await pour(sent.pass_on)
    except RequestError as error:
        ex.error, ex.outcome = error, "cut"
        if ex.attempt is not None and isinstance(error, ProviderError):
            broke(ex.attempt, error)
        if ex.reply is not None:
            await discard(ex.reply)
        if ex.event_dialect is None:
            raise
        await send(ex.event_dialect.error_event(error))
        return
    ex.outcome = "cut" if ex.reply is not None and ex.reply.has_error_event else "complete"
    if sent.kept is not None:
        held = b"".join(sent.kept)
        if ex.reply_bytes <= MAX_COLLECTED_BYTES:
            ex.reply_body = held
        else:
            ex.reply_tail = held


class _Sent:
    """What was sent of a stream: its size, and its bytes where somebody wants to keep them.

    Of what is too long only the end is kept, and that only where somebody asked for it.
    """

    __slots__ = ("ex", "held_bytes", "kept", "offer")

    def __init__(self, ex: Exchange, offer: Callable[[bytes], bool]) -> None:
        self.ex = ex
        self.offer = offer
        self.kept: deque[bytes] | None = deque() if ex.collect else None
        self.held_bytes = 0

    def keep(self, chunk: bytes) -> None:
        """Keep a chunk that has been counted; when they are too many, as many of the last as are wanted."""
        kept, ex = self.kept, self.ex
        if kept is None:
            return
        kept.append(chunk)
        self.held_bytes += len(chunk)
        if ex.reply_bytes <= MAX_COLLECTED_BYTES:
            return
        if not ex.tail_bytes:
            self.kept, ex.collect = None, False
            return
        while self.held_bytes - len(kept[0]) >= ex.tail_bytes:
            self.held_bytes -= len(kept.popleft())

    def pass_on(self, chunk: bytes) -> bool:
        """A chunk that comes past the task; True while another may."""
        self.ex.reply_bytes += len(chunk)
        if self.kept is not None:
            self.keep(chunk)
        return self.offer(chunk)


async def finish(plan: Plan, ex: Exchange) -> None:
    """After the reply: store it, settle, record. Nothing here can fail the exchange."""
    reply, attempt = ex.reply, ex.attempt
    if attempt is not None and attempt.call is not None:
        let_go(attempt)
    if ex.collect and ex.outcome == "complete" and ex.cache_status != "HIT" and reply is not None and reply.is_ok:
        if reply.chunks is None:
            ex.reply_body = reply.body
        await notify(plan.store, ex)
    if plan.settle and ex.principal is not None:
        await notify(plan.settle, ex)
    if plan.record:
        await notify(plan.record, ex)


def _probe(plan: Plan, ex: Exchange) -> None:
    """Read what the gateway itself needs from the body, and refuse what is no valid request."""
    operation = ex.operation
    if not operation.has_model:
        return
    if operation.is_socket:
        refuse_unguarded(plan)
        _name_model(ex, ex.option("model") or (model_of(ex.model) if operation.is_resource else ex.model))
        return
    named = ex.option("model") if operation.is_model_optional else None
    if ex.upload is not None or (operation.is_tree and not ex.body):
        _name_model(ex, named or (ex.upload.model if ex.upload is not None else ""))
        return
    probe, decoded = examine_body(ex.body)
    if decoded is not None and plan.guard_request:
        ex.keep_json(decoded)
    if operation.is_model_in_path:
        return
    model = probe.model or ""
    _name_model(ex, named or (model_of(model) if operation.is_resource else model))
    ex.stream = bool(probe.stream) and operation.can_stream
    ex.user = probe.user if isinstance(probe.user, str) else None
    limit = probe.max_completion_tokens if probe.max_completion_tokens is not None else probe.max_tokens
    ex.max_tokens = limit if isinstance(limit, int) and not isinstance(limit, bool) else None


def _name_model(ex: Exchange, model: str) -> None:
    if not model and not ex.operation.is_model_optional:
        raise InvalidRequest("`model` is missing", param="model", code="missing_model")
    if len(model) > MODEL_CHARS:
        raise InvalidRequest(f"`model` is longer than {MODEL_CHARS} characters", param="model")
    ex.model = model


def _metadata(given: str | None) -> dict[str, str]:
    """The header `x-headgate-metadata`: a flat JSON object of short strings. What the key says goes before it."""
    if given is None:
        return {}
    try:
        held = msgspec.json.decode(given, type=dict[str, str])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidRequest(
            "`x-headgate-metadata` must be a flat JSON object of strings", code="bad_metadata"
        ) from None
    if any(len(name) > METADATA_CHARS or len(value) > METADATA_CHARS for name, value in held.items()):
        raise InvalidRequest(
            f"`x-headgate-metadata` takes names and values of at most {METADATA_CHARS} characters", code="bad_metadata"
        )
    return held
