"""Embeddings and rankings of OCI's own API: who pays, and what serves, stand in every body.

Sources: `EmbedTextDetails`, `EmbedTextResult`, `RerankTextDetails`, `RerankTextResult` and `ServingMode` of `oci` 2.189,
https://docs.oracle.com/en-us/iaas/api/#/en/generative-ai-inference/20231130/EmbedTextResult/EmbedText and
https://docs.oracle.com/en-us/iaas/api/#/en/generative-ai-inference/20231130/RerankTextResult/RerankText
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec
from msgspec import Struct
from typing_extensions import override

from headgate.body import decode_object
from headgate.chat import Usage
from headgate.dialects import CohereRerank, Gaps
from headgate.errors import InvalidRequest, ProviderFailed
from headgate.vectors import (
    EmbedReply,
    EmbedRequest,
    InputType,
    Ranked,
    RerankReply,
    RerankRequest,
    best_of,
    vectors_for,
)
from headgate_compatible.vendors.embeddings import WordedEmbeddings

Json = dict[str, Any]

_ENDPOINT = "ocid1.generativeaiendpoint"
"""How the OCID of an endpoint begins, which stands before a dedicated cluster."""


class _Counted(Struct, rename="camel"):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Embedded(Struct, rename="camel"):
    embeddings: list[tuple[float, ...]]
    id: str | None = None
    model_id: str | None = None
    usage: _Counted | None = None


class _Rank(Struct, rename="camel"):
    index: int
    relevance_score: float


class _Reranked(Struct, rename="camel"):
    document_ranks: list[_Rank]
    id: str | None = None
    model_id: str | None = None


class OracleEmbeddings(WordedEmbeddings):
    """The `oracle.embeddings` dialect. `truncate` (`NONE`, `START`, `END`) passes."""

    name = "oracle.embeddings"
    kinds: ClassVar[Mapping[InputType, str]] = {
        "query": "SEARCH_QUERY",
        "document": "SEARCH_DOCUMENT",
        "classification": "CLASSIFICATION",
        "clustering": "CLUSTERING",
    }
    kind_field = "inputType"
    input_field = "inputs"
    length_field = "outputDimensions"
    known = frozenset({"truncate"})

    def __init__(self, compartment: str = "") -> None:
        self._compartment = compartment

    @override
    def encode_request(self, request: EmbedRequest, gaps: Gaps) -> bytes:
        members = decode_object(super().encode_request(request, gaps))
        model = members.pop("model")
        return msgspec.json.encode({**_served(model, self._compartment), **members})

    @override
    def decode_reply(self, body: bytes, request: EmbedRequest) -> EmbedReply:
        try:
            held = msgspec.json.decode(body, type=_Embedded)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ProviderFailed(f"the reply holds no embeddings: {error}", code="upstream_bad_reply") from None
        read = held.usage.prompt_tokens if held.usage is not None else None
        usage = None if read is None else Usage(read)
        return EmbedReply(
            held.model_id or request.model, vectors_for(request, held.embeddings), usage, held.id or "", self.name
        )


class OracleRerank(CohereRerank):
    """The `oracle.rerank` dialect. `max_chunks_per_doc` of Cohere's clients is sent too. What was read is not told."""

    name = "oracle.rerank"

    def __init__(self, compartment: str = "") -> None:
        self._compartment = compartment

    @override
    def encode_request(self, request: RerankRequest, gaps: Gaps) -> bytes:
        extra = dict(request.extra)
        limits: Mapping[str, object] = {
            "topN": request.top_n,
            "maxTokensPerDocument": request.max_tokens_per_document,
            "maxChunksPerDocument": extra.pop("max_chunks_per_doc", None),
        }
        gaps.extra(extra)
        body: Json = {
            **_served(request.model, self._compartment),
            "input": request.query,
            "documents": list(request.texts()),
            **{name: value for name, value in limits.items() if value is not None},
        }
        return msgspec.json.encode(body)

    @override
    def decode_reply(self, body: bytes, request: RerankRequest) -> RerankReply:
        try:
            held = msgspec.json.decode(body, type=_Reranked)
            results = best_of((Ranked(one.index, one.relevance_score) for one in held.document_ranks), request)
        except (InvalidRequest, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ProviderFailed(f"the reply is no ranking: {error}", code="upstream_bad_reply") from None
        return RerankReply(results, id=held.id or "", model=held.model_id or request.model, dialect=self.name)


def _served(model: str, compartment: str) -> Json:
    """Who pays, and what serves: a model that is always there, or an endpoint of the customer's own."""
    mode = (
        {"servingType": "DEDICATED", "endpointId": model}
        if model.startswith(_ENDPOINT)
        else {"servingType": "ON_DEMAND", "modelId": model}
    )
    return {"compartmentId": compartment, "servingMode": mode}
