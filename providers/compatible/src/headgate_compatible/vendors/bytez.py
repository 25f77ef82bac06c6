"""Bytez: pictures, sound and vectors of open models by its own API, where each model is at an address of its own.

Sources: https://github.com/Bytez-com/docs (docs/http-reference/examples/open-source: `text-to-image`, `text-to-speech`,
`automatic-speech-recognition`, `feature-extraction`; docs/snippets/base64.mdx) and the SDK `bytez` 3.0, whose `params` pass. What
is made stands at an address; one call makes one thing of one text. The key has a scheme of its own there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import msgspec
from msgspec import structs
from typing_extensions import override

from headgate.body import decode_object
from headgate.dialects import Dialect, Gaps
from headgate.errors import InvalidRequest, ProviderFailed
from headgate.exchange import Exchange, RawHeaders, Reply
from headgate.forms import Part
from headgate.operations import EMBEDDINGS, IMAGES_GENERATE, SPEECH, TRANSCRIPTIONS
from headgate.provider import operation_of
from headgate.relay import Decode
from headgate.upstream import Credential
from headgate.upstream.fanout import replies_in
from headgate.vectors import EmbedReply, EmbedRequest, vectors_for
from headgate_compatible.vendors import pictures, transcripts
from headgate_compatible.vendors.as_json import Encode, JsonForms
from headgate_compatible.vendors.embeddings import PlainEmbeddings
from headgate_compatible.vendors.fanned import Fanned
from headgate_compatible.vendors.places import path_of
from headgate_compatible.vendors.reshaped import Reshaped, Shape
from headgate_compatible.vendors.speech import refuse_idle
from headgate_compatible.vendors.spoken import Located, Spoken

Json = dict[str, Any]

_TASKS = frozenset({EMBEDDINGS.name, IMAGES_GENERATE.name, SPEECH.name, TRANSCRIPTIONS.name})
"""Operations that are tasks of a model there, and have nothing of OpenAI's."""
_COMPATIBLE = "/openai/v1"
_SCHEME = "Key "


def encode_picture(body: bytes, gaps: Gaps) -> bytes:
    """OpenAI's request for a picture as a task. `gaps` is told of what it cannot honour."""
    members = decode_object(body)
    members.pop("model", None)  # it stands in the address
    pictures.refuse_unknown(members, gaps)
    pictures.refuse_number(members, gaps)
    pictures.refuse_form(members, gaps, "url")
    if members.pop("size", None) not in (None, "auto"):
        gaps.refuse("size", "a model that knows sizes takes them in `params`")
    return msgspec.json.encode({"text": members.pop("prompt", None), **members})


def encode_speech(body: bytes, gaps: Gaps) -> bytes:
    """OpenAI's request for speech as a task. A voice is but a hint: no model there has a word for one."""
    members = decode_object(body)
    members.pop("model", None)
    idle = {"instructions": "", "response_format": None, "speed": 1, "stream": False, "stream_format": "audio"}
    refuse_idle(members, gaps, idle)
    if members.pop("voice", None) is not None:
        gaps.skip("voice")
    return msgspec.json.encode({"text": members.pop("input", None), **members})


def encode_transcript(parts: Iterable[Part], values: Mapping[str, Any], gaps: Gaps) -> bytes:
    """OpenAI's form of sound as a task, with what `values` overrides. `gaps` is told of what it has not."""
    _, file = transcripts.fields_of(parts, {}, gaps)
    said = {name: value for name, value in values.items() if name != "model"}
    return msgspec.json.encode({"base64": transcripts.uri_of(file), **said})


def decode_picture(headers: RawHeaders, body: bytes, _sent: bytes) -> Reply:
    """A good answer, the address of a picture, in OpenAI's shape. Raises ProviderFailed for one without."""
    return pictures.made(headers, [{"url": output_of(body)}])


def decode_transcript(headers: RawHeaders, body: bytes) -> Reply:
    """A good answer with its text where OpenAI's clients look for it. Raises ProviderFailed for one without."""
    return Reply(200, headers, msgspec.json.encode({"text": output_of(body)}))


def output_of(body: bytes) -> str:
    """What a task made, as text or as an address. Raises ProviderFailed with the error that stands in its place."""
    held = pictures.object_in(body)
    output = held.get("output")
    if not isinstance(output, str):
        raise _failed(held.get("error"))
    return output


class BytezEmbeddings(PlainEmbeddings):
    """The `bytez.embeddings` dialect: the vector of one text. Several bodies are a list; usage is not told."""

    name = "bytez.embeddings"
    known = frozenset({"params"})

    @override
    def encode_request(self, request: EmbedRequest, gaps: Gaps) -> bytes:
        body: Json = msgspec.json.decode(super().encode_request(request, gaps))
        own = {name: value for name, value in body.items() if name in self.known}
        bodies = [{"text": text, **own} for text in body["input"]]
        return msgspec.json.encode(bodies[0] if len(bodies) == 1 else bodies)

    @override
    def decode_reply(self, body: bytes, request: EmbedRequest) -> EmbedReply:
        bodies = replies_in(body, len(request.inputs))
        try:
            held = [decode_object(each) for each in bodies]
            vectors = [self._one(each) for each in held]
        except (InvalidRequest, ValueError) as error:
            raise ProviderFailed(f"the reply holds no embeddings: {error}", code="upstream_bad_reply") from None
        return EmbedReply(request.model, vectors_for(request, vectors), dialect=self.name)

    def _one(self, held: Json) -> tuple[float, ...]:
        """The vector of one answer; some models put it into a list of one."""
        if held.get("error"):
            raise _failed(held["error"])
        output: Any = held.get("output")
        if isinstance(output, list) and len(output) == 1 and isinstance(output[0], list):  # pyright: ignore[reportUnknownArgumentType] - as decoded
            output = output[0]  # pyright: ignore[reportUnknownVariableType] - as decoded
        return self.vector_of(output)


class Bytez(Fanned, Spoken, JsonForms, Reshaped):
    """Bytez."""

    own_dialects: ClassVar[Mapping[str, str]] = {EMBEDDINGS.name: BytezEmbeddings.name}
    codecs: ClassVar[Mapping[str, Dialect]] = {BytezEmbeddings.name: BytezEmbeddings()}
    sound_in: ClassVar[Located] = output_of
    forms: ClassVar[Mapping[str, Encode]] = {TRANSCRIPTIONS.name: encode_transcript}
    answers: ClassVar[Mapping[str, Decode]] = {TRANSCRIPTIONS.name: decode_transcript}
    shapes: ClassVar[Mapping[str, Shape]] = {
        IMAGES_GENERATE.name: Shape(encode_picture, decode_picture),
        SPEECH.name: Shape(encode_speech),
    }

    @override
    def url_for(self, ex: Exchange) -> str:
        url, operation = super().url_for(ex), operation_of(ex)
        if ex.attempt is None or operation not in _TASKS:
            return url
        return f"{url.removesuffix(self.paths[operation]).removesuffix(_COMPATIBLE)}/{path_of(ex.attempt.model)}"

    @override
    def credential(self, ex: Exchange) -> Credential | None:
        held = super().credential(ex)
        is_task = held is not None and operation_of(ex) in _TASKS
        return structs.replace(held, prefix=_SCHEME) if held is not None and is_task else held


def _failed(error: object) -> ProviderFailed:
    told = f": {error}" if error else ""
    return ProviderFailed(f"the provider made nothing of it{told}", code="upstream_bad_reply")
