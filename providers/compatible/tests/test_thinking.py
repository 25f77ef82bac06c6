"""Vendors that have words of their own for thinking: what each asks for in its own way."""

from __future__ import annotations

import json
from typing import Any

import pytest
from providers.compatible.tests.calls import (
    CALL,
    DROP,
    RESULT,
    THINK,
    TOOL,
    USER,
    Json,
    deploy_row,
    exchange,
    held,
    messages_request,
    responses_request,
    send,
    sent_by,
)

from headgate.errors import UnsupportedField
from headgate.testing import Recorded, ReplayUpstream
from headgate.testing.samples import chat_reply

TOOL_OF_CHAT: Json = {
    "type": "function",
    "function": {"name": "h", "parameters": {"type": "object", "properties": {"n": {}}}},
}

# Mistral


@pytest.mark.parametrize(
    ("model", "effort", "sent_as"),
    [
        ("mistral-medium-3-5", "low", "high"),
        ("mistral-medium-3-5", "none", "none"),
        ("mistral-large-4-0", "low", "low"),
        ("mistral-large-4", "xhigh", "high"),
        ("mistral-large-4", "none", None),
        ("mistral-large-2512", "medium", "high"),
    ],
)
async def test_mistral_thinks_by_model(model: str, effort: str, sent_as: str | None) -> None:
    """One model knows how much, and cannot be told not to; the others know whether. Another word than was asked for is named."""
    asked = responses_request(USER) | {"model": model, "reasoning": {"effort": effort}}
    sent, dropped = await sent_by("mistral", asked, "responses")
    assert sent.get("reasoning_effort") == sent_as
    assert dropped == ([] if effort == sent_as else ["reasoning_effort"])


# Groq


@pytest.mark.parametrize(
    ("model", "effort", "members"),
    [
        ("openai/gpt-oss-120b", "medium", {}),
        ("qwen/qwen3-32b", None, {"reasoning_format": "parsed"}),
        ("qwen/qwen3.8-27b", "medium", {"reasoning_format": "parsed"}),
        ("llama-3.3-70b-versatile", None, {}),
    ],
)
async def test_groq_thinks_by_model(model: str, effort: str | None, members: Json) -> None:
    """Each family has its words for effort, and those that think inside their answer are asked to keep it apart."""
    sent, dropped = await sent_by("groq", messages_request(USER, **THINK) | {"model": model})
    assert sent.get("reasoning_effort") == effort
    assert {name: sent[name] for name in ("reasoning_format", "include_reasoning") if name in sent} == members
    assert dropped == ["thinking.budget_tokens", *([] if effort else ["reasoning_effort"])]


async def test_groq_hides_thinking() -> None:
    """A caller who does not want to see thoughts gets none, in the words of the model's family."""
    hidden: Json = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    hidden["generationConfig"] = {"thinkingConfig": {"includeThoughts": False, "thinkingBudget": 100}}
    for model, member in (("qwen3", ("reasoning_format", "hidden")), ("gpt-oss", ("include_reasoning", False))):
        provider = deploy_row("groq")
        ex = exchange(provider, hidden, "generate", asked="chat")
        assert ex.attempt is not None
        ex.attempt.model = model
        await provider.call(ex)
        upstream: Any = provider.upstream
        assert json.loads(upstream.requests[-1].body)[member[0]] == member[1]


@pytest.mark.parametrize(("tier", "said"), [("default", "on_demand"), ("priority", "performance"), ("flex", "flex")])
async def test_groqs_tiers(tier: str, said: str) -> None:
    """Tiers have Groq's names."""
    sent, _ = await sent_by("groq", responses_request(USER, service_tier=tier), "responses")
    assert sent["service_tier"] == said


# DeepSeek


async def test_deepseek_thinks_as_asked() -> None:
    """Thinking is switched on and off, with an effort in DeepSeek's words; not asked for, it is the vendor's own choice."""
    sent, _ = await sent_by("deepseek", messages_request(USER, **THINK))
    assert (sent["thinking"], sent["reasoning_effort"]) == ({"type": "enabled"}, "high")
    sent, dropped = await sent_by("deepseek", messages_request(USER, thinking={"type": "disabled"}))
    assert (sent["thinking"], "reasoning_effort" in sent, dropped) == ({"type": "disabled"}, False, [])
    assert not {"thinking", "reasoning_effort"} & set((await sent_by("deepseek", messages_request(USER)))[0])


@pytest.mark.parametrize(
    ("effort", "word"),
    [("minimal", "low"), ("low", "low"), ("medium", "high"), ("high", "high"), ("xhigh", "high"), ("max", "max")],
)
async def test_deepseeks_table_of_efforts(effort: str, word: str) -> None:
    """Each level is the one that DeepSeek's own table has for it, and another than was asked for is named."""
    sent, dropped = await sent_by("deepseek", responses_request(USER, reasoning={"effort": effort}), "responses")
    assert (sent["thinking"], sent["reasoning_effort"]) == ({"type": "enabled"}, word)
    assert dropped == ([] if word == effort else ["reasoning_effort"])


async def test_deepseek_is_forced_only_without_thinking() -> None:
    """A forced call switches off thinking that nobody asked for; where it was asked for, the two cannot be had together."""
    forced = {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "f"}}
    sent, _ = await sent_by("deepseek", messages_request(USER, **forced))
    assert (sent["thinking"], sent["tool_choice"]["function"]) == ({"type": "disabled"}, {"name": "f"})
    body = responses_request(
        USER, tools=[{"type": "function", "name": "f"}], tool_choice="required", reasoning={"effort": "high"}
    )
    with pytest.raises(UnsupportedField, match=r"`tool_choice` .*thinks"):
        await sent_by("deepseek", body, "responses")
    sent, dropped = await sent_by("deepseek", body, "responses", headers=DROP)
    assert ("tool_choice" in sent, sent["thinking"], dropped) == (False, {"type": "enabled"}, ["tool_choice"])


async def test_deepseek_gets_thinking_back_where_there_are_tools() -> None:
    """With tools every turn of the model has its thinking with it, empty where there was none, as long as it may think."""
    thought: Json = {"type": "thinking", "thinking": "hm", "signature": ""}
    with_thought: Json = {"role": "assistant", "content": [thought, *CALL["content"]]}
    sent, _ = await sent_by("deepseek", messages_request(USER, with_thought, RESULT, tools=[TOOL]))
    assert sent["messages"][1]["reasoning_content"] == "hm"
    spoken: Json = {"role": "assistant", "content": "yes"}
    turns = (USER, CALL, RESULT, spoken, USER)
    sent, _ = await sent_by("deepseek", messages_request(*turns, tools=[TOOL]))
    assert [turn.get("reasoning_content") for turn in sent["messages"]] == [None, "", None, "", None]
    off = messages_request(*turns, tools=[TOOL], thinking={"type": "disabled"})
    for body in (off, messages_request(USER, spoken, USER)):
        assert not any("reasoning_content" in turn for turn in (await sent_by("deepseek", body))[0]["messages"])


@pytest.mark.parametrize(
    ("members", "thoughts"),
    [
        ({"tools": []}, [None, "", None, "hm", None]),
        ({"tools": [TOOL_OF_CHAT]}, [None, "", None, "hm", ""]),
        ({"thinking": {"type": "disabled"}}, [None, None, None, "hm", None]),
    ],
)
async def test_deepseek_gets_thinking_of_a_chat_client_too(members: Json, thoughts: list[str | None]) -> None:
    """OpenAI's SDK drops it, and a turn without any is an error there; what a client brings back is its own."""
    called: Json = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turns: list[Json] = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": None, "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "c", "content": "y"},
        {"role": "assistant", "content": "z", "reasoning_content": "hm"},
        {"role": "assistant", "content": "z"},
    ]
    sent, dropped = await send(deploy_row("deepseek"), {"model": "m", "messages": turns, **members}, "chat")
    assert ([turn.get("reasoning_content") for turn in sent["messages"]], dropped) == (thoughts, [])


@pytest.mark.parametrize("vendor", ["deepseek", "mistral"])
async def test_functions_of_a_chat_client_without_parameters(vendor: str) -> None:
    """Both vendors want parameters of every function, which OpenAI lets a client leave out: an empty object is none."""
    tools: list[Json] = [
        {"type": "function", "function": {"name": "f", "description": "d"}},
        {"type": "function", "function": {"name": "g", "parameters": None}},
        TOOL_OF_CHAT,
        {"type": "other"},
    ]
    sent, _ = await send(deploy_row(vendor), {"model": "m", "messages": [], "tools": tools}, "chat")
    empty: Json = {"type": "object", "properties": {}}
    assert sent["tools"] == [
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": empty}},
        {"type": "function", "function": {"name": "g", "parameters": empty}},
        *tools[2:],
    ]


@pytest.mark.parametrize("vendor", ["deepseek", "mistral"])
def test_tools_with_parameters_keep_their_bytes(vendor: str) -> None:
    """Nothing is written anew where nothing is missing, nor what is no list of tools."""
    provider = deploy_row(vendor)
    for tools in (b'[ {"function":{"name":"f","parameters":{"n":1.0}}} ]', b'{"function":{}}', b"[1]"):
        body = b'{"model":"m", "messages":[ ],"tools":%b}' % tools
        assert held(provider.prepare(exchange(provider, body))) == body


async def test_deepseeks_errors_are_read_whatever_they_are_labelled() -> None:
    """An error labelled as bytes is still one."""
    error = {
        "error": {"message": "Invalid", "type": "invalid_request_error", "param": None, "code": "invalid_request_error"}
    }
    answer = Recorded.from_json(error, 400).varied(headers=(("content-type", "application/octet-stream"),))
    provider = deploy_row("deepseek", ReplayUpstream({"*": answer}))
    reply = await provider.call(exchange(provider, messages_request(USER), "messages", asked="chat"))
    assert (reply.status, json.loads(reply.body)["error"]["message"]) == (400, "Invalid")
    assert dict(reply.headers)[b"content-type"] == b"application/json"


# xAI


@pytest.mark.parametrize(
    ("model", "effort"),
    [
        ("grok-3-mini", "high"), ("grok-4.3", "medium"), ("grok-4.5", "medium"), ("grok-next", "medium"), ("grok-4", None),
        ("grok-4-fast-reasoning", None), ("grok-4.20-reasoning", None), ("grok-code-fast-1", None), ("grok-3", None),
    ],
)  # fmt: skip
async def test_xai_thinks_by_model(model: str, effort: str | None) -> None:
    """Some models take words for effort and refuse others; what is not known is taken for newer."""
    sent, dropped = await sent_by("xai", messages_request(USER, **THINK) | {"model": model})
    assert sent.get("reasoning_effort") == effort
    assert dropped[0] == "thinking.budget_tokens"
    assert (dropped[1:] == []) == (effort == "medium")


async def test_xais_thinking_models_take_no_penalties() -> None:
    """Stop sequences and penalties are refused for models that think, and pass for those that do not."""
    body = messages_request(USER, stop_sequences=["x"]) | {"model": "grok-4"}
    with pytest.raises(UnsupportedField, match=r"`stop` .*`grok-4` thinks"):
        await sent_by("xai", body)
    sent, dropped = await sent_by("xai", body, headers=DROP)
    assert ("stop" in sent, dropped) == (False, ["stop"])
    for model in ("grok-3", "grok-4-fast-non-reasoning"):
        assert (await sent_by("xai", body | {"model": model}))[0]["stop"] == ["x"]


WRONG_KEY: Json = {
    "code": "Client specified an invalid argument",
    "error": "Incorrect API key provided: xa***23. You can obtain an API key from https://console.x.ai.",
}


@pytest.mark.parametrize("operation", ["chat", "messages"])
async def test_xais_wrong_key_is_401(operation: str) -> None:
    """A wrong key is told as 401, whoever asks, so that it is neither retried nor taken for the caller's fault."""
    provider = deploy_row("xai", ReplayUpstream({"*": Recorded.from_json(WRONG_KEY, 400)}))
    body: Json = {"model": "m", "messages": [USER], "max_tokens": 9}
    reply = await provider.call(exchange(provider, body, operation))
    assert reply.status == 401
    error = json.loads(reply.body)["error"]
    assert error["type"] == "authentication_error"
    assert error["message"].startswith("Incorrect API key provided")


async def test_xais_other_errors_stay() -> None:
    """Any other 400 is one."""
    answer = Recorded.from_json({"code": "x", "error": "Model not found: grok-0"}, 400)
    provider = deploy_row("xai", ReplayUpstream({"*": answer}))
    reply = await provider.call(exchange(provider))
    assert (reply.status, json.loads(reply.body)["error"]["message"]) == (400, "Model not found: grok-0")


# OpenRouter


@pytest.mark.parametrize(
    ("thinking", "reasoning"),
    [
        ({"type": "enabled", "budget_tokens": 2000}, {"max_tokens": 2000}),
        ({"type": "disabled"}, {"effort": "none"}),
        ({"type": "adaptive"}, {"enabled": True}),
    ],
)
async def test_openrouter_has_one_object_for_thinking(thinking: Json, reasoning: Json) -> None:
    """A budget stays a budget, and a switch one."""
    sent, dropped = await sent_by("openrouter", messages_request(USER, max_tokens=4000, thinking=thinking))
    assert (sent["reasoning"], "reasoning_effort" in sent, dropped) == (reasoning, False, [])


async def test_openrouter_takes_a_budget_or_an_effort() -> None:
    """Of both the budget is sent, and the effort is named."""
    both = messages_request(USER, **THINK, output_config={"effort": "low"})
    sent, dropped = await sent_by("openrouter", both)
    assert (sent["reasoning"], dropped) == ({"max_tokens": 2000}, ["reasoning_effort"])


async def test_openrouter_from_responses() -> None:
    """An effort and a summary go along; any effort is known there."""
    sent, dropped = await sent_by(
        "openrouter", responses_request(USER, reasoning={"effort": "xhigh", "summary": "auto"}), "responses"
    )
    assert sent["reasoning"] == {"effort": "xhigh", "summary": "auto"}
    assert "reasoning.summary" not in sent
    assert dropped in ([], ["reasoning.summary"])


async def test_openrouter_gets_its_signatures_back() -> None:
    """A signed thought comes back to OpenRouter as it came from there, by way of a Messages client, in the same account."""
    detail = {"type": "reasoning.text", "text": "hm", "signature": "c2ln", "format": "anthropic-claude-v1", "index": 0}
    answer = Recorded.from_json(chat_reply({"content": "yes", "reasoning": "hm", "reasoning_details": [detail]}))
    provider = deploy_row("openrouter", ReplayUpstream({"*": answer}))
    reply = await provider.call(exchange(provider, messages_request(USER), "messages", asked="chat"))
    content = json.loads(reply.body)["content"]
    assert content[0]["thinking"] == "hm"
    turns = (USER, {"role": "assistant", "content": content}, USER)
    sent, dropped = await send(provider, messages_request(*turns), asked="chat")
    turn = sent["messages"][1]
    assert (turn["reasoning"], turn["content"], dropped) == ("hm", "yes", [])
    assert turn["reasoning_details"] == [detail]
    sent, dropped = await send(deploy_row("groq"), messages_request(*turns), asked="chat")
    assert ("c2ln" in str(sent), dropped) == (False, ["messages[1].reasoning"])


async def test_openrouter_says_what_the_vendor_behind_it_said() -> None:
    """The words of the vendor that failed are told, with the status that OpenRouter gave."""
    error = {"message": "Provider returned error", "code": 429, "metadata": {"raw": "slow down", "provider_name": "X"}}
    provider = deploy_row("openrouter", ReplayUpstream({"*": Recorded.from_json({"error": error}, 429)}))
    reply = await provider.call(exchange(provider, messages_request(USER), "messages", asked="chat"))
    assert (reply.status, "slow down" in json.loads(reply.body)["error"]["message"]) == (429, True)


# MatterAI and MiniMax


@pytest.mark.parametrize(
    ("thinking", "effort", "told"),
    [
        ({"type": "disabled"}, "none", []),
        ({"type": "enabled", "budget_tokens": 2000}, "medium", ["thinking.budget_tokens"]),
    ],
)
async def test_matterai_is_told_an_effort_in_an_object(thinking: Json, effort: str, told: list[str]) -> None:
    """The effort stands in `reasoning` and nowhere else."""
    sent, dropped = await sent_by("matterai", messages_request(USER, max_tokens=4000, thinking=thinking))
    assert (sent["reasoning"], "reasoning_effort" in sent, dropped) == ({"effort": effort}, False, told)


@pytest.mark.parametrize(
    ("thinking", "said", "told"),
    [
        ({}, None, []),
        ({"thinking": {"type": "disabled"}}, {"type": "disabled"}, []),
        (THINK, {"type": "adaptive"}, ["thinking.budget_tokens"]),
    ],
)
async def test_minimax_decides_how_much_it_thinks(thinking: Json, said: Json | None, told: list[str]) -> None:
    """Thinking is switched off, or left to the model; its thoughts are always asked for apart from the content."""
    sent, dropped = await sent_by("minimax", messages_request(USER, **thinking))
    assert (sent.get("thinking"), sent["reasoning_split"], dropped) == (said, True, told)
    assert "reasoning_effort" not in sent


async def test_thoughts_go_back_to_minimax_as_they_came() -> None:
    """Its details are read as thoughts, and such thoughts go back as details, by way of a Messages client."""
    detail = {"type": "reasoning.text", "id": "reasoning-text-0", "text": "hm"}
    answer = Recorded.from_json(chat_reply({"content": "yes", "reasoning_details": [detail]}))
    provider = deploy_row("minimax", ReplayUpstream({"*": answer}))
    reply = await provider.call(exchange(provider, messages_request(USER), "messages", asked="chat"))
    content = json.loads(reply.body)["content"]
    assert [block.get("thinking") for block in content] == ["hm", None]
    turns = (USER, {"role": "assistant", "content": content}, USER)
    sent, dropped = await send(provider, messages_request(*turns), asked="chat")
    turn = sent["messages"][1]
    assert (turn["reasoning_details"], "reasoning_content" in turn, dropped) == (
        [{"type": "reasoning.text", "text": "hm"}], False, []
    )  # fmt: skip


# Cloudflare


@pytest.mark.parametrize(
    ("model", "thinking", "sent", "dropped"),
    [
        ("@cf/moonshotai/kimi-k2.6", {"type": "disabled"}, {"chat_template_kwargs": {"enable_thinking": False}}, []),
        ("@cf/moonshotai/kimi-k2.6", THINK["thinking"], {"reasoning_effort": "medium"}, ["thinking.budget_tokens"]),
        ("@cf/openai/gpt-oss-120b", {"type": "disabled"}, {}, ["reasoning_effort"]),
    ],
)
async def test_cloudflare_is_told_not_to_think(model: str, thinking: Json, sent: Json, dropped: list[str]) -> None:
    """Models with a switch in their template are told by it; for gpt-oss, which always thinks, the wish is left out and named."""
    body, left_out = await sent_by("cloudflare", messages_request(USER, thinking=thinking) | {"model": model})
    members = {name: body[name] for name in ("chat_template_kwargs", "reasoning_effort") if name in body}
    assert (members, left_out) == (sent, dropped)


# Z.ai, Zhipu and Moonshot


SWITCHED = {"type": "enabled"}
OFF: Json = {"thinking": {"type": "disabled"}}
BUDGET = "thinking.budget_tokens"


@pytest.mark.parametrize("name", ["zai", "zhipu"])
@pytest.mark.parametrize(
    ("model", "asked", "said", "told"),
    [
        ("glm-5.3", {}, {}, []),
        ("glm-5.3", THINK, {"reasoning_effort": "high"}, [BUDGET, "reasoning_effort"]),
        ("glm-5.3-flash", OFF, {"reasoning_effort": "low"}, ["reasoning_effort"]),
        ("glm-6", OFF, {"reasoning_effort": "low"}, ["reasoning_effort"]),
        ("glm-5.2", THINK, {"thinking": SWITCHED, "reasoning_effort": "medium"}, [BUDGET]),
        ("glm-5.2", OFF, OFF, []),
        ("glm-5-turbo", THINK, {"thinking": SWITCHED}, [BUDGET]),
        ("glm-4.7", OFF, OFF, []),
        ("glm-4-32b-0414-128k", OFF, OFF, []),
        ("m", OFF, OFF, []),
    ],
)
async def test_zai_thinks_by_generation(name: str, model: str, asked: Json, said: Json, told: list[str]) -> None:
    """GLM-5.3 has three efforts and no switch, GLM-5.2 has both, and what came before it a switch alone."""
    sent, dropped = await sent_by(name, messages_request(USER, **asked) | {"model": model})
    assert {field: sent[field] for field in ("thinking", "reasoning_effort") if field in sent} == said
    assert dropped == told


@pytest.mark.parametrize(
    ("model", "asked", "said", "told"),
    [
        ("kimi-k3", THINK, {"reasoning_effort": "high"}, [BUDGET, "reasoning_effort"]),
        ("kimi-k3.1-pro", OFF, {"reasoning_effort": "low"}, ["reasoning_effort"]),
        ("kimi-k2.7-code", OFF, {}, ["reasoning_effort"]),
        ("kimi-k2.7-code", THINK, {}, [BUDGET, "reasoning_effort"]),
        ("kimi-k2.6", OFF, OFF, []),
        ("kimi-k2.6", THINK, {"thinking": SWITCHED}, [BUDGET]),
    ],
)
async def test_moonshot_thinks_by_model(model: str, asked: Json, said: Json, told: list[str]) -> None:
    """Kimi K3 has efforts and no switch, Kimi K2.7 Code nothing to say, and others a switch."""
    sent, dropped = await sent_by("moonshot", messages_request(USER, **asked) | {"model": model})
    assert {field: sent[field] for field in ("thinking", "reasoning_effort") if field in sent} == said
    assert dropped == told


@pytest.mark.parametrize(
    ("name", "model", "asked", "said"),
    [
        ("vllm", "m", "xhigh", "xhigh"),
        ("vllm", "m", "minimal", "minimal"),
        ("ollama-openai", "m", "max", "max"),
        ("xai", "grok-4.7", "xhigh", "xhigh"),
        ("xai", "grok-4.5", "xhigh", "high"),
    ],
)
async def test_efforts_that_not_all_have(name: str, model: str, asked: str, said: str) -> None:
    """An effort that the vendor or the model has is said as it is; another is the nearest, and named."""
    body = responses_request(USER, reasoning={"effort": asked}) | {"model": model}
    sent, dropped = await sent_by(name, body, "responses")
    assert (sent["reasoning_effort"], dropped) == (said, [] if said == asked else ["reasoning_effort"])


async def test_moonshots_sampling_is_fixed_where_it_always_thinks() -> None:
    """Any value but the fixed one is refused by name, or let drop; the fixed one is sent, and so is any to other models."""
    body = messages_request(USER, temperature=0.2, top_p=0.95) | {"model": "kimi-k3"}
    with pytest.raises(UnsupportedField, match=r"`temperature` .*nothing else"):
        await sent_by("moonshot", body)
    sent, dropped = await sent_by("moonshot", body, headers=DROP)
    assert ("temperature" in sent, sent["top_p"], dropped) == (False, 0.95, ["temperature"])
    sent, dropped = await sent_by("moonshot", body | {"model": "moonshot-v1-8k"})
    assert (sent["temperature"], dropped) == (0.2, [])
