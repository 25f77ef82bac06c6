"""Responses of Zhipu and Z.ai, which keep what they are told to keep, at an address beside the rest."""

from __future__ import annotations

import json
from typing import Any

import pytest
from providers.compatible.tests.asking import Json, at, sent

ROOTS = {"zhipu": "https://open.bigmodel.cn/api", "zai": "https://api.z.ai/api"}
ROOT = ROOTS["zhipu"]
SAID: Json = {"role": "user", "content": "Grüße"}
ANSWER: Json = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "glm-5.3",
    "output": [
        {
            "type": "message",
            "id": "msg_1",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Ja.", "annotations": []}],
        }
    ],
    "usage": {"input_tokens": 9, "output_tokens": 2, "total_tokens": 11},
}


async def asked(name: str, body: Json) -> tuple[str, Any]:
    """Where the vendor's own Responses are asked for, and what."""
    async with at(name, responses="native") as vendor:
        vendor.answer(ANSWER)
        status, told = await vendor.ask("POST", "/v1/responses", {"model": "mine/glm-5.3", **body})
        assert (status, told) == (200, ANSWER)
        method, url, body = sent(vendor.calls[0])
        assert (method, body.pop("model")) == ("POST", "glm-5.3")
        return url, body


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"input": "Grüße"}, {"input": "Grüße", "store": True}),
        ({"input": [SAID], "store": None}, {"input": [{"type": "message", **SAID}], "store": True}),
        ({"input": [SAID], "store": False}, {"input": [{"type": "message", **SAID}], "store": False}),
        (
            {"input": [{"type": "function_call_output", "call_id": "1", "output": "2"}, 7], "store": True},
            {"input": [{"type": "function_call_output", "call_id": "1", "output": "2"}, 7], "store": True},
        ),
        (
            {"input": "b", "previous_response_id": "resp_1"},
            {"input": "b", "previous_response_id": "resp_1", "store": True},
        ),
    ],
    ids=["text", "nothing said", "not kept", "all said", "going on"],
)
@pytest.mark.parametrize("name", ROOTS)
async def test_what_goes_without_saying_is_said(name: str, body: Json, told: Json) -> None:
    """What is made is kept unless a client forbids it, as OpenAI does, and a message without a type has one."""
    assert await asked(name, body) == (f"{ROOTS[name]}/v1/responses", told)


async def test_they_are_asked_where_a_deployment_says_so() -> None:
    """Elsewhere clients of Responses are translated into chat."""
    async with at("zhipu") as vendor:
        vendor.answer({"error": {"code": "1", "message": "no"}}, status=400)
        await vendor.ask("POST", "/v1/responses", {"model": "mine/glm-5.3", "input": "Grüße"})
        assert vendor.calls[0].url == f"{ROOT}/paas/v4/chat/completions"
        assert json.loads(vendor.calls[0].body)["messages"] == [SAID]


@pytest.mark.parametrize(("method", "below"), [("GET", ""), ("DELETE", ""), ("GET", "/input_items?limit=2")])
async def test_what_is_kept_is_there(method: str, below: str) -> None:
    """What was kept is asked for where it was made; all else passes to where it was."""
    async with at("zhipu", responses="native") as vendor:
        vendor.answer(ANSWER)
        assert await vendor.ask(method, f"/v1/responses/resp_1{below}") == (200, ANSWER)
        await vendor.ask("GET", "/v1/agents/1")
        assert [call.url for call in vendor.calls] == [f"{ROOT}/v1/responses/resp_1{below}", f"{ROOT}/paas/v4/agents/1"]
    async with at("zhipu", base_url="https://mirror.example/v1") as vendor:
        vendor.answer(ANSWER)
        await vendor.ask(method, f"/v1/responses/resp_1{below}")
        assert vendor.calls[0].url == f"https://mirror.example/v1/responses/resp_1{below}"
