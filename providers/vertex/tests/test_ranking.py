"""Rankings by Google Cloud's ranking API, which has a host of its own beside Vertex AI."""

from __future__ import annotations

import json
from typing import Any

import pytest
from providers.vertex.tests.vertex_wire import TOKEN, USER

from headgate.dialects import Gaps
from headgate.errors import ProviderFailed, UnsupportedField
from headgate.testing import Recorded, ReplayUpstream
from headgate.testing.running import gateway
from headgate.vectors import Ranked, RerankRequest
from headgate_vertex import Vertex
from headgate_vertex.ranking import VertexRerank

Json = dict[str, Any]
RANKER = "semantic-ranker-default@latest"
PLACE = "/projects/my-project/locations/global/rankingConfigs/default_ranking_config:rank"
HOST = "https://discoveryengine.googleapis.com"
ANSWER = Recorded.from_json({"records": [{"id": "1", "score": 0.875}, {"id": "0", "score": 0.125}]})
ASKED: Json = {"model": f"v/{RANKER}", "query": "who?", "documents": ["a", {"text": "b"}], "top_n": 2}


def request(**members: Any) -> RerankRequest:
    return RerankRequest(RANKER, "q", ("a", "b"), **members)


async def ranked(upstream: ReplayUpstream, **config: Any) -> Any:
    """The reply to a client of Cohere's rankings."""
    held: Json = {"provider": "vertex", "project": "my-project", "location": "global", **config}
    async with gateway(Vertex, providers={"v": held}, upstream=upstream) as client:
        return await client.post("/v2/rerank", json=ASKED)


async def test_a_ranking() -> None:
    """Documents are records by their place; the token goes to the ranking API's host, and to no other there."""
    upstream = ReplayUpstream({"/token": TOKEN, "*": ANSWER})
    reply = await ranked(upstream, credentials=USER, quota_project="other")
    assert [(each["index"], each["relevance_score"]) for each in reply.json()["results"]] == [(1, 0.875), (0, 0.125)]
    call = upstream.requests[-1]
    assert call.url == f"{HOST}/v1{PLACE}"
    assert json.loads(call.body) == {  # pyright: ignore[reportArgumentType] - it is whole
        "model": RANKER,
        "query": "who?",
        "records": [{"id": "0", "content": "a"}, {"id": "1", "content": "b"}],
        "ignoreRecordDetailsInResponse": True,
        "topN": 2,
    }
    assert call.credential is not None
    assert call.credential.secret.reveal() == "ya29.token"
    assert call.credential.origins == frozenset({f"{HOST}:443"})
    assert dict(call.headers)[b"x-goog-user-project"] == b"other"


@pytest.mark.parametrize(
    ("config", "url"),
    [
        ({}, f"{HOST}/v1{PLACE}"),
        ({"base_url": "https://own.example/v1"}, f"https://own.example/v1{PLACE}"),
    ],
)
async def test_keys(config: Json, url: str) -> None:
    """An API key goes where the ranking is made: to the deployment's own base URL where it has one."""
    upstream = ReplayUpstream({"*": ANSWER})
    reply = await ranked(upstream, api_key="sk-vendor-key", **config)
    [call] = upstream.requests
    assert (reply.status_code, call.url) == (200, url)
    assert call.credential is not None
    assert call.credential.field() == (b"x-goog-api-key", b"sk-vendor-key")
    assert call.credential.origins == frozenset({f"{url.partition('/v1')[0]}:443"})


@pytest.mark.parametrize("config", [{"location": "europe-west4"}, {"project": ""}])
async def test_rankings_are_global(config: Json) -> None:
    """No text leaves the region of a deployment, and express mode has no rankings: nothing is sent."""
    upstream = ReplayUpstream({"*": ANSWER})
    reply = await ranked(upstream, api_key="sk-vendor-key", **config)
    assert (reply.status_code, reply.json()["error"]["code"], upstream.requests) == (400, "unsupported_operation", [])


def test_what_cannot_be_said() -> None:
    """How much of a document counts is left out and named; other members are refused."""
    gaps = Gaps("vertex")
    said = VertexRerank().encode_request(request(max_tokens_per_document=5), gaps)
    assert ("topN" in json.loads(said), gaps.dropped) == (False, ["max_tokens_per_doc"])
    with pytest.raises(UnsupportedField, match="`odd`"):
        VertexRerank().encode_request(request(extra={"odd": 1}), Gaps("vertex"))


def test_answers() -> None:
    """Records are found by their ids; one of no document is the vendor's failure, and so is an answer without any."""
    reply = VertexRerank().decode_reply(ANSWER.body, request(top_n=1))
    assert (reply.results, reply.model, reply.usage) == ((Ranked(1, 0.875),), RANKER, None)
    for body in (
        b'{"records":[{"id":"2","score":1}]}',
        b'{"records":[{"id":"x","score":1}]}',
        b'{"records":[{"id":"0"}]}',
        b"{}",
        b"[]",
        b"",
    ):
        with pytest.raises(ProviderFailed):
            VertexRerank().decode_reply(body, request())
