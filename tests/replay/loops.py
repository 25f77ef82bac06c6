"""Two turns of a tool loop: the vendor's recorded calls go to a client, and come back with results."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from tests.replay import clients, returning, validators
from tests.replay.asked import Asked
from tests.replay.asking import Fault, truth_of
from tests.replay.corpus import Recording
from tests.replay.judge import short
from tests.replay.neutral import Question, functions_of
from tests.replay.reading import Answer, Call, members, parse
from tests.replay.targets import OWN_TYPES, READERS, canned
from tests.replay.vendors import model_of, recorded_answer

from headgate.testing import Client, ReplayUpstream

_DIALECTS = {
    "chat": "openai.chat",
    "responses": "openai.responses",
    "messages": "anthropic.messages",
    "generateContent": "google.generate",
    "converse": "bedrock.converse",
    "cohere-chat": "cohere.chat",
    "ollama-chat": "ollama.chat",
}
_SHORT = re.compile(r"[A-Za-z0-9]{9}")
"""The ids that Mistral takes; longer ones are mapped. https://docs.mistral.ai/api/"""
_FORGETS_IDS = frozenset({"ollama.chat"})
"""Vendors whose requests have no ids of calls: results follow in their order."""


def has_loop(recording: Recording) -> bool:
    """Whether the recorded answer has something that must come back as it was."""
    answers = truth_of(recording).answers
    return bool(answers) and bool(answers[0].calls or answers[0].opaque)


async def loop_faults(
    client: Client, upstream: ReplayUpstream, recording: Recording, dialect: str, seed: int
) -> list[Fault]:
    """Ask, send the answer back with results, and judge what reaches the vendor the second time."""
    truth = truth_of(recording)
    question = Question(model_of(recording), recording.stream, functions_of(recording, truth))
    spoken = _DIALECTS[recording.shape]
    path, body = clients.path_of(dialect, question), clients.body_of(dialect, question)
    upstream.requests.clear()
    upstream.responses.clear()
    upstream.answer("*", recorded_answer(recording, seed))
    first = await client.post(path, json=body)
    if first.status_code != 200:
        return [Fault(recording, dialect, f"first turn: {first.status_code} {first.text[:200]}")]
    upstream.answer("*", canned(spoken, stream=recording.stream))
    again = {**body, **returning.history(dialect, first.content, stream=recording.stream)}
    second = await client.post(path, content=json.dumps(again), headers={"content-type": "application/json"})
    if second.status_code != 200:
        return [Fault(recording, dialect, f"second turn: {second.status_code} {second.text[:300]}")]
    sent = members(parse(upstream.requests[-1].body))
    found = [
        f"the SDK's types refuse it: {each}" for each in validators.problems(_types_of(recording, spoken), sent)[:1]
    ]
    found += _judged(truth.answers[0], READERS[spoken](sent), spoken)
    return [Fault(recording, dialect, what) for what in found]


def _types_of(recording: Recording, spoken: str) -> str:
    if recording.group in {"vertex/messages", "mistral/chat"}:
        return f"{recording.vendor}.{'chat' if recording.vendor == 'mistral' else 'messages'}"
    return recording.vendor if recording.vendor in OWN_TYPES else spoken


def _is_same(said: Call, came: tuple[str, Any]) -> bool:
    """A custom tool's text may come back as the one member of an object, from clients that have no custom tools."""
    return came[1] == said.arguments or (said.is_custom and said.arguments in members(came[1]).values())


def _judged(truth: Answer, seen: Asked, spoken: str) -> Iterator[str]:
    yield from seen.problems
    turn = next((segment for segment in seen.segments if segment.role == "assistant"), None)
    if turn is None:
        yield "the model's turn is gone"
        return
    calls = [(call.name, call.arguments) for call in truth.calls]
    if [name for name, _ in turn.calls] != [name for name, _ in calls] or not all(
        map(_is_same, truth.calls, turn.calls)
    ):
        yield f"calls came back as {short(turn.calls)} instead of {short(calls)}"
    if "".join("".join(turn.texts).split()) != "".join((truth.text + truth.refusal).split()):
        yield f"text came back as {short(''.join(turn.texts))} instead of {short(truth.text)}"
    if turn.opaque != list(truth.opaque):
        yield f"opaque items came back as {short(turn.opaque)} instead of {short(list(truth.opaque))}"
    given = [call.id for call in truth.calls]
    if spoken not in _FORGETS_IDS and all(given) and seen.ids != given and not all(map(_SHORT.fullmatch, seen.ids)):
        yield f"ids came back as {seen.ids} instead of {given}"
    results = [result for segment in seen.segments for result in segment.results]
    if [result.call for result in results] != list(range(len(calls))):
        yield f"results answer the calls {[result.call for result in results]}"
    for at, result in enumerate(results):
        if returning.RESULT.format(at) not in result.text:
            yield f"result {at} says {short(result.text)}"
