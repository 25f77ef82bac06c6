"""Requests of other dialects as Cohere takes them: nothing is lost without a word."""

from __future__ import annotations

from inspect import signature
from typing import Any, cast

import msgspec
import pytest
from cohere.types import AssistantChatMessageV2, SystemChatMessageV2, ToolChatMessageV2, ToolV2, UserChatMessageV2
from cohere.v2.client import V2Client
from hypothesis import given
from hypothesis import strategies as st
from providers.cohere.tests.cohere_wire import ARGUMENTS, Json, asked, first, sent
from pydantic import BaseModel

from headgate.chat import (
    Audio,
    Citation,
    File,
    Image,
    Item,
    Message,
    Opaque,
    Part,
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
from headgate.errors import InvalidRequest, UnsupportedField

ROLES: dict[str, Any] = {
    "system": SystemChatMessageV2,
    "user": UserChatMessageV2,
    "assistant": AssistantChatMessageV2,
    "tool": ToolChatMessageV2,
}
SCHEMA: Json = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = Tool("weather", "tells the weather", SCHEMA)
TIME = Tool("time", None, {"type": "object", "properties": {}})
PICTURE = Image(data="iVBORw0KGgo=", media_type="image/png", detail="low")


def strays(model: object) -> list[str]:
    """Members that the SDK's types do not know, at any depth."""
    if isinstance(model, list):
        return [name for item in cast("list[object]", model) for name in strays(item)]
    if not isinstance(model, BaseModel):
        return []
    inner = [name for field in type(model).model_fields for name in strays(getattr(model, field))]
    return [*(model.model_extra or {}), *inner]


def valid(body: Json) -> Json:
    """`body`, which the official SDK accepts: its members, messages and tools."""
    assert body.keys() - {"stream"} <= signature(V2Client.chat_stream).parameters.keys()
    for message in body["messages"]:
        assert strays(ROLES[message["role"]].model_validate(message)) == []
    for tool in body.get("tools", []):
        assert strays(ToolV2.model_validate(tool)) == []
    return body


def test_roles_and_plain_text() -> None:
    """Instructions stay where they are, and a plain text is a string."""
    request = asked(
        Message("system", (Text("be brief"),)),
        Message("developer", (Text("today is Monday"),)),
        Message("user", (Text("hi"), Text("there"))),
        Message("assistant", (Text("hello"),)),
        Message("system", (Text("now be verbose"),)),
        Message("user", (Text("go on"),), name="ann"),
    )
    body, dropped = sent(request)
    assert valid(body)["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "system", "content": "today is Monday"},
        {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "text", "text": "there"}]},
        {"role": "assistant", "content": "hello"},
        {"role": "system", "content": "now be verbose"},
        {"role": "user", "content": "go on"},
    ]
    assert dropped == ["messages[5].name"]


def test_blank_content_is_left_out() -> None:
    """Cohere refuses turns without a word: blank texts go, calls stay."""
    calling = Message("assistant", (Text("  "), ToolCall("c1", "weather", ARGUMENTS)))
    body, _ = sent(asked(Message("user", (Text("hi"),)), Message("assistant"), calling, Message("user", (Text(""),))))
    assert [message["role"] for message in valid(body)["messages"]] == ["user", "assistant"]
    assert "content" not in body["messages"][1]


def test_tool_history() -> None:
    """Text and thinking beside calls are kept, arguments keep every byte, and each result is a message of its own."""
    calls = (ToolCall("c1", "weather", ARGUMENTS), ToolCall("c2", "time", "", 1), ToolCall("c3", "time", "null", 2))
    request = asked(
        Message("user", (Text("?"),)),
        Message("assistant", (Reasoning("let me see"), Text("I look."), *calls)),
        Message("tool", (ToolResult("c1", (Text("sunny"),)),)),
        Message("tool", (ToolResult("c2", (Text("4"), Text("PM"))),)),
        Message("user", (ToolResult("c3", (), is_error=True), Text("well?"))),
    )
    body, dropped = sent(request)
    assistant, *results, user = valid(body)["messages"][1:]
    assert assistant["content"] == [
        {"type": "thinking", "thinking": "let me see"},
        {"type": "text", "text": "I look."},
    ]
    assert [held["function"]["arguments"] for held in assistant["tool_calls"]] == [ARGUMENTS, "{}", "{}"]
    assert [(held["tool_call_id"], held["content"]) for held in results] == [
        ("c1", "sunny"),
        ("c2", [{"type": "text", "text": "4"}, {"type": "text", "text": "PM"}]),
        ("c3", "error"),
    ]
    assert user == {"role": "user", "content": "well?"}
    assert dropped == ["messages[4].content[0].is_error"]


def test_ids_of_calls_are_unique() -> None:
    """Calls of one id get ids of their own, and results follow in order."""
    call = ToolCall("same", "weather", "{}")
    request = asked(
        Message("assistant", (call, msgspec.structs.replace(call, index=1))),
        Message("tool", (ToolResult("same", (Text("1"),)),)),
        Message("tool", (ToolResult("same", (Text("2"),)),)),
    )
    body, _ = sent(request)
    assert [held["id"] for held in body["messages"][0]["tool_calls"]] == ["same", "same_2"]
    assert [held["tool_call_id"] for held in body["messages"][1:]] == ["same", "same_2"]


@pytest.mark.parametrize("arguments", ["plain words", "[1]", '{"cut": ', "7"])
def test_arguments_that_are_no_object(arguments: str) -> None:
    """What is no object stands as `input` in one, and so does the text of a custom tool."""
    body, _ = sent(asked(Message("assistant", (ToolCall("c", "f", arguments),))))
    said = first(body["messages"][0]["tool_calls"])["function"]["arguments"]
    assert msgspec.json.decode(said) == {"input": arguments}
    custom, _ = sent(asked(Message("assistant", (ToolCall("c", "f", "{}", custom=True),))))
    assert first(custom["messages"][0]["tool_calls"])["function"]["arguments"] == '{"input":"{}"}'


def test_pictures() -> None:
    """By URL or by their bytes; what a tool shows follows in a user message behind the last result."""
    request = asked(
        Message("user", (Text("look"), PICTURE, Image("https://x.example/a.png"))),
        Message("assistant", (ToolCall("c1", "draw", "{}"), ToolCall("c2", "draw", "{}", 1))),
        Message("tool", (ToolResult("c1", (Text("done"), PICTURE)),)),
        Message("tool", (ToolResult("c2", (Text("no"),)),)),
    )
    body, _ = sent(request)
    messages = valid(body)["messages"]
    url = "data:image/png;base64,iVBORw0KGgo="
    assert messages[0]["content"][1:] == [
        {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}},
    ]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool", "user"]
    assert messages[2]["content"][0]["text"] == "done"
    assert messages[4]["content"][1]["image_url"]["url"] == url


def test_text_files_are_text() -> None:
    """A file that is text is said as text; any other is refused."""
    note = File(data="aGVsbG8=", media_type="text/markdown", filename="a.md", context="notes")
    body, _ = sent(asked(Message("user", (note,))))
    assert body["messages"] == [{"role": "user", "content": "notes\na.md:\nhello"}]
    for file in (File(data="JVBERi0=", media_type="application/pdf"), File(file_id="f"), File(url="https://x.example")):
        with pytest.raises(UnsupportedField):
            sent(asked(Message("user", (file,))))


@pytest.mark.parametrize("part", [Image(file_id="f"), File(file_id="f")])
def test_a_file_of_another_vendor_is_refused_by_name(part: Image | File) -> None:
    """An id holds at the vendor that gave it."""
    with pytest.raises(UnsupportedField) as caught:
        sent(asked(Message("user", (part,))))
    assert caught.value.param == "messages[0].content[0].file_id"


@pytest.mark.parametrize(
    "part",
    [
        Audio("AAAA", "wav"),
        Image(file_id="f"),
        Item("openai.responses", {"type": "web_search_call"}),
        Text("a", extra={"grammar": 1}),
        File(data="aGk=", media_type="text/plain", cites=True),
    ],
)
def test_parts_that_cannot_be_said(part: Any) -> None:
    """They are refused by their place, or left out and named."""
    with pytest.raises(UnsupportedField) as caught:
        sent(asked(Message("user", (part,))))
    assert str(caught.value.param).startswith("messages[0].content[0]")
    _, dropped = sent(asked(Message("user", (Text("hi"), part))), "drop")
    assert dropped[0].startswith("messages[0].content[1]")


def test_hints_are_named() -> None:
    """Cache marks, signatures, sources and words about the caller are left out under either policy."""
    mark = {"type": "ephemeral"}
    opaque = Opaque("google", "x")
    request = asked(
        Message("user", (Text("hi", cache=mark),)),
        Message("assistant", (Text("yes", citations=(Citation("https://x.example"),), opaque=opaque), Refusal("no"))),
        Message(
            "assistant", (Reasoning("", opaque, is_redacted=True), ToolCall("c", "f", "{}", opaque=opaque, cache=mark))
        ),
        tools=(Tool("f", cache=mark, strict=True),),
        user="u",
        metadata={"a": "b"},
        store=False,
        verbosity="low",
        cache_key="k",
        safety_identifier="s",
        service_tier="auto",
        thinking=Thinking(summary="auto"),
        response_format=ResponseFormat("json_schema", "n", SCHEMA, strict=True, description="d"),
    )
    body, dropped = sent(request)
    assert sorted(dropped) == [
        "messages[0].content[0].cache_control",
        "messages[1].annotations",
        "messages[1].content[0].signature",
        "messages[2].content[1].cache_control",
        "messages[2].content[1].signature",
        "messages[2].reasoning",
        "metadata",
        "prompt_cache_key",
        "reasoning.summary",
        "response_format.json_schema.description",
        "safety_identifier",
        "service_tier",
        "store",
        "tools[0].cache_control",
        "tools[0].strict",
        "user",
        "verbosity",
    ]
    assert body["response_format"] == {"type": "json_object", "json_schema": SCHEMA}
    assert "thinking" not in body


def test_sampling() -> None:
    """Every setting has its name at Cohere, and defaults of OpenAI that ask for nothing are no gap."""
    sampling = Sampling(0.5, 0.9, 40, 100, ("a", "b"), 7, 0.1, 0.2, {}, logprobs=True, top_logprobs=0, n=1)
    body, dropped = sent(asked(sampling=sampling, stream=True, parallel_tool_calls=True))
    told = {name: value for name, value in valid(body).items() if name not in {"model", "messages"}}
    assert told == {
        "temperature": 0.5,
        "p": 0.9,
        "k": 40,
        "max_tokens": 100,
        "stop_sequences": ["a", "b"],
        "seed": 7,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "logprobs": True,
        "stream": True,
    }
    assert dropped == []
    assert sent(asked(sampling=Sampling(presence_penalty=0.0, logprobs=False)))[0].keys() == {"model", "messages"}


@pytest.mark.parametrize(("top_p", "p"), [(1.0, 0.99), (0.0, 0.01), (0.5, 0.5)])
def test_top_p_is_kept_in_range(top_p: float, p: float) -> None:
    """OpenAI's default of 1 is outside of what Cohere takes."""
    assert sent(asked(sampling=Sampling(top_p=top_p)))[0]["p"] == p


def test_members_of_an_answer_that_comes_back_may_go() -> None:
    """What another vendor said beside its words changes nothing of what is asked for: it is left out and named."""
    answer = Message("assistant", (Text("a", extra={"x": 1}),), extra={"channel": "final"})
    body, dropped = sent(asked(Message("user", (Text("hi"),)), answer))
    assert (body["messages"][1], dropped) == (
        {"role": "assistant", "content": "a"},
        ["messages[1].content[0].x", "messages[1].channel"],
    )


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"sampling": Sampling(n=2)}, "n"),
        ({"sampling": Sampling(logit_bias={"1": 5.0})}, "logit_bias"),
        ({"sampling": Sampling(logprobs=True, top_logprobs=2)}, "top_logprobs"),
        ({"sampling": Sampling(frequency_penalty=-1)}, "frequency_penalty"),
        ({"sampling": Sampling(presence_penalty=1.5)}, "presence_penalty"),
        ({"parallel_tool_calls": False}, "parallel_tool_calls"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"extra": {"web_search_options": {"a": 1}}}, "web_search_options"),
        ({"extra": {"safety_mode": "OFF"}}, "safety_mode"),
        ({"tools": (Tool("web_search", kind="web_search", raw={"type": "web_search"}),)}, "tools[0]"),
        ({"tool_choice": ToolChoice("other", raw={"type": "x"})}, "tool_choice"),
    ],
)
def test_what_changes_the_meaning_is_refused(fields: dict[str, Any], param: str) -> None:
    """By its name in the caller's dialect; with the policy to drop it is left out and named."""
    with pytest.raises(UnsupportedField) as caught:
        sent(asked(**fields))
    assert caught.value.param == param
    body, dropped = sent(asked(**fields), "drop")
    assert (dropped, body.keys() - {"logprobs"}) == ([param], {"model", "messages"})


@pytest.mark.parametrize(
    ("choice", "names", "word"),
    [
        (None, ["weather", "time"], None),
        (ToolChoice("auto"), ["weather", "time"], None),
        (ToolChoice("none"), ["weather", "time"], "NONE"),
        (ToolChoice("required"), ["weather", "time"], "REQUIRED"),
        (ToolChoice("named", "time"), ["time"], "REQUIRED"),
        (ToolChoice("auto", allowed=("weather",)), ["weather"], None),
        (ToolChoice("required", allowed=("time",)), ["time"], "REQUIRED"),
    ],
)
def test_tool_choice(choice: ToolChoice | None, names: list[str], word: str | None) -> None:
    """A named tool is forced by leaving the others out."""
    body, dropped = sent(asked(tools=(WEATHER, TIME), tool_choice=choice))
    assert [tool["function"]["name"] for tool in valid(body)["tools"]] == names
    assert (body.get("tool_choice"), dropped) == (word, [])


def test_tool_choice_of_an_unknown_tool() -> None:
    """It cannot be forced."""
    with pytest.raises(InvalidRequest, match="`tool_choice`"):
        sent(asked(tools=(WEATHER,), tool_choice=ToolChoice("named", "other")))


def test_strict_tools() -> None:
    """`strict_tools` holds for all or none, and only where every tool requires a parameter."""
    strict = Tool("weather", None, SCHEMA, strict=True)
    assert sent(asked(tools=(strict,)))[0]["strict_tools"] is True
    for other in (TIME, msgspec.structs.replace(TIME, strict=True)):
        body, dropped = sent(asked(tools=(strict, other)))
        assert "strict_tools" not in body
        assert "tools[0].strict" in dropped


@pytest.mark.parametrize(
    ("thinking", "max_tokens", "wanted"),
    [
        (Thinking("none"), None, {"type": "disabled"}),
        (Thinking("low"), None, {"type": "enabled", "token_budget": 1024}),
        (Thinking("medium"), 4096, {"type": "enabled", "token_budget": 3072}),
        (Thinking("medium"), 100, {"type": "enabled", "token_budget": 50}),
        (Thinking("high"), 100, {"type": "enabled"}),
        (Thinking(budget_tokens=700), 100, {"type": "enabled", "token_budget": 700}),
        (Thinking(budget_tokens=0), None, {"type": "disabled"}),
        (Thinking(budget_tokens=-1), None, {"type": "enabled"}),
        (Thinking(mode="adaptive"), None, {"type": "enabled"}),
        (Thinking(mode="disabled"), None, {"type": "disabled"}),
        (Thinking(is_shown=False), None, None),
    ],
)
def test_thinking(thinking: Thinking, max_tokens: int | None, wanted: Json | None) -> None:
    """Efforts are budgets that leave room for an answer, and are told; a budget of the caller's goes as it is."""
    body, dropped = sent(asked(thinking=thinking, sampling=Sampling(max_tokens=max_tokens)))
    assert body.get("thinking") == wanted
    is_effort = wanted is not None and wanted["type"] == "enabled" and thinking.effort is not None
    assert dropped == ["reasoning_effort"] * is_effort


@given(
    st.dictionaries(st.text(max_size=8), st.none() | st.booleans() | st.integers() | st.text(max_size=8), max_size=4)
)
def test_arguments_keep_every_byte(arguments: dict[str, Any]) -> None:
    """Whatever object a model wrote goes back as it wrote it."""
    text = msgspec.json.encode(arguments).decode()
    body, _ = sent(asked(Message("assistant", (ToolCall("c", "f", text),))))
    assert first(body["messages"][0]["tool_calls"])["function"]["arguments"] == text


@pytest.mark.parametrize(
    ("part", "left_out"),
    [
        (Item("anthropic.messages", {"type": "server_tool_use"}), "messages[0].provider_items"),
        (Audio("AAAA", "pcm16"), "messages[0].content[0]"),
    ],
)
def test_what_another_provider_did_is_left_out_where_it_comes_back(part: Part, left_out: str) -> None:
    """The turn keeps its words, and what has no place is named and not refused."""
    body, dropped = sent(asked(Message("assistant", (part, Text("found")))))
    assert (first(body["messages"])["content"], dropped) == ("found", [left_out])
