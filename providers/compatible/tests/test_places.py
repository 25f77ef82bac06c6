"""Where vendors are called that have a model in the address, or some operations on another host."""

from __future__ import annotations

import json
from typing import Any

import pytest
from providers.compatible.tests.calls import deploy_row, exchange, held

from headgate.errors import InvalidRequest
from headgate.testing import Recorded, ReplayUpstream
from headgate.testing.running import gateway
from headgate_compatible import catalogue

Json = dict[str, Any]
OWN = {"base_url": "https://own.example/v1"}
BARE = {"base_url": "https://own.example"}
BGE, RANKER = "BAAI/bge-large-en-v1.5", "@cf/baai/bge-reranker-base"
EMBEDDED = f"/hf-inference/models/{BGE}/pipeline/feature-extraction"
ACCOUNT: Json = {"vars": {"account_id": "abc"}}
INFRA = "https://api.deepinfra.com/v1"
ACCOUNTS = "https://api.cloudflare.com/client/v4/accounts/abc/ai"


@pytest.mark.parametrize(
    ("name", "operation", "model", "config", "url"),
    [
        ("huggingface", "embeddings", BGE, {}, f"https://router.huggingface.co{EMBEDDED}"),
        ("huggingface", "embeddings", BGE, OWN, f"https://own.example{EMBEDDED}"),
        ("huggingface", "chat", BGE, {}, "https://router.huggingface.co/v1/chat/completions"),
        ("cloudflare", "rerank", RANKER, ACCOUNT, f"{ACCOUNTS}/run/{RANKER}"),
        ("cloudflare", "images.generate", "@cf/a/b", ACCOUNT, f"{ACCOUNTS}/run/@cf/a/b"),
        ("huggingface", "images.generate", "a/b", {}, "https://router.huggingface.co/hf-inference/models/a/b"),
        ("huggingface", "audio.speech", "a/b", {}, "https://router.huggingface.co/deepinfra/v1/openai/audio/speech"),
        ("huggingface", "audio.speech", "a/b:together", OWN, "https://own.example/together/v1/audio/speech"),
        ("novita", "audio.speech", "glm-tts", {}, "https://api.novita.ai/v3/glm-tts"),
        ("novita", "images.generate", "seedream-4.5", {}, "https://api.novita.ai/v3/seedream-4.5"),
        ("nvidia", "images.generate", "a/flux.1-dev", {}, "https://ai.api.nvidia.com/v1/genai/a/flux.1-dev"),
        ("nvidia", "images.generate", "a/flux.1-dev", OWN, "https://own.example/v1/images/generations"),
        ("cloudflare", "embeddings", RANKER, ACCOUNT, f"{ACCOUNTS}/v1/embeddings"),
        ("deepinfra", "rerank", "Qwen/Qwen3-Reranker-8B", {}, f"{INFRA}/inference/Qwen/Qwen3-Reranker-8B"),
        (
            "deepinfra",
            "rerank",
            "a/b",
            {"base_url": "https://own.example/v1/openai"},
            "https://own.example/v1/inference/a/b",
        ),
        ("deepinfra", "embeddings", "a/b", {}, f"{INFRA}/openai/embeddings"),
        ("cloudflare", "rerank", "a?b#c d", ACCOUNT, f"{ACCOUNTS}/run/a%3Fb%23c%20d"),
        ("lightning", "messages", "claude-4", {**OWN, "messages": "native"}, "https://own.example/v1/messages"),
        ("zhipu", "messages", "glm", {**OWN, "messages": "native"}, "https://own.example/anthropic/v1/messages"),
        ("deepinfra", "messages", "m", BARE, "https://own.example/anthropic/v1/messages"),
    ],
)
def test_models_in_addresses(name: str, operation: str, model: str, config: Json, url: str) -> None:
    """A model's slashes are kept, anything else that means something in an address is escaped; other operations have one."""
    body = {"model": model, "input": "a", "messages": [], "query": "q", "documents": ["a"]}
    assert deploy_row(name, **config).prepare(exchange(deploy_row(name, **config), body, operation)).url == url


@pytest.mark.parametrize("model", ["../../v1/models", "a/../b", "a/%2e%2e/b", ".."])
def test_models_lead_nowhere_else(model: str) -> None:
    """A name with `..` would be another address with the deployment's key: it is refused."""
    provider = deploy_row("huggingface")
    with pytest.raises(InvalidRequest, match="segments"):
        provider.prepare(exchange(provider, {"model": model, "input": "a"}, "embeddings"))


@pytest.mark.parametrize(
    ("config", "batches", "embeds"),
    [
        ({}, "https://batch.inference.net", "https://api.inference.net"),
        (OWN, "https://own.example", "https://own.example"),
    ],
)
async def test_where_inference_net_has_batches(config: Json, batches: str, embeds: str) -> None:
    """Files and batches go to their host with the client's path and the key; a deployment of one's own has one host."""
    upstream = ReplayUpstream({"*": Recorded.from_json({"id": "batch_1"})})
    settings = {"provider": "inference-net", "api_key": "sk-sample", **config}
    async with gateway(catalogue()["inference-net"], providers={"net": settings}, upstream=upstream) as client:
        goes = {"x-headgate-provider": "net"}
        for path in ("/v1/files/file-1/content", "/v1/batches?limit=2", "/v1/batches/batch_1"):
            await client.get(path, headers=goes)
        await client.post("/v1/embeddings", json={"model": "net/m", "input": "a"})
    urls = [request.url for request in upstream.requests]
    assert urls[:3] == [
        f"{batches}/v1{path}" for path in ("/files/file-1/content", "/batches?limit=2", "/batches/batch_1")
    ]
    assert urls[3] == f"{embeds}/v1/embeddings"
    for request, origin in zip(upstream.requests, [batches] * 3 + [embeds], strict=True):
        assert request.credential is not None
        assert request.credential.origins == frozenset({f"{origin}:443"})


async def test_hugging_faces_vectors_through_a_gateway() -> None:
    """Clients of OpenAI's embeddings get theirs, in base64 too, and Google's get their own shape."""
    upstream = ReplayUpstream({"*": Recorded.from_json([[1.0, 2.0]])})
    settings = {"provider": "huggingface", "api_key": "sk-sample"}
    async with gateway(catalogue()["huggingface"], providers={"hf": settings}, upstream=upstream) as client:
        asked = {"model": f"hf/{BGE}", "input": "a", "encoding_format": "base64"}
        openai = (await client.post("/v1/embeddings", json=asked)).json()
        part = {"content": {"parts": [{"text": "a"}]}}
        google = (await client.post(f"/v1beta/models/hf/{BGE}:embedContent", json=part)).json()
    assert openai["data"] == [{"object": "embedding", "index": 0, "embedding": "AACAPwAAAEA="}]
    assert openai["usage"] == {"prompt_tokens": 0, "total_tokens": 0}
    assert google["embedding"]["values"] == [1.0, 2.0]
    assert [json.loads(held(request)) for request in upstream.requests] == [{"inputs": ["a"]}] * 2
