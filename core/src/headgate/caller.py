"""What of a client's request may reach a provider: its path, the headers it names, and the timeout it asks for.

All of it is the caller's word, so each part is checked before it becomes part of an outbound request.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from urllib.parse import quote, unquote

from headgate.errors import InvalidRequest
from headgate.exchange import PATIENT, Exchange
from headgate.upstream import Timeouts, origin_of

_PATH_BYTES = "/%:@!$&'()*+,;=~"
_QUERY_BYTES = _PATH_BYTES + "?[]"
_OWN = ("x-headgate-", "x-portkey-")
_REFUSED = frozenset(
    {
        # hop by hop, RFC 9110 section 7.6.1
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        # the outbound engine's own
        "accept-encoding",
        "content-length",
        "expect",
        "host",
        # how the caller proves itself to the gateway
        "api-key",
        "authorization",
        "cookie",
        "x-api-key",
        "x-goog-api-key",
    }
)


def passed_path(ex: Exchange, below: str = "/v1") -> str:
    """The client's path below another, with its query string, as a URL may hold it.

    Raises InvalidRequest as `check_path` does, and for a path of another API.
    """
    path = ex.path.removeprefix(below)
    if len(path) == len(ex.path) or path[:1] != "/":
        raise InvalidRequest(f"only paths under `{below}/` can be passed through", code="invalid_path")
    check_path(path)
    kept = b"&".join(part for part in ex.query.split(b"&") if not part.startswith(b"key="))  # the gateway's own key
    query = "?" + quote(kept, safe=_QUERY_BYTES) if kept else ""
    return quote(path, safe=_PATH_BYTES) + query


def own_url(ex: Exchange, path: str) -> str:
    """The address of a path of this gateway, as the client reached it. A proxy in front says so by `x-forwarded-proto` and
    `x-forwarded-host`: https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/X-Forwarded-Proto.
    """
    scheme = (ex.header("x-forwarded-proto") or "").partition(",")[0].strip().lower()
    host = (ex.header("x-forwarded-host") or ex.header("host") or "").partition(",")[0].strip()
    return f"{'https' if scheme == 'https' else 'http'}://{host}{path}"


def check_path(path: str) -> None:
    """Raises InvalidRequest for `.` and `..` segments, however they are written: they would leave the base URL."""
    if not {".", ".."}.isdisjoint(unquote(path).replace("\\", "/").split("/")):
        raise InvalidRequest("the path must not hold `.` or `..` segments", code="invalid_path")


def named_headers(ex: Exchange) -> Sequence[bytes]:
    """The header names of the option `forward-headers`, in lower case.

    Raises InvalidRequest for one that belongs to the connection, to the gateway, or proves who the caller is.
    """
    named = ex.option("forward-headers")
    if not named:
        return ()
    names: list[bytes] = []
    for item in named.split(","):
        name = checked_header(item)
        if name:
            names.append(name.encode())
    return names


def checked_header(name: str) -> str:
    """A header's name in lower case. Raises InvalidRequest for one that may not be forwarded."""
    name = name.strip().lower()
    if name in _REFUSED or name.startswith(_OWN):
        raise InvalidRequest(
            f"`forward-headers` may not name `{name}`", param="forward-headers", code="forbidden_header"
        )
    return name


def lowered(timeouts: Timeouts, ex: Exchange) -> Timeouts:
    """`timeouts`, none of them longer than the caller, the target and the deadline allow; none of these raises one.

    The option `request-timeout` (milliseconds) goes before the target's `request_timeout_s`. What is not the operator's
    stands in the attempt's `allowed_s` from then on.
    """
    attempt, asked = ex.attempt, ex.option("request-timeout")
    limit_s = math.inf if asked is None else _seconds("request-timeout", asked)
    patience = PATIENT
    if attempt is not None:
        target, patience, allowed_s = attempt.target, attempt.target.patience, limit_s
        if asked is None:
            limit_s = target.request_timeout_s or math.inf
        if target.is_callers:
            own = (limit_s, patience.connect_s, patience.first_byte_s, patience.first_token_s, patience.gap_s)
            allowed_s = min(allowed_s, *(each or math.inf for each in own))
        if ex.deadline < math.inf and attempt.fleet is not None:
            left_s = max(0.001, round(ex.deadline - attempt.fleet.clock(), 3))
            limit_s, allowed_s = min(limit_s, left_s), min(allowed_s, left_s)
        attempt.allowed_s = allowed_s
    if limit_s == math.inf and patience is PATIENT:
        return timeouts
    return Timeouts(
        connect_s=min(timeouts.connect_s, patience.connect_s or math.inf),
        first_byte_s=min(timeouts.first_byte_s, limit_s, patience.first_byte_s or math.inf),
        gap_s=min(timeouts.gap_s, patience.gap_s or math.inf),
        total_s=min(timeouts.total_s, limit_s),
    )


def deadline_s(asked: str | None, allowed_s: float) -> float:
    """How long a request may take: what the option `deadline` (milliseconds) asks for, at most what the key allows."""
    wanted_s = math.inf if asked is None else _seconds("deadline", asked)
    return min(wanted_s, allowed_s or math.inf)


def _seconds(name: str, value: str) -> float:
    if not (value.isascii() and value.isdigit() and len(value) < 10 and int(value) > 0):
        raise InvalidRequest(f"`{name}` must be a number of milliseconds above 0", param=name)
    return int(value) / 1000


def checked_base_url(base_url: str) -> str:
    """A caller's base URL without its trailing slash; InvalidRequest when it is no plain http or https URL."""
    try:
        origin_of(base_url)
    except ValueError:
        base_url = "?"
    if "?" in base_url or "#" in base_url:
        raise InvalidRequest(
            "`custom-host` must be an http or https base URL without user, query or fragment", param="custom-host"
        )
    return base_url.rstrip("/")


def above(base_url: str, levels: int = 1) -> str:
    """A base URL without so many last parts of its path, or without its path where that has no more: its host stays.

    Added in 0.1.
    """
    scheme, _, rest = base_url.partition("://")
    host, *parts = rest.split("/")
    return f"{scheme}://{'/'.join((host, *parts[: max(0, len(parts) - levels)]))}"
