"""Hugging Face: embeddings, pictures and transcripts by the provider `hf-inference`, which has no API in OpenAI's shape for them.
Speech is that of providers behind the router which have OpenAI's shape for it.

Sources: https://huggingface.co/docs/inference-providers/tasks/feature-extraction, those of `huggingface_media` and, for
addresses, https://github.com/huggingface/huggingface_hub/blob/main/src/huggingface_hub/inference/_providers/hf_inference.py
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import ClassVar

from typing_extensions import override

from headgate.dialects import Dialect
from headgate.exchange import Exchange
from headgate.operations import EMBEDDINGS, IMAGES_EDIT, IMAGES_GENERATE, SPEECH, TRANSCRIPTIONS
from headgate.provider import operation_of
from headgate.relay import Decode
from headgate_compatible.vendors import huggingface_media as media
from headgate_compatible.vendors.as_json import Encode, JsonForms
from headgate_compatible.vendors.embeddings import HuggingFaceEmbeddings
from headgate_compatible.vendors.pictures import decode_file
from headgate_compatible.vendors.places import path_of
from headgate_compatible.vendors.reshaped import Reshaped, Shape

_TASKS: Mapping[str, str] = {
    EMBEDDINGS.name: "/pipeline/feature-extraction",
    IMAGES_EDIT.name: "",
    IMAGES_GENERATE.name: "",
    TRANSCRIPTIONS.name: "",
}
"""Operations of `hf-inference`, and what stands behind the model in their address."""
_PICTURES = frozenset({IMAGES_EDIT.name, IMAGES_GENERATE.name})
_BESIDE = frozenset({*_TASKS, SPEECH.name})


class HuggingFace(JsonForms, Reshaped):
    """Hugging Face's router. What is `hf-inference`'s stands beside its API in OpenAI's shape, each model at its own address."""

    own_dialects: ClassVar[Mapping[str, str]] = {"embeddings": HuggingFaceEmbeddings.name}
    codecs: ClassVar[Mapping[str, Dialect]] = {HuggingFaceEmbeddings.name: HuggingFaceEmbeddings()}
    forms: ClassVar[Mapping[str, Encode]] = {
        IMAGES_EDIT.name: media.encode_edit,
        TRANSCRIPTIONS.name: media.encode_transcript,
    }
    answers: ClassVar[Mapping[str, Decode]] = {IMAGES_EDIT.name: partial(decode_file, _sent=b"")}
    shapes: ClassVar[Mapping[str, Shape]] = {
        IMAGES_EDIT.name: Shape(media.encode_edit_json, decode_file),
        IMAGES_GENERATE.name: Shape(media.encode_picture, decode_file),
        SPEECH.name: Shape(media.encode_speech),
    }

    @override
    def url_for(self, ex: Exchange) -> str:
        url, operation = super().url_for(ex), operation_of(ex)
        if ex.attempt is None or operation not in _BESIDE:
            return url
        root = url.removesuffix(self.paths[operation]).removesuffix("/v1")
        if operation == SPEECH.name:
            return root + media.speaker_of(ex.attempt.model)[1]
        return f"{root}/hf-inference/models/{path_of(ex.attempt.model)}{_TASKS[operation]}"

    @override
    def vendor_headers(self, ex: Exchange) -> Mapping[bytes, bytes]:
        headers = super().vendor_headers(ex)
        return {**headers, b"accept": b"image/png"} if operation_of(ex) in _PICTURES else headers
