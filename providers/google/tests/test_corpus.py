"""Recorded exchanges with Gemini, for clients of Google's own API byte for byte, and for OpenAI's clients by their meaning.

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

from headgate.chat import ChatReply, Reasoning, Text, ToolCall, collect
from headgate.dialects import OpenAIChat
from headgate.dialects.google.generate import GoogleGenerate
from headgate.dialects.sse import events_of
from headgate.exchange import Attempt, Exchange, Reply, Target
from headgate.operations import CHAT, GENERATE
from headgate.secret import Secret
from headgate.testing import Recorded, ReplayUpstream
from headgate_google import Google

CORPUS = Path(os.environ.get("HEADGATE_CORPUS") or Path(__file__).parents[3] / ".." / "shared" / "corpus")
GOOGLE, OPENAI = GoogleGenerate(), OpenAIChat()
NEUTRAL = b'{"model":"m","messages":[{"role":"user","content":"hello"}]}'

pytestmark = pytest.mark.skipif(
    not CORPUS.is_dir(), reason="no recorded exchanges: set HEADGATE_CORPUS to their folder"
)

Record = dict[str, Any]


def records() -> Iterator[Record]:
    with gzip.open(CORPUS / "gemini.jsonl.gz") as lines:
        for line in lines:
            record = json.loads(line)
            if record["operation"] == "generateContent":
                yield record


def recorded(record: Record) -> Recorded:
    """The recorded answer; some recordings left the content type out."""
    kind = "text/event-stream" if record["stream"] else "application/json"
    held: dict[str, str] = record["resp_headers"] or {}
    body = str(record["resp_text"]).encode()
    headers = (("content-type", held.get("content-type", kind)),)
    return Recorded(status=record["status"], headers=headers, body=body, seed=1)


async def call(record: Record, *, is_translated: bool) -> tuple[bytes, Reply]:
    """The recorded answer through a deployment, to a client of Google's or of OpenAI's."""
    upstream = ReplayUpstream({"*": recorded(record)})
    provider = Google("main", Google.Config(provider="google", api_key=Secret("AIza-recorded")), upstream)
    ex = Exchange(
        CHAT if is_translated else GENERATE,
        {},
        request_id="r",
        trace_id="t",
        dialect=OPENAI if is_translated else GOOGLE,
    )
    ex.body = NEUTRAL if is_translated else json.dumps(record["req_json"] or {}).encode()
    ex.model, ex.stream = "m", record["stream"]
    ex.attempt = Attempt(Target(deployment="main"), provider, "m", 0.0)
    if is_translated:
        ex.attempt.operation, ex.attempt.dialect = "generate", GOOGLE
    reply = await provider.call(ex)
    body = reply.body if reply.chunks is None else b"".join([piece async for piece in reply.chunks])
    if not is_translated:
        assert upstream.requests[0].body == ex.body
    return body, reply


def read(body: bytes, *, stream: bool) -> ChatReply:
    """What an OpenAI client makes of an answer."""
    if not stream:
        return OPENAI.decode_reply(body)
    decoder = OPENAI.stream_decoder()
    events = [event for raw in events_of(body) for event in decoder.feed(raw)]
    return collect([*events, *decoder.end()])


def meaning(reply: ChatReply) -> list[Any]:
    told: list[Any] = []
    for choice in reply.choices:
        parts = choice.message.parts
        calls = [(part.name, json.loads(part.arguments or "{}")) for part in parts if isinstance(part, ToolCall)]
        thoughts = "".join(part.text for part in parts if isinstance(part, Reasoning))
        told.append(
            (
                choice.index,
                "".join(part.text for part in parts if isinstance(part, Text)),
                thoughts,
                calls,
                choice.finish,
            )
        )
    return told


async def test_google_clients_get_the_very_bytes() -> None:
    """Requests and answers of Google's own dialect pass unchanged, and what they used is read."""
    count = 0
    for record in records():
        body, reply = await call(record, is_translated=False)
        assert (reply.status, body) == (record["status"], str(record["resp_text"]).encode()), record["id"]
        assert (reply.usage is not None) == (record["status"] == 200), record["id"]
        count += 1
    assert count == 248


async def test_openai_clients_get_what_was_said() -> None:
    """Texts, thoughts, calls, reasons to end and tokens are the same in OpenAI's words, whole and streamed."""
    for record in records():
        if record["status"] != 200:
            continue
        body, reply = await call(record, is_translated=True)
        held = read(body, stream=record["stream"])
        body_of_google = str(record["resp_text"]).encode()
        if record["stream"]:
            framer, decoder = GOOGLE.framer(), GOOGLE.stream_decoder()
            events = [event for frame in framer.feed(body_of_google) for event in decoder.feed(frame)]
            expected = collect([*events, *decoder.end()])
        else:
            expected = GOOGLE.decode_reply(body_of_google)
        assert meaning(held) == meaning(expected), record["id"]
        calls = [part.id for choice in held.choices for part in choice.message.parts if isinstance(part, ToolCall)]
        assert len(set(calls)) == len(calls)
        assert reply.usage == expected.usage
        if not record["stream"]:
            usage = json.loads(body)["usage"]
            assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


async def test_openai_clients_get_errors_in_their_envelope() -> None:
    """Recorded errors keep their class and their message."""
    found = [(await call(record, is_translated=True))[1] for record in records() if record["status"] >= 400]
    assert sorted(reply.status for reply in found) == [401, 404, 404, 404, 429, 429, 429]
    assert all(json.loads(reply.body)["error"]["message"] for reply in found)
