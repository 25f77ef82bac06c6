"""Recorded exchanges with real vendors go through byte for byte, both ways.

The recordings stand in a folder named by `HEADGATE_CORPUS`; they hold no chunk timing, so streams are cut at random.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from headgate.dialects import Dialect, OpenAIChat, OpenAICompletions, OpenAIEmbeddings
from headgate.errors import ProviderFailed
from headgate.exchange import Attempt, Exchange, Reply, Target
from headgate.operations import CHAT, COMPLETIONS, EMBEDDINGS, Operation
from headgate.provider import Provider
from headgate.secret import Secret
from headgate.testing import Recorded, ReplayUpstream
from headgate_compatible import catalogue
from headgate_openai import OpenAI

CORPUS = Path(os.environ.get("HEADGATE_CORPUS") or Path(__file__).parents[3] / ".." / "shared" / "corpus")
VENDORS = ["openai", "groq", "mistral", "deepseek", "xai", "openrouter", "perplexity", "together"]
OPERATIONS: dict[str, tuple[Operation, Dialect]] = {
    "chat": (CHAT, OpenAIChat()),
    "completions": (COMPLETIONS, OpenAICompletions()),
    "embeddings": (EMBEDDINGS, OpenAIEmbeddings()),
}
NEUTRAL: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
KNOWN = {
    "ca2a6191fe69770d": "upstream_bad_reply",  # an event stream, recorded as JSON in answer to a request for no stream
}
"""Recordings that cannot come back as they are, and the error they rightly become."""

pytestmark = pytest.mark.skipif(
    not CORPUS.is_dir(), reason="no recorded exchanges: set HEADGATE_CORPUS to their folder"
)

Record = dict[str, Any]


def records(vendor: str) -> Iterator[Record]:
    with gzip.open(CORPUS / f"{vendor}.jsonl.gz") as lines:
        for line in lines:
            record = json.loads(line)
            if record["operation"] in OPERATIONS:
                yield record


def headers_of(record: Record) -> dict[str, str]:
    """The recorded headers; some recordings left the content type out."""
    kind = "text/event-stream" if record["stream"] else "application/json"
    return {"content-type": kind, **(record["resp_headers"] or {})}


def deploy(vendor: str, upstream: ReplayUpstream) -> Provider:
    kind: type[Provider] = OpenAI if vendor == "openai" else catalogue()[vendor]
    return kind(vendor, kind.Config(provider=vendor, api_key=Secret("sk-never-in-a-recording")), upstream)


def bodies_of(record: Record) -> list[bytes]:
    """The recorded request as different clients would write it, or a neutral one where only the answer was kept."""
    sent = record["req_json"] or {**NEUTRAL, "stream": record["stream"]}
    return [msgspec.json.encode(sent), json.dumps(sent, indent=2).encode()]


def exchange_of(record: Record, provider: Provider, body: bytes) -> Exchange:
    operation, dialect = OPERATIONS[record["operation"]]
    headers = {b"content-type": b"application/json"}
    ex = Exchange(operation, headers, request_id="r", trace_id="t", dialect=dialect)
    sent = json.loads(body)
    ex.body, ex.model, ex.stream = body, sent["model"], bool(sent.get("stream"))
    ex.attempt = Attempt(Target(deployment=provider.deployment), provider, ex.model, 0.0)
    return ex


def usage_of(record: Record) -> Record | None:
    """The usage a recording states: in the body, or in the last event that has one."""
    if record["status"] != 200:
        return None
    lines = record["resp_text"].split("\n") if record["stream"] else ["data: " + record["resp_text"]]
    data = [line.removeprefix("data:") for line in lines if line.startswith("data:") and "[DONE]" not in line]
    return next((found for found in (json.loads(item).get("usage") for item in reversed(data)) if found), None)


async def drain(reply: Reply, received: list[bytes]) -> bytes:
    """All of a reply; `received` keeps what came should the stream break off."""
    if reply.chunks is None:
        return reply.body
    async for chunk in reply.chunks:
        received.append(chunk)  # noqa: PERF401 - a comprehension would lose what came before a failure
    return b"".join(received)


async def replay(vendor: str, record: Record, body: bytes, seed: int) -> str:
    """Send one recorded exchange through and say what differs; empty when nothing does."""
    answer = record["resp_text"].encode()
    recorded = Recorded(status=record["status"], headers=tuple(headers_of(record).items()), body=answer, seed=seed)
    upstream = ReplayUpstream({"*": recorded})
    provider = deploy(vendor, upstream)
    received: list[bytes] = []
    try:
        reply = await provider.call(exchange_of(record, provider, body))
        got = await drain(reply, received)
    except ProviderFailed as error:
        assert answer.startswith(b"".join(received))
        return error.error_code
    finally:
        assert [response.is_closed for response in upstream.responses] == [True]
    assert [request.body for request in upstream.requests] == [body]
    if record["req_json"] and vendor != "deepseek":  # which has three names for one path
        assert urlsplit(upstream.requests[0].url).path == record["path"]
    assert reply.status == record["status"]
    assert (reply.usage.raw if reply.usage else None) == usage_of(record)
    if got == answer:
        return ""
    if reply.is_ok:
        return "other bytes"
    assert json.loads(got)["error"]["message"]
    return "wrapped error"


@pytest.mark.parametrize("vendor", VENDORS)
async def test_recordings_go_through(vendor: str) -> None:
    """Recorded requests reach the vendor and recorded answers the caller without a changed byte, but for the known."""
    found: dict[str, str] = {}
    count = 0
    for record in records(vendor):
        for body in bodies_of(record):
            count += 1
            difference = await replay(vendor, record, body, count)
            if difference:
                found[record["id"]] = difference
    print(f"{vendor}: {count} calls, {len(found)} recordings differ: {found}")
    assert count > 0
    assert found == {id_: why for id_, why in KNOWN.items() if id_ in {record["id"] for record in records(vendor)}}


@pytest.mark.parametrize("vendor", VENDORS)
async def test_recorded_streams_cut_short_fail(vendor: str) -> None:
    """A recorded stream that loses its end raises, after relaying whole events only; it never looks complete."""
    for record in records(vendor):
        if not record["stream"] or record["status"] != 200 or record["id"] in KNOWN:
            continue
        events = record["resp_text"].split("\n\n")
        half = {**record, "resp_text": "\n\n".join(events[: len(events) // 2])}
        if '"finish_reason":"' in half["resp_text"].replace(" ", "") or len(events) < 6:
            continue
        assert await replay(vendor, half, bodies_of(record)[0], 1) == "upstream_cut"
