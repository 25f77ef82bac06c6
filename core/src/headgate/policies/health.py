"""What the gateway knows of one deployment's model right now: whether it answers, how fast, and whether there is room."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable

from msgspec import Struct

from headgate.policies.breaker import Breaker, BreakerRule
from headgate.policies.concurrency import ConcurrencyLimit
from headgate.policies.latency import PeakEwma
from headgate.policies.quantile import RecentTimes
from headgate.policies.rate_limit import RawHeaders, ShadowBucket, retry_after_s, windows_of
from headgate.policies.retry_budget import RetryBudget

OVERLOADED = frozenset({429, 503, 529})
"""Statuses with which a provider says that it has too much to do."""
THROTTLED = 429
PAUSE_S = 1.0
"""How long a provider that refused a call for its rate is left alone when it does not say itself; twice as long each time
that the first call after it is refused again. Who then asks for less than this is not believed any more.
"""
MAX_OWN_PAUSE_S = 32.0
MAX_PAUSE_S = 300.0
IMPATIENT_S = 1.0
IMPATIENT_TIMES = 3.0
"""What a caller must have waited for its own time limit to say anything of a target: so many seconds, and so many times as
long as calls take there.
"""
WARM_S = 10.0
"""How long a target that comes back is given less than its share (slow start)."""


class Call(Struct):
    """One call under way: when it began, whether it is the probe that decides about an open breaker, and whether it was
    said how it went. It is waiting until its first event is here; `is_first` after a pause.
    """

    began: float
    is_probe: bool
    is_told: bool = False
    is_waiting: bool = True
    is_first: bool = False


class Health:
    """What is known of one deployment's model. Every `begin` needs one `end`, and before it at most one other word.

    A rate limit (429) is no failure: it leaves the breaker alone and keeps calls away until the provider wants them back.
    Times are monotonic seconds and come in from outside, as chance does. `waiters` are called, one for each call that ends
    and first come first served, by whoever holds calls back until there is room.
    """

    __slots__ = (
        "_answered_at",
        "_asked_until",
        "_begun",
        "_has_paused",
        "_headers",
        "_paused_until",
        "_refusals",
        "_rng",
        "_warm_from",
        "breaker",
        "buckets",
        "budget",
        "failures",
        "in_flight",
        "latency",
        "limit",
        "rule",
        "successes",
        "times",
        "waiters",
    )

    def __init__(self, rule: BreakerRule, rng: random.Random) -> None:
        self.rule = rule
        self._rng = rng
        self.breaker = Breaker(rule)
        self.limit = ConcurrencyLimit(start=200, highest=10_000)
        self.latency = PeakEwma()
        self.budget = RetryBudget()
        self.buckets: dict[str, ShadowBucket] = {}
        self.in_flight = 0
        self._begun = 0
        self.successes = 0
        self.failures = 0
        self.times: RecentTimes | None = None
        self.waiters: deque[Callable[[], object]] = deque()
        self._paused_until = self._asked_until = float("-inf")
        self._has_paused = False
        self._refusals = 0
        self._warm_from = float("-inf")
        self._answered_at = float("-inf")
        self._headers: tuple[RawHeaders, float, float, int] | None = None

    # what a choice may ask

    def is_usable(self, now: float) -> bool:
        """Whether a call may go there: the breaker lets it through, there is no pause, and there is room: of calls at once,
        and of what the provider's headers say that is left.
        """
        if now < self._paused_until or not self.breaker.would_admit(now) or not self.limit.has_room(now):
            return False
        self._take_headers()
        return all(bucket.has_room(now, self._begun) for bucket in self.buckets.values())

    def is_shut(self, now: float) -> bool:
        """Whether a call would be for nothing: the breaker is open, or the provider has said until when it wants none.

        A pause that nobody asked for, or a limit that is reached, is a reason to call others first, and no more.
        """
        return now < self._asked_until or not self.breaker.would_admit(now)

    def wait_s(self, now: float) -> float:
        """How long until it may be usable again; 0 when it is."""
        return max(self.pause_s(now), self.breaker.wait_s(now))

    def pause_s(self, now: float) -> float:
        """For how long the provider still wants no call; 0 when it does."""
        return max(0.0, self._paused_until - now)

    def headroom(self, now: float) -> float:
        """The least share of a rate limit that is left, 0 to 1; 1 where the provider states none."""
        self._take_headers()
        return min((bucket.headroom(now, self._begun) for bucket in self.buckets.values()), default=1.0)

    def warmth(self, now: float) -> float:
        """The share of its weight that a target gets that has just come back, 0.1 to 1."""
        return min(1.0, max(0.1, (now - self._warm_from) / WARM_S))

    def keep_times(self) -> RecentTimes:
        """The times to the first event of good replies, kept from the first time on that somebody asks for them."""
        if self.times is None:
            self.times = RecentTimes()
        return self.times

    # what a call tells

    def begin(self, now: float) -> Call:
        """A call starts."""
        self.in_flight += 1
        self._begun += 1
        self.limit.started()
        latency = self.latency
        latency.in_flight += 1
        latency.waiting += 1
        latency.began += now
        is_first = self._has_paused and now >= self._paused_until
        if is_first:
            self._has_paused = False
        return Call(now, self.breaker.admit(now) == "probe", is_first=is_first)

    def answered(self, call: Call, now: float, status: int, headers: RawHeaders, unix_now: float) -> None:
        """The reply's first event, or all of it, is here. A stream may run on. `unix_now` is for dates in `headers`."""
        if call.is_waiting:
            self._heard(call)
        if status in self.rule.statuses if self.rule.statuses else status >= 500:
            self._failed(call, now)
        elif status == THROTTLED:
            asked_s = retry_after_s(headers, unix_now)
            if asked_s is not None:
                self._asked_until = max(self._asked_until, now + min(asked_s, MAX_PAUSE_S))
            if (
                asked_s is not None or call.is_first or self.in_flight == 1
            ):  # else it carries out others: the limit learns
                self._pause(call, now, asked_s)
            self.breaker.released(is_probe=call.is_probe)
        else:
            # a call that went out though the breaker was open, for want of another target, tells as much as a probe
            is_telling = call.is_probe or (self.breaker.state == "open" and call.began > self.breaker.opened_at)
            if is_telling:
                self._warm_from = now
            self.breaker.succeeded(now, is_probe=is_telling)
            self.latency.observed(now - call.began, now)
            self.successes += 1
            self._refusals = 0
            if self.times is not None and status < 400:
                self.times.observed(now - call.began, now)
        call.is_probe, call.is_told = False, True
        self._answered_at = now
        if status in OVERLOADED:
            self.limit.refused(now)
        self._headers = (headers, now, unix_now, self._begun)

    def failed(self, call: Call, now: float, *, is_timeout: bool = False, is_impatient: bool = False) -> None:
        """No reply came, or it broke off. With `is_impatient` it was the caller who would not wait any longer.

        That says no more than a caller who leaves, unless it was a wait longer than usual and nobody else got an answer
        meanwhile: else callers with short deadlines could shut the target for others.
        """
        if is_impatient and not self._is_silent(call, now):
            return
        self._failed(call, now)
        call.is_probe, call.is_told = False, True
        if is_timeout:
            self.limit.overloaded(now)
        if is_timeout and not is_impatient:
            self.latency.observed(now - call.began, now)

    def paused(self, now: float, wait_s: float) -> None:
        """The provider wants no call for so long."""
        self._paused_until = max(self._paused_until, now + min(wait_s, MAX_PAUSE_S))
        self._has_paused = True

    def end(self, call: Call, now: float) -> None:
        """The call is over, however it ended."""
        self.in_flight -= 1
        self.latency.in_flight -= 1
        if call.is_waiting:
            self._heard(call)
        self.limit.ended(now)
        if self.times is not None and not call.is_told:
            self.times.given_up(now - call.began, now)
        if call.is_probe:  # nobody said how it went
            self.breaker.released(is_probe=True)
        if self.waiters:
            self.waiters.popleft()()

    def _heard(self, call: Call) -> None:
        """A call waits no longer for its first event."""
        call.is_waiting = False
        latency = self.latency
        latency.waiting -= 1
        latency.began = latency.began - call.began if latency.waiting else 0.0

    def _is_silent(self, call: Call, now: float) -> bool:
        """Whether nobody has been answered since a call began, which has waited longer than others do."""
        usual_s = max(IMPATIENT_S, IMPATIENT_TIMES * self.latency.latency_s(call.began))
        return self._answered_at < call.began and now - call.began >= usual_s

    def _pause(self, call: Call, now: float, asked_s: float | None) -> None:
        """Leave it alone after a refusal; those that come while there is a pause already are of the same wave."""
        if call.is_first:
            self._refusals += 1
        elif now >= self._paused_until:
            self._refusals = 1
        if asked_s is None or (asked_s < PAUSE_S and self._refusals > 1):
            asked_s = min(MAX_OWN_PAUSE_S, PAUSE_S * 2.0 ** (min(self._refusals, 10) - 1))
        self.paused(now, asked_s)

    def _failed(self, call: Call, now: float) -> None:
        self.failures += 1
        self.breaker.failed(now, self._rng, is_probe=call.is_probe)

    def _take_headers(self) -> None:
        """Read what the newest reply says of rate limits, which is done only where somebody asks."""
        if self._headers is None:
            return
        headers, now, unix_now, begun = self._headers
        self._headers = None
        held = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers if b"ratelimit" in name}
        for kind, window in windows_of(held, unix_now).items() if held else ():
            self.buckets.setdefault(kind, ShadowBucket()).stated(window, now, begun)
