"""Costs of whole exchanges, through a gateway whose vendors replay answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import genai_prices
import httpx2
import pytest
from structlog.testing import capture_logs
from typing_extensions import override

from headgate import Blocked, Exchange, Hooks, Reply, StartupError, hookimpl
from headgate.chat import Usage
from headgate.testing import Client, Recorded, ReplayUpstream, chat_request, eventually, gateway
from headgate_prices import ModelSettings, Prices, PricesConfig

Json = dict[str, Any]
USAGE = {"prompt_tokens": 1000, "completion_tokens": 200, "prompt_tokens_details": {"cached_tokens": 400}}
MINI_COST = 600 * 0.15 + 400 * 0.075 + 200 * 0.6
"""Of that usage at gpt-4o-mini's prices, in micro-USD."""


class Seen(Hooks):
    """Notes what a plugin that spends, and one that records, come to know."""

    def __init__(self) -> None:
        self.settled: list[tuple[int | None, str]] = []
        self.recorded: list[tuple[int | None, str]] = []

    @override
    @hookimpl
    async def settle(self, ex: Exchange) -> None:
        self.settled.append((ex.cost_microusd, ex.cost_source))

    @override
    @hookimpl
    async def record(self, ex: Exchange) -> None:
        self.recorded.append((ex.cost_microusd, ex.cost_source))


def completion(usage: Json | None = USAGE, **more: Any) -> Recorded:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    body: Json = {"id": "c-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], **more}
    return Recorded(body=json.dumps(body if usage is None else {**body, "usage": usage}).encode())


def stream(usage: Json | None = USAGE) -> Recorded:
    chunk: Json = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    said = {**chunk, "choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]}
    pieces: list[Json] = [said] if usage is None else [said, {**chunk, "choices": [], "usage": usage}]
    body = "".join(f"data: {json.dumps(piece)}\n\n" for piece in pieces) + "data: [DONE]\n\n"
    return Recorded(headers=(("content-type", "text/event-stream"),), body=body.encode())


async def costs(
    *answers: Recorded,
    model: str = "main/gpt-4o-mini",
    prices: Prices | None = None,
    deployment: Mapping[str, Any] | None = None,
    plugins: tuple[Hooks, ...] = (),
    request: Json | None = None,
    settings: Mapping[str, ModelSettings] | None = None,
) -> list[tuple[int | None, str]]:
    """What each of as many requests as there are answers cost, and who said so."""
    seen = Seen()
    held = prices or Prices(PricesConfig(models=dict(settings or {})))
    providers = {"main": {"provider": "openai", "api_key": "sk-1", **(deployment or {})}}
    async with gateway(held, *plugins, seen, providers=providers, upstream=ReplayUpstream({"*": answers})) as client:
        for answer in answers:
            is_stream = b"chat.completion.chunk" in answer.body
            body = {**chat_request("Hello", model, stream=is_stream), **(request or {})}
            await client.post("/v1/chat/completions", json=body)
        await eventually(lambda: len(seen.recorded) == len(answers), "every exchange was recorded")
    assert seen.settled == seen.recorded
    return seen.recorded


@pytest.mark.parametrize("answer", [completion(), stream()], ids=["whole", "stream"])
async def test_hook_settle(answer: Recorded) -> None:
    """Whole replies and streams cost what was used, and those who spend or record later know it."""
    assert await costs(answer) == [(MINI_COST, "genai-prices")]


async def test_a_model_without_a_price() -> None:
    """It works, costs null and not 0, is counted each time and told once."""
    plugin = Prices(PricesConfig())
    with capture_logs() as logs:
        found = await costs(completion(), completion(), model="main/no-such-model", prices=plugin)
    assert found == [(None, ""), (None, "")]
    assert plugin.unknown == {"openai/no-such-model": 2}
    warned = [line for line in logs if line["log_level"] == "warning"]
    assert [line["model"] for line in warned] == ["openai/no-such-model"]
    assert [(line["models"], line["exchanges"]) for line in logs if "exchanges" in line] == [(1, 2)]


@pytest.mark.parametrize("answer", [completion(None), stream(None), Recorded(status=500, body=b"{}")])
async def test_no_usage(answer: Recorded) -> None:
    """Where the vendor states no usage the cost is not known, and it is not the price that is missing."""
    plugin = Prices(PricesConfig())
    assert await costs(answer, prices=plugin) == [(None, "")]
    assert plugin.unknown == {}


@pytest.mark.parametrize(
    ("settings", "cost"),
    [
        ({}, (None, "")),
        ({"demo/*": ModelSettings(free=True)}, (0, "settings")),
        ({"demo/*": ModelSettings(max_output=5)}, (None, "")),
    ],
)
async def test_free_is_what_the_operator_says(settings: dict[str, ModelSettings], cost: tuple[int | None, str]) -> None:
    """A server that asks for no key has no price that is known, until it is said to be free."""
    seen = Seen()
    async with gateway(Prices(PricesConfig(models=settings)), seen) as client:
        await client.post("/v1/chat/completions", json=chat_request("Hello"))
        await eventually(lambda: bool(seen.recorded), "the exchange was recorded")
    assert seen.recorded == [cost]


PRICED = ModelSettings(input=10, output=20)


@pytest.mark.parametrize(
    ("settings", "cost", "source"),
    [
        ({"openai/gpt-4o-mini": PRICED}, 14_000, "settings"),
        ({"MAIN/GPT-4o-mini": PRICED}, 14_000, "settings"),
        ({"openai/*": PRICED}, 14_000, "settings"),
        ({"*/gpt-4*": PRICED}, 14_000, "settings"),
        ({"openai/*": ModelSettings(input=10, output=20, cached=1, cache_write=3)}, 10_400, "settings"),
        ({"*/*": ModelSettings(free=True), "main/gpt-4o-mini": PRICED}, 14_000, "settings"),
        ({"main/*": PRICED, "openai/gpt-4o-mini": ModelSettings(free=True)}, 0, "settings"),
        ({"openai/*": PRICED, "main/*": ModelSettings(free=True)}, 14_000, "settings"),
        ({"openai/*": ModelSettings(same_as="anthropic/claude-haiku-4-5")}, 600 + 40 + 1000, "genai-prices"),
        ({"openai/*": ModelSettings(context=5)}, MINI_COST, "genai-prices"),
        ({"other/*": PRICED, "openai/gpt-5*": PRICED}, MINI_COST, "genai-prices"),
    ],
)
async def test_settings(settings: dict[str, ModelSettings], cost: int, source: str) -> None:
    """They go before the lists: an exact name before patterns, and of those the first that is written."""
    assert await costs(completion(), settings=settings) == [(cost, source)]


async def test_a_stated_cost_goes_first() -> None:
    """What the vendor says it charged is taken before settings and lists, and noted as such."""
    router = {"provider": "openrouter"}
    answers = completion({**USAGE, "cost": 0.00123}), completion()
    found = await costs(*answers, model="main/openai/gpt-4o-mini", deployment=router, settings={"main/x": PRICED})
    assert found == [(1230, "stated"), (MINI_COST, "genai-prices")]
    assert await costs(completion({**USAGE, "cost": 0.00123})) == [(MINI_COST, "genai-prices")]


@pytest.mark.parametrize(
    ("url", "model", "cost"),
    [
        ("https://eu.api.openai.com/v1", "gpt-4o-mini", (MINI_COST, "genai-prices")),
        ("https://api.groq.com/openai/v1", "llama-3.3-70b-versatile", (1000 * 0.59 + 200 * 0.79, "genai-prices")),
        ("https://api.groq.com/openai/v1", "gpt-4o-mini", (None, "")),
        ("https://proxy.test/v1", "gpt-4o-mini", (None, "")),
    ],
)
async def test_another_base_url(url: str, model: str, cost: tuple[int | None, str]) -> None:
    """Who is behind the base URL sends the bill; where that is not known, neither is the cost."""
    assert await costs(completion(), model=f"main/{model}", deployment={"base_url": url}) == [cost]


async def test_a_base_url_of_the_callers() -> None:
    """A caller who brings a key and a base URL is billed by whoever is there."""
    seen = Seen()
    providers = {"openai": {"provider": "openai", "api_key": "sk-1"}}
    config = {"auth": {"mode": "passthrough"}}
    headers = {"authorization": "Bearer sk-2", "x-headgate-custom-host": "https://api.groq.com/openai/v1"}
    body = chat_request("Hello", "openai/llama-3.3-70b-versatile")
    upstream = ReplayUpstream({"*": completion()})
    async with gateway(Prices(PricesConfig()), seen, providers=providers, config=config, upstream=upstream) as client:
        await client.post("/v1/chat/completions", json=body, headers=headers)
        await client.post("/v1/chat/completions", json=body, headers={"authorization": "Bearer sk-2"})
        await eventually(lambda: len(seen.recorded) == 2, "both were recorded")
    assert seen.recorded == [(1000 * 0.59 + 200 * 0.79, "genai-prices"), (None, "")]


async def test_a_deployment_with_a_name_of_its_own() -> None:
    """An Azure deployment may be named anything; the operator says which model it is."""
    azure = {"provider": "azure-openai", "base_url": "https://x.openai.azure.com/openai/v1"}
    settings = {"azure-openai/mine": ModelSettings(same_as="openai/gpt-4o-mini")}
    assert await costs(completion(), model="main/mine", deployment=azure) == [(None, "")]
    assert await costs(completion(), model="main/mine", deployment=azure, settings=settings) == [
        (MINI_COST, "genai-prices")
    ]
    assert await costs(completion(), deployment=azure) == [(MINI_COST, "genai-prices")]


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
        (stream(), "auto", "default"),
    ],
)
async def test_service_tiers(answer: Recorded, asked: str | None, tier: str) -> None:
    """The tier that a whole reply names was charged; a stream's is the one that was asked for."""
    request = None if asked is None else {"service_tier": asked}
    assert await costs(answer, model="main/o3", request=request) == [(Tiers.cost(tier), "genai-prices")]
    assert Tiers.cost("flex") < Tiers.cost("default") < Tiers.cost("priority")


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


async def test_hook_start(listed: Json, price_file: Callable[[object], Path]) -> None:
    """A file takes the place of the lists; one that is broken, or without a model that settings name, stops the start."""
    path = price_file([listed])
    config = PricesConfig(str(path))
    assert await costs(completion(), model="main/plain", prices=Prices(config)) == [(3700, "file")]
    assert await costs(completion(), prices=Prices(config)) == [(None, "")]
    wants = PricesConfig(str(path), {"a/b": ModelSettings(same_as="openai/gpt-4o")})
    with pytest.raises(StartupError, match=r"prices\.json.*`same_as` names `openai/gpt-4o`"):
        await costs(completion(), prices=Prices(wants))
    price_file("{")
    with pytest.raises(StartupError, match=r"prices\.json` cannot be used: it is no JSON list"):
        await costs(completion(), prices=Prices(config))
    path.unlink()
    with pytest.raises(StartupError, match="it cannot be read: No such file"):
        await costs(completion(), prices=Prices(config))


async def test_hook_stop() -> None:
    """A plugin that never started can be stopped."""
    await Prices(PricesConfig()).stop()


async def ask(client: Client) -> httpx2.Response:
    return await client.post("/v1/chat/completions", json=chat_request("Hello", "main/plain"))


async def test_hook_configure(listed: Json, price_file: Callable[[object], Path]) -> None:
    """A reload reads the file again. A broken one is logged and changes nothing, and the next good one counts."""
    plugin, seen = Prices(PricesConfig(str(price_file([listed])))), Seen()
    providers = {"main": {"provider": "openai", "api_key": "sk-1"}}
    upstream = ReplayUpstream({"*": completion()})
    async with gateway(plugin, seen, providers=providers, upstream=upstream) as client:

        async def reload(content: object, event: str) -> Mapping[str, Any]:
            price_file(content)
            with capture_logs() as logs:
                assert await client.gateway.reload()
                await eventually(lambda: any(line["event"] == event for line in logs), event)
            await ask(client)
            return next(line for line in logs if line["event"] == event)

        await ask(client)
        broken = await reload("[", "the new prices cannot be used, the last good ones stay")
        assert "it is no JSON list" in broken["reason"]
        listed["models"][0]["prices"]["input_mtok"] = 4
        told = await reload([listed], "prices read again")
        assert told["models"] == 5
        assert await client.gateway.reload()
        await ask(client)
        await eventually(lambda: len(seen.recorded) == 4, "every exchange was recorded")
    assert seen.recorded == [(3700, "file"), (3700, "file"), (5700, "file"), (5700, "file")]
