"""SiliconFlow: pictures with names of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from headgate.operations import IMAGES_GENERATE
from headgate_compatible.vendors import pictures
from headgate_compatible.vendors.reshaped import Reshaped, Shape


class SiliconFlow(Reshaped):
    """SiliconFlow."""

    shapes: ClassVar[Mapping[str, Shape]] = {
        IMAGES_GENERATE.name: Shape(pictures.encode_siliconflow, pictures.decode_siliconflow)
    }
