"""Words: what the demo says, how it counts and cuts. A token is a word with the blanks behind it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from typing import Literal

from msgspec import Struct

from headgate.errors import InvalidRequest

CREATED = 1_767_225_600
"""When every demo answer was made, 2026-01-01: a clock would make answers differ."""
MOST_CHOICES = 128
MOST_TOKENS = 100_000
_LONGEST_ECHO = 100_000
_TOKEN = re.compile(r"\S+\s*|\s+")


class Spoken(Struct, frozen=True):
    """One answer: its text and why it ended."""

    text: str
    finish: Literal["stop", "length"] = "stop"


def count(text: str) -> int:
    """The tokens of a text."""
    return len(_TOKEN.findall(text))


def digest(*parts: object) -> str:
    """A hexadecimal name for what was asked; equal requests have equal names."""
    held = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogatepass")
        held.update(len(data).to_bytes(8, "big") + data)
    return held.hexdigest()


def say(said: str, index: int = 0, tokens: int | None = None, verb: str = "You said") -> str:
    """A friendly echo of `said`; with `tokens` words repeated or cut to exactly that many."""
    number = f" Answer {index + 1}." if index else ""
    text = f"Hello from the Headgate demo.{number} {verb}: {said[:_LONGEST_ECHO]}"
    return text if tokens is None else " ".join(islice(cycle(text.split()), tokens))


def cut(text: str, max_tokens: object, stop: Sequence[object]) -> Spoken:
    """`text` up to the first stop string or `max_tokens`, whichever comes first."""
    words = _TOKEN.findall(text)
    limit = len(words) if max_tokens is None else at_least_one("max_tokens", max_tokens)
    kept = "".join(words[:limit])
    ends = [kept.find(word) for word in stop if isinstance(word, str) and word and word in kept]
    if ends:
        return Spoken(kept[: min(ends)])
    return Spoken(kept, "length" if limit < len(words) else "stop")


def pieces(text: str, size_bytes: int | None) -> Iterator[str]:
    """A text in the pieces it streams in: its tokens, or as many characters as fit into `size_bytes`."""
    if size_bytes is None:
        yield from _TOKEN.findall(text)
        return
    held: list[str] = []
    size = 0
    for character in text:
        length = len(character.encode("utf-8", "surrogatepass"))
        if held and size + length > size_bytes:
            yield "".join(held)
            held, size = [], 0
        held.append(character)
        size += length
    if held:
        yield "".join(held)


def at_least_one(name: str, value: object, most: int | None = None) -> int:
    """`value` as a whole number from 1 to `most`; InvalidRequest naming the field otherwise."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1 or (most is not None and value > most):
        upper = "" if most is None else f" to {most}"
        raise InvalidRequest(f"`{name}` must be a whole number from 1{upper or ' up'}", param=name)
    return value
