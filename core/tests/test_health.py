"""What a deployment's health learns of times and of refusals for a rate, on a virtual clock."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.exchange import Target
from headgate.fleet import MAX_KNOWN, Fleet
from headgate.hooks import Outcome, Scene
from headgate.policies import BreakerRule, Health, RecentTimes
from headgate.policies.health import MAX_OWN_PAUSE_S
from headgate.secret import Secret


def health() -> Health:
    return Health(BreakerRule(), random.Random(1))


def give_up(of: Health, now: float, after_s: float) -> None:
    """A caller's own time limit ends a call."""
    call = of.begin(now)
    of.failed(call, now + after_s, is_timeout=True, is_impatient=True)
    of.end(call, now + after_s)


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


def test_a_refusal_says_nothing_of_how_fast_answers_are() -> None:
    """A 429 within ten milliseconds makes a target neither fast nor slow: it is left alone for a while, and then as before."""
    held = health()
    answer(held, 0.0, 0.5)
    answer(held, 1.0, 0.01, 429)
    assert held.latency.latency_s(1.01) == pytest.approx(0.5, rel=0.1)
    assert (held.is_usable(1.5), held.is_usable(2.5)) == (False, True)


def test_a_pause_that_was_too_short_is_not_believed_again() -> None:
    """Who asks for no pause and refuses the next call too is left alone as if it had asked for nothing."""
    held, asked = health(), (b"retry-after", b"0")
    answer(held, 0.0, 0.1, 429, asked)
    assert held.is_usable(0.2)
    answer(held, 0.2, 0.1, 429, asked)
    assert (held.is_usable(2.2), held.is_usable(2.4)) == (False, True)
    answer(held, 2.4, 0.1)
    answer(held, 3.0, 0.1, 429, asked)
    assert held.is_usable(3.2)


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


def test_who_serves_others_is_not_left_alone() -> None:
    """A refusal without a time, beside calls that are carried out, is a matter of how many at once and makes no pause."""
    held = health()
    served = [held.begin(0.0) for _ in range(20)]
    for _ in range(5):
        answer(held, 0.0, 0.01, 429)
    assert (held.wait_s(0.01), held.limit.limit, held.is_usable(0.01)) == (0.0, 20, False)
    for call in served:
        held.answered(call, 0.1, 200, (), 0.0)
        held.end(call, 0.1)
    assert held.is_usable(0.1)


def test_what_the_provider_asks_for_is_kept() -> None:
    """`Retry-After` says how long, however often."""
    held = health()
    for now in (0.0, 3.0, 6.0):
        answer(held, now, 0.0, 429, (b"retry-after", b"3"))
        assert held.wait_s(now) == 3.0


def test_a_call_for_want_of_another_target_closes_the_breaker() -> None:
    """It went out though the breaker was open, and was answered; what was under way before it opened tells nothing."""
    known = health()
    early = known.begin(0.0)
    for at in range(1, 6):
        known.failed(known.begin(at), at)
    known.answered(early, 5.5, 200, (), 0.0)
    assert known.breaker.state == "open"
    answer(known, 6.0, 0.1)
    assert (known.breaker.state, known.is_usable(6.2)) == ("closed", True)


# what a choice may ask


def test_a_full_rate_limit_is_a_reason_to_go_elsewhere() -> None:
    """Where the headers of the last reply say that nothing is left, no call goes before some is back."""
    known = health()
    stated = (
        (b"x-ratelimit-limit-requests", b"60"),
        (b"x-ratelimit-remaining-requests", b"0"),
        (b"x-ratelimit-reset-requests", b"60s"),
    )
    answer(known, 0.0, 0.1, 200, *stated)
    assert (known.is_usable(0.1), known.is_shut(0.1)) == (False, False)
    assert known.is_usable(5.0)


@pytest.mark.parametrize(
    ("headers", "is_shut"), [((), False), (((b"retry-after", b"3"),), True), (((b"retry-after-ms", b"200"),), True)]
)
def test_a_pause_that_was_asked_for_is_kept(headers: tuple[tuple[bytes, bytes], ...], is_shut: bool) -> None:
    """A guess of ours is a reason to call others first; what the provider said holds even when there is nobody else."""
    known = health()
    answer(known, 0.0, 0.1, 429, *headers)
    assert (known.is_usable(0.15), known.is_shut(0.15)) == (False, is_shut)
    assert known.is_usable(3.2)


def test_only_what_is_watched_is_known() -> None:
    """A sparing fleet keeps an eye on the deployments of trees in which there is a choice."""
    fleet = Fleet(is_sparing=True)
    fleet.watch(Target(targets=(Target(deployment="a"), Target(targets=(Target(deployment="b"),)))))
    assert fleet.watched == {"a", "b"}
    assert Fleet().watched is None


def test_what_a_caller_brings_says_nothing_of_the_deployment() -> None:
    """A caller's own key or base URL may fail as it likes: others, and the deployment's own key, do not hear of it."""
    fleet = Fleet(clock=lambda: 10.0)
    own = Target(deployment="a")
    brought = [
        Target(deployment="a", credential=Secret("k"), is_callers=True),
        Target(deployment="a", credential=Secret("other"), is_callers=True),
        Target(deployment="a", credential=Secret("k"), base_url="https://x.example", is_callers=True),
    ]
    for _ in range(5):
        call = fleet.of(brought[0], "m").begin(10.0)
        fleet.of(brought[0], "m").failed(call, 10.0)
    assert not fleet.is_usable(brought[0], "m", 10.0)
    assert [fleet.is_usable(leaf, "m", 10.0) for leaf in (own, *brought[1:])] == [True, True, True]


def test_what_is_met_with_a_key_of_ones_own_is_nobody_elses() -> None:
    """Where callers send the provider's key themselves, each of them has a view of its own, by key and base URL."""
    fleet, leaf = Fleet(clock=lambda: 10.0), Target(deployment="a")
    views = [
        fleet.seen_by(Secret("k"), ""),
        fleet.seen_by(Secret("k"), ""),
        fleet.seen_by(Secret("other"), ""),
        fleet.seen_by(Secret("k"), "https://x.example"),
        fleet,
    ]
    call = views[0].of(leaf, "m").begin(10.0)
    views[0].of(leaf, "m").answered(call, 10.0, 429, ((b"retry-after", b"9"),), 0.0)
    assert [view.is_usable(leaf, "m", 10.0) for view in views] == [False, False, True, True, True]
    assert all(view.budget is fleet.budget for view in views)


def test_the_one_that_was_asked_for_last_is_kept() -> None:
    """Past the bound the health goes that nobody has asked for in the longest time."""
    fleet = Fleet()
    first = fleet.health("a", "m")
    for number in range(MAX_KNOWN):
        fleet.health("b", str(number))
        fleet.health("a", "m")
    assert fleet.health("a", "m") is first
    assert len(fleet.known()) == MAX_KNOWN


def scene_of(*shut: str, asked: tuple[str, ...] = ()) -> tuple[Scene, Target]:
    """Three targets, of which some have an open breaker and some asked for a pause."""
    fleet = Fleet(clock=lambda: 10.0, rng=random.Random(1))
    for name in shut:
        for _ in range(5):
            call = fleet.health(name, "m").begin(10.0)
            fleet.health(name, "m").failed(call, 10.0)
    for name in asked:
        answer(fleet.health(name, "m"), 9.9, 0.1, 429)
    targets = tuple(Target(deployment=name) for name in "abc")
    return Scene(10.0, random.Random(1), fleet, "m"), Target(strategy="x", targets=targets)


@pytest.mark.parametrize(
    ("shut", "asked", "called", "usable"),
    [
        ((), (), (), [0, 1, 2]),
        (("a",), (), (), [1, 2]),
        (("a",), (), (1,), [2]),
        (("a", "c"), (), (1,), []),
        (("c",), ("a",), (1,), [0]),
    ],
)
def test_who_is_left_to_call(
    shut: tuple[str, ...], asked: tuple[str, ...], called: tuple[int, ...], usable: list[int]
) -> None:
    """Healthy ones; after a failure nobody who is shut, though one that only a guess leaves alone."""
    scene, node = scene_of(*shut, asked=asked)
    assert scene.usable(node, range(3), [Outcome(index, 503) for index in called]) == usable


def test_when_all_are_shut_one_is_called() -> None:
    """The one that may be soonest: to refuse for certain would be no better."""
    scene, node = scene_of("a", "b", "c")
    waits = [scene.health(leaf).wait_s(10.0) for leaf in node.targets]
    assert scene.usable(node, range(3)) == [waits.index(min(waits))]


# callers without patience


def test_short_deadlines_of_callers_shut_nothing() -> None:
    """However often a caller gives up before anybody could have been answered, the target stays open for others."""
    known = health()
    for at in range(100):
        give_up(known, at, 0.9)
    assert (known.is_usable(100.0), known.failures, known.in_flight) == (True, 0, 0)


def test_a_target_that_answers_others_is_not_shut_by_who_gives_up() -> None:
    """A wait in which somebody else got an answer says nothing, however long it was."""
    known = health()
    for at in range(0, 100, 10):
        waiting = known.begin(float(at))
        answer(known, at + 1.0, 0.5)
        known.failed(waiting, at + 9.0, is_timeout=True, is_impatient=True)
        known.end(waiting, at + 9.0)
    assert (known.is_usable(100.0), known.failures) == (True, 0)


def test_a_target_that_answers_nobody_is_shut_by_who_gives_up() -> None:
    """Where all callers have short deadlines a hanging provider is left alone all the same."""
    known = health()
    for at in range(5):
        give_up(known, 2.0 * at, 1.5)
    assert (known.is_usable(10.0), known.failures) == (False, 5)


def test_less_than_three_times_the_usual_time_is_no_silence() -> None:
    """A provider that takes two seconds is not given up after five."""
    known = health()
    answer(known, 0.0, 2.0)
    for _ in range(9):
        give_up(known, 2.1, 5.0)
    assert (known.is_usable(8.0), known.failures) == (True, 0)


def test_a_target_that_hangs_grows_dear_before_anything_times_out() -> None:
    """Calls that wait count with the time they have waited, until they are answered or given up."""
    known = health()
    answer(known, 0.0, 0.05)
    waiting = [known.begin(0.1) for _ in range(3)]
    assert known.latency.cost(0.1) == pytest.approx(4 * 0.05, rel=0.01)
    assert known.latency.cost(2.1) == pytest.approx(4 * 2.0)
    for call in waiting[:2]:
        known.end(call, 2.1)
    assert known.latency.cost(3.1) == pytest.approx(2 * 3.0)
    known.answered(waiting[2], 3.2, 200, (), 0.0)
    assert known.latency.cost(3.2) == pytest.approx(2 * 3.1)
    known.end(waiting[2], 3.2)
    assert (known.latency.waiting, known.latency.began) == (0, 0.0)
