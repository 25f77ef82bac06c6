"""Moderations for clients of OpenAI's that vendors answer in other words: Mistral, whose results name categories and not
whether any of them was met, and Zhipu, which judges one text or one set of parts, by levels.

Sources: https://docs.mistral.ai/api/endpoint/classifiers and, for Zhipu, https://docs.bigmodel.cn/openapi/openapi.json
(https://docs.bigmodel.cn/api-reference/%E5%B7%A5%E5%85%B7-api/%E5%86%85%E5%AE%B9%E5%AE%89%E5%85%A8)
"""

from __future__ import annotations

from typing import Any, cast

import msgspec

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.dialects.openai.members import objects
from headgate.errors import InvalidRequest, ProviderFailed, UnsupportedField
from headgate.exchange import RawHeaders, Reply

Json = dict[str, Any]

_PASSED = "PASS"
"""Zhipu's level of what is harmless; beside it there are `REVIEW` and `REJECT`."""


class _Judged(msgspec.Struct):
    risk_level: str
    risk_type: list[str] | None = None


class _Judgement(msgspec.Struct):
    result_list: list[_Judged]
    id: str = ""
    usage: Json | None = None


def encode(body: bytes, _gaps: Gaps) -> bytes:
    """The request to Mistral, which is OpenAI's."""
    return body


def decode(headers: RawHeaders, body: bytes, _sent: bytes) -> Reply:
    """A good answer with `flagged` in each result; the very same bytes where it stands there. ProviderFailed for no JSON."""
    try:
        held = decode_object(body)
    except InvalidRequest:
        raise _no_moderation() from None
    results = objects(held.get("results"))
    if all("flagged" in each for each in results):
        return Reply(200, headers, body)
    told = [{"flagged": _is_flagged(each.get("categories")), **each} for each in results]
    return Reply(200, headers, msgspec.json.encode({**held, "results": told}))


def encode_zhipu(body: bytes, gaps: Gaps) -> bytes:
    """OpenAI's request as Zhipu takes it. Parts are the same; of several texts each would need a call of its own.

    Raises UnsupportedField for these.
    """
    members = decode_object(body)
    texts = members.get("input")
    if not isinstance(texts, list) or not all(isinstance(each, str) for each in cast("list[object]", texts)):
        return body
    if len(cast("list[object]", texts)) != 1:
        raise UnsupportedField(
            f"`input` must be one text, or parts: `{gaps.target}` judges one at a time", param="input"
        )
    return msgspec.json.encode({**members, "input": texts[0]})


def decode_zhipu(headers: RawHeaders, body: bytes, sent: bytes) -> Reply:
    """A good answer as one result, whose categories are the risks that were found, in the vendor's words.

    What is only suspicious (`REVIEW`) is flagged too. There are no scores. ProviderFailed for an answer without a level.
    """
    try:
        held = msgspec.json.decode(body, type=_Judgement)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _no_moderation() from None
    levels = [each.risk_level for each in held.result_list]
    if not levels:
        raise _no_moderation()
    found = {risk: True for each in held.result_list for risk in each.risk_type or ()}
    is_flagged = any(level != _PASSED for level in levels)
    result = {"flagged": is_flagged, "categories": found, "category_scores": {}, "risk_levels": levels}
    usage = {"usage": held.usage} if held.usage else {}
    return Reply(
        200,
        headers,
        msgspec.json.encode(
            {"id": held.id, "model": decode_object(sent).get("model", ""), "results": [result], **usage}
        ),
    )


def _is_flagged(categories: object) -> bool:
    return isinstance(categories, dict) and any(value is True for value in cast("Json", categories).values())


def _no_moderation() -> ProviderFailed:
    return ProviderFailed("the provider answered with no moderation", code="upstream_bad_reply")
