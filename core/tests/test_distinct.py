"""Names that are told apart by a number behind them."""

from __future__ import annotations

from collections import Counter

from headgate.dialects.distinct import Distinct


def test_what_is_taken_gets_a_number() -> None:
    """The first keeps its name; no number is given twice, also where a name looks like a numbered one."""
    distinct = Distinct(20, ["kept"])
    assert [distinct.take(name) for name in ("a", "a", "b", "a", "kept", "a_4", "a")] == [
        *("a", "a_2", "b", "a_3", "kept_2", "a_4", "a_5"),
    ]


def test_names_stay_within_the_limit() -> None:
    """The number takes the place of the last characters."""
    distinct = Distinct(12)
    taken = [distinct.take("abcdefghijkl") for _ in range(12)]
    assert [taken[0], taken[1], taken[-1]] == ["abcdefghijkl", "abcdefghij_2", "abcdefghi_12"]
    assert len(set(taken)) == 12


def test_folded_names_are_alike() -> None:
    """The vendor that takes `Report` and `report` for one document gets two names."""
    distinct = Distinct(200, mark="-", fold=str.casefold)
    assert [distinct.take(name) for name in ("Report", "report", "REPORT")] == ["Report", "report-2", "REPORT-3"]


def test_many_alike_are_found_at_once() -> None:
    """What a name costs does not grow with how many there are, whether they are the same or have their beginning in common."""
    looks = Counter[str]()

    def fold(name: str) -> str:
        looks["all"] += 1
        return name

    distinct = Distinct(40, fold=fold)
    same = [distinct.take("call_0") for _ in range(2_000)]
    alike = [distinct.take(f"{'x' * 34}{number:06}") for number in [*range(1_000), *range(1_000)]]
    assert len({*same, *alike}) == 4_000
    assert looks["all"] < 5 * 4_000
