"""Waiting for something to happen, with a deadline instead of a sleep."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable

_POLL_S = 0.005


async def eventually(predicate: Callable[[], object], what: str, deadline_s: float = 5.0) -> None:
    """Poll until `predicate()`, plain or async, is true; AssertionError that names `what` after the deadline.

    Added in 0.1.
    """
    end = time.monotonic() + deadline_s
    while True:
        found = predicate()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return
        assert time.monotonic() < end, f"within {deadline_s:g} s it did not happen that {what}"
        await asyncio.sleep(_POLL_S)
