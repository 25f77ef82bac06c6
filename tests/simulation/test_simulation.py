"""Seeded schedules through the real executor: the invariants hold, a seed replays, and each check can fail."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from types import ModuleType
from typing import Any

import pytest
from tests.simulation.__main__ import run_one, run_range
from tests.simulation.drawing import draw
from tests.simulation.figures import MODES, dead, hanging
from tests.simulation.invariants import CHECKS, broken
from tests.simulation.vendor import DONE, FAULTS, Law
from tests.simulation.world import Asked, Machine, Schedule, World

from headgate import calling, fleet, mirroring, pipeline, provider, racing, relay
from headgate.dialects import OpenAIChat
from headgate.errors import RequestError
from headgate.exchange import Attempt, Exchange, Reply, Target
from headgate.policies import Breaker, RetryBudget
from headgate.upstream import Timeouts
from headgate_router_standard import releasing, retrying

SEEDS = 2000
PARTS = 8
MUTANT_SEEDS = 600


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.mark.parametrize("part", range(PARTS))
def test_invariants_hold(part: int) -> None:
    """In every schedule each invariant holds, and a seed that runs twice runs alike to the byte."""
    found = run_range(part * SEEDS // PARTS, SEEDS // PARTS)

    assert found.failed == {}
    assert found.replayed > 0


def test_schedules_are_varied(machine: Machine) -> None:
    """The seeds reach every way a request can end, every fault, every strategy, retries, probes and shadows."""
    ends: set[str] = set()
    hows: set[str] = set()
    modes: set[str] = set()
    faults: set[str] = set()
    kinds = {"retry": False, "probe": False, "shadow": False, "hedge": False, "poured": False}
    for seed in range(400):
        schedule = draw(seed)
        world = machine.run(schedule)
        modes |= set(re.findall(r"'mode': '(\w+)'", repr(schedule.config)))
        faults |= {fault for law in schedule.laws.values() for fault in law.faults}
        ends |= {end for client in world.clients.values() for end in client.ends}
        hows |= {made.call.how for made in world.made}
        kinds["retry"] |= any(made.retry for made in world.made)
        kinds["probe"] |= any(made.is_probe for made in world.made)
        kinds["shadow"] |= any(made.is_shadow for made in world.made)
        kinds["hedge"] |= any(attempt.error == racing.LOST for made in world.made for attempt in made.call.ex.attempts)
        kinds["poured"] |= any(client.asked.pours and client.pieces > 3 for client in world.clients.values())

    assert ends == {"whole", "refused", "complete", "cut", "error", "gone"}
    assert hows >= {"whole", "raise", "timeout", "closed", "ProviderFailed", "ProviderTimeout", "CancelledError"}
    assert modes == {"fallback", "loadbalance", "conditional", "hedge", "two", "mirrored", "single"}
    assert faults == set(FAULTS)
    assert kinds == dict.fromkeys(kinds, True)


def test_one_seed_prints_its_trace(capsys: pytest.CaptureFixture[str]) -> None:
    """The command that a failing seed prints shows the schedule and all that happened."""
    code = run_one(7)

    printed = capsys.readouterr().out
    assert code == 0
    assert '"seed": 7' in printed
    assert " call " in printed
    assert printed.endswith("every invariant held\n")


# each check can fail


def is_found(machine: Machine, check: str) -> bool:
    """Whether some seed breaks an invariant."""
    return any(
        words.startswith(f"{check}: ") for seed in range(MUTANT_SEEDS) for words in broken(machine.run(draw(seed)))
    )


def own(module: ModuleType, name: str) -> Any:
    """What a module keeps to itself."""
    return vars(module)[name]


def giving(value: object) -> Callable[..., object]:
    """A function that always says the same."""

    def give(*_: object, **__: object) -> object:
        return value

    return give


async def _nothing(*_: object, **__: object) -> None:
    """In the place of what should be done."""


def settle_twice(patch: pytest.MonkeyPatch) -> None:
    whole = pipeline.finish

    async def finish(plan: Any, ex: Exchange) -> None:
        await whole(plan, ex)
        await whole(plan, ex)

    patch.setattr(pipeline, "finish", finish)


def never_time_out(patch: pytest.MonkeyPatch) -> None:
    def as_they_are(timeouts: Timeouts, _: Exchange) -> Timeouts:
        return timeouts

    def without_end(_: float | None) -> asyncio.Timeout:
        return asyncio.Timeout(None)

    patch.setattr(asyncio, "timeout", without_end)
    patch.setattr(provider, "lowered", as_they_are)


def splice(patch: pytest.MonkeyPatch) -> None:
    """What was held of a stream that broke is sent before the next one."""
    kept: list[bytes] = []
    give_up, from_start = own(releasing, "_give_up"), own(releasing, "_from_start")

    async def gave_up(reply: Reply | None) -> None:
        if reply is not None and isinstance(reply.chunks, relay.OwnedStream):
            kept.append(b'data: {"choices":[{"index":0,"delta":{"content":"c9999.0 "}}]}\n\n')
        await give_up(reply)

    async def spliced(beginning: Any, rest: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        while kept:
            yield kept.pop()
        async for chunk in from_start(beginning, rest):
            yield chunk

    patch.setattr(releasing, "_give_up", gave_up)
    patch.setattr(releasing, "_from_start", spliced)


def repeat_a_piece(patch: pytest.MonkeyPatch) -> None:
    from_start = own(releasing, "_from_start")

    async def twice(beginning: Any, rest: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        if beginning.held:
            yield beginning.held[0]
        async for chunk in from_start(beginning, rest):
            yield chunk

    patch.setattr(releasing, "_from_start", twice)


def call_again_when_cut(patch: pytest.MonkeyPatch) -> None:
    whole = pipeline.relay_stream

    async def relayed(ex: Exchange, chunks: Any, send: Any, offer: Any) -> None:
        await whole(ex, chunks, send, offer)
        if ex.outcome == "cut" and ex.attempt is not None:
            again = await ex.attempt.provider.call(ex)
            await relay.discard(again)

    patch.setattr(pipeline, "relay_stream", relayed)


def spend_without_end(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RetryBudget, "balance", giving(1000.0))


def start_too_late(patch: pytest.MonkeyPatch) -> None:
    """Neither an attempt nor a retry asks whether there is time left."""
    whole = own(calling, "_begin")

    def begin(plan: Any, ex: Exchange, target: Target) -> Attempt:
        held, ex.deadline = ex.deadline, float("inf")
        try:
            return whole(plan, ex, target)
        finally:
            ex.deadline = held

    patch.setattr(calling, "_begin", begin)
    patch.setattr(retrying, "may_repeat", giving(True))


def forget_to_let_go(patch: pytest.MonkeyPatch) -> None:
    for module in (calling, pipeline, retrying, racing, mirroring, fleet):
        patch.setattr(module, "let_go", giving(None))


def leave_open(patch: pytest.MonkeyPatch) -> None:
    for module in (calling, pipeline, retrying, racing, releasing):
        patch.setattr(module, "discard", _nothing)


def probe_freely(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Breaker, "would_admit", giving(True))


def call_what_is_shut(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(fleet.Fleet, "is_usable", giving(True))


def let_losers_run(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(racing, "_end", _nothing)


def end_well_always(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(OpenAIChat, "ending", giving("complete"))


def say_done_at_a_cut(patch: pytest.MonkeyPatch) -> None:
    whole = OpenAIChat.error_event

    def error_event(self: OpenAIChat, error: RequestError) -> bytes:
        return whole(self, error) + DONE

    patch.setattr(OpenAIChat, "error_event", error_event)


MUTANTS: list[tuple[Callable[[pytest.MonkeyPatch], None], str]] = [
    (settle_twice, "ends once"),
    (splice, "one source"),
    (repeat_a_piece, "one source"),
    (call_again_when_cut, "nothing after a byte"),
    (spend_without_end, "retries in budget"),
    (never_time_out, "deadline kept"),
    (start_too_late, "deadline kept"),
    (forget_to_let_go, "nothing left"),
    (leave_open, "nothing left"),
    (probe_freely, "one probe"),
    (call_what_is_shut, "one probe"),
    (let_losers_run, "losers cancelled"),
    (end_well_always, "no false success"),
    (say_done_at_a_cut, "no false success"),
]


@pytest.mark.parametrize(("mutate", "check"), MUTANTS, ids=lambda value: getattr(value, "__name__", ""))
def test_each_check_fires(
    mutate: Callable[[pytest.MonkeyPatch], None], check: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An executor that is broken on purpose is found out, by the check that is there for it."""
    mutate(monkeypatch)

    machine = Machine()
    assert is_found(machine, check)


def test_every_check_has_its_mutant() -> None:
    """No invariant is there that nothing was seen to break."""
    assert {check for _, check in MUTANTS} == set(CHECKS)


def test_chance_from_outside_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy that draws from any other source than its own does not replay."""

    def by_chance(*_: object, **__: object) -> float:
        return random.random()

    monkeypatch.setattr(retrying, "delay", by_chance)

    found = run_range(0, 100, every=1)

    assert any("replay: it ran differently" in wrong for wrong in found.failed.values())


# figures


@pytest.mark.parametrize("mode", MODES)
def test_a_hanging_upstream_does_not_harm_the_rest(machine: Machine, mode: str) -> None:
    """With one of three upstreams hanging the p99 of requests that do not meet it stays within a tenth."""
    found = hanging(machine, mode, count=2000)

    assert 0.9 < found.ratio < 1.1
    assert found.met > 0


@pytest.mark.parametrize("mode", MODES)
def test_a_dead_upstream_is_left(machine: Machine, mode: str) -> None:
    """With one of three upstreams failing every call at least 99 % of requests succeed within 2 s or 10 requests."""
    found = dead(machine, mode, count=1200)

    assert found.is_good
    assert found.share >= 0.99


# what the simulation found


def test_a_shadow_has_no_shadows(machine: Machine) -> None:
    """Of nested nodes that mirror only the outer one does: the load of shadows does not multiply."""
    inner = {"strategy": {"mode": "mirrored"}, "targets": ["a/m", "b/m"]}
    config = {"strategy": {"mode": "mirrored"}, "targets": ["a/m", inner]}

    world = machine.run(Schedule(0, {"a": Law(), "b": Law()}, config, [Asked(0.0)]))

    shadows = [made.call.vendor.deployment for made in world.made if made.is_shadow]
    assert shadows == ["a"]
    assert world.faults == []


@pytest.mark.parametrize(
    ("reserve_per_s", "deadline_s", "calls"), [(10.0, 0.0, 2), (10.0, 5.0, 2), (0.0, 0.0, 1), (10.0, 0.45, 1)]
)
def test_a_refused_answer_is_asked_for_again_like_a_failed_one(
    machine: Machine, reserve_per_s: float, deadline_s: float, calls: int
) -> None:
    """What a guardrail refuses is asked for again within the budget of retries, and never after the deadline."""
    config = {"provider": "@a", "retry": {"attempts": 4, "on_status_codes": [446]}}
    laws = {"a": Law(latency_s=0.3, spread=0.0)}
    asked = [Asked(0.0, deadline_s=deadline_s)]

    world = machine.run(Schedule(0, laws, config, asked, reserve_per_s, is_guarded=True))

    assert len(world.made) == calls
    assert world.clients["r0"].ends == (["whole"] if calls == 2 else ["error"])
    assert broken(world) == []


def test_the_first_of_two_that_answer_in_one_moment_wins(machine: Machine) -> None:
    """A race that is a draw goes to the call that began first, every time."""
    law = Law(latency_s=0.2, spread=0.0)
    config = {"strategy": {"mode": "hedge", "after_ms": 0}, "targets": ["a/m", "b/m"]}

    for _ in range(20):
        world = machine.run(Schedule(0, {"a": law, "b": law}, config, [Asked(0.0)] * 5))
        won = [made.call.vendor.deployment for made in world.made if b"c%d." % made.call.number in _all(world)]
        assert won == ["a"] * 5


def _all(world: World) -> bytes:
    """Everything that clients got."""
    return b"".join(client.got for client in world.clients.values())
