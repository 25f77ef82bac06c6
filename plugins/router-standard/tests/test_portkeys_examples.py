"""Routing configs as Portkey's documentation shows them, each run through a gateway: they mean here what they mean there.

The shapes are those of https://portkey.ai/docs/product/ai-gateway/ (configs, fallbacks, load balancing, conditional routing,
retries, timeouts, circuit breaker, cache), https://portkey.ai/docs/guides/use-cases/combining-routing-strategies and
https://portkey.ai/docs/api-reference/inference-api/config-object; names of deployments are this test's own.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from headgate.testing import Recorded, ReplayUpstream, chat_request, gateway
from headgate_openai import OpenAI
from headgate_router_standard import RouterStandard

OK = Recorded.from_json(
    {"choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}]}
)
CONFIGS: dict[str, tuple[dict[str, Any], str]] = {
    "one provider": ({"provider": "@openai-prod"}, "config"),
    "a virtual key": ({"virtual_key": "openai-prod"}, "config"),
    "a model slug": ({"override_params": {"model": "@openai-prod/gpt-4o"}}, "config"),
    "retries alone": ({"retry": {"attempts": 3}, "override_params": {"model": "@azure-prod/gpt-4o"}}, "config"),
    "retries of some statuses": (
        {"retry": {"attempts": 3, "on_status_codes": [408, 429, 401]}, "provider": "azure-prod"},
        "config",
    ),
    "retry-after": ({"retry": {"attempts": 3, "use_retry_after_headers": True}, "provider": "azure-prod"}, "config"),
    "a timeout": ({"provider": "azure-prod", "request_timeout": 10000}, "config"),
    "a cache": ({"cache": {"mode": "semantic", "max_age": 60}, "provider": "azure-prod"}, "config"),
    "fallback": (
        {"strategy": {"mode": "fallback"}, "targets": [{"provider": "@down"}, {"provider": "@azure-prod"}]},
        "config.targets[1]",
    ),
    "fallback after some statuses": (
        {
            "strategy": {"mode": "fallback", "on_status_codes": [429, 503]},
            "targets": [
                {"provider": "@down"},
                {"provider": "@azure-prod", "override_params": {"model": "gpt-4o-mini"}},
            ],
        },
        "config.targets[1]",
    ),
    "load balancing": (
        {
            "strategy": {"mode": "loadbalance"},
            "targets": [{"provider": "@openai-prod", "weight": 0}, {"provider": "@azure-prod", "weight": 0.3}],
        },
        "config.targets[1]",
    ),
    "sticky load balancing": (
        {
            "strategy": {
                "mode": "loadbalance",
                "sticky": {"enabled": True, "hash_fields": ["metadata.user_id"], "ttl": 3600},
            },
            "targets": [{"provider": "@openai-prod", "weight": 0}, {"provider": "@azure-prod", "weight": 0.5}],
        },
        "config.targets[1]",
    ),
    "a circuit breaker": (
        {
            "strategy": {
                "mode": "fallback",
                "cb_config": {
                    "failure_threshold_percentage": 20,
                    "minimum_requests": 10,
                    "cooldown_interval": 60000,
                    "failure_status_codes": [401, 429, 500],
                },
            },
            "targets": [
                {"override_params": {"model": "@down/gpt-4o"}},
                {"override_params": {"model": "@azure-prod/gpt-4o"}},
            ],
        },
        "config.targets[1]",
    ),
    "conditions on metadata": (
        {
            "strategy": {
                "mode": "conditional",
                "conditions": [
                    {"query": {"metadata.user_plan": {"$eq": "paid"}}, "then": "finetuned"},
                    {"query": {"metadata.user_plan": {"$eq": "free"}}, "then": "base"},
                ],
                "default": "base",
            },
            "targets": [
                {"name": "finetuned", "virtual_key": "azure-prod"},
                {"name": "base", "virtual_key": "openai-prod"},
            ],
        },
        "config.targets[0]",
    ),
    "conditions on parameters": (
        {
            "strategy": {
                "mode": "conditional",
                "conditions": [
                    {"query": {"params.model": {"$regex": "^gpt"}, "params.temperature": {"$lt": 1}}, "then": "a"},
                    {
                        "query": {"$or": [{"params.max_tokens": {"$gt": 10}}, {"params.user": {"$in": ["x"]}}]},
                        "then": "b",
                    },
                ],
                "default": "b",
            },
            "targets": [{"name": "a", "provider": "azure-prod"}, {"name": "b", "provider": "openai-prod"}],
        },
        "config.targets[0]",
    ),
    "conditions over a balancer": (
        {
            "strategy": {
                "mode": "conditional",
                "conditions": [{"query": {"params.model": {"$eq": "gpt-4o"}}, "then": "spread"}],
                "default": "rest",
            },
            "targets": [
                {
                    "name": "spread",
                    "strategy": {"mode": "loadbalance"},
                    "targets": [
                        {"override_params": {"model": "@down/gpt-4o"}, "weight": 1},
                        {"override_params": {"model": "@azure-prod/gpt-4o"}, "weight": 0.001},
                    ],
                },
                {"name": "rest", "override_params": {"model": "@openai-prod/gpt-4o"}},
            ],
        },
        "config.targets[0].targets[1]",
    ),
    "a balancer under a fallback": (
        {
            "strategy": {"mode": "fallback", "on_status_codes": [429, 503]},
            "retry": {"attempts": 0},
            "targets": [
                {"provider": "@down"},
                {"strategy": {"mode": "loadbalance"}, "targets": [{"provider": "@azure-prod", "weight": 1}]},
            ],
        },
        "config.targets[1].targets[0]",
    ),
    "conditions under a fallback": (
        {
            "strategy": {"mode": "fallback"},
            "targets": [
                {"provider": "@down"},
                {
                    "strategy": {
                        "mode": "conditional",
                        "conditions": [{"query": {"metadata.user_plan": "paid"}, "then": "eu"}],
                        "default": "us",
                    },
                    "targets": [{"name": "eu", "provider": "@azure-prod"}, {"name": "us", "provider": "@openai-prod"}],
                },
            ],
        },
        "config.targets[1].targets[0]",
    ),
    "parameters": (
        {
            "provider": "azure-prod",
            "default_params": {"temperature": 0.2, "max_tokens": 7},
            "override_params": {"seed": 4},
            "drop_params": ["user"],
            "strict_open_ai_compliance": False,
            "forward_headers": ["x-team"],
        },
        "config",
    ),
}


def upstream_of() -> ReplayUpstream:
    """Two vendors that answer, and one that is down."""
    down = Recorded.from_json({"error": {"message": "no"}}, 503)
    return ReplayUpstream({"/down/chat/completions": down, "*": OK})


def deployments() -> dict[str, Any]:
    return {
        name: {"provider": "openai", "api_key": f"sk-{name}", "base_url": f"https://vendors.example/{name}"}
        for name in ("openai-prod", "azure-prod", "down")
    }


@pytest.mark.parametrize("name", CONFIGS)
async def test_a_documented_config_runs_unchanged(name: str) -> None:
    """It is taken as it is written, and the target that it means answers."""
    config, path = CONFIGS[name]
    headers = {"x-portkey-config": json.dumps(config), "x-portkey-metadata": '{"user_plan":"paid","user_id":"u1"}'}
    upstream = upstream_of()
    async with gateway(RouterStandard(), OpenAI, providers=deployments(), upstream=upstream) as client:
        body = chat_request("hi", model="gpt-4o", temperature=0.5, user="u")
        reply = await client.post("/v1/chat/completions", json=body, headers={**headers, "x-team": "red"})
    assert reply.status_code == 200, reply.text
    assert reply.headers["x-portkey-last-used-option-index"] == path
    sent = upstream.requests[-1]
    if name == "parameters":
        said = json.loads(sent.body)
        assert [said.get(key) for key in ("temperature", "max_tokens", "seed", "user")] == [0.5, 7, 4, None]
        assert dict(sent.headers)[b"x-team"] == b"red"


async def test_a_config_may_be_saved_and_named() -> None:
    """Portkey's `pc-…` ids are the names of `configs:`; the model is the request's."""
    configs = {"pc-prod": {"strategy": {"mode": "fallback"}, "targets": ["down", {"retry": {"attempts": 1}}]}}
    settings = {"configs": configs}
    async with gateway(
        RouterStandard(), OpenAI, providers=deployments(), upstream=upstream_of(), config=settings
    ) as client:
        body = chat_request("hi", model="openai-prod/gpt-4o")
        reply = await client.post("/v1/chat/completions", json=body, headers={"x-portkey-config": "pc-prod"})
    assert (reply.status_code, reply.headers["x-headgate-attempt-count"]) == (200, "2")
    assert reply.headers["x-headgate-deployment"] == "openai-prod"


ELSEWHERE = "https://elsewhere.example/v1"


def keyed(upstream: ReplayUpstream) -> tuple[str, bytes, bool]:
    """Where the last call went, with which key, and whether the deployment's own header went along."""
    sent = upstream.requests[-1]
    assert sent.credential is not None
    return sent.url.removesuffix("/chat/completions"), sent.credential.field()[1], b"x-own" in dict(sent.headers)


async def test_a_callers_base_url_gets_the_callers_key_alone() -> None:
    """Beside `custom_host` a caller's config must bring a key, and nothing of the deployment's own goes there."""
    upstream = upstream_of()
    own = {"headers": {"x-own": "secret-of-the-house"}}
    providers = {name: {**settings, **own} for name, settings in deployments().items()}
    models = {"moved": {"provider": "openai-prod", "custom_host": ELSEWHERE}}
    async with gateway(RouterStandard(), OpenAI, providers=providers, models=models, upstream=upstream) as client:

        async def ask(model: str, config: Any = None) -> int:
            headers = {} if config is None else {"x-portkey-config": json.dumps(config)}
            body = chat_request("hi", model=model)
            return (await client.post("/v1/chat/completions", json=body, headers=headers)).status_code

        theirs = {"provider": "openai-prod", "custom_host": ELSEWHERE}
        assert await ask("m", theirs) == 400
        assert await ask("moved", {"custom_host": ELSEWHERE, "retry": {"attempts": 1}}) == 400
        assert upstream.requests == []
        assert await ask("m", {**theirs, "api_key": "sk-mine"}) == 200
        assert keyed(upstream) == (ELSEWHERE, b"Bearer sk-mine", False)
        assert await ask("m", {"provider": "openai-prod", "api_key": "sk-mine"}) == 200
        assert keyed(upstream) == ("https://vendors.example/openai-prod", b"Bearer sk-mine", True)
        assert await ask("moved") == 200
        assert keyed(upstream) == (ELSEWHERE, b"Bearer sk-openai-prod", True)
        assert await ask("m", {"provider": "openai", "api_key": "sk-mine"}) == 200
        assert keyed(upstream) == ("https://api.openai.com/v1", b"Bearer sk-mine", False)
