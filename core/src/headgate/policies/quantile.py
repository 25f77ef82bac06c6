"""Quantiles of what was observed lately, for those who must know how long the slow ones take."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque

SIZE = 512
WINDOW_S = 300.0
MINIMUM = 20
"""Fewer values say nothing about how the slow ones are."""


class RecentTimes:
    """The exact quantiles of the last `size` times in seconds, none of them older than `window_s`."""

    __slots__ = ("_held", "_size", "_sorted", "_window_s")

    def __init__(self, size: int = SIZE, window_s: float = WINDOW_S) -> None:
        self._size = size
        self._window_s = window_s
        self._held: deque[tuple[float, float]] = deque()
        self._sorted: list[float] = []

    def observed(self, took_s: float, now: float) -> None:
        """Something took so long."""
        if len(self._held) >= self._size:
            self._drop()
        self._held.append((now, took_s))
        insort(self._sorted, took_s)

    def given_up(self, took_s: float, now: float, share: float = 0.95) -> None:
        """Something was given up after so long. It counts if it is among the slow ones already, else it says nothing.

        Without that, cancelling what is slow would make everything look faster, and so more and more would seem slow.
        """
        slow_s = self.quantile(share, now)
        if slow_s is not None and took_s >= slow_s:
            self.observed(took_s, now)

    def quantile(self, share: float, now: float) -> float | None:
        """The time within which this share of all was done; None while too little is known."""
        while self._held and now - self._held[0][0] > self._window_s:
            self._drop()
        count = len(self._sorted)
        return None if count < MINIMUM else self._sorted[min(count - 1, int(share * count))]

    def _drop(self) -> None:
        _, took_s = self._held.popleft()
        del self._sorted[bisect_left(self._sorted, took_s)]
