"""Cloudflare: rankings by what runs any model of Workers AI, since its API in OpenAI's shape has none.

Sources: https://developers.cloudflare.com/workers-ai/models/bge-reranker-base and, for address and envelope,
https://developers.cloudflare.com/workers-ai/get-started/rest-api
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
from headgate_compatible.vendors.ranking import CloudflareRerank


class Cloudflare(Compatible):
    """Workers AI, and by its REST API the models of others behind AI Gateway."""

    own_dialects: ClassVar[Mapping[str, str]] = {"rerank": CloudflareRerank.name}
    codecs: ClassVar[Mapping[str, Dialect]] = {CloudflareRerank.name: CloudflareRerank()}

    @override
    def url_for(self, ex: Exchange) -> str:
        url = super().url_for(ex)
        if ex.attempt is None or operation_of(ex) != "rerank":
            return url
        return f"{url.removesuffix(self.paths['rerank']).removesuffix('/v1')}/run/{path_of(ex.attempt.model)}"
