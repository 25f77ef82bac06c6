"""MiniMax: a model that decides itself how much it thinks, and thoughts that stand apart only where that is asked for.

Sources: https://platform.minimax.io/docs/api-reference/text-chat-openai (`thinking`) and
https://platform.minimax.io/docs/api-reference/text-openai-api (`reasoning_split`, `reasoning_details`). Without
`reasoning_split` they stand in the content, between `<think>` and `</think>`. Pictures and speech: `minimax_media`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from typing_extensions import override

from headgate.chat import ChatRequest
from headgate.dialects import Gaps
from headgate.operations import IMAGES_GENERATE, SPEECH
from headgate_compatible.vendors import minimax_media as media
from headgate_compatible.vendors.reshaped import Reshaped, Shape

Json = dict[str, Any]


class MiniMax(Reshaped):
    """MiniMax."""

    shapes: ClassVar[Mapping[str, Shape]] = {
        IMAGES_GENERATE.name: Shape(media.encode_picture, media.decode_picture),
        SPEECH.name: Shape(media.encode_speech, media.decode_speech),
    }

    @override
    def finish(self, body: Json, request: ChatRequest, gaps: Gaps) -> None:
        body["reasoning_split"] = True
        if body.get("thinking") == {"type": "enabled"}:
            body["thinking"] = {"type": "adaptive"}
        for message in body["messages"]:
            thought = message.pop("reasoning_content", None)
            if thought is not None:
                message["reasoning_details"] = [{"type": "reasoning.text", "text": thought}]
