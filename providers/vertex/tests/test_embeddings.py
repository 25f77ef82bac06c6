"""Embeddings on Vertex AI: a method for each model, judged by recorded exchanges."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from providers.vertex.tests.vertex_wire import PLACE, REGION, TOKEN, USER

from headgate.chat import Usage
from headgate.dialects import Gaps, Policy
from headgate.errors import InvalidRequest, ProviderFailed, UnsupportedField
from headgate.testing import Recorded, ReplayUpstream
from headgate.testing.running import gateway
from headgate.vectors import EmbedReply, EmbedRequest
from headgate_vertex import Vertex
from headgate_vertex.embeddings import VertexEmbed, method_of

Json = dict[str, Any]
CORPUS = Path(os.environ.get("HEADGATE_CORPUS") or Path(__file__).parents[3] / ".." / "shared" / "corpus")
DIALECT = VertexEmbed()
TEXT, FIRST, SECOND = "text-embedding-005", "gemini-embedding-001", "gemini-embedding-2-preview"


def prediction(*values: float, tokens: int) -> Json:
    return {"embeddings": {"statistics": {"truncated": False, "token_count": tokens}, "values": values}}


def sent(request: EmbedRequest, policy: Policy = "refuse") -> tuple[bytes, list[str]]:
    gaps = Gaps("vertex", policy)
    return DIALECT.encode_request(request, gaps), gaps.dropped


def content(text: str, **config: Any) -> Json:
    return {
        "content": {"role": "user", "parts": [{"text": text}]},
        **({"embedContentConfig": config} if config else {}),
    }


@pytest.mark.parametrize(
    ("model", "texts", "method", "body"),
    [
        (TEXT, "ab", ":predict", {"instances": [{"content": "a"}, {"content": "b"}]}),
        (FIRST, "a", ":predict", {"instances": [{"content": "a"}]}),
        (FIRST, "ab", ":batchEmbedContents", {"requests": [content("a"), content("b")]}),
        (SECOND, "a", ":embedContent", content("a")),
        (f"google/{SECOND}", "ab", ":batchEmbedContents", {"requests": [content("a"), content("b")]}),
        ("1234567890", "a", ":predict", {"instances": [{"content": "a"}]}),
    ],
)
def test_methods(model: str, texts: str, method: str, body: Json) -> None:
    """The model and the number of texts decide on the method, and the body tells it."""
    said, _ = sent(EmbedRequest(model, tuple(texts)))
    assert (method_of(said), json.loads(said)) == (method, body)


def test_tasks_and_lengths() -> None:
    """What vectors are for and how long they are has a place in every method."""
    said, dropped = sent(EmbedRequest(TEXT, ("a",), 256, input_type="query", user="u"))
    assert json.loads(said) == {
        "instances": [{"content": "a", "task_type": "RETRIEVAL_QUERY"}],
        "parameters": {"outputDimensionality": 256},
    }
    assert dropped == ["user"]
    said, _ = sent(EmbedRequest(SECOND, ("a",), 256, input_type="similarity"))
    assert json.loads(said) == content("a", taskType="SEMANTIC_SIMILARITY", outputDimensionality=256)


def test_what_cannot_be_said() -> None:
    """Tokens are refused always, unknown members unless they may be dropped."""
    with pytest.raises(UnsupportedField, match="tokens"):
        sent(EmbedRequest(TEXT, ((1, 2),)), "drop")
    request = EmbedRequest(TEXT, ("a",), dialect="openai.embeddings", extra={"truncate": "END"})
    with pytest.raises(UnsupportedField, match="`truncate`"):
        sent(request)
    assert sent(request, "drop")[1] == ["truncate"]


@pytest.mark.parametrize(
    ("body", "vectors", "tokens"),
    [
        ({"predictions": [prediction(1, tokens=2), prediction(2, tokens=3)]}, ((1.0,), (2.0,)), 5),
        ({"embedding": {"values": [1]}, "usageMetadata": {"promptTokenCount": 4}}, ((1.0,),), 4),
        ({"embeddings": [{"values": [1]}, {"values": [2]}], "usageMetadata": {"totalTokenCount": 6}}, ((1,), (2,)), 6),
        ({"embeddings": [{"values": [1], "statistics": {"tokenCount": 7}}]}, ((1.0,),), 7),
        ({"embeddings": [{"values": [1]}]}, ((1.0,),), None),
    ],
)
def test_replies(body: Json, vectors: Any, tokens: int | None) -> None:
    """The replies of all three methods give vectors in order, and the tokens of the whole call."""
    held = msgspec.json.encode(body)
    reply = DIALECT.decode_reply(held, EmbedRequest(TEXT, ("x",) * len(vectors)))
    assert reply.vectors == vectors
    assert (reply.usage.prompt if reply.usage else None) == tokens
    assert DIALECT.reply_usage(held) == reply.usage


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"7", b'{"predictions":[{}]}', b'{"predictions":7}', b'{"embedding":{"values":[1]}}']
)
def test_replies_that_are_none(body: bytes) -> None:
    """Too few vectors, or none, are the provider's failure."""
    with pytest.raises(ProviderFailed):
        DIALECT.decode_reply(body, EmbedRequest(TEXT, ("a", "b")))


def test_round_and_views() -> None:
    """What is written for `predict` is read again; guards see every text, whatever else a body holds."""
    request = EmbedRequest("", ("a", "b"), 8, input_type="document", dialect=DIALECT.name)
    body, _ = sent(request)
    assert DIALECT.decode_request(body) == request
    assert [place.text for place in DIALECT.request_texts(json.loads(body))] == ["a", "b"]
    assert DIALECT.request_texts({"instances": [7, {"content": 1}]}) == []
    reply = EmbedReply(TEXT, ((1.0,), (2.0,)), Usage(5))
    again = DIALECT.decode_reply(DIALECT.encode_reply(reply, request), request)
    assert (again.vectors, again.usage and again.usage.prompt) == (reply.vectors, 5)
    for odd in (b"{}", b'{"instances":[{"content":"a","task_type":"ODD"}]}'):
        with pytest.raises(InvalidRequest):
            DIALECT.decode_request(odd)
    with pytest.raises(ProviderFailed):
        DIALECT.reply_usage(b"nonsense")


@pytest.mark.skipif(not CORPUS.is_dir(), reason="no recorded exchanges: set HEADGATE_CORPUS to their folder")
def test_recorded() -> None:
    """Recorded requests are those that are made here; recorded answers give vectors and tokens, or an error's words."""
    count = failures = 0
    with gzip.open(CORPUS / "vertex.jsonl.gz") as lines:
        for record in map(json.loads, lines):
            if record["operation"] != "vertex-predict-embed":
                continue
            count += 1
            request = DIALECT.decode_request(json.dumps(record["req_json"]).encode())
            request = msgspec.structs.replace(request, model=FIRST)
            said, _ = sent(request)
            assert (json.loads(said), method_of(said)) == (record["req_json"], ":predict")
            answer = record["resp_text"].encode()
            if record["status"] != 200:
                failures += 1
                words = DIALECT.decode_error(record["status"], answer)
                assert (words.status, "API keys" in words.message) == (401, True)
                continue
            reply = DIALECT.decode_reply(answer, request)
            assert [len(vector) for vector in reply.vectors] == [3072]
            assert reply.usage is not None
            assert 0 < reply.usage.prompt < 60
    assert (count, failures) == (17, 8)


async def test_through_a_gateway() -> None:
    """A client of OpenAI's gets vectors; models of other makers have none here."""
    answers = {"/token": TOKEN, "*": Recorded.from_json({"predictions": [prediction(0.5, tokens=2)]})}
    upstream = ReplayUpstream(answers)
    config = {"provider": "vertex", "project": "my-project", "location": "europe-west4", "credentials": USER}
    async with gateway(Vertex, providers={"gcp": config}, upstream=upstream) as client:
        said = await client.post("/v1/embeddings", json={"model": f"gcp/{TEXT}", "input": "a", "dimensions": 1})
        none = await client.post("/v1/embeddings", json={"model": "gcp/claude-sonnet-4-5", "input": "a"})
    assert said.status_code == 200, said.text
    assert said.json()["data"] == [{"object": "embedding", "index": 0, "embedding": [0.5]}]
    assert said.json()["usage"] == {"prompt_tokens": 2, "total_tokens": 2}
    assert upstream.requests[-1].url == f"{REGION}{PLACE}/publishers/google/models/{TEXT}:predict"
    assert (none.status_code, none.json()["error"]["code"]) == (400, "unsupported_operation")
