"""An Upstream that replays recorded answers without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from urllib.parse import urlsplit

from msgspec.structs import replace

from headgate.errors import ProviderFailed, ProviderTimeout
from headgate.testing.recorded import Answers, Recorded
from headgate.upstream import Timeouts, UpstreamRequest, UpstreamResponse, origin_of


class ReplayUpstream:
    """A `headgate.upstream.Upstream` in memory. Added in 0.1.

    It keeps what an engine promises: a credential goes to its origins alone, redirects fail, limits hold. `requests`
    and `responses` remember everything, in order.
    """

    def __init__(self, answers: Mapping[str, Recorded | Sequence[Recorded]] | None = None) -> None:
        self._answers = Answers(answers)
        self.requests: list[UpstreamRequest] = []
        self.responses: list[ReplayResponse] = []
        self.is_closed = False

    def answer(self, path: str, *recorded: Recorded) -> None:
        """Answer `path` of a URL, or `*`, with these in order; the last one stays."""
        self._answers.put(path, *recorded)

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """See Upstream. What is recorded for the path of `request.url` answers it; a body in pieces is read to its end."""
        if request.pieces is not None:
            request = replace(request, body=b"".join([piece async for piece in request.pieces.source]))
        self.requests.append(request)
        credential = request.credential
        if credential is not None and origin_of(request.url) not in credential.origins:
            raise ProviderFailed("the credential is not bound to this origin", code="upstream_denied")
        recorded = self._answers.take(urlsplit(request.url).path)
        limit_s = request.timeouts.first_byte_s
        try:
            async with asyncio.timeout(limit_s):
                await _wait(None if recorded.stall_at == -1 else recorded.delay_s)
        except TimeoutError:
            raise ProviderTimeout(f"no answer within {limit_s:g} s") from None
        if 300 <= recorded.status < 400:
            raise ProviderFailed("a redirect is not followed", code="upstream_redirect")
        response = ReplayResponse(recorded, request.timeouts)
        self.responses.append(response)
        return response

    async def close(self) -> None:
        """See Upstream."""
        self.is_closed = True


class ReplayResponse:
    """A recorded answer under way. `is_closed` tells whether it was given up or read to its end and closed."""

    def __init__(self, recorded: Recorded, timeouts: Timeouts) -> None:
        self._recorded = recorded
        self._timeouts = timeouts
        self.status = recorded.status
        self.headers = tuple((name.lower().encode(), value.encode()) for name, value in recorded.headers)
        self.is_closed = False

    async def read(self) -> bytes:
        """See UpstreamResponse."""
        return b"".join([piece async for piece in self.chunks()])

    async def chunks(self) -> AsyncIterator[bytes]:
        """See UpstreamResponse."""
        recorded, limit_s = self._recorded, self._timeouts.gap_s
        try:
            for piece in recorded.pieces():
                async with asyncio.timeout(limit_s):
                    await _wait(recorded.gap_s)
                yield piece
            if recorded.is_stalled:
                async with asyncio.timeout(limit_s):
                    await _wait(None)
        except TimeoutError:
            raise ProviderTimeout(f"the reply was silent for {limit_s:g} s") from None
        if recorded.cut_at is not None and (recorded.framing != "close" or recorded.cut == "rst"):
            raise ProviderFailed("the reply was broken off: cut", code="upstream_cut")

    def close(self) -> None:
        """See UpstreamResponse."""
        self.is_closed = True


async def _wait(seconds: float | None) -> None:
    """Wait so long, for None without end. Always lets the loop run once, as a socket would."""
    if seconds is None:
        await asyncio.Event().wait()
    else:
        await asyncio.sleep(seconds)
