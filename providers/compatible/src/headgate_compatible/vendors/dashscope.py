"""DashScope: rankings in Jina's shape, and pictures by its own API. Sources: `ranking`, `dashscope_pictures`"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from headgate.operations import IMAGES_EDIT, IMAGES_GENERATE
from headgate.relay import Decode
from headgate_compatible.vendors import dashscope_pictures as pictures
from headgate_compatible.vendors.as_json import Encode, JsonForms
from headgate_compatible.vendors.jina import JinaShaped
from headgate_compatible.vendors.reshaped import Reshaped, Shape


class DashScope(JsonForms, Reshaped, JinaShaped):
    """Alibaba Cloud Model Studio."""

    forms: ClassVar[Mapping[str, Encode]] = {IMAGES_EDIT.name: pictures.encode_form}
    answers: ClassVar[Mapping[str, Decode]] = {IMAGES_EDIT.name: pictures.decode}
    shapes: ClassVar[Mapping[str, Shape]] = {
        IMAGES_EDIT.name: Shape(pictures.encode_edit, pictures.decode),
        IMAGES_GENERATE.name: Shape(pictures.encode, pictures.decode),
    }
