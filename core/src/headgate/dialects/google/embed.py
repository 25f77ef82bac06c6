"""The dialects `google.embed` and `google.embed_one`: many texts in one call of the Gemini API (`batchEmbedContents`), or one.

Sources: https://ai.google.dev/api/embeddings and the types of google-genai 3.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from typing_extensions import override

from headgate.body import decode_object
from headgate.chat import Usage
from headgate.dialects.gaps import Gaps
from headgate.dialects.google.generate import GoogleGenerate
from headgate.dialects.interface import TextPlace, WholeDialect
from headgate.dialects.openai.members import Json, Members, as_object, given, objects
from headgate.dialects.words import Headers
from headgate.errors import ErrorWords, InvalidRequest, ProviderFailed, UnsupportedField
from headgate.vectors import EmbedReply, EmbedRequest, InputType, vectors_for

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
    """The `google.embed` dialect. Every text is a request of its own; a vendor of another dialect has one setting for all."""

    name = "google.embed"
    operation = "embeddings"

    @override
    def request_texts(self, body: Json) -> Sequence[TextPlace]:
        return [
            TextPlace(("requests", at, *place.path), place.text, place.role)
            for at, asked in enumerate(objects(body.get("requests")))
            for place in _texts_of(asked)
        ]

    @override
    def decode_request(self, body: bytes) -> EmbedRequest:
        """A model named beside the requests goes before those in them."""
        held = Members(decode_object(body))
        asked = held.listed("requests")
        if not asked:
            raise InvalidRequest("`requests` must hold at least one request", param="requests")
        texts = tuple(map(_text_of, asked))
        named, settings = held.find("model", str), [one.rest() for one in asked]
        for at, other in enumerate(settings):
            if other != settings[0]:
                raise InvalidRequest(
                    f"`requests[{at}]` has other settings than `requests[0]`: send it alone", param=f"requests[{at}]"
                )
        return _decoded(Members(settings[0]), texts, named, self.name, held.rest())

    @override
    def encode_request(self, request: EmbedRequest, gaps: Gaps) -> bytes:
        return msgspec.json.encode({"requests": _encoded(request, gaps, is_own=request.dialect == self.name)})

    @override
    def decode_reply(self, body: bytes, request: EmbedRequest) -> EmbedReply:
        try:
            held = Members(decode_object(body))
            vectors = tuple(one.need("values", tuple[float, ...]) for one in held.listed("embeddings"))
            used = held.find("usageMetadata", dict[str, Any])
            ordered = vectors_for(request, vectors)
            return EmbedReply(request.model, ordered, _usage_of(used), dialect=self.name, extra=held.rest())
        except InvalidRequest as error:
            raise _unreadable(error) from None

    @override
    def encode_reply(self, reply: EmbedReply, request: EmbedRequest) -> bytes:
        return msgspec.json.encode({"embeddings": [{"values": vector} for vector in reply.vectors], **_used(reply)})

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


class GoogleEmbedOne(GoogleEmbed):
    """The `google.embed_one` dialect: the only request, without a list around it, and the only vector."""

    name = "google.embed_one"

    @override
    def request_texts(self, body: Json) -> Sequence[TextPlace]:
        return _texts_of(body)

    @override
    def decode_request(self, body: bytes) -> EmbedRequest:
        held = Members(decode_object(body))
        return _decoded(held, (_text_of(held),), None, self.name, {})

    @override
    def encode_request(self, request: EmbedRequest, gaps: Gaps) -> bytes:
        if len(request.inputs) != 1:
            raise UnsupportedField("`input` must be a single text for `embedContent`", param="input")
        return msgspec.json.encode(_encoded(request, gaps, is_own=request.dialect == self.name)[0])

    @override
    def decode_reply(self, body: bytes, request: EmbedRequest) -> EmbedReply:
        try:
            held = Members(decode_object(body))
            vector = held.inner("embedding").need("values", tuple[float, ...])
            used = held.find("usageMetadata", dict[str, Any])
            return EmbedReply(request.model, (vector,), _usage_of(used), dialect=self.name, extra=held.rest())
        except InvalidRequest as error:
            raise _unreadable(error) from None

    @override
    def encode_reply(self, reply: EmbedReply, request: EmbedRequest) -> bytes:
        return msgspec.json.encode({"embedding": {"values": reply.vectors[0]}, **_used(reply)})


def with_model(body: bytes, model: str) -> bytes:
    """A request of either dialect with `model` wherever it names one. Raises InvalidRequest when it is no JSON object."""
    held, named = decode_object(body), resource_name(model)
    if "requests" in held:
        requests = [{**asked, "model": named} for asked in objects(held["requests"])]
        return msgspec.json.encode({**held, "requests": requests})
    return msgspec.json.encode({**held, "model": named})


def resource_name(model: str) -> str:
    """A model's full name: `models/gemini-embedding-001`, `tunedModels/mine`."""
    return model if model.startswith(_COLLECTIONS) else f"models/{model}"


def _decoded(settings: Members, texts: tuple[str, ...], named: str | None, dialect: str, more: Json) -> EmbedRequest:
    model, config = settings.find("model", str) or "", settings.inner_if_given("embedContentConfig") or settings
    task = config.find("taskType", str) or settings.find("taskType", str)
    kind: InputType | None = next((name for name, word in TASKS.items() if word == task), None)
    dimensions = config.find("outputDimensionality", int) or settings.find("outputDimensionality", int)
    extra = settings.rest() | ({"taskType": task} if task and kind is None else {}) | more
    name = (named or model).removeprefix("models/")
    return EmbedRequest(name, texts, dimensions, input_type=kind, dialect=dialect, extra=extra)


def _encoded(request: EmbedRequest, gaps: Gaps, *, is_own: bool) -> list[Json]:
    if not all(isinstance(text, str) for text in request.inputs):
        raise UnsupportedField("`input` must be text: Gemini does not take tokens", param="input")
    if request.user is not None:
        gaps.skip("user")
    if not is_own:
        gaps.extra(request.extra)
    each: Json = {
        "model": resource_name(request.model),
        **given(
            taskType=TASKS[request.input_type] if request.input_type else None,
            outputDimensionality=request.dimensions,
        ),
        **(request.extra if is_own else {}),
    }
    return [{**each, "content": {"parts": [{"text": text}]}} for text in request.inputs]


def _texts_of(asked: Json) -> list[TextPlace]:
    return [
        TextPlace(("content", "parts", number, "text"), part["text"], "user")
        for number, part in enumerate(objects((as_object(asked.get("content")) or {}).get("parts")))
        if isinstance(part.get("text"), str)
    ]


def _text_of(asked: Members) -> str:
    content = asked.inner("content")
    content.take("role")  # says nothing here
    return "".join(part.need("text", str) for part in content.listed("parts"))


def _used(reply: EmbedReply) -> Json:
    return {"usageMetadata": {"promptTokenCount": reply.usage.prompt}} if reply.usage else {}


def _unreadable(error: InvalidRequest) -> ProviderFailed:
    return ProviderFailed(f"the reply holds no embeddings: {error}", code="upstream_bad_reply")


def _usage_of(used: Json | None) -> Usage | None:
    """What the reply says it read; models before gemini-embedding-2 say nothing."""
    if not used:
        return None
    count = used.get("promptTokenCount") or used.get("totalTokenCount") or 0
    return Usage(max(0, count), raw=used) if isinstance(count, int) else None
