"""Pictures by FLUX.1 [schnell] and by Stable Diffusion's checkpoints at Novita, which are told of numbers in words of their own.

Sources: https://novita.ai/docs/api-reference/model-apis-flux-1-schnell.md, for checkpoints
https://novita.ai/docs/guides/model-apis-v2-to-v3-migration and `Txt2ImgV3Request` of https://pypi.org/project/novita-client/0.7.1/,
whose values stand for what a client leaves open. The pictures of a checkpoint are a task (`novita_tasks`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.dialects.openai.members import as_object
from headgate_compatible.vendors import pictures

Json = dict[str, Any]

SCHNELL = "flux-1-schnell"
_CHECKPOINT = ".safetensors"
"""How the name of a checkpoint ends."""
_FORMATS = ("jpeg", "png", "webp")
_MOST = 8
"""How many pictures are made at once."""
_USUAL_SCHNELL: Mapping[str, Any] = {"width": 1024, "height": 1024, "steps": 4, "image_num": 1}
_USUAL: Mapping[str, Any] = {
    "width": 512,
    "height": 512,
    "image_num": 1,
    "steps": 20,
    "guidance_scale": 7.5,
    "sampler_name": "Euler a",
}


def is_checkpoint(model: str) -> bool:
    """Whether a model is a checkpoint of Stable Diffusion's."""
    return model.endswith(_CHECKPOINT)


def encoder_of(model: object) -> Callable[[bytes, Gaps], bytes] | None:
    """What tells a request for a picture to a model; None for one of another kind."""
    if model == SCHNELL:
        return encode_schnell
    return encode_checkpoint if isinstance(model, str) and is_checkpoint(model) else None


def encode_schnell(body: bytes, gaps: Gaps) -> bytes:
    """OpenAI's request for a picture as FLUX.1 [schnell] takes it. `gaps` is told of what it cannot honour."""
    members = decode_object(body)
    members.pop("model", None)  # it stands in the address
    pictures.refuse_unknown(members, gaps)
    _tell(members, gaps)
    return msgspec.json.encode({**_USUAL_SCHNELL, **members})


def encode_checkpoint(body: bytes, gaps: Gaps) -> bytes:
    """The same for a checkpoint, whose `extra` a client may write itself."""
    members = decode_object(body)
    extra = as_object(members.pop("extra", None)) or {}
    kind = members.get("output_format")
    pictures.refuse_unknown(members, gaps, ("output_format",))
    members.pop("output_format", None)
    if kind in _FORMATS:
        extra.setdefault("response_image_type", kind)
    elif kind is not None:
        gaps.refuse("output_format", f"pictures come as one of {', '.join(_FORMATS)} from there")
    _tell(members, gaps)
    named = {"model_name": members.pop("model")}
    return msgspec.json.encode({"extra": extra, "request": {**named, **_USUAL, **members}})


def _tell(members: Json, gaps: Gaps) -> None:
    """Tell size, number and form in the vendor's words."""
    pictures.refuse_form(members, gaps, "url")
    pictures.tell_sides(members, gaps)
    number = members.pop("n", None)
    if isinstance(number, int) and number > _MOST:
        gaps.refuse("n", f"there are at most {_MOST} pictures for a request there")
    elif number is not None:
        members.setdefault("image_num", number)
