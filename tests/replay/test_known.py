"""Known faults are bound to where they are seen: nothing else is excused, and nothing longer than it lasts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.replay.asking import Fault
from tests.replay.known import Known, unknown
from tests.replay.made import made_answers

FIRST = replace(made_answers()[0], id="one")
FAULT = Fault(FIRST, "openai.chat", "text: 'a' instead of 'b'")
KNOWN = Known(("together",), ("one",), "text: 'a'", "it stands")


def test_a_known_fault_is_excused() -> None:
    """Words, place and recording agree."""
    assert unknown("together", [FAULT], [KNOWN]) == []


@pytest.mark.parametrize(
    "other",
    [
        replace(FAULT, what="calls: none"),
        replace(FAULT, recording=replace(FIRST, id="two")),
    ],
)
def test_another_fault_is_not(other: Fault) -> None:
    """Another fault, or the same with another recording, is told."""
    assert unknown("together", [FAULT, other], [KNOWN]) == [str(other)]


def test_elsewhere_it_is_not() -> None:
    """An entry speaks of its own place: it neither excuses a fault elsewhere nor is missed there."""
    assert unknown("mistral", [FAULT], [KNOWN]) == [str(FAULT)]
    assert unknown("mistral", [], [KNOWN]) == []


def test_what_is_mended_is_told() -> None:
    """An entry of which nothing is seen with one of its recordings fails the test, so that it goes."""
    listed = replace(KNOWN, ids=("one", "two"))
    assert unknown("together", [FAULT], [listed]) == ["known.toml: `text: 'a'` is no longer seen at together with two"]
