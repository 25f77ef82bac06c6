"""Admission: when more is asked than the gateway can carry, who goes next, who waits, and who is told to come back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Annotated, ClassVar

from msgspec import Meta, Struct
from typing_extensions import override

from headgate import (
    Call,
    Context,
    Exchange,
    Hooks,
    Overloaded,
    Principal,
    Problem,
    RateLimited,
    StartupError,
    Target,
    hookimpl,
)
from headgate.policies import FairQueue, QueueRule, Ticket
from headgate.suggest import did_you_mean
from headgate_admission.gating import Gate, Gating

__all__ = ["Admission", "AdmissionConfig", "Gate"]

MAX_WAIT_S = 60.0
TICK_S = 0.1
"""How often the lag of the event loop is looked at."""
_NAME = "admission"

Count = Annotated[int, Meta(ge=0)]


class AdmissionConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The bounds of the queue, and the gates by deployment.

    `in_flight` exchanges run at once (0: no queue at all), `waiting` wait, `waiting_per_tenant` of one tenant, for
    `max_wait_s` at most. With `adaptive` the limit begins at `in_flight`, goes down when the event loop lags by more than
    `max_lag_s`, and up while it is used. `reserve` is the share of turns of lower priorities, `tenant_share` the most of
    the slots that one tenant may have. `weights` are by tenant: the name of a key, or `ORGANISATION/WORKSPACE` where keys
    have these.
    """

    in_flight: Count = 200
    waiting: Count = 1000
    waiting_per_tenant: Count = 100
    max_wait_s: Annotated[float, Meta(gt=0, le=MAX_WAIT_S)] = 5.0
    adaptive: bool = False
    max_lag_s: Annotated[float, Meta(gt=0)] = 0.1
    reserve: Annotated[float, Meta(ge=0, le=0.5)] = 0.1
    tenant_share: Annotated[float, Meta(gt=0, le=1)] = 1.0
    weights: dict[str, Annotated[float, Meta(gt=0)]] = {}
    deployments: dict[str, Gate] = {}


class Admission(Hooks):
    """Gives every exchange a slot before it goes on, and takes the slot back when all of it has ended."""

    Config = AdmissionConfig
    budgets: ClassVar[Mapping[str, float]] = {"admit": MAX_WAIT_S + 5.0}

    def __init__(self, config: AdmissionConfig) -> None:
        self._config = config
        self._clock = time.monotonic
        weights = {tenant_named(name): weight for name, weight in config.weights.items()}
        rule = QueueRule(
            config.in_flight,
            config.waiting,
            config.waiting_per_tenant,
            config.max_wait_s,
            config.reserve,
            config.adaptive,
            config.tenant_share,
        )
        self.queue = FairQueue(rule, self._tell, weights)
        self._woken: dict[Ticket, asyncio.Future[None]] = {}
        self._watching: asyncio.Task[None] | None = None
        self.inactive = frozenset(
            ([] if config.in_flight else ["admit", "record"])
            + ([] if config.in_flight and config.adaptive else ["start", "stop"])
            + ([] if config.deployments else ["wrap_call"])
        )

    @override
    @hookimpl
    def configure(self, ctx: Context) -> None:
        self._clock = ctx.fleet.clock
        known = ctx.deployments
        problems = [
            Problem(f"`deployments.{name}` names no deployment{did_you_mean(name, known)}")
            for name in self._config.deployments
            if name not in known
        ]
        if problems:
            raise StartupError(problems)
        for name in self._config.deployments:
            ctx.fleet.watch(Target(deployment=name))

    @override
    @hookimpl
    async def start(self, ctx: Context) -> None:
        self._watching = asyncio.create_task(self._watch())

    @override
    @hookimpl
    async def stop(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])

    @override
    @hookimpl
    async def admit(self, ex: Exchange) -> None:
        principal = ex.principal
        if principal is None:
            return
        ticket = self.queue.enter(principal.tenant, principal.priority, self._clock(), ex.deadline)
        ex.data[_NAME] = ticket
        if ticket.state == "waiting":
            await self._wait(ticket)
        if ticket.state != "running":
            raise _refused(ticket)

    @override
    @hookimpl
    def wrap_call(self, call: Call) -> Call:
        return Gating(call, self._config.deployments).call

    @override
    @hookimpl
    async def record(self, ex: Exchange) -> None:
        """The one hook that comes at the end of every exchange: of streams and sessions too, and however they ended."""
        ticket = ex.data.get(_NAME)
        if ticket is not None and not ex.shadow_of:
            self.queue.leave(ticket, self._clock())

    async def _wait(self, ticket: Ticket) -> None:
        """Until its turn, or until it is refused. Whoever is cancelled gives the place up, or the slot it has just got."""
        loop = asyncio.get_running_loop()
        woken = self._woken[ticket] = loop.create_future()
        timer = loop.call_later(max(0.0, ticket.until - self._clock()), self.queue.expire, ticket)
        try:
            await woken
        except BaseException:
            self.queue.leave(ticket, self._clock())
            raise
        finally:
            timer.cancel()
            del self._woken[ticket]

    def _tell(self, ticket: Ticket) -> None:
        woken = self._woken.get(ticket)
        if woken is not None and not woken.done():
            woken.set_result(None)

    async def _watch(self) -> None:
        """What the gateway itself says of its load: how late the loop comes round."""
        while True:
            asked = self._clock()
            await asyncio.sleep(TICK_S)
            now = self._clock()
            if now - asked - TICK_S > self._config.max_lag_s:
                self.queue.overloaded(now)


def tenant_named(name: str) -> str:
    """The tenant that a setting names: a key, or `ORGANISATION/WORKSPACE`."""
    organisation, is_two, workspace = name.partition("/")
    return (Principal("", workspace=workspace, organisation=organisation) if is_two else Principal(name)).tenant


def _refused(ticket: Ticket) -> RateLimited | Overloaded:
    refusal = ticket.refusal
    after_s = refusal.retry_after_s if refusal is not None else None
    if refusal is not None and refusal.is_tenants:
        words = "there are more requests of this tenant at the gateway than its share; send fewer at once"
        return RateLimited(words, code="tenant_overloaded", retry_after_s=after_s)
    return Overloaded("the gateway has as many requests as it can carry; try again later", retry_after_s=after_s)
