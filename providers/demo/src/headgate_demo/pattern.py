"""The shortest text for a regular expression, written from the expression and never matched against it.

A caller's pattern must not be run: backtracking could hold the event loop for hours. Covers literals, classes, groups,
alternatives, quantifiers and anchors (ECMA-262, as JSON Schema says); anything else is a ValueError.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from string import ascii_letters, digits, punctuation, whitespace

_WORD = frozenset(ascii_letters + digits + "_")
_KINDS: dict[str, AbstractSet[str]] = {"d": frozenset(digits), "w": _WORD, "s": frozenset(whitespace)}
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}
_ALPHABET = ascii_letters + digits + punctuation + " "
_LONGEST = 10_000
_LONGEST_PATTERN = 1_000
_DEEPEST = 20


def text_for(pattern: str, extra: int = 0) -> str:
    """A text that `pattern` accepts, each open-ended part repeated `extra` times more than it must be."""
    if len(pattern) > _LONGEST_PATTERN:
        raise ValueError(f"the pattern is longer than {_LONGEST_PATTERN} characters")
    writer = _Writer(pattern, extra)
    text = writer.alternatives(0)
    if writer.at < len(pattern):
        raise ValueError(f"unbalanced `)` in `{pattern}`")
    return text


class _Writer:
    """Reads an expression from left to right and writes as it goes."""

    def __init__(self, pattern: str, extra: int) -> None:
        self.pattern = pattern
        self.extra = extra
        self.at = 0

    def alternatives(self, depth: int) -> str:
        """The first alternative up to the end of the group; the others are read and thrown away."""
        if depth > _DEEPEST:
            raise ValueError("the pattern is nested too deep")
        first = self._sequence(depth)
        while self._peek() == "|":
            self.at += 1
            self._sequence(depth)
        return first

    def _sequence(self, depth: int) -> str:
        written: list[str] = []
        size = 0
        while self._peek() not in {"", "|", ")"}:
            atom = self._atom(depth)
            piece = atom * self._times()
            size += len(piece)
            if size > _LONGEST:
                raise ValueError("the pattern asks for a text that is too long")
            written.append(piece)
        return "".join(written)

    def _atom(self, depth: int) -> str:
        match self._next():
            case "^" | "$":
                return ""
            case ".":
                return "a"
            case "[":
                return self._class()
            case "(":
                return self._group(depth)
            case "\\":
                held = self._escape()
                return held if isinstance(held, str) else min(held)
            case "*" | "+" | "?" | "{":
                raise ValueError("a quantifier has nothing to repeat")
            case character:
                return character

    def _group(self, depth: int) -> str:
        if self._peek() == "?":
            self.at += 1
            if self._next() != ":":
                raise ValueError("only plain groups are understood")
        text = self.alternatives(depth + 1)
        self._expect(")")
        return text

    def _class(self) -> str:
        is_negated = self._peek() == "^"
        self.at += is_negated
        first, members = "", set[str]()
        while self._peek() != "]":
            low = self._member()
            if self._peek() == "-" and self.pattern[self.at + 1 : self.at + 2] not in {"]", ""}:
                self.at += 1
                high = self._member()
                members |= {chr(code) for code in range(ord(min(low)), min(ord(min(high)), 127) + 1)}
            members |= low
            first = first or min(low)
        self._expect("]")
        if not is_negated and first:
            return first
        return next(character for character in _ALPHABET if character not in members)

    def _member(self) -> AbstractSet[str]:
        character = self._next()
        held = self._escape() if character == "\\" else character
        return {held} if isinstance(held, str) else held

    def _escape(self) -> str | AbstractSet[str]:
        character = self._next()
        if character in _KINDS:
            return _KINDS[character]
        if character.lower() in _KINDS:
            return frozenset(_ALPHABET) - _KINDS[character.lower()]
        if character in _CONTROLS:
            return _CONTROLS[character]
        if character in _WORD:
            raise ValueError(f"`\\{character}` is not understood")
        return character

    def _times(self) -> int:
        """How often the last atom stands, its quantifier read; a lazy mark changes nothing."""
        match self._peek():
            case "*" | "?" | "+" as mark:
                self.at += 1
                least = 1 if mark == "+" else 0
                times = min(least + self.extra, 1) if mark == "?" else least + self.extra
            case "{":
                least, _, most = self.pattern[self.at + 1 : self._end_of("}")].partition(",")
                is_fixed = "," not in self.pattern[self.at : self._end_of("}")]
                self.at = self._end_of("}") + 1
                times = int(least) + (0 if is_fixed else self.extra)
                times = min(times, int(most)) if most else times
            case _:
                return 1
        if self._peek() == "?":
            self.at += 1
        if times > _LONGEST:
            raise ValueError("the pattern asks for a text that is too long")
        return times

    def _end_of(self, mark: str) -> int:
        return self.pattern.index(mark, self.at)

    def _peek(self) -> str:
        return self.pattern[self.at : self.at + 1]

    def _next(self) -> str:
        if self.at >= len(self.pattern):
            raise ValueError("the pattern ends too early")
        self.at += 1
        return self.pattern[self.at - 1]

    def _expect(self, mark: str) -> None:
        if self._next() != mark:
            raise ValueError(f"`{mark}` is missing")
