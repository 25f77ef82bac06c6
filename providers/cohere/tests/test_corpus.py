"""Recorded exchanges with Cohere: every answer decodes, every request is written again with the same meaning.

The recordings stand in a folder named by `HEADGATE_CORPUS`. Those of version 1 are of an API that is not spoken.
"""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from cohere.v2.types import V2ChatResponse
from providers.cohere.tests.cohere_wire import DIALECT, Json, decoded

from headgate.chat import ChatReply, ToolCall, collect
from headgate.dialects import Gaps, OpenAIChat
from headgate.dialects.cohere_rerank import CohereRerank
from headgate.vectors import EmbedRequest, RerankRequest
from headgate_cohere import CohereEmbed

CORPUS = Path(os.environ.get("HEADGATE_CORPUS") or Path(__file__).parents[3] / ".." / "shared" / "corpus")

pytestmark = pytest.mark.skipif(
    not CORPUS.is_dir(), reason="no recorded exchanges: set HEADGATE_CORPUS to their folder"
)


@cache
def records(operation: str) -> list[Json]:
    if not CORPUS.is_dir():
        return []
    with gzip.open(CORPUS / "cohere.jsonl.gz") as lines:
        held: list[Json] = list(map(json.loads, lines))
    return [record for record in held if record["operation"] == operation]


def ids(record: Json) -> str:
    return str(record["id"])


def reply_of(record: Json) -> ChatReply:
    body = record["resp_text"].encode()
    return collect(decoded(body)) if record["stream"] else DIALECT.decode_reply(body)


def test_all_are_there() -> None:
    """The recordings that these tests speak of."""
    counts = Counter({name: len(records(name)) for name in ("cohere-chat", "cohere-embed", "rerank", "cohere-chat-v1")})
    assert counts == {"cohere-chat": 28, "cohere-embed": 3, "rerank": 6, "cohere-chat-v1": 19}


@pytest.mark.parametrize("record", records("cohere-chat"), ids=ids)
def test_answers(record: Json) -> None:
    """Nothing is lost: tokens, words for the end, ids and arguments are those of the vendor, and no member is unknown."""
    reply = reply_of(record)
    (choice,) = reply.choices
    body = record["resp_text"]
    assert choice.finish_raw in body
    assert (choice.finish == "tool_calls") == ("TOOL_CALL" in body)
    assert (choice.extra, choice.message.extra, reply.extra) == ({}, {}, {})
    usage = reply.usage
    assert usage is not None
    assert usage.raw is not None
    tokens = usage.raw["tokens"]
    assert (usage.prompt, usage.completion) == (tokens["input_tokens"], tokens["output_tokens"])
    assert 0 <= usage.cached <= usage.prompt
    for part in choice.message.parts:
        if isinstance(part, ToolCall):
            assert part.id in body
            assert isinstance(json.loads(part.arguments or "{}"), dict)


@pytest.mark.parametrize("record", [one for one in records("cohere-chat") if one["stream"]], ids=ids)
def test_streams_in_pieces(record: Json) -> None:
    """However a stream is cut into pieces, it is the same."""
    body = record["resp_text"].encode()
    wanted = decoded(body)
    for size in (1, 7, 64):
        assert decoded(body, size) == wanted


@pytest.mark.parametrize("record", [one for one in records("cohere-chat") if not one["stream"]], ids=ids)
def test_whole_answers_agree_with_the_sdk(record: Json) -> None:
    """The official types see the same texts and calls."""
    message = V2ChatResponse.model_validate_json(record["resp_text"]).message
    parts = reply_of(record).choices[0].message.parts
    calls = [(call.id, call.function.name) for call in message.tool_calls or [] if call.function is not None]
    assert [(part.id, part.name) for part in parts if isinstance(part, ToolCall)] == calls
    said = "".join(item.text for item in message.content or [] if item.type == "text")
    assert reply_of(record).choices[0].message.text == (message.tool_plan or "") + said


@pytest.mark.parametrize("record", records("cohere-chat"), ids=ids)
def test_answers_reach_an_openai_client(record: Json) -> None:
    """Whole or streamed, an OpenAI client reads what Cohere said."""
    reply, client = reply_of(record), OpenAIChat()
    request = client.decode_request(b'{"model": "m", "messages": [{"role": "user", "content": "hi"}]}')
    again = client.decode_reply(client.encode_reply(reply, request))
    mine, theirs = reply.choices[0], again.choices[0]
    assert theirs.finish == mine.finish
    assert theirs.message.text == mine.message.text
    calls = [
        [(part.id, part.name, part.arguments or "{}") for part in held.message.parts if isinstance(part, ToolCall)]
        for held in (mine, theirs)
    ]
    assert calls[0] == calls[1]


@pytest.mark.parametrize("record", [one for one in records("cohere-chat") if one["req_json"]], ids=ids)
def test_requests(record: Json) -> None:
    """Written again, a recorded request says the same, member for member."""
    gaps = Gaps("cohere")
    request = DIALECT.decode_request(json.dumps(record["req_json"]).encode())
    body: Any = msgspec.json.decode(DIALECT.encode_request(request, gaps))
    wanted = {name: value for name, value in record["req_json"].items() if value not in (False, None)}
    for message in wanted["messages"]:
        if message.get("content", "") is None:
            del message["content"]
    assert (body, gaps.dropped) == (wanted, [])


@pytest.mark.parametrize("record", records("cohere-embed"), ids=ids)
def test_embeddings(record: Json) -> None:
    """Every vector comes, and every request is written again."""
    codec, body = CohereEmbed(), json.loads(record["resp_text"])
    asked = codec.decode_request(json.dumps(record["req_json"]).encode()) if record["req_json"] else None
    request = asked or EmbedRequest("m", tuple(body["texts"]))
    reply = codec.decode_reply(record["resp_text"].encode(), request)
    assert list(map(list, reply.vectors)) == body["embeddings"]["float"]
    assert reply.usage is not None
    assert reply.usage.prompt == body["meta"]["billed_units"]["input_tokens"]
    if asked is not None:
        sent = json.loads(codec.encode_request(asked, Gaps("cohere")))
        assert sent == {**record["req_json"], "embedding_types": ["float"]}


@pytest.mark.parametrize("record", records("rerank"), ids=ids)
def test_reranking(record: Json) -> None:
    """The core's dialect reads what Cohere answers."""
    body, asked = json.loads(record["resp_text"]), cast("Json", record["req_json"] or {})
    documents: tuple[str, ...] = tuple(asked.get("documents") or ("",) * 9)  # one request was not recorded
    reply = CohereRerank().decode_reply(record["resp_text"].encode(), RerankRequest("m", "q", documents))
    pairs = [(one["index"], one["relevance_score"]) for one in body["results"]]
    assert [(one.index, one.score) for one in reply.results] == pairs
    assert reply.search_units == 1


@pytest.mark.parametrize("record", [one for one in records("cohere-chat-v1") if one["status"] != 200], ids=ids)
def test_errors(record: Json) -> None:
    """Errors have one form in both versions."""
    words = DIALECT.decode_error(record["status"], record["resp_text"].encode())
    assert (words.status, words.message) == (404, json.loads(record["resp_text"])["message"])
