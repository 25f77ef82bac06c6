"""Tool loops through every client's dialect: the model's calls, ids and signatures come back to the vendor as they were."""

from __future__ import annotations

import os

import pytest
from tests.replay.asking import Fault, answer_faults
from tests.replay.clients import DIALECTS
from tests.replay.corpus import Recording, chosen, groups, needs_corpus, unknown
from tests.replay.loops import has_loop, loop_faults
from tests.replay.made import made_answers
from tests.replay.vendors import dialect_of, open_vendor

from headgate.testing import ReplayUpstream

SEED = int(os.environ.get("HEADGATE_REPLAY_SEED", "0"))
PAIRS = [
    (group, dialect)
    for group in groups()
    for dialect in DIALECTS
    if dialect != dialect_of(group.partition("/")[2])  # then the history goes out as the client wrote it
]


@needs_corpus
@pytest.mark.parametrize(("group", "dialect"), PAIRS)
async def test_loops_close(group: str, dialect: str) -> None:
    """Results, sent in the reverse order, are joined to their calls; texts, arguments and opaque items are as they were."""
    upstream = ReplayUpstream()
    faults: list[Fault] = []
    async with open_vendor(group, upstream) as client:
        for recording in chosen(group, "loops"):
            if recording.status < 400 and has_loop(recording):
                faults += await loop_faults(client, upstream, recording, dialect, SEED)
    found = unknown(faults)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("answer", made_answers(), ids=lambda answer: answer.group)
async def test_numbers_survive(answer: Recording, dialect: str) -> None:
    """Arguments with integers beyond 2^53 and fractions reach the client, and come back, with the same values."""
    if dialect == dialect_of(answer.shape):
        return
    upstream = ReplayUpstream()
    async with open_vendor(answer.group, upstream) as client:
        faults = await answer_faults(client, upstream, answer, dialect, SEED)
        faults += await loop_faults(client, upstream, answer, dialect, SEED)
    assert not faults, "\n".join(map(str, faults))
