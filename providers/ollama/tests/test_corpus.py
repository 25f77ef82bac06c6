"""Recorded exchanges with Ollama: every answer decodes, every request is written again with the same meaning.

The recordings stand in a folder named by `HEADGATE_CORPUS`. Those of `/api/generate` are of an endpoint that is not spoken.
"""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from functools import cache
from pathlib import Path

import msgspec
import pytest
from ollama import ChatResponse
from providers.ollama.tests.ollama_wire import DIALECT, Json, decoded

from headgate.chat import ChatReply, Reasoning, ToolCall, collect
from headgate.dialects import Gaps, OpenAIChat
from headgate.errors import ProviderFailed
from headgate.vectors import EmbedRequest
from headgate_ollama import OllamaEmbed

CORPUS = Path(os.environ.get("HEADGATE_CORPUS") or Path(__file__).parents[3] / ".." / "shared" / "corpus")

pytestmark = pytest.mark.skipif(
    not CORPUS.is_dir(), reason="no recorded exchanges: set HEADGATE_CORPUS to their folder"
)


@cache
def records(operation: str) -> list[Json]:
    if not CORPUS.is_dir():
        return []
    with gzip.open(CORPUS / "ollama.jsonl.gz") as lines:
        held: list[Json] = list(map(json.loads, lines))
    return [record for record in held if record["operation"] == operation]


def ids(record: Json) -> str:
    return str(record["id"])


def good() -> list[Json]:
    return [record for record in records("ollama-chat") if record["status"] == 200]


def reply_of(record: Json) -> ChatReply:
    body = record["resp_text"].encode()
    return collect(decoded(body)) if record["stream"] else DIALECT.decode_reply(body)


def test_all_are_there() -> None:
    """The recordings that these tests speak of."""
    counts = Counter({name: len(records(name)) for name in ("ollama-chat", "ollama-embed", "ollama-generate")})
    assert counts == {"ollama-chat": 14, "ollama-embed": 1, "ollama-generate": 7}


@pytest.mark.parametrize("record", good(), ids=ids)
def test_answers_agree_with_the_sdk(record: Json) -> None:
    """The official types see the same texts, thinking, calls and counts; no member is lost."""
    held = [ChatResponse.model_validate_json(line) for line in record["resp_text"].splitlines()]
    reply = reply_of(record)
    (choice,) = reply.choices
    message, end = choice.message, held[-1]
    assert message.text == "".join(one.message.content or "" for one in held)
    thoughts = "".join(part.text for part in message.parts if isinstance(part, Reasoning))
    assert thoughts == "".join(one.message.thinking or "" for one in held)
    calls = [(part.name, json.loads(part.arguments)) for part in message.parts if isinstance(part, ToolCall)]
    assert calls == [
        (call.function.name, call.function.arguments) for one in held for call in one.message.tool_calls or []
    ]
    assert (choice.finish_raw, choice.finish) == (end.done_reason, "tool_calls" if calls else "stop")
    assert reply.usage is not None
    assert (reply.usage.prompt, reply.usage.completion) == (end.prompt_eval_count or 0, end.eval_count)
    assert (message.extra, reply.created > 0, reply.model) == ({}, True, end.model)
    assert reply.extra.keys() == {"total_duration", "load_duration", "prompt_eval_duration", "eval_duration"}


@pytest.mark.parametrize("record", [one for one in good() if one["stream"]], ids=ids)
def test_streams_in_pieces(record: Json) -> None:
    """However a stream is cut into pieces, it is the same."""
    body = record["resp_text"].encode()
    wanted = decoded(body)
    for size in (1, 7, 64):
        assert decoded(body, size) == wanted


@pytest.mark.parametrize("record", good(), ids=ids)
def test_answers_reach_an_openai_client(record: Json) -> None:
    """An OpenAI client reads what Ollama said."""
    reply, client = reply_of(record), OpenAIChat()
    request = client.decode_request(b'{"model": "m", "messages": [{"role": "user", "content": "hi"}]}')
    mine, theirs = reply.choices[0], client.decode_reply(client.encode_reply(reply, request)).choices[0]
    assert (theirs.finish, theirs.message.parts) == (mine.finish, mine.message.parts)


@pytest.mark.parametrize("record", records("ollama-chat"), ids=ids)
def test_requests(record: Json) -> None:
    """Written again, a recorded request says the same, member for member."""
    gaps = Gaps("ollama")
    request = DIALECT.decode_request(json.dumps(record["req_json"]).encode())
    body: Json = msgspec.json.decode(DIALECT.encode_request(request, gaps))
    for message in body["messages"]:
        for call in message.get("tool_calls", []):
            assert call.pop("id")
    wanted = {name: value for name, value in record["req_json"].items() if value not in (None, "", [], {})}
    assert (body, gaps.dropped) == (wanted | {"stream": record["req_json"]["stream"]}, [])


def test_the_recorded_error() -> None:
    """The message is the vendor's."""
    (record,) = [one for one in records("ollama-chat") if one["status"] != 200]
    words = DIALECT.decode_error(record["status"], record["resp_text"].encode())
    assert (words.status, words.message) == (404, "model 'nonexistent-model:latest' not found")


def test_embeddings() -> None:
    """The one recording is of the older endpoint, whose answers are none of this one; its vector is read like any."""
    (record,) = records("ollama-embed")
    request = EmbedRequest("llama3", (record["req_json"]["prompt"],))
    with pytest.raises(ProviderFailed):
        OllamaEmbed().decode_reply(record["resp_text"].encode(), request)
    vector = json.loads(record["resp_text"])["embedding"]
    (read,) = OllamaEmbed().decode_reply(json.dumps({"embeddings": [vector]}).encode(), request).vectors
    assert list(read) == vector
