"""Hyperbolic: pictures and speech with members of their own, for clients of OpenAI's.

Sources: the package `@hyperbolic/ai-sdk-provider` 2.0 of https://github.com/HyperbolicLabs/hyperbolic-ts (`image`: a picture is
made from another one where there is one, `strength` says how much of it stays), its quickstart
(https://docs.hyperbolic.xyz/docs/getting-started: speech is MP3) and, for `speaker` and `language` of MeloTTS, those who call it.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import msgspec
from msgspec import Struct

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.dialects.openai.members import objects
from headgate.errors import InvalidRequest, ProviderFailed
from headgate.exchange import RawHeaders, Reply
from headgate.forms import Part
from headgate.operations import IMAGES_EDIT, IMAGES_GENERATE, SPEECH
from headgate.relay import Decode
from headgate_compatible.vendors import edits, pictures
from headgate_compatible.vendors.as_json import Encode, JsonForms
from headgate_compatible.vendors.reshaped import Reshaped, Shape
from headgate_compatible.vendors.speech import refuse_idle, sound_of, voice_of

Json = dict[str, Any]

_KIND = "mp3"
_DATA = re.compile(r"data:[\w.+-]+/[\w.+-]+;base64,")
_EDIT = edits.Words(
    frozenset({"cfg_scale", "enable_refiner", "model", "n", "negative_prompt", "prompt", "size", "steps", "strength"}),
    lambda urls: {"image": urls[0]},
    frozenset({("response_format", b"b64_json"), ("stream", b"false"), ("partial_images", b"0")}),
    most=1,
)


class _Sound(Struct, frozen=True):
    audio: str


def encode_picture(body: bytes, gaps: Gaps) -> bytes:
    """OpenAI's request for a picture as Hyperbolic takes it, with a picture to start from where there is one.

    `gaps` is told of what it cannot honour. Raises InvalidRequest for a picture that is not there itself, but an address.
    """
    members = decode_object(body)
    pictures.refuse_unknown(members, gaps)
    pictures.refuse_number(members, gaps)
    pictures.refuse_form(members, gaps, "b64_json")
    refuse_idle(members, gaps, {"input_fidelity": None, "mask": None})
    size = pictures.size_of(members, gaps)
    if size is not None:
        members["width"], members["height"] = size
    if isinstance(image := members.get("image"), str):
        members["image"] = _bare(image)
    return msgspec.json.encode({"model_name": members.pop("model", None), **members})


def encode_edit(parts: Iterable[Part], values: Mapping[str, Any], gaps: Gaps) -> bytes:
    """OpenAI's form of an edit as a picture made from another one, with what `values` overrides."""
    return encode_picture(_numbered(edits.from_form(parts, values, gaps, _EDIT)), gaps)


def encode_edit_in_json(body: bytes, gaps: Gaps) -> bytes:
    """OpenAI's JSON of an edit likewise."""
    return encode_picture(edits.from_json(body, gaps, _EDIT), gaps)


def decode_picture(headers: RawHeaders, body: bytes, _sent: bytes = b"") -> Reply:
    """A good answer in OpenAI's shape. Raises ProviderFailed for one without pictures."""
    found = [each.get("image") for each in objects(pictures.object_in(body).get("images"))]
    return pictures.made(headers, [{"b64_json": each} for each in found if each])


def encode_speech(body: bytes, gaps: Gaps) -> bytes:
    """OpenAI's request for speech as Hyperbolic takes it. `gaps` is told of what it cannot honour."""
    members = decode_object(body)
    text, voice = members.pop("input", None), voice_of(members)
    refuse_idle(members, gaps, {"instructions": "", "stream": False, "stream_format": "audio"})
    if members.pop("response_format", None) not in (None, _KIND):
        gaps.refuse("response_format", f"sound comes as `{_KIND}` there")
    return msgspec.json.encode({"text": text, **({} if voice is None else {"speaker": voice}), **members})


def decode_speech(headers: RawHeaders, body: bytes, _sent: bytes) -> Reply:
    """A good answer as the sound itself. Raises ProviderFailed for one without."""
    try:
        sound = b64decode(msgspec.json.decode(body, type=_Sound).audio, validate=True)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
        raise ProviderFailed("the provider answered with no sound", code="upstream_bad_reply") from None
    return sound_of(headers, sound, b"audio/mpeg")


class Hyperbolic(JsonForms, Reshaped):
    """Hyperbolic's serverless inference."""

    forms: ClassVar[Mapping[str, Encode]] = {IMAGES_EDIT.name: encode_edit}
    answers: ClassVar[Mapping[str, Decode]] = {IMAGES_EDIT.name: decode_picture}
    shapes: ClassVar[Mapping[str, Shape]] = {
        IMAGES_EDIT.name: Shape(encode_edit_in_json, decode_picture),
        IMAGES_GENERATE.name: Shape(encode_picture, decode_picture),
        SPEECH.name: Shape(encode_speech, decode_speech),
    }


def _bare(image: str) -> str:
    """A picture as base64 alone."""
    if image.startswith(("http://", "https://")):
        raise InvalidRequest("`image` cannot be an address there: send the picture itself", param="image")
    return _DATA.sub("", image, count=1)


def _numbered(body: bytes) -> bytes:
    """The fields of a form that are numbers or flags there, as such."""
    members = decode_object(body)
    for name in ("cfg_scale", "enable_refiner", "steps", "strength"):
        if isinstance(value := members.get(name), str):
            try:
                members[name] = msgspec.json.decode(value)
            except msgspec.DecodeError:
                raise InvalidRequest(f"`{name}` must be a number, or a flag", param=name) from None
    return msgspec.json.encode(members)
