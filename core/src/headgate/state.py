"""The embedded StateStore: one process, bounded, expiring lazily."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

MAX_ENTRIES = 100_000


class MemoryStateStore:
    """A StateStore in process memory. Past `max_entries` the least recently used entry goes."""

    def __init__(self, max_entries: int = MAX_ENTRIES, clock: Callable[[], float] = time.monotonic) -> None:
        self._entries: OrderedDict[bytes, tuple[bytes, float | None]] = OrderedDict()
        self._max_entries = max_entries
        self._clock = clock

    async def get(self, key: bytes) -> bytes | None:
        """See StateStore."""
        held = self._entries.get(key)
        if held is None:
            return None
        value, expires = held
        if expires is not None and expires <= self._clock():
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return value

    async def set(self, key: bytes, value: bytes, ttl_s: float | None = None) -> None:
        """See StateStore."""
        self._entries[key] = (value, None if ttl_s is None else self._clock() + ttl_s)
        self._entries.move_to_end(key)
        if len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)

    async def add(self, key: bytes, amount: int, ttl_s: float | None = None) -> int:
        """See StateStore."""
        value = await self.get(key)
        if value is None:
            await self.set(key, str(amount).encode(), ttl_s)
            return amount
        total = int(value) + amount
        self._entries[key] = (str(total).encode(), self._entries[key][1])
        return total

    async def delete(self, key: bytes) -> None:
        """See StateStore."""
        self._entries.pop(key, None)
