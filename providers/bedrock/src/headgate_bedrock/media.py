"""Images, documents, sound and film as blocks of Converse, and back.

Converse takes bytes, or a place in S3 for which the caller's account must have given the service leave; URLs it never
fetches. Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ContentBlock.html
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from pathlib import PurePosixPath
from typing import Any

from headgate.chat import Audio, File, Image
from headgate.dialects.distinct import Distinct
from headgate.dialects.openai.members import Members
from headgate.media import media_type_of

Json = dict[str, Any]

IMAGES = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/jpg": "jpeg",
}
DOCUMENTS = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
FILMS = {
    "video/x-matroska": "mkv",
    "video/quicktime": "mov",
    "video/mp4": "mp4",
    "video/webm": "webm",
    "video/x-flv": "flv",
    "video/mpeg": "mpeg",
    "video/x-ms-wmv": "wmv",
    "video/3gpp": "three_gp",
}
SOUNDS = frozenset(
    {"aac", "flac", "m4a", "mka", "mkv", "mp3", "mp4", "mpeg", "mpga", "ogg", "opus", "pcm", "wav", "webm"}
)

_EXTENSIONS = {**{f".{name}": name for name in DOCUMENTS.values()}, ".htm": "html", ".text": "txt"}
_UNNAMED = re.compile(r"[^A-Za-z0-9\s()\[\]-]+")
_BLANKS = re.compile(r"\s+")
_MAX_NAME = 200
_SNIFFED_CHARS = 64


class DocumentNames:
    """Names that Converse takes, no two alike in one request: it refuses the second document of a name."""

    def __init__(self) -> None:
        self._distinct = Distinct(_MAX_NAME, mark="-", fold=str.casefold)

    def name(self, wanted: str | None) -> str:
        """The nearest name of letters, digits, single blanks, hyphens and brackets; `document` when nothing is left."""
        plain = _BLANKS.sub(" ", _UNNAMED.sub("-", wanted or "")).strip(" -")[:_MAX_NAME].rstrip() or "document"
        return self._distinct.take(plain)


def image_block(part: Image, *, is_own: bool) -> Json | None:
    """An image by its bytes; None when it has none, or is of a kind that Converse does not take."""
    if is_own and "source" in part.extra:
        return {"image": dict(part.extra)}
    if part.data is None:
        return None
    kind = (part.media_type or _sniffed(part.data)).lower()
    if kind not in IMAGES:
        return None
    return {"image": {"format": IMAGES[kind], "source": {"bytes": part.data}}}


def file_block(part: File, names: DocumentNames, *, is_own: bool) -> Json | None:
    """A document or a film by its bytes; None when it has none, or is of a kind that Converse does not take."""
    if is_own and "source" in part.extra:
        kind = "video" if (part.media_type or "").startswith("video/") else "document"
        return {kind: {**part.extra, **({"name": names.name(part.filename)} if kind == "document" else {})}}
    if part.data is None:
        return None
    kind = (part.media_type or _sniffed(part.data)).lower()
    if kind in FILMS:
        return {"video": {"format": FILMS[kind], "source": {"bytes": part.data}}}
    suffix = PurePosixPath(part.filename or "").suffix.lower()
    form = DOCUMENTS.get(kind) or _EXTENSIONS.get(suffix)
    if form is None:
        return None
    stem = (part.filename or "").removesuffix(suffix) if suffix in _EXTENSIONS else part.filename
    document: Json = {"format": form, "name": names.name(part.title or stem), "source": {"bytes": part.data}}
    if part.context:
        document["context"] = part.context
    if part.cites is not None:
        document["citations"] = {"enabled": part.cites}
    return {"document": document}


def audio_block(part: Audio) -> Json | None:
    """Sound by its bytes; None for a format that Converse does not take."""
    form = part.format.lower()
    return {"audio": {"format": form, "source": {"bytes": part.data}}} if form in SOUNDS and part.data else None


def decode_image(held: Members) -> Image:
    """An image block."""
    form = held.need("format", str)
    source = held.inner("source")
    data = source.find("bytes", str)
    extra = held.rest()
    return Image(data=data, media_type=f"image/{form}", extra=extra if data else {"format": form, **extra})


def decode_document(held: Members) -> File:
    """A document block. Its text, where it has that instead of bytes, is kept as the bytes of a text file."""
    form, name = held.find("format", str), held.need("name", str)
    source, citations = held.inner("source"), held.inner_if_given("citations")
    data, text = source.find("bytes", str), source.find("text", str)
    if data is None and text is not None:
        data, form = b64encode(text.encode()).decode(), form or "txt"
    kind = next((kind for kind, known in DOCUMENTS.items() if known == form), None)
    context, cites = held.find("context", str), citations.find("enabled", bool) if citations else None
    extra = held.rest()
    if data is None:
        extra |= {key: value for key, value in (("format", form), ("context", context)) if value is not None}
    return File(data=data, media_type=kind, filename=name, context=context, cites=cites, extra=extra)


def decode_film(held: Members) -> File:
    """A video block."""
    form = held.need("format", str)
    data = held.inner("source").find("bytes", str)
    kind = next((kind for kind, known in FILMS.items() if known == form), f"video/{form}")
    extra = held.rest()
    return File(data=data, media_type=kind, extra=extra if data else {"format": form, **extra})


def decode_audio(held: Members) -> Audio | None:
    """An audio block; None when its bytes are elsewhere."""
    form, data = held.need("format", str), held.inner("source").find("bytes", str)
    return None if data is None else Audio(data, form, extra=held.rest())


def _sniffed(data: str) -> str:
    """The media type by the first bytes of base64 data."""
    try:
        return media_type_of(b64decode(data[:_SNIFFED_CHARS] + "=="))
    except ValueError:
        return ""
