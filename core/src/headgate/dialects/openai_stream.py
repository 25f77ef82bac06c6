"""OpenAI chat streams: chunks to canonical events and back, one small state machine each way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import msgspec

from headgate.body import decode_object
from headgate.chat import (
    ErrorEvent,
    Finish,
    ReasoningDelta,
    RefusalDelta,
    Start,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    UsageEvent,
)
from headgate.dialects.openai_decode import FINISH, decode_usage, objects
from headgate.dialects.openai_encode import encode_usage
from headgate.dialects.sse import DONE, data_event, data_of
from headgate.errors import InvalidRequest, ProviderFailed

Json = dict[str, Any]


class OpenAIChatDecoder:
    """Chunks to canonical events. Tool calls are told apart by their `index`; Start is said once."""

    def __init__(self) -> None:
        self._started = False
        self._calls: set[tuple[int, int]] = set()

    def feed(self, event: bytes) -> Sequence[StreamEvent]:
        """Decode one event; comments and `[DONE]` give nothing."""
        data = data_of(event)
        if not data or data == b"[DONE]":
            return ()
        try:
            chunk = decode_object(data)
        except InvalidRequest as error:
            raise ProviderFailed(f"a stream event is not JSON: {error}", code="upstream_bad_reply") from None
        return list(self._events(chunk))

    def _events(self, chunk: Json) -> Iterator[StreamEvent]:
        error = chunk.get("error")
        if error:
            raw: Json = cast("Json", error) if isinstance(error, dict) else {"message": str(error)}
            code = raw.get("code")
            yield ErrorEvent(str(raw.get("message") or ""), None if code is None else str(code), raw)
            return
        if not self._started:
            self._started = True
            yield Start(str(chunk.get("id") or ""), str(chunk.get("model") or ""), int(chunk.get("created") or 0))
        for choice in objects(chunk.get("choices")):
            index = int(choice.get("index") or 0)
            delta = choice.get("delta")
            if isinstance(delta, dict):
                yield from self._delta(cast("Json", delta), index)
            reason = choice.get("finish_reason")
            if reason:
                yield Finish(FINISH.get(reason, "stop"), index, reason)
        if chunk.get("usage"):
            yield UsageEvent(decode_usage(chunk["usage"]))

    def _delta(self, delta: Json, index: int) -> Iterator[StreamEvent]:
        reasoning = delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(reasoning, str):
            yield ReasoningDelta(reasoning, index)
        if isinstance(delta.get("content"), str) and delta["content"]:
            yield TextDelta(delta["content"], index)
        if isinstance(delta.get("refusal"), str) and delta["refusal"]:
            yield RefusalDelta(delta["refusal"], index)
        for at, call in enumerate(objects(delta.get("tool_calls"))):
            number = int(call.get("index", at))
            function: Json = call.get("function") or {}
            if (index, number) not in self._calls:
                self._calls.add((index, number))
                yield ToolCallStart(number, str(call.get("id") or ""), str(function.get("name") or ""), index)
            if function.get("arguments"):
                yield ToolCallDelta(number, function["arguments"], index)


class OpenAIChatEncoder:
    """Canonical events to chunks. The usage chunk is sent only where the caller asked for it."""

    def __init__(self, *, include_usage: bool) -> None:
        self._include_usage = include_usage
        self._head: Json = {}

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
            case ToolCallStart():
                function = {"name": event.name, "arguments": ""}
                call = {"index": event.call, "id": event.id, "type": "function", "function": function}
                return self._chunk({"tool_calls": [call]}, event.index)
            case ToolCallDelta():
                call = {"index": event.call, "function": {"arguments": event.arguments}}
                return self._chunk({"tool_calls": [call]}, event.index)
            case Finish():
                return self._chunk({}, event.index, event.reason)
            case UsageEvent():
                if not self._include_usage:
                    return b""
                return data_event(
                    msgspec.json.encode({**self._head, "choices": [], "usage": encode_usage(event.usage)})
                )
            case ErrorEvent():
                error = event.raw or {"message": event.message, "code": event.code}
                return data_event(msgspec.json.encode({"error": error}))

    def end(self) -> bytes:
        """The last event of a complete stream."""
        return DONE

    def _chunk(self, delta: Json, index: int, finish: str | None = None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return data_event(msgspec.json.encode({**self._head, "choices": [choice]}))
