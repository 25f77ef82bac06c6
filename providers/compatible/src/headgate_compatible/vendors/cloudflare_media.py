"""Pictures and sound of Workers AI for clients of OpenAI's: each model has members of its own, and answers in an envelope.

Sources: the schemas of models at https://developers.cloudflare.com/workers-ai/models (`flux-1-schnell`, `lucid-origin`,
`stable-diffusion-v1-5-img2img`, `aura-2-en`, `melotts`, `whisper`, `whisper-large-v3-turbo`) and, for the forms that
`flux-2-dev` and its kind want, https://developers.cloudflare.com/changelog/post/2025-11-25-flux-2-dev-workers-ai.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.dialects.openai.members import as_object
from headgate.errors import InvalidRequest, ProviderFailed
from headgate.exchange import RawHeaders, Reply
from headgate.forms import Part
from headgate_compatible.vendors import pictures, transcripts
from headgate_compatible.vendors.as_json import kind_of, text_of
from headgate_compatible.vendors.speech import refuse_idle, sound_of, voice_of

Json = dict[str, Any]

MOST_PICTURES = 4
"""How many pictures a model makes another one of."""
_ENCODINGS: Mapping[str, Json] = {
    "aac": {"encoding": "aac"},
    "flac": {"encoding": "flac"},
    "mp3": {"encoding": "mp3"},
    "opus": {"encoding": "opus", "container": "ogg"},
    "pcm": {"encoding": "linear16", "container": "none", "sample_rate": 24_000},
    "wav": {"encoding": "linear16", "container": "wav"},
}
"""OpenAI's formats in Deepgram's words; the rate is that of OpenAI's `pcm`."""
_KINDS: Mapping[str, bytes] = {"aac": b"audio/aac", "flac": b"audio/flac", "mp3": b"audio/mpeg", "opus": b"audio/ogg"}
_EDIT_FIELDS = frozenset({"guidance", "prompt", "seed", "steps"})
_NUMBERS = frozenset({"guidance", "num_steps", "seed", "strength"})
_JSON_FIELDS = frozenset({"negative_prompt", "prompt", *_NUMBERS})
"""What Stable Diffusion knows of an edit, in JSON."""
_EDIT_IDLE = frozenset(
    {("n", b"1"), ("response_format", b"b64_json"), ("stream", b"false"), ("partial_images", b"0"), ("size", b"auto")}
)


def wants_form(model: str) -> bool:
    """Whether a model takes forms even where there is only a prompt."""
    return "flux-2" in model


def encode_picture(body: bytes, gaps: Gaps) -> bytes:
    """OpenAI's request for a picture as a model takes it. `gaps` is told of what it cannot honour."""
    members = decode_object(body)
    members.pop("model", None)  # it stands in the address
    pictures.refuse_unknown(members, gaps)
    pictures.refuse_number(members, gaps)
    pictures.refuse_form(members, gaps, "b64_json")
    pictures.tell_sides(members, gaps)
    return msgspec.json.encode(members)


def decode_picture(headers: RawHeaders, body: bytes, sent: bytes) -> Reply:
    """A good answer, a picture itself or one in an envelope, in OpenAI's shape. Raises ProviderFailed for one without."""
    if pictures.is_file(headers):
        return pictures.decode_file(headers, body, sent)
    picture = _result(body).get("image")
    return pictures.made(headers, [{"b64_json": picture}] if picture else [])


def form_parts(body: bytes) -> list[Part]:
    """The members of a request as fields of a form."""
    return [Part(name, "", _text(value)) for name, value in decode_object(body).items()]


def edit(parts: Iterable[Part], values: Mapping[str, Any], gaps: Gaps) -> bytes | list[Part]:
    """OpenAI's form of an edit as a model takes it, with what `values` overrides. `gaps` is told of what it has not.

    FLUX.2 takes a form with some pictures, Stable Diffusion JSON with one in base64, and a mask by the numbers of its bytes.
    """
    is_form = wants_form(str(values.get("model") or ""))
    fields, files, mask = _edited(parts, _EDIT_FIELDS if is_form else _JSON_FIELDS, gaps)
    if mask is not None and is_form:
        gaps.refuse("mask")
    most = MOST_PICTURES if is_form else 1
    if len(files) > most:
        gaps.refuse("image", f"there are at most {most} there")
    pictures.tell_sides(fields, gaps)
    said = {name: value for name, value in values.items() if name != "model"}
    if is_form:
        return [*(Part(name, "", _text(value)) for name, value in (fields | said).items()), *files[:most]]
    shown: Json = {"image_b64": b64encode(files[0].content).decode()} if files else {}
    masked: Json = {} if mask is None else {"mask": [*mask.content]}
    told = {name: _number(name, value) if name in _NUMBERS else value for name, value in fields.items()}
    return msgspec.json.encode({**told, **shown, **masked, **said})


def _edited(parts: Iterable[Part], known: Collection[str], gaps: Gaps) -> tuple[Json, list[Part], Part | None]:
    """The fields of an edit that a model knows, its pictures, and its mask."""
    fields: Json = {}
    files: list[Part] = []
    mask: Part | None = None
    for part in parts:
        if part.name in {"image", "image[]"}:
            kind = kind_of(part, "image/", ()) or "image/png"
            files.append(Part(f"input_image_{len(files)}", kind, part.content, part.filename))
        elif part.name == "mask":
            mask = part if part.content else None
        elif part.name in known or part.name == "size":
            fields[part.name] = text_of(part)
        elif part.name == "user":
            gaps.skip(part.name)
        elif (
            part.name != "model" and part.content not in {b"", b"auto"} and (part.name, part.content) not in _EDIT_IDLE
        ):
            gaps.refuse(part.name)
    return fields, files, mask


def _number(name: str, value: str) -> float:
    """A field that is a number. Raises InvalidRequest for any other."""
    try:
        return msgspec.json.decode(value, type=int | float)
    except msgspec.DecodeError:
        raise InvalidRequest(f"`{name}` must be a number", param=name) from None


def encode_speech(body: bytes, gaps: Gaps) -> bytes:
    """OpenAI's request for speech as Deepgram's models take it, or MeloTTS, which has no voices and speaks `mp3`."""
    members = decode_object(body)
    model = str(members.pop("model", ""))
    refuse_idle(members, gaps, {"instructions": "", "speed": 1, "stream": False, "stream_format": "audio"})
    voice, kind, text = voice_of(members), members.pop("response_format", None) or "mp3", members.pop("input", None)
    known = ("mp3",) if "melotts" in model else tuple(_ENCODINGS)
    if kind not in known:
        gaps.refuse("response_format", f"sound comes as one of {', '.join(known)} there")
        kind = "mp3"
    if "melotts" in model:
        return msgspec.json.encode({"prompt": text, **members})
    spoken = {} if voice is None else {"speaker": voice}
    return msgspec.json.encode({"text": text, **spoken, **_ENCODINGS[kind], **members})


def decode_speech(headers: RawHeaders, body: bytes, sent: bytes) -> Reply:
    """A good answer as the sound itself, which some models tell in an envelope. Raises ProviderFailed for one without."""
    if not dict(headers).get(b"content-type", b"").startswith(b"application/json"):
        return sound_of(headers, body, _kind_of(decode_object(sent)))
    try:
        sound = b64decode(_result(body)["audio"], validate=True)
    except (KeyError, TypeError, ValueError):
        raise ProviderFailed("the provider answered with no sound", code="upstream_bad_reply") from None
    return sound_of(headers, sound, b"audio/mpeg")


def transcript(parts: Iterable[Part], values: Mapping[str, Any], gaps: Gaps, task: str = "transcribe") -> bytes:
    """OpenAI's form of sound as Whisper takes it, with what `values` overrides. `gaps` is told of what it has not.

    The large Whisper takes sound as base64 and knows more; the others take the numbers of its bytes.
    """
    model = str(values.get("model") or "")
    is_large = "turbo" in model
    names = {"language": "language", "prompt": "initial_prompt"} if is_large else {}
    if not is_large and task != "transcribe":
        told = f"`{model}` translates nothing: ask `@cf/openai/whisper-large-v3-turbo`"
        raise InvalidRequest(told, param="model", code="unsupported_model")
    members, file = transcripts.fields_of(parts, names, gaps)
    sound: Json = {"audio": b64encode(file.content).decode(), "task": task} if is_large else {"audio": [*file.content]}
    members |= sound
    return msgspec.json.encode({**members, **{name: value for name, value in values.items() if name != "model"}})


def decode_transcript(headers: RawHeaders, body: bytes) -> Reply:
    """A good answer with its text where OpenAI's clients look for it. Raises ProviderFailed for one without."""
    text = _result(body).get("text")
    if not isinstance(text, str):
        raise ProviderFailed("the provider answered with no transcript", code="upstream_bad_reply")
    return Reply(200, headers, msgspec.json.encode({"text": text}))


def _result(body: bytes) -> Json:
    """What an envelope holds; empty where it holds nothing."""
    return as_object(pictures.object_in(body).get("result")) or {}


def _kind_of(sent: Json) -> bytes:
    """The media type of the sound that was asked for."""
    if sent.get("encoding") == "linear16":
        return b"audio/wav" if sent.get("container") == "wav" else b"audio/pcm"
    return _KINDS.get(str(sent.get("encoding")), b"audio/mpeg")


def _text(value: object) -> bytes:
    return value.encode() if isinstance(value, str) else msgspec.json.encode(value)
