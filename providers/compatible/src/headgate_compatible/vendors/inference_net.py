"""Inference.net: files and batches on a host of their own. https://docs.inference.net/api/batch"""

from __future__ import annotations

from msgspec.structs import replace
from typing_extensions import override

from headgate.caller import passed_path
from headgate.exchange import Exchange
from headgate.provider import operation_of
from headgate.upstream import Credential, origin_of
from headgate_compatible.provider import Compatible

BATCH = "https://batch.inference.net/v1"
"""Where files and batches are, and only there."""
_BATCHED = frozenset({"files", "batches"})


class InferenceNet(Compatible):
    """Inference.net. A deployment with a `base_url` of its own has everything there."""

    @override
    def url_for(self, ex: Exchange) -> str:
        return BATCH + passed_path(ex) if self._is_batched(ex) else super().url_for(ex)

    @override
    def credential(self, ex: Exchange) -> Credential | None:
        held = super().credential(ex)
        return replace(held, origins=frozenset({origin_of(BATCH)})) if held and self._is_batched(ex) else held

    def _is_batched(self, ex: Exchange) -> bool:
        """Whether the call goes to the host of batches."""
        return operation_of(ex) in _BATCHED and self.url == self.base_url and not ex.base_url
