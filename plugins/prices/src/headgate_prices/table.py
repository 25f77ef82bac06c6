"""What is known of a model, found once and kept: the operator's settings first, then the price lists."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from headgate import Provider
from headgate_prices.book import Book, BookError, Entry
from headgate_prices.names import list_of
from headgate_prices.rates import Rates
from headgate_prices.settings import ModelSettings, Settings

MAX_KEPT = 16384
"""Callers choose names of models, so what is kept of them has a bound: some 10 MB. It holds the longest lists of models."""
SETTINGS = "settings"

Called = tuple[str, str, str, str, str]
"""Deployment, provider, the vendor's base URL, the one that was called, model."""


def called(provider: Provider, url: str, model: str) -> Called:
    """How a model is called at a base URL."""
    return provider.deployment, provider.name, type(provider).base_url, url, model


class Known(Struct, frozen=True):
    """What is known of a model. `vendor` is whose list it would stand in, empty where nobody's; `source` says who sets prices.

    `rates` are the prices from the settings, `entry` is its place in a list; without both the price is not known.
    """

    vendor: str = ""
    source: str = ""
    rates: Rates | None = None
    entry: Entry | None = None
    context: int | None = None
    max_output: int | None = None
    capabilities: tuple[str, ...] = ()

    @property
    def terms(self) -> frozenset[str]:
        """The terms of a request that change the price."""
        return self.entry.terms if self.rates is None and self.entry is not None else frozenset()

    def rates_at(self, at: float, terms: Mapping[str, str]) -> Rates | None:
        """The prices at a Unix time in seconds; None when no price is known."""
        if self.rates is not None or self.entry is None:
            return self.rates
        return self.entry.rates(at, terms)


class Table:
    """Everything known of models, by how they were called. BookError when a `same_as` names what no list has."""

    def __init__(self, book: Book, settings: Settings) -> None:
        self.book = book
        self._settings = settings
        self.kept: dict[Called, Known] = {}
        for name, held in settings.models.items():
            if held.same_as and self._same_as(held) is None:
                raise BookError(f"`models.{name}`: `same_as` names `{held.same_as}`, and no list knows that")

    def find(self, called: Called) -> Known:
        """What is known of a model that was called so."""
        known = self.kept.get(called)
        if known is None:
            if len(self.kept) >= MAX_KEPT:
                self.kept.clear()
            known = self.kept[called] = self._find(*called)
        return known

    def know(self, vendor: str, model: str, *names: str) -> Known:
        """What is known of a model in a vendor's list; `names` are those that the settings may know it by."""
        settings = self._settings.find(*names) or ModelSettings()
        entry = self._same_as(settings) if settings.same_as else self.book.find(vendor, model)
        prices = settings.prices()
        listed = entry.source if entry is not None else ""
        return Known(
            vendor,
            listed if prices is None else SETTINGS,
            None if prices is None else Rates(prices, {}),
            entry,
            settings.context or (entry.context if entry is not None else None),
            settings.max_output,
            settings.capabilities,
        )

    def _find(self, deployment: str, provider: str, home: str, url: str, model: str) -> Known:
        vendor = list_of(provider, home, url) or self.book.vendor_at(url) or ""
        return self.know(vendor, model, f"{deployment}/{model}", f"{provider}/{model}")

    def _same_as(self, settings: ModelSettings) -> Entry | None:
        provider, _, model = settings.same_as.partition("/")
        return self.book.find(list_of(provider, "", "") or provider, model)
