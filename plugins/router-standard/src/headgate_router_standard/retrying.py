"""Retries of one leaf: when, how often, and how long to wait in between. The waiting is computed by pure functions."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable

from headgate.errors import HookFailed, ProviderError, ProviderTimeout
from headgate.exchange import PATIENT, Attempt, Exchange, Reply, Retry, Try
from headgate.fleet import Fleet, broke, let_go, may_repeat
from headgate.hooks import Call
from headgate.policies import retry_after_s
from headgate.relay import discard

Sleep = Callable[[float], Awaitable[object]]

BASE_S = 0.5
BACKOFF_CAP_S = 8.0
WAIT_CAP_S = 60.0
_FLEET = Fleet()
"""For attempts of no fleet, which only tests make."""


def delay(retry_number: int, rng: random.Random, after_s: float | None = None, *, is_throttled: bool = False) -> float:
    """Seconds to wait before retry `retry_number` (the first is 1).

    Exponential backoff up to 0.5 s, doubling up to 8 s, with full jitter; after a 429 (`is_throttled`) half of it is fixed,
    since a wait of next to nothing only meets the same limit. `after_s`, what the provider asks for, is a floor under it,
    so that callers told the same moment do not all come at once. Never more than 60 s.
    """
    most = min(BACKOFF_CAP_S, BASE_S * 2.0 ** min(retry_number - 1, 10))
    backoff = rng.uniform(most / 2 if is_throttled else 0.0, most)
    return min(WAIT_CAP_S, max(0.0, after_s or 0.0) + backoff)


class Retrying:
    """Carries out an attempt again as its target's `retry` says; `call` is what `wrap_call` returns.

    A reply is given up only when another try follows, so the last outcome is what the caller sees. With
    `request_timeout_s` all tries and waits together end at that time, and none starts after the exchange's deadline.
    Retries are a fifth of calls at most, by deployment and over all, but for a reserve for quiet times. None goes to a
    target whose breaker is open: another target is called sooner, and what is overloaded gets no more calls. `holding` is
    `inner` for targets that want the beginning of a stream held.
    """

    def __init__(self, inner: Call, holding: Call, sleep: Sleep, rng: random.Random) -> None:
        self._plain = inner
        self._inner = holding
        self._sleep = sleep
        self._rng = rng

    def call(self, ex: Exchange) -> Awaitable[Reply]:
        """The reply of the last try. Raises ProviderError when that is how it ended, or when the time is up."""
        attempt = ex.attempt
        if attempt is None:
            raise HookFailed("a retry needs an attempt")
        target = attempt.target
        if target.retry.attempts > 0:
            return self._repeat(ex, attempt)
        is_plain = not target.release_after and target.patience is PATIENT
        return self._plain(ex) if is_plain else self._inner(ex)

    async def _repeat(self, ex: Exchange, attempt: Attempt) -> Reply:
        fleet, limit_s = attempt.fleet or _FLEET, attempt.target.request_timeout_s
        budgets = (fleet.budget, attempt.health.budget) if attempt.health is not None else (fleet.budget,)
        now = fleet.clock()
        ends = min(ex.deadline, now + limit_s if limit_s > 0 else math.inf)
        for budget in budgets if attempt.retries == 0 else ():  # a guardrail may have had it asked again
            budget.called(now)
        while True:
            began = fleet.clock()
            try:
                reply = await self._try(ex, attempt, ends - fleet.clock())
            except ProviderError as error:
                ended = Try(error.status, error.error_code, fleet.clock() - began)
                if not error.retryable or not await self._is_due(ex, attempt, None, ends):
                    raise
            else:
                ended = Try(reply.status, "", fleet.clock() - began)
                if not await self._is_due(ex, attempt, reply, ends):
                    return reply
            attempt.tries = (*attempt.tries, ended)
            attempt.retries += 1

    async def _is_due(self, ex: Exchange, attempt: Attempt, reply: Reply | None, ends: float) -> bool:
        """Wait for the next try. False where there is none: also when the target's breaker opens while this one waits.

        `reply` is None after a transport error. One that failed is whole, so it may still be answered with after the wait.
        """
        fleet = attempt.fleet or _FLEET
        wait_s = self._wait_s(ex, attempt, reply, fleet)
        if wait_s is None or _is_shut(attempt, fleet.clock() + wait_s) or not may_repeat(attempt, ends - wait_s):
            return False
        if reply is not None:
            await discard(reply)
        let_go(attempt)
        await self._sleep(wait_s)
        return not _is_shut(attempt, fleet.clock())

    async def _try(self, ex: Exchange, attempt: Attempt, left_s: float) -> Reply:
        if left_s == math.inf:
            return await self._inner(ex)
        limit = asyncio.timeout(left_s)
        try:
            async with limit:
                return await self._inner(ex)
        except TimeoutError:
            if not limit.expired():
                raise
            limit_s = attempt.target.request_timeout_s
            what = f"the target's {limit_s:g} s" if limit_s > 0 else "the time there was for this request"
            error = ProviderTimeout(
                f"provider `{attempt.provider.name}` did not answer within {what}",
                provider=attempt.provider.name,
                deployment=attempt.target.deployment,
            )
            broke(attempt, error)
            raise error from None

    def _wait_s(self, ex: Exchange, attempt: Attempt, reply: Reply | None, fleet: Fleet) -> float | None:
        """How long to wait before the next try; None when there is none. `reply` is None after a transport error."""
        retry = attempt.target.retry
        if attempt.retries >= retry.attempts or not ex.can_repeat:
            return None
        after_s: float | None = None
        if reply is not None:
            if reply.is_ok or not _is_to_repeat(reply, retry):
                return None
            if retry.use_retry_after_header:
                after_s = retry_after_s(reply.headers, fleet.unix())
                if after_s is not None and after_s > WAIT_CAP_S:
                    return None
        is_throttled = reply is not None and reply.status == 429
        return delay(attempt.retries + 1, self._rng, after_s, is_throttled=is_throttled)


def _is_to_repeat(reply: Reply, retry: Retry) -> bool:
    """Whether a failed reply may be tried again: its status, unless the provider says so itself (`x-should-retry`)."""
    said = next((value for name, value in reply.headers if name == b"x-should-retry"), b"")
    return said == b"true" or (said != b"false" and reply.status in retry.on_status_codes)


def _is_shut(attempt: Attempt, now: float) -> bool:
    """Whether the target's breaker would keep a call away then: a retry would only meet the failure that opened it."""
    return attempt.health is not None and not attempt.health.breaker.would_admit(now)
