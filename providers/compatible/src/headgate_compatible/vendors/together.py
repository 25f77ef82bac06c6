"""Together: token probabilities are asked for by a number, and rankings are in Jina's shape.

Source: https://docs.together.ai/reference/chat-completions and the types of `together` 3.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from typing_extensions import override

from headgate.chat import ChatRequest
from headgate.dialects import Dialect, Gaps
from headgate_compatible.provider import Compatible
from headgate_compatible.vendors.ranking import TogetherRerank

Json = dict[str, Any]


class Together(Compatible):
    """Together AI."""

    own_dialects: ClassVar[Mapping[str, str]] = {"rerank": TogetherRerank.name}
    codecs: ClassVar[Mapping[str, Dialect]] = {TogetherRerank.name: TogetherRerank()}

    @override
    def finish(self, body: Json, request: ChatRequest, gaps: Gaps) -> None:
        wanted, top = body.pop("logprobs", None), body.pop("top_logprobs", None)
        if wanted:
            body["logprobs"] = top or 1
