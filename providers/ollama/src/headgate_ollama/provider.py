"""The Ollama provider: a server of one's own, or ollama.com with a key.

Completions, pictures, an experiment there, and transcripts are asked for where it speaks as OpenAI does, unchanged:
https://docs.ollama.com/api/openai-compatibility and https://github.com/ollama/ollama/blob/main/server/routes.go
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from typing_extensions import override

from headgate.chat import File, Image
from headgate.dialects import Dialect
from headgate.provider import Provider
from headgate_ollama.chat import OllamaChat
from headgate_ollama.embed import OllamaEmbed


class Ollama(Provider):
    """Ollama's own API. Chat in any dialect is translated; so are embeddings."""

    name = "ollama"
    base_url = "http://127.0.0.1:11434"
    is_keyless = True
    docs = "https://docs.ollama.com/api/introduction"
    evidence = "recorded"
    dialects: ClassVar[Mapping[str, str]] = {
        "chat": OllamaChat.name,
        "embeddings": OllamaEmbed.name,
        "completions": "openai.completions",
        "images.generate": "openai.images",
        "audio.transcriptions": "openai.transcription",
        "passthrough": "",
    }
    codecs: ClassVar[Mapping[str, Dialect]] = {OllamaChat.name: OllamaChat(), OllamaEmbed.name: OllamaEmbed()}
    paths: ClassVar[Mapping[str, str]] = {
        "chat": "/api/chat",
        "embeddings": "/api/embed",
        "completions": "/v1/completions",
        "images.generate": "/v1/images/generations",
        "audio.transcriptions": "/v1/audio/transcriptions",
    }

    @override
    def fetches(self, part: Image | File) -> bool:
        """Ollama fetches nothing."""
        return False
