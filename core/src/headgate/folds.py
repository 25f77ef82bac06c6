"""The four folds a stage is run with, and the one place where a failing hook meets its stage's rule."""

from __future__ import annotations

import asyncio
import time
import types
from collections import Counter
from collections.abc import Awaitable, Coroutine, Generator, Sequence
from typing import Any, TypeVar

import structlog

from headgate.errors import HookFailed, RequestError
from headgate.exchange import Exchange
from headgate.plan import Step

T = TypeVar("T")

log = structlog.get_logger("headgate")

failures: Counter[str] = Counter()
"""How often each `plugin.hook` failed since the process started."""


async def bounded(awaitable: Awaitable[T], budget_s: float) -> T:
    """Await a coroutine within a time budget; TimeoutError when it is overrun."""
    is_done, value = begin(awaitable, budget_s)
    return value if is_done else await rest(awaitable, value, budget_s)


def begin(awaitable: Awaitable[Any], budget_s: float) -> tuple[bool, Any]:
    """Take the first step of a coroutine: True and its result if that was all, else False and what it waits for.

    What finishes without waiting, as most hooks do, needs neither a timer nor another coroutine around it.
    """
    coroutine: Coroutine[Any, Any, Any] = awaitable  # pyright: ignore[reportAssignmentType] - hooks are `async def`
    began = time.perf_counter()
    try:
        return False, coroutine.send(None)
    except StopIteration as done:
        if time.perf_counter() - began > budget_s:
            raise TimeoutError from None  # it held the whole process up: too late to cut, not too late to say
        return True, done.value


async def rest(awaitable: Awaitable[Any], waiting: Any, budget_s: float) -> Any:
    """Go on with a coroutine that `begin` has begun, within its budget."""
    coroutine: Coroutine[Any, Any, Any] = awaitable  # pyright: ignore[reportAssignmentType] - hooks are `async def`
    async with asyncio.timeout(budget_s):
        return await _resume(coroutine, waiting)


@types.coroutine
def _resume(coroutine: Coroutine[Any, Any, T], waiting: Any) -> Generator[Any, Any, T]:
    """Go on with a coroutine that has been started already and waits for `waiting`."""
    while True:
        try:
            value = yield waiting
        except BaseException as error:
            try:
                waiting = coroutine.throw(error)
            except StopIteration as done:
                return done.value
        else:
            try:
                waiting = coroutine.send(value)
            except StopIteration as done:
                return done.value


async def first(steps: Sequence[Step], ex: Exchange, kind: type[T]) -> T | None:
    """The first answer that is not None."""
    for step in steps:
        try:
            coroutine = step.call(ex)
            is_done, answer = begin(coroutine, step.budget_s)
            if not is_done:
                answer = await rest(coroutine, answer, step.budget_s)
            if answer is None:
                continue
            if isinstance(answer, kind):
                return answer
            raise TypeError(f"it answered with `{type(answer).__name__}` instead of `{kind.__name__}`")
        except Exception as error:
            fail(step, ex, error)
    return None


async def every(steps: Sequence[Step], ex: Exchange) -> None:
    """All of them in order; one that raises refuses."""
    for step in steps:
        try:
            coroutine = step.call(ex)
            is_done, answer = begin(coroutine, step.budget_s)
            if not is_done:
                answer = await rest(coroutine, answer, step.budget_s)
            if answer is not None:
                raise TypeError(f"it answered with `{type(answer).__name__}` instead of None")
        except Exception as error:
            fail(step, ex, error)


async def notify(steps: Sequence[Step], ex: Exchange) -> None:
    """All of them, whatever happens; nothing is raised."""
    for step in steps:
        try:
            coroutine = step.call(ex)
            is_done, waiting = begin(coroutine, step.budget_s)
            if not is_done:
                await rest(coroutine, waiting, step.budget_s)
        except Exception as error:
            _note(step, ex, error)


def fail(step: Step, ex: Exchange, error: Exception) -> None:
    """Apply the stage's rule to an error: raise it, raise HookFailed in its place, or log it and return."""
    rule = step.stage.failure
    is_open = rule == "open" or (rule == "declared" and step.hooks.on_error == "allow")
    if isinstance(error, RequestError) and rule != "open":
        raise error
    _note(step, ex, error)
    if not is_open:
        raise HookFailed(f"the gateway could not finish its `{step.stage.name}` stage for this request") from error


def _note(step: Step, ex: Exchange, error: Exception) -> None:
    name = f"{step.plugin}.{step.hook}"
    failures[name] += 1
    what = f"overran its budget of {step.budget_s:g} s" if isinstance(error, TimeoutError) else "failed"
    log.error(
        f"plugin {what}", plugin=step.plugin, hook=step.hook, request_id=ex.id, error=f"{type(error).__name__}: {error}"
    )
