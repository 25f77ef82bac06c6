"""The Gemini API: a method of a model is called, so the URL says which model is meant and whether the answer streams.

Pictures and batches in OpenAI's shape are at Google's own layer for that, which takes the key as a bearer token:
https://ai.google.dev/gemini-api/docs/openai and https://ai.google.dev/gemini-api/docs/batch-api. That layer has no files: they
are Google's own, whose names it takes. Edits of pictures, voices and transcripts are answers of models. Clients of Google's find
the rest of its API at the paths that it has there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, ClassVar
from urllib.parse import quote, unquote

import msgspec
from msgspec import Raw
from typing_extensions import override

from headgate.caller import above, checked_base_url, passed_path
from headgate.chat import ChatRequest, File, Image
from headgate.dialects import Dialect, Gaps, GoogleCount, GoogleEmbed, GoogleEmbedOne
from headgate.dialects.google import live
from headgate.dialects.google import policy as google_policy
from headgate.dialects.google.embed import resource_name, with_model
from headgate.exchange import Exchange
from headgate.operations import (
    BATCHES,
    EMBEDS,
    FILES,
    GENERATE_BATCH,
    GENERATE_BATCHES,
    GENERATE_CACHES,
    GENERATE_COUNT,
    GENERATE_FILES,
    GENERATE_LIVE,
    GENERATE_UPLOADS,
    IMAGES_EDIT,
    IMAGES_GENERATE,
    SPEECH,
    TRANSCRIPTIONS,
)
from headgate.provider import operation_of
from headgate.resumable import session_url
from headgate.upstream import Credential
from headgate_google import naming
from headgate_google.files import GoogleFiles
from headgate_google.media import JSON, GeminiMedia

_SECOND_KEY_ENV = "GOOGLE_API_KEY"
_COLLECTIONS = ("models", "tunedModels", "dynamic")
"""What a model's full name may begin with; a plain name is one of `models`."""
_LAYER = "/openai"
_IN_LAYER = frozenset({IMAGES_GENERATE.name, BATCHES.name})
"""What goes to the layer in OpenAI's shape."""
_UPLOAD = GENERATE_UPLOADS.path
"""What stands before the version in the paths of uploads."""
_SOCKETS = "/ws/"
"""How the paths of WebSockets begin, below the host."""
_LIVE_VERSION, _EARLY = "v1beta", "v1alpha"
"""The version in the path of a session, for which the base URL's stands, and the one that clients ask for what comes early."""
_UPLOAD_HEADERS = tuple(
    f"x-goog-upload-{name}".encode()
    for name in ("protocol", "command", "offset", "file-name", "header-content-length", "header-content-type")
)
_FILES = (FILES.name, GoogleFiles.name)
_COUNTER = GoogleCount()


class Google(GeminiMedia):
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
        IMAGES_EDIT.name: "openai.images",
        SPEECH.name: "openai.speech",
        TRANSCRIPTIONS.name: "openai.transcription",
        "files": GoogleFiles.name,
        "batches": "",
        GENERATE_FILES.name: "",
        GENERATE_UPLOADS.name: "",
        GENERATE_BATCH.name: "",
        GENERATE_BATCHES.name: "",
        GENERATE_CACHES.name: "",
        GENERATE_LIVE.name: "google.live",
        "passthrough": "",
    }
    codecs: ClassVar[Mapping[str, Dialect]] = {GoogleFiles.name: GoogleFiles()}
    paths: ClassVar[Mapping[str, str]] = {
        "generate": "/{model}:generateContent",
        "generate.count_tokens": "/{model}:countTokens",
        "generate.embed": "/{model}:batchEmbedContents",
        "generate.embed_one": "/{model}:embedContent",
        "embeddings": "/{model}:batchEmbedContents",
        "images.generate": f"{_LAYER}/images/generations",
        IMAGES_EDIT.name: "/{model}:generateContent",
        SPEECH.name: "/{model}:generateContent",
        TRANSCRIPTIONS.name: "/{model}:generateContent",
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
        """The key; none for a session of an upload, whose address is all that the vendor asks for."""
        found = super().credential(ex)
        if found is None or session_url(ex):
            return None
        if operation_of(ex) not in _IN_LAYER:
            return found
        return Credential("authorization", found.secret, found.origins, "Bearer ")

    @override
    def url_for(self, ex: Exchange) -> str:
        operation, attempt = operation_of(ex), ex.attempt
        path = self.paths.get(operation)
        if path is None or attempt is None:
            return session_url(ex) or self.url_at(ex, self._passed(ex, operation))
        if operation == "generate" and ex.stream:
            path = "/{model}:streamGenerateContent?alt=sse"
        return self.url_at(ex, path.replace("{model}", resource_of(attempt.model)))

    def _passed(self, ex: Exchange, operation: str) -> str:
        """What a path of the client's is here: one of Google's own API as it is, those of OpenAI's where Google has the same."""
        if operation == BATCHES.name:
            return _LAYER + passed_path(ex)
        if operation == FILES.name:
            return f"/files/{quote(file_of(ex.path), safe='')}:download?alt=media"
        if operation == GENERATE_BATCH.name and ex.attempt is not None:
            return f"/{resource_of(ex.attempt.model)}:{ex.path.rpartition(':')[2]}"
        if operation == GENERATE_UPLOADS.name:
            below = passed_path(ex, _UPLOAD)  # a version, and what is uploaded
            return f"{_UPLOAD}/{below[1:].partition('/')[2]}"
        if operation == GENERATE_LIVE.name:
            return GENERATE_LIVE.path.replace(_LIVE_VERSION, _EARLY) if _EARLY in ex.path else GENERATE_LIVE.path
        return passed_path(ex, "/v1beta" if ex.path.startswith("/v1beta/") else "/v1")

    @override
    def url_at(self, ex: Exchange, target: str) -> str:
        base = checked_base_url(ex.base_url) if ex.base_url else self.url
        root = above(base)
        version = base.removeprefix(root).removeprefix("/") or _LIVE_VERSION
        if target.startswith(_SOCKETS):
            return root + target.replace(_LIVE_VERSION, version)
        if not target.startswith(f"{_UPLOAD}/"):
            return base + target
        return f"{root}{_UPLOAD}/{version}{target.removeprefix(_UPLOAD)}"

    @override
    def spoken(self, ex: Exchange, model: str) -> tuple[str, str] | None:
        """Files are told in OpenAI's shape; their content is relayed."""
        found = super().spoken(ex, model)
        return (FILES.name, "") if found == _FILES and ex.path.endswith("/content") else found

    @override
    def socket_query(self, ex: Exchange) -> Mapping[str, str]:
        return {}

    @override
    def vendor_headers(self, ex: Exchange) -> Mapping[bytes, bytes]:
        if operation_of(ex) in self.retold:
            return dict([JSON])
        if ex.operation is FILES:
            return {_UPLOAD_HEADERS[0]: b"multipart"} if ex.scope_method == "POST" else {}
        if ex.operation is not GENERATE_UPLOADS:
            return {}
        return {name: ex.headers[name] for name in _UPLOAD_HEADERS if name in ex.headers}

    @override
    def session_reader(self, ex: Exchange) -> Callable[[bytes], bytes] | None:
        return live.reader_for(ex.path, is_vertex=False)

    @override
    def body_for(self, ex: Exchange) -> bytes:
        """The body to send. The client's own gets a target's overrides, and the model where it names one, as embeddings do."""
        attempt = ex.attempt
        if attempt is not None and ex.operation is GENERATE_LIVE:
            return live.with_model(ex.source, resource_name(attempt.model))
        if attempt is not None and ex.operation in {GENERATE_CACHES, GENERATE_BATCH} and attempt.body is None:
            return naming.with_model(ex.source, attempt.model) if attempt.model else ex.source
        if attempt is None or attempt.body is not None or self.is_passed(ex) or ex.operation is IMAGES_GENERATE:
            return super().body_for(ex)
        if ex.operation is GENERATE_COUNT:
            return _COUNTER.reshape(ex.source, attempt.model, Gaps(self.name, self.policy(ex)))
        if ex.operation in EMBEDS:
            return with_model(ex.body_for("", attempt.target.override_params), attempt.model)
        overrides = attempt.target.override_params
        if not overrides or operation_of(ex) != "generate":
            return ex.source
        members: dict[str, Any] = dict(msgspec.json.decode(ex.source, type=dict[str, Raw]))
        return msgspec.json.encode({**members, **overrides})


def file_of(path: str) -> str:
    """The id of a file in the path of its content, `/v1/files/{id}/content`, without the collection it may begin with."""
    named = unquote(path.removeprefix(f"{FILES.path}/").removesuffix("/content"))
    return named.removeprefix(f"{GoogleFiles.collection}/")


def resource_of(model: str) -> str:
    """The path of a model, each of its pieces percent-encoded: `models/gemini-2.5-flash`, `tunedModels/mine`."""
    collection, slash, name = model.partition("/")
    if not slash or collection not in _COLLECTIONS:
        collection, name = "models", model
    return f"{collection}/{quote(name, safe='')}"
