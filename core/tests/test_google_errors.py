"""Errors of Google, read, and errors of the gateway as Google's clients read them."""

from __future__ import annotations

import json

import msgspec
import pytest
from core.tests.google_wire import GOOGLE

from headgate.errors import Blocked, ErrorWords, RateLimited


def test_errors_are_read() -> None:
    """Message, words, the field and when to come back; a key that is not valid is 401."""
    details = [
        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"},
        {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [{"field": "contents"}]},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.4s"},
    ]
    error = {"error": {"code": 400, "message": "bad key", "status": "INVALID_ARGUMENT", "details": details}}
    expected = ErrorWords(401, "bad key", "INVALID_ARGUMENT", "API_KEY_INVALID", "contents", 34.4)
    assert GOOGLE.decode_error(400, msgspec.json.encode(error)) == expected
    assert GOOGLE.decode_error(400, msgspec.json.encode([error])) == expected


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", ErrorWords(503, "")),
        (b"<html>", ErrorWords(503, "")),
        (b"upstream connect error", ErrorWords(503, "upstream connect error")),
        (
            b'{"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}',
            ErrorWords(503, "overloaded", "UNAVAILABLE", "UNAVAILABLE"),
        ),
        (b'{"error": "invalid_grant"}', ErrorWords(503, "invalid_grant", extra={})),
        (b'{"error": {"message": "x", "details": "odd"}}', ErrorWords(503, "x")),
    ],
)
def test_odd_errors_are_read(body: bytes, words: ErrorWords) -> None:
    """Whatever comes as an error has a status and, where it says any, words."""
    found = GOOGLE.decode_error(503, body)
    assert (found.status, found.message, found.type, found.code) == (503, words.message, words.type, words.code)


def test_errors_for_clients() -> None:
    """The shape that Google's SDK raises on, with details for machines."""
    error = json.loads(GOOGLE.encode_error(RateLimited("slow down", retry_after_s=2.5, param="model").words()))["error"]
    assert (error["code"], error["message"], error["status"]) == (429, "slow down", "RESOURCE_EXHAUSTED")
    assert [detail["@type"].rpartition(".")[2] for detail in error["details"]] == [
        "ErrorInfo",
        "BadRequest",
        "RetryInfo",
    ]
    assert error["details"][2]["retryDelay"] == "2.5s"
    blocked = json.loads(GOOGLE.encode_error(Blocked("no", extra={"hook_results": {}}).words()))
    assert (blocked["error"]["code"], blocked["error"]["status"], blocked["hook_results"]) == (
        446,
        "FAILED_PRECONDITION",
        {},
    )
    assert GOOGLE.decode_error(429, GOOGLE.encode_error(RateLimited("x", retry_after_s=2).words())).retry_after_s == 2
