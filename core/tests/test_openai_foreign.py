"""Requests of other dialects' clients to OpenAI-shaped providers: valid by the official types, and what is lost is named."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import msgspec
import pytest
from core.tests.openai_samples import CHAT, Json, check_request, encode
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
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from headgate.dialects import Gaps
from headgate.errors import UnsupportedField

FOREIGN = ChatRequest("m", (Message("user", (Text("hi"),)),), dialect="anthropic.messages")
MARK = {"type": "ephemeral"}


def asked(*messages: Message, **members: Any) -> ChatRequest:
    return ChatRequest("m", messages, dialect="anthropic.messages", **members)


def sent(*messages: Message, gaps: Gaps | None = None) -> list[Json]:
    body = encode(asked(*messages), gaps)
    check_request(body)
    return body["messages"]


def content(part: Any, gaps: Gaps | None = None) -> Any:
    return sent(Message("user", (part,)), gaps=gaps)[0]["content"]


# blocks that one vendor alone understands


def test_what_stands_for_turns_before_it_is_refused() -> None:
    """A compaction is the conversation, and not left out as what a provider did by itself is; let drop, its turn goes too."""
    held = Message("assistant", (Item("openai.responses", {"type": "compaction", "encrypted_content": "x"}),))
    with pytest.raises(UnsupportedField) as caught:
        sent(held, Message("user", (Text("go"),)))
    assert caught.value.param == "messages[0].content[0]"
    gaps = Gaps("x", "drop")
    assert sent(held, Message("user", (Text("go"),)), gaps=gaps) == [{"role": "user", "content": "go"}]
    assert gaps.dropped == ["messages[0].content[0]"]
    search = Message("assistant", (Item("anthropic.messages", {"type": "server_tool_use"}), Text("found")))
    gaps = Gaps("x")
    assert sent(search, gaps=gaps) == [{"role": "assistant", "content": "found"}]
    assert gaps.dropped == ["messages[0].provider_items"]


# what is always the same


def test_streams_are_asked_for_usage() -> None:
    """Usage is needed whether or not the client wants it; the limit has the name that every current model takes."""
    body = encode(replace(FOREIGN, stream=True, sampling=Sampling(max_tokens=5, stop=("x",))))
    check_request(body)
    assert body["stream_options"] == {"include_usage": True}
    assert (body["stream"], body["max_completion_tokens"], body["stop"]) == (True, 5, ["x"])
    assert "stream_options" not in encode(FOREIGN)


def test_members_that_are_openais() -> None:
    """What the canonical model has of OpenAI's own members is sent; tiers of others are refused by name."""
    held = replace(
        FOREIGN,
        user="u",
        metadata={"a": "b"},
        service_tier="flex",
        verbosity="low",
        cache_key="k",
        safety_identifier="s",
        store=True,
        sampling=Sampling(seed=1, logit_bias={"5": 2.0, "6": -0.5}, n=2, top_k=3),
    )
    body = encode(held)
    assert body["logit_bias"] == {"5": 2, "6": -0.5}
    assert (body["prompt_cache_key"], body["service_tier"], body["top_k"]) == ("k", "flex", 3)
    with pytest.raises(UnsupportedField, match="service_tier"):
        encode(replace(FOREIGN, service_tier="standard_only"))


def test_what_others_bring_along_is_named() -> None:
    """Members of another dialect are refused or left out by name, at their own depth; what asks for nothing is nothing."""
    part = Text("x", MARK, extra={"id": "i", "x_part": 1})
    tool = Tool("f", cache=MARK, extra={"eager": True})
    held = asked(
        Message("user", (part,), extra={"x_turn": 1}), tools=(tool,), extra={"include": ["a"], "top": 1, "no": None}
    )
    gaps = Gaps("vendor", "drop")
    encode(held, gaps)
    assert gaps.dropped == [
        "messages[0].content[0].cache_control",
        "messages[0].content[0].id",
        "messages[0].content[0].x_part",
        "messages[0].x_turn",
        "tools[0].cache_control",
        "tools[0].eager",
        "include",
        "top",
    ]
    for lost in (
        asked(Message("user", (Text("x", extra={"x_part": 1}),))),
        asked(Message("user", (Text("x"),), extra={"x_turn": 1})),
        replace(FOREIGN, tools=(Tool("f", extra={"eager": True}),)),
        replace(FOREIGN, extra={"top": 1}),
    ):
        with pytest.raises(UnsupportedField):
            encode(lost)


# turns


def test_results_are_messages_of_their_own() -> None:
    """A turn that answers calls and says something becomes the answers, then the rest; roles stay what they are."""
    told = sent(
        Message("system", (Text("a"),)),
        Message("developer", (Text("b"),)),
        Message("assistant", (Text("c"), ToolCall("1", "f", ""), ToolCall("2", "g", ' {"a":1.0}'))),
        Message("user", (Text("more"), ToolResult("1", (Text("x"),)), ToolResult("2", (Text("y"), Text("z"))))),
        Message("tool", (ToolResult("1", is_error=True),)),
    )
    assert [message["role"] for message in told] == ["system", "developer", "assistant", "tool", "tool", "user", "tool"]
    assert told[2]["content"] == "c"
    assert [call["function"]["arguments"] for call in told[2]["tool_calls"]] == ["{}", '{"a":1.0}']
    assert told[4]["content"] == [{"type": "text", "text": "y"}, {"type": "text", "text": "z"}]
    assert told[6]["content"] == "error"


def test_a_result_that_is_an_error_is_named() -> None:
    """Chat has no mark for it: what the tool said is sent as it is, and the mark is told under either policy."""
    failed = ToolResult("1", (Text("no such file"),), is_error=True)
    gaps = Gaps("vendor")
    body = encode(asked(Message("tool", (ToolResult("0", (Text("a"),)), failed))), gaps)
    assert [message["content"] for message in body["messages"]] == ["a", "no such file"]
    assert gaps.dropped == ["messages[0].content[1].is_error"]


def test_pictures_of_tools_follow_the_results() -> None:
    """A picture cannot stand in a result: the result says so, and a user message behind the last result shows it."""
    told = sent(
        Message("assistant", (ToolCall("1", "f", "{}"), ToolCall("2", "f", "{}"))),
        Message("tool", (ToolResult("1", (Text("see"), Image(data="AAAA", media_type="image/png"))),)),
        Message("tool", (ToolResult("2", (File(data="AAAA", media_type="application/pdf"),)),)),
        Message("user", (Text("so?"),)),
    )
    assert [message["role"] for message in told] == ["assistant", "tool", "tool", "user", "user"]
    note = {"type": "text", "text": "(what this call returned as an image follows in a user message)"}
    assert told[1]["content"] == [{"type": "text", "text": "see"}, note]
    assert told[2]["content"] == "(what this call returned as a file follows in a user message)"
    assert [part["type"] for part in told[3]["content"]] == ["text", "image_url", "text", "file"]
    assert "`1`" in told[3]["content"][0]["text"]
    assert told[3]["content"][1]["image_url"]["url"] == "data:image/png;base64,AAAA"
    assert told[4]["content"] == "so?"
    last = sent(Message("tool", (ToolResult("1", (Image("https://a.b/c"),)),)))
    assert [message["role"] for message in last] == ["tool", "user"]


def test_an_assistant_says_its_pieces_as_one() -> None:
    """Pieces of one text are one; thinking, refusals and empty texts have their own place; silence is null beside calls."""
    parts = (
        Reasoning("one "),
        Reasoning("two"),
        Text("a"),
        Text("", opaque=Opaque("google", "s")),
        Text("b"),
        Refusal("no"),
    )
    (told,) = sent(Message("assistant", parts))
    assert told == {
        "role": "assistant",
        "content": "ab",
        "reasoning_content": "one two",
        "refusal": "no",
        "extra_content": {"google": {"thought_signature": "s"}},
    }
    assert sent(Message("assistant"))[0]["content"] == ""
    assert sent(Message("assistant", (ToolCall("1", "f", "{}"),)))[0]["content"] is None


def test_signed_thinking_goes_back() -> None:
    """What reaches this dialect is the provider's own: its signatures go back in details, one for each block."""
    parts = (
        Reasoning("a", Opaque("anthropic-claude-v1", "sig")),
        Reasoning("", Opaque("anthropic-claude-v1", "blob"), is_redacted=True),
        Reasoning("b", Opaque("openai", "enc", "acc"), is_summary=True, item_id="rs_1"),
    )
    (told,) = sent(Message("assistant", parts))
    assert told["reasoning_details"] == [
        {"type": "reasoning.text", "text": "a", "signature": "sig", "format": "anthropic-claude-v1", "index": 0},
        {"type": "reasoning.encrypted", "data": "blob", "format": "anthropic-claude-v1", "index": 1},
        {
            "type": "reasoning.summary",
            "summary": "b",
            "data": "enc",
            "id": "rs_1",
            "account": "acc",
            "format": "openai",
            "index": 2,
        },
    ]
    assert CHAT.decode_request(msgspec.json.encode({"messages": [told]})).messages[0].parts == parts


def test_sources_of_an_earlier_answer_are_left_out() -> None:
    """They say where the text came from and change nothing."""
    gaps = Gaps("vendor")
    (told,) = sent(Message("assistant", (Text("a", citations=(Citation("u"),)),)), gaps=gaps)
    assert told == {"role": "assistant", "content": "a"}
    assert gaps.dropped == ["messages[0].annotations"]


def test_what_others_did_and_found_is_left_out() -> None:
    """Blocks and members of an answer of another provider's that come back are echoes: they are named and go."""
    gaps = Gaps("vendor")
    item = Item("google.generate", {"executableCode": {}})
    (told,) = sent(Message("assistant", (item, Text("a", extra={"x": 1})), extra={"container": "c"}), gaps=gaps)
    assert told == {"role": "assistant", "content": "a"}
    assert gaps.dropped == ["messages[0].provider_items", "messages[0].content[1].x", "messages[0].container"]


def test_pictures_the_assistant_made_are_shown_by_the_user() -> None:
    """An assistant cannot show one; the turn behind it does, for the next request may be about it."""
    picture = Image(data="AAAA", media_type="image/png")
    told = sent(Message("assistant", (Text("here"), picture)), Message("user", (Text("more blue"),)))
    assert [message["role"] for message in told] == ["assistant", "user", "user"]
    assert told[0]["content"] == "here"
    assert [part["type"] for part in told[1]["content"]] == ["text", "image_url"]


# parts


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (Image("https://a.b/c", detail="low"), {"url": "https://a.b/c", "detail": "low"}),
        (Image("https://a.b/c", detail="auto"), {"url": "https://a.b/c"}),
        (Image(data="AAAA", media_type="image/png"), {"url": "data:image/png;base64,AAAA"}),
    ],
)
def test_pictures(part: Image, expected: Json) -> None:
    """By URL, or by their bytes in a data URL; a detail of `auto`, which is the default, goes unsaid."""
    assert content(part) == [{"type": "image_url", "image_url": expected}]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (
            File(data="AAAA", media_type="application/pdf"),
            {"filename": "document.pdf", "file_data": "data:application/pdf;base64,AAAA"},
        ),
        (
            File(data="AAAA", filename="a.bin"),
            {"filename": "a.bin", "file_data": "data:application/octet-stream;base64,AAAA"},
        ),
        (File("https://a.b/c"), {"file_data": "https://a.b/c"}),
    ],
)
def test_files(part: File, expected: Json) -> None:
    """By data, which needs a name, or by URL for the vendors that take one."""
    assert content(part) == [{"type": "file", "file": expected}]


def test_text_documents_are_text() -> None:
    """A file is a PDF to OpenAI; a plain text is sent as what it is, after what was said about it."""
    data = b64encode("grüße".encode()).decode()
    part = File(data=data, media_type="text/plain", title="t", context="from a letter")
    assert content(part) == [{"type": "text", "text": "from a letter"}, {"type": "text", "text": "t:\ngrüße"}]
    assert content(replace(part, title=None, context=None)) == "grüße"
    broken = content(File(data="/w==", media_type="text/plain"))
    assert broken[0]["type"] == "file"


def test_sound_and_films() -> None:
    """Sound goes as it is; a film in the form that vendors have for it; a model's own sound by its id."""
    assert content(Audio("AAAA", "wav")) == [{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}]
    film = encode(asked(Message("user", (File("https://a.b/c", media_type="video/mp4"),))))
    assert film["messages"][0]["content"] == [{"type": "video_url", "video_url": {"url": "https://a.b/c"}}]
    assert sent(Message("assistant", (Audio("AAAA", "wav", "hi", "audio_1"),)))[0] == {
        "role": "assistant",
        "content": None,
        "audio": {"id": "audio_1"},
    }


@pytest.mark.parametrize(
    ("message", "place"),
    [
        (Message("user", (Image(file_id="f"),)), "messages[0].content[0].file_id"),
        (Message("user", (File(file_id="f"),)), "messages[0].content[0].file_id"),
        (Message("tool", (ToolResult("c", (File(file_id="f"),)),)), "messages[0].content[0].file_id"),
        (Message("user", (Text("a"), File("u", cites=True))), "messages[0].content[1].citations"),
        (Message("user", (Item("anthropic.messages", {"type": "container_upload"}),)), "messages[0].content[0]"),
    ],
)
def test_parts_that_cannot_be_sent_are_refused_by_name(message: Message, place: str) -> None:
    """They are refused, or left out and named."""
    with pytest.raises(UnsupportedField) as caught:
        encode(asked(message))
    assert caught.value.param == place
    gaps = Gaps("vendor", "drop")
    encode(asked(message), gaps)
    assert gaps.dropped == [place]


def test_a_sound_without_its_id_leaves_what_it_said() -> None:
    """A model's sound is referred to by the id it came with; another vendor's has none."""
    gaps = Gaps("vendor")
    assert sent(Message("assistant", (Audio("AAAA", "wav", "said"),)), gaps=gaps)[0]["content"] == "said"
    assert gaps.dropped == ["messages[0].content[0]"]
