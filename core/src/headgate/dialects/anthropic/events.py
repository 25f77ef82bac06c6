"""Canonical events to Anthropic's stream, as the official SDK's accumulator reads it: one small state machine.

Source: https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from headgate.chat import (
    Choice,
    Citation,
    CitationDelta,
    ErrorEvent,
    ExtraDelta,
    Finish,
    Item,
    Message,
    PartDelta,
    Reasoning,
    ReasoningDelta,
    ReasoningEnd,
    Refusal,
    RefusalDelta,
    Start,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    Usage,
    UsageEvent,
)
from headgate.dialects.anthropic.errors import STATUSES, type_of
from headgate.dialects.anthropic.names import NAME
from headgate.dialects.anthropic.opaque import seal
from headgate.dialects.anthropic.reply import (
    Beside,
    call_extra,
    encode_citation,
    other_tier,
    said_usage,
    stop_of,
    thinking_block,
    unused_id,
)
from headgate.dialects.anthropic.turns import input_of
from headgate.dialects.anthropic.usage import encode_usage
from headgate.dialects.openai.members import Json, given
from headgate.errors import ProviderFailed

_IN_DELTA = ("container", "stop_details")
"""Members of a message that stand in the `delta` of `message_delta`."""


class AnthropicEncoder:
    """One block after another, each ended before the next begins; the stop reason comes with the usage, at the end.

    Arguments of calls that come interleaved wait until the call before them is whole.
    """

    def __init__(self, model: str = "") -> None:
        self._model = model
        self._id = ""
        self._index = -1
        self._kind = ""
        self._is_cited = False
        self._signature = ""
        self._calls: dict[int, _Call] = {}
        self._queue: list[_Call] = []
        self._ids: set[str] = set()
        self._refusal = ""
        self._finish: Finish | None = None
        self._usage: Usage | None = None
        self._extra: Json = {}
        self._beside = Beside()
        self._has_failed = False

    def feed(self, event: StreamEvent) -> bytes:
        """See StreamEncoder."""
        return b"".join(self._fed(event))

    def end(self) -> bytes:
        """See StreamEncoder. A reply that ended with an error of the model's ends with an error event here."""
        return b"" if self._has_failed else b"".join(self._ended())

    def _fed(self, event: StreamEvent) -> Iterator[bytes]:
        match event:
            case Start():
                yield from self._start(event)
            case UsageEvent():
                self._usage = event.usage
                self._extra = _joined(self._extra, event.extra)
            case ErrorEvent():
                self._has_failed = True
                yield self._error(event)
            case _ if not self._id:
                yield from self._start(Start("", ""))
                yield from self._fed(event)
            case _ if event.index == 0:  # a client of this dialect cannot ask for more than one answer
                yield from self._said(event)
            case _:
                return

    def _said(self, event: StreamEvent) -> Iterator[bytes]:
        """What is said in the answer."""
        match event:
            case TextDelta() | RefusalDelta():
                yield from self._text(event)
            case CitationDelta():
                yield from self._cite(event.citation)
            case ReasoningDelta():
                yield from self._open("thinking", {"type": "thinking", "thinking": "", "signature": ""})
                yield self._delta({"type": "thinking_delta", "thinking": event.text})
            case ReasoningEnd():
                yield from self._end_thinking(event)
            case ToolCallStart():
                call = _Call(event, unused_id(event.id, self._ids, self._id[-8:]))
                self._calls[event.call] = call
                self._queue.append(call)
                yield from self._advance()
            case ToolCallDelta():
                yield from self._argue(self._calls[event.call], event.arguments)
            case PartDelta():
                yield from self._part(event)
            case ExtraDelta():
                self._extra = _joined(self._extra, event.members)
            case Finish():
                self._finish = event
                yield from self._close()
            case _:
                return

    def _start(self, event: Start) -> Iterator[bytes]:
        self._id = event.id or "msg_headgate"
        message: Json = {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": event.model or self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": encode_usage(event.usage),
        }
        yield sse_event("message_start", {"message": message})

    def _text(self, event: TextDelta | RefusalDelta) -> Iterator[bytes]:
        if event.text:
            if self._is_cited or (isinstance(event, TextDelta) and event.begins and self._kind == "text"):
                yield from self._close()
            yield from self._open("text", {"type": "text", "text": ""})
            yield self._delta({"type": "text_delta", "text": event.text})
        if isinstance(event, RefusalDelta):
            self._refusal += event.text
        elif event.opaque is not None:
            yield from self._whole({"type": "thinking", "thinking": "", "signature": seal(event.opaque, "text")})

    def _cite(self, citation: Citation) -> Iterator[bytes]:
        sent = encode_citation(citation)
        if sent is None or self._kind != "text":
            self._beside.cite(citation)
        else:
            self._is_cited = True
            yield self._delta({"type": "citations_delta", "citation": sent})

    def _end_thinking(self, event: ReasoningEnd) -> Iterator[bytes]:
        part = Reasoning("", event.opaque, is_redacted=event.is_redacted, item_id=event.item_id)
        block = thinking_block(part)
        if event.is_redacted and event.opaque is not None:
            yield from self._whole(block)
        elif self._kind == "thinking":
            self._signature = str(block["signature"])
            yield from self._close()
        elif event.opaque is not None and not event.is_redacted:
            yield from self._whole(block)

    def _argue(self, call: _Call, arguments: str) -> Iterator[bytes]:
        """More arguments of a call: sent on when it is the one that is open, else kept."""
        call.hear(arguments)
        if self._queue and self._queue[0] is call and call.is_open and call.is_plain:
            yield self._delta({"type": "input_json_delta", "partial_json": call.take()})
        yield from self._advance()

    def _advance(self) -> Iterator[bytes]:
        """Open the call whose turn it is; the one before it ends when its arguments are whole and another waits."""
        while self._queue:
            call = self._queue[0]
            if not call.is_open:
                yield from self._open_call(call)
            if len(self._queue) == 1 or not call.is_whole:
                return
            yield from self._close_call()

    def _open_call(self, call: _Call) -> Iterator[bytes]:
        start = call.start
        if self._kind:
            yield from self._stop()
        if start.opaque is not None:
            signature = seal(start.opaque, "call")
            yield from self._begin("thinking", {"type": "thinking", "thinking": "", "signature": signature})
            yield from self._stop()
        block: Json = {**call_extra(start.extra), "type": "tool_use", "id": call.id, "name": start.name, "input": {}}
        call.is_open = True
        yield from self._begin("tool_use", block)
        if call.is_plain:
            yield self._delta({"type": "input_json_delta", "partial_json": call.take()})

    def _close_call(self) -> Iterator[bytes]:
        call = self._queue.pop(0)
        rest = call.rest()
        if rest:
            yield self._delta({"type": "input_json_delta", "partial_json": rest})
        yield from self._stop()

    def _part(self, event: PartDelta) -> Iterator[bytes]:
        part = event.part
        if isinstance(part, Item) and part.dialect == NAME:
            yield from self._whole(part.raw)
        else:
            self._beside.add(part)

    def _open(self, kind: str, block: Json) -> Iterator[bytes]:
        """A block of this kind, unless one is open; what else is open ends."""
        if self._kind != kind:
            yield from self._close()
            yield from self._begin(kind, block)

    def _whole(self, block: Json) -> Iterator[bytes]:
        """A block that says all at its beginning."""
        yield from self._close()
        yield from self._begin(str(block.get("type")), block)
        yield from self._stop()

    def _close(self) -> Iterator[bytes]:
        """End what is open, with every call that still waits."""
        while self._queue:
            if not self._queue[0].is_open:
                yield from self._open_call(self._queue[0])
            yield from self._close_call()
        if self._kind:
            yield from self._stop()

    def _begin(self, kind: str, block: Json) -> Iterator[bytes]:
        self._index += 1
        self._kind, self._is_cited = kind, False
        if kind == "thinking":
            self._signature, block = str(block["signature"]), {**block, "signature": ""}
        yield sse_event("content_block_start", {"index": self._index, "content_block": block})

    def _stop(self) -> Iterator[bytes]:
        """The block ends. Thinking ends with its signature, an empty one too: clients read it nowhere but there."""
        if self._kind == "thinking":
            yield self._delta({"type": "signature_delta", "signature": self._signature})
        self._kind, self._is_cited = "", False
        yield sse_event("content_block_stop", {"index": self._index})

    def _delta(self, delta: Json) -> bytes:
        return sse_event("content_block_delta", {"index": self._index, "delta": delta})

    def _ended(self) -> Iterator[bytes]:
        if not self._id:
            yield from self._start(Start("", ""))
        yield from self._close()
        finish = self._finish or Finish("stop")
        parts = (Refusal(self._refusal),) if self._refusal else ()
        choice = Choice(Message("assistant", parts), finish.reason, finish.raw, finish.stop, extra=finish.extra)
        try:
            stop = stop_of(choice, is_own=False)
        except ProviderFailed as error:
            yield sse_event("error", {"error": {"type": "api_error", "message": error.message}})
            return
        beside = {**_joined({**self._extra, **finish.extra}, self._beside.members()), **stop}
        delta = {name: beside.pop(name) for name in ("stop_reason", "stop_sequence", *_IN_DELTA) if name in beside}
        tier = beside.pop("service_tier", None)
        usage = said_usage(self._usage, tier, is_own=False)
        beside |= given(service_tier=other_tier(tier))
        yield sse_event("message_delta", {**beside, "delta": delta, "usage": usage})
        yield sse_event("message_stop", {})

    def _error(self, event: ErrorEvent) -> bytes:
        kind = event.code if event.code in STATUSES else type_of(event.status or 500)
        return sse_event("error", {"error": {"type": kind, "message": event.message}})


class _Call:
    """A tool call on its way: what of its arguments is not sent yet, and whether they are an object so far."""

    def __init__(self, start: ToolCallStart, call_id: str) -> None:
        self.start = start
        self.id = call_id
        self.is_open = False
        self.is_plain = False
        self._pieces: list[str] = []
        self._sent = 0

    def hear(self, arguments: str) -> None:
        """More of the arguments. Those of a function that begin as an object does can go out as they come: `is_plain`."""
        if not any(piece.strip() for piece in self._pieces) and arguments.strip():
            begun = "".join((*self._pieces, arguments)).lstrip()
            self.is_plain = not self.start.custom and begun.startswith("{")
        if arguments:
            self._pieces.append(arguments)

    @property
    def is_whole(self) -> bool:
        """Whether the arguments so far are a whole JSON object."""
        if not self.is_plain or not self._pieces[-1].rstrip().endswith("}"):
            return False
        try:
            msgspec.json.decode("".join(self._pieces))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        return True

    def take(self) -> str:
        """The arguments that were not sent yet."""
        said, self._sent = "".join(self._pieces[self._sent :]), len(self._pieces)
        return said

    def rest(self) -> str:
        """What the end of the call must still say: the rest, or all of it as the object that an input must be."""
        if self.is_plain:
            return self.take()
        arguments = "".join(self._pieces)
        if not arguments.strip():
            return ""
        call = ToolCall(self.id, self.start.name, arguments, custom=self.start.custom)
        return bytes(input_of(call)).decode()


def _joined(known: Json, more: Json) -> Json:
    """Members that came in several events: lists one behind the other, else the last counts."""
    whole = dict(known)
    for name, value in more.items():
        mine = whole.get(name)
        whole[name] = [*mine, *value] if isinstance(mine, list) and isinstance(value, list) else value
    return whole


def sse_event(kind: str, members: Json) -> bytes:
    """A named event; its data says the type again, as Anthropic's does."""
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), msgspec.json.encode({**members, "type": kind}))
