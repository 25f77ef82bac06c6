"""Requests as their models take them: levels of effort, budgets, and answers by schema."""

from __future__ import annotations

from typing import Any

import pytest

from headgate.chat import ChatRequest, Message, ResponseFormat, Sampling, Text, Thinking, Tool, ToolChoice
from headgate.dialects import Gaps
from headgate.errors import UnsupportedField
from headgate_bedrock.models import find_model
from headgate_bedrock.policy import (
    BUDGETS,
    StructuredOutput,
    settle_format,
    settle_sampling,
    settle_system,
    settle_thinking,
    settle_tools,
)
from headgate_bedrock.tools import OUTPUT_TOOL

CLAUDE_4 = "anthropic.claude-sonnet-4-20250514-v1:0"
CLAUDE_46 = "anthropic.claude-sonnet-4-6"
OPUS_5 = "anthropic.claude-opus-5"
NOVA = "amazon.nova-2-lite-v1:0"
GPT_5 = "openai.gpt-5.6"
OSS = "openai.gpt-oss-120b-1:0"
LLAMA = "meta.llama3-1-70b-instruct-v1:0"
MIXTRAL = "mistral.mixtral-8x7b-instruct-v0:1"
HIDDEN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/1arbu5hu2sjr"
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
FORM = ResponseFormat("json_schema", "card", SCHEMA)
CLOSED = ResponseFormat("json_schema", "card", {**SCHEMA, "additionalProperties": False})
NODE = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}, "additionalProperties": False}
RECURSIVE = ResponseFormat("json_schema", "node", {"$ref": "#/$defs/Node", "$defs": {"Node": NODE}})


def asked(model: str, **fields: Any) -> ChatRequest:
    return ChatRequest(model, (Message("user", (Text("a"),)),), **fields)


def thought(model: str, thinking: Thinking, limit: int | None = None, gaps: Gaps | None = None) -> ChatRequest:
    request = asked(model, thinking=thinking, sampling=Sampling(max_tokens=limit))
    return settle_thinking(request, find_model(model), gaps or Gaps("bedrock"))


@pytest.mark.parametrize("effort", sorted(BUDGETS))
def test_effort_is_a_budget_for_older_claude(effort: str) -> None:
    """A level stands for a number of tokens, and is told; the limit of the answer is above it."""
    gaps = Gaps("bedrock")
    request = thought(CLAUDE_4, Thinking(effort), gaps=gaps)
    assert gaps.dropped == ["reasoning_effort"]
    assert request.thinking == Thinking(budget_tokens=BUDGETS[effort], mode="enabled")
    assert request.sampling.max_tokens == BUDGETS[effort] + 4096


def test_hidden_thoughts_ask_for_none() -> None:
    """Only not to be shown thoughts, as Gemini's clients say it, makes no model think."""
    assert thought(CLAUDE_4, Thinking(is_shown=False)).thinking is None


@pytest.mark.parametrize(("limit", "budget"), [(8000, 4000), (1500, 1024), (100_000, 16384)])
def test_a_budget_is_below_the_limit(limit: int, budget: int) -> None:
    """The caller's limit stays, and half of it at most is for thinking."""
    request = thought(CLAUDE_4, Thinking("high"), limit)
    assert (request.thinking, request.sampling.max_tokens) == (Thinking(budget_tokens=budget, mode="enabled"), limit)


def test_no_room_for_thinking() -> None:
    """Below the smallest budget there is no thinking, and it is said."""
    gaps = Gaps("bedrock")
    assert thought(CLAUDE_4, Thinking("high"), 1024, gaps).thinking is None
    assert gaps.dropped == ["reasoning_effort"]


def test_a_budget_of_the_caller_stays() -> None:
    """A number of tokens is the caller's word, whatever the limit: AWS says what is wrong with it."""
    assert thought(CLAUDE_4, Thinking(budget_tokens=5000, mode="enabled"), 4000).thinking == Thinking(
        budget_tokens=5000, mode="enabled"
    )
    assert thought(CLAUDE_46, Thinking(budget_tokens=5000)).thinking == Thinking(budget_tokens=5000, mode="enabled")


@pytest.mark.parametrize(
    ("model", "effort", "level"),
    [
        (CLAUDE_46, "minimal", "low"),
        (CLAUDE_46, "xhigh", "max"),
        (OPUS_5, "xhigh", "xhigh"),
        (NOVA, "max", "high"),
        (OSS, "minimal", "low"),
        ("deepseek.v3.2", "low", "high"),
        (OPUS_5, "utmost", "utmost"),
    ],
)
def test_effort_is_the_nearest_level(model: str, effort: str, level: str) -> None:
    """A level that a model does not have becomes the nearest one; a word nobody knows is left to AWS."""
    settled = thought(model, Thinking(effort)).thinking
    assert settled is not None
    assert settled.effort == level


@pytest.mark.parametrize("off", [Thinking("none"), Thinking(mode="disabled"), Thinking(budget_tokens=0)])
@pytest.mark.parametrize(
    ("model", "sent"),
    [
        (CLAUDE_4, None),
        (OPUS_5, Thinking(mode="disabled")),
        (NOVA, None),
        ("qwen.qwen3-32b-v1:0", Thinking("none")),
        (LLAMA, None),
    ],
)
def test_no_thinking(model: str, off: Thinking, sent: Thinking | None) -> None:
    """`none` is said where a model thinks by itself, and nothing where it does not."""
    assert thought(model, off).thinking == sent


@pytest.mark.parametrize("held", [Sampling(max_tokens=500), Sampling(temperature=0.5), Sampling(top_p=0.9)])
def test_the_highest_effort_of_nova_stands_alone(held: Sampling) -> None:
    """Nova refuses other sampling beside its highest effort: the caller's limit counts, and the effort is named."""
    gaps = Gaps("bedrock")
    request = asked(NOVA, thinking=Thinking("high"), sampling=held)
    assert settle_thinking(request, find_model(NOVA), gaps).thinking == Thinking("medium")
    assert gaps.dropped == ["reasoning_effort"]
    assert thought(NOVA, Thinking("high")).thinking == Thinking("high")


@pytest.mark.parametrize(
    ("model", "held", "kept", "named"),
    [
        (OPUS_5, Sampling(temperature=0.5, top_p=0.9, top_k=4, max_tokens=5), Sampling(max_tokens=5), "tpk"),
        (OPUS_5, Sampling(temperature=1, top_p=1), Sampling(), ""),
        (CLAUDE_46, Sampling(temperature=0.5, top_p=0.9), Sampling(temperature=0.5), "p"),
        (CLAUDE_4, Sampling(temperature=0.5, top_p=0.9, top_k=4), Sampling(temperature=0.5, top_p=0.9, top_k=4), ""),
        (GPT_5, Sampling(temperature=0.5, top_p=0.9, stop=("a",)), Sampling(), "tps"),
        (GPT_5, Sampling(temperature=1, seed=3), Sampling(seed=3), ""),
        (OSS, Sampling(temperature=0.5, stop=("a",)), Sampling(temperature=0.5), "s"),
        (HIDDEN, Sampling(temperature=0.5, top_p=0.9), Sampling(temperature=0.5, top_p=0.9), ""),
    ],
)
def test_sampling_that_a_model_takes(model: str, held: Sampling, kept: Sampling, named: str) -> None:
    """What a model refuses is named and not sent; a default asks for nothing, and a model nobody knows gets everything."""
    gaps = Gaps("bedrock", "drop")
    assert settle_sampling(asked(model, sampling=held), find_model(model), gaps).sampling == kept
    assert gaps.dropped == [{"t": "temperature", "p": "top_p", "k": "top_k", "s": "stop"}[letter] for letter in named]


@pytest.mark.parametrize(
    "model", [OSS, "qwen.qwen3-32b-v1:0", "deepseek.v3-v1:0", "moonshotai.kimi-k2.5", "google.gemma-3-12b-it"]
)
def test_stop_sequences_that_are_refused(model: str) -> None:
    """Models whose service says so take none, which is named."""
    with pytest.raises(UnsupportedField, match="`stop`"):
        settle_sampling(asked(model, sampling=Sampling(stop=("a",))), find_model(model), Gaps("bedrock"))


def test_models_without_instructions() -> None:
    """The user says them where the model takes none, and that is named; elsewhere they stay."""
    turns = (Message("system", (Text("Be brief."),)), Message("user", (Text("a"),)))
    for model, first in ((MIXTRAL, Message("user", (Text("<system>\nBe brief.\n</system>"),))), (LLAMA, turns[0])):
        gaps = Gaps("bedrock")
        assert settle_system(ChatRequest(model, turns), find_model(model), gaps).messages == (first, turns[1])
        assert gaps.dropped == (["messages[0].role"] if model == MIXTRAL else [])


@pytest.mark.parametrize(
    "model", [MIXTRAL, "us.deepseek.r1-v1:0", "meta.llama3-70b-instruct-v1:0", "amazon.titan-text-lite-v1"]
)
def test_models_without_tools(model: str) -> None:
    """Tools are refused by name, or left out and named."""
    request = asked(model, tools=(Tool("f"),), tool_choice=ToolChoice("required"))
    with pytest.raises(UnsupportedField, match="`tools`"):
        settle_tools(request, find_model(model), Gaps("bedrock"))
    assert settle_tools(request, find_model(model), Gaps("bedrock", "drop")) == asked(model)


def test_sampling_beside_thoughts() -> None:
    """Claude takes no temperature while it thinks."""
    gaps = Gaps("bedrock", "drop")
    thinking = Thinking(budget_tokens=2000, mode="enabled")
    request = asked(CLAUDE_4, thinking=thinking, sampling=Sampling(temperature=0.2))
    assert settle_sampling(request, find_model(CLAUDE_4), gaps).sampling == Sampling()
    assert gaps.dropped == ["temperature"]


def test_a_model_that_always_thinks() -> None:
    """It cannot be told not to."""
    with pytest.raises(UnsupportedField, match="always thinks"):
        thought(OSS, Thinking("none"))


def test_a_budget_nobody_takes_is_a_hint() -> None:
    """A budget for a model that has levels, or decides by itself, is left out and said."""
    for model, settled in ((OPUS_5, Thinking(mode="adaptive")), (NOVA, Thinking("medium"))):
        gaps = Gaps("bedrock")
        assert thought(model, Thinking(budget_tokens=4000), gaps=gaps).thinking == settled
        assert gaps.dropped == ["thinking.budget_tokens"]


def test_models_that_are_not_known_to_think() -> None:
    """Effort is left out and named; behind an ARN that hides its model, Claude's own switch passes."""
    for model in (LLAMA, HIDDEN):
        told = Gaps("bedrock")
        assert thought(model, Thinking("low"), gaps=told).thinking is None
        assert told.dropped == ["reasoning_effort"]
    enabled = Thinking(budget_tokens=2000, mode="enabled")
    assert thought(HIDDEN, enabled).thinking == enabled


# answers by schema


def formed(model: str, wanted: StructuredOutput = "auto", gaps: Gaps | None = None, **fields: Any) -> ChatRequest:
    request = asked(model, **{"response_format": FORM, **fields})
    return settle_format(request, find_model(model), gaps or Gaps("bedrock"), wanted)


def test_native_where_a_model_has_it() -> None:
    """A model with structured output of its own is asked for it, or where the operator says so."""
    assert formed(CLAUDE_46).response_format == CLOSED
    assert formed(LLAMA, "native").response_format == FORM
    assert formed(CLAUDE_46, "tool").response_format is None


def test_what_claude_is_held_to() -> None:
    """Claude is held to closed objects without recursion: what is left out is named, and a tool stands for other schemas."""
    gaps = Gaps("bedrock")
    short = {"a": {"type": "string", "maxLength": 3}}
    made = formed(
        CLAUDE_46, gaps=gaps, response_format=ResponseFormat("json_schema", schema={**SCHEMA, "properties": short})
    )
    assert gaps.dropped == ["response_format.json_schema.schema.properties.a.maxLength"]
    assert made.response_format is not None
    assert formed(CLAUDE_46, response_format=RECURSIVE).tool_choice == ToolChoice("named", OUTPUT_TOOL)
    assert formed(CLAUDE_46, "native", response_format=RECURSIVE).response_format == RECURSIVE


def test_a_tool_whose_input_is_the_answer() -> None:
    """Without tools of the caller's the model must call the one for the answer."""
    request = formed(CLAUDE_4)
    assert request.response_format is None
    assert [(tool.name, tool.parameters) for tool in request.tools] == [(OUTPUT_TOOL, SCHEMA)]
    assert request.tool_choice == ToolChoice("named", OUTPUT_TOOL)


@pytest.mark.parametrize("choice", [None, ToolChoice("auto"), ToolChoice("required")])
def test_beside_tools_of_the_caller(choice: ToolChoice | None) -> None:
    """With tools of the caller's it must call one of them or the one for the answer."""
    request = formed(CLAUDE_4, tools=(Tool("f"),), tool_choice=choice)
    assert [tool.name for tool in request.tools] == ["f", OUTPUT_TOOL]
    assert request.tool_choice == ToolChoice("required")


def test_choices_of_the_caller_count() -> None:
    """`none` leaves the answer alone, an allowed list grows by it, and a named tool is the answer."""
    tools = (Tool("f"), Tool("g"))
    none = formed(CLAUDE_4, tools=tools, tool_choice=ToolChoice("none"))
    assert [tool.name for tool in none.tools] == [OUTPUT_TOOL]
    allowed = formed(CLAUDE_4, tools=tools, tool_choice=ToolChoice("auto", allowed=("f",)))
    assert allowed.tool_choice == ToolChoice("required", allowed=("f", OUTPUT_TOOL))
    named = formed(CLAUDE_4, tools=tools, tool_choice=ToolChoice("named", "f"))
    assert (named.tools, named.tool_choice, named.response_format) == (tools, ToolChoice("named", "f"), None)


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (LLAMA, {}),
        (CLAUDE_4, {"thinking": Thinking(budget_tokens=2000, mode="enabled")}),
        (CLAUDE_4, {"response_format": ResponseFormat("json_schema", schema={"type": "array"})}),
        (CLAUDE_4, {"tools": (Tool(OUTPUT_TOOL),)}),
    ],
)
def test_schemas_that_cannot_be_honoured(model: str, fields: dict[str, Any]) -> None:
    """A model that cannot be forced, one that thinks, a schema of no object, a name that is taken: refused by name."""
    with pytest.raises(UnsupportedField) as caught:
        formed(model, **fields)
    assert caught.value.param == "response_format"
    gaps = Gaps("bedrock", "drop")
    assert formed(model, gaps=gaps, **fields).response_format is None
    assert gaps.dropped == ["response_format"]
