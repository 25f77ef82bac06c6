"""Fireworks: OpenAI's shape, rankings in that of a list, and sound on hosts of its own.

Sources: https://docs.fireworks.ai/api-reference/rerank-documents, https://docs.fireworks.ai/guides/querying-asr-models
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
from headgate_compatible.vendors.rerank import ListedRerank

SOUND, FAST_SOUND = "https://audio-prod.api.fireworks.ai/v1", "https://audio-turbo.api.fireworks.ai/v1"
"""Where models hear, and where those with `turbo` in their name do."""


class Fireworks(Compatible):
    """Fireworks AI. A deployment with a `base_url` of its own has everything there."""

    own_dialects: ClassVar[Mapping[str, str]] = {"rerank": ListedRerank.name}
    codecs: ClassVar[Mapping[str, Dialect]] = {ListedRerank.name: ListedRerank()}

    @override
    def url_for(self, ex: Exchange) -> str:
        host = self._host_of(ex)
        return host + self.paths[operation_of(ex)] if host else super().url_for(ex)

    @override
    def credential(self, ex: Exchange) -> Credential | None:
        held, host = super().credential(ex), self._host_of(ex)
        return replace(held, origins=frozenset({origin_of(host)})) if held and host else held

    def _host_of(self, ex: Exchange) -> str:
        """The host of a call for sound; empty for any other."""
        if not operation_of(ex).startswith("audio.") or self.url != self.base_url or ex.base_url:
            return ""
        return FAST_SOUND if ex.attempt is not None and "turbo" in ex.attempt.model else SOUND
