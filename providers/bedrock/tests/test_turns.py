"""Messages as turns: what Converse refuses is put right where nothing is lost by it, and refused by name where it is."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from headgate.chat import (
    Audio,
    ChatRequest,
    Citation,
    File,
    Image,
    Item,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Role,
    Text,
    ToolCall,
    ToolResult,
)
from headgate.dialects import Gaps
from headgate.errors import UnsupportedField
from headgate_bedrock import BedrockConverse

Json = dict[str, Any]
Judge = Callable[[bytes], list[str]]
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * 60).decode()
PDF = base64.b64encode(b"%PDF-1.4").decode()
SIGNATURE = base64.b64encode(b"\x12\x04sign").decode()


def turn(role: Role, *parts: Part | str, **fields: Any) -> Message:
    return Message(role, tuple(Text(part) if isinstance(part, str) else part for part in parts), **fields)


def encoded(judge: Judge, *messages: Message, model: str = CLAUDE, gaps: Gaps | None = None, **fields: Any) -> Json:
    """The body for these messages, which AWS's own model of the service accepts."""
    request = ChatRequest(model, messages, dialect="openai.chat", **fields)
    body = BedrockConverse().encode_request(request, gaps or Gaps("bedrock"))
    assert judge(body) == []
    return msgspec.json.decode(body)


def refused(field: str, *messages: Message, model: str = CLAUDE, **fields: Any) -> None:
    request = ChatRequest(model, messages, dialect="openai.chat", **fields)
    with pytest.raises(UnsupportedField) as caught:
        BedrockConverse().encode_request(request, Gaps("bedrock"))
    assert caught.value.param == field


def test_roles_alternate(problems: Judge) -> None:
    """Messages of one role in a row are one turn, in their order."""
    body = encoded(problems, turn("user", "a"), turn("user", "b"), turn("assistant", "c"), turn("assistant", "d"))
    assert body["messages"] == [
        {"role": "user", "content": [{"text": "a"}, {"text": "b"}]},
        {"role": "assistant", "content": [{"text": "c"}, {"text": "d"}]},
    ]


def test_members_of_an_answer_that_comes_back_may_go(problems: Judge) -> None:
    """What another vendor said beside its words changes nothing of what is asked for: it is left out and named."""
    gaps = Gaps("bedrock")
    answer = turn("assistant", Text("a", extra={"x": 1}), extra={"channel": "final"})
    body = encoded(problems, turn("user", "hi"), answer, gaps=gaps)
    assert body["messages"][1] == {"role": "assistant", "content": [{"text": "a"}]}
    assert gaps.dropped == ["messages[1].channel", "messages[1].content[0].x"]
    refused("messages[0].x", turn("user", "hi", extra={"x": 1}))


def test_instructions_come_first(problems: Judge) -> None:
    """System and developer messages before all turns are `system`, in their order."""
    body = encoded(problems, turn("system", "a"), turn("developer", "b"), turn("user", "c"))
    assert body["system"] == [{"text": "a"}, {"text": "b"}]


def test_later_instructions_stay_where_a_model_takes_them(problems: Judge) -> None:
    """A newer Claude takes instructions between a user's turn and its own; else the user says them, and that is told."""
    said = (turn("user", "a"), turn("system", "b"))
    newer = "global.anthropic.claude-opus-4-8"
    for more in ((), (turn("assistant", "c"), turn("user", "d"))):
        body = encoded(problems, *said, *more, model=newer)
        assert [one["role"] for one in body["messages"]][:2] == ["user", "system"]
    for model in (newer, CLAUDE):
        gaps = Gaps("bedrock")
        body = encoded(problems, *said, turn("user", "c"), model=model, gaps=gaps)
        assert [part["text"] for part in body["messages"][0]["content"]] == ["a", "<system>\nb\n</system>", "c"]
        assert gaps.dropped == ["messages[1].role"]


def test_later_instructions_keep_their_mark(problems: Judge) -> None:
    """Where the user says them, the cache point stands behind them."""
    said = (turn("user", "a"), turn("system", Text("b", {"type": "ephemeral"})), turn("user", "c"))
    body = encoded(problems, *said)
    assert [sorted(block) for block in body["messages"][0]["content"]] == [["text"], ["text"], ["cachePoint"], ["text"]]


@pytest.mark.parametrize("blank", ["", " ", "\n\t"])
def test_blank_text_is_left_out(problems: Judge, blank: str) -> None:
    """Blank text says nothing and is refused there; a turn that says nothing vanishes, and its neighbours are one."""
    body = encoded(problems, turn("user", "a", blank), turn("assistant", blank), turn("user", blank, "b"))
    assert body["messages"] == [{"role": "user", "content": [{"text": "a"}, {"text": "b"}]}]


def test_the_last_word_does_not_end_in_blanks(problems: Judge) -> None:
    """A prefilled answer must not end in whitespace; other turns keep theirs."""
    body = encoded(problems, turn("user", "a "), turn("assistant", "b "), turn("user", "c"), turn("assistant", "d \n"))
    assert [one["content"][0]["text"] for one in body["messages"]] == ["a ", "b ", "c", "d"]


def call(call_id: str, name: str = "f", arguments: str = '{"a": 1.50}', **fields: Any) -> ToolCall:
    return ToolCall(call_id, name, arguments, **fields)


def test_results_come_first_in_the_order_of_the_calls(problems: Judge) -> None:
    """Answers of parallel calls are one turn, sorted as the calls were, before whatever else the user says."""
    body = encoded(
        problems,
        turn("user", "go"),
        turn("assistant", "text", call("c1"), call("c2")),
        turn("user", "and then"),
        turn("tool", ToolResult("c2", (Text("two"),))),
        turn("tool", ToolResult("c1", (Text("one"),), is_error=True)),
    )
    said = body["messages"][1]["content"]
    assert (said[0], [list(block) for block in said[1:]]) == ({"text": "text"}, [["toolUse"], ["toolUse"]])
    assert body["messages"][2] == {
        "role": "user",
        "content": [
            {"toolResult": {"toolUseId": "c1", "content": [{"text": "one"}], "status": "error"}},
            {"toolResult": {"toolUseId": "c2", "content": [{"text": "two"}]}},
            {"text": "and then"},
        ],
    }


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ('{"a": 1.50, "b": 12345678901234567890123}', b'{"a": 1.50, "b": 12345678901234567890123}'),
        ("", b"{}"),
        ("  ", b"{}"),
        ("[1]", b'{"input":"[1]"}'),
        ('{"a": ', b'{"input":"{\\"a\\": "}'),
    ],
)
def test_arguments_keep_their_form(arguments: str, sent: bytes) -> None:
    """Arguments are the JSON text that they were; what is no object stands as `input` in one, and nothing crashes."""
    request = ChatRequest(CLAUDE, (turn("user", "a"), turn("assistant", call("c", arguments=arguments))))
    body = BedrockConverse().encode_request(request, Gaps("bedrock"))
    assert b'"input":' + sent in body


def test_free_text_of_a_custom_tool(problems: Judge) -> None:
    """The input of a custom tool is text, and stands as `input`."""
    body = encoded(problems, turn("user", "a"), turn("assistant", call("c", arguments="{}", custom=True)))
    assert body["messages"][1]["content"][0]["toolUse"]["input"] == {"input": "{}"}


@pytest.mark.parametrize("call_id", ["call|1/2", "x" * 200, "", "é"])
def test_ids_are_legal_and_joined(problems: Judge, call_id: str) -> None:
    """An id that Converse would refuse becomes one that it takes, the same for the call and its answer."""
    body = encoded(problems, turn("assistant", call(call_id)), turn("tool", ToolResult(call_id, (Text("r"),))))
    sent = body["messages"][0]["content"][0]["toolUse"]["toolUseId"]
    assert sent == body["messages"][1]["content"][0]["toolResult"]["toolUseId"] != call_id


def test_ids_are_unique(problems: Judge) -> None:
    """Calls without ids share their function's name; each gets an id of its own, and each answer finds its call."""
    body = encoded(
        problems,
        turn("assistant", call("f"), call("f")),
        turn("tool", ToolResult("f", (Text("1"),))),
        turn("tool", ToolResult("f", (Text("2"),))),
    )
    calls = [block["toolUse"]["toolUseId"] for block in body["messages"][0]["content"]]
    results = [block["toolResult"]["toolUseId"] for block in body["messages"][1]["content"]]
    assert len(set(calls)) == 2
    assert results == calls


def test_mistral_has_short_ids(problems: Judge) -> None:
    """Mistral's models want nine letters and digits."""
    said = (turn("assistant", call("call_1")), turn("tool", ToolResult("call_1", (Text("r"),))))
    body = encoded(problems, *said, model="mistral.mistral-large-2402-v1:0")
    sent = body["messages"][0]["content"][0]["toolUse"]["toolUseId"]
    assert (len(sent), sent.isalnum()) == (9, True)
    assert body["messages"][1]["content"][0]["toolResult"]["toolUseId"] == sent


def test_results_with_media_and_without_words(problems: Judge) -> None:
    """A tool may answer with pictures and documents; an answer without words is empty, but an error must say something."""
    held = (Text("see"), Image(data=PNG, media_type="image/png"), File(data=PDF, media_type="application/pdf"))
    body = encoded(
        problems,
        turn("assistant", call("a"), call("b"), call("c")),
        turn("tool", ToolResult("a", held)),
        turn("tool", ToolResult("b", (Text(" "),))),
        turn("tool", ToolResult("c", (), is_error=True)),
    )
    results = [block["toolResult"] for block in body["messages"][1]["content"]]
    assert [list(block) for block in results[0]["content"]] == [["text"], ["image"], ["document"]]
    assert results[1] == {"toolUseId": "b", "content": []}
    assert results[2] == {"toolUseId": "c", "content": [{"text": "error"}], "status": "error"}


def test_status_only_where_it_is_taken(problems: Judge) -> None:
    """Writer's models refuse the status of a result: it is left out, and said."""
    gaps = Gaps("bedrock")
    said = (turn("assistant", call("a")), turn("tool", ToolResult("a", (Text("x"),), is_error=True)))
    body = encoded(problems, *said, model="writer.palmyra-x5-v1:0", gaps=gaps)
    assert "status" not in body["messages"][1]["content"][0]["toolResult"]
    assert gaps.dropped == ["messages[1].content[0].is_error", "tool_choice"]


# thinking


def test_thinking_goes_back_with_its_signature(problems: Judge) -> None:
    """Signed thinking of Claude's, from any platform, and what Bedrock took out go back byte for byte, in their place."""
    thought = Reasoning("why", Opaque("anthropic", SIGNATURE))
    hidden = Reasoning("", Opaque("bedrock", "QUJD"), is_redacted=True)
    body = encoded(problems, turn("user", "a"), turn("assistant", thought, hidden, "b", call("c")))
    assert body["messages"][1]["content"][:2] == [
        {"reasoningContent": {"reasoningText": {"text": "why", "signature": SIGNATURE}}},
        {"reasoningContent": {"redactedContent": "QUJD"}},
    ]


@pytest.mark.parametrize(
    ("model", "part"),
    [
        (CLAUDE, Reasoning("unsigned")),
        (CLAUDE, Reasoning("", Opaque("anthropic", "QUJD"), is_redacted=True)),
        (CLAUDE, Reasoning("x", Opaque("google", "QUJD"))),
        ("amazon.nova-pro-v1:0", Reasoning("x", Opaque("anthropic", SIGNATURE))),
    ],
)
def test_thinking_nobody_there_can_read_is_left_out(problems: Judge, model: str, part: Reasoning) -> None:
    """Without a signature, from another provider, for another model: left out and said, never faked."""
    gaps = Gaps("bedrock")
    body = encoded(problems, turn("user", "a"), turn("assistant", part, "b"), model=model, gaps=gaps)
    assert body["messages"][1]["content"] == [{"text": "b"}]
    assert gaps.dropped == ["messages[1].reasoning"]


# parts that have no place


def test_words_of_other_kinds(problems: Judge) -> None:
    """A refusal in the history is text; sources of a text are a hint."""
    gaps = Gaps("bedrock")
    cited = Text("b", citations=(Citation(url="https://a.example"),))
    body = encoded(problems, turn("user", "a"), turn("assistant", Refusal("no"), cited), gaps=gaps)
    assert body["messages"][1]["content"] == [{"text": "no"}, {"text": "b"}]
    assert gaps.dropped == ["messages[1].content[1].annotations"]


@pytest.mark.parametrize(
    "part",
    [
        Item("anthropic.messages", {"type": "server_tool_use"}),
        Image(url="s3://bucket/key.png"),
        Image(data=PNG, media_type="image/tiff"),
        File(data=PDF, media_type="application/zip"),
        Audio("QUJD", "midi"),
    ],
)
def test_what_cannot_be_shown_is_refused_by_its_place(part: Part) -> None:
    """A block of another provider, a place in S3, a format that Converse does not list."""
    refused("messages[0].content[1]", turn("user", "a", part))


@pytest.mark.parametrize("part", [Image(file_id="file-1"), File(file_id="file-1")])
def test_a_file_of_another_vendor_is_refused_by_name(part: Part) -> None:
    """An id holds at the vendor that gave it."""
    refused("messages[0].content[1].file_id", turn("user", "a", part))


def test_only_users_show_media() -> None:
    """A picture that a model made cannot stand in its turn."""
    refused("messages[1].content[0]", turn("user", "a"), turn("assistant", Image(data=PNG, media_type="image/png")))


def test_foreign_members_are_told(problems: Judge) -> None:
    """Members of a client's dialect without a place here are refused by name; a name and a detail are hints."""
    refused("messages[0].weight", turn("user", "a", extra={"weight": 1}))
    gaps = Gaps("bedrock")
    picture = Image(data=PNG, media_type="image/png", detail="high")
    encoded(problems, turn("user", "a", picture, name="bob"), gaps=gaps)
    assert gaps.dropped == ["messages[0].name", "messages[0].content[1].image_url.detail"]


@pytest.mark.parametrize(
    ("part", "left_out"),
    [
        (Item("anthropic.messages", {"type": "server_tool_use"}), "messages[1].provider_items"),
        (Audio("AAAA", "pcm16"), "messages[1].content[0]"),
    ],
)
def test_what_another_provider_did_is_left_out_where_it_comes_back(problems: Judge, part: Part, left_out: str) -> None:
    """The turn keeps its words, and what has no place is named and not refused."""
    gaps = Gaps("bedrock")
    body = encoded(problems, turn("user", "a"), turn("assistant", part, "found"), turn("user", "b"), gaps=gaps)
    assert body["messages"][1]["content"] == [{"text": "found"}]
    assert gaps.dropped == [left_out]
