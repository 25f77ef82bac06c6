"""The checks `default.contains` and `default.regexMatch`. A verdict never quotes the text it is about."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct

from headgate.hooks import Check, Verdict, Window
from headgate_guard_basic.rule import Rule
from headgate_guard_basic.text import SLACK, WHOLE, fold, hides, locate, read, replace, settled, spellings

T = TypeVar("T", bound=Struct)

PASS = Verdict("pass")
_LONG_CHARS = 50_000
_ASCII = frozenset(map(chr, range(128)))
HIDDEN = Verdict("fail", "too many invisible or combining characters to be judged")


class ContainsParameters(Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of `default.contains`: passes when any, all or none of `words` occur."""

    words: list[str]
    operator: Literal["any", "all", "none"] = "any"
    case_sensitive: bool = False
    whole_words: bool = False


class RegexParameters(Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of `default.regexMatch`: passes when `rule` matches, with `not` when it does not.

    With `replace` it always passes, and every match is replaced by that text, taken literally.
    """

    rule: str
    is_inverted: bool = msgspec.field(default=False, name="not")
    replace: str | None = None


class Forbids:
    """Fails where something occurs: `occurs` says whether, `ends` where every occurrence ends in a text as `see` reads it.

    A stream is judged window by window: an occurrence counts as soon as nothing that follows can change it, and by then
    all of it is still held back. `longest` is how many characters of unread text one can take, None without a bound.
    `alphabet` are the ASCII characters it can be made of, None when it may hold others that ASCII could become part of.
    """

    def __init__(
        self,
        see: Callable[[str], str],
        occurs: Callable[[str], bool],
        ends: Callable[[str], Iterator[int]],
        longest: int | None,
        reason: str,
        alphabet: frozenset[str] | None = None,
    ) -> None:
        self._see = see
        self._occurs = occurs
        self._ends = ends
        self._span = 2 * SLACK if longest is None else longest + SLACK
        self._failed = Verdict("fail", reason)
        self.hold_chars = WHOLE if longest is None else self._span
        self._alphabet = alphabet
        self._letters = "".join(alphabet or ())
        self._foreign = _ASCII - (alphabet or _ASCII)

    def holds(self, text: str) -> int:
        """How much of the end of `text` may be part of an occurrence: none goes on over another ASCII character.

        The last character is not settled before the next one is there, and may decide whether what stands before it is
        an occurrence. So it ends one for good only where nothing can end right before it.
        """
        letters, foreign = self._alphabet, self._foreign
        if letters is None:
            return self.hold_chars
        if len(text) > 1 and text[-1] in foreign and text[-2] in foreign:
            return 0
        tail = text[-self.hold_chars :]
        if tail.isascii():
            return len(tail) - len(tail[:-1].rstrip(self._letters))
        known = max((at for at, char in enumerate(tail) if char in _ASCII), default=0)
        while known > 0 and tail[known - 1] not in foreign:
            known -= 1
        return len(tail) - known

    def passes(self, texts: Sequence[str]) -> bool:
        """Whether nothing occurs in any of these texts, found out in one go; False says nothing.

        What occurs in one of them occurs in all of them with line breaks between: no rule of bounded length looks at
        the ends of a text, and a line break is no part of a word.
        """
        joined = texts[0] if len(texts) == 1 else "\n".join(texts)
        return self.hold_chars < WHOLE and joined.isascii() and not self._occurs(self._see(joined))

    async def judge(self, text: str) -> Verdict:
        """See Check."""
        return self.judge_text(text)

    def judge_text(self, text: str) -> Verdict:
        """The verdict on a whole text, without waiting."""
        if text.isascii():  # reads as it stands
            return self._failed if self._occurs(self._see(text)) else PASS
        return self.judge_window(Window("", text, is_last=True))

    def judge_window(self, window: Window) -> Verdict:
        """The verdict on what `window` adds to a stream."""
        before = window.before[-self.hold_chars :]
        text = before + window.text
        if text.isascii() and not self._occurs(self._see(text)):
            return PASS  # nothing occurs at all, so nothing new does
        if hides(text, self._span):
            return HIDDEN
        for spelling in spellings(text):
            seen = self._see(spelling)
            after = len(self._see(spelling[: len(before)])) if before else -1
            until = len(seen) + 1 if window.is_last else settled(seen)
            if any(after < end < until for end in self._ends(seen)):
                return self._failed
        return PASS


class Requires:
    """Fails where something does not occur, which only the whole text can show."""

    hold_chars = WHOLE

    def __init__(self, see: Callable[[str], str], occurs: Callable[[str], bool], reason: str) -> None:
        self._see = see
        self._occurs = occurs
        self._failed = Verdict("fail", reason)

    async def judge(self, text: str) -> Verdict:
        """See Check."""
        if hides(text, 2 * SLACK):
            return HIDDEN
        return PASS if self._occurs(self._see(text)) else self._failed


class Replaces:
    """Puts `replacement` in place of every match; only the whole text shows where matches begin and end.

    Finding the written form of what was read can take a microsecond per character, so long texts go to a thread.
    """

    hold_chars = WHOLE

    def __init__(self, rule: Rule, replacement: str) -> None:
        self._rule = rule
        self._replacement = replacement

    async def judge(self, text: str) -> Verdict:
        """See Check."""
        is_long = len(text) > _LONG_CHARS and not text.isascii()
        spans = await asyncio.to_thread(locate, text, self._rule) if is_long else locate(text, self._rule)
        return Verdict("transformed", text=replace(text, spans, self._replacement)) if spans else PASS


def contains(parameters: Mapping[str, Any]) -> Check:
    """Make `default.contains`; ValueError says what is wrong with its parameters."""
    given = _convert(parameters, ContainsParameters)
    see = read if given.case_sensitive else _read_folded
    words = [see(word) for word in given.words]
    if not words or "" in words:
        raise ValueError("`words` must list at least one word, and none that is empty")

    def ends(seen: str, word: str) -> Iterator[int]:
        return _ends(seen, word, is_whole=given.whole_words)

    if given.operator == "none":
        longest = max(_unread_chars(word) for word in words)
        return Forbids(
            see,
            lambda seen: any(next(ends(seen, word), None) is not None for word in words if word in seen),
            lambda seen: (end for word in words for end in ends(seen, word)),
            longest,
            "a word of the list occurs",
            _letters(words, is_folded=not given.case_sensitive),
        )
    wanted, reason = (any, "no word of the list occurs") if given.operator == "any" else (all, "a word is missing")
    return Requires(see, lambda seen: wanted(next(ends(seen, word), None) is not None for word in words), reason)


def _letters(words: Sequence[str], *, is_folded: bool) -> frozenset[str] | None:
    """The ASCII characters of words as they are read, in both cases where case is folded; None with any other character.

    A letter and a mark can become one character, so that a word with such characters may begin with any letter.
    """
    if not all(word.isascii() for word in words):
        return None
    letters = frozenset("".join(words))
    return letters | {letter.upper() for letter in letters} if is_folded else letters


def regex_match(parameters: Mapping[str, Any]) -> Check:
    """Make `default.regexMatch`; ValueError says what is wrong with its parameters."""
    given = _convert(parameters, RegexParameters)
    rule = Rule(given.rule)
    if given.replace is not None:
        if given.is_inverted:
            raise ValueError("`not` and `replace` exclude each other")
        return Replaces(rule, given.replace)
    if given.is_inverted:
        return Forbids(read, rule.matches, rule.ends, rule.longest, "the rule matches", rule.alphabet)
    return Requires(read, rule.matches, "the rule does not match")


def _convert(parameters: Mapping[str, Any], kind: type[T]) -> T:
    try:
        return msgspec.convert(dict(parameters), kind)
    except msgspec.ValidationError as error:
        words = str(error)
        raise ValueError(f"{words[0].lower()}{words[1:]}") from None


def _read_folded(text: str) -> str:
    return fold(read(text))


def _unread_chars(word: str) -> int:
    """How many characters may stand for a word before it is read: one for each of ASCII, up to four for others."""
    return sum(1 if char.isascii() else 4 for char in word)


def _ends(seen: str, word: str, *, is_whole: bool) -> Iterator[int]:
    start = seen.find(word)
    while start >= 0:
        end = start + len(word)
        if not is_whole or not (_joins(seen[start - 1 : start], word[:1]) or _joins(word[-1:], seen[end : end + 1])):
            yield end
        start = seen.find(word, start + 1)


def _joins(left: str, right: str) -> bool:
    """Whether two neighbours belong to one word; an end of the text is no neighbour."""
    return _is_word(left) and _is_word(right)


def _is_word(char: str) -> bool:
    return char != "" and (char.isalnum() or char == "_" or unicodedata.category(char)[0] == "M")
