"""Nebius Token Factory: rankings in Jina's shape, and pictures with members of its own.

Sources: https://docs.tokenfactory.nebius.com/api-reference/inference/rerank-documents and
https://docs.tokenfactory.nebius.com/api-reference/inference/generate (sides from 64 to 2048 pixels, one picture, WebP unless
another kind is named).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.dialects.openai.members import objects
from headgate.exchange import RawHeaders, Reply
from headgate.operations import IMAGES_GENERATE
from headgate_compatible.vendors import pictures
from headgate_compatible.vendors.jina import JinaShaped
from headgate_compatible.vendors.reshaped import Reshaped, Shape

Json = dict[str, Any]

_KINDS = {"jpeg": "jpg", "png": "png", "webp": "webp"}
"""OpenAI's words for kinds of files, and Nebius'."""


def encode_picture(body: bytes, gaps: Gaps) -> bytes:
    """OpenAI's request for a picture as Nebius takes it. `gaps` is told of what it has not."""
    members = decode_object(body)
    pictures.refuse_unknown(members, gaps, {"output_format"})
    pictures.refuse_number(members, gaps)
    pictures.tell_sides(members, gaps)
    kind = members.pop("output_format", None)
    if kind is not None:
        if isinstance(kind, str) and kind in _KINDS:
            members.setdefault("response_extension", _KINDS[kind])
        else:
            gaps.refuse("output_format", f"pictures come as one of {', '.join(_KINDS)} from there")
    return msgspec.json.encode(members)


def decode_picture(headers: RawHeaders, body: bytes, _sent: bytes) -> Reply:
    """A good answer, which tells no time, in OpenAI's shape. Raises ProviderFailed for one without pictures."""
    held = pictures.object_in(body)
    return pictures.made(headers, objects(held.get("data")), held)


class Nebius(JinaShaped, Reshaped):
    """Nebius Token Factory."""

    shapes: ClassVar[Mapping[str, Shape]] = {IMAGES_GENERATE.name: Shape(encode_picture, decode_picture)}
