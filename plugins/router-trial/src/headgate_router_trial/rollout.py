"""When a canary is taken back: a state machine that compares two arms, with time and chance from outside."""

from __future__ import annotations

import math
import random
from statistics import NormalDist

from msgspec import Struct

MAX_COOLDOWN_S = 86_400.0
FORGET = 10
"""After so many times the minimum sample the past counts half, so that what was good for long can still turn bad in time."""


class Rule(Struct, frozen=True):
    """How a canary is judged.

    It gets `share` of the calls. After each `minimum` calls of it, it is taken back when the share of its failures is above
    the base's by more than `error_margin`, or its latency more than `latency_ratio` times the base's (geometric means of good
    calls), each at `confidence`. After `cooldown_s` seconds it gets another try, each time after twice as long, up to a day.
    """

    share: float
    minimum: int = 50
    confidence: float = 0.99
    error_margin: float = 0.01
    latency_ratio: float = 1.5
    cooldown_s: float = 3600.0


class Rollback(Struct, frozen=True):
    """Why a canary was taken back, with the figures of both, and until when."""

    reason: str
    canary: float
    base: float
    calls: int
    until: float


class Arm(Struct):
    """What is known of one arm: calls, failures, and the logarithms of how long good calls took."""

    calls: float = 0.0
    failures: float = 0.0
    timed: float = 0.0
    total: float = 0.0
    squares: float = 0.0

    def observed(self, elapsed_s: float, *, is_ok: bool) -> None:
        """A call ended."""
        self.calls += 1
        self.failures += not is_ok
        if is_ok and elapsed_s > 0:
            took = math.log(elapsed_s)
            self.timed += 1
            self.total += took
            self.squares += took * took

    def halve(self) -> None:
        """Let the past count half."""
        self.calls, self.failures = self.calls / 2, self.failures / 2
        self.timed, self.total, self.squares = self.timed / 2, self.total / 2, self.squares / 2

    def failing(self, z: float) -> tuple[float, float]:
        """The bounds of the share of failures, after Wilson (1927, https://doi.org/10.1080/01621459.1927.10502953)."""
        share, n = self.failures / self.calls, self.calls
        middle = (share + z * z / (2 * n)) / (1 + z * z / n)
        spread = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return middle - spread, middle + spread

    def mean(self) -> float:
        """The mean logarithm of how long good calls took."""
        return self.total / self.timed

    def error(self) -> float:
        """The square of the standard error of `mean`."""
        return max(0.0, self.squares / self.timed - self.mean() ** 2) / self.timed


class Rollout:
    """A canary: what share it gets now, and whether it has to go back.

    A call that the canary's breaker keeps away is told as a failed one, since that is what the caller would have met.
    """

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._z = NormalDist().inv_cdf(rule.confidence)
        self._base, self._canary = Arm(), Arm()
        self._next = float(rule.minimum)
        self.times = 0
        self.last: Rollback | None = None
        """The rollback that holds, or that the canary has come back from."""

    def is_back(self, now: float) -> bool:
        """Whether the canary is taken back now."""
        return self.last is not None and now < self.last.until

    def draw(self, now: float, rng: random.Random) -> bool:
        """Whether this call is the canary's."""
        return rng.random() < self._rule.share and not self.is_back(now)

    def observed(self, now: float, elapsed_s: float, *, is_canary: bool, is_ok: bool) -> Rollback | None:
        """A call ended; the rollback that this led to. What ends while the canary is taken back is not counted."""
        if self.is_back(now):
            return None
        (self._canary if is_canary else self._base).observed(elapsed_s, is_ok=is_ok)
        if not is_canary or self._canary.calls < self._next or self._base.calls < self._rule.minimum:
            return None
        self._next = self._canary.calls + self._rule.minimum
        found = self._regression(now)
        if found is not None:
            self.last, self.times = found, self.times + 1
            self._base, self._canary, self._next = Arm(), Arm(), float(self._rule.minimum)
        elif self._canary.calls >= FORGET * self._rule.minimum:
            self._base.halve()
            self._canary.halve()
            self._next = self._canary.calls + self._rule.minimum
        return found

    def _regression(self, now: float) -> Rollback | None:
        rule, base, canary = self._rule, self._base, self._canary
        until = now + min(MAX_COOLDOWN_S, rule.cooldown_s * 2.0 ** min(self.times, 32))
        calls = int(canary.calls)
        if canary.failing(self._z)[0] > base.failing(self._z)[1] + rule.error_margin:
            return Rollback("errors", canary.failures / canary.calls, base.failures / base.calls, calls, until)
        if min(base.timed, canary.timed) >= rule.minimum / 2:
            spread = self._z * math.sqrt(base.error() + canary.error())
            if canary.mean() - base.mean() - spread > math.log(rule.latency_ratio):
                return Rollback("latency", math.exp(canary.mean()), math.exp(base.mean()), calls, until)
        return None
