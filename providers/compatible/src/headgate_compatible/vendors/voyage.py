"""Voyage: embeddings, rankings and batches in words of its own.

Source: https://docs.voyageai.com/reference/reranker-api; for batches see `batches`. Files are
OpenAI's, but that their times are texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from headgate.dialects import Dialect
from headgate_compatible.provider import Compatible
from headgate_compatible.vendors.batches import VoyageBatches
from headgate_compatible.vendors.embeddings import VoyageEmbeddings
from headgate_compatible.vendors.rerank import VoyageRerank


class Voyage(Compatible):
    """Voyage AI."""

    own_dialects: ClassVar[Mapping[str, str]] = {
        "embeddings": VoyageEmbeddings.name,
        "rerank": VoyageRerank.name,
        "batches": VoyageBatches.name,
    }
    codecs: ClassVar[Mapping[str, Dialect]] = {
        each.name: each for each in (VoyageEmbeddings(), VoyageRerank(), VoyageBatches())
    }
