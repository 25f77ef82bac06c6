"""Jina: embeddings with a task, rankings in the shape that others have taken over, and a chat that searches on a host of its own.

Sources: https://api.jina.ai/redoc, https://jina.ai/deepsearch
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from msgspec.structs import replace
from typing_extensions import override

from headgate.dialects import Dialect
from headgate.exchange import Exchange
from headgate.provider import operation_of
from headgate.upstream import Credential, origin_of
from headgate_compatible.provider import Compatible
from headgate_compatible.vendors.embeddings import JinaEmbeddings
from headgate_compatible.vendors.ranking import JinaRerank

DEEPSEARCH = "https://deepsearch.jina.ai/v1"
"""Where chat is."""


class Jina(Compatible):
    """Jina AI. A deployment with a `base_url` of its own has everything there."""

    own_dialects: ClassVar[Mapping[str, str]] = {"embeddings": JinaEmbeddings.name, "rerank": JinaRerank.name}
    codecs: ClassVar[Mapping[str, Dialect]] = {JinaEmbeddings.name: JinaEmbeddings(), JinaRerank.name: JinaRerank()}

    @override
    def url_for(self, ex: Exchange) -> str:
        return DEEPSEARCH + self.paths["chat"] if self._is_search(ex) else super().url_for(ex)

    @override
    def credential(self, ex: Exchange) -> Credential | None:
        held = super().credential(ex)
        return replace(held, origins=frozenset({origin_of(DEEPSEARCH)})) if held and self._is_search(ex) else held

    def _is_search(self, ex: Exchange) -> bool:
        """Whether the call goes to DeepSearch."""
        return operation_of(ex) == "chat" and self.url == self.base_url and not ex.base_url


class JinaShaped(Compatible):
    """A server of which only the rankings are in Jina's shape, such as vLLM or Novita."""

    own_dialects: ClassVar[Mapping[str, str]] = {"rerank": JinaRerank.name}
    codecs: ClassVar[Mapping[str, Dialect]] = {JinaRerank.name: JinaRerank()}
