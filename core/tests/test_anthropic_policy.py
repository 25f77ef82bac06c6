"""What Claude models take: limits, thinking, sampling, tools and schemas, each by its model."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from core.tests.anthropic_sdk import DIALECT, Json, chat, gaps, judged, user
from msgspec.structs import replace

from headgate.chat import (
    ChatRequest,
    File,
    Image,
    Message,
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
from headgate.dialects.anthropic.models import TABLE, UNKNOWN, claude_of
from headgate.dialects.anthropic.policy import BUDGETS, adapt, fetches, finish_body
from headgate.errors import UnsupportedField

MANUAL, BOTH, ADAPTIVE, DEFAULT_ON = "claude-haiku-4-5", "claude-opus-4-6", "claude-opus-4-8", "claude-opus-5"
ALWAYS, BETWEEN, OLD = "claude-opus-5-5", "claude-sonnet-5-5", "claude-3-5-haiku-latest"
SCHEMA: Json = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
FORMAT = ResponseFormat("json_schema", "n", SCHEMA)
STRICT = Tool("f", None, SCHEMA | {"additionalProperties": False}, strict=True)


def asked(model: str, *messages: Message, **fields: Any) -> ChatRequest:
    fields.setdefault("sampling", Sampling())
    return replace(chat(*messages, **fields), model=model)


def sent_as(model: str, *messages: Message, held: Gaps | None = None, **fields: Any) -> Json:
    """The body that this model gets, which the official types must accept."""
    found = held or gaps()
    request = adapt(asked(model, *messages, **fields), found)
    return judged(finish_body(DIALECT.encode_request(request, found), request))


def dropped(model: str, *messages: Message, **fields: Any) -> list[str]:
    held = gaps("drop")
    sent_as(model, *messages, held=held, **fields)
    return held.dropped


def refused(model: str, *messages: Message, **fields: Any) -> str | None:
    with pytest.raises(UnsupportedField) as caught:
        sent_as(model, *messages, **fields)
    return caught.value.param


# models


@pytest.mark.parametrize(
    ("model", "family", "version"),
    [
        ("claude-sonnet-4-5-20250929", "sonnet", (4, 5)),
        ("claude-opus-4-20250514", "opus", (4, 0)),
        ("claude-opus-4.1", "opus", (4, 1)),
        ("us.anthropic.claude-opus-4-6-v1:0", "opus", (4, 6)),
        ("anthropic.claude-3-5-sonnet-20241022-v2:0", "sonnet", (3, 5)),
        ("claude-3-haiku@20240307", "haiku", (3, 0)),
        ("anthropic/claude-haiku-4.5", "haiku", (4, 5)),
        ("claude-sonnet-5", "sonnet", (5, 0)),
        ("claude-opus-9-2", "opus", (5, 5)),
        ("claude-fable-5-1", "fable", (5, 1)),
    ],
)
def test_models_by_any_name(model: str, family: str, version: tuple[int, int]) -> None:
    """A model is known by its id on any platform; a later version is taken for the last that is known."""
    assert claude_of(model) == TABLE[family][version]


@pytest.mark.parametrize("model", ["my-deployment", "gpt-5", "claude", ""])
def test_models_without_a_name(model: str) -> None:
    """What is no Claude by its name is not restricted, and may write a good deal."""
    assert claude_of(model) == UNKNOWN
    assert UNKNOWN.max_output >= 8192


# token limits


@pytest.mark.parametrize(
    ("model", "limit"),
    [
        (OLD, 8192),
        ("claude-3-haiku", 4096),
        (MANUAL, 64_000),
        ("claude-opus-4", 32_000),
        (ALWAYS, 128_000),
        ("own", 32_000),
    ],
)
def test_a_missing_limit_is_the_models(model: str, limit: int) -> None:
    """Without a token limit the model may write all it can; a limit of the caller's stays."""
    assert sent_as(model)["max_tokens"] == limit
    assert sent_as(model, sampling=Sampling(max_tokens=5))["max_tokens"] == 5


@pytest.mark.parametrize("family", sorted(TABLE))
@pytest.mark.parametrize("effort", ["minimal", "low", "medium", "high", "xhigh", "max"])
@pytest.mark.parametrize("limit", [None, 1, 1024, 1025, 4000, 64_000])
def test_a_budget_is_always_below_the_limit(family: str, effort: str, limit: int | None) -> None:
    """Whatever is asked of whatever model, a budget is at least 1024 tokens and less than the limit."""
    for major, minor in TABLE[family]:
        model = f"claude-{family}-{major}-{minor}" if major > 3 else f"claude-{major}-{minor}-{family}"
        body = sent_as(model, held=gaps("drop"), thinking=Thinking(effort), sampling=Sampling(max_tokens=limit))
        thinking = body.get("thinking", {})
        assert limit in {None, body["max_tokens"]}
        if thinking.get("type") == "enabled":
            assert 1024 <= thinking["budget_tokens"] < body["max_tokens"]


# thinking


@pytest.mark.parametrize(
    ("model", "thinking", "expected"),
    [
        (MANUAL, Thinking("low"), ({"type": "enabled", "budget_tokens": 2048}, None)),
        (MANUAL, Thinking("max"), ({"type": "enabled", "budget_tokens": 32_000}, None)),
        (MANUAL, Thinking(mode="adaptive"), ({"type": "enabled", "budget_tokens": 8192}, None)),
        (MANUAL, Thinking(budget_tokens=100), ({"type": "enabled", "budget_tokens": 1024}, None)),
        (MANUAL, Thinking(budget_tokens=-1), ({"type": "enabled", "budget_tokens": 8192}, None)),
        (MANUAL, Thinking("none"), ({"type": "disabled"}, None)),
        ("claude-opus-4-5", Thinking("high"), ({"type": "enabled", "budget_tokens": 16_384}, "high")),
        (BOTH, Thinking("high"), ({"type": "adaptive"}, "high")),
        (BOTH, Thinking(budget_tokens=4096), ({"type": "enabled", "budget_tokens": 4096}, None)),
        (ADAPTIVE, Thinking("xhigh"), ({"type": "adaptive"}, "xhigh")),
        (DEFAULT_ON, Thinking("low"), (None, "low")),
        (DEFAULT_ON, Thinking("low", summary="auto"), ({"type": "adaptive", "display": "summarized"}, "low")),
        (DEFAULT_ON, Thinking(is_shown=False), ({"type": "adaptive", "display": "omitted"}, None)),
        (ADAPTIVE, Thinking(is_shown=False), (None, None)),
        (MANUAL, Thinking(is_shown=False), (None, None)),
        (DEFAULT_ON, Thinking(mode="disabled"), ({"type": "disabled"}, None)),
        (BETWEEN, Thinking("none"), ({"type": "between_tools"}, None)),
        (OLD, Thinking("none"), (None, None)),
        (DEFAULT_ON, Thinking(), (None, None)),
        (DEFAULT_ON, None, (None, None)),
    ],
)
def test_thinking_in_the_words_of_the_model(
    model: str, thinking: Thinking | None, expected: tuple[Json | None, str | None]
) -> None:
    """An effort, a budget or none becomes what the model knows; another measure and another number are named."""
    held, asked = gaps(), thinking or Thinking()
    body = sent_as(model, held=held, thinking=thinking)
    assert (body.get("thinking"), body.get("output_config", {}).get("effort")) == expected
    budget = (expected[0] or {}).get("budget_tokens")
    is_other = asked.effort not in {None, "none", expected[1]}
    is_bent = (asked.budget_tokens or 0) > 0 and asked.budget_tokens != budget
    assert held.dropped == ["reasoning_effort"] * is_other + ["thinking.budget_tokens"] * is_bent


@pytest.mark.parametrize(
    ("model", "thinking", "effort", "names"),
    [
        (BOTH, Thinking("xhigh"), "high", ["reasoning_effort"]),
        (ADAPTIVE, Thinking("minimal"), "low", ["reasoning_effort"]),
        (ADAPTIVE, Thinking(budget_tokens=9000), "high", ["thinking.budget_tokens"]),
        (ADAPTIVE, Thinking(budget_tokens=90_000), "max", ["thinking.budget_tokens"]),
        (ALWAYS, Thinking("none"), "low", ["reasoning_effort"]),
        (ALWAYS, Thinking(mode="disabled"), "low", ["thinking"]),
        (OLD, Thinking("high"), None, ["reasoning_effort"]),
    ],
)
def test_thinking_that_comes_closest(model: str, thinking: Thinking, effort: str | None, names: list[str]) -> None:
    """Where a model has no such level the closest is taken, and that is named."""
    held = gaps()
    body = sent_as(model, held=held, thinking=thinking)
    assert body.get("output_config", {}).get("effort") == effort
    assert held.dropped == names


def test_an_effort_that_nobody_knows_is_refused() -> None:
    """An effort that is no level of any model's is an error, not a guess."""
    assert refused(ADAPTIVE, thinking=Thinking("hyper")) == "reasoning_effort"


def test_a_budget_leaves_half_of_a_limit() -> None:
    """An effort never takes more than half of what the caller lets the model write, and none of too little."""
    body = sent_as(MANUAL, thinking=Thinking("high"), sampling=Sampling(max_tokens=6000))
    assert body["thinking"]["budget_tokens"] == 3000
    held = gaps()
    body = sent_as(MANUAL, held=held, thinking=Thinking("high"), sampling=Sampling(max_tokens=1000))
    assert ("thinking" in body, held.dropped) == (False, ["reasoning_effort"])


def test_efforts_have_a_budget_each() -> None:
    """More effort is a larger budget, and the smallest is what the API takes."""
    assert list(BUDGETS.values()) == sorted(BUDGETS.values())
    assert min(BUDGETS.values()) == 1024


# sampling


@pytest.mark.parametrize(
    ("model", "sampling", "name"),
    [
        (ALWAYS, Sampling(temperature=0), "temperature"),
        (DEFAULT_ON, Sampling(top_p=0.5), "top_p"),
        (ADAPTIVE, Sampling(top_k=5), "top_k"),
        (MANUAL, Sampling(temperature=0.5, top_p=0.9), "top_p"),
        (MANUAL, Sampling(temperature=1.5), "temperature"),
        (OLD, Sampling(stop=(" ", "END")), "stop"),
    ],
)
def test_sampling_that_a_model_does_not_take(model: str, sampling: Sampling, name: str) -> None:
    """Sampling that the model would refuse is refused by name; let drop, the rest is sent."""
    assert refused(model, sampling=sampling) == name
    assert dropped(model, sampling=sampling) == [name]


@pytest.mark.parametrize(
    ("model", "sampling", "expected"),
    [
        (ALWAYS, Sampling(temperature=1, top_p=1), {}),
        (ALWAYS, Sampling(temperature=1, top_p=0.99), {}),
        (MANUAL, Sampling(temperature=1, top_p=0.9), {"top_p": 0.9}),
        (MANUAL, Sampling(temperature=0.2, top_p=1), {"temperature": 0.2}),
        (
            OLD,
            Sampling(0.5, 0.9, 5, None, ("END",)),
            {"temperature": 0.5, "top_p": 0.9, "top_k": 5, "stop_sequences": ["END"]},
        ),
    ],
)
def test_sampling_that_a_model_takes(model: str, sampling: Sampling, expected: Json) -> None:
    """Defaults ask for nothing, and what is left goes out."""
    body = sent_as(model, sampling=sampling)
    assert {
        name: body[name] for name in ("temperature", "top_p", "top_k", "stop_sequences") if name in body
    } == expected


def test_sampling_while_it_thinks() -> None:
    """While an older model thinks it only takes a top_p close to 1."""
    thinking = Thinking("low")
    assert refused(MANUAL, thinking=thinking, sampling=Sampling(temperature=0.5)) == "temperature"
    assert refused(MANUAL, thinking=thinking, sampling=Sampling(top_p=0.5)) == "top_p"
    body = sent_as(MANUAL, thinking=thinking, sampling=Sampling(temperature=1, top_p=0.95))
    assert ("temperature" in body, body["top_p"]) == (False, 0.95)


# tools and schemas


def test_forced_tools() -> None:
    """A model that cannot be made to call a tool says so by name; one with a budget to think does not think then."""
    named = ToolChoice("named", "f")
    assert refused(ALWAYS, tools=(Tool("f"),), tool_choice=named) == "tool_choice"
    assert sent_as(DEFAULT_ON, tools=(Tool("f"),), tool_choice=named)["tool_choice"]["type"] == "tool"
    held = gaps()
    body = sent_as(MANUAL, held=held, tools=(Tool("f"),), tool_choice=ToolChoice("required"), thinking=Thinking("low"))
    assert (body["tool_choice"], "thinking" in body) == ({"type": "any"}, False)
    assert held.dropped == ["reasoning_effort"]


def test_a_schema_is_native() -> None:
    """A model with structured outputs is held to the schema, whose objects are closed."""
    config = sent_as(MANUAL, response_format=FORMAT, thinking=Thinking("none"))["output_config"]
    assert config["format"] == {"type": "json_schema", "schema": SCHEMA | {"additionalProperties": False}}


def test_a_schema_it_can_almost_be_held_to() -> None:
    """Constraints that cannot be held are told in words and named."""
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]}
    held = gaps()
    body = sent_as(MANUAL, held=held, response_format=ResponseFormat("json_schema", "n", schema))
    field = body["output_config"]["format"]["schema"]["properties"]["n"]
    assert field == {"type": "integer", "description": "(minimum: 1)"}
    assert held.dropped == ["response_format.json_schema.schema.properties.n.minimum"]


@pytest.mark.parametrize(
    ("model", "schema"),
    [
        (OLD, SCHEMA),
        (MANUAL, {"type": "object", "additionalProperties": {"type": "string"}}),
        (MANUAL, {"type": "object"}),
    ],
)
def test_a_schema_by_the_output_tool(model: str, schema: Json) -> None:
    """Where a model cannot be held to a schema it answers by calling a tool that has it."""
    held = ResponseFormat("json_schema", "n", schema, description="a number")
    body = sent_as(model, response_format=held)
    assert body["tool_choice"] == {"type": "tool", "name": "headgate_output"}
    tool = body["tools"][0]
    assert (tool["name"], tool["input_schema"]) == ("headgate_output", schema)
    assert tool["description"].endswith("a number")
    assert "output_config" not in body


def test_the_output_tool_and_thinking() -> None:
    """A model that is made to call a tool does not think with a budget: the schema goes before, and that is told."""
    held = gaps()
    open_ended = ResponseFormat("json_schema", "n", {"type": "object"})
    body = sent_as(MANUAL, held=held, response_format=open_ended, thinking=Thinking("low"))
    assert (body["tool_choice"]["name"], "thinking" in body) == ("headgate_output", False)
    assert held.dropped == ["reasoning_effort"]


def test_the_output_tool_beside_others() -> None:
    """Beside tools of the caller's one of all must be called; a forced one is called first."""
    both: dict[str, Any] = {"tools": (Tool("f"), Tool("g")), "response_format": FORMAT}
    body = sent_as(OLD, **both)
    assert ([tool["name"] for tool in body["tools"]], body["tool_choice"]) == (
        ["f", "g", "headgate_output"],
        {"type": "any"},
    )
    body = sent_as(OLD, **both, tool_choice=ToolChoice("auto", allowed=("g",)))
    assert [tool["name"] for tool in body["tools"]] == ["g", "headgate_output"]
    body = sent_as(OLD, **both, tool_choice=ToolChoice("none"))
    assert body["tool_choice"] == {"type": "tool", "name": "headgate_output"}
    body = sent_as(OLD, **both, tool_choice=ToolChoice("named", "f"))
    assert ([tool["name"] for tool in body["tools"]], body["tool_choice"]["name"]) == (["f", "g"], "f")
    assert refused(OLD, tools=(Tool("headgate_output"),)) == "tools[0].function.name"


def test_a_schema_nothing_can_hold_is_refused() -> None:
    """A schema whose root is no object fits neither way; nor does one for a model that cannot be forced."""
    listed = ResponseFormat("json_schema", "n", {"type": "array", "items": {"type": "string"}})
    assert refused(MANUAL, response_format=listed) == "response_format"
    open_ended = ResponseFormat("json_schema", "n", {"type": "object"})
    assert refused(ALWAYS, response_format=open_ended) == "response_format"


def test_json_mode_is_an_instruction() -> None:
    """JSON without a schema is asked for behind the caller's own instructions, and that is named."""
    held = gaps()
    first = Message("system", (Text("be kind"),))
    body = sent_as(OLD, first, user(Text("x")), held=held, response_format=ResponseFormat("json_object"))
    assert [block["text"][:15] for block in body["system"]] == ["be kind", "Answer with one"]
    assert held.dropped == ["response_format"]


def test_strict_tools_within_the_limits() -> None:
    """Strict tools stay strict as far as the API takes them; the others are sent without, and named."""
    tools = tuple(replace(STRICT, name=f"f{number}") for number in range(22))
    held = gaps()
    body = sent_as(MANUAL, held=held, tools=tools)
    assert [tool.get("strict") for tool in body["tools"]] == [*[True] * 20, None, None]
    assert held.dropped == ["tools[20].function.strict", "tools[21].function.strict"]
    assert dropped(OLD, tools=(STRICT,)) == ["tools[0].function.strict"]
    loose = replace(STRICT, parameters={"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}})
    assert dropped(MANUAL, tools=(loose, STRICT)) == ["tools[0].function.strict"]
    wide: Json = {f"p{number}": {"type": "string"} for number in range(13)}
    many = replace(STRICT, parameters={"type": "object", "properties": wide, "additionalProperties": False})
    assert dropped(MANUAL, tools=(many, replace(many, name="g"))) == ["tools[1].function.strict"]


# the rest


def test_instructions_between_turns() -> None:
    """A model that takes system messages between turns gets them; for another the user says them, and that is told."""
    spoken = Message("developer", (Text("be brief"),))
    call, result = ToolCall("a", "f", "{}"), ToolResult("a", (Text("A"),))
    history = user(Text("x")), Message("assistant", (call,)), Message("tool", (result,)), spoken
    assert sent_as(ADAPTIVE, *history)["messages"][-1] == {"role": "system", "content": "be brief"}
    told = gaps()
    body = sent_as(MANUAL, *history, held=told)
    assert told.dropped == ["messages[3].role"]
    assert [block["type"] for block in body["messages"][-1]["content"]] == ["tool_result", "text"]
    assert body["messages"][-1]["content"][1]["text"] == "<system>\nbe brief\n</system>"


def test_what_anthropic_fetches_itself() -> None:
    """Pictures and PDF by https are left to Anthropic, all else must be fetched before."""
    assert fetches(Image(url="https://e.org/a.png"))
    assert fetches(File(url="https://e.org/a.pdf", media_type="application/pdf"))
    assert fetches(File(file_id="file_1"))
    assert not fetches(Image(url="http://e.org/a.png"))
    assert not fetches(File(url="https://e.org/a.csv", media_type="text/csv"))


def test_a_platform_can_take_less() -> None:
    """A platform that lacks something gives the model's facts with that changed."""
    facts = replace(claude_of(MANUAL), structures=False)
    request = adapt(asked(MANUAL, response_format=FORMAT), gaps(), facts)
    body = msgspec.json.decode(DIALECT.encode_request(request, gaps()))
    assert body["tool_choice"] == {"type": "tool", "name": "headgate_output"}
