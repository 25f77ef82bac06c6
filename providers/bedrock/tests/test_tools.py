"""Tools and the choice among them, as far as each model can be told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.chat import ChatRequest, Message, Text, Tool, ToolCall, ToolChoice, ToolResult
from headgate.dialects import Gaps
from headgate.errors import UnsupportedField
from headgate_bedrock import BedrockConverse
from headgate_bedrock.decode import decode_reply
from headgate_bedrock.tools import own_names, sent_names

Json = dict[str, Any]
Judge = Callable[[bytes], list[str]]
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
NOVA = "amazon.nova-pro-v1:0"
LLAMA = "meta.llama3-1-70b-instruct-v1:0"
MISTRAL = "mistral.mistral-large-2402-v1:0"
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
F, G = Tool("f", "does f", SCHEMA), Tool("g")
ASKED = Message("user", (Text("a"),))
CALLED = (ASKED, Message("assistant", (ToolCall("c", "f", "{}"),)), Message("tool", (ToolResult("c", (Text("r"),)),)))


def encoded(judge: Judge, model: str = CLAUDE, gaps: Gaps | None = None, **fields: Any) -> Json:
    held: Json = {"messages": (ASKED,), "tools": (F, G), "dialect": "openai.chat", **fields}
    request = ChatRequest(model, **held)
    body = BedrockConverse().encode_request(request, gaps or Gaps("bedrock"))
    assert judge(body) == []
    return msgspec.json.decode(body)


def names(body: Json) -> list[str]:
    return [tool["toolSpec"]["name"] for tool in body["toolConfig"]["tools"] if "toolSpec" in tool]


def test_tools(problems: Judge) -> None:
    """A tool has a name, a description if it says anything, and a schema of an object in any case."""
    held = encoded(problems, tools=(F, G, Tool("h", " ", {"properties": {}})))["toolConfig"]
    assert held == {
        "tools": [
            {"toolSpec": {"name": "f", "description": "does f", "inputSchema": {"json": SCHEMA}}},
            {"toolSpec": {"name": "g", "inputSchema": {"json": {"type": "object"}}}},
            {"toolSpec": {"name": "h", "inputSchema": {"json": {"type": "object", "properties": {}}}}},
        ]
    }


@pytest.mark.parametrize(
    ("model", "choice", "sent", "left"),
    [
        (CLAUDE, ToolChoice("auto"), None, ["f", "g"]),
        (CLAUDE, ToolChoice("required"), {"any": {}}, ["f", "g"]),
        (NOVA, ToolChoice("named", "g"), {"tool": {"name": "g"}}, ["f", "g"]),
        (MISTRAL, ToolChoice("named", "g"), {"any": {}}, ["g"]),
        (CLAUDE, ToolChoice("required", allowed=("f",)), {"any": {}}, ["f"]),
        (LLAMA, ToolChoice("auto", allowed=("g",)), None, ["g"]),
    ],
)
def test_choice(problems: Judge, model: str, choice: ToolChoice, sent: Json | None, left: list[str]) -> None:
    """A forced call is said where the model takes it; a tool that cannot be named is left as the only one."""
    body = encoded(problems, model, tool_choice=choice)
    assert (body["toolConfig"].get("toolChoice"), names(body)) == (sent, left)


@pytest.mark.parametrize(
    "choice", [ToolChoice("required"), ToolChoice("named", "f"), ToolChoice("other", raw={"x": 1})]
)
def test_a_choice_that_cannot_be_made_is_refused(problems: Judge, choice: ToolChoice) -> None:
    """Llama cannot be made to call a tool: refused by name, or left to itself if it may be dropped."""
    with pytest.raises(UnsupportedField, match="`tool_choice`"):
        encoded(problems, LLAMA, tool_choice=choice)
    gaps = Gaps("bedrock", "drop")
    assert "toolChoice" not in encoded(problems, LLAMA, gaps, tool_choice=choice)["toolConfig"]
    assert gaps.dropped == ["tool_choice"]


def test_no_tool_at_all(problems: Judge) -> None:
    """`none` leaves the tools out; a history with calls needs them, and then Claude is told in its own words."""
    none = ToolChoice("none")
    assert "toolConfig" not in encoded(problems, tool_choice=none)
    body = encoded(problems, tool_choice=none, messages=CALLED)
    assert names(body) == ["f", "g"]
    assert body["additionalModelRequestFields"] == {"tool_choice": {"type": "none"}}
    gaps = Gaps("bedrock")
    assert names(encoded(problems, NOVA, gaps, tool_choice=none, messages=CALLED)) == ["f", "g"]
    assert gaps.dropped == ["tool_choice"]


def test_a_history_needs_its_tools(problems: Judge) -> None:
    """Converse refuses calls in the history without tools: those that were called are described as far as is known."""
    body = encoded(problems, tools=(), messages=CALLED)
    assert body["toolConfig"] == {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}]}
    assert "toolConfig" not in encoded(problems, tools=())


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (None, {"type": "auto"}),
        (ToolChoice("required"), {"type": "any"}),
        (ToolChoice("named", "f"), {"type": "tool", "name": "f"}),
    ],
)
def test_one_call_at_a_time(problems: Judge, choice: ToolChoice | None, sent: Json) -> None:
    """Claude can be held to one call, in its own words and not in Converse's as well; others cannot."""
    body = encoded(problems, tool_choice=choice, parallel_tool_calls=False)
    assert body["additionalModelRequestFields"] == {"tool_choice": {**sent, "disable_parallel_tool_use": True}}
    assert "toolChoice" not in body["toolConfig"]
    with pytest.raises(UnsupportedField, match="`parallel_tool_calls`"):
        encoded(problems, NOVA, parallel_tool_calls=False)
    assert "additionalModelRequestFields" not in encoded(problems, NOVA, parallel_tool_calls=True)


# strict


def strict(count: int, optional: int = 0) -> tuple[Tool, ...]:
    properties: Json = {name: {"type": "string"} for name in ("a", *(f"o{at}" for at in range(optional)))}
    schema: Json = {**SCHEMA, "properties": properties, "additionalProperties": False}
    return tuple(Tool(f"t{at}", None, schema, strict=True) for at in range(count))


@pytest.mark.parametrize(
    ("model", "tools", "is_sent"),
    [
        (CLAUDE, strict(20), True),
        (CLAUDE, strict(21), False),
        (CLAUDE, strict(4, optional=6), True),
        (CLAUDE, strict(5, optional=5), False),
        (CLAUDE, (Tool("open", None, {**SCHEMA, "properties": {"a": {"type": "string"}}}, strict=True),), False),
        ("anthropic.claude-3-haiku-20240307-v1:0", strict(1), False),
        ("us.anthropic.claude-sonnet-5", strict(1), False),
        ("qwen.qwen3-32b-v1:0", strict(1), True),
        (CLAUDE, (Tool("u", None, {"properties": {f"p{at}": {"anyOf": []} for at in range(17)}}, strict=True),), False),
    ],
)
def test_strict_within_limits(problems: Judge, model: str, tools: tuple[Tool, ...], *, is_sent: bool) -> None:
    """`strict` goes to models that have it, within what is compiled for one request and with schemas that Claude can be
    held to, whose objects are closed; else it is left out and said.
    """
    gaps = Gaps("bedrock")
    body = encoded(problems, model, gaps, tools=tools)
    assert {tool["toolSpec"].get("strict") for tool in body["toolConfig"]["tools"]} == {True if is_sent else None}
    assert gaps.dropped == ([] if is_sent else [f"tools[{at}].function.strict" for at in range(len(tools))])


def test_odd_schemas_do_not_crash() -> None:
    """Members of a schema that are of another type than they should be are left to AWS to judge."""
    odd = {"properties": ["x"], "required": 7, "type": ["a"], "anyOf": {"properties": {"required": True}}}
    request = ChatRequest(CLAUDE, (ASKED,), tools=(Tool("f", None, odd, strict=True),))
    assert BedrockConverse().encode_request(request, Gaps("bedrock"))


# cache points


def marked(count: int) -> tuple[Tool, ...]:
    return tuple(Tool(f"t{at}", cache={"type": "ephemeral"}) for at in range(count))


def test_cache_points_of_tools(problems: Judge) -> None:
    """A mark stands behind its tool, with its time; Nova has none on tools, others have none at all."""
    tools = (Tool("f", cache={"type": "ephemeral", "ttl": "1h"}), G)
    assert encoded(problems, tools=tools)["toolConfig"]["tools"][1] == {"cachePoint": {"type": "default", "ttl": "1h"}}
    for model in (NOVA, LLAMA):
        gaps = Gaps("bedrock")
        assert names(encoded(problems, model, gaps, tools=tools)) == ["f", "g"]
        assert gaps.dropped == ["tools[0].cache_control"]


def test_cache_points_of_texts(problems: Judge) -> None:
    """Marks on instructions and texts stand behind them; an hour only where a model has it."""
    said = (
        Message("system", (Text("s", cache={"type": "ephemeral"}),)),
        Message("user", (Text("u", cache={"type": "ephemeral", "ttl": "1h"}), Text("v"))),
    )
    body = encoded(problems, messages=said)
    assert body["system"] == [{"text": "s"}, {"cachePoint": {"type": "default"}}]
    assert body["messages"][0]["content"][1] == {"cachePoint": {"type": "default", "ttl": "1h"}}
    gaps = Gaps("bedrock")
    older = encoded(problems, "anthropic.claude-3-7-sonnet-20250219-v1:0", gaps, messages=said)
    assert older["messages"][0]["content"][1] == {"cachePoint": {"type": "default"}}
    assert gaps.dropped == ["messages[1].content[0].cache_control.ttl"]


def test_no_more_than_four_cache_points(problems: Judge) -> None:
    """Of more than four marks the last four stay, in the order of the prompt: tools, instructions, turns."""
    gaps = Gaps("bedrock")
    said = (
        Message("system", (Text("s", cache={}),)),
        Message("user", (Text("u", cache={}), Text("v", cache={"ttl": "1h"}))),
    )
    body = encoded(problems, gaps=gaps, tools=marked(3), messages=said)
    tools = body["toolConfig"]["tools"]
    assert [next(iter(tool)) for tool in tools] == ["toolSpec", "toolSpec", "toolSpec", "cachePoint"]
    assert [next(iter(block)) for block in body["messages"][0]["content"]] == ["text", "cachePoint"] * 2
    assert gaps.dropped == ["cache_control"]


# names


@pytest.mark.parametrize("name", ["a.b", "mcp:tool/x", "n" * 100, "é"])
def test_names_are_legal_and_come_back(problems: Judge, name: str) -> None:
    """A name that Converse would refuse goes by another one, in tools, choice and history; replies have its own again."""
    request = ChatRequest(
        CLAUDE, (ASKED, Message("assistant", (ToolCall("c", name, "{}"),))), tools=(Tool(name),), dialect="x"
    )
    body = msgspec.json.decode(BedrockConverse().encode_request(request, Gaps("bedrock")))
    sent = body["toolConfig"]["tools"][0]["toolSpec"]["name"]
    assert body["messages"][1]["content"][0]["toolUse"]["name"] == sent != name
    block: Json = {"toolUse": {"toolUseId": "c", "name": sent, "input": {}}}
    reply: Json = {"output": {"message": {"role": "assistant", "content": [block]}}, "stopReason": "tool_use"}
    decoded, back = decode_reply(msgspec.json.encode(reply)), own_names(request)
    assert [back[part.name] for part in decoded.choices[0].message.parts if isinstance(part, ToolCall)] == [name]


@given(st.lists(st.text(max_size=80), max_size=8, unique=True))
def test_any_names_map_back(wanted: list[str]) -> None:
    """Different names stay different, legal ones stay themselves, and the way back leads to each."""
    request = ChatRequest("m", (ASKED,), tools=tuple(Tool(name) for name in wanted))
    sent, back = sent_names(request), own_names(request)
    assert len(set(sent.values())) == len(wanted)
    assert {back.get(name, name) for name in sent.values()} == set(wanted)


def test_other_kinds_of_tools_are_refused(problems: Judge) -> None:
    """A tool that another vendor runs, or one with a grammar, is refused by its place."""
    with pytest.raises(UnsupportedField, match=r"`tools\[1\]`"):
        encoded(problems, tools=(F, Tool("web_search", kind="web_search_preview", raw={})))


@pytest.mark.parametrize(
    ("model", "switch", "told"),
    [(CLAUDE, {"tool_choice": {"type": "none"}}, []), (NOVA, None, ["tool_choice"])],
)
def test_tools_of_a_history_are_not_offered(problems: Judge, model: str, switch: Json | None, told: list[str]) -> None:
    """A history with calls needs its tools declared; that nobody offers them now is said where it can be, else it is named."""
    gaps = Gaps("bedrock")
    body = encoded(problems, model, gaps, messages=(*CALLED, ASKED), tools=())
    assert names(body) == ["f"]
    assert body.get("additionalModelRequestFields") == switch
    assert gaps.dropped == told
