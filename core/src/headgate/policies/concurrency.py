"""How many calls may be under way at a target at once: more while it takes them, fewer when it says that it cannot."""

from __future__ import annotations


class ConcurrencyLimit:
    """Additive increase, multiplicative decrease: one more per round of good calls, a tenth less per overload.

    Overload is what the target says of itself (429, 529, 503) or a timeout; how long a call takes says little, since that
    depends on how much is generated. It grows only while at least half of it is in use, and shrinks at most once in
    `cooldown_s`, in which it does not grow either, since one overload is told to many calls at once.
    """

    __slots__ = ("_cooldown_s", "_highest", "_limit", "_lowest", "_next_drop", "in_flight")

    def __init__(self, start: int = 20, lowest: int = 1, highest: int = 200, cooldown_s: float = 1.0) -> None:
        self._limit = float(start)
        self._lowest = lowest
        self._highest = highest
        self._cooldown_s = cooldown_s
        self._next_drop = float("-inf")
        self.in_flight = 0

    @property
    def limit(self) -> int:
        """Calls that may be under way at once."""
        return int(self._limit)

    @property
    def has_room(self) -> bool:
        """Whether another call may start."""
        return self.in_flight < self.limit

    def started(self) -> None:
        """A call has started; its end must be told with `ended`."""
        self.in_flight += 1

    def overloaded(self, now: float) -> None:
        """The target says that it has too much to do."""
        if now >= self._next_drop:
            self._limit = max(float(self._lowest), self._limit * 0.9 if self._limit * 0.1 >= 1 else self._limit - 1)
            self._next_drop = now + self._cooldown_s

    def ended(self, now: float) -> None:
        """A call has ended, however it did."""
        is_used = 2 * self.in_flight >= self._limit
        self.in_flight -= 1
        if is_used and now >= self._next_drop:
            self._limit = min(float(self._highest), self._limit + 1.0 / self._limit)
