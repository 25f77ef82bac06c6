"""What the operator says about models, which goes before what the lists say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from fnmatch import translate
from math import isfinite
from typing import Annotated, Literal

from msgspec import Meta, Struct

from headgate_prices.rates import Price

Usd = Annotated[float, Meta(ge=0)]
Tokens = Annotated[int, Meta(ge=1)]
Capability = Literal["audio", "files", "images", "prompt_cache", "reasoning", "structured_output", "tools"]
"""What a model takes or does beyond text; the price lists do not say, so the operator does."""


KEYS = {"input": "input_mtok", "output": "output_mtok", "cached": "cache_read_mtok", "cache_write": "cache_write_mtok"}
"""Names of prices in settings and in the model list, and the keys that genai-prices has for them."""


class ModelSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """One model, or all that match a pattern.

    `input`, `output`, `cached` (read from the cache) and `cache_write` are USD per million tokens and replace every price of
    a list; without `cached` and `cache_write` such tokens cost what other input does. `free` says that a call costs
    nothing, `same_as` that the model is one that a list knows: `openai/gpt-4o`. `context` and `max_output` are in tokens,
    `capabilities` what the model takes or does beyond text.
    """

    input: Usd | None = None
    output: Usd | None = None
    cached: Usd | None = None
    cache_write: Usd | None = None
    free: bool = False
    same_as: str = ""
    context: Tokens | None = None
    max_output: Tokens | None = None
    capabilities: tuple[Capability, ...] = ()

    def __post_init__(self) -> None:
        given = [self.input, self.output, self.cached, self.cache_write]
        has_prices = any(price is not None for price in given)
        if has_prices and (self.input is None or self.output is None):
            raise ValueError("prices need both `input` and `output`")
        if has_prices + self.free + bool(self.same_as) > 1:
            raise ValueError("of prices, `free` and `same_as` a model has only one")
        if not all(price is None or isfinite(price) for price in given):
            raise ValueError("a price must be a number of USD per million tokens")

    def prices(self) -> Mapping[str, Price] | None:
        """The prices by the keys of genai-prices; None where the settings have none, nothing at all for what is free."""
        if self.free:
            return {}
        if self.input is None:
            return None
        given = {key: getattr(self, name) for name, key in KEYS.items()}
        return {key: Price(Decimal(repr(value))) for key, value in given.items() if value is not None}


class PricesConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Where prices come from.

    `path` is a file in genai-prices' data format, relative to the state folder, that takes the place of the lists that come
    with it. `models` are settings by `deployment/model` or `provider/model`, in which `*` stands for anything: an exact name
    goes before patterns, and of those the first that matches counts.
    """

    path: str = ""
    models: dict[str, ModelSettings] = {}

    def __post_init__(self) -> None:
        for name in self.models:
            if not all(name.partition("/")):
                raise ValueError(
                    f"`models`: `{name}` must be `provider/model`; `{name}/*` stands for all of a provider"
                )


class Settings:
    """The settings of `models`, ready to be asked. Case does not matter."""

    def __init__(self, models: Mapping[str, ModelSettings]) -> None:
        self.models = models
        self._exact = {name.lower(): held for name, held in models.items()}
        self._patterns = [(re.compile(translate(name.lower())), held) for name, held in models.items() if "*" in name]

    def find(self, *names: str) -> ModelSettings | None:
        """The settings of a model by one of its names, the first name first."""
        lowered = [name.lower() for name in names]
        for name in lowered:
            if name in self._exact:
                return self._exact[name]
        matching = (held for pattern, held in self._patterns if any(pattern.match(name) for name in lowered))
        return next(matching, None)
