"""A recorded exchange whose client and vendor speak the same dialect passes byte for byte, both ways."""

from __future__ import annotations

import pytest
from tests.replay import running
from tests.replay.corpus import needs_corpus
from tests.replay.results import rate


@needs_corpus
@pytest.mark.parametrize("group", running.relayed())
async def test_bytes_pass(group: str) -> None:
    """The vendor gets the client's bytes but for the model's name, the client the vendor's, however they were cut."""
    run = await running.same(group)
    assert run.faults == []
    assert run.rate == rate("same shape", group)
