"""Novita: pictures and sound beside its API in OpenAI's shape, each model at an address of its own. Sources: `novita_media`"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from typing_extensions import override

from headgate.exchange import Exchange
from headgate.operations import IMAGES_EDIT, IMAGES_GENERATE, SPEECH, TRANSCRIPTIONS
from headgate.provider import operation_of
from headgate.relay import Decode
from headgate_compatible.vendors import novita_media as media
from headgate_compatible.vendors.as_json import Encode, JsonForms
from headgate_compatible.vendors.jina import JinaShaped
from headgate_compatible.vendors.places import path_of
from headgate_compatible.vendors.reshaped import Reshaped, Shape

_BESIDE = frozenset(each.name for each in (IMAGES_EDIT, IMAGES_GENERATE, SPEECH, TRANSCRIPTIONS))
"""Operations whose model stands in the address."""


class Novita(JsonForms, Reshaped, JinaShaped):
    """Novita AI."""

    forms: ClassVar[Mapping[str, Encode]] = {
        IMAGES_EDIT.name: media.encode_edit,
        TRANSCRIPTIONS.name: media.encode_transcript,
    }
    answers: ClassVar[Mapping[str, Decode]] = {IMAGES_EDIT.name: media.decode_picture}
    shapes: ClassVar[Mapping[str, Shape]] = {
        IMAGES_EDIT.name: Shape(media.encode_edit_in_json, media.decode_picture),
        IMAGES_GENERATE.name: Shape(media.encode_picture, media.decode_picture),
    }

    @override
    def shape_of(self, ex: Exchange) -> Shape | None:
        if operation_of(ex) == SPEECH.name and ex.attempt is not None:
            return media.speech_of(ex.attempt.model)
        return super().shape_of(ex)

    @override
    def url_for(self, ex: Exchange) -> str:
        url, operation = super().url_for(ex), operation_of(ex)
        if ex.attempt is None or operation not in _BESIDE:
            return url
        return f"{url.removesuffix(self.paths[operation]).removesuffix('/openai/v1')}/v3/{path_of(ex.attempt.model)}"
