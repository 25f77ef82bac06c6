"""OCI Generative AI with the `openai` package: by key, signed, and by the API of its own."""

from __future__ import annotations

import json
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from msgspec.structs import replace
from openai import AsyncOpenAI
from providers.oracle.tests.oracle_wire import (
    ACTIONS,
    COMPARTMENT,
    HOST,
    KEY_ID,
    Json,
    key_in,
    proven,
    said,
    serving,
    signed,
)
from typing_extensions import override

from headgate.errors import InvalidRequest, ProviderFailed, StartupError
from headgate.exchange import Attempt, Exchange, Principal, Target
from headgate.operations import CHAT, EMBEDDINGS
from headgate.secret import Secret
from headgate.testing import ProviderContract, Recorded, ReplayUpstream
from headgate.testing.samples import chat_reply
from headgate.upstream import UpstreamRequest, UpstreamResponse
from headgate_oracle import Oracle, OracleConfig

BY_KEY: Json = {"vars": {"region": "us-chicago-1"}, "api_key": "sk-oracle-0f1e2d3c4b5a"}
CHAT_BODY: Json = {"model": "oci/xai.grok-4", "messages": [{"role": "user", "content": "hi"}]}
EMBEDDED: Json = {
    "id": "e-1",
    "inputs": None,
    "embeddings": [[0.5, -1.0], [0.25, 2.0]],
    "embeddingsByType": None,
    "modelId": "cohere.embed-v4.0",
    "modelVersion": "1.0",
    "usage": {"promptTokens": 7, "completionTokens": 0, "totalTokens": 7},
    "new": {},
}
"""As `EmbedTextResult` has it."""
RANKED: Json = {
    "id": "r-1",
    "modelId": "cohere.rerank-v4",
    "modelVersion": "1.0",
    "documentRanks": [
        {"index": 1, "relevanceScore": 0.2, "document": None},
        {"index": 0, "relevanceScore": 0.9, "document": None},
    ],
}
"""As `RerankTextResult` has it, here not in order."""


def moderated(overall: float, blocklist: float) -> Json:
    scores = [{"name": "OVERALL", "score": overall}, {"name": "BLOCKLIST", "score": blocklist}]
    return {
        "results": {
            "contentModeration": {"categories": scores},
            "personallyIdentifiableInformation": None,
            "promptInjection": None,
        }
    }


def client(http: httpx2.AsyncClient) -> AsyncOpenAI:
    return AsyncOpenAI(base_url="http://gateway.test/v1", api_key="none", http_client=http, max_retries=0)


class TestOracle(ProviderContract):
    """With a key it is what every provider is."""

    provider = Oracle
    url = f"{HOST}/openai/v1/chat/completions"

    @pytest.fixture(autouse=True)
    def region(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where a deployment does not say it, the environment names the region."""
        monkeypatch.setenv("OCI_REGION", "us-chicago-1")


# by key and signed


async def test_a_key_goes_before_a_signature(tmp_path: Path) -> None:
    """Where there is a key the OpenAI-compatible API is asked with that, and no compartment is told."""
    async with serving(said(chat_reply({"content": "yes"})), **signed(tmp_path), api_key="sk-1") as (http, upstream):
        await client(http).chat.completions.create(**CHAT_BODY)
        call = upstream.requests[0]
    assert call.url == f"{HOST}/openai/v1/chat/completions"
    assert call.credential is not None
    assert not {b"authorization", b"opc-compartment-id"} & dict(call.headers).keys()


@pytest.mark.parametrize("path", ["/openai/v1", "/v1", ""])
async def test_its_own_api_behind_a_gateway(tmp_path: Path, path: str) -> None:
    """However short the path of a base URL is, its host is asked."""
    settings: Json = {**signed(tmp_path), "vars": {}, "base_url": f"https://gw.example{path}"}
    async with serving(said({"embeddings": [[0.5]]}), **settings) as (http, upstream):
        await http.post("/v1/embeddings", json={"model": "oci/cohere.embed-v4.0", "input": "a"})
    assert [call.url for call in upstream.requests] == ["https://gw.example/20231130/actions/embedText"]


async def test_chat_is_signed_where_there_is_no_key(tmp_path: Path) -> None:
    """The signature covers the body, and headers say who pays, as `oci-openai` has them."""
    async with serving(said(chat_reply({"content": "yes"})), **signed(tmp_path)) as (http, upstream):
        reply = await http.post("/v1/chat/completions", json={**CHAT_BODY, "max_completion_tokens": 5})
        call = upstream.requests[0]
    assert reply.json()["choices"][0]["message"]["content"] == "yes"
    assert call.credential is None
    assert proven(call)[-1] == "x-content-sha256"
    headers = dict(call.headers)
    assert headers[b"opc-compartment-id"] == headers[b"compartmentid"] == COMPARTMENT.encode()
    assert json.loads(call.body)["max_tokens"] == 5


async def test_a_stream_is_signed(tmp_path: Path) -> None:
    """So are calls whose answers come as events."""
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    events = Recorded.from_events({**chunk, "choices": [{"index": 0, "delta": {"content": "yes"}}]})
    async with serving(events, **signed(tmp_path)) as (http, upstream):
        stream = await client(http).chat.completions.create(**CHAT_BODY, stream=True)
        got = [each.choices[0].delta.content async for each in stream if each.choices]
    assert got == ["yes"]
    proven(upstream.requests[0])


async def test_files_are_signed(tmp_path: Path) -> None:
    """An upload is read whole, for its digest is signed; a GET signs no body."""
    told = {"id": "f-1", "object": "file", "bytes": 3, "created_at": 1, "filename": "a", "purpose": "user_data"}
    async with serving(said(told), said(told), **signed(tmp_path)) as (http, upstream):
        made = await client(http).files.create(
            file=("a.txt", b"abc"), purpose="user_data", extra_headers={"x-headgate-provider": "oci"}
        )
        await client(http).files.retrieve("f-1", extra_headers={"x-headgate-provider": "oci"})
        first, second = upstream.requests
    assert made.id == "f-1"
    assert b"abc" in first.body
    assert first.pieces is None
    assert len(proven(first)) == 6
    assert len(proven(second)) == 3


async def test_an_upload_that_is_too_large_to_be_signed(tmp_path: Path) -> None:
    """It is refused before anything is sent."""
    async with serving(**signed(tmp_path)) as (http, upstream):
        with pytest.raises(openai.APIStatusError, match="an upload that is signed") as caught:
            await client(http).files.create(
                file=("a.txt", b"a" * (33 * 1024 * 1024)),
                purpose="user_data",
                extra_headers={"x-headgate-provider": "oci"},
            )
    assert caught.value.status_code == 413
    assert upstream.requests == []


async def test_the_region_of_a_profile(tmp_path: Path) -> None:
    """A profile is all that a deployment must say beside who pays."""
    file = tmp_path / "config"
    tenancy, user, fingerprint = KEY_ID.split("/")
    file.write_text(
        f"[DEFAULT]\ntenancy={tenancy}\nuser={user}\nfingerprint={fingerprint}\nkey_file={key_in(tmp_path)}\n"
        "region=eu-frankfurt-1\n"
    )
    config: dict[str, Any] = {"config_file": str(file), "compartment_id": COMPARTMENT}
    async with serving(said(chat_reply({"content": "yes"})), **config) as (http, upstream):
        await client(http).chat.completions.create(**CHAT_BODY)
    proven(upstream.requests[0])
    assert upstream.requests[0].url.startswith(
        "https://inference.generativeai.eu-frankfurt-1.oci.oraclecloud.com/openai"
    )


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    """Neither key nor signature, a signature without who pays, half a signing key."""
    vars_ = {"region": "us-chicago-1"}
    for config, wrong in [
        ({}, "`api_key` is missing"),
        ({"key_file": key_in(tmp_path)}, "`tenancy` is missing"),
        ({**signed(tmp_path), "compartment_id": ""}, "`compartment_id` is missing"),
    ]:
        held: Json = {"vars": vars_, **config}
        with pytest.raises(StartupError, match=wrong):
            Oracle("oci", OracleConfig(provider="oracle", **held), ReplayUpstream())


# whose signature


def exchange(provider: Oracle, operation: Any, **target: Any) -> Exchange:
    ex = Exchange(operation, {}, request_id="r", trace_id="t")
    ex.body, ex.model = b'{"model":"m","input":"a","messages":[]}', "m"
    ex.attempt = Attempt(Target(deployment="oci", **target), provider, "m", 0.0)
    return ex


def deployed(folder: Path, **more: Any) -> Oracle:
    return Oracle("oci", OracleConfig(provider="oracle", **signed(folder, **more)), ReplayUpstream())


def test_a_callers_key_is_not_answered_with_the_deployments_signature(tmp_path: Path) -> None:
    """What is signed is for the deployment's own callers; the other API takes a key of anybody's."""
    provider = deployed(tmp_path)
    for theirs in (exchange(provider, EMBEDDINGS, credential=Secret("theirs")), exchange(provider, EMBEDDINGS)):
        theirs.principal = Principal("caller", credential=Secret("theirs"))
        with pytest.raises(InvalidRequest, match="with a key of the caller's own"):
            provider.credential(theirs)
    chat = exchange(provider, CHAT)
    chat.principal = Principal("caller", credential=Secret("theirs"))
    held = provider.credential(chat)
    assert held is not None
    assert held.secret.reveal() == "theirs"
    assert b"opc-compartment-id" not in provider.vendor_headers(chat)


async def test_a_signature_is_bound_to_its_origin(tmp_path: Path) -> None:
    """Nothing is signed for another host."""
    provider = deployed(tmp_path)
    request = replace(provider.prepare(exchange(provider, CHAT)), url="https://evil.example/openai/v1/chat/completions")
    with pytest.raises(ProviderFailed, match="not bound to this origin"):
        await provider.authorize(request)


async def test_the_api_of_its_own_takes_no_key() -> None:
    """A deployment with a key alone says what it is missing."""
    async with serving(**BY_KEY) as (http, upstream):
        with pytest.raises(openai.BadRequestError, match="takes no API key") as caught:
            await client(http).embeddings.create(model="oci/cohere.embed-v4.0", input="a")
    assert caught.value.code == "unsupported_operation"
    assert upstream.requests == []


# embeddings and rankings


async def test_embeddings(tmp_path: Path) -> None:
    """A call holds who pays, what serves and the texts; vectors, usage and model come back, as base64 too."""
    async with serving(said(EMBEDDED), said(EMBEDDED), **signed(tmp_path)) as (http, upstream):
        told = await client(http).embeddings.create(
            model="oci/cohere.embed-v4.0",
            input=["a", "b"],
            dimensions=256,
            encoding_format="float",
            extra_body={"input_type": "query", "truncate": "END"},
        )
        again = await client(http).embeddings.create(model="oci/cohere.embed-v4.0", input=["a", "b"])
        call = upstream.requests[0]
    assert (call.method, call.url) == ("POST", f"{ACTIONS}/embedText")
    assert json.loads(call.body) == {
        "compartmentId": COMPARTMENT,
        "servingMode": {"servingType": "ON_DEMAND", "modelId": "cohere.embed-v4.0"},
        "inputs": ["a", "b"],
        "outputDimensions": 256,
        "inputType": "SEARCH_QUERY",
        "truncate": "END",
    }
    assert proven(call)[-1] == "x-content-sha256"
    assert b"opc-compartment-id" not in dict(call.headers)
    assert [each.embedding for each in told.data] == EMBEDDED["embeddings"]
    assert [each.embedding for each in again.data] == EMBEDDED["embeddings"]
    assert (told.model, told.usage.prompt_tokens, told.usage.total_tokens) == ("cohere.embed-v4.0", 7, 7)


async def test_an_endpoint_of_a_dedicated_cluster(tmp_path: Path) -> None:
    """Its OCID is the model; what it read may not be told."""
    endpoint = "ocid1.generativeaiendpoint.oc1.us-chicago-1.aaaa"
    told = {**EMBEDDED, "usage": None, "modelId": None, "embeddings": [[1.0]]}
    async with serving(said(told), **signed(tmp_path)) as (http, upstream):
        got = await client(http).embeddings.create(model=f"oci/{endpoint}", input="a", encoding_format="float")
    asked = json.loads(upstream.requests[0].body)
    assert asked["servingMode"] == {"servingType": "DEDICATED", "endpointId": endpoint}
    assert got.model == endpoint


@pytest.mark.parametrize(
    ("more", "param"),
    [({"input": [[1, 2]]}, "input"), ({"extra_body": {"input_type": "similarity"}}, "input_type")],
)
async def test_what_embeddings_cannot_be_asked(tmp_path: Path, more: Json, param: str) -> None:
    """Tokens, and a purpose that is not known there, are refused by name."""
    asked: Json = {"model": "oci/m", "input": "a", **more}
    async with serving(**signed(tmp_path)) as (http, upstream):
        with pytest.raises(openai.BadRequestError) as caught:
            await client(http).embeddings.create(**asked)
    assert caught.value.param == param
    assert upstream.requests == []


@pytest.mark.parametrize(
    "body", [b"{}", b'{"embeddings": null}', b'{"embeddings": [["a"]]}', b"\xff", b'{"embeddings": []}']
)
async def test_answers_without_vectors(tmp_path: Path, body: bytes) -> None:
    """What is no answer of this API is the provider's failure."""
    async with serving(Recorded(headers=(("content-type", "application/json"),), body=body), **signed(tmp_path)) as (
        http,
        _,
    ):
        with pytest.raises(openai.APIStatusError) as caught:
            await client(http).embeddings.create(model="oci/m", input="a")
    assert caught.value.status_code == 502


async def test_rankings(tmp_path: Path) -> None:
    """Cohere's words become the vendor's; the best document comes first."""
    asked = {"model": "oci/cohere.rerank-v4", "query": "q", "documents": ["a", {"text": "b"}], "top_n": 2}
    more = {"max_tokens_per_doc": 9, "max_chunks_per_doc": 3, "return_documents": True}
    async with serving(said(RANKED), **signed(tmp_path)) as (http, upstream):
        reply = await http.post("/v1/rerank", json={**asked, **more})
        call = upstream.requests[0]
    assert call.url == f"{ACTIONS}/rerankText"
    assert json.loads(call.body) == {
        "compartmentId": COMPARTMENT,
        "servingMode": {"servingType": "ON_DEMAND", "modelId": "cohere.rerank-v4"},
        "input": "q",
        "documents": ["a", "b"],
        "topN": 2,
        "maxTokensPerDocument": 9,
        "maxChunksPerDocument": 3,
    }
    proven(call)
    held = reply.json()
    assert held["id"] == "r-1"
    assert [(each["index"], each["relevance_score"]) for each in held["results"]] == [(0, 0.9), (1, 0.2)]
    assert held["results"][1]["document"] == {"text": "b"}


@pytest.mark.parametrize("ranks", [None, [{"index": 7, "relevanceScore": 1}], [{"index": 0}]])
async def test_answers_without_a_ranking(tmp_path: Path, ranks: Any) -> None:
    """A document that is none, or no scores, is the provider's failure."""
    async with serving(said({**RANKED, "documentRanks": ranks}), **signed(tmp_path)) as (http, _):
        reply = await http.post("/v1/rerank", json={"model": "oci/m", "query": "q", "documents": ["a"]})
    assert reply.status_code == 502


async def test_what_rankings_cannot_be_asked(tmp_path: Path) -> None:
    """A member that has no place there is refused by name."""
    body = {"model": "oci/m", "query": "q", "documents": ["a"], "priority": 3}
    async with serving(**signed(tmp_path)) as (http, _):
        reply = await http.post("/v1/rerank", json=body)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "priority")


# moderations


class Judge(ReplayUpstream):
    """Finds what says `bad` to be so. Calls for several texts come in any order."""

    @override
    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        self.answer("*", said(moderated(1.0 if b"bad" in request.body else 0.0, 0.0)))
        return await super().send(request)


async def test_moderations(tmp_path: Path) -> None:
    """Each text is a call of its own, signed; categories are the vendor's, and one that was met flags the text."""
    async with serving(vendor=Judge(), **signed(tmp_path)) as (http, upstream):
        told = await client(http).moderations.create(model="oci/any", input=["bad", "good"])
        calls = sorted(upstream.requests, key=lambda call: call.body)
    assert {each.url for each in calls} == {f"{ACTIONS}/applyGuardrails"}
    for call in calls:
        proven(call)
    assert len(calls) == 2
    assert json.loads(calls[0].body) == {
        "compartmentId": COMPARTMENT,
        "guardrailConfigs": {"contentModerationConfig": {"categories": ["OVERALL", "BLOCKLIST"]}},
        "input": {"type": "TEXT", "content": "bad"},
    }
    assert [each.flagged for each in told.results] == [True, False]
    first = told.results[0]
    assert first.categories.model_extra == {"overall": True, "blocklist": False}
    assert first.category_scores.model_extra == {"overall": 1.0, "blocklist": 0.0}
    assert first.category_applied_input_types.model_extra == {"overall": ["text"], "blocklist": ["text"]}


async def test_pictures_are_judged_with_their_texts(tmp_path: Path) -> None:
    """Parts are one call."""
    picture = "data:image/png;base64,iVBORw0KGgo="
    parts: Any = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": picture}}]
    async with serving(said(moderated(0.0, 1.0)), **signed(tmp_path)) as (http, upstream):
        told = await client(http).moderations.create(model="oci/any", input=parts)
    assert json.loads(upstream.requests[0].body)["multimodalInput"] == [
        {"type": "TEXT", "content": "a"},
        {"type": "IMAGE", "imageUrl": {"url": picture}},
    ]
    assert told.results[0].flagged
    assert (told.results[0].category_applied_input_types.model_extra or {})["overall"] == ["image", "text"]


@pytest.mark.parametrize("asked", ["", [], ["a", ""], [{"type": "text", "text": ""}], [{"type": "audio"}], [7]])
async def test_nothing_to_be_judged(tmp_path: Path, asked: Any) -> None:
    """Empty texts and other parts are refused, and nothing is sent."""
    async with serving(**signed(tmp_path)) as (http, upstream):
        with pytest.raises(openai.BadRequestError) as caught:
            await client(http).moderations.create(model="oci/any", input=asked)
    assert caught.value.param == "input"
    assert upstream.requests == []


NO_MODERATIONS: list[Json] = [{}, {"results": {"contentModeration": None}}, {"results": {}}]


@pytest.mark.parametrize("body", NO_MODERATIONS)
async def test_answers_without_a_moderation(tmp_path: Path, body: Json) -> None:
    """They are the provider's failure, and not a text that is harmless."""
    async with serving(said(body), **signed(tmp_path)) as (http, _):
        with pytest.raises(openai.APIStatusError) as caught:
            await client(http).moderations.create(model="oci/any", input="a")
    assert caught.value.status_code == 502


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500])
async def test_errors(tmp_path: Path, status: int) -> None:
    """The vendor's words and code reach the client, of each operation."""
    told = said({"code": "NotAuthenticated", "message": "no such thing"}, status)
    async with serving(told, told, told, **signed(tmp_path)) as (http, _):
        own = client(http)
        asked: list[Awaitable[Any]] = [
            own.embeddings.create(model="oci/m", input="a"),
            own.moderations.create(model="oci/m", input="a"),
            own.chat.completions.create(**CHAT_BODY),
        ]
        for ask in asked:
            with pytest.raises(openai.APIStatusError, match="no such thing") as caught:
                await ask
            assert (caught.value.status_code, caught.value.code) == (status, "NotAuthenticated")


@pytest.mark.parametrize(
    ("model", "is_native"), [("xai.grok-4", True), ("openai.gpt-oss-120b", True), ("meta.llama-4", False)]
)
async def test_responses_of_some_models(model: str, is_native: bool) -> None:
    """Models that Oracle does not list for agents are asked by chat: https://docs.oracle.com/en-us/iaas/Content/generative-ai/agentic-regions.htm."""
    async with serving(said(chat_reply({"content": "yes"})), **BY_KEY) as (http, upstream):
        await http.post("/v1/responses", json={"model": f"oci/{model}", "input": "hi"})
    assert upstream.requests[0].url.endswith("/responses" if is_native else "/chat/completions")
