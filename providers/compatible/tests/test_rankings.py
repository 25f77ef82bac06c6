"""Rankings of vendors whose words are not Cohere's, as their clients get them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from headgate.chat import Usage
from headgate.dialects import Gaps
from headgate.errors import ProviderFailed, UnsupportedField
from headgate.testing import Recorded, ReplayUpstream
from headgate.testing.running import gateway
from headgate.vectors import Ranked, RerankRequest
from headgate_compatible import catalogue
from headgate_compatible.vendors.ranking import (
    CloudflareRerank,
    DeepInfraRerank,
    GroqRerank,
    JinaRerank,
    NvidiaRerank,
    TogetherRerank,
)
from headgate_compatible.vendors.rerank import ListedRerank

Json = dict[str, Any]


def ranking(*documents: Any, **fields: Any) -> RerankRequest:
    return RerankRequest("m", "q", documents or ("a", "b"), **fields)


def test_requests_for_rankings() -> None:
    """Jina's is Cohere's, Together's keeps objects, NVIDIA has passages and no limit, Cloudflare contexts and no model."""
    request = ranking("a", {"text": "b", "no": 1}, top_n=1, return_documents=True)
    common = {"model": "m", "query": "q", "top_n": 1}
    gaps = Gaps("x")
    assert msgspec.json.decode(JinaRerank().encode_request(request, gaps)) == {**common, "documents": ["a", "b"]}
    assert msgspec.json.decode(TogetherRerank().encode_request(request, gaps)) == {
        **common,
        "documents": ["a", {"text": "b", "no": 1}],
    }
    assert msgspec.json.decode(NvidiaRerank().encode_request(request, gaps)) == {
        "model": "m",
        "query": {"text": "q"},
        "passages": [{"text": "a"}, {"text": "b"}],
    }
    assert msgspec.json.decode(CloudflareRerank().encode_request(request, gaps)) == {
        "query": "q",
        "contexts": [{"text": "a"}, {"text": "b"}],
        "top_k": 1,
    }
    assert msgspec.json.decode(DeepInfraRerank().encode_request(request, gaps)) == {
        "queries": ["q", "q"],
        "documents": ["a", "b"],
    }
    assert gaps.dropped == []
    odd = ranking(extra={"odd": 1}, max_tokens_per_document=5)
    for dialect in (JinaRerank(), TogetherRerank(), NvidiaRerank(), CloudflareRerank(), DeepInfraRerank()):
        with pytest.raises(UnsupportedField, match="`odd`"):
            dialect.encode_request(odd, Gaps("x"))
        gaps = Gaps("x", "drop")
        dialect.encode_request(odd, gaps)
        assert sorted(gaps.dropped) == ["max_tokens_per_doc", "odd"]


@pytest.mark.parametrize(
    ("dialect", "name", "score"),
    [
        (ListedRerank(), "data", "relevance_score"),
        (JinaRerank(), "results", "relevance_score"),
        (NvidiaRerank(), "rankings", "logit"),
    ],
)
def test_rankings(dialect: ListedRerank, name: str, score: str) -> None:
    """The best come first and no more than were asked for; a result of no document is the provider's failure."""

    def answer(*pairs: tuple[int, float]) -> bytes:
        results = [{"index": index, score: value} for index, value in pairs]
        return msgspec.json.encode({name: results, "usage": {"total_tokens": 9}})

    reply = dialect.decode_reply(answer((0, -2.5), (1, 1)), ranking(top_n=1))
    assert (reply.results, reply.model) == ((Ranked(1, 1.0),), "m")
    assert reply.usage is not None
    assert reply.usage.prompt == 9
    for body in (answer((2, 1.0)), answer((-1, 1.0)), b"{}", b"", b"[]", b'{"%s":[{}]}' % name.encode()):
        with pytest.raises(ProviderFailed):
            dialect.decode_reply(body, ranking())


def test_rankings_in_cloudflares_envelope() -> None:
    """Contexts are told by their place, and no tokens; a result of none is the provider's failure."""
    dialect = CloudflareRerank()
    held = b'{"success":true,"errors":[],"result":{"response":[{"id":0,"score":0.1},{"id":1,"score":0.9}]}}'
    reply = dialect.decode_reply(held, ranking(top_n=1))
    assert (reply.results, reply.model, reply.usage) == ((Ranked(1, 0.9),), "m", None)
    for body in (b'{"result":{"response":[{"id":2,"score":1}]}}', b'{"result":null,"success":false}', b"[]", b""):
        with pytest.raises(ProviderFailed):
            dialect.decode_reply(body, ranking())


def test_rankings_of_deepinfra() -> None:
    """Scores stand in the order of the documents, with the tokens that were read; another number of them is its failure."""
    dialect = DeepInfraRerank()
    held = b'{"scores":[0.1,0.9],"input_tokens":42,"request_id":"r1","inference_status":{"status":"succeeded"}}'
    reply = dialect.decode_reply(held, ranking(top_n=1))
    assert (reply.results, reply.id, reply.usage) == ((Ranked(1, 0.9),), "r1", Usage(42))
    untold = dialect.decode_reply(b'{"scores":[0.1,0.9]}', ranking())
    assert ([one.index for one in untold.results], untold.id, untold.usage) == ([1, 0], "", None)
    for body in (b'{"scores":[0.1]}', b'{"scores":[0.1,0.2,0.3]}', b'{"scores":null}', b"{}", b"[]", b""):
        with pytest.raises(ProviderFailed, match="no ranking"):
            dialect.decode_reply(body, ranking())


async def test_llamacpp_ranks_texts_alone() -> None:
    """Documents of Cohere's version 1 go as texts, which are all that it takes, and stand in the answer."""
    told = {"object": "list", "results": [{"index": 1, "relevance_score": -8.2}, {"index": 0, "relevance_score": 4.5}]}
    upstream = ReplayUpstream({"*": Recorded.from_json({**told, "usage": {"prompt_tokens": 9, "total_tokens": 9}})})
    async with gateway(catalogue()["llamacpp"], providers={"v": {"provider": "llamacpp"}}, upstream=upstream) as client:
        asked = {"model": "v/m", "query": "q", "documents": [{"text": "a"}, "b"], "return_documents": True}
        reply = await client.post("/v1/rerank", json=asked)
    results = [(one["index"], one["document"]["text"]) for one in reply.json()["results"]]
    assert (results, reply.json()["meta"]["tokens"]["input_tokens"]) == ([(0, "a"), (1, "b")], 9)
    assert json.loads(upstream.requests[0].body) == {"model": "m", "query": "q", "documents": ["a", "b"]}


async def test_rankings_of_groq() -> None:
    """Texts go as `docs` and come back in the place of numbers; which of two that are the same is meant does not matter."""
    told = [{"doc": "b", "score": 0.9}, {"doc": "a", "score": 0.5}, {"doc": "a", "score": 0.5}]
    upstream = ReplayUpstream({"*": Recorded.from_json({"results": told})})
    settings = {"provider": "groq", "api_key": "k"}
    async with gateway(catalogue()["groq"], providers={"v": settings}, upstream=upstream) as client:
        asked = {"model": "v/qwen3-reranker-4b", "query": "q", "documents": ["a", {"text": "b"}, "a"]}
        reply = await client.post("/v1/rerank", json={**asked, "top_n": 2, "instruction": "briefly"})
        whole = await client.post("/v1/rerank", json=asked)
        refused = await client.post("/v1/rerank", json={**asked, "truncate": "END"})
        many = await client.post("/v1/rerank", json={**asked, "documents": ["a"] * 101})
    assert [(one["index"], one["relevance_score"]) for one in reply.json()["results"]] == [(1, 0.9), (0, 0.5)]
    assert [one["index"] for one in whole.json()["results"]] == [1, 0, 2]
    first = upstream.requests[0]
    assert (first.method, first.url) == ("POST", "https://api.groq.com/openai/v1/reranking")
    assert json.loads(first.body) == {
        "model": "qwen3-reranker-4b",
        "query": "q",
        "docs": ["a", "b", "a"],
        "instruction": "briefly",
    }
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "truncate")
    assert (many.status_code, many.json()["error"]["param"]) == (400, "documents")
    assert len(upstream.requests) == 2


@pytest.mark.parametrize(
    "body",
    [b'{"results":[{"doc":"c","score":1}]}', b'{"results":[{"doc":"a","score":1},{"doc":"a","score":1}]}', b"{}"],
)
def test_no_ranking_of_groq(body: bytes) -> None:
    """A text that was not sent, or not as often, is the provider's failure."""
    with pytest.raises(ProviderFailed, match="no ranking"):
        GroqRerank().decode_reply(body, ranking())
