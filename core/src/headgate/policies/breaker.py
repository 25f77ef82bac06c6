"""A circuit breaker: keeps calls from a target that fails, and lets one real call find out whether it is well again."""

from __future__ import annotations

import random
from collections import deque
from typing import Literal

from msgspec import Struct

Admission = Literal["yes", "probe", "no"]
"""Whether a call may go out; `probe` is the one call that decides, so its end must be told."""
State = Literal["closed", "open", "half_open"]

MAX_PENALTY_S = 300.0
_MOST_KEPT = 4096


class BreakerRule(Struct, frozen=True):
    """When to open: after so many failures in a row, or in all, or at such a share of at least `minimum` calls.

    All look at the last `window_s` seconds. `penalty_s` is the first time apart; each probe that fails doubles it, up to
    `max_penalty_s`. A rule of 0 is no rule. `statuses` are what counts as a failure; without any it is what is 500 or more.
    """

    consecutive: int = 5
    share: float = 0.5
    minimum: int = 20
    window_s: float = 30.0
    penalty_s: float = 5.0
    failures: int = 0
    statuses: frozenset[int] = frozenset()
    max_penalty_s: float = MAX_PENALTY_S


class Breaker:
    """One target's breaker.

    Closed, it counts. Open, it refuses until its penalty is over. Then it is half open: exactly one call is let through as a
    probe, all others are refused, and its outcome closes or opens again. A probe that is never told of counts as lost after
    `window_s`, so that nothing is shut for good. What says nothing of the target's health (a caller's mistake, a rate limit)
    is told with `released`.
    """

    __slots__ = (
        "_ends",
        "_failed",
        "_opened_at",
        "_outcomes",
        "_probe_since",
        "_row",
        "_rule",
        "_times_opened",
        "state",
    )

    def __init__(self, rule: BreakerRule) -> None:
        self._rule = rule
        self.state: State = "closed"
        self._outcomes: deque[tuple[float, bool]] = deque(maxlen=_MOST_KEPT)
        self._failed = 0
        self._row = 0
        self._ends = 0.0
        self._opened_at = 0.0
        self._probe_since: float | None = None
        self._times_opened = 0

    @property
    def opened_at(self) -> float:
        """When it opened last: of targets that are all shut, the one that has been so longest is tried."""
        return self._opened_at

    def would_admit(self, now: float) -> bool:
        """Whether `admit` would let a call through. Changes nothing."""
        if self.state == "closed":
            return True
        if now < self._ends:
            return False
        return self._probe_since is None or now - self._probe_since >= self._rule.window_s

    def admit(self, now: float) -> Admission:
        """Ask before a call. After `yes` and `probe` its end must be told: `succeeded`, `failed` or `released`."""
        if self.state == "closed":
            return "yes"
        if not self.would_admit(now):
            return "no"
        self.state, self._probe_since = "half_open", now
        return "probe"

    def wait_s(self, now: float) -> float:
        """How long until a probe may go; 0 when a call may go now."""
        return 0.0 if self.state == "closed" else max(0.0, self._ends - now)

    def succeeded(self, now: float, *, is_probe: bool = False) -> None:
        """A call ended well. A probe's success closes the breaker and forgets the past."""
        if is_probe:
            self.state, self._probe_since, self._times_opened = "closed", None, 0
            self._outcomes.clear()
            self._failed = self._row = 0
        elif self.state == "closed":
            self._note(now, failed=False)

    def failed(self, now: float, rng: random.Random, *, is_probe: bool = False) -> None:
        """A call failed. What was let through before the breaker opened and fails behind it changes nothing."""
        if is_probe:
            self._open(now, rng)
        elif self.state == "closed":
            self._note(now, failed=True)
            if self._is_over():
                self._open(now, rng)

    def released(self, *, is_probe: bool = False) -> None:
        """A call ended in a way that says nothing of the target. After a probe the next call is one."""
        if is_probe:
            self._probe_since = None

    def opened_elsewhere(self, now: float, wait_s: float) -> None:
        """Another process has found the target to fail: open for so long, then probe as ever."""
        self._times_opened = max(1, self._times_opened)
        self.state, self._probe_since = "open", None
        self._opened_at, self._ends = now, now + wait_s
        self._outcomes.clear()
        self._failed = self._row = 0

    def _note(self, now: float, *, failed: bool) -> None:
        if len(self._outcomes) == _MOST_KEPT:
            self._failed -= self._outcomes[0][1]
        self._outcomes.append((now, failed))
        self._failed += failed
        self._row = self._row + 1 if failed else 0
        oldest = now - self._rule.window_s
        while self._outcomes and self._outcomes[0][0] < oldest:
            self._failed -= self._outcomes.popleft()[1]

    def _is_over(self) -> bool:
        rule, calls = self._rule, len(self._outcomes)
        if 0 < rule.consecutive <= self._row or 0 < rule.failures <= self._failed:
            return True
        return rule.share > 0 and calls >= rule.minimum and self._failed >= rule.share * calls

    def _open(self, now: float, rng: random.Random) -> None:
        """Half of the penalty is fixed and half is chance, so that replicas do not all probe at one moment."""
        penalty_s = min(self._rule.max_penalty_s, self._rule.penalty_s * 2.0 ** min(self._times_opened, 16))
        self._times_opened += 1
        self.state, self._probe_since = "open", None
        self._opened_at, self._ends = now, now + penalty_s * (0.5 + rng.random() / 2)
        self._outcomes.clear()
        self._failed = self._row = 0
