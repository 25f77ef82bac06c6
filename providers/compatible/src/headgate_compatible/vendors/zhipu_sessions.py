"""GLM-Realtime's sessions, whose events have the names of OpenAI's (those of its beta) and are told their model by an event.

Sources: https://docs.bigmodel.cn/cn/asyncapi/realtime, https://docs.bigmodel.cn/asyncapi/asyncapi.json, and for the members of
`session` the official SDK: https://github.com/MetaGLM/glm-realtime-sdk/blob/main/golang/events/event.go and
https://github.com/MetaGLM/glm-realtime-sdk/blob/main/GLM-Realtime-doc-for-llm.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from headgate.body import decode_object
from headgate.dialects.openai.members import Json, as_object
from headgate.errors import InvalidRequest

_UPDATE = "session.update"
_USUAL: Mapping[str, Any] = {"beta_fields": {"chat_mode": "audio"}}
"""What must be said of every session, and its value where nobody says another: a call without a film."""


class _Event(Struct):
    type: Any = None


_event = msgspec.json.Decoder(_Event)


class SessionWriter:
    """Puts the model of a session into each `session.update` of the client's, which sets the session up anew; says it first where
    the client begins with another event.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._is_told = False

    def __call__(self, message: bytes) -> Sequence[bytes]:
        """What the vendor is told in place of a message. What is no event passes as it came."""
        update = _update_in(message)
        if update is not None:
            self._is_told = True
            return (self._said(update),)
        if self._is_told:
            return (message,)
        self._is_told = True
        return (self._said({"type": _UPDATE, "session": {}}), message)

    def _said(self, update: Json) -> bytes:
        session = {**_USUAL, **(as_object(update.get("session")) or {}), "model": self._model}
        return msgspec.json.encode({**update, "session": session})


def _update_in(message: bytes) -> Json | None:
    """A `session.update`; None for any other message."""
    try:
        return decode_object(message) if _event.decode(message).type == _UPDATE else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, InvalidRequest):
        return None
