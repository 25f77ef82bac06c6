"""What holds for every test of the workspace."""

from __future__ import annotations

import gc
from itertools import count

from hypothesis import HealthCheck, settings

# how long an example takes says something of the machine, which may stall for a second, and nothing of the code
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

SETTLED_AFTER = 200  # tests
gc.disable()  # until all is imported: none of it is garbage
_finished = count(1)


def settle() -> None:
    """Collect what is garbage, and leave what stays out of further collections.

    A million objects cost a second each time, in which the servers and clients of a test stand still.
    """
    gc.collect()
    gc.freeze()


def pytest_collection_finish() -> None:
    """Everything is imported."""
    settle()
    gc.enable()


def pytest_runtest_logfinish() -> None:
    """Between tests nobody waits."""
    if not next(_finished) % SETTLED_AFTER:
        settle()
