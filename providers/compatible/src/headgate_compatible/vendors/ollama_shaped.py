"""Ollama in OpenAI's shape, which takes edits of pictures as JSON alone. Source: `edits`"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import ClassVar

from headgate.operations import IMAGES_EDIT
from headgate_compatible.vendors import edits
from headgate_compatible.vendors.as_json import Encode, JsonForms
from headgate_compatible.vendors.reshaped import Reshaped, Shape


class OllamaShaped(JsonForms, Reshaped):
    """Ollama, where it speaks as OpenAI does."""

    forms: ClassVar[Mapping[str, Encode]] = {IMAGES_EDIT.name: partial(edits.from_form, words=edits.OLLAMA)}
    shapes: ClassVar[Mapping[str, Shape]] = {IMAGES_EDIT.name: edits.in_json(edits.OLLAMA)}
