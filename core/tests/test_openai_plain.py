"""The short way for usual chunks of an OpenAI stream says what the long one does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.chat import StreamEvent
from headgate.dialects.openai import plain, stream
from headgate.dialects.openai.stream import OpenAIChatDecoder
from headgate.errors import ProviderFailed

words: st.SearchStrategy[Any] = st.sampled_from(["", "a", '{"b":', "1}", "é"])
nothing: st.SearchStrategy[Any] = st.sampled_from([None, ""])
pieces: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {},
    optional={
        "index": st.integers(0, 2),
        "id": nothing | st.sampled_from(["c1", "c2"]),
        "type": st.just("function"),
        "function": st.fixed_dictionaries({"arguments": words}, optional={"name": nothing | st.just("f")}),
        "custom": st.just({"input": "x"}),
        "extra_content": st.just({"google": {"thought_signature": "s"}}),
    },
)
deltas: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {},
    optional={
        "role": st.just("assistant"),
        "content": st.none() | words,
        "reasoning_content": words,
        "refusal": st.sampled_from([None, "no"]),
        "tool_calls": st.none() | st.lists(pieces, max_size=2),
        "annotations": st.just([{"type": "url_citation", "url_citation": {"url": "https://a.test", "title": "A"}}]),
    },
)
choices: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {"delta": deltas}, optional={"index": st.integers(0, 1), "finish_reason": st.sampled_from([None, "tool_calls"])}
)
begun: dict[str, Any] = {"index": 0, "id": "c0", "type": "function", "function": {"name": "f", "arguments": ""}}
first: st.SearchStrategy[Any] = st.sampled_from([{"delta": {"role": "assistant"}}, {"delta": {"tool_calls": [begun]}}])


def told(chunks: Sequence[Any]) -> list[StreamEvent | str]:
    """What the decoder says of a stream, or that it refuses it."""
    decoder = OpenAIChatDecoder()
    said: list[StreamEvent | str] = []
    try:
        for choice in chunks:
            said += decoder.feed(b"data: " + json.dumps({"id": "r", "choices": [choice]}).encode())
        said += decoder.feed(b"data: [DONE]")
    except ProviderFailed as error:
        said.append(error.code)
    return said


def never(_: bytes) -> None:
    """In the place of `plain_chunk`: every chunk is read whole."""


@settings(max_examples=400, deadline=None)
@given(first, st.lists(choices, max_size=6))
def test_the_short_way_says_the_same(opening: Any, rest: list[Any]) -> None:
    """Event by event, for pieces of text, thinking and arguments in any order."""
    chunks = [opening, *rest]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "plain_chunk", never)
        expected = told(chunks)
    assert told(chunks) == expected


def test_usual_chunks_go_the_short_way() -> None:
    """Those that the property above would compare with themselves otherwise."""
    delta = {"tool_calls": [{"index": 1, "function": {"arguments": "{"}}]}
    chunk = plain.plain_chunk(json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode())
    assert chunk == plain.PlainChunk(0, "", "", 1, "{")
    assert plain.plain_chunk(b'{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c"}]}}]}') is None
