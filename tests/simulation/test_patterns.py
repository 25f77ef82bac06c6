"""Each pattern of resilience in a scenario of its own, through the real executor on a virtual clock."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import quantiles
from typing import Any

import pytest
from msgspec.structs import replace
from tests.simulation.clock import START_S
from tests.simulation.figures import arrivals, config_of
from tests.simulation.invariants import TICK_S, broken
from tests.simulation.strategies import BALANCERS, BudgetedHedge, Sticky
from tests.simulation.vendor import DONE, Law, event_of
from tests.simulation.world import Asked, Client, Machine, Schedule, World
from typing_extensions import override

from headgate.policies import Breaker, BreakerRule, PeakEwma, pick_of_two, ranking
from headgate.upstream import Timeouts
from headgate_router_standard import retrying

WELL = Law(latency_s=0.3, spread=0.0, pieces=2, timeouts=Timeouts(1.0, 5.0, 2.0, 30.0))
DEAD = replace(WELL, latency_s=0.01, faults={"500": 1.0})


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def unbroken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries that no breaker holds back, so that what else bounds them is seen."""

    def never(*_: object) -> bool:
        return False

    monkeypatch.setattr(retrying, "_is_shut", never)


def run(machine: Machine, laws: Mapping[str, Law], config: Any, asked: Sequence[Asked], **rest: Any) -> World:
    """A world that has kept every invariant."""
    world = machine.run(Schedule(1, laws, config, asked, **rest))
    assert broken(world) == []
    return world


def starts_of(world: World, name: str, *, retries: bool = False) -> list[float]:
    """When calls to a deployment started, in seconds from the beginning: first ones, or retries."""
    return [
        made.call.started - START_S
        for made in world.made
        if made.call.vendor.deployment == name and (made.retry > 0) is retries
    ]


def has_answer(client: Client) -> bool:
    return client.ends in (["whole"], ["complete"])


def first_bytes(world: World) -> list[float]:
    """Seconds from the request to the first byte, or to its end without one."""
    return [(client.first_byte_s or client.ended_s) - START_S - client.asked.at_s for client in world.clients.values()]


def p99(values: Sequence[float]) -> float:
    return quantiles(values, n=100)[98]


RETRIED = {"provider": "@a", "override_params": {"model": "m"}, "retry": {"attempts": 1}}


@pytest.mark.usefixtures("unbroken")
@pytest.mark.parametrize(("status", "least_s", "bound"), [("503", 0.0, 45), ("429", 0.25, 75)])
def test_retries_are_desynchronised(machine: Machine, status: str, least_s: float, bound: int) -> None:
    """A thousand clients that fail in one moment come back spread over half a second; after a 429 none comes at once."""
    law = Law(latency_s=0.0, spread=0.0, faults={status: 1.0})
    world = run(machine, {"a": law}, RETRIED, [Asked(0.0)] * 1000, reserve_per_s=1000.0)

    waits = starts_of(world, "a", retries=True)
    assert len(waits) == 1000
    assert max(Counter(int(wait / 0.01) for wait in waits).values()) <= bound
    assert least_s <= min(waits) < least_s + 0.02
    assert 0.48 < max(waits) <= 0.5


@pytest.mark.parametrize(
    ("form", "least_s", "calls"),
    [
        ("none", 0.25, 2),
        ("nonsense", 0.25, 2),
        ("negative", 0.25, 2),
        ("seconds", 2.25, 2),
        ("ms", 2.25, 2),
        ("date", 1.25, 2),
        ("long", 0.0, 1),
    ],
)
def test_retry_after_is_a_floor(machine: Machine, form: str, least_s: float, calls: int) -> None:
    """Every form of Retry-After is waited out before the jittered wait; a day of it means no retry. Dates have whole seconds."""
    law = Law(latency_s=0.0, spread=0.0, faults={"429": 1.0}, retry_after=form, rate=100, window_s=2.0)
    config = {**RETRIED, "retry": {"attempts": 1, "use_retry_after_header": True}}
    world = run(machine, {"a": law}, config, [Asked(0.0)])

    assert len(world.made) == calls
    assert all(least_s <= wait <= 2.5 for wait in starts_of(world, "a", retries=True))


def test_a_wait_past_the_deadline_fails_over_at_once(machine: Machine) -> None:
    """Where Retry-After asks for more time than there is, the next target is called in the same moment."""
    law = Law(latency_s=0.1, spread=0.0, faults={"429": 1.0}, retry_after="seconds")
    retry = {"attempts": 2, "use_retry_after_header": True}
    world = run(machine, {"a": law, "b": WELL}, config_of("fallback", "ab", retry=retry), [Asked(0.0, deadline_s=0.9)])

    assert starts_of(world, "a") == [0.0]
    assert starts_of(world, "a", retries=True) == []
    assert starts_of(world, "b") == pytest.approx([0.1])
    assert has_answer(world.clients["r0"])


@pytest.mark.parametrize("release_after", [0, 3])
@pytest.mark.parametrize("fault", ["cut", "cut_clean", "stall"])
def test_a_fault_at_each_byte(machine: Machine, fault: str, release_after: int) -> None:
    """Wherever a stream breaks: either another answers in whole, or the beginning ends with an error. Never both."""
    length = len(event_of(0, 0)) + len(DONE) + 100
    whole = 0
    for at in range(length):
        law = replace(WELL, pieces=1, faults={fault: 1.0}, cut_at=at, is_torn=at % 2 == 0)
        config = config_of("fallback", "ab", release_after=release_after)
        world = run(machine, {"a": law, "b": WELL}, config, [Asked(0.0, stream=True)])
        client = world.clients["r0"]
        numbers = {made.call.number for made in world.made if b"c%d." % made.call.number in client.got}
        assert len(numbers) == 1
        whole += client.ends == ["complete"]

    assert (whole == length) == bool(release_after)
    assert whole > 0


@pytest.mark.usefixtures("unbroken")
@pytest.mark.parametrize("reserve_per_s", [0.0, 1.0])
def test_retries_of_a_dead_upstream_stay_in_budget(machine: Machine, reserve_per_s: float) -> None:
    """Of an upstream that fails every call 1.2 times its load is asked at most, but for the reserve."""
    config = {**RETRIED, "retry": {"attempts": 4}}
    world = run(machine, {"a": DEAD}, config, arrivals(3000, 50.0), reserve_per_s=reserve_per_s)

    retries = len(starts_of(world, "a", retries=True))
    assert retries <= 0.2 * 3000 + reserve_per_s * (60.0 + 10.0)
    assert retries > 0.15 * 3000


def test_the_retry_budget_recovers(machine: Machine) -> None:
    """Ten seconds after an upstream is well again, retries hide its single failures as before."""
    law = replace(WELL, latency_s=0.01, faults={"500": 0.05}, outages=((0.0, 30.0, "500"),))
    config = {**RETRIED, "retry": {"attempts": 4}}
    world = run(machine, {"a": law}, config, arrivals(3000, 50.0), reserve_per_s=0.0)

    late = [client for client in world.clients.values() if client.asked.at_s >= 40.0]
    assert sum(map(has_answer, late)) / len(late) >= 0.999
    assert starts_of(world, "a", retries=True)[-1] > 40.0


class Model:
    """What a breaker with a rule of three in a row should do, in as few words as possible."""

    def __init__(self) -> None:
        self.row, self.opened, self.until, self.probing_since = 0, 0, -math.inf, None

    def admit(self, now: float) -> str:
        if not self.opened:
            return "yes"
        is_taken = self.probing_since is not None and now - self.probing_since < 30.0
        if now < self.until or is_taken:
            return "no"
        self.probing_since = now
        return "probe"

    def told(self, now: float, *, is_well: bool, is_probe: bool) -> None:
        if is_probe:
            self.opened, self.probing_since = 0 if is_well else self.opened, None
        if self.opened and not is_probe:
            return
        self.row = 0 if is_well else self.row + 1
        if self.row >= 3 or (is_probe and not is_well):
            self.until, self.row = now + min(300.0, 2.0 * 2.0**self.opened) / 2, 0
            self.opened += 1


class NoChance(random.Random):
    """Always the least."""

    @override
    def random(self) -> float:
        return 0.0


@pytest.mark.parametrize("seed", range(50))
def test_the_breaker_does_as_its_model(seed: int) -> None:
    """Whatever calls come and however they end, the breaker admits what a model of it admits."""
    rng, now, under_way = random.Random(seed), 0.0, list[str]()
    breaker, model = Breaker(BreakerRule(consecutive=3, share=0.0, penalty_s=2.0)), Model()
    for _ in range(400):
        now += rng.choice((0.0, 0.1, 1.0, 5.0))
        if not under_way or rng.random() < 0.5:
            admission = breaker.admit(now)
            assert admission == model.admit(now)
            under_way += [admission] if admission != "no" else []
        else:
            is_probe = under_way.pop(rng.randrange(len(under_way))) == "probe"
            if is_probe and model.probing_since is None:
                continue
            is_well = rng.random() < 0.5
            model.told(now, is_well=is_well, is_probe=is_probe)
            if is_well:
                breaker.succeeded(now, is_probe=is_probe)
            else:
                breaker.failed(now, NoChance(), is_probe=is_probe)


def test_one_probe_in_a_crowd(machine: Machine) -> None:
    """When the time of a breaker is over, one of fifty requests that come at once finds out; the others go elsewhere."""
    law = replace(WELL, outages=((0.0, 20.0, "500"),))
    early = [Asked(at / 10) for at in range(60)]
    world = run(machine, {"a": law, "b": WELL}, config_of("fallback", "ab"), [*early, *[Asked(25.0)] * 50])

    crowd = [made for made in world.made if made.call.started == START_S + 25.0]
    assert Counter((made.call.vendor.deployment, made.is_probe) for made in crowd) == {("a", True): 1, ("b", False): 49}
    assert all(has_answer(client) for client in world.clients.values())


def test_a_flapping_upstream(machine: Machine) -> None:
    """An upstream that is ill every other second costs no request its answer, and gets ever fewer calls while it is ill."""
    outages = tuple((float(at), at + 1.0, "500") for at in range(0, 120, 2))
    laws = {"a": replace(WELL, outages=outages), "b": WELL}
    world = run(machine, laws, config_of("fallback", "ab"), arrivals(2400, 20.0))

    assert all(has_answer(client) for client in world.clients.values())
    failed = [made for made in world.made if made.call.status == 500]
    assert 0 < len(failed) < 0.15 * 2400


def test_all_open(machine: Machine) -> None:
    """When every breaker is open a request still goes to the target that may be well soonest, and hears what it says."""
    world = run(machine, {"a": DEAD, "b": DEAD}, config_of("fallback", "ab"), arrivals(100, 10.0))

    late = [client for client in world.clients.values() if client.asked.at_s > 5.0]
    assert {(client.status, len(client.calls)) for client in late} == {(500, 1)}
    healths = dict(world.healths())
    assert {health.breaker.state for health in healths.values()} <= {"open", "half_open"}


@pytest.mark.parametrize("mode", ["loadbalance", *BALANCERS])
def test_an_outlier_loses_its_share(machine: Machine, mode: str) -> None:
    """One bad of three has less than 2 % of the traffic after half a minute."""
    world = run(machine, {"a": DEAD, "b": WELL, "c": WELL}, config_of(mode), arrivals(1800, 20.0))

    assert sum(at > 30.0 for at in starts_of(world, "a")) < 0.02 * 1200
    assert all(has_answer(client) for client in world.clients.values())


@pytest.mark.parametrize("mode", ["loadbalance", "fallback", *BALANCERS])
def test_the_last_target_is_never_left(machine: Machine, mode: str) -> None:
    """When all three are bad each request still makes a call."""
    world = run(machine, dict.fromkeys("abc", DEAD), config_of(mode), arrivals(200, 10.0))

    assert min(len(client.calls) for client in world.clients.values()) == 1


@pytest.mark.parametrize("mode", BALANCERS)
def test_equal_targets_share_alike(machine: Machine, mode: str) -> None:
    """Three equal targets get the same share within 3 %."""
    law = replace(WELL, spread=0.3)
    world = run(machine, dict.fromkeys("abc", law), config_of(mode), arrivals(4000, 40.0))

    assert [len(starts_of(world, name)) / 4000 for name in "abc"] == pytest.approx([1 / 3] * 3, abs=0.03)


@pytest.mark.parametrize("mode", BALANCERS)
def test_a_slow_target_does_not_slow_the_rest(machine: Machine, mode: str) -> None:
    """With one of three ten times slower 95 % of requests take no longer than at the others."""
    slow = replace(WELL, latency_s=3.0)
    world = run(machine, {"a": slow, "b": WELL, "c": WELL}, config_of(mode), arrivals(2000, 20.0))

    assert quantiles(first_bytes(world), n=20)[18] < 0.35
    assert len(starts_of(world, "a")) < 0.05 * 2000


EQUAL = (1.0,) * 4


def test_replicas_do_not_herd() -> None:
    """Eight replicas that know only their own calls spread them: no target has three times its share at any moment."""
    rng, targets = random.Random(1), range(4)
    replicas = [[PeakEwma() for _ in targets] for _ in range(8)]
    busy, peaks = [0] * 4, list[float]()
    ends: list[tuple[float, int, int, float]] = []
    for step in range(20_000):
        now = step * 0.005
        for end in [end for end in ends if end[0] <= now]:
            ends.remove(end)
            _, replica, at, began = end
            busy[at] -= 1
            replicas[replica][at].in_flight -= 1
            replicas[replica][at].observed(now - began, now)
        replica = rng.randrange(8)
        held = replicas[replica]
        costs = [target.cost(now) for target in held]
        at = pick_of_two(targets, costs.__getitem__, EQUAL.__getitem__, rng)
        busy[at] += 1
        held[at].in_flight += 1
        ends.append((now + 0.1 * (1 + busy[at] / 10) * rng.uniform(0.8, 1.2), replica, at, now))
        if step > 1000:
            peaks.append(max(busy) / (sum(busy) / 4))

    assert max(peaks) < 3.0
    assert sum(peaks) / len(peaks) < 1.6


@pytest.mark.parametrize("mode", ["loadbalance", *BALANCERS])
def test_a_fast_429_loses_traffic(machine: Machine, mode: str) -> None:
    """A target that refuses at once does not look like the fastest of all, nor like a broken one."""
    law = Law(latency_s=0.01, spread=0.0, faults={"429": 1.0}, retry_after="seconds", rate=1000, window_s=5.0)
    world = run(machine, {"a": law, "b": WELL}, config_of(mode, "ab"), arrivals(1200, 20.0))

    assert len(starts_of(world, "a")) <= 60.0 / 5.0 + 2
    assert all(has_answer(client) for client in world.clients.values())
    assert dict(world.healths())["a"].breaker.state == "closed"


@pytest.mark.parametrize("mode", BALANCERS)
@pytest.mark.parametrize("headers", ["openai", "anthropic"])
def test_rate_limit_headers_are_followed(machine: Machine, mode: str, headers: str) -> None:
    """At 95 % of what two unequal providers allow less than 0.5 % of calls are refused; without the headers it is 3 %."""
    law = Law(latency_s=0.05, spread=0.0, rate=100, window_s=10.0, headers=headers)
    world = run(machine, {"a": law, "b": replace(law, rate=50)}, config_of(mode, "ab"), arrivals(1900, 14.25))

    assert sum(made.call.status == 429 for made in world.made) < 0.005 * 1900
    assert all(has_answer(client) for client in world.clients.values())


@pytest.mark.parametrize("mode", BALANCERS)
@pytest.mark.parametrize("headers", ["none", "wrong"])
def test_wrong_headers_are_no_limit(machine: Machine, mode: str, headers: str) -> None:
    """Without headers, or with nonsense in them, calls go out as before and a 429 is failed over."""
    law = Law(latency_s=0.05, spread=0.0, rate=100, window_s=10.0, headers=headers, retry_after="ms")
    world = run(machine, {"a": law, "b": WELL}, config_of(mode, "ab"), arrivals(1900, 19.0))

    assert all(has_answer(client) for client in world.clients.values())


def test_hedges_stay_in_their_budget() -> None:
    """Second calls are 2 % and a reserve at most; they take the slow tail away, and the loser ends when the winner answers."""
    law = replace(WELL, timeouts=Timeouts(1.0, 8.0, 2.0, 30.0), faults={"hang": 0.015})
    machine = Machine({"budgeted": BudgetedHedge()})
    asked = arrivals(4000, 20.0)
    slow = run(machine, {"a": law, "b": WELL}, config_of("fallback", "ab"), asked)
    world = run(machine, {"a": law, "b": WELL}, config_of("budgeted", "ab"), asked)

    asked_s = {client.id: client.asked.at_s + START_S for client in world.clients.values()}
    hedges = [made for made in world.made if made.call.started - asked_s[made.client] == pytest.approx(0.5)]
    assert 0.01 * 4000 < len(hedges) <= 0.02 * 4000 + 0.1 * 210
    assert p99(first_bytes(slow)) > 7.9
    assert p99(first_bytes(world)) < 0.9
    lost = [made.call for made in world.made if made.call.how == "CancelledError"]
    assert len(lost) == len(hedges)
    assert all(call.ended - call.started == pytest.approx(0.8) for call in lost)


def test_sessions_stay_at_home_within_bounds() -> None:
    """Sessions keep their target, so that its cache stays warm, and no target has more than its bound of the load."""
    sticky = Sticky()
    rng = random.Random(1)
    asked = [Asked(at / 50, metadata={"session": f"s{rng.randrange(200)}"}) for at in range(4000)]
    machine = Machine({"sticky": sticky})
    run(machine, dict.fromkeys("abcd", WELL), config_of("sticky", "abcd"), asked)

    assert sticky.hits / 4000 > 0.7
    assert max(sticky.over) <= 0
    keys = [f"s{at}".encode() for at in range(2000)]
    moved = [key for key in keys if "abcd"[ranking(key, "abcd")[0]] != "abc"[ranking(key, "abc")[0]]]
    assert len(moved) / 2000 == pytest.approx(1 / 4, abs=0.03)


def test_concurrency_follows_capacity(machine: Machine) -> None:
    """When a provider takes 50 calls, then 10, then 50, its limit is near that within half a minute, and nobody starves."""
    law = Law(latency_s=0.5, spread=0.0, capacity=50, overflow=429, retry_after="ms")
    changes = [(40.0, "a", replace(law, capacity=10)), (85.0, "a", law)]
    asked = arrivals(12_000, 100.0)
    world = run(machine, {"a": law, "b": WELL}, config_of("fallback", "ab"), asked, changes=changes)
    limits = {
        int(made.call.started - START_S): made.allowed for made in world.made if made.call.vendor.deployment == "a"
    }

    assert [limits[at] for at in (39, 69, 115)] == pytest.approx([50, 10, 50], rel=0.2)
    assert min(limits.values()) >= 1
    assert all(any(at in limits for at in range(start, start + 5)) for start in range(0, 120, 5))
    assert all(has_answer(client) for client in world.clients.values())


@pytest.mark.parametrize("deadline_s", [0.2, 0.5, 1.0])
def test_deadlines_hold_in_a_queue(machine: Machine, deadline_s: float) -> None:
    """The time in a provider's queue counts: what has waited too long is ended, nothing starts after it, no call is left."""
    law = replace(WELL, capacity=1, queue=50)
    config = {**RETRIED, "retry": {"attempts": 3}}
    world = run(machine, {"a": law}, config, [Asked(0.0, deadline_s=deadline_s)] * 20)

    answered = [client for client in world.clients.values() if has_answer(client)]
    assert len(answered) == int(deadline_s / 0.3 + 1e-9)
    assert max(client.ended_s for client in world.clients.values()) <= START_S + deadline_s + TICK_S
    assert world.vendors["a"].busy == 0
