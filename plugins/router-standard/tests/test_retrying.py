"""Retries and the health of what they call: nothing is tried again that is known to fail."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from typing_extensions import override

from headgate.dialects import OpenAIChat
from headgate.errors import ProviderFailed
from headgate.exchange import Attempt, Exchange, Reply, Retry, Target
from headgate.fleet import Fleet
from headgate.operations import CHAT
from headgate.policies import BreakerRule, Health
from headgate.provider import DeploymentConfig, Provider
from headgate.upstream import UpstreamRequest, UpstreamResponse
from headgate_router_standard import RouterStandard

RULE = BreakerRule(consecutive=5, share=0, penalty_s=1000)


class NoUpstream:
    """An upstream nobody may call."""

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        raise AssertionError(f"nothing may be sent, and {request.url} was")

    async def close(self) -> None:
        """Nothing is open."""


class Sick(Provider):
    """Fails with a status, or without an answer where that is 0."""

    name = "sick"
    is_keyless = True

    def __init__(self, status: int) -> None:
        super().__init__("a", DeploymentConfig(provider="sick"), NoUpstream())
        self.status = status
        self.calls = 0

    @override
    async def call(self, ex: Exchange) -> Reply:
        self.calls += 1
        if self.status:
            return Reply(self.status, body=b"sorry")
        raise ProviderFailed("no answer")


class Run:
    """One attempt with two retries, on a clock that only its waits move; `while_waiting` happens in each of them."""

    def __init__(self, status: int, while_waiting: Callable[[Health], object] = lambda _: None) -> None:
        self.now = 0.0
        self.fleet = Fleet(lambda: self.now, rng=random.Random(1))
        self.health = self.fleet.health("a", "m", RULE)
        self.provider = Sick(status)
        target = Target(deployment="a", retry=Retry(2), breaker=RULE)
        self.attempt = Attempt(target, self.provider, "m", 0.0, fleet=self.fleet, health=self.health)
        self._while_waiting = while_waiting

    async def sleep(self, seconds: float) -> None:
        """Let the time pass."""
        self.now += seconds
        self._while_waiting(self.health)

    async def outcome(self) -> Reply:
        """What comes of it."""
        ex = Exchange(CHAT, {}, request_id="r", trace_id="t", dialect=OpenAIChat())
        ex.attempt = self.attempt
        return await RouterStandard(self.sleep, random.Random(1)).wrap_call(self.provider.call)(ex)


def fail_often(health: Health) -> None:
    """As many failures of others as open the breaker."""
    for _ in range(RULE.consecutive):
        call = health.begin(0.0)
        health.failed(call, 0.0)
        health.end(call, 0.0)


@pytest.mark.parametrize("status", [503, 0])
async def test_no_retry_goes_to_a_target_whose_breaker_is_open(status: int) -> None:
    """The failure that is there stands, at once: waiting for a try that would fail helps nobody."""
    run = Run(status)
    fail_often(run.health)
    if status:
        assert (await run.outcome()).body == b"sorry"
    else:
        with pytest.raises(ProviderFailed, match="no answer"):
            await run.outcome()
    assert (run.provider.calls, run.attempt.retries, run.now) == (1, 0, 0.0)


@pytest.mark.parametrize("status", [503, 0])
async def test_a_breaker_that_opens_while_a_retry_waits_ends_it(status: int) -> None:
    """What fails for everybody meanwhile is not tried again; the caller gets the failure that was there before the wait."""
    run = Run(status, fail_often)
    if status:
        assert (await run.outcome()).body == b"sorry"
    else:
        with pytest.raises(ProviderFailed, match="no answer"):
            await run.outcome()
    assert (run.provider.calls, run.attempt.retries) == (1, 0)
    assert run.now > 0


async def test_a_closed_breaker_leaves_retries_alone() -> None:
    """A target that fails now and then is tried again as often as it says."""
    run = Run(503)
    assert (await run.outcome()).status == 503
    assert (run.provider.calls, run.attempt.retries) == (3, 2)
