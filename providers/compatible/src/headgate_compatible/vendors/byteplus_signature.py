"""Signatures of BytePlus' control plane: the headers that prove who sends a request.

Sources: https://docs.byteplus.com/en/docs/ModelArk/1298459 and `byteplussdkcore.signv4` of byteplus-python-sdk-v2 3.0. It is near
to AWS's Signature Version 4, with other names for its headers and no prefix before the secret key.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, urlsplit

from msgspec import Struct

from headgate.secret import Secret
from headgate.upstream.interface import RawHeaders

_ALGORITHM = "HMAC-SHA256"
_UNRESERVED = "-_.~"
_REPLACED = frozenset({b"authorization", b"x-date", b"x-content-sha256", b"x-security-token"})


class AccessKey(Struct, frozen=True):
    """What a request is signed with, and where that counts. Temporary keys come with a session token."""

    id: str
    secret: Secret
    region: str
    token: Secret | None = None
    service: str = "ark"


def sign(method: str, url: str, headers: RawHeaders, body: bytes, key: AccessKey, now: datetime) -> RawHeaders:
    """`headers` with the date, the digest of the body and the signature; those of an earlier signature are taken out.

    Signed are the host, the content type and every `x-` header. `now` is in UTC.
    """
    stamp, digest = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ"), hashlib.sha256(body).hexdigest()
    own = [(b"x-date", stamp.encode()), (b"x-content-sha256", digest.encode())]
    if key.token is not None:
        own.append((b"x-security-token", key.token.reveal_bytes()))
    sent = (*(pair for pair in headers if pair[0].lower() not in _REPLACED), *own)
    parts = urlsplit(url)
    signed = {
        name.decode("latin-1").lower(): value.decode("latin-1")
        for name, value in sent
        if name.lower() == b"content-type" or name.lower().startswith(b"x-")
    }
    signed["host"] = parts.netloc.lower().removesuffix(":443").removesuffix(":80")
    names = sorted(signed)
    lines = "".join(f"{name}:{signed[name]}\n" for name in names)
    canonical = "\n".join((method, parts.path or "/", _query_of(parts.query), lines, ";".join(names), digest))
    place = f"{stamp[:8]}/{key.region}/{key.service}/request"
    text = "\n".join((_ALGORITHM, stamp, place, hashlib.sha256(canonical.encode()).hexdigest()))
    signature = hmac.digest(_signing_key(key, stamp[:8]), text.encode(), hashlib.sha256).hex()
    value = f"{_ALGORITHM} Credential={key.id}/{place}, SignedHeaders={';'.join(names)}, Signature={signature}"
    return (*sent, (b"authorization", value.encode()))


def _query_of(query: str) -> str:
    """The parameters of a query, sorted, each escaped anew."""
    pairs = sorted((quote(name, _UNRESERVED), quote(value, _UNRESERVED)) for name, value in parse_qsl(query, True))
    return "&".join(f"{name}={value}" for name, value in pairs)


def _signing_key(key: AccessKey, day: str) -> bytes:
    """The key of one day, region and service."""
    found = key.secret.reveal_bytes()
    for part in (day, key.region, key.service, "request"):
        found = hmac.digest(found, part.encode(), hashlib.sha256)
    return found
