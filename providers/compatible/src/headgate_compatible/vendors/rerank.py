"""Rankings in the shape of a list: Voyage's and Fireworks', whose requests are Cohere's but for a name.

Sources: https://docs.voyageai.com/reference/reranker-api, https://docs.fireworks.ai/api-reference/rerank-documents
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
from typing_extensions import override

from headgate.body import decode_object
from headgate.chat import Usage
from headgate.dialects import Gaps
from headgate.dialects.cohere_rerank import CohereRerank
from headgate.errors import InvalidRequest, ProviderFailed
from headgate.vectors import Ranked, RerankReply, RerankRequest, best_of

Json = dict[str, Any]


class _Scored(msgspec.Struct):
    index: int
    relevance_score: float


class _Read(msgspec.Struct):
    total_tokens: int = 0


class _Listed(msgspec.Struct):
    data: list[_Scored]
    model: str = ""
    usage: _Read | None = None


class ListedRerank(CohereRerank):
    """The `listed.rerank` dialect: results stand under `data`, and tokens read under `usage`."""

    name = "listed.rerank"
    limit: ClassVar[str] = "top_n"
    """The field that says how many results to give."""
    known: ClassVar[frozenset[str]] = frozenset()
    """Further fields of the vendor's."""

    @override
    def encode_request(self, request: RerankRequest, gaps: Gaps) -> bytes:
        body: Json = {"model": request.model, "query": request.query, "documents": list(request.texts())}
        if request.top_n is not None:
            body[self.limit] = request.top_n
        if request.max_tokens_per_document is not None:
            gaps.skip("max_tokens_per_doc")
        body |= {name: value for name, value in request.extra.items() if name in self.known}
        gaps.extra({name: value for name, value in request.extra.items() if name not in self.known})
        return msgspec.json.encode(body)

    @override
    def decode_reply(self, body: bytes, request: RerankRequest) -> RerankReply:
        try:
            decode_object(body)
            held = msgspec.json.decode(body, type=_Listed)
            results = best_of((Ranked(one.index, one.relevance_score) for one in held.data), request)
        except (InvalidRequest, msgspec.ValidationError) as error:
            raise ProviderFailed(f"the reply is no ranking: {error}", code="upstream_bad_reply") from None
        usage = None if held.usage is None else Usage(held.usage.total_tokens)
        return RerankReply(results, model=held.model or request.model, usage=usage, dialect=self.name)


class VoyageRerank(ListedRerank):
    """The `voyage.rerank` dialect."""

    name = "voyage.rerank"
    limit = "top_k"
    known = frozenset({"truncation"})
