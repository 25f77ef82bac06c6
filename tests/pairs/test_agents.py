"""What coding agents and frameworks send, to every kind of vendor: each is answered, and what is left out is named.

The shapes are the clients' own, the content is made up. Sources: https://code.claude.com/docs/en/llm-gateway-protocol,
https://github.com/openai/codex (codex-rs/codex-api and https://github.com/NVIDIA-NeMo/Switchyard/issues/515),
https://github.com/google-gemini/gemini-cli, https://github.com/BerriAI/litellm/pull/34029 (Cursor) and the clients' issues.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from openai.types.responses import Response
from tests.replay import clients
from tests.replay.questions import open_target
from tests.replay.targets import TARGETS, Target, World

from headgate.testing import Recorded, ReplayUpstream

Json = dict[str, Any]

PARAMETERS: Json = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}
CLOSED: Json = {**PARAMETERS, "additionalProperties": False}
ASKED = "list the files"
MARK: Json = {"type": "ephemeral", "ttl": "1h"}


def spoken(role: str, text: str) -> Json:
    """A message of Responses."""
    return {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]}


def function(name: str, **members: Any) -> Json:
    """A function of chat."""
    return {"type": "function", "function": {"name": name, "description": "d", "parameters": CLOSED, **members}}


CALLED: Json = {"name": "run", "arguments": '{"command": "ls"}'}
HISTORY: list[Json] = [
    {"role": "system", "content": "You are an agent."},
    {"role": "user", "content": ASKED},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": CALLED}]},
    {"role": "tool", "tool_call_id": "call_1", "content": "a.py", "name": "run"},
]
STREAMED: Json = {"stream": True, "stream_options": {"include_usage": True}}
SCHEMA: Json = {
    "type": "json_schema",
    "json_schema": {
        "name": "Out",
        "strict": True,
        "schema": {
            "type": "object",
            "title": "Out",
            "properties": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}], "title": "A"}},
            "required": ["a"],
            "additionalProperties": False,
        },
    },
}
PATCH: Json = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Edits files.",
    "format": {"type": "grammar", "syntax": "lark", "definition": 'start: "*** Begin Patch"'},
}
GROUP: Json = {
    "type": "namespace",
    "name": "mcp__node",
    "description": "A console.",
    "tools": [{"type": "function", "name": "js", "strict": False, "defer_loading": True, "parameters": PARAMETERS}],
}
OWN: list[Json] = [
    {"type": "function", "name": "exec_command", "description": "d", "strict": False, "parameters": CLOSED},
    PATCH,
    GROUP,
    {"type": "tool_search", "execution": "client", "description": "d", "parameters": PARAMETERS},
]
CODEX: Json = {
    "instructions": "You are an agent.",
    "input": [
        spoken("developer", "permissions"),
        spoken("user", ASKED),
        {"type": "reasoning", "summary": [], "content": None, "encrypted_content": "gAAA"},
        {"type": "function_call", "name": "exec_command", "arguments": '{"command":"ls"}', "call_id": "call_1"},
        {"type": "function_call_output", "call_id": "call_1", "output": "a.py"},
        {
            "type": "custom_tool_call",
            "status": "completed",
            "call_id": "call_2",
            "name": "apply_patch",
            "input": "*** ",
        },
        {"type": "custom_tool_call_output", "call_id": "call_2", "output": "ok"},
        {"type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "x"}},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Found."}]},
        spoken("user", "go on"),
    ],
    "tools": [*OWN, {"type": "web_search", "external_web_access": True}],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "reasoning": {"effort": "medium", "summary": "auto", "context": "all_turns"},
    "store": False,
    "stream": True,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "k",
    "text": {"verbosity": "low"},
    "client_metadata": {"x-codex-installation-id": "i"},
}
LITE: Json = {
    **{name: value for name, value in CODEX.items() if name not in {"tools", "instructions"}},
    "input": [{"type": "additional_tools", "role": "developer", "tools": OWN}, spoken("user", ASKED)],
}
CLAUDE_CODE: Json = {
    "max_tokens": 32_000,
    "stream": True,
    "system": [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2;"},
        {"type": "text", "text": "You are an agent.", "cache_control": {**MARK, "scope": "global"}},
    ],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": ASKED, "cache_control": MARK}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "look", "signature": "c2lnbmVk"},
                {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "ls"}},
                {"type": "tool_use", "id": "toolu_2", "name": "ToolSearch", "input": {"command": "x"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "gone", "is_error": True},
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_2",
                    "content": [{"type": "tool_reference", "tool_name": "mcp__x"}],
                },
                {"type": "text", "text": "go on", "cache_control": MARK},
            ],
        },
    ],
    "tools": [
        {"name": "Bash", "description": "d", "input_schema": CLOSED, "eager_input_streaming": True},
        {"name": "ToolSearch", "description": "d", "input_schema": PARAMETERS},
        {"name": "mcp__x", "description": "d", "input_schema": PARAMETERS, "defer_loading": True},
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 8},
    ],
    "metadata": {"user_id": "u"},
    "thinking": {"type": "adaptive"},
    "output_config": {"effort": "high"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "fallbacks": [{"model": "claude-opus-4-6"}],
}
GEMINI_CLI: Json = {
    "systemInstruction": {"role": "user", "parts": [{"text": "You are an agent."}]},
    "contents": [
        {"role": "user", "parts": [{"text": ASKED}]},
        {"role": "model", "parts": [{"functionCall": {"name": "run", "args": {"command": "ls"}}}]},
        {
            "role": "user",
            "parts": [{"functionResponse": {"id": "run-1", "name": "run", "response": {"output": "a.py"}}}],
        },
    ],
    "tools": [{"functionDeclarations": [{"name": "run", "description": "d", "parametersJsonSchema": PARAMETERS}]}],
    "generationConfig": {
        "temperature": 1,
        "topP": 0.95,
        "topK": 64,
        "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 8192},
    },
}
FORCED: Json = {"tools": [function("run")], "tool_choice": "required"}
AGENTS: dict[str, tuple[str, Json]] = {
    "claude-code": ("anthropic.messages", CLAUDE_CODE),
    "codex": ("openai.responses", CODEX),
    "codex-lite": ("openai.responses", LITE),
    "gemini-cli": ("google.generate", GEMINI_CLI),
    "cline": (
        "openai.chat",
        {"messages": HISTORY, "tools": [function("run", strict=True)], "temperature": 0, "max_tokens": 8192}
        | {"reasoning_effort": "medium", "parallel_tool_calls": False, **STREAMED},
    ),
    "cursor": (
        "openai.chat",
        {
            "messages": HISTORY,
            "tools": [function("run"), {"type": "function", "name": "flat", "parameters": PARAMETERS}],
        }
        | {"temperature": 1, "user": "u", "store": False, "metadata": {"a": "b"}, **STREAMED},
    ),
    "opencode": (
        "openai.chat",
        {"messages": HISTORY, "tools": [function("run")], "temperature": 0.55, "top_p": 1, "max_tokens": 32_000}
        | {"prompt_cache_key": "k", "reasoning_effort": "medium", **STREAMED},
    ),
    "aider": (
        "openai.chat",
        {"messages": HISTORY[:2], "temperature": 0, "thinking": {"type": "enabled", "budget_tokens": 8000}},
    ),
    "continue": (
        "openai.chat",
        {"messages": HISTORY, "tools": [function("run")], "max_tokens": 4096, "stop": None, "temperature": None}
        | {"parallel_tool_calls": False, **STREAMED},
    ),
    "langchain": (
        "openai.chat",
        {"messages": HISTORY[:2], "tools": [function("Out", strict=False)], "parallel_tool_calls": False, "seed": 1}
        | {"tool_choice": {"type": "function", "function": {"name": "Out"}}, "temperature": 0.0},
    ),
    "langgraph": ("openai.chat", {"messages": HISTORY, "response_format": SCHEMA, "temperature": 0.0, "n": 1}),
    "pydantic-ai": ("openai.chat", {"messages": HISTORY, **FORCED, "parallel_tool_calls": True, "seed": 7}),
    "openai-agents": (
        "openai.responses",
        {"input": [{"role": "user", "content": ASKED}, {"type": "item_reference", "id": "rs_1"}]}
        | {"instructions": "s", "tools": OWN[:1], "include": [], "truncation": "auto", "store": True, "top_p": 0.9}
        | {"temperature": 0.1, "parallel_tool_calls": False},
    ),
    "vercel-ai": (
        "anthropic.messages",
        {"max_tokens": 4096, "messages": [{"role": "user", "content": ASKED}], "temperature": 0, "stream": True}
        | {"tools": [{"name": "json", "description": "d", "input_schema": CLOSED}]}
        | {"tool_choice": {"type": "tool", "name": "json", "disable_parallel_tool_use": True}},
    ),
    "llamaindex": (
        "openai.responses",
        {"input": [{"role": "user", "content": ASKED}], "instructions": None, "tools": [], "store": False}
        | {"temperature": 0.1, "top_p": 1.0, "truncation": "disabled", "user": None, "previous_response_id": None},
    ),
    "smolagents": ("openai.chat", {"messages": HISTORY[:2], **FORCED}),
    "crewai": ("openai.chat", {"messages": HISTORY, "tools": [function("run", strict=True)], "temperature": 0.7}),
    "dspy": ("openai.chat", {"messages": HISTORY[:2], "response_format": SCHEMA, "temperature": 1.0, "n": 1}),
}
PATHS = {
    "anthropic.messages": "/v1/messages?beta=true",
    "openai.chat": "/v1/chat/completions",
    "openai.responses": "/v1/responses",
}
DROP = {"x-headgate-unsupported": "drop"}
"""What deployments for agents say of all: their clients send what helps with one model to every other."""
RELAYED = {"vertex.messages": "anthropic.messages", "mistral.chat": "openai.chat"}
"""Dialects of vendors that are those of clients by another name."""
NO_AGENTS = frozenset({"perplexity"})
"""Vendors whose models take no tools, without which an agent is none."""


def asked_of(target: Target, dialect: str, body: Json) -> tuple[str, Json]:
    """Where and what an agent sends that was told of this model."""
    if dialect == "google.generate":
        return f"/v1beta/models/d/{target.model}:streamGenerateContent?alt=sse", body
    return PATHS[dialect], {**body, "model": f"d/{target.model}"}


@pytest.mark.parametrize("target", [each for each in TARGETS if each.name not in NO_AGENTS], ids=lambda each: each.name)
async def test_agents_are_answered(target: Target) -> None:
    """By every vendor, as the official SDK reads it: what has no word there is left out, as is wanted, and named."""
    world, refused, told = World(target), dict[str, str](), dict[str, str]()
    async with open_target(target, world) as client:
        for agent, (dialect, body) in AGENTS.items():
            path, sent = asked_of(target, dialect, body)
            reply = await client.post(path, json=sent, headers=DROP)
            stream = dialect == "google.generate" or body.get("stream", False)
            is_relayed = dialect == RELAYED.get(target.dialect, target.dialect)
            if reply.status_code != 200:
                refused[agent] = reply.text
            elif not is_relayed and (wrong := clients.rejected(dialect, reply.content, stream=stream)):
                refused[agent] = str(wrong)
            elif not is_relayed:
                told[agent] = reply.headers.get("x-headgate-dropped", "")
                assert ASKED.encode() in (world.asked[-1].body or b"")
    assert refused == {}
    assert all("tools[4]" in told[agent] for agent in told if agent == "codex")
    assert all("tools[3]" in told[agent] for agent in told if agent == "claude-code")


def called(name: str, arguments: str, *, stream: bool) -> Recorded:
    """A vendor's answer in OpenAI's shape that calls a function."""
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": name, "arguments": arguments}}
    said = {"role": "assistant", "content": None, "tool_calls": [call]}
    kind, place = ("chat.completion.chunk", "delta") if stream else ("chat.completion", "message")
    choice = {"index": 0, place: said, "finish_reason": "tool_calls"}
    whole: Json = {"id": "r1", "object": kind, "created": 1, "model": "m", "choices": [choice]}
    if not stream:
        return Recorded.from_json(whole)
    body = b"data: " + msgspec.json.encode(whole) + b"\n\ndata: [DONE]\n\n"
    return Recorded(headers=(("content-type", "text/event-stream"),), body=body, framing="chunked")


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("apply_patch", '{"input": "*** Begin\\n"}', {"type": "custom_tool_call", "input": "*** Begin\n"}),
        ("mcp__node__js", '{"command": "1"}', {"type": "function_call", "name": "js", "namespace": "mcp__node"}),
        (
            "tool_search",
            '{"command": "x"}',
            {"type": "tool_search_call", "execution": "client", "arguments": {"command": "x"}},
        ),
    ],
)
async def test_codex_gets_its_own_calls(name: str, arguments: str, expected: Json, stream: bool) -> None:
    """A function that was made for one of its tools is called by a model of another vendor."""
    groq = next(each for each in TARGETS if each.name == "groq")
    upstream = ReplayUpstream()
    upstream.answer("*", called(name, arguments, stream=stream))
    async with open_target(groq, upstream) as client:
        reply = await client.post(
            "/v1/responses", json={**CODEX, "stream": stream, "model": f"d/{groq.model}"}, headers=DROP
        )
    offered = [tool["function"]["name"] for tool in json.loads(upstream.requests[-1].body or b"")["tools"]]
    assert offered == ["exec_command", "apply_patch", "mcp__node__js", "tool_search"]
    if stream:
        events = [json.loads(line[6:]) for line in reply.text.splitlines() if line.startswith("data: {")]
        assert clients.rejected("openai.responses", reply.content, stream=True) == []
        items = [event["item"] for event in events if event["type"] == "response.output_item.done"]
        response = events[-1]["response"]
    else:
        response = reply.json()
        items = response["output"]
    Response.model_validate(response)
    assert items == response["output"]
    assert {**items[-1], **expected} == items[-1]
    assert items[-1]["call_id"] == "c1"
