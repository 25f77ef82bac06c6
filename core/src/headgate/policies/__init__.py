"""Policies of resilience as state machines: time and chance come in as arguments, what to do comes out. No I/O, no clock.

Times are seconds of one monotonic clock; `rng` is a `random.Random`. So a simulator can run any of them on a virtual clock.
"""

from headgate.policies.affinity import bounded, ranking
from headgate.policies.breaker import Admission, Breaker, BreakerRule
from headgate.policies.concurrency import ConcurrencyLimit
from headgate.policies.fair_queue import FairQueue, QueueRule, Refusal, Ticket
from headgate.policies.health import Call, Health
from headgate.policies.latency import PeakEwma, pick_of_two
from headgate.policies.quantile import RecentTimes
from headgate.policies.rate_limit import ShadowBucket, Window, retry_after_s, windows_of
from headgate.policies.retry_budget import RetryBudget

__all__ = [
    "Admission",
    "Breaker",
    "BreakerRule",
    "Call",
    "ConcurrencyLimit",
    "FairQueue",
    "Health",
    "PeakEwma",
    "QueueRule",
    "RecentTimes",
    "Refusal",
    "RetryBudget",
    "ShadowBucket",
    "Ticket",
    "Window",
    "bounded",
    "pick_of_two",
    "ranking",
    "retry_after_s",
    "windows_of",
]
