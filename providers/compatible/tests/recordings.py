"""Recorded exchanges with real vendors, for the tests of this folder.

They stand in a folder named by `HEADGATE_CORPUS`; they hold no chunk timing, so streams are cut at random.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headgate.provider import Provider
from headgate.secret import Secret
from headgate.testing import Recorded, ReplayUpstream
from headgate_compatible import catalogue
from headgate_openai import OpenAI

CORPUS = Path(os.environ.get("HEADGATE_CORPUS") or Path(__file__).parents[3] / ".." / "shared" / "corpus")
NEEDED = pytest.mark.skipif(not CORPUS.is_dir(), reason="no recorded exchanges: set HEADGATE_CORPUS to their folder")
Record = dict[str, Any]


def records(vendor: str, *operations: str) -> Iterator[Record]:
    """The recordings of a vendor."""
    with gzip.open(CORPUS / f"{vendor}.jsonl.gz") as lines:
        for line in lines:
            record = json.loads(line)
            if record["operation"] in operations:
                yield record


def answer_of(record: Record, seed: int) -> Recorded:
    """The recorded answer, in pieces of random sizes; some recordings left the content type out."""
    kind: str = "text/event-stream" if record["stream"] else "application/json"
    headers: dict[str, str] = {"content-type": kind, **(record["resp_headers"] or {})}
    body = record["resp_text"].encode()
    return Recorded(status=record["status"], headers=tuple(headers.items()), body=body, seed=seed)


def deploy_recorded(vendor: str, upstream: ReplayUpstream) -> Provider:
    """A vendor with a key that no recording holds."""
    kind: type[Provider] = OpenAI if vendor == "openai" else catalogue()[vendor]
    return kind(vendor, kind.Config(provider=vendor, api_key=Secret("sk-never-in-a-recording")), upstream)
