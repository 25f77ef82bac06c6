"""Anthropic's requests: what a client such as Claude Code sends is understood, and comes out as the official types have it."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import msgspec
import pytest
from core.tests.anthropic_sdk import DIALECT, assistant, body, chat, decoded, gaps, sent, turns, user

from headgate.chat import (
    Audio,
    File,
    Image,
    Item,
    Message,
    Opaque,
    Part,
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
from headgate.errors import InvalidRequest, UnsupportedField

Json = dict[str, Any]

MARK = {"type": "ephemeral", "ttl": "1h"}
PNG = "iVBORw0KGgo="


# what clients send


def test_claude_code_is_understood() -> None:
    """A request with marked system blocks, tools, a tool loop with pictures, and thinking keeps its meaning both ways."""
    written = body(
        {"role": "user", "content": [{"type": "text", "text": "look", "cache_control": MARK}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                {"type": "redacted_thinking", "data": "c2VjcmV0"},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"n": 12345678901234567890}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_1",
                    "is_error": True,
                    "content": [
                        {"type": "text", "text": "a picture"},
                        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                    ],
                },
                {"type": "text", "text": "go on"},
            ],
        },
        system=[{"type": "text", "text": "You are", "cache_control": MARK}, {"type": "text", "text": "kind."}],
        tools=[
            {"name": "Read", "description": "reads", "input_schema": {"type": "object"}, "eager_input_streaming": True}
            | {"cache_control": MARK},
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
        ],
        tool_choice={"type": "auto", "disable_parallel_tool_use": True},
        thinking={"type": "enabled", "budget_tokens": 2048, "display": "omitted"},
        output_config={"effort": "low"},
        metadata={"user_id": "u1"},
        stop_sequences=["END"],
        temperature=1,
        stream=True,
        context_management={"edits": []},
    )
    request = DIALECT.decode_request(written)
    assert [message.role for message in request.messages] == ["system", "user", "assistant", "tool", "user"]
    call = request.messages[2].parts[3]
    assert isinstance(call, ToolCall)
    assert call.arguments == '{"n":12345678901234567890}'
    result = request.messages[3].parts[0]
    assert result == ToolResult("toolu_1", (Text("a picture"), Image(data=PNG, media_type="image/png")), is_error=True)
    assert request.thinking == Thinking("low", 2048, "enabled", is_shown=False)
    assert (request.user, request.parallel_tool_calls, request.sampling.stop) == ("u1", False, ("END",))
    assert request.tools[1].kind == "web_search_20250305"
    assert request.tools[0].cache == MARK
    assert [part.cache for message in request.messages[:2] for part in message.parts if isinstance(part, Text)] == [
        MARK, None, MARK
    ]  # fmt: skip
    again: Json = msgspec.json.decode(DIALECT.encode_request(request, gaps()))
    assert again == msgspec.json.decode(written)


@pytest.mark.parametrize(
    ("thinking", "expected"),
    [
        ({"type": "adaptive"}, Thinking(mode="adaptive")),
        ({"type": "disabled"}, Thinking(mode="disabled")),
        ({"type": "between_tools"}, Thinking(mode="disabled")),
        ({"type": "adaptive", "display": "summarized"}, Thinking(mode="adaptive", is_shown=True)),
        ({"display": "summarized"}, Thinking(is_shown=True)),
        ({"block_binding": {"prefix_mismatch_behavior": "drop_block"}}, None),
    ],
)
def test_kinds_of_thinking(thinking: Json, expected: Thinking | None) -> None:
    """Every switch of thinking is known."""
    assert decoded(thinking=thinking).thinking == expected


def test_unsigned_thinking_of_another_vendor_is_accepted_and_left_out() -> None:
    """A client replays thinking that another vendor showed without a signature: it is understood, and never sent as if signed."""
    turn = {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": ""}]}
    request = decoded("a", turn, "b")
    assert request.messages[1].parts == (Reasoning("hm"),)
    held = gaps()
    assert [turn["role"] for turn in sent(request, held)["messages"]] == ["user"]
    assert held.dropped == ["messages[1].reasoning"]


def test_documents() -> None:
    """Documents by bytes, text, URL and id are files; blocks of one's own choice stay as they are."""
    held: list[Json] = [
        {"source": {"type": "base64", "media_type": "application/pdf", "data": PNG}, "title": "t", "context": "c"},
        {"source": {"type": "text", "media_type": "text/plain", "data": "plain é"}, "citations": {"enabled": True}},
        {"source": {"type": "url", "url": "https://example.org/a.pdf"}},
        {"source": {"type": "file", "file_id": "file_1"}, "cache_control": MARK},
        {"source": {"type": "content", "content": [{"type": "text", "text": "chunk"}]}},
    ]
    written = body({"role": "user", "content": [{"type": "document", **document} for document in held]})
    request = DIALECT.decode_request(written)
    parts = request.messages[0].parts
    assert parts[0] == File(data=PNG, media_type="application/pdf", title="t", context="c")
    assert parts[1] == File(data=b64encode("plain é".encode()).decode(), media_type="text/plain", cites=True)
    assert isinstance(parts[4], Item)
    assert msgspec.json.decode(DIALECT.encode_request(request, gaps())) == msgspec.json.decode(written)


def test_data_urls_with_parameters() -> None:
    """A picture by data URL is its bytes, whatever parameters the media type has."""
    source = {"type": "url", "url": f"data:image/png;charset=utf-8;base64,{PNG}"}
    request = decoded({"role": "user", "content": [{"type": "image", "source": source}]})
    assert request.messages[0].parts == (Image(data=PNG, media_type="image/png"),)


@pytest.mark.parametrize(
    ("written", "place"),
    [
        (b'{"model": "m", "messages": []}', "messages"),
        (b'{"model": "m", "messages": ["x"]}', "messages[0]"),
        (body({"role": "tool", "content": "x"}), "messages[0].role"),
        (body({"role": "user", "content": 1}), "messages[0].content"),
        (body({"role": "user", "content": [{"type": "text"}]}), "messages[0].content[0].text"),
        (body(tools=[{"input_schema": {}}]), "tools[0].name"),
        (body(thinking={"type": "deep"}), "thinking.type"),
        (body(max_tokens="many"), "max_tokens"),
    ],
)
def test_wrong_shapes_are_refused_by_place(written: bytes, place: str) -> None:
    """What is no Messages request is refused, and the place is named."""
    with pytest.raises(InvalidRequest) as caught:
        DIALECT.decode_request(written)
    assert caught.value.param == place


def test_unknown_members_are_kept_at_their_depth() -> None:
    """Members nobody knows yet go back to where they stood."""
    written = body(
        {"role": "user", "content": [{"type": "text", "text": "x", "new": 1}], "clear_at": "never"},
        container="c",
        output_config={"effort": "low", "budget": 5},
    )
    request = DIALECT.decode_request(written)
    assert request.extra == {"container": "c", "output_config": {"budget": 5}}
    assert msgspec.json.decode(DIALECT.encode_request(request, gaps())) == msgspec.json.decode(written)


# parts


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (Image(url="https://example.org/a.png"), {"type": "url", "url": "https://example.org/a.png"}),
        (File(data=PNG, media_type="application/pdf", filename="a.pdf"), {"type": "base64"}),
        (File(data=b64encode(b"a,b").decode(), media_type="text/csv"), {"type": "text", "data": "a,b"}),
    ],
)
def test_media(part: Part, block: Json) -> None:
    """Pictures and documents are sent by URL or bytes; text of any kind is plain text."""
    source = turns(user(part))[0]["content"][0]["source"]
    assert block.items() <= source.items()


@pytest.mark.parametrize("part", [Image(file_id="file_1"), File(file_id="file_1")])
def test_a_file_of_another_vendor_is_refused_by_name(part: Image | File) -> None:
    """An id holds at the vendor that gave it: only a client of this dialect can name a file of Anthropic's."""
    with pytest.raises(UnsupportedField, match=r"`messages\[0\]\.content\[1\]\.file_id` .*its bytes or its URL"):
        turns(user(Text("x"), part))
    held = gaps("drop")
    assert sent(chat(user(Text("x"), part)), held)["messages"][0]["content"] == "x"
    assert held.dropped == ["messages[0].content[1].file_id"]
    own = sent(msgspec.structs.replace(chat(user(part)), dialect=DIALECT.name))
    assert own["messages"][0]["content"][0]["source"] == {"type": "file", "file_id": "file_1"}


@pytest.mark.parametrize(
    "part",
    [
        Image(data="PHN2Zz4=", media_type="image/svg+xml"),
        File(data="AAAA", media_type="video/mp4"),
        File(data="AAAA", media_type="application/zip"),
        Audio("AAAA", "wav"),
        Item("google.generate", {"type": "x"}),
    ],
)
def test_media_that_claude_does_not_take(part: Part) -> None:
    """What cannot be sent is refused by its place, and let drop it is left out."""
    with pytest.raises(UnsupportedField, match=r"`messages\[0\]\.content\[1\]`"):
        turns(user(Text("x"), part))
    held = gaps("drop")
    assert sent(chat(user(Text("x"), part)), held)["messages"][0]["content"] == "x"
    assert held.dropped == ["messages[0].content[1]"]


def test_thoughts_of_others_are_left_out_by_name() -> None:
    """Thinking and signatures that are not Anthropic's are never sent to it."""
    foreign = Opaque("google", "AAAA")
    held = gaps()
    call = ToolCall("a", "f", "{}", opaque=foreign)
    said = assistant(Reasoning("hm", foreign), Text("y", opaque=foreign), Refusal("no"), call)
    written = sent(chat(user(Text("x")), said), held)
    assert [block["type"] for block in written["messages"][1]["content"]] == ["text", "text", "tool_use"]
    assert held.dropped == ["messages[1].reasoning", "messages[1].signature"]


# settings


def test_settings_in_anthropics_words() -> None:
    """Settings that both have are sent by Anthropic's names."""
    request = chat(
        sampling=Sampling(0.5, 0.9, 5, 64, ("END",)),
        tools=(Tool("f", "does", {"type": "object", "properties": {}}, strict=True),),
        tool_choice=ToolChoice("named", "f"),
        parallel_tool_calls=False,
        response_format=ResponseFormat("json_schema", "n", {"type": "object", "additionalProperties": False}),
        thinking=Thinking("high", 4096, "enabled"),
        user="u",
        safety_identifier="s",
        service_tier="default",
        stream=True,
    )
    written = sent(request)
    del written["messages"], written["model"]
    assert written == {
        "max_tokens": 64,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 5,
        "stop_sequences": ["END"],
        "tools": [
            {"name": "f", "description": "does", "input_schema": {"type": "object", "properties": {}}, "strict": True}
        ],
        "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
        "thinking": {"type": "enabled", "budget_tokens": 4096},
        "output_config": {
            "effort": "high",
            "format": {"type": "json_schema", "schema": {"type": "object", "additionalProperties": False}},
        },
        "metadata": {"user_id": "s"},
        "service_tier": "standard_only",
        "stream": True,
    }


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"sampling": Sampling(seed=0)}, "seed"),
        ({"sampling": Sampling(logit_bias={"1": 2.0})}, "logit_bias"),
        ({"sampling": Sampling(logprobs=True)}, "logprobs"),
        ({"sampling": Sampling(n=2)}, "n"),
        ({"sampling": Sampling(presence_penalty=0.1)}, "presence_penalty"),
        ({"sampling": Sampling(frequency_penalty=-1)}, "frequency_penalty"),
        ({"sampling": Sampling(temperature=1.5)}, "temperature"),
        ({"sampling": Sampling(stop=("END", "\n"))}, "stop"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"tools": (Tool("web_search", kind="web_search", raw={"type": "web_search"}),)}, "tools[0]"),
        ({"tool_choice": ToolChoice("other", raw={"type": "x"}), "tools": (Tool("f"),)}, "tool_choice"),
        ({"extra": {"modalities": ["audio"]}}, "modalities"),
    ],
)
def test_what_changes_the_meaning_is_refused_by_name(fields: Json, name: str) -> None:
    """Nothing that changes what is asked for is lost without a word; let drop, it is left out and named."""
    with pytest.raises(UnsupportedField) as caught:
        sent(chat(**fields))
    assert caught.value.param == name
    held = gaps("drop")
    sent(chat(**fields), held)
    assert held.dropped == [name]


def test_hints_are_left_out_by_name() -> None:
    """Hints are left out under either policy, and named by OpenAI's names."""
    held = gaps()
    spoken = Message("user", (Text("x"), Image(url="https://e.org/a.png", detail="high")), name="ann")
    request = chat(spoken, metadata={"a": "b"}, store=True, verbosity="low", cache_key="k", service_tier="auto")
    sent(request, held)
    expected = ["messages[0].name", "messages[0].content[1].image_url.detail"]
    assert held.dropped == [*expected, "metadata", "store", "verbosity", "prompt_cache_key"]


def test_hints_of_other_dialects() -> None:
    """Members of other dialects that only hint, and what an answer brought along, are left out and named."""
    said = Message(
        "assistant", (Text("y", extra={"logprobs": [1]}),), extra={"annotations": [1], "odd": 1, "audio": None}
    )
    held = Gaps("anthropic", "refuse", {"labels"})
    sent(chat(user(Text("x", extra={"annotations": [1]})), said, extra={"labels": {"a": "b"}}), held)
    expected = ["messages[0].content[0].annotations", "messages[1].annotations", "messages[1].odd"]
    assert held.dropped == [*expected, "messages[1].content[0].logprobs", "labels"]
    with pytest.raises(UnsupportedField, match=r"`messages\[0\].odd`"):
        sent(chat(Message("user", (Text("x"),), extra={"odd": 1})))


def test_defaults_ask_for_nothing() -> None:
    """OpenAI's defaults are no gap."""
    held = gaps()
    sampling = Sampling(1.0, 1.0, None, 5, (), None, 0, 0, {}, False, None, 1)
    tool = Tool("f", "", None, strict=False)
    request = chat(sampling=sampling, parallel_tool_calls=True, tools=(tool,), response_format=ResponseFormat("text"))
    written = sent(request, held)
    assert held.dropped == []
    assert written["tools"] == [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]
    assert "tool_choice" not in written


def test_allowed_tools_narrow_the_list() -> None:
    """Only the tools that may be called are sent."""
    tools = (Tool("f"), Tool("g"))
    written = sent(chat(tools=tools, tool_choice=ToolChoice("required", allowed=("g",))))
    assert ([tool["name"] for tool in written["tools"]], written["tool_choice"]) == (["g"], {"type": "any"})


def test_no_more_cache_marks_than_the_api_takes() -> None:
    """Of more than four marks the last stay, and that is said."""
    marked = user(*(Text(str(number), cache={"type": "ephemeral"}) for number in range(6)))
    held = gaps()
    blocks = sent(chat(marked), held)["messages"][0]["content"]
    assert ["cache_control" in block for block in blocks] == [False, False, True, True, True, True]
    assert held.dropped == ["cache_control"]


def test_a_missing_limit_is_the_models() -> None:
    """Without a token limit the model may write all it can."""
    assert sent(chat(sampling=Sampling()))["max_tokens"] == 64_000
