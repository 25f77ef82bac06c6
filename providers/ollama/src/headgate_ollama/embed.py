"""The dialect `ollama.embed`: Ollama's own embeddings, `/api/embed`. The older `/api/embeddings` is not spoken.

Source: https://docs.ollama.com/api/embed
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
from headgate.errors import InvalidRequest, ProviderFailed, UnsupportedField
from headgate.vectors import EmbedReply, EmbedRequest, vectors_for
from headgate_ollama.replies import usage_of


class OllamaEmbed(WholeDialect[EmbedRequest, EmbedReply]):
    """The `ollama.embed` dialect. Vectors travel as numbers; a client that wants base64 gets it from its own dialect."""

    name = "ollama.embed"
    operation = "embeddings"

    @override
    def request_texts(self, body: Json) -> Sequence[TextPlace]:
        return list(strings_in(body, "input"))

    @override
    def decode_request(self, body: bytes) -> EmbedRequest:
        held = Members(decode_object(body))
        said = held.take("input")
        return EmbedRequest(
            model=held.find("model", str) or "",
            inputs=typed([said] if isinstance(said, str) else said or [], tuple[str, ...], "input"),
            dimensions=held.find("dimensions", int),
            dialect=self.name,
            extra={name: value for name, value in held.rest().items() if value is not None},
        )

    @override
    def encode_request(self, request: EmbedRequest, gaps: Gaps) -> bytes:
        if not all(isinstance(text, str) for text in request.inputs):
            raise UnsupportedField("`input` must be text: Ollama does not take tokens", param="input")
        for name, value in (("input_type", request.input_type), ("user", request.user)):
            if value is not None:
                gaps.skip(name)
        body: Json = {"model": request.model, "input": list(request.inputs), **given(dimensions=request.dimensions)}
        if request.dialect == self.name:
            body |= request.extra
        else:
            gaps.extra(request.extra)
        return msgspec.json.encode(body)

    @override
    def decode_reply(self, body: bytes, request: EmbedRequest) -> EmbedReply:
        try:
            held = Members(decode_object(body))
            vectors = held.need("embeddings", tuple[tuple[float, ...], ...])
        except InvalidRequest as error:
            raise ProviderFailed(f"the reply holds no embeddings: {error}", code="upstream_bad_reply") from None
        model, usage = held.take("model"), usage_of(held.rest())
        held.take("prompt_eval_count")
        vectors = vectors_for(request, vectors)
        return EmbedReply(str(model or request.model), vectors, usage, dialect=self.name, extra=held.rest())

    @override
    def encode_reply(self, reply: EmbedReply, request: EmbedRequest) -> bytes:
        read = {"prompt_eval_count": reply.usage.prompt} if reply.usage is not None else {}
        return msgspec.json.encode({"model": reply.model, "embeddings": reply.vectors, **read})

    @override
    def reply_usage(self, body: bytes) -> Usage | None:
        return usage_of(reply_object(body))
