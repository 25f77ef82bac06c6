"""MiniMax's pictures and speech for clients of OpenAI's: members of its own, sound in hexadecimal, errors with status 200.

Sources: https://platform.minimax.io/docs/api-reference/image-generation-t2i,
https://platform.minimax.io/docs/api-reference/speech-t2a-http, https://platform.minimax.io/docs/api-reference/errorcode and
https://github.com/MiniMax-AI/cli (`mmx-cli` 1.0.27: formats of sound, of which Opus has rates of its own).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.dialects.openai.members import as_object
from headgate.dialects.words import openai_envelope
from headgate.errors import ErrorWords, InvalidRequest, ProviderFailed
from headgate.exchange import RawHeaders, Reply
from headgate_compatible.vendors.pictures import made, refuse_unknown, tell_sides
from headgate_compatible.vendors.speech import refuse_idle, sound_of, voice_of

Json = dict[str, Any]

_FORMS = {"b64_json": "base64", "url": "url"}
OLDER_KINDS: Mapping[str, bytes] = {
    "flac": b"audio/flac",
    "mp3": b"audio/mpeg",
    "pcm": b"audio/pcm",
    "wav": b"audio/wav",
}
"""The formats of sound that others who run its models have, and their media types."""
_KINDS: Mapping[str, bytes] = {**OLDER_KINDS, "opus": b"audio/opus"}
_HZ: Mapping[str, int] = {"opus": 24_000, "pcm": 24_000}
"""The rates of formats that do not come at MiniMax's own: of `pcm` OpenAI's is meant
(https://platform.openai.com/docs/guides/text-to-speech), and Opus knows no 32 kHz."""
_STATUSES: Mapping[int, int] = {
    1001: 504,
    1002: 429,
    1004: 401,
    1008: 402,
    1026: 400,
    1027: 400,
    1039: 429,
    1042: 400,
    2013: 400,
    2042: 403,
    2049: 401,
    2056: 429,
    20132: 400,
}
"""What MiniMax's codes of errors are in HTTP; others are failures of its own."""


def encode_picture(body: bytes, gaps: Gaps) -> bytes:
    """OpenAI's request for pictures as MiniMax takes it. `gaps` is told of what it cannot honour."""
    members = decode_object(body)
    refuse_unknown(members, gaps)
    tell_sides(members, gaps)
    form = members.pop("response_format", None)
    if form is not None:
        members["response_format"] = _FORMS.get(str(form), form)
    return msgspec.json.encode(members)


def decode_picture(headers: RawHeaders, body: bytes, _sent: bytes) -> Reply:
    """A good answer in OpenAI's shape, an error as one. MiniMax does not say when it was made. ProviderFailed for neither."""
    held = _answer(body, "pictures")
    failed = refused(headers, held)
    if failed is not None:
        return failed
    found = as_object(held.get("data")) or {}
    pictures = [
        {name: each}
        for member, name in (("image_urls", "url"), ("image_base64", "b64_json"))
        for each in cast("list[Any]", found.get(member) or ())
    ]
    return made(headers, pictures)


def encode_speech(body: bytes, gaps: Gaps, kinds: Mapping[str, bytes] = _KINDS) -> bytes:
    """OpenAI's request for speech as MiniMax takes it, in one of `kinds`. `gaps` is told of what it cannot honour."""
    members = decode_object(body)
    speed, kind = members.pop("speed", None), members.pop("response_format", None) or "mp3"
    refuse_idle(members, gaps, {"instructions": "", "stream": False, "stream_format": "audio"})
    if not isinstance(kind, str) or kind not in kinds:
        gaps.refuse("response_format", f"sound comes as one of {', '.join(kinds)} there")
        kind = "mp3"
    voice = {"voice_id": voice_of(members), "speed": speed}
    sound: Json = {"format": kind, **({"sample_rate": _HZ[kind]} if kind in _HZ else {})}
    said: Json = {
        "text": members.pop("input", None),
        "voice_setting": {name: value for name, value in voice.items() if value is not None},
        "audio_setting": sound,
    }
    return msgspec.json.encode({**said, **members, "stream": False, "output_format": "hex"})


def decode_speech(headers: RawHeaders, body: bytes, sent: bytes) -> Reply:
    """A good answer as the sound itself, an error as one. Raises ProviderFailed for neither."""
    held = _answer(body, "sound")
    failed = refused(headers, held)
    if failed is not None:
        return failed
    try:
        sound = bytes.fromhex(held["data"]["audio"])
    except (KeyError, TypeError, ValueError):
        raise ProviderFailed("the provider answered with no sound", code="upstream_bad_reply") from None
    return sound_of(headers, sound, kind_of(sent))


def kind_of(sent: bytes) -> bytes:
    """The media type of the sound that a request asked for."""
    return _KINDS.get(decode_object(sent)["audio_setting"].get("format"), b"audio/mpeg")


def failed_in(headers: RawHeaders, body: bytes) -> Reply | None:
    """The error that the bytes of an answer are; None where they are none."""
    try:
        return refused(headers, decode_object(body))
    except InvalidRequest:
        return None


def _answer(body: bytes, what: str) -> Json:
    try:
        return decode_object(body)
    except InvalidRequest:
        raise ProviderFailed(f"the provider answered with no {what}", code="upstream_bad_reply") from None


def refused(headers: RawHeaders, held: Json) -> Reply | None:
    """The error that an answer with a good status is; None where it is none."""
    told = as_object(held.get("base_resp")) or {}
    code = told.get("status_code")
    if not isinstance(code, int) or code == 0:
        return None
    message = str(told.get("status_msg") or "MiniMax answered with an error")
    status = _STATUSES.get(code, 502)
    return Reply(status, headers, openai_envelope(ErrorWords(status, message, "upstream_error", str(code))))
