"""Strategies that follow live figures: `adaptive`, `latency`, `cost`, and `affinity` for warm prompt caches."""

from __future__ import annotations

from collections.abc import Mapping

from typing_extensions import override

from headgate.context import Context
from headgate.hooks import Hooks, Strategy, hookimpl
from headgate_router_adaptive.affinity import Affinity
from headgate_router_adaptive.balancing import Adaptive, Latency
from headgate_router_adaptive.outliers import Outliers
from headgate_router_adaptive.pricing import Cost

__all__ = ["Adaptive", "Affinity", "Cost", "Latency", "Outliers", "RouterAdaptive"]


class RouterAdaptive(Hooks):
    """Registers the strategies, and lets `cost` know what the other plugins know of prices."""

    def __init__(self) -> None:
        self._cost = Cost()
        self._strategies: Mapping[str, Strategy] = {
            "adaptive": Adaptive(),
            "latency": Latency(),
            "cost": self._cost,
            "affinity": Affinity(),
        }

    @override
    @hookimpl
    def strategies(self) -> Mapping[str, Strategy]:
        return self._strategies

    @override
    @hookimpl
    def configure(self, ctx: Context) -> None:
        self._cost.find = lambda deployment, model: ctx.find_facts(deployment, model)  # noqa: PLW0108 - a reload sets another

    @override
    @hookimpl
    async def start(self, ctx: Context) -> None:
        self._cost.say_unknown()
