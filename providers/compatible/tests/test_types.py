"""Encoded requests by the types of official SDKs: every field is one the vendor has, and every value one it takes."""

from __future__ import annotations

from typing import Any

import pytest
from cerebras.cloud.sdk.types.chat import completion_create_params as cerebras
from groq.types.chat import completion_create_params as groq
from openrouter.components import ChatRequest
from perplexity.types.chat import completion_create_params as perplexity
from providers.compatible.tests.calls import Json, deploy_row, messages_request, responses_request, send
from providers.compatible.tests.eager import check
from pydantic import ValidationError
from together.types.chat import completion_create_params as together

DROP = {b"x-headgate-unsupported": b"drop"}
USER: Json = {"role": "user", "content": "hi"}
PICTURE: Json = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
SCHEMA: Json = {
    "type": "object",
    "properties": {"a": {"type": "integer"}},
    "required": ["a"],
    "additionalProperties": False,
}
TOOL: Json = {"name": "f", "description": "d", "input_schema": SCHEMA}
THOUGHT: Json = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
FUNCTION: Json = {"type": "function", "name": "f", "parameters": SCHEMA, "strict": True}
ASKED: Json = {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}}
ANSWERED: Json = {"type": "tool_result", "tool_use_id": "t1", "content": "r"}
LOOP = messages_request(
    {"role": "user", "content": [{"type": "text", "text": "look"}, PICTURE]},
    {"role": "assistant", "content": [THOUGHT, {"type": "text", "text": "ok"}, ASKED]},
    {"role": "user", "content": [ANSWERED, {"type": "text", "text": "go on"}]},
    system=[{"type": "text", "text": "be", "cache_control": {"type": "ephemeral"}}],
    tools=[TOOL], tool_choice={"type": "any", "disable_parallel_tool_use": True}, temperature=0.5, top_k=3, top_p=0.9,
    stop_sequences=["x"], metadata={"user_id": "u"}, thinking={"type": "enabled", "budget_tokens": 2000}, max_tokens=4000,
)  # fmt: skip
ITEMS = responses_request(
    {"role": "developer", "content": "be"},
    USER,
    {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "ZW5j"},
    {"type": "function_call", "call_id": "call_1", "id": "fc_1", "name": "f", "arguments": '{"a": 1}'},
    {"type": "function_call_output", "call_id": "call_1", "output": "r"},
    instructions="brief", tools=[FUNCTION], tool_choice="auto", parallel_tool_calls=True, store=False,
    reasoning={"effort": "xhigh", "summary": "auto"}, include=["reasoning.encrypted_content"], max_output_tokens=900,
    text={"verbosity": "low", "format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}},
    prompt_cache_key="k", safety_identifier="s", metadata={"a": "b"}, service_tier="auto",
)  # fmt: skip
CONTENTS: Json = {
    "systemInstruction": {"parts": [{"text": "be"}]},
    "contents": [
        {"role": "user", "parts": [{"text": "hi"}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]},
        {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "c2ln"}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"r": 1}}}]},
    ],
    "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": SCHEMA}]}],
    "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
    "generationConfig": {"maxOutputTokens": 900, "stopSequences": ["x"], "thinkingConfig": {"thinkingBudget": 500}},
}
BODIES: dict[str, Json] = {"messages": LOOP, "responses": ITEMS, "generate": CONTENTS}
VENDORS: dict[str, Any] = {
    "cerebras": cerebras.CompletionCreateParams,
    "groq": groq.CompletionCreateParams,
    "perplexity": perplexity.CompletionCreateParamsNonStreaming,
    "together": together.CompletionCreateParamsNonStreaming,
}


@pytest.mark.parametrize("client", BODIES)
@pytest.mark.parametrize("vendor", VENDORS)
async def test_encoded_requests_are_valid(vendor: str, client: str) -> None:
    """Whatever a client of another dialect asks for, the vendor is sent what its own SDK could have sent."""
    sent, _ = await send(deploy_row(vendor), BODIES[client], client, asked="chat", headers=DROP)
    if vendor == "together" and isinstance(sent.get("tool_choice"), dict):
        del sent[
            "tool_choice"
        ]  # its types have that of an answer there; https://docs.together.ai/docs/function-calling
    check(VENDORS[vendor], sent)


@pytest.mark.parametrize("client", BODIES)
async def test_openrouters_requests_are_valid(client: str) -> None:
    """OpenRouter's SDK has models of its own."""
    sent, _ = await send(deploy_row("openrouter"), BODIES[client], client, asked="chat", headers=DROP)
    assert set(sent) <= set(ChatRequest.model_fields)
    ChatRequest.model_validate(sent)


@pytest.mark.parametrize("vendor", VENDORS)
def test_the_types_refuse_something(vendor: str) -> None:
    """The check is one: a message without a role, or a field of another vendor's, does not pass."""
    with pytest.raises(ValidationError):
        check(VENDORS[vendor], {"model": "m", "messages": [{"content": 3}]})
    with pytest.raises(AssertionError):
        check(VENDORS[vendor], {"model": "m", "messages": [], "random_seed": 1})
