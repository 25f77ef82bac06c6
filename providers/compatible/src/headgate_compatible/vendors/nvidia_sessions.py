"""Sessions of NVIDIA's speech servers of one's own, which write down what they hear by events of OpenAI's transcriptions.

A call before the handshake gives a token, which goes into the handshake's subprotocol; servers that give none want none.
Sources: https://docs.nvidia.com/nim/speech/26.10.0/reference/api-references/asr/realtime-asr.html and, for how the token is sent,
`riva/client/realtime.py` of https://pypi.org/project/nvidia-riva-client/2.28.0/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from headgate.body import decode_object
from headgate.dialects.openai.members import as_object
from headgate.errors import InvalidRequest, ProviderFailed
from headgate.upstream import UpstreamRequest

PATH = "/realtime/transcription_sessions"
"""Where a session's token is asked for."""
QUERY: Mapping[str, str] = {"intent": "transcription"}
_UPDATE = "transcription_session.update"
_HEARD = "input_audio_transcription"
_JSON = (b"content-type", b"application/json")
_OFFERED = "realtime, realtime-token."


class _Event(Struct):
    type: Any = None


class _Secret(Struct):
    value: str = ""


class _Session(Struct):
    client_secret: _Secret | None = None


_event = msgspec.json.Decoder(_Event)
_session = msgspec.json.Decoder(_Session)


def asking(request: UpstreamRequest, url: str) -> UpstreamRequest:
    """The call that asks for a token, with what else `request` says."""
    headers = (*(pair for pair in request.headers if pair[0] != _JSON[0]), _JSON)
    return replace(request, method="POST", url=url, headers=headers, body=b"{}")


def token_in(body: bytes) -> str:
    """The token that an answer gives; empty for none. Raises ProviderFailed for what is no session."""
    try:
        held = _session.decode(body).client_secret
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ProviderFailed("the provider answered with no session", code="upstream_bad_reply") from None
    token = held.value if held is not None else ""
    if not token.isascii() or any(mark in token for mark in " ,;\t\r\n"):
        raise ProviderFailed("the provider gave a token that no handshake can hold", code="upstream_bad_reply")
    return token


def with_token(request: UpstreamRequest, token: str) -> UpstreamRequest:
    """A handshake with its token, where there is one."""
    if not token:
        return request
    return replace(request, headers=(*request.headers, (b"sec-websocket-protocol", (_OFFERED + token).encode())))


def with_model(message: bytes, *, model: str) -> Sequence[bytes]:
    """A client's message, with the server's own name of the model where it names one; what is no event passes as it came."""
    try:
        if _event.decode(message).type != _UPDATE:
            return (message,)
        event = decode_object(message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, InvalidRequest):
        return (message,)
    session = as_object(event.get("session")) or {}
    heard = as_object(session.get(_HEARD)) or {}
    if heard.get("model") is None:
        return (message,)
    return (msgspec.json.encode({**event, "session": {**session, _HEARD: {**heard, "model": model}}}),)
