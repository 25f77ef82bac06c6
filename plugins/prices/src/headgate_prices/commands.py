"""`headgate prices MODEL`: what is known of a model, where from, and of which date."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from headgate import Problem, StartupError
from headgate.suggest import shown
from headgate_prices.book import Book, BookError
from headgate_prices.names import list_of
from headgate_prices.rates import Price, Rates, units
from headgate_prices.settings import PricesConfig, Settings
from headgate_prices.table import SETTINGS, Known, Table

MAX_LISTED = 50


class PricesCommand:
    """The command, for a gateway with these settings."""

    def __init__(self, config: PricesConfig) -> None:
        self._config = config

    def run(self, arguments: argparse.Namespace) -> int:
        """Print the facts; the exit code is 1 when nothing is known. Raises StartupError for a file that cannot be used."""
        state_dir: Path = arguments.state_dir
        path = state_dir / self._config.path if self._config.path else None
        try:
            book = Book.bundled() if path is None else Book.read(path)
            table = Table(book, Settings(self._config.models))
        except BookError as error:
            raise StartupError([Problem(str(error), "" if path is None else str(path))]) from None
        lines = list(_facts(table, arguments.model))
        for line in lines:
            sys.stdout.write(f"{line}\n")
        if not lines:
            name = shown(arguments.model, 100)
            sys.stderr.write(
                f"nothing is known of `{name}`: it works, and its cost is null; set it in `models` of `prices`\n"
            )
        return 0 if lines else 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fill the parser of `headgate prices`."""
    parser.add_argument("model", metavar="MODEL", help="`provider/model`; without a provider, every list that has it")


def _facts(table: Table, name: str) -> Iterator[str]:
    """What is known of `provider/model`, else one line for each list that has a model of that name."""
    provider, _, model = name.partition("/")
    now = time.time()
    if model:
        known = table.know(list_of(provider, "", "") or provider, model, name)
        if known.rates_at(now, {}) is not None or known.context or known.max_output:
            yield from _page(table, name, known, now)
            return
    found = list(table.book.find_all(name))
    for entry in found[:MAX_LISTED]:
        yield f"{entry.vendor}/{entry.model}: {_briefly(entry.rates(now, {}))}"
    if len(found) > MAX_LISTED:
        yield f"and {len(found) - MAX_LISTED} more"


def _briefly(rates: Rates | None) -> str:
    if rates is None:
        return "price not known"
    named = [key for key in ("input_mtok", "output_mtok") if key in rates.prices] or rates.prices
    return ", ".join(f"{_unit(key)} {_amount(rates.prices[key], key)}" for key in named)


def _page(table: Table, name: str, known: Known, now: float) -> Iterator[str]:
    entry, rates = known.entry, known.rates_at(now, {})
    yield name
    yield _row("source", "settings of the plugin" if known.source == SETTINGS else table.book.dated)
    if entry is not None:
        yield _row("listed as", f"{entry.vendor}/{entry.model}{', deprecated' if entry.is_deprecated else ''}")
    yield _row("context", _tokens(known.context))
    yield _row("max output", _tokens(known.max_output))
    if known.capabilities:
        yield _row("capabilities", ", ".join(known.capabilities))
    yield from _prices(rates)
    if known.source == SETTINGS or entry is None:
        return
    if entry.since(now):
        yield _row("holds", f"since {entry.since(now)}" if " to " not in entry.since(now) else entry.since(now))
    if entry.terms:
        yield _row("varies with", ", ".join(sorted(entry.terms)))
    if entry.comment:
        yield _row("note", shown(entry.comment, 2000))


def _prices(rates: Rates | None) -> Iterator[str]:
    if rates is None:
        yield _row("price", "not known")
    elif not rates.prices:
        yield _row("price", "free")
    else:
        for key, price in rates.prices.items():
            yield _row(_unit(key), _amount(price, key))


def _amount(price: Price, key: str) -> str:
    steps = "".join(f", ${tier.price} for prompts over {tier.start} tokens" for tier in price.tiers)
    per = units()[key].per
    return f"${price.base} per {'million' if per == 1_000_000 else per}{steps}"


def _unit(key: str) -> str:
    return units()[key].name.replace("_", " ")


def _tokens(count: int | None) -> str:
    return "not known" if count is None else f"{count} tokens"


def _row(name: str, value: str) -> str:
    return f"  {name:<22} {value}"
