"""Mistral's speech for clients of OpenAI's: a voice is an id there, and the sound comes as base64 in a JSON object.

Sources: https://docs.mistral.ai/studio/audio/text-to-speech/quickstarts/generate-speech, the types of `mistralai` 3.7.
It has no instructions, speed or AAC; its own members (`ref_audio`, `expressiveness` ...) pass.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import AsyncGenerator, Mapping
from typing import Any, cast

import msgspec
from msgspec import Struct

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.errors import ProviderFailed
from headgate.exchange import RawHeaders, Reply
from headgate.relay import OwnedStream

Json = dict[str, Any]

_KINDS: Mapping[str, bytes] = {
    "flac": b"audio/flac",
    "mp3": b"audio/mpeg",
    "opus": b"audio/opus",
    "pcm": b"audio/pcm",
    "wav": b"audio/wav",
}
_USUAL = "mp3"
"""What OpenAI's clients get when they name no format."""
_REFUSED: Mapping[str, object] = {"instructions": "", "speed": 1, "stream": False, "stream_format": "audio"}
"""Members that Mistral has no words for, or that ask for another answer than one sound, and what asks for nothing."""


class _Answer(Struct, frozen=True):
    audio_data: str


def encode(body: bytes, gaps: Gaps) -> bytes:
    """OpenAI's request as Mistral takes it. `gaps` is told of what it cannot honour."""
    members = decode_object(body)
    voice = members.pop("voice", None)
    if voice is not None:
        members.setdefault("voice_id", cast("Json", voice).get("id") if isinstance(voice, dict) else voice)
    for name, nothing in _REFUSED.items():
        value = members.pop(name, None)
        if value is not None and value != nothing:
            gaps.refuse(name)
    kind = members.get("response_format") or _USUAL
    if not isinstance(kind, str) or kind not in _KINDS:
        gaps.refuse("response_format", f"sound comes as one of {', '.join(_KINDS)} there")
        kind = _USUAL
    return msgspec.json.encode({**members, "response_format": kind})


def decode(headers: RawHeaders, body: bytes, sent: bytes) -> Reply:
    """A good answer as the sound itself, labelled with the format that was asked for in `sent`.

    Raises ProviderFailed for an answer that holds no sound.
    """
    try:
        sound = b64decode(msgspec.json.decode(body, type=_Answer).audio_data, validate=True)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
        raise ProviderFailed("the provider answered with no sound", code="upstream_bad_reply") from None
    kind = _KINDS[decode_object(sent)["response_format"]]
    labelled = (*(pair for pair in headers if pair[0] != b"content-type"), (b"content-type", kind))
    return Reply(200, labelled, chunks=OwnedStream(_once(sound), _nothing), form="bytes")


async def _once(sound: bytes) -> AsyncGenerator[bytes, None]:
    yield sound


def _nothing() -> None:
    """There is nothing to close."""
