"""Finds the highest rate that a target carries without a failure, in an open loop with a bound on p99."""

import math
import time
from collections.abc import Callable

from driver import Load
from phases import carry_out
from processes import BenchError
from report import Ceiling
from targets import Target

P99_MS = 50.0
_CONNECTIONS = 64
_PROBE_S = 1.0
_FEWEST = 40
_STEP = 1.25
_FULL = 0.85

Probe = Callable[[float], tuple[float | None, float, float]]


def find_ceiling(probe: Probe, guess: float, probes: int) -> Ceiling:
    """Climb and bisect from `guess`; the rate is 0 when none that was tried is within the bound.

    `probe` takes a rate and returns p99 in ms (None when an exchange failed), and how busy target and driver were.
    """
    low, high, rate = 0.0, math.inf, guess
    tried: list[tuple[float, float]] = []
    best = Ceiling(0.0, 0.0, 0.0, 0.0, False, tried)
    for _ in range(probes):
        p99, target_busy, driver_busy = probe(rate)
        tried.append((rate, -1.0 if p99 is None else p99))
        if p99 is not None and p99 <= P99_MS:
            low = rate
            bound = target_busy < _FULL and driver_busy > target_busy
            best = Ceiling(rate, p99, target_busy, driver_busy, bound, tried)
        else:
            high = rate
        rate = low * _STEP if high == math.inf else math.sqrt(max(low, high / 2) * high)
    return best


def probe_of(target: Target, upstream: Target) -> Probe:
    """Drives a target for about a second at a rate; the upstream shares the driver's core and counts as driver."""

    def driver_s() -> float:
        return time.process_time() + (0.0 if target is upstream else upstream.child.cpu_s())

    def probe(rate: float) -> tuple[float | None, float, float]:
        count = max(_FEWEST, int(rate * _PROBE_S))
        target.child.settle()
        load: Load = target.load(count, connections=_CONNECTIONS, rate=rate, timeout_s=count / rate + 3.0)
        before, own = target.child.cpu_s(), driver_s()
        try:
            result = carry_out(target, load)
        except BenchError:
            return None, 0.0, 0.0
        spent, own = target.child.cpu_s() - before, driver_s() - own
        p99 = None if result.errors else result.latency.p99
        return p99, spent / result.seconds, own / result.seconds

    return probe
