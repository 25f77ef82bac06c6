"""The dialect `cohere.embed`: version 2 of Cohere's embeddings, for texts.

Source: https://docs.cohere.com/reference/embed. Its models want to know what the vectors are for; without a word, they are for
documents to be found, which is what most callers of a dialect without such a member embed.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from typing_extensions import override

from headgate.body import decode_object, reply_object
from headgate.chat import Usage
from headgate.dialects import Gaps, TextPlace, WholeDialect
from headgate.dialects.openai.members import Json, Members, given, typed
from headgate.dialects.openai.text import strings_in
from headgate.dialects.words import Headers
from headgate.errors import ErrorWords, InvalidRequest, ProviderFailed, UnsupportedField
from headgate.vectors import EmbedReply, EmbedRequest, InputType, vectors_for
from headgate_cohere.chat import error_words
from headgate_cohere.replies import usage_of

_INPUT_TYPES: dict[InputType, str] = {
    "query": "search_query",
    "document": "search_document",
    "classification": "classification",
    "clustering": "clustering",
}
_DEFAULT: InputType = "document"


class CohereEmbed(WholeDialect[EmbedRequest, EmbedReply]):
    """The `cohere.embed` dialect. Vectors travel as numbers; a client that wants base64 gets it from its own dialect."""

    name = "cohere.embed"
    operation = "embeddings"

    @override
    def request_texts(self, body: Json) -> Sequence[TextPlace]:
        return list(strings_in(body, "texts"))

    @override
    def decode_request(self, body: bytes) -> EmbedRequest:
        held = Members(decode_object(body))
        kinds: dict[str, InputType] = {word: kind for kind, word in _INPUT_TYPES.items()}
        said = held.peek("input_type")
        kind = kinds.get(said) if isinstance(said, str) else None
        if kind is not None:
            held.take("input_type")
        if held.peek("embedding_types") == ["float"]:
            held.take("embedding_types")
        return EmbedRequest(
            model=held.find("model", str) or "",
            inputs=typed(held.take("texts") or [], tuple[str, ...], "texts"),
            dimensions=held.find("output_dimension", int),
            input_type=kind,
            dialect=self.name,
            extra=held.rest(),
        )

    @override
    def encode_request(self, request: EmbedRequest, gaps: Gaps) -> bytes:
        if not all(isinstance(text, str) for text in request.inputs):
            raise UnsupportedField("`input` must be text: Cohere does not take tokens", param="input")
        if request.input_type not in {None, *_INPUT_TYPES}:
            gaps.refuse("input_type", f"Cohere knows {', '.join(_INPUT_TYPES)}")
        if request.user is not None:
            gaps.skip("user")
        body: Json = {
            "model": request.model,
            "texts": list(request.inputs),
            "input_type": _INPUT_TYPES.get(request.input_type or _DEFAULT, _INPUT_TYPES[_DEFAULT]),
            "embedding_types": ["float"],
            **given(output_dimension=request.dimensions),
        }
        if request.dialect == self.name:
            body |= request.extra
        else:
            gaps.extra(request.extra)
        return msgspec.json.encode(body)

    @override
    def decode_reply(self, body: bytes, request: EmbedRequest) -> EmbedReply:
        try:
            held = Members(decode_object(body))
            vectors = held.inner("embeddings").need("float", tuple[tuple[float, ...], ...])
        except InvalidRequest as error:
            raise ProviderFailed(f"the reply holds no embeddings: {error}", code="upstream_bad_reply") from None
        for echo in ("texts", "response_type"):
            held.take(echo)
        return EmbedReply(
            request.model,
            vectors_for(request, vectors),
            usage_of(held.peek("meta")),
            str(held.take("id") or ""),
            self.name,
            {name: value for name, value in held.rest().items() if value is not None},
        )

    @override
    def encode_reply(self, reply: EmbedReply, request: EmbedRequest) -> bytes:
        meta: Json = {"api_version": {"version": "2"}}
        if reply.usage is not None:
            meta["tokens"] = {"input_tokens": reply.usage.prompt, "output_tokens": reply.usage.completion}
        said = {"id": reply.id, "embeddings": {"float": reply.vectors}, "texts": request.inputs, "meta": meta}
        return msgspec.json.encode({**said, "response_type": "embeddings_by_type"})

    @override
    def decode_error(self, status: int, body: bytes, headers: Headers = ()) -> ErrorWords:
        return error_words(super().decode_error(status, body, headers), body)

    @override
    def reply_usage(self, body: bytes) -> Usage | None:
        return usage_of(reply_object(body).get("meta"))
