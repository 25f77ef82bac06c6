"""OpenAI chat requests: what comes in is understood whole, goes out again, and odd members are kept or refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from core.tests.openai_samples import Json, decode, encode, request, requests, user
from hypothesis import given, settings
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
    ResponseFormat,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from headgate.errors import InvalidRequest


def parts_of(**members: Any) -> tuple[Any, ...]:
    """The parts of an assistant's message with these members."""
    message = {"role": "assistant", "content": None, **members}
    return decode(request(messages=[message])).messages[0].parts


def content_of(*parts: Json) -> tuple[Any, ...]:
    return decode(user(content=list(parts))).messages[0].parts


def test_flat_tools_are_functions_too() -> None:
    """Cursor lists functions as Responses have them among those of chat. https://github.com/BerriAI/litellm/pull/34029"""
    flat = {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
    assert decode(request(tools=[flat])).tools == (Tool("f", "d", {"type": "object"}, strict=True),)


# round trips


@settings(deadline=None)
@given(requests())
def test_a_request_keeps_its_meaning(data: Json) -> None:
    """Decoded, encoded and decoded again, a request means what it meant; streams are asked for their usage."""
    first = decode(data)
    again = decode(encode(first))
    assert replace(again, include_usage=False) == replace(first, include_usage=False)
    assert again.include_usage == first.stream


@settings(max_examples=60, deadline=None)
@given(requests())
def test_a_request_keeps_its_members(data: Json) -> None:
    """Encoded again, a request holds every member it had, with an equal value; forms that mean the same are one."""
    result = encode(decode(data))
    limit = data.pop("max_tokens", None)
    expected = data if limit is None else {**data, "max_completion_tokens": limit}
    if isinstance(expected.get("stop"), str):
        expected["stop"] = [expected["stop"]]
    if expected.pop("stream", False):
        expected |= {"stream": True, "stream_options": {"include_usage": True}}
    assert result.keys() == expected.keys()
    assert {name: result[name] for name in result if name != "messages"} == {
        name: expected[name] for name in expected if name != "messages"
    }
    for mine, theirs in zip(result["messages"], expected["messages"], strict=True):
        assert mine.keys() - {"reasoning_content"} == theirs.keys() - {"reasoning_content"}


def test_a_request_in_the_canonical_model() -> None:
    """Each member finds its place."""
    data = request(
        messages=[
            {"role": "developer", "content": "be kind", "name": "d"},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "file", "file": {"file_id": "f"}}]},
            {
                "role": "assistant",
                "content": None,
                "reasoning_content": "hm",
                "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{ }"}}],
            },
            {"role": "tool", "tool_call_id": "c", "content": "42", "name": "f"},
        ],
        max_tokens=5,
        max_completion_tokens=7,
        stop="END",
        stream=True,
        stream_options={"include_usage": True, "include_obfuscation": False},
        service_tier="flex",
        verbosity="low",
        prompt_cache_key="k",
        safety_identifier="s",
        store=False,
        modalities=["text"],
    )
    held = decode(data)
    assert held.messages == (
        Message("developer", (Text("be kind"),), "d"),
        Message("user", (Text("a"), File(file_id="f"))),
        Message("assistant", (Reasoning("hm"), ToolCall("c", "f", "{ }"))),
        Message("tool", (ToolResult("c", (Text("42"),), name="f"),)),
    )
    assert (held.sampling.max_tokens, held.sampling.stop, held.stream, held.include_usage) == (7, ("END",), True, True)
    assert (held.service_tier, held.verbosity, held.cache_key) == ("flex", "low", "k")
    assert (held.safety_identifier, held.store, held.dialect, held.extra) == ("s", False, "openai.chat", {})


# content


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://example.com/a.png", Image("https://example.com/a.png")),
        ("data:image/png;base64,AAAA", Image(data="AAAA", media_type="image/png")),
        ("data:image/png;charset=utf-8;base64,AAAA", Image(data="AAAA", media_type="image/png")),
        ("DATA:IMAGE/PNG;BASE64,AA%2B%2F", Image(data="AA+/", media_type="image/png")),
        ("data:image/png;base64,AA\nAA", Image(data="AAAA", media_type="image/png")),
        ("data:text/plain,a%20b", Image(data="YSBi", media_type="text/plain")),
        ("data:,", Image(data="", media_type="text/plain")),
        ("data:image/png;base64", Image("data:image/png;base64")),
    ],
)
def test_images_by_url_and_by_data(url: str, expected: Image) -> None:
    """A data URL gives its bytes and its type, whatever parameters it has; `image_url` may be a plain string."""
    assert content_of({"type": "image_url", "image_url": {"url": url}}) == (expected,)
    assert content_of({"type": "image_url", "image_url": url}) == (expected,)


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}},
            File(data="AAAA", media_type="application/pdf", filename="a.pdf"),
        ),
        ({"type": "file", "file": {"file_data": "AAAA"}}, File(data="AAAA", media_type="application/pdf")),
        ({"type": "file", "file": {"file_data": "https://a.b/c"}}, File("https://a.b/c")),
        ({"type": "document_url", "document_url": "https://a.b/c"}, File("https://a.b/c")),
        ({"type": "video_url", "video_url": {"url": "https://a.b/c"}}, File("https://a.b/c", media_type="video/mp4")),
        ({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}, Audio("AAAA", "wav")),
        ({"type": "input_audio", "input_audio": "data:audio/x-wav;base64,AAAA"}, Audio("AAAA", "wav")),
        ({"type": "x_part", "x": [1]}, Item("openai.chat", {"type": "x_part", "x": [1]})),
    ],
)
def test_parts_of_vendors_have_their_place(part: Json, expected: Any) -> None:
    """Files, films and sounds in the forms that vendors have for them; a part nobody knows is kept as it is."""
    assert content_of(part) == (expected,)
    assert decode(encode(decode(user(content=[part])))) == decode(user(content=[part]))


def test_sound_without_its_format_is_refused() -> None:
    """What a sound is cannot be guessed."""
    with pytest.raises(InvalidRequest, match=r"input_audio\.format"):
        content_of({"type": "input_audio", "input_audio": "AAAA"})


@pytest.mark.parametrize("content", ["", None, [], [{"type": "text", "text": ""}]])
def test_no_text_is_no_part(content: Any) -> None:
    """Empty content says nothing, in every form it has."""
    assert decode(user(content=content)).messages[0].parts == ()
    assert encode(decode(user(content=content)))["messages"] == [{"role": "user", "content": ""}]


def test_cache_marks() -> None:
    """Marks in Anthropic's form are kept; OpenAI's breakpoint becomes one; a mark on a message is one on its last part."""
    mark = {"type": "ephemeral"}
    own = {"type": "text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}}
    long = {"type": "text", "text": "b", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"}}
    assert content_of(own, long) == (Text("a", mark), Text("b", {**mark, "ttl": "1h"}))
    held = decode(request(messages=[{"role": "system", "content": "a", "cache_control": mark}]))
    assert held.messages[0] == Message("system", (Text("a", mark),))
    unplaced = decode(request(messages=[{"role": "user", "content": "", "cache_control": mark}]))
    assert unplaced.messages[0].extra == {"cache_control": mark}


# what the model said before


def test_an_answer_that_comes_back() -> None:
    """Signatures, sources, pictures, sounds and blocks of other dialects are in a client's history as they were given."""
    parts = parts_of(
        content="ab",
        annotations=[{"type": "url_citation", "url_citation": {"url": "u", "title": "t", "start_index": 0}}],
        extra_content={"google": {"thought_signature": "sig"}},
        images=[{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}, "index": 0}],
        audio={"id": "audio_1"},
        provider_items=[{"dialect": "anthropic.messages", "type": "server_tool_use", "id": "s", "index": 0}],
        tool_calls=[
            {
                "id": "c",
                "type": "function",
                "function": {"name": "f", "arguments": "{}"},
                "extra_content": {"bedrock": {"signature": "s", "account": "a"}},
            }
        ],
    )
    raw = {"type": "url_citation", "url_citation": {"url": "u", "title": "t", "start_index": 0}}
    assert parts == (
        Item("anthropic.messages", {"type": "server_tool_use", "id": "s"}),
        Text("ab", citations=(Citation("u", "t", start=0, raw=raw),), opaque=Opaque("google", "sig")),
        Image(data="AAAA", media_type="image/png"),
        Audio("", "", id="audio_1"),
        ToolCall("c", "f", "{}", opaque=Opaque("bedrock", "s", "a")),
    )


def test_a_signature_without_a_text() -> None:
    """A signature belongs to an empty text where there is no other."""
    signed = {"google": {"thought_signature": "sig", "other": 1}}
    message = {"role": "assistant", "content": None, "extra_content": signed}
    held = decode(request(messages=[message])).messages[0]
    assert held.parts == (Text("", opaque=Opaque("google", "sig")),)
    assert held.extra == {"extra_content": {"google": {"other": 1}}}
    assert encode(decode(request(messages=[message])))["messages"][0]["extra_content"] == signed


def test_sources_stand_in_the_part_they_count_in() -> None:
    """Places count from the begin of the content on the wire, from the begin of the part in the canonical model."""
    texts = [{"type": "text", "text": "abc"}, {"type": "text", "text": "def"}]
    cited = {"url": "u", "title": "t", "start_index": 4, "end_index": 5}
    first, second = parts_of(content=texts, annotations=[{"type": "url_citation", "url_citation": cited}])
    assert first == Text("abc")
    assert [(citation.start, citation.end) for citation in second.citations] == [(1, 2)]


def test_calls_in_every_form() -> None:
    """Arguments may be null or an object, a call may lack its id, and other types of a call keep their type."""
    call = {"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
    assert parts_of(tool_calls=[call]) == (ToolCall("f", "f", '{"a":1}'),)
    assert parts_of(tool_calls=[{"id": "c", "function": {"name": "f"}, "index": 3}]) == (ToolCall("c", "f", ""),)
    own = {"id": "c", "type": "builtin_function", "function": {"name": "$search", "arguments": ""}}
    assert parts_of(tool_calls=[own]) == (ToolCall("c", "$search", "", extra={"type": "builtin_function"}),)
    other = {"id": "c", "type": "x_call", "x_call": {"a": 1}}
    assert parts_of(tool_calls=[other]) == (Item("openai.chat", {"type": "x_call", "id": "c", "x_call": {"a": 1}}),)
    custom = {"id": "c", "type": "custom", "custom": {"name": "g", "input": "x"}}
    assert parts_of(tool_calls=[custom]) == (ToolCall("c", "g", "x", custom=True),)


def test_functions_of_the_older_form() -> None:
    """Functions are tools, their calls and results are joined by name, and only one call may come at a time."""
    data = request(
        messages=[
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "1"},
        ],
        functions=[{"name": "f", "parameters": {"type": "object"}}],
        function_call={"name": "f"},
    )
    held = decode(data)
    assert held.messages[1:] == (
        Message("assistant", (ToolCall("f", "f", "{}"),)),
        Message("tool", (ToolResult("f", (Text("1"),), name="f"),)),
    )
    assert held.tools == (Tool("f", parameters={"type": "object"}),)
    assert (held.tool_choice, held.parallel_tool_calls) == (ToolChoice("named", "f"), False)
    assert held.extra == {"functions": None}
    assert "functions" not in encode(held)


# how to answer


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, None),
        ({"reasoning_effort": None}, None),
        ({"reasoning_effort": "high"}, Thinking("high")),
        ({"thinking": {"type": "enabled", "budget_tokens": 9}}, Thinking(budget_tokens=9, mode="enabled")),
        ({"thinking": {"type": "disabled"}}, Thinking(mode="disabled")),
        ({"thinking": {"type": "adaptive", "display": "omitted"}}, Thinking(mode="adaptive", is_shown=False)),
        ({"reasoning": {"effort": "low", "exclude": True}}, Thinking("low", is_shown=False)),
        ({"reasoning": {"max_tokens": 9}}, Thinking(budget_tokens=9)),
        ({"reasoning": {"enabled": False}}, Thinking(mode="disabled")),
        ({"reasoning": {"enabled": True, "summary": "auto"}}, Thinking(mode="enabled", summary="auto")),
        ({"include_reasoning": False}, Thinking(is_shown=False)),
    ],
)
def test_how_much_to_think(members: Json, expected: Thinking | None) -> None:
    """OpenAI's effort, the switch and budget of Anthropic and DeepSeek, and OpenRouter's object are one thing."""
    held = decode(request(**members))
    assert held.thinking == expected
    assert not any(held.extra.values())
    assert decode(encode(held)) == held


@pytest.mark.parametrize(
    "members",
    [
        {"reasoning": {"effort": "low", "exclude": True, "x": 1}},
        {"reasoning": {"max_tokens": 9, "enabled": True, "summary": "auto"}},
        {"reasoning_effort": "low", "thinking": {"type": "enabled", "budget_tokens": 9}},
        {"thinking": {"type": "x_mode", "budget_tokens": 9}},
        {"include_reasoning": True},
    ],
)
def test_thinking_keeps_its_form(members: Json) -> None:
    """Vendors that take one form do not take another."""
    body = encode(decode(request(**members)))
    assert {name: body[name] for name in body if name not in {"model", "messages"}} == members


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("any", ToolChoice("required")),
        ({"type": "custom", "custom": {"name": "f"}}, ToolChoice("named", "f")),
        ("x_word", ToolChoice("other", raw="x_word")),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]},
            },
            ToolChoice("required", allowed=("f",)),
        ),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [1]}}, None),
    ],
)
def test_choices_of_tools(choice: Any, expected: ToolChoice | None) -> None:
    """Mistral's word, custom tools, a narrowed choice; what only OpenAI understands is kept raw."""
    held = decode(request(tool_choice=choice)).tool_choice
    assert held == (expected or ToolChoice("other", raw=choice))


def test_formats_of_vendors_stay_as_they_are() -> None:
    """A format that OpenAI does not have is kept by name, and so is what stands beside a known one."""
    grammar = {"type": "grammar", "grammar": "x"}
    held = decode(request(response_format=grammar))
    assert (held.response_format, held.extra) == (None, {"response_format": grammar})
    beside = decode(request(response_format={"type": "json_object", "schema": {}}))
    assert beside.response_format == ResponseFormat("json_object")
    assert encode(beside)["response_format"] == {"type": "json_object", "schema": {}}


def test_a_search_with_nothing_said_is_still_a_search() -> None:
    """An empty object asks for a web search, so that it must not look like nothing to other dialects."""
    assert decode(request(web_search_options={})).extra == {"web_search_options": {"search_context_size": "medium"}}


# what must not be lost


@pytest.mark.parametrize(
    "members",
    [
        {"tools": [{"type": "function", "function": {"name": "f", "x": 1}, "cache_control": {"type": "ephemeral"}}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u", "x": 1}}]}]},
        {"messages": [{"role": "user", "content": "x", "x_mark": [1]}]},
        {"x_vendor": {"a": None}, "messages": [{"role": "user", "content": "x"}]},
        {"messages": [{"role": "assistant", "content": "x", "reasoning_details": [{"type": "x_detail", "a": 1}]}]},
        {
            "messages": [
                {
                    "role": "assistant",
                    "content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}], "closed": True}],
                }
            ]
        },
        {
            "messages": [
                {"role": "assistant", "content": "x", "annotations": [{"type": "file", "file": {"hash": "h"}}]},
            ]
        },
    ],
    ids=["tool", "image", "message", "top", "details", "thinking", "annotations"],
)
def test_nothing_is_dropped_silently(members: Json) -> None:
    """A member below the top that has no place in the canonical model rides along at its own depth."""
    result = encode(decode(request(**members)))
    assert {name: result[name] for name in members} == members


def test_numbers_keep_their_form() -> None:
    """Arguments are text and stay it; numbers of schemas that no double holds come out as they went in."""
    schema = {"minimum": 123456789012345678901234567890, "maximum": 18446744073709551615}
    data = request(tools=[{"type": "function", "function": {"name": "f", "parameters": schema}}])
    assert encode(decode(data))["tools"][0]["function"]["parameters"] == schema
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1.0, "b":1e2}'}}
    held = decode(request(messages=[{"role": "assistant", "content": None, "tool_calls": [call]}]))
    assert encode(held)["messages"][0]["tool_calls"] == [call]


def test_a_request_without_anything() -> None:
    """The least there is."""
    held = decode({"messages": [{"role": "user", "content": "x"}]})
    assert held == ChatRequest("", (Message("user", (Text("x"),)),), dialect="openai.chat")
