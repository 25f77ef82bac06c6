"""Gemini's Live API on Vertex AI: the sessions of the Gemini API, in which three members are called otherwise.

Sources: https://docs.cloud.google.com/vertex-ai/generative-ai/docs/model-reference/multimodal-live, and for what differs the
official client, https://github.com/googleapis/python-genai/blob/main/google/genai/_live_converters.py, which reads both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from headgate.body import decode_object
from headgate.errors import InvalidRequest

PATH = "/ws/google.cloud.aiplatform.{version}.LlmBidiService/BidiGenerateContent"
_MARKS = (b'"usageMetadata"', b'"voiceActivity"')
_NAMES: Mapping[str, Mapping[str, str]] = {
    "usageMetadata": {
        "candidatesTokenCount": "responseTokenCount",
        "candidatesTokensDetails": "responseTokensDetails",
    },
    "voiceActivity": {"type": "voiceActivityType"},
}
"""What Vertex AI calls a member of these, and the Gemini API."""


def as_gemini(message: bytes) -> bytes:
    """A message of Vertex AI's in the words of the Gemini API; the very same bytes where nothing differs."""
    if not any(mark in message for mark in _MARKS):
        return message
    try:
        held = decode_object(message)
    except InvalidRequest:
        return message
    for member, names in _NAMES.items():
        found = held.get(member)
        if isinstance(found, dict):
            told = cast("dict[str, Any]", found)
            held[member] = {names.get(name, name): value for name, value in told.items()}
    return msgspec.json.encode(held)
