"""Tokens of requests for Gemini on Vertex AI, whose members stand at the top.

https://docs.cloud.google.com/vertex-ai/generative-ai/docs/model-reference/count-tokens
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec
from msgspec import Raw
from typing_extensions import override

from headgate.body import decode_object
from headgate.dialects import Gaps, GoogleCount
from headgate.dialects.counts import only, wrapper_in
from headgate.dialects.openai.members import as_object

_CACHED = frozenset({"cachedContent", "cached_content"})


class VertexCount(GoogleCount):
    """What the Gemini API takes one level deeper, without what is not counted."""

    name = "vertex.count"
    counted: ClassVar[frozenset[str]] = frozenset(
        {"contents", "systemInstruction", "system_instruction", "tools", "generationConfig", "generation_config"}
    )

    @override
    def count_body(self, members: Mapping[str, Raw], model: str) -> Mapping[str, Any]:
        return only(members, self.counted)

    @override
    def reshape(self, body: bytes, model: str, gaps: Gaps) -> bytes:
        """See GoogleCount: here what stands one level deeper comes up, but cached contents, which count and cannot be told."""
        held = decode_object(body)
        inner = as_object(held.get(wrapper_in(held)))
        if inner is None:
            return body
        for name in filter(inner.get, _CACHED):
            gaps.refuse(name, "tokens of cached contents are told by these themselves, as `usageMetadata`")
        return self.encode_count(msgspec.json.encode(inner), model)
