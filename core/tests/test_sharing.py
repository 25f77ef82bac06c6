"""Breakers that processes share through a store: what one has found, the others leave alone."""

from __future__ import annotations

import asyncio

import pytest
from typing_extensions import override

from headgate import sharing
from headgate.exchange import Target
from headgate.fleet import Fleet
from headgate.policies import Health
from headgate.sharing import SharedBreakers
from headgate.state import MemoryStateStore
from headgate.testing import eventually


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def failing(health: Health, clock: Clock, times: int = 5) -> None:
    for _ in range(times):
        call = health.begin(clock())
        health.failed(call, clock())
        health.end(call, clock())


async def test_one_tells_and_all_know() -> None:
    """A breaker that opens in one process opens in the others for the rest of its time, and each then probes once."""
    clock, store = Clock(), MemoryStateStore()
    here, there = Fleet(clock), Fleet(clock)
    ours, theirs = SharedBreakers(here, store), SharedBreakers(there, store)
    known, told = here.health("a", "m"), there.health("a", "m")
    other = there.health("b", "m")
    failing(known, clock)
    assert (known.is_usable(clock()), told.is_usable(clock())) == (False, True)
    await ours.exchange()
    await theirs.exchange()
    assert (told.is_usable(clock()), other.is_usable(clock())) == (False, True)
    assert abs(told.wait_s(clock()) - known.wait_s(clock())) < 0.01
    clock.now += 5.1
    assert told.begin(clock()).is_probe
    assert not told.begin(clock()).is_probe


async def test_what_was_told_is_not_told_again() -> None:
    """A process that only heard of it does not keep it shut by passing it on."""
    clock, store = Clock(), MemoryStateStore()
    here, there = Fleet(clock), Fleet(clock)
    failing(here.health("a", "m"), clock)
    there.health("a", "m")
    ours, theirs = SharedBreakers(here, store), SharedBreakers(there, store)
    await ours.exchange()
    await theirs.exchange()
    await store.delete(b"breaker\0a\0m")
    await ours.exchange()
    await theirs.exchange()
    assert await store.get(b"breaker\0a\0m") is None


async def test_what_a_caller_brought_is_not_shared() -> None:
    """A breaker of a caller's own key or base URL stays in the process that met it."""
    clock, store = Clock(), MemoryStateStore()
    fleet = Fleet(clock)
    failing(fleet.of(Target(deployment="a", base_url="https://x.example"), "m"), clock)
    await SharedBreakers(fleet, store).exchange()
    assert store.bytes_held == 0


class Away(MemoryStateStore):
    """A store that nobody reaches."""

    asked = 0

    @override
    async def get(self, key: bytes) -> bytes | None:
        self.asked += 1
        raise ConnectionError("away")


async def test_a_store_that_is_away_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The task asks again and again, and what a process finds itself holds all the same."""
    monkeypatch.setattr(sharing, "EVERY_S", 0.001)
    clock, store = Clock(), Away()
    fleet = Fleet(clock)
    health = fleet.health("a", "m")
    task = asyncio.create_task(SharedBreakers(fleet, store).run())
    await eventually(lambda: store.asked > 2, "the store was asked again", 10)
    assert not task.done()
    failing(health, clock)
    assert not health.is_usable(clock())
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
