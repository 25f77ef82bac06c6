"""Exchanges whose client and vendor speak the same dialect: what reaches each must be the other's bytes."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from tests.replay.clients import path_of
from tests.replay.corpus import Recording
from tests.replay.judge import short
from tests.replay.neutral import Question
from tests.replay.vendors import DEPLOYMENT, dialect_of, model_of, recorded_answer

from headgate.testing import Client, ReplayUpstream

REWRITTEN = frozenset({"vertex/messages"})
"""Where the vendor wants the client's body in another form: `model` goes into the path, a version into the body."""


async def same_faults(client: Client, upstream: ReplayUpstream, recording: Recording, seed: int) -> list[str]:
    """Send a recorded exchange through and judge both ways."""
    upstream.answer("*", recorded_answer(recording, seed))
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
