"""An event loop whose time is virtual: nothing is ever waited for, and the same program runs the same way every time."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any

from typing_extensions import override

START_S = 1000.0
EPOCH_S = 1_800_000_000.0
"""The time of day when the virtual clock shows 0."""


class Stuck(RuntimeError):
    """Every task waits for something that nobody will do."""


class _Jumping(selectors.SelectSelector):
    """Watches no file. Where the loop would sleep, the clock jumps to the next timer."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START_S

    @override
    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Stuck("every task waits for something that nobody will do")
        if timeout > 0:
            self.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop for programs without sockets, files and threads. Raises Stuck where a real loop would sleep for ever."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    @override
    def time(self) -> float:
        return self._jumping.now

    def unix(self) -> float:
        """The virtual time of day."""
        return EPOCH_S + self._jumping.now
