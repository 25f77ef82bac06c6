"""What tests of costs share: a vendor's answers that state what was used, and what a gateway says that they cost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from headgate import Exchange, Hooks, hookimpl
from headgate.testing import Recorded, ReplayUpstream, chat_request, eventually, gateway
from headgate_prices import ModelSettings, Prices, PricesConfig

Json = dict[str, Any]
USAGE = {"prompt_tokens": 1000, "completion_tokens": 200, "prompt_tokens_details": {"cached_tokens": 400}}
MINI_COST = 600 * 0.15 + 400 * 0.075 + 200 * 0.6
"""Of that usage at gpt-4o-mini's prices, in micro-USD."""
PRICED = ModelSettings(input=10, output=20)


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
