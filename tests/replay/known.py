"""Faults that known.toml explains, and those it does not."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from tests.replay.corpus import Recording

FILE = Path(__file__).parent / "known.toml"


class Fault(Protocol):
    """Something wrong with what became of a recording; its text says what."""

    @property
    def recording(self) -> Recording:
        """The recording it was seen with."""
        ...


@dataclass(frozen=True)
class Known:
    """A fault that stands, with these words, at each of these places and with each of these recordings."""

    where: tuple[str, ...]
    ids: tuple[str, ...]
    words: str
    why: str


@cache
def listed() -> tuple[Known, ...]:
    """What known.toml holds."""
    found: list[Any] = tomllib.loads(FILE.read_text("utf-8")).get("fault", [])
    return tuple(Known(tuple(each["where"]), tuple(each["ids"]), each["words"], each["why"]) for each in found)


def unknown(where: str, faults: Iterable[Fault], known: Sequence[Known] | None = None) -> list[str]:
    """The faults of one place that nothing explains, and what is explained and was not seen, as text."""
    here = [each for each in (listed() if known is None else known) if where in each.where]
    waiting = {(each.words, name): each for each in here for name in each.ids}
    found: list[str] = []
    for fault in faults:
        text, name = str(fault), fault.recording.id
        reasons = [each.words for each in here if name in each.ids and each.words in text]
        if not reasons:
            found.append(text)
        for words in reasons:
            waiting.pop((words, name), None)
    found += [f"known.toml: `{words}` is no longer seen at {where} with {name}" for words, name in waiting]
    return found
