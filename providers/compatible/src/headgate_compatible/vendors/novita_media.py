"""Pictures and sound of Novita for clients of OpenAI's: each model is at an address of its own, with members of its own.

Sources: https://novita.ai/docs/api-reference/model-apis-seedream-5.0-lite, ../model-apis-seedream-4.5, ../model-apis-seedream-4-0
and https://github.com/novitalabs/novita-skills (audio-api.md: `glm-tts`, `minimax-speech-...`, `glm-asr`). Other models there
make tasks to be asked after, which no client of OpenAI's does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import msgspec

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.errors import ProviderFailed
from headgate.exchange import RawHeaders, Reply
from headgate.forms import Part
from headgate_compatible.vendors import edits, minimax_media, pictures, transcripts
from headgate_compatible.vendors.reshaped import Shape
from headgate_compatible.vendors.speech import refuse_idle, sound_of, voice_of

Json = dict[str, Any]

_OLDER = "seedream-4.0"
"""The model that calls the pictures it is given `images`."""
_GLM_KINDS = ("wav", "pcm")


def encode_picture(body: bytes, gaps: Gaps) -> bytes:
    """OpenAI's request for a picture as Seedream takes it. `gaps` is told of what it cannot honour."""
    members = decode_object(body)
    model = members.pop("model", None)
    pictures.refuse_unknown(members, gaps)
    pictures.refuse_number(members, gaps)
    pictures.refuse_form(members, gaps, "url")
    if members.get("size") in {None, "auto"}:
        members.pop("size", None)
    if model == _OLDER and "image" in members:
        members["images"] = members.pop("image")
    return msgspec.json.encode(members)


def encode_edit(parts: Iterable[Part], values: Mapping[str, Any], gaps: Gaps) -> bytes:
    """OpenAI's form of an edit as Seedream takes it, with what `values` overrides. `gaps` is told of what it has not."""
    return encode_picture(edits.from_form(parts, values, gaps, edits.NOVITA), gaps)


def encode_edit_in_json(body: bytes, gaps: Gaps) -> bytes:
    """OpenAI's JSON of an edit as Seedream takes it."""
    return encode_picture(edits.from_json(body, gaps, edits.NOVITA), gaps)


def decode_picture(headers: RawHeaders, body: bytes, _sent: bytes = b"") -> Reply:
    """A good answer, the addresses of pictures, in OpenAI's shape. Raises ProviderFailed for one without."""
    urls = cast("list[Any]", pictures.object_in(body).get("images") or [])
    return pictures.made(headers, [{"url": url} for url in urls])


def speech_of(model: str) -> Shape:
    """How speech is asked of a model."""
    return Shape(_encode_glm) if model.startswith("glm-") else Shape(_encode_minimax, _decode_minimax)


def encode_transcript(parts: Iterable[Part], values: Mapping[str, Any], gaps: Gaps) -> bytes:
    """OpenAI's form of sound as GLM-ASR takes it, with what `values` overrides. `gaps` is told of what it has not."""
    members, file = transcripts.fields_of(parts, {"prompt": "prompt"}, gaps)
    said = {name: value for name, value in values.items() if name != "model"}
    return msgspec.json.encode({**members, "file": transcripts.uri_of(file), **said})


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
    members = decode_object(minimax_media.encode_speech(body, gaps))
    members.pop("model", None)
    return msgspec.json.encode(members)


def _decode_minimax(headers: RawHeaders, body: bytes, sent: bytes) -> Reply:
    try:
        sound = bytes.fromhex(pictures.object_in(body)["audio"])
    except (KeyError, TypeError, ValueError):
        raise ProviderFailed("the provider answered with no sound", code="upstream_bad_reply") from None
    return sound_of(headers, sound, minimax_media.kind_of(sent))
