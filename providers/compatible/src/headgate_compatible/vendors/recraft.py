"""Recraft: an edit of a picture is told by words and by how far it may go from the picture.

Sources: https://www.recraft.ai/docs/api-reference/tools/image-to-image and, for what is needed,
https://github.com/recraft-ai/mcp-recraft-server. What a mask marks is painted at another address, `/v1/images/inpaint`, which is
reached by `passthrough`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import msgspec
from msgspec.structs import replace

from headgate.dialects import Gaps
from headgate.errors import InvalidRequest
from headgate.forms import Part
from headgate.operations import IMAGES_EDIT
from headgate_compatible.vendors.as_json import Encode, JsonForms

_PICTURES = ("image", "image[]")
_IDLE = frozenset({b"", b"auto"})
"""What asks for nothing."""


def from_form(parts: Iterable[Part], values: Mapping[str, Any], gaps: Gaps) -> list[Part]:
    """A form as Recraft takes it, with what `values` overrides. Raises InvalidRequest for none or several pictures, and where
    the field `strength` is missing.
    """
    told: list[Part] = []
    for part in parts:
        if part.name == "mask":
            gaps.refuse("mask", "an edit has none there: `/v1/images/inpaint`, which is passed through, does")
        elif part.name in _PICTURES:
            told.append(replace(part, name=_PICTURES[0], content_type=part.content_type or "application/octet-stream"))
        elif part.name not in values and part.content not in _IDLE:
            told.append(replace(part, content_type=""))
    names = [part.name for part in told]
    if names.count(_PICTURES[0]) != 1:
        raise InvalidRequest("`image` must be one picture there", param="image")
    if "strength" not in {*names, *values}:
        raise InvalidRequest(
            "`strength` is missing: write how far the edit may go from the picture, from 0 to 1, beside `prompt`",
            param="strength",
            code="missing_strength",
        )
    return [*told, *(Part(name, "", _text_of(value)) for name, value in values.items())]


class Recraft(JsonForms):
    """Recraft."""

    forms: ClassVar[Mapping[str, Encode]] = {IMAGES_EDIT.name: from_form}


def _text_of(value: object) -> bytes:
    return value.encode() if isinstance(value, str) else msgspec.json.encode(value)
