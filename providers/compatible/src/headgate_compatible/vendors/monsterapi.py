"""Monster API: pictures, speech and transcripts, processes there that are asked after until they are over.

Sources: the SDK `monsterapi` 1.0 (https://github.com/Qblocks/monsterapiclient; `InputDataModels.py` says what a model takes,
`client.py` how a process is begun and asked after), https://developer.monsterapi.ai/reference/generative-models-api-concepts
(JSON and forms are the same there; a file has at most 8 MB) and, for the results, those who call it: addresses in `output`, or a
`text`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, cast
from urllib.parse import quote

import msgspec
from msgspec import structs
from typing_extensions import override

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.dialects.openai.members import as_object
from headgate.errors import InvalidRequest, ProviderFailed
from headgate.exchange import Exchange, RawHeaders, Reply
from headgate.forms import Part
from headgate.operations import IMAGES_EDIT, IMAGES_GENERATE, SPEECH, TRANSCRIPTIONS
from headgate.provider import operation_of
from headgate.relay import Decode
from headgate.upstream import Upstream, UpstreamRequest
from headgate_compatible.vendors import edits, pictures, transcripts
from headgate_compatible.vendors.as_json import Encode, JsonForms, kind_of
from headgate_compatible.vendors.awaited import Awaited, Jobs
from headgate_compatible.vendors.places import path_of
from headgate_compatible.vendors.reshaped import Reshaped, Shape
from headgate_compatible.vendors.speech import refuse_idle, voice_of
from headgate_compatible.vendors.spoken import Located, Spoken

Json = dict[str, Any]

_DONE, _FAILED = "COMPLETED", "FAILED"
_MOST = 200
"""How much is told of why a process failed, in characters."""
_BEGIN, _ASK = "/generate/", "/status/"
_PICTURE = "init_image_url"
_STYLES = ("natural", "vivid")
"""OpenAI's styles; others are the vendor's."""
_OWN = ("guidance_scale", "image_guidance_scale", "negprompt", "safe_filter", "samples", "seed", "steps", "strength")
_EDIT = edits.Words(
    frozenset({*_OWN, "model", "n", "prompt", "response_format", "size"}),
    lambda urls: {_PICTURE: urls[0]},
    frozenset({("stream", b"false"), ("partial_images", b"0")}),
    most=1,
)
_HEARD = ("language", "num_speakers", "prompt", "remove_silence", "temperature")
_IDLE: Mapping[str, object] = {
    "instructions": "",
    "response_format": None,
    "speed": 1,
    "stream": False,
    "stream_format": "audio",
}
_MADE = frozenset({IMAGES_EDIT.name, IMAGES_GENERATE.name, SPEECH.name, TRANSCRIPTIONS.name})
"""What processes make."""


def encode_picture(body: bytes, gaps: Gaps) -> bytes:
    """OpenAI's request for pictures as Stable Diffusion takes it there. `gaps` is told of what it cannot honour."""
    members = _without_forms(decode_object(body), gaps)
    if (count := members.pop("n", None)) is not None:
        members["samples"] = count
    size = pictures.size_of(members, gaps)
    if size is not None:
        width, height = size
        shape = "square" if width == height else "landscape" if width > height else "portrait"
        members.setdefault("aspect_ratio", shape)
        gaps.skip("size")  # the number of pixels is the model's
    return msgspec.json.encode(members)


def encode_edit(parts: Iterable[Part], values: Mapping[str, Any], gaps: Gaps) -> list[Part]:
    """OpenAI's form of an edit as a form there, with what `values` overrides; its picture is a file of the form."""
    held = list(parts)
    told = edits.from_form((each for each in held if not _is_picture(each)), values, gaps, _EDIT)
    files = [each for each in held if _is_picture(each)]
    gaps.most("image", tuple(each.name for each in files), 1)
    if not files:
        raise InvalidRequest("`image` is missing: send the picture in it", param="image")
    fields = [Part(name, "", _text_of(value)) for name, value in _settled(told, gaps).items()]
    kind = kind_of(files[0], "image/", edits.SIGNATURES) or "image/png"
    return [*fields, Part(_PICTURE, kind, files[0].content, files[0].filename)]


def encode_edit_in_json(body: bytes, gaps: Gaps) -> bytes:
    """OpenAI's JSON of an edit as JSON there. Raises InvalidRequest for a picture that is none at an address."""
    members = _settled(edits.from_json(body, gaps, _EDIT), gaps)
    if not str(members.get(_PICTURE) or "").startswith(("http://", "https://")):
        told = "a picture in JSON must be an address there: send one, or a form with the picture itself"
        raise InvalidRequest(told, param="images")
    return msgspec.json.encode(members)


def decode_picture(headers: RawHeaders, body: bytes, _sent: bytes = b"") -> Reply:
    """A process that is over: its pictures in OpenAI's shape. Raises ProviderFailed for any other end."""
    return pictures.made(headers, [{"url": each} for each in _output_in(body)])


def encode_speech(body: bytes, gaps: Gaps) -> bytes:
    """OpenAI's request for speech as Bark takes it there. `gaps` is told of what it cannot honour."""
    members = decode_object(body)
    members.pop("model", None)  # it stands in the address
    text, voice = members.pop("input", None), voice_of(members)
    refuse_idle(members, gaps, _IDLE)
    return msgspec.json.encode({"prompt": text, **({} if voice is None else {"speaker": voice}), **members})


def sound_in(body: bytes) -> object:
    """The address of the sound of a process that is over. Raises ProviderFailed for any other end."""
    return next(iter(_output_in(body)), None)


def encode_sound(parts: Iterable[Part], values: Mapping[str, Any], gaps: Gaps) -> list[Part]:
    """OpenAI's form of sound as a form there, with what `values` overrides. `gaps` is told of what it has not."""
    members, file = transcripts.fields_of(parts, {name: name for name in _HEARD}, gaps)
    said = {**members, **{name: value for name, value in values.items() if name != "model"}}
    kind = file.content_type or "application/octet-stream"
    return [
        *(Part(name, "", _text_of(value)) for name, value in said.items()),
        structs.replace(file, content_type=kind),
    ]


def decode_sound(headers: RawHeaders, body: bytes) -> Reply:
    """A process that is over: its text where OpenAI's clients look for it. Raises ProviderFailed for any other end."""
    text = _result_in(body).get("text")
    if not isinstance(text, str):
        raise ProviderFailed("the provider answered with no transcript", code="upstream_bad_reply")
    labelled = (*(pair for pair in headers if pair[0] != b"content-type"), (b"content-type", b"application/json"))
    return Reply(200, labelled, msgspec.json.encode({"text": text}))


def look(request: UpstreamRequest, begun: bytes) -> UpstreamRequest:
    """The call that asks after the process that `request` began. Raises ProviderFailed where none was."""
    process = pictures.object_in(begun).get("process_id")
    if not isinstance(process, str) or not process.strip("."):
        raise ProviderFailed("the reply is no process: it has no `process_id`", code="upstream_bad_reply")
    url = request.url.partition(_BEGIN)[0] + _ASK + quote(process, safe="")
    headers = tuple(pair for pair in request.headers if pair[0] != b"content-type")
    return structs.replace(request, method="GET", url=url, headers=headers, body=b"", pieces=None)


def _state(body: bytes) -> str | None:
    """A process's state, where an answer tells one."""
    status = pictures.object_in(body).get("status")
    return status if isinstance(status, str) and status else None


_PROCESSES = Jobs(look, _state, frozenset({_DONE, _FAILED}))
"""How its processes are asked after."""


class MonsterAPI(Spoken, JsonForms, Reshaped):
    """Monster API. A deployment with a `base_url` of its own has everything there."""

    sound_in: ClassVar[Located] = sound_in
    forms: ClassVar[Mapping[str, Encode]] = {IMAGES_EDIT.name: encode_edit, TRANSCRIPTIONS.name: encode_sound}
    answers: ClassVar[Mapping[str, Decode]] = {IMAGES_EDIT.name: decode_picture, TRANSCRIPTIONS.name: decode_sound}
    shapes: ClassVar[Mapping[str, Shape]] = {
        IMAGES_EDIT.name: Shape(encode_edit_in_json, decode_picture),
        IMAGES_GENERATE.name: Shape(encode_picture, decode_picture),
        SPEECH.name: Shape(encode_speech),
    }

    @override
    def url_for(self, ex: Exchange) -> str:
        if operation_of(ex) not in _MADE or ex.attempt is None:
            return super().url_for(ex)
        there = self.elsewhere(ex) or self.url_at(ex, _BEGIN.rstrip("/"))
        return f"{there}/{path_of(ex.attempt.model)}"

    @override
    def engine_for(self, ex: Exchange) -> Upstream:
        return Awaited(self.upstream, _PROCESSES) if operation_of(ex) in _MADE else self.upstream


def _without_forms(members: Json, gaps: Gaps) -> Json:
    """A request for pictures without its model and what these models do not know."""
    members.pop("model", None)  # it stands in the address
    if members.get("style") in _STYLES:
        del members["style"]
        gaps.refuse("style")
    pictures.refuse_unknown(members, gaps, ("style",))
    pictures.refuse_form(members, gaps, "url")
    return members


def _settled(body: bytes, gaps: Gaps) -> Json:
    """An edit without what these models do not know: one picture, in the size of the one it is made from."""
    members = _without_forms(decode_object(body), gaps)
    refuse_idle(members, gaps, {"input_fidelity": None, "mask": None, "size": "auto"})
    if str(members.pop("n", None) or 1) != "1":
        gaps.refuse("n", "there is one picture for a request there")
    return members


def _is_picture(part: Part) -> bool:
    return part.name in {"image", "image[]"}


def _text_of(value: object) -> bytes:
    return value.encode() if isinstance(value, str) else msgspec.json.encode(value)


def _result_in(body: bytes) -> Json:
    """What a process came to. Raises ProviderFailed for one that failed, or is not known any more."""
    held = pictures.object_in(body)
    result = as_object(held.get("result")) or {}
    if held.get("status") != _DONE:
        told = f": {msgspec.json.encode(result).decode()[:_MOST]}" if result else ""
        raise ProviderFailed(f"the process ended as `{held.get('status')}`{told}", code="upstream_bad_reply")
    return result


def _output_in(body: bytes) -> list[str]:
    """The addresses of what was made."""
    output = _result_in(body).get("output")
    listed = cast("list[object]", output) if isinstance(output, list) else [output]
    return [each for each in listed if isinstance(each, str) and each.startswith("https://")]
