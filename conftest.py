"""What holds for every test of the workspace."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# how long an example takes says something of the machine, which may stall for a second, and nothing of the code
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
