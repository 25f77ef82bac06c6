"""Outliers: targets that fail much more often than their siblings, and how they are kept apart until they are well.

The scheme is Envoy's (https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/outlier), made for the two to
five targets that a model has here: each is compared with its siblings, and the last ones always stay.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from statistics import median

SWEEP_S = 10.0
MINIMUM = 10
"""Fewer calls are no evidence."""
MARGIN = 0.2
"""By how much a share of failures must be above the siblings' for a target to go."""
SLOWER = 3.0
"""How many times as long as the siblings a target takes to go."""
APART_S = 30.0
MAX_APART_S = 300.0
TRIAL_SHARE = 1 / 200
"""The share of calls that a target on trial gets."""
TRIAL_CALLS = 10
TRIAL_S = 60.0


class _State:
    """How one target does: its calls, its failures and how long good ones took since it was judged last (`share` of failures,
    mean logarithm `took`), and until when it is apart.
    """

    __slots__ = ("calls", "failures", "share", "times", "took", "total", "trial_since", "until")

    def __init__(self) -> None:
        self.calls = self.failures = self.times = 0
        self.total = 0.0
        self.share: float | None = None
        self.took: float | None = None
        self.until: float | None = None
        self.trial_since: float | None = None

    def judge(self) -> None:
        """Settle how it did since last time; the count starts anew."""
        good = self.calls - self.failures
        self.share = self.failures / self.calls if self.calls else 0.0
        self.took = self.total / good if good else None
        self.forget()

    def forget(self) -> None:
        """Start the count anew."""
        self.calls = self.failures = 0
        self.total = 0.0


class Outliers:
    """The targets of one node by what they serve (`groups`, empty for what has no siblings).

    Every ten seconds each is compared with its siblings. Who fails at a share that is higher by a fifth of all calls, or
    `by_time` takes three times as long for good replies, is left out for 30 seconds, each time for that much longer; then
    one call of 200 goes there until ten, or those of a minute, have shown how it is. At most half of a group is left out at
    once, and all of it is called again when nobody else may be.
    """

    __slots__ = ("_by_time", "_groups", "_next_sweep", "_states")

    def __init__(self, groups: Sequence[str], *, by_time: bool = False) -> None:
        self._by_time = by_time
        self._states = [_State() for _ in groups]
        self._groups: Mapping[str, list[int]] = {
            name: [index for index, group in enumerate(groups) if group == name] for name in {*groups} - {""}
        }
        self._next_sweep: float | None = None

    def ended(self, index: int, now: float, elapsed_s: float, *, is_failure: bool) -> None:
        """A call ended after so long. What says nothing of the target (a caller's mistake, a rate limit) is not told."""
        state = self._states[index]
        state.calls += 1
        state.failures += is_failure
        state.total += 0.0 if is_failure else math.log(max(0.001, elapsed_s))
        self._sweep(now)

    def wanted(self, usable: Sequence[int], now: float, rng: random.Random) -> Sequence[int]:
        """Those of `usable` that are to be called: now and then the one on trial, else those in service, else all."""
        self._sweep(now)
        if all(self._states[index].until is None for index in usable):
            return usable
        trial = [index for index in usable if self._states[index].trial_since is not None]
        if trial and rng.random() < TRIAL_SHARE:
            return [rng.choice(trial)]
        return [index for index in usable if self._states[index].until is None] or usable

    def apart(self) -> list[int]:
        """The targets that are left out, those on trial among them."""
        return [index for index, state in enumerate(self._states) if state.until is not None]

    def _sweep(self, now: float) -> None:
        if self._next_sweep is None:
            self._next_sweep = now + SWEEP_S
        is_due = now >= self._next_sweep
        if is_due:
            self._next_sweep = now + SWEEP_S
        for members in self._groups.values():
            for index in members:
                self._go_on(index, members, now)
            if is_due:
                self._judge(members, now)

    def _judge(self, members: Sequence[int], now: float) -> None:
        """Leave out those in service that stand out, the worst first."""
        ready = [at for at in members if self._states[at].until is None and self._states[at].calls >= MINIMUM]
        for index in ready:
            self._states[index].judge()
        apart = sum(self._states[index].until is not None for index in members)
        for index in sorted(ready, key=self._badness, reverse=True):
            if apart < len(members) // 2 and self._stands_out(index, members):
                self._leave_out(index, now)
                apart += 1

    def _badness(self, index: int) -> tuple[float, float]:
        state = self._states[index]
        return state.share or 0.0, state.took or 0.0

    def _stands_out(self, index: int, members: Sequence[int]) -> bool:
        """Whether a target does much worse than its siblings in service did when they were judged last."""
        state = self._states[index]
        others = [self._states[at] for at in members if at != index and self._states[at].until is None]
        shares = [other.share for other in others if other.share is not None]
        if shares and (state.share or 0.0) >= median(shares) + MARGIN:
            return True
        took = [other.took for other in others if other.took is not None]
        return self._by_time and bool(took) and state.took is not None and state.took >= median(took) + math.log(SLOWER)

    def _leave_out(self, index: int, now: float) -> None:
        state = self._states[index]
        state.times += 1
        state.until, state.trial_since = now + min(MAX_APART_S, APART_S * state.times), None

    def _go_on(self, index: int, members: Sequence[int], now: float) -> None:
        """Begin a target's trial when its time apart is over, and end the trial when enough is known."""
        state = self._states[index]
        if state.until is None or now < state.until:
            return
        if state.trial_since is None:
            state.trial_since = now
            state.forget()
        elif state.calls >= TRIAL_CALLS or now - state.trial_since >= TRIAL_S:
            state.judge()
            if self._stands_out(index, members):
                self._leave_out(index, now)
            else:
                state.until = state.trial_since = None
                state.times = 0
