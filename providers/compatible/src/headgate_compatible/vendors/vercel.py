"""Vercel's AI Gateway: edits of pictures, speech, transcripts and batches in the AI SDK's shape, beside its API in OpenAI's.

Sources: `gateway-image-model.ts`, `gateway-speech-model.ts`, `gateway-transcription-model.ts` and `gateway-provider.ts` of the
package `@ai-sdk/gateway` 4.0 (https://github.com/vercel/ai/tree/main/packages/gateway/src), and
https://vercel.com/docs/ai-gateway/modalities/text-to-speech. The model stands in a header; sound and pictures are base64 in JSON.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, cast

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from typing_extensions import override

from headgate.body import decode_object
from headgate.chat import ChatRequest
from headgate.dialects import Dialect, Gaps
from headgate.dialects.jobs import Asked
from headgate.dialects.openai.members import as_object, objects
from headgate.errors import InvalidRequest, ProviderFailed
from headgate.exchange import Exchange, RawHeaders, Reply
from headgate.forms import Part
from headgate.operations import BATCHES, IMAGES_EDIT, SPEECH, TRANSCRIPTIONS
from headgate.provider import DeploymentConfig, operation_of
from headgate.relay import Decode
from headgate.upstream import Upstream
from headgate_compatible import policy
from headgate_compatible.vendors import pictures, transcripts
from headgate_compatible.vendors.as_json import Encode, JsonForms, Told, text_of
from headgate_compatible.vendors.edits import uri_of
from headgate_compatible.vendors.reshaped import Reshaped, Shape
from headgate_compatible.vendors.speech import refuse_idle, sound_of, voice_of
from headgate_compatible.vendors.vercel_batches import ROOT, VercelBatches, asks_for_results, model_of, with_prompts
from headgate_compatible.vendors.vercel_prompts import EFFORTS

Json = dict[str, Any]

_MODELS: Mapping[str, str] = {
    IMAGES_EDIT.name: "image-model",
    SPEECH.name: "speech-model",
    TRANSCRIPTIONS.name: "transcription-model",
}
"""Operations of the AI SDK, and where they are below its root."""
_KINDS: Mapping[str, bytes] = {
    "aac": b"audio/aac",
    "flac": b"audio/flac",
    "mp3": b"audio/mpeg",
    "opus": b"audio/opus",
    "pcm": b"audio/pcm",
    "wav": b"audio/wav",
}
_USUAL = "mp3"
"""What OpenAI's clients get when they name no format."""
_PICTURES = ("image", "image[]")
_EDIT_IDLE = frozenset({("response_format", b"b64_json"), ("stream", b"false"), ("partial_images", b"0")})
_HEARD_IDLE = frozenset({("response_format", b"json"), ("stream", b"false"), ("chunking_strategy", b"auto")})
_FORMAT, _VERBOSE = "response_format", b"verbose_json"
_SEGMENTS = frozenset({("timestamp_granularities[]", b"segment"), ("timestamp_granularities", b"segment")})
"""What a verbose transcript has anyway."""
_OPTIONS = frozenset({"language", "prompt", "temperature"})
"""Fields of sound that the AI SDK has for OpenAI's models alone: https://ai-sdk.dev/providers/ai-sdk-providers/openai"""
_IDLE: Mapping[str, object] = {"stream": False, "stream_format": "audio"}
_USAGE = {"inputTokens": "input_tokens", "outputTokens": "output_tokens", "totalTokens": "total_tokens"}
_TYPES = {"audio/mp3": "audio/mpeg", "audio/m4a": "audio/mp4"}
"""Names of formats that are no types of their own."""
_MODEL = re.compile(r"[!-~]+")


def encode_edit(parts: Iterable[Part], values: Mapping[str, Any], gaps: Gaps) -> bytes:
    """OpenAI's form of an edit as the AI SDK has it, with what `values` overrides. `gaps` is told of what it has not."""
    members: Json = {}
    for part in parts:
        if part.name in _PICTURES:
            members.setdefault("files", []).append(_file(uri_of(part)))
        elif part.name == "mask":
            members["mask"] = _file(uri_of(part))
        elif part.name in {"n", "seed"}:
            members[part.name] = _number(part)
        elif part.name in {"prompt", "size"}:
            members[part.name] = text_of(part)
        elif part.name == "user":
            gaps.skip(part.name)
        elif (
            part.name != "model" and part.content not in {b"", b"auto"} and (part.name, part.content) not in _EDIT_IDLE
        ):
            gaps.refuse(part.name)
    return _edit(members | _beside_model(values), gaps)


def encode_edit_json(body: bytes, gaps: Gaps) -> bytes:
    """An edit that comes as JSON, its pictures by their addresses. `gaps` is told of what the AI SDK has not."""
    members = decode_object(body)
    members.pop("model", None)
    pictures.refuse_unknown(members, gaps)
    pictures.refuse_form(members, gaps, "b64_json")
    try:
        urls = [each.image_url for each in msgspec.convert(members.pop("images", []), list[_Addressed])]
    except msgspec.ValidationError:
        raise InvalidRequest("`images` must be a list of objects with `image_url`", param="images") from None
    mask = members.pop("mask", None)
    if mask is not None:
        gaps.refuse("mask", "a mask goes in a form there")
    return _edit({**members, "files": [_file(url) for url in urls]}, gaps)


def decode_edit(headers: RawHeaders, body: bytes, sent: bytes = b"") -> Reply:  # noqa: ARG001 - it says nothing of the answer
    """A good answer in OpenAI's shape; what the vendor warns of stands beside. ProviderFailed for one without pictures."""
    held = pictures.object_in(body)
    made = held.get("images")
    told = [{"b64_json": each} for each in cast("list[object]", made) if each] if isinstance(made, list) else []
    usage = as_object(held.get("usage")) or {}
    counted = _counted({theirs: usage[ours] for ours, theirs in _USAGE.items() if usage.get(ours) is not None})
    return pictures.made(headers, told, {**({"usage": counted} if counted else {}), **_warnings(held)})


def encode_speech(body: bytes, gaps: Gaps) -> bytes:
    """OpenAI's request for speech as the AI SDK has it. `gaps` is told of what it has not; `providerOptions` pass."""
    members = decode_object(body)
    members.pop("model", None)
    refuse_idle(members, gaps, _IDLE)
    kind = members.pop("response_format", None) or _USUAL
    if not isinstance(kind, str) or kind not in _KINDS:
        gaps.refuse("response_format", f"sound comes as one of {', '.join(_KINDS)} there")
        kind = _USUAL
    voice, text = voice_of(members), members.pop("input", None)
    said = {"text": text, **({} if voice is None else {"voice": voice}), "outputFormat": kind}
    return msgspec.json.encode({**said, **members})


def decode_speech(headers: RawHeaders, body: bytes, sent: bytes) -> Reply:
    """A good answer as the sound itself, labelled with the format that was asked for. ProviderFailed for one without."""
    try:
        sound = b64decode(pictures.object_in(body)["audio"], validate=True)
    except (KeyError, TypeError, ValueError):
        raise ProviderFailed("the provider answered with no sound", code="upstream_bad_reply") from None
    return sound_of(headers, sound, _KINDS[decode_object(sent)["outputFormat"]])


def encode_transcript(parts: Iterable[Part], values: Mapping[str, Any], gaps: Gaps) -> Told:
    """OpenAI's form of sound as the AI SDK has it, with what `values` overrides. `gaps` is told of what it has not."""
    is_openais = str(values.get("model") or "").startswith("openai/")
    file: Part | None = None
    options: Json = {}
    held = list(parts)
    is_verbose = any((part.name, part.content) == (_FORMAT, _VERBOSE) for part in held)
    idle = _HEARD_IDLE | _SEGMENTS | {(_FORMAT, _VERBOSE)} if is_verbose else _HEARD_IDLE
    for part in held:
        if part.name == "file":
            file = part
        elif part.name in _OPTIONS and is_openais:
            options[part.name] = _number(part) if part.name == "temperature" else text_of(part)
        elif part.name == "language":
            gaps.skip(part.name)
        elif part.name != "model" and part.content and (part.name, part.content) not in idle:
            gaps.refuse(part.name)
    if file is None:
        raise InvalidRequest("`file` is missing: send the sound in it", param="file")
    kind = transcripts.uri_of(file).removeprefix("data:").partition(";")[0]
    said: Json = {"audio": b64encode(file.content).decode(), "mediaType": _TYPES.get(kind, kind)}
    asked = {"providerOptions": {"openai": options}} if options else {}
    body = msgspec.json.encode({**said, **asked, **_beside_model(values)})
    return Told(body, decode=decode_verbose if is_verbose else decode_transcript)


def decode_transcript(headers: RawHeaders, body: bytes) -> Reply:
    """A good answer with its text, and what the gateway warns of. Raises ProviderFailed for one without a text."""
    held = _heard(body)
    return Reply(200, headers, msgspec.json.encode({"text": held["text"], **_warnings(held)}))


def decode_verbose(headers: RawHeaders, body: bytes) -> Reply:
    """The same with its language, its length and its moments; a length that is not told is the end of the last of them."""
    held = _heard(body)
    segments, words = objects(held.get("segments")), objects(held.get("words"))
    length = held.get("durationInSeconds")
    told: Json = {
        "task": "transcribe",
        "language": held.get("language") or "",
        "duration": length if length is not None else max([_moment(each)["end"] or 0 for each in segments], default=0),
        "text": held["text"],
        "segments": [{"id": at, **_moment(each), "text": each.get("text")} for at, each in enumerate(segments)],
        **({"words": [{"word": each.get("text"), **_moment(each)} for each in words]} if words else {}),
    }
    return Reply(200, headers, msgspec.json.encode({**told, **_warnings(held)}))


def _heard(body: bytes) -> Json:
    """A good answer. Raises ProviderFailed for one without a text."""
    held = pictures.object_in(body)
    if not isinstance(held.get("text"), str):
        raise ProviderFailed("the provider answered with no transcript", code="upstream_bad_reply")
    return held


def _moment(each: Json) -> Json:
    return {"start": each.get("startSecond"), "end": each.get("endSecond")}


class Vercel(JsonForms, Reshaped):
    """Vercel's AI Gateway."""

    own_dialects: ClassVar[Mapping[str, str]] = {BATCHES.name: VercelBatches.name}
    codecs: ClassVar[Mapping[str, Dialect]] = {VercelBatches.name: VercelBatches()}
    forms: ClassVar[Mapping[str, Encode]] = {IMAGES_EDIT.name: encode_edit, TRANSCRIPTIONS.name: encode_transcript}
    answers: ClassVar[Mapping[str, Decode]] = {IMAGES_EDIT.name: decode_edit}
    shapes: ClassVar[Mapping[str, Shape]] = {
        IMAGES_EDIT.name: Shape(encode_edit_json, decode_edit),
        SPEECH.name: Shape(encode_speech, decode_speech),
    }

    def __init__(self, deployment: str, config: DeploymentConfig, upstream: Upstream) -> None:
        super().__init__(deployment, config, upstream)
        self.codecs = {VercelBatches.name: VercelBatches(self.account)}  # pyright: ignore[reportAttributeAccessIssue] - this account's own

    @override
    def spoken(self, ex: Exchange, model: str) -> tuple[str, str] | None:
        """The results of a batch are the content of a file of its id; other files are not there."""
        return (BATCHES.name, VercelBatches.name) if asks_for_results(ex) else super().spoken(ex, model)

    @override
    def url_for(self, ex: Exchange) -> str:
        url, operation = super().url_for(ex), operation_of(ex)
        if ex.attempt is None or operation not in _MODELS:
            return url
        return f"{url.removesuffix(self.paths[operation]).removesuffix('/v1')}{ROOT}/{_MODELS[operation]}"

    @override
    def url_at(self, ex: Exchange, target: str) -> str:
        return super().url_at(ex, "").removesuffix("/v1") + ROOT + target

    @override
    def vendor_headers(self, ex: Exchange) -> Mapping[bytes, bytes]:
        headers, operation = super().vendor_headers(ex), operation_of(ex)
        kind = _MODELS.get(operation)
        if ex.attempt is None or (kind is None and operation != BATCHES.name):
            return headers
        told = {b"ai-gateway-protocol-version": b"0.0.1", b"ai-gateway-auth-method": b"api-key"}
        if kind is not None:
            told[f"ai-{kind}-specification-version".encode()] = b"4"
        model = ex.attempt.model if kind is not None else model_of(ex.attempt.body or b"")
        return {**headers, **told, **({b"ai-model-id": _header(model)} if model or kind is not None else {})}

    @override
    async def complete_asked(self, ex: Exchange, asked: Asked, gaps: Gaps) -> Asked:
        if operation_of(ex) != BATCHES.name or asked.action != "create" or ex.attempt is None:
            return asked
        return await with_prompts(asked, self, ex.attempt.target.deployment, self.policy(ex), gaps)

    @override
    def think(self, request: ChatRequest, gaps: Gaps) -> ChatRequest:
        """In a batch an effort has the AI SDK's words."""
        if gaps.dialect != VercelBatches.name:
            return super().think(request, gaps)
        return replace(request, thinking=policy.think(request.thinking, EFFORTS, gaps))


class _Addressed(Struct, frozen=True):
    """A picture as OpenAI's JSON names one."""

    image_url: str


def _edit(members: Json, gaps: Gaps) -> bytes:
    """An edit with a size that the AI SDK knows, or none."""
    size = pictures.size_of(members, gaps)
    told = {} if size is None else {"size": f"{size[0]}x{size[1]}"}
    return msgspec.json.encode({"n": 1, **members, **told})


def _file(url: str) -> Json:
    """A picture as the AI SDK has it: by its bytes, or by its address."""
    kind, _, data = url.removeprefix("data:").partition(";base64,")
    return {"type": "file", "mediaType": kind, "data": data} if data else {"type": "url", "url": url}


def _number(part: Part) -> float:
    try:
        value = float(text_of(part))
    except ValueError:
        raise InvalidRequest(f"`{part.name}` must be a number", param=part.name) from None
    return int(value) if value.is_integer() and part.name != "temperature" else value


def _beside_model(values: Mapping[str, Any]) -> Json:
    return {name: value for name, value in values.items() if name != "model"}


def _counted(usage: Json) -> Json:
    """Usage with the one of its three numbers that the vendor left out."""
    match usage:
        case {"input_tokens": int(read), "total_tokens": int(total), **others} if not others:
            return {**usage, "output_tokens": total - read}
        case {"output_tokens": int(made), "total_tokens": int(total), **others} if not others:
            return {"input_tokens": total - made, **usage}
        case {"input_tokens": int(read), "output_tokens": int(made), **others} if not others:
            return {**usage, "total_tokens": read + made}
        case _:
            return usage


def _warnings(held: Json) -> Json:
    return {"warnings": held["warnings"]} if held.get("warnings") else {}


def _header(model: str) -> bytes:
    """A model's name in a header. Raises InvalidRequest for one that none can hold."""
    if not _MODEL.fullmatch(model):
        raise InvalidRequest("`model` must be of printable ASCII without spaces there", param="model")
    return model.encode()
