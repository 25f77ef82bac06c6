"""Errors between dialects: reading what any vendor's error body says, and OpenAI's envelope for it."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from headgate.errors import ErrorWords

Json = dict[str, Any]
Headers = tuple[tuple[bytes, bytes], ...]
"""Header lines of a reply, names in lower case."""

_MESSAGES = ("message", "error", "detail", "msg", "Message", "title")
_MAX_CHARS = 2000


def openai_envelope(words: ErrorWords) -> bytes:
    """`{"error": {message, type, param, code}}`, with extra members beside it.

    Source: https://platform.openai.com/docs/guides/error-codes
    """
    error = {"message": words.message, "type": words.type or None, "param": words.param, "code": words.code}
    return msgspec.json.encode({"error": error, **words.extra})


def words_of(status: int, body: bytes) -> ErrorWords:
    """What an error body says: an OpenAI envelope, one of the usual other shapes, or plain text."""
    try:
        data: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = body[:_MAX_CHARS].decode("utf-8", "replace").strip()
        return ErrorWords(status, "" if text.startswith("<") else text)
    if isinstance(data, list) and data and isinstance(data[0], dict):
        data = cast("list[Any]", data)[0]
    if not isinstance(data, dict):
        return ErrorWords(status, data if isinstance(data, str) else _text_of(cast("object", data)))
    held = cast("Json", data)
    inner = held.get("error")
    fields: Json = cast("Json", inner) if isinstance(inner, dict) else held
    return ErrorWords(
        status,
        _message(fields),
        str(fields.get("type") or ""),
        _word(fields.get("code")),
        _word(fields.get("param")),
        extra={name: value for name, value in held.items() if name != "error"} if fields is not held else {},
    )


def _message(fields: Json) -> str:
    for name in _MESSAGES:
        held: Any = fields.get(name)
        if held:
            return held if isinstance(held, str) else _text_of(held)
    return _text_of(fields) if fields else ""


def _text_of(value: object) -> str:
    """JSON that says nothing we know, as text: better than no word."""
    return msgspec.json.encode(value).decode()[:_MAX_CHARS]


def _word(value: object) -> str | None:
    return None if value is None or value == "" else str(value)
