"""The policies of resilience on a virtual clock: nothing here waits, and every chance is a seed's."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.policies import (
    Breaker,
    BreakerRule,
    ConcurrencyLimit,
    Health,
    PeakEwma,
    RetryBudget,
    ShadowBucket,
    Window,
    bounded,
    pick_of_two,
    ranking,
    windows_of,
)
from headgate.policies.breaker import MAX_PENALTY_S
from headgate.policies.rate_limit import duration_s

RULE = BreakerRule(consecutive=3, share=0.5, minimum=10, window_s=30.0, penalty_s=5.0)


def opened(rule: BreakerRule = RULE, now: float = 0.0) -> Breaker:
    """A breaker that failures in a row have just opened."""
    breaker, rng = Breaker(rule), random.Random(1)
    for _ in range(rule.consecutive):
        assert breaker.admit(now) == "yes"
        breaker.failed(now, rng)
    return breaker


def waits_of(rule: BreakerRule) -> list[float]:
    """How long a target stays apart after each of ten probes that fail, one behind the other."""
    breaker, rng, now = opened(rule), random.Random(1), 0.0
    waits: list[float] = []
    for _ in range(10):
        now += breaker.wait_s(now)
        assert breaker.admit(now) == "probe"
        breaker.failed(now, rng, is_probe=True)
        waits.append(breaker.wait_s(now))
    return waits


def test_breaker_opens_after_failures_in_a_row() -> None:
    """The last failure of the row shuts the target, and says for how long: half of the penalty at least."""
    breaker = opened()
    assert breaker.state == "open"
    assert breaker.admit(0.1) == "no"
    assert 2.5 <= breaker.wait_s(0.0) <= 5.0


def test_a_success_breaks_the_row() -> None:
    """Failures with a success between them are not in a row."""
    breaker, rng = Breaker(RULE), random.Random(1)
    for _ in range(2):
        breaker.failed(0.0, rng)
    breaker.succeeded(0.0)
    breaker.failed(0.0, rng)
    assert breaker.state == "closed"


def test_breaker_opens_at_a_share_of_failures() -> None:
    """Half of at least ten calls failed, never three in a row."""
    breaker, rng = Breaker(RULE), random.Random(1)
    for at in range(4):
        breaker.succeeded(at)
        breaker.failed(at, rng)
    assert breaker.state == "closed"
    breaker.succeeded(5)
    breaker.failed(5, rng)
    assert breaker.state == "open"


def test_old_failures_do_not_count() -> None:
    """What lies further back than the window is forgotten."""
    breaker, rng = Breaker(RULE), random.Random(1)
    for _ in range(4):
        breaker.failed(0.0, rng)
        breaker.succeeded(0.0)
    for _ in range(6):
        breaker.succeeded(31.0)
    breaker.failed(31.0, rng)
    assert breaker.state == "closed"


def test_exactly_one_probe_goes_through() -> None:
    """Behind the penalty one call is the probe; all others are refused until its end is told."""
    breaker = opened()
    assert [breaker.admit(6.0) for _ in range(5)] == ["probe", "no", "no", "no", "no"]
    breaker.succeeded(6.5, is_probe=True)
    assert [breaker.admit(6.5) for _ in range(3)] == ["yes"] * 3


def test_a_failed_probe_doubles_the_penalty_up_to_five_minutes() -> None:
    """Each probe that fails doubles the time apart."""
    waits = waits_of(RULE)
    assert all(5.0 * 2**at <= 2 * wait for at, wait in enumerate(waits[:6]))
    assert max(waits) <= MAX_PENALTY_S


def test_the_longest_penalty_is_the_rules() -> None:
    """What must be found well again within seconds says so in its rule."""
    rule = BreakerRule(consecutive=3, penalty_s=1.0, max_penalty_s=4.0)
    waits = waits_of(rule)
    assert all(2.0 <= wait <= 4.0 for wait in waits[2:])


def test_a_probe_that_says_nothing_is_followed_by_another() -> None:
    """A caller's own mistake neither closes nor opens."""
    breaker = opened()
    assert breaker.admit(6.0) == "probe"
    breaker.released(is_probe=True)
    assert breaker.state == "half_open"
    assert breaker.admit(6.0) == "probe"


def test_a_lost_probe_does_not_shut_a_target_for_good() -> None:
    """A probe of which nobody ever tells counts as lost after the window."""
    breaker = opened()
    assert breaker.admit(6.0) == "probe"
    assert breaker.admit(35.9) == "no"
    assert breaker.admit(36.0) == "probe"


def test_late_failures_do_not_lengthen_the_penalty() -> None:
    """Calls that were under way when the breaker opened fail behind it, and change nothing."""
    breaker = opened()
    before = breaker.wait_s(1.0)
    breaker.failed(1.0, random.Random(2))
    assert breaker.wait_s(1.0) == before


@given(st.lists(st.tuples(st.floats(0, 20), st.sampled_from(["ok", "bad", "nothing"])), max_size=60), st.integers())
def test_never_two_probes_at_once(steps: list[tuple[float, str]], seed: int) -> None:
    """Whatever happens in whatever order, while a probe is out within its window no other is."""
    breaker, rng, now = Breaker(RULE), random.Random(seed), 0.0
    probe_since: float | None = None
    for passed, end in steps:
        now += passed
        admission = breaker.admit(now)
        if admission == "probe":
            assert probe_since is None or now - probe_since >= RULE.window_s
            probe_since = now
        if admission == "no":
            continue
        is_probe = admission == "probe"
        if end == "ok":
            breaker.succeeded(now, is_probe=is_probe)
        elif end == "bad":
            breaker.failed(now, rng, is_probe=is_probe)
        elif not is_probe:
            breaker.released()
        if is_probe and end != "nothing":
            probe_since = None


@pytest.mark.parametrize("seed", range(20))
def test_retries_stay_within_their_share(seed: int) -> None:
    """A target that fails every call is met by at most 1.2 times the calls, and the reserve."""
    budget, rng, now, calls, retries = RetryBudget(), random.Random(seed), 0.0, 0, 0
    while now < 60.0:
        now += rng.expovariate(200.0)
        calls += 1
        budget.called(now)
        retries += sum(budget.withdraw(now) for _ in range(3))
    assert retries <= 0.2 * calls + 10.0 * (60.0 + 10.0)
    assert retries >= 0.2 * calls


def test_unused_budget_is_gone_after_its_time() -> None:
    """Calls of a quarter of a minute ago pay for no retry."""
    budget = RetryBudget(reserve_per_s=0.0)
    for _ in range(100):
        budget.called(0.0)
    assert budget.balance(5.0) == pytest.approx(20.0)
    assert budget.balance(15.0) == 0.0
    assert not budget.withdraw(15.0)


def test_concurrency_finds_the_capacity_and_follows_it() -> None:
    """Capacity 50, then 10, then 50: the limit is near each within thirty seconds, and never starves."""
    limit, now = ConcurrencyLimit(start=20), 0.0
    seen: dict[int, list[int]] = {50: [], 10: []}
    for capacity in (50, 10, 50):
        for second in range(40):
            for _ in range(10):
                now += 0.1
                calls = limit.limit
                for _ in range(calls):
                    limit.started()
                for at in range(calls):
                    if at >= capacity:
                        limit.overloaded(now)
                    limit.ended(now)
            assert limit.limit >= 1
            if second >= 30:
                seen[capacity].append(limit.limit)
    assert min(seen[50]) >= 40
    assert max(seen[50]) <= 60
    assert min(seen[10]) >= 8
    assert max(seen[10]) <= 16


def told(limit: ConcurrencyLimit, calls: int, many: int, tell: Callable[[float], None], now: float = 1.0) -> None:
    """So many calls are under way at once; `many` of them are told so, and end."""
    for _ in range(calls):
        limit.started()
    for _ in range(many):
        tell(now)
        limit.ended(now)


def test_one_overload_told_to_many_counts_once() -> None:
    """Twenty calls under way hear of one overload: the limit shrinks by a tenth, not to nothing."""
    limit = ConcurrencyLimit(start=20)
    told(limit, 20, 20, limit.overloaded)
    assert limit.limit == 18
    assert limit.in_flight == 0


def test_what_is_refused_beside_others_says_how_many_are_taken() -> None:
    """Of forty-five calls at once a target takes twenty: from then on it gets twenty, and one more for each quiet second."""
    limit = ConcurrencyLimit(start=200)
    told(limit, 45, 25, limit.refused)
    assert (limit.limit, limit.has_room(1.5)) == (20, False)
    assert [limit.has_room(now) for now in (1.9, 2.0)] == [False, True]
    told(limit, 1, 1, limit.refused, 2.0)
    assert (limit.limit, limit.has_room(2.9), limit.has_room(3.0)) == (20, False, True)


def test_what_is_refused_alone_says_little() -> None:
    """Calls that are all refused leave nine tenths of the limit, whether they came together or alone."""
    limit = ConcurrencyLimit(start=200)
    told(limit, 45, 45, limit.refused)
    assert limit.limit == 180
    assert limit.has_room(1.0)


def test_an_idle_limit_does_not_grow() -> None:
    """Calls one at a time say nothing of how many could be at once."""
    limit = ConcurrencyLimit(start=20)
    for at in range(500):
        limit.started()
        limit.ended(at)
    assert limit.limit == 20


def shares(latencies: list[float], seed: int, calls: int = 4000) -> Counter[int]:
    """Which targets are chosen when calls arrive a hundred a second and each target takes its own time."""
    rng, now = random.Random(seed), 0.0
    costs = [PeakEwma() for _ in latencies]
    ends: list[tuple[float, int, float]] = []
    chosen: Counter[int] = Counter()
    for _ in range(calls):
        now += rng.expovariate(100.0)
        for end in sorted(end for end in ends if end[0] <= now):
            costs[end[1]].in_flight -= 1
            costs[end[1]].observed(end[2], end[0])
        ends = [end for end in ends if end[0] > now]
        at = pick_of_two(range(len(costs)), lambda index, now=now: costs[index].cost(now), lambda _: 1.0, rng)
        took = latencies[at] * rng.uniform(0.8, 1.2)
        costs[at].in_flight += 1
        ends.append((now + took, at, took))
        chosen[at] += 1
    return chosen


@pytest.mark.parametrize("seed", range(5))
def test_equal_targets_get_equal_shares(seed: int) -> None:
    """Of three alike each gets a third, within three hundredths."""
    chosen = shares([0.3, 0.3, 0.3], seed)
    assert all(abs(count / 4000 - 1 / 3) < 0.03 for count in chosen.values())


@pytest.mark.parametrize("seed", range(5))
def test_a_slow_target_loses_its_traffic_and_is_tried_again(seed: int) -> None:
    """One that is ten times as slow gets little, but is not forgotten."""
    chosen = shares([0.1, 0.1, 1.0], seed)
    assert 0 < chosen[2] / 4000 < 0.12


def test_a_target_that_never_answered_is_tried_once() -> None:
    """Until its first answer is there no second call goes to it."""
    fresh, known = PeakEwma(), PeakEwma()
    known.observed(0.2, 0.0)
    assert fresh.cost(0.0) < known.cost(0.0)
    fresh.in_flight = 1
    assert fresh.cost(0.0) > known.cost(0.0)


def test_weight_zero_is_never_drawn() -> None:
    """A target of weight 0 gets nothing, even where it would be the cheaper one."""
    rng = random.Random(3)
    drawn = {pick_of_two((0, 1), lambda index: float(1 - index), lambda index: 1.0 - index, rng) for _ in range(200)}
    assert drawn == {0}


def test_keys_move_only_when_their_target_goes() -> None:
    """Without one of four targets the other three keep every key they had."""
    names = ["a", "b", "c", "d"]
    for number in range(500):
        key = str(number).encode()
        before = names[ranking(key, names)[0]]
        after = ["a", "b", "c"][ranking(key, ["a", "b", "c"])[0]]
        assert before in {after, "d"}


def test_homes_follow_weights() -> None:
    """A target of weight 3 is home of three quarters of the keys beside one of weight 1; one of 0 of none."""
    homes = Counter(ranking(str(number).encode(), ["a", "b", "c"], [3.0, 1.0, 0.0])[0] for number in range(4000))
    assert abs(homes[0] / 4000 - 0.75) < 0.03
    assert homes[2] == 0


def test_load_stays_within_its_bound() -> None:
    """A thousand calls of one key spread as soon as their home has a quarter more than the average."""
    load: Counter[int] = Counter()
    for _ in range(1000):
        load[bounded(ranking(b"hot", ["a", "b", "c", "d"]), load)] += 1
    assert max(load.values()) <= 1000 / 4 * 1.25 + 1


def test_bounds_follow_weights() -> None:
    """A home of half the weight is full with half of the calls."""
    weights, load = {0: 2.0, 1: 1.0, 2: 1.0}, Counter[int]()
    for _ in range(1000):
        load[bounded([1, 0, 2], load, 1.2, weights)] += 1
    assert [load[index] for index in range(3)] == pytest.approx([600, 300, 100], abs=3)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6m0s", 360.0),
        ("1s", 1.0),
        ("20ms", 0.02),
        ("1h2m3.5s", 3723.5),
        ("12", 12.0),
        ("0", 0.0),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        ("6m 0s", None),
        ("", None),
        ("999999d", 86400.0),
    ],
)
def test_durations(text: str, seconds: float | None) -> None:
    """Every form that providers send, and what is none."""
    assert duration_s(text) == seconds


def test_openai_headers() -> None:
    """Requests and tokens, each with a duration."""
    headers = {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "150000",
        "x-ratelimit-remaining-tokens": "149984",
        "x-ratelimit-reset-tokens": "6m0s",
    }
    assert windows_of(headers, 0.0) == {"requests": Window(60, 59, 1), "tokens": Window(150000, 149984, 360)}


def test_anthropic_headers() -> None:
    """Input and output apart, with instants."""
    headers = {
        "anthropic-ratelimit-input-tokens-limit": "40000",
        "anthropic-ratelimit-input-tokens-remaining": "39000",
        "anthropic-ratelimit-input-tokens-reset": "1970-01-01T00:01:40Z",
    }
    assert windows_of(headers, 70.0) == {"input-tokens": Window(40000, 39000, 30)}


@pytest.mark.parametrize(("limit", "remaining"), [("-1", "-1"), ("0", "0"), ("60", "-1"), ("60", "70"), ("x", "1")])
def test_nonsense_is_no_limit(limit: str, remaining: str) -> None:
    """What a provider does not know itself limits nothing."""
    headers = {
        "x-ratelimit-limit-requests": limit,
        "x-ratelimit-remaining-requests": remaining,
        "x-ratelimit-reset-requests": "1s",
    }
    assert windows_of(headers, 0.0) == {}


def test_bucket_refills() -> None:
    """Half is gone and comes back in ten seconds."""
    bucket = ShadowBucket()
    assert bucket.headroom(0.0) == 1.0
    bucket.stated(Window(100, 50, 10.0), 0.0)
    assert bucket.room(0.0) == 50
    assert bucket.room(5.0) == 75
    assert bucket.room(60.0) == 100


def test_bucket_learns_what_a_call_takes() -> None:
    """From one statement to the next two calls took 20; those since then are held against it."""
    bucket = ShadowBucket()
    bucket.stated(Window(100, 60, 1e9), 0.0, begun=1)
    bucket.stated(Window(100, 40, 1e9), 1.0, begun=3)
    assert [round(bucket.room(1.0, begun)) for begun in (3, 4, 6)] == [40, 30, 10]
    assert [bucket.has_room(1.0, begun) for begun in (3, 5, 7)] == [True, True, False]


def test_bucket_is_not_shut_by_what_others_take() -> None:
    """However much goes from one statement to the next, a quarter of the limit is room enough for one call."""
    bucket = ShadowBucket()
    bucket.stated(Window(100, 100, 1.0), 0.0)
    bucket.stated(Window(100, 10, 9.0), 0.0, begun=1)
    assert [bucket.has_room(now, 1) for now in (0.0, 1.0, 2.0)] == [False, False, True]


def test_each_call_that_ends_lets_one_waiter_know() -> None:
    """Whoever waits for room hears of it once, first come first served; a pause is told apart from an open breaker."""
    health, heard = Health(RULE, random.Random(1)), list[str]()
    calls = [health.begin(0.0) for _ in range(3)]
    health.waiters.extend([lambda: heard.append("first"), lambda: heard.append("second")])
    for at, call in enumerate(calls):
        health.end(call, float(at))
        assert heard == ["first", "second"][: at + 1]
    health.paused(10.0, 5.0)
    assert (health.pause_s(12.0), health.wait_s(12.0), health.pause_s(15.0)) == (3.0, 3.0, 0.0)
