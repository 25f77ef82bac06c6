"""Names to vetted addresses, remembered for a few seconds; one lookup serves all who ask at once."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from headgate.upstream.rules import DNS_TTL_S, is_literal, vet_resolved

AddressInfo = tuple[int, int, int, str, Any]
MAX_NAMES = 1024


class Names:
    """A resolver over the system's own."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._known: dict[tuple[str, int, bool], tuple[float, asyncio.Task[list[AddressInfo]]]] = {}

    async def resolve(self, host: str, port: int, *, allow_private: bool) -> list[AddressInfo]:
        """Where to connect, best first. Raises DeniedError, or socket.gaierror when the name does not resolve."""
        if is_literal(host):
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            address: Any = (host, port, 0, 0) if ":" in host else (host, port)
            return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)]
        key = (host, port, allow_private)
        until, task = self._known.get(key, (0.0, None))
        if task is None or until < self._loop.time() or (task.done() and _failed(task)):
            if len(self._known) >= MAX_NAMES:
                self._known.clear()
            task = self._loop.create_task(self._look_up(host, port, allow_private=allow_private))
            self._known[key] = (self._loop.time() + DNS_TTL_S, task)
        return await asyncio.shield(task)  # others may wait for it too

    def close(self) -> None:
        """Give up running lookups."""
        for _, task in self._known.values():
            task.cancel()
        self._known.clear()

    async def _look_up(self, host: str, port: int, *, allow_private: bool) -> list[AddressInfo]:
        found: list[Any] = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        vet_resolved([info[4][0] for info in found], allow_private=allow_private)
        return found


def _failed(task: asyncio.Task[list[AddressInfo]]) -> bool:
    return task.cancelled() or task.exception() is not None
