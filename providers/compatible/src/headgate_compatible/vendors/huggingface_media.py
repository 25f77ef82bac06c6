"""Pictures and transcripts of Hugging Face's `hf-inference` for clients of OpenAI's: one input, and parameters beside it.

Sources: https://huggingface.co/docs/inference-providers/tasks/text-to-image (the answer is the picture itself) and
https://huggingface.co/docs/inference-providers/tasks/automatic-speech-recognition.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.forms import Part
from headgate_compatible.vendors import pictures, transcripts


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
