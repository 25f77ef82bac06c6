"""Everything beside the turns and the tools: what Converse has a place for, and what becomes of the rest."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headgate.chat import (
    Audio,
    ChatRequest,
    Citation,
    File,
    Image,
    Item,
    Message,
    Opaque,
    Reasoning,
    Refusal,
    ResponseFormat,
    Sampling,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from headgate.dialects import Gaps
from headgate.errors import UnsupportedField
from headgate_bedrock import BedrockConverse, encode, media, tools, turns
from headgate_bedrock.encode import IGNORED

Json = dict[str, Any]
Judge = Callable[[bytes], list[str]]
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
NOVA = "us.amazon.nova-2-lite-v1:0"
LLAMA = "meta.llama3-1-70b-instruct-v1:0"
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


def encoded(judge: Judge, model: str = CLAUDE, gaps: Gaps | None = None, **fields: Any) -> Json:
    held: Json = {"dialect": "openai.chat", **fields}
    request = ChatRequest(model, (Message("user", (Text("a"),)),), **held)
    body = BedrockConverse().encode_request(request, gaps or Gaps("bedrock"))
    assert judge(body) == []
    sent = msgspec.json.decode(body)
    assert sent.pop("messages") == [{"role": "user", "content": [{"text": "a"}]}]
    return sent


def test_the_judge_judges(problems: Judge) -> None:
    """AWS's model finds a missing member, a wrong type, a word it does not list and a member it does not have."""
    good = {"messages": [{"role": "user", "content": [{"text": "a"}]}]}
    assert problems(json.dumps(good).encode()) == []
    wrong: list[Json] = [
        {"messages": [{"content": []}]},
        {**good, "inferenceConfig": {"maxTokens": "many"}},
        {**good, "seed": 1},
        {**good, "system": [{"text": "a", "type": "text"}]},
        {**good, "toolConfig": {"tools": []}},
    ]
    for bad in wrong:
        assert problems(json.dumps(bad).encode())


def test_nothing_asked_nothing_said(problems: Judge) -> None:
    """A plain request is its messages; the model and the kind of reply stand in the URL."""
    plain = Sampling(n=1, logprobs=False, presence_penalty=0, frequency_penalty=0, logit_bias={})
    gaps = Gaps("bedrock")
    held = encoded(problems, gaps=gaps, stream=True, include_usage=True, sampling=plain, parallel_tool_calls=True)
    assert held == {}
    assert encoded(problems, response_format=ResponseFormat("text"), store=False) == {}
    assert gaps.dropped == []


def test_sampling(problems: Judge) -> None:
    """The four settings of Converse have its names; Claude also says which stop sequence it met."""
    sampling = Sampling(temperature=0.5, top_p=0.9, top_k=5, max_tokens=100, stop=("END",))
    assert encoded(problems, sampling=sampling) == {
        "inferenceConfig": {"maxTokens": 100, "temperature": 0.5, "topP": 0.9, "stopSequences": ["END"]},
        "additionalModelRequestFields": {"top_k": 5},
        "additionalModelResponseFieldPaths": ["/stop_sequence", "/delta/stop_sequence"],
    }
    nova = encoded(problems, NOVA, sampling=Sampling(top_k=5, stop=("END",)))
    assert nova["additionalModelRequestFields"] == {"inferenceConfig": {"topK": 5}}
    assert "additionalModelResponseFieldPaths" not in nova


@pytest.mark.parametrize(
    ("field", "sampling"),
    [
        ("seed", Sampling(seed=0)),
        ("presence_penalty", Sampling(presence_penalty=0.1)),
        ("frequency_penalty", Sampling(frequency_penalty=-0.1)),
        ("logit_bias", Sampling(logit_bias={"1": 1})),
        ("logprobs", Sampling(logprobs=True)),
        ("top_logprobs", Sampling(top_logprobs=3)),
        ("n", Sampling(n=2)),
        ("temperature", Sampling(temperature=1.5)),
        ("stop", Sampling(stop=("a", " "))),
        ("top_k", Sampling(top_k=5)),
    ],
)
def test_sampling_without_a_place(problems: Judge, field: str, sampling: Sampling) -> None:
    """What changes the meaning and cannot be said is refused by its name, or left out and named."""
    model = LLAMA if field == "top_k" else CLAUDE
    with pytest.raises(UnsupportedField) as caught:
        encoded(problems, model, sampling=sampling)
    assert caught.value.param == field
    gaps = Gaps("bedrock", "drop")
    assert "seed" not in encoded(problems, model, gaps, sampling=sampling)
    assert gaps.dropped == [field]


def test_hints(problems: Judge) -> None:
    """What only hints is left out and named, whatever the policy."""
    gaps = Gaps("bedrock")
    hints: Json = {"user": "u", "verbosity": "low", "cache_key": "k", "safety_identifier": "s", "store": True}
    assert encoded(problems, gaps=gaps, **hints, extra={"prediction": {"type": "content"}}) == {}
    assert gaps.dropped == ["user", "verbosity", "prompt_cache_key", "safety_identifier", "store", "prediction"]
    with pytest.raises(UnsupportedField, match="`web_search_options`"):
        encoded(problems, extra={"web_search_options": {"a": 1}})


def test_metadata_goes_to_the_log_of_calls(problems: Judge) -> None:
    """Metadata becomes request metadata if it fits there; else it is a hint."""
    assert encoded(problems, metadata={"team": "a b", "run": "7"}) == {"requestMetadata": {"team": "a b", "run": "7"}}
    for odd in ({"team": "é"}, {"team": 1}, {"": "x"}, {"a": "x" * 257}, {str(at): "x" for at in range(17)}):
        gaps = Gaps("bedrock")
        assert encoded(problems, gaps=gaps, metadata=odd) == {}
        assert gaps.dropped == ["metadata"]


@pytest.mark.parametrize("tier", ["default", "flex", "priority", "reserved"])
def test_service_tier(problems: Judge, tier: str) -> None:
    """Tiers that Bedrock has are said in its form."""
    assert encoded(problems, service_tier=tier) == {"serviceTier": {"type": tier}}


def test_other_service_tiers(problems: Judge) -> None:
    """`auto` asks for nothing that must be kept; a tier of another vendor is refused."""
    gaps = Gaps("bedrock")
    assert encoded(problems, gaps=gaps, service_tier="auto") == {}
    assert gaps.dropped == ["service_tier"]
    with pytest.raises(UnsupportedField, match="`service_tier`"):
        encoded(problems, service_tier="scale")


def test_json_schema(problems: Judge) -> None:
    """A schema goes as text, with its name and description."""
    held = encoded(problems, response_format=ResponseFormat("json_schema", "card", SCHEMA, True, "a card"))
    stated = held["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
    assert (stated["name"], stated["description"], json.loads(stated["schema"])) == ("card", "a card", SCHEMA)
    with pytest.raises(UnsupportedField, match="`response_format`"):
        encoded(problems, response_format=ResponseFormat("json_object"))


@pytest.mark.parametrize(
    ("model", "thinking", "fields"),
    [
        (
            CLAUDE,
            Thinking(budget_tokens=2048, mode="enabled"),
            {"thinking": {"type": "enabled", "budget_tokens": 2048}},
        ),
        (
            "anthropic.claude-opus-5",
            Thinking("high", mode="adaptive", is_shown=True),
            {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "high"}},
        ),
        ("anthropic.claude-opus-5", Thinking(mode="disabled"), {"thinking": {"type": "disabled"}}),
        (NOVA, Thinking("low"), {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}),
        ("openai.gpt-oss-120b-1:0", Thinking("high"), {"reasoning_effort": "high"}),
        ("openai.gpt-6-sol", Thinking("none"), {"reasoning": {"effort": "none"}}),
        ("qwen.qwen3-32b-v1:0", Thinking("low"), {"reasoning_config": "low"}),
    ],
)
def test_thinking(problems: Judge, model: str, thinking: Thinking, fields: Json) -> None:
    """Each family has words of its own for thinking, all of them additional fields."""
    assert encoded(problems, model, thinking=thinking) == {"additionalModelRequestFields": fields}


def test_additional_fields_are_together(problems: Judge) -> None:
    """Thinking and top_k of one request stand side by side."""
    held = encoded(problems, NOVA, thinking=Thinking("low"), sampling=Sampling(top_k=5))
    assert held["additionalModelRequestFields"] == {
        "inferenceConfig": {"topK": 5},
        "reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"},
    }


def test_thinking_of_a_model_that_is_not_known_to_think(problems: Judge) -> None:
    """Effort for a model without thinking is left out and named."""
    told = Gaps("bedrock")
    assert "additionalModelRequestFields" not in encoded(problems, LLAMA, told, thinking=Thinking("high"))
    assert told.dropped == ["reasoning_effort"]


CANONICAL: tuple[type[msgspec.Struct], ...] = (
    Audio, ChatRequest, Citation, File, Image, Item, Message, Opaque, Reasoning, Refusal, ResponseFormat, Sampling, Text,
    Thinking, Tool, ToolCall, ToolChoice, ToolResult,
)  # fmt: skip


def test_every_field_is_written_or_listed() -> None:
    """Each canonical field is read by the encoder or stands in the list of those that are not, with its reason."""
    names = {f"{kind.__name__}.{field.name}" for kind in CANONICAL for field in msgspec.structs.fields(kind)}
    assert names >= IGNORED
    sources = [Path(str(module.__file__)).read_text("utf-8") for module in (encode, turns, tools, media)]
    for name in sorted(names - IGNORED):
        field = name.partition(".")[2]
        assert any(f".{field}" in source for source in sources), name


def test_own_members_go_back(problems: Judge) -> None:
    """Members of Converse that the canonical model has no place for stay in a request that came in its words."""
    extra = {"guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"}, "performanceConfig": {}}
    assert encoded(problems, dialect="bedrock.converse", extra=extra) == extra
    with pytest.raises(UnsupportedField, match="`guardrailConfig`"):
        encoded(problems, extra=extra)
