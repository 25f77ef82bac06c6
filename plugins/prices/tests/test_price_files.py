"""Files of prices: what a start and a reload make of them, and what they tell of models."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from openai import AsyncOpenAI
from plugins.prices.tests.spending import Json, Seen, completion, costs

from headgate import StartupError
from headgate.testing import Client, ReplayUpstream, chat_request, eventually, gateway
from headgate_prices import ModelSettings, Prices, PricesConfig


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
