"""Words of Google's generateContent API that both directions share: finish reasons, statuses, ids, signatures, media types.

Sources: https://ai.google.dev/api/generate-content and the types of google-genai 3.4.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error

from headgate.chat import FinishReason, Opaque

NAME = "google.generate"
ORIGIN = "google"
OUTPUT_TOOL = "headgate_output"
"""A tool whose input is the answer itself, for models that take no schema of it beside tools."""
ANY_SIGNATURE = "skip_thought_signature_validator"
"""What Google lets a history of another model's calls carry: https://ai.google.dev/gemini-api/docs/thought-signatures"""

FINISH: dict[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "ESCALATION": "content_filter",
    "PUP_LIMITED_DISABLED": "content_filter",
}
"""What the words for the end mean. Every other one names a failure: `FAILURES`, and those yet to come."""
FAILURES = frozenset(
    {
        "OTHER",
        "MALFORMED_FUNCTION_CALL",
        "MALFORMED_RESPONSE",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MISSING_THOUGHT_SIGNATURE",
        "IMAGE_OTHER",
        "NO_IMAGE",
    }
)
SAID_FINISH: dict[FinishReason, str] = {
    "stop": "STOP",
    "tool_calls": "STOP",
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
    "error": "OTHER",
}
_NUMBERED = ("", "STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII")
"""Finish reasons by their number in `google.cloud.aiplatform.v1.Candidate`, as the Python library writes them as JSON."""

STATUS_WORDS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""google.rpc.Code by HTTP status: https://cloud.google.com/apis/design/errors"""

TIERS = {"standard": "default", "flex": "flex", "priority": "priority"}
"""Service tiers, and what OpenAI calls them."""

_GIVEN = "gemini_"
_MINTED = re.compile(r"call_[0-9A-Za-z]+(_\d+){1,2}")
_GENERATION = re.compile(r"gemini-(\d+)(?:\.(\d+))?(?![\d.])")
_NEWEST = (99, 0)
_LEGAL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}")
_FORMATS = {
    "mpeg": "mp3",
    "x-wav": "wav",
    "wave": "wav",
    "x-flac": "flac",
    "mp4": "m4a",
    "x-m4a": "m4a",
    "l16": "pcm16",
}
_SUBTYPES = {"m4a": "mp4", "pcm16": "l16"}
_GEMINI = "https://generativelanguage.googleapis.com/"
_EXTENSIONS = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "heic": "image/heic",
    "heif": "image/heif",
    "gif": "image/gif",
    "avif": "image/avif",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "md": "text/markdown",
    "html": "text/html",
    "css": "text/css",
    "csv": "text/csv",
    "xml": "text/xml",
    "json": "application/json",
    "mp3": "audio/mp3",
    "wav": "audio/wav",
    "aac": "audio/aac",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
    "mp4": "video/mp4",
    "mpeg": "video/mpeg",
    "mov": "video/mov",
    "webm": "video/webm",
}


def finish_word(value: object) -> str | None:
    """A finish reason as its word; None while there is none. Some recordings hold the number of the enumeration."""
    if isinstance(value, int) and not isinstance(value, bool):
        return _NUMBERED[value] if 0 <= value < len(_NUMBERED) and _NUMBERED[value] else (str(value) if value else None)
    return value if isinstance(value, str) and value and value != "FINISH_REASON_UNSPECIFIED" else None


def finish_of(word: str, *, has_calls: bool) -> FinishReason:
    """What a word for the end means. Gemini says STOP behind tool calls too."""
    meant = FINISH.get(word, "error")
    return "tool_calls" if meant == "stop" and has_calls else meant


def generation(model: str) -> tuple[int, int] | None:
    """The generation a Gemini model belongs to: (2, 5) for `gemini-2.5-flash`; None for other models and tuned ones.

    A bare `gemini-pro` was generation 1.0; aliases such as `gemini-flash-latest` point to the newest.
    """
    name = model.rpartition("/")[2]
    found = _GENERATION.match(name)
    if found:
        return int(found[1]), int(found[2] or 0)
    if name in {"gemini-pro", "gemini-pro-vision"}:
        return 1, 0
    return _NEWEST if name.startswith("gemini-") else None


def is_at_least(model: str, *wanted: int) -> bool:
    """Whether this is known to be a Gemini model of this generation or a later one."""
    held = generation(model)
    return held is not None and held >= wanted


def call_id(given: str | None, reply_id: str, number: int, choice: int, content: bytes) -> str:
    """The id of a tool call of a reply: Gemini's own, marked as such, or one made of the reply's id and its number.

    Without a reply id it is made of the call's `content`.
    """
    if given:
        return _GIVEN + given
    tail = re.sub(r"[^0-9A-Za-z]", "", reply_id)[-12:] or hashlib.sha256(content).hexdigest()[:12]
    return f"call_{tail}_{choice}_{number}" if choice else f"call_{tail}_{number}"


def sent_id(value: str, *, is_own: bool) -> str | None:
    """The id of a call as Gemini gave it; None when it gave none. `is_own`: a client of Google's API says it."""
    if value.startswith(_GIVEN):
        return value[len(_GIVEN) :]
    return value if is_own and not _MINTED.fullmatch(value) else None


def shown_id(value: str) -> str:
    """An id as a client of Google's API gets it."""
    return value.removeprefix(_GIVEN)


def legal_name(name: str) -> str:
    """A function's name as Google takes it: letters, digits, `_`, `.`, `:`, `-`, at most 128, a letter or `_` first.

    Another name gets a form of its own, the same every time; `names_back` of the encoder tells it back.
    """
    if _LEGAL_NAME.fullmatch(name):
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return "_" + re.sub(r"[^A-Za-z0-9_.:-]", "_", name)[:118] + "_" + digest


def sealed(opaque: Opaque, item_id: str | None = None) -> str:
    """An opaque item as a `thoughtSignature`, which is base64: Google's own as it came, any other with whose it is.

    That is `headgate:ORIGIN:ACCOUNT:DATA`, or `headgate.item:ORIGIN:ACCOUNT:ID:DATA` where the item has an id of its own.
    """
    if opaque.origin == ORIGIN:
        return opaque.data
    word, item = ("headgate.item", f"{item_id}:") if item_id else ("headgate", "")
    return b64encode(f"{word}:{opaque.origin}:{opaque.account}:{item}{opaque.data}".encode()).decode()


def unsealed(signature: str | None) -> tuple[Opaque | None, str | None]:
    """The opaque item that a `thoughtSignature` stands for, and its own id."""
    if not signature:
        return None, None
    try:
        word, _, rest = b64decode(signature, validate=True).decode().partition(":")
    except (Base64Error, ValueError):
        return Opaque(ORIGIN, signature), None
    pieces = rest.split(":", 3 if word == "headgate.item" else 2)
    if word not in {"headgate", "headgate.item"} or len(pieces) < 3:
        return Opaque(ORIGIN, signature), None
    return Opaque(pieces[0], pieces[-1], pieces[1]), pieces[2] if len(pieces) == 4 else None


def audio_format(media_type: str) -> str:
    """OpenAI's word for the format of a sound: `wav` for `audio/x-wav`."""
    subtype = media_type.partition("/")[2].partition(";")[0].strip().lower()
    return _FORMATS.get(subtype, subtype)


def audio_type(format_: str) -> str:
    """The media type of a sound in this format."""
    return "audio/" + _SUBTYPES.get(format_, format_)


def type_of_url(url: str) -> str | None:
    """The media type that the ending of a URL's path tells."""
    start, mark, rest = url.partition("?")[0].partition("#")[0].partition("://")
    path = "/" + rest.partition("/")[2] if mark else start
    return _EXTENSIONS.get(path.rpartition(".")[2].strip().lower())


def is_google_file(uri: str) -> bool:
    """Whether a URI is a file uploaded to the Gemini API, which nobody else can read."""
    return uri.startswith("files/") or (uri.startswith(_GEMINI) and "/files/" in uri)


def file_uri(file_id: str) -> str:
    """The URI by which a request names a file of the Gemini API, as the API tells it beside the file's name.

    https://ai.google.dev/api/files
    """
    return f"{_GEMINI}v1beta/{file_id}" if file_id.startswith("files/") else file_id
