"""The strategies of Portkey's routing configs: `single`, `fallback`, `loadbalance`, `conditional`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from msgspec import Struct
from typing_extensions import override

from headgate.errors import InvalidRequest
from headgate.exchange import Exchange, Target
from headgate.hooks import Fault, Outcome, Scene, Strategy
from headgate_router_standard.conditions import Facts, Predicate, compile_query
from headgate_router_standard.sticky import Sticky, sticky_of


class Single(Strategy):
    """Calls the first target; its outcome stands."""

    @override
    def choose(self, target: Target, ex: Exchange, outcomes: Sequence[Outcome], scene: Scene) -> int | None:
        return None if outcomes else 0


class Fallback(Strategy):
    """Calls the targets in order until one's outcome stands.

    With `on_status_codes` exactly those statuses are left behind. Without it every failure is but the gateway's own
    refusals, which every target would meet alike, and what a provider says of the request itself.
    Targets that are known to fail, or that have asked for a pause, are passed over while there are others.
    """

    @override
    def choose(self, target: Target, ex: Exchange, outcomes: Sequence[Outcome], scene: Scene) -> int | None:
        if outcomes and not outcomes[-1].is_left(target.on_status_codes):
            return None
        usable = scene.usable(target, range(len(target.targets)), outcomes)
        return usable[0] if usable else None


class LoadBalance(Strategy):
    """Calls one target drawn by weight (default 1; 0 is never drawn), and another when that fails as `Fallback` would leave.

    With `sticky` a caller meets the same target for a while: the first in its ranking that is not known to fail.
    """

    @override
    def compile(self, target: Target, fault: Fault) -> Sticky | None:
        if not any(child.weight > 0 for child in target.targets):
            fault("targets", "have no weight above 0: none could ever be called")
        for name in target.settings.keys() - {"sticky"}:
            fault(f"strategy.{name}", "is not known: `loadbalance` takes `sticky`")
        return sticky_of(target, fault)

    @override
    def choose(self, target: Target, ex: Exchange, outcomes: Sequence[Outcome], scene: Scene) -> int | None:
        if outcomes and not outcomes[-1].is_left(target.on_status_codes):
            return None
        weighted = [index for index, child in enumerate(target.targets) if child.weight > 0]
        usable = scene.usable(target, weighted, outcomes)
        sticky: Sticky | None = target.compiled
        if sticky is not None:
            facts = facts_of(ex) if sticky.reads_body else Facts(ex.metadata)
            order = sticky.order(ex, facts, scene.fleet.unix())
            return next((index for index in order if index in usable), None)
        weights = [target.targets[index].weight for index in usable]
        return scene.rng.choices(usable, weights)[0] if usable else None


class Branches(Struct, frozen=True):
    """The conditions of a node with the target of each, and the target where none holds."""

    conditions: Sequence[tuple[Predicate, int]]
    default: int | None


class Conditional(Strategy):
    """Calls the target of the first condition that holds, else the default; its outcome stands.

    `conditions` is a list of `{query, then}`; `then` and `default` are names of targets. A request that fits none is
    refused when there is no default.
    """

    @override
    def compile(self, target: Target, fault: Fault) -> Branches:
        names = {child.name: index for index, child in enumerate(target.targets) if child.name}
        listed: Any = target.settings.get("conditions")
        for name in target.settings.keys() - {"conditions", "default"}:
            fault(f"strategy.{name}", "is not known: `conditional` takes `conditions` and `default`")
        if not isinstance(listed, list) or not listed:
            fault("strategy.conditions", "must be a list of `{query, then}`")
            listed = []
        branches = [
            branch
            for at, written in enumerate(cast("list[Any]", listed))
            if (branch := _branch(written, names, f"strategy.conditions[{at}]", fault)) is not None
        ]
        written = target.settings.get("default")
        default = None if written is None else _named(written, names, "strategy.default", fault)
        return Branches(branches, default)

    @override
    def choose(self, target: Target, ex: Exchange, outcomes: Sequence[Outcome], scene: Scene) -> int | None:
        if outcomes:
            return None
        branches: Branches = target.compiled
        facts = facts_of(ex)
        for predicate, index in branches.conditions:
            if predicate(facts):
                return index
        if branches.default is None:
            raise InvalidRequest(
                f"no condition of `{target.path}` holds for this request, and it has no default", code="no_condition"
            )
        return branches.default


def facts_of(ex: Exchange) -> Facts:
    """What the conditions see of a request: its body as the caller sent it, with the model wherever that stood."""
    params: dict[str, Any] = {} if ex.is_unreadable or not ex.body else dict(ex.json)
    return Facts(ex.metadata, {**params, "model": ex.model}, ex.path)


def _branch(written: Any, names: Mapping[str, int], at: str, fault: Fault) -> tuple[Predicate, int] | None:
    if not isinstance(written, dict):
        fault(at, "must be a mapping of `query` and `then`")
        return None
    fields = cast("dict[str, Any]", written)
    for name in fields.keys() - {"query", "then"}:
        fault(f"{at}.{name}", "is not known: a condition has `query` and `then`")
    predicate = compile_query(fields.get("query"), lambda place, what: fault(f"{at}.query{place}", what))
    index = _named(fields.get("then"), names, f"{at}.then", fault)
    return None if index is None else (predicate, index)


def _named(written: Any, names: Mapping[str, int], at: str, fault: Fault) -> int | None:
    if isinstance(written, str) and written in names:
        return names[written]
    known = ", ".join(f"`{name}`" for name in sorted(names)[:20]) or "none: give each target a `name`"
    fault(at, f"must be the name of a target; there is {known}")
    return None
