"""Ollama's chat answers as the canonical model, whole and line by line.

A line of a stream has the form of a whole answer, with a piece of the message; the last one is `done`. Answers have no id, so
one is made of the time and the model they name. https://docs.ollama.com/api/chat
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, cast

import msgspec
from msgspec import Raw, Struct

from headgate.body import decode_object
from headgate.chat import (
    ChatReply,
    Choice,
    ErrorEvent,
    ExtraDelta,
    Finish,
    FinishReason,
    Image,
    Message,
    PartDelta,
    Reasoning,
    ReasoningDelta,
    Start,
    StreamEvent,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    Usage,
    UsageEvent,
)
from headgate.dialects.openai.members import Json, Members, objects
from headgate.dialects.openai.reply import minted_id
from headgate.errors import InvalidRequest, ProviderFailed
from headgate.media import media_type_of

NAME = "ollama.chat"

_FINISH: dict[str, FinishReason] = {"length": "length"}
"""Words for the end; all others (`stop`, `load`, `unload`) mean `stop`, also where tools are called."""
_METRICS = (
    "total_duration",
    "load_duration",
    "prompt_eval_count",
    "prompt_eval_duration",
    "eval_count",
    "eval_duration",
)


class _Function(Struct, frozen=True):
    arguments: Raw = Raw(b"")


class _Call(Struct, frozen=True):
    function: _Function = _Function()


class _Message(Struct, frozen=True):
    tool_calls: list[_Call] | None = None


class _Line(Struct, frozen=True):
    message: _Message = _Message()


_exact = msgspec.json.Decoder(_Line)


def decode_reply(body: bytes) -> ChatReply:
    """A whole answer. Raises InvalidRequest when it is none, or not whole."""
    held = Members(decode_object(body))
    error = held.peek("error")
    if isinstance(error, str):
        raise InvalidRequest(error)
    if held.take("done") is False:
        raise InvalidRequest("it is not `done`")
    model, created_at = held.find("model", str) or "", held.find("created_at", str) or ""
    reply_id = _id_of(model, created_at)
    message = Members(held.take("message"), "message")
    calls = decode_calls(message, body, reply_id)
    thinking, text = message.find("thinking", str), message.find("content", str)
    parts = [*([Reasoning(thinking)] if thinking else []), *([Text(text)] if text else []), *_images(message), *calls]
    message.take("role")
    word, logprobs = held.find("done_reason", str), decode_logprobs(held.take("logprobs"))
    choice = Choice(
        Message("assistant", tuple(parts), extra=message.rest()),
        finish_of(word, has_calls=bool(calls)),
        word,
        logprobs={"content": logprobs} if logprobs else None,
    )
    usage, extra = usage_of(held.rest()), held.rest()
    return ChatReply(
        reply_id,
        model,
        (choice,),
        _seconds(created_at),
        usage,
        dialect=NAME,
        extra=_without(extra, "prompt_eval_count", "eval_count"),
    )


def decode_calls(message: Members, body: bytes, reply_id: str = "", first: int = 0) -> list[ToolCall]:
    """The calls of a message, numbered from `first`, with their arguments exactly as they stand in `body`."""
    listed = message.listed("tool_calls")
    exact = _exact_arguments(body) if listed else []
    calls: list[ToolCall] = []
    for number, call in enumerate(listed):
        at = first + number
        function = call.inner("function")
        call_id, name, arguments = call.find("id", str), function.need("name", str), function.take("arguments")
        for noise in ("index", "type"):
            function.take(noise)
            call.take(noise)
        text = exact[number] if number < len(exact) and isinstance(arguments, dict) else _arguments(arguments)
        calls.append(ToolCall(call_id or minted_id(reply_id, 0, at), name, text, at, extra=call.rest()))
    return calls


def usage_of(members: Json) -> Usage | None:
    """The tokens of an answer, and how long they took; None when it says nothing of either."""
    raw = {name: members[name] for name in _METRICS if name in members}
    if not raw:
        return None
    return Usage(_count(raw.get("prompt_eval_count")), _count(raw.get("eval_count")), raw=raw)


def finish_of(word: str | None, *, has_calls: bool) -> FinishReason:
    """Why an answer ended; older servers do not say."""
    reason = _FINISH.get(word or "", "stop")
    return "tool_calls" if has_calls and reason == "stop" else reason


def decode_logprobs(items: object) -> list[Json]:
    """Token probabilities, which are OpenAI's but for members that may be absent."""
    return [
        _with_bytes({**item, "top_logprobs": [_with_bytes(top) for top in objects(item.get("top_logprobs"))]})
        for item in objects(items)
    ]


class OllamaDecoder:
    """The lines of one stream."""

    def __init__(self) -> None:
        self._reply_id = ""
        self._has_begun = self._is_over = False
        self._count = 0
        self._extra: Json = {}
        self._logprobs: list[Json] = []

    def feed(self, frame: bytes) -> Sequence[StreamEvent]:
        """Decode one line."""
        if self._is_over:
            return ()
        try:
            return list(self._line(Members(decode_object(frame)), frame))
        except InvalidRequest as error:
            raise ProviderFailed(
                f"a line of the stream is none of Ollama: {error}", code="upstream_bad_reply"
            ) from None

    def end(self, *, is_broken: bool = False) -> Sequence[StreamEvent]:  # noqa: ARG002 - the last line says it is the last
        """Nothing is left to say. Raises ProviderFailed for a stream without its last line."""
        if not self._is_over:
            raise ProviderFailed("the provider closed the stream before it was complete", code="upstream_cut")
        return ()

    def _line(self, line: Members, frame: bytes) -> Iterator[StreamEvent]:
        error = line.peek("error")
        if isinstance(error, str):
            self._is_over = True
            yield ErrorEvent(error, raw=line.rest())
            return
        model, created_at = line.find("model", str) or "", line.find("created_at", str) or ""
        if not self._has_begun:
            self._has_begun, self._reply_id = True, _id_of(model, created_at)
            yield Start(self._reply_id, model, _seconds(created_at))
        yield from self._said(line.take("message"), frame)
        self._logprobs += decode_logprobs(line.take("logprobs"))
        is_last, word = line.take("done") is True, line.find("done_reason", str)
        usage = usage_of(line.rest()) if is_last else None
        self._extra |= _without(line.rest(), "prompt_eval_count", "eval_count")
        if is_last:
            self._is_over = True
            yield from self._ended(word, usage)

    def _said(self, value: object, frame: bytes) -> Iterator[StreamEvent]:
        if value is None:
            return
        message = Members(value, "message")
        message.take("role")
        thinking, text = message.find("thinking", str), message.find("content", str)
        if thinking:
            yield ReasoningDelta(thinking)
        if text:
            yield TextDelta(text)
        for image in _images(message):
            yield PartDelta(image)
        for call in decode_calls(message, frame, self._reply_id, self._count):
            self._count += 1
            yield ToolCallStart(call.index, call.id, call.name, extra=call.extra)
            if call.arguments:
                yield ToolCallDelta(call.index, call.arguments)
        rest = message.rest()
        if rest:
            yield ExtraDelta(rest)

    def _ended(self, word: str | None, usage: Usage | None) -> Iterator[StreamEvent]:
        if usage is None and self._extra:
            yield ExtraDelta(self._extra)
        extra: Json = {"logprobs": {"content": self._logprobs}} if self._logprobs else {}
        yield Finish(finish_of(word, has_calls=self._count > 0), raw=word, extra=extra)
        if usage is not None:
            yield UsageEvent(usage, self._extra)


def _exact_arguments(body: bytes) -> list[str]:
    """The arguments of every call as they were written; nothing where a call has another shape."""
    try:
        calls = _exact.decode(body).message.tool_calls or []
        return [bytes(call.function.arguments).decode() for call in calls]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return []


def _arguments(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _images(message: Members) -> Iterable[Image]:
    """Pictures that a model made, as base64."""
    for data in message.find("images", list[str]) or []:
        try:
            kind = media_type_of(b64decode(data[:64]))
        except (NotBase64, ValueError):
            kind = ""
        yield Image(data=data, media_type=kind if kind.startswith("image/") else "image/png")


def _id_of(model: str, created_at: str) -> str:
    return "ollama-" + sha256(f"{created_at} {model}".encode("utf-8", "surrogatepass")).hexdigest()[:24]


def _seconds(created_at: str) -> int:
    try:
        return int(datetime.fromisoformat(created_at).timestamp())
    except (ValueError, OverflowError, OSError):
        return 0


def _with_bytes(item: Json) -> Json:
    return {**item, "bytes": item.get("bytes")}


def _without(members: Json, *names: str) -> Json:
    return {name: value for name, value in members.items() if name not in names}


def _count(value: object) -> int:
    return max(0, int(cast("Any", value))) if isinstance(value, int | float) and not isinstance(value, bool) else 0
