"""Recorded exchanges with Anthropic and with Claude on Vertex: all are understood, and come out as they were meant.

The recordings stand in a folder named by `HEADGATE_CORPUS`. Some hold several messages one behind the other; the first
is read.
"""

from __future__ import annotations

import gzip
import os
from functools import cache
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from core.tests.anthropic_sdk import (
    DIALECT,
    Json,
    accumulate,
    decode_stream,
    decoded,
    encode_stream,
    gaps,
    judged,
)

from headgate.chat import ChatReply, Finish, Usage, collect, replay
from headgate.dialects.openai.members import objects
from headgate.errors import InvalidRequest, ProviderFailed

CORPUS = Path(os.environ.get("HEADGATE_CORPUS") or Path(__file__).parents[2].parent / "shared" / "corpus")
NO_REQUEST = {"71f540e91fa01ae6"}
"""A request that Anthropic refused, too."""
SPLICED = {"818a39a140c3758f"}
"""A made-up stream in which a second message begins within the first."""
CALLS = {"9741fb864899e5cd"}
"""A reply that says `end_turn` and asks for the result of a call."""

pytestmark = pytest.mark.skipif(
    not (CORPUS / "anthropic.jsonl.gz").exists(), reason="no recorded exchanges: set HEADGATE_CORPUS to their folder"
)


@cache
def recorded() -> list[Json]:
    rows: list[Json] = []
    for name in ("anthropic", "vertex"):
        with gzip.open(CORPUS / f"{name}.jsonl.gz") as file:
            rows += [msgspec.json.decode(line) for line in file]
    return [row for row in rows if row["operation"] in {"messages", "vertex-anthropic"}]


def bodies() -> list[tuple[str, bytes]]:
    """Every good answer with its id."""
    return [
        (row["id"], row["resp_text"].encode())
        for row in recorded()
        if row["status"] == 200 and (row["resp_text"] or "").strip()
    ]


def is_whole(body: bytes) -> bool:
    return body.lstrip().startswith(b"{")


def plain(request: Json) -> Json:
    """A request in the one form that its meaning has: blocks for strings, each side's neighbours one turn, no defaults."""
    held = {name: value for name, value in request.items() if value is not None and value is not False and value != []}
    if isinstance(held.get("system"), str):
        held["system"] = [{"type": "text", "text": held["system"]}]
    turns: list[Json] = []
    for message in request["messages"]:
        content = blocks_of(message["content"])
        if turns and turns[-1]["role"] == message["role"]:
            turns[-1]["content"] += content
        elif content:
            turns.append({**message, "content": content})
    if turns[-1]["role"] == "assistant" and turns[-1]["content"][-1]["type"] == "text":
        last = turns[-1]["content"][-1]
        last["text"] = last["text"].rstrip()
    if "output_format" in held:
        held["output_config"] = {"format": held.pop("output_format")}
    held["tools"] = [
        {name: value for name, value in tool.items() if value is not None and (name, value) != ("description", "")}
        for tool in objects(request.get("tools"))
    ]
    return {**held, "messages": turns}


def blocks_of(content: Any) -> list[Json]:
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    blocks = [{name: value for name, value in block.items() if value is not None} for block in objects(content)]
    for block in blocks:
        if block["type"] == "tool_result":
            block["content"], block["is_error"] = blocks_of(block.get("content")), block.get("is_error", False)
    return [block for block in blocks if block["type"] != "text" or block["text"].strip()]


def without_null(value: Any) -> Any:
    """A value without members that are null, at any depth."""
    if isinstance(value, list):
        return [without_null(item) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {name: without_null(held) for name, held in cast("Json", value).items() if held is not None}
    return value


def check_usage(usage: Usage | None) -> None:
    """What is cached is part of the prompt, what is thought part of the answer, and nothing is less than 0."""
    assert usage is not None
    assert usage.prompt >= usage.cached + usage.cache_write >= 0
    assert usage.completion >= usage.reasoning >= 0


def test_requests_keep_their_meaning() -> None:
    """Every recorded request is understood and comes out with the same meaning, as the official types have it."""
    count = 0
    for row in recorded():
        written = row["req_json"]
        if written is None or row["id"] in NO_REQUEST:
            continue
        held = gaps()
        request = DIALECT.decode_request(msgspec.json.encode(written))
        again = judged(DIALECT.encode_request(request, held))
        if row["operation"] == "vertex-anthropic":  # its model stands in the path
            again["model"] = written.get("model") or None
        assert (row["id"], held.dropped, plain(again)) == (row["id"], [], plain(written))
        count += 1
    assert count == 209


def test_a_request_that_is_none() -> None:
    """What Anthropic refused as no request is refused here, too."""
    for row in recorded():
        if row["id"] in NO_REQUEST:
            with pytest.raises(InvalidRequest):
                DIALECT.decode_request(msgspec.json.encode(row["req_json"]))


def test_replies_keep_their_meaning() -> None:
    """Every recorded reply is understood, and comes out as it was but for members that are null."""
    wholes = [(at, body) for at, body in bodies() if is_whole(body)]
    assert len(wholes) == 154
    for at, body in wholes:
        reply = DIALECT.decode_reply(body)
        again = DIALECT.encode_reply(reply, decoded())
        expected = msgspec.json.decode(body)
        if at in CALLS:
            expected["stop_reason"] = "tool_use"
        assert (at, without_null(msgspec.json.decode(again))) == (at, without_null(expected))
        check_usage(reply.usage)
        assert reply.usage == DIALECT.reply_usage(body)
        assert collect(replay(reply)).usage == reply.usage


@pytest.mark.parametrize("size", [1, 7, 64])
def test_streams_are_the_same_in_pieces(size: int) -> None:
    """Every recorded stream is understood, whatever the pieces it comes in."""
    streams = [(at, body) for at, body in bodies() if not is_whole(body) and at not in SPLICED]
    assert len(streams) == 104
    for at, body in streams:
        assert (at, decode_stream(body, size)) == (at, decode_stream(body))


def test_streams_keep_their_meaning() -> None:
    """What is written of a recorded stream means the same, and the official SDK reads it to its end."""
    for at, body in bodies():
        if is_whole(body) or at in SPLICED:
            continue
        events = decode_stream(body)
        reply = collect(events)
        check_usage(reply.usage)
        assert sum(isinstance(event, Finish) for event in events) == 1
        stream = encode_stream(events)
        assert (at, said(collect(decode_stream(stream)))) == (at, said(reply))
        message = accumulate(stream)
        assert (message.id, message.stop_reason) == (reply.id, reply.choices[0].finish_raw)


def said(reply: ChatReply) -> object:
    """An answer without what its encoder may say in other words: the provider's own usage object, and odd extras."""
    usage = reply.usage
    counts = usage and (usage.prompt, usage.completion, usage.cached, usage.cache_write, usage.reasoning)
    return reply.id, reply.model, reply.choices, counts


def test_a_spliced_stream_is_refused() -> None:
    """A second message within the first is a fault of the provider, never a mix of two answers."""
    for at, body in bodies():
        if at in SPLICED:
            with pytest.raises(ProviderFailed):
                decode_stream(body)


def test_errors_are_understood() -> None:
    """Every recorded error has a message and a status that clients know."""
    errors = [row for row in recorded() if row["status"] >= 400]
    assert errors
    for row in errors:
        words = DIALECT.decode_error(row["status"], (row["resp_text"] or "").encode())
        assert words.message
        assert 400 <= words.status < 600
        assert words.status != 529
