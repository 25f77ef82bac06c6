"""Pictures by models at Foundry that are not OpenAI's and stand beside its API: Microsoft's MAI-Image and FLUX.2.

Sources: https://learn.microsoft.com/en-us/azure/foundry/foundry-models/how-to/use-foundry-models-mai-image
and what Vercel's AI SDK (`@ai-sdk/azure`) sends and reads there. For FLUX.2 no page of the vendor's was to be had: it is what
others call in one shape, https://github.com/BerriAI/litellm (`azure_ai`) among them.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Collection, Iterable, Mapping
from typing import Any, cast

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from headgate.body import decode_object, reply_object
from headgate.dialects import Gaps
from headgate.errors import InvalidRequest, ProviderFailed
from headgate.exchange import RawHeaders, Reply
from headgate.forms import Part, form_of, parts_of

Json = dict[str, Any]

MAX_BYTES = 32 * 1024 * 1024
"""How large a form may be, which is read whole."""
_MAI = re.compile(r"mai-image-\d[\w.-]*", re.IGNORECASE)
_FLUX = re.compile(r"flux[.-]2-([a-z0-9]+)", re.IGNORECASE)
_SIZE = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})")
_IDLE: Mapping[str, Collection[str]] = {
    "background": ("auto",),
    "input_fidelity": (),
    "mask": (),
    "moderation": ("auto",),
    "n": ("1",),
    "output_compression": (),
    "partial_images": ("0",),
    "quality": ("auto", "standard"),
    "response_format": ("b64_json",),
    "stream": ("false",),
    "style": (),
}
"""Members of OpenAI's that these models have no words for, and what asks for nothing."""
_PNG = ("png",)
_NUMBERS = frozenset({"guidance", "safety_tolerance", "seed", "steps"})
_NUMBER = re.compile(r"(0|[1-9]\d{0,17})(\.\d{1,17})?", re.ASCII)


class Words(Struct, frozen=True):
    """How a model is asked: below the root of the resource at `path`, and `is_flux` in FLUX.2's words, else in MAI's."""

    path: str
    is_flux: bool = False

    def encode(self, body: bytes, model: str, gaps: Gaps) -> bytes:
        """A request for a picture. `gaps` is told of what it cannot honour."""
        return msgspec.json.encode(self._told({**decode_object(body), "model": model}, gaps))

    def encode_form(self, body: bytes, boundary: bytes, values: Mapping[str, Any], gaps: Gaps) -> bytes:
        """A form of an edit, with `values` in the place of its own: again a form, or JSON where the model is FLUX.2."""
        parts = parts_of(body, boundary)
        pictures = [part for part in parts if part.name in {"image", "image[]"}]
        fields = {part.name: _text_of(part) for part in parts if not part.content_type}
        if any(part.name == "mask" for part in parts):
            fields["mask"] = "a file"
        told = self._told({**fields, **values}, gaps)
        if self.is_flux:
            return msgspec.json.encode({**_measured(told), **_numbered(pictures)})
        own = [Part(name, "", _written(value)) for name, value in told.items()]
        return form_of([*own, *(replace(part, name="image") for part in pictures)], boundary)

    def _told(self, members: Json, gaps: Gaps) -> Json:
        known = _IDLE if self.is_flux else {**_IDLE, "output_format": _PNG}
        for name, idle in known.items():
            value = members.pop(name, None)
            if value is not None and str(value).lower() not in idle:
                gaps.refuse(name)
        if members.pop("user", None) is not None:
            gaps.skip("user")
        size = members.pop("size", None)
        found = _SIZE.fullmatch(size) if isinstance(size, str) else None
        if found is not None:
            return {**members, "width": int(found[1]), "height": int(found[2])}
        if size not in (None, "", "auto"):
            gaps.refuse("size", "it must be WIDTHxHEIGHT there")
        return members


def words_of(model: str, path: str, *, is_mai: bool) -> Words | None:
    """How a model is asked for what OpenAI has at `path`; None where that is as OpenAI has it. `is_mai`: said to be MAI's."""
    if is_mai or _MAI.fullmatch(model):
        return Words(f"/mai/v1{path}")
    found = _FLUX.search(model)
    return found and Words(f"/providers/blackforestlabs/v1/flux-2-{found[1].lower()}?api-version=preview", is_flux=True)


def decode(headers: RawHeaders, body: bytes) -> Reply:
    """A good answer as OpenAI's clients read it. Raises ProviderFailed for one without pictures."""
    held = reply_object(body)
    if not held.get("data"):
        raise ProviderFailed("the provider answered with no pictures", code="upstream_bad_reply")
    counts: Any = held.get("usage")
    if isinstance(counts, dict) and "num_output_tokens" in counts:
        held["usage"] = _usage_of(cast("Json", counts))
    labelled = (*(pair for pair in headers if pair[0] != b"content-type"), (b"content-type", b"application/json"))
    return Reply(200, labelled, msgspec.json.encode({"created": 0, **held}))


def _usage_of(counts: Json) -> Json:
    texts, pictures = (int(counts.get(f"num_input_{kind}_tokens") or 0) for kind in ("text", "image"))
    written = int(counts["num_output_tokens"] or 0)
    return {
        "input_tokens": texts + pictures,
        "input_tokens_details": {"text_tokens": texts, "image_tokens": pictures},
        "output_tokens": written,
        "total_tokens": texts + pictures + written,
    }


def _numbered(pictures: Iterable[Part]) -> Json:
    """Pictures as FLUX.2 takes them: the first bare, the others by their number."""
    told = [b64encode(part.content).decode() for part in pictures]
    return {"input_image" if at == 1 else f"input_image_{at}": data for at, data in enumerate(told, 1)}


def _measured(members: Json) -> Json:
    """Members whose numbers are numbers, which a form has as texts."""
    return {
        name: msgspec.json.decode(str(value)) if name in _NUMBERS and _NUMBER.fullmatch(str(value)) else value
        for name, value in members.items()
    }


def _text_of(part: Part) -> str:
    try:
        return part.content.decode()
    except UnicodeDecodeError:
        raise InvalidRequest(f"the field `{part.name}` is not valid UTF-8", param=part.name) from None


def _written(value: object) -> bytes:
    return value.encode() if isinstance(value, str) else msgspec.json.encode(value)
