"""The six stages of an exchange: auth, cache, route, guardrail, call, log.

`run` goes from the headers to a reply, `relay_stream` sends a running one, `finish` settles and records. Between them
the server writes; nothing here knows HTTP.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

import msgspec
import structlog

from headgate.body import examine_body, with_params
from headgate.caller import deadline_s
from headgate.errors import (
    Blocked,
    DeadlineExceeded,
    Forbidden,
    HookFailed,
    InvalidRequest,
    ModelNotFound,
    ProviderError,
    ProviderFailed,
    RequestError,
    Unauthenticated,
)
from headgate.exchange import Attempt, Exchange, Principal, Reply, Target
from headgate.fleet import Fleet, broke, let_go
from headgate.folds import every, first, notify
from headgate.guarding import StreamGuard, with_guards
from headgate.hooks import Outcome, Scene, Strategy
from headgate.mirroring import mirror
from headgate.plan import Plan
from headgate.provider import Provider
from headgate.racing import race
from headgate.relay import OwnedStream, discard
from headgate.upstream.decoding import MAX_BODY_BYTES

ReadBody = Callable[[], Awaitable[bytes]]

MAX_COLLECTED_BYTES = 8 * 1024 * 1024
METADATA_CHARS = 128
MODEL_CHARS = 512
UNSUPPORTED = "unsupported_operation"
"""The code of a target that cannot do what is asked; another one may."""

T = TypeVar("T")

log = structlog.get_logger("headgate")


async def run(plan: Plan, ex: Exchange, read_body: ReadBody) -> Reply:
    """From headers to a reply. The body is read only after authentication. Raises RequestError."""
    await authenticate(plan, ex)
    ex.body = await read_body()
    _probe(plan, ex)
    if plan.admit:
        await every(plan.admit, ex)
        if ex.timings is not None:
            _mark(ex, "auth")
    if plan.lookup and not ex.operation.is_socket:
        ex.reply = await first(plan.lookup, ex, Reply)
        if ex.timings is not None:
            _mark(ex, "cache")
        if ex.reply is not None:
            ex.cache_status = "HIT"
            return ex.reply
    ex.target = await first(plan.route, ex, Target)
    if ex.target is None:
        raise ModelNotFound(f"no route for model `{ex.model}`", param="model")
    if ex.pinned is not None:
        ex.target = _pinned(plan, ex.target, ex.pinned) or ex.target
    if ex.timings is not None:
        _mark(ex, "route")
    call = call_target if ex.target.targets else call_leaf
    ex.reply = await call(plan, ex, ex.target)
    return ex.reply


async def authenticate(plan: Plan, ex: Exchange) -> None:
    """Set `ex.principal`, or raise Unauthenticated."""
    ex.principal = await first(plan.authenticate, ex, Principal)
    if ex.principal is None:
        raise Unauthenticated("no API key was given; send it as `Authorization: Bearer KEY`", code="missing_api_key")
    given = ex.option("metadata")
    if given is not None or ex.principal.metadata:
        ex.metadata = {**_metadata(given), **ex.principal.metadata}
    asked = ex.option("deadline")
    if asked is not None or ex.principal.deadline_s:
        ex.deadline = plan.fleet.clock() + deadline_s(asked, ex.principal.deadline_s)
    if ex.timings is not None:
        _mark(ex, "auth")


async def call_target(plan: Plan, ex: Exchange, target: Target) -> Reply:
    """Call a leaf, or what a node's strategy picks. The last outcome stands: its reply is returned, its error raised.

    When the request cannot go out again the outcome is final, and the strategy is not asked for another target.
    """
    if not target.targets:
        return await call_leaf(plan, ex, target)
    strategy = plan.registry.strategies[target.strategy]
    outcomes: list[Outcome] = []
    reply: Reply | None = None
    error: RequestError | None = None
    while True:
        scene = Scene(plan.fleet.clock(), plan.fleet.rng, plan.fleet, ex.model)
        index = _choose(strategy, ex, target, outcomes, scene)
        if index is None or (outcomes and scene.now >= ex.deadline):
            break
        if not outcomes:
            _send_mirrors(plan, ex, target, scene)
        if reply is not None:
            await _leave(ex, reply)
        try:
            reply, error = await _call_child(plan, ex, target, index, scene), None
            is_final, status = not ex.can_repeat, reply.status
        except RequestError as raised:
            reply, error = None, raised
            can_leave = isinstance(raised, ProviderError) or raised.error_code == UNSUPPORTED
            is_final, status = not can_leave or not ex.can_repeat, raised.status
        outcome = Outcome(index, status, is_final, plan.fleet.clock() - scene.now)
        outcomes.append(outcome)
        _tell(strategy, ex, target, outcome, scene)
        if not ex.can_repeat:
            break
    if reply is not None:
        return reply
    raise error or HookFailed(f"strategy `{target.strategy}` chose nothing to call")


async def _call_child(plan: Plan, ex: Exchange, target: Target, index: int, scene: Scene) -> Reply:
    """Call a child; beside it, where the strategy wants that and the first does not answer in time, a second one."""
    strategy = plan.registry.strategies[target.strategy]
    after_s = _ask(strategy, ex, lambda: strategy.hedge_after_s(target, ex, index, scene))
    if after_s is None or not ex.can_repeat:
        return await call_target(plan, ex, target.targets[index])

    def second() -> int | None:
        then = Scene(plan.fleet.clock(), plan.fleet.rng, plan.fleet, ex.model)
        other = _ask(strategy, ex, lambda: strategy.second(target, ex, index, then))
        return other if other is not None and 0 <= other < len(target.targets) and then.now < ex.deadline else None

    async def call(fork: Exchange, at: int) -> Reply:
        return await call_target(plan, fork, target.targets[at])

    return await race(ex, index, after_s, second, call)


def _send_mirrors(plan: Plan, ex: Exchange, target: Target, scene: Scene) -> None:
    """Start the shadows that a strategy wants. That it cannot say is no reason to fail the request."""
    strategy = plan.registry.strategies[target.strategy]
    try:
        indexes = strategy.mirrors(target, ex, scene)
        children = [target.targets[index] for index in indexes]
    except Exception as error:
        log.error(
            "strategy failed", strategy=target.strategy, request_id=ex.id, error=f"{type(error).__name__}: {error}"
        )
        return

    async def end(shadow: Exchange) -> None:
        await notify(plan.settle, shadow)
        await notify(plan.record, shadow)

    for child in children if ex.upload is None and not ex.operation.is_socket else ():
        mirror(ex, partial(call_target, plan, target=child), end)


async def _leave(ex: Exchange, reply: Reply) -> None:
    """Give up the last reply, because another target is called."""
    await discard(reply)
    if ex.attempt is not None:
        let_go(ex.attempt)


def _pinned(plan: Plan, target: Target, can_answer: Callable[[Provider], bool]) -> Target | None:
    """The first leaf below `target` whose provider can answer; None when there is none."""
    if not target.targets:
        name = target.deployment
        return target if name in plan.deployments and can_answer(plan.deployments[name]) else None
    return next((leaf for child in target.targets if (leaf := _pinned(plan, child, can_answer)) is not None), None)


def _choose(strategy: Strategy, ex: Exchange, target: Target, outcomes: Sequence[Outcome], scene: Scene) -> int | None:
    """Ask the strategy. What it raises, or an index no child has, fails the route stage closed."""

    def choose() -> int | None:
        index = strategy.choose(target, ex, outcomes, scene)
        if index is None or (target.targets[index : index + 1] and index >= 0):
            return index
        raise IndexError(f"it chose target {index} of {len(target.targets)}")

    return _ask(strategy, ex, choose)


def _ask(strategy: Strategy, ex: Exchange, question: Callable[[], T]) -> T:
    """What a strategy answers; what it raises that is no RequestError fails the route stage closed."""
    try:
        return question()
    except RequestError:
        raise
    except Exception as error:
        name = type(strategy).__name__
        log.error("strategy failed", strategy=name, request_id=ex.id, error=f"{type(error).__name__}: {error}")
        raise HookFailed("the gateway could not finish its `route` stage for this request") from error


def _tell(strategy: Strategy, ex: Exchange, target: Target, outcome: Outcome, scene: Scene) -> None:
    """Let the strategy learn; that it cannot is no reason to fail what has been answered."""
    try:
        strategy.ended(target, outcome, scene)
    except Exception as error:
        log.error(
            "strategy failed", strategy=target.strategy, request_id=ex.id, error=f"{type(error).__name__}: {error}"
        )


def _attempt(fleet: Fleet, ex: Exchange, target: Target, provider: Provider) -> Attempt:
    """The attempt that begins now. Raises DeadlineExceeded when nothing may begin any more."""
    now = fleet.clock()
    if now >= ex.deadline:
        raise DeadlineExceeded("the time for this request is over; nothing more is started")
    model = target.model or ex.model
    attempt = ex.attempt = Attempt(target, provider, model, now)
    attempt.fleet, attempt.health = fleet, fleet.health(target.deployment, model, target.breaker)
    ex.attempts.append(attempt)
    ex.base_url = target.base_url or ex.custom_host
    return attempt


def _speak(plan: Plan, ex: Exchange, attempt: Attempt) -> None:
    """Settle in which operation and dialect the attempt is made. Raises InvalidRequest when the provider has none for it."""
    provider, dialect = attempt.provider, ex.dialect
    spoken = provider.spoken(ex, attempt.model)
    if spoken is None:
        words = f"provider `{provider.name}` has no operation `{ex.operation.name}`"
        raise InvalidRequest(words, code=UNSUPPORTED)
    attempt.operation, name = spoken
    if name != (dialect.name if dialect is not None else ""):
        attempt.dialect = provider.codecs.get(name) or plan.registry.dialects[name]
    elif dialect is not None and dialect.carries_foreign(ex.body):
        attempt.dialect = dialect


async def call_leaf(plan: Plan, ex: Exchange, target: Target) -> Reply:
    """One attempt: guard the request, then call the deployment through the wrappers."""
    try:
        provider = plan.deployments[target.deployment]
    except KeyError:
        log.error("a router names a deployment that is not there", deployment=target.deployment, request_id=ex.id)
        raise HookFailed("the gateway could not finish its `route` stage for this request") from None
    attempt, is_answered = _attempt(plan.fleet, ex, target, provider), False
    try:
        _speak(plan, ex, attempt)
        if target.guards is not None:
            plan = with_guards(plan, target.guards)
            if ex.operation.is_socket:
                _refuse_unguarded(plan)
        if plan.guard_request:
            await every(plan.guard_request, ex)
            if ex.timings is not None:
                _mark(ex, "guardrail")
        if (target.default_params or target.drop_params) and ex.body:
            attempt.source = with_params(ex.body, target.default_params, target.drop_params)
        reply = await _answer(plan, ex, attempt)
        is_answered = True
    except RequestError as error:
        attempt.status, attempt.error = error.status, error.error_code
        raise
    except asyncio.CancelledError:
        attempt.error = attempt.error or "cancelled"
        raise
    except Exception as error:
        log.exception("provider failed", provider=provider.name, deployment=target.deployment, request_id=ex.id)
        attempt.status, attempt.error = ProviderFailed.status, ProviderFailed.code
        raise ProviderFailed(f"provider `{provider.name}` failed", provider=provider.name) from error
    finally:
        attempt.ended = plan.fleet.clock()
        if not is_answered:
            let_go(attempt)
    attempt.status = reply.status
    return reply


async def _answer(plan: Plan, ex: Exchange, attempt: Attempt) -> Reply:
    """The provider's reply, judged. One that the guardrails refuse is asked for again where the target's `retry` lists that."""
    while True:
        reply = await plan.call(ex)
        if not isinstance(reply, Reply):  # pyright: ignore[reportUnnecessaryIsInstance] - plugins are not trusted
            name = attempt.provider.name
            raise ProviderFailed(f"provider `{name}` answered with no reply", provider=name)
        if ex.timings is not None:
            _mark(ex, "call")
        if not reply.is_ok or ex.dialect is None or not (plan.guard_reply or plan.guard_chunk):
            return reply
        ex.reply = reply
        try:
            await _guard(plan, ex, reply)
        except Blocked as error:
            await discard(reply)  # it stays `ex.reply`, for it has been paid for
            retry = attempt.target.retry
            if error.status not in retry.on_status_codes or attempt.retries >= retry.attempts or not ex.can_repeat:
                raise
            attempt.retries += 1
            continue
        if ex.timings is not None:
            _mark(ex, "guardrail")
        return reply


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
    if attempt is not None:
        let_go(attempt)
    if ex.collect and ex.outcome == "complete" and ex.cache_status != "HIT" and reply is not None and reply.is_ok:
        if reply.chunks is None:
            ex.reply_body = reply.body
        await notify(plan.store, ex)
    if plan.settle and ex.principal is not None:
        await notify(plan.settle, ex)
    if plan.record:
        await notify(plan.record, ex)


async def _guard(plan: Plan, ex: Exchange, reply: Reply) -> None:
    if reply.chunks is None:
        await every(plan.guard_reply, ex)
    elif reply.form == "large":
        if plan.guard_reply:
            await _collect(reply)
            await every(plan.guard_reply, ex)
    elif ex.event_dialect is not None:
        source = Reply(reply.status, chunks=reply.chunks)
        guard = StreamGuard(plan, ex, ex.event_dialect)
        way = guard.way_of(reply.chunks.pour) if isinstance(reply.chunks, OwnedStream) else None
        reply.chunks = OwnedStream(guard.run(reply.chunks), lambda: discard(source), way)


async def _collect(reply: Reply) -> None:
    """Make a large reply whole. Raises ProviderFailed when it is cut, or larger than any whole reply may be."""
    pieces: list[bytes] = []
    size = 0
    try:
        async for piece in reply.chunks or ():
            size += len(piece)
            if size > MAX_BODY_BYTES:
                raise ProviderFailed(f"the reply is larger than {MAX_BODY_BYTES} bytes", code="upstream_too_large")
            pieces.append(piece)
    finally:
        await discard(reply)
    reply.body, reply.chunks = b"".join(pieces), None


def _probe(plan: Plan, ex: Exchange) -> None:
    """Read what the gateway itself needs from the body, and refuse what is no valid request."""
    operation = ex.operation
    if not operation.has_model:
        return
    if operation.is_socket:
        _refuse_unguarded(plan)
        _name_model(ex, ex.option("model") or ex.model)
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
    _name_model(ex, named or probe.model or "")
    ex.stream = bool(probe.stream) and operation.can_stream
    ex.user = probe.user if isinstance(probe.user, str) else None
    limit = probe.max_completion_tokens if probe.max_completion_tokens is not None else probe.max_tokens
    ex.max_tokens = limit if isinstance(limit, int) and not isinstance(limit, bool) else None


def _refuse_unguarded(plan: Plan) -> None:
    """No guardrail sees what passes over a WebSocket, so none may believe that it does.

    Those whose `Hooks.operations` leave it out are not in the plan.
    """
    for step in (*plan.guard_request, *plan.guard_chunk, *plan.guard_reply):
        raise Forbidden(
            f"this gateway guards what is said (plugin `{step.plugin}`), and a WebSocket cannot be guarded; the operator can "
            "let sessions through in that plugin's settings, where it has one for this",
            code="realtime_unguarded",
        )


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


def _mark(ex: Exchange, stage: str) -> None:
    """Note the time since the last mark under this stage; only for those who asked for times."""
    if ex.timings is not None:
        ex.timings[stage] = ex.timings.get(stage, 0.0) + time.perf_counter() - ex.started - sum(ex.timings.values())
