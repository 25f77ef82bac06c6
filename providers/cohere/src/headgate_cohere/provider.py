"""The Cohere provider: chat, embeddings, files and batches translated, reranking and transcriptions as they come.

Transcriptions are in OpenAI's shape: https://docs.cohere.com/reference/create-audio-transcription. Fine-tuning is deprecated
(https://docs.cohere.com/docs/fine-tuning) and passed through.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, ClassVar

from typing_extensions import override

from headgate.chat import File, Image
from headgate.dialects import Dialect
from headgate.exchange import Exchange
from headgate.operations import RERANK
from headgate.provider import Provider
from headgate_cohere.batches import CohereBatches
from headgate_cohere.chat import CohereChat
from headgate_cohere.embed import CohereEmbed
from headgate_cohere.files import CohereFiles

_OLDER = (b'"return_documents"', b'"rank_fields"')
"""What a ranking is told in version 1 alone: https://docs.cohere.com/v1/reference/rerank"""
_OTHER_KEY_ENV = "CO_API_KEY"
"""What Cohere's own SDK reads: https://docs.cohere.com/reference/about"""


class Cohere(Provider):
    """Cohere's version 2. Chat in any dialect is translated; so are embeddings."""

    name = "cohere"
    base_url = "https://api.cohere.com"
    key_env = "COHERE_API_KEY"
    docs = "https://docs.cohere.com/reference/about"
    evidence = "recorded"
    dialects: ClassVar[Mapping[str, str]] = {
        "chat": CohereChat.name,
        "embeddings": CohereEmbed.name,
        "rerank": "cohere.rerank",
        "audio.transcriptions": "openai.transcription",
        "files": CohereFiles.name,
        "batches": CohereBatches.name,
        "passthrough": "",
    }
    codecs: ClassVar[Mapping[str, Dialect]] = {
        each.name: each for each in (CohereChat(), CohereEmbed(), CohereFiles(), CohereBatches())
    }
    paths: ClassVar[Mapping[str, str]] = {
        "chat": "/v2/chat",
        "embeddings": "/v2/embed",
        "rerank": "/v2/rerank",
        "audio.transcriptions": "/v2/audio/transcriptions",
    }
    forwarded: ClassVar[tuple[str, ...]] = ("x-client-name",)

    @override
    @classmethod
    def from_environment(cls) -> Mapping[str, Any] | None:
        if not os.environ.get(cls.key_env) and os.environ.get(_OTHER_KEY_ENV):
            return {"provider": cls.name, "api_key": f"env:{_OTHER_KEY_ENV}"}
        return super().from_environment()

    @override
    def url_for(self, ex: Exchange) -> str:
        url = super().url_for(ex)
        return url.replace("/v2/rerank", "/v1/rerank") if ex.operation is RERANK and _is_older(ex) else url

    @override
    def fetches(self, part: Image | File) -> bool:
        """Cohere fetches pictures; it knows no files, so those become text here."""
        return isinstance(part, Image)


def _is_older(ex: Exchange) -> bool:
    """Whether a client of version 1 asks for what version 2 answers with an error."""
    return ex.path == "/v1/rerank" and any(name in ex.source for name in _OLDER)
