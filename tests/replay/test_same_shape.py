"""A recorded exchange whose client and vendor speak the same dialect passes byte for byte, both ways."""

from __future__ import annotations

import json
import os
from decimal import Decimal
from typing import Any

import pytest
from tests.replay.clients import path_of
from tests.replay.corpus import Recording, chosen, groups, needs_corpus
from tests.replay.judge import short
from tests.replay.neutral import Question
from tests.replay.vendors import DEPLOYMENT, deployment_of, dialect_of, model_of, recorded_answer

from headgate.testing import Client, ReplayUpstream, gateway

SEED = int(os.environ.get("HEADGATE_REPLAY_SEED", "0"))
REWRITTEN = frozenset({"vertex/messages"})
"""Where the vendor wants the client's body in another form: `model` goes into the path, a version into the body."""
GROUPS = [group for group in groups() if dialect_of(group.partition("/")[2])]


@needs_corpus
@pytest.mark.parametrize("group", GROUPS)
async def test_bytes_pass(group: str) -> None:
    """The vendor gets the client's bytes but for the model's name, the client the vendor's, however they were cut."""
    upstream = ReplayUpstream()
    found: list[str] = []
    held = deployment_of(group.partition("/")[0])
    async with gateway(providers={DEPLOYMENT: held}, upstream=upstream) as client:
        for recording in chosen(group, "same"):
            found += [f"{recording.id}: {each}" for each in await _faults(client, upstream, recording)]
    assert found == []


async def _faults(client: Client, upstream: ReplayUpstream, recording: Recording) -> list[str]:
    upstream.answer("*", recorded_answer(recording, SEED))
    upstream.requests.clear()
    dialect, model = dialect_of(recording.shape), model_of(recording)
    is_named = dialect != "google.generate"
    asked = _body(recording, f"{DEPLOYMENT}/{model}", is_named=is_named)
    path = path_of(dialect, Question(model, recording.stream))
    reply = await client.post(path, content=asked, headers={"content-type": "application/json"})
    found: list[str] = []
    if reply.status_code != recording.status:
        return [f"status {reply.status_code} instead of {recording.status}: {short(reply.content[:200])}"]
    sent = upstream.requests[-1].body
    if recording.group not in REWRITTEN and sent != _body(recording, model, is_named=is_named):
        found.append(f"the vendor was sent {short(sent)} instead of {short(asked)}")
    if reply.content != recording.body:
        found.append(f"the client got {short(reply.content)} instead of {short(recording.body)}")
    return found


def _body(recording: Recording, model: str, *, is_named: bool) -> bytes:
    """The recorded request, or a small one where none is recorded, with spaces that would not survive another writer."""
    body: Any = recording.request or {"messages": [], "max_tokens": 9}
    members = {"model": model, **{name: value for name, value in body.items() if name != "model"}} if is_named else body
    if is_named:
        members["stream"] = recording.stream
    return json.dumps(members, default=_number, separators=(", ", " : "), ensure_ascii=False).encode()


def _number(value: Decimal) -> float:
    return float(value)
