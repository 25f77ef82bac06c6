"""Embeddings and reranking through InvokeModel: each maker has a body of its own.

Sources: https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html,
.../model-parameters-titan-embed-mm.html, .../model-parameters-embed.html and .../model-parameters-embed-v4.html (Cohere),
https://docs.aws.amazon.com/nova/latest/userguide/embeddings-schema.html. Cohere's rerank body is recorded traffic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

import msgspec
from typing_extensions import override

from headgate.body import decode_object
from headgate.chat import Usage
from headgate.dialects import Gaps, TextPlace, WholeDialect
from headgate.dialects.openai.members import Members
from headgate.dialects.openai.text import strings_in
from headgate.errors import ErrorWords, InvalidRequest, ProviderFailed, UnsupportedField
from headgate.exchange import RawHeaders
from headgate.vectors import EmbedReply, EmbedRequest, InputType, Ranked, RerankReply, RerankRequest
from headgate_bedrock.errors import error_words
from headgate_bedrock.models import bare_id

_COUNT = b"x-amzn-bedrock-input-token-count"
_MEMBER = b'"inputTextTokenCount"'
Json = dict[str, Any]
Maker = Literal["cohere", "nova", "titan"]
Text = TypeVar("Text")
Headers = Sequence[tuple[bytes, bytes]]

_COHERE: dict[InputType, str] = {
    "query": "search_query",
    "document": "search_document",
    "classification": "classification",
    "clustering": "clustering",
    "similarity": "clustering",
}
_NOVA: dict[InputType, str] = {
    "query": "GENERIC_RETRIEVAL",
    "document": "GENERIC_INDEX",
    "classification": "CLASSIFICATION",
    "clustering": "CLUSTERING",
    "similarity": "CLUSTERING",
}
_NOVA_DIMENSIONS = 3072
_COHERE_TEXTS = 96
_MOST = 2048
"""Texts that one request may hold, which is OpenAI's limit; with some models each of them is a call."""
_ECHOES = frozenset({"texts", "embeddingsByType"})
_ALL = 1000
"""Cohere ranks no more documents than this in one call."""


class BedrockEmbeddings(WholeDialect[EmbedRequest, EmbedReply]):
    """The dialect `bedrock.embeddings`: Titan, Nova and Cohere, told apart by the model's id.

    `base_models` says which model an id stands for that hides it. Titan and Nova take one text a call, Cohere a limited
    number: a request of more is encoded as a list of bodies, and its answer is the list of their replies. Cohere and Nova
    want to know what vectors are for: documents, unless the caller says.
    """

    name = "bedrock.embeddings"
    operation = "embeddings"

    def __init__(self, base_models: Mapping[str, str] | None = None) -> None:
        self._base_models = base_models or {}

    @override
    def request_texts(self, body: Json) -> Sequence[TextPlace]:
        return [*strings_in(body, "inputText"), *strings_in(body, "texts")]

    @override
    def decode_error(self, status: int, body: bytes, headers: Headers = ()) -> ErrorWords:
        return error_words(status, body, headers)

    @override
    def decode_request(self, body: bytes) -> EmbedRequest:
        members = Members(decode_object(body))
        texts, text = members.find("texts", list[str]), members.find("inputText", str)
        dimensions = members.find("dimensions", int) or members.find("output_dimension", int)
        kind = members.find("input_type", str)
        known: InputType | None = next((name for name, word in _COHERE.items() if word == kind), None)
        inputs = tuple(texts or ()) if text is None else (text,)
        return EmbedRequest("", inputs, dimensions, input_type=known, dialect=self.name, extra=members.rest())

    @override
    def encode_request(self, request: EmbedRequest, gaps: Gaps) -> bytes:
        if request.user is not None:
            gaps.skip("user")
        model, texts = self._model(request), _texts_of(request)
        if request.dialect != self.name:
            gaps.extra(request.extra)
        own = request.extra if request.dialect == self.name else {}
        bodies = [{**_body(request, batch, model, gaps), **own} for batch in _batches(texts, _maker(model))]
        return msgspec.json.encode(bodies[0] if len(bodies) == 1 else bodies)

    @override
    def decode_reply(self, body: bytes, request: EmbedRequest) -> EmbedReply:
        batches = _batches(request.inputs, _maker(self._model(request)))
        try:
            replies = _objects_in(body)
            if len(replies) != len(batches):
                raise InvalidRequest(f"{len(replies)} replies for {len(batches)} calls")
            vectors: list[tuple[float, ...]] = []
            tokens: list[int | None] = []
            for members, batch in zip(replies, batches, strict=True):
                tokens.append(members.find("inputTextTokenCount", int))
                found = _vectors_of(members)
                if len(found) != len(batch):
                    raise InvalidRequest(f"{len(found)} vectors for {len(batch)} texts")
                vectors += found
        except (InvalidRequest, msgspec.DecodeError) as error:
            raise ProviderFailed(f"the reply holds no embeddings: {error}", code="upstream_bad_reply") from None
        first = replies[0]
        usage, reply_id, rest = _summed(tokens), str(first.take("id") or ""), first.rest()
        extra = {} if len(replies) > 1 else {name: rest[name] for name in rest if name not in _ECHOES}
        return EmbedReply(request.model, tuple(vectors), usage, reply_id, self.name, extra)

    def _model(self, request: EmbedRequest) -> str:
        return bare_id(self._base_models.get(request.model, request.model))

    @override
    def encode_reply(self, reply: EmbedReply, request: EmbedRequest) -> bytes:
        tokens = {"inputTextTokenCount": reply.usage.prompt} if reply.usage else {}
        if len(reply.vectors) == 1:
            return msgspec.json.encode({"embedding": reply.vectors[0], **tokens, **reply.extra})
        return msgspec.json.encode({"embeddings": reply.vectors, "id": reply.id, **reply.extra})

    @override
    def reply_usage(self, body: bytes) -> Usage | None:
        try:
            tokens = Members(decode_object(body)).find("inputTextTokenCount", int)
        except InvalidRequest as error:
            raise ProviderFailed(f"the provider's reply is not JSON: {error}", code="upstream_bad_reply") from None
        return None if tokens is None else Usage(tokens, raw={"inputTextTokenCount": tokens})


class BedrockRerank(WholeDialect[RerankRequest, RerankReply]):
    """The dialect `bedrock.rerank`: Cohere's models. Amazon's own are ranked through another service."""

    name = "bedrock.rerank"
    operation = "rerank"

    def __init__(self, base_models: Mapping[str, str] | None = None) -> None:
        self._base_models = base_models or {}

    @override
    def request_texts(self, body: Json) -> Sequence[TextPlace]:
        return [*strings_in(body, "query"), *strings_in(body, "documents")]

    @override
    def decode_error(self, status: int, body: bytes, headers: Headers = ()) -> ErrorWords:
        return error_words(status, body, headers)

    @override
    def decode_request(self, body: bytes) -> RerankRequest:
        members = Members(decode_object(body))
        members.take("api_version")
        documents = tuple(members.need("documents", list[str | Json]))
        top = members.find("top_n", int)
        query = members.need("query", str)
        return RerankRequest("", query, documents, top, dialect=self.name, extra=members.rest())

    @override
    def encode_request(self, request: RerankRequest, gaps: Gaps) -> bytes:
        if bare_id(self._base_models.get(request.model, request.model)).startswith("amazon."):
            raise UnsupportedField(
                f"`{request.model}` cannot be called through InvokeModel; use a rerank model of Cohere's", param="model"
            )
        body: Json = {"query": request.query, "documents": list(request.texts()), "api_version": 2}
        body["top_n"] = min(len(request.documents), _ALL) if request.top_n is None else request.top_n
        if request.max_tokens_per_document is not None:
            body["max_tokens_per_doc"] = request.max_tokens_per_document
        if request.dialect == self.name:
            body |= request.extra
        else:
            gaps.extra(request.extra)
        return msgspec.json.encode(body)

    @override
    def decode_reply(self, body: bytes, request: RerankRequest) -> RerankReply:
        try:
            members = Members(decode_object(body))
            ranked = tuple(_ranked(item) for item in members.listed("results"))
            if any(not 0 <= one.index < len(request.documents) for one in ranked):
                raise InvalidRequest("a result is of no document")
            return RerankReply(
                ranked, str(members.take("id") or ""), request.model, dialect=self.name, extra=members.rest()
            )
        except InvalidRequest as error:
            raise ProviderFailed(f"the reply is no ranking: {error}", code="upstream_bad_reply") from None

    @override
    def encode_reply(self, reply: RerankReply, request: RerankRequest) -> bytes:
        results = [{"index": one.index, "relevance_score": one.score} for one in reply.results]
        return msgspec.json.encode({**reply.extra, "results": results})

    @override
    def reply_usage(self, body: bytes) -> Usage | None:
        return None


def _ranked(item: Members) -> Ranked:
    """One result; the service for knowledge bases writes `relevanceScore`."""
    score = item.find("relevanceScore", float)
    return Ranked(item.need("index", int), item.need("relevance_score", float) if score is None else score)


def _texts_of(request: EmbedRequest) -> list[str]:
    texts = [text for text in request.inputs if isinstance(text, str)]
    if len(texts) < len(request.inputs):
        raise UnsupportedField("`input`: models on Bedrock take texts, not tokens", param="input")
    if not 0 < len(texts) <= _MOST:
        raise InvalidRequest(f"`input` must hold from 1 to {_MOST} texts", param="input")
    return texts


def _maker(model: str) -> Maker:
    if model.startswith("cohere."):
        return "cohere"
    return "nova" if model.startswith("amazon.nova") else "titan"


def _batches(texts: Sequence[Text], maker: Maker) -> list[Sequence[Text]]:
    """The texts of each call, in order."""
    size = _COHERE_TEXTS if maker == "cohere" else 1
    return [texts[at : at + size] for at in range(0, len(texts), size)]


def _body(request: EmbedRequest, texts: Sequence[str], model: str, gaps: Gaps) -> Json:
    """What one call sends."""
    match _maker(model):
        case "cohere":
            return _cohere(request, texts, model, gaps)
        case "nova":
            return _nova(request, texts[0])
        case "titan":
            return _titan(request, texts[0], model, gaps)


def _objects_in(body: bytes) -> list[Members]:
    """One reply, or those of several calls."""
    if not body.startswith(b"["):
        return [Members(decode_object(body))]
    return [Members(value) for value in msgspec.json.decode(body, type=list[Json])]


def _summed(tokens: Sequence[int | None]) -> Usage | None:
    """The tokens of all calls; None when one of them does not say."""
    known = [count for count in tokens if count is not None]
    if len(known) < len(tokens):
        return None
    return Usage(sum(known), raw={"inputTextTokenCount": sum(known)})


def _titan(request: EmbedRequest, text: str, model: str, gaps: Gaps) -> Json:
    body: Json = {"inputText": text}
    if request.input_type is not None:
        gaps.skip("input_type")
    if request.dimensions is not None:
        if "embed-image" in model:
            body["embeddingConfig"] = {"outputEmbeddingLength": request.dimensions}
        elif "v1" in model:
            gaps.refuse("dimensions", "this model has one length of vectors")
        else:
            body["dimensions"] = request.dimensions
    return body


def _nova(request: EmbedRequest, text: str) -> Json:
    held = {
        "embeddingPurpose": _NOVA[request.input_type or "document"],
        "embeddingDimension": request.dimensions or _NOVA_DIMENSIONS,
        "text": {"truncationMode": "NONE", "value": text},
    }
    return {"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": held}


def _cohere(request: EmbedRequest, texts: Sequence[str], model: str, gaps: Gaps) -> Json:
    body: Json = {"texts": list(texts), "input_type": _COHERE[request.input_type or "document"]}
    if request.dimensions is not None:
        if "embed-v4" in model:
            body["output_dimension"] = request.dimensions
        else:
            gaps.refuse("dimensions", "this model has one length of vectors")
    return body


def _vectors_of(members: Members) -> tuple[tuple[float, ...], ...]:
    """Titan answers with one `embedding`; Cohere with a list, or one by type; Nova with a list of objects."""
    one = members.find("embedding", tuple[float, ...])
    if one is not None:
        members.take("embeddings")
        return (one,)
    if isinstance(members.peek("embeddings"), dict):
        return members.inner("embeddings").need("float", tuple[tuple[float, ...], ...])
    typed = members.listed_if("embeddings")
    if typed:
        return tuple(Members(item, "embeddings").need("embedding", tuple[float, ...]) for item in typed)
    return members.need("embeddings", tuple[tuple[float, ...], ...])


def counted(body: bytes, headers: RawHeaders) -> bytes:
    """A reply that says how many tokens were read, as Titan's does; the header says it for the others."""
    count = next((value for name, value in headers if name == _COUNT), b"")
    held = body.rstrip()
    if not count.isdigit() or _MEMBER in held or not held.endswith(b"}"):
        return body
    return b"%s,%s:%s}" % (held[:-1], _MEMBER, count)
