"""Retries of one leaf: when, how often, and how long to wait in between. The waiting is computed by pure functions."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC
from email.utils import parsedate_to_datetime

from headgate.errors import HookFailed, ProviderError, ProviderTimeout
from headgate.exchange import Attempt, Exchange, RawHeaders, Reply
from headgate.hooks import Call
from headgate.pipeline import discard

Sleep = Callable[[float], Awaitable[object]]

BASE_S = 0.5
BACKOFF_CAP_S = 8.0
WAIT_CAP_S = 60.0


def delay(retry_number: int, rng: random.Random, retry_after_s: float | None = None) -> float:
    """Seconds to wait before retry `retry_number` (the first is 1).

    Exponential backoff with full jitter: uniform from 0 to 0.5 s, doubling up to 8 s. `retry_after_s` is a floor under
    it, so that callers told the same moment do not all come at once. Never more than 60 s.
    """
    backoff = rng.uniform(0.0, min(BACKOFF_CAP_S, BASE_S * 2.0 ** min(retry_number - 1, 10)))
    return min(WAIT_CAP_S, max(0.0, retry_after_s or 0.0) + backoff)


def retry_after_s(headers: RawHeaders, now: float) -> float | None:
    """What a reply says about coming back, in seconds from `now` (Unix seconds); None when it says nothing usable.

    Reads `retry-after-ms` and `x-ms-retry-after-ms`, then `retry-after` in both forms of RFC 9110 section 10.2.3.
    """
    held = dict(headers)
    for name in (b"retry-after-ms", b"x-ms-retry-after-ms"):
        wait_ms = _number(held.get(name))
        if wait_ms is not None:
            return wait_ms / 1000
    value = held.get(b"retry-after")
    if value is None:
        return None
    wait_s = _number(value)
    return _date_s(value, now) if wait_s is None else wait_s


def _number(value: bytes | None) -> float | None:
    try:
        number = float(value or b"")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _date_s(value: bytes, now: float) -> float | None:
    try:
        then = parsedate_to_datetime(value.decode("latin-1"))
        return max(0.0, (then if then.tzinfo else then.replace(tzinfo=UTC)).timestamp() - now)
    except (ValueError, OverflowError):
        return None


class Retrying:
    """Carries out an attempt again as its target's `retry` says; `call` is what `wrap_call` returns.

    A reply is given up only when another try follows, so the last outcome is what the caller sees. With
    `request_timeout_s` all tries and waits together end at that time.
    """

    def __init__(self, inner: Call, sleep: Sleep, clock: Callable[[], float], rng: random.Random) -> None:
        self._inner = inner
        self._sleep = sleep
        self._clock = clock
        self._rng = rng

    def call(self, ex: Exchange) -> Awaitable[Reply]:
        """The reply of the last try. Raises ProviderError when that is how it ended, or when the time is up."""
        attempt = ex.attempt
        if attempt is None:
            raise HookFailed("a retry needs an attempt")
        return self._inner(ex) if attempt.target.retry.attempts <= 0 else self._repeat(ex, attempt)

    async def _repeat(self, ex: Exchange, attempt: Attempt) -> Reply:
        limit_s = attempt.target.request_timeout_s
        ends = time.monotonic() + limit_s if limit_s > 0 else math.inf
        while True:
            try:
                reply = await self._try(ex, attempt, ends)
            except ProviderError as error:
                wait_s = self._wait_s(ex, attempt, None) if error.retryable else None
                if wait_s is None or time.monotonic() + wait_s >= ends:
                    raise
            else:
                wait_s = self._wait_s(ex, attempt, reply)
                if wait_s is None or time.monotonic() + wait_s >= ends:
                    return reply
                await discard(reply)
            await self._sleep(wait_s)
            attempt.retries += 1

    async def _try(self, ex: Exchange, attempt: Attempt, ends: float) -> Reply:
        if ends == math.inf:
            return await self._inner(ex)
        limit = asyncio.timeout(ends - time.monotonic())
        try:
            async with limit:
                return await self._inner(ex)
        except TimeoutError:
            if not limit.expired():
                raise
            limit_s = attempt.target.request_timeout_s
            raise ProviderTimeout(
                f"provider `{attempt.provider.name}` did not answer within the target's {limit_s:g} s",
                provider=attempt.provider.name,
                deployment=attempt.target.deployment,
            ) from None

    def _wait_s(self, ex: Exchange, attempt: Attempt, reply: Reply | None) -> float | None:
        """How long to wait before the next try; None when there is none. `reply` is None after a transport error."""
        retry = attempt.target.retry
        if attempt.retries >= retry.attempts or not ex.can_repeat:
            return None
        after_s: float | None = None
        if reply is not None:
            if reply.is_ok or reply.status not in retry.on_status_codes:
                return None
            if retry.use_retry_after_header:
                after_s = retry_after_s(reply.headers, self._clock())
                if after_s is not None and after_s > WAIT_CAP_S:
                    return None
        return delay(attempt.retries + 1, self._rng, after_s)
