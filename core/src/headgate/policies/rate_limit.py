"""What a provider's rate-limit headers say, and a bucket that follows them: the next call goes where there is room.

Headers: OpenAI's `x-ratelimit-{limit,remaining,reset}-{requests,tokens}` with durations such as `6m0s`
(https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers), Anthropic's
`anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}` with RFC 3339 instants
(https://platform.claude.com/docs/en/api/rate-limits#response-headers).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from msgspec import Struct

RawHeaders = tuple[tuple[bytes, bytes], ...]

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_ANTHROPIC = "anthropic-ratelimit-"
_OPENAI = "x-ratelimit-"
_FAR_S = 86_400.0
LEARNED = 0.3
"""How much of what is expected of a call comes from the newest statement."""
MOST_OF_A_LIMIT = 0.25


class Window(Struct, frozen=True):
    """One limit as a reply stated it: `remaining` of `limit` are left, and in `reset_s` seconds all are back."""

    limit: float
    remaining: float
    reset_s: float


def windows_of(headers: Mapping[str, str], now_unix_s: float) -> dict[str, Window]:
    """The limits that a reply states, by kind (`requests`, `tokens`, `input-tokens`, `output-tokens`).

    What is missing, is no number or makes no sense (Azure sends -1 and 0 for what it does not know) is left out: an
    unknown limit is no limit.
    """
    found: dict[str, Window] = {}
    for kind in ("requests", "tokens", "input-tokens", "output-tokens"):
        limit, remaining, reset = _three(headers, kind)
        if limit is None or remaining is None or not 0 < limit < math.inf or not 0 <= remaining <= limit:
            continue
        wait_s = _wait_s(reset, now_unix_s)
        if wait_s is not None:
            found[kind] = Window(limit, remaining, wait_s)
    return found


def duration_s(text: str) -> float | None:
    """`1s`, `6m0s`, `1h2m3.5s`, `20ms`, or a bare number of seconds; None for anything else."""
    text = text.strip()
    parts = _DURATION.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return min(_FAR_S, sum(float(number) * _UNITS_S[unit] for number, unit in parts))
    number = _number(text)
    return None if number is None or number < 0 else min(_FAR_S, number)


class ShadowBucket:
    """One limit of one deployment and model, followed between replies.

    It refills as the headers imply, `limit - remaining` within `reset_s`. What one call takes is learned from how much goes
    from one statement to the next; calls since the last one are held against what it said. A bucket that no reply has
    spoken of has room for everything.
    """

    __slots__ = ("_at", "_begun", "_limit", "_rate", "_remaining", "_taken")

    def __init__(self) -> None:
        self._limit = math.inf
        self._remaining = math.inf
        self._rate = 0.0
        self._at = 0.0
        self._begun = 0
        self._taken = 0.0

    def stated(self, window: Window, now: float, begun: int = 0) -> None:
        """A reply says how things stand, when `begun` calls had been started since the beginning."""
        calls = begun - self._begun
        gone = self.room(now, self._begun) - window.remaining
        if calls > 0 and 0 < gone < math.inf:
            share = LEARNED if self._taken else 1.0
            self._taken += (gone / calls - self._taken) * share
        self._limit, self._remaining, self._at, self._begun = window.limit, window.remaining, now, begun
        missing = window.limit - window.remaining
        self._rate = missing / window.reset_s if window.reset_s > 0 else math.inf

    def room(self, now: float, begun: int = 0) -> float:
        """How much could be taken now, when `begun` calls have been started."""
        if math.isinf(self._limit):
            return math.inf
        refilled = self._limit if math.isinf(self._rate) else self._remaining + self._rate * (now - self._at)
        return min(self._limit, refilled) - self._call * max(0, begun - self._begun)

    def has_room(self, now: float, begun: int = 0) -> bool:
        """Whether one more call would be let through."""
        room = self.room(now, begun)
        return room > 0.0 and room >= self._call

    def headroom(self, now: float, begun: int = 0) -> float:
        """How much could be taken now as a share of the limit, from 0 to 1."""
        return 1.0 if math.isinf(self._limit) else max(0.0, min(1.0, self.room(now, begun) / self._limit))

    @property
    def _call(self) -> float:
        """What a call is expected to take. Others may use the same limit, so it is never most of it."""
        return min(self._taken, self._limit * MOST_OF_A_LIMIT)


def _three(headers: Mapping[str, str], kind: str) -> tuple[float | None, float | None, str]:
    if f"{_ANTHROPIC}{kind}-limit" in headers:
        names = [f"{_ANTHROPIC}{kind}-{what}" for what in ("limit", "remaining", "reset")]
    else:
        names = [f"{_OPENAI}{what}-{kind}" for what in ("limit", "remaining", "reset")]
    limit, remaining, reset = (headers.get(name, "") for name in names)
    return _number(limit), _number(remaining), reset


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _wait_s(text: str, now_unix_s: float) -> float | None:
    span = duration_s(text)
    if span is not None:
        return span
    try:
        then = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    instant = then if then.tzinfo else then.replace(tzinfo=UTC)
    return min(_FAR_S, max(0.0, instant.timestamp() - now_unix_s))


def retry_after_s(headers: RawHeaders, unix_now: float) -> float | None:
    """What a reply says about coming back, in seconds from `unix_now`; None when it says nothing usable.

    Reads `retry-after-ms` and `x-ms-retry-after-ms`, then `retry-after` in both forms of RFC 9110 section 10.2.3.
    """
    held = dict(headers)
    for name in (b"retry-after-ms", b"x-ms-retry-after-ms"):
        wait_ms = _wait(held.get(name))
        if wait_ms is not None:
            return wait_ms / 1000
    value = held.get(b"retry-after")
    if value is None:
        return None
    wait_s = _wait(value)
    return _date_s(value, unix_now) if wait_s is None else wait_s


def _wait(value: bytes | None) -> float | None:
    """A number of at least 0."""
    number = _number((value or b"").decode("latin-1"))
    return number if number is not None and number >= 0 else None


def _date_s(value: bytes, now: float) -> float | None:
    try:
        then = parsedate_to_datetime(value.decode("latin-1"))
        return max(0.0, (then if then.tzinfo else then.replace(tzinfo=UTC)).timestamp() - now)
    except (ValueError, OverflowError):
        return None
