"""How dear a target is right now, by the latency it shows and the calls it has, and choosing the cheaper of two."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

DECAY_S = 10.0


class PeakEwma:
    """A moving average of latency that jumps to peaks and decays with time, times the calls under way.

    It decays while nobody calls, too, so that a target that was slow is tried again. One that has never answered costs
    nothing for its first call and is not to be had for a second: what it is like is known when the first is back. After
    Finagle's balancer (https://twitter.github.io/finagle/guide/Clients.html#load-balancing).

    Calls that still wait for their first token count with the time they have waited, so that a target that hangs grows dear
    before any of them has timed out: `waiting` of them began at times whose sum is `began`. Whoever counts calls sets these.
    """

    __slots__ = ("_at", "_decay_s", "_value_s", "began", "in_flight", "waiting")

    def __init__(self, decay_s: float = DECAY_S) -> None:
        self._value_s = 0.0
        self._decay_s = decay_s
        self._at: float | None = None
        self.in_flight = 0
        self.waiting = 0
        self.began = 0.0

    def observed(self, latency_s: float, now: float) -> None:
        """A call took so long; for streams, until the first token."""
        held_s = self.latency_s(now)
        share = self._share(now)
        self._value_s = latency_s if latency_s >= held_s else held_s + latency_s * (1.0 - share)
        self._at = now

    def latency_s(self, now: float) -> float:
        """The average as it has decayed by now, in seconds; 0 before anything was observed."""
        return self._value_s * self._share(now)

    def cost(self, now: float) -> float:
        """What one more call costs: how long it will take, times the calls that would be under way then."""
        if self._at is None:
            return math.inf if self.in_flight else 0.0
        waited_s = now - self.began / self.waiting if self.waiting else 0.0
        return max(self.latency_s(now), waited_s) * (self.in_flight + 1)

    def _share(self, now: float) -> float:
        """How much of the average is left of what it was when something was last observed."""
        return 1.0 if self._at is None else math.exp(-max(0.0, now - self._at) / self._decay_s)


def pick_of_two(
    indexes: Sequence[int], cost: Callable[[int], float], weight: Callable[[int], float], rng: random.Random
) -> int:
    """One of `indexes`: two are drawn by weight, and the one whose cost per weight is less is taken.

    Two are enough for nearly the best choice, and replicas whose figures are a little old do not all run to one target.
    Raises ValueError when there is none to draw from.
    """
    if len(indexes) == 1:
        return indexes[0]
    weights = [max(0.0, weight(index)) for index in indexes]
    first = rng.choices(indexes, weights)[0]
    rest = [index for index in indexes if index != first]
    left = [max(0.0, weight(index)) for index in rest]
    if not any(left):
        return first
    second = rng.choices(rest, left)[0]
    return min((first, second), key=lambda index: (cost(index) / weight(index), index != first))
