"""SiliconFlow: pictures with names of its own, and edits of them in the same words. Sources: `pictures`, `edits`"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from headgate.dialects import Gaps
from headgate.exchange import RawHeaders, Reply
from headgate.forms import Part
from headgate.operations import IMAGES_EDIT, IMAGES_GENERATE
from headgate.relay import Decode
from headgate_compatible.vendors import edits, pictures
from headgate_compatible.vendors.as_json import Encode, JsonForms
from headgate_compatible.vendors.reshaped import Reshaped, Shape


def from_form(parts: Iterable[Part], values: Mapping[str, Any], gaps: Gaps) -> bytes:
    """OpenAI's form of an edit as SiliconFlow takes it, `values` in the place of its own."""
    return pictures.encode_siliconflow(edits.from_form(parts, values, gaps, edits.SILICONFLOW), gaps)


def from_json(body: bytes, gaps: Gaps) -> bytes:
    """OpenAI's JSON of an edit as SiliconFlow takes it."""
    return pictures.encode_siliconflow(edits.from_json(body, gaps, edits.SILICONFLOW), gaps)


def to_openai(headers: RawHeaders, body: bytes) -> Reply:
    """A good answer to an edit."""
    return pictures.decode_siliconflow(headers, body, b"")


class SiliconFlow(JsonForms, Reshaped):
    """SiliconFlow."""

    forms: ClassVar[Mapping[str, Encode]] = {IMAGES_EDIT.name: from_form}
    answers: ClassVar[Mapping[str, Decode]] = {IMAGES_EDIT.name: to_openai}
    shapes: ClassVar[Mapping[str, Shape]] = {
        IMAGES_EDIT.name: Shape(from_json, pictures.decode_siliconflow),
        IMAGES_GENERATE.name: Shape(pictures.encode_siliconflow, pictures.decode_siliconflow),
    }
