"""A history as Anthropic takes it: whose turn it is, what stands where, and what ids and names are."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from core.tests.anthropic_sdk import DIALECT, assistant, chat, gaps, sent, turns, user

from headgate.chat import Audio, Item, Message, Part, Text, Tool, ToolCall, ToolResult
from headgate.errors import UnsupportedField

MARK = {"type": "ephemeral", "ttl": "1h"}
SPOKEN = "<system>\nbe brief\n</system>"


def test_neighbours_of_one_side_are_one_turn() -> None:
    """Turns of one side after another become one; tool results stand first, in the order of their calls."""
    calls = assistant(ToolCall("a", "f", "{}"), ToolCall("b", "g", "", 1))
    one, other = Message("tool", (ToolResult("b", (Text("B"),)),)), Message("tool", (ToolResult("a", (Text("A"),)),))
    held = turns(user(Text("x")), user(Text("y")), calls, user(Text("and?")), one, other)
    assert [turn["role"] for turn in held] == ["user", "assistant", "user"]
    assert [block["text"] for block in held[0]["content"]] == ["x", "y"]
    blocks = held[2]["content"]
    assert [block.get("tool_use_id") for block in blocks] == ["a", "b", None]
    assert [block["input"] for block in held[1]["content"]] == [{}, {}]


def test_blank_texts_are_left_out() -> None:
    """Empty and blank texts are not sent, a call beside them is, and the last turn of an assistant ends without white space."""
    held = turns(user(Text(" \n"), Text("x")), assistant(Text(""), ToolCall("a", "f", "{}")), user(Text("")))
    assert held[0]["content"] == "x"
    assert [block["type"] for block in held[1]["content"]] == ["tool_use"]
    assert len(held) == 2
    assert turns(user(Text("x")), assistant(Text("And so ")))[-1]["content"] == "And so"


def test_the_user_speaks_first() -> None:
    """A history that begins with the assistant gets a user's turn before it, and that is said."""
    held = gaps()
    request = chat(assistant(Text("Hello, how can I help?")), user(Text("x")))
    assert [turn["role"] for turn in sent(request, held)["messages"]] == ["user", "assistant", "user"]
    assert held.dropped == ["messages[0].role"]


def test_instructions_at_the_top() -> None:
    """Leading system and developer messages are the system prompt, marks kept; alone they are what the user says."""
    first = Message("system", (Text("one", cache=MARK),))
    second = Message("developer", (Text("two"),))
    written = sent(chat(first, second, user(Text("x"))))
    assert written["system"] == [
        {"type": "text", "text": "one", "cache_control": MARK},
        {"type": "text", "text": "two"},
    ]
    alone = sent(chat(second))
    assert ("system" in alone, alone["messages"]) == (False, [{"role": "user", "content": "two"}])


def test_instructions_between_turns_wait_for_the_end_of_the_users_turn() -> None:
    """A system message stands behind what the user says, before the assistant, as the API demands."""
    spoken = Message("system", (Text("be brief"),))
    held = turns(user(Text("x")), spoken, spoken, assistant(Text("y")), user(Text("z")), spoken)
    assert [turn["role"] for turn in held] == ["user", "system", "assistant", "user", "system"]


@pytest.mark.parametrize(
    ("before", "behind", "wanted"),
    [
        ([user(Text("x"))], [user(Text("z"))], [["x", SPOKEN, "z"]]),
        ([user(Text("x"))], [user(Text("z")), assistant(Text("y"))], [["x", SPOKEN, "z"], ["y"]]),
        ([user(Text("x")), assistant(Text("y"))], [user(Text("z"))], [["x"], ["y"], [SPOKEN, "z"]]),
        ([user(Text("x")), assistant(Text("y"))], [], [["x"], ["y"], [SPOKEN]]),
        ([user(Text("x")), assistant(Text("y"))], [assistant(Text("z"))], [["x"], ["y"], [SPOKEN], ["z"]]),
    ],
)
def test_instructions_that_cannot_stand_where_they_are_are_said_by_the_user(
    before: list[Message], behind: list[Message], wanted: list[list[str]]
) -> None:
    """The API takes none before a user's turn or behind an assistant's: they keep their place, and that is told."""
    held = gaps()
    mark = Message("system", (Text("be brief", MARK),))
    messages = sent(chat(*before, mark, *behind), held)["messages"]
    said = [[part["text"] for part in _blocks(turn["content"])] for turn in messages]
    assert (said, [turn["role"] for turn in messages]) == (
        wanted,
        ["user", "assistant", "user", "assistant"][: len(wanted)],
    )
    assert held.dropped == [f"messages[{len(before)}].role"]
    marked = [part for turn in messages for part in _blocks(turn["content"]) if part["text"] == SPOKEN]
    assert marked == [{"type": "text", "text": SPOKEN, "cache_control": MARK}]


def test_instructions_before_a_result_stand_behind_it() -> None:
    """Results come first in their turn, so that instructions before one move, and that is told."""
    held = gaps()
    result = Message("tool", (ToolResult("a", (Text("A"),)),))
    spoken = Message("system", (Text("be brief"),))
    messages = sent(chat(user(Text("x")), assistant(ToolCall("a", "f", "{}")), spoken, result), held)["messages"]
    assert [turn["role"] for turn in messages] == ["user", "assistant", "user", "system"]
    assert held.dropped == ["messages[2].role"]


def test_a_client_of_the_same_dialect_places_its_instructions_itself() -> None:
    """What it wrote is what is sent, whatever the API says to it."""
    spoken = Message("system", (Text("be brief"),))
    request = chat(user(Text("x")), spoken, user(Text("z")))
    held = sent(msgspec.structs.replace(request, dialect=DIALECT.name))["messages"]
    assert [turn["role"] for turn in held] == ["user", "system", "user"]


def _blocks(content: Any) -> list[Any]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def test_ids_and_names_are_bent_alike() -> None:
    """Ids and names that the API refuses are changed in one way everywhere, and repeated ids told apart."""
    call, result = ToolCall("functions.Bash:0", "mcp.bash", "{}"), ToolResult("functions.Bash:0", (Text("A"),))
    twice = [user(Text("x")), assistant(call), Message("tool", (result,)), assistant(call), Message("tool", (result,))]
    request = chat(*twice, tools=(Tool("mcp.bash"), Tool("mcp_bash")))
    written = sent(request)
    blocks = [turn["content"][0] for turn in written["messages"][1:]]
    ids = [block.get("id") or block.get("tool_use_id") for block in blocks]
    assert ids == ["functions_Bash_0", "functions_Bash_0", "functions_Bash_0_2", "functions_Bash_0_2"]
    assert [tool["name"] for tool in written["tools"]] == ["mcp_bash_2", "mcp_bash"]
    assert blocks[0]["name"] == "mcp_bash_2"
    assert DIALECT.names_back(request) == {"mcp_bash_2": "mcp.bash"}


def test_calls_that_share_an_id_are_answered_in_order() -> None:
    """Two calls without ids of their own carry their function's name: results go to them in order."""
    calls = assistant(ToolCall("f", "f", '{"n":1}'), ToolCall("f", "f", '{"n":2}', 1))
    results = Message("tool", (ToolResult("f", (Text("1"),)), ToolResult("f", (Text("2"),))))
    held = turns(user(Text("x")), calls, results)
    assert [block["id"] for block in held[1]["content"]] == ["f", "f_2"]
    assert [(block["tool_use_id"], block["content"]) for block in held[2]["content"]] == [("f", "1"), ("f_2", "2")]


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (ToolCall("a", "f", ""), b"{}"),
        (ToolCall("a", "f", '{"n": 1.50, "big": 12345678901234567890}'), b'{"n": 1.50, "big": 12345678901234567890}'),
        (ToolCall("a", "f", "[1]"), b'{"arguments":"[1]"}'),
        (ToolCall("a", "f", "{oops"), b'{"arguments":"{oops"}'),
        (ToolCall("a", "f", "text", custom=True), b'{"input":"text"}'),
    ],
)
def test_arguments_keep_every_byte(call: ToolCall, expected: bytes) -> None:
    """The input of a call is the model's own JSON; what is no object is wrapped, never refused."""
    written = DIALECT.encode_request(chat(user(Text("x")), assistant(call)), gaps())
    assert b'"input":' + expected in written


def test_a_history_with_calls_declares_them() -> None:
    """Calls in a history need tools: where none is given any more they are declared, and none may be called."""
    written = sent(chat(user(Text("x")), assistant(ToolCall("a", "f", "{}"))))
    assert written["tools"] == [{"name": "f", "input_schema": {"type": "object"}}]
    assert written["tool_choice"] == {"type": "none"}


@pytest.mark.parametrize(
    ("part", "left_out"),
    [
        (Item("openai.responses", {"type": "web_search_call", "id": "ws_1"}), "messages[1].provider_items"),
        (Audio("AAAA", "pcm16"), "messages[1].content[0]"),
    ],
)
def test_what_another_provider_did_is_left_out_where_it_comes_back(part: Part, left_out: str) -> None:
    """The turn keeps its words, and what has no place is named and not refused."""
    held = gaps()
    request = chat(user(Text("x")), assistant(part, Text("found")), user(Text("y")))
    assert sent(request, held)["messages"][1]["content"] == "found"
    assert held.dropped == [left_out]


@pytest.mark.parametrize("kind", ["compaction", "item_reference", "computer_call_output", "mcp_approval_response"])
def test_what_stands_for_the_conversation_is_refused(kind: str) -> None:
    """Turns before it, and what the caller found, are not left out of a model's turn."""
    with pytest.raises(UnsupportedField) as caught:
        turns(user(Text("x")), assistant(Item("openai.responses", {"type": kind}), Text("found")), user(Text("y")))
    assert caught.value.param == "messages[1].content[0]"
