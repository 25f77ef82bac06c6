"""What each exchange cost, from what the vendor says it used: set in `settle`, before anything is recorded."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from pathlib import Path

import msgspec
import structlog
from msgspec import Struct
from typing_extensions import override

from headgate import Attempt, Command, Context, Exchange, Hooks, Problem, StartupError, hookimpl
from headgate.chat import Usage
from headgate.suggest import MAX_NAME, shown
from headgate_prices.book import Book, BookError
from headgate_prices.commands import PricesCommand, add_arguments
from headgate_prices.settings import ModelSettings, PricesConfig, Settings
from headgate_prices.stated import stated_cost
from headgate_prices.table import Table

__all__ = ["ModelSettings", "Prices", "PricesConfig"]

MAX_UNKNOWN = 1000
_TIER = b'"service_tier"'

log = structlog.get_logger("headgate")


class _Tiered(Struct):
    service_tier: str | None = None


_tier_probe = msgspec.json.Decoder(_Tiered)


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
        self._reading: asyncio.Task[None] | None = None
        self.unknown: dict[str, int] = {}

    @override
    @hookimpl
    def configure(self, ctx: Context) -> None:
        """A reload calls this for a plugin that it keeps: then the file of prices is read again, behind it."""
        if self._table is not None and self._config.path and (self._reading is None or self._reading.done()):
            self._reading = asyncio.get_running_loop().create_task(asyncio.to_thread(self.refresh))

    @override
    @hookimpl
    async def start(self, ctx: Context) -> None:
        self._path = ctx.state_dir / self._config.path
        self._stamp = _stamp(self._path)
        try:
            self._table = await asyncio.to_thread(self._load)
        except BookError as error:
            raise StartupError([Problem(str(error))]) from None

    @override
    @hookimpl
    async def stop(self) -> None:
        if self._reading is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._reading
        if self.unknown:
            log.info("exchanges without a known price", models=len(self.unknown), exchanges=sum(self.unknown.values()))

    @override
    @hookimpl
    def commands(self) -> Iterable[Command]:
        command = PricesCommand(self._config)
        return [Command("prices", "print what is known of a model, and what it costs", command.run, add_arguments)]

    @override
    @hookimpl
    async def settle(self, ex: Exchange) -> None:
        if ex.cache_status == "HIT":
            ex.cost_microusd, ex.cost_source = 0, "cache"
            return
        reply, attempt, table = ex.reply, ex.attempt, self._table
        if reply is None or attempt is None or table is None:
            return
        usage = reply.usage
        if usage is None:
            return
        provider, model = attempt.provider, attempt.model
        url = ex.base_url or provider.url
        known = table.find((provider.deployment, provider.name, type(provider).base_url, url, model))
        stated = stated_cost(known.vendor, usage.raw)
        if stated is not None:
            ex.cost_microusd, ex.cost_source = stated, "stated"
            return
        terms = _terms_of(known.terms, ex, attempt, usage) if known.terms else {}
        rates = known.rates_at(ex.started_at, terms)
        cost = rates.cost(usage) if rates is not None else None
        if cost is None:
            self.count_unknown(f"{provider.name}/{model}")
            return
        ex.cost_microusd, ex.cost_source = cost, known.source

    def refresh(self) -> None:
        """Read the file again if it has changed. What is broken is logged, and the last good prices stay."""
        while (now := _stamp(self._path)) != self._stamp:
            self._stamp = now
            try:
                self._table = self._load()
            except Exception as error:
                reason = str(error) if isinstance(error, BookError) else type(error).__name__
                log.error("the new prices cannot be used, the last good ones stay", reason=reason)
            else:
                log.info("prices read again", file=str(self._path), models=len(self._table.book))

    def _load(self) -> Table:
        return load(self._path if self._config.path else None, self._settings)

    def count_unknown(self, name: str) -> None:
        """Count an exchange with a model, `provider/model`, that has no known price; the first one is logged."""
        name = shown(name, MAX_NAME)
        if name not in self.unknown:
            if len(self.unknown) >= MAX_UNKNOWN:
                name = "other"
            else:
                log.warning("no price is known, so the cost is null: set one in `models` of `prices`", model=name)
        self.unknown[name] = self.unknown.get(name, 0) + 1


def load(path: Path | None, settings: Settings) -> Table:
    """The lists of a file, or those that come with genai-prices. BookError with the reason."""
    if path is None:
        return Table(Book.bundled(), settings)
    try:
        return Table(Book.read(path), settings)
    except BookError as error:
        raise BookError(f"the prices of `{path}` cannot be used: {error}") from None


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file does; None when it is not there."""
    try:
        held = path.stat()
    except OSError:
        return None
    return held.st_mtime_ns, held.st_size, held.st_ino


def _terms_of(names: frozenset[str], ex: Exchange, attempt: Attempt, usage: Usage) -> dict[str, str]:
    """Those of the terms that an answer or a request tells: the speed, and the service tier.

    https://developers.openai.com/api/docs/guides/fast-mode and https://platform.claude.com/docs/en/build-with-claude/fast-mode
    """
    raw = usage.raw or {}
    found: dict[str, object] = {}
    if "speed" in names:
        found["speed"] = raw.get("speed")
    if "service_tier" in names:
        found["service_tier"] = raw.get("serviceTier") or _tier(ex, attempt)
    return {name: value.lower() for name, value in found.items() if isinstance(value, str)}


def _tier(ex: Exchange, attempt: Attempt) -> object:
    """The tier that a whole reply names, for it may be another one than was asked for; else the one that was."""
    reply = ex.reply
    named = _tier_in(reply.body) if reply is not None and reply.chunks is None else None
    return named or attempt.target.override_params.get("service_tier") or _tier_in(attempt.body or ex.body)


def _tier_in(body: bytes) -> str | None:
    if _TIER not in body:
        return None
    try:
        return _tier_probe.decode(body).service_tier
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
