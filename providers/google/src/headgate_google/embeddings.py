"""The dialect `google.embed`: many texts in one call of the Gemini API, `batchEmbedContents`.

Sources: https://ai.google.dev/api/embeddings and the types of google-genai 3.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from typing_extensions import override

from headgate.body import decode_object
from headgate.chat import Usage
from headgate.dialects import Gaps, GoogleGenerate, TextPlace, WholeDialect
from headgate.dialects.openai.members import Json, Members, as_object, given, objects
from headgate.dialects.words import Headers
from headgate.errors import ErrorWords, InvalidRequest, ProviderFailed, UnsupportedField
from headgate.vectors import EmbedReply, EmbedRequest, InputType

TASKS: dict[InputType, str] = {
    "query": "RETRIEVAL_QUERY",
    "document": "RETRIEVAL_DOCUMENT",
    "classification": "CLASSIFICATION",
    "clustering": "CLUSTERING",
    "similarity": "SEMANTIC_SIMILARITY",
}
_COLLECTIONS = ("models/", "tunedModels/")
_ERRORS = GoogleGenerate()


class GoogleEmbed(WholeDialect[EmbedRequest, EmbedReply]):
    """The `google.embed` dialect. Every text is a request of its own, all with the same task and length of vectors."""

    name = "google.embed"
    operation = "embeddings"

    @override
    def request_texts(self, body: Json) -> Sequence[TextPlace]:
        return [
            TextPlace(("requests", at, "content", "parts", number, "text"), part["text"], "user")
            for at, asked in enumerate(objects(body.get("requests")))
            for number, part in enumerate(objects((as_object(asked.get("content")) or {}).get("parts")))
            if isinstance(part.get("text"), str)
        ]

    @override
    def decode_request(self, body: bytes) -> EmbedRequest:
        asked = Members(decode_object(body)).listed("requests")
        if not asked:
            raise InvalidRequest("`requests` must hold at least one request", param="requests")
        texts = tuple("".join(part.need("text", str) for part in one.inner("content").listed("parts")) for one in asked)
        first = asked[0]
        task = first.find("taskType", str)
        kind: InputType | None = next((name for name, word in TASKS.items() if word == task), None)
        model = (first.find("model", str) or "").removeprefix("models/")
        dimensions = first.find("outputDimensionality", int)
        extra = first.rest() | ({"taskType": task} if task and kind is None else {})
        return EmbedRequest(model, texts, dimensions, input_type=kind, dialect=self.name, extra=extra)

    @override
    def encode_request(self, request: EmbedRequest, gaps: Gaps) -> bytes:
        if not all(isinstance(text, str) for text in request.inputs):
            raise UnsupportedField("`input` must be text: Gemini does not take tokens", param="input")
        if request.user is not None:
            gaps.skip("user")
        if request.dialect != self.name:
            gaps.extra(request.extra)
        model = request.model if request.model.startswith(_COLLECTIONS) else f"models/{request.model}"
        each: Json = {
            "model": model,
            **given(
                taskType=TASKS[request.input_type] if request.input_type else None,
                outputDimensionality=request.dimensions,
            ),
            **(request.extra if request.dialect == self.name else {}),
        }
        return msgspec.json.encode({"requests": [{**each, "content": _content(text)} for text in request.inputs]})

    @override
    def decode_reply(self, body: bytes, request: EmbedRequest) -> EmbedReply:
        try:
            held = Members(decode_object(body))
            vectors = tuple(one.need("values", tuple[float, ...]) for one in held.listed("embeddings"))
            used = held.find("usageMetadata", dict[str, Any])
            if len(vectors) != len(request.inputs):
                raise InvalidRequest(f"{len(vectors)} vectors came for {len(request.inputs)} texts")
            return EmbedReply(request.model, vectors, _usage_of(used), dialect=self.name, extra=held.rest())
        except InvalidRequest as error:
            raise ProviderFailed(f"the reply holds no embeddings: {error}", code="upstream_bad_reply") from None

    @override
    def encode_reply(self, reply: EmbedReply, request: EmbedRequest) -> bytes:
        used = {"usageMetadata": {"promptTokenCount": reply.usage.prompt}} if reply.usage else {}
        return msgspec.json.encode({"embeddings": [{"values": vector} for vector in reply.vectors], **used})

    @override
    def encode_error(self, words: ErrorWords) -> bytes:
        return _ERRORS.encode_error(words)

    @override
    def decode_error(self, status: int, body: bytes, headers: Headers = ()) -> ErrorWords:
        return _ERRORS.decode_error(status, body, headers)

    @override
    def reply_usage(self, body: bytes) -> Usage | None:
        try:
            return _usage_of(Members(decode_object(body)).find("usageMetadata", dict[str, Any]))
        except InvalidRequest as error:
            raise ProviderFailed(f"the provider's reply is not JSON: {error}", code="upstream_bad_reply") from None


def _content(text: object) -> Json:
    return {"parts": [{"text": text}]}


def _usage_of(used: Json | None) -> Usage | None:
    """What the reply says it read; models before gemini-embedding-2 say nothing."""
    if not used:
        return None
    count = used.get("promptTokenCount") or used.get("totalTokenCount") or 0
    return Usage(max(0, count), raw=used) if isinstance(count, int) else None
