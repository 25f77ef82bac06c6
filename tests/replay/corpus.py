"""Recorded exchanges with vendors, from the folder that `HEADGATE_CORPUS` names.

What the recordings show is described in that folder's README. What is no single answer as a vendor sent it is put right
here, or named in exceptions.toml with the reason.
"""

from __future__ import annotations

import base64
import gzip
import os
import re
import tomllib
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.replay.reading import Json, members, parse

HERE = Path(__file__).parent
FOLDER = Path(os.environ.get("HEADGATE_CORPUS") or HERE.parents[1].parent / "shared" / "corpus")
ABSENT = "no recorded exchanges: set HEADGATE_CORPUS to their folder"
needs_corpus = pytest.mark.skipif(not (FOLDER / "openai.jsonl.gz").exists(), reason=ABSENT)

CHAT = frozenset(
    {
        "chat",
        "responses",
        "messages",
        "generateContent",
        "converse",
        "converse-stream",
        "vertex-anthropic",
        "cohere-chat",
        "ollama-chat",
    }
)
_ENDS = re.compile(r"(/(converse|chat)|:(stream)?([gG]enerateContent|[rR]awPredict)).*")
_ONE_EVENT = b"event: message\ndata: "
_LAST = {
    "messages": re.compile(rb'data: \{"type": ?"message_stop"\}\n\n'),
    "responses": re.compile(rb'data: \{"type": ?"response\.(completed|incomplete|failed)".*\n\n'),
}


@dataclass(frozen=True)
class Recording:
    """One exchange. `request` is its JSON, None where only the answer was kept; `shape` is the wire format of the answer."""

    id: str
    vendor: str
    shape: str
    path: str
    request: Json | None
    status: int
    headers: dict[str, str]
    body: bytes
    stream: bool

    @property
    def group(self) -> str:
        """Vendor and wire format, as the results name them."""
        return f"{self.vendor}/{self.shape}"

    @property
    def model(self) -> str:
        """The model that was asked, as far as it is known."""
        held = (self.request or {}).get("model")
        if isinstance(held, str) and held:
            return held
        for marker in ("/models/", "/model/", "/deployments/"):
            if marker in self.path:
                return _ENDS.sub("", self.path.partition(marker)[2])
        return "unknown"


@cache
def recordings() -> tuple[Recording, ...]:
    """Every exchange of a chat operation."""
    return tuple(
        each
        for file in sorted(FOLDER.glob("*.jsonl.gz"))
        for row in _rows(file)
        if row["operation"] in CHAT
        for each in _single(_recording(row))
    )


@cache
def exceptions(kind: str, *, ours: bool = False) -> frozenset[str]:
    """The recordings that a kind of test leaves out; `ours`: those that it leaves out for a fault of the product."""
    listed: list[Any] = tomllib.loads((HERE / "exceptions.toml").read_text("utf-8"))["exception"]
    wanted = [each for each in listed if kind in each["kinds"] and (not ours or each["ours"])]
    return frozenset(name for each in wanted for name in each["ids"])


def chosen(group: str, kind: str) -> list[Recording]:
    """The recordings of one group that a kind of test uses."""
    without = exceptions(kind)
    return [each for each in recordings() if each.group == group and each.id not in without]


def groups() -> list[str]:
    """Every vendor and wire format that is recorded; none without the folder."""
    return sorted({each.group for each in recordings()})


def is_object(body: bytes) -> bool:
    """Whether the body is one JSON object."""
    try:
        return isinstance(parse(body), dict)
    except ValueError:
        return False


def _rows(file: Path) -> list[Json]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return [members(parse(line)) for line in lines]


def _recording(row: Json) -> Recording:
    text, coded = row.get("resp_text"), row.get("resp_b64")
    body = str(text).encode() if text is not None else base64.b64decode(coded or "")
    stream = bool(row["stream"])
    if body.startswith(_ONE_EVENT) and stream:  # a whole answer that was stored as one event
        body, stream = body.removeprefix(_ONE_EVENT).strip(), False
    if stream and is_object(body):
        stream = False
    shape = str(row["operation"])
    if shape == "responses" and b'"choices"' in body[:4000] and b'"output"' not in body[:4000]:
        shape = "chat"  # a chat model of Azure's
    shape = {"converse-stream": "converse", "vertex-anthropic": "messages"}.get(shape, shape)
    vendor = "google" if row["provider"] == "gemini" else str(row["provider"])
    return Recording(
        str(row["id"]),
        vendor,
        shape,
        str(row["path"]),
        row["req_json"],
        int(row["status"]),
        dict(row["resp_headers"]),
        body,
        stream,
    )


def _single(recording: Recording) -> list[Recording]:
    """A file of several streams one behind the other is as many recordings."""
    last = _LAST.get(recording.shape)
    if last is None or not recording.stream:
        return [recording]
    ends = [found.end() for found in last.finditer(recording.body)]
    if len(ends) < 2:
        return [recording]
    pieces = [recording.body[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    return [replace(recording, id=f"{recording.id}.{at}", body=piece) for at, piece in enumerate(pieces)]
