"""The strategy `canary`: a share of the calls goes to a new target, which is taken back when it does worse than the old one."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec
import structlog
from msgspec import Struct
from typing_extensions import override

from headgate.exchange import Exchange, Target
from headgate.hooks import Fault, Outcome, Scene, Strategy
from headgate.secret import Secret
from headgate_router_trial.rollout import Rollback, Rollout, Rule
from headgate_router_trial.settings import number, only

BASE, CANARY = 0, 1
MAX_HELD = 1000
_SETTINGS = {"share", "minimum_requests", "confidence", "error_margin", "latency_ratio", "cooldown_s"}

log = structlog.get_logger("headgate")


class Trial(Struct, frozen=True):
    """A canary of the configuration: what its targets are called, and how it goes."""

    base: str
    canary: str
    rollout: Rollout


class Canary(Strategy):
    """The first target is the base, the second the canary, which gets `share` of the calls while it does well.

    A call that fails there goes to the base. How it goes is kept over reloads for as long as the node is written the same;
    nodes that are the same share it.
    """

    def __init__(self) -> None:
        self._held: OrderedDict[bytes, Trial] = OrderedDict()

    def trials(self) -> list[Trial]:
        """The canaries, those met last at the end."""
        return list(self._held.values())

    @override
    def compile(self, target: Target, fault: Fault) -> Trial:
        only(target, _SETTINGS, fault)
        if len(target.targets) != 2:
            fault("targets", "must be two: the base, then the canary")
        if target.settings.get("share") is None:
            fault("strategy.share", "is missing: say which share of the calls the canary gets, such as 0.05")
        rule = _rule(target, fault)
        key = hashlib.blake2b(_encode(_written(target)), digest_size=16).digest()
        trial = self._held.get(key)
        if trial is None:
            names = [_name(child) for child in (*target.targets, target, target)[:2]]
            trial = self._held[key] = Trial(names[BASE], names[CANARY], Rollout(rule))
            if len(self._held) > MAX_HELD:
                self._held.popitem(last=False)
        self._held.move_to_end(key)
        return trial

    @override
    def choose(self, target: Target, ex: Exchange, outcomes: Sequence[Outcome], scene: Scene) -> int | None:
        if outcomes:
            return BASE if outcomes[-1].index == CANARY and outcomes[-1].is_left(target.on_status_codes) else None
        trial: Trial = target.compiled
        if not trial.rollout.draw(scene.now, scene.rng):
            return BASE
        if scene.healthy(target, [CANARY]):
            return CANARY
        if _is_shut(target.targets[CANARY], scene):
            self._tell(trial, trial.rollout.observed(scene.now, 0.0, is_canary=True, is_ok=False))
        return BASE

    @override
    def ended(self, target: Target, outcome: Outcome, scene: Scene) -> None:
        """The gateway's own refusals say nothing of an arm. All else that is no good reply does: both meet the same callers."""
        if outcome.is_final:
            return
        trial: Trial = target.compiled
        is_ok, is_canary = 200 <= outcome.status < 300, outcome.index == CANARY
        now = scene.now + outcome.elapsed_s
        self._tell(trial, trial.rollout.observed(now, outcome.elapsed_s, is_canary=is_canary, is_ok=is_ok))

    def _tell(self, trial: Trial, rollback: Rollback | None) -> None:
        if rollback is not None:
            log.warning(
                "a canary does worse than its base and gets no more calls for now",
                canary=trial.canary,
                base=trial.base,
                reason=rollback.reason,
                canary_figure=round(rollback.canary, 4),
                base_figure=round(rollback.base, 4),
                calls=rollback.calls,
                times=trial.rollout.times,
            )


def _is_shut(child: Target, scene: Scene) -> bool:
    """Whether every breaker below keeps calls away; a pause that the provider has asked for is not that."""
    if child.targets:
        return all(_is_shut(inner, scene) for inner in child.targets)
    return not scene.health(child).breaker.would_admit(scene.now)


def _rule(target: Target, fault: Fault) -> Rule:
    default = Rule(0.0)
    return Rule(
        number(target, "share", fault, least=0.0001, most=0.9) or 0.0,
        int(number(target, "minimum_requests", fault, least=10, most=1_000_000) or default.minimum),
        number(target, "confidence", fault, least=0.5, most=0.99999) or default.confidence,
        _given(number(target, "error_margin", fault, least=0, most=1), default.error_margin),
        number(target, "latency_ratio", fault, least=1, most=1000) or default.latency_ratio,
        _given(number(target, "cooldown_s", fault, least=1, most=31_536_000), default.cooldown_s),
    )


def _given(value: float | None, default: float) -> float:
    return default if value is None else value


def _name(target: Target) -> str:
    return target.name or f"{target.deployment}/{target.model}".rstrip("/") or target.path


def _written(target: Target) -> dict[str, Any]:
    """A tree as it is written, wherever it stands."""
    kept = {
        name: getattr(target, name)
        for name in target.__struct_fields__
        if name not in {"path", "compiled", "guards", "targets"}
    }
    return {**kept, "targets": [_written(child) for child in target.targets]}


def _encode(written: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(written, enc_hook=_plain, order="deterministic")


def _plain(value: Any) -> Any:
    """What JSON has no word for: a secret is told by its digest, so that two callers' keys are two canaries."""
    if isinstance(value, Secret):
        return hashlib.blake2b(value.reveal_bytes(), digest_size=16).hexdigest()
    return dict(cast("Mapping[str, Any]", value)) if isinstance(value, Mapping) else repr(value)
