"""Vendors that make one vector of one call: several texts are several calls, whose answers come back as one list."""

from __future__ import annotations

from msgspec.structs import replace
from typing_extensions import override

from headgate.exchange import Exchange
from headgate.operations import EMBEDDINGS
from headgate.provider import operation_of
from headgate.upstream import UpstreamRequest, UpstreamResponse
from headgate.upstream.fanout import bodies_in, send_each
from headgate_compatible.provider import Compatible


class Fanned(Compatible):
    """A vendor whose dialect of embeddings writes several texts as a list of bodies."""

    @override
    def body_for(self, ex: Exchange) -> bytes:
        """Vectors are asked for in no words that a quirk concerns, and maybe in a list of bodies."""
        attempt = ex.attempt
        if attempt is not None and attempt.body is not None and operation_of(ex) == EMBEDDINGS.name:
            return attempt.body
        return super().body_for(ex)

    @override
    async def send(self, ex: Exchange) -> UpstreamResponse:
        attempt = ex.attempt
        if attempt is None or attempt.body is None or operation_of(ex) != EMBEDDINGS.name:
            return await super().send(ex)
        request = self.prepare(ex)
        return await send_each(self._sent, [replace(request, body=body) for body in bodies_in(attempt.body)])

    async def _sent(self, request: UpstreamRequest) -> UpstreamResponse:
        return await self.upstream.send(await self.authorize(request))
