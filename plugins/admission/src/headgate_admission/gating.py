"""A gate per deployment: a call that would only be refused there is held for a moment, or goes elsewhere unsent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Annotated

from msgspec import Meta, Struct

from headgate import Call, Exchange, ProviderBusy, Reply
from headgate.exchange import Attempt
from headgate.fleet import Fleet
from headgate.policies import Health

MIN_RETRY_AFTER_S = 1.0


class Gate(Struct, frozen=True, forbid_unknown_fields=True):
    """How many calls of one model may be under way at a deployment, and for how many seconds one more is held.

    `in_flight` is a fixed limit (0: no such limit), `adaptive` the one that the gateway learns from what the provider refuses.
    Whatever they say, no call goes out in a pause that the provider has asked for.
    """

    in_flight: Annotated[int, Meta(ge=0)] = 0
    adaptive: bool = False
    wait_s: Annotated[float, Meta(ge=0, le=10)] = 0.25

    def has_room(self, health: Health, now: float) -> bool:
        """Whether the limits let another call start."""
        is_full = 0 < self.in_flight <= health.in_flight
        return not is_full and (not self.adaptive or health.limit.has_room(now))


class Gating:
    """Carries out an attempt when its deployment's gate is open. `call` is what `wrap_call` returns.

    A call is counted until its stream has ended. Raises ProviderBusy for one that would have to be held for too long.
    """

    def __init__(self, inner: Call, gates: Mapping[str, Gate]) -> None:
        self._inner = inner
        self._gates = gates

    def call(self, ex: Exchange) -> Awaitable[Reply]:
        """The reply of the call inside, at once where there is no gate or it is open and nobody waits before it."""
        attempt = ex.attempt
        gate = None if attempt is None else self._gates.get(attempt.target.deployment)
        if attempt is None or gate is None or attempt.fleet is None or attempt.health is None:
            return self._inner(ex)
        health, fleet = attempt.health, attempt.fleet
        now = fleet.clock()
        if not health.waiters and gate.has_room(health, now) and not health.pause_s(now):
            return self._inner(ex)
        return self._held(ex, attempt, gate, health, fleet)

    async def _held(self, ex: Exchange, attempt: Attempt, gate: Gate, health: Health, fleet: Fleet) -> Reply:
        now = fleet.clock()
        until = min(now + gate.wait_s, ex.deadline)
        is_called = False
        while True:
            pause_s = health.pause_s(now)
            if pause_s:
                is_called = is_called and _call_next(health)
                if now + pause_s > until:
                    raise _busy(attempt, pause_s)
                await asyncio.sleep(pause_s)
            elif gate.has_room(health, now) and (is_called or not health.waiters):
                return await self._inner(ex)
            elif now >= until:
                raise _busy(attempt, MIN_RETRY_AFTER_S)
            else:
                is_called = await _turn(health, until - now)
            now = fleet.clock()


async def _turn(health: Health, patience_s: float) -> bool:
    """Wait until a call has ended and it is this one's turn; False when that took too long."""
    turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def begin() -> None:
        turn.set_result(None)

    health.waiters.append(begin)
    try:
        await asyncio.wait([turn], timeout=patience_s)
    except asyncio.CancelledError:
        if turn.done():
            _call_next(health)
        raise
    finally:
        if not turn.done():
            health.waiters.remove(begin)
    return turn.done()


def _call_next(health: Health) -> bool:
    """Let the next one have the turn that this one does not use. False, for the turn is gone."""
    if health.waiters:
        health.waiters.popleft()()
    return False


def _busy(attempt: Attempt, retry_after_s: float) -> ProviderBusy:
    name = attempt.provider.name
    return ProviderBusy(
        f"provider `{name}` has no room for this request now",
        provider=name,
        deployment=attempt.target.deployment,
        retry_after_s=max(MIN_RETRY_AFTER_S, retry_after_s),
    )
