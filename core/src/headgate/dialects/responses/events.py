"""Canonical events to the server-sent events of a Responses stream.

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from headgate.chat import (
    ChatRequest,
    CitationDelta,
    ErrorEvent,
    ExtraDelta,
    Finish,
    PartDelta,
    ReasoningDelta,
    ReasoningEnd,
    RefusalDelta,
    Start,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    UsageEvent,
)
from headgate.dialects.responses.compose import Composer

Json = dict[str, Any]

_OF_REPLY = (Start, UsageEvent, ErrorEvent)
_TAKERS: dict[type, Callable[[Composer, Any], None]] = {
    Start: lambda composer, event: composer.start(event.id, event.model, event.created, event.usage),
    TextDelta: lambda composer, event: composer.text(event.text, event.opaque),
    CitationDelta: lambda composer, event: composer.cite(event.citation),
    RefusalDelta: lambda composer, event: composer.refuse(event.text),
    ReasoningDelta: lambda composer, event: composer.think(event.text),
    ReasoningEnd: lambda composer, event: composer.end_thought(
        event.opaque, event.item_id, is_redacted=event.is_redacted
    ),
    ToolCallStart: lambda composer, event: composer.call(event),
    ToolCallDelta: lambda composer, event: composer.argue(event.call, event.arguments),
    PartDelta: lambda composer, event: composer.put(event.part),
    ExtraDelta: lambda composer, event: composer.learn(event.members),
    Finish: lambda composer, event: composer.finish(event),
    UsageEvent: lambda composer, event: composer.note(event.usage, event.extra),
    ErrorEvent: lambda composer, event: composer.fail(event),
}


class OpenAIResponsesEncoder:
    """Canonical events to those of a client's stream, each under its type and with the next `sequence_number`.

    This dialect has one choice: what others say is left out.
    """

    def __init__(self, request: ChatRequest) -> None:
        self._out: list[bytes] = []
        self._sequence = 0
        self._is_started = self._has_failed = False
        self._composer = Composer(request, self._say)

    def feed(self, event: StreamEvent) -> bytes:
        """Encode one event."""
        if not self._is_started:
            self._is_started = True
            if not isinstance(event, Start):
                self._composer.start("", "", 0, None)
        if isinstance(event, ErrorEvent):
            self._has_failed = True
        if isinstance(event, _OF_REPLY) or event.index == 0:
            _TAKERS[type(event)](self._composer, event)
        return self._drain()

    def end(self) -> bytes:
        """The event that says the stream is complete, with the whole reply; nothing behind an error, which has said so."""
        if self._has_failed:
            return b""
        self._composer.end()
        return self._drain()

    def _say(self, kind: str, members: Json) -> None:
        data = msgspec.json.encode({"type": kind, "sequence_number": self._sequence, **members})
        self._sequence += 1
        self._out.append(b"event: %s\ndata: %s\n\n" % (kind.encode(), data))

    def _drain(self) -> bytes:
        said = b"".join(self._out)
        self._out.clear()
        return said
