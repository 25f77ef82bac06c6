"""A token that is always good: fetched before it ends, by one call at a time, while the others go on with the old one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Literal
from urllib.parse import urlsplit

import structlog

from headgate.errors import ProviderError, ProviderFailed
from headgate.secret import Secret
from headgate.upstream import Upstream
from headgate_azure.entra import Source, Token, failure, token_of

EARLY_S = 300.0
"""A token that ends this soon is renewed in the background."""
LATE_S = 30.0
"""A token that ends this soon is not used any more."""
RETRY_S = 15.0
"""After a failure in the background nothing is tried again for so long."""

log: structlog.stdlib.BoundLogger = structlog.get_logger("headgate")

State = Literal["good", "ending", "gone"]


def state_of(token: Token | None, now: float) -> State:
    """Whether a token can be used at `now`, in Unix seconds, and whether it is time for another."""
    left_s = token.expires_at - now if token is not None else 0.0
    if left_s < LATE_S:
        return "gone"
    return "ending" if left_s < EARLY_S else "good"


class Tokens:
    """The access token of one deployment. `clock` gives Unix seconds."""

    def __init__(self, source: Source, upstream: Upstream, clock: Callable[[], float] = time.time) -> None:
        self._source = source
        self._upstream = upstream
        self._clock = clock
        self._token: Token | None = None
        self._before: Token | None = None
        self._task: asyncio.Task[Token | ProviderFailed] | None = None
        self._not_before = 0.0

    def secrets(self) -> tuple[bytes, ...]:
        """What must not come back in a reply, be it one to a call that was made before this token came."""
        return tuple(token.value.reveal_bytes() for token in (self._token, self._before) if token is not None)

    async def token(self) -> Secret:
        """A token that is good for half a minute at least. ProviderFailed (code `upstream_credentials`) when there is none."""
        now = self._clock()
        state = state_of(self._token, now)
        if state == "ending" and now >= self._not_before:
            self._fetching()
        if self._token is not None and state != "gone":
            return self._token.value
        found = await asyncio.shield(self._fetching())  # others wait for it too
        if isinstance(found, ProviderFailed):
            raise failure_again(found)
        return found.value

    def _fetching(self) -> asyncio.Task[Token | ProviderFailed]:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._fetch())
        return self._task

    async def _fetch(self) -> Token | ProviderFailed:
        """The next token, or why there is none: an error is a result, since there may be nobody to raise it to."""
        try:
            token = await self._ask()
        except ProviderError as error:
            self._not_before = self._clock() + RETRY_S
            log.warning("no access token", error=error.message)
            return (
                error
                if error.error_code == "upstream_credentials" and isinstance(error, ProviderFailed)
                else failure(error.message)
            )
        self._before, self._token = self._token, token
        return token

    async def _ask(self) -> Token:
        request = await self._source.request()
        response = await self._upstream.send(request)
        try:
            body = await response.read()
        finally:
            response.close()
        return token_of(response.status, body, urlsplit(request.url).hostname or "", self._clock())


def failure_again(error: ProviderFailed) -> ProviderFailed:
    """The same failure for another call, which will say whose it is."""
    return ProviderFailed(error.message, code=error.error_code)
