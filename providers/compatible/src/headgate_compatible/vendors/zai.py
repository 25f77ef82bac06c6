"""Z.ai: efforts by the model's generation, files by their address, and its own way to count tokens.

Sources: https://docs.z.ai/guides/capabilities/thinking (GLM-5.3 thinks whatever is asked, and answers any effort but its three
with an error), https://docs.z.ai/api-reference/llm/chat-completion (`reasoning_effort` since GLM-5.2, `file_url`, formats) and
https://docs.z.ai/api-reference/tools/tokenizer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from msgspec.structs import replace
from typing_extensions import override

from headgate.chat import ChatRequest
from headgate.dialects import Dialect, Gaps
from headgate.dialects.openai.members import objects
from headgate_compatible import policy
from headgate_compatible.vendors.always import always
from headgate_compatible.vendors.counting import Counting, ZaiCount

Json = dict[str, Any]

ALWAYS = ("low", "high", "max")
"""Efforts of GLM-5.3 and what came after it, which cannot be told not to think."""
_MAPPED = ("low", "medium", "high", "xhigh", "max")
"""Efforts that GLM-5.2 takes; its others switch thinking off."""
_GENERATION = re.compile(r"glm-(\d)(?:[.-](\d)(?!\d))?")


class Zai(Counting):
    """Z.ai."""

    own_dialects: ClassVar[Mapping[str, str]] = {"count_tokens": ZaiCount.name}
    codecs: ClassVar[Mapping[str, Dialect]] = {ZaiCount.name: ZaiCount()}

    @override
    def think(self, request: ChatRequest, gaps: Gaps) -> ChatRequest:
        generation = generation_of(request.model)
        if generation >= (5, 3):
            return replace(request, thinking=always(request.thinking, ALWAYS, gaps))
        known = _MAPPED if generation >= (5, 2) else ()
        return replace(request, thinking=policy.think(request.thinking, known, gaps, self.quirks.switch))

    @override
    def finish(self, body: Json, request: ChatRequest, gaps: Gaps) -> None:
        for message in body["messages"]:
            for part in objects(message.get("content")):
                if part.get("type") == "file":
                    part["file"] = _addressed(part["file"])


def generation_of(model: str) -> tuple[int, int]:
    """The generation of a GLM by its name; (0, 0) for other models."""
    found = _GENERATION.search(model.lower())
    return (int(found[1]), int(found[2] or 0)) if found else (0, 0)


def _addressed(file: Json) -> Json:
    """A file whose address, unlike its bytes, has a member of its own."""
    data = file.get("file_data", "")
    return file if not data or data.startswith("data:") else {**_without(file, "file_data"), "file_url": data}


def _without(file: Json, name: str) -> Json:
    return {each: value for each, value in file.items() if each != name}
