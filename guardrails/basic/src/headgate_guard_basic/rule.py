"""Regular expressions in linear time: RE2, and how long a match of one can be."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from typing import Any

import re2  # pyright: ignore[reportMissingTypeStubs] - the package brings no types

_re2: Any = re2

_WIDE_CHARS = 4
"""The most characters that NFKC makes one of."""
_ASCII = tuple(chr(number) for number in range(128))
_RARE_FIRST = f"{string.punctuation}QZXJKVWYGPBFMUDHCLRISNOATEqzjxkvbpygfwmucldrhsnioate{string.digits} "
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
        needed = _needed(text) if self.longest is not None else frozenset[str]()
        self._telling = min(needed, key=_RARE_FIRST.find, default="")
        """A character that every match holds, the rarest of those known; empty when none is."""

    def matches(self, text: str) -> bool:
        """Whether it matches anywhere."""
        if self._telling not in text:
            return False
        return self._compiled.search(text.encode()) is not None  # of text the binding would count the characters too

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


def _needed(rule: str) -> frozenset[str]:
    """ASCII characters that every match holds: those that stand in `rule` for themselves and are not optional.

    `rule` must be valid and have a bound.
    """
    flags = _FLAGS.match(rule)
    at = flags.end() if flags else 0
    is_folded = flags is not None and "i" in flags[0]
    nothing = frozenset[str]()
    stack: list[tuple[frozenset[str] | None, frozenset[str]]] = []
    others: frozenset[str] | None = None  # what all alternatives so far hold
    current = before = nothing  # what this one holds, with and without its last part
    while at < len(rule):
        token = _TOKEN.match(rule, at)
        if token is None:
            return nothing
        at = token.end()
        match token.lastgroup:
            case "open":
                stack.append((others, current))
                others, current, before = None, nothing, nothing
            case "close":
                held = current if others is None else others & current
                others, before = stack.pop()
                current = before | held
            case "or":
                others = current if others is None else others & current
                current = before = nothing
            case "repeat":
                current = current if int(token["least"] or 0) else before
            case "narrow":
                before = current
                char = token[0].removeprefix("\\")
                is_itself = len(char) == 1 and (not char.isalnum() or char == token[0])
                current |= {char} if is_itself and not (is_folded and char.isalpha()) else nothing
            case _:
                before = current
    return current if others is None else others & current


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
