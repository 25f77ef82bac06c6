"""Cached contents of Vertex AI for clients of the Gemini API, which call them and their models by shorter names.

Source: https://docs.cloud.google.com/vertex-ai/generative-ai/docs/reference/rest/v1/projects.locations.cachedContents
"""

from __future__ import annotations

from typing import Any

import msgspec

from headgate.body import decode_object
from headgate.dialects.openai.members import objects
from headgate.errors import InvalidRequest, ProviderFailed
from headgate.exchange import RawHeaders, Reply
from headgate.operations import model_of

COLLECTION = "cachedContents"
_NAMED = f"{COLLECTION}/"
_MEMBER = "cachedContent"
_MARK = f'"{_MEMBER}"'.encode()

Json = dict[str, Any]


def encode(body: bytes, model: str) -> bytes:
    """A new cached content for `model`, the full name of one; a change of one, which names none, stays as it is."""
    held = decode_object(body)
    return msgspec.json.encode({**held, "model": model}) if "model" in held else body


def decode(headers: RawHeaders, body: bytes) -> Reply:
    """A cached content, a page of them or the nothing that is left of one, by the names of the Gemini API."""
    try:
        held = decode_object(body)
    except InvalidRequest as error:
        raise ProviderFailed(f"the reply is no cached content: {error}", code="upstream_bad_reply") from None
    if COLLECTION in held:
        held[COLLECTION] = [_told(each) for each in objects(held[COLLECTION])]
    return Reply(200, headers, msgspec.json.encode(_told(held)))


def with_place(body: bytes, place: str) -> bytes:
    """A request that generates, with the full name of the cached content that it uses, if any. `place` is its collection's."""
    if _MARK not in body:
        return body
    held = decode_object(body)
    named = held.get(_MEMBER)
    if not isinstance(named, str) or not named.startswith(_NAMED):
        return body
    return msgspec.json.encode({**held, _MEMBER: f"{place}/{named}"})


def _told(held: Json) -> Json:
    name, model = held.get("name"), held.get("model")
    told: Json = {}
    if isinstance(name, str):
        told["name"] = _NAMED + name.rpartition("/")[2]
    if isinstance(model, str):
        told["model"] = f"models/{model_of(model)}"
    return {**held, **told}
