"""Edits of pictures for vendors that take them as JSON alone, from what OpenAI's clients send: xAI, OpenRouter and others.

Sources: https://docs.x.ai/developers/model-capabilities/images/generation (pictures as addresses or data URIs, up to three;
the forms of OpenAI's SDK are not taken; `size` and `style` mean nothing there) and `ImageGenerationRequest` of the SDK
`openrouter` 1.3 (pictures are `input_references` of what is to be made, which always comes as base64);
https://docs.byteplus.com/en/docs/ModelArk/1541523, https://docs.siliconflow.com/en/api-reference/images/images-generations and
https://novita.ai/docs/api-reference/model-apis-seedream-5.0-lite (members of a request for pictures);
https://github.com/ollama/ollama/blob/main/openai/openai.go (one picture, as base64). None documents a mask.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import msgspec
from msgspec import Struct

from headgate.dialects import Gaps
from headgate.forms import Part
from headgate_compatible.vendors.as_json import kind_of, text_of
from headgate_compatible.vendors.reshaped import Shape

Json = dict[str, Any]

_PICTURES = ("image", "image[]")
_NUMBERS = frozenset(
    {
        *("guidance", "guidance_scale", "height", "n", "num_inference_steps", "output_compression", "safety_tolerance"),
        *("seed", "steps", "width"),
    }
)
_FLAGS = frozenset({"disable_safety_checker", "fast_mode", "prompt_extend", "prompt_upsampling", "watermark"})
_NUMBER = re.compile(r"\d{1,18}(\.\d{1,18})?", re.ASCII)
SIGNATURES = ((b"\x89PNG", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"RIFF", "image/webp"))
"""How files of pictures begin."""


class _Addressed(Struct, frozen=True):
    """A picture as OpenAI's JSON names one."""

    image_url: str


class Words(Struct, frozen=True):
    """A vendor's words for an edit: the fields it knows, its members for pictures, and what asks for nothing there.

    `most` is how many pictures it takes, where that is said.
    """

    known: frozenset[str]
    pictures: Callable[[list[str]], Json]
    usual: frozenset[tuple[str, bytes]] = frozenset()
    most: int | None = None


def from_form(parts: Iterable[Part], values: Mapping[str, Any], gaps: Gaps, words: Words) -> bytes:
    """A form as a vendor's JSON, `values` in the place of its own. `gaps` is told of what the vendor has not."""
    members: Json = {}
    pictures: list[str] = []
    for part in parts:
        if part.name in _PICTURES:
            pictures.append(uri_of(part))
        elif part.name in words.known:
            members[part.name] = _value_of(part)
        elif part.name == "user":
            gaps.skip(part.name)
        elif part.content not in {b"", b"auto"} and (part.name, part.content) not in words.usual:
            gaps.refuse(part.name)
    return msgspec.json.encode({**members, **values, **_told(pictures, words, gaps)})


def from_json(body: bytes, gaps: Gaps, words: Words) -> bytes:
    """A JSON body with pictures in the vendor's words where they are in OpenAI's, else the very same bytes."""
    if b'"image_url"' not in body:
        return body
    members: Json = msgspec.json.decode(body)
    try:
        pictures = msgspec.convert(members.get("images"), list[_Addressed])
    except msgspec.ValidationError:
        return body
    del members["images"]
    return msgspec.json.encode({**members, **_told([each.image_url for each in pictures], words, gaps)})


def in_json(words: Words) -> Shape:
    """How an edit is told that comes as JSON: see `from_json`."""
    return Shape(partial(from_json, words=words))


def _told(urls: list[str], words: Words, gaps: Gaps) -> Json:
    """Pictures as a vendor takes them; one that takes fewer is told of the first."""
    if words.most is not None:
        urls = list(gaps.most("image", tuple(urls), words.most))
    return words.pictures(urls) if urls else {}


def _one_or_more(urls: list[str]) -> Json:
    """xAI's: one picture and several have members of their own."""
    pictures = [{"type": "image_url", "url": url} for url in urls]
    return {"image": pictures[0]} if len(pictures) == 1 else {"images": pictures}


def _references(urls: list[str]) -> Json:
    return {"input_references": [{"type": "image_url", "image_url": {"url": url}} for url in urls]}


def _numbered(urls: list[str]) -> Json:
    """SiliconFlow's: each picture has a member of its own."""
    return {"image" if at == 1 else f"image{at}": url for at, url in enumerate(urls, 1)}


def _image(urls: list[str]) -> Json:
    return {"image": urls[0] if len(urls) == 1 else urls}


_ONE = frozenset({("n", b"1"), ("stream", b"false"), ("partial_images", b"0")})
_SEEDREAM = frozenset({"model", "output_format", "prompt", "seed", "sequential_image_generation", "size", "watermark"})
XAI = Words(
    frozenset({"aspect_ratio", "model", "n", "prompt", "quality", "resolution", "response_format", "user"}),
    _one_or_more,
)
OPENROUTER = Words(
    frozenset(
        {
            *("aspect_ratio", "background", "model", "n", "output_compression", "output_format", "prompt"),
            *("quality", "resolution", "size", "user"),
        }
    ),
    _references,
    frozenset({("response_format", b"b64_json"), ("stream", b"false"), ("partial_images", b"0")}),
)
BYTEPLUS = Words(_SEEDREAM | {"guidance_scale", "response_format"}, _image, _ONE)
NOVITA = Words(
    _SEEDREAM - {"output_format", "seed"}, lambda urls: {"image": urls}, _ONE | {("response_format", b"url")}
)
OLLAMA = Words(
    frozenset({"model", "prompt", "seed", "size"}),
    lambda urls: {"image": urls[0]},
    _ONE | {("response_format", b"b64_json")},
    most=1,
)
SILICONFLOW = Words(
    frozenset(
        {
            *("cfg", "guidance_scale", "model", "n", "negative_prompt", "num_inference_steps", "prompt"),
            *("response_format", "seed", "size"),
        }
    ),
    _numbered,
    frozenset({("stream", b"false"), ("partial_images", b"0")}),
    most=3,
)


def uri_of(part: Part) -> str:
    """A file as a data URI; what its part is not labelled with is told by how it begins."""
    kind = kind_of(part, "image/", SIGNATURES) or "image/png"
    return f"data:{kind};base64,{b64encode(part.content).decode()}"


def _value_of(part: Part) -> object:
    value = text_of(part)
    if part.name in _FLAGS and value in {"true", "false"}:
        return value == "true"
    if part.name not in _NUMBERS or not _NUMBER.fullmatch(value):
        return value
    return float(value) if "." in value else int(value)
