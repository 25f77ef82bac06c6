"""Replies of the gateway's own: error envelopes, and the headers every reply carries under both names."""

from __future__ import annotations

import http
import math
import re
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate

from headgate.errors import RequestError
from headgate.exchange import Exchange, RawHeaders
from headgate.ids import IdSource

JSON = (b"content-type", b"application/json")
_TOLD_BYTES = 1024
_PLACE = re.compile(r"\[\d+\]")
_UNPRINTABLE = re.compile(r"[^ -~]")
_REASONS = {246: b"Guardrail Failed", 446: b"Blocked By Guardrail"}


def _status_line(status: int) -> bytes:
    try:
        reason = http.HTTPStatus(status).phrase.encode()
    except ValueError:
        reason = _REASONS.get(status, b"")
    return b"HTTP/1.1 %d %b\r\n" % (status, reason)


STATUS_LINES = {status: _status_line(status) for status in range(100, 600)}

_ids = IdSource()


def error_reply(error: RequestError) -> bytes:
    """A whole HTTP/1.1 error reply, for requests that never became an exchange."""
    body = error.envelope()
    trace_id = _ids.random().encode()
    head = [
        STATUS_LINES[error.status],
        b"content-type: application/json\r\ncontent-length: %d\r\n" % len(body),
        b"x-headgate-request-id: %b\r\n" % _ids.request_id().encode(),
        b"x-headgate-trace-id: %b\r\nx-portkey-trace-id: %b\r\n" % (trace_id, trace_id),
        *(b"%b: %b\r\n" % pair for pair in error_headers(error)),
        b"connection: close\r\n\r\n",
        body,
    ]
    return b"".join(head)


def error_headers(error: RequestError) -> RawHeaders:
    """What an error adds: `retry-after` in whole seconds (RFC 9110 section 10.2.3)."""
    if error.retry_after_s is None:
        return ()
    return ((b"retry-after", str(max(1, math.ceil(error.retry_after_s))).encode()),)


SHOULD_NOT_RETRY = (b"x-should-retry", b"false")


def has_retried(ex: Exchange) -> bool:
    """Whether more than one call was made: a client that goes on trying would only multiply them."""
    return len(ex.attempts) > 1 or any(attempt.retries for attempt in ex.attempts)


def own_headers(ex: Exchange) -> list[tuple[bytes, bytes]]:
    """Ids, and where the reply came from, under Headgate's names and Portkey's."""
    request_id, trace_id = ex.id.encode(), ex.trace_id.encode()
    headers = [
        (b"x-headgate-request-id", request_id),
        (b"x-headgate-trace-id", trace_id),
        (b"x-portkey-trace-id", trace_id),
    ]
    if ex.cache_status:
        status = ex.cache_status.encode()
        headers += ((b"x-headgate-cache-status", status), (b"x-portkey-cache-status", status))
    attempt = ex.attempt
    if attempt is not None:
        provider = attempt.provider
        headers += _source(provider.name, provider.deployment, attempt.target.path, attempt.retries, len(ex.attempts))
    if ex.dropped:
        headers.append((b"x-headgate-dropped", _told(ex.dropped)))
    if ex.timings:
        parts = ", ".join(f"{stage};dur={seconds * 1000:.3f}" for stage, seconds in ex.timings.items())
        headers.append((b"server-timing", parts.encode()))
    return headers


def _told(names: Sequence[str]) -> bytes:
    """Names in a header that proxies and clients still take: too many are told by their kinds, `messages[*].reasoning`."""
    if sum(map(len, names)) + 2 * len(names) > _TOLD_BYTES:
        kinds = list(dict.fromkeys(_PLACE.sub("[*]", name) for name in names))
        sizes = accumulate(len(kind) + 2 for kind in kinds)
        fitting = bisect_right(list(sizes), _TOLD_BYTES)
        left = len(kinds) - fitting
        names = [*kinds[:fitting], f"and {left} more"] if left else kinds
    return _UNPRINTABLE.sub("?", ", ".join(names)).encode("ascii")


@lru_cache(maxsize=4096)
def _source(provider: str, deployment: str, path: str, retries: int, attempts: int) -> RawHeaders:
    """Where a reply came from."""
    named, place, tried = provider.encode(), path.encode(), b"%d" % retries
    return (
        (b"x-headgate-provider", named),
        (b"x-portkey-provider", named),
        (b"x-headgate-deployment", deployment.encode()),
        (b"x-headgate-last-used-option-index", place),
        (b"x-portkey-last-used-option-index", place),
        (b"x-headgate-attempt-count", b"%d" % attempts),
        (b"x-headgate-retry-attempt-count", tried),
        (b"x-portkey-retry-attempt-count", tried),
    )
