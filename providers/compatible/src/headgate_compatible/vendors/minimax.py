"""MiniMax: a model that decides itself how much it thinks, and thoughts that stand apart only where that is asked for.

Sources: https://platform.minimax.io/docs/api-reference/text-chat-openai (`thinking`) and
https://platform.minimax.io/docs/api-reference/text-openai-api (`reasoning_split`, `reasoning_details`). Without
`reasoning_split` they stand in the content, between `<think>` and `</think>`.
"""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from headgate.chat import ChatRequest
from headgate.dialects import Gaps
from headgate_compatible.provider import Compatible

Json = dict[str, Any]


class MiniMax(Compatible):
    """MiniMax."""

    @override
    def finish(self, body: Json, request: ChatRequest, gaps: Gaps) -> None:
        body["reasoning_split"] = True
        if body.get("thinking") == {"type": "enabled"}:
            body["thinking"] = {"type": "adaptive"}
        for message in body["messages"]:
            thought = message.pop("reasoning_content", None)
            if thought is not None:
                message["reasoning_details"] = [{"type": "reasoning.text", "text": thought}]
