"""Voyage: embeddings and rankings in words of its own. https://docs.voyageai.com/reference/reranker-api"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from headgate.dialects import Dialect
from headgate_compatible.provider import Compatible
from headgate_compatible.vendors.embeddings import VoyageEmbeddings
from headgate_compatible.vendors.rerank import VoyageRerank


class Voyage(Compatible):
    """Voyage AI."""

    own_dialects: ClassVar[Mapping[str, str]] = {"embeddings": VoyageEmbeddings.name, "rerank": VoyageRerank.name}
    codecs: ClassVar[Mapping[str, Dialect]] = {
        VoyageEmbeddings.name: VoyageEmbeddings(),
        VoyageRerank.name: VoyageRerank(),
    }
