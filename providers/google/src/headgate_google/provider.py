"""The Gemini API: a method of a model is called, so the URL says which model is meant and whether the answer streams.

Pictures and batches in OpenAI's shape are at Google's own layer for that, which takes the key as a bearer token:
https://ai.google.dev/gemini-api/docs/openai and https://ai.google.dev/gemini-api/docs/batch-api. That layer has no files: those
that a batch reads are uploaded in Google's own way, by what is passed through.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import quote

import msgspec
from msgspec import Raw
from typing_extensions import override

from headgate.caller import checked_base_url, passed_path
from headgate.chat import ChatRequest, File, Image
from headgate.dialects import Gaps, GoogleEmbed, GoogleEmbedOne
from headgate.dialects.google import policy as google_policy
from headgate.dialects.google.embed import with_model
from headgate.exchange import Exchange
from headgate.operations import BATCHES, EMBEDS, IMAGES_GENERATE
from headgate.provider import Provider, operation_of
from headgate.upstream import Credential

_SECOND_KEY_ENV = "GOOGLE_API_KEY"
_COLLECTIONS = ("models", "tunedModels", "dynamic")
"""What a model's full name may begin with; a plain name is one of `models`."""
_LAYER = "/openai"
_IN_LAYER = frozenset({IMAGES_GENERATE.name, BATCHES.name})
"""What goes to the layer in OpenAI's shape. It has no files: they are uploaded to Google's own File API, whose names it takes."""


class Google(Provider):
    """Gemini by an API key. Its own dialect goes out as the client wrote it, any other is translated."""

    name = "google"
    base_url = "https://generativelanguage.googleapis.com/v1beta"
    key_env = "GEMINI_API_KEY"
    docs = "https://ai.google.dev/api"
    evidence = "recorded"
    dialects: ClassVar[Mapping[str, str]] = {
        "generate": "google.generate",
        "generate.count_tokens": "",
        "generate.embed": GoogleEmbed.name,
        "generate.embed_one": GoogleEmbedOne.name,
        "embeddings": GoogleEmbed.name,
        "images.generate": "openai.images",
        "batches": "",
        "passthrough": "",
    }
    paths: ClassVar[Mapping[str, str]] = {
        "generate": "/{model}:generateContent",
        "generate.count_tokens": "/{model}:countTokens",
        "generate.embed": "/{model}:batchEmbedContents",
        "generate.embed_one": "/{model}:embedContent",
        "embeddings": "/{model}:batchEmbedContents",
        "images.generate": f"{_LAYER}/images/generations",
    }
    key_header = "x-goog-api-key"
    key_prefix = ""
    origins_of_thought = frozenset({"google"})

    @override
    @classmethod
    def from_environment(cls) -> Mapping[str, Any] | None:
        found = super().from_environment()
        if found is None and os.environ.get(_SECOND_KEY_ENV):
            return {"provider": cls.name, "api_key": f"env:{_SECOND_KEY_ENV}"}
        return found

    @override
    def adapt(self, request: ChatRequest, gaps: Gaps) -> ChatRequest:
        return google_policy.adapt(request, gaps)

    @override
    def fetches(self, part: Image | File) -> bool:
        return google_policy.fetches(part)

    @override
    def credential(self, ex: Exchange) -> Credential | None:
        found = super().credential(ex)
        if found is None or operation_of(ex) not in _IN_LAYER:
            return found
        return Credential("authorization", found.secret, found.origins, "Bearer ")

    @override
    def url_for(self, ex: Exchange) -> str:
        operation, attempt = operation_of(ex), ex.attempt
        path = _LAYER + passed_path(ex) if operation == BATCHES.name else self.paths.get(operation)
        if path is None or attempt is None:
            return super().url_for(ex)
        if operation == "generate" and ex.stream:
            path = "/{model}:streamGenerateContent?alt=sse"
        base = checked_base_url(ex.base_url) if ex.base_url else self.url
        return base + path.replace("{model}", resource_of(attempt.model))

    @override
    def body_for(self, ex: Exchange) -> bytes:
        """The body to send. The client's own gets a target's overrides, and the model where it names one, as embeddings do."""
        attempt = ex.attempt
        if attempt is None or attempt.body is not None or self.is_passed(ex) or ex.operation is IMAGES_GENERATE:
            return super().body_for(ex)
        if ex.operation in EMBEDS:
            return with_model(ex.body_for("", attempt.target.override_params), attempt.model)
        overrides = attempt.target.override_params
        if not overrides or operation_of(ex) != "generate":
            return ex.source
        members: dict[str, Any] = dict(msgspec.json.decode(ex.source, type=dict[str, Raw]))
        return msgspec.json.encode({**members, **overrides})


def resource_of(model: str) -> str:
    """The path of a model, each of its pieces percent-encoded: `models/gemini-2.5-flash`, `tunedModels/mine`."""
    collection, slash, name = model.partition("/")
    if not slash or collection not in _COLLECTIONS:
        collection, name = "models", model
    return f"{collection}/{quote(name, safe='')}"
