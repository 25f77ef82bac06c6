"""Speech by vendors with words of their own, for clients of OpenAI's: Mistral and xAI.

Sources: https://docs.mistral.ai/studio/audio/text-to-speech/quickstarts/generate-speech and the types of `mistralai` 3.7 (a voice
is an id, the sound comes as base64 in JSON; no instructions, speed or AAC);
https://docs.x.ai/developers/rest-api-reference/inference/voice (one model, which is not named; the language must be, `auto` being
one; the answer is the sound). What else they know (`ref_audio`, `output_format.bit_rate` ...) passes.
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
_XAI_KINDS = frozenset({"alaw", "mp3", "mulaw", "pcm", "wav"})
_REFUSED: Mapping[str, object] = {"instructions": "", "speed": 1, "stream": False, "stream_format": "audio"}
"""Members that Mistral has no words for, or that ask for another answer than one sound, and what asks for nothing."""


class _Answer(Struct, frozen=True):
    audio_data: str


def encode(body: bytes, gaps: Gaps) -> bytes:
    """OpenAI's request as Mistral takes it. `gaps` is told of what it cannot honour."""
    members = decode_object(body)
    voice = voice_of(members)
    if voice is not None:
        members.setdefault("voice_id", voice)
    refuse_idle(members, gaps, _REFUSED)
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
    return sound_of(headers, sound, _KINDS[decode_object(sent)["response_format"]])


def encode_xai(body: bytes, gaps: Gaps) -> bytes:
    """OpenAI's request as xAI takes it. `gaps` is told of what it cannot honour."""
    members = decode_object(body)
    members.pop("model", None)
    voice, kind = voice_of(members), members.pop("response_format", None) or _USUAL
    refuse_idle(members, gaps, {name: _REFUSED[name] for name in ("instructions", "stream", "stream_format")})
    if not isinstance(kind, str) or kind not in _XAI_KINDS:
        gaps.refuse("response_format", f"sound comes as one of {', '.join(sorted(_XAI_KINDS))} there")
        kind = _USUAL
    said: Json = {"text": members.pop("input", None), "language": "auto", "output_format": {"codec": kind}}
    return msgspec.json.encode({**said, **({} if voice is None else {"voice_id": voice}), **members})


def voice_of(members: Json) -> object:
    """Take the voice out of a request of OpenAI's: its name, or the id of one that somebody made."""
    voice = members.pop("voice", None)
    return cast("Json", voice).get("id") if isinstance(voice, dict) else voice


def refuse_idle(members: Json, gaps: Gaps, idle: Mapping[str, object]) -> None:
    """Take the members that `idle` names out of a request. `gaps` is told of those that ask for something else."""
    for name, nothing in idle.items():
        value = members.pop(name, None)
        if value is not None and value != nothing:
            gaps.refuse(name)


def sound_of(headers: RawHeaders, sound: bytes, kind: bytes) -> Reply:
    """A reply that is this sound."""
    labelled = (*(pair for pair in headers if pair[0] != b"content-type"), (b"content-type", kind))
    return Reply(200, labelled, chunks=OwnedStream(_once(sound), _nothing), form="bytes")


async def _once(sound: bytes) -> AsyncGenerator[bytes, None]:
    yield sound


def _nothing() -> None:
    """There is nothing to close."""
