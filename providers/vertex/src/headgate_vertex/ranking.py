"""The dialect `vertex.rerank`: Google Cloud's ranking API, which stands beside Vertex AI on a host of its own.

Sources: https://cloud.google.com/generative-ai-app-builder/docs/ranking and
https://cloud.google.com/generative-ai-app-builder/docs/reference/rest/v1/projects.locations.rankingConfigs/rank
"""

from __future__ import annotations

import msgspec
from typing_extensions import override

from headgate.body import decode_object
from headgate.dialects import CohereRerank, Gaps
from headgate.dialects.openai.members import Json
from headgate.errors import InvalidRequest, ProviderFailed
from headgate.vectors import Ranked, RerankReply, RerankRequest, best_of

HOST = "https://discoveryengine.googleapis.com/v1"
"""Where rankings are made."""
CONFIG = "/locations/global/rankingConfigs/default_ranking_config:rank"
"""The one ranking there is, below a project."""


class _Record(msgspec.Struct):
    id: str
    score: float


class _Records(msgspec.Struct):
    records: list[_Record]


class VertexRerank(CohereRerank):
    """The `vertex.rerank` dialect: documents are records, known by their place. What was read is not told."""

    name = "vertex.rerank"

    @override
    def encode_request(self, request: RerankRequest, gaps: Gaps) -> bytes:
        if request.max_tokens_per_document is not None:
            gaps.skip("max_tokens_per_doc")
        gaps.extra(request.extra)
        body: Json = {
            "model": request.model,
            "query": request.query,
            "records": [{"id": str(at), "content": text} for at, text in enumerate(request.texts())],
            "ignoreRecordDetailsInResponse": True,
        }
        if request.top_n is not None:
            body["topN"] = request.top_n
        return msgspec.json.encode(body)

    @override
    def decode_reply(self, body: bytes, request: RerankRequest) -> RerankReply:
        try:
            decode_object(body)
            held = msgspec.json.decode(body, type=_Records)
            ranked = best_of((Ranked(int(one.id), one.score) for one in held.records), request)
        except (InvalidRequest, ValueError) as error:
            raise ProviderFailed(f"the reply is no ranking: {error}", code="upstream_bad_reply") from None
        return RerankReply(ranked, model=request.model, dialect=self.name)
