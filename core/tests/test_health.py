"""What a deployment's health learns of times and of refusals for a rate, on a virtual clock."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.policies import BreakerRule, Health, PeakEwma, RecentTimes
from headgate.policies.health import MAX_OWN_PAUSE_S


def health() -> Health:
    return Health(BreakerRule(), random.Random(1))


def answer(of: Health, now: float, took_s: float, status: int = 200, *headers: tuple[bytes, bytes]) -> None:
    call = of.begin(now)
    of.answered(call, now + took_s, status, headers, 0.0)
    of.end(call, now + took_s)


# times


@given(st.lists(st.floats(0.001, 100), min_size=20, max_size=200), st.floats(0, 1))
def test_quantiles_are_exact(values: list[float], share: float) -> None:
    """The same as sorting the last values says."""
    times = RecentTimes(size=50)
    for value in values:
        times.observed(value, 0.0)
    last = sorted(values[-50:])
    assert times.quantile(share, 0.0) == last[min(len(last) - 1, int(share * len(last)))]


def test_too_few_or_too_old_values_say_nothing() -> None:
    """Twenty are needed, none older than five minutes."""
    times = RecentTimes()
    for number in range(20):
        assert times.quantile(0.95, 0.0) is None
        times.observed(1.0, number)
    assert times.quantile(0.95, 300.0) == 1.0
    assert times.quantile(0.95, 301.0) is None


def test_what_was_given_up_counts_when_it_was_slow() -> None:
    """A call that was cancelled early says nothing; one that was slow already keeps the quantile where it is."""
    times = RecentTimes(size=40)
    for _ in range(40):
        times.observed(1.0, 0.0)
    for _ in range(40):
        times.given_up(0.1, 0.0)
    assert times.quantile(0.5, 0.0) == 1.0
    for _ in range(40):
        times.given_up(2.0, 0.0)
    assert times.quantile(0.5, 0.0) == 2.0


def test_times_are_kept_once_somebody_asks() -> None:
    """Of good replies, and of calls that were given up slow; failed ones say how they failed, and not how long one takes."""
    held = health()
    answer(held, 0.0, 1.0)
    assert held.times is None
    times = held.keep_times()
    assert held.keep_times() is times
    for number in range(30):
        answer(held, float(number), 1.0)
    answer(held, 40.0, 5.0, 503)
    answer(held, 40.0, 0.01, 404)
    assert (times.quantile(0.0, 50.0), times.quantile(0.999, 50.0)) == (1.0, 1.0)
    held.end(held.begin(50.0), 50.5)
    assert times.quantile(0.999, 60.0) == 1.0
    held.end(held.begin(50.0), 53.0)
    assert times.quantile(0.999, 60.0) == 3.0


# refusals


def test_a_refusal_is_no_fast_answer() -> None:
    """A 429 within ten milliseconds counts as five seconds, or as what the target takes if that is more."""
    latency = PeakEwma()
    latency.observed(0.5, 0.0)
    latency.throttled(0.01)
    assert latency.latency_s(0.01) == 5.0
    latency.observed(20.0, 1.0)
    latency.throttled(1.0)
    assert latency.latency_s(1.0) == 20.0


def test_health_knows_a_refusal_from_an_answer() -> None:
    """What refuses at once is not the fastest of all afterwards."""
    held = health()
    answer(held, 0.0, 0.5)
    answer(held, 1.0, 0.01, 429)
    assert held.latency.latency_s(1.01) == 5.0


def test_refusals_in_a_row_make_longer_pauses() -> None:
    """One second, two, four, up to 32, when the provider does not say itself; a good reply starts anew."""
    held, now = health(), 0.0
    pauses: list[float] = []
    for _ in range(7):
        answer(held, now, 0.0, 429)
        pauses.append(held.wait_s(now))
        now += pauses[-1]
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, MAX_OWN_PAUSE_S]
    answer(held, now, 0.1)
    answer(held, now + 1, 0.0, 429)
    assert held.wait_s(now + 1) == 1.0


def test_a_wave_of_refusals_is_one() -> None:
    """Calls that were under way together and are all refused make one pause."""
    held = health()
    calls = [held.begin(0.0) for _ in range(20)]
    for number, call in enumerate(calls):
        held.answered(call, 0.01 * number, 429, (), 0.0)
        held.end(call, 0.01 * number)
    assert held.wait_s(0.19) == pytest.approx(1.0)


def test_what_the_provider_asks_for_is_kept() -> None:
    """`Retry-After` says how long, however often."""
    held = health()
    for now in (0.0, 3.0, 6.0):
        answer(held, now, 0.0, 429, (b"retry-after", b"3"))
        assert held.wait_s(now) == 3.0
