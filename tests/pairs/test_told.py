"""What the tests of all pairs found lost without a word, one case each."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from tests.pairs.dialects import SPOKEN, dropping, model_of, vendor_of

from headgate.chat import (
    ChatRequest,
    Citation,
    File,
    Image,
    Message,
    Part,
    Refusal,
    ResponseFormat,
    Sampling,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
)
from headgate.dialects import Gaps
from headgate.errors import UnsupportedField

_MARKS_ERRORS = {"anthropic.messages", "bedrock.converse", "google.generate"}
"""Dialects that say of a result that it is an error."""
_TAKES_SYSTEM = {"openai.chat", "openai.responses", "cohere.chat", "ollama.chat", "replicate.prediction"}
"""Dialects in which instructions may stand between two turns."""


def sent(name: str, *messages: Message, **fields: Any) -> tuple[Any, list[str]]:
    """What a provider that speaks this dialect is sent, and what is told of what it is not."""
    gaps, provider = dropping(name), vendor_of(name)
    request = ChatRequest(model_of(name), (*messages, Message("user", (Text("x"),))), **fields)
    return msgspec.json.decode(SPOKEN[name].encode_request(provider.adapt(request, gaps), gaps)), gaps.dropped


def resulting(text: Text) -> list[Message]:
    return [Message("assistant", (ToolCall("c", "f", "{}"),)), Message("tool", (ToolResult("c", (text,)),))]


_STOPS = ("a", " ", "b", "c", "d", "e", "f")
"""More than some vendors take, and one that is blank."""
_KEPT = {
    "anthropic.messages": ("a", "b", "c", "d", "e", "f"),
    "bedrock.converse": ("a", "b", "c", "d", "e", "f"),
    "cohere.chat": _STOPS[:5],
    "google.generate": _STOPS[:5],
    "ollama.chat": _STOPS,
    "openai.chat": _STOPS[:4],
    "openai.responses": (),
    "replicate.prediction": _STOPS,
}
"""What each vendor can be told of these: blank ones are refused by Claude, and OpenAI's Responses have no stop sequences."""


@pytest.mark.parametrize("name", SPOKEN)
def test_stop_sequences_that_fit_are_kept(name: str) -> None:
    """To be told to drop what cannot be said leaves the rest, in its order, and names `stop`; unasked all are refused."""
    provider, dialect = vendor_of(name), SPOKEN[name]
    request = ChatRequest(model_of(name), (Message("user", (Text("x"),)),), Sampling(max_tokens=100, stop=_STOPS))

    def kept(gaps: Gaps) -> tuple[str, ...]:
        return dialect.decode_request(dialect.encode_request(provider.adapt(request, gaps), gaps)).sampling.stop

    gaps = dropping(name)
    assert (kept(gaps), gaps.dropped) == (_KEPT[name], ["stop"] if _KEPT[name] != _STOPS else [])
    if _KEPT[name] != _STOPS:
        with pytest.raises(UnsupportedField, match="`stop`"):
            kept(Gaps(name))


@pytest.mark.parametrize("effort", ["minimal", "high", "max"])
@pytest.mark.parametrize("off", [Thinking(mode="disabled"), Thinking(budget_tokens=0)])
@pytest.mark.parametrize("name", SPOKEN)
def test_thinking_that_is_off_stays_off(name: str, off: Thinking, effort: str) -> None:
    """An effort beside the switch does not turn it on. It is said where it has a meaning of its own, else it is named."""
    plain, _ = sent(name, thinking=off)
    body, dropped = sent(name, thinking=replace(off, effort=effort))
    is_said = body.pop("output_config", None) == {"effort": effort}
    assert (body, is_said or "reasoning_effort" in dropped) == (plain, True)


def test_names_of_tools_come_back_from_bedrock() -> None:
    """A tool that Bedrock must call otherwise has its own name again in the answer."""
    request = ChatRequest("m", (), tools=(Tool("a.b"), Tool("f")))
    (spec, _) = sent("bedrock.converse", tools=request.tools)[0]["toolConfig"]["tools"]
    assert SPOKEN["bedrock.converse"].names_back(request) == {spec["toolSpec"]["name"]: "a.b"}


@pytest.mark.parametrize(
    ("name", "effort"),
    [
        ("google.generate", "minimal"),
        ("bedrock.converse", "minimal"),
        ("ollama.chat", "max"),
        ("anthropic.messages", "minimal"),
    ],
)
def test_another_effort_is_named(name: str, effort: str) -> None:
    """A level that the model does not have becomes the nearest, and that is told."""
    assert sent(name, thinking=Thinking(effort))[1] == ["reasoning_effort"]


@pytest.mark.parametrize("name", ["openai.chat", "openai.responses", "ollama.chat"])
def test_a_budget_that_becomes_an_effort_is_named(name: str) -> None:
    """Where a model takes no number of tokens."""
    body, told = sent(name, thinking=Thinking(budget_tokens=5000))
    assert "medium" in {body.get("reasoning_effort"), body.get("think"), body.get("reasoning", {}).get("effort")}
    assert told == ["thinking.budget_tokens"]


def test_an_effort_that_becomes_a_budget_is_named() -> None:
    """Where a model takes a number of tokens alone."""
    body, told = sent("cohere.chat", thinking=Thinking("low"))
    assert (body["thinking"], told) == ({"type": "enabled", "token_budget": 1024}, ["reasoning_effort"])


@pytest.mark.parametrize("name", sorted({*SPOKEN} - _MARKS_ERRORS - {"replicate.prediction"}))
def test_a_result_that_is_an_error_is_named(name: str) -> None:
    """Where results have no mark for it, its text is sent as it is."""
    call, failed = ToolCall("c", "f", "{}"), ToolResult("c", (Text("no such file"),), is_error=True)
    body, told = sent(name, Message("assistant", (call,)), Message("tool", (failed,)))
    assert "no such file" in str(body)
    assert told == ["messages[1].content[0].is_error"]


@pytest.mark.parametrize("name", sorted({*SPOKEN} - {"replicate.prediction"}))
@pytest.mark.parametrize("part", [Image(file_id="f"), File(file_id="f")])
def test_a_file_of_another_vendor_is_refused_by_name(name: str, part: Image | File) -> None:
    """An id holds at the vendor that gave it: it goes to nobody else, and the error says what to do."""
    request = ChatRequest(model_of(name), (Message("user", (Text("x"), part)),))
    with pytest.raises(UnsupportedField, match="send its bytes or its URL") as caught:
        SPOKEN[name].encode_request(request, Gaps(name))
    assert caught.value.param == "messages[0].content[1].file_id"


@pytest.mark.parametrize("name", sorted({*SPOKEN} - _TAKES_SYSTEM))
def test_instructions_between_two_turns_of_the_user_keep_their_place(name: str) -> None:
    """Where a vendor takes none there, the user says them, and that is told."""
    gaps = Gaps(name)
    turns = Message("user", (Text("A"),)), Message("system", (Text("S"),)), Message("user", (Text("B"),))
    body = SPOKEN[name].encode_request(ChatRequest(model_of(name), turns), gaps)
    assert re.search(rb'"A".*<system>\\nS\\n</system>.*"B"', body)
    assert gaps.dropped == ["messages[1].role"]


@pytest.mark.parametrize("part", [Image(file_id="f"), File(file_id="f"), ToolResult("c", (Text("x"),), is_error=True)])
def test_replicate_takes_neither_files_nor_results(part: Part) -> None:
    """A prediction has texts and pictures by address or bytes; anything else is refused by name."""
    request = ChatRequest(model_of("replicate.prediction"), (Message("user", (Text("x"), part)),))
    with pytest.raises(UnsupportedField) as caught:
        SPOKEN["replicate.prediction"].encode_request(request, Gaps("replicate"))
    assert (caught.value.param or "").startswith("messages[0].content")


@pytest.mark.parametrize("name", sorted({*SPOKEN} - {"openai.responses"}))
def test_a_kind_of_summary_is_named(name: str) -> None:
    """Only OpenAI's Responses can be asked for a detailed summary."""
    assert "reasoning.summary" in sent(name, thinking=Thinking("high", summary="detailed"))[1]


def test_the_name_of_a_file_is_named() -> None:
    """Google's models do not get to know it."""
    file = File(data="JVBERi0=", media_type="application/pdf", filename="a.pdf")
    assert sent("google.generate", Message("user", (file,)))[1] == ["messages[0].content[0].filename"]


def test_the_user_is_named_where_only_one_id_fits() -> None:
    """Anthropic has one id of the user: that for safety goes before."""
    body, dropped = sent("anthropic.messages", user="u", safety_identifier="s")
    assert (body["metadata"], dropped) == ({"user_id": "s"}, ["user"])
    assert sent("anthropic.messages", user="u", safety_identifier="u")[1] == []


def test_what_a_schema_is_for_stands_in_it() -> None:
    """Anthropic has no other place for the description of a format; a schema's own stays."""
    about = ResponseFormat("json_schema", "n", {"type": "object"}, description="d")
    gaps = dropping("x")
    for schema, wanted in (({"type": "object"}, "d"), ({"type": "object", "description": "own"}, "own")):
        held = msgspec.structs.replace(about, schema=schema)
        request = ChatRequest("claude-sonnet-4-6", (Message("user", (Text("x"),)),), response_format=held)
        body = msgspec.json.decode(SPOKEN["anthropic.messages"].encode_request(request, gaps))
        assert body["output_config"]["format"]["schema"] == {"type": "object", "description": wanted}


@pytest.mark.parametrize(
    ("part", "told"),
    [
        (Text("t", citations=(Citation("https://x.example"),)), "messages[0].annotations"),
        (Refusal("no", {"new": 1}), "messages[0].content[0].new"),
    ],
)
def test_sources_and_members_of_answers_are_named(part: Part, told: str) -> None:
    """Of an answer of another dialect in the history of a request to Anthropic."""
    assert told in sent("anthropic.messages", Message("assistant", (part,)))[1]


@pytest.mark.parametrize("name", ["google.generate", "bedrock.converse"])
def test_marks_inside_of_results_are_named(name: str) -> None:
    """A cache mark on a text that a tool gave."""
    told = sent(name, *resulting(Text("r", {"type": "ephemeral"})))[1]
    assert any(field.endswith(".cache_control") for field in told)


def test_members_of_texts_inside_of_results_are_named() -> None:
    """Google's results hold the text alone."""
    assert "messages[1].content.new" in sent("google.generate", *resulting(Text("r", extra={"new": 1})))[1]
