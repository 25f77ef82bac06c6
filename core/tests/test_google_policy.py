"""What each generation of Gemini takes: efforts, budgets, stop sequences, signatures and addresses."""

from __future__ import annotations

import pytest
from core.tests.google_wire import ask

from headgate.chat import (
    ChatRequest,
    File,
    Image,
    Message,
    Opaque,
    ResponseFormat,
    Sampling,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from headgate.dialects.gaps import Gaps, Policy
from headgate.dialects.google.facts import ANY_SIGNATURE, OUTPUT_TOOL, generation, is_at_least
from headgate.dialects.google.policy import adapt, fetches
from headgate.errors import UnsupportedField

PRO, FLASH, LITE, THREE, THREE_PRO, FOUR = (
    "gemini-2.5-pro",
    "gemini-2.5-flash",
    "models/gemini-2.5-flash-lite",
    "gemini-3-flash-preview",
    "gemini-3-pro-preview",
    "gemini-4-argon",
)


def adapted(request: ChatRequest, policy: Policy = "refuse") -> tuple[ChatRequest, list[str]]:
    gaps = Gaps("google", policy)
    return adapt(request, gaps), gaps.dropped


def thinking(model: str, asked: Thinking | None, limit: int | None = None) -> tuple[Thinking | None, list[str]]:
    request = ChatRequest(model, ask().messages, Sampling(max_tokens=limit), thinking=asked)
    made, dropped = adapted(request)
    return made.thinking, dropped


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ("gemini-2.5-flash-lite", (2, 5)),
        ("models/gemini-2.0-flash-001", (2, 0)),
        ("google/gemini-3-pro-preview", (3, 0)),
        ("gemini-3.8-flash", (3, 8)),
        ("gemini-4-argon", (4, 0)),
        ("gemini-pro", (1, 0)),
        ("gemma-3-27b-it", None),
        ("endpoints/123", None),
    ],
)
def test_generations(model: str, found: tuple[int, int] | None) -> None:
    """The name says the generation; names of other models say none."""
    assert generation(model) == found


def test_aliases_are_the_newest() -> None:
    """An alias without a number stands for whatever is newest."""
    assert is_at_least("gemini-flash-latest", 3)
    assert not is_at_least("gemini-2.5-pro", 3)


@pytest.mark.parametrize(
    ("model", "asked", "made"),
    [
        (FLASH, None, None),
        (FLASH, Thinking(), None),
        (FLASH, Thinking("low"), Thinking(budget_tokens=1024, is_shown=True)),
        (FLASH, Thinking("high"), Thinking(budget_tokens=24_576, is_shown=True)),
        (FLASH, Thinking("max"), Thinking(budget_tokens=24_576, is_shown=True)),
        (PRO, Thinking("max", is_shown=False), Thinking(budget_tokens=32_768)),
        (FLASH, Thinking(budget_tokens=50_000), Thinking(budget_tokens=24_576, is_shown=True)),
        (LITE, Thinking(budget_tokens=5), Thinking(budget_tokens=512, is_shown=True)),
        (FLASH, Thinking(mode="adaptive"), Thinking(is_shown=True)),
        (FLASH, Thinking("none"), Thinking(budget_tokens=0)),
        (FLASH, Thinking(mode="disabled"), Thinking(budget_tokens=0)),
        (THREE, Thinking("minimal"), Thinking("minimal", is_shown=True)),
        (THREE, Thinking("medium", summary="auto"), Thinking("medium", is_shown=True)),
        (THREE, Thinking("max"), Thinking("high", is_shown=True)),
        (THREE_PRO, Thinking("medium"), Thinking("high", is_shown=True)),
        (THREE_PRO, Thinking("minimal"), Thinking("low", is_shown=True)),
        (FOUR, Thinking("xhigh", is_shown=False), Thinking("high")),
        (THREE, Thinking(budget_tokens=5000), Thinking(budget_tokens=5000, is_shown=True)),
        (FOUR, Thinking(budget_tokens=5000), Thinking("medium", is_shown=True)),
        ("gemini-flash-latest", Thinking("minimal"), Thinking("low", is_shown=True)),
        ("endpoints/1", Thinking("minimal", summary="auto"), Thinking("low")),
    ],
)
def test_thinking(model: str, asked: Thinking | None, made: Thinking | None) -> None:
    """Efforts are levels from Gemini 3 on and budgets before; who asks for thinking is shown it.

    What is another measure than was asked for, or another number, is named.
    """
    before, after = asked or Thinking(), made or Thinking()
    is_other = before.effort not in {None, "none", after.effort}
    is_bent = before.budget_tokens not in {None, after.budget_tokens}
    names = ["reasoning_effort"] * is_other + ["thinking.budget_tokens"] * is_bent
    assert thinking(model, asked) == (made, names)


def test_a_summary_of_a_certain_length_is_named() -> None:
    """Thoughts are shown, but nobody can say how long they are."""
    assert thinking(THREE, Thinking("low", summary="detailed"))[1] == ["reasoning.summary"]


@pytest.mark.parametrize(
    ("model", "made"),
    [
        (PRO, Thinking(budget_tokens=128)),
        (THREE, Thinking("minimal")),
        (THREE_PRO, Thinking("low")),
        (FOUR, Thinking("low")),
    ],
)
def test_models_that_cannot_but_think(model: str, made: Thinking) -> None:
    """They think as little as they can, and that is told."""
    assert thinking(model, Thinking("none")) == (made, ["reasoning_effort"])


def test_models_that_do_not_think() -> None:
    """Thinking is left out and named; not thinking is what they do."""
    assert thinking("gemini-2.0-flash", Thinking("high")) == (None, ["reasoning_effort"])
    assert thinking("gemini-2.0-flash", Thinking("none")) == (None, [])


def test_thinking_leaves_room_for_the_answer() -> None:
    """A budget at or above the caller's limit becomes half of it."""
    high, low = Thinking("high"), Thinking(budget_tokens=2048)
    assert thinking(FLASH, high, 4000) == (Thinking(budget_tokens=2000, is_shown=True), ["reasoning_effort"])
    assert thinking(FLASH, low, 4000) == (Thinking(budget_tokens=2048, is_shown=True), [])
    assert thinking(FLASH, low, 2000) == (Thinking(budget_tokens=1000, is_shown=True), ["thinking.budget_tokens"])


def test_a_level_beside_a_budget_is_named() -> None:
    """Gemini takes one of the two: the budget, where it knows budgets."""
    both = Thinking("low", 5000)
    made = Thinking(budget_tokens=5000, is_shown=True)
    assert thinking(FLASH, both) == thinking(THREE, both) == (made, ["reasoning_effort"])
    assert thinking(FOUR, both) == (Thinking("low", is_shown=True), ["thinking.budget_tokens"])


def test_stop_sequences() -> None:
    """More than five are refused, or the first five are kept and `stop` is named."""
    five = ask(sampling=Sampling(stop=tuple("abcde")))
    assert adapted(five) == (five, [])
    six = ask(sampling=Sampling(stop=tuple("abcdef")))
    with pytest.raises(UnsupportedField, match="`stop`"):
        adapted(six)
    made, dropped = adapted(six, "drop")
    assert (made.sampling.stop, dropped) == (tuple("abcde"), ["stop"])


def test_history_of_other_models() -> None:
    """From Gemini 3 on the first call of a turn has a signature: its own, or the word that stands for one."""
    own = ToolCall("a", "f", "", opaque=Opaque("google", "c2ln"))
    foreign, second = ToolCall("b", "f", ""), ToolCall("c", "g", "", 1)
    messages = (
        Message("assistant", (Text("x"), foreign, second)),
        Message("tool", (ToolResult("b"),)),
        Message("assistant", (own, second)),
    )
    made, dropped = adapted(ChatRequest(THREE, messages))
    signatures = [
        part.opaque.data if part.opaque else None
        for message in made.messages
        for part in message.parts
        if isinstance(part, ToolCall)
    ]
    assert (signatures, dropped) == ([ANY_SIGNATURE, None, "c2ln", None], [])
    older = ChatRequest(FLASH, messages)
    assert adapted(older) == (older, [])


def test_strict_tools_of_old_models() -> None:
    """Models before 2.0 have no mode that holds calls to schemas."""
    request = ChatRequest("gemini-1.5-pro", ask().messages, tools=(Tool("f", strict=True), Tool("g", strict=False)))
    made, dropped = adapted(request)
    assert ([tool.strict for tool in made.tools], dropped) == ([None, None], ["tools[0].function.strict"])


@pytest.mark.parametrize(
    ("part", "fetched"),
    [
        (Image(data="AAAA"), True),
        (Image(url="gs://bucket/a"), True),
        (Image(url="https://x.example/a.png?w=1"), True),
        (Image(url="https://x.example/a", media_type="image/png"), True),
        (Image(url="https://x.example/a"), False),
        (Image(url="http://x.example/a.png"), False),
        (File(url="https://generativelanguage.googleapis.com/v1beta/files/a"), True),
    ],
)
def test_addresses(part: Image | File, fetched: bool) -> None:
    """Google fetches from its own stores, and by https where the media type is known."""
    assert fetches(part) is fetched


SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}
BY_SCHEMA = ResponseFormat("json_schema", "a", SCHEMA)
TOOLS = (Tool("f", None, SCHEMA), Tool("g", None, SCHEMA))


def formed(model: str, held: ResponseFormat, choice: ToolChoice | None = None) -> tuple[ChatRequest, list[str]]:
    return adapted(ChatRequest(model, ask().messages, tools=TOOLS, tool_choice=choice, response_format=held))


@pytest.mark.parametrize("allowed", [(), ("f",)])
def test_a_schema_beside_tools_is_a_tool_before_gemini_3(allowed: tuple[str, ...]) -> None:
    """A model that takes no schema of its answer beside tools must call one of them, or the one whose input it is."""
    made, dropped = formed(FLASH, BY_SCHEMA, ToolChoice("auto", allowed=allowed))
    assert ([tool.name for tool in made.tools], made.tools[-1].parameters) == (["f", "g", OUTPUT_TOOL], SCHEMA)
    assert (made.response_format, dropped) == (None, [])
    assert made.tool_choice == ToolChoice("required", allowed=(*allowed, OUTPUT_TOOL) if allowed else ())


@pytest.mark.parametrize(
    ("model", "held", "choice"),
    [
        (THREE, BY_SCHEMA, None),
        (FLASH, BY_SCHEMA, ToolChoice("none")),
        (FLASH, ResponseFormat("text"), None),
        ("endpoints/123", BY_SCHEMA, None),
    ],
)
def test_a_schema_that_may_stand_beside_tools(model: str, held: ResponseFormat, choice: ToolChoice | None) -> None:
    """Newer models take both, and so may those that nobody knows; tools that are not called are in nobody's way."""
    made, dropped = formed(model, held, choice)
    assert (made.response_format, made.tools, dropped) == (held, TOOLS, [])


@pytest.mark.parametrize(
    ("model", "held", "choice"),
    [
        (THREE, BY_SCHEMA, ToolChoice("required")),
        (FLASH, BY_SCHEMA, ToolChoice("named", "f")),
        (FLASH, ResponseFormat("json_object"), None),
    ],
)
def test_a_schema_that_waits(model: str, held: ResponseFormat, choice: ToolChoice | None) -> None:
    """Where a call is asked for the answer comes only after its result; JSON mode is left to the prompt. Both are named."""
    made, dropped = formed(model, held, choice)
    assert (made.response_format, made.tools, dropped) == (None, TOOLS, ["response_format"])


def test_a_schema_that_no_tool_can_have() -> None:
    """An answer that is no object cannot be the input of a tool."""
    with pytest.raises(UnsupportedField, match="response_format"):
        formed(FLASH, ResponseFormat("json_schema", "a", {"type": "array"}))
