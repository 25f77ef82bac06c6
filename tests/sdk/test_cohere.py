"""Rankings with Cohere's package, whose base URL is the gateway: both versions of its API, from Cohere and from others."""

from __future__ import annotations

from collections.abc import AsyncIterator

import cohere
import pytest
from cohere.core import ApiError
from tests.door.upstream import Upstream, json_response, reply_with
from tests.harness import CANARY, GATEWAY_KEY, Gateway

DOCUMENTS = ["Carson City", "Washington, D.C."]
SCORED = [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}]


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[cohere.AsyncClientV2]:
    """The client of version 2, without retries of its own."""
    async with cohere.AsyncClientV2(api_key=GATEWAY_KEY, base_url=gateway.url, max_retries=0, timeout=10) as held:
        yield held


async def test_cohere_ranks(client: cohere.AsyncClientV2, upstream: Upstream) -> None:
    """A call of the client's at `/v2/rerank` reaches Cohere at the same path, and its answer comes back as it is."""
    meta = {"api_version": {"version": "2"}, "billed_units": {"search_units": 1.0}}
    upstream.script = reply_with(json_response({"id": "r", "results": SCORED, "meta": meta}))
    reply = await client.rerank(model="cohere/rerank-v3.5", query="capital?", documents=DOCUMENTS, top_n=2)
    assert [(one.index, one.relevance_score) for one in reply.results] == [(1, 0.9), (0, 0.1)]
    assert reply.meta is not None
    assert reply.meta.billed_units is not None
    assert reply.meta.billed_units.search_units == 1
    call = await upstream.call()
    assert (call.method, call.target, call.header("authorization")) == ("POST", "/v2/rerank", f"Bearer {CANARY}")
    assert call.json == {"model": "rerank-v3.5", "query": "capital?", "documents": DOCUMENTS, "top_n": 2}


async def test_another_vendor_ranks(client: cohere.AsyncClientV2, upstream: Upstream) -> None:
    """Jina's answer comes back in Cohere's shape."""
    upstream.script = reply_with(json_response({"model": "m", "results": SCORED, "usage": {"total_tokens": 9}}))
    reply = await client.rerank(model="jina/m", query="capital?", documents=DOCUMENTS)
    assert [(one.index, one.relevance_score) for one in reply.results] == [(1, 0.9), (0, 0.1)]
    assert reply.meta is not None
    assert reply.meta.tokens is not None
    assert reply.meta.tokens.input_tokens == 9
    assert (await upstream.call()).target == "/v1/rerank"


async def test_the_older_client(gateway: Gateway, upstream: Upstream) -> None:
    """Version 1 has the documents in its answer when it asks for them."""
    upstream.script = reply_with(json_response({"model": "m", "results": SCORED}))
    async with cohere.AsyncClient(api_key=GATEWAY_KEY, base_url=gateway.url, max_retries=0, timeout=10) as client:
        reply = await client.rerank(model="jina/m", query="capital?", documents=DOCUMENTS, return_documents=True)
    documents = [one.document.text for one in reply.results if one.document is not None]
    assert documents == DOCUMENTS[::-1]


async def test_an_index_of_no_document_is_an_error(client: cohere.AsyncClientV2, upstream: Upstream) -> None:
    """A ranking that does not fit what was asked is the vendor's failure."""
    upstream.script = reply_with(json_response({"model": "m", "results": [{"index": 7, "relevance_score": 1}]}))
    with pytest.raises(ApiError) as caught:
        await client.rerank(model="jina/m", query="capital?", documents=DOCUMENTS)
    assert (caught.value.status_code, caught.value.body["error"]["code"]) == (502, "upstream_bad_reply")
