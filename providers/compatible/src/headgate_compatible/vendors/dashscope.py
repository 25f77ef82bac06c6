"""DashScope: rankings in Jina's shape; pictures, sound and fine-tuning by its own API.

Sources: `ranking`, `dashscope_pictures`, `dashscope_sound`, `dashscope_tuning`.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from functools import partial
from typing import Any, ClassVar

from typing_extensions import override

from headgate.dialects import Dialect
from headgate.errors import ProviderError
from headgate.exchange import Exchange, Reply
from headgate.files import download
from headgate.operations import FINE_TUNING, IMAGES_EDIT, IMAGES_GENERATE, SPEECH, TRANSCRIPTIONS
from headgate.provider import operation_of
from headgate.relay import Decode, retell
from headgate_compatible.vendors import dashscope_pictures as pictures
from headgate_compatible.vendors import dashscope_sound as sound
from headgate_compatible.vendors.as_json import Encode, JsonForms
from headgate_compatible.vendors.dashscope_tuning import DashScopeTuning
from headgate_compatible.vendors.jina import JinaShaped
from headgate_compatible.vendors.reshaped import Reshaped, Shape

_COMPATIBLE = "/compatible-mode/v1"
"""Where OpenAI's API ends, beside the vendor's own."""


class DashScope(JsonForms, Reshaped, JinaShaped):
    """Alibaba Cloud Model Studio."""

    own_dialects: ClassVar[Mapping[str, str]] = {
        **JinaShaped.own_dialects,
        FINE_TUNING.name: DashScopeTuning.name,
    }
    codecs: ClassVar[Mapping[str, Dialect]] = {**JinaShaped.codecs, DashScopeTuning.name: DashScopeTuning()}
    forms: ClassVar[Mapping[str, Encode]] = {
        TRANSCRIPTIONS.name: sound.encode_transcript,
        IMAGES_EDIT.name: pictures.encode_form,
    }
    answers: ClassVar[Mapping[str, Decode]] = {
        TRANSCRIPTIONS.name: sound.decode_transcript,
        IMAGES_EDIT.name: pictures.decode,
    }
    shapes: ClassVar[Mapping[str, Shape]] = {
        SPEECH.name: Shape(sound.encode_speech),
        IMAGES_EDIT.name: Shape(pictures.encode_edit, pictures.decode),
        IMAGES_GENERATE.name: Shape(pictures.encode, pictures.decode),
    }

    @override
    def url_at(self, ex: Exchange, target: str) -> str:
        base = super().url_at(ex, "")
        return (base.removesuffix(_COMPATIBLE) + "/api/v1" if base.endswith(_COMPATIBLE) else base) + target

    @override
    def call(self, ex: Exchange) -> Coroutine[Any, Any, Reply]:
        return self._spoken(ex) if operation_of(ex) == SPEECH.name else super().call(ex)

    async def _spoken(self, ex: Exchange) -> Reply:
        """Speech: what stands at the address that the vendor answers with. Raises ProviderError."""
        request = self.prepare(ex)
        reply = await retell(ex, self.upstream, request, self._origin, partial(Reply, 200))
        if reply.status != 200:
            return reply
        try:
            return await download(self.upstream, request, [sound.address_in(reply.body)])
        except ProviderError as error:
            error.blame(self._origin.provider, self._origin.deployment)
            raise
