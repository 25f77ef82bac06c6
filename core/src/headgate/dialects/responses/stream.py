"""A provider's Responses stream to canonical events.

Source: https://platform.openai.com/docs/api-reference/responses-streaming and the types of the official SDK (3.52).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, cast

from msgspec.structs import replace

from headgate.body import decode_object
from headgate.chat import (
    Citation,
    CitationDelta,
    ErrorEvent,
    ExtraDelta,
    Finish,
    Image,
    Item,
    PartDelta,
    Reasoning,
    ReasoningDelta,
    ReasoningEnd,
    Refusal,
    RefusalDelta,
    Start,
    StreamEvent,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    UsageEvent,
)
from headgate.dialects.openai.members import objects
from headgate.dialects.responses.answer import decode_finish, message_extra, news, seconds
from headgate.dialects.responses.items import decode_content, decode_item, is_asked, kind_of
from headgate.dialects.responses.usage import decode_usage
from headgate.dialects.sse import data_of
from headgate.errors import InvalidRequest, ProviderFailed

Json = dict[str, Any]

_LIFE = frozenset({"response.created", "response.queued", "response.in_progress"})
_SUMMARY = "response.reasoning_summary_text.delta"
_THOUGHT = "response.reasoning_text.delta"
_TEXT = "response.output_text.delta"
_REFUSAL = "response.refusal.delta"
_DELTAS = frozenset(
    {
        _SUMMARY,
        _THOUGHT,
        _TEXT,
        _REFUSAL,
        "response.function_call_arguments.delta",
        "response.custom_tool_call_input.delta",
    }
)
_STATUS = {
    "insufficient_quota": 429,
    "invalid_prompt": 400,
    "invalid_request_error": 400,
    "model_not_found": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "requests": 429,
    "server_error": 500,
    "server_is_overloaded": 503,
    "slow_down": 503,
    "tokens": 429,
    "vector_store_timeout": 504,
}
"""What codes and types of errors within a stream would be as an HTTP status."""


class OpenAIResponsesDecoder:
    """Events of a provider to canonical ones. Unknown kinds give nothing, and so does what follows the last event.

    Items are told apart by their `output_index`: some vendors change an item's id on the way. What an item says at its
    end and has not said in deltas comes then. Sources of a text come when it is whole, or they would cut it in two.
    """

    def __init__(self) -> None:
        self._started = self._ended = False
        self._items: dict[int, _Growing] = {}
        self._calls = 0
        self._logprobs: list[Json] = []
        self._length = 0

    def feed(self, frame: bytes) -> Sequence[StreamEvent]:
        """Decode one event. Raises ProviderFailed for what is no event of a response."""
        data = data_of(frame).strip()
        if not data or data == b"[DONE]" or self._ended:
            return ()
        try:
            return list(self._events(decode_object(data)))
        except (InvalidRequest, ValueError) as error:
            raise ProviderFailed(f"a stream event is none of a response: {error}", code="upstream_bad_reply") from None

    def end(self, *, is_broken: bool = False) -> Sequence[StreamEvent]:  # noqa: ARG002 - only the last event tells
        """Raises ProviderFailed unless the last event was there."""
        if not self._ended:
            raise ProviderFailed("the provider closed the stream before it was complete", code="upstream_cut")
        return ()

    def _events(self, event: Json) -> Iterator[StreamEvent]:
        kind: object = event.get("type")
        if kind in _DELTAS:
            yield from self._grow(str(kind), event)
        elif kind in _LIFE:
            yield from self._start(_object(event.get("response")))
        elif kind == "response.output_item.added":
            yield from self._begin(_number(event, "output_index"), _object(event.get("item")))
        elif kind == "response.content_part.done":
            yield from self._close_part(event)
        elif kind == "response.output_item.done":
            at, item = _number(event, "output_index"), _object(event.get("item"))
            yield from self._begin(at, item)
            yield from self._close(at, item)
        elif kind == "response.output_text.done":
            self._logprobs += objects(event.get("logprobs"))
        elif kind in {"response.completed", "response.incomplete"}:
            yield from self._finish(_object(event.get("response")), str(kind).partition(".")[2])
        elif kind in {"response.failed", "response.cancelled"}:
            yield self._failed(_object(event.get("response")).get("error") or event.get("error"))
        elif kind == "error" or (kind is None and event.get("error")):
            yield self._failed(event.get("error") or event)

    def _start(self, response: Json) -> Iterator[StreamEvent]:
        if not self._started:
            self._started = True
            words = str(response.get("id") or ""), str(response.get("model") or "")
            yield Start(*words, seconds(response.get("created_at")))

    def _begin(self, at: int, item: Json) -> Iterator[StreamEvent]:
        """An item begins. What else it is comes at its end."""
        if at in self._items or not item or is_asked(item):
            return
        yield from self._start({})
        growing = self._items[at] = _Growing(item, self._calls)
        if growing.kind in {"function_call", "custom_tool_call"}:
            self._calls += 1
            self._length = 0
            for part in decode_item(item, "item", growing.call):
                if isinstance(part, ToolCall):
                    named = part.id, part.name, 0, part.custom, part.item_id, part.opaque, part.extra
                    yield ToolCallStart(growing.call, *named)
        extra = message_extra(item)
        if extra:
            yield ExtraDelta(extra)

    def _grow(self, kind: str, event: Json) -> Iterator[StreamEvent]:
        growing, text = self._items.get(_number(event, "output_index")), event.get("delta")
        if growing is None or not isinstance(text, str) or not text:
            return
        index = _number(event, "summary_index" if kind == _SUMMARY else "content_index")
        if kind in {_SUMMARY, _THOUGHT}:
            yield from self._think(growing, text, index, is_summary=kind == _SUMMARY)
            return
        growing.said[index] = growing.said.get(index, "") + text
        if kind == _TEXT:
            self._length += len(text)
            yield TextDelta(text)
        elif kind == _REFUSAL:
            self._length = 0
            yield RefusalDelta(text)
        else:
            yield ToolCallDelta(growing.call, text)

    def _think(self, growing: _Growing, text: str, index: int, *, is_summary: bool) -> Iterator[StreamEvent]:
        """More thinking; a further part begins a paragraph, and the full text behind a summary is a block of its own."""
        self._length = 0
        if growing.thoughts[is_summary] and growing.index != index:
            text = "\n\n" + text
        if not is_summary and growing.thoughts[True] and not growing.thoughts[False]:
            yield ReasoningEnd(None, item_id=growing.item_id)
        growing.index = index
        growing.thoughts[is_summary] += text
        yield ReasoningDelta(text, is_summary=is_summary)

    def _close_part(self, event: Json) -> Iterator[StreamEvent]:
        growing = self._items.get(_number(event, "output_index"))
        if growing is not None and growing.kind == "message":
            index = _number(event, "content_index")
            for part in decode_content([event.get("part")], "part"):
                yield from self._said(growing, index, part)

    def _said(self, growing: _Growing, index: int, part: object) -> Iterator[StreamEvent]:
        """A part of a message is whole: the rest of its words, then their sources."""
        if index in growing.closed:
            return
        growing.closed.add(index)
        said = growing.said.get(index, "")
        if isinstance(part, Refusal):
            rest = _rest(said, part.text)
            self._length = 0
            yield from [RefusalDelta(rest)] if rest else []
        elif isinstance(part, Text):
            rest, start = _rest(said, part.text), self._length - len(said)
            self._length += len(rest)
            if rest or part.opaque is not None:
                yield TextDelta(rest, 0, part.opaque)
            for citation in part.citations:
                yield CitationDelta(_moved(citation, start))
            if part.citations:
                self._length = 0

    def _close(self, at: int, item: Json) -> Iterator[StreamEvent]:
        """An item is whole: what it has not said yet, and what only its end tells."""
        growing = self._items.get(at)
        if growing is None or growing.is_closed:
            return
        growing.is_closed = True
        parts = decode_item(item, "item", growing.call)
        yield from self._end_thoughts(growing, [part for part in parts if isinstance(part, Reasoning)])
        for index, part in enumerate(parts):
            match part:
                case Reasoning():
                    continue
                case ToolCall():
                    rest = _rest(growing.said.get(0, ""), part.arguments)
                    yield from [ToolCallDelta(growing.call, rest)] if rest else []
                case Image() | Item():
                    self._length = 0
                    yield PartDelta(part)
                case _:
                    yield from self._said(growing, index, part)

    def _end_thoughts(self, growing: _Growing, parts: list[Reasoning]) -> Iterator[StreamEvent]:
        """The rest of a reasoning item's text, and what must travel with it. One that says nothing is left out."""
        for part in parts:
            is_summary = (
                part.is_summary
                if len(parts) > 1 or not any(growing.thoughts.values())
                else growing.thoughts[True] != ""
            )
            rest = _rest(growing.thoughts[is_summary], part.text)
            if rest:
                yield from self._think(growing, rest, growing.index, is_summary=is_summary)
        has_text = any(growing.thoughts.values())
        if parts and (has_text or parts[-1].opaque is not None):
            last = parts[-1]
            yield ReasoningEnd(last.opaque, 0, last.is_redacted and not has_text, last.item_id)

    def _finish(self, response: Json, status: str) -> Iterator[StreamEvent]:
        yield from self._start(response)
        for at, item in self._unsaid(objects(response.get("output"))):
            yield from self._begin(at, item)
            yield from self._close(at, item)
        told = {**response, "status": response.get("status") or status}
        reason, raw = decode_finish(told, has_calls=self._calls > 0)
        self._ended = True
        logprobs: Json = {"logprobs": {"content": self._logprobs, "refusal": None}} if self._logprobs else {}
        named = {name: response[name] for name in ("service_tier",) if response.get(name)}
        usage, extra = response.get("usage"), {**named, **news(_without_known(response))}
        is_counted = isinstance(usage, dict) and bool(usage)  # pyright: ignore[reportUnknownArgumentType]
        yield Finish(reason, 0, raw, extra=logprobs if is_counted else {**logprobs, **extra})
        if is_counted:
            yield UsageEvent(decode_usage(cast("Json", usage)), extra)

    def _unsaid(self, output: list[Json]) -> Iterator[tuple[int, Json]]:
        """The items of the whole reply that no event of their own has closed; of each kind they come in their order."""
        seen: Counter[str] = Counter()
        places: dict[str, list[int]] = {}
        for at in sorted(self._items):
            places.setdefault(self._items[at].kind, []).append(at)
        free = max(self._items, default=-1)
        for item in output:
            if is_asked(item):
                continue
            kind = str(kind_of(item) or "")
            known = places.get(kind, [])
            if seen[kind] < len(known):
                yield known[seen[kind]], item
            else:
                free += 1
                yield free, item
            seen[kind] += 1

    def _failed(self, error: object) -> ErrorEvent:
        self._ended = True
        raw: Json = cast("Json", error) if isinstance(error, dict) else {"message": str(error or "")}
        code, kind, status = raw.get("code"), raw.get("type"), raw.get("status")
        known = _STATUS.get(str(code)) or _STATUS.get(str(kind)) or 0
        stated = status if isinstance(status, int) else known
        word = code if code is not None else kind if kind != "error" else None
        return ErrorEvent(str(raw.get("message") or ""), None if word is None else str(word), raw, stated)


class _Growing:
    """An item while it comes: what it has said so far, by part; of its thinking the summary (True) and the full text."""

    def __init__(self, item: Json, call: int) -> None:
        item_id = item.get("id")
        self.kind = str(kind_of(item) or "")
        self.item_id = item_id if isinstance(item_id, str) else None
        self.call = call
        self.said: dict[int, str] = {}
        self.closed: set[int] = set()
        self.index = 0
        self.thoughts = {True: "", False: ""}
        self.is_closed = False


def _object(value: object) -> Json:
    return cast("Json", value) if isinstance(value, dict) else {}


def _number(event: Json, name: str) -> int:
    value = event.get(name)
    return value if isinstance(value, int) else 0


def _rest(said: str, whole: str) -> str:
    """What a whole text has beyond what was said of it; nothing when it is another text."""
    return whole[len(said) :] if whole.startswith(said) else ""


def _moved(citation: Citation, by: int) -> Citation:
    if not by or citation.start is None or citation.end is None:
        return citation
    return replace(citation, start=citation.start + by, end=citation.end + by)


def _without_known(response: Json) -> Json:
    known = {"id", "model", "created_at", "output", "usage", "service_tier"}
    return {name: value for name, value in response.items() if name not in known}
