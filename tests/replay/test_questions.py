"""Every recorded request of a client, sent to every provider, asks there what the client asked, in words the vendor takes."""

from __future__ import annotations

import pytest
from tests.replay import running
from tests.replay.corpus import needs_corpus
from tests.replay.known import unknown
from tests.replay.results import held, questions_row, rate
from tests.replay.targets import TARGETS, Target


@needs_corpus
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
async def test_questions_keep_their_meaning(target: Target) -> None:
    """The body is valid by the vendor's types and says the same; what cannot be said is refused by name, or dropped by name."""
    run = await running.questions(target)
    faults = unknown(target.name, run.faults)
    assert not faults, "\n".join(faults)
    assert questions_row(run.outcomes) == held("questions", target.name)
    assert run.rate == rate("questions", target.name)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
async def test_hard_questions_keep_their_meaning(target: Target) -> None:
    """Turns of one speaker, blanks, results out of order, odd ids, large numbers, pictures: all of it reaches the vendor."""
    run = await running.tricky(target)
    assert not run.faults, "\n".join(map(str, run.faults))
    assert run.rate == rate("tricky", target.name)
