"""Pictures of models on Replicate for clients of OpenAI's: a request by the schema of its model, and a prediction as an answer.

Sources: https://replicate.com/docs/reference/http#models.predictions.create and the schemas of the models of Black Forest Labs,
ByteDance, Google, OpenAI and Stability there, which name pictures, size and number differently. Pictures come as addresses, and
those of a form go as data URIs: https://replicate.com/docs/topics/predictions/input-files. A picture without a prompt is varied
by models that want none: https://replicate.com/black-forest-labs/flux-redux-dev
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from math import gcd
from typing import Any, cast

import msgspec

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.dialects.openai.members import Json, as_object
from headgate.errors import InvalidRequest, ProviderFailed
from headgate.exchange import RawHeaders, Reply
from headgate.forms import Part
from headgate_replicate.inputs import Inputs
from headgate_replicate.replies import created_of

_SIZE = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})")
_NUMBERS = ("num_outputs", "number_of_images", "num_images")
"""Where a model may take how many pictures to make."""
IMAGES = ("input_images", "image_input", "images", "input_image", "image", "redux_image")
"""Where a model takes pictures to make others of: the first that it has."""
_PICTURES = ("image", "image[]")
_NUMERIC = frozenset({"n", "output_compression", "partial_images", "stream"})
_PARSED = frozenset({"boolean", "integer", "number"})
_SIGNATURES = ((b"\x89PNG", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"RIFF", "image/webp"))
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
    return _begin(decode_object(body), {}, version, inputs, gaps)


def encode_form(parts: Iterable[Part], values: Mapping[str, Any], version: str, inputs: Inputs, gaps: Gaps) -> bytes:
    """OpenAI's form of an edit as such a call, with what `values` overrides. `gaps` is told as above."""
    members: Json = {}
    found: list[str] = []
    told: Json = {}
    for part in parts:
        if part.name in _PICTURES:
            found.append(_uri_of(part))
        elif part.name == "mask" and "mask" in inputs.fields:
            told["mask"] = _uri_of(part)
        elif part.name == "mask":
            gaps.refuse(part.name)
        elif part.name != "model" and part.content:
            members[part.name] = _value_of(part, inputs)
    return _begin({**members, **values}, {**told, **_shown(found, inputs, gaps)}, version, inputs, gaps)


def encode_edit(body: bytes, version: str, inputs: Inputs, gaps: Gaps) -> bytes:
    """An edit that comes as JSON: pictures by their addresses, which Replicate fetches. `gaps` is told as above."""
    members = decode_object(body)
    pictures = members.pop("images", None)
    held = [as_object(each) or {} for each in cast("list[Any]", pictures)] if isinstance(pictures, list) else []
    found = [each.get("image_url") for each in held]
    if not all(isinstance(each, str) for each in found):
        raise InvalidRequest("`images` must be a list of objects with `image_url`", param="images")
    told = _shown(cast("list[str]", found), inputs, gaps)
    mask = as_object(members.get("mask"))
    if mask is not None and "mask" in inputs.fields:
        del members["mask"]
        told["mask"] = mask.get("image_url")
    return _begin(members, told, version, inputs, gaps)


def _begin(members: Json, told: Json, version: str, inputs: Inputs, gaps: Gaps) -> bytes:
    """The call that begins a prediction with these members of OpenAI's, and with what is `told` of pictures."""
    members.pop("model", None)  # it stands in the address, or is its version
    if members.pop("user", None) is not None:
        gaps.skip("user")
    _tell_number(members.pop("n", None), told, inputs, gaps)
    _tell_size(members.pop("size", None), told, inputs, gaps)
    _tell_format(members, inputs)
    for name, value in members.items():
        if name in inputs.fields and name not in told:
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


def _shown(found: Sequence[str], inputs: Inputs, gaps: Gaps) -> Json:
    """Pictures where the model takes them, as many as it does. Raises InvalidRequest for none."""
    if not found:
        raise InvalidRequest("`image` is missing: send the picture in it", param="image")
    field = inputs.first(IMAGES)
    return {field.name: list(found) if field.kind == "array" else gaps.most("image", tuple(found), 1)[0]}


def _uri_of(part: Part) -> str:
    """A picture as a data URI, under its label if that tells one, else as it begins."""
    label = part.content_type.partition(";")[0].strip().lower()
    if not label.startswith("image/"):
        label = next((kind for start, kind in _SIGNATURES if part.content.startswith(start)), "image/png")
    return f"data:{label};base64,{b64encode(part.content).decode()}"


def _value_of(part: Part, inputs: Inputs) -> Any:
    """The value of a field, as the model's schema types it. Raises InvalidRequest for what is none."""
    field = inputs.fields.get(part.name)
    is_parsed = part.name in _NUMERIC or (field is not None and field.kind in _PARSED)
    try:
        return msgspec.json.decode(part.content) if is_parsed else part.content.decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        told = "a number" if is_parsed else "valid UTF-8"
        raise InvalidRequest(f"the field `{part.name}` must be {told}", param=part.name) from None


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
