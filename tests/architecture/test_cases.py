"""Every case that gateways are known to get wrong names the tests that hold it, and these are there."""

from __future__ import annotations

import ast
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HELD: dict[str, dict[str, list[str]]] = tomllib.loads((Path(__file__).parent / "cases.toml").read_text("utf-8"))


@cache
def _tests_in(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize(
    ("case", "tests"),
    [(case, tests) for held in HELD.values() for case, tests in held.items()],
    ids=lambda held: str(held)[:40],
)
def test_a_case_has_its_tests(case: str, tests: list[str]) -> None:
    """Each named test stands in its file."""
    assert tests, case
    for named in tests:
        file, _, name = named.partition("::")
        assert name in _tests_in(file), f"{case}: there is no `{named}`"


def test_all_cases_are_here() -> None:
    """None of the 25 cases is left out."""
    assert len(HELD["cases"]) == 25
