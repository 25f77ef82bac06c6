"""Names to vetted addresses, remembered for a few seconds; one lookup serves all who ask at once."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from headgate.upstream.rules import DNS_TTL_S, is_literal, vet_resolved

AddressInfo = tuple[int, int, int, str, Any]
Found = list[AddressInfo] | Exception
"""An error is a result: a lookup that nobody waits for any more has nobody to raise to."""
MAX_NAMES = 1024


class Names:
    """A resolver over the system's own."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._known: dict[tuple[str, int, bool], tuple[float, asyncio.Task[Found]]] = {}

    async def resolve(self, host: str, port: int, *, allow_private: bool) -> list[AddressInfo]:
        """Where to connect, best first. Raises DeniedError, or socket.gaierror when the name does not resolve."""
        if is_literal(host):
            return [_literal(host, port)]
        key = (host, port, allow_private)
        until, task = self._known.get(key, (0.0, None))
        if task is None or until < self._loop.time() or (task.done() and _failed(task)):
            if len(self._known) >= MAX_NAMES:
                self._known.clear()
            task = self._loop.create_task(self._look_up(host, port, allow_private=allow_private))
            self._known[key] = (self._loop.time() + DNS_TTL_S, task)
        found = await asyncio.shield(task)  # others may wait for it too
        if isinstance(found, Exception):
            raise found
        return found

    def close(self) -> None:
        """Give up running lookups."""
        for _, task in self._known.values():
            task.cancel()
        self._known.clear()

    async def _look_up(self, host: str, port: int, *, allow_private: bool) -> Found:
        loop = self._loop
        try:
            found: list[Any] = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
            vet_resolved([info[4][0] for info in found], allow_private=allow_private)
        except Exception as error:
            return error
        return found


def _literal(host: str, port: int) -> AddressInfo:
    """The address that a host is; OSError for the zone of an interface that does not exist (RFC 6874 writes `%25`)."""
    if ":" not in host:
        return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))
    plain, _, zone = host.partition("%")
    zone = zone.removeprefix("25")
    scope = int(zone) if zone.isdecimal() else socket.if_nametoindex(zone) if zone else 0
    return (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (plain, port, 0, scope))


def _failed(task: asyncio.Task[Found]) -> bool:
    return task.cancelled() or isinstance(task.result(), Exception)
