"""NVIDIA: embeddings that must be told what a text is, and rankings at an address of their own.

Sources: https://docs.api.nvidia.com/nim/reference/nvidia-llama-3_2-nv-rerankqa-1b-v2-infer (hosted),
https://docs.nvidia.com/nim/nemo-retriever/text-reranking/latest/using-reranking.html (servers of one's own)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import quote

from msgspec.structs import replace
from typing_extensions import override

from headgate.dialects import Dialect
from headgate.exchange import Exchange
from headgate.provider import operation_of
from headgate.upstream import Credential, origin_of
from headgate_compatible.provider import Compatible
from headgate_compatible.vendors.embeddings import NvidiaEmbeddings
from headgate_compatible.vendors.ranking import NvidiaRerank

RETRIEVAL = "https://ai.api.nvidia.com/v1/retrieval"


class Nvidia(Compatible):
    """NVIDIA's hosted models, and with a `base_url` a NIM of one's own."""

    own_dialects: ClassVar[Mapping[str, str]] = {"embeddings": NvidiaEmbeddings.name, "rerank": NvidiaRerank.name}
    codecs: ClassVar[Mapping[str, Dialect]] = {
        NvidiaEmbeddings.name: NvidiaEmbeddings(),
        NvidiaRerank.name: NvidiaRerank(),
    }

    @override
    def url_for(self, ex: Exchange) -> str:
        if ex.attempt is None or not self._is_retrieval(ex):
            return super().url_for(ex)
        return f"{RETRIEVAL}/{quote(ex.attempt.model.replace('.', '_'))}/reranking"

    @override
    def credential(self, ex: Exchange) -> Credential | None:
        held = super().credential(ex)
        return replace(held, origins=frozenset({origin_of(RETRIEVAL)})) if held and self._is_retrieval(ex) else held

    def _is_retrieval(self, ex: Exchange) -> bool:
        """Whether the call is a ranking by a model that NVIDIA hosts."""
        return operation_of(ex) == "rerank" and self.url == self.base_url and not ex.base_url
