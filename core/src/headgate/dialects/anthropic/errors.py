"""Anthropic's error envelope: what it says, and one for any error.

Source: https://platform.claude.com/docs/en/api/errors
"""

from __future__ import annotations

from typing import Any, cast

import msgspec
from msgspec.structs import replace

from headgate.dialects.words import words_of
from headgate.errors import ErrorWords

Json = dict[str, Any]

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    412: "billing_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""The type of an error by its status; 412 is a budget of the gateway's that is used up."""
STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 503,
}
"""The status of an error event, which only says its type."""


def type_of(status: int) -> str:
    """The type of an error with this status."""
    return TYPES.get(status) or ("api_error" if status >= 500 else "invalid_request_error")


_THREAD = "thread_unsupported_request"
"""What the official tool runner understands: it asks again without a thread."""


def encode_error(words: ErrorWords) -> bytes:
    """`{"type": "error", "error": {type, message}, "request_id"}`; a code stands where official clients look for it."""
    error: Json = {"type": type_of(words.status), "message": words.message}
    if words.code is not None:
        code = _THREAD if words.param == "thread" and words.code == "unsupported_field" else words.code
        error["details"] = {"error_code": code}
    if words.param is not None:
        error["param"] = words.param
    request_id: Any = words.extra.get("request_id")
    own = {"type": "error", "error": error, "request_id": request_id if isinstance(request_id, str) else None}
    return msgspec.json.encode({**words.extra, **own})


def decode_error(status: int, body: bytes) -> ErrorWords:
    """What an error of Anthropic's says, or of a host that serves Claude with an envelope of its own.

    529, which no other vendor knows, becomes 503. A code is `error.details.error_code`.
    """
    words = words_of(status, body)
    extra = {name: value for name, value in words.extra.items() if name != "type"}
    return replace(words, status=503 if status == 529 else status, code=words.code or _code_of(body), extra=extra)


def _code_of(body: bytes) -> str | None:
    try:
        data: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    for name in ("error", "details"):
        data = cast("Json", data).get(name) if isinstance(data, dict) else None
    code: Any = cast("Json", data).get("error_code") if isinstance(data, dict) else None
    return code if isinstance(code, str) else None
