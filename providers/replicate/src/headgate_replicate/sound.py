"""Voices and transcripts of models on Replicate for clients of OpenAI's: requests by the schema of a model, and its answers.

Sources: https://replicate.com/docs/topics/predictions/input-files (data URIs) and the schemas of models there, such as
https://replicate.com/jaaari/kokoro-82m, https://replicate.com/minimax/speech-02-turbo,
https://replicate.com/openai/gpt-4o-transcribe/api/schema and https://replicate.com/openai/whisper/api/schema.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any, cast

import msgspec

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.dialects.openai.members import Json, as_object
from headgate.errors import InvalidRequest, ProviderFailed
from headgate.exchange import RawHeaders, Reply
from headgate.forms import Part
from headgate_replicate.inputs import Field, Inputs

MAX_BYTES = 32 * 1024 * 1024
"""How large a form may be that is read whole: its sound goes as a data URI."""
TEXTS = ("text", "prompt")
"""Where a model takes what it is to say: the first that it has."""
SOUNDS = ("audio", "audio_file", "file")
"""Where a model takes what it is to hear."""
_VOICES = ("voice", "voice_id")
_FORMATS = ("audio_format", "output_format")
_PROMPTS = ("prompt", "initial_prompt")
_IDLE_SPEECH: Mapping[str, object] = {"speed": 1, "stream": False, "stream_format": "audio"}
"""Members of OpenAI's, and what asks for nothing."""
_IDLE_FIELDS: Mapping[str, str] = {"chunking_strategy": "auto", "response_format": "json", "stream": "false"}
_PARSED = frozenset({"boolean", "integer", "number"})
_SIGNATURES = (
    (b"RIFF", "audio/wav"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"\x1aE\xdf\xa3", "audio/webm"),
)


def encode_speech(body: bytes, version: str, inputs: Inputs, gaps: Gaps) -> bytes:
    """OpenAI's request for a voice as a call that begins a prediction. `gaps` is told of what the model has no input for."""
    members = decode_object(body)
    members.pop("model", None)  # it stands in the address, or is its version
    if not isinstance(members.get("input"), str):
        raise InvalidRequest("`input` must be the text to say", param="input")
    told: Json = {inputs.first(TEXTS).name: members.pop("input")}
    for name, others in (("voice", _VOICES), ("response_format", _FORMATS)):
        _tell_word(name, members.pop(name, None), others, told, inputs, gaps)
    for name, value in members.items():
        if value is not None and name in inputs.fields and name not in told:
            told[name] = value
        elif value is not None and (name not in _IDLE_SPEECH or value != _IDLE_SPEECH[name]):
            gaps.refuse(name)
    return _begin(version, told)


def address_in(prediction: bytes) -> str:
    """The address of the file that a prediction made. Raises ProviderFailed when its output is no single address."""
    output = _output_of(prediction)
    held = cast("list[object]", output) if isinstance(output, list) else [output]
    if len(held) != 1 or not isinstance(held[0], str) or not held[0].startswith("https://"):
        raise ProviderFailed("the provider answered with no file of sound", code="upstream_bad_reply")
    return held[0]


def encode_transcription(
    parts: Iterable[Part],
    values: Mapping[str, Any],
    version: str,
    inputs: Inputs,
    gaps: Gaps,
    *,
    is_translation: bool = False,
) -> bytes:
    """OpenAI's form as a call that begins a prediction, with what `values` overrides. `gaps` is told as above.

    Raises InvalidRequest for a translation by a model whose schema knows of none.
    """
    told: Json = _translating(inputs) if is_translation else {}
    sound = inputs.first(SOUNDS)
    for part in parts:
        if part.name == "file":
            told[sound.name] = _uri_of(part)
        elif part.name != "model" and part.name not in values and part.content:
            _tell_field(part.name, _text_of(part), told, inputs, gaps)
    if sound.name not in told:
        raise InvalidRequest("`file` is missing: send the sound in it", param="file")
    for name, value in values.items():
        if name in inputs.fields:
            told[name] = value
        else:
            gaps.refuse(name)
    return _begin(version, told)


def decode_transcript(headers: RawHeaders, body: bytes) -> Reply:
    """A prediction's text in OpenAI's shape. Raises ProviderFailed when its output is none.

    The text is all of the output, its pieces one behind the other, or its member `text` or `transcription`.
    """
    return _text_in(headers, body, ("text", "transcription"))


def decode_translation(headers: RawHeaders, body: bytes) -> Reply:
    """The same of a translation, which stands in a member of its own where a model tells both."""
    return _text_in(headers, body, ("translation", "text", "transcription"))


def _text_in(headers: RawHeaders, body: bytes, names: Iterable[str]) -> Reply:
    output = _output_of(body)
    held = as_object(output)
    if held is not None:
        output = next((held[name] for name in names if held.get(name) is not None), None)
    pieces = cast("list[object]", output) if isinstance(output, list) else [output]
    texts = [piece for piece in pieces if isinstance(piece, str)]
    if len(texts) != len(pieces):
        raise ProviderFailed("the provider answered with no text", code="upstream_bad_reply")
    return Reply(200, headers, msgspec.json.encode({"text": "".join(texts)}))


def _translating(inputs: Inputs) -> Json:
    """What asks a model for English. Raises InvalidRequest for one that has no such input."""
    if "translate" in inputs.fields and inputs.fields["translate"].kind == "boolean":
        return {"translate": True}
    if "task" in inputs.fields and "translate" in inputs.fields["task"].words:
        return {"task": "translate"}
    told = "the model translates nothing: the schema it publishes has no `translate`"
    raise InvalidRequest(told, param="model", code="unsupported_model")


def _begin(version: str, told: Json) -> bytes:
    return msgspec.json.encode({**({"version": version} if version else {}), "input": told})


def _tell_word(name: str, value: object, others: Iterable[str], told: Json, inputs: Inputs, gaps: Gaps) -> None:
    """A word under the first of `others` that the model has, if it is one that the model knows."""
    if value is None:
        return
    field = inputs.find_first(others)
    if field is None:
        gaps.refuse(name, "the model has no input for it")
    elif not isinstance(value, str) or (field.words and value not in field.words):
        gaps.refuse(name, f"the model takes one of {', '.join(field.words)}" if field.words else "it must be a word")
    else:
        told[field.name] = value


def _tell_field(name: str, value: str, told: Json, inputs: Inputs, gaps: Gaps) -> None:
    """A field of a form under the model's name for it. A language is but a hint."""
    field = inputs.find_first(_PROMPTS if name == "prompt" else (name,))
    if name == "language" and (field is None or (field.words and value not in field.words)):
        gaps.skip(name)
    elif field is not None and field.name not in told and field.name not in SOUNDS:
        told[field.name] = _value_of(name, value, field)
    elif name not in _IDLE_FIELDS or value != _IDLE_FIELDS[name]:
        gaps.refuse(name, "transcripts come as `json` there" if name == "response_format" else "")


def _value_of(name: str, value: str, field: Field) -> Any:
    """The value as the model's schema types it."""
    if field.kind not in _PARSED:
        return value
    try:
        return msgspec.json.decode(value)
    except msgspec.DecodeError:
        raise InvalidRequest(f"`{name}` must be a {field.kind}", param=name) from None


def _text_of(part: Part) -> str:
    try:
        return part.content.decode()
    except UnicodeDecodeError:
        raise InvalidRequest(f"the field `{part.name}` is not valid UTF-8", param=part.name) from None


def _uri_of(part: Part) -> str:
    """A file of sound as a data URI, under its label if that tells one, else as it begins."""
    label = part.content_type.partition(";")[0].strip().lower()
    if not label.startswith(("audio/", "video/")):
        found = (kind for start, kind in _SIGNATURES if part.content.startswith(start))
        label = next(found, "application/octet-stream")
    return f"data:{label};base64,{b64encode(part.content).decode()}"


def _output_of(body: bytes) -> object:
    try:
        return decode_object(body).get("output")
    except InvalidRequest:
        return None
