"""The Ollama provider: a server of one's own, or ollama.com with a key.

Completions, pictures, an experiment there, and transcripts are asked for where it speaks as OpenAI does, unchanged but for edits
of pictures, which it takes as JSON: https://docs.ollama.com/api/openai-compatibility and
https://github.com/ollama/ollama/blob/main/server/routes.go
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any, ClassVar

from msgspec.structs import replace
from typing_extensions import override

from headgate.chat import ChatRequest, File, Image
from headgate.dialects import Dialect, Gaps, instructions
from headgate.exchange import Exchange, Reply
from headgate.forms import parts_of
from headgate.operations import IMAGES_EDIT
from headgate.provider import Provider
from headgate.upload import Upload
from headgate_compatible.vendors.as_json import MAX_BYTES
from headgate_compatible.vendors.edits import OLLAMA, from_form, from_json
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
        IMAGES_EDIT.name: IMAGES_EDIT.dialect,
        "audio.transcriptions": "openai.transcription",
        "passthrough": "",
    }
    codecs: ClassVar[Mapping[str, Dialect]] = {OllamaChat.name: OllamaChat(), OllamaEmbed.name: OllamaEmbed()}
    paths: ClassVar[Mapping[str, str]] = {
        "chat": "/api/chat",
        "embeddings": "/api/embed",
        "completions": "/v1/completions",
        "images.generate": "/v1/images/generations",
        IMAGES_EDIT.name: IMAGES_EDIT.path,
        "audio.transcriptions": "/v1/audio/transcriptions",
    }

    @override
    def adapt(self, request: ChatRequest, gaps: Gaps) -> ChatRequest:
        """Instructions come first for Qwen: https://github.com/ollama/ollama/issues/17774."""
        request = super().adapt(request, gaps)
        if not instructions.is_strict(request.model):
            return request
        return replace(request, messages=instructions.instructed_first(request.messages, gaps, ""))

    @override
    def fetches(self, part: Image | File) -> bool:
        """Ollama fetches nothing."""
        return False

    @override
    def vendor_headers(self, ex: Exchange) -> Mapping[bytes, bytes]:
        return {b"content-type": b"application/json"} if ex.operation is IMAGES_EDIT else {}

    @override
    def body_for(self, ex: Exchange) -> bytes:
        body = super().body_for(ex)
        if ex.operation is not IMAGES_EDIT or ex.upload is not None:
            return body
        gaps = Gaps(self.name, self.policy(ex))
        body = from_json(body, gaps, OLLAMA)
        ex.tell_dropped(gaps.dropped)
        return body

    @override
    def call(self, ex: Exchange) -> Coroutine[Any, Any, Reply]:
        if ex.operation is IMAGES_EDIT and ex.upload is not None:
            return self._edit(ex, ex.upload)
        return super().call(ex)

    async def _edit(self, ex: Exchange, upload: Upload) -> Reply:
        """Read a form for an edit whole, and send it as JSON."""
        attempt, gaps = ex.attempt, Gaps(self.name, self.policy(ex))
        parts = parts_of(await upload.read(MAX_BYTES), upload.boundary or b"")
        if attempt is not None:
            named = {"model": attempt.model} if attempt.model else {}
            attempt.body = from_form(parts, {**named, **attempt.target.override_params}, gaps, OLLAMA)
        ex.tell_dropped(gaps.dropped)
        return await super().call(ex)
