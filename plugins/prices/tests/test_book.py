"""Files of prices: what is in them counts, and what is wrong with them is said before anything of them counts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from headgate.chat import Usage
from headgate_prices import book as module
from headgate_prices.book import Book, BookError, Entry

Json = dict[str, Any]
Write = Callable[[object], Path]


def found(path: Path, model: str) -> Entry:
    entry = Book.read(path).find("openai", model)
    assert entry is not None
    return entry


def cost(entry: Entry, usage: Usage, terms: dict[str, str] | None = None, when: str = "2026-06-01") -> int | None:
    rates = entry.rates(datetime.fromisoformat(when).replace(tzinfo=UTC).timestamp(), terms or {})
    return None if rates is None else rates.cost(usage)


def test_a_file(listed: Json, price_file: Write) -> None:
    """A file takes the place of the lists, and says when it was written."""
    book = Book.read(price_file([listed]))
    plain = book.find("openai", "plain")
    assert plain is not None
    assert (plain.source, cost(plain, Usage(1000, 100))) == ("file", 2850)
    assert book.find("openai", "gpt-4o") is None
    assert len(book) == 5
    assert "prices.json, written 20" in book.dated


def test_prices_of_a_time(listed: Json, price_file: Write) -> None:
    """The price of the day on which a request came in, in UTC."""
    dated = found(price_file([listed]), "old-7")
    assert [cost(dated, Usage(10), when=day) for day in ("2025-01-01", "2026-02-28", "2026-03-01")] == [10, 10, 30]
    assert dated.context == 128_000
    assert dated.since(datetime(2026, 5, 1, tzinfo=UTC).timestamp()) == "2026-03-01"
    assert dated.since(0) == ""


def test_prices_of_terms(listed: Json, price_file: Write) -> None:
    """What a request asks for changes the prices it names, and no others."""
    served = found(price_file([listed]), "served")
    usage = Usage(10, 10, raw={"tools": {"searches": 1}})
    both = {"service_tier": "flex", "speed": "fast"}
    terms: list[dict[str, str]] = [{}, {"service_tier": "flex"}, {"speed": "fast"}, both, {"service_tier": "other"}]
    assert [cost(served, usage, each) for each in terms] == [10_040, 10_020, 10_220, 10_020, 10_040]
    assert served.terms == {"service_tier", "speed"}


def test_a_model_without_prices(listed: Json, price_file: Write) -> None:
    """A list that knows a model and names no price does not say that it is free."""
    assert found(price_file([listed]), "unpriced").rates(0, {}) is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "no JSON list of providers"),
        ("{", "no JSON list of providers"),
        ('[{"id": "openai"', "no JSON list of providers"),
        ("{}", "no JSON list of providers"),
        ("[1]", "no JSON list of providers"),
        ("[" * 100_000, "no JSON list of providers"),
        ("[]", "it holds no provider"),
        ("[{}]", "provider 0 is not in genai-prices' data format"),
    ],
)
def test_a_file_that_is_none(price_file: Write, content: str, reason: str) -> None:
    """The reason is one line."""
    with pytest.raises(BookError, match=reason) as raised:
        Book.read(price_file(content))
    assert len(str(raised.value).splitlines()) == 1
    assert len(str(raised.value)) < 600


def _at(model: Json, *path: str | int) -> Any:
    held: Any = model
    for step in path:
        held = held[step]
    return held


@pytest.mark.parametrize(
    ("path", "key", "value", "reason"),
    [
        (("models", 0, "prices"), "input_mtok", -1, "model `plain`: `input_mtok` has the price -1"),
        (("models", 0, "prices"), "input_mtok", "cheap", "provider 0 .*is not in"),
        (("models", 0, "prices"), "input_mtok", "1e-999999", "model `plain`: `input_mtok` has the price"),
        (("models", 0, "prices"), "smells_mtok", 1, "knows no price `smells_mtok`"),
        (("models", 0, "prices"), "cache_write_1h_mtok", 1, "model `plain`: Missing ancestor price"),
        (("models", 2), "prices", [], "model `dated`: it has no prices"),
        (("models", 2, "match", "or", 1), "regex", "(", "model `dated`: "),
        (("models", 2, "match"), "or", [{"sounds_like": "x"}], "provider 0 .*is not in"),
        (("models", 3, "price_variants", 0), "when", {}, "provider 0 .*is not in"),
        (("models", 3, "price_variants", 1, "prices"), "output_mtok", -5, "model `served`: `output_mtok`"),
        (("extractors", 0, "mappings", 0), "dest", "smells", "knows no unit `smells`"),
        ((), "api_pattern", "(", "`openai`: "),
        ((), "models", None, "provider 0 .*is not in"),
    ],
)
def test_a_file_with_one_mistake(
    listed: Json, price_file: Write, path: tuple[str | int, ...], key: str, value: Any, reason: str
) -> None:
    """One wrong price, rule or unit anywhere refuses all of the file, and is named."""
    _at(listed, *path)[key] = value
    with pytest.raises(BookError, match=reason) as raised:
        Book.read(price_file([listed]))
    assert len(str(raised.value).splitlines()) == 1


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Said as the system says it."""
    with pytest.raises(BookError, match="it cannot be read: No such file"):
        Book.read(tmp_path / "prices.json")


def test_a_file_that_is_too_large(listed: Json, price_file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's prices take that much, and reading it would hold everything up."""
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 100)
    with pytest.raises(BookError, match="more than 100 are not read"):
        Book.read(price_file([listed]))
