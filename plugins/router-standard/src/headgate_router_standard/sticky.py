"""Sticky load balancing without a store: who is asked follows from the request and the time alone.

The settings are Portkey's (https://portkey.ai/docs/product/ai-gateway/load-balancing). Each caller has a ranking of the
targets by a weighted hash, so that replicas agree without telling each other, and after each `ttl` there is another one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, cast

from msgspec import Struct

from headgate.exchange import Exchange, Target
from headgate.hooks import Fault
from headgate.policies import ranking
from headgate_router_standard.conditions import MISSING, Facts

TTL_S = 3600.0
MAX_TTL_S = 365 * 86_400.0
_PLACES = ("metadata.", "params.", "headers.")
_KNOWN = {"enabled", "hash_fields", "ttl"}


class Sticky(Struct, frozen=True):
    """Whom the same target answers, and for how many seconds: those of one API key whose `fields` are the same.

    `names` are what the targets go by in the hash, so that a target that goes takes only its own callers with it.
    """

    fields: Sequence[str]
    ttl_s: float
    names: Sequence[str]
    weights: Sequence[float]

    @property
    def reads_body(self) -> bool:
        """Whether one of the fields stands in the request's body."""
        return any(field.startswith("params.") for field in self.fields)

    def order(self, ex: Exchange, facts: Facts, unix_now: float) -> list[int]:
        """The targets of this caller, best first. Windows begin at another moment for each caller."""
        caller = self._digest(ex, facts)
        offset_s = int.from_bytes(caller[:8], "big") / 2**64 * self.ttl_s
        window = int((unix_now + offset_s) // self.ttl_s)
        return ranking(caller + window.to_bytes(8, "big", signed=True), self.names, self.weights)

    def _digest(self, ex: Exchange, facts: Facts) -> bytes:
        said = [ex.principal.key if ex.principal is not None else "", *(_at(field, ex, facts) for field in self.fields)]
        return hashlib.blake2b(json.dumps(said, default=repr).encode(), digest_size=16).digest()


def sticky_of(target: Target, fault: Fault) -> Sticky | None:
    """The setting `sticky` of a node, None where it is off. What is wrong goes to `fault`."""
    written: Any = target.settings.get("sticky")
    if written is None:
        return None
    if not isinstance(written, dict):
        fault("strategy.sticky", "must be a mapping of `enabled`, `hash_fields` and `ttl`")
        return None
    settings = cast("dict[str, Any]", written)
    for name in settings.keys() - _KNOWN:
        fault(f"strategy.sticky.{name}", "is not known: `sticky` takes `enabled`, `hash_fields` and `ttl`")
    is_on: Any = settings.get("enabled", False)
    if not isinstance(is_on, bool):
        fault("strategy.sticky.enabled", "must be `true` or `false`")
    fields, ttl_s = _fields(settings.get("hash_fields"), fault), _ttl_s(settings.get("ttl"), fault)
    if is_on is not True:
        return None
    return Sticky(fields, ttl_s, _names(target.targets), [child.weight for child in target.targets])


def _fields(written: Any, fault: Fault) -> list[str]:
    if written is None:
        return []
    if not isinstance(written, list):
        fault("strategy.sticky.hash_fields", "must be a list, such as `[metadata.user_id]`")
        return []
    found: list[str] = []
    for at, field in enumerate(cast("list[Any]", written)):
        if isinstance(field, str) and field.startswith(_PLACES) and not field.endswith("."):
            found.append(field)
        else:
            fault(f"strategy.sticky.hash_fields[{at}]", "must be `metadata.KEY`, `params.KEY` or `headers.NAME`")
    return found


def _ttl_s(written: Any, fault: Fault) -> float:
    if written is None:
        return TTL_S
    if isinstance(written, int | float) and not isinstance(written, bool) and 1 <= written <= MAX_TTL_S:
        return float(written)
    fault("strategy.sticky.ttl", f"must be a number of seconds from 1 to {MAX_TTL_S:.0f}")
    return TTL_S


def _names(children: Sequence[Target]) -> list[str]:
    """What each target goes by: its name, else what it calls; a number where that stands there more than once."""
    said: dict[str, int] = {}
    names: list[str] = []
    for child in children:
        name = child.name or "/".join(part for leaf in _leaves(child) for part in (leaf.deployment, leaf.model))
        said[name] = said.get(name, 0) + 1
        names.append(f"{name}#{said[name]}")
    return names


def _leaves(target: Target) -> list[Target]:
    return [leaf for child in target.targets for leaf in _leaves(child)] if target.targets else [target]


def _at(field: str, ex: Exchange, facts: Facts) -> Any:
    """What stands at a field, None where there is nothing."""
    if field.startswith("headers."):
        return ex.header(field.partition(".")[2].lower())
    value = facts.at(field)
    return None if value is MISSING else value
