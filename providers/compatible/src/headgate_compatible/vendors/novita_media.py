"""Pictures and sound of Novita for clients of OpenAI's: each model is at an address of its own, with members of its own.

Sources: https://novita.ai/docs/api-reference/model-apis-seedream-5.0-lite, ../model-apis-seedream-4.5, ../model-apis-seedream-4-0
../model-apis-reimagine (variations) and https://github.com/novitalabs/novita-skills (audio-api.md: `glm-tts`,
`minimax-speech-...`, `glm-asr`). Models whose pictures are tasks: `novita_tasks`; FLUX.1 [schnell] and Stable
Diffusion: `novita_diffusion`.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any, cast

import msgspec

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.dialects.openai.members import as_object
from headgate.errors import InvalidRequest, ProviderFailed
from headgate.exchange import RawHeaders, Reply
from headgate.forms import Part
from headgate_compatible.vendors import edits, minimax_media, novita_diffusion, novita_tasks, pictures, transcripts
from headgate_compatible.vendors.reshaped import Shape
from headgate_compatible.vendors.speech import refuse_idle, sound_of, voice_of

Json = dict[str, Any]

_OLDER = "seedream-4.0"
"""The model that calls the pictures it is given `images`."""
_GLM_KINDS = ("wav", "pcm")
_IDLE = frozenset({("n", b"1"), ("response_format", b"b64_json"), ("size", b"auto")})
"""What asks Reimagine for nothing."""


def encode_picture(body: bytes, gaps: Gaps) -> bytes:
    """OpenAI's request for a picture as its model takes it. `gaps` is told of what that cannot honour."""
    members = decode_object(body)
    model = members.pop("model", None)
    if (task := _task_of(model)) is not None:
        return novita_tasks.encode(body, gaps, task)
    if (diffusion := novita_diffusion.encoder_of(model)) is not None:
        return diffusion(body, gaps)
    pictures.refuse_unknown(members, gaps)
    pictures.refuse_number(members, gaps)
    pictures.refuse_form(members, gaps, "url")
    if members.get("size") in (None, "auto"):
        members.pop("size", None)
    if model == _OLDER and "image" in members:
        members["images"] = members.pop("image")
    return msgspec.json.encode(members)


def encode_edit(parts: Iterable[Part], values: Mapping[str, Any], gaps: Gaps) -> bytes:
    """OpenAI's form of an edit as its model takes it, with what `values` overrides. `gaps` is told of what that has not."""
    if (task := _task_of(values.get("model"))) is not None:
        return novita_tasks.encode_form(parts, values, gaps, task)
    return encode_picture(edits.from_form(parts, values, gaps, edits.NOVITA), gaps)


def encode_edit_in_json(body: bytes, gaps: Gaps) -> bytes:
    """OpenAI's JSON of an edit as its model takes it."""
    if (task := _task_of(decode_object(body).get("model"))) is not None:
        return novita_tasks.encode_json(body, gaps, task)
    return encode_picture(edits.from_json(body, gaps, edits.NOVITA), gaps)


def decode_picture(headers: RawHeaders, body: bytes, _sent: bytes = b"") -> Reply:
    """A good answer, addresses or a task that is over, in OpenAI's shape. Raises ProviderFailed for one without pictures."""
    held = pictures.object_in(body)
    if "status" in (as_object(held.get("task")) or {}):
        return novita_tasks.decode(headers, held)
    urls = [_url_of(each) for each in cast("list[Any]", held.get("images") or [])]
    return pictures.made(headers, [{"url": url} for url in urls if url])


def _url_of(made: Any) -> Any:
    """The address of a picture, which stands in an object where FLUX.1 [schnell] has made it."""
    told = as_object(made)
    return made if told is None else told.get("image_url")


def encode_variation(parts: Iterable[Part], values: Mapping[str, Any], gaps: Gaps) -> bytes:
    """OpenAI's form of a variation as Reimagine takes it. Raises InvalidRequest for none or several pictures."""
    given, members = list(parts), {name: value for name, value in values.items() if name != "model"}
    files = [part for part in given if part.name == "image"]
    if len(files) != 1:
        raise InvalidRequest("`image` must be one picture there", param="image")
    for part in given:
        if part.name == "user":
            gaps.skip(part.name)
        elif part.name not in {"image", "model", *values} and (part.name, part.content) not in _IDLE:
            gaps.refuse(part.name)
    return msgspec.json.encode({"image_file": b64encode(files[0].content).decode(), **members})


def decode_variation(headers: RawHeaders, body: bytes) -> Reply:
    """A good answer of Reimagine's, a picture's bytes, in OpenAI's shape. Raises ProviderFailed for one without."""
    picture = pictures.object_in(body).get("image_file")
    return pictures.made(headers, [{"b64_json": picture}] if picture else [])


def speech_of(model: str) -> Shape:
    """How speech is asked of a model."""
    return Shape(_encode_glm) if model.startswith("glm-") else Shape(_encode_minimax, _decode_minimax)


def encode_transcript(parts: Iterable[Part], values: Mapping[str, Any], gaps: Gaps) -> bytes:
    """OpenAI's form of sound as GLM-ASR takes it, with what `values` overrides. `gaps` is told of what it has not."""
    members, file = transcripts.fields_of(parts, {"prompt": "prompt"}, gaps)
    said = {name: value for name, value in values.items() if name != "model"}
    return msgspec.json.encode({**members, "file": transcripts.uri_of(file), **said})


def _task_of(model: object) -> novita_tasks.Model | None:
    return novita_tasks.MODELS.get(model) if isinstance(model, str) else None


def _encode_glm(body: bytes, gaps: Gaps) -> bytes:
    members = decode_object(body)
    members.pop("model", None)
    refuse_idle(members, gaps, {"instructions": "", "stream": False, "stream_format": "audio"})
    voice, kind = voice_of(members), members.get("response_format") or "wav"
    if kind not in _GLM_KINDS:
        gaps.refuse("response_format", f"sound comes as one of {', '.join(_GLM_KINDS)} there")
        kind = "wav"
    return msgspec.json.encode({**members, **({} if voice is None else {"voice": voice}), "response_format": kind})


def _encode_minimax(body: bytes, gaps: Gaps) -> bytes:
    members = decode_object(minimax_media.encode_speech(body, gaps, minimax_media.OLDER_KINDS))
    members.pop("model", None)
    return msgspec.json.encode(members)


def _decode_minimax(headers: RawHeaders, body: bytes, sent: bytes) -> Reply:
    try:
        sound = bytes.fromhex(pictures.object_in(body)["audio"])
    except (KeyError, TypeError, ValueError):
        raise ProviderFailed("the provider answered with no sound", code="upstream_bad_reply") from None
    return sound_of(headers, sound, minimax_media.kind_of(sent))
