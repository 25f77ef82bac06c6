"""Gemini's Live API: messages over a WebSocket, of which the gateway reads the first one's model and what is stated of usage.

A client's first message is `setup`, in the page for beginners `config`, which names the model. Usage stands beside whatever else
a message of the vendor's holds, once for every answer, and counts that answer alone with all that was said before it: sessions
add it up. Members are spelled `usageMetadata` or `usage_metadata`, as everywhere at Google. Both kinds of frames hold JSON.

Sources: https://ai.google.dev/api/live, https://ai.google.dev/gemini-api/docs/live-api/get-started-websocket, and for Vertex AI
https://docs.cloud.google.com/vertex-ai/generative-ai/docs/model-reference/multimodal-live
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
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
_VERTEX = "/ws/google.cloud.aiplatform."
_MARKS = (b"usageMetadata", b"usage_metadata")
_HERE = {"responseTokenCount": "candidatesTokenCount", "responseTokensDetails": "candidatesTokensDetails"}
"""What the Live API calls otherwise than `generateContent` does."""
_NAMES: Mapping[str, Mapping[str, str]] = {
    "usageMetadata": {
        "candidatesTokenCount": "responseTokenCount",
        "candidatesTokensDetails": "responseTokensDetails",
    },
    "voiceActivity": {"type": "voiceActivityType"},
}
"""What Vertex AI calls a member of these, and the Gemini API."""
_BACK = {member: {ours: theirs for theirs, ours in names.items()} for member, names in _NAMES.items()}
_NAMED = tuple(f'"{member}"'.encode() for member in _NAMES)


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


def reader_for(path: str, *, is_vertex: bool) -> Callable[[bytes], bytes] | None:
    """What tells a vendor's message in the words of the client that asked by `path`; None where both use the same.

    https://github.com/googleapis/python-genai/blob/main/google/genai/_live_converters.py reads both.
    """
    asks_vertex = _VERTEX in path
    return None if asks_vertex is is_vertex else partial(_renamed, names=_NAMES if is_vertex else _BACK)


def _renamed(message: bytes, names: Mapping[str, Mapping[str, str]]) -> bytes:
    """A message with other names of members; the very same bytes where nothing differs."""
    if not any(mark in message for mark in _NAMED):
        return message
    try:
        held = decode_object(message)
    except InvalidRequest:
        return message
    for member, others in names.items():
        found = held.get(member)
        if isinstance(found, dict):
            told = cast("Json", found)
            held[member] = {others.get(name, name): value for name, value in told.items()}
    return msgspec.json.encode(held)


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
