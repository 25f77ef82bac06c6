"""Calling what a route leads to: strategies choose, leaves are called, and replies are judged before they count."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import structlog

from headgate.body import with_params
from headgate.errors import (
    Blocked,
    DeadlineExceeded,
    Forbidden,
    HookFailed,
    InvalidRequest,
    ProviderError,
    ProviderFailed,
    ProviderTimeout,
    RequestError,
)
from headgate.exchange import Attempt, Exchange, Reply, Target
from headgate.fleet import SLACK_S, let_go, may_repeat
from headgate.folds import every, notify
from headgate.guarding import StreamGuard, with_guards
from headgate.hooks import Hooks, Outcome, Scene, Strategy
from headgate.mirroring import mirror
from headgate.plan import Plan
from headgate.racing import race
from headgate.relay import OwnedStream, discard
from headgate.upstream.decoding import MAX_BODY_BYTES

UNSUPPORTED = "unsupported_operation"
"""The code of a target that cannot do what is asked; another one may."""

T = TypeVar("T")

log = structlog.get_logger("headgate")


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
    """Start the shadows that a strategy wants; a shadow has none. That it cannot say is no reason to fail the request."""
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

    for child in children if ex.upload is None and not ex.operation.is_socket and not ex.shadow_of else ():
        mirror(ex, partial(call_target, plan, target=child), end)


async def _leave(ex: Exchange, reply: Reply) -> None:
    """Give up the last reply, because another target is called."""
    await discard(reply)
    if ex.attempt is not None:
        let_go(ex.attempt)


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


def _begin(plan: Plan, ex: Exchange, target: Target) -> Attempt:
    """The attempt that begins now. Raises DeadlineExceeded when nothing may begin any more."""
    try:
        provider = plan.deployments[target.deployment]
    except KeyError:
        log.error("a router names a deployment that is not there", deployment=target.deployment, request_id=ex.id)
        raise HookFailed("the gateway could not finish its `route` stage for this request") from None
    fleet = plan.fleet
    now = fleet.clock()
    if now >= ex.deadline:
        raise DeadlineExceeded("the time for this request is over; nothing more is started")
    model = target.model or ex.model
    attempt = ex.attempt = Attempt(target, provider, model, now)
    attempt.fleet = fleet
    if fleet.watched is None or target.deployment in fleet.watched:
        attempt.health = fleet.of(target, model)
    ex.attempts.append(attempt)
    ex.base_url = ex.custom_host or target.base_url
    return attempt


async def call_leaf(plan: Plan, ex: Exchange, target: Target) -> Reply:
    """One attempt: guard the request, call the deployment through the wrappers, guard the reply."""
    attempt, is_answered = _begin(plan, ex, target), False
    provider = attempt.provider
    try:
        _speak(plan, ex, attempt)
        if target.guards is not None:
            plan = _guarded(plan, ex, target.guards)
        if plan.guard_request:
            await every(plan.guard_request, ex)
            if ex.timings is not None:
                ex.mark("guardrail")
        if target.default_params or target.drop_params:
            attempt.source = with_params(ex.body, target.default_params, target.drop_params) if ex.body else None
        reply = await plan.call(ex)
        if ex.dialect is not None and (plan.guard_reply or plan.guard_chunk):
            reply = await _judged(plan, ex, attempt, reply)
        attempt.status = reply.status
        is_answered = True
    except RequestError as error:
        is_late = isinstance(error, ProviderTimeout) and plan.fleet.clock() >= ex.deadline - SLACK_S
        ended = _too_late(target) if is_late else error
        attempt.status, attempt.error = ended.status, ended.error_code
        if is_late:
            raise ended from error
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
    if ex.timings is not None:
        ex.mark("call")
    return reply


def _too_late(target: Target) -> DeadlineExceeded:
    return DeadlineExceeded(f"`{target.deployment}` did not answer within the time that there was for this request")


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


def _guarded(plan: Plan, ex: Exchange, guards: Hooks) -> Plan:
    guarded = with_guards(plan, guards)
    if ex.operation.is_socket:
        refuse_unguarded(guarded)
    return guarded


async def _judged(plan: Plan, ex: Exchange, attempt: Attempt, reply: Reply) -> Reply:
    """A reply that the guardrails let pass. One that they refuse is asked for again where the target's `retry` lists that."""
    while reply.is_ok:
        ex.reply = reply
        if ex.timings is not None:
            ex.mark("call")
        try:
            await _guard(plan, ex, reply)
        except Blocked as error:
            await discard(reply)  # it stays `ex.reply`, for it has been paid for
            retry = attempt.target.retry
            if error.status not in retry.on_status_codes or attempt.retries >= retry.attempts or not ex.can_repeat:
                raise
            if not may_repeat(attempt, ex.deadline):
                raise
            attempt.retries += 1
            reply = await plan.call(ex)
            continue
        if ex.timings is not None:
            ex.mark("guardrail")
        break
    return reply


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


def refuse_unguarded(plan: Plan) -> None:
    """No guardrail sees what passes over a WebSocket, so none may believe that it does.

    Those whose `Hooks.operations` leave it out are not in the plan.
    """
    for step in (*plan.guard_request, *plan.guard_chunk, *plan.guard_reply):
        raise Forbidden(
            f"this gateway guards what is said (plugin `{step.plugin}`), and a WebSocket cannot be guarded; the operator can "
            "let sessions through in that plugin's settings, where it has one for this",
            code="realtime_unguarded",
        )
