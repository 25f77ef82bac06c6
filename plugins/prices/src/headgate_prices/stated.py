"""What a vendor says that a call cost, which goes before any price list."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, cast

from headgate_prices.rates import MICRO, MOST_MICROUSD

_TICK = Decimal("1e-10")


def stated_cost(vendor: str, raw: Mapping[str, Any] | None) -> int | None:
    """The cost in micro-USD, a half rounded up, as a vendor's usage object states it; None when it states none.

    `vendor` is the id of a price list. What others put into members of these names means nothing here.
    """
    read = _READERS.get(vendor)
    if read is None or not raw:
        return None
    found = read(raw)
    if found is None or found * MICRO > MOST_MICROUSD:
        return None
    return int((found * MICRO).quantize(Decimal(1), ROUND_HALF_UP))


def _openrouter(raw: Mapping[str, Any]) -> Decimal | None:
    """`cost` is what OpenRouter takes. For a call with one's own key at the vendor, that vendor's charge comes on top.

    https://openrouter.ai/docs/use-cases/usage-accounting; recorded answers state `upstream_inference_cost` for other calls
    too, where it is part of `cost`.
    """
    cost = _number(raw.get("cost"))
    if cost is None or raw.get("is_byok") is not True:
        return cost
    upstream = _number(_member(raw.get("cost_details"), "upstream_inference_cost"))
    return None if upstream is None else cost + upstream


def _perplexity(raw: Mapping[str, Any]) -> Decimal | None:
    """`cost.total_cost`, in chat and in responses alike. Pieces of a stream before the last state 0, which means nothing.

    Source: the types of `perplexityai` 0.46.1, `types/shared/usage_info.py` and `types/responses_usage.py`.
    """
    return _number(_member(raw.get("cost"), "total_cost")) or None


def _xai(raw: Mapping[str, Any]) -> Decimal | None:
    """In ticks, 10^10 of which are a dollar: https://docs.x.ai/developers/cost-tracking"""
    ticks = _number(raw.get("cost_in_usd_ticks"))
    return None if ticks is None else ticks * _TICK


_READERS: dict[str, Callable[[Mapping[str, Any]], Decimal | None]] = {
    "openrouter": _openrouter,
    "perplexity": _perplexity,
    "x-ai": _xai,
}


def _member(held: object, name: str) -> object:
    return cast("Mapping[str, object]", held).get(name) if isinstance(held, Mapping) else None


def _number(value: object) -> Decimal | None:
    """A number that is not negative, as it was written."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    return number if number.is_finite() and number >= 0 else None
