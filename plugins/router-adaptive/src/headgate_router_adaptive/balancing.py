"""Strategies that follow how the targets are right now: `adaptive` and `latency`, and what all of this package share."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any, ClassVar

from msgspec import Struct
from typing_extensions import override

from headgate.exchange import Exchange, Target
from headgate.hooks import CALLERS_OWN, Fault, Outcome, Scene, Strategy
from headgate.policies import pick_of_two
from headgate_router_adaptive.outliers import Outliers

NARROW = 0.2
"""A rate limit with less than this share left makes its target less likely."""
LEAST = 0.05


class Node(Struct, frozen=True):
    """What is kept of a node: its outliers, the children that may be called, and the strategy's own settings."""

    outliers: Outliers
    weighted: Sequence[int]
    own: Any = None


class Live(Strategy):
    """Calls one of the children that may be, picked by `pick`, and another when that fails, as `fallback` would leave.

    Children that fail much more often than their siblings of the same model are left out (`Outliers`).
    """

    known: ClassVar[Collection[str]] = ()
    """The settings of this strategy."""
    by_time: ClassVar[bool] = False
    """Whether a child that takes much longer than its siblings is left out, too."""

    @override
    def compile(self, target: Target, fault: Fault) -> Node:
        weighted = [index for index, child in enumerate(target.targets) if child.weight > 0]
        if not weighted:
            fault("targets", "have no weight above 0: none could ever be called")
        takes = ", ".join(f"`{name}`" for name in self.known) or "no settings"
        for name in target.settings.keys() - {*self.known}:
            fault(f"strategy.{name}", f"is not known: `{target.strategy}` takes {takes}")
        groups = ["" if child.targets else child.model or "as asked" for child in target.targets]
        return Node(Outliers(groups, by_time=self.by_time), weighted, self.settings(target, fault))

    def settings(self, target: Target, fault: Fault) -> Any:
        """What `pick` needs of the settings."""
        del target, fault

    @override
    def choose(self, target: Target, ex: Exchange, outcomes: Sequence[Outcome], scene: Scene) -> int | None:
        if outcomes and not outcomes[-1].is_left(target.on_status_codes):
            return None
        node: Node = target.compiled
        usable = scene.usable(target, node.weighted, outcomes)
        return self.pick(target, ex, node.outliers.wanted(usable, scene.now, scene.rng), scene) if usable else None

    def pick(self, target: Target, ex: Exchange, among: Sequence[int], scene: Scene) -> int:
        """One of `among`, which are not empty."""
        raise NotImplementedError

    @override
    def ended(self, target: Target, outcome: Outcome, scene: Scene) -> None:
        """A refusal of the gateway's own, a caller's mistake and a rate limit say nothing of whether the target is well."""
        if outcome.is_final or outcome.status == 429 or outcome.status in CALLERS_OWN:
            return
        node: Node = target.compiled
        now, is_failure = scene.now + outcome.elapsed_s, not 200 <= outcome.status < 300
        node.outliers.ended(outcome.index, now, outcome.elapsed_s, is_failure=is_failure)


class Adaptive(Live):
    """Draws two children by weight and calls the one that is cheaper now: live latency times the calls under way.

    What has just come back, or has little of a rate limit left, counts as lighter than it is.
    """

    by_time = True

    @override
    def pick(self, target: Target, ex: Exchange, among: Sequence[int], scene: Scene) -> int:
        weights = {index: target.targets[index].weight * ease(target.targets[index], scene) for index in among}
        return pick_of_two(among, cost_by_index(target, scene), weights.__getitem__, scene.rng)


class Latency(Live):
    """Calls the child with the least live latency times the calls under way; weights above 0 are all the same to it."""

    by_time = True

    @override
    def pick(self, target: Target, ex: Exchange, among: Sequence[int], scene: Scene) -> int:
        return min(among, key=cost_by_index(target, scene))


def cost_by_index(target: Target, scene: Scene) -> Callable[[int], float]:
    """The cost of the child at an index."""
    return lambda index: cost(target.targets[index], scene)


def cost(child: Target, scene: Scene) -> float:
    """What one more call costs, in seconds; of a node, what it costs at the leaf that is cheapest now."""
    if child.targets:
        return min(cost(inner, scene) for inner in child.targets)
    return scene.health(child).latency.cost(scene.now)


def ease(child: Target, scene: Scene) -> float:
    """How ready a child is, from near 0 to 1: what is left of its rate limits, and how long it has been back."""
    if child.targets:
        return max(ease(inner, scene) for inner in child.targets)
    health = scene.health(child)
    return health.warmth(scene.now) * min(1.0, max(LEAST, health.headroom(scene.now) / NARROW))


def calls_under_way(child: Target, scene: Scene) -> int:
    """The calls that a leaf, or all leaves below a node, have now."""
    if child.targets:
        return sum(calls_under_way(inner, scene) for inner in child.targets)
    return scene.health(child).in_flight


def number(written: object, least: float, most: float = math.inf) -> float | None:
    """A number within these bounds; None for anything else."""
    if isinstance(written, int | float) and not isinstance(written, bool) and least <= written <= most:
        return float(written)
    return None
