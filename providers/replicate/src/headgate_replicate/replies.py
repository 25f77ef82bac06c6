"""Predictions as answers: whole, and streamed.

Sources: https://replicate.com/docs/reference/http#predictions.get and
https://replicate.com/docs/topics/predictions/streaming#events. A stream says nothing of its prediction, so the provider puts
two events `prediction` around it: the one that was begun, and, behind `done`, the one that is over, with its metrics.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, cast

import msgspec

from headgate.body import decode_object
from headgate.chat import (
    ChatReply,
    Choice,
    ErrorEvent,
    Finish,
    Message,
    Start,
    StreamEvent,
    Text,
    TextDelta,
    Usage,
    UsageEvent,
)
from headgate.dialects.openai.members import Json, as_object
from headgate.dialects.sse import data_of, lines_of
from headgate.errors import InvalidRequest, ProviderFailed
from headgate_replicate.encode import NAME

OVER = frozenset({"succeeded", "failed", "canceled", "aborted"})
"""The states a prediction does not leave: https://replicate.com/docs/topics/predictions/lifecycle"""
_MESSAGES = {"canceled": "the prediction was canceled", "aborted": "the prediction was aborted before it began"}


def decode_reply(body: bytes) -> ChatReply:
    """A prediction that succeeded. Raises InvalidRequest when its output is no text."""
    held = decode_object(body)
    metrics = as_object(held.get("metrics"))
    message = Message("assistant", (Text(_text_of(held.get("output"))),))
    return ChatReply(
        str(held.get("id") or ""),
        model_of(held),
        (Choice(message, "stop", str(held.get("status") or "") or None),),
        created_of(held),
        usage_of(held),
        dialect=NAME,
        extra={"metrics": metrics} if metrics else {},
    )


def _text_of(output: object) -> str:
    """The text of an output: pieces of it one behind the other, or all of it at once."""
    pieces: list[Any] = cast("list[Any]", output) if isinstance(output, list) else [output or ""]
    if not all(isinstance(piece, str) for piece in pieces):
        raise InvalidRequest("`output` is no text", param="output")
    return "".join(pieces)


def model_of(prediction: Json) -> str:
    """The name of the model; empty where it is hidden."""
    return str(prediction.get("model") or "")


def created_of(prediction: Json) -> int:
    """When the prediction was begun, in seconds; 0 where it does not say."""
    with suppress(ValueError):
        return int(datetime.fromisoformat(str(prediction.get("created_at"))).timestamp())
    return 0


def usage_of(prediction: Json) -> Usage | None:
    """The tokens it counted, which only official language models do; None where it counted none."""
    metrics = as_object(prediction.get("metrics")) or {}
    prompt, completion = _count(metrics.get("input_token_count")), _count(metrics.get("output_token_count"))
    if prompt is None and completion is None:
        return None
    return Usage(prompt or 0, completion or 0, raw=metrics)


def _count(value: object) -> int | None:
    is_count = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    return int(value) if isinstance(value, int | float) and is_count else None


class ReplicateDecoder:
    """Events of a stream to canonical events."""

    def __init__(self) -> None:
        self._start: Start | None = Start("", "")
        self._is_over = False
        self._has_failed = False

    def feed(self, frame: bytes) -> Sequence[StreamEvent]:
        """The events of one frame; `logs` and unknown ones give nothing."""
        if self._has_failed:
            return ()
        return list(self._events(event_of(frame), data_of(frame)))

    def end(self, *, is_broken: bool = False) -> Sequence[StreamEvent]:  # noqa: ARG002 - behind `done` nothing is missed
        """Nothing more; ProviderFailed when `done` did not come."""
        if not self._is_over and not self._has_failed:
            raise ProviderFailed("the provider closed the stream before it was complete", code="upstream_cut")
        return ()

    def _events(self, kind: str, data: bytes) -> Iterator[StreamEvent]:
        match kind:
            case "prediction":
                yield from self._told(_object_in(data))
            case "output" if not self._is_over:
                yield from self._begun()
                yield TextDelta(data.decode("utf-8", "replace"))
            case "error":
                yield self._failed(_message_in(data), "prediction_failed")
            case "done" if not self._is_over:
                reason = str(_object_in(data).get("reason") or "")
                if reason in {"", "success", "succeeded"}:
                    yield from self._begun()
                    self._is_over = True
                    yield Finish("stop", raw="succeeded")
                else:
                    yield self._failed(_MESSAGES.get(reason, "the prediction failed"), f"prediction_{reason}")
            case _:
                pass

    def _told(self, prediction: Json) -> Iterator[StreamEvent]:
        """The prediction before the stream says who answers, the one behind it what was used."""
        if self._is_over:
            usage = usage_of(prediction)
            if usage is not None:
                yield UsageEvent(usage, {"metrics": usage.raw})
        elif self._start is not None:
            self._start = Start(str(prediction.get("id") or ""), model_of(prediction), created_of(prediction))

    def _begun(self) -> Iterator[StreamEvent]:
        start, self._start = self._start, None
        if start is not None:
            yield start

    def _failed(self, message: str, code: str) -> ErrorEvent:
        self._has_failed = True
        return ErrorEvent(message, code, status=502)


def event_of(frame: bytes) -> str:
    """The name of an event; empty where it has none."""
    names = [line[6:].strip() for line in lines_of(frame) if line.startswith(b"event:")]
    return names[-1].decode("utf-8", "replace") if names else ""


def failure_of(prediction: Json) -> str:
    """Why a prediction that is over did not succeed."""
    status = str(prediction.get("status") or "")
    error = prediction.get("error")
    return str(error) if error else _MESSAGES.get(status, "the prediction failed")


def _message_in(data: bytes) -> str:
    """What an error event says: an object with a `detail`, or plain text."""
    held = _object_in(data)
    told = held.get("detail") or held.get("error") or held.get("message")
    return str(told) if told else data.decode("utf-8", "replace") if not held else "the prediction failed"


def _object_in(data: bytes) -> Json:
    try:
        held: object = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return cast("Json", held) if isinstance(held, dict) else {}
