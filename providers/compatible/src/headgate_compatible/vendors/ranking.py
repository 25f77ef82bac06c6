"""Rankings that are not Cohere's and not a plain list: Jina's shape, which many servers have, and five that are one vendor's.

Sources: https://api.jina.ai/redoc, https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html, the types of
`together` 3.1, https://docs.nvidia.com/nim/nemo-retriever/text-reranking/latest/using-reranking.html,
https://developers.cloudflare.com/workers-ai/models/bge-reranker-base, https://docs.deepinfra.com/apis/reranker; Groq's are in the
OpenAPI file that its reference is made of, which says more than its pages show
(https://github.com/api-evangelist/groq/blob/main/openapi/groq-reranking-api-openapi.yml).
"""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar

import msgspec
from msgspec.structs import replace
from typing_extensions import override

from headgate.body import decode_object
from headgate.chat import Usage
from headgate.dialects import Gaps
from headgate.dialects.cohere_rerank import usage_of
from headgate.errors import InvalidRequest, ProviderFailed
from headgate.vectors import Ranked, RerankReply, RerankRequest, best_of
from headgate_compatible.vendors.rerank import ListedRerank

Json = dict[str, Any]


class _Scored(msgspec.Struct):
    index: int
    relevance_score: float


class _Results(msgspec.Struct):
    results: list[_Scored]
    id: str | None = None
    model: str | None = None
    usage: Json | None = None


class _Logit(msgspec.Struct):
    index: int
    logit: float


class _Rankings(msgspec.Struct):
    rankings: list[_Logit]
    usage: Json | None = None


class _Context(msgspec.Struct):
    id: int
    score: float


class _Contexts(msgspec.Struct):
    response: list[_Context]


class _Run(msgspec.Struct):
    result: _Contexts


class _Scores(msgspec.Struct):
    scores: list[float]
    input_tokens: int = 0
    request_id: str | None = None


class _Told(msgspec.Struct):
    doc: str
    score: float


class _Texts(msgspec.Struct):
    results: list[_Told]


class JinaRerank(ListedRerank):
    """The `jina.rerank` dialect: Cohere's request and results, with tokens read under `usage`."""

    name = "jina.rerank"

    @override
    def decode_reply(self, body: bytes, request: RerankRequest) -> RerankReply:
        try:
            decode_object(body)
            held = msgspec.json.decode(body, type=_Results)
            ranked = best_of((Ranked(one.index, one.relevance_score) for one in held.results), request)
        except (InvalidRequest, msgspec.ValidationError) as error:
            raise ProviderFailed(f"the reply is no ranking: {error}", code="upstream_bad_reply") from None
        return RerankReply(
            ranked, held.id or "", held.model or request.model, usage_of(held.usage, None), dialect=self.name
        )


class TogetherRerank(JinaRerank):
    """The `together.rerank` dialect: documents may be objects, of which `rank_fields` says what counts."""

    name = "together.rerank"
    known = frozenset({"rank_fields"})

    @override
    def encode_request(self, request: RerankRequest, gaps: Gaps) -> bytes:
        body: Json = msgspec.json.decode(super().encode_request(request, gaps))
        return msgspec.json.encode({**body, "documents": list(request.documents)})


class NvidiaRerank(ListedRerank):
    """The `nvidia.rerank` dialect: passages instead of documents, all of which are ranked. Scores are logits."""

    name = "nvidia.rerank"
    known: ClassVar[frozenset[str]] = frozenset({"truncate"})

    @override
    def encode_request(self, request: RerankRequest, gaps: Gaps) -> bytes:
        if request.max_tokens_per_document is not None:
            gaps.skip("max_tokens_per_doc")
        gaps.extra({name: value for name, value in request.extra.items() if name not in self.known})
        return msgspec.json.encode(
            {
                "model": request.model,
                "query": {"text": request.query},
                "passages": [{"text": text} for text in request.texts()],
                **{name: value for name, value in request.extra.items() if name in self.known},
            }
        )

    @override
    def decode_reply(self, body: bytes, request: RerankRequest) -> RerankReply:
        try:
            decode_object(body)
            held = msgspec.json.decode(body, type=_Rankings)
            ranked = best_of((Ranked(one.index, one.logit) for one in held.rankings), request)
        except (InvalidRequest, msgspec.ValidationError) as error:
            raise ProviderFailed(f"the reply is no ranking: {error}", code="upstream_bad_reply") from None
        return RerankReply(ranked, model=request.model, usage=usage_of(held.usage, None), dialect=self.name)


class CloudflareRerank(ListedRerank):
    """The `cloudflare.rerank` dialect: contexts instead of documents, in its API's envelope. The address says which model."""

    name = "cloudflare.rerank"

    @override
    def encode_request(self, request: RerankRequest, gaps: Gaps) -> bytes:
        if request.max_tokens_per_document is not None:
            gaps.skip("max_tokens_per_doc")
        gaps.extra(request.extra)
        limit = {} if request.top_n is None else {"top_k": request.top_n}
        contexts = [{"text": text} for text in request.texts()]
        return msgspec.json.encode({"query": request.query, "contexts": contexts, **limit})

    @override
    def decode_reply(self, body: bytes, request: RerankRequest) -> RerankReply:
        try:
            decode_object(body)
            held = msgspec.json.decode(body, type=_Run)
            ranked = best_of((Ranked(one.id, one.score) for one in held.result.response), request)
        except (InvalidRequest, msgspec.ValidationError) as error:
            raise ProviderFailed(f"the reply is no ranking: {error}", code="upstream_bad_reply") from None
        return RerankReply(ranked, model=request.model, dialect=self.name)


class DeepInfraRerank(ListedRerank):
    """The `deepinfra.rerank` dialect: a query for each document, and a score for each. The address says which model."""

    name = "deepinfra.rerank"

    @override
    def encode_request(self, request: RerankRequest, gaps: Gaps) -> bytes:
        if request.max_tokens_per_document is not None:
            gaps.skip("max_tokens_per_doc")
        gaps.extra(request.extra)
        documents = list(request.texts())
        return msgspec.json.encode({"queries": [request.query] * len(documents), "documents": documents})

    @override
    def decode_reply(self, body: bytes, request: RerankRequest) -> RerankReply:
        try:
            decode_object(body)
            held = msgspec.json.decode(body, type=_Scores)
        except (InvalidRequest, msgspec.ValidationError) as error:
            raise ProviderFailed(f"the reply is no ranking: {error}", code="upstream_bad_reply") from None
        if len(held.scores) != len(request.documents):
            words = f"{len(held.scores)} scores came for {len(request.documents)} documents"
            raise ProviderFailed(f"the reply is no ranking: {words}", code="upstream_bad_reply")
        ranked = best_of((Ranked(index, score) for index, score in enumerate(held.scores)), request)
        usage = Usage(held.input_tokens) if held.input_tokens else None
        return RerankReply(ranked, held.request_id or "", request.model, usage, dialect=self.name)


class GroqRerank(ListedRerank):
    """The `groq.rerank` dialect: at most 100 texts, all of which are ranked, and told again in the place of their numbers."""

    name = "groq.rerank"
    known: ClassVar[frozenset[str]] = frozenset({"instruction"})
    _MOST = 100

    @override
    def encode_request(self, request: RerankRequest, gaps: Gaps) -> bytes:
        if len(request.documents) > self._MOST:
            raise InvalidRequest(f"`documents` can be {self._MOST} at most there", param="documents")
        body: Json = msgspec.json.decode(super().encode_request(replace(request, top_n=None), gaps))
        return msgspec.json.encode({"docs" if name == "documents" else name: held for name, held in body.items()})

    @override
    def decode_reply(self, body: bytes, request: RerankRequest) -> RerankReply:
        try:
            decode_object(body)
            held = msgspec.json.decode(body, type=_Texts)
        except (InvalidRequest, msgspec.ValidationError) as error:
            raise ProviderFailed(f"the reply is no ranking: {error}", code="upstream_bad_reply") from None
        places: dict[str, deque[int]] = {}
        for index, text in enumerate(request.texts()):
            places.setdefault(text, deque()).append(index)
        ranked: list[Ranked] = []
        for one in held.results:
            if not places.get(one.doc):
                raise ProviderFailed(
                    "the reply is no ranking: it tells of a text that was not sent", code="upstream_bad_reply"
                )
            ranked.append(Ranked(places[one.doc].popleft(), one.score))
        return RerankReply(best_of(ranked, request), model=request.model, dialect=self.name)
