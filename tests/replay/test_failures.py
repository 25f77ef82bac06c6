"""Errors of vendors reach every client as errors of the right class, in its own envelope, with the vendor's words and no key."""

from __future__ import annotations

import pytest
from tests.replay import running
from tests.replay.corpus import groups, needs_corpus
from tests.replay.results import rate


@needs_corpus
@pytest.mark.parametrize("group", groups())
async def test_recorded_errors_are_told(group: str) -> None:
    """Each recorded error keeps its class and its message in every client's dialect."""
    run = await running.recorded_errors(group)
    assert run.faults == []
    assert run.rate == rate("recorded errors", group)


@pytest.mark.parametrize("group", running.FAILING)
async def test_errors_are_told(group: str) -> None:
    """Each status in the vendor's envelope does, retry-after comes along, and a key that the vendor echoes does not."""
    run = await running.made_errors(group)
    assert run.faults == []
    assert run.rate == rate("made errors", group)


@pytest.mark.parametrize("group", running.FAILING)
async def test_broken_streams_are_told(group: str) -> None:
    """A stream that breaks off says so in the client's dialect, and ends like no good stream does."""
    run = await running.broken(group)
    assert run.faults == []
    assert run.rate == rate("broken streams", group)
