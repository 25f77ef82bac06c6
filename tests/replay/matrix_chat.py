"""Asks one chat operation of a provider through one kind of client, feature by feature, and says what became of each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.replay import (
    clients,
    judge,
    read_anthropic,
    read_bedrock,
    read_cohere,
    read_google,
    read_ollama,
    read_openai,
    read_replicate,
    read_responses,
    returning,
)
from tests.replay.asked import OUTPUT_TOOL, Asked, digest
from tests.replay.matrix_answers import REPLICATE, Said, chat_answer
from tests.replay.matrix_asking import FEATURES, PIXEL, SAID, SCHEMA, asked_for
from tests.replay.matrix_wires import Wire, streamed
from tests.replay.reading import Json, Reading, members
from tests.replay.targets import READERS
from tests.replay.vendors import KEY

from headgate.testing import Client, Recorded, ReplayUpstream
from headgate.upstream import UpstreamRequest

_ANSWERS = {
    "openai.chat": read_openai,
    "openai.responses": read_responses,
    "anthropic.messages": read_anthropic,
    "google.generate": read_google,
    "bedrock.converse": read_bedrock,
    "cohere.chat": read_cohere,
    "ollama.chat": read_ollama,
    REPLICATE: read_replicate,
}
_REQUESTS = {**READERS, REPLICATE: read_replicate.read_input}
_SWITCHES = frozenset({"chat_template_kwargs", "enable_thinking", "reasoning_format"})
"""Members that ask for thinking and that the readers of requests do not know."""
_THINKING = frozenset({"effort", "budget", "thinking", *_SWITCHES})


@dataclass
class Asking:
    """A client of one dialect in front of an operation that is `spoken`. `thoughts` is where its vendor thinks."""

    client: Client
    upstream: ReplayUpstream
    dialect: str
    spoken: str
    model: str
    thoughts: str
    wire: Wire
    first: UpstreamRequest | None = None
    """The first request that was sent: the plain one."""

    async def post(self, feature: str, body: Json, answer: Recorded) -> Any:
        """Send one request, with this as the vendor's answer."""
        self.upstream.requests.clear()
        self.wire(self.upstream, answer, feature == "stream")
        path = clients.path_of(self.dialect, clients.Question("m", feature == "stream"))
        held, _, method = path.rpartition("/m:")
        reply = await self.client.post(
            f"{held.rpartition('/')[0]}/{self.model}:{method}" if held else path,
            content=json.dumps(body, default=float),
            headers={"content-type": "application/json"},
        )
        self.first = self.first or self.last()
        return reply

    def last(self) -> UpstreamRequest | None:
        """The last request that asks for an answer; others only look at something."""
        return next((request for request in reversed(self.upstream.requests) if request.body), None)

    def sent(self) -> tuple[Json, Asked]:
        """What the vendor was asked last."""
        request = self.last()
        body = members(json.loads(request.body)) if request is not None else {}
        return body, _REQUESTS[self.spoken](body)


async def features(asking: Asking, faults: list[str]) -> dict[str, str]:
    """The cell of every feature; what is wrong is told in `faults`."""
    cells: dict[str, str] = {}
    for feature in FEATURES:
        cells[feature], wrong = await _cell(asking, feature)
        faults += [f"{asking.spoken} as {asking.dialect}, {feature}: {each}" for each in wrong]
    return cells


async def _cell(asking: Asking, feature: str) -> tuple[str, list[str]]:
    body = asked_for(asking.dialect, feature, asking.model)
    answer = _answer(asking, feature)
    reply = await asking.post(feature, body, answer)
    if reply.status_code == 400:
        wrong = [] if "`" in reply.text else [f"a refusal that names nothing: {reply.text[:200]}"]
        return "refused", wrong + (["refused, and sent"] if asking.last() else [])
    if reply.status_code != 200:
        return "no", [f"{reply.status_code} {reply.text[:200]}"]
    if feature == "structured" and _is_output_tool_sent(asking):
        said = Said("", calls=((OUTPUT_TOOL, json.loads(SAID["structured"].text)),))
        reply = await asking.post(feature, body, chat_answer(asking.spoken, said))
        answer = chat_answer(asking.spoken, SAID["structured"])
    wrong = list(_misread(asking, feature, answer, reply.content))
    missing = list(_missing(asking, feature))
    if feature == "parallel" and not wrong:
        missing += await _second_turn(asking, body, reply.content)
    if missing and reply.headers.get("x-headgate-dropped"):
        return "left out", wrong
    return ("no" if wrong or missing else "yes"), wrong + missing


def _is_output_tool_sent(asking: Asking) -> bool:
    request = asking.last()
    return request is not None and OUTPUT_TOOL.encode() in request.body


def _answer(asking: Asking, feature: str) -> Recorded:
    if feature == "stream":
        return streamed(asking.spoken)
    thoughts = "" if asking.spoken != "openai.chat" else asking.thoughts
    return chat_answer(asking.spoken, SAID[feature], thoughts)


def _misread(asking: Asking, feature: str, answer: Recorded, body: bytes) -> Iterator[str]:
    """Where the client's answer says something else than the vendor's."""
    stream = feature == "stream"
    truth = _read(asking.spoken, answer.body, stream=stream)
    seen = clients.read(asking.dialect, body, stream=stream)
    if KEY.encode() in body:
        yield "the key stands in the answer"
    if seen.error is not None:
        yield f"an error instead of an answer: {seen.error}"
        return
    if asking.dialect == asking.spoken:
        if seen != _read(asking.dialect, answer.body, stream=stream):
            yield "another answer than the vendor's"
        return
    for reason in clients.rejected(asking.dialect, body, stream=stream):
        yield f"the SDK's type refuses it: {reason}"
    usage = None if stream and asking.dialect == "openai.chat" and seen.usage is None else truth.usage
    yield from judge.differences(Reading(truth.answers, usage, truth.model), seen, asking.dialect)


def _read(dialect: str, body: bytes, *, stream: bool) -> Reading:
    reader = _ANSWERS[dialect]
    return reader.read_stream(body) if stream else reader.read_whole(body)


def _missing(asking: Asking, feature: str) -> Iterator[str]:
    """What was asked for and did not reach the vendor."""
    body, asked = asking.sent()
    names = [function.name for function in asked.functions]
    match feature:
        case "tools" | "parallel" if names != ["look_up"]:
            yield f"tools {names}"
        case "images" if digest(PIXEL) not in [each for segment in asked.segments for each in segment.media]:
            yield "no picture was sent"
        case "structured" if asked.params.get("schema") is None and OUTPUT_TOOL not in names:
            yield f"no schema was sent: {asked.params}"
        case "structured" if "city" not in str(asked.params.get("schema") or SCHEMA):
            yield f"another schema was sent: {asked.params['schema']}"
        case "reasoning" if (
            not _THINKING & {*asked.params, *(_SWITCHES & set(body))} or asked.params.get("effort") == "none"
        ):
            yield f"nothing was said of thinking: {asked.params}"
        case "stream" if not _streams(asking, body):
            yield "no stream was asked for"
        case _:
            pass


def _streams(asking: Asking, body: Json) -> bool:
    request = asking.last()
    return body.get("stream") is True or (request is not None and "stream" in request.url.rpartition("/")[2].lower())


async def _second_turn(asking: Asking, body: Json, first: bytes) -> list[str]:
    """The history with both calls and their results, as a client of the official SDK sends it back, reaches the vendor."""
    again = {**body, **returning.history(asking.dialect, first, stream=False)}
    reply = await asking.post("parallel", again, chat_answer(asking.spoken, SAID["whole"]))
    if reply.status_code != 200:
        return [f"second turn: {reply.status_code} {reply.text[:200]}"]
    _, asked = asking.sent()
    calls = [call for segment in asked.segments for call in segment.calls]
    results = [result.call for segment in asked.segments for result in segment.results]
    wrong = [] if calls == list(SAID["parallel"].calls) else [f"calls came back as {calls}"]
    return wrong + ([] if sorted(results) == [0, 1] else [f"results came back for the calls {results}"])
