"""Every recorded answer of a vendor, asked for in every client's dialect, says what the vendor said."""

from __future__ import annotations

import os

import pytest
from tests.replay.asking import Fault, answer_faults
from tests.replay.clients import DIALECTS, body_of, path_of, read
from tests.replay.corpus import chosen, groups, needs_corpus
from tests.replay.grammar import misordered
from tests.replay.neutral import Question
from tests.replay.questions import open_target
from tests.replay.results import answers_row, held
from tests.replay.targets import TARGETS, Target, World, canned
from tests.replay.vendors import dialect_of, open_vendor

from headgate.testing import ReplayUpstream

SEED = int(os.environ.get("HEADGATE_REPLAY_SEED", "0"))


PAIRS = [
    (group, dialect)
    for group in groups()
    for dialect in DIALECTS
    if dialect != dialect_of(group.partition("/")[2])  # then bytes are relayed: see test_same_shape.py
]


@needs_corpus
@pytest.mark.parametrize(("group", "dialect"), PAIRS)
async def test_answers_arrive(group: str, dialect: str) -> None:
    """The client reads the text, the thinking, the calls, the finish and the usage that the vendor's bytes hold."""
    upstream = ReplayUpstream()
    faults: list[Fault] = []
    async with open_vendor(group, upstream) as client:
        for recording in chosen(group, "answers"):
            if recording.status < 400:
                faults += await answer_faults(client, upstream, recording, dialect, SEED)
    assert not faults, "\n".join(map(str, faults))
    assert answers_row(group) == held("answers", group)


TRANSLATED = [target for target in TARGETS if target.dialect != "openai.chat" and target.only != "chat"]


@pytest.mark.parametrize("target", TRANSLATED, ids=lambda target: target.name)
async def test_usage_comes_when_it_is_asked_for(target: Target) -> None:
    """Without `stream_options` no chunk tells usage; the vendor is asked for it all the same, because the gateway counts."""
    world = World(target)
    question = Question(target.model, stream=True)
    body = {name: value for name, value in body_of("openai.chat", question).items() if name != "stream_options"}
    async with open_target(target, world) as client:
        reply = await client.post(path_of("openai.chat", question), json=body)
    assert misordered("openai.chat", reply.content) == ["usage was asked for and did not come"]
    assert read("openai.chat", reply.content, stream=True).answers[0].text == "Hello"


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("target", TRANSLATED, ids=lambda target: target.name)
async def test_whole_answers_to_streams(target: Target, dialect: str) -> None:
    """A vendor that answers a stream's request in one piece is streamed to the client none the less."""
    if dialect == {"vertex.messages": "anthropic.messages"}.get(target.dialect, target.dialect):
        return
    upstream = ReplayUpstream({"*": canned(target.dialect, stream=False)})
    question = Question(target.model, stream=True)
    async with open_target(target, upstream) as client:
        reply = await client.post(path_of(dialect, question), json=body_of(dialect, question))
    assert misordered(dialect, reply.content) == []
    answer = read(dialect, reply.content, stream=True).answers[0]
    assert (answer.text, answer.finish) == ("Hello", "stop")
