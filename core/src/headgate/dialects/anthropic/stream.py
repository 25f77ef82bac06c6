"""Anthropic's stream to canonical events: one small state machine.

Source: https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from typing_extensions import override

from headgate.chat import (
    Citation,
    CitationDelta,
    ErrorEvent,
    Finish,
    Item,
    Opaque,
    PartDelta,
    ReasoningDelta,
    ReasoningEnd,
    Start,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    UsageEvent,
    replay,
)
from headgate.dialects.anthropic.blocks import decode_blocks, decode_citation, input_text
from headgate.dialects.anthropic.decode import decode_reply, decode_tier, finish_of
from headgate.dialects.anthropic.errors import STATUSES
from headgate.dialects.anthropic.names import NAME, OUTPUT_TOOL
from headgate.dialects.anthropic.opaque import Sealed, unseal
from headgate.dialects.anthropic.usage import decode_usage, merge_usage
from headgate.dialects.openai.members import Json, Members, given
from headgate.dialects.sse import data_of
from headgate.errors import InvalidRequest, ProviderFailed

_STARTED = frozenset(
    {"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "stop_details", "usage"}
)
"""Members of the message in `message_start` that have an event of their own."""


_COMPACTED = frozenset({"content", "encrypted_content"})
"""Members of a block that stands for turns before it: https://platform.claude.com/docs/en/build-with-claude/compaction"""


class _Block(Struct):
    input: Raw | UnsetType = UNSET


class _Event(Struct):
    """One event's data. A `message` alone is a whole reply, as a host gives that was not asked to stream."""

    type: str = ""
    message: Any = None
    content_block: Raw | UnsetType = UNSET
    delta: Any = None
    usage: Any = None
    error: Any = None


_event = msgspec.json.Decoder(_Event)
_block = msgspec.json.Decoder(_Block)
_object = msgspec.json.Decoder(dict[str, Any])


class AnthropicDecoder:
    """Events to canonical ones. Pings and unknown kinds give nothing; what comes behind the end is not read."""

    def __init__(self) -> None:
        self._id: str | None = None
        self._block: _Open | None = None
        self._after_text = False
        self._signature: Opaque | None = None
        self._calls = 0
        self._outputs = 0
        self._has_ended = False
        self._is_broken = False
        self._said = False
        self._raw_usage: Json = {}
        self._stop: Json = {}
        self._extra: Json = {}

    def feed(self, frame: bytes) -> Sequence[StreamEvent]:
        """See StreamDecoder."""
        data = data_of(frame).strip()
        if not data or self._has_ended:
            return ()
        try:
            events = list(self._events(_event.decode(data), data))
        except (InvalidRequest, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ProviderFailed(
                f"a stream event is none of the Messages API: {error}", code="upstream_bad_reply"
            ) from None
        self._said = self._said or any(not isinstance(event, Start) for event in events)
        return events

    def end(self, *, is_broken: bool = False) -> Sequence[StreamEvent]:  # noqa: ARG002 - the last event says it all
        """See StreamDecoder. `message_stop` or an error ends a stream; nothing else does."""
        if not self._has_ended:
            raise ProviderFailed("the provider closed the stream before it was complete", code="upstream_cut")
        return ()

    def _events(self, event: _Event, data: bytes) -> Iterator[StreamEvent]:
        match event.type:
            case "message_start":
                yield from self._start(_held(event.message))
            case "content_block_start":
                yield from self._close()
                if not isinstance(event.content_block, UnsetType):
                    self._block = self._opened(bytes(event.content_block))
                    yield from self._block.start()
            case "content_block_delta":
                if self._block is not None:
                    yield from self._block.add(_held(event.delta))
            case "content_block_stop":
                yield from self._close()
            case "message_delta":
                self._note(_held(event.delta), event.usage, data)
            case "message_stop":
                yield from self._close()
                yield from self._finish()
            case "message":
                self._has_ended = True
                yield from replay(decode_reply(data))
            case "error":
                self._has_ended = True
                yield _error_of(event.error)
            case _:
                return

    def _start(self, message: Json) -> Iterator[StreamEvent]:
        """The reply begins. Said twice before anything else it is the same; another one within it is a fault."""
        identity = str(message.get("id") or "")
        if self._id is not None:
            if self._said or identity != self._id:
                raise InvalidRequest("a second message begins within the first")
            return
        self._id = identity
        self._raw_usage = merge_usage({}, message.get("usage"))
        usage = decode_usage(self._raw_usage) if self._raw_usage else None
        yield Start(identity, str(message.get("model") or ""), usage=usage)
        self._note(message, None, b"")
        self._extra |= {name: value for name, value in message.items() if name not in _STARTED and value is not None}
        content = message.get("content")
        for raw in cast("list[Json]", content) if isinstance(content, list) else ():
            self._block = self._opened(msgspec.json.encode(raw))
            yield from self._block.start()
            yield from self._close()

    def _note(self, delta: Json, usage: object, data: bytes) -> None:
        """What is known of the end, which counts when it comes. Members with no event of their own stay with the usage."""
        self._stop |= {name: delta[name] for name in ("stop_reason", "stop_sequence") if delta.get(name) is not None}
        if delta.get("stop_details") is not None:
            self._stop["stop_details"] = delta["stop_details"]
        self._raw_usage = merge_usage(self._raw_usage, usage)
        if data:
            whole = _object.decode(data)
            further = {**whole, **delta}
            known = {"type", "delta", "usage", "stop_reason", "stop_sequence", "stop_details"}
            self._extra |= {name: value for name, value in further.items() if name not in known and value is not None}

    def _opened(self, raw: bytes) -> _Open:
        block = _object.decode(raw)
        kind = block.get("type")
        said = input_text(_block.decode(raw).input)
        if kind == "tool_use" and block.get("name") == OUTPUT_TOOL:
            self._outputs += 1
            return _Output(block, said)
        if kind == "tool_use":
            self._calls += 1
            signature, self._signature = self._signature, None
            return _CallBlock(block, said, self._calls - 1, signature)
        if kind == "text":
            return _TextBlock(block, said, begins=self._after_text)
        return _KINDS.get(str(kind), _Other)(block, said)

    def _close(self) -> Iterator[StreamEvent]:
        block, self._block = self._block, None
        if block is not None:
            self._after_text = isinstance(block, _TextBlock)
        if isinstance(block, _ThinkingBlock) and block.sealed.holder == "call":
            self._signature = block.sealed.opaque
        elif block is not None:
            yield from block.end()

    def _finish(self) -> Iterator[StreamEvent]:
        self._has_ended = True
        if self._signature is not None:
            yield ReasoningEnd(self._signature)
        raw: Any = self._stop.get("stop_reason")
        details: Any = self._stop.get("stop_details")
        extra = {} if details is None else {"stop_details": details}
        yield Finish(finish_of(raw, has_calls=self._calls > 0), 0, raw, self._stop.get("stop_sequence"), extra)
        if self._raw_usage:
            tier = decode_tier(self._raw_usage.get("service_tier"))
            yield UsageEvent(decode_usage(self._raw_usage), {**self._extra, **given(service_tier=tier)})


class _Open:
    """A block while it comes. This one is of Anthropic's own and comes as a whole when it ends."""

    def __init__(self, block: Json, said: str) -> None:
        self._raw = block
        self._said = said
        self._input = ""

    def start(self) -> Iterator[StreamEvent]:
        """What its beginning says."""
        return iter(())

    def add(self, delta: Json) -> Iterator[StreamEvent]:
        """What a delta of it says; kinds that are not known say nothing."""
        match delta.get("type"):
            case "input_json_delta":
                self._input += str(delta.get("partial_json") or "")
            case "compaction_delta":
                self._raw |= {name: _grown(self._raw.get(name), delta.get(name)) for name in _COMPACTED & delta.keys()}
            case _:
                pass
        return iter(())

    def end(self) -> Iterator[StreamEvent]:
        """What its end says."""
        raw = {**self._raw, "input": _input_of(self._input)} if self._input else self._raw
        yield PartDelta(Item(NAME, raw))


_Other = _Open


class _TextBlock(_Open):
    """Text. Its sources come before it, and are said behind it, where they belong."""

    def __init__(self, block: Json, said: str, *, begins: bool = False) -> None:
        super().__init__(block, said)
        self._begins = begins
        held: Any = block.get("citations")
        citations = cast("list[Json]", held) if isinstance(held, list) else []
        self._citations: list[Citation] = [decode_citation(raw) for raw in citations]

    @override
    def start(self) -> Iterator[StreamEvent]:
        text: Any = self._raw.get("text")
        if text:
            yield self._more(str(text))

    @override
    def add(self, delta: Json) -> Iterator[StreamEvent]:
        if delta.get("type") == "text_delta" and delta.get("text"):
            yield self._more(str(delta["text"]))
        citation: Any = delta.get("citation")
        if delta.get("type") == "citations_delta" and isinstance(citation, dict):
            self._citations.append(decode_citation(cast("Json", citation)))

    @override
    def end(self) -> Iterator[StreamEvent]:
        for citation in self._citations:
            yield CitationDelta(citation)

    def _more(self, text: str) -> TextDelta:
        begins, self._begins = self._begins, False
        return TextDelta(text, begins=begins)


class _ThinkingBlock(_Open):
    """Thinking, whose signature comes last."""

    def __init__(self, block: Json, said: str) -> None:
        super().__init__(block, said)
        self._signature = str(block.get("signature") or "")
        self._has_text = False

    @property
    def sealed(self) -> Sealed:
        """What its signature says. Only without thinking of its own can it be that of a text or a call."""
        sealed = unseal(self._signature)
        return Sealed(sealed.opaque, item_id=sealed.item_id) if self._has_text else sealed

    @override
    def start(self) -> Iterator[StreamEvent]:
        text: Any = self._raw.get("thinking")
        if text:
            self._has_text = True
            yield ReasoningDelta(str(text))

    @override
    def add(self, delta: Json) -> Iterator[StreamEvent]:
        if delta.get("type") == "thinking_delta" and delta.get("thinking"):
            self._has_text = True
            yield ReasoningDelta(str(delta["thinking"]))
        elif delta.get("type") == "signature_delta":
            self._signature = str(delta.get("signature") or "")

    @override
    def end(self) -> Iterator[StreamEvent]:
        sealed = self.sealed
        if sealed.holder == "text":
            yield TextDelta("", opaque=sealed.opaque)
        else:
            yield ReasoningEnd(sealed.opaque, item_id=sealed.item_id)


class _RedactedBlock(_Open):
    """Thinking without its text."""

    @override
    def end(self) -> Iterator[StreamEvent]:
        sealed = unseal(str(self._raw.get("data") or ""))
        yield ReasoningEnd(sealed.opaque, is_redacted=True, item_id=sealed.item_id)


class _CallBlock(_Open):
    """A tool call. Its input comes in pieces, or whole at the beginning; without either it is empty."""

    def __init__(self, block: Json, said: str, number: int, signature: Opaque | None) -> None:
        super().__init__(block, said)
        self._number = number
        self._opaque = signature

    @override
    def start(self) -> Iterator[StreamEvent]:
        part = decode_blocks([Members(self._raw, "content_block")], {}, 0)[0]
        if isinstance(part, ToolCall):
            yield ToolCallStart(self._number, part.id, part.name, opaque=self._opaque, extra=part.extra)

    @override
    def add(self, delta: Json) -> Iterator[StreamEvent]:
        piece: Any = delta.get("partial_json")
        if delta.get("type") == "input_json_delta" and piece:
            self._input = "said"
            yield ToolCallDelta(self._number, str(piece))

    @override
    def end(self) -> Iterator[StreamEvent]:
        if not self._input:
            yield ToolCallDelta(self._number, self._said or "{}")


class _Output(_Open):
    """The reserved output tool: its input is what the model answers."""

    @override
    def add(self, delta: Json) -> Iterator[StreamEvent]:
        piece: Any = delta.get("partial_json")
        if delta.get("type") == "input_json_delta" and piece:
            self._input = "said"
            yield TextDelta(str(piece))

    @override
    def end(self) -> Iterator[StreamEvent]:
        if not self._input:
            yield TextDelta(self._said or "{}")


_KINDS: dict[str, type[_Open]] = {
    "thinking": _ThinkingBlock,
    "redacted_thinking": _RedactedBlock,
}


def _held(value: object) -> Json:
    return cast("Json", value) if isinstance(value, dict) else {}


def _grown(known: object, more: object) -> object:
    """A text with its next piece."""
    return known + more if isinstance(known, str) and isinstance(more, str) else known if more is None else more


def _input_of(text: str) -> Json:
    """The input of a tool of Anthropic's own; one that was broken off is kept as text."""
    try:
        return _object.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {"arguments": text}


def _error_of(error: object) -> ErrorEvent:
    """The provider's error: its words, its type as the code, and the status that stands for."""
    raw = cast("Json", error) if isinstance(error, dict) else {"message": str(error or "")}
    kind: Any = raw.get("type")
    code = kind if isinstance(kind, str) else None
    return ErrorEvent(str(raw.get("message") or ""), code, raw, STATUSES.get(code or "", 0))
