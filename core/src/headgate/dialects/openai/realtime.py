"""OpenAI's Realtime dialect: events over a WebSocket, of which the gateway reads what they used and nothing else.

Two events state usage, in the beta as since: `response.done`, which ends every answer whatever became of it, cancelled and
failed ones included, and `conversation.item.input_audio_transcription.completed`, of another model that transcribes what the
user says and is billed by itself. Neither counts what the other does, so they are added up.

Sources: https://developers.openai.com/api/reference/resources/realtime/server-events and
https://developers.openai.com/api/docs/guides/realtime-costs
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from typing_extensions import override

from headgate.chat import Usage, add_usage
from headgate.dialects.responses.usage import decode_usage as input_usage
from headgate.dialects.session import Meter, SessionDialect
from headgate.errors import RequestError

Json = dict[str, Any]


_DONE = "response.done"
_TRANSCRIBED = "conversation.item.input_audio_transcription.completed"
_SESSION = frozenset(
    {"session.created", "session.updated", "transcription_session.created", "transcription_session.updated"}
)
"""Events that say how the session is set up; the last two are the beta's."""
_MARKS = (b'"usage"', b"session.")
"""What the events that count have in them, and sound has not."""
_TRANSCRIBERS = (("audio", "input", "transcription", "model"), ("input_audio_transcription", "model"))
"""Where a session names the model that transcribes; the second is the beta's."""


class _Event(Struct):
    type: Any = None
    response: Any = None
    session: Any = None
    usage: Any = None


_event = msgspec.json.Decoder(_Event)


class RealtimeMeter:
    """See Meter."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.by_model: dict[str, Usage] = {}
        self._transcriber = ""

    def take(self, message: bytes) -> None:
        """Add what a message states, if it states anything."""
        if not any(mark in message for mark in _MARKS):
            return
        try:
            event = _event.decode(message)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        if not isinstance(event.type, str):
            return
        if event.type == _DONE:
            self._add("", _member(event.response, "usage"))
        elif event.type == _TRANSCRIBED:
            self._add(self._transcriber, event.usage)
        elif event.type in _SESSION:
            self._transcriber = _transcriber_of(event.session)

    def _add(self, model: str, stated: object) -> None:
        if not isinstance(stated, Mapping) or not stated:
            return
        usage = _decode_usage(cast("Mapping[str, Any]", stated))
        self.usage = add_usage(self.usage, usage)
        self.by_model[model] = add_usage(self.by_model.get(model), usage)


class OpenAIRealtime(SessionDialect):
    """The `openai.realtime` dialect."""

    name = "openai.realtime"
    operation = "realtime"

    @override
    def meter(self) -> Meter:
        return RealtimeMeter()

    @override
    def error_event(self, error: RequestError) -> bytes:
        held = {"type": error.type, "code": error.error_code, "message": error.message, "param": error.param}
        return msgspec.json.encode({"type": "error", "error": held})


def _decode_usage(raw: Mapping[str, Any]) -> Usage:
    """What a usage object says. One in seconds, of sound that was transcribed, counts no tokens and is kept."""
    details = {
        "input_tokens_details": raw.get("input_token_details"),
        "output_tokens_details": raw.get("output_token_details"),
    }
    return replace(input_usage({**raw, **details}), raw=dict(raw))


def _transcriber_of(session: object) -> str:
    for path in _TRANSCRIBERS:
        found = session
        for name in path:
            found = _member(found, name)
        if isinstance(found, str):
            return found
    return ""


def _member(held: object, name: str) -> object:
    return cast("Mapping[str, object]", held).get(name) if isinstance(held, Mapping) else None
