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
from headgate.provider import Provider
from headgate_cohere.batches import CohereBatches
from headgate_cohere.chat import CohereChat
from headgate_cohere.embed import CohereEmbed
from headgate_cohere.files import CohereFiles

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
    def fetches(self, part: Image | File) -> bool:
        """Cohere fetches pictures; it knows no files, so those become text here."""
        return isinstance(part, Image)
