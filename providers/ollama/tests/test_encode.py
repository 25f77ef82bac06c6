"""Requests of other dialects as Ollama takes them: nothing is lost without a word."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ollama._types import ChatRequest as SdkRequest
from providers.ollama.tests.ollama_wire import DIALECT, Json, asked, sent

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
from headgate.dialects import Gaps
from headgate.errors import InvalidRequest, UnsupportedField

ARGUMENTS = '{"city": "Montréal",\n "big": 12345678901234567890, "rate": 1.50}'
SCHEMA: Json = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = Tool("weather", "tells the weather", SCHEMA)
NOW = Tool("now")
PICTURE = Image(data="iVBORw0KGgo=", media_type="image/png")


def valid(body: Json) -> Json:
    """`body`, which the official SDK accepts, and which has no member that it does not know but ids of calls."""
    held = SdkRequest.model_validate(body)
    assert body.keys() <= type(held).model_fields.keys()
    known = {"role", "content", "thinking", "images", "tool_calls", "tool_name", "tool_call_id"}
    for message in body["messages"]:
        assert message.keys() <= known
        assert isinstance(message["content"], str)
    return body


def test_roles_and_texts() -> None:
    """Instructions stay where they are; texts that stood apart are kept apart by a blank line."""
    request = asked(
        Message("system", (Text("be brief"),)),
        Message("user", (Text("hi"), Text("there"))),
        Message("assistant", (Text("hel"), Text("lo"), Refusal("!"))),
        Message("developer", (Text("be loud"),)),
        Message("user", (Text("go on"),), name="ann"),
    )
    body, dropped = sent(request)
    assert valid(body)["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hi\n\nthere"},
        {"role": "assistant", "content": "hello!"},
        {"role": "system", "content": "be loud"},
        {"role": "user", "content": "go on"},
    ]
    assert dropped == ["messages[4].name"]


def test_streaming_is_always_said() -> None:
    """Ollama streams unless told otherwise."""
    assert sent(asked())[0]["stream"] is False
    assert sent(asked(stream=True))[0]["stream"] is True


def test_tool_history() -> None:
    """Arguments are objects with every byte kept, results name their tool and follow the order of the calls."""
    calls = (ToolCall("c1", "weather", ARGUMENTS), ToolCall("c2", "now", "", 1), ToolCall("c3", "now", "null", 2))
    request = asked(
        Message("user", (Text("?"),)),
        Message("assistant", (Reasoning("let me see"), Text("I look."), *calls)),
        Message("tool", (ToolResult("c3", (), is_error=True),)),
        Message("tool", (ToolResult("c1", (Text("sunny"), Text("warm"))),)),
        Message("tool", (ToolResult("c9", (Text("who?"),), name="other"),)),
        Message("user", (ToolResult("c2", (Text("noon"),)), Text("well?"))),
    )
    raw = DIALECT.encode_request(request, Gaps("ollama"))
    assert f'"arguments":{ARGUMENTS}'.encode() in raw
    body, dropped = sent(request)
    assistant, *rest = valid(body)["messages"][1:]
    assert (assistant["content"], assistant["thinking"]) == ("I look.", "let me see")
    assert [held["function"]["arguments"] for held in assistant["tool_calls"]][1:] == [{}, {}]
    assert rest == [
        {"role": "tool", "content": "sunny\n\nwarm", "tool_name": "weather", "tool_call_id": "c1"},
        {"role": "tool", "content": "noon", "tool_name": "now", "tool_call_id": "c2"},
        {"role": "tool", "content": "error", "tool_name": "now", "tool_call_id": "c3"},
        {"role": "tool", "content": "who?", "tool_name": "other", "tool_call_id": "c9"},
        {"role": "user", "content": "well?"},
    ]
    assert dropped == ["messages[2].content[0].is_error"]


def test_ids_that_are_used_again() -> None:
    """Each result is of the call before it, whatever its id."""
    turns = [
        message
        for name in ("weather", "now")
        for message in (
            Message("assistant", (ToolCall("call_0", name, "{}"),)),
            Message("tool", (ToolResult("call_0", (Text("x"),)),)),
        )
    ]
    body, _ = sent(asked(*turns))
    assert [message.get("tool_name") for message in body["messages"]] == [None, "weather", None, "now"]
    ids = [message["tool_calls"][0]["id"] for message in body["messages"][::2]]
    assert ids == [message["tool_call_id"] for message in body["messages"][1::2]]
    assert len(set(ids)) == 2


@pytest.mark.parametrize("arguments", ["plain words", "[1]", '{"cut": ', "7"])
def test_arguments_that_are_no_object(arguments: str) -> None:
    """What is no object stands as `input` in one, and so does the text of a custom tool."""
    for call in (ToolCall("c", "f", arguments), ToolCall("c", "f", arguments, custom=True)):
        body, _ = sent(asked(Message("assistant", (call,))))
        assert body["messages"][0]["tool_calls"][0]["function"]["arguments"] == {"input": arguments}


def test_pictures() -> None:
    """They go as bare base64; what a tool shows follows in a user message behind the results."""
    request = asked(
        Message("user", (Text("look"), PICTURE, PICTURE)),
        Message("assistant", (ToolCall("c1", "draw", "{}"), ToolCall("c2", "draw", "{}", 1))),
        Message("tool", (ToolResult("c1", (Text("done"), PICTURE)),)),
        Message("tool", (ToolResult("c2", (Text("no"),)),)),
    )
    body, _ = sent(request)
    messages = valid(body)["messages"]
    assert messages[0] == {"role": "user", "content": "look", "images": ["iVBORw0KGgo=", "iVBORw0KGgo="]}
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool", "user"]
    assert (messages[2]["content"].startswith("done"), messages[4]["images"]) == (True, ["iVBORw0KGgo="])


def test_text_files_are_text() -> None:
    """A file that is text is said as text."""
    note = File(data="aGVsbG8=", media_type="text/markdown", filename="a.md", context="notes")
    body, _ = sent(asked(Message("user", (note,))))
    assert body["messages"] == [{"role": "user", "content": "notes\na.md:\nhello"}]


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
        Image("https://x.example/a.png"),
        Item("openai.responses", {"type": "web_search_call"}),
        Text("a", extra={"grammar": 1}),
        File(data="aGk=", media_type="text/plain", cites=True),
        File(data="JVBERi0=", media_type="application/pdf"),
        File(data="////", media_type="text/plain"),
        File(file_id="f"),
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
    mark, opaque = {"type": "ephemeral"}, Opaque("google", "x")
    said = Text("yes", citations=(Citation("https://x.example"),), opaque=opaque)
    request = asked(
        Message("user", (Text("hi", cache=mark), Image(data="AAAA", detail="high"))),
        Message("assistant", (said, Reasoning("", opaque, is_redacted=True))),
        Message("assistant", (ToolCall("c", "f", "{}", opaque=opaque, cache=mark),)),
        Message("tool", (ToolResult("c", (Text("x"),), cache=mark),)),
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
        "messages[0].content[1].image_url.detail",
        "messages[1].annotations",
        "messages[1].content[0].signature",
        "messages[1].reasoning",
        "messages[2].content[0].cache_control",
        "messages[2].content[0].signature",
        "messages[3].content[0].cache_control",
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
    assert (valid(body)["format"], "think" in body) == (SCHEMA, False)


def test_sampling() -> None:
    """Settings are options, and what asks for nothing is no gap."""
    sampling = Sampling(0.5, 0.9, 40, 100, ("a", "b"), 7, 0.1, -0.2, {}, logprobs=True, top_logprobs=3, n=1)
    body, dropped = sent(asked(sampling=sampling, parallel_tool_calls=True, tool_choice=ToolChoice("auto")))
    assert valid(body)["options"] == {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "num_predict": 100,
        "seed": 7,
        "presence_penalty": 0.1,
        "frequency_penalty": -0.2,
        "stop": ["a", "b"],
    }
    assert (body["logprobs"], body["top_logprobs"], dropped) == (True, 3, [])
    assert sent(asked(sampling=Sampling(logprobs=False)))[0].keys() == {"model", "messages", "stream"}


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
        ({"parallel_tool_calls": False}, "parallel_tool_calls"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"extra": {"keep_alive": "5m"}}, "keep_alive"),
        ({"extra": {"options": {"num_ctx": 4}}}, "options"),
        ({"tools": (Tool("web_search", kind="web_search", raw={"type": "web_search"}),)}, "tools[0]"),
    ],
)
def test_what_changes_the_meaning_is_refused(fields: dict[str, Any], param: str) -> None:
    """By its name in the caller's dialect; with the policy to drop it is left out and named."""
    with pytest.raises(UnsupportedField) as caught:
        sent(asked(**fields))
    assert caught.value.param == param
    body, dropped = sent(asked(**fields), "drop")
    assert (dropped, body.keys()) == ([param], {"model", "messages", "stream"})


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        (None, ["weather", "now"]),
        (ToolChoice("auto"), ["weather", "now"]),
        (ToolChoice("none"), []),
        (ToolChoice("auto", allowed=("now",)), ["now"]),
    ],
)
def test_tool_choice(choice: ToolChoice | None, names: list[str]) -> None:
    """Tools that may not be called are not offered."""
    body, dropped = sent(asked(tools=(WEATHER, NOW), tool_choice=choice))
    assert ([tool["function"]["name"] for tool in valid(body).get("tools", [])], dropped) == (names, [])
    assert all(tool["function"]["parameters"]["type"] == "object" for tool in body.get("tools", []))


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        (ToolChoice("required"), ["weather", "now"]),
        (ToolChoice("named", "now"), ["now"]),
        (ToolChoice("required", allowed=("now",)), ["now"]),
        (ToolChoice("other", raw={"type": "x"}), ["weather", "now"]),
    ],
)
def test_a_call_cannot_be_forced(choice: ToolChoice, names: list[str]) -> None:
    """It is refused; where it may be dropped, the tools it left are offered."""
    request = asked(tools=(WEATHER, NOW), tool_choice=choice)
    with pytest.raises(UnsupportedField) as caught:
        sent(request)
    assert caught.value.param == "tool_choice"
    body, dropped = sent(request, "drop")
    assert ([tool["function"]["name"] for tool in body["tools"]], dropped) == (names, ["tool_choice"])


def test_tool_choice_of_an_unknown_tool() -> None:
    """It is a mistake of the caller's."""
    with pytest.raises(InvalidRequest, match="`tool_choice`"):
        sent(asked(tools=(WEATHER,), tool_choice=ToolChoice("auto", allowed=("other",))))


@pytest.mark.parametrize(
    ("thinking", "wanted", "dropped"),
    [
        (Thinking("none"), False, []),
        (Thinking("minimal"), "low", ["reasoning_effort"]),
        (Thinking("low"), "low", []),
        (Thinking("medium"), "medium", []),
        (Thinking("xhigh"), "high", ["reasoning_effort"]),
        (Thinking(budget_tokens=500), "low", ["thinking.budget_tokens"]),
        (Thinking(budget_tokens=50_000, mode="enabled"), "high", ["thinking.budget_tokens"]),
        (Thinking(budget_tokens=0), False, []),
        (Thinking(budget_tokens=-1, mode="adaptive"), True, []),
        (Thinking(mode="enabled"), True, []),
        (Thinking(mode="disabled"), False, []),
        (Thinking(is_shown=False), None, []),
    ],
)
def test_thinking(thinking: Thinking, wanted: bool | str | None, dropped: list[str]) -> None:
    """A switch where only that is asked for, else a level."""
    body, left = sent(asked(thinking=thinking))
    assert (valid(body).get("think"), left) == (wanted, dropped)


@pytest.mark.parametrize(
    ("form", "wanted"),
    [
        (ResponseFormat("text"), None),
        (ResponseFormat("json_object"), "json"),
        (ResponseFormat("json_schema", "n", SCHEMA), SCHEMA),
        (ResponseFormat("json_schema", "n"), "json"),
    ],
)
def test_format(form: ResponseFormat, wanted: Any) -> None:
    """A schema is the format itself."""
    assert valid(sent(asked(response_format=form))[0]).get("format") == wanted


@given(
    st.dictionaries(st.text(max_size=8), st.none() | st.booleans() | st.integers() | st.text(max_size=8), max_size=4)
)
def test_arguments_keep_every_byte(arguments: dict[str, Any]) -> None:
    """Whatever object a model wrote goes back as it wrote it."""
    text = msgspec.json.encode(arguments)
    body = DIALECT.encode_request(asked(Message("assistant", (ToolCall("c", "f", text.decode()),))), Gaps("ollama"))
    assert b'"arguments":' + text + b"}" in body


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
    assert (body["messages"][0]["content"], dropped) == ("found", [left_out])
