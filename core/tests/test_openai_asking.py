"""What a foreign request asks for beside its turns: tools, names and ids, thinking, formats; and any request at all is valid."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import msgspec
import pytest
from core.tests.openai_samples import CHAT, IDS, OBJECTS, SOME, check_request, encode
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

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
from headgate.dialects.openai.encode import IGNORED
from headgate.dialects.openai.names import MAX_ID, legal_name, names_back
from headgate.errors import UnsupportedField

FOREIGN = ChatRequest("m", (Message("user", (Text("hi"),)),), dialect="anthropic.messages")
MARK = {"type": "ephemeral"}


def asked(*messages: Message, **members: Any) -> ChatRequest:
    return ChatRequest("m", messages, dialect="anthropic.messages", **members)


# tools


def test_tools_and_what_is_said_of_them() -> None:
    """Functions with their schemas as they are; choices by name, narrowed, and of custom tools."""
    tools = (
        Tool("f", "d", {"type": "object"}, strict=True),
        Tool(
            "g",
            kind="custom",
            raw={"type": "custom", "name": "g", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}},
        ),
    )
    body = encode(replace(FOREIGN, tools=tools, tool_choice=ToolChoice("named", "g"), parallel_tool_calls=False))
    check_request(body)
    assert body["tools"] == [
        {
            "type": "function",
            "function": {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True},
        },
        {
            "type": "custom",
            "custom": {"name": "g", "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "x"}}},
        },
    ]
    assert (body["tool_choice"], body["parallel_tool_calls"]) == ({"type": "custom", "custom": {"name": "g"}}, False)
    narrowed = encode(replace(FOREIGN, tools=tools, tool_choice=ToolChoice("auto", allowed=("f",))))
    check_request(narrowed)
    function = {"type": "function", "function": {"name": "f"}}
    assert narrowed["tool_choice"]["allowed_tools"] == {"mode": "auto", "tools": [function]}


def test_tools_of_a_provider_are_refused() -> None:
    """A tool that another provider runs is refused by name; where it is dropped, nothing is left to choose from."""
    held = replace(
        FOREIGN, tools=(Tool("web_search", kind="web_search_20250305", raw={}),), tool_choice=ToolChoice("auto")
    )
    with pytest.raises(UnsupportedField, match=r"tools\[0\]"):
        encode(held)
    gaps = Gaps("vendor", "drop")
    assert encode(held, gaps).keys() == {"model", "messages"}
    assert gaps.dropped == ["tools[0]"]
    with pytest.raises(UnsupportedField, match="tool_choice"):
        encode(replace(FOREIGN, tools=(Tool("f"),), tool_choice=ToolChoice("other", raw={"x": 1})))


@given(st.text(max_size=80))
def test_names_are_legal_and_lead_back(name: str) -> None:
    """Any name becomes a legal one, the same each time, and the request alone leads back from it."""
    legal = legal_name(name)
    assert legal_name(legal) == legal
    assert 1 <= len(legal) <= 64
    assert all(mark.isascii() and (mark.isalnum() or mark in "_-") for mark in legal)
    back = names_back(replace(FOREIGN, tools=(Tool(name),)))
    assert back.get(legal, legal) == name


def test_names_are_the_same_everywhere() -> None:
    """In tools, choices and the history; results have no name here."""
    call = ToolCall("1", "a.b", "{}")
    held = asked(
        Message("assistant", (call,)),
        Message("tool", (ToolResult("1", (Text("x"),), name="a.b"),)),
        tools=(Tool("a.b"),),
        tool_choice=ToolChoice("named", "a.b"),
    )
    body = encode(held)
    check_request(body)
    name = legal_name("a.b")
    assert name != "a.b"
    assert body["tools"][0]["function"]["name"] == body["tool_choice"]["function"]["name"] == name
    assert body["messages"][0]["tool_calls"][0]["function"]["name"] == name
    assert "name" not in body["messages"][1]
    assert CHAT.names_back(held) == {name: "a.b"}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.sampled_from(["", "a", "a_2", "x" * 39, "x" * 40, "y" * 60]), max_size=3), max_size=4))
def test_ids_are_each_their_own(turns: list[list[str]]) -> None:
    """Ids that are too long, empty or repeated become legal ones, and each result answers the call it answered."""
    messages: list[Message] = []
    for number, ids in enumerate(turns):
        calls = tuple(ToolCall(call_id, f"f{number}_{at}", "{}") for at, call_id in enumerate(ids))
        results = tuple(ToolResult(call_id, (Text(f"f{number}_{at}"),)) for at, call_id in enumerate(ids))
        messages += [Message("assistant", calls), Message("tool", results)] if ids else []
    told = encode(asked(*messages, Message("user", (Text("x"),))))["messages"]
    made = [call for message in told for call in message.get("tool_calls", ())]
    ids = {call["id"]: call["function"]["name"] for call in made}
    assert len(ids) == len(made)
    assert all(0 < len(call_id) <= MAX_ID for call_id in ids)
    assert [ids[message["tool_call_id"]] for message in told if message["role"] == "tool"] == [
        message["content"] for message in told if message["role"] == "tool"
    ]


# how to answer


@pytest.mark.parametrize(
    ("thinking", "expected"),
    [
        (None, None),
        (Thinking("high", 9, "enabled"), "high"),
        (Thinking(mode="disabled"), "none"),
        (Thinking("none", 0, "disabled"), "none"),
        (Thinking(mode="adaptive"), None),
        (Thinking(budget_tokens=0), "none"),
        (Thinking(budget_tokens=-1), None),
        (Thinking(budget_tokens=1024, mode="enabled"), "low"),
        (Thinking(budget_tokens=4096), "medium"),
        (Thinking(budget_tokens=20000), "high"),
        (Thinking(is_shown=False), None),
    ],
)
def test_thinking_is_an_effort(thinking: Thinking | None, expected: str | None) -> None:
    """OpenAI has efforts: a budget becomes the nearest one, which is told, and a switch that is off becomes none."""
    gaps = Gaps("vendor")
    body = encode(replace(FOREIGN, thinking=thinking), gaps)
    check_request(body)
    assert body.get("reasoning_effort") == expected
    assert not body.keys() & {"thinking", "reasoning"}
    is_budget = thinking is not None and thinking.effort is None and expected not in {None, "none"}
    assert gaps.dropped == ["thinking.budget_tokens"] * is_budget


@pytest.mark.parametrize("off", [Thinking("high", mode="disabled"), Thinking("high", 0)])
def test_a_switch_that_is_off_wins_over_an_effort(off: Thinking) -> None:
    """No thinking is asked for, and the effort beside it is named."""
    gaps = Gaps("vendor")
    body = encode(replace(FOREIGN, thinking=off), gaps)
    assert (body["reasoning_effort"], gaps.dropped) == ("none", ["reasoning_effort"])


def test_schemas_have_a_name() -> None:
    """OpenAI wants one, other dialects have none."""
    body = encode(replace(FOREIGN, response_format=ResponseFormat("json_schema", schema={"type": "object"})))
    check_request(body)
    assert body["response_format"]["json_schema"] == {"name": "answer", "schema": {"type": "object"}}
    assert encode(replace(FOREIGN, response_format=ResponseFormat("json_object")))["response_format"] == {
        "type": "json_object"
    }


# anything that a client of another dialect may say

PLAIN = st.builds(Text, SOME)
SHOWN = PLAIN | st.builds(Image, data=st.just("AAAA"), media_type=st.just("image/png")) | st.builds(File, IDS)
SAID = (
    PLAIN
    | st.builds(Reasoning, SOME, st.none() | st.builds(Opaque, IDS, IDS))
    | st.builds(Refusal, SOME)
    | st.builds(ToolCall, IDS, SOME, st.sampled_from(["", "{}", '{"a":1}']))
)
TURNS = st.one_of(
    st.builds(Message, st.sampled_from(["system", "developer"]), st.lists(PLAIN, max_size=2).map(tuple)),
    st.builds(Message, st.just("user"), st.lists(SHOWN, max_size=3).map(tuple)),
    st.builds(Message, st.just("assistant"), st.lists(SAID, max_size=4).map(tuple)),
    st.builds(
        Message,
        st.sampled_from(["tool", "user"]),
        st.lists(st.builds(ToolResult, IDS, st.lists(SHOWN, max_size=2).map(tuple), st.booleans()), max_size=2).map(
            tuple
        ),
    ),
)
TOOLS = st.lists(st.builds(Tool, SOME, st.none() | SOME, st.none() | OBJECTS), max_size=2).map(tuple)


@settings(max_examples=80, deadline=None)
@given(st.lists(TURNS, min_size=1, max_size=4).map(tuple), TOOLS, st.booleans())
def test_any_request_is_valid(messages: tuple[Message, ...], tools: tuple[Tool, ...], stream: bool) -> None:
    """Whatever is asked in another dialect, the official types take what is sent, and its texts are all there."""
    held = asked(*messages, tools=tools, stream=stream)
    body = encode(held)
    check_request(body)
    whole = msgspec.json.encode(body).decode()
    for message in messages:
        for part in message.parts:
            if isinstance(part, Text | Refusal):
                assert msgspec.json.encode(part.text).decode()[1:-1] in whole


# each canonical field has its place


def test_every_canonical_field_is_sent_or_listed() -> None:
    """A field whose value makes no difference to what is sent must be one of those that are listed as ignored."""
    opaque = Opaque("google", "s", "a")
    full = ChatRequest(
        model="m",
        messages=(
            Message(
                "user",
                (
                    Text("t", MARK, (Citation("u", "t", "q", 1, 2, {"url_citation": {}}),), opaque, {"e": 1}),
                    Image("u", None, None, None, "low", MARK, {"e": 1}),
                    Audio("d", "wav", extra={"e": 1}),
                    File("u", None, "application/pdf", "f", "n", "t", "c", None, MARK, {"e": 1}),
                    ToolResult("c", (Text("t"),), is_error=False, name="n", cache=MARK, extra={"e": 1}),
                ),
                "n",
                {"e": 1},
            ),
            Message(
                "assistant",
                (
                    Reasoning("t", opaque, item_id="i"),
                    Reasoning("t", None, extra={"e": 1}),
                    ToolCall("c", "n", "{}", opaque=opaque, cache=MARK, extra={"e": 1}),
                    Refusal("r"),
                    Audio("", "", id="i"),
                    Item("openai.chat", {"r": 1}),
                ),
            ),
        ),
        tools=(Tool("f", "d", {}, strict=True, cache=MARK, extra={"e": 1}), Tool("x", kind="custom", raw={"r": 1})),
        tool_choice=ToolChoice("named", "f"),
        parallel_tool_calls=True,
        response_format=ResponseFormat("json_schema", "n", {}, strict=True, description="d"),
        thinking=Thinking("low", 1, "enabled", is_shown=True, summary="s"),
        stream=True,
        user="u",
        metadata={"a": "b"},
        service_tier="flex",
        verbosity="low",
        cache_key="k",
        safety_identifier="s",
        store=True,
        sampling=Sampling(0.1, 0.2, 3, 4, ("s",), 5, 0.6, 0.7, {"8": 9.0}, logprobs=True, top_logprobs=10, n=11),
        dialect="openai.chat",
        extra={"e": 1, "reasoning": {}},
    )
    other = replace(full, messages=(Message("user", (File(data="AAAA", media_type="a/b", title="t"), IMAGE)),))
    seen: set[str] = set()
    told: set[str] = set()
    for held in (full, other):
        for name, changed in _changed(held):
            seen.add(name)
            if encode(changed) != encode(held):
                told.add(name)
    assert len(seen) > 80
    assert seen - told <= IGNORED


IMAGE = Image(data="AAAA", media_type="image/png")


def _changed(held: msgspec.Struct) -> Iterator[tuple[str, Any]]:
    """Every variant of a value with one field of one Struct in it changed, and the name of that field."""
    for name in held.__struct_fields__:
        value: Any = getattr(held, name)
        label = f"{type(held).__name__}.{name}"
        if isinstance(value, msgspec.Struct):
            yield from ((inner, replace(held, **{name: changed})) for inner, changed in _changed(value))
        elif isinstance(value, tuple):
            items = cast("tuple[Any, ...]", value)
            for at, item in enumerate(items if items and isinstance(items[0], msgspec.Struct) else ()):
                for inner, changed in _changed(item):
                    yield inner, replace(held, **{name: (*items[:at], changed, *items[at + 1 :])})
        elif value is not None and label not in CHOOSING:
            yield label, replace(held, **{name: _other(value)})


def _other(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return value + "x"
    return value + 1 if isinstance(value, int | float) else {"other": 1}


CHOOSING = {
    "Message.role",
    "Tool.kind",
    "ToolChoice.mode",
    "ResponseFormat.kind",
    "ChatRequest.dialect",
    "Item.dialect",
    "Thinking.mode",
}
"""Fields with a closed set of values, which decide what the others mean."""
