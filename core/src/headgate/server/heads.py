"""What the head of a request may say: rules of RFC 9110 and 9112, and what a target and a host mean."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, cast
from urllib.parse import unquote

import httptools

from headgate.errors import InvalidRequest

MAX_HEADERS = 256
MAX_KEPT = 1024
"""Bytes of a target or a host that is remembered: longer ones are as many as clients like."""
FRAMING = frozenset({b"content-length", b"transfer-encoding"})
"""Headers that say where a body ends."""
_HOST = re.compile(rb"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")


class HeadTooLarge(InvalidRequest):
    """The head is larger than it may be, or holds too many headers."""

    status = 431
    code = "headers_too_large"


class HeadLate(InvalidRequest):
    """The head did not arrive in time."""

    status = 408
    code = "header_timeout"


def expects_continue(version: str, url: bytes, headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """Whether the client waits for `100 Continue`. Raises InvalidRequest for a head that could be taken for two things."""
    if version not in {"1.0", "1.1"}:
        raise InvalidRequest("only HTTP/1.1 and HTTP/1.0 are spoken here", code="bad_http")
    if len(headers) > MAX_HEADERS:
        raise HeadTooLarge(f"the request has more than {MAX_HEADERS} headers")
    hosts: list[bytes] = []
    codings: list[bytes] = []
    is_awaited = False
    for name, value in headers:
        if name == b"host":
            hosts.append(value)
        elif name == b"transfer-encoding":
            codings.append(value)
        elif name == b"expect":
            is_awaited = is_awaited or value.lower() == b"100-continue"
    if len(hosts) > 1 or (not hosts and version == "1.1"):
        raise InvalidRequest("exactly one Host header is needed", code="bad_host")
    if hosts and not (_is_host(hosts[0]) if len(hosts[0]) <= MAX_KEPT else _HOST.fullmatch(hosts[0])):
        raise InvalidRequest("the Host header is not valid", code="bad_host")
    if codings and (version == "1.0" or [coding.lower() for coding in codings] != [b"chunked"]):
        raise InvalidRequest("transfer-encoding may only be `chunked`", code="bad_http")
    if not url.startswith(b"/") or b"#" in url:
        raise InvalidRequest("the request target must be a path: this is no proxy", code="bad_http")
    return is_awaited and version == "1.1"  # RFC 9110 section 10.1.1


def target_of(url: bytes) -> tuple[str, bytes, bytes]:
    """Decoded path, path as it came, and query of a request target. Raises InvalidRequest for one that is not valid."""
    try:
        return _known_target(url) if len(url) <= MAX_KEPT else _target(url)
    except (httptools.HttpParserInvalidURLError, UnicodeDecodeError):
        raise InvalidRequest("the request target is not valid", code="bad_http") from None


def host_port(name: Any) -> tuple[str, int] | None:
    """Host and port of a socket name; None for a Unix socket."""
    if not isinstance(name, tuple):
        return None
    host, port = cast("tuple[Any, ...]", name)[:2]
    return str(host), int(port)


def _target(url: bytes) -> tuple[str, bytes, bytes]:
    parsed = httptools.parse_url(url)
    raw_path = parsed.path or b"/"
    path = raw_path.decode("ascii")
    return unquote(path) if "%" in path else path, raw_path, parsed.query or b""


_known_target = lru_cache(maxsize=1024)(_target)


@lru_cache(maxsize=1024)
def _is_host(value: bytes) -> bool:
    return _HOST.fullmatch(value) is not None
