"""DeepInfra: rankings by what runs any of its models, since its API in OpenAI's shape has none.

Sources: https://docs.deepinfra.com/apis/reranker and, for the fields, https://deepinfra.com/Qwen/Qwen3-Reranker-0.6B/api
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from typing_extensions import override

from headgate.dialects import Dialect
from headgate.exchange import Exchange
from headgate.provider import operation_of
from headgate_compatible.provider import Compatible
from headgate_compatible.vendors.places import path_of
from headgate_compatible.vendors.ranking import DeepInfraRerank


class DeepInfra(Compatible):
    """DeepInfra. Rankings stand beside its API in OpenAI's shape, each model at an address of its own."""

    own_dialects: ClassVar[Mapping[str, str]] = {"rerank": DeepInfraRerank.name}
    codecs: ClassVar[Mapping[str, Dialect]] = {DeepInfraRerank.name: DeepInfraRerank()}

    @override
    def url_for(self, ex: Exchange) -> str:
        url = super().url_for(ex)
        if ex.attempt is None or operation_of(ex) != "rerank":
            return url
        return f"{url.removesuffix(self.paths['rerank']).removesuffix('/openai')}/inference/{path_of(ex.attempt.model)}"
