"""The gate of a deployment: what it lets through, holds for a moment, or sends elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from typing_extensions import override

from headgate import Attempt, Exchange, Provider, ProviderBusy, Reply, Target
from headgate.fleet import Fleet, call_provider, let_go
from headgate.operations import CHAT
from headgate.policies import Health
from headgate.testing import Canned, OpenGateway, chat_request, eventually
from headgate_admission import Gate
from headgate_admission.gating import Gating

LONG_S = 60.0
"""Longer than any test may take."""


class Slow(Canned):
    """Answers when it is told to."""

    dialects: ClassVar[Mapping[str, str]] = Canned.dialects

    def __init__(self, fleet: Fleet) -> None:  # pyright: ignore[reportMissingSuperCall]
        self.go = asyncio.Event()
        self.calls = 0
        self.fleet = fleet
        self.deployment = "d"

    @override
    async def call(self, ex: Exchange) -> Reply:
        self.calls += 1
        await self.go.wait()
        return Reply(200)


class Lab:
    """A gate before a provider, and its deployment's health."""

    def __init__(self, **gate: Any) -> None:
        self.fleet = Fleet()
        self.provider = Slow(self.fleet)
        self.gating = Gating(call_provider, {"d": Gate(**gate)})

    @property
    def health(self) -> Health:
        return self.fleet.health("d", "m")

    def exchange(self) -> Exchange:
        ex = Exchange(CHAT, {}, request_id="r", trace_id="t")
        ex.attempt = Attempt(Target(deployment="d"), self.provider, "m", 0.0)
        ex.attempt.fleet, ex.attempt.health = self.fleet, self.health
        return ex

    def begin(self) -> asyncio.Task[Reply]:
        return asyncio.create_task(self.carry_out(self.exchange()))

    async def carry_out(self, ex: Exchange) -> Reply:
        try:
            return await self.gating.call(ex)
        finally:
            assert ex.attempt is not None
            let_go(ex.attempt)


async def test_a_call_is_held_until_another_has_ended() -> None:
    """One over the limit waits, and goes out when there is room; no more than the limit are ever under way."""
    lab = Lab(in_flight=2, wait_s=LONG_S)
    tasks = [lab.begin() for _ in range(5)]
    await eventually(lambda: len(lab.health.waiters) == 3, "three are held")
    assert (lab.provider.calls, lab.health.in_flight) == (2, 2)
    lab.provider.go.set()
    assert [(await task).status for task in tasks] == [200] * 5
    assert (lab.health.in_flight, len(lab.health.waiters)) == (0, 0)


async def test_a_call_that_cannot_be_held_is_refused() -> None:
    """After the wait it is a 429 that says when to come back, and the provider has not heard of it."""
    lab = Lab(in_flight=1, wait_s=0.01)
    running = lab.begin()
    await eventually(lambda: lab.provider.calls, "one runs")
    with pytest.raises(ProviderBusy) as refused:
        await lab.begin()
    assert (refused.value.status, refused.value.retry_after_s, refused.value.retryable) == (429, 1.0, False)
    assert (lab.provider.calls, len(lab.health.waiters)) == (1, 0)
    lab.provider.go.set()
    await running


async def test_a_long_pause_is_not_waited_for() -> None:
    """When the provider wants no calls for longer than one may be held, it is refused at once with what is left of that."""
    lab = Lab(wait_s=LONG_S)
    lab.health.paused(lab.fleet.clock(), 2 * LONG_S)
    with pytest.raises(ProviderBusy) as refused:
        await lab.begin()
    after_s = refused.value.retry_after_s
    assert after_s is not None
    assert LONG_S < after_s <= 2 * LONG_S
    assert lab.provider.calls == 0


async def test_a_short_pause_is_waited_for() -> None:
    """A pause that ends in time holds the call, and no longer."""
    lab = Lab(wait_s=LONG_S)
    lab.provider.go.set()
    lab.health.paused(lab.fleet.clock(), 0.02)
    assert (await lab.begin()).status == 200
    assert lab.health.pause_s(lab.fleet.clock()) == 0


async def test_nothing_is_held_beyond_the_deadline() -> None:
    """The exchange's deadline comes before the gate's patience."""
    lab = Lab(in_flight=1, wait_s=LONG_S)
    running = lab.begin()
    await eventually(lambda: lab.provider.calls, "one runs")
    ex = lab.exchange()
    ex.deadline = lab.fleet.clock()
    with pytest.raises(ProviderBusy):
        await lab.gating.call(ex)
    lab.provider.go.set()
    await running


async def test_a_turn_that_is_not_used_is_the_next_ones() -> None:
    """Cancelled in the moment there is room, a held call leaves the room to the one behind it."""
    lab = Lab(in_flight=1, wait_s=LONG_S)
    lab.provider.go.set()
    streaming = lab.health.begin(0.0)
    gone, behind = lab.begin(), lab.begin()
    await eventually(lambda: len(lab.health.waiters) == 2, "two are held")
    lab.health.end(streaming, 1.0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert (await behind).status == 200
    assert (lab.health.in_flight, len(lab.health.waiters)) == (0, 0)


async def test_those_who_are_held_hear_of_a_pause() -> None:
    """When the provider asks for one meanwhile, the first call that ends sends all of them away."""
    lab = Lab(in_flight=1, wait_s=LONG_S)
    streaming = lab.health.begin(0.0)
    held = [lab.begin() for _ in range(3)]
    await eventually(lambda: len(lab.health.waiters) == 3, "three are held")
    lab.health.paused(lab.fleet.clock(), 2 * LONG_S)
    lab.health.end(streaming, 1.0)
    errors = await asyncio.gather(*held, return_exceptions=True)
    assert [type(error) for error in errors] == [ProviderBusy] * 3
    assert (lab.provider.calls, len(lab.health.waiters)) == (0, 0)


async def test_a_held_call_that_is_cancelled_waits_no_longer() -> None:
    """It does not stand in the way of those behind it."""
    lab = Lab(in_flight=1, wait_s=LONG_S)
    streaming = lab.health.begin(0.0)
    gone = lab.begin()
    await eventually(lambda: lab.health.waiters, "one is held")
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert not lab.health.waiters
    lab.health.end(streaming, 1.0)


async def test_the_learned_limit_counts() -> None:
    """`adaptive` goes by what the provider's refusals have made of the limit."""
    lab = Lab(adaptive=True, wait_s=0.0)
    for at in range(1000):
        lab.health.limit.overloaded(2.0 * at)
    assert lab.health.limit.limit == 1
    running = lab.begin()
    await eventually(lambda: lab.provider.calls, "one runs")
    with pytest.raises(ProviderBusy):
        await lab.begin()
    lab.provider.go.set()
    await running


async def test_other_deployments_have_no_gate() -> None:
    """Without a gate the call inside is what runs, with nothing around it."""
    lab = Lab()
    marker = lab.carry_out(lab.exchange())

    def inner(_: Exchange) -> Any:
        return marker

    assert Gating(inner, {}).call(lab.exchange()) is marker
    lab.provider.go.set()
    await marker


async def test_a_full_deployment_is_left_for_another(gateway_client: OpenGateway) -> None:
    """A fallback goes on to its next target; without one the caller gets the 429 and the time to come back, and no retry."""
    free = asyncio.Event()

    class Full(Canned):
        name = "full"

        @override
        async def call(self, ex: Exchange) -> Reply:
            await free.wait()
            return await super().call(ex)

    kinds: list[type[Provider]] = [Full, type("Other", (Canned,), {"name": "other"})]
    gates = {"a": {"in_flight": 1, "wait_s": 0.01}}
    client = await gateway_client(
        *kinds,
        providers={"a": {"provider": "full"}, "b": {"provider": "other"}},
        models={
            "one": {"provider": "a", "model": "echo", "retry": {"attempts": 3}},
            "two": {"strategy": {"mode": "fallback"}, "targets": ["a/echo", "b/echo"]},
        },
        config={"plugins": ["router-standard", {"admission": {"deployments": gates}}]},
    )

    async def post(model: str) -> Any:
        return await client.post("/v1/chat/completions", json=chat_request("Hi", model=model))

    running = asyncio.create_task(post("one"))
    health = client.gateway.context.fleet.health("a", "echo")
    await eventually(lambda: health.in_flight == 1, "the only slot is taken")
    left, refused = await post("two"), await post("one")
    assert (left.status_code, left.headers["x-headgate-deployment"]) == (200, "b")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert refused.headers["x-headgate-retry-attempt-count"] == "0"
    assert refused.json()["error"]["code"] == "deployment_busy"
    free.set()
    assert (await running).status_code == 200
