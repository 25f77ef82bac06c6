"""What Perplexity's Sonar answers: sources beside the choices that marks in the text count.

Sources: https://docs.perplexity.ai/api-reference/sonar-post (`citations`, `search_results`) and the types of `perplexityai` 0.46.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from msgspec.structs import replace
from typing_extensions import override

from headgate.chat import (
    ChatReply,
    Choice,
    Citation,
    CitationDelta,
    Finish,
    StreamEvent,
    Text,
    TextDelta,
)
from headgate.dialects import OpenAIChat
from headgate.dialects.openai.members import objects
from headgate.dialects.openai.stream import OpenAIChatDecoder

_MARK = re.compile(r"\[(\d{1,3})\]")


class SonarChat(OpenAIChat):
    """OpenAI chat with Sonar's sources in their places."""

    @override
    def decode_reply(self, body: bytes) -> ChatReply:
        reply = super().decode_reply(body)
        sources = sources_of(reply.extra)
        return replace(reply, choices=tuple(_placed(choice, sources) for choice in reply.choices))

    @override
    def stream_decoder(self) -> OpenAIChatDecoder:
        return _Decoder()


def sources_of(told: Mapping[str, Any]) -> list[Citation]:
    """The sources of an answer, in the order that the marks count them."""
    urls = cast("list[object]", held) if isinstance(held := told.get("citations"), list) else []
    results = {
        result["url"]: result for result in objects(told.get("search_results")) if isinstance(result.get("url"), str)
    }
    named = [url for url in urls if isinstance(url, str)] or list(results)
    return [_source(url, results.get(url, {})) for url in named]


def cited(text: str, sources: Sequence[Citation]) -> list[Citation]:
    """The sources where marks name them; those of a text without marks stand for all of it."""
    marks = [(found, int(found[1])) for found in _MARK.finditer(text)]
    placed = [
        replace(sources[number - 1], start=found.start(), end=found.end())
        for found, number in marks
        if 0 < number <= len(sources)
    ]
    return placed or list(sources)


def _source(url: str, result: Mapping[str, Any]) -> Citation:
    title, snippet = result.get("title"), result.get("snippet")
    return Citation(
        url,
        title if isinstance(title, str) and title else None,
        snippet if isinstance(snippet, str) and snippet else None,
        raw=dict(result) or {"url": url},
    )


def _placed(choice: Choice, sources: Sequence[Citation]) -> Choice:
    parts = tuple(
        replace(part, citations=(*part.citations, *cited(part.text, sources))) if isinstance(part, Text) else part
        for part in choice.message.parts
    )
    return replace(choice, message=replace(choice.message, parts=parts))


class _Decoder(OpenAIChatDecoder):
    """A stream of Sonar's. Sources are told once the text is whole: the vendor repeats them in every chunk."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[int, str] = {}

    @override
    def feed(self, frame: bytes) -> Sequence[StreamEvent]:
        return list(self._told(super().feed(frame)))

    @override
    def end(self, *, is_broken: bool = False) -> Sequence[StreamEvent]:
        return list(self._told(super().end(is_broken=is_broken)))

    def _told(self, events: Iterable[StreamEvent]) -> Iterator[StreamEvent]:
        for event in events:
            if isinstance(event, TextDelta):
                self._said[event.index] = self._said.get(event.index, "") + event.text
            elif isinstance(event, Finish):
                said = self._said.get(event.index)
                if said:
                    sources = cited(said, sources_of(self._extra))
                    yield from (CitationDelta(citation, event.index) for citation in sources)
            yield event
