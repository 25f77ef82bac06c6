"""What holds for the replay of recorded exchanges."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from headgate.hooks import STAGES


@pytest.fixture(autouse=True, scope="module")
def patient() -> Iterator[None]:  # pyright: ignore[reportUnusedFunction]
    """Thousands of exchanges run here while other tests have the machine: that it stalls for a second is no hook's fault."""
    before = dict(STAGES)
    STAGES.update({name: replace(stage, budget_s=30 * stage.budget_s) for name, stage in before.items()})
    yield
    STAGES.update(before)
