"""Words in error messages: what a mistyped name was meant to be, and how much of somebody's text may be repeated."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

MAX_NAME = 100


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A clause to put behind an error: `` (did you mean `x`?)``, or nothing when no known name is close."""
    if len(name) > MAX_NAME:
        return ""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" (did you mean `{close[0]}`?)" if close else ""


def shown(text: str, most: int = 1000) -> str:
    """`text` as one printable line of at most `most` characters."""
    cut = text if len(text) <= most else f"{text[:most]}…"
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in cut)


def name_in(text: str) -> str:
    """The name at the start of `text`, for names that are not known: `api_key:sk-1` lacks a space, and holds a secret."""
    found = re.match(r"[\w.*/@-]*", text)
    name = found.group()[:MAX_NAME] if found else ""
    return name if name == text else f"{name}…"
