"""Costs of whole exchanges, through a gateway whose vendors replay answers: who has a price, and who says so."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from plugins.prices.tests.spending import MINI_COST, PRICED, USAGE, Json, Seen, completion, costs, stream
from structlog.testing import capture_logs
from typing_extensions import override

from headgate import Exchange, Hooks, hookimpl
from headgate.chat import Usage
from headgate.testing import Recorded, ReplayUpstream, chat_request, eventually, gateway
from headgate_prices import ModelSettings, Prices, PricesConfig


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
