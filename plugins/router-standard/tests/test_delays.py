"""How long a retry waits: the backoff, and what a provider says of it."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.policies import retry_after_s
from headgate_router_standard import delay

NOW = 1_800_000_000.0


@given(st.integers(1, 2000), st.integers())
def test_delay_is_a_jittered_backoff(retry_number: int, seed: int) -> None:
    """Without `Retry-After` a wait lies between 0 and 0.5 s doubled per retry, never above 8 s."""
    wait = delay(retry_number, random.Random(seed))
    assert 0.0 <= wait <= min(8.0, 0.5 * 2.0 ** min(retry_number - 1, 10))


@given(st.integers(1, 10), st.integers(), st.floats(allow_nan=False))
def test_delay_with_retry_after(retry_number: int, seed: int, after: float) -> None:
    """`Retry-After` is a floor up to the cap of 60 s."""
    wait = delay(retry_number, random.Random(seed), after)
    assert min(60.0, max(0.0, after)) <= wait <= min(60.0, max(0.0, after) + 8.0)


def test_delays_spread() -> None:
    """A thousand callers that fail together do not come back together."""
    waits = [delay(3, random.Random(seed)) for seed in range(1000)]
    in_one_moment = max(sum(1 for wait in waits if at <= wait * 100 < at + 1) for at in range(200))
    assert in_one_moment < 25
    assert (min(waits) < 0.05, max(waits) > 1.95) == (True, True)


def header_date(then: float) -> bytes:
    return format_datetime(datetime.fromtimestamp(then, UTC), usegmt=True).encode()


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ((), None),
        (((b"retry-after", b"7"),), 7.0),
        (((b"retry-after", b"0.5"),), 0.5),
        (((b"retry-after", b"0"),), 0.0),
        (((b"retry-after", b"-3"),), None),
        (((b"retry-after", b"nan"),), None),
        (((b"retry-after", b"inf"),), None),
        (((b"retry-after", b"soon"),), None),
        (((b"retry-after", b"99999999"),), 99999999.0),
        (((b"retry-after", header_date(NOW + 30)),), 30.0),
        (((b"retry-after", header_date(NOW - 30)),), 0.0),
        (((b"retry-after", b"Fri Jan 15 08:00:09 2027"),), 9.0),
        (((b"retry-after-ms", b"250"), (b"retry-after", b"7")), 0.25),
        (((b"retry-after-ms", b"x"), (b"retry-after", b"7")), 7.0),
        (((b"x-ms-retry-after-ms", b"1500"),), 1.5),
    ],
)
def test_retry_after_forms(headers: tuple[tuple[bytes, bytes], ...], expected: float | None) -> None:
    """Seconds, milliseconds and all forms of HTTP date are read; nonsense counts as nothing said."""
    assert retry_after_s(headers, NOW) == expected


@given(
    st.binary(max_size=60)
    | st.from_regex(r"[A-Z][a-z]{2}, \d{1,3} [A-Z][a-z]{2} \d{1,6} \d+:\d+:\d+ \S{0,6}").map(lambda text: text.encode())
)
def test_retry_after_never_fails(value: bytes) -> None:
    """Whatever a provider sends, reading it gives a finite wait or nothing."""
    wait = retry_after_s(((b"retry-after", value),), NOW)
    assert wait is None or (math.isfinite(wait) and wait >= 0)
