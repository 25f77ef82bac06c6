"""Mistral's moderations for clients of OpenAI's: its results name categories, and not whether any of them was met.

Source: https://docs.mistral.ai/api/endpoint/classifiers
"""

from __future__ import annotations

from typing import Any, cast

import msgspec

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.dialects.openai.members import objects
from headgate.errors import InvalidRequest, ProviderFailed
from headgate.exchange import RawHeaders, Reply

Json = dict[str, Any]


def encode(body: bytes, _gaps: Gaps) -> bytes:
    """The request, which is OpenAI's."""
    return body


def decode(headers: RawHeaders, body: bytes, _sent: bytes) -> Reply:
    """A good answer with `flagged` in each result; the very same bytes where it stands there. ProviderFailed for no JSON."""
    try:
        held = decode_object(body)
    except InvalidRequest:
        raise ProviderFailed("the provider answered with no moderation", code="upstream_bad_reply") from None
    results = objects(held.get("results"))
    if all("flagged" in each for each in results):
        return Reply(200, headers, body)
    told = [{"flagged": _is_flagged(each.get("categories")), **each} for each in results]
    return Reply(200, headers, msgspec.json.encode({**held, "results": told}))


def _is_flagged(categories: object) -> bool:
    return isinstance(categories, dict) and any(value is True for value in cast("Json", categories).values())
