"""Hedged calls: when a second call goes, what it costs, what it gains, and what is never sent twice."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import pytest
from typing_extensions import override

from headgate import Attempt, Exchange, Hooks, Provider, Reply, StartupError, Target, hookimpl
from headgate.dialects.openai.chat import OpenAIChat
from headgate.fleet import Fleet
from headgate.hooks import Outcome, Scene
from headgate.operations import CHAT, EMBEDDINGS, MESSAGES, RESPONSES, SPEECH, Operation
from headgate.racing import LOST
from headgate.routing import Known, decode_target
from headgate.testing import chat_request, eventually, gateway
from headgate.testing.samples import chat_reply
from headgate_router_trial import Hedge, RouterTrial
from headgate_router_trial.hedge import BUSY

HEDGE = Hedge()
KNOWN = Known(("a", "b", "c"), {"hedge": HEDGE})


def decode(*targets: Any, **strategy: Any) -> Target:
    return decode_target({"strategy": {"mode": "hedge", **strategy}, "targets": list(targets or ("a/m", "b/m"))}, KNOWN)


def exchange(body: Mapping[str, Any] | None = None, operation: Operation = CHAT) -> Exchange:
    ex = Exchange(operation, {}, request_id="r", trace_id="t", dialect=OpenAIChat())
    ex.body, ex.model = json.dumps({"model": "m", "messages": [], **(body or {})}).encode(), "m"
    return ex


class Run:
    """Requests by chance at a rate to two hosts of the same latency law, hedged as the strategy says. Nothing waits."""

    def __init__(self, target: Target, law: Callable[[random.Random], float], seed: int) -> None:
        self.target, self.law, self.rng = target, law, random.Random(seed)
        self.now, self.extra = 0.0, 0
        self.fleet = Fleet(lambda: self.now, lambda: self.now, self.rng)
        self.took: list[float] = []
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._numbers), what))

    def go(self, rate: float, count: int) -> Run:
        when = 0.0
        for _ in range(count):
            when += self.rng.expovariate(rate)
            self.at(when, self._begin)
        while self._events:
            self.now, _, what = heapq.heappop(self._events)
            what()
        return self

    def quantile(self, share: float) -> float:
        return sorted(self.took)[int(share * len(self.took))]

    def _scene(self) -> Scene:
        return Scene(self.now, self.rng, self.fleet, "m")

    def _begin(self) -> None:
        began, ex, scene = self.now, exchange(), self._scene()
        running: list[tuple[int, Any]] = []

        def call(index: int) -> None:
            health = scene.health(self.target.targets[index])
            call = health.begin(self.now)
            running.append((index, call))
            self.at(self.now + self.law(self.rng), lambda: end(index, call))

        def end(index: int, call: Any) -> None:
            if (index, call) not in running:
                return
            scene.health(self.target.targets[index]).answered(call, self.now, 200, (), 0.0)
            for at, started in running:
                scene.health(self.target.targets[at]).end(started, self.now)
            running.clear()
            self.took.append(self.now - began)

        def hedge() -> None:
            other = HEDGE.second(self.target, ex, first, self._scene()) if running else None
            if other is not None:
                self.extra += 1
                call(other)

        first = HEDGE.choose(self.target, ex, (), scene) or 0
        call(first)
        after_s = HEDGE.hedge_after_s(self.target, ex, first, scene)
        if after_s is not None:
            self.at(self.now + after_s, hedge)


def with_tail(rng: random.Random) -> float:
    """Half a second, and three calls in two hundred take ten times as long."""
    return rng.lognormvariate(0.0, 0.3) * (5.0 if rng.random() < 3 / 200 else 0.5)


@pytest.mark.parametrize("seed", range(3))
def test_the_tail_gets_shorter_for_two_percent(seed: int) -> None:
    """1.5 % of calls take ten times as long: hedged, the 99th percentile falls below half for at most 2 % more.

    So does the 99.5th, for which the wait must be as long as the budget says: at the 95th percentile what is not that slow
    would use it up.
    """
    plain = Run(decode(after_ms=600_000), with_tail, seed).go(20, 20_000)
    hedged = Run(decode(), with_tail, seed).go(20, 20_000)
    assert plain.extra == 0
    assert 0.005 * 20_000 < hedged.extra <= 0.02 * 20_000
    assert hedged.quantile(0.99) < 0.5 * plain.quantile(0.99)
    assert hedged.quantile(0.995) < 0.5 * plain.quantile(0.995)


def test_the_budget_holds_when_all_are_slow() -> None:
    """With a wait that every call outlasts no more than the extra load goes out, in any long time."""
    run = Run(decode(after_ms=1, extra_load=0.05), with_tail, 1).go(50, 10_000)
    assert 0.045 * 10_000 < run.extra <= 0.05 * 10_000


def test_what_lost_still_counts_as_slow() -> None:
    """The losers' times are not forgotten: the wait does not creep down to where most calls seem slow."""
    target = decode()
    run = Run(target, with_tail, 2).go(20, 20_000)
    slow_s = run.fleet.health("a", "m").keep_times().quantile(0.95, run.now)
    assert slow_s is not None
    assert slow_s > 0.7


def test_too_little_is_known_at_first() -> None:
    """Before twenty calls have told how long they take nothing is sent twice, unless the wait is given."""
    scene = Scene(0.0, random.Random(1), Fleet(), "m")
    assert HEDGE.hedge_after_s(decode(), exchange(), 0, scene) is None
    assert HEDGE.hedge_after_s(decode(after_ms=250), exchange(), 0, scene) == 0.25


def test_nothing_is_doubled_while_the_targets_are_busy() -> None:
    """At four fifths of the calls that they take at once, or with next to nothing left of the other's rate limit."""
    target, scene = decode(after_ms=1), Scene(0.0, random.Random(1), Fleet(), "m")
    for _ in range(500):
        HEDGE.hedge_after_s(target, exchange(), 0, scene)
    health = [scene.health(child) for child in target.targets]
    calls = [health[0].begin(0.0) for _ in range(int(BUSY * 2 * health[0].limit.limit))]
    assert HEDGE.second(target, exchange(), 0, scene) is None
    for call in calls:
        health[0].end(call, 0.0)
    assert HEDGE.second(target, exchange(), 0, scene) == 1
    spent = tuple((f"x-ratelimit-{name}-requests".encode(), value) for name, value in _SPENT)
    call = health[1].begin(0.0)
    health[1].answered(call, 0.1, 200, spent, 0.0)
    health[1].end(call, 0.1)
    assert HEDGE.second(target, exchange(), 0, Scene(0.2, random.Random(1), scene.fleet, "m")) is None


_SPENT = (("limit", b"100"), ("remaining", b"1"), ("reset", b"60s"))


def test_a_target_that_fails_gets_no_second_call() -> None:
    """Whose breaker is open is not called beside another, though it would be if there were no other."""
    target, scene = decode(after_ms=1), Scene(0.0, random.Random(1), Fleet(), "m")
    for _ in range(100):
        HEDGE.hedge_after_s(target, exchange(), 0, scene)
    health = scene.health(target.targets[1])
    for _ in range(5):
        call = health.begin(0.0)
        health.failed(call, 0.0)
        health.end(call, 0.0)
    assert HEDGE.second(target, exchange(), 0, scene) is None


TOOL = {"type": "function", "function": {"name": "pay"}}


@pytest.mark.parametrize(
    ("body", "operation", "is_doubled"),
    [
        ({}, CHAT, True),
        ({"tools": []}, CHAT, True),
        ({"store": False}, RESPONSES, True),
        ({}, MESSAGES, True),
        ({}, EMBEDDINGS, True),
        ({"tools": [TOOL]}, CHAT, False),
        ({"functions": [{"name": "pay"}]}, CHAT, False),
        ({"store": True}, CHAT, False),
        ({}, RESPONSES, False),
        ({"store": False, "previous_response_id": "resp_1"}, RESPONSES, False),
        ({"store": False, "background": True}, RESPONSES, False),
        ({"mcp_servers": [{"url": "https://x.test"}]}, MESSAGES, False),
        ({"container": "c_1"}, MESSAGES, False),
        ({"web_search_options": {"search_context_size": "low"}}, CHAT, False),
        ({}, SPEECH, False),
    ],
)
def test_what_leaves_something_behind_is_never_sent_twice(
    body: dict[str, Any], operation: Operation, is_doubled: bool
) -> None:
    """Tools, what a provider stores or goes on from, and operations that do more than ask."""
    scene = Scene(0.0, random.Random(1), Fleet(), "m")
    after_s = HEDGE.hedge_after_s(decode(after_ms=5), exchange(body, operation), 0, scene)
    assert (after_s is not None) == is_doubled


@pytest.mark.parametrize("params", [{"override_params": {"store": True}}, {"default_params": {"tools": [TOOL]}}])
def test_what_the_config_adds_counts(params: dict[str, Any]) -> None:
    """A target that would store, or be given tools, is not called a second time, nor is anything beside it."""
    scene = Scene(0.0, random.Random(1), Fleet(), "m")
    target = decode("a/m", {"provider": "b", **params}, after_ms=5)
    assert HEDGE.hedge_after_s(target, exchange(), 0, scene) is None


def test_it_falls_back() -> None:
    """As `fallback` does."""
    scene, target = Scene(0.0, random.Random(1), Fleet(), "m"), decode("a/m", "b/m", "c/m")
    chosen: list[int | None] = [
        HEDGE.choose(target, exchange(), outcomes, scene)
        for outcomes in (
            [],
            [Outcome(0, 503)],
            [Outcome(0, 503), Outcome(1, 429)],
            [Outcome(0, 400)],
            [Outcome(0, 200)],
        )
    ]
    assert chosen == [0, 1, 2, None, None]


def test_settings_are_checked() -> None:
    """Everything that is wrong, at its place."""
    with pytest.raises(StartupError) as caught:
        decode("a/m", after_ms=0, extra_load=0.5, often=True)
    assert [str(problem).split("`")[1] for problem in caught.value.problems] == [
        "config.strategy.often",
        "config.targets",
        "config.strategy.after_ms",
        "config.strategy.extra_load",
    ]
    with pytest.raises(StartupError, match=r"config\.strategy\.after_ms` is missing"):
        decode("a/m", {"strategy": {"mode": "hedge", "after_ms": 5}, "targets": ["a/m", "b/m"]})


# through a gateway


class Slow(Provider):
    """The deployment `slow` answers when it is let, any other at once."""

    name = "slow"
    is_keyless = True
    dialects: ClassVar[Mapping[str, str]] = {"chat": "openai.chat"}
    cancelled: ClassVar[list[str]] = []
    gate: ClassVar[asyncio.Event]

    @override
    async def call(self, ex: Exchange) -> Reply:
        if self.deployment == "slow":
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.cancelled.append(self.deployment)
                raise
        headers = ((b"content-type", b"application/json"),)
        return Reply(200, headers, json.dumps(chat_reply({"content": self.deployment})).encode())


class Spy(Hooks):
    """Keeps the attempts of every exchange that has ended."""

    def __init__(self) -> None:
        self.attempts: list[Sequence[Attempt]] = []

    @override
    @hookimpl
    async def record(self, ex: Exchange) -> None:
        self.attempts.append(ex.attempts)


async def test_through_a_gateway() -> None:
    """The second call's answer is the caller's; the first is cancelled and stands in the record as lost."""
    Slow.gate, spy = asyncio.Event(), Spy()
    Slow.cancelled.clear()
    config = {"strategy": {"mode": "hedge", "after_ms": 20, "extra_load": 0.2}, "targets": ["slow/m", "quick/m"]}
    deployments = {name: {"provider": "slow"} for name in ("slow", "quick")}
    async with gateway(spy, RouterTrial(), Slow, providers=deployments, models={"fast": config}) as client:
        strategy: Any = client.gateway.plan.models["fast"].compiled
        for _ in range(10):  # what the budget of a second call takes
            strategy.budget.called(client.gateway.context.fleet.clock())
        reply = await client.post("/v1/chat/completions", json=chat_request("hi", model="fast"))
        await eventually(lambda: spy.attempts, "the record", 10)
    assert reply.json()["choices"][0]["message"]["content"] == "quick"
    assert Slow.cancelled == ["slow"]
    assert [(attempt.target.deployment, attempt.error) for attempt in spy.attempts[0]] == [
        ("slow", LOST),
        ("quick", ""),
    ]
