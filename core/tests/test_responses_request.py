"""A client's Responses request: its items become turns, its settings canonical ones, and nothing is lost."""

from __future__ import annotations

from typing import Any

import pytest
from core.tests.responses_samples import decode, decode_items

from headgate.chat import (
    Audio,
    Citation,
    File,
    Image,
    Item,
    Message,
    Opaque,
    Reasoning,
    Refusal,
    ResponseFormat,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from headgate.dialects import AnthropicMessages, ChatDialect, Gaps, GoogleGenerate, OpenAIChat
from headgate.errors import InvalidRequest

Json = dict[str, Any]

USER = {"role": "user", "content": "hi"}
CALL = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "c1",
    "name": "f",
    "arguments": '{"n":1}',
    "status": "completed",
}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "done"}


def test_string_is_a_user_message() -> None:
    """A string as input is one user message, and instructions come before it as the system's, known as such."""
    request = decode(instructions="be brief")
    assert request.messages == (
        Message("system", (Text("be brief"),), extra={"instructions": None}),
        Message("user", (Text("hi"),)),
    )
    assert (request.model, request.dialect, request.extra) == ("m", "openai.responses", {})


@pytest.mark.parametrize("role", ["user", "system", "developer", "assistant"])
def test_roles(role: str) -> None:
    """Messages keep their role and place, with `type` or without."""
    request = decode_items(USER, {"type": "message", "role": role, "content": "x"})
    assert (request.messages[1].role, request.messages[1].text) == (role, "x")


def test_parts() -> None:
    """Every part of a user message, data URLs taken apart with their parameters left out."""
    png, pdf = "data:image/png;charset=utf-8;base64,AAAA", "data:application/pdf;base64,JVBE"
    content = [
        {"type": "input_text", "text": "look", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}},
        {"type": "input_image", "image_url": png, "detail": "low"},
        {"type": "input_image", "image_url": "https://x/y.png"},
        {"type": "input_image", "file_id": "file-1"},
        {"type": "input_file", "file_data": pdf, "filename": "a.pdf"},
        {"type": "input_file", "file_url": "https://x/y.pdf"},
        {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
    ]
    (turn,) = decode_items({"role": "user", "content": content}).messages
    assert turn.parts == (
        Text("look", cache={"type": "ephemeral", "ttl": "1h"}),
        Image(data="AAAA", media_type="image/png", detail="low"),
        Image("https://x/y.png"),
        Image(file_id="file-1"),
        File(data="JVBE", media_type="application/pdf", filename="a.pdf"),
        File("https://x/y.pdf"),
        Audio("UklG", "wav"),
    )


def test_assistant_turn_is_one_message() -> None:
    """Thinking, words and calls made at once stay together; each result follows as a turn of its own."""
    thought: Json = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
    words = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": "wait"}
    second = {**CALL, "id": "fc_2", "call_id": "c2"}
    request = decode_items(USER, thought, words, CALL, second, OUTPUT, {**OUTPUT, "call_id": "c2"}, USER)
    assert [message.role for message in request.messages] == ["user", "assistant", "tool", "tool", "user"]
    assert request.messages[1].parts == (
        Reasoning("", Opaque("openai", "gAAA"), is_redacted=True, item_id="rs_1"),
        Text("wait"),
        ToolCall("c1", "f", '{"n":1}', 0, item_id="fc_1"),
        ToolCall("c2", "f", '{"n":1}', 1, item_id="fc_2"),
    )
    assert request.messages[2].parts == (ToolResult("c1", (Text("done"),)),)


def test_phases_divide_a_turn() -> None:
    """A comment and the final answer are messages of their own, since their phase belongs to each."""
    comment = {"role": "assistant", "content": "hm", "phase": "commentary"}
    request = decode_items(USER, comment, {"role": "assistant", "content": "42", "phase": "final_answer"})
    assert [message.extra for message in request.messages[1:]] == [{"phase": "commentary"}, {"phase": "final_answer"}]


def test_result_with_a_picture() -> None:
    """A tool may answer with a list of texts, pictures and files."""
    output = [{"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": "https://x/y.png"}]
    (_, turn) = decode_items(CALL, {**OUTPUT, "output": output}).messages
    assert turn.parts == (ToolResult("c1", (Text("see"), Image("https://x/y.png"))),)


def test_custom_tools() -> None:
    """A custom tool's call is free text, and its result is known by its call; without one its kind is kept."""
    call = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "c1", "name": "sql", "input": "SELECT 1"}
    output = {"type": "custom_tool_call_output", "call_id": "c1", "output": "1"}
    tool = {"type": "custom", "name": "sql", "description": "runs", "format": {"type": "text"}}
    request = decode_items(call, output, tools=[tool], tool_choice={"type": "custom", "name": "sql"})
    assert request.messages[0].parts == (ToolCall("c1", "sql", "SELECT 1", custom=True, item_id="ctc_1"),)
    assert request.messages[1].parts == (ToolResult("c1", (Text("1"),)),)
    assert request.tools == (Tool("sql", "runs", kind="custom", raw=tool),)
    assert request.tool_choice == ToolChoice("named", "sql")
    (alone,) = decode_items(output, previous_response_id="resp_0").messages
    assert alone.parts == (ToolResult("c1", (Text("1"),), extra={"type": "custom_tool_call_output"}),)


def test_reasoning_items() -> None:
    """A summary is thinking that is marked so; the full text beside it is a block of its own with what travels along."""
    summary = [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}]
    both = {"type": "reasoning", "id": "rs_1", "summary": summary, "encrypted_content": "E"}
    full = {**both, "content": [{"type": "reasoning_text", "text": "long"}]}
    (turn,) = decode_items(both).messages
    assert turn.parts == (Reasoning("a\n\nb", Opaque("openai", "E"), is_summary=True, item_id="rs_1"),)
    (turn,) = decode_items(full).messages
    assert turn.parts == (
        Reasoning("a\n\nb", is_summary=True, item_id="rs_1"),
        Reasoning("long", Opaque("openai", "E"), item_id="rs_1"),
    )


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"id": "rs_hg_x_0", "summary": [{"type": "summary_text", "text": "so"}]}, ("so", False)),
        ({"id": "rs_hg_x_0", "summary": []}, ("", False)),
        ({"id": "rs_hgx_x_0", "summary": []}, ("", True)),
    ],
)
def test_thinking_of_another_provider_comes_back(item: Json, expected: tuple[str, bool]) -> None:
    """What another provider's thinking was sealed in is opened: origin, account and data, and whether it had a text."""
    sealed = {"type": "reasoning", **item, "encrypted_content": "headgate:anthropic:acc1:Eq:z="}
    (turn,) = decode_items(sealed).messages
    text, is_redacted = expected
    opaque = Opaque("anthropic", "Eq:z=", "acc1")
    assert turn.parts == (Reasoning(text, opaque, is_redacted, item_id=item["id"]),)


def test_signatures_come_back() -> None:
    """Signatures on calls and texts stand in `extra_content`, as in OpenAI's chat dialect."""
    signature = {"extra_content": {"google": {"thought_signature": "c2ln"}}}
    part: Json = {"type": "output_text", "text": "x", "annotations": [], **signature}
    (turn,) = decode_items({"role": "assistant", "content": [part]}, {**CALL, **signature}).messages
    assert [getattr(part, "opaque", None) for part in turn.parts] == [Opaque("google", "c2ln")] * 2


def test_output_parts_come_back() -> None:
    """An answer that a client sends back keeps its sources and its refusal."""
    note = {"type": "url_citation", "url": "https://x", "title": "X", "start_index": 0, "end_index": 1}
    content = [
        {"type": "output_text", "text": "a", "annotations": [note], "logprobs": []},
        {"type": "refusal", "refusal": "no"},
    ]
    (turn,) = decode_items({"type": "message", "id": "msg_1", "role": "assistant", "content": content}).messages
    assert turn.parts == (Text("a", citations=(Citation("https://x", "X", None, 0, 1, note),)), Refusal("no"))


@pytest.mark.parametrize("dialect", [AnthropicMessages(), GoogleGenerate(), OpenAIChat()])
def test_sources_the_gateway_wrote_come_back(dialect: ChatDialect) -> None:
    """Sources of another vendor that no annotation could name are sources in a history, which no vendor is told of."""
    part: Json = {"type": "output_text", "text": "Yes.", "annotations": [], "citations": [{"title": "a.txt", "x": 1}]}
    request = decode_items({"role": "assistant", "content": [part]}, {"role": "user", "content": "Go on."})
    assert request.messages[0].parts == (Text("Yes.", citations=(Citation(title="a.txt"),)),)
    gaps = Gaps("vendor")
    dialect.encode_request(request, gaps)
    assert gaps.dropped[0] == "messages[0].annotations"


@pytest.mark.parametrize(
    ("kind", "role"),
    [
        ("web_search_call", "assistant"),
        ("mcp_list_tools", "assistant"),
        ("something_new", "assistant"),
        ("computer_call_output", "user"),
        ("mcp_approval_response", "user"),
    ],
)
def test_other_items_stay_whole(kind: str, role: str) -> None:
    """An item that only this dialect understands is kept as it is, on the side it belongs to."""
    item = {"type": kind, "id": "x_1", "deep": {"n": 1.0}}
    request = decode_items(USER, item)
    assert request.messages[1] == Message(role, (Item("openai.responses", item),))  # pyright: ignore[reportArgumentType]


def test_item_reference_needs_no_type() -> None:
    """An object with an id alone refers to a stored item, which only a provider that stores can read."""
    (turn,) = decode_items({"id": "msg_1"}).messages
    assert turn.parts == (Item("openai.responses", {"id": "msg_1", "type": "item_reference"}),)


def test_pictures_the_gateway_wrote_come_back() -> None:
    """A picture as the gateway tells it is a picture; one of OpenAI's own tool stays the tool's item."""
    made = {
        "type": "image_generation_call",
        "id": "ig_1",
        "status": "completed",
        "result": "AA==",
        "output_format": "webp",
    }
    (turn,) = decode_items(made).messages
    assert turn.parts == (Image(data="AA==", media_type="image/webp"),)
    own = {**made, "revised_prompt": "a cat"}
    (turn,) = decode_items(own).messages
    assert turn.parts == (Item("openai.responses", own),)


def test_settings() -> None:
    """Every setting that has a canonical place is found there and nowhere else."""
    request = decode(
        temperature=0.5,
        top_p=0.9,
        max_output_tokens=100,
        top_logprobs=3,
        include=["message.output_text.logprobs"],
        parallel_tool_calls=False,
        reasoning={"effort": "high", "summary": "auto"},
        text={"format": {"type": "json_object"}, "verbosity": "low"},
        user="u",
        metadata={"a": "b"},
        service_tier="flex",
        prompt_cache_key="k",
        safety_identifier="s",
        store=True,
        stream=True,
        background=False,
        truncation="disabled",
    )
    sampling = request.sampling
    assert (sampling.temperature, sampling.top_p, sampling.max_tokens) == (0.5, 0.9, 100)
    assert (sampling.logprobs, sampling.top_logprobs) == (True, 3)
    assert request.thinking == Thinking("high", summary="auto", is_shown=True)
    assert request.response_format == ResponseFormat("json_object")
    assert (request.verbosity, request.user, request.metadata) == ("low", "u", {"a": "b"})
    assert (request.service_tier, request.cache_key, request.safety_identifier) == ("flex", "k", "s")
    assert (request.store, request.stream, request.include_usage) == (True, True, True)
    assert (request.parallel_tool_calls, request.extra) == (False, {})


def test_what_has_no_place_is_kept() -> None:
    """State on the vendor's side and wishes that other dialects do not know stand in `extra`, at their depth."""
    members: Json = {
        "previous_response_id": "resp_0",
        "background": True,
        "truncation": "auto",
        "max_tool_calls": 3,
        "tools": [{"type": "web_search"}],
        "reasoning": {"effort": "low", "mode": "pro"},
        "text": {"stop_words": ["x"]},
    }
    request = decode(**members)
    del members["tools"]
    assert request.extra == {**members, "reasoning": {"mode": "pro"}}


def test_what_asks_for_nothing_is_no_gap() -> None:
    """Defaults, padding, a limit for built-in tools where there are none, and what is included anyway ask for nothing."""
    tool = {"type": "function", "name": "f", "defer_loading": False, "allowed_callers": ["direct"]}
    request = decode(
        background=False,
        truncation="disabled",
        max_tool_calls=3,
        stream_options={"include_obfuscation": False},
        include=["reasoning.encrypted_content"],
        tools=[tool],
    )
    gaps = Gaps("vendor")
    gaps.extra(request.extra)
    gaps.extra(request.tools[0].extra)
    assert gaps.dropped == []
    assert list(request.extra) == ["include.reasoning.encrypted_content"]


def test_tools() -> None:
    """Functions keep their schema and whether it is strict; built-in tools are kept as they are."""
    schema = {"type": "object", "properties": {"n": {"type": "number", "default": 1.0}}}
    function = {"type": "function", "name": "f", "description": "d", "parameters": schema, "strict": True, "x": 1}
    search = {"type": "web_search", "search_context_size": "low"}
    request = decode(tools=[function, search])
    assert request.tools == (
        Tool("f", "d", schema, strict=True, extra={"x": 1}),
        Tool("web_search", kind="web_search", raw=search),
    )


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("required", ToolChoice("required")),
        ({"type": "function", "name": "f"}, ToolChoice("named", "f")),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
            ToolChoice("auto", allowed=("f",)),
        ),
        ({"type": "web_search_preview"}, ToolChoice("other", raw={"type": "web_search_preview"})),
    ],
)
def test_tool_choice(choice: Any, expected: ToolChoice) -> None:
    """A word, one tool, a narrower list of functions; any other is kept for this dialect."""
    assert decode(tool_choice=choice).tool_choice == expected


def test_schema_of_the_answer() -> None:
    """A schema comes with its name, description and strictness."""
    form = {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True, "description": "d"}
    expected = ResponseFormat("json_schema", "n", {"type": "object"}, strict=True, description="d")
    assert decode(text={"format": form}).response_format == expected


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"input": None}, "input"),
        ({"input": 3}, "input"),
        ({"input": ["x"]}, "input[0]"),
        ({"input": [{"role": "critic", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": [{"type": "hologram"}]}]}, "input[0].content[0].type"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0].image_url"),
        ({"input": [{"type": "function_call_output", "output": "x"}]}, "input[0].call_id"),
        ({"input": [{"type": "function_call", "call_id": "c"}]}, "input[0].name"),
        ({"temperature": "hot"}, "temperature"),
        ({"tool_choice": 3}, "tool_choice"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
    ],
)
def test_wrong_shapes_are_named(members: Json, param: str) -> None:
    """A request that cannot be understood is refused with the place of the mistake."""
    with pytest.raises(InvalidRequest) as caught:
        decode(**members)
    assert caught.value.param == param


def test_state_alone_is_a_request() -> None:
    """With a stored prompt or an earlier response there need be no input."""
    assert decode(input=None, prompt={"id": "pmpt_1"}).messages == ()
