"""The matrix of providers, operations and features, from requests that went through a gateway: matrix.json.

Each test compares its own row with the file once it has found nothing wrong, so the file cannot claim more than passes. Write it
anew with `python -m tests.replay.matrix` from the repository root. A cell says

- `yes`: what was asked for reached the vendor where it documents it (documented.toml), and its answer with it reached the client;
- `refused`: nothing was sent, and the client got a 400 that names the field;
- `left out`: the rest was sent, and the reply names in `x-headgate-dropped` what was not;
- `answers`, `none`: of reasoning that is left out, that the vendor documents thoughts in its answers and they reach the client,
  or that it documents none. `reasoning.toml` says for each where that was looked up.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openai.types
import openai.types.fine_tuning
from pydantic import ValidationError
from tests.replay.clients import DIALECTS
from tests.replay.matrix_answers import (
    BYTES,
    HEARD,
    PICTURE,
    PICTURE_URL,
    SCORES,
    SOUND,
    VECTORS,
    other_answer,
    other_answers,
)
from tests.replay.matrix_asking import FILE as UPLOADED
from tests.replay.matrix_asking import HOLDING, file_of, other_request, texts_of
from tests.replay.matrix_calls import call_of
from tests.replay.matrix_chat import Asking, features
from tests.replay.matrix_jobs import JOBS, TOLD
from tests.replay.matrix_live import live_row
from tests.replay.matrix_providers import (
    chat_operations,
    deployment_of,
    foreign_dialects,
    model_of,
    providers,
    reasoning_of,
    thoughts_of,
)
from tests.replay.matrix_sessions import session_row
from tests.replay.matrix_wires import wire_of
from tests.replay.reading import Json, objects
from tests.replay.vendors import DEPLOYMENT

from headgate.operations import COUNT_TOKENS, GENERATE_COUNT, RESPONSES_COUNT
from headgate.provider import Provider
from headgate.tallying import COUNTERS
from headgate.testing import Client, ReplayUpstream, gateway
from headgate.upstream import UpstreamRequest

FILE = Path(__file__).parent / "matrix.json"
_RANKS = ("yes", "left out", "refused", "no")
"""Cells from the best to the worst; a cell of several clients is the worst of theirs."""
COUNTED = tuple(each.name for each in (COUNT_TOKENS, GENERATE_COUNT, RESPONSES_COUNT))
_SESSIONS = {"realtime": session_row, "generate.live": live_row}
"""Operations that are sessions over a WebSocket and not requests."""
_HEAD_BYTES = 44
"""What stands before the samples in the smallest file of sound, which is made where a vendor sends samples alone."""
_NAMED = {("bedrock", "batches"): "bedrock.batches"}
"""Operations that pass as they are but for a model, which stands in a header there, as if they had this dialect."""


def held(name: str) -> Json:
    """The row that the file holds; empty when it holds none."""
    data: Any = json.loads(FILE.read_text("utf-8"))
    return data.get(name, {})


async def row_of(kind: type[Provider]) -> tuple[Json, list[str]]:
    """What a provider does with every operation it declares, and what is wrong."""
    upstream = ReplayUpstream()
    row: Json = {}
    faults: list[str] = []
    usual = deployment_of(kind)
    async with gateway(kind, providers={DEPLOYMENT: usual}, upstream=upstream) as client:
        for operation in kind.dialects:
            settings = deployment_of(kind, operation)
            if settings == usual:
                row[operation] = await _cell(client, upstream, kind, operation, faults)
                continue
            async with gateway(kind, providers={DEPLOYMENT: settings}, upstream=upstream) as other:
                row[operation] = await _cell(other, upstream, kind, operation, faults)
    return row, [f"{kind.name} {fault}" for fault in faults]


async def _cell(
    client: Client, upstream: ReplayUpstream, kind: type[Provider], operation: str, faults: list[str]
) -> Json:
    if operation in _SESSIONS:
        return await _SESSIONS[operation](kind, operation, faults)
    if operation in COUNTED:
        return await _counted(client, upstream, kind, operation, faults)
    if operation in chat_operations(kind):
        return await _chat(client, upstream, kind, operation, faults)
    return await _other(client, upstream, kind, operation, kind.dialects[operation], faults)


async def _chat(
    client: Client, upstream: ReplayUpstream, kind: type[Provider], operation: str, faults: list[str]
) -> Json:
    spoken = kind.dialects[operation]
    own = [each for each in DIALECTS if each == spoken]
    row: Json = {}
    for side, dialects in (("own", own), ("translated", foreign_dialects(kind, operation))):
        cells: dict[str, str] = {}
        for dialect in dialects:
            model = f"{DEPLOYMENT}/{model_of(kind, operation)}"
            asking = Asking(client, upstream, dialect, spoken, model, thoughts_of(kind), wire_of(kind.name))
            for feature, cell in (await features(asking, faults)).items():
                cells[feature] = _worse(cells.get(feature), cell)
            if side == "own" or not row:
                row["call"], wrong = call_of(asking.first, kind, operation)
                faults += [f"{operation} as {dialect}: {each}" for each in wrong]
        if cells:
            cells["reasoning"] = reasoning_of(kind, cells["reasoning"])
            row[side] = cells
    return row


def _worse(one: str | None, other: str) -> str:
    return other if one is None else max(one, other, key=_RANKS.index)


async def _counted(
    client: Client, upstream: ReplayUpstream, kind: type[Provider], operation: str, faults: list[str]
) -> Json:
    """How a vendor counts tokens, for its own clients and, where it is this way that they take, for those of the other APIs."""
    row: Json = {}
    is_usual = operation == next(each for each in COUNTERS if each in kind.dialects)
    others = [each for each in COUNTED if each not in kind.dialects] if is_usual else []
    for asked in (operation, *others):
        request = other_request(asked, DEPLOYMENT, model_of(kind, operation), "")
        upstream.requests.clear()
        upstream.answer("*", other_answer(operation, kind.dialects[operation], kind.name))
        reply = await client.post(request.path, headers=dict(request.headers), json=request.json)
        told = set(reply.json().values()) - {"response.input_tokens"}
        if told != {7} or "x-headgate-estimated" in reply.headers or not upstream.requests:
            faults.append(f"{operation} as {asked}: {reply.status_code} {reply.text[:200]}")
            return {}
        call, wrong = call_of(upstream.requests[-1], kind, operation)
        faults += [f"{operation} as {asked}: {each}" for each in wrong]
        row = row or {"call": call, "cell": "no" if wrong else "yes"}
    return row


async def _other(
    client: Client, upstream: ReplayUpstream, kind: type[Provider], operation: str, dialect: str, faults: list[str]
) -> Json:
    named = _NAMED.get((kind.name, operation), dialect)
    request = other_request(operation, DEPLOYMENT, model_of(kind, operation), named, kind.name)
    answers = other_answers(operation, dialect, kind.name)
    upstream.requests.clear()
    wire_of(kind.name)(upstream, answers[0], False)
    if len(answers) > 1:
        upstream.answer("*", *answers)
    given: Json = {"json": request.json}
    if request.form is not None:
        part = "image" if operation.startswith("images.") else "file"
        given = {"data": request.form, "files": {part: UPLOADED}}
    reply = await client.post(request.path, headers=dict(request.headers), **given)
    if reply.status_code != 200 or not upstream.requests:
        faults.append(f"{operation}: {reply.status_code} {reply.text[:200]}")
        return {}
    call, wrong = call_of(_asking(upstream.requests), kind, operation)
    wrong += _unread(operation, dialect, reply.content, answers[0].body)
    faults += [f"{operation}: {each}" for each in wrong]
    return {"call": call, "cell": "no" if wrong else "yes"}


def _asking(requests: Sequence[UpstreamRequest]) -> UpstreamRequest:
    """The call that carries the client's file, also as base64, where one does, else the last that does more than fetch."""
    shown = base64.b64encode(UPLOADED[1])
    changing = [each for each in requests if each.method != "GET" and "?Action=Get" not in each.url]
    asked = [each for each in changing if each.headers] or requests
    return next((each for each in asked if UPLOADED[1] in each.body or shown in each.body), asked[-1])


def _unread(operation: str, dialect: str, body: bytes, answer: bytes) -> list[str]:
    """What of the vendor's answer the client did not get."""
    if operation == "audio.speech":
        samples = body[_HEAD_BYTES:] if body.startswith(b"RIFF") else body
        return [] if samples == SOUND else ["another sound"]
    said: Json = json.loads(body)
    if operation == "embeddings":
        data = objects(said["data"])
        got = [each["embedding"] for each in sorted(data, key=lambda each: each["index"])]
        there = BYTES if dialect == "perplexity.embeddings" else VECTORS
        return [] if got == there and isinstance(said["usage"]["prompt_tokens"], int) else [f"vectors {said}"]
    if operation == "rerank":
        return [] if texts_of(said["results"]) == SCORES else [f"ranking {said}"]
    if dialect == "openai.images":
        made = said["data"] in ([{"b64_json": PICTURE}], [{"url": PICTURE_URL}])
        return [] if made else [f"pictures {said}"]
    if dialect == "openai.transcription":
        return [] if said == HEARD else [f"transcript {said}"]
    if dialect in JOBS:
        return _untold(operation, said, "" if dialect in HOLDING else file_of(dialect), TOLD.get(dialect))
    return [] if said == json.loads(answer) or _is_retold(operation, said) else [f"{dialect or operation} {said}"]


def _is_retold(operation: str, said: Json) -> bool:
    """Whether an answer in a vendor's own shape says the same as OpenAI's clients read it."""
    if operation == "completions":
        return openai.types.Completion.model_validate(said).choices[0].text == " there"
    if operation == "files":
        return _untold(operation, said, "file-1") == []
    return operation == "moderations" and [each["flagged"] for each in objects(said["results"])] == [False]


_BEGUN = {"files": "processed", "batches": "in_progress"}
"""What a new one is where the vendor has nothing to do first."""


def _untold(operation: str, said: Json, read: str, made: tuple[str, int] | None = None) -> list[str]:
    """Where a new job or file is not the one that the vendor made, or none as OpenAI's clients know them.

    `read` is the file that a job reads, or a new one itself; `made` are its id and time where those are not the vendor's.
    """
    kind, file, status, known = {
        "files": (openai.types.FileObject, "id", "uploaded", "file-1"),
        "batches": (openai.types.Batch, "input_file_id", "validating", "job-1"),
        "fine_tuning.jobs": (openai.types.fine_tuning.FineTuningJob, "training_file", "queued", "job-1"),
    }[operation]
    try:
        kind.model_validate(said)
    except ValidationError as error:
        return [f"the SDK's types refuse it: {error.errors()[0]}"]
    told = (said["id"].removeprefix("files/"), said["created_at"], said[file].removeprefix("files/"))
    is_new = said["status"] in {status, _BEGUN.get(operation)}
    return [] if told == (*(made or (known, 1)), read) and is_new else [f"another job or file {said}"]


def text_of(rows: Json) -> str:
    """The file: a line for each operation of a provider."""
    lines: list[str] = []
    for name in sorted(rows):
        held = [f"  {json.dumps(each)}: {json.dumps(rows[name][each], sort_keys=True)}" for each in sorted(rows[name])]
        lines.append(f" {json.dumps(name)}: {{\n" + ",\n".join(held) + "\n }")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main() -> int:
    """Write the file; what is wrong is told, and then nothing is written."""
    rows: Json = {}
    wrong: list[str] = []
    for name, kind in providers().items():
        rows[name], faults = asyncio.run(row_of(kind))
        wrong += faults
    sys.stdout.writelines(f"{fault}\n" for fault in wrong)
    if not wrong:
        FILE.write_text(text_of(rows), "utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
