"""Turns that are put where vendors take them: late results of calls, and instructions in mid-conversation."""

from __future__ import annotations

import pytest

from headgate.chat import Image, Message, Text, ToolCall, ToolResult
from headgate.dialects import Gaps
from headgate.dialects.instructions import instructed_first, is_strict
from headgate.dialects.results import results_first
from headgate.errors import UnsupportedField


def user(*parts: str | ToolResult) -> Message:
    return Message("user", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def system(text: str, **fields: object) -> Message:
    return Message("system", (Text(text, **fields),))  # type: ignore[arg-type]


def gave(call: str) -> ToolResult:
    return ToolResult(call, (Text(call),))


def tool(*calls: str) -> Message:
    return Message("tool", tuple(map(gave, calls)))


CALLS = Message("assistant", (ToolCall("a", "f", "{}"), ToolCall("b", "f", "{}")))
SAID = Message("assistant", (Text("so"),))


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ((user(gave("a"), "note"), user(gave("b"))), (user(gave("a"), gave("b"), "note"),)),
        ((user(gave("a"), "note"), user(gave("b"), "more")), (user(gave("a"), gave("b"), "note"), user("more"))),
        ((tool("a"), user("look"), tool("b")), (tool("a"), tool("b"), user("look"))),
        ((user("look"), tool("b"), tool("a"), user("x")), (tool("b"), tool("a"), user("look"), user("x"))),
        ((tool("a"), user("look"), SAID, tool("b")), (tool("a"), tool("b"), user("look"), SAID)),
        ((user("look"), SAID, user("x"), tool("b", "a")), (tool("b", "a"), user("look"), SAID, user("x"))),
        ((SAID, tool("a", "b")), (SAID, tool("a", "b"))),
        ((tool("a"), user("look"), tool("c")), (tool("a"), user("look"), tool("c"))),
        ((tool("b"), tool("a"), user("x")), (tool("b"), tool("a"), user("x"))),
        ((tool("a"), system("s"), tool("b")), (tool("a"), tool("b"), system("s"))),
        (
            (system("s"), user("x"), tool("a"), user(gave("b"), "y")),
            (tool("a"), user(gave("b")), system("s"), user("x"), user("y")),
        ),
    ],
)
def test_late_results_go_before_what_was_said(turns: tuple[Message, ...], expected: tuple[Message, ...]) -> None:
    """Those of calls that were made; a result of none stays where it is, and so does all else."""
    assert results_first((user("go"), CALLS, *turns)) == (user("go"), CALLS, *expected)


def test_results_of_calls_in_two_turns() -> None:
    """Calls of turns that follow each other are answered together, and an id that is used again is that of the last call."""
    first, second = (Message("assistant", (part,)) for part in CALLS.parts)
    turns = (first, second, tool("b"), user("x"), tool("a"))
    assert results_first(turns) == (first, second, tool("b"), tool("a"), user("x"))
    again = (CALLS, tool("a", "b"), user("x"), CALLS, tool("b", "a"))
    assert results_first(again) == again
    third = Message("assistant", (ToolCall("c", "f", "{}"),))
    late = (CALLS, user("x"), third, user("y"), tool("a", "c", "b"))
    assert results_first(late) == (CALLS, tool("a", "b"), user("x"), third, tool("c"), user("y"))


@pytest.mark.parametrize(
    ("turns", "expected", "dropped"),
    [
        ((system("s"), user("x")), (system("s"), user("x")), []),
        ((user("x"), SAID), (user("x"), SAID), []),
        (
            (system("s"), user("x"), system("t"), SAID),
            (system("s"), user("x", "<system>\nt\n</system>"), SAID),
            ["messages[2].role"],
        ),
        (
            (user("x"), SAID, system("t"), user("y")),
            (user("x"), SAID, user("<system>\nt\n</system>", "y")),
            ["messages[2].role"],
        ),
        (
            (CALLS, system("t"), tool("a", "b"), SAID),
            (CALLS, tool("a", "b"), user("<system>\nt\n</system>"), SAID),
            ["messages[1].role"],
        ),
        ((user("x"), SAID, system("t")), (user("x"), SAID, user("<system>\nt\n</system>")), ["messages[2].role"]),
    ],
)
def test_instructions_come_first(turns: tuple[Message, ...], expected: tuple[Message, ...], dropped: list[str]) -> None:
    """Later ones are said by the user where they stood, in the user's own turn if there is one beside, and named."""
    gaps = Gaps("vllm", "refuse")
    assert instructed_first(turns, gaps) == expected
    assert gaps.dropped == dropped


def test_instructions_at_the_beginning_are_one() -> None:
    """What agents send as several messages is one, whose texts stay apart and keep their marks."""
    mark = {"type": "ephemeral"}
    developer = Message("developer", (Text("be brief", mark),))
    [first, _] = instructed_first((system("s"), developer, user("x")), Gaps("vllm", "refuse"))
    assert first == Message("system", (Text("s"), Text("\n\nbe brief", mark)))
    mid = instructed_first((user("x"), system("t", cache=mark)), Gaps("vllm", "refuse"))
    assert mid[0].parts[-1] == Text("<system>\nt\n</system>", mark)


def test_what_instructions_show_beside_text() -> None:
    """A picture goes along, into the same place; whether it can be said there is the dialect's to tell."""
    picture = Image(url="https://x/y.png")
    shown = Message("system", (Text("t"), picture))
    turns = instructed_first((system("s"), shown, user("x"), shown), Gaps("vllm"))
    assert turns[0].parts == (Text("s"), Text("\n\nt"), picture)
    assert turns[1].parts == (Text("x"), Text("<system>\nt\n</system>"), picture)


@pytest.mark.parametrize("at", [1, 3])
def test_what_instructions_have_beside_parts(at: int) -> None:
    """Names are told, and members that have lost their message are refused by name."""
    messages = [system("s"), system("t"), user("x"), system("u")]
    messages[at] = Message("system", (Text("t"),), name="n", extra={"foo": 1, "id": "m"})
    gaps = Gaps("vllm", "drop")
    instructed_first(messages, gaps)
    assert {f"messages[{at}].{each}" for each in ("name", "foo", "id")} <= set(gaps.dropped)
    with pytest.raises(UnsupportedField, match=rf"messages\[{at}\].foo"):
        instructed_first(messages, Gaps("vllm"))


def test_two_speakers_stay_two() -> None:
    """What stands between them is said in the turn of the first."""
    alice, bob = (Message("user", (Text("yes"),), name=name) for name in ("alice", "bob"))
    turns = instructed_first((alice, system("s"), bob), Gaps("vllm"))
    assert [(turn.name, [part.text for part in turn.parts if isinstance(part, Text)]) for turn in turns] == [
        ("alice", ["yes", "<system>\ns\n</system>"]),
        ("bob", ["yes"]),
    ]


def test_models_with_strict_templates() -> None:
    """Qwen's raise an error, whoever serves them."""
    assert [is_strict(model) for model in ("Qwen/Qwen3.6-27B", "qwen3.8:27b", "llama3.1")] == [True, True, False]
