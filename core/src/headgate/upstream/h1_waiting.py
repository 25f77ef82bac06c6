"""Waiting for the provider without a turn of the loop: the waiting task goes on inside the read that it waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any


class Waiter:
    """What one task awaits, once: a future in the sense of `asyncio.isfuture`, whose end may also be heard at once.

    A future of asyncio has the loop call its task back in the next turn, behind another look at every socket. When the
    end comes from a socket anyway, and no task is running, that turn is nothing but delay.
    """

    __slots__ = ("_asyncio_future_blocking", "_callback", "_context", "_error", "_is_done", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._asyncio_future_blocking = False
        self._loop = loop
        self._callback: Callable[[Waiter], object] | None = None
        self._context: Context | None = None
        self._error: BaseException | None = None
        self._is_done = False

    def wake_soon(self) -> None:
        """End the wait; the task goes on in the next turn of the loop."""
        if not self._is_done:
            self._is_done = True
            self._call_back_soon()

    def wake_now(self, error: Exception | None = None) -> None:
        """End the wait, with an error if there is one; the task has gone on when this returns, unless another one runs."""
        if self._is_done:
            return
        self._is_done, self._error = True, error
        if self._callback is None or self._context is None:
            return
        if asyncio.current_task(self._loop) is None:
            callback, self._callback = self._callback, None
            self._context.run(callback, self)
        else:
            self._call_back_soon()

    def _call_back_soon(self) -> None:
        callback, self._callback = self._callback, None
        if callback is not None:
            self._loop.call_soon(callback, self, context=self._context)

    # what a task needs of a future

    def __await__(self) -> Generator[Any, None, None]:
        if not self._is_done:
            self._asyncio_future_blocking = True
            yield self
        self.result()

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def add_done_callback(self, callback: Callable[[Waiter], object], *, context: Context) -> None:
        self._callback, self._context = callback, context
        if self._is_done:
            self._call_back_soon()

    def done(self) -> bool:
        return self._is_done

    def result(self) -> None:
        error, self._error = self._error, None
        try:
            if error is not None:
                raise error
        finally:
            del error  # its traceback holds this frame, which would hold it

    def cancel(self, msg: object = None) -> bool:
        """The task was cancelled."""
        if self._is_done:
            return False
        self._error = asyncio.CancelledError() if msg is None else asyncio.CancelledError(msg)
        self.wake_soon()
        return True
