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
from headgate.dialects import GoogleCount
from headgate.dialects.counts import only


class VertexCount(GoogleCount):
    """What the Gemini API takes one level deeper, without what is not counted."""

    name = "vertex.count"
    counted: ClassVar[frozenset[str]] = frozenset({"contents", "systemInstruction", "tools", "generationConfig"})

    @override
    def count_body(self, members: Mapping[str, Raw], model: str) -> Mapping[str, Any]:
        return only(members, self.counted)

    @override
    def reshape(self, body: bytes, model: str) -> bytes:
        """See GoogleCount: here what stands one level deeper comes up."""
        inner = decode_object(body).get("generateContentRequest")
        return self.encode_count(msgspec.json.encode(inner), model) if isinstance(inner, dict) else body
