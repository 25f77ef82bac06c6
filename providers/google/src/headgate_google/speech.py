"""Speech of Gemini's models for clients of OpenAI's: a text is content, a voice is configured, and sound is part of the answer.

Sources: https://ai.google.dev/gemini-api/docs/speech-generation,
https://docs.cloud.google.com/gemini-enterprise-agent-platform/models/text-to-speech/overview and .../migration-guide beside it
(how a style is told before Gemini 3.8, and since then), and `SpeechConfig` and `SpeechMetadata` of google-genai 3.4. Gemini 3.8
answers with WAV, models before it with samples, 16 bits each at 24 kHz; either is told as what was asked for.
"""

from __future__ import annotations

import re
import struct
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

import msgspec

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.dialects.openai.members import given, popped, typed
from headgate.errors import ProviderFailed
from headgate.exchange import RawHeaders, Reply
from headgate_compatible.vendors.speech import refuse_idle, sound_of, voice_of
from headgate_google.answers import media_in, object_in, without

Json = dict[str, Any]

_KINDS = {"wav": b"audio/wav", "pcm": b"audio/pcm"}
_USUAL = "wav"
"""What comes where nobody names a format."""
_IDLE = {"speed": 1, "stream": False, "stream_format": "audio"}
_OLDER = re.compile(r"(?:.*/)?gemini-(?:2\.5|3\.1)-")
"""Models that are told how to speak in the text itself: https://docs.cloud.google.com/gemini-enterprise-agent-platform/models/text-to-speech/migration-guide"""
_RATE = re.compile(r"rate=(\d{4,6})")
_USUAL_RATE = 24_000
_SAMPLE_BYTES = 2
_PCM = 1
"""WAV's word for samples that are not compressed."""
_HEAD = struct.Struct("<4sI4s4sIHHIIHH4sI")


def encode(body: bytes, model: str, gaps: Gaps) -> tuple[bytes, str]:
    """OpenAI's request as `generateContent` takes it, and the format that was asked for. What OpenAI does not know passes.

    `gaps` is told of what is lost.
    """
    members = decode_object(body)
    members.pop("model", None)  # it stands in the address
    kind = popped(members, "response_format", str) or _USUAL
    if kind not in _KINDS:
        gaps.refuse("response_format", f"sound comes as one of {', '.join(_KINDS)} there")
        kind = _USUAL
    refuse_idle(members, gaps, _IDLE)
    voice = None if (named := voice_of(members)) is None else typed(named, str, "voice")
    style, text = popped(members, "instructions", str) or None, popped(members, "input", str) or ""
    if _OLDER.match(model):
        said: Json = {"text": text if style is None else f"{style}: {text}"}
        spoken = given(prebuiltVoiceConfig=None if voice is None else {"voiceName": voice})
    else:
        said = {"text": text, **given(speechMetadata=None if style is None else {"style": style})}
        spoken = given(voice=voice)
    config: Json = {"responseModalities": ["AUDIO"], **given(speechConfig={"voiceConfig": spoken} if spoken else None)}
    content = {"role": "user", "parts": [said]}
    return msgspec.json.encode({"contents": [content], "generationConfig": config, **members}), kind


def decode(headers: RawHeaders, body: bytes, kind: str) -> Reply:
    """A good answer as sound in the format `kind`, a refusal as an error. Raises ProviderFailed for one without sound."""
    held = object_in(body)
    found = list(media_in(held))
    if not found:
        return without("sound", headers, held)
    samples, rate = b"", _USUAL_RATE
    for label, data in found:
        more, rate = _samples_in(label, data)
        samples += more
    return sound_of(headers, _in_wav(samples, rate) if kind == _USUAL else samples, _KINDS[kind])


def _samples_in(label: str, data: str) -> tuple[bytes, int]:
    """The samples of a piece of sound, 16 bits each, and how many there are in a second. Raises ProviderFailed for others."""
    try:
        sound = b64decode(data, validate=True)
    except ValueError:
        raise _no_sound("sound that is no base64") from None
    if sound.startswith(b"RIFF"):
        return _samples_of(sound)
    kind = label.partition(";")[0].strip().lower()
    if kind not in {"audio/l16", "audio/pcm"}:
        raise _no_sound(f"`{kind}`, which is not known here")
    rate = _RATE.search(label)
    return sound, int(rate[1]) if rate else _USUAL_RATE


def _samples_of(wav: bytes) -> tuple[bytes, int]:
    chunks = dict(_chunks_in(wav))
    try:
        form, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", chunks[b"fmt "])
        samples = chunks[b"data"]
    except (KeyError, struct.error):
        raise _no_sound("WAV without samples") from None
    if (form, channels, bits) != (_PCM, 1, 8 * _SAMPLE_BYTES):
        raise _no_sound("WAV of another form than single samples of 16 bits")
    return samples, rate


def _chunks_in(wav: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The parts of a file of sound, by name. One that is being streamed says no length: then it goes on to the end."""
    at = 12
    while at + 8 <= len(wav):
        name, size = struct.unpack_from("<4sI", wav, at)
        yield name, wav[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def _in_wav(samples: bytes, rate: int) -> bytes:
    size = len(samples)
    head = _HEAD.pack(
        *(b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, _PCM, 1),
        *(rate, rate * _SAMPLE_BYTES, _SAMPLE_BYTES, 8 * _SAMPLE_BYTES, b"data", size),
    )
    return head + samples


def _no_sound(what: str) -> ProviderFailed:
    return ProviderFailed(f"the provider answered with {what}", code="upstream_bad_reply")
