"""Costs of whole exchanges, through a gateway whose vendors replay answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import genai_prices
import pytest
from openai import AsyncOpenAI
from structlog.testing import capture_logs
from typing_extensions import override

from headgate import Blocked, Exchange, Hooks, Provider, Reply, StartupError, hookimpl
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


def stream(usage: Json | None = USAGE, **more: Any) -> Recorded:
    chunk: Json = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m", **more}
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
    assert found == [(None, "unknown"), (None, "unknown")]
    assert plugin.unknown == {"openai/no-such-model": 2}
    warned = [line for line in logs if line["log_level"] == "warning"]
    assert [line["model"] for line in warned] == ["openai/no-such-model"]
    assert [(line["models"], line["exchanges"]) for line in logs if "exchanges" in line] == [(1, 2)]


STRANGE = ["nothing", "gpt-9o", "free", "0", "*", "my/gpt-4o-mini", "gpt-4o-minimal:free", "\u0130\u00df", "x" * 500]


@pytest.mark.parametrize("answer", [completion(), stream(), completion(model="nothing either")])
@pytest.mark.parametrize("base_url", ["https://api.openai.com/v1", "https://proxy.test/v1"])
async def test_no_name_makes_a_model_free(answer: Recorded, base_url: str) -> None:
    """Whatever a model is called, and whoever is behind it: what nobody has a price for never costs 0."""
    plugin = Prices(PricesConfig(models={"main/mine": ModelSettings(free=True), "other/*": ModelSettings(free=True)}))
    for name in STRANGE:
        found = await costs(answer, model=f"main/{name}", prices=plugin, deployment={"base_url": base_url})
        assert found == [(None, "unknown")], name
    assert sum(plugin.unknown.values()) == len(STRANGE)
    assert await costs(answer, model="main/mine", prices=plugin) == [(0, "settings")]


@pytest.mark.parametrize(
    ("path", "body", "usage"),
    [
        ("/v1/responses", {"input": "Hi"}, {"input_tokens": 1, "output_tokens": 1}),
        ("/v1/embeddings", {"input": "Hi"}, {"prompt_tokens": 1, "total_tokens": 1}),
        ("/v1/images/generations", {"prompt": "Hi"}, {"input_tokens": 1, "output_tokens": 1}),
        ("/v1/completions", {"prompt": "Hi"}, {"prompt_tokens": 1, "completion_tokens": 0}),
    ],
)
async def test_no_operation_makes_a_model_free(path: str, body: Json, usage: Json) -> None:
    """The same for other operations than chat; and the model list gives such a model no price of 0 either."""
    seen = Seen()
    providers = {"main": {"provider": "openai", "api_key": "sk-1", "models": ["nothing"]}}
    upstream = ReplayUpstream({"*": Recorded(body=json.dumps({"usage": usage}).encode())})
    async with gateway(Prices(PricesConfig()), seen, providers=providers, upstream=upstream) as client:
        answer = await client.post(path, json={"model": "main/nothing", **body})
        (listed,) = (await client.get("/v1/models")).json()["data"]
        await eventually(lambda: len(seen.recorded) == 2, "both were recorded")
    assert (answer.status_code, seen.recorded[0]) == (200, (None, "unknown"))
    assert "usd_per_million_tokens" not in listed


async def test_a_model_that_a_list_has_no_price_of(price_file: Callable[[object], Path], listed: Json) -> None:
    """A list may name a model and no price: then there is none."""
    plugin = Prices(PricesConfig(path=str(price_file([listed]))))
    assert await costs(completion(), model="main/unpriced", prices=plugin) == [(None, "unknown")]


# sessions with several models


HEARD = Usage(1000, 100, audio_in=900)
TALKED = Usage(1000, 200, audio_in=500, audio_out=100)
TALK_COST = 500 * 4 + 500 * 32 + 100 * 16 + 100 * 64
"""Of `TALKED` at gpt-realtime's prices, in micro-USD."""


class Session(Hooks):
    """Stands for a session over a WebSocket: what it used comes to be known after the call."""

    def __init__(self, by_model: Mapping[str, Usage]) -> None:
        self._by_model = by_model

    @override
    @hookimpl
    async def guard_reply(self, ex: Exchange) -> None:
        assert ex.reply is not None
        ex.reply.usage, ex.reply.usage_by_model = Usage(), self._by_model


@pytest.mark.parametrize(
    ("by_model", "cost", "source", "unknown"),
    [
        ({"": TALKED}, TALK_COST, "genai-prices", {}),
        ({"": TALKED, "gpt-4o-transcribe": HEARD}, TALK_COST + 100 * 2.5 + 900 * 6 + 100 * 10, "genai-prices", {}),
        ({"gpt-4o-transcribe": HEARD}, 100 * 2.5 + 900 * 6 + 100 * 10, "genai-prices", {}),
        ({"": TALKED, "whisper-1": Usage(raw={"seconds": 30.0})}, TALK_COST + 3000, "genai-prices", {}),
        ({"": TALKED, "nobody-hears": HEARD}, TALK_COST, "partial", {"openai/nobody-hears": 1}),
        ({"nobody-hears": HEARD}, None, "unknown", {"openai/nobody-hears": 1}),
    ],
)
async def test_each_model_of_a_session_has_its_price(
    by_model: dict[str, Usage], cost: float | None, source: str, unknown: dict[str, int]
) -> None:
    """What another model transcribed costs that model's price; where it has none the cost is what is known, and says so."""
    plugin = Prices(PricesConfig())
    found = await costs(
        completion(model="gpt-realtime"), model="main/gpt-realtime", prices=plugin, plugins=(Session(by_model),)
    )
    assert found == [(cost, source)]
    assert plugin.unknown == unknown


@pytest.mark.parametrize("answer", [completion(None), stream(None), Recorded(status=500, body=b"{}")])
async def test_no_usage(answer: Recorded) -> None:
    """Where the vendor states no usage the cost is not known, and it is not the price that is missing."""
    plugin = Prices(PricesConfig())
    assert await costs(answer, prices=plugin) == [(None, "")]
    assert plugin.unknown == {}


@pytest.mark.parametrize(
    ("settings", "cost"),
    [
        ({}, (None, "unknown")),
        ({"demo/*": ModelSettings(free=True)}, (0, "settings")),
        ({"demo/*": ModelSettings(max_output=5)}, (None, "unknown")),
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
        ("https://api.groq.com/openai/v1", "gpt-4o-mini", (None, "unknown")),
        ("https://proxy.test/v1", "gpt-4o-mini", (None, "unknown")),
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
    assert seen.recorded == [(1000 * 0.59 + 200 * 0.79, "genai-prices"), (None, "unknown")]


async def test_a_deployment_with_a_name_of_its_own() -> None:
    """An Azure deployment may be named anything; the operator says which model it is."""
    azure = {"provider": "azure-openai", "base_url": "https://x.openai.azure.com/openai/v1"}
    settings = {"azure-openai/mine": ModelSettings(same_as="openai/gpt-4o-mini")}
    assert await costs(completion(), model="main/mine", deployment=azure) == [(None, "unknown")]
    assert await costs(completion(), model="main/mine", deployment=azure, settings=settings) == [
        (MINI_COST, "genai-prices")
    ]
    assert await costs(completion(), deployment=azure) == [(MINI_COST, "genai-prices")]


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


async def test_hook_start(listed: Json, price_file: Callable[[object], Path]) -> None:
    """A file takes the place of the lists; one that is broken, or without a model that settings name, stops the start."""
    path = price_file([listed])
    config = PricesConfig(str(path))
    assert await costs(completion(), model="main/plain", prices=Prices(config)) == [(3700, "file")]
    assert await costs(completion(), prices=Prices(config)) == [(None, "unknown")]
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


class Reloaded:
    """A gateway whose prices come from a file, which tests change under it."""

    def __init__(self, client: Client, seen: Seen, write: Callable[[object], Path]) -> None:
        self.client = client
        self.seen = seen
        self.write = write

    async def cost(self) -> int | None:
        """What one more exchange costs."""
        before = len(self.seen.recorded)
        await self.client.post("/v1/chat/completions", json=chat_request("Hello", "main/plain"))
        await eventually(lambda: len(self.seen.recorded) > before, "the exchange was recorded")
        return self.seen.recorded[-1][0]


@pytest.fixture
async def reloaded(listed: Json, price_file: Callable[[object], Path]) -> AsyncIterator[Reloaded]:
    """A gateway that runs on a file of prices."""
    seen, path = Seen(), price_file([listed])
    config = {"plugins": [{"prices": {"path": str(path)}}], "auth": {"mode": "open"}}
    providers = {"main": {"provider": "openai", "api_key": "sk-1", "models": ["plain", "dated", "unheard-of"]}}
    async with gateway(
        seen, providers=providers, config=config, upstream=ReplayUpstream({"*": completion()})
    ) as client:
        yield Reloaded(client, seen, price_file)


async def test_a_reload_takes_a_changed_file(reloaded: Reloaded, listed: Json) -> None:
    """The plugin is kept as long as its file is, and started anew with another one."""
    held = reloaded.client.gateway.plan.plugins[1].hooks
    assert await reloaded.cost() == 3700
    assert await reloaded.client.gateway.reload()
    assert reloaded.client.gateway.plan.plugins[1].hooks is held
    listed["models"][0]["prices"]["input_mtok"] = 4
    reloaded.write([listed])
    assert await reloaded.cost() == 3700
    assert await reloaded.client.gateway.reload()
    assert await reloaded.cost() == 5700


async def test_a_bad_file_refuses_the_reload(reloaded: Reloaded, listed: Json) -> None:
    """As a bad configuration does: the old prices stay, the error names file, place and fix, and a good file ends it."""
    reloaded.write('[\n  {"id": "openai",\n  }\n]')
    for _ in range(2):
        assert not await reloaded.client.gateway.reload()
        (problem,) = reloaded.client.gateway.reload_error
        assert "prices.json` cannot be used: line 3: it is no JSON list" in problem
        assert problem.endswith("; correct it, or take a `data.json` (v2) of genai-prices")
        assert await reloaded.cost() == 3700
    broken = {**listed, "models": [*listed["models"][:1], {**listed["models"][1], "prices": {"input_mtok": "two"}}]}
    reloaded.write([broken])
    assert not await reloaded.client.gateway.reload()
    (problem,) = reloaded.client.gateway.reload_error
    assert "provider 0 (`openai`), model 1 (`tiered`), is not in genai-prices' data format: " in problem
    assert "input_mtok" in problem
    listed["models"][0]["prices"]["input_mtok"] = 4
    reloaded.write([listed])
    assert await reloaded.client.gateway.reload()
    assert (await reloaded.cost(), reloaded.client.gateway.reload_error) == (5700, ())


async def test_hook_facts(reloaded: Reloaded) -> None:
    """The model list shows the facts, as the official client reads it; of a model that nobody knows it says nothing."""
    sdk = AsyncOpenAI(base_url="http://gateway.test/v1", api_key="x", http_client=reloaded.client)
    found = {
        model.id: model.model_dump(exclude_unset=True, exclude={"id", "object", "created", "owned_by"})
        async for model in sdk.models.list()
    }
    assert found == {
        "main/plain": {"usd_per_million_tokens": {"input": 2, "output": 8.5}},
        "main/dated": {"context_window": 128_000, "usd_per_million_tokens": {"input": 3, "output": 3}},
        "main/unheard-of": {},
    }


async def test_facts_of_settings() -> None:
    """What the operator says stands in the list too: free is 0, and capabilities are nobody else's to know."""
    settings = {
        "demo/free": ModelSettings(free=True, max_output=5, capabilities=("tools", "images")),
        "demo/paid": ModelSettings(input=1, output=2, cached=0.5, cache_write=1.25, context=100),
    }
    providers = {"demo": {"provider": "demo", "models": ["free", "paid", "other"]}}
    async with gateway(Prices(PricesConfig(models=settings)), providers=providers) as client:
        free, paid, other = (await client.get("/v1/models")).json()["data"]
    assert free["usd_per_million_tokens"] == {"input": 0, "output": 0}
    assert (free["max_output_tokens"], free["capabilities"]) == (5, ["tools", "images"])
    assert paid["usd_per_million_tokens"] == {"input": 1, "output": 2, "cached": 0.5, "cache_write": 1.25}
    assert paid["context_window"] == 100
    assert set(other) == {"id", "object", "created", "owned_by"}
