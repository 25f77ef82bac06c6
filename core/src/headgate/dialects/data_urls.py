"""Data URLs: https://www.rfc-editor.org/rfc/rfc2397"""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import unquote, unquote_to_bytes

_BASE64 = ";base64"


def split_data_url(url: str) -> tuple[str, str] | None:
    """The media type, without its parameters, and the base64 data; None when it is no data URL.

    Data that is not base64 becomes so. A URL that does not say its type is plain text, as the RFC has it.
    """
    if url[:5].lower() != "data:":
        return None
    head, comma, data = url[5:].partition(",")
    if not comma:
        return None
    kind = head.partition(";")[0].strip().lower() or "text/plain"
    if not head.rstrip().lower().endswith(_BASE64):
        return kind, b64encode(unquote_to_bytes(data)).decode()
    if "%" in data:
        data = unquote(data)
    return kind, "".join(data.split()) if any(mark in data for mark in " \t\r\n") else data


def data_url(media_type: str | None, data: str) -> str:
    """The data URL of base64 `data`."""
    return f"data:{media_type or 'application/octet-stream'};base64,{data}"
