"""Texts for patterns are judged by Python's own engine, which the code under test never runs."""

from __future__ import annotations

import re
import time

import pytest

from headgate_demo.pattern import text_for

PATTERNS = [
    "", "abc", "^abc$", "a|b", "^(a|b)c$", "^(?:ab){2,3}$", r"^\d{4}-\d{2}-\d{2}$", r"^[A-Z]{2}\d*$", "^[^a-z]+$",
    r"^[\w.+-]+@[\w-]+\.[a-z]{2,}$", "^#[0-9a-fA-F]{6}$", r"^\S+\s\S+$", r"^\D\W$", "^a*?b+?c??$", "^[a-]$", r"^[\]\\]$",
    r"^\+[1-9]\d{1,14}$", r"^\t\/$", "^[\u00e4\u00f6]$", "^.{3,}$", "^((((a))))$", "^[^\\s]{5}$", "^[-a]$", "^x{0}y$",
    "^(a+)+$", "[0-9]", "^$",
]  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("extra", [0, 1, 4])
def test_texts_match(pattern: str, extra: int) -> None:
    """What is written for a pattern is matched by it, however often the open parts repeat."""
    assert re.search(pattern, text_for(pattern, extra)) is not None


def test_open_parts_grow() -> None:
    """Open-ended parts repeat as told, bounded ones up to their bound, fixed ones never."""
    assert [text_for("^a+b{2}c{1,2}$", extra) for extra in (0, 3)] == ["abbc", "aaaabbcc"]


@pytest.mark.parametrize(
    "pattern",
    [
        "(", "a)", "[a", "\\", "(?=a)", "(?<n>a)", r"(a)\1", r"\ba", "*a", "a{x}", "a{1", "a{99999999}", "{2}",
        "(a{9999}){9999}", "(" * 50 + ")" * 50, "a" * 2000,
    ],
)  # fmt: skip
def test_what_is_not_understood(pattern: str) -> None:
    """Anything else is said to be not understood."""
    with pytest.raises(ValueError):
        text_for(pattern)


@pytest.mark.parametrize("pattern", ["^(a|a)*b$", "^(a+)+b$", "^([a-z]*)*c" + "(x+)+" * 5])
def test_evil_patterns_take_no_time(pattern: str) -> None:
    """Patterns that make a matcher backtrack for ages are written from in no time, because nothing is matched."""
    started = time.process_time()
    text_for(pattern, 30)
    assert time.process_time() - started < 1
