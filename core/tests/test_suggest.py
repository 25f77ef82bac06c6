"""Hints for mistyped names: good ones, and never at a price that the number of names or a caller sets."""

from __future__ import annotations

import difflib
from typing import Any

import pytest
from typing_extensions import override

from headgate.suggest import MAX_COMPARED, MAX_NAME, did_you_mean

MANY = [f"alias-{at * 7919 % 10_000:05d}" for at in range(10_000)]
MISTYPED = [
    "alias-0007",
    "allias-00042",
    "blias-04711",
    "alias-0a815",
    "ailas-09999",
    "00042-alias",
    "a" * MAX_NAME,
    "x",
]


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every known name that a mistyped one was compared with."""
    seen: list[str] = []

    class Counting(difflib.SequenceMatcher[str]):
        @override
        def set_seq1(self, a: Any) -> None:
            seen.append(a)
            super().set_seq1(a)

    monkeypatch.setattr(difflib, "SequenceMatcher", Counting)
    return seen


@pytest.mark.parametrize(
    ("name", "expected"),
    [("gpt-4o-mni", "gpt-4o-mini"), ("gtp-4o", "gpt-4o"), ("claud", "claude"), ("nothing-like-it", None), ("", None)],
)
def test_a_close_name_is_named(name: str, expected: str | None) -> None:
    """The closest known name, or nothing when none is close."""
    hint = did_you_mean(name, ["gpt-4o", "gpt-4o-mini", "claude"])
    assert hint == (f" (did you mean `{expected}`?)" if expected else "")


@pytest.mark.parametrize("name", MISTYPED)
def test_many_names_are_not_all_compared(compared: list[str], name: str) -> None:
    """Of ten thousand names only so many are compared, whatever the caller writes."""
    did_you_mean(name, MANY)
    assert len([held for held in compared if held]) <= MAX_COMPARED


@pytest.mark.parametrize(
    ("name", "expected"),
    [("allias-00042", "alias-00042"), ("blias-04711", "alias-04711"), ("ailas-09999", "alias-09999")],
)
def test_among_many_the_right_one_is_found(name: str, expected: str) -> None:
    """A mistake in the first half leaves the end, by which the name is found."""
    assert did_you_mean(name, MANY) == f" (did you mean `{expected}`?)"


def test_a_mistake_at_the_end_is_found_by_the_start() -> None:
    """Names that begin alike stand together."""
    names = [*MANY, "alias-00420-europe"]
    assert did_you_mean("alias-00420-euroqe", names) == " (did you mean `alias-00420-europe`?)"


def test_a_name_that_is_too_long_is_compared_with_nothing(compared: list[str]) -> None:
    """Nobody types so much by hand."""
    assert did_you_mean("a" * (MAX_NAME + 1), MANY) == ""
    assert compared == []
