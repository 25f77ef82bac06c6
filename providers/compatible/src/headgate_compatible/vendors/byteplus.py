"""BytePlus: embeddings at an address of their own, one text a call, and no forms for pictures: see `edits`.

Source: https://docs.byteplus.com/en/docs/ModelArk/1523520. Its models embed texts, pictures and videos, and what one call holds
is one vector; `/embeddings` beside it answers 404, as those who asked it report.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import ClassVar

from msgspec.structs import replace
from typing_extensions import override

from headgate.dialects import Dialect
from headgate.exchange import Exchange
from headgate.operations import EMBEDDINGS, IMAGES_EDIT
from headgate.provider import operation_of
from headgate.upstream import UpstreamRequest, UpstreamResponse
from headgate.upstream.fanout import bodies_in, send_each
from headgate_compatible.vendors import edits
from headgate_compatible.vendors.as_json import Encode, JsonForms
from headgate_compatible.vendors.embeddings import BytePlusEmbeddings
from headgate_compatible.vendors.reshaped import Reshaped, Shape


class BytePlus(JsonForms, Reshaped):
    """BytePlus ModelArk."""

    own_dialects: ClassVar[Mapping[str, str]] = {EMBEDDINGS.name: BytePlusEmbeddings.name}
    codecs: ClassVar[Mapping[str, Dialect]] = {BytePlusEmbeddings.name: BytePlusEmbeddings()}
    forms: ClassVar[Mapping[str, Encode]] = {IMAGES_EDIT.name: partial(edits.from_form, words=edits.BYTEPLUS)}
    shapes: ClassVar[Mapping[str, Shape]] = {IMAGES_EDIT.name: edits.in_json(edits.BYTEPLUS)}

    @override
    def body_for(self, ex: Exchange) -> bytes:
        """Vectors are asked for in no words that a quirk concerns, and maybe in a list of bodies."""
        attempt = ex.attempt
        if attempt is not None and attempt.body is not None and operation_of(ex) == EMBEDDINGS.name:
            return attempt.body
        return super().body_for(ex)

    @override
    async def send(self, ex: Exchange) -> UpstreamResponse:
        attempt = ex.attempt
        if attempt is None or attempt.body is None or operation_of(ex) != EMBEDDINGS.name:
            return await super().send(ex)
        request = self.prepare(ex)
        return await send_each(self._sent, [replace(request, body=body) for body in bodies_in(attempt.body)])

    async def _sent(self, request: UpstreamRequest) -> UpstreamResponse:
        return await self.upstream.send(await self.authorize(request))
