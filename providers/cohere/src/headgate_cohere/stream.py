"""Cohere's chat streams to canonical events.

Events are named, `message-end` is the last one, and `[DONE]` follows it. https://docs.cohere.com/docs/streaming
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from msgspec.structs import replace

from headgate.body import decode_object
from headgate.chat import (
    CitationDelta,
    ErrorEvent,
    ExtraDelta,
    Finish,
    ReasoningDelta,
    Start,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    UsageEvent,
)
from headgate.dialects.openai.members import Json, Members, objects
from headgate.dialects.openai.reply import minted_id
from headgate.dialects.sse import data_of, is_done
from headgate.errors import InvalidRequest, ProviderFailed
from headgate_cohere.replies import NO_ARGUMENTS, citation_of, decode_logprobs, finish_of, usage_of


class CohereDecoder:
    """One stream. Sources wait for the end of the text they belong to, since their places count from its begin."""

    def __init__(self) -> None:
        self._start: Start | None = Start("", "")
        self._reply_id = ""
        self._calls: dict[int, _Call] = {}
        self._count = 0
        self._cited: list[Json] = []
        self._others: list[Json] = []
        self._logprobs: list[Json] = []
        self._size = self._begin = 0
        self._has_text = self._is_planning = self._is_over = False

    def feed(self, frame: bytes) -> Sequence[StreamEvent]:
        """Decode one event; comments and events of unknown types give nothing."""
        if self._is_over or is_done(frame):
            return ()
        data = data_of(frame).strip()
        if not data:
            return ()
        try:
            return list(self._begun(self._events(Members(decode_object(data)))))
        except InvalidRequest as error:
            raise ProviderFailed(f"a stream event is none of Cohere: {error}", code="upstream_bad_reply") from None

    def end(self, *, is_broken: bool = False) -> Sequence[StreamEvent]:  # noqa: ARG002 - the last event says it is the last
        """Nothing is left to say. Raises ProviderFailed for a stream without its last event."""
        if not self._is_over:
            raise ProviderFailed("the provider closed the stream before it was complete", code="upstream_cut")
        return ()

    def _events(self, event: Members) -> Iterator[StreamEvent]:
        delta = event.inner_if_given("delta") or Members({}, "delta")
        message = delta.inner_if_given("message") or Members({}, "delta.message")
        match event.take("type"):
            case "message-start":
                self._reply_id = str(event.take("id") or "")
                self._start = None
                yield Start(self._reply_id, "")
            case "content-start" | "content-delta" as kind:
                yield from self._content(message, is_begin=kind == "content-start")
                self._logprobs += [item for item in objects([event.take("logprobs")]) if item]
            case "content-end":
                yield from self._flush()
            case "tool-plan-delta":
                yield from self._plan(message.find("tool_plan", str) or "")
            case "tool-call-start":
                yield from self._flush()
                yield from self._begin_call(event.find("index", int) or 0, _one(message))
            case "tool-call-delta" | "tool-call-end" as kind:
                call = self._call(event.find("index", int) or 0)
                function = _one(message).inner_if_given("function") or Members({})
                yield from call.feed(function.find("arguments", str) or "", is_last=kind == "tool-call-end")
            case "citation-start":
                self._cited += objects([message.take("citations")])
            case "message-end":
                yield from self._ended(delta)
            case None | "error":
                yield from self._failed(event)
            case _:
                return

    def _begun(self, events: Iterable[StreamEvent]) -> Iterator[StreamEvent]:
        """`events`, with Start before the first one, should the vendor have left it out."""
        for event in events:
            start, self._start = self._start, None
            if start is not None and not isinstance(event, Start | ErrorEvent):
                yield start
            yield event

    def _content(self, message: Members, *, is_begin: bool) -> Iterator[StreamEvent]:
        content = message.inner_if_given("content") or Members({})
        text, thinking = content.find("text", str), content.find("thinking", str)
        if is_begin:
            self._begin = self._size
        if thinking:
            self._size = 0
            yield ReasoningDelta(thinking)
        if text:
            yield self._text(text)

    def _plan(self, text: str) -> Iterator[StreamEvent]:
        if not self._is_planning:
            self._is_planning, self._begin = True, self._size
        if text:
            yield self._text(text)

    def _text(self, text: str) -> StreamEvent:
        self._has_text = True
        self._size += len(text)
        return TextDelta(text)

    def _flush(self) -> Iterator[StreamEvent]:
        """The sources of the text that ends here."""
        cited, self._cited = self._cited, []
        for raw in cited:
            if not self._has_text or raw.get("type") == "THINKING_CONTENT":
                self._others.append(raw)
                continue
            citation = citation_of(raw)
            start, end = (None if at is None else at + self._begin for at in (citation.start, citation.end))
            self._size = 0  # what follows is a text of its own
            yield CitationDelta(replace(citation, start=start, end=end))

    def _begin_call(self, index: int, held: Members) -> Iterator[StreamEvent]:
        function = held.inner("function")
        name, arguments = function.need("name", str), function.find("arguments", str) or ""
        call = self._calls[index] = _Call(self._count)
        call_id = held.find("id", str) or minted_id(self._reply_id, 0, self._count)
        held.take("type")
        self._count += 1
        self._size = 0
        yield ToolCallStart(call.number, call_id, name, extra=held.rest())
        yield from call.feed(arguments)

    def _call(self, index: int) -> _Call:
        call = self._calls.get(index)
        if call is None:
            raise InvalidRequest(f"call {index} has not begun")
        return call

    def _ended(self, delta: Members) -> Iterator[StreamEvent]:
        word, usage, error = delta.find("finish_reason", str), delta.take("usage"), delta.find("error", str)
        yield from self._flush()
        self._is_over = True
        if error:
            yield ErrorEvent(error, word, {"message": error, "type": word})
            return
        if self._others:
            yield ExtraDelta({"citations": self._others})
        extra: Json = {"logprobs": decode_logprobs(self._logprobs)} if self._logprobs else {}
        reason = finish_of(word, has_calls=self._count > 0)
        if reason is not None:
            yield Finish(reason, raw=word, extra={**extra, **delta.rest()})
        used = usage_of(usage)
        if used is not None:
            yield UsageEvent(used)

    def _failed(self, event: Members) -> Iterator[StreamEvent]:
        """An error body in place of an event; what is no error either gives nothing."""
        raw = event.rest()
        message: Any = raw.get("message") or raw.get("error")
        if isinstance(message, str):
            self._is_over = True
            yield ErrorEvent(message, raw=raw)


class _Call:
    """One call while it comes. Arguments that may yet be `null`, which means none, are held back."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._held: str | None = ""

    def feed(self, text: str, *, is_last: bool = False) -> Iterator[StreamEvent]:
        """More of its arguments."""
        if self._held is not None:
            self._held += text
            known = self._held.strip()
            if known == NO_ARGUMENTS if is_last else NO_ARGUMENTS.startswith(known):
                return
            text, self._held = self._held, None
        if text:
            yield ToolCallDelta(self.number, text)


def _one(message: Members) -> Members:
    """The call of an event: an object, where the reference says a list."""
    calls = message.take("tool_calls")
    listed = objects(calls)
    return Members(listed[0] if listed else calls or {}, "delta.message.tool_calls")
