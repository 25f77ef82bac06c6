"""Embeddings in OpenAI's shape with words of a vendor's own: what vectors are for, how long they are, what is cut off.

Sources: https://docs.voyageai.com/reference/embeddings-api, https://api.jina.ai/redoc,
https://docs.nvidia.com/nim/nemo-retriever/text-embedding/latest/reference.html, for Snowflake see `snowflake`,
https://docs.perplexity.ai/api-reference/embeddings-post, https://huggingface.co/docs/inference-providers/tasks/feature-extraction,
https://docs.byteplus.com/en/docs/ModelArk/1523520
"""

from __future__ import annotations

import struct
from base64 import b64decode
from collections.abc import Mapping
from typing import Any, ClassVar, cast

import msgspec
from msgspec.structs import replace
from typing_extensions import override

from headgate.body import decode_object
from headgate.chat import Usage
from headgate.dialects import Gaps, OpenAIEmbeddings
from headgate.dialects.openai.embeddings import vector_of
from headgate.dialects.openai.usage import decode_read
from headgate.errors import InvalidRequest, ProviderFailed, UnsupportedField
from headgate.upstream.fanout import replies_in
from headgate.vectors import EmbedReply, EmbedRequest, InputType, vectors_for

Json = dict[str, Any]


class _Vector(msgspec.Struct):
    embedding: Any
    index: int | None = None


class _Reply(msgspec.Struct):
    data: list[_Vector]
    model: str | None = None
    id: str | None = None
    usage: Json | None = None


class _OneReply(msgspec.Struct):
    data: _Vector
    model: str | None = None
    id: str | None = None
    usage: Json | None = None


class WordedEmbeddings(OpenAIEmbeddings):
    """Embeddings with a vendor's own words, for clients that speak OpenAI's. Subclasses say what they are.

    Vectors come as numbers; a client that wants base64 gets it from its own dialect.
    """

    kinds: ClassVar[Mapping[InputType, str]] = {}
    """What the vendor calls the purposes it knows."""
    kind_field: ClassVar[str] = "input_type"
    default: ClassVar[InputType | None] = None
    """The purpose where the caller says none and the vendor wants one."""
    input_field: ClassVar[str] = "input"
    length_field: ClassVar[str] = "dimensions"
    known: ClassVar[frozenset[str]] = frozenset()
    """Further fields of the vendor's, which pass as they are."""

    @override
    def encode_request(self, request: EmbedRequest, gaps: Gaps) -> bytes:
        if not all(isinstance(text, str) for text in request.inputs):
            raise UnsupportedField(f"`input` must be text: `{gaps.target}` does not take tokens", param="input")
        if request.user is not None:
            gaps.skip("user")
        body: Json = {"model": request.model, self.input_field: list(request.inputs)}
        if request.dimensions is not None:
            body[self.length_field] = request.dimensions
        kind = request.input_type or self.default
        if kind is not None and kind not in self.kinds:
            gaps.refuse("input_type", f"it knows {', '.join(self.kinds)}")
            kind = self.default
        if kind is not None:
            body[self.kind_field] = self.kinds[kind]
        gaps.extra({name: value for name, value in request.extra.items() if name not in self.known})
        return msgspec.json.encode(body | {name: value for name, value in request.extra.items() if name in self.known})

    @override
    def decode_reply(self, body: bytes, request: EmbedRequest) -> EmbedReply:
        try:
            decode_object(body)
            held = msgspec.json.decode(body, type=_Reply)
            vectors = [self.vector_of(one.embedding) for one in held.data]
            usage = decode_read(held.usage) if held.usage else None
        except (InvalidRequest, ValueError) as error:
            raise ProviderFailed(f"the reply holds no embeddings: {error}", code="upstream_bad_reply") from None
        ordered = vectors_for(request, vectors, [one.index for one in held.data])
        return EmbedReply(held.model or request.model, ordered, usage, held.id or "", self.name)

    def vector_of(self, said: Any) -> tuple[float, ...]:
        """One vector as the vendor writes it; ValueError for what is none."""
        return vector_of(said)


class VoyageEmbeddings(WordedEmbeddings):
    """The `voyage.embeddings` dialect. Vectors of another `output_dtype` are numbers too."""

    name = "voyage.embeddings"
    kinds: ClassVar[Mapping[InputType, str]] = {"query": "query", "document": "document"}
    length_field = "output_dimension"
    known = frozenset({"truncation", "output_dtype"})


class JinaEmbeddings(WordedEmbeddings):
    """The `jina.embeddings` dialect. A `task` that the caller names goes before `input_type`."""

    name = "jina.embeddings"
    kinds: ClassVar[Mapping[InputType, str]] = {
        "query": "retrieval.query",
        "document": "retrieval.passage",
        "classification": "classification",
        "clustering": "separation",
        "similarity": "text-matching",
    }
    kind_field = "task"
    known = frozenset({"task", "late_chunking", "truncate", "normalized"})


class NvidiaEmbeddings(WordedEmbeddings):
    """The `nvidia.embeddings` dialect. Its retrieval models must be told what a text is: a passage, unless the caller says."""

    name = "nvidia.embeddings"
    kinds: ClassVar[Mapping[InputType, str]] = {"query": "query", "document": "passage"}
    default: ClassVar[InputType | None] = "document"
    known = frozenset({"truncate", "modality"})


class PlainEmbeddings(WordedEmbeddings):
    """Base of dialects that know no purposes, and no lengths unless `has_lengths`."""

    has_lengths: ClassVar[bool] = False

    @override
    def encode_request(self, request: EmbedRequest, gaps: Gaps) -> bytes:
        if request.input_type is not None:
            gaps.skip("input_type")
        if request.dimensions is not None and not self.has_lengths:
            gaps.refuse("dimensions")
            request = replace(request, dimensions=None)
        return super().encode_request(replace(request, input_type=None), gaps)


class SnowflakeEmbeddings(PlainEmbeddings):
    """The `snowflake.embeddings` dialect: a vector is the one row of a table."""

    name = "snowflake.embeddings"
    input_field = "text"
    known = frozenset({"provisioned_throughput_id"})

    @override
    def vector_of(self, said: Any) -> tuple[float, ...]:
        if not isinstance(said, list) or len(rows := cast("list[Any]", said)) != 1:
            raise ValueError("a vector is one row there")
        return super().vector_of(rows[0])


class PerplexityEmbeddings(PlainEmbeddings):
    """The `perplexity.embeddings` dialect: a vector comes as base64 of signed bytes and goes on as those numbers."""

    name = "perplexity.embeddings"
    has_lengths = True

    @override
    def encode_request(self, request: EmbedRequest, gaps: Gaps) -> bytes:
        body: Json = msgspec.json.decode(super().encode_request(request, gaps))
        return msgspec.json.encode({**body, "encoding_format": "base64_int8"})

    @override
    def vector_of(self, said: Any) -> tuple[float, ...]:
        data = b64decode(msgspec.convert(said, str), validate=True)
        return tuple(float(value) for value in struct.unpack(f"{len(data)}b", data))


class HuggingFaceEmbeddings(PlainEmbeddings):
    """The `huggingface.embeddings` dialect: lists of numbers alone, one for each text. The address says which model.

    A model's own prompts go by `prompt_name`. Usage is not told.
    """

    name = "huggingface.embeddings"
    known = frozenset({"normalize", "prompt_name", "truncate", "truncation_direction"})

    @override
    def encode_request(self, request: EmbedRequest, gaps: Gaps) -> bytes:
        body: Json = msgspec.json.decode(super().encode_request(request, gaps))
        own = {name: value for name, value in body.items() if name in self.known}
        return msgspec.json.encode({"inputs": body["input"], **own})

    @override
    def decode_reply(self, body: bytes, request: EmbedRequest) -> EmbedReply:
        try:
            vectors = msgspec.json.decode(body, type=list[tuple[float, ...]])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ProviderFailed(f"the reply holds no embeddings: {error}", code="upstream_bad_reply") from None
        return EmbedReply(request.model, vectors_for(request, vectors), dialect=self.name)


class BytePlusEmbeddings(PlainEmbeddings):
    """The `byteplus.embeddings` dialect: all that a call holds is one vector there, so that each text has a call of its own.

    Several bodies are a list, and so are their replies.
    """

    name = "byteplus.embeddings"
    has_lengths = True
    known = frozenset({"instructions"})

    @override
    def encode_request(self, request: EmbedRequest, gaps: Gaps) -> bytes:
        body: Json = msgspec.json.decode(super().encode_request(request, gaps))
        texts: list[str] = body.pop("input")
        bodies = [{**body, "encoding_format": "float", "input": [{"type": "text", "text": text}]} for text in texts]
        return msgspec.json.encode(bodies[0] if len(bodies) == 1 else bodies)

    @override
    def decode_reply(self, body: bytes, request: EmbedRequest) -> EmbedReply:
        bodies = replies_in(body, len(request.inputs))
        try:
            held = [msgspec.json.decode(each, type=_OneReply) for each in bodies]
            vectors = [self.vector_of(one.data.embedding) for one in held]
        except ValueError as error:
            raise ProviderFailed(f"the reply holds no embeddings: {error}", code="upstream_bad_reply") from None
        first = held[0]
        ordered = vectors_for(request, vectors)
        return EmbedReply(first.model or request.model, ordered, _usage_of(held), first.id or "", self.name)


def _usage_of(replies: list[_OneReply]) -> Usage | None:
    """The tokens of all calls together; None where one tells none."""
    told = [decode_read(each.usage) if each.usage else None for each in replies]
    known = [each.prompt for each in told if each is not None]
    return (
        Usage(sum(known), raw={"prompt_tokens": sum(known), "total_tokens": sum(known)})
        if len(known) == len(told)
        else None
    )
