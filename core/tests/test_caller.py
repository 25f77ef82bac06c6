"""Time limits of a call: the least of what the deployment, the target, the caller and the deadline allow, each for its own."""

from __future__ import annotations

import math
from typing import Any

import pytest

from headgate import Exchange
from headgate.caller import lowered
from headgate.exchange import Attempt, Patience, Target
from headgate.fleet import Fleet
from headgate.operations import CHAT
from headgate.upstream import Timeouts

OWN = Timeouts(connect_s=5.0, first_byte_s=60.0, gap_s=30.0, total_s=600.0)


def limits(target: Target, deadline: float = math.inf, **options: str) -> tuple[Timeouts, float]:
    """The limits of a call at second 10, and how long the caller alone lets it take."""
    named = {f"x-headgate-{name}".replace("_", "-").encode(): value.encode() for name, value in options.items()}
    ex = Exchange(CHAT, named, request_id="r", trace_id="t")
    provider: Any = None
    attempt = ex.attempt = Attempt(target, provider, "m", 10.0)
    attempt.fleet = Fleet(lambda: 10.0)
    ex.deadline = deadline
    return lowered(OWN, ex), attempt.allowed_s


def test_without_other_limits_the_deployments_hold() -> None:
    """Nothing is changed, and nothing is the caller's."""
    assert limits(Target()) == (OWN, math.inf)


@pytest.mark.parametrize("is_callers", [False, True])
def test_each_patience_bounds_its_own(is_callers: bool) -> None:
    """A short gap is a gap, and no limit of the whole; whose it is only says who had no patience."""
    target = Target(patience=Patience(first_byte_s=9.0, gap_s=2.0), is_callers=is_callers)
    held, allowed_s = limits(target)
    assert held == Timeouts(connect_s=5.0, first_byte_s=9.0, gap_s=2.0, total_s=600.0)
    assert allowed_s == (2.0 if is_callers else math.inf)


def test_the_callers_limit_goes_before_the_targets() -> None:
    """`x-headgate-request-timeout` takes the place of `request_timeout`; the deadline bounds both."""
    target = Target(request_timeout_s=3.0)
    assert limits(target)[0].total_s == 3.0
    assert limits(target)[1] == math.inf
    held, allowed_s = limits(target, request_timeout="20000")
    assert (held.total_s, held.first_byte_s, allowed_s) == (20.0, 20.0, 20.0)
    held, allowed_s = limits(target, deadline=11.0, request_timeout="20000")
    assert (held.total_s, held.first_byte_s, held.connect_s, allowed_s) == (1.0, 1.0, 5.0, 1.0)
