"""Words in error messages: what a mistyped name was meant to be, and how much of somebody's text may be repeated."""

from __future__ import annotations

import difflib
import re
from bisect import bisect
from collections.abc import Iterable
from itertools import islice

MAX_NAME = 100
MAX_COMPARED = 64
"""How many known names a mistyped one is compared with at most: callers choose the name, and each comparison is slow."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A clause to put behind an error: `` (did you mean `x`?)``, or nothing when no known name is close."""
    if len(name) > MAX_NAME:
        return ""
    close = difflib.get_close_matches(name, _nearest(name, known), n=1, cutoff=0.6)
    return f" (did you mean `{close[0]}`?)" if close else ""


def _nearest(name: str, known: Iterable[str]) -> list[str]:
    """Names worth a comparison: all of a similar length, or of very many those with the longest common start or the same end.

    A single mistake leaves the second half of a name as it is, or the start of it up to the mistake.
    """
    shortest, longest = len(name) * 3 / 7, len(name) * 7 / 3  # outside of it no two names are 0.6 alike
    similar = [other for other in known if shortest <= len(other) <= longest]
    if len(similar) <= MAX_COMPARED:
        return similar
    half = MAX_COMPARED // 2
    first, rest = name[:1], name[len(name) // 2 :]
    starts = sorted(other for other in similar if other.startswith(first))
    at = bisect(starts, name)
    ends = islice((other for other in similar if other.endswith(rest)), half)
    return list(dict.fromkeys([*starts[max(0, at - half // 2) : at + half // 2], *ends]))


def shown(text: str, most: int = 1000) -> str:
    """`text` as one printable line of at most `most` characters."""
    cut = text if len(text) <= most else f"{text[:most]}…"
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in cut)


def name_in(text: str) -> str:
    """The name at the start of `text`, for names that are not known: `api_key:sk-1` lacks a space, and holds a secret."""
    found = re.match(r"[\w.*/@-]*", text)
    name = found.group()[:MAX_NAME] if found else ""
    return name if name == text else f"{name}…"
