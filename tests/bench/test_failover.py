"""The failover run works and counts right; nothing here asserts a time."""

from pathlib import Path
from typing import Any

import pytest
from failover import Asked, Sickness, failing, hanging, run


def sickness(calls: list[float], statuses: list[int], attempts: list[list[dict[str, Any]]] | None = None) -> Sickness:
    """A run with a request every tenth of a second from second 100 on."""
    asked = [Asked(100 + number / 10, 0.01, status) for number, status in enumerate(statuses)]
    return Sickness(asked, calls, [{"attempts": one} for one in attempts or []])


@pytest.mark.parametrize(
    ("calls", "expected"),
    [([], 0.0), ([100.5, 101.0], 1.0), ([100.5, 101.0, 106.0], 1.0), ([103.0], 3.0)],
    ids=["never called", "called at first", "probed later", "drawn late"],
)
def test_left_alone_is_the_last_call_before_a_long_silence(calls: list[float], expected: float) -> None:
    """A probe that comes after more than a second does not count; nor does it that nobody had called it yet."""
    assert sickness(calls, [200] * 50).left_alone_s() == pytest.approx(expected)


def test_success_is_judged_again_after_the_first_ten_requests() -> None:
    """Both shares are told, and which request failed last."""
    seen = sickness([100.0] * 3, [500] * 3 + [200] * 17)
    assert failing("x", seen)[1:5] == ["85.00%", "100.00%", "3", "3 of 20"]


def test_amplification_counts_retries_of_the_sick_upstream_alone() -> None:
    """Retries elsewhere count among all calls per request, and not there."""
    attempts = [
        [{"deployment": "sick", "retries": 2}, {"deployment": "second", "retries": 1}],
        [{"deployment": "third", "retries": 0}],
    ]
    seen = sickness([], [200, 200], attempts)
    assert (seen.amplification(), seen.calls_per_request()) == (3.0, 3.0)


@pytest.mark.timeout(120)
def test_sick_upstream_is_called_and_nobody_notices(tmp_path: Path) -> None:
    """A short real run: the failing upstream is first, gets calls, and every request is answered by another."""
    seen = run("fallback", "fail", 0.5, tmp_path / "run")
    assert (seen.good_share(), len(seen.records)) == (1.0, len(seen.asked))
    assert 0 < len(seen.calls) <= len(seen.asked) * 3
    assert seen.calls_per_request() > 1
    assert [row[4] for row in hanging("x", seen, seen)] == ["100.00%"] * 3
