"""Reading one mapping of a routing config: each member by its type, and what is wrong with it at its place."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, cast

from headgate.body import Path, parse_path
from headgate.suggest import MAX_NAME, did_you_mean, shown

MAX_NUMBER = 10**12
MAX_HINTS = 5
"""How many problems say what was meant: callers send routing configs, and looking for it among many names takes long."""
_HUMP = re.compile(r"(?<=[a-z0-9])([A-Z])")


class Faults:
    """Where problems go, and how many hints there may still be."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._hints = 0

    def add(self, path: str, message: str) -> None:
        """Something is wrong at `path`."""
        self._say(f"`{path}` {message}")

    def hint(self, name: str, known: Collection[str]) -> str:
        """What may have been meant."""
        self._hints += 1
        return did_you_mean(name, known) if self._hints <= MAX_HINTS else ""


class Fields:
    """The members of one mapping at `path`, by snake_case name; Portkey's SDKs write camelCase, which means the same."""

    def __init__(self, written: Mapping[Any, Any], path: str, faults: Faults) -> None:
        self.path = path
        self._faults = faults
        self.held: dict[str, Any] = {_snake(str(name)): value for name, value in written.items()}

    def __contains__(self, name: str) -> bool:
        """Whether it is there and not null."""
        return self.held.get(name) is not None

    def wrong(self, name: str, message: str) -> None:
        """Something is wrong with a member."""
        self._faults.add(f"{self.path}.{cut(name)}", message)

    def only(self, known: Collection[str], elsewhere: Mapping[str, str] | None = None) -> None:
        """Every member must be known; `elsewhere` says of others where they belong."""
        for name in self.held:
            if name in known:
                continue
            where = next((words for start, words in (elsewhere or {}).items() if name.startswith(start)), None)
            self.wrong(name, where or f"is not known{self._faults.hint(name, known)}")

    def number(self, name: str, default: float = 0.0) -> float:
        """A number from 0 on."""
        value = self.held.get(name)
        if value is None:
            return default
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MAX_NUMBER:
            return float(value)
        self.wrong(name, f"must be a number of 0 to {MAX_NUMBER}")
        return default

    def whole(self, name: str, most: int) -> int:
        """A whole number from 0 to `most`."""
        value = self.number(name)
        if value.is_integer() and value <= most:
            return int(value)
        self.wrong(name, f"must be a whole number of 0 to {most}")
        return 0

    def text(self, name: str) -> str:
        """Text, empty where there is none."""
        value = self.held.get(name)
        if value is None or isinstance(value, str):
            return value or ""
        self.wrong(name, "must be a string")
        return ""

    def texts(self, name: str) -> list[str]:
        """A list of text, or the same in one string with commas between."""
        value: Any = self.held.get(name)
        if isinstance(value, str):
            value = [part.strip() for part in value.split(",")]
        if value is None:
            return []
        if isinstance(value, list) and all(isinstance(item, str) and item for item in cast("list[Any]", value)):
            return cast("list[str]", value)
        self.wrong(name, "must be a list of strings")
        return []

    def flag(self, name: str) -> bool | None:
        """True or false; None where nothing is said."""
        value = self.held.get(name)
        if value is None or isinstance(value, bool):
            return value
        self.wrong(name, "must be `true` or `false`")
        return None

    def mapping(self, name: str) -> dict[str, Any]:
        """A mapping as it is written, empty where there is none."""
        value: Any = self.held.get(name)
        if isinstance(value, dict):
            return cast("dict[str, Any]", value)
        if value is not None:
            self.wrong(name, "must be a mapping")
        return {}

    def part(self, name: str) -> Fields:
        """A mapping below this one."""
        return Fields(self.mapping(name), f"{self.path}.{name}", self._faults)

    def items(self, name: str) -> list[Any]:
        """A list, empty where there is none."""
        value: Any = self.held.get(name)
        if isinstance(value, list):
            return cast("list[Any]", value)
        if value is not None:
            self.wrong(name, "must be a list")
        return []

    def codes(self, name: str = "on_status_codes") -> tuple[int, ...]:
        """HTTP statuses."""
        codes = self.held.get(name)
        if codes is None:
            return ()
        if isinstance(codes, list) and all(_is_status(code) for code in cast("list[Any]", codes)):
            return tuple(cast("list[int]", codes))
        self.wrong(name, "must be a list of HTTP status codes")
        return ()

    def paths(self, name: str) -> tuple[Path, ...]:
        """Ways to members of a request: `a`, `a.b`, `a[0].b`, `a[*].b`."""
        found: list[Path] = []
        for text in self.texts(name):
            try:
                found.append(parse_path(text))
            except ValueError as error:
                self.wrong(name, str(error))
        return tuple(found)


def cut(name: str) -> str:
    """A name that somebody else chose, short enough to show."""
    return shown(name, MAX_NAME)


def _snake(name: str) -> str:
    return _HUMP.sub(lambda found: f"_{found[1].lower()}", name) if name[:1] != "$" else name


def _is_status(code: object) -> bool:
    return isinstance(code, int) and not isinstance(code, bool) and 100 <= code <= 599
