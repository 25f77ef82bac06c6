"""MiniMax: a model that decides itself how much it thinks, and thoughts that stand apart only where that is asked for.

Sources: https://platform.minimax.io/docs/api-reference/text-chat-openai (`thinking`) and
https://platform.minimax.io/docs/api-reference/text-openai-api (`reasoning_split`, `reasoning_details`). Without
`reasoning_split` they stand in the content, between `<think>` and `</think>`. Pictures and speech: `minimax_media`; transcripts:
`minimax_transcripts`; files: `minimax_files`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from typing_extensions import override

from headgate.chat import ChatRequest
from headgate.dialects import Dialect, Gaps
from headgate.operations import FILES, IMAGES_GENERATE, SPEECH, TRANSCRIPTIONS
from headgate_compatible.vendors import minimax_media as media
from headgate_compatible.vendors import minimax_transcripts as transcripts
from headgate_compatible.vendors.as_json import Encode, JsonForms
from headgate_compatible.vendors.minimax_files import MiniMaxFiles
from headgate_compatible.vendors.reshaped import Reshaped, Shape

Json = dict[str, Any]


class MiniMax(JsonForms, Reshaped):
    """MiniMax."""

    own_dialects: ClassVar[Mapping[str, str]] = {FILES.name: MiniMaxFiles.name}
    codecs: ClassVar[Mapping[str, Dialect]] = {MiniMaxFiles.name: MiniMaxFiles()}
    forms: ClassVar[Mapping[str, Encode]] = {TRANSCRIPTIONS.name: transcripts.encode}
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
