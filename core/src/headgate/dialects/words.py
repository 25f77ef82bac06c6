"""Errors between dialects: reading what any vendor's error body says and when to come back, and OpenAI's envelope for it."""

from __future__ import annotations

import re
from typing import Any, cast

import msgspec

from headgate.errors import ErrorWords

Json = dict[str, Any]
Headers = tuple[tuple[bytes, bytes], ...]
"""Header lines of a reply, names in lower case."""

_MESSAGES = ("message", "error", "detail", "msg", "Message", "title", "description")
DETAILS = ("failed_generation",)
"""Members of an error that tell what went wrong: what the model wrote that was no call of a tool, https://console.groq.com/docs/tool-use"""
_MAX_CHARS = 2000
_WAIT = re.compile(
    r"(?:try again in|retry after) ((?:\d+(?:\.\d+)? ?(?:ms|h(?:ours?)?|m(?:inutes?)?|s(?:econds?)?)(?![a-z]) ?)+)",
    re.IGNORECASE,
)
_PERIOD = re.compile(r"(\d+(?:\.\d+)?) ?(ms|h|m|s)", re.IGNORECASE)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def openai_envelope(words: ErrorWords) -> bytes:
    """`{"error": {message, type, param, code}}`, with extra members beside it.

    Source: https://platform.openai.com/docs/guides/error-codes
    """
    error = {"message": words.message, "type": words.type or None, "param": words.param, "code": words.code}
    beside = {name: value for name, value in words.extra.items() if name not in DETAILS}
    return msgspec.json.encode({"error": {**error, **details_of(words.extra)}, **beside})


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
    inner = held.get("error") or _inner(held.get("ResponseMetadata"))
    fields: Json = cast("Json", inner) if isinstance(inner, dict) else held
    if fields is held and not any(held.get(name) for name in _MESSAGES):
        fields = held = _first_of(held.get("errors")) or held
    beside = {name: value for name, value in held.items() if name != "error"} if fields is not held else {}
    return ErrorWords(
        status,
        _message(fields),
        str(fields.get("type") or ""),
        _code(fields, status),
        _word(fields.get("param")),
        extra={**beside, **details_of(fields)},
    )


def details_of(error: Json) -> Json:
    """What of an error has no place among its words, and is of use to whoever asked."""
    return {name: value for name in DETAILS if isinstance(value := error.get(name), str) and value}


def wait_of(message: str) -> float | None:
    """How many seconds to wait by an error's words: OpenAI's `try again in 1m30.5s`, Azure's `retry after 6 seconds`.

    Azure: https://learn.microsoft.com/en-us/azure/foundry/openai/how-to/quota
    """
    found = _WAIT.search(message)
    if found is None:
        return None
    return sum(float(number) * _SECONDS[unit.lower()] for number, unit in _PERIOD.findall(found[1]))


def _inner(metadata: object) -> object:
    """The error below BytePlus' `ResponseMetadata`: https://docs.byteplus.com/en/docs/transitrouter/Responses"""
    return cast("Json", metadata).get("Error") if isinstance(metadata, dict) else None


def _first_of(errors: object) -> Json | None:
    """The first of a list of errors, as Cloudflare's envelope has it: https://developers.cloudflare.com/api/"""
    first: object = cast("list[object]", errors)[0] if isinstance(errors, list) and errors else None
    if isinstance(first, str):
        return {"message": first}
    return cast("Json", first) if isinstance(first, dict) else None


def _message(fields: Json) -> str:
    for name in _MESSAGES:
        held: Any = fields.get(name)
        if held:
            return held if isinstance(held, str) else _text_of(held)
    return _text_of(fields) if fields else ""


def _text_of(value: object) -> str:
    """JSON that says nothing we know, as text: better than no word."""
    return msgspec.json.encode(value).decode()[:_MAX_CHARS]


def _code(fields: Json, status: int) -> str | None:
    """The vendor's code. Google repeats the status there and has its word beside it: https://google.aip.dev/193."""
    code, word = fields.get("code", fields.get("Code")), fields.get("status")
    if code == status and isinstance(word, str) and word.isupper():
        return word
    return _word(code)


def _word(value: object) -> str | None:
    return None if value is None or value == "" else str(value)
