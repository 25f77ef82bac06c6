"""What a check reads in place of the text itself, so that trivial hiding fails, and the way back to the text.

Reading means Unicode's NFKC without the characters that show nothing. Two hostile inputs are bounded here: invisible
characters by the thousand, which would make a word longer than any stream can be held back, and long runs of combining
marks, for which normalisation takes quadratic time.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from headgate_guard_basic.rule import Rule

WHOLE = 1_000_000_000
"""A `hold_chars` that no stream reaches: the check is judged when the text has ended."""
MAX_HIDDEN = 32
MAX_MARKS = 30  # the bound of Unicode's Stream-Safe Text Format, UAX 15 section 13
SLACK = MAX_HIDDEN + MAX_MARKS + 6
"""Characters a match may span or wait for beyond its own: hidden ones, marks behind it, and the two that follow."""

# Default_Ignorable_Code_Point, Unicode's DerivedCoreProperties.txt
_HIDDEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_TAGS = re.compile("[\U000e0020-\U000e007e]")
_TAG_OFFSET = 0xE0000
_MARKS = Rule(rf"[\pM\x{{ff9e}}\x{{ff9f}}]{{{MAX_MARKS + 1}}}")
_MAX_JOINING = 32
_BLOCK_CHARS = 256


def read(text: str) -> str:
    """NFKC of `text` without hidden characters. Judge `hides` first."""
    return text if text.isascii() else unicodedata.normalize("NFKC", _HIDDEN.sub("", text))


def fold(text: str) -> str:
    """Read text without its case."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text.casefold())


def spellings(text: str) -> tuple[str, ...]:
    """The ways a model may take `text`, each as long as the text: as it stands, and with tag characters as their ASCII twins.

    Tag characters (U+E0020 to U+E007E) are invisible to people and letters to many models.
    """
    if text.isascii() or not _TAGS.search(text):
        return (text,)
    return text, _TAGS.sub(lambda match: chr(ord(match[0]) - _TAG_OFFSET), text)


def hides(text: str, span: int) -> bool:
    """Whether more than 32 hidden characters stand within `span` characters, or more than 30 marks in a row."""
    if text.isascii():
        return False
    at = [match.start() for match in _HIDDEN.finditer(text)]
    if any(last - first < span for first, last in zip(at, at[MAX_HIDDEN:], strict=False)):
        return True
    return _MARKS.matches(_HIDDEN.sub("", text) if at else text)


def settled(seen: str) -> int:
    """How much of a text that has been read stays as it is whatever follows: all before its last base character."""
    end = len(seen) - 1
    while end > 0 and unicodedata.combining(seen[end]):
        end -= 1
    return max(end, 0)


def locate(text: str, rule: Rule) -> list[tuple[int, int]]:
    """Where `rule` matches `text` when it is read, as spans of `text` itself; empty matches are left out."""
    found: list[tuple[int, int]] = []
    for spelling in spellings(text):
        runs = list(_runs(spelling))
        offsets = list(itertools.accumulate((len(run.seen) for run in runs), initial=0))
        for start, end in rule.spans("".join(run.seen for run in runs)):
            if end > start:
                first, last = bisect_right(offsets, start) - 1, bisect_right(offsets, end - 1) - 1
                found.append(
                    (runs[first].written(start - offsets[first])[0], runs[last].written(end - 1 - offsets[last])[1])
                )
    return sorted(found)


def replace(text: str, spans: Iterable[tuple[int, int]], replacement: str) -> str:
    """`text` with `replacement` in place of each span; spans that overlap are one."""
    pieces: list[str] = []
    done = 0
    for start, end in spans:
        if start >= done:
            pieces += (text[done:start], replacement)
        done = max(done, end)
    return "".join((*pieces, text[done:]))


class _Run(NamedTuple):
    """A piece of a text and how it is read: the same, or as a whole that has no parts."""

    start: int
    end: int
    seen: str
    is_same: bool

    def written(self, at: int) -> tuple[int, int]:
        """Start and end, in the text, of what is read as character `at` of the piece."""
        return (self.start + at, self.start + at + 1) if self.is_same else (self.start, self.end)


def _runs(text: str) -> Iterator[_Run]:
    """`text` in pieces that read each on its own: long ones that read as they stand, else a character and what joins it."""
    for start, end in [(0, len(text))] if _reads_same(text) else _pieces(text, 0, len(text), _BLOCK_CHARS):
        if _reads_same(text[start:end]):
            yield _Run(start, end, text[start:end], is_same=True)
            continue
        for first, last in _pieces(text, start, end, 1):
            yield _Run(first, last, read(text[first:last]), is_same=False)


def _reads_same(text: str) -> bool:
    return text.isascii() or not (_HIDDEN.search(text) or not unicodedata.is_normalized("NFKC", text))


def _pieces(text: str, start: int, end: int, size: int) -> Iterator[tuple[int, int]]:
    """Cut into pieces of `size` characters and those, up to 32, that join the last one."""
    while start < end:
        at = min(start + size, end)
        limit = min(at + _MAX_JOINING, end)
        while at < limit and _joins(text[at]):
            at += 1
        yield start, at
        start = at


def _joins(char: str) -> bool:
    """Whether a character may change what stands before it: marks, hidden ones, and the Hangul and Katakana that compose."""
    if char < "\u00ad":
        return False
    return (
        unicodedata.category(char)[0] == "M"
        or "\u1160" <= char <= "\u11ff"
        or "\u3131" <= char <= "\u318e"
        or "\uff9e" <= char <= "\uffdc"
        or _HIDDEN.match(char) is not None
    )
