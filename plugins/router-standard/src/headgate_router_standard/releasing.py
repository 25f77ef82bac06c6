"""Holding the beginning of a stream: until the first pieces are let go, a stream that stalls or breaks can go elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable

from headgate.dialects import Dialect
from headgate.dialects.sse import data_of, events_of
from headgate.errors import HookFailed, InvalidRequest, ProviderError, ProviderFailed, ProviderTimeout
from headgate.exchange import Attempt, Exchange, Reply
from headgate.fleet import broke
from headgate.hooks import Call
from headgate.relay import OwnedStream, discard

MAX_HELD_BYTES = 1024 * 1024


class Releasing:
    """Holds the first pieces of a stream where its target says so (`release_after`, `timeouts.first_token`).

    What fails before they are complete fails like a call without a reply: it may be tried again, or elsewhere. Nothing of
    it is ever sent, so no answer is made of two.
    """

    def __init__(self, inner: Call) -> None:
        self._inner = inner

    def call(self, ex: Exchange) -> Awaitable[Reply]:
        """The reply; of a stream all that is held is its first chunk."""
        attempt = ex.attempt
        if attempt is None:
            raise HookFailed("a call needs an attempt")
        target = attempt.target
        is_plain = not target.release_after and not target.patience.first_token_s
        return self._inner(ex) if is_plain else self._hold(ex, attempt)

    async def _hold(self, ex: Exchange, attempt: Attempt) -> Reply:
        limit_s = attempt.target.patience.first_token_s
        limit = asyncio.timeout(limit_s or None)
        reply: Reply | None = None
        try:
            async with limit:
                reply = await self._inner(ex)
                dialect = ex.dialect
                if not reply.is_ok or reply.chunks is None or dialect is None or ex.event_dialect is None:
                    return reply
                beginning = Beginning(reply.chunks, dialect)
                await beginning.grow(1)
            await beginning.grow(attempt.target.release_after)
        except TimeoutError:
            if not limit.expired():
                raise
            error: ProviderError = ProviderTimeout(
                f"provider `{attempt.provider.name}` sent no token within the target's {limit_s:g} s",
                provider=attempt.provider.name,
                deployment=attempt.target.deployment,
            )
            broke(attempt, error)
            await _give_up(reply)
            raise error from None
        except ProviderError as failed:
            if reply is not None:
                broke(attempt, failed)
            await _give_up(reply)
            raise
        chunks = reply.chunks
        pour = chunks.pour if isinstance(chunks, OwnedStream) else None
        source = Reply(reply.status, chunks=chunks)
        reply.chunks = OwnedStream(_from_start(beginning, chunks), lambda: discard(source), pour)
        return reply


class Beginning:
    """What has come of a stream so far, and how many pieces of text are in it."""

    def __init__(self, chunks: AsyncIterator[bytes], dialect: Dialect) -> None:
        self._chunks = chunks
        self._dialect = dialect
        self._pieces = 0
        self._size = 0
        self.held: list[bytes] = []
        self.has_ended = False

    async def grow(self, pieces: int) -> None:
        """Read on until so many pieces of text are here, or too many bytes, or all of it.

        Raises ProviderFailed for an error event in it, and whatever the stream raises.
        """
        while self._pieces < pieces and self._size < MAX_HELD_BYTES and not self.has_ended:
            try:
                chunk = await anext(self._chunks)
            except StopAsyncIteration:
                self.has_ended = True
                return
            self.held.append(chunk)
            self._size += len(chunk)
            for event in events_of(chunk):
                self._take(event)

    def _take(self, event: bytes) -> None:
        data = data_of(event)
        if not data:
            return
        if self._dialect.is_error(event):
            words = self._dialect.decode_error(502, data)
            raise ProviderFailed(words.message or "the provider sent an error event", code="upstream_failed")
        try:
            self._pieces += any(place.text for place in self._dialect.view_event(data).texts)
        except InvalidRequest:
            return  # `[DONE]`, which says nothing


async def _give_up(reply: Reply | None) -> None:
    if reply is not None:
        await discard(reply)


async def _from_start(beginning: Beginning, rest: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    if beginning.held:
        yield b"".join(beginning.held)
    if not beginning.has_ended:
        async for chunk in rest:
            yield chunk
