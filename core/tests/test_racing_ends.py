"""How a race ends when its caller leaves: whatever a call came to is given up."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any

import pytest

from headgate.dialects import OpenAIChat
from headgate.exchange import Attempt, Exchange, Reply, Target
from headgate.fleet import Fleet
from headgate.operations import CHAT
from headgate.racing import race
from headgate.relay import OwnedStream


class Racers:
    """Two calls: the first answers when told to, the second takes a moment to end when it is cancelled."""

    def __init__(self, *, second_answers: bool) -> None:
        self.fleet = Fleet()
        self.answers = asyncio.Event()
        self.ending = asyncio.Event()
        self.may_end = asyncio.Event()
        self.closed: list[int] = []
        self._second_answers = second_answers

    async def call(self, fork: Exchange, at: int) -> Reply:
        provider: Any = SimpleNamespace()
        fork.attempt = attempt = Attempt(Target(deployment=f"d{at}"), provider, "m", 0.0)
        attempt.fleet, attempt.health = self.fleet, self.fleet.health(f"d{at}", "m")
        attempt.call = attempt.health.begin(0.0)
        try:
            await (self.answers if at == 0 else asyncio.Event()).wait()
        except asyncio.CancelledError:
            self.ending.set()
            while not self.may_end.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await self.may_end.wait()
            if not self._second_answers:
                attempt.health.end(attempt.call, 0.0)
                raise
        return Reply(200, chunks=OwnedStream(_nothing(), lambda: self.closed.append(at)))


async def _nothing() -> AsyncGenerator[bytes, None]:
    yield b""


@pytest.mark.parametrize("second_answers", [False, True])
async def test_a_caller_who_leaves_while_the_loser_ends(second_answers: bool) -> None:
    """The reply that won is closed and its deployment let go, and so is one that the loser came to in that moment."""
    racers = Racers(second_answers=second_answers)
    ex = Exchange(CHAT, {}, request_id="r", trace_id="t", dialect=OpenAIChat())
    task = asyncio.create_task(race(ex, 0, 0.0, lambda: 1, racers.call))
    await asyncio.sleep(0.01)
    racers.answers.set()
    await racers.ending.wait()

    task.cancel()
    racers.may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert sorted(racers.closed) == ([0, 1] if second_answers else [0])
    assert [health.in_flight for _, _, health in racers.fleet.known()] == [0, 0]
