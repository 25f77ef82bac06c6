"""A retry budget: retries are a share of calls, so that a failing target is not met by many times its usual load."""

from __future__ import annotations

from collections import deque

SHARE = 0.2
RESERVE_PER_S = 10.0
TTL_S = 10.0
_BUCKETS = 10


class RetryBudget:
    """How many more retries there may be: `share` of the calls of the last `ttl_s` seconds, and a reserve for quiet times.

    Every call deposits, every retry withdraws; what is not used within `ttl_s` is gone. So over any long time retries are
    at most `share` of calls plus `reserve_per_s`. The scheme is Finagle's
    (https://twitter.github.io/finagle/guide/Clients.html#retry-budget).
    """

    __slots__ = ("_buckets", "_reserve", "_share", "_width_s")

    def __init__(self, share: float = SHARE, reserve_per_s: float = RESERVE_PER_S, ttl_s: float = TTL_S) -> None:
        self._share = share
        self._reserve = reserve_per_s * ttl_s
        self._width_s = ttl_s / _BUCKETS
        self._buckets: deque[tuple[int, float]] = deque()

    def called(self, now: float) -> None:
        """A first call, no retry, was made."""
        self._add(now, self._share)

    def withdraw(self, now: float) -> bool:
        """Whether a retry may be made; if so it is taken from the budget."""
        if self.balance(now) < 1.0:
            return False
        self._add(now, -1.0)
        return True

    def balance(self, now: float) -> float:
        """How many retries could be made now."""
        oldest = int(now / self._width_s) - _BUCKETS
        while self._buckets and self._buckets[0][0] <= oldest:
            self._buckets.popleft()
        return self._reserve + sum(amount for _, amount in self._buckets)

    def _add(self, now: float, amount: float) -> None:
        at = int(now / self._width_s)
        held = self._buckets.pop()[1] if self._buckets and self._buckets[-1][0] == at else 0.0
        self._buckets.append((at, held + amount))
