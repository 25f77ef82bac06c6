"""The strategy `hedge`: a second call when the first is slow, so that one slow answer in a hundred is not the caller's.

After Dean and Barroso, The Tail at Scale (2013, https://doi.org/10.1145/2408776.2408794): the wait is a high quantile of how
long the target takes, so that few calls are doubled, and a budget makes sure that they are few when all are slow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct
from typing_extensions import override

from headgate.exchange import Exchange, Target
from headgate.hooks import Fault, Outcome, Scene, Strategy
from headgate.policies import RetryBudget
from headgate_router_trial.effects import is_repeatable
from headgate_router_trial.settings import number, only

SLOW = 0.95
EXTRA_LOAD = 0.02
MAX_EXTRA_LOAD = 0.2
BUDGET_S = 60.0
LEAST_S = 0.001
BUSY = 0.8
"""At such a share of the calls that the targets take at once nothing is doubled."""
HEADROOM = 0.1
"""A target with less of a rate limit left gets no second calls."""


class Hedging(Struct, frozen=True):
    """After how long the second call goes (None for what live figures say), at which quantile, and what that may cost."""

    after_s: float | None
    quantile: float
    budget: RetryBudget


class Hedge(Strategy):
    """Calls the targets in order as `fallback` does; beside one that is slow, the next that may be called.

    Slow is longer than `after_ms`, or than all but the slowest of the target's last calls took: a twentieth of them, or as
    many as `extra_load` (a share of calls, 0.02 if not said) pays for, when that is less. Only requests that leave nothing
    behind are sent twice (`is_repeatable`), and none while the targets are busy.
    """

    @override
    def compile(self, target: Target, fault: Fault) -> Hedging:
        only(target, {"after_ms", "extra_load"}, fault)
        if len(target.targets) < 2:
            fault("targets", "must be two or more: the second call goes to another one")
        after_ms = number(target, "after_ms", fault, least=1, most=600_000)
        if after_ms is None and any(child.targets for child in target.targets):
            fault("strategy.after_ms", "is missing: only of leaves is it known how long they take")
        extra = number(target, "extra_load", fault, least=0.0001, most=MAX_EXTRA_LOAD) or EXTRA_LOAD
        budget = RetryBudget(share=extra, reserve_per_s=0.0, ttl_s=BUDGET_S)
        return Hedging(None if after_ms is None else after_ms / 1000, max(SLOW, 1 - extra), budget)

    @override
    def choose(self, target: Target, ex: Exchange, outcomes: Sequence[Outcome], scene: Scene) -> int | None:
        if outcomes and not outcomes[-1].is_left(target.on_status_codes):
            return None
        usable = scene.usable(target, range(len(target.targets)), outcomes)
        return usable[0] if usable else None

    @override
    def hedge_after_s(self, target: Target, ex: Exchange, index: int, scene: Scene) -> float | None:
        hedging: Hedging = target.compiled
        child = target.targets[index]
        times = None if child.targets else scene.health(child).keep_times()
        if not is_repeatable(ex, target):
            return None
        hedging.budget.called(scene.now)
        if hedging.after_s is not None or times is None:
            return hedging.after_s
        slow_s = times.quantile(hedging.quantile, scene.now)
        return None if slow_s is None else max(LEAST_S, slow_s)

    @override
    def second(self, target: Target, ex: Exchange, index: int, scene: Scene) -> int | None:
        hedging: Hedging = target.compiled
        if is_busy(target, scene):
            return None
        others = [at for at in range(len(target.targets)) if at != index]
        ready = [at for at in scene.healthy(target, others) if has_headroom(target.targets[at], scene)]
        return ready[0] if ready and hedging.budget.withdraw(scene.now) else None


def is_busy(target: Target, scene: Scene) -> bool:
    """Whether the leaves together have nearly as many calls as they take."""
    held = [scene.health(leaf) for leaf in leaves(target)]
    return sum(health.in_flight for health in held) >= BUSY * sum(health.limit.limit for health in held)


def has_headroom(child: Target, scene: Scene) -> bool:
    """Whether enough is left of the rate limits of one leaf at least."""
    return any(scene.health(leaf).headroom(scene.now) >= HEADROOM for leaf in leaves(child))


def leaves(target: Target) -> Iterator[Target]:
    """The leaves of a tree, which may be one itself."""
    if not target.targets:
        yield target
    for child in target.targets:
        yield from leaves(child)
