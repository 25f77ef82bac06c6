"""Pictures by vendors with members of their own, for OpenAI's clients: what they share, SiliconFlow's, Fireworks' and NVIDIA's.

Sources: https://docs.siliconflow.com/en/api-reference/images/images-generations,
https://docs.fireworks.ai/api-reference/generate-a-new-image-from-a-text-prompt, whose answer is the picture itself (that one was
filtered is a header, by the SDK `fireworks-ai` 0.15), and
https://docs.api.nvidia.com/nim/reference/black-forest-labs-flux_1-dev-infer.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Collection, Mapping, Sequence
from math import gcd
from typing import Any

import msgspec

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.dialects.openai.members import objects
from headgate.dialects.words import openai_envelope
from headgate.errors import ErrorWords, InvalidRequest, ProviderFailed
from headgate.exchange import RawHeaders, Reply

Json = dict[str, Any]

_SIZE = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})")
_UNKNOWN: Mapping[str, Collection[object]] = {
    "background": ("auto",),
    "moderation": ("auto",),
    "output_compression": (),
    "output_format": (),
    "partial_images": (0,),
    "quality": ("auto", "standard"),
    "stream": (False,),
    "style": (),
}
"""Members of OpenAI's that others have no words for, and what asks for nothing."""
_FILTERED = "CONTENT_FILTERED"
_PROPORTIONS = frozenset({"1:1", "21:9", "16:9", "3:2", "5:4", "4:5", "2:3", "9:16", "9:21", "4:3", "3:4"})


def refuse_unknown(members: Json, gaps: Gaps, known: Collection[str] = ()) -> None:
    """Take out of a request what only OpenAI knows, but for `known`. `gaps` is told of what asks for something."""
    for name, idle in _UNKNOWN.items():
        if name in known:
            continue
        value = members.pop(name, None)
        if value is not None and value not in idle:
            gaps.refuse(name)
    if members.pop("user", None) is not None:
        gaps.skip("user")


def refuse_form(members: Json, gaps: Gaps, form: str) -> None:
    """Take the form of the answer out of a request to a vendor that has this one alone."""
    if members.pop("response_format", form) not in (None, form):
        gaps.refuse("response_format", f"pictures come as `{form}` from there")


def refuse_number(members: Json, gaps: Gaps) -> None:
    """Take the number of pictures out of a request to a vendor that makes one."""
    if members.pop("n", 1) not in (None, 1):
        gaps.refuse("n", "there is one picture for a request there")


def size_of(members: Json, gaps: Gaps) -> tuple[int, int] | None:
    """Take width and height out of a request; None where it leaves them to the vendor."""
    size = members.pop("size", None)
    if size in (None, "auto"):
        return None
    found = _SIZE.fullmatch(size) if isinstance(size, str) else None
    if found is None:
        gaps.refuse("size", "it must be WIDTHxHEIGHT there")
        return None
    return int(found[1]), int(found[2])


def encode_siliconflow(body: bytes, gaps: Gaps) -> bytes:
    """A request with SiliconFlow's names for size and number. Its pictures come as addresses alone."""
    members = decode_object(body)
    for name, theirs in (("size", "image_size"), ("n", "batch_size")):
        value = members.pop(name, None)
        if isinstance(value, list | dict):
            gaps.refuse(name, "it is one value there")
        elif value not in (None, "auto"):
            members.setdefault(theirs, value)
    if members.pop("response_format", "url") not in (None, "url"):
        gaps.refuse("response_format", "pictures come as `url` there")
    return msgspec.json.encode(members)


def decode_siliconflow(headers: RawHeaders, body: bytes, _sent: bytes) -> Reply:
    """A good answer with its pictures where OpenAI's clients look for them. ProviderFailed for one without."""
    held = object_in(body)
    return made(headers, objects(held.get("data")) or objects(held.get("images")), held)


def encode_fireworks(body: bytes, gaps: Gaps) -> bytes:
    """A request as a workflow of Fireworks takes it: one picture, of whose size it can be told the proportions."""
    members = decode_object(body)
    del members["model"]  # it stands in the address
    refuse_unknown(members, gaps)
    refuse_number(members, gaps)
    refuse_form(members, gaps, "b64_json")
    size = size_of(members, gaps)
    if size is not None:
        proportions = proportions_of(*size)
        if proportions in _PROPORTIONS:
            members.setdefault("aspect_ratio", proportions)
            gaps.skip("size")  # the number of pixels is the model's
        else:
            gaps.refuse("size", f"its proportions must be one of {', '.join(sorted(_PROPORTIONS))} there")
    return msgspec.json.encode(members)


def decode_file(headers: RawHeaders, body: bytes, _sent: bytes) -> Reply:
    """A good answer, which is the picture itself, in OpenAI's shape, or a refusal, which a header tells, as an error.

    Raises ProviderFailed for anything else.
    """
    if not is_file(headers):
        raise ProviderFailed("the provider answered with no picture", code="upstream_bad_reply")
    if (b"finish-reason", _FILTERED.encode()) in headers:
        return moderated(headers, _FILTERED)
    return made(headers, [{"b64_json": b64encode(body).decode()}])


def encode_nvidia(body: bytes, gaps: Gaps) -> bytes:
    """A request as a model that NVIDIA hosts takes it."""
    members = decode_object(body)
    del members["model"]  # it stands in the address
    refuse_unknown(members, gaps)
    refuse_number(members, gaps)
    refuse_form(members, gaps, "b64_json")
    tell_sides(members, gaps)
    return msgspec.json.encode(members)


def decode_nvidia(headers: RawHeaders, body: bytes, _sent: bytes) -> Reply:
    """A good answer in OpenAI's shape, or a refusal as an error: in the place of a picture that was filtered stands another,
    or none. Raises ProviderFailed for an answer without any.
    """
    held = object_in(body)
    if any(each.get("finishReason") == _FILTERED for each in objects(held.get("artifacts"))):
        return moderated(headers, _FILTERED)
    found = [each.get("base64") for each in objects(held.get("artifacts"))] or [held.get("image")]
    return made(headers, [{"b64_json": each} for each in found if each])


def moderated(headers: RawHeaders, word: str) -> Reply:
    """A refusal of what was asked for as an error of OpenAI's, with the vendor's `word` for it."""
    words = ErrorWords(400, f"no picture was made: `{word}`", "invalid_request_error", "content_policy_violation")
    return Reply(400, _as_json(headers), openai_envelope(words))


def is_file(headers: RawHeaders) -> bool:
    """Whether an answer is a picture itself."""
    return dict(headers).get(b"content-type", b"").startswith(b"image/")


def object_in(body: bytes) -> Json:
    """The members of an answer; none where it is no object."""
    try:
        return decode_object(body)
    except InvalidRequest:
        return {}


def made(headers: RawHeaders, data: Sequence[Json], beside: Mapping[str, Any] | None = None) -> Reply:
    """A reply with pictures, and what stands `beside` them, in OpenAI's shape. Raises ProviderFailed where there are none."""
    if not data:
        raise ProviderFailed("the provider answered with no pictures", code="upstream_bad_reply")
    return Reply(200, _as_json(headers), msgspec.json.encode({"created": 0, **(beside or {}), "data": data}))


def _as_json(headers: RawHeaders) -> RawHeaders:
    return (*(pair for pair in headers if pair[0] != b"content-type"), (b"content-type", b"application/json"))


def tell_sides(members: Json, gaps: Gaps) -> None:
    """Tell the size of a request as `width` and `height`."""
    size = size_of(members, gaps)
    if size is not None:
        members["width"], members["height"] = size


def proportions_of(width: int, height: int) -> str:
    """Width to height in the least numbers; `21:9`, which is 7:3, in those that vendors know it by."""
    least = gcd(width, height)
    told = f"{width // least}:{height // least}"
    return {"7:3": "21:9", "3:7": "9:21"}.get(told, told)
