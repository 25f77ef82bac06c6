"""From prices and usage to micro-USD, exactly.

A price list counts in units such as `cache_read_tokens`, and units lie within one another: what was read from the cache is
part of the input. Each priced unit is charged for what of it is not part of a narrower priced one. The numbers are whole
ones over a common denominator, because a sum of floats is a micro-dollar off every few thousand exchanges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from math import inf, lcm
from typing import Any, Protocol, cast

from msgspec import Struct

from headgate.chat import Usage

MICRO = 1_000_000
MOST_MICROUSD = 10**12
"""More for one call than anybody has charged: such a number means something else, and no cost is known."""

COUNTED = {
    "input_tokens": "prompt",
    "output_tokens": "completion",
    "cache_read_tokens": "cached",
    "cache_write_tokens": "cache_write",
    "output_reasoning_tokens": "reasoning",
    "input_audio_tokens": "audio_in",
    "output_audio_tokens": "audio_out",
}
"""Units that `Usage` counts, and its fields; others are looked for in the provider's own object."""
_CACHED_AUDIO = "cache_audio_read_tokens"
_REQUESTS = "requests"


class Rule(Protocol):
    """A rule for a text."""

    def is_match(self, text: str) -> bool:
        """Whether the text is meant."""
        ...


class Pick(Protocol):
    """A step of a path that picks one object out of a list, such as the one whose `modality` is `AUDIO`."""

    @property
    def field(self) -> str:
        """The member that tells."""
        ...

    @property
    def match(self) -> Rule:
        """What it must be."""
        ...


Place = tuple[str | Pick, ...]
"""Where a number stands in the provider's usage object."""


class Tier(Struct, frozen=True):
    """A price for prompts of more than `start` tokens; it holds for all of the request."""

    start: int
    price: Decimal


class Price(Struct, frozen=True):
    """What a unit costs in USD: `base`, or that of the highest tier the prompt is past. Per how many is the unit's matter."""

    base: Decimal
    tiers: tuple[Tier, ...] = ()


class Unit(Struct, frozen=True):
    """A unit of a price list. A price is for `per` of them; a unit with all `dimensions` of another one is part of it."""

    name: str
    price_key: str
    per: int
    dimensions: frozenset[tuple[str, str]]


class _Term(Struct, frozen=True):
    """One priced unit: how it is counted, which terms before it are parts of it, and numerators of its prices.

    `field` is one of `Usage`. Tiers are pairs of start and price, the highest first.
    """

    unit: str
    field: str
    paths: tuple[Place, ...]
    parts: tuple[int, ...]
    price: int
    tiers: tuple[tuple[int, int], ...]


class Rates:
    """The prices of one model, by price key, made ready for `cost`. ValueError for a price that is none.

    `paths` says where units stand in the provider's usage object that `Usage` has no field for, or counts otherwise.
    """

    def __init__(self, prices: Mapping[str, Price], paths: Mapping[str, Sequence[Place]]) -> None:
        self.prices = prices
        units = [_unit(key) for key in prices]
        counted = [unit for unit in units if unit.name in COUNTED or unit.name in paths or unit.name in _ALWAYS]
        counted.sort(key=lambda unit: (-len(unit.dimensions), unit.name))  # parts before what they are part of
        exact = {unit.name: _exact(unit, prices[unit.price_key]) for unit in counted}
        whole = self._denominator = lcm(*(each.denominator for price in exact.values() for _, each in price))
        self._terms = tuple(
            _Term(
                unit.name,
                COUNTED.get(unit.name, ""),
                tuple(paths.get(unit.name, ())),
                tuple(
                    at for at, other in enumerate(counted) if other is not unit and unit.dimensions <= other.dimensions
                ),
                int(exact[unit.name][-1][1] * whole),
                tuple((start, int(price * whole)) for start, price in exact[unit.name][:-1]),
            )
            for unit in counted
        )

    def cost(self, usage: Usage) -> int | None:
        """What was used, in micro-USD, a half rounded up; None when nothing of what has a price was counted.

        Usage whose parts are more than the whole is charged for the parts. Where there is no price at all, it is free.
        """
        if not self.prices:
            return 0
        total: int | Fraction = 0
        prompt, raw = usage.prompt, usage.raw
        alone: list[int | Fraction] = []
        for term in self._terms:
            count: int | Fraction = getattr(usage, term.field) if term.field else 0
            stated = _sum_at(raw, term.paths) if term.paths and raw else None
            if stated is not None:
                count = stated
            elif term.unit in _ALWAYS:
                count = _derived(term.unit, usage)
            for at in term.parts:
                count -= alone[at]
            if count <= 0:
                alone.append(0)
                continue
            alone.append(count)
            price = term.price
            for start, higher in term.tiers:
                if prompt > start:
                    price = higher
                    break
            total += count * price
        cost = int((2 * total + self._denominator) // (2 * self._denominator))
        return cost if any(alone) and cost <= MOST_MICROUSD else None


_ALWAYS = frozenset({_REQUESTS, _CACHED_AUDIO})
"""Units that need neither a field nor a place in the provider's usage object."""


def _derived(unit: str, usage: Usage) -> int:
    """A call is one request. Of sound and cached tokens, what does not fit into the prompt side by side is both."""
    return 1 if unit == _REQUESTS else max(0, usage.cached + usage.audio_in - usage.prompt)


def _exact(unit: Unit, price: Price) -> list[tuple[int, Fraction]]:
    """Micro-USD for one of the unit: pairs of tier and price, the highest tier first and the base price last."""
    steps = [(tier.start, tier.price) for tier in price.tiers]
    if steps != sorted(steps, key=lambda step: step[0]) or any(start < 0 for start, _ in steps):
        raise ValueError(f"the tiers of `{unit.price_key}` are in no order")
    for _, amount in [(0, price.base), *steps]:
        if not amount.is_finite() or amount < 0 or (amount and not -20 < amount.adjusted() < 20):
            raise ValueError(f"`{unit.price_key}` has the price {amount}")
    return [(start, Fraction(amount) * MICRO / unit.per) for start, amount in [*reversed(steps), (-1, price.base)]]


@lru_cache(1)
def units() -> Mapping[str, Unit]:
    """The units that the installed genai-prices knows, by price key."""
    from genai_prices.data_units import unit_data  # the package costs half a second

    known = (
        Unit(name, raw.get("price_key", name), raw["per"], frozenset(raw["dimensions"].items()))
        for name, raw in unit_data.items()
    )
    return {unit.price_key: unit for unit in known}


def _unit(key: str) -> Unit:
    found = units().get(key)
    if found is None:
        raise ValueError(f"the installed genai-prices knows no price `{key}`: a newer one may")
    return found


def _sum_at(raw: Mapping[str, Any], paths: Sequence[Place]) -> int | Fraction | None:
    """The numbers at these paths in sum; None when there is none."""
    total: int | Fraction | None = None
    for path in paths:
        found: Any = raw
        for step in path:
            if isinstance(step, str):
                found = cast("dict[str, Any]", found).get(step) if isinstance(found, dict) else None
            else:
                found = _picked(step, cast("list[object]", found)) if isinstance(found, list) else None
        if isinstance(found, int) and not isinstance(found, bool):
            total = (total or 0) + max(0, found)
        elif isinstance(found, float) and 0 <= found < inf:
            total = (total or 0) + Fraction(repr(found))
    return total


def _picked(step: Pick, items: Sequence[object]) -> object:
    for item in items:
        told = cast("dict[str, object]", item).get(step.field) if isinstance(item, dict) else None
        if isinstance(told, str) and step.match.is_match(told):
            return cast("object", item)
    return None
