"""OpenAI chat streams: chunks to canonical events and back, one small state machine each way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import msgspec

from headgate.body import decode_object
from headgate.chat import (
    ErrorEvent,
    ExtraDelta,
    Finish,
    Reasoning,
    ReasoningDelta,
    Refusal,
    RefusalDelta,
    Start,
    StreamEvent,
    Text,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    Usage,
    UsageEvent,
)
from headgate.dialects.openai_decode import FINISH, Members, decode_content, decode_reasoning, seconds
from headgate.dialects.openai_encode import encode_usage, merged
from headgate.dialects.openai_usage import decode_usage
from headgate.dialects.sse import DONE, data_event, data_of, is_done
from headgate.errors import InvalidRequest, ProviderFailed

Json = dict[str, Any]

_DELTAS = {Text: TextDelta, Reasoning: ReasoningDelta, Refusal: RefusalDelta}


class OpenAIChatDecoder:
    """Chunks to canonical events that obey their order, whatever the vendor repeats.

    Start is said once, with the first chunk that has something to say; a choice finishes once; usage, which some vendors
    state in every chunk, is said when all choices have finished or the stream ends, and again only when it has changed.
    """

    def __init__(self) -> None:
        self._started = False
        self._open: dict[int, bool] = {}
        self._calls: dict[int, _Calls] = {}
        self._usage: Usage | None = None
        self._said: Usage | None = None

    def feed(self, event: bytes) -> Sequence[StreamEvent]:
        """Decode one event; comments give nothing. Raises ProviderFailed for what is no chat chunk."""
        if is_done(event):
            return list(self._settle())
        data = data_of(event).strip()
        if not data:
            return ()
        try:
            return list(self._events(Members(decode_object(data))))
        except (InvalidRequest, ValueError) as error:
            raise ProviderFailed(f"a stream event is no chat chunk: {error}", code="upstream_bad_reply") from None

    def _events(self, chunk: Members) -> Iterator[StreamEvent]:
        error = _error_of(chunk)
        if error is not None:
            yield error
            return
        usage, choices = chunk.find("usage", Json), chunk.listed("choices")
        if not self._started and (choices or usage):
            self._started = True
            start = str(chunk.take("id") or ""), str(chunk.take("model") or "")
            yield Start(*start, seconds(chunk.take("created")))
        for choice in choices:
            yield from self._choice(choice)
        if usage:
            self._usage = decode_usage(usage)
        if self._open and not any(self._open.values()):
            yield from self._settle()

    def _choice(self, choice: Members) -> Iterator[StreamEvent]:
        index = choice.find("index", int) or 0
        delta = choice.inner_if_given("delta")
        is_open = self._open.setdefault(index, True)
        said = [] if delta is None else list(self._delta(delta, index))
        if is_open:
            yield from said
        elif any(not isinstance(event, ExtraDelta) for event in said):
            raise InvalidRequest(f"choice {index} goes on behind its finish reason")
        reason = choice.find("finish_reason", str)
        if reason and is_open:
            self._open[index] = False
            yield Finish(FINISH.get(reason, "stop"), index, reason)

    def _delta(self, delta: Members, index: int) -> Iterator[StreamEvent]:
        delta.take("role")
        place = delta.at("content")
        refusal = delta.find("refusal", str)
        parts = [*decode_reasoning(delta), *decode_content(delta.take("content"), place)]
        for part in (*parts, Refusal(refusal or "")):
            match part:
                case Reasoning(text=text) | Text(text=text) | Refusal(text=text):
                    if text:
                        yield _DELTAS[type(part)](text, index)
                case _:
                    raise InvalidRequest(f"`{place}` has a part that cannot be streamed", param=place)
        yield from self._calls.setdefault(index, _Calls(index)).feed(delta)
        extra = {name: value for name, value in delta.rest().items() if value}
        if extra:
            yield ExtraDelta(extra, index)

    def _settle(self) -> Iterator[StreamEvent]:
        if self._usage is not None and self._usage != self._said:
            self._said = self._usage
            yield UsageEvent(self._usage)


class _Calls:
    """The tool calls of one choice, told apart by their `index`; without one, an id begins a call.

    A legacy `function_call` is one call, whose id is its name.
    """

    def __init__(self, choice: int) -> None:
        self._choice = choice
        self._ids: dict[int, str] = {}

    def feed(self, delta: Members) -> Iterator[StreamEvent]:
        """The events of one delta's calls."""
        for call in delta.listed("tool_calls"):
            call.take("type")
            call_id, number = call.find("id", str) or "", call.find("index", int)
            custom = call.inner_if_given("custom")
            function = custom or call.inner_if_given("function") or Members({}, call.place)
            name = function.find("name", str) or ""
            said = function.find("input" if custom else "arguments", str)
            number = self._number(call_id) if number is None else number
            start = ToolCallStart(number, call_id, name, self._choice, custom is not None, call.rest())
            yield from self._call(start, said)
        legacy = delta.inner_if_given("function_call")
        if legacy is not None:
            name = legacy.find("name", str) or ""
            yield from self._call(ToolCallStart(0, name, name, self._choice), legacy.find("arguments", str))

    def _call(self, start: ToolCallStart, said: str | None) -> Iterator[StreamEvent]:
        if start.call not in self._ids:
            self._ids[start.call] = start.id
            yield start
        elif start.extra:
            yield ExtraDelta({"tool_calls": [{"index": start.call, **start.extra}]}, self._choice)
        if said:
            yield ToolCallDelta(start.call, said, self._choice)

    def _number(self, call_id: str) -> int:
        """The number of a call that came without one: that of its id, else the last."""
        known = [number for number, held in self._ids.items() if held == call_id]
        last = max(self._ids, default=-1)
        if known:
            return known[-1]
        return last + 1 if call_id else max(last, 0)


def _error_of(chunk: Members) -> ErrorEvent | None:
    """The provider's error, if that is what it sent: under `error`, or (vLLM, Mistral) as the event itself."""
    error: object = chunk.take("error")
    if not error and chunk.take("object") == "error":
        error = chunk.rest()
    if not error:
        return None
    raw: Json = cast("Json", error) if isinstance(error, dict) else {"message": str(error)}
    code = raw.get("code")
    return ErrorEvent(str(raw.get("message") or ""), None if code is None else str(code), raw)


class OpenAIChatEncoder:
    """Canonical events to chunks. The usage chunk is sent only where the caller asked for it."""

    def __init__(self, *, include_usage: bool) -> None:
        self._include_usage = include_usage
        self._head: Json = {}
        self._custom: set[tuple[int, int]] = set()

    def feed(self, event: StreamEvent) -> bytes:
        """Encode one event."""
        match event:
            case Start():
                self._head = {
                    "id": event.id,
                    "object": "chat.completion.chunk",
                    "created": event.created,
                    "model": event.model,
                }
                return self._chunk({"role": event.role, "content": ""}, 0)
            case TextDelta():
                return self._chunk({"content": event.text}, event.index)
            case ReasoningDelta():
                return self._chunk({"reasoning_content": event.text}, event.index)
            case RefusalDelta():
                return self._chunk({"refusal": event.text}, event.index)
            case ExtraDelta():
                return self._chunk(event.members, event.index)
            case ToolCallStart():
                return self._chunk({"tool_calls": [self._started(event)]}, event.index)
            case ToolCallDelta():
                is_custom = (event.index, event.call) in self._custom
                held = (
                    {"custom": {"input": event.arguments}}
                    if is_custom
                    else {"function": {"arguments": event.arguments}}
                )
                return self._chunk({"tool_calls": [{"index": event.call, **held}]}, event.index)
            case Finish():
                return self._chunk({}, event.index, event.reason)
            case UsageEvent():
                if not self._include_usage:
                    return b""
                usage: Json = {**self._head, "choices": [], "usage": encode_usage(event.usage)}
                return data_event(msgspec.json.encode(usage))
            case ErrorEvent():
                error = event.raw or {"message": event.message, "code": event.code}
                return data_event(msgspec.json.encode({"error": error}))

    def end(self) -> bytes:
        """The last event of a complete stream."""
        return DONE

    def _started(self, event: ToolCallStart) -> Json:
        kind, field = ("custom", "input") if event.custom else ("function", "arguments")
        if event.custom:
            self._custom.add((event.index, event.call))
        call: Json = {"index": event.call, "id": event.id, "type": kind, kind: {"name": event.name, field: ""}}
        return merged(call, event.extra)

    def _chunk(self, delta: Json, index: int, finish: str | None = None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return data_event(msgspec.json.encode({**self._head, "choices": [choice]}))
