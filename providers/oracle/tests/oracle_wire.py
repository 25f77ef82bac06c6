"""Oracle's side of a call, for the tests of this folder: keys, what a signature proves, and a gateway."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from headgate.testing import Recorded, ReplayUpstream, gateway
from headgate.upstream import UpstreamRequest

Json = dict[str, Any]

HOST = "https://inference.generativeai.us-chicago-1.oci.oraclecloud.com"
ACTIONS = f"{HOST}/20231130/actions"
TENANCY, USER = "ocid1.tenancy.oc1..t", "ocid1.user.oc1..u"
FINGERPRINT = ":".join(["20"] * 16)
COMPARTMENT = "ocid1.compartment.oc1..c"
KEY_ID = f"{TENANCY}/{USER}/{FINGERPRINT}"
PHRASE = b"open sesame"
_SIGNATURE = re.compile(
    r'Signature algorithm="rsa-sha256",headers="([^"]+)",keyId="([^"]+)",signature="([^"]+)",version="1"'
)


@cache
def private_key() -> RSAPrivateKey:
    """The key of the user."""
    return generate_private_key(65537, 2048)


def key_in(folder: Path, phrase: bytes = b"") -> str:
    """The file with that key."""
    proof = BestAvailableEncryption(phrase) if phrase else NoEncryption()
    file = folder / "key.pem"
    file.write_bytes(private_key().private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, proof))
    return str(file)


def signed(folder: Path, **more: Any) -> Json:
    """Settings of a deployment whose calls are signed."""
    return {
        "vars": {"region": "us-chicago-1"},
        "tenancy": TENANCY,
        "user": USER,
        "fingerprint": FINGERPRINT,
        "key_file": key_in(folder),
        "compartment_id": COMPARTMENT,
        **more,
    }


def proven(request: UpstreamRequest) -> tuple[str, ...]:
    """The names of what the signature of a call covers, once it has been verified by the public key.

    https://datatracker.ietf.org/doc/html/draft-cavage-http-signatures-08#section-2.5
    """
    headers = {name.decode(): value.decode() for name, value in request.headers}
    found = _SIGNATURE.fullmatch(headers["authorization"])
    assert found is not None, headers["authorization"]
    assert found[2] == KEY_ID
    parts = urlsplit(request.url)
    assert isinstance(request.body, bytes)
    sent = {
        **headers,
        "(request-target)": f"{request.method.lower()} {parts.path}{'?' + parts.query if parts.query else ''}",
        "host": parts.netloc,
        "content-length": str(len(request.body)),
    }
    names = found[1].split(" ")
    text = "\n".join(f"{name}: {sent[name]}" for name in names)
    private_key().public_key().verify(base64.b64decode(found[3]), text.encode(), PKCS1v15(), SHA256())
    assert parsedate_to_datetime(headers["date"]).utcoffset() is not None
    if "x-content-sha256" in names:
        assert headers["x-content-sha256"] == base64.b64encode(hashlib.sha256(request.body).digest()).decode()
    return tuple(names)


def said(told: Mapping[str, Any], status: int = 200) -> Recorded:
    return Recorded.from_json(dict(told), status)


@asynccontextmanager
async def serving(
    *answers: Recorded, vendor: ReplayUpstream | None = None, **config: Any
) -> AsyncGenerator[tuple[httpx2.AsyncClient, ReplayUpstream]]:
    """A client of a gateway with the deployment `oci`, whose calls are answered with `answers` in order, or by `vendor`."""
    upstream = vendor or ReplayUpstream({"*": list(answers)} if answers else {})
    async with gateway(providers={"oci": {"provider": "oracle", **config}}, upstream=upstream) as http:
        yield http, upstream
