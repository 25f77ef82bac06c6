"""Jina: embeddings with a task, and rankings in the shape that others have taken over. https://api.jina.ai/redoc"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from headgate.dialects import Dialect
from headgate_compatible.provider import Compatible
from headgate_compatible.vendors.embeddings import JinaEmbeddings
from headgate_compatible.vendors.ranking import JinaRerank


class Jina(Compatible):
    """Jina AI."""

    own_dialects: ClassVar[Mapping[str, str]] = {"embeddings": JinaEmbeddings.name, "rerank": JinaRerank.name}
    codecs: ClassVar[Mapping[str, Dialect]] = {JinaEmbeddings.name: JinaEmbeddings(), JinaRerank.name: JinaRerank()}


class JinaShaped(Compatible):
    """A server of which only the rankings are in Jina's shape, such as vLLM or Novita."""

    own_dialects: ClassVar[Mapping[str, str]] = {"rerank": JinaRerank.name}
    codecs: ClassVar[Mapping[str, Dialect]] = {JinaRerank.name: JinaRerank()}
