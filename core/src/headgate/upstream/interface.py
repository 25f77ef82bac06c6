"""What an upstream engine offers, whatever carries it: an HTTP client of ours, aiohttp, or a replaying mock."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from functools import lru_cache
from typing import Protocol, runtime_checkable
from urllib.parse import urlsplit

from msgspec import Struct

from headgate.secret import Secret
from headgate.sockets import Socket

RawHeaders = tuple[tuple[bytes, bytes], ...]
MAX_URL = 1024
"""Longer addresses are not remembered after the call: what stands in them is the callers' choice."""
_MAX_AUTHORITY = 300
"""A name in DNS has at most 253 characters (RFC 1035); an address has its brackets and zone, and either a port."""
_AUTHORITY = re.compile(r"[^/?#]*[/\t\r\n]*([^/?#]*)")


class Timeouts(Struct, frozen=True, forbid_unknown_fields=True):
    """How long to wait for a provider, in seconds.

    `gap_s` is the silence allowed between two reads of a body, and of both sides of a WebSocket session.
    """

    connect_s: float = 5.0
    first_byte_s: float = 600.0
    gap_s: float = 120.0
    total_s: float = 3600.0


class Credential(Struct, frozen=True):
    """A secret, the header that carries it (`prefix` before it), and the origins it may be sent to."""

    header: str
    secret: Secret
    origins: frozenset[str]
    prefix: str = ""

    def field(self) -> tuple[bytes, bytes]:
        """The header line it makes, name in lower case. For the wire and nothing else."""
        return self.header.lower().encode(), self.prefix.encode() + self.secret.reveal_bytes()


class Tls(Struct, frozen=True, forbid_unknown_fields=True):
    """PEM files for https. `ca_file` takes the place of the system's trust store; the others are a client certificate."""

    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""


class Pieces(Struct, frozen=True):
    """A body that comes in pieces of any size: each is taken from `source` when the server has room for it, and only once.

    `length` is how many bytes they are together, where that is known. An engine fails a call whose body is not that long.
    """

    source: AsyncIterator[bytes]
    length: int | None = None


class UpstreamRequest(Struct, frozen=True):
    """One outbound call. Header names are lower case; what frames the message is added by the engine.

    `pieces` stand in the place of `body` where it is not held whole. `private_hosts` names the hosts that may resolve to
    private addresses (the deployment's own).
    """

    method: str
    url: str
    headers: RawHeaders = ()
    body: bytes = b""
    credential: Credential | None = None
    timeouts: Timeouts = Timeouts()
    private_hosts: frozenset[str] = frozenset()
    tls: Tls = Tls()
    pieces: Pieces | None = None


class UpstreamResponse(Protocol):
    """A reply whose head has arrived. Header names are lower case. Content encodings are already undone, within bounds."""

    status: int
    headers: RawHeaders

    async def read(self) -> bytes:
        """The whole body. Raises ProviderFailed when it is cut, garbled or too large, ProviderTimeout when it stalls."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives, in pieces of any size. Raises as `read` does."""
        ...

    def close(self) -> None:
        """Give the connection up: closed at once if the body has not ended. Safe to call twice."""
        ...


@runtime_checkable
class Pouring(Protocol):
    """A reply that can also do without its reader for a while."""

    async def pour(self, sink: Callable[[bytes], bool]) -> None:
        """Between two of `chunks()`: give what arrives to `sink` at once, without waking a task for every piece.

        Returns when `sink` says False (it has taken the piece, but wants no other now), and when only `chunks()` can go
        on: something is left to take, or the body has ended or failed. Raises what `sink` raises.
        """
        ...


class Opening(Struct):
    """The answer to a handshake: an open `socket`, not started yet, or the `body` of the refusal. Header names are lower case."""

    status: int
    headers: RawHeaders
    body: bytes = b""
    socket: Socket | None = None


@runtime_checkable
class Connecting(Protocol):
    """An engine that can also open WebSockets."""

    async def connect(self, request: UpstreamRequest) -> Opening:
        """Open a WebSocket at an http or https URL. Raises as `Upstream.send` does; a refusal with a status is an Opening."""
        ...


class Upstream(Protocol):
    """An engine. `send` returns when the reply's head has arrived."""

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Raises ProviderFailed (no connection, denied address, broken head), ProviderTimeout, or what `pieces` raised.

        An answer that is no success ends the taking of pieces; a success goes on beside it, to the end of the reply at the
        latest. While a piece is waited for, only `total_s` runs.
        """
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL, as `https://api.example.com:443`; ValueError when it has no host.

    Follows RFC 6454 section 4; user info is refused because it would hide the real host from a reader.
    """
    return _origin(url) if len(url) <= MAX_URL else _origin.__wrapped__(url)


@lru_cache(maxsize=1024)
def _origin(url: str) -> str:
    authority = _AUTHORITY.match(url)
    # urlsplit normalizes it, by the square of its length at worst
    if authority is not None and len(authority[1]) > _MAX_AUTHORITY:
        raise ValueError("the host of a URL is too long")
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc or "\\" in url:
        raise ValueError(f"`{url}` is no http or https URL with a plain host")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port}"
