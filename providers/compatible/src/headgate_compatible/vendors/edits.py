"""Edits of pictures for xAI, which takes them as JSON alone, from the forms that OpenAI's clients send.

Source: https://docs.x.ai/developers/model-capabilities/images/generation (pictures as addresses or data URIs, up to three;
the forms of OpenAI's SDK are not taken). It documents no mask; `size` and `style` mean nothing there.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from headgate.dialects import Gaps
from headgate.errors import InvalidRequest
from headgate.forms import Part

Json = dict[str, Any]

MAX_BYTES = 32 * 1024 * 1024
"""How large a form may be that is read whole to be sent as JSON."""
_PICTURES = ("image", "image[]")
_KNOWN = frozenset({"aspect_ratio", "model", "n", "prompt", "quality", "resolution", "response_format", "user"})
_SIGNATURES = ((b"\x89PNG", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"RIFF", "image/webp"))


class _Addressed(Struct, frozen=True):
    """A picture as OpenAI's JSON names one."""

    image_url: str


def from_form(parts: Iterable[Part], values: Mapping[str, Any], gaps: Gaps) -> bytes:
    """A form as xAI's JSON, `values` in the place of its own. `gaps` is told of what xAI has not."""
    members: Json = {}
    pictures: list[Json] = []
    for part in parts:
        if part.name in _PICTURES:
            pictures.append(_picture(_uri_of(part)))
        elif part.name in _KNOWN:
            members[part.name] = _value_of(part)
        elif part.content not in {b"", b"auto"}:
            gaps.refuse(part.name)
    return msgspec.json.encode({**members, **values, **_named(pictures)})


def from_json(body: bytes) -> bytes:
    """A JSON body with pictures in xAI's words where they are in OpenAI's, else the very same bytes."""
    if b'"image_url"' not in body:
        return body
    members: Json = msgspec.json.decode(body)
    try:
        pictures = msgspec.convert(members.get("images"), list[_Addressed])
    except msgspec.ValidationError:
        return body
    del members["images"]
    return msgspec.json.encode({**members, **_named([_picture(each.image_url) for each in pictures])})


def _named(pictures: list[Json]) -> Json:
    """One picture and several have members of their own."""
    return {"image": pictures[0]} if len(pictures) == 1 else {"images": pictures} if pictures else {}


def _picture(url: str) -> Json:
    return {"type": "image_url", "url": url}


def _uri_of(part: Part) -> str:
    """A file as a data URI; what its part is not labelled with is told by how it begins."""
    kind = part.content_type.partition(";")[0].strip().lower()
    if not kind.startswith("image/"):
        kind = next((name for start, name in _SIGNATURES if part.content.startswith(start)), "image/png")
    return f"data:{kind};base64,{b64encode(part.content).decode()}"


def _value_of(part: Part) -> str | int:
    try:
        value = part.content.decode()
    except UnicodeDecodeError:
        raise InvalidRequest(f"the field `{part.name}` is not valid UTF-8", param=part.name) from None
    return int(value) if part.name == "n" and value.isascii() and value.isdigit() else value
