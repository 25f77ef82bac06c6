"""The embedded StateStore: one process, bounded in entries and in bytes, expiring lazily."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

import structlog

MAX_ENTRIES = 100_000
MAX_BYTES = 256 * 1024 * 1024
OVERHEAD_BYTES = 320
"""What an entry takes beside its key and its value: two objects of bytes, a pair, a float, a place in the dictionary."""
QUIET_S = 60.0

log = structlog.get_logger("headgate")


class MemoryStateStore:
    """A StateStore in process memory. Past `max_entries` or `max_bytes` the least recently used entries go.

    `evicted` counts those that went before their time, values larger than all of the store included; the log tells of
    them once a minute at most.
    """

    def __init__(
        self,
        max_entries: int = MAX_ENTRIES,
        clock: Callable[[], float] = time.monotonic,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._entries: OrderedDict[bytes, tuple[bytes, float | None]] = OrderedDict()
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._clock = clock
        self._quiet_until: float | None = None
        self.bytes_held = 0
        self.evicted = 0

    async def get(self, key: bytes) -> bytes | None:
        """See StateStore."""
        held = self._entries.get(key)
        if held is None:
            return None
        value, expires = held
        if expires is not None and expires <= self._clock():
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return value

    async def set(self, key: bytes, value: bytes, ttl_s: float | None = None) -> None:
        """See StateStore."""
        self._drop(key)
        size = _size(key, value)
        if size > self._max_bytes:
            self._say(1)
            return
        self._make_room(size)
        self._entries[key] = (value, None if ttl_s is None else self._clock() + ttl_s)
        self.bytes_held += size

    async def add(self, key: bytes, amount: int, ttl_s: float | None = None) -> int:
        """See StateStore."""
        value = await self.get(key)
        if value is None:
            await self.set(key, str(amount).encode(), ttl_s)
            return amount
        total = int(value) + amount
        written = str(total).encode()
        self.bytes_held += len(written) - len(value)
        self._entries[key] = (written, self._entries[key][1])
        return total

    async def delete(self, key: bytes) -> None:
        """See StateStore."""
        self._drop(key)

    def _drop(self, key: bytes) -> None:
        held = self._entries.pop(key, None)
        if held is not None:
            self.bytes_held -= _size(key, held[0])

    def _make_room(self, size: int) -> None:
        """Let entries go until one more of this size is within the bounds."""
        early = 0
        while self._entries and (len(self._entries) >= self._max_entries or self.bytes_held + size > self._max_bytes):
            key, (value, expires) = self._entries.popitem(last=False)
            self.bytes_held -= _size(key, value)
            early += expires is None or expires > self._clock()
        if early:
            self._say(early)

    def _say(self, count: int) -> None:
        """Count entries that went before their time, and log it once a minute."""
        self.evicted += count
        now = self._clock()
        if self._quiet_until is None or now >= self._quiet_until:
            self._quiet_until = now + QUIET_S
            log.warning(
                "the store `memory` is full, so entries go before their time: raise `limits.state_bytes`, or use a shared store",
                evicted=self.evicted,
                entries=len(self._entries),
                size_bytes=self.bytes_held,
            )


def _size(key: bytes, value: bytes) -> int:
    return OVERHEAD_BYTES + len(key) + len(value)
