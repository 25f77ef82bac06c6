"""Sends recorded requests of clients to other providers, and collects what is wrong with what those are asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from tests.replay import validators
from tests.replay.abilities import CANNOT, features_of
from tests.replay.corpus import Recording, exceptions, recordings
from tests.replay.fidelity import changes
from tests.replay.made_shapes import shaped_requests
from tests.replay.reading import Json, members, parse
from tests.replay.targets import READERS, Target, World
from tests.replay.vendors import DEPLOYMENT, KEY, deployment_of, dialect_of, restricted, speaks
from typing_extensions import override

from headgate.testing import Client, ReplayUpstream, gateway

_PATHS = {
    "openai.chat": "/v1/chat/completions",
    "openai.responses": "/v1/responses",
    "anthropic.messages": "/v1/messages",
}
_SAME = {"vertex.messages": "anthropic.messages", "mistral.chat": "openai.chat"}
"""Dialects of targets that are relayed to clients of these as they are."""
TEMPLATES = frozenset({"493b9f6684949abc", "a2efaa78da0bf321"})
"""Requests that are nothing but a prompt that OpenAI holds: elsewhere nothing is left to send, even where it may be dropped."""
NOTHING_LEFT = b"holds no messages"


@dataclass(frozen=True)
class Misasked:
    """Something wrong with what a target was asked, or with its refusal."""

    recording: Recording
    target: Target
    what: str

    @override
    def __str__(self) -> str:
        return f"{self.recording.id} {self.recording.group} to {self.target.name}: {self.what}"


def client_requests(target: Target) -> list[Recording]:
    """The recorded requests of clients that are translated for this target."""
    without, own = exceptions("questions"), _relayed_to(target)
    return [
        each
        for each in recordings()
        if each.request is not None
        and each.status < 400
        and each.id not in without
        and each.group != "vertex/messages"
        and dialect_of(each.shape) not in {"", *own}
    ]


def hard_requests(target: Target) -> list[Recording]:
    """The made requests of clients that are translated for this target."""
    own = _relayed_to(target)
    return [each for each in shaped_requests() if dialect_of(each.shape) not in own]


def _relayed_to(target: Target) -> set[str]:
    """The dialects of clients whose requests reach this target as they are."""
    own = {_SAME.get(target.dialect, target.dialect)}
    if target.only == "chat":
        own |= {dialect for dialect in _PATHS if speaks(target.vendor, dialect)}
    return own


def open_target(target: Target, world: ReplayUpstream) -> AbstractAsyncContextManager[Client]:
    """A gateway in front of this target alone."""
    held = deployment_of(target.vendor)
    if not target.only:
        return gateway(providers={DEPLOYMENT: held}, upstream=world)
    kind = restricted(target.vendor, target.only)
    return gateway(kind, providers={DEPLOYMENT: {**held, "provider": kind.name}}, upstream=world)


@dataclass(frozen=True)
class Outcome:
    """What became of one recorded request."""

    recording: Recording
    is_refused: bool
    faults: tuple[Misasked, ...]


async def question_outcome(client: Client, world: World, recording: Recording, target: Target) -> Outcome:
    """Send a recorded request and judge what reaches the vendor; what is refused is sent again with leave to drop it."""
    found: list[str] = []
    status, reply, dropped = await _send(client, world, recording, target, drops=False)
    is_refused = status != 200
    if is_refused:
        found += _refused(recording, target, status, reply)
        status, reply, dropped = await _send(client, world, recording, target, drops=True)
    if recording.id in TEMPLATES:
        if status != 400 or NOTHING_LEFT not in reply:
            found.append(f"not refused for want of messages: {status} {_text(reply)}")
    elif status != 200:
        found.append(f"refused though it may be dropped: {status} {_text(reply)}")
    elif not world.asked:
        found.append("nothing was sent")
    else:
        body = members(parse(world.asked[-1].body))
        found += [f"the SDK's types refuse it: {each}" for each in validators.problems(target.types, body)[:1]]
        if not is_refused:
            spoken = dialect_of(recording.shape)
            asked = READERS[spoken](_body(recording, target))
            found += changes(asked, READERS[target.dialect](body), target, dropped, spoken)
    return Outcome(recording, is_refused, tuple(Misasked(recording, target, each) for each in found))


async def _send(
    client: Client, world: World, recording: Recording, target: Target, *, drops: bool
) -> tuple[int, bytes, list[str]]:
    world.requests.clear()
    world.responses.clear()
    dialect = dialect_of(recording.shape)
    method = "streamGenerateContent?alt=sse" if recording.stream else "generateContent"
    path = _PATHS.get(dialect) or f"/v1beta/models/{DEPLOYMENT}/{target.model}:{method}"
    headers = {"content-type": "application/json", **({"x-headgate-unsupported": "drop"} if drops else {})}
    body = json.dumps(_body(recording, target), default=float)
    reply = await client.post(path, content=body, headers=headers)
    dropped = [name.strip() for name in reply.headers.get("x-headgate-dropped", "").split(",") if name.strip()]
    return reply.status_code, reply.content, dropped


def _body(recording: Recording, target: Target) -> Json:
    body = dict(recording.request or {})
    if dialect_of(recording.shape) != "google.generate":
        body["model"] = f"{DEPLOYMENT}/{target.model}"
    return body


def _refused(recording: Recording, target: Target, status: int, reply: bytes) -> Iterator[str]:
    """A refusal is right with status 400 and a name, for what the target cannot say."""
    if KEY.encode() in reply:
        yield "the key stands in the refusal"
    if status != 400 or b"unsupported_field" not in reply:
        yield f"refused with {status}: {_text(reply)}"
        return
    asked = READERS[dialect_of(recording.shape)](_body(recording, target))
    if not features_of(recording, asked) & CANNOT[target.name]:
        yield f"refused though the target can: {_text(reply)}"


def _text(reply: bytes) -> str:
    return reply[:400].decode("utf-8", "replace")
