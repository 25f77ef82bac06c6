"""Errors of OpenAI-shaped vendors: as reply bodies and as events of a stream.

Sources: https://platform.openai.com/docs/guides/error-codes, https://openrouter.ai/docs/api-reference/errors,
https://console.groq.com/docs/errors, https://docs.mistral.ai/api/
"""

from __future__ import annotations

import re
from typing import Any, cast

from msgspec.structs import replace

from headgate.body import decode_object
from headgate.chat import ErrorEvent
from headgate.dialects.openai.members import Json, Members
from headgate.dialects.words import wait_of, words_of
from headgate.errors import ErrorWords, InvalidRequest

_NAMED = re.compile(rb"^event:[ ]?error[ ]*\r?$", re.MULTILINE)
_BAD_KEY = re.compile(r"(?:incorrect|invalid) api key|api key not valid", re.IGNORECASE)
_STATUSES = {498: 503, 529: 503}
"""Groq's word for a tier without capacity, and what several vendors say when overloaded."""
_KINDS = {
    "authentication_error": 401,
    "insufficient_quota": 429,
    "invalid_request_error": 400,
    "overloaded_error": 503,
    "permission_error": 403,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "server_error": 500,
    "internal_server_error": 500,
    "service_unavailable": 503,
}
"""Which status the words of an error stand for, where it says no number."""


def decode_error(status: int, body: bytes) -> ErrorWords:
    """What an error body says; the status is put right where the vendor's is odd."""
    words = words_of(status, body)
    status = _STATUSES.get(words.status, words.status)
    if status == 400 and _BAD_KEY.search(words.message):
        status = 401
    wait_s = wait_of(words.message) if status == 429 else None
    message = _whole_message(words.message, body)
    return replace(words, status=status, message=message, retry_after_s=words.retry_after_s or wait_s)


def error_in(chunk: Members, frame: bytes) -> ErrorEvent | None:
    """The provider's error, if that is what it sent: under `error`, as the event itself (vLLM), or by the event's name."""
    error: object = chunk.take("error")
    if not error and (chunk.peek("object") == "error" or _NAMED.search(frame)):
        chunk.take("object")
        error = chunk.rest()
    if not error:
        return None
    raw: Json = cast("Json", error) if isinstance(error, dict) else {"message": str(error)}
    code = raw.get("code")
    return ErrorEvent(_message_of(raw), None if code is None else str(code), raw, status_of(raw))


def status_of(error: Json) -> int:
    """The HTTP status that an error stands for, 0 when it says none."""
    for name in ("status_code", "status", "code", "raw_status_code"):
        value: Any = error.get(name)
        number = (
            int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3 else value
        )
        if isinstance(number, int) and 400 <= number < 600:
            return _STATUSES.get(number, number)
    words = [error.get(name) for name in ("code", "type", "status")]
    return next((_KINDS[word] for word in words if isinstance(word, str) and word in _KINDS), 0)


def _whole_message(message: str, body: bytes) -> str:
    """The message with that of the vendor behind a router, when there is one."""
    if b'"metadata"' not in body:
        return message
    try:
        error = Members(decode_object(body)).take("error")
    except InvalidRequest:
        return message
    return _message_of(cast("Json", error)) if isinstance(error, dict) else message


def _message_of(error: Json) -> str:
    """What an error says; OpenRouter's `Provider returned error` says what under `metadata.raw`."""
    message, metadata = str(error.get("message") or ""), error.get("metadata")
    behind: object = cast("Json", metadata).get("raw") if isinstance(metadata, dict) else None
    return f"{message}: {behind}" if behind else message
