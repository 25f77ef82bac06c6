"""SambaNova's counts of tokens: what it is asked, whoever asks, and what is done where it refuses."""

from __future__ import annotations

import pytest
from providers.compatible.tests.asking import Json, at, sent

COUNT: Json = {"model": "mine/gpt-oss-120b", "messages": [{"role": "user", "content": "Grüße"}]}
TOOLS: Json = {"tools": [{"name": "t", "input_schema": {"type": "object", "properties": {}}}]}


@pytest.mark.parametrize(
    "more", [{}, {"thinking": {"type": "enabled", "budget_tokens": 2000}}, {"output_config": {"effort": "low"}}]
)
async def test_a_count_for_anthropics_clients(more: Json) -> None:
    """What makes the prompt is sent, and nothing that it answers with an error."""
    async with at("sambanova") as vendor:
        vendor.answer({"input_tokens": 17})
        asked = {**COUNT, "system": "Be brief.", **TOOLS, "tool_choice": {"type": "auto"}, **more}
        status, told = await vendor.ask("POST", "/v1/messages/count_tokens", asked)
        method, url, body = sent(vendor.calls[0])
    assert (status, told) == (200, {"input_tokens": 17})
    assert (method, url) == ("POST", "https://api.sambanova.ai/v1/messages/count_tokens")
    assert body.keys() == {"model", "messages", "system", "tools", "tool_choice"}
    assert body["model"] == "gpt-oss-120b"


async def test_a_count_for_openais_clients() -> None:
    """An effort is not counted, and not sent."""
    async with at("sambanova") as vendor:
        vendor.answer({"input_tokens": 17})
        asked = {"model": "mine/gpt-oss-120b", "input": "Grüße", "reasoning": {"effort": "low"}}
        status, told = await vendor.ask("POST", "/v1/responses/input_tokens", asked)
        body = sent(vendor.calls[0])[2]
    assert (status, told["input_tokens"]) == (200, 17)
    assert body.keys() == {"model", "messages"}


async def test_a_model_that_is_not_counted() -> None:
    """It is estimated."""
    async with at("sambanova") as vendor:
        vendor.answer({"type": "error", "error": {"type": "not_found_error", "message": "no such model"}}, status=404)
        status, told = await vendor.ask("POST", "/v1/messages/count_tokens", COUNT)
    assert status == 200
    assert told["input_tokens"] > 0
