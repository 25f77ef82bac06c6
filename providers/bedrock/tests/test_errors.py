"""Error replies: Bedrock's words, and the status they stand for."""

from __future__ import annotations

from typing import Any, cast

import botocore.parsers  # pyright: ignore[reportMissingTypeStubs]
import pytest

from headgate.errors import ErrorWords, InvalidRequest
from headgate_bedrock import BedrockConverse
from headgate_bedrock.frames import decode_frame

AMZN = "x-amzn-errortype"


def words(status: int, body: bytes, kind: str = "") -> ErrorWords:
    headers = ((AMZN.encode(), kind.encode()),) if kind else ()
    return BedrockConverse().decode_error(status, body, headers)


@pytest.mark.parametrize(
    ("status", "kind", "fixed"),
    [
        (400, "ValidationException:http://internal.amazon.com/coral/com.amazon.bedrock/", 400),
        (403, "AccessDeniedException", 403),
        (403, "ExpiredTokenException:http://internal.amazon.com/coral/com.amazon.coral.service/", 401),
        (403, "UnrecognizedClientException", 401),
        (403, "InvalidSignatureException", 401),
        (408, "ModelTimeoutException", 504),
        (424, "ModelErrorException", 502),
        (429, "ThrottlingException", 429),
        (429, "ModelNotReadyException", 429),
        (503, "ServiceUnavailableException", 503),
        (418, "TeapotException", 418),
    ],
)
def test_the_header_says_what_it_is(status: int, kind: str, fixed: int) -> None:
    """The exception of the header is the code, without what stands behind it; odd statuses are put right."""
    name = kind.partition(":")[0]
    assert words(status, b'{"message":"m"}', kind) == ErrorWords(fixed, "m", name, name)


@pytest.mark.parametrize(
    ("status", "body", "fixed", "code"),
    [
        (400, b'{"message":"m"}', 400, "ValidationException"),
        (403, b'{"Message":"m"}', 403, "AccessDeniedException"),
        (403, b'{"message":"The security token included in the request is expired"}', 401, None),
        (403, b'{"message":"The request signature we calculated does not match"}', 401, None),
        (403, b'{"Message":"Invalid API Key format"}', 401, None),
        (404, b'{"message":"m"}', 404, "ResourceNotFoundException"),
        (408, b'{"message":"m"}', 504, "ModelTimeoutException"),
        (424, b'{"message":"m","originalStatusCode":500}', 502, "ModelErrorException"),
        (429, b'{"message":"m"}', 429, "ThrottlingException"),
        (500, b"<html>", 500, "InternalServerException"),
        (502, b"", 502, None),
    ],
)
def test_without_the_header(status: int, body: bytes, fixed: int, code: str | None) -> None:
    """The status usually tells which exception it is; words about a key make it 401."""
    found = words(status, body)
    assert (found.status, found.code) == (fixed, code)


def test_the_type_in_the_body() -> None:
    """Some endpoints name the exception in the body, with its namespace."""
    body = b'{"__type":"com.amazon.bedrock#ThrottlingException","message":"slow"}'
    assert words(400, body) == ErrorWords(429, "slow", "ThrottlingException", "ThrottlingException")


@pytest.mark.parametrize("body", [b"[]", b"7", b'"x"', b"\xff", b'{"__type":7}', b'{"message":{"a":1}}'])
def test_no_body_makes_it_raise(body: bytes) -> None:
    """Whatever the body is, there are words for it."""
    assert words(500, body).status == 500


def test_errors_to_clients() -> None:
    """The dialect's own forms of an error are those AWS's SDKs read."""
    dialect = BedrockConverse()
    assert dialect.encode_error(ErrorWords(400, "no")) == b'{"message":"no"}'
    message = decode_frame(dialect.error_event(InvalidRequest("no")))
    assert message.headers[":exception-type"] == "validationException"
    parser: Any = cast("Any", botocore.parsers).RestJSONParser()
    parsed = parser.parse(
        {"status_code": 400, "headers": {AMZN: "ValidationException"}, "body": b'{"message":"no"}'}, None
    )
    assert parsed["Error"] == {"Message": "no", "Code": "ValidationException"}
