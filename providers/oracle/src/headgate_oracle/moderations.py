"""Moderations for clients of OpenAI's: whether OCI's guardrails take a text or a picture to be unsafe.

Sources: https://docs.oracle.com/en-us/iaas/Content/generative-ai/guardrails.htm (two categories, each with a score of 0.0 or 1.0)
and `ApplyGuardrailsDetails`, `GuardrailsTextInput`, `GuardrailsImageInput` and `CategoryScore` of `oci` 2.189. Other guardrails,
against injected prompts and for personal data, are no moderations, and are not asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.dialects.openai.members import as_object
from headgate.dialects.openai.moderations import judged_in, moderation, result
from headgate.errors import InvalidRequest, ProviderFailed
from headgate.exchange import RawHeaders, Reply
from headgate.upstream.fanout import bodies_in, replies_in

Json = dict[str, Any]

_CHECKS: Json = {"contentModerationConfig": {"categories": ["OVERALL", "BLOCKLIST"]}}
_UNSAFE = 0.5
"""Scores are 0 or 1; 1 is unsafe, or a word on the list."""


class _Score(Struct):
    name: str
    score: float


class _Moderated(Struct):
    categories: list[_Score]


class _Results(Struct, rename="camel"):
    content_moderation: _Moderated


class _Applied(Struct):
    results: _Results


def encode(body: bytes, compartment: str, gaps: Gaps) -> bytes:
    """OpenAI's request as calls: one for each text, or one for all parts. `gaps` is told of what is lost.

    Raises InvalidRequest for a request without a text or a picture.
    """
    members = decode_object(body)
    members.pop("model", None)
    texts, parts = judged_in(members.pop("input", None))
    gaps.extra(members)
    usual: Json = {"compartmentId": compartment, "guardrailConfigs": _CHECKS}
    if parts:
        return msgspec.json.encode([{**usual, "multimodalInput": [_part_of(part) for part in parts]}])
    return msgspec.json.encode([{**usual, "input": _text_of(each)} for each in texts])


def decode(headers: RawHeaders, body: bytes, model: str, sent: bytes) -> Reply:
    """The answers to what was `sent` as results, in the vendor's categories. Raises ProviderFailed for one without scores."""
    calls = bodies_in(sent)
    pairs = zip(replies_in(body, len(calls)), calls, strict=True)
    results = [_result_of(said, _kinds_of(asked)) for said, asked in pairs]
    return Reply(200, headers, moderation(model, results))


def _text_of(text: str) -> Json:
    return {"type": "TEXT", "content": text}


def _part_of(part: Json) -> Json:
    text, picture = part.get("text"), (as_object(part.get("image_url")) or {}).get("url")
    if part.get("type") == "text" and isinstance(text, str) and text:
        return _text_of(text)
    if part.get("type") == "image_url" and isinstance(picture, str) and picture:
        return {"type": "IMAGE", "imageUrl": {"url": picture}}
    raise InvalidRequest("each part of `input` must be a text or a picture", param="input")


def _kinds_of(asked: bytes) -> Sequence[str]:
    """What was judged by one call, in OpenAI's words."""
    members = decode_object(asked)
    parts: list[Json] = members.get("multimodalInput") or [members["input"]]
    return sorted({str(part["type"]).lower() for part in parts})


def _result_of(said: bytes, kinds: Sequence[str]) -> Json:
    try:
        found = msgspec.json.decode(said, type=_Applied).results.content_moderation.categories
    except (msgspec.DecodeError, UnicodeDecodeError):
        found = []
    if not found:
        raise ProviderFailed("the provider answered with no moderation", code="upstream_bad_reply")
    scores = {each.name.lower(): each.score for each in found}
    return result(scores, _UNSAFE, kinds)
