"""Pictures of Gemini's models for clients of OpenAI's, made and edited: a prompt is content, and a picture a part of the answer.

Sources: https://ai.google.dev/gemini-api/docs/image-generation (pictures to be edited stand beside the prompt, and there are no
masks), https://docs.cloud.google.com/vertex-ai/generative-ai/docs/multimodal/image-generation and, for `imageConfig`, of which
the Gemini API has no `imageOutputOptions`, google-genai 3.4. Imagen, which `predict` was for, is discontinued in favour of these
models: https://docs.cloud.google.com/vertex-ai/generative-ai/docs/models/imagen/4-0-generate
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Collection, Iterable, Mapping, Sequence
from math import gcd
from typing import Any

import msgspec

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.dialects.jobs import seconds_of
from headgate.dialects.openai.members import given, objects, popped
from headgate.errors import InvalidRequest
from headgate.exchange import RawHeaders, Reply
from headgate.forms import Part
from headgate_compatible.vendors.as_json import kind_of, text_of
from headgate_google.answers import media_in, object_in, usage_in, without

Json = dict[str, Any]

_SIZE = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})")
_PROPORTIONS = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
_FORMATS: Mapping[str, str] = {"jpeg": "image/jpeg", "png": "image/png"}
_IDLE: Mapping[str, Collection[object]] = {
    "background": ("auto",),
    "input_fidelity": ("low",),
    "moderation": ("auto",),
    "n": (1,),
    "partial_images": (0,),
    "quality": ("auto", "standard"),
    "response_format": ("b64_json",),
    "stream": (False,),
    "style": (),
}
"""Members that these models have no words for, and what asks for nothing."""
_FIELDS = frozenset({*_IDLE, "model", "output_compression", "output_format", "prompt", "size", "user"})
"""Fields of a form that are OpenAI's."""
_NUMBERS = frozenset({"n", "output_compression", "partial_images"})
_NO_MASK = "there are no masks there; say in the prompt what is to change"
_DATA = re.compile(r"data:(image/[a-z0-9.+-]+);base64,([A-Za-z0-9+/]+={0,2})")
_NO_TOKENS = {"text_tokens": 0, "image_tokens": 0}
"""What OpenAI's shape always tells; the vendor leaves out kinds that there were none of."""
SIGNATURES = ((b"\x89PNG", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"RIFF", "image/webp"))
"""How files of pictures begin."""


def encode(body: bytes, gaps: Gaps, *, has_formats: bool) -> bytes:
    """OpenAI's request as `generateContent` takes it; what OpenAI does not know passes. `gaps` is told of what is lost.

    `has_formats`: the form of the pictures can be chosen. An edit may come so, with its pictures as data URIs.
    """
    members = decode_object(body)
    pictures = [_inline(each, gaps) for each in objects(popped(members, "images", list[Any]))]
    if members.pop("mask", None) is not None:
        gaps.refuse("mask", _NO_MASK)
    return _told(members, [each for each in pictures if each is not None], gaps, has_formats=has_formats)


def encode_form(parts: Iterable[Part], values: Mapping[str, Any], gaps: Gaps, *, has_formats: bool) -> bytes:
    """OpenAI's form for an edit as `generateContent` takes it, `values` in the place of its own. `gaps` is told of what is lost.

    Raises InvalidRequest for a form without a picture.
    """
    members: Json = {}
    pictures: list[Json] = []
    for part in parts:
        if part.name in {"image", "image[]"}:
            kind = kind_of(part, "image/", SIGNATURES) or "image/png"
            pictures.append({"inlineData": {"mimeType": kind, "data": b64encode(part.content).decode()}})
        elif part.name == "mask":
            gaps.refuse("mask", _NO_MASK)
        elif part.name in _FIELDS:
            members[part.name] = _value_of(part)
        elif part.content:
            gaps.refuse(part.name)
    if not pictures:
        raise InvalidRequest("`image` is missing", param="image", code="missing_image")
    return _told({**members, **values}, pictures, gaps, has_formats=has_formats)


def _told(members: Json, pictures: Sequence[Json], gaps: Gaps, *, has_formats: bool) -> bytes:
    members.pop("model", None)  # it stands in the address
    for name, idle in _IDLE.items():
        value = members.pop(name, None)
        if value is not None and value not in idle:
            gaps.refuse(name)
    if members.pop("user", None) is not None:
        gaps.skip("user")
    output = _output(members, gaps, has_formats=has_formats)
    image = given(aspectRatio=_proportions(members, gaps), imageOutputOptions=output or None)
    content = {"role": "user", "parts": [{"text": popped(members, "prompt", str) or ""}, *pictures]}
    config = {"responseModalities": ["IMAGE"], **({"imageConfig": image} if image else {})}
    return msgspec.json.encode({"contents": [content], "generationConfig": config, **members})


def _inline(picture: Json, gaps: Gaps) -> Json | None:
    """A picture that OpenAI's JSON names, where its bytes stand in it."""
    found = _DATA.fullmatch(str(picture.get("image_url") or ""))
    if found is None:
        gaps.refuse("images", "send each picture itself, as a data URI or in a form")
        return None
    return {"inlineData": {"mimeType": found[1], "data": found[2]}}


def _value_of(part: Part) -> object:
    """What a field says, numbers and `stream` as JSON has them. Raises InvalidRequest."""
    said = text_of(part)
    if part.name == "stream":
        return said == "true"
    if part.name not in _NUMBERS or not said:
        return said
    try:
        return msgspec.json.decode(said, type=int)
    except msgspec.DecodeError:
        raise InvalidRequest(f"`{part.name}` must be a number", param=part.name) from None


def decode(headers: RawHeaders, body: bytes) -> Reply:
    """A good answer in OpenAI's shape, a refusal as an error. When it was asked for is told by Vertex AI alone.

    Raises ProviderFailed for one without pictures.
    """
    held = object_in(body)
    data = [{"b64_json": each} for _, each in media_in(held)]
    if not data:
        return without("picture", headers, held)
    used = usage_in(held)
    if "usage" in used and "input_tokens_details" in used["usage"]:
        used["usage"]["input_tokens_details"] = {**_NO_TOKENS, **used["usage"]["input_tokens_details"]}
    created = seconds_of(held.get("createTime")) or 0
    return Reply(200, headers, msgspec.json.encode({"created": created, "data": data, **used}))


def _proportions(members: Json, gaps: Gaps) -> str | None:
    """The proportions of the size that is asked for; its number of pixels is the model's, which is named."""
    size = popped(members, "size", str)
    if size in {None, "auto"}:
        return None
    found = _SIZE.fullmatch(size or "")
    width, height = (int(found[1]), int(found[2])) if found else (0, 1)
    least = gcd(width, height)
    told = f"{width // least}:{height // least}".replace("7:3", "21:9")
    if told not in _PROPORTIONS:
        gaps.refuse("size", f"its proportions must be one of {', '.join(_PROPORTIONS)} there")
        return None
    gaps.skip("size")
    return told


def _output(members: Json, gaps: Gaps, *, has_formats: bool) -> Json:
    form, compression = popped(members, "output_format", str), popped(members, "output_compression", int)
    if not has_formats:
        for name, value in (("output_format", form), ("output_compression", compression)):
            if value is not None:
                gaps.refuse(name, "the model decides what form its pictures have")
        return {}
    if form is not None and form not in _FORMATS:
        gaps.refuse("output_format", f"pictures come as one of {', '.join(_FORMATS)} there")
        form = None
    return given(mimeType=None if form is None else _FORMATS[form], compressionQuality=compression)
