"""Cloudflare: rankings, pictures and sound by what runs any model of Workers AI, since its API in OpenAI's shape has none.

Sources: https://developers.cloudflare.com/workers-ai/models/bge-reranker-base and, for address and envelope,
https://developers.cloudflare.com/workers-ai/get-started/rest-api; for pictures and sound those of `cloudflare_media`; for
thinking that is switched off the schemas of models: https://developers.cloudflare.com/workers-ai/models/kimi-k2.6
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from msgspec.structs import replace
from typing_extensions import override

from headgate.chat import ChatRequest
from headgate.dialects import Dialect, Gaps
from headgate.exchange import Exchange
from headgate.forms import content_type_of, form_of
from headgate.operations import (
    BATCHES,
    COMPLETIONS,
    IMAGES_EDIT,
    IMAGES_GENERATE,
    RERANK,
    SPEECH,
    TRANSCRIPTIONS,
    TRANSLATIONS,
)
from headgate.provider import operation_of
from headgate.relay import Decode
from headgate.upstream import UpstreamRequest
from headgate_compatible import policy
from headgate_compatible.vendors import cloudflare_media as media
from headgate_compatible.vendors.as_json import Encode, JsonForms
from headgate_compatible.vendors.bare_texts import WORKERS, BareTexts, Words
from headgate_compatible.vendors.cloudflare_batches import CloudflareBatches
from headgate_compatible.vendors.places import path_of
from headgate_compatible.vendors.ranking import CloudflareRerank
from headgate_compatible.vendors.reshaped import Reshaped, Shape
from headgate_compatible.vendors.results import asks_for_results

Json = dict[str, Any]

_SWITCHED = ("gemma-4", "glm-", "kimi-", "qwen3.8")
"""Models that document a switch for thinking, by what their name holds."""
_RUN = frozenset(
    each.name for each in (COMPLETIONS, IMAGES_EDIT, IMAGES_GENERATE, RERANK, SPEECH, TRANSCRIPTIONS, TRANSLATIONS)
)
"""Operations whose model stands in the address."""


class Cloudflare(BareTexts, JsonForms, Reshaped):
    """Workers AI, and by its REST API the models of others behind AI Gateway."""

    own_dialects: ClassVar[Mapping[str, str]] = {"rerank": CloudflareRerank.name, "batches": CloudflareBatches.name}
    codecs: ClassVar[Mapping[str, Dialect]] = {each.name: each for each in (CloudflareRerank(), CloudflareBatches())}
    texts: ClassVar[Words] = WORKERS
    forms: ClassVar[Mapping[str, Encode]] = {
        IMAGES_EDIT.name: media.edit,
        TRANSCRIPTIONS.name: media.transcript,
        TRANSLATIONS.name: partial(media.transcript, task="translate"),
    }
    answers: ClassVar[Mapping[str, Decode]] = {
        IMAGES_EDIT.name: partial(media.decode_picture, sent=b""),
        TRANSCRIPTIONS.name: media.decode_transcript,
        TRANSLATIONS.name: media.decode_transcript,
    }
    shapes: ClassVar[Mapping[str, Shape]] = {
        IMAGES_GENERATE.name: Shape(media.encode_picture, media.decode_picture),
        SPEECH.name: Shape(media.encode_speech, media.decode_speech),
    }

    @override
    def spoken(self, ex: Exchange, model: str) -> tuple[str, str] | None:
        """The results of a batch are the content of a file of its id; other files are not there."""
        return (BATCHES.name, CloudflareBatches.name) if asks_for_results(ex) else super().spoken(ex, model)

    @override
    def url_at(self, ex: Exchange, target: str) -> str:
        """What runs a model stands beside the API in OpenAI's shape."""
        return super().url_at(ex, "").removesuffix("/v1") + target

    @override
    def url_for(self, ex: Exchange) -> str:
        url, operation = super().url_for(ex), operation_of(ex)
        if ex.attempt is None or operation not in _RUN:
            return url
        return f"{url.removesuffix(self.paths[operation]).removesuffix('/v1')}/run/{path_of(ex.attempt.model)}"

    @override
    def think(self, request: ChatRequest, gaps: Gaps) -> ChatRequest:
        model = request.model.lower()
        is_off = policy.effort_of(request.thinking) == "none" and any(name in model for name in _SWITCHED)
        switch = "chat_template_kwargs" if is_off else ""
        return replace(request, thinking=policy.think(request.thinking, self.quirks.efforts, gaps, switch))

    @override
    def finish(self, body: Json, request: ChatRequest, gaps: Gaps) -> None:
        if request.thinking is not None and request.thinking.mode == "disabled":
            body["chat_template_kwargs"] = {"enable_thinking": False}

    @override
    def prepare(self, ex: Exchange) -> UpstreamRequest:
        request = super().prepare(ex)
        model = ex.attempt.model if ex.attempt is not None else ""
        if operation_of(ex) != IMAGES_GENERATE.name or not media.wants_form(model):
            return request
        boundary = secrets.token_hex(16).encode()
        headers = (
            *(pair for pair in request.headers if pair[0] != b"content-type"),
            (b"content-type", content_type_of(boundary)),
        )
        return replace(request, headers=headers, body=form_of(media.form_parts(request.body), boundary))
