"""Recorded exchanges with Vertex AI: Claude for Anthropic's clients, Gemini for Google's and OpenAI's.

The recordings stand in a folder named by `HEADGATE_CORPUS`; they hold no chunk timing, so streams are cut at random.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from providers.vertex.tests.vertex_wire import CLAUDE, GEMINI, TOKEN, deploy, exchange

from headgate.operations import CHAT, GENERATE, MESSAGES
from headgate.testing import Recorded, ReplayUpstream

CORPUS = Path(os.environ.get("HEADGATE_CORPUS") or Path(__file__).parents[3] / ".." / "shared" / "corpus")
QUESTION = b'{"model":"m","messages":[{"role":"user","content":"hello"}]}'

pytestmark = pytest.mark.skipif(
    not CORPUS.is_dir(), reason="no recorded exchanges: set HEADGATE_CORPUS to their folder"
)

Record = dict[str, Any]


def records(operation: str) -> Iterator[Record]:
    with gzip.open(CORPUS / "vertex.jsonl.gz") as lines:
        for line in lines:
            record = json.loads(line)
            if record["operation"] == operation:
                yield record


def replaying(record: Record) -> ReplayUpstream:
    held: dict[str, str] = record["resp_headers"] or {}
    kind = held.get("content-type", "text/event-stream" if record["stream"] else "application/json")
    body = str(record["resp_text"]).encode()
    answer = Recorded(status=record["status"], headers=(("content-type", kind),), body=body, seed=2)
    return ReplayUpstream({"/token": TOKEN, "*": answer})


async def test_claude_for_anthropics_clients() -> None:
    """The recorded body goes out but for the order of the version, and the recorded answer comes back byte for byte."""
    count = 0
    for record in records("vertex-anthropic"):
        upstream = replaying(record)
        provider = deploy(upstream)
        asked = {name: value for name, value in record["req_json"].items() if name != "anthropic_version"}
        body = json.dumps({"model": CLAUDE, **asked}).encode()
        reply = await provider.call(exchange(provider, MESSAGES, model=CLAUDE, body=body, stream=record["stream"]))
        assert json.loads(upstream.requests[1].body) == record["req_json"], record["id"]
        said = reply.body if reply.chunks is None else b"".join([piece async for piece in reply.chunks])
        assert said == str(record["resp_text"]).encode(), record["id"]
        assert reply.usage is not None
        count += 1
    assert count == 12


async def test_gemini_for_googles_clients() -> None:
    """The recorded answer comes back byte for byte, and what it used is read."""
    count = 0
    for record in records("generateContent"):
        if record["stream"]:
            continue  # it was recorded as an array, which `alt=sse` never gets
        provider = deploy(replaying(record))
        reply = await provider.call(exchange(provider, GENERATE, body=json.dumps(record["req_json"]).encode()))
        assert reply.body == str(record["resp_text"]).encode()
        assert reply.usage is not None
        count += 1
    assert count == 2


async def test_both_for_openais_clients() -> None:
    """Every recorded answer becomes one of OpenAI's, an array of chunks included."""
    for operation, model in (("vertex-anthropic", CLAUDE), ("generateContent", GEMINI)):
        for record in records(operation):
            provider = deploy(replaying(record))
            ex = exchange(provider, CHAT, model=model, body=QUESTION, stream=record["stream"])
            reply = await provider.call(ex)
            body = reply.body if reply.chunks is None else b"".join([piece async for piece in reply.chunks])
            assert reply.status == 200
            assert body.endswith(b"data: [DONE]\n\n") if record["stream"] else json.loads(body)["choices"]
