"""Lemonfox: translations of sound, which are transcripts with a field that says so.

Source: the field `translate` of https://www.lemonfox.ai/apis/speech-to-text, as
https://github.com/Portkey-AI/gateway/blob/main/src/providers/lemonfox-ai/createTranscription.ts has it beside `file`,
`response_format`, `prompt` and `language`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import msgspec

from headgate.dialects import Gaps
from headgate.forms import Part
from headgate.operations import TRANSLATIONS
from headgate_compatible.vendors.as_json import Encode, JsonForms

_KNOWN = frozenset({"file", "model", "prompt", "response_format"})
_TOLD = Part("translate", "", b"true")
_IDLE = frozenset({("temperature", b"0")})


def encode_translation(parts: Iterable[Part], values: Mapping[str, Any], gaps: Gaps) -> list[Part]:
    """OpenAI's form of sound to translate as one to transcribe, with what `values` overrides. `gaps` is told of the rest."""
    kept: list[Part] = []
    for part in parts:
        if part.name in values or (part.name, part.content) in _IDLE:
            continue
        if part.name in _KNOWN:
            kept.append(part)
        elif part.content:
            gaps.refuse(part.name)
    told = [
        Part(name, "", value.encode() if isinstance(value, str) else msgspec.json.encode(value))
        for name, value in values.items()
    ]
    return [*told, _TOLD, *kept]


class Lemonfox(JsonForms):
    """Lemonfox."""

    forms: ClassVar[Mapping[str, Encode]] = {TRANSLATIONS.name: encode_translation}
