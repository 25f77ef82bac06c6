"""Reka: transcripts of WAV files, which it takes as data URIs in JSON, for the forms of OpenAI's clients.

Source: https://docs.reka.ai/speech/api-reference/transcribe-or-translate. There is one model, not named, and no language,
prompt, stream or text without JSON. It translates into eight languages, of which English is none, so it has no translations as
OpenAI's: https://docs.reka.ai/speech/speech-translation.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import msgspec

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.errors import InvalidRequest, ProviderFailed
from headgate.exchange import RawHeaders, Reply
from headgate.forms import Part
from headgate.operations import TRANSCRIPTIONS
from headgate.relay import Decode
from headgate_compatible.vendors.as_json import Encode, JsonForms, text_of

Json = dict[str, Any]

_NUMBERS: Mapping[str, type[int | float]] = {"max_tokens": int, "sampling_rate": int, "temperature": float}
_IDLE = frozenset({("response_format", b"json"), ("stream", b"false"), ("chunking_strategy", b"auto")})
"""What asks for nothing."""
_HINTS = frozenset({"language"})
_RATE_AT = 24
"""Where a WAV file says how many samples a second has: http://soundfile.sapp.org/doc/WaveFormat/"""


def from_form(parts: Iterable[Part], values: Mapping[str, Any], gaps: Gaps) -> bytes:
    """A form as Reka's JSON, with what `values` overrides. `gaps` is told of what it has not. InvalidRequest but for WAV."""
    members: Json = {}
    for part in parts:
        if part.name == "file":
            members |= _sound(part)
        elif part.name in _NUMBERS and part.content:
            members[part.name] = _number(part)
        elif part.name in _HINTS:
            gaps.skip(part.name)
        elif part.name != "model" and part.content and (part.name, part.content) not in _IDLE:
            gaps.refuse(part.name)
    return msgspec.json.encode({**members, **{name: value for name, value in values.items() if name != "model"}})


def to_openai(headers: RawHeaders, body: bytes) -> Reply:
    """A good answer with its text where OpenAI's clients look for it. Raises ProviderFailed for one without."""
    try:
        held = decode_object(body)
    except InvalidRequest:
        held = {}
    if not isinstance(held.get("transcript"), str):
        raise ProviderFailed("the provider answered with no transcript", code="upstream_bad_reply")
    return Reply(200, headers, msgspec.json.encode({"text": held["transcript"]}))


class Reka(JsonForms):
    """Reka."""

    forms: ClassVar[Mapping[str, Encode]] = {TRANSCRIPTIONS.name: from_form}
    answers: ClassVar[Mapping[str, Decode]] = {TRANSCRIPTIONS.name: to_openai}


def _sound(part: Part) -> Json:
    """A file as an address and the rate that it says it has."""
    head = part.content[: _RATE_AT + 4]
    if not head.startswith(b"RIFF") or head[8:16] != b"WAVEfmt " or len(head) < _RATE_AT + 4:
        raise InvalidRequest("`file` must be a WAV file for Reka", param="file")
    rate = int.from_bytes(head[_RATE_AT:], "little")
    return {"audio_url": f"data:audio/wav;base64,{b64encode(part.content).decode()}", "sampling_rate": rate}


def _number(part: Part) -> float:
    try:
        return _NUMBERS[part.name](text_of(part))
    except ValueError:
        raise InvalidRequest(f"`{part.name}` must be a number", param=part.name) from None
