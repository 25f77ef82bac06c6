"""OVHcloud AI Endpoints: speech by NVIDIA's Riva, each language of which is a model on a host of its own, and translations of
sound, which are transcripts with a prompt that says so.

Sources: https://github.com/ovh/public-cloud-examples (ai/ai-endpoints/speech-ai-video-translator) and https://github.com/ovh/docs
(endpoints_tuto_02_voice_virtual_assistant); the voices, of which `English-US.Female-1` is one, are Riva's:
https://docs.nvidia.com/deeplearning/riva/user-guide/docs/tts/tts-overview.html. Sound comes as WAV.
For translations: endpoints_guide_08_audio_transcriptions of the same documents; there are no `srt` and `vtt`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import msgspec
from typing_extensions import override

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.errors import InvalidRequest
from headgate.exchange import Exchange
from headgate.forms import Part
from headgate.operations import SPEECH, TRANSLATIONS
from headgate.provider import operation_of
from headgate_compatible.vendors.as_json import Encode, JsonForms
from headgate_compatible.vendors.reshaped import Reshaped, Shape
from headgate_compatible.vendors.speech import refuse_idle, voice_of

Json = dict[str, Any]

_MODEL = re.compile(r"nvr-tts-([a-z]{2})-([a-z]{2})")
_KIND = "wav"
_LINEAR = 1
"""Riva's number for linear samples, which come as a WAV."""
_RATE_HZ = 16_000
"""What OVHcloud's own examples ask for."""

_TRANSLATED = b"<|translate|>"
_PROMPT, _FORMAT = "prompt", "response_format"
_FORMATS = frozenset({b"json", b"text", b"verbose_json"})
_KNOWN = frozenset({"file", "model", "temperature"})


def encode_speech(body: bytes, gaps: Gaps) -> bytes:
    """OpenAI's request for speech as Riva takes it, for WAV where no format is named. `gaps` is told of what it has not.

    The language is that of the model. Raises InvalidRequest for a model that speaks none.
    """
    members = decode_object(body)
    language = _language_of(str(members.pop("model", "")))
    text, voice = members.pop("input", None), voice_of(members)
    refuse_idle(members, gaps, {"instructions": "", "speed": 1, "stream": False, "stream_format": "audio"})
    if members.pop("response_format", None) not in (None, _KIND):
        gaps.refuse("response_format", f"sound comes as `{_KIND}` there")
    said: Json = {"text": text, "language_code": language, "encoding": _LINEAR, "sample_rate_hz": _RATE_HZ}
    return msgspec.json.encode({**said, **({} if voice is None else {"voice_name": voice}), **members})


def encode_translation(parts: Iterable[Part], values: Mapping[str, Any], gaps: Gaps) -> list[Part]:
    """OpenAI's form of sound to translate as one to transcribe, with what `values` overrides, for JSON where no format is named.

    `gaps` is told of what it cannot honour: a prompt of the caller's has no place beside the one that asks for a translation.
    """
    told = {_PROMPT: _TRANSLATED, _FORMAT: b"json"}
    files: list[Part] = []
    for part in parts:
        if part.name == "file":
            files.append(part)
        elif part.name == _FORMAT and part.content in _FORMATS:
            told[_FORMAT] = part.content
        elif part.name in _KNOWN:
            told[part.name] = part.content
        elif part.content:
            gaps.refuse(part.name)
    told |= {
        name: value.encode() if isinstance(value, str) else msgspec.json.encode(value) for name, value in values.items()
    }
    return [*(Part(name, "", value) for name, value in told.items()), *files]


class OVHcloud(JsonForms, Reshaped):
    """OVHcloud AI Endpoints."""

    forms: ClassVar[Mapping[str, Encode]] = {TRANSLATIONS.name: encode_translation}
    shapes: ClassVar[Mapping[str, Shape]] = {SPEECH.name: Shape(encode_speech)}

    @override
    def elsewhere(self, ex: Exchange) -> str:
        is_own = not ex.base_url and self.url == self.base_url
        if ex.attempt is None or operation_of(ex) != SPEECH.name or not is_own:
            return super().elsewhere(ex)
        model = ex.attempt.model
        _language_of(model)  # nothing else may become a host
        return f"https://{model}.endpoints.kepler.ai.cloud.ovh.net/api/v1/tts/text_to_audio"


def _language_of(model: str) -> str:
    found = _MODEL.fullmatch(model)
    if found is None:
        told = f"`{model}` speaks nothing there: ask `nvr-tts-en-us`, or its like for another language"
        raise InvalidRequest(told, param="model", code="unsupported_model")
    return f"{found[1]}-{found[2].upper()}"
