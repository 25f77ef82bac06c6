"""Signatures: AWS's own vectors, and the same bytes that botocore signs for Bedrock.

The vectors are those of the AWS Signature Version 4 test suite (Apache License 2.0) that botocore ships in its sources.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import quote

import pytest
from botocore.auth import SigV4Auth  # pyright: ignore[reportMissingTypeStubs]
from botocore.awsrequest import AWSRequest  # pyright: ignore[reportMissingTypeStubs]
from botocore.credentials import Credentials  # pyright: ignore[reportMissingTypeStubs]
from hypothesis import given
from hypothesis import strategies as st

from headgate.secret import Secret
from headgate_bedrock.sigv4 import Keys, Scope, authorization, canonical_request, sign

HOST = "https://example.amazonaws.com"
STAMP = "20150830T123600Z"
KEYS = Keys("AKIDEXAMPLE", Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"))
ALL = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
TOKEN = (
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSE"
    "I/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKw"
    "T38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
)
VANILLA = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
POSTED = "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
QUERIED = "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"
FORM = "application/x-www-form-urlencoded"
MINE = "My-Header1"
VECTORS: list[tuple[str, str, list[tuple[str, str]], str, str]] = [
    ("header-key-duplicate", "GET /", [(MINE, "value2"), (MINE, "value2"), (MINE, "value1")], "",
     "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"),
    ("header-value-multiline", "GET /", [(MINE, "value1   value2      value3")], "",
     "cfd34249e4b1c8d6b91ef74165d41a32e5fab3306300901bb65a51a73575eefd"),
    ("header-value-order", "GET /", [(MINE, "value4"), (MINE, "value1"), (MINE, "value3"), (MINE, "value2")], "",
     "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"),
    ("header-value-trim", "GET /", [(MINE, " value1"), ("My-Header2", ' "a   b   c"')], "",
     "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"),
    ("unreserved", f"GET /{ALL}", [], "", "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"),
    ("utf8", "GET /ሴ", [], "", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
    ("vanilla", "GET /", [], "", VANILLA),
    ("query", "GET /?Param1=value1", [], "", "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"),
    ("query-order-encoded", "GET /?Param-3=Value3&Param=Value2&%E1%88%B4=Value1", [], "",
     "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac"),
    ("query-order-key", "GET /?Param1=value2&Param1=Value1", [], "",
     "eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1"),
    ("query-order-key-case", "GET /?Param2=value2&Param1=value1", [], "",
     "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
    ("query-order-value", "GET /?Param1=value2&Param1=value1", [], "",
     "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694"),
    ("query-unreserved", f"GET /?{ALL}={ALL}", [], "",
     "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"),
    ("utf8-query", f"GET /?{quote('ሴ')}=bar", [], "",
     "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"),
    ("relative", "GET /example/..", [], "", VANILLA),
    ("relative-relative", "GET /example1/example2/../..", [], "", VANILLA),
    ("slash", "GET //", [], "", VANILLA),
    ("slash-dot-slash", "GET /./", [], "", VANILLA),
    ("slash-pointless-dot", "GET /./example", [], "",
     "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5"),
    ("slashes", "GET //example//", [], "", "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"),
    ("space", "GET /example space/", [], "", "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"),
    ("special-character", "GET /example/$delete", [], "",
     "a853c9b21b528b19643d00910d35b83a10c366a10833ceefb45edd6c80e40f27"),
    ("post-vanilla", "POST /", [], "", POSTED),
    ("post-header-key-sort", "POST /", [(MINE, "value1")], "",
     "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"),
    ("post-header-value-case", "POST /", [(MINE, "VALUE1")], "",
     "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"),
    ("post-sts-header-before", "POST /", [("X-Amz-Security-Token", TOKEN)], "",
     "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"),
    ("with-session-token", "GET /", [("X-Amz-Security-Token", f"6e86291e8372ff2a2260956d9b8aae1d763fbf31{VANILLA[:24]}")],
     "", "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8"),
    ("post-query", "POST /?Param1=value1", [], "", QUERIED),
    ("post-form", "POST /", [("Content-Type", FORM)], "Param1=value1",
     "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"),
    ("post-form-parameters", "POST /", [("Content-Type", f"{FORM}; charset=utf8")], "Param1=value1",
     "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "line", "headers", "body", "signature"), VECTORS, ids=[row[0] for row in VECTORS])
def test_vectors_of_aws(name: str, line: str, headers: list[tuple[str, str]], body: str, signature: str) -> None:
    """Requests of AWS's own suite get the signatures it states."""
    method, _, target = line.partition(" ")
    sent = [*((key.encode(), value.encode()) for key, value in headers), (b"X-Amz-Date", STAMP.encode())]
    canonical = canonical_request(method, HOST + target, sent, hashlib.sha256(body.encode()).hexdigest())
    said = authorization(canonical, KEYS, Scope("us-east-1", "service"), STAMP)
    assert said.endswith(f", Signature={signature}")


def signed_by_botocore(method: str, url: str, body: bytes, keys: Keys, now: datetime) -> str:
    """What botocore puts into `authorization` for Bedrock, over the headers that are signed here."""
    request: Any = cast("Any", AWSRequest)(method, url, data=body, headers={"content-type": "application/json"})
    token = keys.session_token.reveal() if keys.session_token else None
    held: Any = cast("Any", Credentials)(keys.access_key_id, keys.secret_access_key.reveal(), token)
    signer: Any = cast("Any", SigV4Auth)(held, "bedrock", "eu-west-1")
    request.context["timestamp"] = now.strftime("%Y%m%dT%H%M%SZ")
    signer._modify_request_before_signing(request)
    canonical = signer.canonical_request(request)
    signature = signer.signature(signer.string_to_sign(request, canonical), request)
    names = signer.signed_headers(signer.headers_to_sign(request))
    return f"SignedHeaders={names}, Signature={signature}"


@given(
    model=st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1, max_size=60),
    body=st.binary(max_size=200),
    token=st.none() | st.just(Secret("token/+=")),
    host=st.sampled_from(["https://bedrock-runtime.eu-west-1.amazonaws.com", "http://127.0.0.1:8999"]),
)
def test_bedrock_calls_are_signed_as_botocore_signs_them(
    model: str, body: bytes, token: Secret | None, host: str
) -> None:
    """Ids with colons and slashes are encoded once on the wire and once more in what is signed."""
    keys, now = Keys("AKIDEXAMPLE", Secret("secret"), token), datetime(2026, 11, 21, 9, 30, 1, tzinfo=UTC)
    segment = quote(model, safe="")
    url = f"{host}/model/{segment if segment not in {'.', '..'} else 'm'}/converse"
    sent = sign(
        "POST",
        url,
        ((b"content-type", b"application/json"), (b"accept", b"*/*")),
        hashlib.sha256(body).hexdigest(),
        keys,
        Scope("eu-west-1"),
        now,
    )
    said = dict(sent)[b"authorization"].decode()
    assert said.endswith(signed_by_botocore("POST", url, body, keys, now))
    assert said.startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261121/eu-west-1/bedrock/aws4_request, ")


def test_a_second_signature_takes_the_place_of_the_first() -> None:
    """Signing what is signed already leaves one date, one token and one signature."""
    now, scope = datetime(2026, 11, 21, tzinfo=UTC), Scope("us-east-1")
    keys = Keys("a", Secret("b"), Secret("c"))
    once = sign("POST", f"{HOST}/x", ((b"accept", b"*/*"),), "0" * 64, keys, scope, now)
    twice = sign("POST", f"{HOST}/x", once, "0" * 64, keys, scope, now)
    assert twice == once
    assert [name for name, _ in twice] == [b"accept", b"x-amz-date", b"x-amz-security-token", b"authorization"]
