"""Pictures of Stability's models on Bedrock for clients of OpenAI's, made and edited, through InvokeModel.

Sources: https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-stability-diffusion.html and the pages below it:
.../model-parameters-diffusion-stable-image-core-text-image-request-response.html,
.../model-parameters-diffusion-stable-ultra-text-image-request-response.html, .../model-parameters-diffusion-3-5-large.html
and .../stable-image-services.html. Titan's and Nova Canvas have come to their end:
https://docs.aws.amazon.com/bedrock/latest/userguide/model-lifecycle-legacy.html
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any, cast

import msgspec

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.dialects.words import openai_envelope
from headgate.errors import ErrorWords, InvalidRequest, ProviderFailed
from headgate.exchange import RawHeaders, Reply
from headgate.forms import Part
from headgate_compatible.vendors.as_json import text_of
from headgate_compatible.vendors.pictures import proportions_of, refuse_form, refuse_number, refuse_unknown, size_of

Json = dict[str, Any]

MOST_BYTES = 18 * 1024 * 1024
"""How large a form may be: a body of InvokeModel has 25,000,000 bytes at most, and its picture is in base64.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html
"""
_MAKER = "stability."
_CORE, _ULTRA, _SD35 = "stability.stable-image-core", "stability.stable-image-ultra", "stability.sd3-5"
_PROPORTIONS = ("16:9", "1:1", "21:9", "2:3", "3:2", "4:5", "5:4", "9:16", "9:21")
_FILTERED = "Filter reason"
_NUMBERS = frozenset(
    {
        *("n", "output_compression", "partial_images", "seed", "strength", "creativity", "control_strength"),
        *("fidelity", "grow_mask", "left", "right", "up", "down"),
    }
)
"""Fields of a form that are numbers."""


def encode(body: bytes, model: str, gaps: Gaps) -> bytes:
    """OpenAI's request as these models take it; what OpenAI does not know passes. `gaps` is told of what is lost.

    Raises UnsupportedField, and InvalidRequest for a `model` of another maker.
    """
    _check_maker(model)
    members = decode_object(body)
    members.pop("model", None)  # it stands in the address
    size = size_of(members, gaps)
    if size is not None:
        told = proportions_of(*size)
        if told in _PROPORTIONS:
            members.setdefault("aspect_ratio", told)
            gaps.skip("size")  # the number of pixels is the model's
        else:
            gaps.refuse("size", f"its proportions must be one of {', '.join(_PROPORTIONS)} there")
    _settle(members, model, gaps)
    return msgspec.json.encode(members)


def encode_form(parts: Iterable[Part], values: Mapping[str, Any], model: str, gaps: Gaps) -> bytes:
    """OpenAI's form for an edit as these models take it, `values` in the place of its own; fields of the vendor's own pass.

    Raises as `encode` does.
    """
    _check_maker(model)
    if model.startswith(_CORE):
        raise InvalidRequest(
            f"`{model}` edits no pictures: use `{_ULTRA}-v1:1` or one of Stability's image services",
            param="model",
            code="unsupported_model",
        )
    members: Json = {}
    images: list[str] = []
    for part in parts:
        if part.name in {"image", "image[]"}:
            images.append(b64encode(part.content).decode())
        elif part.name == "mask":
            gaps.refuse("mask", "masks are black and white there; what is to change may be transparent in `image`")
        else:
            members[part.name] = _value_of(part)
    if not images:
        raise InvalidRequest("`image` is missing", param="image", code="missing_image")
    if len(images) > 1:
        gaps.refuse("image", "there is one picture in a request there")
    members.update(values)
    members.pop("model", None)
    if size_of(members, gaps) is not None:
        gaps.refuse("size", "a picture keeps its size there")
    if members.pop("input_fidelity", None) is not None:
        gaps.refuse("input_fidelity")
    if model.startswith(_SD35):
        members.setdefault("mode", "image-to-image")
        if "strength" not in members:
            raise InvalidRequest(
                "`strength` is missing: how far the picture may change, from 0 to 1",
                param="strength",
                code="missing_strength",
            )
    _settle(members, model, gaps)
    return msgspec.json.encode({**members, "image": images[0]})


def decode(headers: RawHeaders, body: bytes) -> Reply:
    """A good answer in OpenAI's shape, a refusal as an error. The vendor does not say when it was made.

    Raises ProviderFailed for one without pictures.
    """
    try:
        held = decode_object(body)
    except InvalidRequest:
        held = {}
    images, reasons = _list(held, "images"), _list(held, "finish_reasons")
    refusal = next((each for each in reasons if isinstance(each, str)), "")
    if refusal.startswith(_FILTERED):
        words = ErrorWords(
            400, f"no picture was made: `{refusal}`", "invalid_request_error", "content_policy_violation"
        )
        return Reply(400, headers, openai_envelope(words))
    if refusal or not images:
        raise ProviderFailed("the provider answered with no picture", code="upstream_bad_reply")
    data = [{"b64_json": each} for each in images]
    return Reply(200, headers, msgspec.json.encode({"created": 0, "data": data}))


def _check_maker(model: str) -> None:
    if not model.startswith(_MAKER):
        raise InvalidRequest(
            f"`{model}` makes no pictures here: use a model of Stability's, such as `{_CORE}-v1:1`",
            param="model",
            code="unsupported_model",
        )


def _settle(members: Json, model: str, gaps: Gaps) -> None:
    """Take out of a request what these models do not know, made and edited pictures alike."""
    refuse_unknown(members, gaps, ("output_format",))
    refuse_number(members, gaps)
    refuse_form(members, gaps, "b64_json")
    known = ("jpeg", "png") if model.startswith((_CORE, _ULTRA)) else ("jpeg", "png", "webp")
    form = members.get("output_format")
    if form not in known:
        members.pop("output_format", None)
        if form is not None:
            gaps.refuse("output_format", f"this model's pictures come as one of {', '.join(known)}")


def _value_of(part: Part) -> Any:
    """What a field says, numbers and `stream` as JSON has them. Raises InvalidRequest."""
    said = text_of(part)
    if part.name == "stream":
        return said == "true"
    if part.name not in _NUMBERS:
        return said
    try:
        return msgspec.json.decode(said, type=int | float)
    except msgspec.DecodeError:
        raise InvalidRequest(f"`{part.name}` must be a number", param=part.name) from None


def _list(held: Json, name: str) -> list[Any]:
    value: Any = held.get(name)
    return cast("list[Any]", value) if isinstance(value, list) else []
