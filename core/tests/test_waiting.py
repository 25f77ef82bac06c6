"""A waiter: its task goes on at once where it can, a turn later where it must, and can be cancelled as ever."""

from __future__ import annotations

import asyncio
import contextvars

import pytest

from headgate.upstream.h1_waiting import Waiter

place: contextvars.ContextVar[str] = contextvars.ContextVar("place", default="outside")


async def started(waiter: Waiter, seen: list[str]) -> asyncio.Task[None]:
    """A task that waits, and then notes its context and the task it runs in."""

    async def wait() -> None:
        place.set("inside")
        await waiter
        assert asyncio.current_task() is task
        seen.append(place.get())

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    return task


async def from_the_loop(call: object) -> None:
    """Call something as the loop does, outside of every task, and wait until that is done."""
    done = asyncio.get_running_loop().create_future()

    def run() -> None:
        assert callable(call)
        call()
        done.set_result(None)

    asyncio.get_running_loop().call_soon(run)
    await done


async def test_a_task_goes_on_before_the_wake_returns() -> None:
    """Woken by the loop itself, the task has run in its own context when `wake_now` is back."""
    waiter, seen = Waiter(asyncio.get_running_loop()), list[str]()
    task = await started(waiter, seen)

    def wake() -> None:
        waiter.wake_now()
        assert seen == ["inside"]
        assert place.get() == "outside"

    await from_the_loop(wake)
    await task


async def test_another_task_is_never_interrupted() -> None:
    """Woken by a running task, the waiting one goes on in the next turn."""
    waiter, seen = Waiter(asyncio.get_running_loop()), list[str]()
    task = await started(waiter, seen)
    waiter.wake_now()
    assert seen == []
    await task
    assert seen == ["inside"]


@pytest.mark.parametrize("wake", [Waiter.wake_now, Waiter.wake_soon])
async def test_a_wake_before_the_wait_is_not_lost(wake: object) -> None:
    """What has ended already is not waited for, and ends once only."""
    waiter = Waiter(asyncio.get_running_loop())
    assert callable(wake)
    wake(waiter)
    wake(waiter)
    async with asyncio.timeout(10):
        await waiter


async def test_an_error_is_raised_in_the_task() -> None:
    """The error of a wake comes out of the wait."""
    waiter = Waiter(asyncio.get_running_loop())
    task = await started(waiter, [])
    await from_the_loop(lambda: waiter.wake_now(LookupError("late")))
    with pytest.raises(LookupError):
        await task


@pytest.mark.parametrize("is_woken", [False, True])
async def test_a_cancelled_wait_ends(is_woken: bool) -> None:
    """A waiting task can be cancelled, also in the turn in which it is woken; a wake after that does nothing."""
    waiter, seen = Waiter(asyncio.get_running_loop()), list[str]()
    task = await started(waiter, seen)
    if is_woken:
        waiter.wake_soon()
    task.cancel("because")
    waiter.wake_now()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()
    assert seen == []


async def test_a_wait_keeps_to_a_timeout() -> None:
    """`asyncio.timeout` ends a wait as it ends any other."""
    waiter = Waiter(asyncio.get_running_loop())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await waiter
    assert waiter.done()
