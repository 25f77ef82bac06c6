"""Pictures at Together, and edits of them, which are requests for pictures with others beside: for OpenAI's clients.

Sources: `ImageGenerateParams` and `ImageFile` of the SDK `together` 3.1, https://github.com/togethercomputer/skills
(together-images, api-reference.md: which models take `image_url`, which `reference_images`) and
https://docs.together.ai/docs/inference/images/reference-images. They speak of addresses; that a data URI is one too shows
`togetherai-image-model.ts` of the SDK `@ai-sdk/togetherai` 2.0, for `image_url`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.dialects.openai.members import objects
from headgate.exchange import RawHeaders, Reply
from headgate.forms import Part
from headgate_compatible.vendors import edits, pictures

Json = dict[str, Any]

_ONE, _MANY = ("kontext",), ("flux.2-dev", "gemini", "google/", "flash-image")
"""What the names of models hold that take one picture alone, and of those that take a list alone."""
_FORMS = {"b64_json": "base64", "base64": "base64", "url": "url"}
_FORMATS = ("jpeg", "png")
_FIELDS = frozenset(
    {
        *("aspect_ratio", "disable_safety_checker", "guidance", "guidance_scale", "height", "model", "n"),
        *("negative_prompt", "output_format", "prompt", "prompt_upsampling", "response_format", "seed", "size"),
        *("steps", "width"),
    }
)
_USUAL = frozenset({("stream", b"false"), ("partial_images", b"0"), ("quality", b"standard")})


def encode_form(parts: Iterable[Part], values: Mapping[str, Any], gaps: Gaps) -> bytes:
    """OpenAI's form of an edit as Together takes it, `values` in the place of its own."""
    return encode(edits.from_form(parts, values, gaps, _words_of(values.get("model"))), gaps)


def encode_json(body: bytes, gaps: Gaps) -> bytes:
    """OpenAI's JSON of an edit as Together takes it."""
    return encode(edits.from_json(body, gaps, _words_of(decode_object(body).get("model"))), gaps)


def encode(body: bytes, gaps: Gaps) -> bytes:
    """A request in Together's words. `gaps` is told of what it has none for."""
    members = decode_object(body)
    for name in ("input_fidelity", "mask"):
        if members.pop(name, None) is not None:
            gaps.refuse(name)
    pictures.refuse_unknown(members, gaps, ("output_format",))
    if members.get("output_format") not in (None, *_FORMATS):
        del members["output_format"]
        gaps.refuse("output_format", f"pictures come as one of {', '.join(_FORMATS)} from there")
    form = members.pop("response_format", None)
    if isinstance(form, str) and form in _FORMS:
        members["response_format"] = _FORMS[form]
    elif form is not None:
        gaps.refuse("response_format", "pictures come as `url` or `b64_json` from there")
    pictures.tell_sides(members, gaps)
    return msgspec.json.encode(members)


def decode(headers: RawHeaders, body: bytes, _sent: bytes = b"") -> Reply:
    """A good answer as OpenAI's clients read it, with the time that it lacks. Raises ProviderFailed for one without pictures."""
    held = pictures.object_in(body)
    return pictures.made(headers, objects(held.get("data")), held)


def _words_of(model: object) -> edits.Words:
    """How a model is told of pictures."""
    name = model.lower() if isinstance(model, str) else ""
    takes_one, takes_many = any(each in name for each in _ONE), any(each in name for each in _MANY)

    def told(urls: list[str]) -> Json:
        return {"image_url": urls[0]} if len(urls) == 1 and not takes_many else {"reference_images": urls}

    return edits.Words(_FIELDS, told, _USUAL, most=1 if takes_one else None)
