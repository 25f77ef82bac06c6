"""Every empty cell of the table of operations has its reason: a vendor's own list of what it has, or a word of its own."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from headgate.operations import OPERATIONS

HERE = Path(__file__).parent
ABSENT: dict[str, dict[str, Any]] = tomllib.loads((HERE / "absent.toml").read_text("utf-8"))
MATRIX: dict[str, dict[str, Any]] = json.loads((HERE / "matrix.json").read_text("utf-8"))
NAMES = {each.name for each in OPERATIONS}
NO_VENDORS = {"compatible", "demo"}
"""Providers without a vendor, whose API could be listed."""


def test_every_provider_has_its_section() -> None:
    """In the order of the table, so that one is found."""
    assert list(ABSENT) == list(MATRIX)


@pytest.mark.parametrize("name", [name for name in MATRIX if name not in NO_VENDORS])
def test_where_it_was_looked_up(name: str) -> None:
    """The pages that list what the vendor has are named, or what was looked for in vain."""
    section = ABSENT[name]
    assert all(page.startswith("https://") for page in section["read"])
    assert bool(section["read"]) != bool(section.get("unread")), "either pages, or why there are none"


@pytest.mark.parametrize("name", list(ABSENT))
def test_reasons(name: str) -> None:
    """Reasons are for operations that there are, and that the provider does not declare."""
    reasons = {key: why for key, why in ABSENT[name].items() if key not in {"read", "unread"}}
    assert all(isinstance(why, str) and len(why) > 10 for why in reasons.values())
    assert set(reasons) <= NAMES, "an operation that is none"
    assert not set(reasons) & set(MATRIX[name]), "an operation that is declared"
