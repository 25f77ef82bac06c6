"""Krutrim: pictures by Stable Diffusion, transcripts by Whisper and speech by Bhashik, in shapes of their own.

Sources: the SDK `krutrim-cloud` 0.7 and https://github.com/ola-krutrim/krutrim-cloud-python/blob/main/api.md. Sound is base64
in JSON, and the SDK cuts what is longer than two minutes. Speech has one model, which is not named, and is told its language.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, ClassVar

import msgspec

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.dialects.openai.members import as_object, objects
from headgate.errors import InvalidRequest, ProviderFailed
from headgate.exchange import RawHeaders, Reply
from headgate.forms import Part
from headgate.operations import IMAGES_GENERATE, SPEECH, TRANSCRIPTIONS, TRANSLATIONS
from headgate.relay import Decode
from headgate_compatible.vendors import pictures, transcripts
from headgate_compatible.vendors.as_json import Encode, JsonForms
from headgate_compatible.vendors.reshaped import Reshaped, Shape
from headgate_compatible.vendors.speech import refuse_idle, voice_of
from headgate_compatible.vendors.spoken import Located, Spoken

Json = dict[str, Any]

_USUAL = (1024, 1024)
"""The sides must be said, and these give the best pictures: see api.md."""
_LANGUAGE = "input_language"
_VOICES = ("female", "male")
_VOICE = "male"
"""What the SDK says where nobody says more; it says a voice in every request."""
_IDLE: Mapping[str, object] = {
    "instructions": "",
    "response_format": None,
    "speed": 1,
    "stream": False,
    "stream_format": "audio",
}


def encode_picture(body: bytes, gaps: Gaps) -> bytes:
    """OpenAI's request for pictures as Stable Diffusion takes it there. `gaps` is told of what it cannot honour."""
    members = decode_object(body)
    pictures.refuse_unknown(members, gaps)
    pictures.refuse_form(members, gaps, "b64_json")
    width, height = pictures.size_of(members, gaps) or _USUAL
    said: Json = {"modelName": members.pop("model", None), "imageWidth": width, "imageHeight": height}
    count = members.pop("n", None)
    return msgspec.json.encode({**said, **({} if count is None else {"numOutputImages": count}), **members})


def decode_picture(headers: RawHeaders, body: bytes, _sent: bytes) -> Reply:
    """A good answer, which is in OpenAI's shape but for its error. Raises ProviderFailed for one without pictures."""
    held = pictures.object_in(body)
    if error := held.pop("error", None):
        raise ProviderFailed(f"the provider made no pictures: {error}", code="upstream_bad_reply")
    return pictures.made(headers, objects(held.get("data")), held)


def encode_sound(parts: Iterable[Part], values: Mapping[str, Any], gaps: Gaps, *, task: str) -> bytes:
    """OpenAI's form of sound as Whisper takes it there, with what `values` overrides. `gaps` is told of what it has not."""
    is_translated = task == "translate"
    names = {"temperature": "temperature"} if is_translated else {"language": "language", "temperature": "temperature"}
    members, file = transcripts.fields_of(parts, names, gaps)
    said = {"modelName" if name == "model" else name: value for name, value in values.items()}
    goes = {"language": "english"} if is_translated else {}
    sound = b64encode(file.content).decode()
    return msgspec.json.encode({"file": sound, "task": task, **goes, **members, **said})


def decode_sound(headers: RawHeaders, body: bytes) -> Reply:
    """A good answer with its text where OpenAI's clients look for it. Raises ProviderFailed for one without."""
    text = (as_object(pictures.object_in(body).get("predictions")) or {}).get("text")
    if not isinstance(text, str):
        raise ProviderFailed("the provider answered with no transcript", code="upstream_bad_reply")
    return Reply(200, headers, msgspec.json.encode({"text": text}))


def encode_speech(body: bytes, gaps: Gaps) -> bytes:
    """OpenAI's request for speech as Bhashik takes it. `gaps` is told of what it cannot honour.

    Raises InvalidRequest where no `input_language` stands beside OpenAI's members.
    """
    members = decode_object(body)
    members.pop("model", None)
    text, voice = members.pop("input", None), voice_of(members)
    refuse_idle(members, gaps, _IDLE)
    if not members.get(_LANGUAGE):
        told = f"`{_LANGUAGE}` is missing: say in which language it is spoken there, such as `eng` or `hin`"
        raise InvalidRequest(told, param=_LANGUAGE)
    if voice is not None and voice not in _VOICES:
        gaps.refuse("voice", f"it must be one of {', '.join(_VOICES)} there")
        voice = None
    return msgspec.json.encode({"input_text": text, "input_speaker": voice or _VOICE, **members})


def sound_in(body: bytes) -> object:
    """The address of the sound in a good answer."""
    return (as_object(pictures.object_in(body).get("data")) or {}).get("audio_file")


class Krutrim(Spoken, JsonForms, Reshaped):
    """Krutrim Cloud's AI Studio."""

    sound_in: ClassVar[Located] = sound_in
    forms: ClassVar[Mapping[str, Encode]] = {
        TRANSCRIPTIONS.name: partial(encode_sound, task="transcribe"),
        TRANSLATIONS.name: partial(encode_sound, task="translate"),
    }
    answers: ClassVar[Mapping[str, Decode]] = {
        TRANSCRIPTIONS.name: decode_sound,
        TRANSLATIONS.name: decode_sound,
    }
    shapes: ClassVar[Mapping[str, Shape]] = {
        IMAGES_GENERATE.name: Shape(encode_picture, decode_picture),
        SPEECH.name: Shape(encode_speech),
    }
