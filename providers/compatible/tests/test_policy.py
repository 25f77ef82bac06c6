"""What becomes of a request of another dialect on its way to a vendor that is described by a row."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from providers.compatible.tests.calls import OK, Json, deploy, deploy_row, messages_request, responses_request, send

from headgate.chat import Audio, ChatRequest, Image, Message, Text, Thinking, ToolCall, ToolResult
from headgate.dialects import Gaps
from headgate.errors import UnsupportedField
from headgate.testing import Recorded, ReplayUpstream
from headgate_compatible import Compatible, Quirks, policy

DROP = {b"x-headgate-unsupported": b"drop"}
USER: Json = {"role": "user", "content": "hi"}
PICTURE: Json = {"type": "image", "source": {"type": "url", "url": "https://pics.example/a.png"}}
PDF: Json = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}}


def own(**row: Any) -> Compatible:
    provider = deploy(Compatible, base_url="http://127.0.0.1:9000/v1", row=Quirks(**row))
    assert isinstance(provider, Compatible)
    return provider


# optional fields


async def test_fields_a_vendor_does_not_have_are_left_out() -> None:
    """What only hints is left out and named, unless the row says that the vendor has it."""
    body = messages_request(USER, metadata={"user_id": "u"})
    sent, dropped = await send(own(), body)
    assert ("user" in sent, dropped) == (False, ["user"])
    sent, dropped = await send(own(knows=["user"]), body)
    assert (sent["user"], dropped) == ("u", [])


async def test_top_k_is_refused_unless_known() -> None:
    """What changes the meaning is refused, or dropped where that is wanted."""
    body = messages_request(USER, top_k=3)
    with pytest.raises(UnsupportedField, match="`top_k`"):
        await send(own(), body)
    sent, dropped = await send(own(), body, headers=DROP)
    assert ("top_k" in sent, dropped) == (False, ["top_k"])
    assert (await send(own(knows=["top_k"]), body))[0]["top_k"] == 3


@pytest.mark.parametrize(("tier", "is_hint"), [("auto", True), ("default", True), ("flex", False), ("priority", False)])
async def test_service_tiers(tier: str, is_hint: bool) -> None:
    """A tier that asks for nothing special is a hint; another one is refused by vendors without tiers."""
    body = responses_request(USER, service_tier=tier)
    if is_hint:
        assert (await send(own(), body, "responses"))[1] == ["service_tier"]
    else:
        with pytest.raises(UnsupportedField, match="`service_tier`"):
            await send(own(), body, "responses")
    assert (await send(own(knows=["service_tier"]), body, "responses"))[0]["service_tier"] == tier


async def test_hints_of_responses() -> None:
    """So are the hints that Responses clients send as a matter of course."""
    body = responses_request(USER, store=False, prompt_cache_key="k", safety_identifier="s", metadata={"a": "b"})
    sent, dropped = await send(own(), body, "responses")
    assert sent == {"model": "m", "messages": [USER]}
    assert set(dropped) == {"store", "prompt_cache_key", "safety_identifier", "metadata"}


# tools


async def test_allowed_tools_become_the_tools() -> None:
    """A choice among some of the tools is said by sending those alone, which every vendor understands."""
    tools = [{"type": "function", "name": name, "parameters": {"type": "object"}} for name in ("a", "b", "c")]
    choice = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "b"}]}
    sent, _ = await send(own(), responses_request(USER, tools=tools, tool_choice=choice), "responses")
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["b"]
    assert sent["tool_choice"] == "required"


async def test_only_functions_are_tools() -> None:
    """A tool that only another vendor can run is refused by its place."""
    tools = [{"type": "web_search"}, {"type": "function", "name": "a", "parameters": {"type": "object"}}]
    with pytest.raises(UnsupportedField, match=r"`tools\[0\]` .*web_search"):
        await send(own(), responses_request(USER, tools=tools), "responses")
    sent, dropped = await send(own(), responses_request(USER, tools=tools), "responses", headers=DROP)
    assert ([tool["function"]["name"] for tool in sent["tools"]], dropped) == (["a"], ["tools[0]"])


async def test_custom_calls_of_a_history_are_functions() -> None:
    """A call of a custom tool goes out as one of a function that takes its text as `input`, with its result; that is named."""
    call: Json = {"type": "custom_tool_call", "call_id": "c1", "name": "note", "input": "so it is"}
    result: Json = {"type": "custom_tool_call_output", "call_id": "c1", "output": "kept"}
    sent, dropped = await send(own(), responses_request(USER, call, result), "responses")
    function = {"name": "note", "arguments": '{"input":"so it is"}'}
    assert sent["messages"][1]["tool_calls"] == [{"id": "c1", "type": "function", "function": function}]
    assert sent["messages"][2] == {"role": "tool", "tool_call_id": "c1", "content": "kept"}
    assert dropped == ["messages[1].tool_calls.custom"]


# formats


@pytest.mark.parametrize("strict", [True, False])
async def test_schemas_without_a_way_to_enforce_them(strict: bool) -> None:
    """A vendor with JSON mode alone is told the schema in words, and the caller that this is all; a strict one is refused."""
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    wanted = {"format": {"type": "json_schema", "name": "n", "schema": schema, "strict": strict}}
    body = responses_request({"role": "developer", "content": "be"}, USER, text=wanted)
    provider = own(formats=["json_object"])
    if strict:
        with pytest.raises(UnsupportedField, match="response_format"):
            await send(provider, body, "responses")
    sent, dropped = await send(provider, body, "responses", headers=DROP if strict else {})
    assert sent["response_format"] == {"type": "json_object"}
    assert dropped == ["response_format.json_schema"]
    assert [message["role"] for message in sent["messages"]] == ["system", "system", "user"]
    assert '"integer"' in sent["messages"][1]["content"]
    assert "JSON" in sent["messages"][1]["content"]


async def test_json_mode_where_there_is_none() -> None:
    """A vendor that only has schemas cannot promise just any JSON."""
    with pytest.raises(UnsupportedField, match="response_format"):
        await send(
            own(formats=["json_schema"]), responses_request(USER, text={"format": {"type": "json_object"}}), "responses"
        )


# turns and their parts


@pytest.mark.parametrize(
    ("vendor", "model", "is_strict"),
    [
        ("vllm", "m", True),
        ("llamacpp", "m", True),
        ("lmstudio", "m", True),
        ("fireworks", "accounts/fireworks/models/qwen3p8-27b", True),
        ("fireworks", "accounts/fireworks/models/kimi-k2p6", False),
    ],
)
async def test_instructions_first_where_templates_want_it(vendor: str, model: str, is_strict: bool) -> None:
    """What Claude Code says in mid-conversation is said by the user there, for Qwen's template takes it nowhere but first."""
    turns = (USER, {"role": "system", "content": "be brief"}, {"role": "assistant", "content": "so"}, USER)
    sent, dropped = await send(
        deploy_row(vendor), messages_request(*turns, system="s") | {"model": model}, asked="chat", headers=DROP
    )
    roles = [message["role"] for message in sent["messages"]]
    if not is_strict:
        assert (roles, dropped) == (["system", "user", "system", "assistant", "user"], [])
        return
    assert (roles, dropped) == (["system", "user", "assistant", "user"], ["messages[2].role"])
    assert sent["messages"][1]["content"] == [
        {"type": "text", "text": "hi"},
        {"type": "text", "text": "<system>\nbe brief\n</system>"},
    ]


async def test_developers_are_system() -> None:
    """A Responses client's developer is the system of vendors that know no other."""
    body = responses_request({"role": "developer", "content": "be"}, USER)
    assert (await send(own(), body, "responses"))[0]["messages"][0]["role"] == "system"
    assert (await send(own(developer=True), body, "responses"))[0]["messages"][0]["role"] == "developer"


async def test_media_a_vendor_does_not_take() -> None:
    """A picture or a document is refused by its place; dropped, the rest of the turn stays, and a result stays a result."""
    text: Json = {"type": "text", "text": "look"}
    body = messages_request({"role": "user", "content": [text, PICTURE]})
    with pytest.raises(UnsupportedField, match=r"`messages\[0\].content` .*`image`"):
        await send(own(takes=[]), body)
    sent, dropped = await send(own(takes=[]), body, headers=DROP)
    assert (sent["messages"], dropped) == ([{"role": "user", "content": "look"}], ["messages[0].content"])
    assert (await send(own(), body))[0]["messages"][0]["content"][1]["type"] == "image_url"
    call: Json = {"type": "tool_use", "id": "c1", "name": "f", "input": {}}
    result: Json = {"type": "tool_result", "tool_use_id": "c1", "content": [text, PDF]}
    turns: list[Json] = [USER, {"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    sent, dropped = await send(own(), messages_request(*turns), headers=DROP)
    assert sent["messages"][2] == {"role": "tool", "tool_call_id": "c1", "content": "look"}
    assert dropped == ["messages[2].content"]


async def test_pictures_are_fetched_for_vendors_that_do_not() -> None:
    """A vendor that fetches no URLs is sent the bytes."""
    png = Recorded(headers=(("content-type", "image/png"),), body=b"\x89PNG\r\n\x1a\n")
    upstream = ReplayUpstream({"/a.png": png, "*": OK})
    sent, _ = await send(
        deploy_row("moonshot", upstream), messages_request({"role": "user", "content": [PICTURE]}), asked="chat"
    )
    assert sent["messages"][0]["content"][0]["image_url"]["url"].startswith("data:image/png;base64,iVBORw0KGgo")
    sent, _ = await send(own(), messages_request({"role": "user", "content": [PICTURE]}))
    assert sent["messages"][0]["content"][0]["image_url"]["url"] == PICTURE["source"]["url"]


@pytest.mark.parametrize(
    ("thoughts", "member"), [("reasoning_content", "reasoning_content"), ("reasoning", "reasoning"), ("", None)]
)
async def test_thinking_goes_back_where_the_vendor_has_it(thoughts: Any, member: str | None) -> None:
    """Thinking of earlier turns goes back in the vendor's member, and nowhere where it has none."""
    content: list[Json] = [{"type": "thinking", "thinking": "hm", "signature": ""}, {"type": "text", "text": "yes"}]
    body = messages_request(USER, {"role": "assistant", "content": content}, USER)
    sent, dropped = await send(own(thoughts=thoughts), body)
    turn = sent["messages"][1]
    assert {name: turn.get(name) for name in ("reasoning_content", "reasoning")} == {
        name: "hm" if name == member else None for name in ("reasoning_content", "reasoning")
    }
    assert dropped == ([] if member else ["messages[1].reasoning"])


async def test_thinking_has_no_details_but_for_those_who_know_them() -> None:
    """Whose item a thought was is not told to a vendor that did not make it."""
    item: Json = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]}
    said: Json = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "yes"}]}
    sent, _ = await send(own(), responses_request(USER, item, said, USER), "responses")
    assert "reasoning_details" not in str(sent)


async def test_texts_of_one_message_as_one() -> None:
    """A vendor that takes plain strings alone gets one."""
    texts: list[Json] = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    body = messages_request({"role": "user", "content": texts})
    assert (await send(own(flat=True), body))[0]["messages"] == [{"role": "user", "content": "ab"}]
    assert len((await send(own(), body))[0]["messages"][0]["content"]) == 2


async def test_instructions_of_a_strict_template_as_one() -> None:
    """A vendor that takes plain strings alone gets one of instructions that are put together, too."""
    texts: list[Json] = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    body = messages_request(USER, system=texts)
    first, later = ({"role": role, "content": role} for role in ("developer", "system"))
    items = responses_request(first, USER, later, USER, instructions="a")
    for operation, asked in (("messages", body), ("responses", items)):
        sent, _ = await send(own(flat=True, system_first=True), asked, operation)
        assert all(isinstance(message["content"], str) for message in sent["messages"])


async def test_too_many_stop_sequences() -> None:
    """More than the vendor takes is refused; dropped, the first ones stay."""
    body = messages_request(USER, stop_sequences=["a", "b", "c"])
    with pytest.raises(UnsupportedField, match="at most 2"):
        await send(own(max_stop=2), body)
    sent, dropped = await send(own(max_stop=2), body, headers=DROP)
    assert (sent["stop"], dropped) == (["a", "b"], ["stop"])


# thinking


@pytest.mark.parametrize(
    ("known", "asked", "said"),
    [
        (["low", "medium", "high"], Thinking("medium"), "medium"),
        (["low", "medium", "high"], Thinking("minimal"), "low"),
        (["low", "medium", "high"], Thinking("max"), "high"),
        (["low", "high"], Thinking("medium"), "high"),
        (["none", "high"], Thinking("low"), "high"),
        (["none", "high"], Thinking(mode="disabled"), "none"),
        (["low", "high"], Thinking("none"), None),
        (["low", "high"], Thinking(budget_tokens=100), "low"),
        (["low", "medium", "high"], Thinking(budget_tokens=5000), "medium"),
        (["low", "medium", "high"], Thinking(budget_tokens=50_000), "high"),
        (["low", "high"], Thinking(mode="adaptive"), None),
        ([], Thinking("high"), None),
    ],
)
def test_efforts(known: list[str], asked: Thinking, said: str | None) -> None:
    """An effort is the vendor's nearest word, the higher of two; thinking is neither switched off for less nor on for none."""
    gaps = Gaps("x")
    thinking = policy.think(asked, known, gaps)
    assert thinking is not None
    assert thinking.effort == said
    if asked.budget_tokens is not None:
        assert gaps.dropped == ["thinking.budget_tokens"]
    else:
        assert gaps.dropped == ([] if said == policy.effort_of(asked) else ["reasoning_effort"])


@pytest.mark.parametrize(
    ("switch", "thinking", "said"),
    [
        ("thinking", {"type": "disabled"}, {"thinking": {"type": "disabled"}}),
        ("thinking", {"type": "enabled", "budget_tokens": 2000}, {"thinking": {"type": "enabled"}}),
        ("enable_thinking", {"type": "disabled"}, {"enable_thinking": False}),
        (
            "enable_thinking",
            {"type": "enabled", "budget_tokens": 2000},
            {"enable_thinking": True, "thinking_budget": 2000},
        ),
        ("chat_template_kwargs", {"type": "disabled"}, {"chat_template_kwargs": {"enable_thinking": False}}),
        (
            "chat_template_kwargs",
            {"type": "enabled", "budget_tokens": 2000},
            {"chat_template_kwargs": {"enable_thinking": True, "thinking_budget": 2000}},
        ),
        ("reasoning", {"type": "disabled"}, {"reasoning": {"enabled": False}}),
        ("reasoning", {"type": "enabled", "budget_tokens": 2000}, {"reasoning": {"enabled": True}}),
        ("", {"type": "enabled", "budget_tokens": 2000}, {}),
    ],
)
async def test_switches(switch: Any, thinking: Json, said: Json) -> None:
    """A vendor with a switch for thinking has it set, and a budget where it has one; another is asked for nothing.

    A budget that is not sent is named.
    """
    sent, dropped = await send(own(switch=switch), messages_request(USER, max_tokens=4000, thinking=thinking))
    members = {
        "thinking",
        "enable_thinking",
        "thinking_budget",
        "chat_template_kwargs",
        "reasoning",
        "reasoning_effort",
    }
    assert {name: value for name, value in sent.items() if name in members} == said
    is_lost = "budget_tokens" in thinking and "thinking_budget" not in str(said)
    assert dropped == ["thinking.budget_tokens"] * is_lost + ([] if switch else ["reasoning_effort"])


@pytest.mark.parametrize(("effort", "names"), [("high", ["reasoning_effort"]), ("none", [])])
def test_a_level_that_becomes_a_switch_is_named(effort: str, names: list[str]) -> None:
    """A vendor with a switch alone is told whether to think, not how much."""
    gaps = Gaps("x")
    thinking = policy.think(Thinking(effort), [], gaps, "thinking")
    assert thinking is not None
    assert thinking.mode == ("disabled" if effort == "none" else "enabled")
    assert gaps.dropped == names


EFFORTS = st.sampled_from(policy.EFFORTS)


@given(EFFORTS, st.lists(EFFORTS, unique=True))
def test_nearest_is_a_known_word(effort: str, known: list[str]) -> None:
    """What is said is always a word the vendor knows, and `none` stays `none`."""
    word = policy.nearest(effort, known)
    assert word is None or word in known
    assert (word == "none") == (effort == "none" and "none" in known)


def turn_of(kind: str, text: str) -> Message:
    """A turn of some kind: who speaks, or `call` and `result`."""
    match kind:
        case "call":
            return Message("assistant", (ToolCall(f"c_{text}", text, "{}"),))
        case "result":
            return Message("tool", (ToolResult(f"c_{text}", (Text("r"),)),))
        case _:
            return Message("developer" if kind == "developer" else "user", (Text(text), Text("x")))


KINDS = st.sampled_from(["call", "result", "developer", "user"])
TURNS = st.lists(st.builds(turn_of, KINDS, st.text(max_size=5)), max_size=8)


@given(TURNS, st.booleans())
def test_texts_are_kept(turns: list[Message], flat: bool) -> None:
    """Whatever the turns are, no text and no call is lost or moved."""
    adapted = policy.adapt(ChatRequest("m", tuple(turns)), Quirks(flat=flat), Gaps("x"))
    assert [message.text for message in adapted.messages] == [message.text for message in turns]
    assert adapted.call_names() == ChatRequest("m", tuple(turns)).call_names()
    assert {message.role for message in adapted.messages} <= {"user", "system", "assistant", "tool"}


def test_pictures_and_sounds_of_a_model_are_left_out_where_they_come_back() -> None:
    """What was said in the sound stays; both are named and not refused."""
    gaps = Gaps("x")
    turn = Message("assistant", (Audio("AAAA", "wav", "said"), Image(data="AAAA", media_type="image/png")))
    adapted = policy.adapt(ChatRequest("m", (turn,)), Quirks(takes=()), gaps)
    assert adapted.messages[0].parts == (Text("said"),)
    assert gaps.dropped == ["messages[0].audio", "messages[0].images"]
