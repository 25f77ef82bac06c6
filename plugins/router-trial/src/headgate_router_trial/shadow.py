"""The strategy `shadow`: a share of the traffic goes to other targets too, whose answers only the record sees."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override

from headgate.exchange import Exchange, Target
from headgate.hooks import Fault, Outcome, Scene, Strategy
from headgate_router_trial.effects import is_repeatable
from headgate_router_trial.settings import number, only


class Shadow(Strategy):
    """The first target answers. Each other one gets `share` of the requests as well, off the caller's path.

    What a provider would keep or act upon is not mirrored (`is_repeatable`), nor is what is a shadow already, and a target
    that is known to fail or is full gets nothing.
    """

    @override
    def compile(self, target: Target, fault: Fault) -> float:
        only(target, {"share"}, fault)
        if len(target.targets) < 2:
            fault("targets", "must be two or more: the first answers, the others are its shadows")
        share = number(target, "share", fault, least=0, most=1)
        if target.settings.get("share") is None:
            fault("strategy.share", "is missing: say which share of the requests is mirrored, such as 0.05")
        return share or 0.0

    @override
    def choose(self, target: Target, ex: Exchange, outcomes: Sequence[Outcome], scene: Scene) -> int | None:
        return None if outcomes else 0

    @override
    def mirrors(self, target: Target, ex: Exchange, scene: Scene) -> Sequence[int]:
        share: float = target.compiled
        drawn = [index for index in range(1, len(target.targets)) if scene.rng.random() < share]
        if not drawn or ex.shadow_of:
            return ()
        fitting = [index for index in drawn if is_repeatable(ex, target.targets[index], with_functions=True)]
        return scene.healthy(target, fitting)
