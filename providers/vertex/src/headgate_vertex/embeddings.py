"""The dialect `vertex.embed`: texts as vectors on Vertex AI, through the method that the model has.

Sources: https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api (`predict`),
https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest/v1/projects.locations.publishers.models/embedContent and,
for `batchEmbedContents` and which model has what, google-genai 3.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from typing_extensions import override

from headgate.body import decode_object
from headgate.chat import Usage
from headgate.dialects import Gaps, GoogleGenerate, TextPlace, WholeDialect
from headgate.dialects.openai.members import Json, Members, given, objects
from headgate.dialects.words import Headers
from headgate.errors import ErrorWords, InvalidRequest, ProviderFailed, UnsupportedField
from headgate.vectors import EmbedReply, EmbedRequest, InputType, vectors_for

_TASKS: dict[InputType, str] = {
    "query": "RETRIEVAL_QUERY",
    "document": "RETRIEVAL_DOCUMENT",
    "classification": "CLASSIFICATION",
    "clustering": "CLUSTERING",
    "similarity": "SEMANTIC_SIMILARITY",
}
_METHODS = (
    (b'{"instances":', ":predict"),
    (b'{"requests":', ":batchEmbedContents"),
    (b'{"content":', ":embedContent"),
)
_ONE_INSTANCE = "gemini-embedding-001"
"""A model that `predict` embeds one text with: https://cloud.google.com/vertex-ai/generative-ai/docs/embeddings/get-text-embeddings"""
_ERRORS = GoogleGenerate()


def method_of(body: bytes) -> str:
    """The method that a body of this dialect is for."""
    return next((method for start, method in _METHODS if body.startswith(start)), ":predict")


class VertexEmbed(WholeDialect[EmbedRequest, EmbedReply]):
    """The `vertex.embed` dialect: `predict` for the text-embedding models, for Gemini's `embedContent` or, with several
    texts, `batchEmbedContents`. The URL follows from the body: `method_of`.
    """

    name = "vertex.embed"
    operation = "embeddings"

    @override
    def request_texts(self, body: Json) -> Sequence[TextPlace]:
        return [
            TextPlace(("instances", at, "content"), one["content"], "user")
            for at, one in enumerate(objects(body.get("instances")))
            if isinstance(one.get("content"), str)
        ]

    @override
    def decode_request(self, body: bytes) -> EmbedRequest:
        """A request to `predict`; those of the other methods are only made here."""
        members = Members(decode_object(body))
        instances = members.listed("instances")
        if not instances:
            raise InvalidRequest("`instances` must hold at least one text", param="instances")
        texts = tuple(one.need("content", str) for one in instances)
        tasks = {one.find("task_type", str) for one in instances}
        kind: InputType | None = next((name for name, word in _TASKS.items() if tasks == {word}), None)
        if kind is None and tasks != {None}:
            raise InvalidRequest("`task_type` must be one that is known, and the same for all", param="task_type")
        parameters = members.inner_if_given("parameters")
        dimensions = parameters.find("outputDimensionality", int) if parameters else None
        return EmbedRequest("", texts, dimensions, input_type=kind, dialect=self.name, extra=members.rest())

    @override
    def encode_request(self, request: EmbedRequest, gaps: Gaps) -> bytes:
        if not all(isinstance(text, str) for text in request.inputs):
            raise UnsupportedField("`input` must be text: Vertex AI does not take tokens", param="input")
        if request.user is not None:
            gaps.skip("user")
        if request.dialect != self.name:
            gaps.extra(request.extra)
        task = _TASKS[request.input_type] if request.input_type else None
        if _is_predicted(request):
            body: Json = {"instances": [{"content": text, **given(task_type=task)} for text in request.inputs]}
            if request.dimensions is not None:
                body["parameters"] = {"outputDimensionality": request.dimensions}
            return msgspec.json.encode(body | (request.extra if request.dialect == self.name else {}))
        config = given(taskType=task, outputDimensionality=request.dimensions)
        held = {"embedContentConfig": config} if config else {}
        each: list[Json] = [{"content": {"role": "user", "parts": [{"text": text}]}, **held} for text in request.inputs]
        return msgspec.json.encode(each[0] if len(each) == 1 else {"requests": each})

    @override
    def decode_reply(self, body: bytes, request: EmbedRequest) -> EmbedReply:
        try:
            held = Members(decode_object(body))
            found = _embeddings_in(held)
            vectors = vectors_for(request, [one.need("values", tuple[float, ...]) for one in found])
            used = held.find("usageMetadata", dict[str, Any])
            usage = _usage_of(used, [one.find("statistics", dict[str, Any]) for one in found])
            return EmbedReply(request.model, vectors, usage, dialect=self.name, extra=held.rest())
        except InvalidRequest as error:
            raise ProviderFailed(f"the reply holds no embeddings: {error}", code="upstream_bad_reply") from None

    @override
    def encode_reply(self, reply: EmbedReply, request: EmbedRequest) -> bytes:
        """A reply of `predict`. All tokens are counted with its first vector: nobody says how they were shared."""
        read = [reply.usage.prompt if reply.usage else 0, *(0 for _ in reply.vectors[1:])]
        held = [
            {"embeddings": {"statistics": {"truncated": False, "token_count": count}, "values": vector}}
            for count, vector in zip(read, reply.vectors, strict=True)
        ]
        return msgspec.json.encode({"predictions": held})

    @override
    def encode_error(self, words: ErrorWords) -> bytes:
        return _ERRORS.encode_error(words)

    @override
    def decode_error(self, status: int, body: bytes, headers: Headers = ()) -> ErrorWords:
        return _ERRORS.decode_error(status, body, headers)

    @override
    def reply_usage(self, body: bytes) -> Usage | None:
        try:
            held = Members(decode_object(body))
            statistics = [one.find("statistics", dict[str, Any]) for one in _embeddings_in(held)]
            return _usage_of(held.find("usageMetadata", dict[str, Any]), statistics)
        except InvalidRequest as error:
            raise ProviderFailed(f"the provider's reply is not JSON: {error}", code="upstream_bad_reply") from None


def _is_predicted(request: EmbedRequest) -> bool:
    """Whether the request is one for `predict`."""
    model = request.model.rpartition("/")[2]
    return "gemini" not in model or (model == _ONE_INSTANCE and len(request.inputs) == 1)


def _embeddings_in(held: Members) -> list[Members]:
    """The vectors of a reply, each with its statistics where it has some, whatever the method."""
    one = held.inner_if_given("embedding")
    if one is not None:
        return [one]
    return [prediction.inner("embeddings") for prediction in held.listed("predictions")] or held.listed("embeddings")


def _usage_of(used: Json | None, statistics: Sequence[Json | None]) -> Usage | None:
    """The tokens read: those of the whole call, else the sum of what was counted for each text."""
    whole = (used or {}).get("promptTokenCount") or (used or {}).get("totalTokenCount")
    if isinstance(whole, int):
        return Usage(max(0, whole), raw=used)
    counts = [one.get("token_count", one.get("tokenCount")) for one in statistics if one]
    if not counts or len(counts) < len(statistics):
        return None
    total = sum(int(count) for count in counts if isinstance(count, int | float))
    return Usage(max(0, total), raw={"token_count": total})
