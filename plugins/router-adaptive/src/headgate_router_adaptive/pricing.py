"""The strategy `cost`: the cheapest first, by what plugins know of prices or by what the config says."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import structlog
from msgspec import Struct
from typing_extensions import override

from headgate.exchange import Exchange, Target
from headgate.hooks import Fault, ModelFacts, Scene
from headgate.suggest import MAX_NAME, shown
from headgate_router_adaptive.balancing import Live, Node, cost_by_index, number

OUTPUT_TOKENS = 500
SAME = 1.02
"""Prices within so much of the cheapest are the same: then the live figures decide."""
FRESH_S = 60.0
MAX_HELD = 1000
BYTES_PER_TOKEN = 4
"""Of English text: https://help.openai.com/en/articles/4936856-what-are-tokens-and-how-to-count-them"""

FindFacts = Callable[[str, str], ModelFacts | None]

log = structlog.get_logger("headgate")


class Price(Struct, frozen=True):
    """USD per million tokens."""

    input: float
    output: float

    def of(self, prompt_tokens: float, output_tokens: float) -> float:
        """USD for a request."""
        return (self.input * prompt_tokens + self.output * output_tokens) / 1_000_000


class Prices(Struct, frozen=True):
    """What the config says: prices by the child's index, and how many tokens an answer has that names no limit."""

    by_index: Mapping[int, Price]
    output_tokens: float


class Cost(Live):
    """Calls the child that would be cheapest for this request; of those that cost the same, the one with the least latency.

    `prices` (USD per million tokens, by the target's name) go before what plugins know. A child without a price is called
    when no other may be, which the log says once. `find` looks up what is known of a deployment's model.
    """

    known = ("prices", "output_tokens")

    def __init__(self) -> None:
        self.find: FindFacts = lambda _deployment, _model: None
        self._held: dict[tuple[str, str], tuple[float, Price | None]] = {}
        self._unknown: set[tuple[str, str]] = set()
        self._compiled: list[Target] | None = []

    @override
    def settings(self, target: Target, fault: Fault) -> Prices:
        if self._compiled is not None:
            self._compiled.append(target)
        output = number(target.settings.get("output_tokens", OUTPUT_TOKENS), 0)
        if output is None:
            fault("strategy.output_tokens", "must be a number of tokens from 0 on")
        return Prices(_listed(target, fault), OUTPUT_TOKENS if output is None else output)

    def say_unknown(self) -> None:
        """Say in the log which targets of the configuration have no price; those of later ones when they are met first."""
        for target in self._compiled or ():
            for child in target.targets:
                named = [
                    leaf for leaf in leaves(child) if leaf.model and child.name not in target.settings.get("prices", {})
                ]
                for leaf in named:
                    self._price(leaf.deployment, leaf.model, -math.inf)
        self._compiled = None
        self._held.clear()

    @override
    def pick(self, target: Target, ex: Exchange, among: Sequence[int], scene: Scene) -> int:
        node: Node = target.compiled
        prices: Prices = node.own
        output = prices.output_tokens if ex.max_tokens is None else min(prices.output_tokens, ex.max_tokens)
        prompt = len(ex.body) / BYTES_PER_TOKEN
        usd = {index: self._usd(index, target, prices, scene).of(prompt, output) for index in among}
        cheapest = min(usd.values())
        same = [index for index in among if usd[index] <= cheapest * SAME or usd[index] == cheapest]
        return min(same, key=cost_by_index(target, scene))

    def _usd(self, index: int, target: Target, prices: Prices, scene: Scene) -> Price:
        """The price of a child; of a node, that of its dearest leaf. Infinite where it is not known."""
        given = prices.by_index.get(index)
        if given is not None:
            return given
        found = [
            self._price(leaf.deployment, leaf.model or scene.model, scene.now) or _NOBODY_KNOWS
            for leaf in leaves(target.targets[index])
        ]
        return max(found, key=lambda price: price.input + price.output)

    def _price(self, deployment: str, model: str, now: float) -> Price | None:
        """What plugins know, looked up once a minute."""
        key = (deployment, model)
        until, price = self._held.get(key, (-math.inf, None))
        if now >= until:
            price = _stated(self.find(deployment, model))
            if len(self._held) >= MAX_HELD:
                self._held.clear()
            self._held[key] = (now + FRESH_S, price)
            if price is None and key not in self._unknown and len(self._unknown) < MAX_HELD:
                self._unknown.add(key)
                words = "no price is known, so this target comes last: set one in `strategy.prices`, or enable `prices`"
                log.warning(words, deployment=deployment, model=shown(model, MAX_NAME))
        return price


_NOBODY_KNOWS = Price(math.inf, math.inf)


def leaves(target: Target) -> Iterator[Target]:
    """The leaves of a tree, which may be one itself."""
    if not target.targets:
        yield target
    for child in target.targets:
        yield from leaves(child)


def _stated(facts: ModelFacts | None) -> Price | None:
    rates: Mapping[str, float] = facts.usd_per_million_tokens if facts is not None else {}
    return Price(rates["input"], rates.get("output", 0.0)) if "input" in rates else None


def _listed(target: Target, fault: Fault) -> dict[int, Price]:
    """The setting `prices` by the index of the child."""
    written: Any = target.settings.get("prices", {})
    if not isinstance(written, dict):
        fault("strategy.prices", "must be a mapping of target names to `{input, output}` in USD per million tokens")
        return {}
    names = {child.name: index for index, child in enumerate(target.targets) if child.name}
    found: dict[int, Price] = {}
    for name, value in cast("dict[str, Any]", written).items():
        place = f"strategy.prices.{name}"
        price = _price_of(value)
        if name not in names:
            known = ", ".join(f"`{known}`" for known in sorted(names)[:20]) or "none: give each target a `name`"
            fault(place, f"must be the name of a target; there is {known}")
        elif price is None:
            fault(place, "must be `{input, output}` in USD per million tokens, or one number for both")
        else:
            found[names[name]] = price
    return found


def _price_of(written: Any) -> Price | None:
    both = number(written, 0)
    if both is not None:
        return Price(both, both)
    if not isinstance(written, dict):
        return None
    fields = cast("dict[str, Any]", written)
    values = [number(fields.get("input"), 0), number(fields.get("output", 0), 0)]
    if not fields.keys() <= {"input", "output"} or values[0] is None or values[1] is None:
        return None
    return Price(values[0], values[1])
