"""Tool loops through every client's dialect: the model's calls, ids and signatures come back to the vendor as they were."""

from __future__ import annotations

import pytest
from tests.replay import running
from tests.replay.asking import answer_faults
from tests.replay.clients import DIALECTS
from tests.replay.corpus import Recording, needs_corpus
from tests.replay.known import unknown
from tests.replay.loops import loop_faults
from tests.replay.made import made_answers
from tests.replay.results import rate
from tests.replay.vendors import dialect_of, open_vendor

from headgate.testing import ReplayUpstream


@needs_corpus
@pytest.mark.parametrize(("group", "dialect"), running.pairs())
async def test_loops_close(group: str, dialect: str) -> None:
    """Results, sent in the reverse order, are joined to their calls; texts, arguments and opaque items are as they were."""
    run, where = await running.loops(group, dialect), f"{group} to {dialect}"
    found = unknown(where, run.faults)
    assert not found, "\n".join(found)
    assert run.rate == rate("loops", where)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("answer", made_answers(), ids=lambda answer: answer.group)
async def test_numbers_survive(answer: Recording, dialect: str) -> None:
    """Arguments with integers beyond 2^53 and fractions reach the client, and come back, with the same values."""
    if dialect == dialect_of(answer.shape):
        return
    upstream = ReplayUpstream()
    async with open_vendor(answer.group, upstream) as client:
        faults = await answer_faults(client, upstream, answer, dialect, running.SEED)
        faults += await loop_faults(client, upstream, answer, dialect, running.SEED)
    assert not faults, "\n".join(map(str, faults))
