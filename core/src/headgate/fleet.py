"""The deployments as they are right now: the health of each model at each, and the clocks by which it is told.

It lives as long as the process, over reloads, and is the only place where the policies of resilience meet real time.
"""

from __future__ import annotations

import random
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from copy import copy

from headgate.errors import ProviderError, ProviderTimeout
from headgate.exchange import Attempt, Exchange, Reply, Target
from headgate.policies import BreakerRule, Health, RetryBudget
from headgate.secret import Secret

MAX_KNOWN = 10_000
"""How many models at deployments are remembered; callers can name any, so the oldest that nobody calls goes first."""
RULE = BreakerRule()
SLACK_S = 0.01
"""How much sooner than a limit the call may seem to have ended that the limit has ended: timers round."""


class Fleet:
    """Health by deployment, model and breaker rule. `clock` is monotonic, `unix` the time of day, both in seconds.

    With `is_sparing` only deployments that something has asked to `watch` are kept an eye on: where there is no choice,
    nobody needs to know.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        unix: Callable[[], float] = time.time,
        rng: random.Random | None = None,
        *,
        is_sparing: bool = False,
    ) -> None:
        self.watched: set[str] | None = set() if is_sparing else None
        self.clock = clock
        self.unix = unix
        self.rng = rng or random.Random()  # noqa: S311 - spreads load, protects nothing
        self.budget = RetryBudget()
        """What all retries of this process together may be."""
        self._known: OrderedDict[tuple[str, str, BreakerRule], Health] = OrderedDict()
        self._caller = ""

    def seen_by(self, credential: Secret, base_url: str) -> Fleet:
        """The same fleet for a caller whose calls all go out with a key of its own, to `base_url` where it names one."""
        view = copy(self)
        view._caller = f"\0{base_url}\0{hash(credential)}"  # noqa: SLF001 - a fleet too
        return view

    def health(self, deployment: str, model: str, rule: BreakerRule | None = None) -> Health:
        """What is known of a model at a deployment."""
        key = (deployment, model, rule or RULE)
        known = self._known
        held = known.get(key)
        if held is None:
            held = known[key] = Health(key[2], self.rng)
            if len(known) > MAX_KNOWN:
                self._forget()
        else:
            known.move_to_end(key)
        return held

    def of(self, leaf: Target, model: str) -> Health:
        """What is known of a leaf; `model` is what the caller named.

        What a caller reaches with a key or at a base URL of its own says nothing of the deployment, and nothing to others.
        """
        name = leaf.deployment
        if leaf.credential is not None or leaf.base_url or self._caller:
            name = f"{name}\0{leaf.base_url}\0{hash(leaf.credential)}{self._caller}"
        return self.health(name, leaf.model or model, leaf.breaker)

    def watch(self, target: Target) -> None:
        """From now on keep an eye on every deployment of a tree in which there is a choice."""
        if self.watched is None:
            return
        if target.deployment:
            self.watched.add(target.deployment)
        for child in target.targets:
            self.watch(child)

    def known(self) -> list[tuple[str, str, Health]]:
        """Every deployment and model that was called, with its health."""
        return [(deployment, model, health) for (deployment, model, _), health in self._known.items()]

    def is_usable(self, target: Target, model: str, now: float) -> bool:
        """Whether a call may go to a leaf, or to any leaf below a node. `model` is what the caller named."""
        if target.targets:
            return any(self.is_usable(child, model, now) for child in target.targets)
        return self.of(target, model).is_usable(now)

    def is_shut(self, target: Target, model: str, now: float) -> bool:
        """Whether a call to a leaf, or to every leaf below a node, would be for nothing (`Health.is_shut`)."""
        if target.targets:
            return all(self.is_shut(child, model, now) for child in target.targets)
        return self.of(target, model).is_shut(now)

    def wait_s(self, target: Target, model: str, now: float) -> float:
        """How long until a leaf, or the first of the leaves below a node, may be usable."""
        if target.targets:
            return min(self.wait_s(child, model, now) for child in target.targets)
        return self.of(target, model).wait_s(now)

    def _forget(self) -> None:
        for key, health in self._known.items():
            if health.in_flight == 0:
                del self._known[key]
                return


def call_provider(ex: Exchange) -> Awaitable[Reply]:
    """The innermost call: the attempt's provider, which its deployment's health is told of where that is watched."""
    attempt = ex.attempt
    if attempt is None:
        raise RuntimeError("no attempt is set")
    fleet, health = attempt.fleet, attempt.health
    return attempt.provider.call(ex) if fleet is None or health is None else _watched(ex, attempt, fleet, health)


async def _watched(ex: Exchange, attempt: Attempt, fleet: Fleet, health: Health) -> Reply:
    """What was begun is ended by `let_go`, since a stream runs on after its reply is here."""
    if attempt.call is not None:
        let_go(attempt)
    call = attempt.call = health.begin(fleet.clock())
    try:
        reply = await attempt.provider.call(ex)
    except ProviderError as error:
        broke(attempt, error)
        raise
    health.answered(call, fleet.clock(), reply.status, reply.headers, fleet.unix())
    return reply


def may_repeat(attempt: Attempt, deadline: float) -> bool:
    """Whether there is time and budget to ask the attempt's provider again; what it takes is taken from every budget."""
    fleet, health = attempt.fleet, attempt.health
    if fleet is None:
        return True
    now = fleet.clock()
    budgets = (fleet.budget,) if health is None else (fleet.budget, health.budget)
    if now >= deadline or any(budget.balance(now) < 1.0 for budget in budgets):
        return False
    for budget in budgets:
        budget.withdraw(now)
    return True


def broke(attempt: Attempt, error: ProviderError) -> None:
    """The attempt's call failed: no reply came in time, or one that had begun well stalled or was cut."""
    call, fleet, health = attempt.call, attempt.fleet, attempt.health
    if call is not None and fleet is not None and health is not None:
        now, is_timeout = fleet.clock(), isinstance(error, ProviderTimeout)
        is_impatient = is_timeout and now - call.began >= attempt.allowed_s - SLACK_S
        health.failed(call, now, is_timeout=is_timeout, is_impatient=is_impatient)


def let_go(attempt: Attempt) -> None:
    """The attempt's last call is over: its stream has ended, or nobody wants it. Safe to call twice."""
    call, fleet, health = attempt.call, attempt.fleet, attempt.health
    if call is not None and fleet is not None and health is not None:
        attempt.call = None
        health.end(call, fleet.clock())
