"""The four folds, their time budgets, and what each stage does about a hook that fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Literal

import pytest
from structlog.testing import capture_logs

from headgate.errors import Blocked, Forbidden, HookFailed, RequestError
from headgate.exchange import Exchange, Principal, Reply
from headgate.folds import bounded, every, failures, first, notify
from headgate.hooks import STAGES, Hooks
from headgate.operations import CHAT
from headgate.plan import Step

BUDGET_S = 0.02
Call = Callable[[Exchange], Awaitable[Any]]


@pytest.fixture
def ex() -> Exchange:
    return Exchange(CHAT, {}, request_id="req_1", trace_id="t")


def step(call: Call, hook: str = "admit", plugin: str = "p", on_error: Literal["deny", "allow"] = "deny") -> Step:
    hooks = Hooks()
    hooks.on_error = on_error
    return Step(plugin, hook, STAGES[hook], call, BUDGET_S, hooks)


def answering(value: Any, seen: list[Any] | None = None) -> Call:
    async def call(_: Exchange) -> Any:
        if seen is not None:
            seen.append(value)
        return value

    return call


def raising(error: BaseException) -> Call:
    async def call(_: Exchange) -> Any:
        raise error

    return call


async def hang(_: Exchange) -> None:
    await asyncio.Event().wait()


# bounded


async def test_bounded_returns_what_needs_no_waiting() -> None:
    """A coroutine that never waits gives its value."""

    async def immediate() -> int:
        return 7

    assert await bounded(immediate(), 5.0) == 7


async def test_bounded_returns_what_waited() -> None:
    """A coroutine that waits, more than once and for other tasks, gives its value."""
    event = asyncio.Event()

    async def waiting() -> str:
        await asyncio.sleep(0)
        task = asyncio.create_task(asyncio.sleep(0, "slept"))
        await event.wait()
        return await task

    asyncio.get_running_loop().call_soon(event.set)
    assert await bounded(waiting(), 5) == "slept"


async def test_bounded_passes_exceptions_on() -> None:
    """What a coroutine raises is raised, before it waits and after."""

    async def raises(*, wait: bool) -> None:
        if wait:
            await asyncio.sleep(0)
        raise LookupError("no")

    for wait in (False, True):
        with pytest.raises(LookupError, match="no"):
            await bounded(raises(wait=wait), 5)


async def test_bounded_lets_a_coroutine_handle_errors() -> None:
    """An error of what it awaits arrives inside the coroutine, which may go on."""

    async def handles() -> str:
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_exception, OSError("gone"))
        try:
            await future
        except OSError as error:
            await asyncio.sleep(0)
            return str(error)
        return ""

    assert await bounded(handles(), 5) == "gone"


async def test_bounded_cuts_at_the_budget() -> None:
    """A coroutine that overruns raises TimeoutError at its budget, and was able to clean up."""
    cleaned: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append("yes")

    started = time.monotonic()
    with pytest.raises(TimeoutError):
        await bounded(waits(), BUDGET_S)
    assert BUDGET_S <= time.monotonic() - started < 2
    assert cleaned == ["yes"]


async def test_bounded_does_not_cut_what_is_in_time() -> None:
    """The timer ends with the coroutine: nothing is cancelled afterwards."""

    async def short() -> int:
        await asyncio.sleep(0)
        return 1

    assert await bounded(short(), BUDGET_S) == 1
    await asyncio.sleep(BUDGET_S * 2)


async def test_bounded_keeps_a_timeout_error_of_the_coroutine() -> None:
    """A TimeoutError the coroutine raises by itself stays one."""

    async def raises() -> None:
        await asyncio.sleep(0)
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        await bounded(raises(), 5)


async def test_bounded_can_be_cancelled() -> None:
    """Cancelling from outside reaches the coroutine and is no timeout."""
    began, cleaned = asyncio.Event(), asyncio.Event()

    async def waits() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    task = asyncio.create_task(bounded(waits(), 5))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned.is_set()


async def test_bounded_survives_a_swallowed_cancel() -> None:
    """A coroutine that swallows its cancellation ends with its own value."""
    began = asyncio.Event()

    async def stubborn() -> str:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "stayed"
        return ""

    task = asyncio.create_task(bounded(stubborn(), 5))
    await began.wait()
    task.cancel()
    assert await task == "stayed"


async def test_bounded_nests() -> None:
    """The inner budget is the inner's: the outer coroutine sees its TimeoutError and goes on."""

    async def outer() -> str:
        try:
            await bounded(asyncio.Event().wait(), BUDGET_S)
        except TimeoutError:
            return "inner"
        return ""

    assert await bounded(outer(), 5) == "inner"


async def test_bounded_timeout_inside_the_first_step() -> None:
    """A timeout of the coroutine's own that is entered before it first waits works as ever."""

    async def own() -> str:
        try:
            async with asyncio.timeout(BUDGET_S):
                await asyncio.Event().wait()
        except TimeoutError:
            return "own"
        return ""

    assert await bounded(own(), 5) == "own"


async def test_bounded_task_group_inside() -> None:
    """A task group that is entered in the first step can be cut from outside, children too."""
    gone: list[int] = []

    async def child(number: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            gone.append(number)

    async def group() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(child(1))
            tasks.create_task(child(2))

    with pytest.raises(TimeoutError):
        await bounded(group(), BUDGET_S)
    assert sorted(gone) == [1, 2]


async def test_bounded_needs_a_coroutine() -> None:
    """What cannot be awaited fails at once instead of hanging."""

    class Odd:
        def __await__(self) -> Generator[Any, None, None]:
            yield

    with pytest.raises(AttributeError):
        await bounded(Odd(), 5)


# first


async def test_first_takes_the_first_answer(ex: Exchange) -> None:
    """None passes on, the first answer wins, and nobody behind it is asked."""
    seen: list[Any] = []
    wanted, other = Principal("a"), Principal("b")
    steps = [step(answering(held, seen), "authenticate") for held in (None, wanted, other)]
    assert await first(steps, ex, Principal) is wanted
    assert seen == [None, wanted]


async def test_first_without_an_answer(ex: Exchange) -> None:
    """Nobody answering, or nobody being there, is None."""
    assert await first([step(answering(None), "route")], ex, Principal) is None
    assert await first([], ex, Principal) is None


async def test_first_refuses_the_wrong_type_where_it_fails_closed(ex: Exchange) -> None:
    """A wrong answer ends the exchange in a closed stage; the log has the type, the caller's message has not."""
    with capture_logs() as lines, pytest.raises(HookFailed) as caught:
        await first([step(answering("root"), "authenticate")], ex, Principal)
    assert caught.value.message == "the gateway could not finish its `auth` stage for this request"
    assert lines[0]["error"] == "TypeError: it answered with `str` instead of `Principal`"


async def test_first_passes_the_wrong_type_over_where_it_is_open(ex: Exchange) -> None:
    """A wrong answer of an open stage is passed over and the next plugin is asked."""
    reply = Reply(200)
    assert await first([step(answering(1), "lookup"), step(answering(reply), "lookup")], ex, Reply) is reply


# every


async def test_every_runs_all_in_order(ex: Exchange) -> None:
    """All steps run, in order."""
    seen: list[Any] = []

    def noting(name: str) -> Call:
        async def call(_: Exchange) -> None:
            seen.append(name)

        return call

    await every([step(noting(name)) for name in "abc"], ex)
    assert seen == ["a", "b", "c"]


async def test_every_stops_at_a_refusal(ex: Exchange) -> None:
    """A RequestError is raised as it is, is no failure, and nobody behind it runs."""
    seen: list[Any] = []
    refusal = Forbidden("not you")
    with capture_logs() as lines, pytest.raises(Forbidden) as caught:
        await every([step(raising(refusal)), step(answering(None, seen))], ex)
    assert (caught.value, seen, lines) == (refusal, [], [])


async def test_every_refuses_an_answer(ex: Exchange) -> None:
    """An answer other than None is a mistake: somebody may have meant to refuse with it."""
    with pytest.raises(HookFailed):
        await every([step(answering(False))], ex)


# notify


async def test_notify_raises_nothing(ex: Exchange) -> None:
    """Whatever a step does, the next one runs and nothing is raised."""
    seen: list[Any] = []
    steps = [
        step(raising(RuntimeError("x")), "record"),
        step(raising(Blocked("y")), "record"),
        step(hang, "record"),
        step(answering(None, seen), "record"),
    ]
    await notify(steps, ex)
    assert seen == [None]


async def test_notify_can_be_cancelled(ex: Exchange) -> None:
    """A cancellation is no failure of a hook: it goes through."""
    task = asyncio.create_task(notify([step(hang, "record")], ex))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# failing


@pytest.mark.parametrize(
    ("hook", "on_error", "is_closed"),
    [
        ("admit", "allow", True),
        ("route", "allow", True),
        ("lookup", "deny", False),
        ("guard_request", "deny", True),
        ("guard_request", "allow", False),
    ],
)
@pytest.mark.parametrize("kind", ["raises", "hangs"])
async def test_the_stage_decides(
    ex: Exchange, hook: str, on_error: Literal["deny", "allow"], is_closed: bool, kind: str
) -> None:
    """Closed raises HookFailed with the cause, open goes on, and a guardrail does as it declares."""
    failing = hang if kind == "hangs" else raising(RuntimeError("x"))
    held = step(failing, hook, on_error=on_error)
    if not is_closed:
        await every([held], ex)
        return
    with pytest.raises(HookFailed) as caught:
        await every([held], ex)
    assert isinstance(caught.value.__cause__, TimeoutError if kind == "hangs" else RuntimeError)
    assert caught.value.status == 503


@pytest.mark.parametrize("hook", ["admit", "lookup", "record"])
async def test_a_failure_is_counted_and_logged_once(ex: Exchange, hook: str) -> None:
    """A failure counts under `plugin.hook`, and one log line names plugin, hook, request and reason."""
    before = failures[f"p.{hook}"]
    with capture_logs() as lines:
        try:
            await (notify if hook == "record" else every)([step(raising(KeyError("k")), hook)], ex)
        except HookFailed:
            assert hook == "admit"
    assert failures[f"p.{hook}"] == before + 1
    expected = {"plugin": "p", "hook": hook, "request_id": "req_1", "error": "KeyError: 'k'"}
    assert lines == [{"event": "plugin failed", "log_level": "error", **expected}]


async def test_an_overrun_is_told_as_one(ex: Exchange) -> None:
    """The log says that the budget was overrun, and which."""
    with capture_logs() as lines, pytest.raises(HookFailed):
        await every([step(hang)], ex)
    assert [line["event"] for line in lines] == ["plugin overran its budget of 0.02 s"]


async def test_a_request_error_is_a_failure_where_it_may_not_be_raised(ex: Exchange) -> None:
    """The cache stage cannot refuse: a RequestError there is logged and the exchange goes on."""
    with capture_logs() as lines:
        assert await first([step(raising(RequestError("no")), "lookup")], ex, Reply) is None
    assert len(lines) == 1


async def test_a_declared_refusal_is_a_refusal(ex: Exchange) -> None:
    """A guardrail that allows on error still refuses what it blocks."""
    with pytest.raises(Blocked):
        await every([step(raising(Blocked("bad words")), "guard_request", on_error="allow")], ex)


async def test_cancellation_is_no_failure(ex: Exchange) -> None:
    """When the caller leaves during a hook nothing is logged, counted or turned into an error."""
    before = failures.total()
    with capture_logs() as lines:
        task = asyncio.create_task(every([step(hang)], ex))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (failures.total(), lines) == (before, [])


async def test_a_hook_that_computes_past_its_budget_is_told() -> None:
    """What never waits cannot be cut, but it overran all the same."""

    async def busy() -> int:
        end = time.perf_counter() + 0.02
        while time.perf_counter() < end:
            pass
        return 1

    with pytest.raises(TimeoutError):
        await bounded(busy(), 0.01)
    assert await bounded(busy(), 10) == 1
