"""Novita: pictures and sound beside its API in OpenAI's shape, each model at an address of its own.

Sources: those of `novita_media`, `novita_tasks` and `novita_diffusion`
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from typing_extensions import override

from headgate.exchange import Exchange
from headgate.operations import IMAGES_EDIT, IMAGES_GENERATE, IMAGES_VARIATIONS, SPEECH, TRANSCRIPTIONS
from headgate.provider import operation_of
from headgate.relay import Decode
from headgate.upstream import Upstream
from headgate_compatible.vendors import novita_diffusion, novita_tasks
from headgate_compatible.vendors import novita_media as media
from headgate_compatible.vendors.as_json import Encode, JsonForms
from headgate_compatible.vendors.awaited import Awaited
from headgate_compatible.vendors.jina import JinaShaped
from headgate_compatible.vendors.places import path_of
from headgate_compatible.vendors.reshaped import Reshaped, Shape

_BESIDE = frozenset(each.name for each in (IMAGES_EDIT, IMAGES_GENERATE, IMAGES_VARIATIONS, SPEECH, TRANSCRIPTIONS))
"""Operations whose model stands in the address."""


class Novita(JsonForms, Reshaped, JinaShaped):
    """Novita AI."""

    forms: ClassVar[Mapping[str, Encode]] = {
        IMAGES_EDIT.name: media.encode_edit,
        IMAGES_VARIATIONS.name: media.encode_variation,
        TRANSCRIPTIONS.name: media.encode_transcript,
    }
    answers: ClassVar[Mapping[str, Decode]] = {
        IMAGES_EDIT.name: media.decode_picture,
        IMAGES_VARIATIONS.name: media.decode_variation,
    }
    bare: ClassVar[frozenset[str]] = frozenset({TRANSCRIPTIONS.name})
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
        model = path_of(ex.attempt.model)
        beside = url.removesuffix(self.paths[operation]).removesuffix("/openai/v1")
        if operation == IMAGES_GENERATE.name and ex.attempt.model == novita_diffusion.SCHNELL:
            return f"{beside}/v3beta/{model}"
        if _is_task(ex):
            return f"{beside}/v3/async/{'txt2img' if novita_diffusion.is_checkpoint(ex.attempt.model) else model}"
        return f"{beside}/v3/{model}"

    @override
    def engine_for(self, ex: Exchange) -> Upstream:
        return Awaited(self.upstream, novita_tasks.JOBS) if _is_task(ex) else self.upstream


def _is_task(ex: Exchange) -> bool:
    """Whether a call begins a task."""
    model = ex.attempt.model if ex.attempt is not None else ""
    if novita_diffusion.is_checkpoint(model):
        return operation_of(ex) == IMAGES_GENERATE.name
    return model in novita_tasks.MODELS and operation_of(ex) in {IMAGES_EDIT.name, IMAGES_GENERATE.name}
