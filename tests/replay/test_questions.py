"""Every recorded request of a client, sent to every provider, asks there what the client asked, in words the vendor takes."""

from __future__ import annotations

import pytest
from tests.replay.corpus import needs_corpus, unknown
from tests.replay.made import made_requests
from tests.replay.questions import Outcome, client_requests, open_target, question_outcome
from tests.replay.results import held, questions_row
from tests.replay.targets import TARGETS, Target, World


@needs_corpus
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
async def test_questions_keep_their_meaning(target: Target) -> None:
    """The body is valid by the vendor's types and says the same; what cannot be said is refused by name, or dropped by name."""
    world = World(target)
    outcomes: list[Outcome] = []
    async with open_target(target, world) as client:
        for recording in client_requests(target):
            outcomes.append(await question_outcome(client, world, recording, target))  # noqa: PERF401 - one after the other
    faults = unknown(fault for outcome in outcomes for fault in outcome.faults)
    assert not faults, "\n".join(faults)
    assert questions_row(outcomes) == held("questions", target.name)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
async def test_hard_questions_keep_their_meaning(target: Target) -> None:
    """Turns of one speaker, blanks, results out of order, odd ids, large numbers, pictures: all of it reaches the vendor."""
    world = World(target)
    found: list[str] = []
    async with open_target(target, world) as client:
        for request in made_requests() if target.only != "chat" else []:
            outcome = await question_outcome(client, world, request, target)
            found += map(str, outcome.faults)
    assert not found, "\n".join(found)
