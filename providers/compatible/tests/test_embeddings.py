"""Embeddings and rankings of vendors whose words are not OpenAI's or Cohere's, as their clients get them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from openai.types import CreateEmbeddingResponse
from providers.compatible.tests.calls import deploy_row, exchange, held
from providers.compatible.tests.recordings import NEEDED, answer_of, deploy_recorded, records

from headgate.dialects import Gaps, Policy
from headgate.dialects.openai.embeddings import vector_of
from headgate.errors import ProviderFailed, UnsupportedField
from headgate.operations import EMBEDDINGS, RERANK
from headgate.provider import operation_of
from headgate.testing import Recorded, ReplayUpstream
from headgate.testing.running import gateway
from headgate.vectors import EmbedRequest
from headgate_compatible import catalogue
from headgate_compatible.vendors.embeddings import (
    BytePlusEmbeddings,
    HuggingFaceEmbeddings,
    JinaEmbeddings,
    NvidiaEmbeddings,
    SnowflakeEmbeddings,
    VoyageEmbeddings,
    WordedEmbeddings,
)

Json = dict[str, Any]
CLIENT = "openai.embeddings"
VOYAGE, JINA, NVIDIA, HUGGING_FACE = VoyageEmbeddings(), JinaEmbeddings(), NvidiaEmbeddings(), HuggingFaceEmbeddings()
RERANKER = "nvidia/llama-3.2-nv-rerankqa-1b-v2"


def sent(dialect: WordedEmbeddings, policy: Policy = "refuse", **fields: Any) -> tuple[Json, list[str]]:
    gaps = Gaps("vendor", policy)
    request = EmbedRequest("m", fields.pop("inputs", ("a", "b")), dialect=CLIENT, **fields)
    return msgspec.json.decode(dialect.encode_request(request, gaps)), gaps.dropped


@pytest.mark.parametrize(
    ("dialect", "kind", "members"),
    [
        (VOYAGE, None, {}),
        (VOYAGE, "query", {"input_type": "query"}),
        (VOYAGE, "document", {"input_type": "document"}),
        (JINA, "query", {"task": "retrieval.query"}),
        (JINA, "document", {"task": "retrieval.passage"}),
        (JINA, "clustering", {"task": "separation"}),
        (JINA, "similarity", {"task": "text-matching"}),
        (NVIDIA, None, {"input_type": "passage"}),
        (NVIDIA, "query", {"input_type": "query"}),
    ],
)
def test_purposes(dialect: WordedEmbeddings, kind: Any, members: Json) -> None:
    """What vectors are for is said in the vendor's words, also where it must be said and the caller says nothing."""
    body, dropped = sent(dialect, input_type=kind, encoding="base64", user="u")
    assert body == {"model": "m", "input": ["a", "b"], **members}
    assert dropped == ["user"]


def test_lengths_and_own_fields() -> None:
    """Vectors have the length that is asked for, and fields of the vendor's pass."""
    assert sent(VOYAGE, dimensions=256, extra={"truncation": False, "output_dtype": "int8"})[0] == {
        "model": "m",
        "input": ["a", "b"],
        "output_dimension": 256,
        "truncation": False,
        "output_dtype": "int8",
    }
    body, _ = sent(JINA, dimensions=64, input_type="query", extra={"task": "code.query", "late_chunking": True})
    assert body == {"model": "m", "input": ["a", "b"], "dimensions": 64, "task": "code.query", "late_chunking": True}
    assert sent(NVIDIA, extra={"truncate": "END"})[0]["truncate"] == "END"


def test_texts_alone_at_hugging_face() -> None:
    """Neither the model nor a purpose is in the body; fields of its own pass, and a length is refused."""
    body, dropped = sent(HUGGING_FACE, input_type="query", user="u", extra={"prompt_name": "query", "normalize": True})
    assert body == {"inputs": ["a", "b"], "prompt_name": "query", "normalize": True}
    assert dropped == ["input_type", "user"]
    with pytest.raises(UnsupportedField, match="`dimensions`"):
        sent(HUGGING_FACE, dimensions=64)
    assert sent(HUGGING_FACE, "drop", dimensions=64) == ({"inputs": ["a", "b"]}, ["dimensions"])


def test_vectors_alone_from_hugging_face() -> None:
    """Lists of numbers are the vectors of the texts in their order; anything else is the provider's failure."""
    asked = EmbedRequest("m", ("a", "b"))
    reply = HUGGING_FACE.decode_reply(b"[[1,2],[3,4.5]]", asked)
    assert (reply.vectors, reply.model, reply.usage) == (((1.0, 2.0), (3.0, 4.5)), "m", None)
    for body in (b"[[1,2]]", b"[1,2]", b"[[[1,2]],[[3,4]]]", b'{"error":"x"}', b"", b"[[1,2],[3,null]]"):
        with pytest.raises(ProviderFailed):
            HUGGING_FACE.decode_reply(body, asked)


@pytest.mark.parametrize("dialect", [VOYAGE, JINA, NVIDIA, HUGGING_FACE])
def test_what_cannot_be_said(dialect: WordedEmbeddings) -> None:
    """Tokens are refused always, foreign members unless they may be dropped."""
    with pytest.raises(UnsupportedField, match="tokens"):
        sent(dialect, "drop", inputs=((1, 2),))
    with pytest.raises(UnsupportedField, match="`odd`"):
        sent(dialect, extra={"odd": 1})
    assert sent(dialect, "drop", extra={"odd": 1})[1] == ["odd"]


def test_purposes_that_a_vendor_has_not() -> None:
    """They are refused, or dropped in favour of the vendor's default."""
    with pytest.raises(UnsupportedField, match="query, document"):
        sent(VOYAGE, input_type="clustering")
    assert sent(VOYAGE, "drop", input_type="clustering") == ({"model": "m", "input": ["a", "b"]}, ["input_type"])
    assert sent(NVIDIA, "drop", input_type="clustering")[0]["input_type"] == "passage"


def test_vectors_come_in_order() -> None:
    """The index decides, in numbers or base64, and tokens are those that were read."""
    body = {
        "object": "list",
        "data": [{"index": 1, "embedding": "AAAAQA=="}, {"index": 0, "embedding": [1]}],
        "model": "own",
        "usage": {"total_tokens": 5},
    }
    reply = VOYAGE.decode_reply(msgspec.json.encode(body), EmbedRequest("m", ("a", "b")))
    assert (reply.vectors, reply.model, reply.dialect) == (((1.0,), (2.0,)), "own", "voyage.embeddings")
    assert reply.usage is not None
    assert reply.usage.prompt == 5
    assert VOYAGE.decode_reply(b'{"data":[{"embedding":[1]}]}', EmbedRequest("m", ("a",))).model == "m"


@pytest.mark.parametrize(
    "data",
    [
        [],
        [{"embedding": [1]}],
        [{"embedding": [1], "index": 0}, {"embedding": [2], "index": 0}],
        [{"embedding": [1], "index": 1}, {"embedding": [2], "index": 2}],
        [{"embedding": [1], "index": 0}, {"embedding": [2]}],
        [{"embedding": [1]}, {"embedding": "x"}],
        [{"embedding": [1]}, 7],
    ],
)
def test_replies_that_are_none(data: Any) -> None:
    """Too few vectors, or such that belong to no text, are the provider's failure."""
    with pytest.raises(ProviderFailed):
        JINA.decode_reply(msgspec.json.encode({"data": data}), EmbedRequest("m", ("a", "b")))


@pytest.mark.parametrize(
    ("used", "tokens"),
    [
        (None, None),
        ({}, None),
        ({"total_tokens": 0}, 0),
        ({"total_tokens": 4}, 4),
        ({"prompt_tokens": 3, "total_tokens": 4}, 3),
    ],
)
def test_usage(used: Json | None, tokens: int | None) -> None:
    """The tokens that were read; None where nothing is said."""
    body = msgspec.json.encode({"data": [{"embedding": [1]}], "usage": used})
    read = JINA.decode_reply(body, EmbedRequest("m", ("a",))).usage
    relayed = JINA.reply_usage(body)
    assert (read.prompt if read else None) == (relayed.prompt if relayed else None) == tokens


@pytest.mark.parametrize(
    ("name", "embeds", "ranks"),
    [
        ("voyage", "voyage.embeddings", "voyage.rerank"),
        ("jina", "jina.embeddings", "jina.rerank"),
        ("nvidia", "nvidia.embeddings", "nvidia.rerank"),
        ("together", "openai.embeddings", "together.rerank"),
        ("fireworks", "openai.embeddings", "listed.rerank"),
        ("vllm", "openai.embeddings", "jina.rerank"),
        ("mistral", "openai.embeddings", None),
        ("huggingface", "huggingface.embeddings", None),
        ("cloudflare", "openai.embeddings", "cloudflare.rerank"),
        ("deepinfra", "openai.embeddings", "deepinfra.rerank"),
        ("302ai", "openai.embeddings", "jina.rerank"),
        ("groq", "openai.embeddings", "groq.rerank"),
        ("xai", "openai.embeddings", None),
        ("perplexity", "perplexity.embeddings", None),
        ("snowflake", "snowflake.embeddings", None),
        ("siliconflow", "openai.embeddings", "cohere.rerank"),
    ],
)
def test_who_speaks_what(name: str, embeds: str, ranks: str | None) -> None:
    """A vendor whose words are its own has a codec; the others are relayed."""
    provider = deploy_row(name)
    for operation, dialect in ((EMBEDDINGS, embeds), (RERANK, ranks)):
        spoken = provider.spoken(exchange(provider, {"model": "m"}, operation.name), "m")
        assert spoken == ((operation.name, dialect) if dialect else None)
        assert dialect in {*provider.codecs, operation.dialect, None}


async def test_snowflake() -> None:
    """Texts go under another name to another address, and a vector is the one row of a table."""
    rows = [{"object": "embedding", "index": at, "embedding": [[0.25, at]]} for at in (1, 0)]
    upstream = ReplayUpstream(
        {"*": Recorded.from_json({"object": "list", "data": rows, "model": "e5", "usage": {"total_tokens": 5}})}
    )
    settings = {"provider": "snowflake", "api_key": "k", "vars": {"account": "a"}}
    async with gateway(catalogue()["snowflake"], providers={"v": settings}, upstream=upstream) as client:
        asked = {"model": "v/e5", "input": ["a", "b"], "input_type": "query"}
        reply = await client.post("/v1/embeddings", json=asked)
        refused = await client.post("/v1/embeddings", json={**asked, "dimensions": 5})
    assert [each["embedding"] for each in reply.json()["data"]] == [[0.25, 0.0], [0.25, 1.0]]
    assert (reply.json()["usage"]["prompt_tokens"], reply.headers["x-headgate-dropped"]) == (5, "input_type")
    (request,) = upstream.requests
    assert request.url == "https://a.snowflakecomputing.com/api/v2/cortex/inference:embed"
    assert json.loads(request.body) == {"model": "e5", "text": ["a", "b"]}
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "dimensions")


@pytest.mark.parametrize("said", [[], [[1.0], [2.0]], [1.0], "AAAA"])
def test_tables_that_are_no_vector(said: Any) -> None:
    """What is not one row is no vector of Snowflake's."""
    body = msgspec.json.encode({"data": [{"index": 0, "embedding": said}]})
    with pytest.raises(ProviderFailed):
        SnowflakeEmbeddings().decode_reply(body, EmbedRequest("m", ("a",)))


async def test_perplexity() -> None:
    """Signed bytes come as numbers in the encoding of OpenAI's clients; whoever asks for the bytes gets them as they are."""
    data = [{"object": "embedding", "index": 0, "embedding": "AYB/"}]
    answer = Recorded.from_json({"object": "list", "data": data, "model": "p", "usage": {"prompt_tokens": 2}})
    upstream = ReplayUpstream({"*": answer})
    settings = {"provider": "perplexity", "api_key": "k"}
    async with gateway(catalogue()["perplexity"], providers={"v": settings}, upstream=upstream) as client:
        asked = {"model": "v/p", "input": ["a"], "dimensions": 128}
        floats = await client.post("/v1/embeddings", json={**asked, "input_type": "query"})
        packed = await client.post("/v1/embeddings", json={**asked, "encoding_format": "base64"})
        own = await client.post("/v1/embeddings", json={**asked, "encoding_format": "base64_int8"})
        same = await client.post("/v1/embeddings", json={**asked, "input": "base64_int8"})
    vector = (1.0, -128.0, 127.0)
    assert [tuple(each.json()["data"][0]["embedding"]) for each in (floats, same)] == [vector, vector]
    assert (vector_of(packed.json()["data"][0]["embedding"]), own.content) == (vector, answer.body)
    assert floats.headers["x-headgate-dropped"] == "input_type"
    said = {"model": "p", "input": ["a"], "dimensions": 128, "encoding_format": "base64_int8"}
    assert [json.loads(each.body) for each in upstream.requests] == [*[said] * 3, {**said, "input": ["base64_int8"]}]


async def test_purposes_are_no_business_of_mistrals() -> None:
    """Its schema is closed, so the hint is left out of a request that is relayed."""
    provider = deploy_row("mistral")
    ex = exchange(provider, {"model": "m", "input": "a", "input_type": "query", "dimensions": 5}, "embeddings")
    assert json.loads(held(provider.prepare(ex))) == {"model": "m", "input": "a", "output_dimension": 5}
    assert ex.dropped == ["input_type"]


@pytest.mark.parametrize(
    ("config", "url"),
    [
        ({}, "https://ai.api.nvidia.com/v1/retrieval/nvidia/llama-3_2-nv-rerankqa-1b-v2/reranking"),
        ({"base_url": "http://127.0.0.1:8000/v1"}, "http://127.0.0.1:8000/v1/ranking"),
    ],
)
def test_where_nvidia_ranks(config: Json, url: str) -> None:
    """Hosted models have an address each, on a host that gets the key for rankings alone; a server of one's own has one."""
    provider = deploy_row("nvidia", **config)
    ex = exchange(provider, {"model": RERANKER, "query": "q", "documents": ["a"]}, "rerank")
    request = provider.prepare(ex)
    assert (operation_of(ex), request.url) == ("rerank", url)
    assert request.credential is not None
    origin = "https://ai.api.nvidia.com:443" if not config else "http://127.0.0.1:8000"
    assert request.credential.origins == frozenset({origin})
    embeds = provider.prepare(exchange(provider, {"model": "m", "input": "a"}, "embeddings"))
    assert embeds.credential is not None
    assert embeds.credential.origins == provider.origins


@NEEDED
async def test_recorded_embeddings() -> None:
    """Voyage is sent what was recorded but for the encoding, and the recorded vectors come back in any encoding."""
    count = 0
    for record in records("voyage", "embeddings"):
        count += 1
        upstream = ReplayUpstream({"*": answer_of(record, count)})
        provider = deploy_recorded("voyage", upstream)
        asked: Json = {name: value for name, value in record["req_json"].items() if value is not None}
        said = json.loads((await provider.call(exchange(provider, asked, "embeddings"))).body)
        assert json.loads(held(upstream.requests[0])) == {
            name: value for name, value in asked.items() if name != "encoding_format"
        }
        answer = json.loads(record["resp_text"])
        assert [item["embedding"] for item in said["data"]] == [item["embedding"] for item in answer["data"]]
        numbers = {**asked, "encoding_format": "float"}
        said = json.loads((await provider.call(exchange(provider, numbers, "embeddings"))).body)
        wanted = [list(vector_of(item["embedding"])) for item in answer["data"]]
        assert [item["embedding"] for item in said["data"]] == wanted
        assert said["usage"] == dict.fromkeys(("prompt_tokens", "total_tokens"), answer["usage"]["total_tokens"])
    assert count == 2


async def test_through_a_gateway() -> None:
    """One of each, as clients see them: vectors in order, a ranking with its documents, and errors in the vendor's words."""
    vectors = {"data": [{"index": 1, "embedding": [2]}, {"index": 0, "embedding": [1]}], "usage": {"total_tokens": 4}}
    upstream = ReplayUpstream(
        {
            "/v1/embeddings": Recorded.from_json(vectors),
            "/v1/rerank": Recorded.from_json({"detail": "no such model"}, 422),
            "*": Recorded.from_json({"rankings": [{"index": 1, "logit": 6.5}], "usage": {"prompt_tokens": 8}}),
        }
    )
    kinds = catalogue()
    providers = {name: {"provider": name, "api_key": "sk-sample"} for name in ("jina", "nvidia")}
    async with gateway(kinds["jina"], kinds["nvidia"], providers=providers, upstream=upstream) as client:
        asked: Json = {"model": "jina/jina-embeddings-v3", "input": ["a", "b"], "input_type": "search_query"}
        embedded = (await client.post("/v1/embeddings", json=asked)).json()
        asked = {"query": "q", "documents": ["a", {"text": "b"}]}
        body = {**asked, "model": f"nvidia/{RERANKER}", "return_documents": True}
        ranked = (await client.post("/v1/rerank", json=body)).json()
        failed = await client.post("/v1/rerank", json={**asked, "model": "jina/x"})
        body = {**asked, "model": "jina/x", "unknown": 1}
        refused = await client.post("/v1/rerank", json=body)
    assert [item["embedding"] for item in embedded["data"]] == [[1.0], [2.0]]
    assert embedded["usage"] == {"prompt_tokens": 4, "total_tokens": 4}
    assert json.loads(held(upstream.requests[0]))["task"] == "retrieval.query"
    assert ranked["results"] == [{"index": 1, "relevance_score": 6.5, "document": {"text": "b"}}]
    assert ranked["meta"]["tokens"]["input_tokens"] == 8
    assert (failed.status_code, "no such model" in failed.text) == (422, True)
    assert (refused.status_code, "`unknown`" in refused.text) == (400, True)


async def test_byteplus_embeds_one_text_a_call() -> None:
    """Each text has a call of its own, and the vectors and tokens of all are one answer in the order of the texts."""
    upstream = ReplayUpstream()
    replies = [
        {
            "id": f"e{at}",
            "model": "skylark-embedding-vision-251215",
            "data": {"embedding": [at, 0.5], "object": "embedding"},
            "usage": {"prompt_tokens": 20 + at, "prompt_tokens_details": {"text_tokens": 20}, "total_tokens": 20 + at},
        }
        for at in range(3)
    ]
    upstream.answer("*", *[Recorded.from_json(reply) for reply in replies])
    deployed = {"provider": "byteplus", "api_key": "sk-vendor-0f1e2d3c4b5a"}
    asked: Json = {
        "model": "d/skylark-embedding-vision-251215",
        "input": ["a", "max_completion_tokens", "c"],
        "dimensions": 2,
        "instructions": "Target_modality: text.",
    }
    async with gateway(providers={"d": deployed}, upstream=upstream) as client:
        reply = await client.post("/v1/embeddings", json=asked)
        single = await client.post("/v1/embeddings", json={**asked, "input": "a"})
    assert {(call.method, call.url) for call in upstream.requests} == {
        ("POST", "https://ark.ap-southeast.bytepluses.com/api/v3/embeddings/multimodal")
    }
    bodies = [json.loads(call.body) for call in upstream.requests]
    assert [each["input"] for each in bodies] == [
        [{"type": "text", "text": text}] for text in ("a", "max_completion_tokens", "c", "a")
    ]
    assert {name: value for name, value in bodies[0].items() if name != "input"} == {
        "model": "skylark-embedding-vision-251215",
        "dimensions": 2,
        "instructions": "Target_modality: text.",
        "encoding_format": "float",
    }
    told = reply.json()
    assert [each["embedding"] for each in told["data"]] == [[0.0, 0.5], [1.0, 0.5], [2.0, 0.5]]
    assert (told["usage"], [each["embedding"] for each in single.json()["data"]]) == (
        {"prompt_tokens": 63, "total_tokens": 63},
        [[2.0, 0.5]],
    )


@pytest.mark.parametrize("body", [b'{"data":[]}', b'{"data":{"embedding":"no"}}', b'[{"data":{}}]', b"no"])
def test_byteplus_answers_without_vectors(body: bytes) -> None:
    """An answer that holds no vector is the provider's failure."""
    with pytest.raises(ProviderFailed, match="holds no embeddings"):
        BytePlusEmbeddings().decode_reply(body, EmbedRequest("m", ("a",)))


@pytest.mark.parametrize(("name", "url"), [("xai", "https://api.x.ai/v1"), ("groq", "https://api.groq.com/openai/v1")])
async def test_models_without_purposes(name: str, url: str) -> None:
    """OpenAI's request passes, without what a text is for, which is named."""
    answer: Json = {"object": "list", "data": [], "model": "m", "usage": {"prompt_tokens": 1, "total_tokens": 1}}
    upstream = ReplayUpstream({"*": Recorded.from_json(answer)})
    settings = {"provider": name, "api_key": "k"}
    async with gateway(catalogue()[name], providers={"v": settings}, upstream=upstream) as client:
        asked = {"model": "v/m", "input": ["a"], "dimensions": 5, "input_type": "query"}
        reply = await client.post("/v1/embeddings", json=asked)
    assert (reply.json(), reply.headers["x-headgate-dropped"]) == (answer, "input_type")
    [request] = upstream.requests
    assert (request.url, json.loads(request.body)) == (
        f"{url}/embeddings",
        {"model": "m", "input": ["a"], "dimensions": 5},
    )


async def test_xai_counts_embeddings() -> None:
    """Its counts are of embeddings, so that those of tokens, which clients read, are 0; the rest stays as it is."""
    vectors = [{"object": "embedding", "index": 0, "embedding": [0.1, -0.25]}]
    usage = {"num_text_embeddings": 1, "num_image_embeddings": 0}
    answer: Json = {"object": "list", "data": vectors, "model": "v1", "usage": usage}
    upstream = ReplayUpstream({"*": Recorded.from_json(answer)})
    settings = {"provider": "xai", "api_key": "k"}
    async with gateway(catalogue()["xai"], providers={"v": settings}, upstream=upstream) as client:
        reply = await client.post("/v1/embeddings", json={"model": "v/v1", "input": "a"})
        theirs = await client.post("/v1beta/models/v/v1:embedContent", json={"content": {"parts": [{"text": "a"}]}})
    told = CreateEmbeddingResponse.model_validate(reply.json())
    assert (told.usage.prompt_tokens, told.usage.total_tokens, told.data[0].embedding) == (0, 0, [0.1, -0.25])
    assert reply.json() == {**answer, "usage": {"prompt_tokens": 0, "total_tokens": 0, **usage}}
    assert theirs.json()["embedding"]["values"] == [0.1, -0.25]
