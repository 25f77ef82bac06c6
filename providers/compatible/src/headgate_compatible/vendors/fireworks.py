"""Fireworks: OpenAI's shape, and rankings in that of a list. https://docs.fireworks.ai/api-reference/rerank-documents"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from headgate.dialects import Dialect
from headgate_compatible.provider import Compatible
from headgate_compatible.vendors.rerank import ListedRerank


class Fireworks(Compatible):
    """Fireworks AI."""

    own_dialects: ClassVar[Mapping[str, str]] = {"rerank": ListedRerank.name}
    codecs: ClassVar[Mapping[str, Dialect]] = {ListedRerank.name: ListedRerank()}
