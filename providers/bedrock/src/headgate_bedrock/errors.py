"""What an error reply of Bedrock says.

Source: https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html. The body is
`{"message": …}`; what kind of error it is stands in the header `x-amzn-errortype`, and in `__type` with some endpoints.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import msgspec

from headgate.dialects.words import words_of
from headgate.errors import ErrorWords
from headgate_bedrock.stream import STATUSES

Json = dict[str, Any]

_TYPE = b"x-amzn-errortype"
_KINDS = {
    400: "ValidationException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}
"""What a status usually stands for, where nothing says more."""
_BAD_KEYS = ("security token", "request signature", "signature expired", "api key", "bearer token")
"""Words of a 403 that is about the key and not about what it may do."""


def error_words(status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]] = ()) -> ErrorWords:
    """The error in Bedrock's words: the exception is its `code`. Never raises."""
    words = words_of(status, body)
    kind = _kind_of(body, headers)
    message = words.message
    code = kind or _KINDS.get(status, "")
    fixed = STATUSES.get(kind.lower(), 0) if kind else 0
    if not fixed:
        is_key = status == 403 and any(phrase in message.lower() for phrase in _BAD_KEYS)
        fixed = 401 if is_key else STATUSES.get(code.lower(), status)
        code = "" if is_key and not kind else code
    return ErrorWords(fixed, message, kind, code or None)


def _kind_of(body: bytes, headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The exception's name, without the namespace before it and the address behind it."""
    stated = next((value.decode("latin-1") for name, value in headers if name.lower() == _TYPE), "")
    if not stated:
        try:
            data: Any = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return ""
        held: Any = cast("Json", data).get("__type") or cast("Json", data).get("code") if isinstance(data, dict) else ""
        stated = held if isinstance(held, str) else ""
    return stated.partition(":")[0].rpartition("#")[2].strip()
