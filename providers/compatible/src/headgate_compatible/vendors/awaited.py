"""Vendors whose pictures are jobs that are asked after until they are done, for OpenAI's clients, who wait for one answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from msgspec import Struct

from headgate.errors import ProviderError, ProviderTimeout
from headgate.upstream import Upstream, UpstreamRequest, UpstreamResponse, WholeResponse

POLL_S = 0.5
"""The first pause before a look at a job; each next one is half as long again, up to `POLL_MOST_S`."""
POLL_MOST_S = 2.0
MISSES = 3
"""Looks that may fail one after another before the answer is given up."""


class Jobs(Struct, frozen=True):
    """A vendor's jobs: the call that asks after the one that a reply tells of, how such an answer tells a job's state, and which
    states are ends. An answer without a state is a look that failed.

    `look` raises ProviderFailed for a reply that tells of no job.
    """

    look: Callable[[UpstreamRequest, bytes], UpstreamRequest]
    state: Callable[[bytes], str | None]
    ends: Collection[str]


class Awaited:
    """Jobs as an engine whose replies are answers: what is sent begins one, and its reply comes once that is over.

    Nothing cancels a job there; one that nobody waits for any more is not asked after.
    """

    def __init__(self, upstream: Upstream, jobs: Jobs) -> None:
        self._upstream, self._jobs = upstream, jobs

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """See Upstream. Raises ProviderTimeout when the job is not over in time."""
        limits = request.timeouts
        try:
            async with asyncio.timeout(min(limits.first_byte_s, limits.total_s)):
                begun, body = await self._read(request)
                return await self._watch(self._jobs.look(request, body)) if _is_good(begun) else begun
        except TimeoutError:
            raise ProviderTimeout("the provider's job was not done in time") from None

    async def close(self) -> None:
        """There is nothing to close."""

    async def _watch(self, look: UpstreamRequest) -> UpstreamResponse:
        """Look at a job until it is over, or until too many looks fail."""
        pause_s, misses = POLL_S, 0
        while True:
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, POLL_MOST_S)
            try:
                seen, body = await self._read(look)
            except ProviderError:
                misses += 1
                if misses >= MISSES:
                    raise
                continue
            state = self._jobs.state(body) if _is_good(seen) else None
            misses = misses + 1 if state is None else 0
            if misses >= MISSES or state in self._jobs.ends:
                return seen

    async def _read(self, request: UpstreamRequest) -> tuple[UpstreamResponse, bytes]:
        response = await self._upstream.send(request)
        try:
            body = await response.read()
        finally:
            response.close()
        return WholeResponse(response.status, response.headers, body), body


def _is_good(response: UpstreamResponse) -> bool:
    return 200 <= response.status < 300
