"""Strategies that call twice or try out: `hedge`, `shadow` and `canary`."""

from __future__ import annotations

from collections.abc import Mapping

from typing_extensions import override

from headgate.hooks import Hooks, Strategy, hookimpl
from headgate_router_trial.canary import Canary
from headgate_router_trial.hedge import Hedge
from headgate_router_trial.rollout import Rollback, Rollout, Rule
from headgate_router_trial.shadow import Shadow

__all__ = ["Canary", "Hedge", "Rollback", "Rollout", "RouterTrial", "Rule", "Shadow"]


class RouterTrial(Hooks):
    """Registers the strategies. A reload keeps it, and with it how the canaries go."""

    def __init__(self) -> None:
        self.canary = Canary()
        self._strategies: Mapping[str, Strategy] = {"hedge": Hedge(), "shadow": Shadow(), "canary": self.canary}

    @override
    @hookimpl
    def strategies(self) -> Mapping[str, Strategy]:
        return self._strategies
