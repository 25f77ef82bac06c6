"""Pictures and transcripts of Hugging Face's `hf-inference` for clients of OpenAI's: one input, and parameters beside it.

Speech is that of other providers, which a model is followed by as in chat (`hexgrad/Kokoro-82M:together`).

Sources: https://huggingface.co/docs/inference-providers/tasks/text-to-image (the answer is the picture itself) and
https://huggingface.co/docs/inference-providers/tasks/automatic-speech-recognition; for speech, whose answer is the sound
itself, https://github.com/huggingface/huggingface_hub/pull/4559 and `TogetherTextToSpeechTask` of the same SDK.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.errors import InvalidRequest
from headgate.forms import Part
from headgate_compatible.vendors import pictures, transcripts

_SPEAKERS: Mapping[str, str] = {
    "deepinfra": "/deepinfra/v1/openai/audio/speech",
    "together": "/together/v1/audio/speech",
}
"""Providers whose speech is in OpenAI's shape, and where it is; the first speaks for a model that names none."""


def speaker_of(model: str) -> tuple[str, str]:
    """A model without its provider, and the path of that one's speech. Raises InvalidRequest for a provider without any."""
    name, _, provider = model.partition(":")
    path = _SPEAKERS.get(provider or next(iter(_SPEAKERS)))
    if path is None:
        told = f"`{provider}` has no speech here: follow the model by one of {', '.join(f'`:{each}`' for each in _SPEAKERS)}"
        raise InvalidRequest(told, param="model", code="unsupported_model")
    return name, path


def encode_speech(body: bytes, _gaps: Gaps) -> bytes:
    """OpenAI's request for speech, with the model's name as its provider knows it."""
    members = decode_object(body)
    members["model"] = speaker_of(members["model"])[0]
    return msgspec.json.encode(members)


def encode_picture(body: bytes, gaps: Gaps) -> bytes:
    """OpenAI's request for a picture as a task. What only that knows, such as `guidance_scale`, passes as parameters."""
    members = decode_object(body)
    members.pop("model", None)  # it stands in the address
    pictures.refuse_unknown(members, gaps)
    pictures.refuse_number(members, gaps)
    pictures.refuse_form(members, gaps, "b64_json")
    pictures.tell_sides(members, gaps)
    return _task(members.pop("prompt", None), members)


def encode_transcript(parts: Iterable[Part], values: Mapping[str, Any], gaps: Gaps) -> bytes:
    """OpenAI's form of sound as a task, with what `values` overrides as parameters. `gaps` is told of what it has not."""
    _, file = transcripts.fields_of(parts, {}, gaps)
    said = {name: value for name, value in values.items() if name != "model"}
    return _task(b64encode(file.content).decode(), said)


def _task(inputs: object, parameters: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode({"inputs": inputs, **({"parameters": parameters} if parameters else {})})
