"""The strategies against simulated hosts: a virtual clock, seeded chance, the health and the choices of the real thing."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from typing_extensions import override

from headgate.dialects.openai.chat import OpenAIChat
from headgate.exchange import Exchange, Principal, Target
from headgate.fleet import Fleet
from headgate.hooks import Outcome, Scene, Strategy
from headgate.operations import CHAT
from headgate.policies import Call, Health
from headgate.routing import Known, decode_target
from headgate_router_adaptive import Adaptive, Affinity, Latency

NAMES = ("a", "b", "c", "d", "e", "f", "g", "h")


class Drawn(Strategy):
    """Chance alone, to compare with."""

    @override
    def choose(self, target: Target, ex: Exchange, outcomes: Sequence[Outcome], scene: Scene) -> int | None:
        return None if outcomes else scene.rng.randrange(len(target.targets))


STRATEGIES: Mapping[str, Strategy] = {
    "adaptive": Adaptive(),
    "latency": Latency(),
    "affinity": Affinity(),
    "drawn": Drawn(),
}
Law = Callable[[random.Random, float], float]


def around(mean_s: float) -> Law:
    """Latency around a mean, with a tail as providers have it."""
    return lambda rng, _now: mean_s * rng.lognormvariate(0.0, 0.4)


class Host:
    """A provider: how long it takes, with which chance it fails and how, and how many calls it carries out at once."""

    def __init__(self, law: Law, failing: float = 0.0, status: int = 500, places: int = 10_000) -> None:
        self._law = law
        self._failing = failing
        self._status = status
        self._free = [0.0] * places
        self.called: list[float] = []

    def call(self, now: float, rng: random.Random) -> tuple[int, float]:
        """The status of a call that comes now, and when it is answered. It waits for a place in the order it came."""
        self.called.append(now)
        if rng.random() < self._failing:
            return self._status, now + 0.02
        begins = max(now, heapq.heappop(self._free))
        ends = begins + self._law(rng, now)
        heapq.heappush(self._free, ends)
        return 200, ends


class Run:
    """Requests that come by chance at a rate, to gateways that know nothing of each other."""

    def __init__(self, hosts: Sequence[Host], mode: str, replicas: int = 1, seed: int = 1, **strategy: Any) -> None:
        self.hosts, self.strategy = hosts, STRATEGIES[mode]
        self.now, self.rng = 0.0, random.Random(seed)
        config = {"strategy": {"mode": mode, **strategy}, "targets": [f"{name}/m" for name in NAMES[: len(hosts)]]}
        self.targets = [decode_target(config, Known(NAMES, STRATEGIES)) for _ in range(replicas)]
        self.fleets = [Fleet(lambda: self.now, lambda: self.now, self.rng) for _ in range(replicas)]
        self.took: list[float] = []
        self.loads: list[tuple[int, int]] = []
        """The calls of the host that was chosen, and of all, with this one."""
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._numbers), what))

    def go(self, rate: float, until_s: float, exchange: Callable[[], Exchange]) -> Run:
        """Run until all is answered."""
        when = 0.0
        while (when := when + self.rng.expovariate(rate)) < until_s:
            self.at(when, lambda: self._begin(exchange()))
        while self._events:
            self.now, _, what = heapq.heappop(self._events)
            what()
        return self

    def _begin(self, ex: Exchange) -> None:
        at = self.rng.randrange(len(self.targets))
        self._choose(at, ex, self.now, [])

    def _choose(self, at: int, ex: Exchange, began: float, outcomes: list[Outcome]) -> None:
        scene = Scene(self.now, self.rng, self.fleets[at], "m")
        index = self.strategy.choose(self.targets[at], ex, outcomes, scene)
        if index is None:
            self.took.append(self.now - began)
            return
        health = scene.health(self.targets[at].targets[index])
        call = health.begin(self.now)
        load = [scene.health(child).in_flight for child in self.targets[at].targets]
        self.loads.append((load[index], sum(load)))
        status, ends = self.hosts[index].call(self.now, self.rng)

        def end() -> None:
            self._end(health, call, status)
            outcome = Outcome(index, status, elapsed_s=self.now - scene.now)
            self.strategy.ended(self.targets[at], outcome, scene)
            self._choose(at, ex, began, [*outcomes, outcome])

        self.at(ends, end)

    def _end(self, health: Health, call: Call, status: int) -> None:
        health.answered(call, self.now, status, (), self.now)
        health.end(call, self.now)

    def shares(self, since_s: float = 0.0) -> list[float]:
        """Which share of the calls each host got."""
        counts = [sum(when >= since_s for when in host.called) for host in self.hosts]
        return [count / sum(counts) for count in counts]

    def p99(self) -> float:
        return quantile(self.took, 0.99)


def quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[int(share * len(values))]


def exchange(metadata: Mapping[str, str] | None = None) -> Exchange:
    ex = Exchange(CHAT, {}, request_id="r", trace_id="t", dialect=OpenAIChat())
    ex.body, ex.model = b'{"model":"m","messages":[]}', "m"
    ex.principal, ex.metadata = Principal("k"), metadata or {}
    return ex


@pytest.mark.parametrize("seed", range(3))
def test_equal_hosts_have_equal_shares(seed: int) -> None:
    """Three hosts alike: none has more or less than 3 % beside its third."""
    run = Run([Host(around(0.5)) for _ in range(3)], "adaptive", seed=seed).go(50, 400, exchange)
    assert all(abs(share * 3 - 1) < 0.03 for share in run.shares()), run.shares()


@pytest.mark.parametrize("mode", ["adaptive", "latency"])
@pytest.mark.parametrize("seed", range(3))
def test_a_slow_host_does_not_make_the_tail(mode: str, seed: int) -> None:
    """One of three is ten times slower: the 99th percentile stays near what two good hosts have."""
    good = Run([Host(around(0.5)) for _ in range(2)], mode, seed=seed).go(20, 400, exchange).p99()
    run = Run([Host(around(5.0)), Host(around(0.5)), Host(around(0.5))], mode, seed=seed).go(20, 400, exchange)
    assert run.p99() < 1.25 * good


@pytest.mark.parametrize("mode", ["adaptive", "latency"])
def test_a_fast_429_is_no_fast_host(mode: str) -> None:
    """A host that refuses at once, for its rate, gets next to nothing, though nobody answers sooner."""
    run = Run([Host(around(0.5), failing=1.0, status=429), Host(around(0.5)), Host(around(0.5))], mode)
    run.go(20, 300, exchange)
    assert run.shares(since_s=10)[0] < 0.02


def test_a_fast_401_is_no_fast_host() -> None:
    """Nor does one whose key is wrong, which is no failure to its breaker: it is an outlier among its siblings."""
    run = Run([Host(around(0.5), failing=1.0, status=401), Host(around(0.5)), Host(around(0.5))], "latency")
    run.go(20, 300, exchange)
    assert run.shares(since_s=30)[0] < 0.02


@pytest.mark.parametrize("seed", range(5))
def test_an_outlier_is_out_within_three_sweeps(seed: int) -> None:
    """One of three fails 45 % of its calls, too few for its breaker: after three sweeps it has less than 2 %, and keeps that."""
    hosts = [Host(around(0.5), failing=0.45), Host(around(0.5), failing=0.01), Host(around(0.5), failing=0.01)]
    run = Run(hosts, "adaptive", seed=seed).go(30, 330, exchange)
    assert run.shares(since_s=30)[0] < 0.02


@pytest.mark.parametrize("seed", range(3))
def test_all_that_fail_alike_stay(seed: int) -> None:
    """When all do equally badly none stands out, and the calls are spread as ever."""
    run = Run([Host(around(0.5), failing=0.2) for _ in range(3)], "adaptive", seed=seed).go(30, 200, exchange)
    assert all(abs(share * 3 - 1) < 0.15 for share in run.shares()), run.shares()


@pytest.mark.parametrize("seed", range(3))
def test_replicas_do_not_herd(seed: int) -> None:
    """Eight gateways that each see an eighth of the calls, and hosts that queue at 85 % of what they can do.

    Nobody is run over in any second, and there is less waiting than where chance alone spreads the calls.
    """

    def run(mode: str) -> Run:
        hosts = [Host(around(1.0), places=10) for _ in range(8)]
        return Run(hosts, mode, replicas=8, seed=seed).go(62, 240, exchange)

    followed, drawn = run("adaptive"), run("drawn")
    busiest = [max(Counter(int(when) for when in host.called).values()) for host in followed.hosts]
    assert max(busiest) < 2.5 * 62 / 8
    assert followed.p99() < drawn.p99()


@pytest.mark.parametrize("bound", [1.25, 1.5])
def test_affinity_keeps_loads_together(bound: float) -> None:
    """One conversation in three is the same, and yet no host has more than its share times the bound, rounded up."""
    rng = random.Random(3)

    def one() -> Exchange:
        return exchange({"session": "hot" if rng.random() < 1 / 3 else str(rng.randrange(200))})

    run = Run([Host(around(1.0)) for _ in range(4)], "affinity", key="metadata.session", bound=bound)
    run.go(60, 120, one)
    assert all(calls <= math.ceil(bound * total / 4) for calls, total in run.loads)
    shares = run.shares()
    assert bound - 0.15 < max(shares) * 4 <= bound


def test_affinity_finds_its_cache_again() -> None:
    """Most calls of a conversation meet the host that had it last; by chance it would be a quarter of them."""
    rng, sessions = random.Random(5), [str(number) for number in range(300)]
    seen: dict[str, int] = {}
    hits = 0
    strategy, fleet = STRATEGIES["affinity"], Fleet(rng=random.Random(1))
    target = _target("affinity", NAMES[:4])
    for number in range(6000):
        session = rng.choice(sessions)
        index = strategy.choose(target, exchange({"session": session}), (), Scene(number / 10, rng, fleet, "m"))
        assert index is not None
        hits += seen.get(session) == index
        seen[session] = index
    assert hits / 6000 > 0.9


def test_affinity_moves_only_who_must() -> None:
    """When one of five hosts goes its conversations move, about a fifth of all, and no other does."""
    homes, fleet, rng = STRATEGIES["affinity"], Fleet(rng=random.Random(1)), random.Random(1)

    def home(names: Sequence[str], session: str) -> str:
        target = _target("affinity", names)
        index = homes.choose(target, exchange({"session": session}), (), Scene(0.0, rng, fleet, "m"))
        assert index is not None
        return names[index]

    before = {str(number): home(NAMES[:5], str(number)) for number in range(1000)}
    after = {session: home(("a", "b", "d", "e"), session) for session in before}
    moved = [session for session in before if before[session] != after[session]]
    assert all(before[session] == "c" for session in moved)
    assert abs(len(moved) / 1000 - 0.2) < 0.04


def _target(mode: str, names: Sequence[str]) -> Target:
    config = {"strategy": {"mode": mode, "key": "metadata.session"}, "targets": [f"{name}/m" for name in names]}
    return decode_target(config, Known(NAMES, STRATEGIES))
