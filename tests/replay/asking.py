"""Asks a gateway in front of replayed vendors, and collects what is wrong with the answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.replay import (
    clients,
    judge,
    read_anthropic,
    read_bedrock,
    read_cohere,
    read_google,
    read_ollama,
    read_openai,
    read_responses,
)
from tests.replay.corpus import Recording
from tests.replay.grammar import misordered
from tests.replay.neutral import Question, functions_of
from tests.replay.reading import Reading
from tests.replay.vendors import KEY, model_of, recorded_answer
from typing_extensions import override

from headgate.testing import Client, ReplayUpstream

_READERS = {
    "chat": read_openai,
    "responses": read_responses,
    "messages": read_anthropic,
    "generateContent": read_google,
    "converse": read_bedrock,
    "cohere-chat": read_cohere,
    "ollama-chat": read_ollama,
}


CUSTOM = "choices.0.delta.tool_calls.0.type: Input should be 'function'"
"""The SDK's type of a chunk knows no custom tools, though OpenAI streams their calls."""


@dataclass(frozen=True)
class Fault:
    """Something wrong: which recording, asked through which client, and what."""

    recording: Recording
    client: str
    what: str

    @override
    def __str__(self) -> str:
        kind = "stream" if self.recording.stream else "whole"
        return f"{self.recording.id} {self.recording.group} ({kind}) to {self.client}: {self.what}"


def truth_of(recording: Recording) -> Reading:
    """What the vendor said, read without the product."""
    reader = _READERS[recording.shape]
    return reader.read_stream(recording.body) if recording.stream else reader.read_whole(recording.body)


async def answer_faults(
    client: Client, upstream: ReplayUpstream, recording: Recording, dialect: str, seed: int
) -> list[Fault]:
    """Ask through one dialect and judge the answer."""
    truth = truth_of(recording)
    question = Question(model_of(recording), recording.stream, functions_of(recording, truth))
    upstream.answer("*", recorded_answer(recording, seed))
    reply = await client.post(clients.path_of(dialect, question), json=clients.body_of(dialect, question))
    return [
        Fault(recording, dialect, what) for what in _faults(recording, truth, dialect, reply.status_code, reply.content)
    ]


def _faults(recording: Recording, truth: Reading, dialect: str, status: int, body: bytes) -> Iterator[str]:
    stream = recording.stream
    if KEY.encode() in body:
        yield "the key stands in the answer"
    if truth.error is not None:
        return
    is_broken = any(answer.finish == "error" for answer in truth.answers)
    if is_broken and status >= 500:
        return
    if status != 200:
        yield f"status {status}: {body[:300].decode('utf-8', 'replace')}"
        return
    seen = clients.read(dialect, body, stream=stream)
    if is_broken and (seen.error is not None or any(answer.finish == "error" for answer in seen.answers)):
        return
    for reason in clients.rejected(dialect, body, stream=stream):
        if not (reason in CUSTOM and any(call.is_custom for answer in truth.answers for call in answer.calls)):
            yield f"the SDK's type refuses it: {reason}"
    if stream:
        for reason in misordered(dialect, body):
            if truth.usage is not None or "usage" not in reason:
                yield f"order of events: {reason}"
    if seen.error is not None:
        yield f"an error instead of an answer: {seen.error}"
        return
    yield from judge.differences(truth, seen, dialect)
    for item in judge.lost(truth, body, dialect):
        yield f"lost: {item}"
