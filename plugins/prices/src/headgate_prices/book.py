"""The price lists of all vendors: those that come with genai-prices, or those of a file of the operator's.

Nothing here reaches a network: genai-prices has an updater, which is never started. Its package takes half a second to
import, so it is imported by the functions that need it, in a thread.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec

from headgate.suggest import shown
from headgate_prices.names import forms_of
from headgate_prices.rates import COUNTED, Place, Price, Rates, Tier, units

if TYPE_CHECKING:
    from genai_prices.types import (
        ModelInfo,
        ModelPrice,
        Provider,
        StartDateConstraint,
        TimeOfDateConstraint,
        UsageExtractor,
    )
    from genai_prices.units import UnitRegistry

    Constraint = StartDateConstraint | TimeOfDateConstraint | None

MAX_FILE_BYTES = 32 * 1024 * 1024
_SHOWN = 400
_BYTE = re.compile(r"\(byte (\d+)\)")
_BILLED = "billed_units"
"""Where Cohere states what it charges for, which is less than the tokens it counts."""


class BookError(ValueError):
    """A file of prices that cannot be used; the message says why."""


class Entry:
    """A model in a list. `rates` picks the prices that hold at a time and under the terms of a request.

    `context` is in tokens. A model that `vendor` sells for another one has the other's prices, without its variants.
    """

    def __init__(self, vendor: Provider, model: ModelInfo, source: str) -> None:
        self.vendor = vendor.id
        self.model = model.id
        self.name = model.name or model.id
        self.context = model.context_window
        self.comment = model.price_comments or ""
        self.is_deprecated = bool(model.deprecated)
        self.source = source
        self._standard = _standard_of(model)
        is_own = any(model is each for each in vendor.models)
        self._variants = (model.price_variants or []) if is_own else []
        self.terms = frozenset(name for variant in self._variants for name in variant.when)
        """The terms of a request that change the price, such as `service_tier`."""
        self._paths = _paths_of(vendor.extractors or ())
        self._made: dict[tuple[int, ...], Rates | None] = {}
        is_fixed = not self._variants and len(self._standard) == 1
        self._fixed = self._rates(_prices_of(self._standard[0][1])) if is_fixed else None
        self._is_fixed = is_fixed

    def rates(self, at: float, terms: Mapping[str, str]) -> Rates | None:
        """The prices at a Unix time in seconds for a request with these `terms`; None when the list names none."""
        if self._is_fixed:
            return self._fixed
        when = datetime.fromtimestamp(at, UTC)
        number = self._in_force(when)
        variants = self._variants if terms else []
        chosen = [
            at
            for at, each in enumerate(variants)
            if all(terms.get(name) == value for name, value in each.when.items())
            and (each.constraint is None or each.constraint.active(when))
        ]
        key = (number, *chosen)
        if key not in self._made:
            prices = _prices_of(self._standard[number][1])
            for place in reversed(chosen):
                prices |= _prices_of(variants[place].prices)
            self._made[key] = self._rates(prices)
        return self._made[key]

    def since(self, at: float) -> str:
        """The date from which the prices at a time hold, or the hours of the day; empty where the list does not say."""
        constraint = self._standard[self._in_force(datetime.fromtimestamp(at, UTC))][0]
        start = getattr(constraint, "start_date", None)
        if constraint is None or start is not None:
            return str(start or "")
        return f"{getattr(constraint, 'start_time', '')} to {getattr(constraint, 'end_time', '')}"

    def check(self) -> Iterator[set[str]]:
        """The price keys of every set of prices that may hold by itself. ValueError for a set that cannot be used."""
        for _, prices in self._standard:
            yield set(Rates(_prices_of(prices), self._paths).prices)
        for variant in self._variants:
            Rates(_prices_of(variant.prices), self._paths)

    def _rates(self, prices: Mapping[str, Price]) -> Rates | None:
        return Rates(prices, self._paths) if prices else None

    def _in_force(self, when: datetime) -> int:
        """The last of the standard prices that are valid then, else the first."""
        for number in range(len(self._standard) - 1, 0, -1):
            constraint = self._standard[number][0]
            if constraint is None or constraint.active(when):
                return number
        return 0


class Book:
    """All price lists. `source` is where the numbers come from, `dated` when they were, in words for people."""

    def __init__(self, vendors: Sequence[Provider], source: str, dated: str) -> None:
        self.source = source
        self.dated = dated
        self.vendors = {vendor.id: vendor for vendor in vendors}
        self._entries: dict[tuple[str, int], Entry] = {}

    @classmethod
    def bundled(cls) -> Book:
        """What the installed genai-prices holds."""
        from genai_prices.data import providers

        return cls(providers, "genai-prices", f"genai-prices {version('genai-prices')}")

    @classmethod
    def read(cls, path: Path) -> Book:
        """A file in genai-prices' data format, checked to the last price. BookError with the reason."""
        from genai_prices.data_units import unit_data
        from genai_prices.units import UnitRegistry

        try:
            size = path.stat().st_size
            if size > MAX_FILE_BYTES:
                raise BookError(f"it has {size} bytes, and more than {MAX_FILE_BYTES} are not read")
            dated = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            vendors = _decode(path.read_bytes())
        except OSError as error:
            raise BookError(f"it cannot be read: {error.strerror}") from None
        book = cls(vendors, "file", f"{path}, written {dated:%Y-%m-%d %H:%M} UTC")
        registry = UnitRegistry(unit_data)
        for vendor in vendors:
            _check(vendor, registry)
        return book

    def find(self, vendor: str, model: str) -> Entry | None:
        """A model in a vendor's list, by any name it goes by there."""
        for name, form in forms_of(vendor, model):
            held = self.vendors.get(name)
            found = held.find_model(form, all_providers=[*self.vendors.values()]) if held is not None else None
            if held is not None and found is not None:
                return self._entry(held, found)
        return None

    def _entry(self, vendor: Provider, model: ModelInfo) -> Entry:
        """A model's place in a list, made once: callers have many names for it. Lists may share an id, not the object."""
        key = (vendor.id, id(model))
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = Entry(vendor, model, self.source)
        return entry

    def find_all(self, model: str) -> Iterator[Entry]:
        """A model in every list that names it itself."""
        for vendor in self.vendors.values():
            found = vendor.find_model(model)
            if found is not None:
                yield Entry(vendor, found, self.source)

    def vendor_at(self, url: str) -> str | None:
        """Whose list is for calls to a base URL."""
        return next((each.id for each in self.vendors.values() if re.match(each.api_pattern, url)), None)

    def __len__(self) -> int:
        return sum(len(vendor.models) for vendor in self.vendors.values())


def _decode(text: bytes) -> list[Provider]:
    """The lists, made one by one: each holds up every other thread of the process while it is made."""
    from genai_prices.types import _providers_from_raw  # pyright: ignore[reportPrivateUsage] - as its updater does

    try:
        raw = msgspec.json.decode(text, type=list[dict[str, Any]])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        where = _line_of(text, str(error))
        raise BookError(f"{where}it is no JSON list of providers, as `data.json` of genai-prices is: {error}") from None
    if not raw:
        raise BookError("it holds no provider")
    made: list[Provider] = []
    for number, provider in enumerate(raw):
        try:
            _check_units(provider)
            made += _providers_from_raw([provider])
        except Exception as error:  # whatever pydantic and the checks of genai-prices raise
            where = f"provider {number}{_named(provider)}{_wrong_model(provider)}"
            raise BookError(f"{where} is not in genai-prices' data format: {_words(error)}") from None
        time.sleep(0)
    return made


def _line_of(text: bytes, words: str) -> str:
    """The line at which JSON is broken, from the byte that the decoder names; what is cut off breaks in the last one."""
    at = _BYTE.search(words)
    if at is None and "truncated" not in words:
        return ""
    lines = text.count(b"\n", 0, int(at[1]) if at is not None else len(text))
    return f"line {lines + 1}: "


def _wrong_model(provider: dict[str, Any]) -> str:
    """Which model of a provider is the wrong one; empty where it is the provider itself."""
    from genai_prices.types import _providers_from_raw  # pyright: ignore[reportPrivateUsage] - as above

    models: object = provider.get("models")
    for number, model in enumerate(cast("list[Any]", models) if isinstance(models, list) else ()):
        try:
            _providers_from_raw([{**provider, "models": [model]}])
        except Exception:
            try:
                _providers_from_raw([{**provider, "models": []}])
            except Exception:
                return ""
            return f", model {number}{_named(model)},"
    return ""


def _named(held: Any) -> str:
    """The id of a provider or a model, where it has one."""
    found: object = cast("dict[str, Any]", held).get("id") if isinstance(held, dict) else None
    return f" (`{shown(found, 80)}`)" if isinstance(found, str) else ""


def _check_units(provider: dict[str, Any]) -> None:
    """An extractor for a unit that is not known would be left out with no more than a warning."""
    known = {unit.name for unit in units().values()}
    for extractor in provider.get("extractors") or ():
        strange = {mapping["dest"] for mapping in extractor["mappings"]} - known
        if strange:
            raise BookError(f"the installed genai-prices knows no unit `{shown(min(strange), 80)}`: a newer one may")


def _check(vendor: Provider, registry: UnitRegistry) -> None:
    """Everything that would otherwise fail when the first request needs it."""
    from genai_prices.validation import validate_model_price

    where = f"`{shown(vendor.id, 80)}`"
    try:
        re.compile(vendor.api_pattern)
        for model in vendor.models:
            where = f"`{shown(vendor.id, 80)}`, model `{shown(model.id, 80)}`"
            model.is_match("")
            _compile(model.match)
            for keys in Entry(vendor, model, "").check():
                validate_model_price(keys, registry)
            time.sleep(0)  # lets requests go on meanwhile
    except Exception as error:
        raise BookError(f"{where}: {_words(error)}") from None


def _compile(match: Any) -> None:
    """Compile every regular expression of a match."""
    pattern = getattr(match, "regex", None)
    if pattern is not None:
        re.compile(pattern)
    for each in (*getattr(match, "or_", ()), *getattr(match, "and_", ())):
        _compile(each)


def _words(error: Exception) -> str:
    """The reason in one line: pydantic says it in many, and where to read more."""
    lines = [line.strip() for line in str(error).splitlines() if "https://" not in line]
    return shown(" ".join(lines) or type(error).__name__, _SHOWN)


def _standard_of(model: ModelInfo) -> list[tuple[Constraint, ModelPrice]]:
    """The prices of a model, each with when it holds; of several that hold the last one counts."""
    if not isinstance(model.prices, list):
        return [(None, model.prices)]
    if not model.prices:
        raise ValueError("it has no prices")
    return [(each.constraint, each.prices) for each in model.prices]


def _prices_of(model: ModelPrice) -> dict[str, Price]:
    """Every price that a set of prices names."""
    found: dict[str, Price] = {}
    for key, value in vars(model).items():
        if value is None:
            continue
        tiers = tuple(Tier(tier.start, tier.price) for tier in getattr(value, "tiers", ()))
        found[key] = Price(getattr(value, "base", value), tiers)
    return found


def _paths_of(extractors: Sequence[UsageExtractor]) -> dict[str, list[Place]]:
    """Where the usage objects of a vendor's interfaces state each unit that `Usage` does not count, or not as billed."""
    found: dict[str, list[Place]] = {}
    for extractor in extractors:
        below = () if isinstance(extractor.root, str) else tuple(extractor.root)[1:]
        for mapping in extractor.mappings:
            if mapping.dest in COUNTED and _BILLED not in below:
                continue
            steps = (mapping.path,) if isinstance(mapping.path, str) else tuple(mapping.path)
            places = found.setdefault(mapping.dest, [])
            if (*below, *steps) not in places:
                places.append((*below, *steps))
    return found
