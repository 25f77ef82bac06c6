"""Requests as bytes: what depends on the address alone is made once, the rest is one join."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import urlsplit

from msgspec import Struct, field

from headgate.errors import ProviderFailed
from headgate.upstream.interface import Pieces, RawHeaders, Tls, UpstreamRequest, origin_of
from headgate.upstream.rules import credential_header, host_of

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_TARGET = re.compile(r"[\x21-\x7e]+")
_OWN = frozenset({b"accept-encoding", b"connection", b"content-length", b"expect", b"host", b"transfer-encoding"})
_END = b"\r\n"
_WITH_LENGTH = frozenset({"POST", "PUT", "PATCH"})
_BREAKS = re.compile(rb"[\r\n\0]")
_KEPT_BYTES = 2048


class Written(Struct):
    """The headers that were written last and how, for most calls of a deployment have the same. No credential is in it.

    `without` is the name that was left out because the credential goes under it.
    """

    headers: RawHeaders = ()
    without: bytes | None = None
    lines: bytes = b""


class Route(Struct, frozen=True):
    """Where a method and URL lead. `pool` is what connections may be shared by; `start` is the head's first lines.

    `name` is the host as its server knows it: without the zone of an address, which means something here alone.
    """

    host: str
    name: str
    port: int
    is_tls: bool
    tls: Tls
    allow_private: bool
    pool: object
    start: bytes
    last: Written = field(default_factory=Written)

    @classmethod
    def from_request(cls, request: UpstreamRequest) -> Route:
        """Raises ProviderFailed for what is no http or https URL, or holds bytes that a request line cannot."""
        host = host_of(request.url)
        own = origin_of(request.url)
        parts = urlsplit(request.url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if not _TARGET.fullmatch(target) or not request.method.isalpha():
            raise ProviderFailed("the upstream address holds characters that must be encoded", code="upstream_denied")
        is_tls = parts.scheme == "https"
        port = int(own.rpartition(":")[2])
        name = _name_of(host)
        shown = f"[{name}]" if ":" in name else name
        if port != (443 if is_tls else 80):
            shown = f"{shown}:{port}"
        allow_private = host in request.private_hosts
        tls = request.tls if is_tls else Tls()
        start = f"{request.method} {target} HTTP/1.1\r\nhost: {shown}\r\naccept-encoding: identity\r\n"
        return cls(host, name, port, is_tls, tls, allow_private, (own, allow_private, tls), start.encode())


def _name_of(host: str) -> str:
    """A host as it is written in a request. ProviderFailed for a name that DNS could not hold."""
    try:
        return host.partition("%")[0] if ":" in host else host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        raise ProviderFailed("the upstream address holds a name that does not exist", code="upstream_denied") from None


def encode_head(route: Route, request: UpstreamRequest) -> bytes:
    """The head of a request, to its empty line. ProviderFailed for a header that could pass for another, or for more."""
    own = credential_header(request)
    name = own[0] if own is not None else None
    last = route.last
    if last.headers == request.headers and last.without == name:
        lines = last.lines
    else:
        lines = b"".join([_line(*pair) for pair in request.headers if pair[0] != name])
        if len(lines) <= _KEPT_BYTES:
            last.headers, last.without, last.lines = request.headers, name, lines
    proof = _line(*own) if own is not None else b""
    if request.pieces is not None:
        return b"".join((route.start, lines, proof, framing_of(request.pieces), _END))
    if request.body or request.method in _WITH_LENGTH:
        return b"%b%b%bcontent-length: %d\r\n\r\n" % (route.start, lines, proof, len(request.body))
    return b"".join((route.start, lines, proof, _END))


def framing_of(pieces: Pieces) -> bytes:
    """The header line that says how a body in pieces is framed."""
    if pieces.length is None:
        return b"transfer-encoding: chunked\r\n"
    return b"content-length: %d\r\n" % pieces.length


def _line(name: bytes, value: bytes) -> bytes:
    """One header line. ProviderFailed for what could pass for another header, or for more than one."""
    if _BREAKS.search(value):
        raise ProviderFailed("a header value holds a line break or NUL", code="upstream_denied")
    return _field(name) + value + _END


@lru_cache(maxsize=1024)
def _field(name: bytes) -> bytes:
    """The beginning of a header line. ProviderFailed for a name that is no token or that frames the message."""
    lowered = name.lower()
    if not _TOKEN.fullmatch(lowered) or lowered in _OWN:
        shown = repr(name)[2:-1]
        raise ProviderFailed(f"the header `{shown}` may not be set on an outbound call", code="upstream_denied")
    return lowered + b": "
