"""Pictures, edits and transcripts of Hugging Face's `hf-inference` for clients of OpenAI's: one input, and parameters beside it.

Speech is that of other providers, which a model is followed by as in chat (`hexgrad/Kokoro-82M:together`).

Sources: https://huggingface.co/docs/inference-providers/tasks/text-to-image (the answer is the picture itself) and
https://huggingface.co/docs/inference-providers/tasks/automatic-speech-recognition; for edits, of one picture and without a
mask, https://huggingface.co/docs/inference-providers/tasks/image-to-image and `ImageToImageParameters` of the SDK
`huggingface_hub` 2.4; for speech, whose answer is the sound itself, https://github.com/huggingface/huggingface_hub/pull/4559
and `TogetherTextToSpeechTask` of the same SDK.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.dialects.openai.members import objects
from headgate.errors import InvalidRequest
from headgate.forms import Part
from headgate_compatible.vendors import pictures, transcripts
from headgate_compatible.vendors.as_json import text_of

_EDIT_NUMBERS = frozenset({"guidance_scale", "num_inference_steps"})
_EDIT_IDLE = frozenset({("n", b"1"), ("response_format", b"b64_json"), ("stream", b"false"), ("partial_images", b"0")})
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


def encode_edit(parts: Iterable[Part], values: Mapping[str, Any], gaps: Gaps) -> bytes:
    """OpenAI's form of an edit as a task, with what `values` overrides as parameters. `gaps` is told of what it has not."""
    said: dict[str, Any] = {}
    found: list[str] = []
    for part in parts:
        if part.name in {"image", "image[]"}:
            found.append(b64encode(part.content).decode())
        elif part.name in {"prompt", "negative_prompt", "size"}:
            said[part.name] = text_of(part)
        elif part.name in _EDIT_NUMBERS:
            said[part.name] = _number(part)
        elif part.name == "user":
            gaps.skip(part.name)
        elif (
            part.name != "model" and part.content not in {b"", b"auto"} and (part.name, part.content) not in _EDIT_IDLE
        ):
            gaps.refuse(part.name)
    return _edit(found, {**said, **{name: value for name, value in values.items() if name != "model"}}, gaps)


def encode_edit_json(body: bytes, gaps: Gaps) -> bytes:
    """An edit that comes as JSON, its picture as a data URI. Raises InvalidRequest for one that would have to be fetched."""
    members = decode_object(body)
    members.pop("model", None)  # it stands in the address
    pictures.refuse_unknown(members, gaps)
    pictures.refuse_number(members, gaps)
    pictures.refuse_form(members, gaps, "b64_json")
    if members.pop("mask", None) is not None:
        gaps.refuse("mask")
    if "images" not in members:
        return _task(None, members)  # the vendor says what is missing
    found: list[str] = []
    for at, held in enumerate(objects(members.pop("images"))):
        _, _, data = str(held.get("image_url") or "").partition(";base64,")
        if not data:
            raise InvalidRequest("a picture must be a data URI there", param=f"images[{at}].image_url")
        found.append(data)
    return _edit(found, members, gaps)


def _edit(found: Sequence[str], parameters: dict[str, Any], gaps: Gaps) -> bytes:
    if not found:
        raise InvalidRequest("`image` is missing: send the picture in it", param="image")
    size = pictures.size_of(parameters, gaps)
    if size is not None:
        parameters["target_size"] = {"width": size[0], "height": size[1]}
    return _task(gaps.most("image", tuple(found), 1)[0], parameters)


def _number(part: Part) -> float:
    try:
        value = float(text_of(part))
    except ValueError:
        raise InvalidRequest(f"`{part.name}` must be a number", param=part.name) from None
    return int(value) if value.is_integer() else value


def encode_transcript(parts: Iterable[Part], values: Mapping[str, Any], gaps: Gaps) -> bytes:
    """OpenAI's form of sound as a task, with what `values` overrides as parameters. `gaps` is told of what it has not."""
    _, file = transcripts.fields_of(parts, {}, gaps)
    said = {name: value for name, value in values.items() if name != "model"}
    return _task(b64encode(file.content).decode(), said)


def _task(inputs: object, parameters: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode({"inputs": inputs, **({"parameters": parameters} if parameters else {})})
