"""Clients of Responses at vendors that have that API: when the vendor's own answers, and when its chat does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from providers.compatible.tests.asking import Json, at, sent
from providers.compatible.tests.calls import deploy, deploy_row, exchange

from headgate.testing.samples import chat_reply
from headgate_compatible import Compatible, Quirks
from headgate_compatible.responses import has_strange_tools

FUNCTION: Json = {"type": "function", "name": "run", "parameters": {"type": "object"}}
PATCH: Json = {"type": "custom", "name": "apply_patch"}
GROUP: Json = {"type": "namespace", "name": "mcp__node", "tools": [FUNCTION]}
SEARCH: Json = {"type": "tool_search", "execution": "client"}
CALL: Json = {"type": "custom_tool_call", "call_id": "c", "name": "apply_patch", "input": "x"}
NATIVE = ("responses", "openai.responses")
CHAT = ("chat", "openai.chat")
ANSWER: Json = {"id": "resp_1", "object": "response", "model": "m", "output": [], "status": "completed"}


def asking(*tools: Json, items: Any = "hi") -> bytes:
    return json.dumps({"model": "m", "input": items, "tools": tools}).encode()


@pytest.mark.parametrize(
    ("body", "known", "is_strange"),
    [
        (asking(FUNCTION), (), False),
        (asking({"type": "web_search"}, FUNCTION), (), False),
        (asking(FUNCTION, PATCH), (), True),
        (asking(PATCH), ("custom",), False),
        (asking(PATCH, items=[CALL]), ("apply_patch",), False),
        (asking({"type": "custom", "name": "other"}), ("apply_patch",), True),
        (asking({**GROUP, "tools": [PATCH]}), ("namespace",), True),
        (asking(PATCH, SEARCH), ("custom",), True),
        (asking(GROUP), ("namespace",), False),
        (asking(items=[CALL]), (), True),
        (asking(items=[CALL]), ("custom",), False),
        (asking(items=[{"type": "tool_search_output", "call_id": "c", "tools": []}]), ("custom",), True),
        (asking(items=[{"type": "function_call", "namespace": "a", "name": "b"}]), (), True),
        (
            asking(items=[{"type": "additional_tools", "tools": [FUNCTION]}]),
            ("custom", "namespace", "tool_search"),
            True,
        ),
        (asking(items='say "custom" and "namespace"'), (), False),
        (asking(items=[{"role": "user", "content": '{"type": "custom"}'}]), (), False),
        (b'{"tools": [{"type": "custom"', (), False),
        (b'["custom"]', (), False),
        (b'{"tools": "custom", "input": [1, "custom"]}', (), False),
    ],
)
def test_tools_that_only_some_vendors_know(body: bytes, known: tuple[str, ...], is_strange: bool) -> None:
    """Told by the tools and the items themselves, not by words in a text; what is no JSON is the vendor's to refuse."""
    assert has_strange_tools(body, known) is is_strange


@pytest.mark.parametrize(
    ("vendor", "way", "tools", "spoken"),
    [
        ("groq", "", (FUNCTION,), NATIVE),
        ("groq", "", (FUNCTION, PATCH), CHAT),
        ("groq", "native", (PATCH,), NATIVE),
        ("groq", "chat", (FUNCTION,), CHAT),
        ("mistral", "", (FUNCTION,), CHAT),
        ("mistral", "auto", (FUNCTION, GROUP), NATIVE),
        ("mistral", "auto", (PATCH,), CHAT),
        ("mistral", "native", (PATCH,), NATIVE),
    ],
)
def test_the_way_of_a_request(vendor: str, way: Any, tools: tuple[Json, ...], spoken: tuple[str, str]) -> None:
    """A deployment says it, else the row; `auto` looks at the tools."""
    provider = deploy_row(vendor, responses=way)
    assert provider.spoken(exchange(provider, asking(*tools), "responses"), "m") == spoken


def test_a_server_of_ones_own() -> None:
    """Its row says what tools it takes. Without chat there is nothing to translate into."""
    for row, operations, spoken in (
        (Quirks(responses_tools=["custom"]), ["chat", "responses"], NATIVE),
        (Quirks(), ["responses", "chat"], CHAT),
        (Quirks(), ["responses"], NATIVE),
    ):
        provider = deploy(Compatible, base_url="http://127.0.0.1:9000/v1", row=row, operations=operations)
        assert provider.spoken(exchange(provider, asking(PATCH), "responses"), "m") == spoken


@pytest.mark.parametrize(
    ("way", "spoken"), [("", CHAT), ("native", ("messages", "anthropic.messages")), ("chat", CHAT)]
)
def test_the_way_of_messages(way: Any, spoken: tuple[str, str]) -> None:
    """llama.cpp's own Messages loses schemas, so its chat is asked unless a deployment says otherwise; most vendors' own is."""
    body = b'{"model":"m","max_tokens":9,"messages":[]}'
    provider = deploy_row("llamacpp", messages=way)
    assert provider.spoken(exchange(provider, body, "messages"), "m") == spoken
    other = deploy_row("deepseek")
    assert other.spoken(exchange(other, body, "messages"), "m") == ("messages", "anthropic.messages")


async def test_an_agent_at_a_vendor_of_functions() -> None:
    """The vendor is asked in its chat, and the client's free-text tool is called as such."""
    call = {"id": "c1", "type": "function", "function": {"name": "apply_patch", "arguments": '{"input":"*** Begin"}'}}
    said = chat_reply({"content": None, "tool_calls": [call]}, "tool_calls")
    async with at("groq") as vendor:
        vendor.answer(said)
        status, reply = await vendor.ask("POST", "/v1/responses", json.loads(asking(FUNCTION, PATCH)))
        assert status == 200
        _, url, body = sent(vendor.calls[0])
        assert url == "https://api.groq.com/openai/v1/chat/completions"
        assert [tool["type"] for tool in body["tools"]] == ["function", "function"]
        [item] = reply["output"]
        assert (item["type"], item["name"], item["input"]) == ("custom_tool_call", "apply_patch", "*** Begin")


async def test_a_request_of_which_nothing_is_left() -> None:
    """What only OpenAI can read may be left out, but a vendor is not asked for nothing."""
    sealed = {"type": "encrypted_content", "encrypted_content": "gAAAAABqVRWu_a-b=="}
    items = [{"type": "agent_message", "author": "/root", "recipient": "/root/a", "content": [sealed]}]
    drop = {"x-headgate-unsupported": "drop"}
    for vendor, way in (("groq", {"responses": "chat"}), ("deepseek", {}), ("cohere", {})):
        async with at(vendor, **way) as held:
            status, reply = await held.ask("POST", "/v1/responses", {"model": "m", "input": items}, **drop)
            assert (status, reply["error"]["param"]) == (400, "messages")
            assert held.calls == []


async def test_mistrals_own() -> None:
    """Its preview is asked where a deployment says so, and keeps nothing."""
    async with at("mistral", responses="native") as vendor:
        vendor.answer(ANSWER)
        asked = {**json.loads(asking(FUNCTION)), "store": True}
        assert (await vendor.ask("POST", "/v1/responses", asked))[0] == 200
        _, url, body = sent(vendor.calls[0])
        assert (url, "store" in body) == ("https://api.mistral.ai/v1/responses", False)
        assert vendor.dropped == "store"
    async with at("mistral") as vendor:
        vendor.answer(chat_reply({"content": "hi"}))
        assert (await vendor.ask("POST", "/v1/responses", asked))[0] == 200
        assert sent(vendor.calls[0])[1] == "https://api.mistral.ai/v1/chat/completions"


@pytest.mark.parametrize(("model", "spoken"), [("openai/gpt-5.1", NATIVE), ("anthropic/claude-opus-4-5", CHAT)])
def test_bytez(model: str, spoken: tuple[str, str]) -> None:
    """OpenAI's models alone take tools there, so that those of others are asked by chat."""
    provider = deploy_row("bytez")
    assert provider.spoken(exchange(provider, asking(FUNCTION), "responses"), model) == spoken
