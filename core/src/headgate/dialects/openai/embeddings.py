"""OpenAI embeddings, both ways.

Source: https://platform.openai.com/docs/api-reference/embeddings
"""

from __future__ import annotations

import struct
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Sequence
from typing import Any, Literal, cast

import msgspec
from typing_extensions import override

from headgate.body import decode_object
from headgate.chat import Usage
from headgate.dialects.gaps import Gaps
from headgate.dialects.interface import TextPlace, WholeDialect
from headgate.dialects.openai.decode import Members, typed
from headgate.dialects.openai.text import strings_in
from headgate.dialects.openai.usage import body_usage, decode_read
from headgate.errors import InvalidRequest, ProviderFailed
from headgate.vectors import EmbedReply, EmbedRequest, Input, InputType, vectors_for

Json = dict[str, Any]

INPUT_TYPES: dict[str, InputType] = {
    "query": "query",
    "search_query": "query",
    "document": "document",
    "passage": "document",
    "search_document": "document",
    "classification": "classification",
    "clustering": "clustering",
    "semantic_similarity": "similarity",
    "similarity": "similarity",
}
"""What callers write as `input_type`, in the words of the vendors that have it."""


class OpenAIEmbeddings(WholeDialect[EmbedRequest, EmbedReply]):
    """The `openai.embeddings` dialect. Beyond OpenAI's it takes the member `input_type`, which other vendors need."""

    name = "openai.embeddings"
    operation = "embeddings"

    @override
    def request_texts(self, body: Json) -> Sequence[TextPlace]:
        return list(strings_in(body, "input"))

    @override
    def decode_request(self, body: bytes) -> EmbedRequest:
        members = Members(decode_object(body))
        encoding = members.find("encoding_format", str) or "float"
        if encoding not in {"float", "base64"}:
            raise InvalidRequest("`encoding_format` must be `float` or `base64`", param="encoding_format")
        kind = members.find("input_type", str)
        if kind is not None and kind.lower() not in INPUT_TYPES:
            raise InvalidRequest(f"`input_type` must be one of {', '.join(sorted(INPUT_TYPES))}", param="input_type")
        return EmbedRequest(
            model=members.find("model", str) or "",
            inputs=_inputs_of(members.take("input")),
            dimensions=members.find("dimensions", int),
            encoding=cast('Literal["float", "base64"]', encoding),
            input_type=INPUT_TYPES[kind.lower()] if kind else None,
            user=members.find("user", str),
            dialect=self.name,
            extra=members.rest(),
        )

    @override
    def encode_request(self, request: EmbedRequest, gaps: Gaps) -> bytes:
        body: Json = {"model": request.model, "input": list(request.inputs)}
        if request.dimensions is not None:
            body["dimensions"] = request.dimensions
        if request.encoding != "float":
            body["encoding_format"] = request.encoding
        if request.user is not None:
            body["user"] = request.user
        if request.input_type is not None:
            gaps.skip("input_type")
        if request.dialect == self.name:
            body |= request.extra
        else:
            gaps.extra(request.extra)
        return msgspec.json.encode(body)

    @override
    def decode_reply(self, body: bytes, request: EmbedRequest) -> EmbedReply:
        try:
            members = Members(decode_object(body))
            usage, items = members.find("usage", Json), members.listed("data")
            members.take("object")
            vectors = [vector_of(item.take("embedding")) for item in items]
            return EmbedReply(
                model=str(members.take("model") or ""),
                vectors=vectors_for(request, vectors, [item.find("index", int) for item in items]),
                usage=decode_read(usage) if usage else None,
                id=str(members.take("id") or ""),
                dialect=self.name,
                extra=members.rest(),
            )
        except (InvalidRequest, ValueError) as error:
            raise ProviderFailed(f"the reply holds no embeddings: {error}", code="upstream_bad_reply") from None

    @override
    def encode_reply(self, reply: EmbedReply, request: EmbedRequest) -> bytes:
        usage = reply.usage
        body: Json = {
            "object": "list",
            "data": [
                {"object": "embedding", "index": at, "embedding": _encoded(vector, request.encoding)}
                for at, vector in enumerate(reply.vectors)
            ],
            "model": reply.model or request.model,
            "usage": {
                "prompt_tokens": usage.prompt if usage else 0,
                "total_tokens": usage.total if usage else 0,
            },
        }
        return msgspec.json.encode({**reply.extra, **body})

    @override
    def reply_usage(self, body: bytes) -> Usage | None:
        return body_usage(body, decode_read)


def vector_of(value: object) -> tuple[float, ...]:
    """An embedding as a list of numbers, or as base64 of little-endian float32. Raises ValueError for anything else."""
    if isinstance(value, str):
        try:
            data = b64decode(value, validate=True)
            return struct.unpack(f"<{len(data) // 4}f", data)
        except (NotBase64, struct.error):
            raise ValueError("`embedding` is no base64 of floats") from None
    return typed(value, tuple[float, ...], "embedding")


def _encoded(vector: tuple[float, ...], encoding: str) -> str | tuple[float, ...]:
    return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode() if encoding == "base64" else vector


def _inputs_of(value: object) -> tuple[Input, ...]:
    """A text, texts, the tokens of one text, or those of several."""
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list) and value:
        items = cast("list[object]", value)
        if all(isinstance(item, int) and not isinstance(item, bool) for item in items):
            return (typed(items, tuple[int, ...], "input"),)
        if all(isinstance(item, str | list) for item in items):
            return typed(items, tuple[str | tuple[int, ...], ...], "input")
    raise InvalidRequest("`input` must be a text, a list of texts, or lists of tokens", param="input")
