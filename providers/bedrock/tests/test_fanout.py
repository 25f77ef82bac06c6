"""One request for vectors as several calls: how many run at once, and that they succeed or fail together."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from typing_extensions import override

from headgate.errors import ProviderFailed
from headgate.testing import Recorded, ReplayUpstream
from headgate.testing.running import gateway
from headgate.upstream import Upstream, UpstreamRequest, UpstreamResponse, WholeResponse
from headgate.upstream.fanout import AT_ONCE, bodies_in, replies_in, send_each
from headgate_bedrock import Bedrock
from headgate_bedrock.vectors import counted

Json = dict[str, Any]
TITAN, COHERE, NOVA = "amazon.titan-embed-text-v2:0", "cohere.embed-v4:0", "amazon.nova-2-multimodal-embeddings-v1:0"
COUNT = "x-amzn-bedrock-input-token-count"


def requests(count: int) -> list[UpstreamRequest]:
    return [UpstreamRequest("POST", "https://a.example/x", body=b"%d" % at) for at in range(count)]


def number(request: UpstreamRequest) -> int:
    assert isinstance(request.body, bytes)
    return int(request.body)


class Watched:
    """Answers each call with its own number once `open` is set, and counts those that run."""

    def __init__(self, fails: int = -1) -> None:
        self.open = asyncio.Event()
        self.running = self.most = self.cancelled = 0
        self.started: list[int] = []
        self._fails = fails

    async def __call__(self, request: UpstreamRequest) -> UpstreamResponse:
        at = number(request)
        self.started.append(at)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            if at != self._fails:
                await self.open.wait()
                return WholeResponse(200, (), b'{"n":%d}' % at)
            return WholeResponse(429, (), b'{"message":"slow down"}')
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1


async def test_bounded_and_in_order() -> None:
    """A limited number of calls runs at once, and replies stand in the order of the requests."""
    watched = Watched()
    call = asyncio.create_task(send_each(watched, requests(30)))
    while len(watched.started) < AT_ONCE:
        await asyncio.sleep(0)
    watched.open.set()
    response = await call
    assert [one["n"] for one in json.loads(await response.read())] == list(range(30))
    assert watched.most == AT_ONCE


async def test_one_failure_is_the_answer() -> None:
    """An error reply ends the calls that run, and no other is begun."""
    watched = Watched(fails=2)
    response = await send_each(watched, requests(30))
    assert (response.status, await response.read()) == (429, b'{"message":"slow down"}')
    assert (watched.running, watched.cancelled) == (0, AT_ONCE - 1)
    assert len(watched.started) == AT_ONCE


async def test_exceptions_and_callers_that_leave() -> None:
    """What a call raises comes out, and a caller that leaves takes every call along."""

    async def fails(_: UpstreamRequest) -> UpstreamResponse:
        raise ProviderFailed("no connection")

    with pytest.raises(ProviderFailed, match="no connection"):
        await send_each(fails, requests(3))
    watched = Watched()
    call = asyncio.create_task(send_each(watched, requests(30)))
    while len(watched.started) < AT_ONCE:
        await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (watched.running, watched.cancelled) == (0, AT_ONCE)


async def test_the_header_counts() -> None:
    """What only the header says of tokens stands in the body, which keeps its own count where it has one."""
    answers = {0: b'{"embeddings":[[1]]} ', 1: b'{"embedding":[1],"inputTextTokenCount":5}', 2: b"oops"}

    async def send(request: UpstreamRequest) -> UpstreamResponse:
        return WholeResponse(200, ((COUNT.encode(), b"7"),), answers[number(request)])

    one = await send_each(send, requests(1), counted)
    assert json.loads(await one.read()) == {"embeddings": [[1]], "inputTextTokenCount": 7}
    all_of_them = await (await send_each(send, requests(3), counted)).read()
    assert all_of_them == b'[{"embeddings":[[1]],"inputTextTokenCount":7},%s,oops]' % answers[1]
    assert [piece async for piece in one.chunks()] == [await one.read()]
    one.close()
    assert bodies_in(b'[{"a":1}, {"b":2}]') == [b'{"a":1}', b'{"b":2}']
    assert bodies_in(b'{"a":1}') == [b'{"a":1}']


def test_several_replies_are_told_apart() -> None:
    """A reply to one call is whatever it is; those to several are as many as the calls, or the provider has failed."""
    assert replies_in(b"[", 1) == [b"["]
    assert replies_in(b'[{"a":1},[]]', 2) == [b'{"a":1}', b"[]"]
    for body, count in ((b"[{},oops]", 2), (b"[,{}]", 2), (b"[1,2,3]", 2), (b"[\xff,1]", 2), (b"{}", 2)):
        with pytest.raises(ProviderFailed, match="not all JSON"):
            replies_in(body, count)


# through a gateway


class Vectors(ReplayUpstream):
    """Answers Titan's and Nova's requests with the length of the text as the vector."""

    def __init__(self, **failing: Recorded) -> None:
        super().__init__()
        self._failing = failing

    @override
    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        assert isinstance(request.body, bytes)
        body: Json = json.loads(request.body)
        text = body.get("inputText") or body["singleEmbeddingParams"]["text"]["value"]
        held = {"embedding": [float(len(text)), 0.5]}
        answer = held if "inputText" in body else {"embeddings": [{"embeddingType": "TEXT", **held}]}
        headers = (("content-type", "application/json"), (COUNT, str(len(text))))
        whole = Recorded(headers=headers, body=json.dumps(answer).encode())
        self.answer("*", self._failing.get(text, whole))
        return await super().send(request)


@pytest.fixture
def ask() -> Callable[..., Any]:
    """Asks a gateway with a deployment of Bedrock, whose upstream is given."""

    async def post(upstream: Upstream, path: str, asked: Json) -> httpx2.Response:
        config = {"provider": "bedrock", "region": "us-east-1", "api_key": "ABSK-secret"}
        async with gateway(Bedrock, providers={"aws": config}, upstream=upstream) as client:
            return await client.post(path, json={**asked, "model": f"aws/{asked['model']}"})

    return post


@pytest.mark.parametrize("model", [TITAN, NOVA])
async def test_many_texts(ask: Callable[..., Any], model: str) -> None:
    """A client of OpenAI's gets a vector for each text, in order, and the tokens of all calls."""
    upstream = Vectors()
    texts = ["a" * size for size in range(1, 21)]
    said = await ask(upstream, "/v1/embeddings", {"model": model, "input": texts})
    assert said.status_code == 200, said.text
    assert [item["embedding"] for item in said.json()["data"]] == [[float(len(text)), 0.5] for text in texts]
    assert said.json()["usage"] == {"prompt_tokens": 210, "total_tokens": 210}
    assert len(upstream.requests) == 20
    assert {request.credential is not None for request in upstream.requests} == {True}


async def test_base64(ask: Callable[..., Any]) -> None:
    """OpenAI's SDK asks for base64, which Bedrock does not have."""
    said = await ask(Vectors(), "/v1/embeddings", {"model": TITAN, "input": "abc", "encoding_format": "base64"})
    assert said.json()["data"][0]["embedding"] == "AABAQAAAAD8="


async def test_all_or_nothing(ask: Callable[..., Any]) -> None:
    """One error is the answer to all of the request."""
    slow = Recorded.from_json({"message": "slow down"}, 429)
    said = await ask(Vectors(bad=slow), "/v1/embeddings", {"model": TITAN, "input": ["a", "bad", "c"]})
    assert said.status_code == 429
    assert (said.json()["error"]["message"], said.json()["error"]["code"]) == ("slow down", "ThrottlingException")


async def test_cohere_and_its_ranking(ask: Callable[..., Any]) -> None:
    """Cohere's models take many texts in one call, and rank."""
    answer = Recorded(
        headers=(("content-type", "application/json"), (COUNT, "9")), body=b'{"embeddings":{"float":[[1],[2]]}}'
    )
    upstream = ReplayUpstream({"*": answer})
    asked = {"model": COHERE, "input": ["a", "b"], "input_type": "query", "dimensions": 256}
    said = await ask(upstream, "/v1/embeddings", asked)
    assert [item["embedding"] for item in said.json()["data"]] == [[1.0], [2.0]]
    assert said.json()["usage"]["prompt_tokens"] == 9
    sent = upstream.requests[0].body
    assert isinstance(sent, bytes)
    assert json.loads(sent) == {
        "texts": ["a", "b"],
        "input_type": "search_query",
        "output_dimension": 256,
    }
    ranked = ReplayUpstream({"*": Recorded.from_json({"results": [{"index": 1, "relevance_score": 0.5}]})})
    asked = {"model": "cohere.rerank-v3-5:0", "query": "q", "documents": ["a", "b"], "top_n": 1}
    said = await ask(ranked, "/v1/rerank", asked)
    assert said.json()["results"] == [{"index": 1, "relevance_score": 0.5}]
    assert ranked.requests[0].url.endswith("/model/cohere.rerank-v3-5%3A0/invoke")


async def test_recorded_embeddings(ask: Callable[..., Any], recorded: Callable[[str, str], Iterator[Json]]) -> None:
    """Recorded answers reach a client of OpenAI's with the tokens that their headers state."""
    counts: list[int] = []
    for record in recorded("bedrock", "invoke"):
        model = record["path"].removeprefix("/model/").removesuffix("/invoke")
        if "embed" not in model:
            continue
        headers = tuple(record["resp_headers"].items())
        upstream = ReplayUpstream({"*": Recorded(headers=headers, body=record["resp_text"].encode())})
        texts: list[str] = record["req_json"].get("texts") or [record["req_json"]["inputText"]]
        said = (await ask(upstream, "/v1/embeddings", {"model": model, "input": texts})).json()
        body = upstream.requests[0].body
        assert isinstance(body, bytes)
        assert json.loads(body) == record["req_json"]
        assert len(said["data"]) == len(texts)
        assert said["usage"]["prompt_tokens"] == int(record["resp_headers"][COUNT])
        counts.append(said["usage"]["prompt_tokens"])
    assert counts == [3, 7]


async def test_tokens_are_refused(ask: Callable[..., Any]) -> None:
    """A field that cannot be said is refused by name, before anything is sent."""
    upstream = Vectors()
    said = await ask(upstream, "/v1/embeddings", {"model": TITAN, "input": [[1, 2]]})
    assert (said.status_code, said.json()["error"]["param"]) == (400, "input")
    assert upstream.requests == []
