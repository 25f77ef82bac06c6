"""Edits of pictures by FLUX.1 Kontext at Fireworks: a job that is asked after until it is done, for OpenAI's clients, who wait.

Sources: https://docs.fireworks.ai/api-reference/generate-or-edit-image-using-flux-kontext and
https://docs.fireworks.ai/api-reference/get-generated-image-from-flux-kontex. They leave open what a job is told by and what its
result is: `request_id` and, in `sample`, an address, as `fireworks-image-model.ts` of the SDK `@ai-sdk/fireworks` reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.dialects.openai.members import as_object
from headgate.errors import ProviderFailed
from headgate.exchange import RawHeaders, Reply
from headgate.forms import Part
from headgate.upstream import UpstreamRequest
from headgate_compatible.vendors import edits, pictures
from headgate_compatible.vendors.awaited import Jobs

_DONE, _LOST = "Ready", "Task not found"
_MODERATED = frozenset({"Request Moderated", "Content Moderated"})
_OVER = _MODERATED | {_DONE, "Error", "Failed"}
_WIDEST = 21 / 9
_FORMATS = ("jpeg", "png")
_WORDS = edits.Words(
    frozenset(
        {
            *("aspect_ratio", "model", "n", "output_format", "prompt", "prompt_upsampling", "response_format"),
            *("safety_tolerance", "seed", "size"),
        }
    ),
    lambda urls: {"input_image": urls[0]},
    frozenset({("stream", b"false"), ("partial_images", b"0")}),
    most=1,
)


def encode_form(parts: Iterable[Part], values: Mapping[str, Any], gaps: Gaps) -> bytes:
    """OpenAI's form of an edit as Fireworks takes it, `values` in the place of its own."""
    return _settled(edits.from_form(parts, values, gaps, _WORDS), gaps)


def encode(body: bytes, gaps: Gaps) -> bytes:
    """OpenAI's JSON of an edit as Fireworks takes it."""
    return _settled(edits.from_json(body, gaps, _WORDS), gaps)


def decode(headers: RawHeaders, body: bytes, _sent: bytes = b"") -> Reply:
    """A job that is over: its picture in OpenAI's shape, or a refusal as an error. Raises ProviderFailed for any other end."""
    held = pictures.object_in(body)
    status = held.get("status")
    if status in _MODERATED:
        return pictures.moderated(headers, str(status))
    sample = (as_object(held.get("result")) or {}).get("sample")
    if status != _DONE or not isinstance(sample, str) or not sample.startswith("https://"):
        raise ProviderFailed(f"the edit ended without a picture, as `{status}`", code="upstream_bad_reply")
    return pictures.made(headers, [{"url": sample}])


def _look(request: UpstreamRequest, begun: bytes) -> UpstreamRequest:
    """The call that asks after the job that `request` began. Raises ProviderFailed where none was."""
    job = pictures.object_in(begun).get("request_id")
    if not isinstance(job, str) or not job:
        raise ProviderFailed("the reply is no job: it has no `request_id`", code="upstream_bad_reply")
    return replace(request, url=request.url + "/get_result", body=msgspec.json.encode({"id": job}))


def _state(body: bytes) -> str | None:
    """A job's state; one that is not known yet has none."""
    status = pictures.object_in(body).get("status")
    return None if status == _LOST else status


JOBS = Jobs(_look, _state, _OVER)
"""How its jobs are asked after."""


def _settled(body: bytes, gaps: Gaps) -> bytes:
    """An edit without what these models do not know: one picture, of whose size they are told the proportions."""
    members = decode_object(body)
    members.pop("model", None)  # it stands in the address
    for name in ("input_fidelity", "mask"):
        if members.pop(name, None) is not None:
            gaps.refuse(name)
    pictures.refuse_unknown(members, gaps, ("output_format",))
    pictures.refuse_number(members, gaps)
    pictures.refuse_form(members, gaps, "url")
    if members.get("output_format") not in (None, *_FORMATS):
        del members["output_format"]
        gaps.refuse("output_format", f"pictures come as one of {', '.join(_FORMATS)} from there")
    _tell_proportions(members, gaps)
    return msgspec.json.encode(members)


def _tell_proportions(members: dict[str, Any], gaps: Gaps) -> None:
    size = pictures.size_of(members, gaps)
    if size is None:
        return
    width, height = size
    if 1 / _WIDEST <= width / height <= _WIDEST:
        members.setdefault("aspect_ratio", pictures.proportions_of(width, height))
        gaps.skip("size")  # the number of pixels is the model's
    else:
        gaps.refuse("size", "its proportions must be between 21:9 and 9:21 there")
