"""How many calls may be under way at a target at once: more while it takes them, fewer when it says that it cannot."""

from __future__ import annotations


class ConcurrencyLimit:
    """Additive increase, multiplicative decrease: one more per round of good calls, a tenth less per overload.

    Overload is what the target says of itself (429, 529, 503) or a timeout; how long a call takes says little, since that
    depends on how much is generated. It grows only while at least half of it is in use, and shrinks at most once in
    `cooldown_s`, in which it does not grow either, since one overload is told to many calls at once.

    A target that refuses a call while it carries out others has said how many it takes: the limit is that, and one more for
    each `cooldown_s` that nothing is refused, since calls may last long.
    """

    __slots__ = (
        "_ceiling",
        "_cooldown_s",
        "_highest",
        "_limit",
        "_lowest",
        "_next_drop",
        "_refused_at",
        "_shrunk",
        "in_flight",
    )

    def __init__(self, start: int = 20, lowest: int = 1, highest: int = 200, cooldown_s: float = 1.0) -> None:
        self._limit = float(start)
        self._lowest = lowest
        self._highest = highest
        self._cooldown_s = cooldown_s
        self._next_drop = float("-inf")
        self._refused_at = float("-inf")
        self._ceiling = self._shrunk = self._limit
        self.in_flight = 0

    @property
    def limit(self) -> int:
        """Calls that may be under way at once."""
        return int(self._limit)

    def has_room(self, now: float) -> bool:
        """Whether another call may start."""
        if self.in_flight < self.limit:
            return True
        return self.in_flight < min(self._ceiling, self._limit + (now - self._refused_at) // self._cooldown_s)

    def started(self) -> None:
        """A call has started; its end must be told with `ended`."""
        self.in_flight += 1

    def overloaded(self, now: float) -> None:
        """The target says that it has too much to do."""
        if now >= self._next_drop:
            self._limit = self._ceiling = self._less(self._limit)
            self._next_drop = now + self._cooldown_s

    def refused(self, now: float) -> None:
        """The target has refused one of the calls under way, which still counts among them."""
        if now >= self._next_drop:
            self._shrunk, self._ceiling = self._less(self._limit), self._less(self._ceiling)
            self._next_drop = now + self._cooldown_s
        others = self.in_flight - 1
        self._limit = max(float(self._lowest), min(self._limit, others)) if others > 0 else self._shrunk
        self._refused_at = now

    def ended(self, now: float) -> None:
        """A call has ended, however it did."""
        is_used = 2 * self.in_flight >= self._limit
        self.in_flight -= 1
        if is_used and now >= self._next_drop:
            self._limit = min(float(self._highest), self._limit + 1.0 / self._limit)
            self._ceiling = max(self._ceiling, self._limit)

    def _less(self, limit: float) -> float:
        return max(float(self._lowest), limit * 0.9 if limit * 0.1 >= 1 else limit - 1)
