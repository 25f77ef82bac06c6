"""Edits of pictures for vendors that take them as JSON alone, from what OpenAI's clients send: xAI and OpenRouter.

Sources: https://docs.x.ai/developers/model-capabilities/images/generation (pictures as addresses or data URIs, up to three;
the forms of OpenAI's SDK are not taken; `size` and `style` mean nothing there) and `ImageGenerationRequest` of the SDK
`openrouter` 1.3 (pictures are `input_references` of what is to be made, which always comes as base64). Neither documents a mask.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from headgate.dialects import Gaps
from headgate.forms import Part
from headgate_compatible.vendors.as_json import kind_of, text_of

Json = dict[str, Any]

_PICTURES = ("image", "image[]")
_NUMBERS = frozenset({"n", "output_compression"})
_SIGNATURES = ((b"\x89PNG", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"RIFF", "image/webp"))


class _Addressed(Struct, frozen=True):
    """A picture as OpenAI's JSON names one."""

    image_url: str


class Words(Struct, frozen=True):
    """A vendor's words for an edit: the fields it knows, its members for pictures, and what asks for nothing there."""

    known: frozenset[str]
    pictures: Callable[[list[str]], Json]
    usual: frozenset[tuple[str, bytes]] = frozenset()


def from_form(parts: Iterable[Part], values: Mapping[str, Any], gaps: Gaps, words: Words) -> bytes:
    """A form as a vendor's JSON, `values` in the place of its own. `gaps` is told of what the vendor has not."""
    members: Json = {}
    pictures: list[str] = []
    for part in parts:
        if part.name in _PICTURES:
            pictures.append(_uri_of(part))
        elif part.name in words.known:
            members[part.name] = _value_of(part)
        elif part.content not in {b"", b"auto"} and (part.name, part.content) not in words.usual:
            gaps.refuse(part.name)
    return msgspec.json.encode({**members, **values, **(words.pictures(pictures) if pictures else {})})


def from_json(body: bytes, words: Words) -> bytes:
    """A JSON body with pictures in the vendor's words where they are in OpenAI's, else the very same bytes."""
    if b'"image_url"' not in body:
        return body
    members: Json = msgspec.json.decode(body)
    try:
        pictures = msgspec.convert(members.get("images"), list[_Addressed])
    except msgspec.ValidationError:
        return body
    del members["images"]
    return msgspec.json.encode(
        {**members, **(words.pictures([each.image_url for each in pictures]) if pictures else {})}
    )


def _one_or_more(urls: list[str]) -> Json:
    """xAI's: one picture and several have members of their own."""
    pictures = [{"type": "image_url", "url": url} for url in urls]
    return {"image": pictures[0]} if len(pictures) == 1 else {"images": pictures}


def _references(urls: list[str]) -> Json:
    return {"input_references": [{"type": "image_url", "image_url": {"url": url}} for url in urls]}


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


def _uri_of(part: Part) -> str:
    """A file as a data URI; what its part is not labelled with is told by how it begins."""
    kind = kind_of(part, "image/", _SIGNATURES) or "image/png"
    return f"data:{kind};base64,{b64encode(part.content).decode()}"


def _value_of(part: Part) -> str | int:
    value = text_of(part)
    return int(value) if part.name in _NUMBERS and value.isascii() and value.isdigit() else value
