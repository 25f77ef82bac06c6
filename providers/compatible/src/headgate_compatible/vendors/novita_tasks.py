"""Pictures of Novita's that are tasks: a call begins one, and it is asked after until its pictures are there.

Sources: https://novita.ai/docs/api-reference/model-apis-task-result, ../model-apis-flux-1-kontext-dev,
../model-apis-flux-1-kontext-pro, ../model-apis-flux-1-kontext-max, ../model-apis-flux-2-pro, ../model-apis-flux-2-flex,
../model-apis-flux-2-dev, ../model-apis-z-image-turbo, ../model-apis-z-image-turbo-lora, ../model-apis-hunyuan-image-3,
../model-apis-qwen-txt2img and ../model-apis-qwen-image-edit. Pictures are strings there, not said of which kind, or addresses for
FLUX.2. What a client uploads is sent as a data URI, with which others have pictures edited by Qwen (at PPIO too, which has the
same interface: one string, an address or a data URI) and Seedream; of Kontext and FLUX.2 nobody tells how that ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.dialects.openai.members import as_object, objects
from headgate.errors import ProviderFailed
from headgate.exchange import RawHeaders, Reply
from headgate.forms import Part
from headgate.upstream import UpstreamRequest
from headgate_compatible.vendors import edits, pictures
from headgate_compatible.vendors.awaited import Jobs

Json = dict[str, Any]

_DONE = "TASK_STATUS_SUCCEED"
_USUAL = frozenset({("stream", b"false"), ("partial_images", b"0")})
_COMMON = frozenset({"model", "n", "prompt", "response_format", "seed", "size"})
_PROPORTIONS = ("21:9", "16:9", "4:3", "3:2", "1:1", "2:3", "3:4", "9:16", "9:21")
_FORMATS = ("jpeg", "png", "webp")
_MOST = 4
"""How many pictures a model makes that makes several."""


class Model(Struct, frozen=True):
    """What one model takes: pictures, how it is told of its size, and whether it makes several or in other formats."""

    words: edits.Words
    is_sized: bool = True
    """Whether it is told of pixels; else of proportions."""
    makes_several: bool = False
    has_formats: bool = False


def _takes(most: int, told: Callable[[list[str]], Json] | None = None, *fields: str) -> edits.Words:
    return edits.Words(_COMMON | {*fields}, told or (lambda urls: {"images": urls}), _USUAL, most)


_KONTEXT = Model(_takes(4, None, "aspect_ratio", "guidance_scale", "safety_tolerance"), is_sized=False)
_FLUX_2 = Model(_takes(3))
_PLAIN = Model(_takes(0))
MODELS: Mapping[str, Model] = {
    "flux-1-kontext-dev": Model(
        _takes(4, None, "fast_mode", "guidance_scale", "num_inference_steps", "output_format"),
        makes_several=True,
        has_formats=True,
    ),
    **dict.fromkeys(("flux-1-kontext-pro", "flux-1-kontext-max"), _KONTEXT),
    **dict.fromkeys(("flux-2-pro", "flux-2-flex", "flux-2-dev"), _FLUX_2),
    **dict.fromkeys(("z-image-turbo", "z-image-turbo-lora", "hunyuan-image-3", "qwen-image-txt2img"), _PLAIN),
    "qwen-image-edit": Model(_takes(1, lambda urls: {"image": urls[0]}, "output_format"), has_formats=True),
}
"""The models whose pictures are tasks."""


def encode_form(parts: Iterable[Part], values: Mapping[str, Any], gaps: Gaps, model: Model) -> bytes:
    """OpenAI's form of an edit as a model takes it, `values` in the place of its own."""
    return encode(edits.from_form(parts, values, gaps, model.words), gaps, model)


def encode_json(body: bytes, gaps: Gaps, model: Model) -> bytes:
    """OpenAI's JSON of an edit as a model takes it."""
    return encode(edits.from_json(body, gaps, model.words), gaps, model)


def encode(body: bytes, gaps: Gaps, model: Model) -> bytes:
    """A request as a model takes it. `gaps` is told of what it cannot honour."""
    members = decode_object(body)
    members.pop("model", None)  # it stands in the address
    for name in ("input_fidelity", "mask"):
        if members.pop(name, None) is not None:
            gaps.refuse(name)
    pictures.refuse_unknown(members, gaps, ("output_format",) if model.has_formats else ())
    pictures.refuse_form(members, gaps, "url")
    if members.get("output_format") not in (None, *_FORMATS):
        del members["output_format"]
        gaps.refuse("output_format", f"pictures come as one of {', '.join(_FORMATS)} from there")
    if isinstance(members.get("safety_tolerance"), int):
        members["safety_tolerance"] = str(members["safety_tolerance"])
    _tell_number(members, gaps, model)
    _tell_size(members, gaps, model)
    return msgspec.json.encode(members)


def decode(headers: RawHeaders, held: Json) -> Reply:
    """A task that is over: its pictures in OpenAI's shape. Raises ProviderFailed for any other end."""
    task = as_object(held.get("task")) or {}
    urls = [each.get("image_url") for each in objects(held.get("images"))]
    if task.get("status") != _DONE or not urls or not all(urls):
        reason = task.get("reason") or "no reason is given"
        raise ProviderFailed(
            f"the task ended without a picture, as `{task.get('status')}`: {reason}", code="upstream_bad_reply"
        )
    return pictures.made(headers, [{"url": url} for url in urls])


def _tell_number(members: Json, gaps: Gaps, model: Model) -> None:
    if not model.makes_several:
        return pictures.refuse_number(members, gaps)
    number = members.pop("n", None)
    if isinstance(number, int) and number > _MOST:
        gaps.refuse("n", f"there are at most {_MOST} pictures for a request there")
    elif number is not None:
        members.setdefault("num_images", number)
    return None


def _tell_size(members: Json, gaps: Gaps, model: Model) -> None:
    """Tell a size in the model's words; one that is in Novita's already stays."""
    said = members.get("size")
    if model.is_sized and isinstance(said, str) and "*" in said:
        return
    size = pictures.size_of(members, gaps)
    if size is None:
        return
    if model.is_sized:
        members["size"] = "{}*{}".format(*size)
        return
    proportions = pictures.proportions_of(*size)
    if proportions in _PROPORTIONS:
        members.setdefault("aspect_ratio", proportions)
        gaps.skip("size")  # the number of pixels is the model's
    else:
        gaps.refuse("size", f"its proportions must be one of {', '.join(_PROPORTIONS)} there")


def _look(request: UpstreamRequest, begun: bytes) -> UpstreamRequest:
    """The call that asks after the task that `request` began. Raises ProviderFailed where none was."""
    task = pictures.object_in(begun).get("task_id")
    if not isinstance(task, str) or not task.isascii() or not task.replace("-", "").isalnum():
        raise ProviderFailed("the reply is no task: it has no `task_id`", code="upstream_bad_reply")
    url = f"{request.url.rpartition('/')[0]}/task-result?task_id={task}"
    headers = tuple(pair for pair in request.headers if pair[0] != b"content-type")
    return replace(request, method="GET", url=url, headers=headers, body=b"")


def _state(body: bytes) -> str | None:
    task = cast("Any", as_object(pictures.object_in(body).get("task")) or {})
    status = task.get("status")
    return status if isinstance(status, str) else None


JOBS = Jobs(_look, _state, frozenset({_DONE, "TASK_STATUS_FAILED"}))
"""How its tasks are asked after."""
