"""Two calls for one request: the second starts when the first is slow, the first good reply wins, the other is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from headgate.errors import RequestError
from headgate.exchange import Exchange, Reply
from headgate.fleet import let_go
from headgate.relay import discard

LOST = "hedge_lost"
"""The error of an attempt that another was faster than."""

Started = dict[asyncio.Task[Reply], Exchange]


async def race(
    ex: Exchange,
    index: int,
    after_s: float,
    second: Callable[[], int | None],
    call: Callable[[Exchange, int], Awaitable[Reply]],
) -> Reply:
    """The reply of `call(fork, index)`, or of the child that `second` names if that is not here within `after_s` seconds.

    A bad reply wins only when no other is left. `ex` goes on with what the winner came to; the loser is cancelled, and no
    byte of it is used. Raises as the last call did.
    """
    running: Started = {}

    def begin(at: int) -> None:
        fork = ex.fork()

        async def carry_out() -> Reply:
            return await call(fork, at)

        running[asyncio.create_task(carry_out())] = fork

    begin(index)
    try:
        done, _ = await asyncio.wait(running, timeout=after_s)
        other = None if done else second()
        if other is not None:
            begin(other)
        reply = await _first_good(ex, running)
    except BaseException:
        await _end(running)
        raise
    try:
        await _end(running)
    except BaseException:  # cancelled while the others end: nobody will read what won
        await _forget(ex, reply)
        raise
    return reply


async def _first_good(ex: Exchange, running: Started) -> Reply:
    """The first good reply, else the last bad one; what it was, is taken out of `running`."""
    while True:
        done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in [started for started in running if started in done]:  # the first of two that end in one moment
            failed = task.exception()
            is_last = len(running) == 1
            if failed is None and (task.result().is_ok or is_last):
                ex.adopt(running.pop(task))
                return task.result()
            if is_last or (failed is not None and not isinstance(failed, RequestError)):
                ex.adopt(running.pop(task))
                return await task
            fork = running.pop(task)
            if failed is None:
                await _forget(fork, task.result())


async def _end(running: Started) -> None:
    """Cancel the calls that lost, and wait until they have let go of everything."""
    for task, fork in running.items():
        if fork.attempt is not None and not fork.attempt.error:
            fork.attempt.error = LOST
        task.cancel()
    try:
        await asyncio.gather(*running, return_exceptions=True)
    finally:
        for task, fork in running.items():
            if task.done() and not task.cancelled() and task.exception() is None:
                await _forget(fork, task.result())  # it came in the very moment the other won


async def _forget(fork: Exchange, reply: Reply) -> None:
    await discard(reply)
    if fork.attempt is not None:
        let_go(fork.attempt)
