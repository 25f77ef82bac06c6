"""Embeddings of the Gemini API: each text a request of one batch, judged by the recorded exchange and by Google's SDK."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from google.genai import types

from headgate.chat import Usage
from headgate.dialects import Gaps, OpenAIEmbeddings, Policy
from headgate.dialects.google.embed import TASKS, GoogleEmbed
from headgate.errors import ErrorWords, InvalidRequest, ProviderFailed, UnsupportedField
from headgate.testing import Recorded, ReplayUpstream
from headgate.testing.running import gateway
from headgate.vectors import EmbedReply, EmbedRequest, InputType
from headgate_google import Google

Json = dict[str, Any]
CORPUS = Path(os.environ.get("HEADGATE_CORPUS") or Path(__file__).parents[3] / ".." / "shared" / "corpus")
DIALECT = GoogleEmbed()
MODEL = "gemini-embedding-001"
REPLY: Json = {"embeddings": [{"values": [0.5, -1]}, {"values": [2, 3]}], "usageMetadata": {"promptTokenCount": 7}}


def asked(*inputs: Any, **fields: Any) -> EmbedRequest:
    return EmbedRequest(MODEL, inputs or ("a", "b"), **fields)


def sent(request: EmbedRequest, policy: Policy = "refuse") -> tuple[Json, list[str]]:
    gaps = Gaps("google", policy)
    return msgspec.json.decode(DIALECT.encode_request(request, gaps)), gaps.dropped


def test_request() -> None:
    """Every text is a request with the same task and length; who asks is a hint."""
    body, dropped = sent(asked(dimensions=256, input_type="query", encoding="base64", user="u", dialect="x"))
    held = {"model": f"models/{MODEL}", "taskType": "RETRIEVAL_QUERY", "outputDimensionality": 256}
    assert body == {"requests": [{**held, "content": {"parts": [{"text": text}]}} for text in "ab"]}
    assert dropped == ["user"]
    assert sent(EmbedRequest("tunedModels/x", ("a",)))[0] == {
        "requests": [{"model": "tunedModels/x", "content": {"parts": [{"text": "a"}]}}]
    }


@pytest.mark.parametrize("kind", list(TASKS))
def test_tasks(kind: InputType) -> None:
    """Each purpose has a word, and comes back as what it was."""
    body, _ = sent(asked(input_type=kind))
    assert body["requests"][0]["taskType"] == TASKS[kind]
    assert DIALECT.decode_request(msgspec.json.encode(body)).input_type == kind


def test_what_cannot_be_said() -> None:
    """Tokens are refused always, unknown members unless they may be dropped."""
    with pytest.raises(UnsupportedField, match="tokens"):
        sent(asked((1, 2)), "drop")
    with pytest.raises(UnsupportedField, match="`truncate`"):
        sent(asked(extra={"truncate": "END"}, dialect="openai.embeddings"))
    assert sent(asked(extra={"truncate": "END"}, dialect="openai.embeddings"), "drop")[1] == ["truncate"]


def test_reply() -> None:
    """Vectors in order and the tokens where the model counts them; the SDK reads what is written here."""
    reply = DIALECT.decode_reply(msgspec.json.encode(REPLY), asked())
    assert (reply.vectors, reply.model) == (((0.5, -1.0), (2.0, 3.0)), MODEL)
    assert reply.usage == Usage(7, raw={"promptTokenCount": 7}) == DIALECT.reply_usage(msgspec.json.encode(REPLY))
    said = DIALECT.encode_reply(reply, asked())
    assert DIALECT.decode_reply(said, asked()) == reply
    assert len(types.EmbedContentResponse.model_validate_json(said).embeddings or ()) == 2
    assert DIALECT.decode_reply(b'{"embeddings":[{"values":[1]}]}', asked("a")).usage is None
    assert DIALECT.encode_reply(EmbedReply(MODEL, ((1.0,),)), asked("a")) == b'{"embeddings":[{"values":[1.0]}]}'


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"embeddings":[{"values":[1]}]}', b'{"embeddings":[{"values":["x"]},{}]}']
)
def test_replies_that_are_none(body: bytes) -> None:
    """Too few vectors, or none, are the provider's failure."""
    with pytest.raises(ProviderFailed):
        DIALECT.decode_reply(body, asked())


def test_round_and_views() -> None:
    """What the own dialect writes it reads again; guards see every text, whatever else a body holds."""
    request = asked(dimensions=8, input_type="clustering", dialect="google.embed", extra={"title": "t"})
    body = DIALECT.encode_request(request, Gaps("google"))
    assert DIALECT.decode_request(body) == request
    assert [place.text for place in DIALECT.request_texts(json.loads(body))] == ["a", "b"]
    hostile: list[Json] = [
        {},
        {"requests": 7},
        {"requests": [7, {"content": []}, {"content": {"parts": [1, {"text": 2}]}}]},
    ]
    assert [DIALECT.request_texts(one) for one in hostile] == [[], [], []]
    odd = {"requests": [{"model": "models/m", "taskType": "FACT_VERIFICATION", "content": {"parts": [{"text": "a"}]}}]}
    assert DIALECT.decode_request(msgspec.json.encode(odd)).extra["taskType"] == "FACT_VERIFICATION"
    with pytest.raises(InvalidRequest):
        DIALECT.decode_request(b"{}")
    with pytest.raises(ProviderFailed):
        DIALECT.reply_usage(b"nonsense")


def test_errors() -> None:
    """Errors are those of every operation of the API, both ways."""
    error = {"code": 400, "message": "m", "status": "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]}
    assert DIALECT.decode_error(400, json.dumps({"error": error}).encode()).status == 401
    assert json.loads(DIALECT.encode_error(ErrorWords(429, "slow")))["error"]["status"] == "RESOURCE_EXHAUSTED"


@pytest.mark.skipif(not CORPUS.is_dir(), reason="no recorded exchanges: set HEADGATE_CORPUS to their folder")
def test_recorded() -> None:
    """The recorded request is read, with two parts as one text, and its answer is one vector."""
    count = 0
    with gzip.open(CORPUS / "gemini.jsonl.gz") as lines:
        for record in map(json.loads, lines):
            if record["operation"] != "embedContent":
                continue
            count += 1
            request = DIALECT.decode_request(json.dumps(record["req_json"]).encode())
            assert (request.input_type, len(request.inputs)) == ("document", 1)
            again = msgspec.json.decode(DIALECT.encode_request(request, Gaps("google")))
            assert again["requests"][0].keys() == record["req_json"]["requests"][0].keys()
            reply = DIALECT.decode_reply(record["resp_text"].encode(), request)
            assert len(reply.vectors[0]) == 3072
            told = OpenAIEmbeddings().encode_reply(reply, request)
            assert len(json.loads(told)["data"][0]["embedding"]) == 3072
    assert count == 1


async def test_through_a_gateway() -> None:
    """A client of OpenAI's gets vectors of Gemini, as base64 where it asks for that."""
    upstream = ReplayUpstream({"*": Recorded.from_json(REPLY)})
    config = {"provider": "google", "api_key": "AIza-sample"}
    async with gateway(Google, providers={"gemini": config}, upstream=upstream) as client:
        body = {"model": f"gemini/{MODEL}", "input": ["a", "b"], "encoding_format": "base64", "input_type": "passage"}
        said = await client.post("/v1/embeddings", json=body)
        refused = await client.post("/v1/embeddings", json={"model": f"gemini/{MODEL}", "input": [1, 2]})
        upstream.answer("*", Recorded.from_json({"error": {"code": 429, "message": "m", "status": "X"}}, 429))
        failed = await client.post("/v1/embeddings", json={"model": f"gemini/{MODEL}", "input": "a"})
    assert said.status_code == 200, said.text
    assert [item["embedding"] for item in said.json()["data"]] == ["AAAAPwAAgL8=", "AAAAQAAAQEA="]
    assert said.json()["usage"] == {"prompt_tokens": 7, "total_tokens": 7}
    assert upstream.requests[0].url.endswith(f"/v1beta/models/{MODEL}:batchEmbedContents")
    assert isinstance(upstream.requests[0].body, bytes)
    assert b'"taskType":"RETRIEVAL_DOCUMENT"' in upstream.requests[0].body
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "input")
    assert (failed.status_code, failed.json()["error"]["message"]) == (429, "m")
    assert len(upstream.requests) == 2
