"""Pictures of models on Replicate for clients of OpenAI's: a request by the schema of its model, and a prediction as an answer.

Sources: https://replicate.com/docs/reference/http#models.predictions.create and the schemas of the models of Black Forest Labs,
ByteDance, Google, OpenAI and Stability there, which name size and number differently. Pictures come as addresses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import gcd
from typing import Any, cast

import msgspec

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.dialects.openai.members import Json
from headgate.errors import InvalidRequest, ProviderFailed
from headgate.exchange import RawHeaders, Reply
from headgate_replicate.inputs import Inputs
from headgate_replicate.replies import created_of

_SIZE = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})")
_NUMBERS = ("num_outputs", "number_of_images", "num_images")
"""Where a model may take how many pictures to make."""
_FREE = "custom"
"""The word for a size that is told as two sides."""
_IDLE: Mapping[str, object] = {
    "background": "auto",
    "moderation": "auto",
    "partial_images": 0,
    "quality": "auto",
    "response_format": "url",
    "stream": False,
}
"""Members of OpenAI's, and what asks for nothing."""
_FORMATS: Mapping[str, str] = {"jpeg": "jpg", "jpg": "jpeg"}
"""One format, two names."""


def encode(body: bytes, version: str, inputs: Inputs, gaps: Gaps) -> bytes:
    """OpenAI's request as a call that begins a prediction. `gaps` is told of what the model has no input for."""
    members = decode_object(body)
    members.pop("model", None)  # it stands in the address, or is its version
    told: Json = {}
    if members.pop("user", None) is not None:
        gaps.skip("user")
    _tell_number(members.pop("n", None), told, inputs, gaps)
    _tell_size(members.pop("size", None), told, inputs, gaps)
    _tell_format(members, inputs)
    for name, value in members.items():
        if name in inputs.fields:
            told[name] = value
        elif value is not None and (name not in _IDLE or value != _IDLE[name]):
            gaps.refuse(name)
    return msgspec.json.encode({**({"version": version} if version else {}), "input": told})


def decode(headers: RawHeaders, body: bytes) -> Reply:
    """A prediction that succeeded in OpenAI's shape. Raises ProviderFailed when its output is no addresses."""
    try:
        held = decode_object(body)
    except InvalidRequest:
        held = {}
    output = held.get("output")
    urls = cast("list[Any]", output) if isinstance(output, list) else [output]
    if not urls or not all(isinstance(url, str) and url.startswith(("https://", "data:")) for url in urls):
        raise ProviderFailed("the provider answered with no pictures", code="upstream_bad_reply")
    data = [{"url": url} for url in urls]
    return Reply(200, headers, msgspec.json.encode({"created": created_of(held), "data": data}))


def _tell_number(number: object, told: Json, inputs: Inputs, gaps: Gaps) -> None:
    if number in {None, 1}:
        return
    name = next((name for name in _NUMBERS if name in inputs.fields), "")
    if name:
        told[name] = number
    else:
        gaps.refuse("n", "the model makes one picture for a request")


def _tell_size(size: object, told: Json, inputs: Inputs, gaps: Gaps) -> None:
    """The size as two sides where the model takes them, else as proportions."""
    if size in {None, "auto"}:
        return
    found = _SIZE.fullmatch(size) if isinstance(size, str) else None
    if found is None:
        gaps.refuse("size", "it must be WIDTHxHEIGHT there")
        return
    width, height, fields = int(found[1]), int(found[2]), inputs.fields
    if {"width", "height"} <= fields.keys():
        free = (name for name in ("aspect_ratio", "size") if name in fields and _FREE in fields[name].words)
        told.update({"width": width, "height": height}, **dict.fromkeys(free, _FREE))
        return
    least = gcd(width, height)
    proportions = f"{width // least}:{height // least}"
    proportions = {"7:3": "21:9", "3:7": "9:21"}.get(proportions, proportions)
    if "aspect_ratio" in fields and proportions in (fields["aspect_ratio"].words or (proportions,)):
        told["aspect_ratio"] = proportions
        gaps.skip("size")  # the number of pixels is the model's
    else:
        gaps.refuse("size", "the model takes neither two sides nor these proportions")


def _tell_format(members: Json, inputs: Inputs) -> None:
    """The format under the name that the model knows it by."""
    field, kind = inputs.fields.get("output_format"), members.get("output_format")
    other = _FORMATS.get(kind, "") if isinstance(kind, str) else ""
    if field is not None and kind not in field.words and other in field.words:
        members["output_format"] = other
