"""Settings and tools of requests to Gemini: in Google's words, or named as lost."""

from __future__ import annotations

from typing import Any

import pytest
from core.tests.google_wire import GOOGLE, ask, encode, turn

from headgate.chat import (
    ChatRequest,
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
from headgate.errors import UnsupportedField

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
F = Tool("f", "says f", SCHEMA)


def user(*parts: Any) -> Message:
    return Message("user", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def model(*parts: Any) -> Message:
    return Message("assistant", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def results(*parts: ToolResult) -> Message:
    return Message("tool", parts)


def answered(call_id: str, text: str, **fields: Any) -> ToolResult:
    return ToolResult(call_id, (Text(text),), **fields)


def contents(*messages: Message, policy: Any = "refuse", **fields: Any) -> list[Any]:
    return encode(ask(*messages, **fields), policy)[0]["contents"]


def test_settings() -> None:
    """Sampling in Google's words; what asks for nothing is not sent."""
    sampling = Sampling(0.0, 0.9, 40, 100, ("a", "b"), 7, 0.1, -0.2, {}, True, 3, 2)
    assert encode(ask(sampling=sampling))[0]["generationConfig"] == {
        "temperature": 0.0,
        "topP": 0.9,
        "topK": 40,
        "maxOutputTokens": 100,
        "stopSequences": ["a", "b"],
        "seed": 7,
        "presencePenalty": 0.1,
        "frequencyPenalty": -0.2,
        "responseLogprobs": True,
        "logprobs": 3,
        "candidateCount": 2,
    }
    nothing = Sampling(n=1, logprobs=False, presence_penalty=0.0, frequency_penalty=0.0)
    assert encode(ask(sampling=nothing, response_format=ResponseFormat("text"))) == ({"contents": [turn("hi")]}, [])


def test_pictures_can_be_asked_for() -> None:
    """Modalities of text and pictures are Gemini's as well; text alone asks for nothing, sound is refused."""
    body, dropped = encode(ask(dialect="openai.chat", extra={"modalities": ["text", "image"]}))
    assert (body["generationConfig"], dropped) == ({"responseModalities": ["TEXT", "IMAGE"]}, [])
    assert "generationConfig" not in encode(ask(dialect="openai.chat", extra={"modalities": ["text"]}))[0]
    with pytest.raises(UnsupportedField, match="modalities"):
        encode(ask(dialect="openai.chat", extra={"modalities": ["text", "audio"]}))


@pytest.mark.parametrize(("tier", "said"), [("default", "standard"), ("flex", "flex"), ("priority", "priority")])
def test_service_tiers(tier: str, said: str) -> None:
    """OpenAI's tiers in Google's words."""
    assert encode(ask(service_tier=tier))[0]["serviceTier"] == said


def test_formats() -> None:
    """JSON is a media type; a schema goes as JSON Schema, with the description nobody else takes."""
    assert encode(ask(response_format=ResponseFormat("json_object")))[0]["generationConfig"] == {
        "responseMimeType": "application/json"
    }
    format_ = ResponseFormat("json_schema", "answer", {"type": "object", "const": {}}, strict=True, description="d")
    assert encode(ask(response_format=format_))[0]["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseJsonSchema": {"type": "object", "description": "d", "enum": [{}]},
    }


@pytest.mark.parametrize(
    ("thinking", "said"),
    [
        (Thinking("high"), {"thinkingLevel": "HIGH"}),
        (Thinking("low", is_shown=True), {"thinkingLevel": "LOW", "includeThoughts": True}),
        (Thinking("high", 100, is_shown=False), {"thinkingBudget": 100, "includeThoughts": False}),
        (Thinking("none"), {"thinkingBudget": 0}),
        (Thinking(mode="disabled"), {"thinkingBudget": 0}),
        (Thinking(mode="enabled"), None),
    ],
)
def test_thinking(thinking: Thinking, said: Any) -> None:
    """A level or a budget, never both."""
    assert encode(ask(thinking=thinking))[0].get("generationConfig", {}).get("thinkingConfig") == said


# tools


def test_tools() -> None:
    """All functions are one tool, their parameters JSON Schema; one without parameters has none."""
    body, _ = encode(ask(tools=(F, Tool("g"), Tool("h", parameters={"properties": {}}))))
    assert body["tools"] == [
        {
            "functionDeclarations": [
                {"name": "f", "description": "says f", "parametersJsonSchema": SCHEMA},
                {"name": "g"},
                {"name": "h", "parametersJsonSchema": {"type": "object", "properties": {}}},
            ]
        }
    ]
    assert "toolConfig" not in body


@pytest.mark.parametrize(
    ("choice", "strict", "said"),
    [
        (None, None, None),
        (None, True, {"mode": "VALIDATED"}),
        (ToolChoice("auto"), None, {"mode": "AUTO"}),
        (ToolChoice("none"), True, {"mode": "NONE"}),
        (ToolChoice("required"), True, {"mode": "ANY"}),
        (ToolChoice("named", "f"), None, {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (ToolChoice("required", allowed=("f",)), None, {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (ToolChoice("auto", allowed=("f",)), None, {"mode": "VALIDATED", "allowedFunctionNames": ["f"]}),
    ],
)
def test_choices(choice: ToolChoice | None, strict: bool | None, said: Any) -> None:
    """Strict tools and narrowed choices make a mode that holds calls to their schemas."""
    body, _ = encode(ask(tools=(Tool("f", strict=strict),), tool_choice=choice))
    assert body.get("toolConfig", {}).get("functionCallingConfig") == said


def test_names_that_google_does_not_take() -> None:
    """They get a legal form, the same in tools, choices and history, and the request tells the way back."""
    name = "weather/für Zürich"
    request = ask(
        model(ToolCall("a", name, "")),
        results(answered("a", "x")),
        tools=(Tool(name), Tool("ok.name:1-x")),
        tool_choice=ToolChoice("named", name),
    )
    body, _ = encode(request)
    [sent, plain] = [function["name"] for function in body["tools"][0]["functionDeclarations"]]
    assert plain == "ok.name:1-x"
    assert GOOGLE.names_back(request) == {sent: name}
    assert body["toolConfig"]["functionCallingConfig"]["allowedFunctionNames"] == [sent]
    assert body["contents"][0]["parts"][0]["functionCall"]["name"] == sent
    assert body["contents"][1]["parts"][0]["functionResponse"]["name"] == sent


def test_an_older_model_gets_the_older_schema() -> None:
    """Before 2.0 there is no JSON Schema: it is converted, and what is lost is refused by name."""
    tool = Tool("f", parameters={"type": "object", "properties": {"a": {"type": "integer", "multipleOf": 2}}})
    older = ChatRequest("gemini-1.5-pro", (user("hi"),), tools=(tool,))
    with pytest.raises(UnsupportedField, match="multipleOf"):
        encode(older)
    body, dropped = encode(older, "drop")
    assert body["tools"][0]["functionDeclarations"][0]["parameters"] == {
        "type": "OBJECT",
        "properties": {"a": {"type": "INTEGER"}},
    }
    assert dropped == ["tools[0].function.parameters.multipleOf"]
