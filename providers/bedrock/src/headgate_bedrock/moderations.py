"""Moderations for clients of OpenAI's: how severe a text is in each category, by checks that need no guardrail to be made.

Sources: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeGuardrailChecks.html,
https://docs.aws.amazon.com/bedrock/latest/userguide/guardrails-use-invoke-guardrail-checks.html and the pages below it (a message
has ten texts at most; who asks picks the score that counts as a violation) and, for what the categories are,
https://docs.aws.amazon.com/bedrock/latest/userguide/guardrails-content-filters.html. There are no models and no pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.dialects.openai.members import as_object, objects
from headgate.dialects.openai.moderations import judged_in, moderation, result
from headgate.errors import InvalidRequest, ProviderFailed
from headgate.exchange import RawHeaders, Reply
from headgate.upstream.fanout import bodies_in, replies_in

Json = dict[str, Any]

_CATEGORIES: Mapping[str, str] = {
    "HATE": "hate",
    "INSULTS": "harassment",
    "MISCONDUCT": "illicit",
    "SEXUAL": "sexual",
    "VIOLENCE": "violence",
}
"""The vendor's categories by OpenAI's names; for OpenAI's others it has none."""
_CHECKS: Json = {"contentFilter": {"categories": [{"category": each} for each in _CATEGORIES]}}
_MOST_TEXTS = 10


def encode(body: bytes, gaps: Gaps) -> bytes:
    """OpenAI's request as calls, one for each text, or one for all parts. `gaps` is told of what is lost.

    Raises InvalidRequest for a request without a text.
    """
    members = decode_object(body)
    members.pop("model", None)
    texts, parts = judged_in(members.pop("input", None))
    gaps.extra(members)
    asked = [[text] for text in texts] if texts else [_texts_of(parts, gaps)]
    return msgspec.json.encode([{"messages": _messages(each), "checks": _CHECKS} for each in asked])


def decode(headers: RawHeaders, body: bytes, model: str, flag_at: float, sent: bytes) -> Reply:
    """The answers to what was `sent` as results, each flagged where a score is `flag_at` or more.

    Raises ProviderFailed for one without scores.
    """
    replies = replies_in(body, len(bodies_in(sent)))
    results = [result(_scores_in(each), flag_at, ["text"]) for each in replies]
    return Reply(200, headers, moderation(model, results))


def _texts_of(parts: Sequence[Json], gaps: Gaps) -> list[str]:
    texts: list[str] = []
    for part in parts:
        text: object = part.get("text")
        if part.get("type") == "text" and isinstance(text, str) and text:
            texts.append(text)
        else:
            gaps.refuse("input", "only texts are judged there")
    if not texts:
        raise InvalidRequest("`input` holds no text", param="input")
    return texts


def _messages(texts: Sequence[str]) -> list[Json]:
    starts = range(0, len(texts), _MOST_TEXTS)
    return [{"role": "user", "content": [{"text": each} for each in texts[at : at + _MOST_TEXTS]]} for at in starts]


def _scores_in(body: bytes) -> dict[str, float]:
    try:
        held = as_object(decode_object(body).get("results")) or {}
    except InvalidRequest:
        held = {}
    found = objects((as_object(held.get("contentFilter")) or {}).get("results"))
    scores: dict[str, float] = {}
    for each in found:
        category, score = str(each.get("category")), each.get("severityScore")
        if isinstance(score, int | float):
            scores[_CATEGORIES.get(category, category.lower())] = float(score)
    if not scores:
        raise ProviderFailed("the provider answered with no moderation", code="upstream_bad_reply")
    return scores
