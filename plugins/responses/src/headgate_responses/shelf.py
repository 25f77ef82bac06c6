"""Where responses are kept: entries of one tenant each, in the gateway's StateStore."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
import structlog
from msgspec import Struct

from headgate import HookFailed
from headgate.hooks import StateStore

MADE = "resp_hg_"
"""How the ids begin that the gateway makes."""
STORE_S = 0.5
"""How long one operation of the store may take, in seconds."""
WAITS_S = (0.05, 0.15)
"""A reply reaches its client before it reaches the store, so an id of the gateway's is looked for again after these."""
QUIET_S = 60.0

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[object]]

log = structlog.get_logger("headgate")


class Kept(Struct, frozen=True, tag="kept", gc=False):
    """A response that the gateway keeps: the response object as the client got it, and all items the model was given.

    Both are JSON. `items` holds the whole conversation before the response, so that nothing is missing when an earlier
    response is deleted.
    """

    response: bytes
    items: bytes


class Held(Struct, frozen=True, tag="held", gc=False):
    """A response that the provider keeps: the deployment that made it, and a digest of the account behind that."""

    deployment: str
    account: str


class Lost(Struct, frozen=True, tag="lost", gc=False):
    """A response that was to be kept and could not be; `why` is for its caller."""

    why: str


Entry = Kept | Held | Lost

_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Kept | Held | Lost)


class Shelf:
    """Entries by tenant and response id; ids of other tenants are as unknown.

    Reading fails closed, with a 503; writing fails open, and is logged once a minute.
    """

    def __init__(
        self,
        ttl_s: float,
        sleep: Sleep = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.state: StateStore
        self._ttl_s = ttl_s
        self._sleep = sleep
        self._clock = clock
        self._quiet_until = 0.0

    async def find(self, tenant: str, response_id: str) -> Entry | None:
        """The entry of an id, None when this tenant has none. Raises HookFailed when the store cannot say."""
        key = key_of(tenant, response_id)
        value = await self._read(key)
        for wait_s in WAITS_S if response_id.startswith(MADE) else ():
            if value is not None:
                break
            await self._sleep(wait_s)
            value = await self._read(key)
        try:
            return None if value is None else _decoder.decode(value)
        except msgspec.DecodeError as error:
            self.complain("a kept response cannot be read", error=str(error))
            return None

    async def put(self, tenant: str, response_id: str, entry: Entry) -> None:
        """Keep an entry, as well as can be."""
        try:
            await _bounded(self.state.set(key_of(tenant, response_id), _encode(entry), self._ttl_s))
        except Exception as error:
            self.complain("a response could not be kept", error=f"{type(error).__name__}: {error}")

    async def remove(self, tenant: str, response_id: str) -> bool:
        """Forget an entry; False when the store could not do it."""
        try:
            await _bounded(self.state.delete(key_of(tenant, response_id)))
        except Exception as error:
            self.complain("a response could not be deleted", error=f"{type(error).__name__}: {error}")
            return False
        return True

    def complain(self, event: str, **words: object) -> None:
        """Log what went wrong, once a minute at most."""
        now = self._clock()
        if now >= self._quiet_until:
            self._quiet_until = now + QUIET_S
            log.error(event, plugin="responses", **words)

    async def _read(self, key: bytes) -> bytes | None:
        try:
            return await _bounded(self.state.get(key))
        except Exception as error:
            self.complain("kept responses cannot be read", error=f"{type(error).__name__}: {error}")
            raise unavailable() from error


def key_of(tenant: str, response_id: str) -> bytes:
    """The key of an entry: a digest of tenant and id, so that neither can pass for a part of the other."""
    return b"responses:" + hashlib.sha256(_encode((tenant, response_id))).hexdigest().encode()


def unavailable() -> HookFailed:
    """What a request gets that needs the store while it cannot be reached."""
    return HookFailed(
        "the store of responses cannot be reached; try again shortly", code="state_unavailable", retry_after_s=1
    )


async def _bounded(awaitable: Awaitable[T]) -> T:
    async with asyncio.timeout(STORE_S):
        return await awaitable
