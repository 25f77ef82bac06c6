"""Calls of providers within an exchange: attempts, strategies, wrappers, and what each failure means."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from core.tests.plans import JSON, Gate, Vendor, exchange, ok, plan_of, run
from typing_extensions import override

from headgate.errors import (
    Blocked,
    HookFailed,
    InvalidRequest,
    ModelNotFound,
    ProviderFailed,
    ProviderTimeout,
    RequestError,
)
from headgate.exchange import Exchange, Reply, Target
from headgate.hooks import Call, Hooks, Outcome, Scene, Strategy, hookimpl
from headgate.plan import Plugin, Registry, compile_plan


async def test_an_attempt_is_what_was_called() -> None:
    """Model, deployment, status and times of the call; the model of the target goes before the caller's."""
    vendor, ex = Vendor(ok()), exchange()
    await run(plan_of(Gate(Target(deployment="main", model="other")), main=vendor), ex)
    attempt = ex.attempts[0]
    assert ex.attempt is attempt
    assert (attempt.model, attempt.provider, attempt.status, attempt.error) == ("other", vendor, 200, "")
    assert attempt.started <= attempt.ended
    ex = exchange()
    await run(plan_of(Gate(), main=vendor), ex)
    assert ex.attempts[0].model == "m"


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (ProviderTimeout("slow"), 504, "upstream_timeout"),
        (RuntimeError("bug"), 502, "upstream_failed"),
        (KeyError("bug"), 502, "upstream_failed"),
        ("no reply", 502, "upstream_failed"),
        (None, 502, "upstream_failed"),
        (InvalidRequest("no"), 400, "invalid_request"),
    ],
)
async def test_a_failed_attempt_is_noted(answer: Any, status: int, code: str) -> None:
    """A provider that fails, raises anything, or answers with no reply: the client's error and the attempt's agree."""
    ex = exchange()
    with pytest.raises(RequestError) as caught:
        await run(plan_of(Gate(), main=Vendor(answer)), ex)
    assert (caught.value.status, caught.value.error_code) == (status, code)
    attempt = ex.attempts[0]
    assert (attempt.status, attempt.error) == (status, code)
    assert attempt.ended > 0
    assert "bug" not in caught.value.message


async def test_a_cancelled_attempt_ends() -> None:
    """Its time is known, and the cancellation is not swallowed."""
    hanging = asyncio.Event()

    class Hanging(Vendor):
        @override
        async def call(self, ex: Exchange) -> Reply:
            hanging.set()
            await asyncio.Event().wait()
            raise AssertionError

    ex = exchange()
    task = asyncio.create_task(run(plan_of(Gate(), main=Hanging(ok())), ex))
    await hanging.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ex.attempts[0].ended > 0


TREE = Target(strategy="turn", targets=tuple(Target(deployment=name) for name in ("one", "two", "three")))


async def test_a_strategy_goes_on_until_it_is_content() -> None:
    """Failures and error replies are followed by the next child; the last outcome stands."""
    vendors = {"one": Vendor(ProviderFailed("x")), "two": Vendor(Reply(503)), "three": Vendor(ok(b"third"))}
    ex = exchange()
    reply = await run(plan_of(Gate(TREE), **vendors), ex)
    assert reply.body == b"third"
    assert [attempt.status for attempt in ex.attempts] == [502, 503, 200]


async def test_the_last_outcome_stands() -> None:
    """When all fail, the last error is raised, or the last error reply is answered."""
    failing = {"one": Vendor(Reply(500)), "two": Vendor(Reply(503)), "three": Vendor(ProviderTimeout("last"))}
    with pytest.raises(ProviderTimeout, match="last"):
        await run(plan_of(Gate(TREE), **failing), exchange())
    failing |= {"three": Vendor(Reply(429, body=b"last"))}
    reply = await run(plan_of(Gate(TREE), **failing), exchange())
    assert (reply.status, reply.body) == (429, b"last")


async def test_what_is_not_the_providers_fault_is_final() -> None:
    """A guardrail's refusal is not retried elsewhere."""
    gate = Gate(TREE)
    gate.refuses["guard_request"] = Blocked("no")
    vendors = {name: Vendor(ok()) for name in ("one", "two", "three")}
    ex = exchange()
    with pytest.raises(Blocked):
        await run(plan_of(gate, **vendors), ex)
    assert len(ex.attempts) == 1


async def test_a_reply_left_behind_is_closed() -> None:
    """A running reply that a strategy passes over is closed before the next call."""
    closed: list[str] = []

    async def chunks() -> AsyncIterator[bytes]:
        try:
            yield b"x"
        finally:
            closed.append("first")

    running = chunks()
    await anext(running)
    vendors = {"one": Vendor(Reply(500, chunks=running)), "two": Vendor(ok()), "three": Vendor(ok())}
    await run(plan_of(Gate(TREE), **vendors), exchange())
    assert closed == ["first"]


async def test_guards_run_for_each_attempt() -> None:
    """Another provider may have another policy."""
    gate = Gate(TREE)
    vendors = {"one": Vendor(Reply(500)), "two": Vendor(ok()), "three": Vendor(ok())}
    await run(plan_of(gate, **vendors), exchange())
    assert gate.ran.count("guard_request") == 2
    assert gate.ran.count("guard_reply") == 1


async def test_error_replies_are_not_guarded() -> None:
    """They hold no answer of a model."""
    gate = Gate()
    reply = await run(plan_of(gate, main=Vendor(Reply(400, JSON, b"{}"))), exchange())
    assert (reply.status, "guard_reply" in gate.ran) == (400, False)


async def test_a_blocked_reply_is_not_answered() -> None:
    """The provider's answer is not in the error."""
    gate = Gate()
    gate.refuses["guard_reply"] = Blocked("no")
    with pytest.raises(Blocked):
        await run(plan_of(gate, main=Vendor(ok())), exchange())


async def test_wrappers_wrap_the_call() -> None:
    """The first plugin is outermost, and each sees the attempt."""
    order: list[str] = []

    class Wrapping(Hooks):
        def __init__(self, name: str) -> None:
            self._name = name

        @override
        @hookimpl
        def wrap_call(self, call: Call) -> Call:
            async def wrapped(ex: Exchange) -> Reply:
                assert ex.attempt is not None
                order.append(f"{self._name} in")
                reply = await call(ex)
                order.append(f"{self._name} out")
                return reply

            return wrapped

    await run(plan_of(Gate(), Wrapping("a"), Wrapping("b"), main=Vendor(ok())), exchange())
    assert order == ["a in", "b in", "b out", "a out"]


@pytest.mark.parametrize("choice", [7, -1, "x", RuntimeError("bug")])
async def test_a_broken_strategy_fails_closed(choice: Any) -> None:
    """An index no child has, a wrong type or an exception is the gateway's error in its own words, not a crash."""

    class Broken(Strategy):
        @override
        def choose(self, target: Target, ex: Exchange, outcomes: Sequence[Outcome], scene: Scene) -> int | None:
            if isinstance(choice, Exception):
                raise choice
            return choice if not outcomes else None

    gate = Gate(Target(strategy="broken", targets=(Target(deployment="main"),)))
    registry = Registry(strategies={"broken": Broken()})
    plan = compile_plan([Plugin("gate", gate)], registry, {"main": Vendor(ok())}, {})
    with pytest.raises(HookFailed):
        await run(plan, exchange())


async def test_a_route_to_nowhere_fails_closed() -> None:
    """A router that names a deployment nobody has is told as a failure of the route stage or of the model."""
    with pytest.raises((HookFailed, ModelNotFound)):
        await run(plan_of(Gate(Target(deployment="nobody")), main=Vendor(ok())), exchange())
