"""Tokens of a chat on Bedrock, by CountTokens, which takes the ids of models and not those of inference profiles.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_CountTokens.html; on profiles
https://github.com/pydantic/pydantic-ai/pull/3367
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from msgspec import Raw
from typing_extensions import override

from headgate.dialects import CountDialect
from headgate.dialects.counts import only
from headgate_bedrock.converse import BedrockConverse


class BedrockCount(CountDialect):
    """What Converse would be sent, without what is not counted."""

    name = "bedrock.count"
    chat = BedrockConverse()
    number = ("inputTokens",)
    counted: ClassVar[frozenset[str]] = frozenset({"messages", "system", "toolConfig", "additionalModelRequestFields"})

    @override
    def count_body(self, members: Mapping[str, Raw], model: str) -> Mapping[str, Any]:
        return {"input": {"converse": only(members, self.counted)}}
