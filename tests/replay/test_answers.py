"""Every recorded answer of a vendor, asked for in every client's dialect, says what the vendor said."""

from __future__ import annotations

import pytest
from tests.replay import running
from tests.replay.clients import DIALECTS, body_of, path_of, read
from tests.replay.corpus import groups, needs_corpus
from tests.replay.grammar import misordered
from tests.replay.known import unknown
from tests.replay.neutral import Question
from tests.replay.questions import open_target
from tests.replay.results import answers_row, held, rate
from tests.replay.targets import TARGETS, Target, World, canned

from headgate.testing import ReplayUpstream


@needs_corpus
@pytest.mark.parametrize(("group", "dialect"), running.pairs())
async def test_answers_arrive(group: str, dialect: str) -> None:
    """The client reads the text, the thinking, the calls, the finish and the usage that the vendor's bytes hold."""
    run, where = await running.answers(group, dialect), f"{group} to {dialect}"
    found = unknown(where, run.faults)
    assert not found, "\n".join(found)
    assert run.rate == rate("answers", where)


@needs_corpus
@pytest.mark.parametrize("group", groups())
def test_answers_are_counted(group: str) -> None:
    """The file counts what the recorded answers of a vendor show."""
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
