"""What each exchange cost, from what the vendor says it used: set in `settle`, before anything is recorded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from pathlib import Path

import structlog
from typing_extensions import override

from headgate import Attempt, Command, Context, Exchange, Hooks, Problem, Provider, Reply, StartupError, hookimpl
from headgate.chat import Usage
from headgate.hooks import FindFacts, ModelFacts
from headgate.suggest import MAX_NAME, shown
from headgate_prices.answers import Said, said_of, terms_of
from headgate_prices.book import Book, BookError
from headgate_prices.commands import PricesCommand, add_arguments
from headgate_prices.settings import KEYS, ModelSettings, PricesConfig, Settings
from headgate_prices.stated import stated_cost
from headgate_prices.table import SETTINGS, Known, Table, called

__all__ = ["ModelSettings", "Prices", "PricesConfig"]

MAX_UNKNOWN = 1000
UNKNOWN = "unknown"
PARTIAL = "partial"
"""The source of a cost that lacks what one of several models of a session used, or a call without an answer."""
ESTIMATED = "estimated"
"""The source of a cost that holds prompts of calls without an answer, as long as that of the call that was answered."""
UNANSWERED = frozenset({"hedge_lost", "upstream_timeout", "deadline_exceeded"})
"""Errors of calls that a vendor may have read the prompt of, and will bill it, though nobody waited for an answer."""
_NOTHING = ModelFacts()

log = structlog.get_logger("headgate")


class Prices(Hooks):
    """Sets `cost_microusd` and `cost_source` of an exchange. `unknown` counts those whose model has no known price.

    A cost that is not known stays None and is never 0. It must stand before plugins that spend what things cost.
    """

    Config = PricesConfig

    def __init__(self, config: PricesConfig) -> None:
        self._config = config
        self._settings = Settings(config.models)
        self._path = Path(config.path)
        self._stamp: tuple[int, int, int] | None = None
        self._table: Table | None = None
        self.unknown: dict[str, int] = {}

    @override
    @hookimpl
    async def start(self, ctx: Context) -> None:
        self._path = ctx.state_dir / self._config.path
        self._stamp = _stamp(self._path)
        self._table = await asyncio.to_thread(self._load, ctx)

    @override
    def try_files(self, ctx: Context) -> None:
        self._load(ctx)

    def _load(self, ctx: Context) -> Table:
        try:
            return load(ctx.state_dir / self._config.path if self._config.path else None, self._settings)
        except BookError as error:
            raise StartupError([Problem(str(error))]) from None

    @override
    def is_stale(self) -> bool:
        return bool(self._config.path) and self._table is not None and _stamp(self._path) != self._stamp

    @override
    @hookimpl
    async def stop(self) -> None:
        if self.unknown:
            log.info("exchanges without a known price", models=len(self.unknown), exchanges=sum(self.unknown.values()))

    @override
    @hookimpl
    def commands(self) -> Iterable[Command]:
        command = PricesCommand(self._config)
        return [Command("prices", "print what is known of a model, and what it costs", command.run, add_arguments)]

    @override
    @hookimpl
    def facts(self) -> FindFacts:
        return self._facts_of

    @override
    @hookimpl
    async def settle(self, ex: Exchange) -> None:
        if ex.cache_status == "HIT":
            ex.cost_microusd, ex.cost_source = 0, "cache"
            return
        for failed in ex.attempts:
            if failed.status >= 400 and failed.error not in UNANSWERED:  # nothing was generated
                failed.cost_microusd = 0
        reply, attempt, table = ex.reply, ex.attempt, self._table
        if reply is None or attempt is None or table is None or reply.usage is None:
            return
        parts = reply.usage_by_model or {"": reply.usage}
        found = [self._price(table, ex, attempt, reply, model, usage) for model, usage in parts.items()]
        known = [price for price in found if price is not None]
        if known:
            ex.cost_microusd = attempt.cost_microusd = sum(cost for cost, _ in known)
        ex.cost_source = UNKNOWN if not known else PARTIAL if len(known) < len(found) else known[0][1]
        self._add_unanswered(table, ex, reply.usage.prompt)

    def _add_unanswered(self, table: Table, ex: Exchange, prompt: int) -> None:
        """Add what calls without an answer cost, which no vendor says: at least the prompt, of so many tokens."""
        for attempt in ex.attempts:
            calls = sum(one.error in UNANSWERED for one in attempt.tries) + (attempt.error in UNANSWERED)
            if not calls:
                continue
            known = table.find(called(attempt.provider, attempt.target.base_url or attempt.provider.url, attempt.model))
            rates = known.rates_at(ex.started_at, {})
            each = rates.cost(Usage(prompt=prompt)) if rates is not None else None
            if each is None or ex.cost_microusd is None:
                ex.cost_source = PARTIAL if ex.cost_microusd is not None else ex.cost_source
                continue
            attempt.cost_microusd = (attempt.cost_microusd or 0) + each * calls
            ex.cost_microusd += each * calls
            ex.cost_source = ESTIMATED if ex.cost_source != PARTIAL else PARTIAL

    def _price(
        self, table: Table, ex: Exchange, attempt: Attempt, reply: Reply, other: str, usage: Usage
    ) -> tuple[int, str] | None:
        """What one model's part cost in micro-USD, and who says so; None where that is not known, which is counted.

        `other` is the model's name where it is not the one that was called.
        """
        provider, model = attempt.provider, other or attempt.model
        url = ex.base_url or provider.url
        known = table.find(called(provider, url, model))
        stated = stated_cost(known.vendor, usage.raw)
        if stated is not None:
            return stated, "stated"
        said = Said() if other else said_of(reply)
        if said.model and said.model != model and known.source != SETTINGS:
            answered = table.find(called(provider, url, said.model))
            known = answered if answered.source else known
        terms = terms_of(known.terms, ex, attempt, usage, said) if known.terms else {}
        rates = known.rates_at(ex.started_at, terms)
        cost = rates.cost(usage) if rates is not None else None
        if cost is None:
            self.count_unknown(f"{provider.name}/{model}")
            return None
        return cost, known.source

    def count_unknown(self, name: str) -> None:
        """Count an exchange with a model, `provider/model`, that has no known price; the first one is logged."""
        name = shown(name, MAX_NAME)
        if name not in self.unknown:
            if len(self.unknown) >= MAX_UNKNOWN:
                name = "other"
            else:
                log.warning("no price is known, so the cost is null: set one in `models` of `prices`", model=name)
        self.unknown[name] = self.unknown.get(name, 0) + 1

    def _facts_of(self, provider: Provider, model: str) -> ModelFacts | None:
        """What is known of a model now, at the deployment's own base URL."""
        if self._table is None:
            return None
        known = self._table.find(called(provider, provider.url, model))
        facts = ModelFacts(known.context, known.max_output, _listed(known), known.capabilities)
        return None if facts == _NOTHING else facts


def load(path: Path | None, settings: Settings) -> Table:
    """The lists of a file, or those that come with genai-prices. BookError with the reason."""
    if path is None:
        return Table(Book.bundled(), settings)
    try:
        return Table(Book.read(path), settings)
    except BookError as error:
        words = (
            f"the prices of `{path}` cannot be used: {error}; correct it, or take a `data.json` (v2) of genai-prices"
        )
        raise BookError(words) from None


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file does; None when it is not there."""
    try:
        held = path.stat()
    except OSError:
        return None
    return held.st_mtime_ns, held.st_size, held.st_ino


def _listed(known: Known) -> dict[str, float]:
    """The standard prices in USD per million tokens, by the names that settings have for them."""
    rates = known.rates_at(time.time(), {})
    if rates is None:
        return {}
    if not rates.prices:
        return {"input": 0.0, "output": 0.0}
    return {name: float(rates.prices[key].base) for name, key in KEYS.items() if key in rates.prices}
