"""Strategies that only the simulation has, beside those of the plugins, which it finds by itself.

A router with strategies of its own is simulated too: its plugin is added to `_routers` of `Machine`, and its strategies by name
to the lists at the end of this file that fit them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from typing_extensions import override

from headgate.exchange import Exchange, Target
from headgate.hooks import Outcome, Scene, Strategy
from headgate.policies import RetryBudget, bounded, pick_of_two, ranking
from headgate.policies.affinity import BOUND
from headgate_router_standard import Fallback


class Hedge(Fallback):
    """A fallback that calls a second target when the first is slow: `after_ms` in its settings, by default 500."""

    @override
    def hedge_after_s(self, target: Target, ex: Exchange, index: int, scene: Scene) -> float | None:
        return float(target.settings.get("after_ms", 500)) / 1000

    @override
    def second(self, target: Target, ex: Exchange, index: int, scene: Scene) -> int | None:
        others = [at for at in range(len(target.targets)) if at != index]
        usable = scene.usable(target, others, [Outcome(index, 0)])
        return usable[0] if usable else None


class BudgetedHedge(Hedge):
    """A hedge whose second calls are at most a fiftieth of its calls."""

    def __init__(self) -> None:
        self.budget = RetryBudget(share=0.02, reserve_per_s=0.1)

    @override
    def hedge_after_s(self, target: Target, ex: Exchange, index: int, scene: Scene) -> float | None:
        self.budget.called(scene.now)
        return super().hedge_after_s(target, ex, index, scene)

    @override
    def second(self, target: Target, ex: Exchange, index: int, scene: Scene) -> int | None:
        return super().second(target, ex, index, scene) if self.budget.withdraw(scene.now) else None


class TwoChoices(Strategy):
    """The cheaper of two by peak EWMA, headroom and warmth, as a balancing router would choose; fails over as a fallback does."""

    @override
    def choose(self, target: Target, ex: Exchange, outcomes: Sequence[Outcome], scene: Scene) -> int | None:
        if outcomes and (outcomes[-1].is_final or outcomes[-1].status < 429):
            return None
        usable = scene.usable(target, range(len(target.targets)), outcomes)
        if not usable:
            return None

        def cost(index: int) -> float:
            return scene.health(target.targets[index]).latency.cost(scene.now)

        def weight(index: int) -> float:
            health = scene.health(target.targets[index])
            return target.targets[index].weight * health.warmth(scene.now) * max(0.01, health.headroom(scene.now))

        return pick_of_two(usable, cost, weight, scene.rng)


class Sticky(Strategy):
    """The home of the request's `metadata.session`, within the bound of load.

    `hits` counts calls that stayed at home, `over` is by how many calls each choice went over the bound.
    """

    def __init__(self) -> None:
        self.hits = 0
        self.over: list[int] = []

    @override
    def choose(self, target: Target, ex: Exchange, outcomes: Sequence[Outcome], scene: Scene) -> int | None:
        if outcomes:
            return None
        order = ranking(ex.metadata["session"].encode(), [child.path for child in target.targets])
        loads = {index: scene.health(target.targets[index]).in_flight for index in order}
        index = bounded(order, loads)
        self.hits += index == order[0]
        self.over.append(loads[index] + 1 - math.ceil(BOUND * (sum(loads.values()) + 1) / len(order)))
        return index


class Mirrored(Fallback):
    """A fallback that sends every request to its last target, too, for the record alone."""

    @override
    def mirrors(self, target: Target, ex: Exchange, scene: Scene) -> Sequence[int]:
        return (len(target.targets) - 1,)


EXTRA: Mapping[str, Callable[[], Strategy]] = {"hedge": Hedge, "two": TwoChoices, "mirrored": Mirrored}
"""By the names that configs of the simulation use; each schedule has new ones."""
BALANCERS = ("two",)
"""Strategies that must share load by how their targets do."""
DRAWN = ("fallback", "fallback", "loadbalance", "loadbalance", "conditional", "single", *EXTRA)
"""What the nodes of a drawn tree are."""
CHOOSERS = frozenset({"fallback", "loadbalance", *EXTRA})
"""Strategies that leave out what is known to fail."""
