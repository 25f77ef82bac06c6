"""Answers of Perplexity's Sonar for clients of other dialects: sources where marks name them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from headgate.chat import ChatReply, Citation, Text, collect
from headgate_compatible.vendors.sonar import SonarChat

Json = dict[str, Any]

A, B = "https://a.example", "https://b.example"
RESULTS = [{"title": "A", "url": A, "snippet": "about a"}, {"title": "B", "url": B, "snippet": ""}]
FOUND: Json = {"citations": [A, B], "search_results": RESULTS}
FIRST = Citation(A, "A", "about a", 4, 7, RESULTS[0])
SECOND = Citation(B, "B", None, 7, 10, RESULTS[1])


def whole(text: str, **more: Any) -> ChatReply:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return SonarChat().decode_reply(msgspec.json.encode({"id": "r", "model": "sonar", "choices": [choice], **more}))


def streamed(text: str, size: int, **more: Any) -> ChatReply:
    decoder = SonarChat().stream_decoder()
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    events = [
        event
        for at, piece in enumerate(pieces)
        for event in decoder.feed(
            b"data: "
            + msgspec.json.encode(
                {
                    "id": "r",
                    "model": "sonar",
                    "choices": [
                        {
                            "index": 0,
                            "delta": {"role": "assistant", "content": piece},
                            "finish_reason": "stop" if at == len(pieces) - 1 else None,
                        }
                    ],
                    **more,
                }
            )
            + b"\n\n"
        )
    ]
    return collect([*events, *decoder.end()])


@pytest.mark.parametrize("size", [0, 1, 3, 5, 100])
@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("yes [1][2] and [9]", (Text("yes [1][2] and [9]", citations=(FIRST, SECOND)),)),
        (
            "<think>hm</think> yes",
            (
                Text(
                    "<think>hm</think> yes",
                    citations=(*(Citation(s.url, s.title, s.quote, raw=s.raw) for s in (FIRST, SECOND)),),
                ),
            ),
        ),
    ],
    ids=["marks", "no marks"],
)
def test_answers(text: str, parts: tuple[Any, ...], size: int) -> None:
    """Whole (size 0) or streamed in pieces of any size, an answer says the same."""
    held = streamed(text, size, **FOUND) if size else whole(text, **FOUND)
    assert held.choices[0].message.parts == parts


def test_sources_without_titles() -> None:
    """Older answers have addresses alone; an answer may have results alone, or no sources at all."""
    assert whole("a", citations=[A]).choices[0].message.parts == (Text("a", citations=(Citation(A, raw={"url": A}),)),)
    assert whole("a", search_results=RESULTS[:1]).choices[0].message.parts == (
        Text("a", citations=(Citation(A, "A", "about a", raw=RESULTS[0]),)),
    )
    assert whole("a [1]", citations=None).choices[0].message.parts == (Text("a [1]"),)
