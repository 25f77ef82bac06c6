"""Gemini's Live API: messages over a WebSocket, of which the gateway reads the first one's model and what is stated of usage.

A client's first message is `setup`, in the page for beginners `config`, which names the model. Usage stands beside whatever else
a message of the vendor's holds, once for every answer, and counts that answer alone with all that was said before it: sessions
add it up. Members are spelled `usageMetadata` or `usage_metadata`, as everywhere at Google. Both kinds of frames hold JSON.

Sources: https://ai.google.dev/api/live and https://ai.google.dev/gemini-api/docs/live-api/get-started-websocket
"""

from __future__ import annotations

from typing import Any, cast

import msgspec
from typing_extensions import override

from headgate.body import decode_object
from headgate.chat import Usage, add_usage
from headgate.dialects.google.parts import camel
from headgate.dialects.google.reply import decode_usage
from headgate.dialects.session import Meter, SessionDialect
from headgate.errors import InvalidRequest, RequestError

Json = dict[str, Any]

_SETUPS = ("setup", "config")
_MARKS = (b"usageMetadata", b"usage_metadata")
_HERE = {"responseTokenCount": "candidatesTokenCount", "responseTokensDetails": "candidatesTokensDetails"}
"""What the Live API calls otherwise than `generateContent` does."""


class LiveMeter:
    """See Meter."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.by_model: dict[str, Usage] = {}

    def take(self, message: bytes) -> None:
        """See Meter."""
        stated = usage_in(message)
        if not stated:
            return
        used = decode_usage({_HERE.get(camel(name), name): value for name, value in stated.items()})
        used = msgspec.structs.replace(used, raw=stated)
        self.usage = add_usage(self.usage, used)
        self.by_model[""] = self.usage


class GoogleLive(SessionDialect):
    """The `google.live` dialect."""

    name = "google.live"
    operation = "generate.live"
    is_in_bytes = True

    @override
    def meter(self) -> Meter:
        return LiveMeter()

    @override
    def model_in(self, message: bytes) -> str:
        member, setup = _setup_of(message)[1:]
        named = setup.get("model")
        if named is not None and not isinstance(named, str):
            raise InvalidRequest(f"`{member}.model` must be a string", param=f"{member}.model")
        return named or ""

    @override
    def error_event(self, error: RequestError) -> bytes:
        held = {"code": error.status, "message": error.message, "status": error.error_code}
        return msgspec.json.encode({"error": held})


def with_model(message: bytes, name: str) -> bytes:
    """A client's first message with the full name of a model, `models/{model}` or a vendor's own path of one."""
    held, member, setup = _setup_of(message)
    return msgspec.json.encode({**held, member: {**setup, "model": name}})


def usage_in(message: bytes) -> Json:
    """What a message of the vendor's states of usage; empty for one that states none or is no JSON object."""
    if not any(mark in message for mark in _MARKS):
        return {}
    try:
        held = decode_object(message)
    except InvalidRequest:
        return {}
    stated = held.get("usageMetadata", held.get("usage_metadata"))
    return cast("Json", stated) if isinstance(stated, dict) else {}


def _setup_of(message: bytes) -> tuple[Json, str, Json]:
    """A client's first message, the member of it that sets the session up, and what that says."""
    try:
        held = decode_object(message)
    except InvalidRequest:
        held = Json()
    for member in _SETUPS:
        setup = held.get(member)
        if isinstance(setup, dict):
            return held, member, cast("Json", setup)
    raise InvalidRequest(
        "the first message of a session must be a JSON object with `setup`, which names the model", param=_SETUPS[0]
    )
