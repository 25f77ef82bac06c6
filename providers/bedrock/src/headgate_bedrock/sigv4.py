"""AWS Signature Version 4: the headers that prove who sends a request.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html. Every service but S3
encodes the path of the URL once more in the canonical request, so a model id whose colon is `%3A` on the wire is signed
as `%253A`.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote, urlsplit

from msgspec import Struct

from headgate.secret import Secret
from headgate.upstream.interface import RawHeaders

_ALGORITHM = "AWS4-HMAC-SHA256"
_UNRESERVED = "-_.~"
_SIGNED = (b"content-type", b"x-amz-")
_REPLACED = frozenset({b"authorization", b"x-amz-date", b"x-amz-security-token"})
_BLANKS = re.compile(r" +")


class Keys(Struct, frozen=True):
    """What a request is signed with. Temporary keys come with a session token."""

    access_key_id: str
    secret_access_key: Secret
    session_token: Secret | None = None


class Scope(Struct, frozen=True):
    """Where a signature counts."""

    region: str
    service: str = "bedrock"


def sign(
    method: str, url: str, headers: RawHeaders, payload_digest: str, keys: Keys, scope: Scope, now: datetime
) -> RawHeaders:
    """`headers` with the date, the session token and the signature; those of an earlier signature are taken out.

    Signed are the host, the content type and every `x-amz-` header: others may be changed on their way. The digest is
    SHA-256 in hexadecimal digits, `now` is in UTC.
    """
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    own = [(b"x-amz-date", stamp.encode())]
    if keys.session_token is not None:
        own.append((b"x-amz-security-token", keys.session_token.reveal_bytes()))
    sent = (*(pair for pair in headers if pair[0].lower() not in _REPLACED), *own)
    signed = [pair for pair in sent if pair[0].lower().startswith(_SIGNED)]
    value = authorization(canonical_request(method, url, signed, payload_digest), keys, scope, stamp)
    return (*sent, (b"authorization", value.encode()))


def authorization(canonical: str, keys: Keys, scope: Scope, stamp: str) -> str:
    """The value of the header `authorization` for a canonical request; `stamp` is its `x-amz-date`."""
    place = f"{stamp[:8]}/{scope.region}/{scope.service}/aws4_request"
    text = "\n".join((_ALGORITHM, stamp, place, hashlib.sha256(canonical.encode()).hexdigest()))
    key = _signing_key(keys.secret_access_key, stamp[:8], scope.region, scope.service)
    signature = hmac.digest(key, text.encode(), hashlib.sha256).hex()
    names = canonical.split("\n")[-2]
    return f"{_ALGORITHM} Credential={keys.access_key_id}/{place}, SignedHeaders={names}, Signature={signature}"


def canonical_request(method: str, url: str, headers: Iterable[tuple[bytes, bytes]], payload_digest: str) -> str:
    """The canonical request over these headers and `host`. Path and query of `url` are as they go over the wire."""
    parts = urlsplit(url)
    fields: dict[str, list[str]] = {"host": [_host_of(url)]}
    for name, value in headers:
        held = _BLANKS.sub(" ", value.decode("latin-1").strip())
        fields.setdefault(name.decode("latin-1").lower(), []).append(held)
    names = sorted(fields)
    lines = "".join(f"{name}:{','.join(fields[name])}\n" for name in names)
    path = quote(_normal(parts.path), safe="/" + _UNRESERVED)
    return "\n".join((method, path, _query_of(parts.query), lines, ";".join(names), payload_digest))


def _normal(path: str) -> str:
    """A path without empty, `.` and `..` segments (RFC 3986 section 6.2.2.3); a slash at its end stays."""
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in {"", "."}:
            kept.append(segment)
    end = "/" if kept and path.endswith("/") else ""
    return f"/{'/'.join(kept)}{end}"


def _query_of(query: str) -> str:
    """The parameters of a query as they are on the wire, sorted by name and value; one without a value gets an `=`."""
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    return "&".join(f"{name}={value}" for name, _, value in sorted(pairs))


@lru_cache(maxsize=256)
def _host_of(url: str) -> str:
    """The host as the outbound engine sends it: lower case, and with a port that is not the scheme's own."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    shown = f"[{host.partition('%')[0]}]" if ":" in host else host
    usual = 443 if parts.scheme == "https" else 80
    return shown if parts.port in {None, usual} else f"{shown}:{parts.port}"


def _signing_key(secret: Secret, day: str, region: str, service: str) -> bytes:
    """The key of one day, region and service."""
    key = b"AWS4" + secret.reveal_bytes()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), hashlib.sha256)
    return key
