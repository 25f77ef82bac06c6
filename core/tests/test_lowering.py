"""Tools that only some vendors know, offered as functions, and their calls on the way back."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from headgate.chat import (
    ChatReply,
    ChatRequest,
    Choice,
    Finish,
    Item,
    Message,
    PartDelta,
    StreamEvent,
    Text,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    ToolResult,
)
from headgate.dialects import Gaps, OpenAIChat, OpenAIResponses
from headgate.dialects.lowering import Called, CallsBack, Lowered, lower

Json = dict[str, Any]

RUN: Json = {"type": "function", "name": "run", "parameters": {"type": "object", "properties": {}}}
GRAMMAR: Json = {"type": "grammar", "syntax": "lark", "definition": 'start: "x"'}
PATCH: Json = {"type": "custom", "name": "patch", "description": "Edits files.", "format": GRAMMAR}
GROUP: Json = {
    "type": "namespace",
    "name": "mcp__node",
    "description": "A console.",
    "tools": [
        {"type": "function", "name": "js", "description": "Runs code.", "parameters": {"type": "object"}},
        {"type": "custom", "name": "raw"},
    ],
}
SEARCH: Json = {"type": "tool_search", "execution": "client", "parameters": {"type": "object"}}
USER: Json = {"role": "user", "content": "hi"}


def lowered(*items: Json, spoken: str = "cohere.chat", has_custom: bool = False, **fields: Any) -> tuple[Lowered, Gaps]:
    body = {"model": "m", "input": [*items, USER], **fields}
    gaps = Gaps("x", dialect=spoken)
    return lower(OpenAIResponses().decode_request(msgspec.json.encode(body)), gaps, has_custom=has_custom), gaps


def back(*events: StreamEvent, **called: Called) -> list[StreamEvent]:
    return CallsBack(called).on_events(events)


def test_a_free_text_tool_is_a_function_of_one_text() -> None:
    """Its grammar is told to the model, and that nothing holds the model to it is named."""
    held, gaps = lowered(tools=[RUN, PATCH])
    tool = held.request.tools[1]
    assert (tool.kind, tool.name, list((tool.parameters or {})["properties"])) == ("function", "patch", ["input"])
    assert tool.description == 'Edits files.\n\nIts input follows this lark grammar:\nstart: "x"'
    assert (held.called, gaps.dropped) == ({"patch": Called("patch", custom=True)}, ["tools[1].format"])


def test_so_is_one_of_chat() -> None:
    """OpenAI's chat has its members at another depth."""
    tool = {
        "type": "custom",
        "custom": {"name": "patch", "format": {"type": "grammar", "grammar": {"definition": "g"}}},
    }
    body = msgspec.json.encode({"model": "m", "messages": [USER], "tools": [tool]})
    gaps = Gaps("x", dialect="anthropic.messages")
    [made] = lower(OpenAIChat().decode_request(body), gaps, has_custom=False).request.tools
    assert (made.name, made.kind, "g" in (made.description or "")) == ("patch", "function", True)


@pytest.mark.parametrize(
    ("spoken", "has_custom", "kind"),
    [("openai.chat", True, "custom"), ("openai.chat", False, "function"), ("google.generate", True, "function")],
)
def test_it_stays_where_it_is_known(spoken: str, has_custom: bool, kind: str) -> None:
    """Only a vendor that takes it in a dialect that has a place for it gets it as it is."""
    held, _ = lowered(tools=[PATCH], spoken=spoken, has_custom=has_custom)
    assert [tool.kind for tool in held.request.tools] == [kind]


def test_a_namespace_is_its_tools() -> None:
    """By both names, in the history too; what is said of the group stands with its first tool."""
    call: Json = {"type": "function_call", "call_id": "c", "name": "js", "namespace": "mcp__node", "arguments": "{}"}
    held, gaps = lowered(call, tools=[GROUP])
    assert [tool.name for tool in held.request.tools] == ["mcp__node__js", "mcp__node__raw"]
    assert held.request.tools[0].description == "A console.\n\nRuns code."
    assert held.called["mcp__node__js"] == Called("js", namespace="mcp__node")
    assert held.called["mcp__node__raw"] == Called("raw", custom=True, namespace="mcp__node")
    [part] = held.request.messages[0].parts
    assert (part, gaps.dropped) == (ToolCall("c", "mcp__node__js", "{}"), [])
    [part] = lowered(call, tools=[RUN])[0].request.messages[0].parts
    assert part == ToolCall("c", "js", "{}", extra={"namespace": "mcp__node"})


def test_tools_in_the_input_are_offered() -> None:
    """Once each, also where they stand at the top too; the item is no part of the conversation."""
    held, _ = lowered({"type": "additional_tools", "role": "developer", "tools": [GROUP, RUN, PATCH]}, tools=[RUN])
    assert [tool.name for tool in held.request.tools] == ["run", "mcp__node__js", "mcp__node__raw", "patch"]
    assert [message.role for message in held.request.messages] == ["user"]


def test_a_search_of_the_clients_own() -> None:
    """It is a function; what it found is offered, and its history is a call and a result."""
    call: Json = {"type": "tool_search_call", "call_id": "c", "execution": "client", "arguments": {"query": "js"}}
    found: Json = {"type": "tool_search_output", "call_id": "c", "execution": "client", "tools": [GROUP]}
    held, gaps = lowered(call, found, tools=[RUN, SEARCH])
    assert [tool.name for tool in held.request.tools] == ["run", "tool_search", "mcp__node__js", "mcp__node__raw"]
    assert held.request.messages[:2] == (
        Message("assistant", (ToolCall("c", "tool_search", '{"query":"js"}'),)),
        Message("tool", (ToolResult("c", (Text("Tools found: mcp__node__js, mcp__node__raw"),), name="tool_search"),)),
    )
    assert (held.called["tool_search"], gaps.dropped) == (Called("tool_search", is_search=True), [])
    again, _ = lowered(call, found, call, found, tools=[SEARCH, GROUP])
    assert [tool.name for tool in again.request.tools] == ["tool_search", "mcp__node__js", "mcp__node__raw"]
    assert again.request.messages[3] == held.request.messages[1]


@pytest.mark.parametrize("kind", ["mcp", "file_search", "code_interpreter", "local_shell"])
def test_what_holds_the_callers_own_stays(kind: str) -> None:
    """Files, servers and shells cannot be done without: they are refused where the request is encoded."""
    held, gaps = lowered(tools=[RUN, {"type": kind}])
    assert ([tool.name for tool in held.request.tools], gaps.dropped) == (["run", kind], [])


def agent(*content: Json) -> Json:
    """What another agent said, as Codex writes it."""
    return {"type": "agent_message", "id": "am", "author": "/root", "recipient": "/root/list", "content": list(content)}


def test_what_another_agent_said_is_the_users() -> None:
    """Codex gives a sub-agent its task so, whose text is as the model gave it; what OpenAI encrypted stays a block."""
    header: Json = {"type": "input_text", "text": "Sender: /root\nPayload:\n"}
    plain: Json = {"type": "encrypted_content", "encrypted_content": "List the files."}
    token: Json = {"type": "encrypted_content", "encrypted_content": "gAAAAABqVRWu_a-b=="}
    held, gaps = lowered(agent(header, plain), agent(token), {**agent(), "content": "done"})
    said = [message.parts for message in held.request.messages[:-1]]
    assert said == [
        (Text("Sender: /root\nPayload:\nList the files."),),
        (Item("openai.responses", token),),
        (Text("done"),),
    ]
    assert {message.role for message in held.request.messages} == {"user"}
    assert gaps.dropped == []
    own, _ = lowered(agent(header), spoken="openai.responses")
    assert own.request.messages[0].parts == (Item("openai.responses", agent(header)),)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_image", "image_url": "data:image/png;base64,AA=="},
        {"type": "encrypted_content", "encrypted_content": "gAAAAABo", "text": None},
        {"type": "encrypted_content", "encrypted_content": "gAAAAABo", "text": ""},
    ],
)
def test_what_another_agent_sent_beside_words(part: Json) -> None:
    """It stays a block, which is refused by name where others are asked."""
    held, _ = lowered(agent({"type": "input_text", "text": "Look: "}, part))
    assert held.request.messages[0].parts == (Text("Look: "), Item("openai.responses", part))


def test_other_requests_stay_as_they_are() -> None:
    """Nothing is made anew for a client without tools, or for a provider that speaks as the client does."""
    plain = ChatRequest("m", (Message("user", (Text("x"),)),), dialect="openai.chat")
    assert lower(plain, Gaps("x", dialect="cohere.chat"), has_custom=False).request is plain
    held, _ = lowered(tools=[PATCH], spoken="openai.responses")
    assert held.request.tools[0].raw == PATCH


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ('{"input": "*** Begin\\n\\"x\\""}', '*** Begin\n"x"'),
        ('{"input": ""}', ""),
        ('{"patch": "p"}', "p"),
        ('{"input": "a", "why": "b"}', "a"),
        ("*** Begin", "*** Begin"),
        ('{"input": "cut', '{"input": "cut'),
        ('{"a": "x", "b": "y"}', '{"a": "x", "b": "y"}'),
    ],
)
def test_its_text_comes_back(said: str, text: str) -> None:
    """In pieces or whole; what is not in the form that was asked for is the client's to judge."""
    called = {"patch": Called("patch", custom=True)}
    start, other = ToolCallStart(0, "c", "patch"), ToolCallStart(1, "d", "run")
    pieces = [ToolCallDelta(0, said[:3]), other, ToolCallDelta(1, "{}"), ToolCallDelta(0, said[3:])]
    custom, end = ToolCallStart(0, "c", "patch", custom=True), Finish("tool_calls")
    assert back(start, *pieces, end, **called) == [custom, other, ToolCallDelta(1, "{}"), ToolCallDelta(0, text), end]
    reply = ChatReply("r", "m", (Choice(Message("assistant", (ToolCall("c", "patch", said),)), "tool_calls"),))
    [choice] = CallsBack(called).on_reply(reply).choices
    assert choice.message.parts == (ToolCall("c", "patch", text, custom=True),)


def test_a_call_of_a_group_has_its_two_names_again() -> None:
    """Its arguments stream as they come."""
    called = {"n__js": Called("js", namespace="n")}
    events = back(ToolCallStart(0, "c", "n__js"), ToolCallDelta(0, "{}"), Finish("tool_calls"), **called)
    assert events[0] == ToolCallStart(0, "c", "js", extra={"namespace": "n"})
    assert events[1:] == [ToolCallDelta(0, "{}"), Finish("tool_calls")]


def test_a_search_comes_back_as_its_item() -> None:
    """The client runs it, so it has to know it for what it is."""
    called = {"tool_search": Called("tool_search", is_search=True)}
    start, said = ToolCallStart(0, "c", "tool_search"), json.dumps({"query": "js"})
    events = back(start, ToolCallDelta(0, said), Finish("tool_calls"), **called)
    assert isinstance(events[0], PartDelta)
    item = events[0].part
    assert isinstance(item, Item)
    assert (item.raw["type"], item.raw["call_id"], item.raw["arguments"]) == ("tool_search_call", "c", {"query": "js"})
    reply = ChatReply("r", "m", (Choice(Message("assistant", (ToolCall("c", "tool_search", said),)), "tool_calls"),))
    assert CallsBack(called).on_reply(reply).choices[0].message.parts == (item,)
