"""BytePlus: embeddings at an address of their own, one text a call, and no forms for pictures: see `edits`.

Source: https://docs.byteplus.com/en/docs/ModelArk/1523520. Its models embed texts, pictures and videos, and what one call holds
is one vector; `/embeddings` beside it answers 404, as those who asked it report.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import ClassVar

from headgate.dialects import Dialect
from headgate.operations import EMBEDDINGS, IMAGES_EDIT
from headgate_compatible.vendors import edits
from headgate_compatible.vendors.as_json import Encode, JsonForms
from headgate_compatible.vendors.embeddings import BytePlusEmbeddings
from headgate_compatible.vendors.fanned import Fanned
from headgate_compatible.vendors.reshaped import Reshaped, Shape


class BytePlus(Fanned, JsonForms, Reshaped):
    """BytePlus ModelArk."""

    own_dialects: ClassVar[Mapping[str, str]] = {EMBEDDINGS.name: BytePlusEmbeddings.name}
    codecs: ClassVar[Mapping[str, Dialect]] = {BytePlusEmbeddings.name: BytePlusEmbeddings()}
    forms: ClassVar[Mapping[str, Encode]] = {IMAGES_EDIT.name: partial(edits.from_form, words=edits.BYTEPLUS)}
    shapes: ClassVar[Mapping[str, Shape]] = {IMAGES_EDIT.name: edits.in_json(edits.BYTEPLUS)}
