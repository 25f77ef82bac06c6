"""Costs that depend on the answer: the tier, the model and the vendor that it comes from, and whether it was paid for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import ClassVar

import genai_prices
import pytest
from plugins.prices.tests.spending import MINI_COST, PRICED, Json, Seen, completion, costs, stream
from typing_extensions import override

from headgate import Blocked, Exchange, Hooks, Provider, Reply, hookimpl
from headgate.chat import Usage
from headgate.testing import Recorded, ReplayUpstream, chat_request, eventually, gateway
from headgate_prices import ModelSettings, Prices, PricesConfig
from headgate_router_standard import RouterStandard


class ChatAlone(Provider):
    """OpenAI's chat and nothing else, so that other dialects are translated; it is billed by OpenAI's list."""

    name = "chat-alone"
    base_url = "https://api.openai.com/v1"
    dialects: ClassVar[Mapping[str, str]] = {"chat": "openai.chat"}
    paths: ClassVar[Mapping[str, str]] = {"chat": "/chat/completions"}


class Tiers:
    """o3's prices at three tiers, as the calculator of genai-prices has them."""

    @staticmethod
    def cost(tier: str) -> float:
        usage = genai_prices.Usage(input_tokens=1000, cache_read_tokens=400, output_tokens=200)
        price = genai_prices.calc_price(usage, "o3", provider_id="openai", price_context={"service_tier": tier})
        return float(price.total_price * 1_000_000)


@pytest.mark.parametrize(
    ("answer", "asked", "tier"),
    [
        (completion(), None, "default"),
        (completion(), "flex", "flex"),
        (completion(service_tier="default"), "priority", "default"),
        (completion(service_tier="flex"), None, "flex"),
        (completion(service_tier=7), "flex", "flex"),
        (stream(), "flex", "flex"),
        (stream(service_tier="flex"), "auto", "flex"),
        (stream(service_tier="default"), "priority", "default"),
        (stream(), "auto", "default"),
    ],
)
async def test_service_tiers(answer: Recorded, asked: str | None, tier: str) -> None:
    """The tier that the answer names was charged, whole or streamed; without one it is the tier that was asked for."""
    request = None if asked is None else {"service_tier": asked}
    assert await costs(answer, model="main/o3", request=request) == [(Tiers.cost(tier), "genai-prices")]
    assert Tiers.cost("flex") < Tiers.cost("default") < Tiers.cost("priority")


@pytest.mark.parametrize("made", [completion, stream])
async def test_the_model_that_answered(made: Callable[..., Recorded]) -> None:
    """An alias or a deployment's own name may stand for another model by now: the one that answered has the price."""
    (dated,) = await costs(made(model="gpt-4o-2024-05-13"), model="main/gpt-4o")
    (alias,) = await costs(made(model="gpt-4o"), model="main/gpt-4o")
    assert (dated, alias) == (
        (1000 * 5 + 200 * 15, "genai-prices"),
        (600 * 2.5 + 400 * 1.25 + 200 * 10, "genai-prices"),
    )
    azure = {"provider": "azure-openai", "base_url": "https://x.openai.azure.com/openai/v1"}
    assert await costs(made(model="gpt-4o-mini"), model="main/mine", deployment=azure) == [(MINI_COST, "genai-prices")]
    settings = {"main/mine": PRICED}
    assert await costs(made(model="gpt-4o-mini"), model="main/mine", settings=settings) == [(14_000, "settings")]


@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_translated_answer_says_its_model_and_tier(is_stream: bool) -> None:
    """Whatever dialect the client speaks, what the provider said of its answer counts."""
    seen = Seen()
    answer = stream if is_stream else completion
    answers = [answer(model="o3-2025-04-16", service_tier="flex")]
    providers = {"main": {"provider": "openai", "api_key": "sk-1"}}
    upstream = ReplayUpstream({"*": answers})
    async with gateway(
        Prices(PricesConfig()),
        seen,
        ChatAlone,
        providers={"main": {**providers["main"], "provider": "chat-alone"}},
        upstream=upstream,
    ) as client:
        body = {
            "model": "main/o1",
            "max_tokens": 5,
            "stream": is_stream,
            "messages": [{"role": "user", "content": "Hi"}],
        }
        await client.post("/v1/messages", json=body)
        await eventually(lambda: bool(seen.recorded), "it was recorded")
    assert seen.recorded == [(Tiers.cost("flex"), "genai-prices")]


async def test_fast_mode() -> None:
    """Anthropic states the speed in its usage object."""
    seen = Seen()
    content: list[Json] = [{"type": "text", "text": "Hi"}]
    bodies: list[Json] = [
        {"type": "message", "content": content, "usage": {"input_tokens": 10, "output_tokens": 10, "speed": speed}}
        for speed in ("standard", "fast")
    ]
    answers = [Recorded(body=json.dumps(body).encode()) for body in bodies]
    providers = {"main": {"provider": "anthropic", "api_key": "sk-1"}}
    upstream = ReplayUpstream({"*": answers})
    async with gateway(Prices(PricesConfig()), seen, providers=providers, upstream=upstream) as client:
        for _ in answers:
            body = {"model": "main/claude-fable-5-2", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}
            await client.post("/v1/messages", json=body)
        await eventually(lambda: len(seen.recorded) == 2, "both were recorded")
    assert seen.recorded == [(10 * 8 + 10 * 40, "genai-prices"), (10 * 16 + 10 * 80, "genai-prices")]


class Cache(Hooks):
    """A cache that has everything."""

    @override
    @hookimpl
    async def lookup(self, ex: Exchange) -> Reply | None:
        return Reply(200, ((b"content-type", b"application/json"),), b"{}", usage=Usage(1000, 200))


class Wall(Hooks):
    """Lets no reply pass."""

    @override
    @hookimpl
    async def guard_reply(self, ex: Exchange) -> None:
        raise Blocked("no")


async def test_a_reply_from_the_cache() -> None:
    """It was paid for before."""
    assert await costs(completion(), plugins=(Cache(),)) == [(0, "cache")]


async def test_a_reply_that_was_withheld() -> None:
    """What a guardrail keeps from the client was paid for all the same."""
    assert await costs(completion(), plugins=(Wall(),)) == [(MINI_COST, "genai-prices")]


async def test_a_request_that_nobody_answered() -> None:
    """Refused before any vendor was asked: no cost is known, and no model counted."""
    plugin = Prices(PricesConfig())
    assert await costs(completion(), model="nobody/x", prices=plugin) == [(None, "")]
    assert plugin.unknown == {}


async def test_the_vendor_that_answered() -> None:
    """After a fallback it is the second one's price that counts."""
    seen = Seen()
    providers = {name: {"provider": name, "api_key": "sk-1"} for name in ("openai", "groq")}
    models = {
        "fast": {"strategy": {"mode": "fallback"}, "targets": ["openai/gpt-4o-mini", "groq/llama-3.3-70b-versatile"]}
    }
    upstream = ReplayUpstream(
        {"/v1/chat/completions": Recorded(status=500), "/openai/v1/chat/completions": completion()}
    )
    config = {"plugins": ["router-standard"], "auth": {"mode": "open"}}
    async with gateway(
        Prices(PricesConfig()), seen, providers=providers, models=models, upstream=upstream, config=config
    ) as client:
        reply = await client.post("/v1/chat/completions", json=chat_request("Hello", "fast"))
        assert reply.status_code == 200
        await eventually(lambda: bool(seen.recorded), "the exchange was recorded")
    assert seen.recorded == [(1000 * 0.59 + 200 * 0.79, "genai-prices")]


@pytest.mark.parametrize(
    ("settings", "cost", "source"),
    [
        ({"a/m": PRICED, "b/m": PRICED}, 1000 * 10 + 200 * 20 + 1000 * 10, "estimated"),
        ({"b/m": PRICED}, 1000 * 10 + 200 * 20, "partial"),
    ],
)
async def test_a_call_that_nobody_waited_for_costs_its_prompt(
    settings: dict[str, ModelSettings], cost: int, source: str
) -> None:
    """A vendor that had the prompt when its time was over will bill it; where its price is not known the cost is in part."""
    seen = Seen()
    prices = Prices(PricesConfig(models=settings))
    providers = {
        name: {"provider": "openai", "api_key": "sk-1", "base_url": f"https://{name}.example/{name}"} for name in "ab"
    }
    upstream = ReplayUpstream({"/a/chat/completions": Recorded(stall_at=-1), "*": completion()})
    models = {"both": {"strategy": {"mode": "fallback"}, "request_timeout": 50, "targets": ["a/m", "b/m"]}}
    plugins = (prices, RouterStandard(), seen)
    async with gateway(*plugins, providers=providers, models=models, upstream=upstream) as client:
        reply = await client.post("/v1/chat/completions", json=chat_request("Hello", "both"))
        assert reply.headers["x-headgate-attempt-count"] == "2"
        await eventually(lambda: len(seen.recorded) == 1, "the exchange was recorded")
    assert seen.settled == [(cost, source)]
