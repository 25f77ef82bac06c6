"""The model list in the shape of whoever asks: OpenAI's, Anthropic's or Google's, whole or by pages, and single models.

Sources: https://platform.openai.com/docs/api-reference/models, https://platform.claude.com/docs/en/api/models-list and
https://ai.google.dev/api/models.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote

import msgspec
from msgspec import Struct

from headgate.errors import InvalidRequest
from headgate.exchange import Exchange
from headgate.models import Model, find_model, usable_models
from headgate.operations import GENERATE, MESSAGES
from headgate.plan import Plan

Json = dict[str, Any]
Query = Mapping[str, str]

_MOST = 1000
"""Models on a page at most, with Anthropic and with Google."""
_CHAT_METHODS = ("generateContent", "streamGenerateContent", "countTokens")
_EMBED_METHODS = ("embedContent", "batchEmbedContents")
_DEPLOYMENTS = ("provider", "virtual-key", "config")
"""Options that name who should answer."""


class _Shape(Struct, frozen=True):
    one: Callable[[Model], Json]
    page: Callable[[list[Model], Query], Json]


async def answer_models(plan: Plan, ex: Exchange) -> bytes:
    """The reply to `GET /v1/models` or `/v1beta/models`, or of one model below it, with what the caller may use.

    Raises ModelNotFound, and InvalidRequest for a page that there is not.
    """
    shape = _SHAPES.get(ex.error_dialect.name if ex.error_dialect is not None else "", _OPENAI)
    name = _name_in(ex)
    if name:
        return msgspec.json.encode(shape.one(find_model(plan, ex.principal, name)))
    query = dict(parse_qsl(ex.query.decode("latin-1")))
    return msgspec.json.encode(shape.page(await usable_models(plan, ex.principal), query))


def is_for_vendor(ex: Exchange) -> bool:
    """Whether a request about one model is the vendor's to answer: it says whose, or does more than read."""
    return bool(_name_in(ex)) and (
        not ex.operation.takes(ex.scope_method) or any(ex.option(name) for name in _DEPLOYMENTS)
    )


def _name_in(ex: Exchange) -> str:
    return unquote(ex.path)[len(ex.operation.path) + 1 :]


def _number(query: Query, name: str, default: int, least: int) -> int:
    given = query.get(name, "")
    if not given:
        return default
    if not (given.isascii() and given.isdigit() and len(given) < 10 and int(given) >= least):
        raise InvalidRequest(f"`{name}` must be a whole number of at least {least}", param=name)
    return int(given)


def _place(models: list[Model], name: str, param: str) -> int:
    at = next((at for at, model in enumerate(models) if model.id == name), None)
    if at is None:
        raise InvalidRequest(f"`{param}` names no model of this list", param=param)
    return at


def _openai_model(model: Model) -> Json:
    return {"id": model.id, "object": "model", "created": 0, "owned_by": model.owner, **model.facts}


def _openai_page(models: list[Model], _: Query) -> Json:
    return {"object": "list", "data": [_openai_model(model) for model in models]}


def _anthropic_model(model: Model) -> Json:
    """When a model came out is not known here; the vendor's page has the epoch stand for that."""
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.id,
        "created_at": "1970-01-01T00:00:00Z",
        "lifecycle": "active",
        "max_input_tokens": model.facts.get("context_window"),
        "max_tokens": model.facts.get("max_output_tokens"),
        "capabilities": None,
    }


def _anthropic_page(models: list[Model], query: Query) -> Json:
    """A page behind `after_id` or before `before_id`. `has_more` looks in the direction of the page."""
    limit = _number(query, "limit", 20, 1)
    if limit > _MOST:
        raise InvalidRequest(f"`limit` must be at most {_MOST}", param="limit")
    after, before = query.get("after_id"), query.get("before_id")
    if after and before:
        raise InvalidRequest("give `after_id` or `before_id`, not both", param="before_id")
    if before:
        end = _place(models, before, "before_id")
        start = max(0, end - limit)
        has_more = start > 0
    else:
        start = _place(models, after, "after_id") + 1 if after else 0
        end = start + limit
        has_more = end < len(models)
    page = models[start:end]
    return {
        "data": [_anthropic_model(model) for model in page],
        "has_more": has_more,
        "first_id": page[0].id if page else None,
        "last_id": page[-1].id if page else None,
    }


def _google_model(model: Model) -> Json:
    methods = (*(_CHAT_METHODS if model.can_chat else ()), *(_EMBED_METHODS if model.can_embed else ()))
    limits = {"inputTokenLimit": "context_window", "outputTokenLimit": "max_output_tokens"}
    known = {name: model.facts[fact] for name, fact in limits.items() if fact in model.facts}
    return {
        "name": f"models/{model.id}",
        "baseModelId": model.id,
        "version": "",
        "displayName": model.id,
        "description": "",
        **known,
        "supportedGenerationMethods": methods,
    }


def _google_page(models: list[Model], query: Query) -> Json:
    """50 models or `pageSize`; a token says what was the last one, so that a changed list goes on at the right place."""
    size = min(_number(query, "pageSize", 0, 0) or 50, _MOST)
    token = query.get("pageToken")
    start = _place(models, _told(token), "pageToken") + 1 if token else 0
    page = models[start : start + size]
    more = {"nextPageToken": urlsafe_b64encode(page[-1].id.encode()).decode()} if start + size < len(models) else {}
    return {"models": [_google_model(model) for model in page], **more}


def _told(token: str) -> str:
    try:
        return urlsafe_b64decode(token.encode()).decode()
    except ValueError:
        return ""


_OPENAI = _Shape(_openai_model, _openai_page)
_SHAPES = {
    MESSAGES.dialect: _Shape(_anthropic_model, _anthropic_page),
    GENERATE.dialect: _Shape(_google_model, _google_page),
}
