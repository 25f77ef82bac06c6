"""Transcripts by OpenRouter, which takes sound as base64 in JSON, and by xAI, for the forms of OpenAI's clients.

Sources: https://openrouter.ai/docs/guides/overview/multimodal/stt and `STTRequest` of the SDK `openrouter` 1.3;
https://docs.x.ai/developers/model-capabilities/audio/speech-to-text (one model, which is not named; the file stands last). There
are no prompts, streams or texts without JSON; the answers are OpenAI's, but for the words that xAI tells beside a text.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import structs

from headgate.dialects import Gaps
from headgate.errors import InvalidRequest
from headgate.forms import Part
from headgate_compatible.vendors.as_json import kind_of, text_of

Json = dict[str, Any]

_KNOWN = frozenset({"language", "model", "response_format", "temperature", "user"})
_GRAINS = ("timestamp_granularities", "timestamp_granularities[]")
_FORMATS = frozenset({"json", "verbose_json"})
_IDLE = frozenset({("stream", b"false"), ("chunking_strategy", b"auto")})
"""What asks for nothing."""
_PLAIN = _IDLE | {("response_format", b"json")}
_XAI = frozenset(
    {
        *("audio_format", "channels", "diarize", "filler_words", "format", "keyterm", "language", "multichannel"),
        *("sample_rate", "url"),
    }
)
_XAI_IDLE = frozenset({"model", "response_format"})
_SIGNATURES = (
    (b"RIFF", "audio/wav"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"\x1aE\xdf\xa3", "audio/webm"),
)
_NAMES: Mapping[str, str] = {
    "mpeg": "mp3",
    "mp4": "m4a",
    "mp4a-latm": "m4a",
    "vnd.wave": "wav",
    "wave": "wav",
    "x-flac": "flac",
    "x-m4a": "m4a",
    "x-wav": "wav",
}
"""OpenRouter's names of formats where they are not those of the media types."""


def from_form(parts: Iterable[Part], values: Mapping[str, Any], gaps: Gaps) -> bytes:
    """A form as OpenRouter's JSON, `values` in the place of its own. `gaps` is told of what it has not."""
    members: Json = {}
    for part in parts:
        if part.name == "file":
            members["input_audio"] = {"data": b64encode(part.content).decode(), "format": _format_of(part)}
        elif part.name in _GRAINS:
            members.setdefault("timestamp_granularities", []).append(text_of(part))
        elif part.name in _KNOWN:
            members[part.name] = _value_of(part)
        elif part.content and (part.name, part.content) not in _IDLE:
            gaps.refuse(part.name)
    if members.get("response_format", "json") not in _FORMATS:
        gaps.refuse("response_format", f"transcripts come as one of {', '.join(sorted(_FORMATS))} there")
        del members["response_format"]
    return msgspec.json.encode({**members, **values})


def fields_of(parts: Iterable[Part], names: Mapping[str, str], gaps: Gaps) -> tuple[Json, Part]:
    """The fields of a form under a vendor's `names`, and its file. Raises InvalidRequest for a form without one.

    `gaps` is told of what the vendor has not, of which a language is but a hint.
    """
    members: Json = {}
    file: Part | None = None
    for part in parts:
        if part.name == "file":
            file = part
        elif part.name in names and part.content:
            members[names[part.name]] = _value_of(part)
        elif part.name == "language":
            gaps.skip(part.name)
        elif part.name != "model" and part.content and (part.name, part.content) not in _PLAIN:
            gaps.refuse(part.name)
    if file is None:
        raise InvalidRequest("`file` is missing: send the sound in it", param="file")
    return members, file


def uri_of(part: Part) -> str:
    """A file of sound as a data URI; InvalidRequest where nothing says what it is."""
    return f"data:audio/{_format_of(part)};base64,{b64encode(part.content).decode()}"


def to_xai(parts: Iterable[Part], values: Mapping[str, Any], gaps: Gaps) -> list[Part]:
    """A form as xAI takes it, with what `values` overrides. `gaps` is told of what it has not."""
    fields: list[Part] = []
    files: list[Part] = []
    for part in parts:
        if part.name == "file":
            files.append(structs.replace(part, content_type=part.content_type or "application/octet-stream"))
        elif part.name in _XAI and part.name not in values:
            fields.append(structs.replace(part, content_type=""))
        elif part.name == "response_format" and part.content != b"json":
            gaps.refuse(part.name, "transcripts come as `json` there")
        elif part.content and part.name not in _XAI_IDLE and (part.name, part.content) not in _IDLE:
            gaps.refuse(part.name)
    said = {name: value for name, value in values.items() if name != "model"}
    return [*fields, *(Part(name, "", said_as_text(value)) for name, value in said.items()), *files]


def said_as_text(value: object) -> bytes:
    """A value as a field of a form says it."""
    return value.encode() if isinstance(value, str) else msgspec.json.encode(value)


def _format_of(part: Part) -> str:
    """The format of a file of sound, told by its label or how it begins; InvalidRequest where neither says it."""
    kind = kind_of(part, "audio/", _SIGNATURES).removeprefix("audio/")
    if not kind and part.content[4:8] == b"ftyp":
        kind = "mp4"
    if not kind:
        raise InvalidRequest(
            "`file` does not say what sound it is: give its part a `content-type` such as `audio/wav`", param="file"
        )
    return _NAMES.get(kind, kind)


def _value_of(part: Part) -> str | float:
    value = text_of(part)
    try:
        return float(value) if part.name == "temperature" else value
    except ValueError:
        raise InvalidRequest("`temperature` must be a number", param="temperature") from None
