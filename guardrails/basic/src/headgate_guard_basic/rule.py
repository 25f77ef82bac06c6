"""Regular expressions in linear time: RE2, and how long a match of one can be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import re2  # pyright: ignore[reportMissingTypeStubs] - the package brings no types

_re2: Any = re2

_WIDE_CHARS = 4
"""The most characters that NFKC makes one of."""
_ASCII = tuple(chr(number) for number in range(128))
_FLAGS = re.compile(r"\(\?[imsU]+\)")
_TOKEN = re.compile(
    r"""
    (?P<open> \( (?: \?: | \?P?<\w+> | (?!\?) ) )
    | (?P<close> \) )
    | (?P<or> \| )
    | (?P<repeat> (?: \? | \{ (?P<least>\d+) (?: , (?P<most>\d+) )? \} ) \?? )
    | (?P<edge> \\[bB] )
    | (?P<narrow> [^\\^$.|?*+(){}\[\]\x80-\U0010ffff] | \\[dwsntrfva!-/:-@\[-`{-~]
        | \[ (?!\^) (?: [^\\\[\]\x80-\U0010ffff] | \\[dwsntrfva!-/:-@\[-`{-~] )+ \] )
    | (?P<wide> \. | [^\x00-\x7f] | \\[DWS] | \\[pP] (?: \w | \{\^?\w+\} ) | \\x (?: [0-9a-fA-F]{2} | \{[0-9a-fA-F]+\} )
        | \[ \^? \]? (?: [^\\\[\]] | \\. | \[:\^?\w+:\] )* \] )
    """,
    re.VERBOSE | re.DOTALL,
)


class Rule:
    """A compiled RE2 expression. ValueError says what RE2 does not support (https://github.com/google/re2/wiki/Syntax)."""

    def __init__(self, text: str) -> None:
        options = _re2.Options()
        options.log_errors = False
        try:
            self._compiled: Any = _re2.compile(text, options)
        except _re2.error as error:
            reason = error.args[0]
            shown = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
            raise ValueError(f"`{text}` is not in RE2 syntax: {shown}") from None
        self.longest = longest_match(text)
        self.alphabet = _alphabet(text) if self.longest is not None else None

    def matches(self, text: str) -> bool:
        """Whether it matches anywhere."""
        return self._compiled.search(text) is not None

    def ends(self, text: str) -> Iterator[int]:
        """Where its matches end."""
        return (match.end() for match in self._compiled.finditer(text))

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Where it matches, from left to right without overlap."""
        for match in self._compiled.finditer(text):
            yield match.span()


def _alphabet(rule: str) -> frozenset[str] | None:
    """The ASCII characters that a match can be made of; None when it may hold others too. `rule` must have a bound.

    Every token of one character is asked on its own, under the flags of the rule.
    """
    flags = _FLAGS.match(rule)
    prefix = flags[0] if flags else ""
    at = len(prefix)
    found: set[str] = set()
    while at < len(rule):
        token = _TOKEN.match(rule, at)
        if token is None or token.lastgroup == "wide":
            return None
        at = token.end()
        if token.lastgroup == "narrow":
            one = _re2.compile(prefix + token[0])
            found.update(char for char in _ASCII if one.fullmatch(char) is not None)
    return frozenset(found)


def longest_match(rule: str) -> int | None:
    """How many characters of unread text a match can take at most; None when there is no bound, or none is known.

    Rules that look at the ends of the text have none: they can only be judged on all of it. `rule` must be valid.
    """
    flags = _FLAGS.match(rule)
    at = flags.end() if flags else 0
    stack: list[tuple[int, int]] = []
    best = current = last = 0
    while at < len(rule):
        token = _TOKEN.match(rule, at)
        if token is None:
            return None
        at = token.end()
        match token.lastgroup:
            case "open":
                stack.append((best, current))
                best = current = 0
                continue
            case "close":
                last = max(best, current)
                best, current = stack.pop()
            case "or":
                best, current = max(best, current), 0
                continue
            case "repeat":
                last *= int(token["most"] or token["least"] or 1) - 1
            case "edge":
                last = 0
            case kind:
                last = 1 if kind == "narrow" else _WIDE_CHARS
        current += last
    return max(best, current)
