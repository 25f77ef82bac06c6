"""Speech and transcripts by a NIM of one's own, which takes forms, for OpenAI's clients.

Sources: https://docs.nvidia.com/nim/speech/latest/reference/api-references/tts/http-tts.html (the answer is WAV; voices are named
Model.LOCALE.Speaker) and https://docs.nvidia.com/nim/speech/latest/reference/api-references/asr/http-asr.html (`model` is a name
within the server, and one of it and `language` is needed). What NVIDIA hosts speaks and hears over gRPC alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from secrets import token_hex
from typing import Any

import msgspec
from msgspec.structs import replace

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.errors import InvalidRequest
from headgate.forms import Part, content_type_of, form_of
from headgate.upstream import UpstreamRequest
from headgate_compatible.vendors.speech import refuse_idle, voice_of

_LOCALE = re.compile(r"[^.]+\.([A-Za-z]{2,3})-([A-Za-z]{2,4})\..+")
_REFUSED: Mapping[str, object] = {"instructions": "", "speed": 1, "stream": False, "stream_format": "audio"}
"""Members of a request for speech that there are no words for, and what asks for nothing."""
_KNOWN = frozenset({"language", "response_format", "temperature"})
_FORMATS = (b"json", b"text")
_IDLE = frozenset({("stream", b"false"), ("chunking_strategy", b"auto")})


def as_form(request: UpstreamRequest, gaps: Gaps) -> UpstreamRequest:
    """OpenAI's request for speech as the form that a NIM takes. `gaps` is told of what it cannot honour.

    A language that is not said is that of the voice's name; where there is none, the server says so.
    """
    members = decode_object(request.body)
    members.pop("model", None)  # a server has one
    refuse_idle(members, gaps, _REFUSED)
    if members.pop("response_format", None) not in (None, "wav"):
        gaps.refuse("response_format", "sound comes as `wav` from there")
    voice = voice_of(members)
    fields = {"text": members.pop("input", None), "language": _language_of(voice), "voice": voice, **members}
    boundary = token_hex(16).encode()
    body = form_of([Part(name, "", _text_of(value)) for name, value in fields.items() if value is not None], boundary)
    headers = tuple(pair for pair in request.headers if pair[0] != b"content-type")
    return replace(request, headers=(*headers, (b"content-type", content_type_of(boundary))), body=body)


def to_transcribe(parts: Iterable[Part], values: Mapping[str, Any], gaps: Gaps) -> list[Part]:
    """OpenAI's form of sound as a NIM takes it, with what `values` overrides: the language, or else the model.

    `gaps` is told of what it has not. Raises InvalidRequest for a form without sound.
    """
    said = {name: _text_of(value) for name, value in values.items() if name != "model"}
    files: list[Part] = []
    for part in parts:
        if part.name == "file":
            files.append(replace(part, content_type=part.content_type or "application/octet-stream"))
        elif part.name in _KNOWN and part.content:
            said.setdefault(part.name, part.content)
        elif part.name != "model" and part.content and (part.name, part.content) not in _IDLE:
            gaps.refuse(part.name)
    if not files:
        raise InvalidRequest("`file` is missing: send the sound in it", param="file")
    if said.get("response_format", b"json") not in _FORMATS:
        gaps.refuse("response_format", "transcripts come as `json` or `text` there")
        del said["response_format"]
    if "language" not in said and "model" in values:
        said["model"] = _text_of(values["model"])
    return [*(Part(name, "", value) for name, value in said.items()), *files]


def _language_of(voice: object) -> str | None:
    found = _LOCALE.fullmatch(voice) if isinstance(voice, str) else None
    return f"{found[1].lower()}-{found[2].upper()}" if found else None


def _text_of(value: object) -> bytes:
    return value.encode() if isinstance(value, str) else msgspec.json.encode(value)
