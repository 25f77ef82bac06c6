"""Groq: words for effort by model, thinking that is asked for apart from the content, rankings of its own (see `ranking`), and
lists that are whole.

Sources: https://console.groq.com/docs/openai, https://console.groq.com/docs/reasoning, the types of `groq` 1.7.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from msgspec.structs import replace
from typing_extensions import override

from headgate.chat import ChatRequest
from headgate.dialects import Dialect, Gaps
from headgate.operations import BATCHES, FILES
from headgate_compatible import policy
from headgate_compatible.vendors.ranking import GroqRerank
from headgate_compatible.vendors.whole_lists import WholeLists

Json = dict[str, Any]

_EFFORTS = (("gpt-oss", ("low", "medium", "high")), ("qwen3.8", ("none", "low", "medium", "high")), ("qwen", ("none",)))
"""The words a model takes, by what its name holds; any other model is not asked to think."""
_TIERS = {"default": "on_demand", "priority": "performance"}
_PARSED = ("qwen", "deepseek-r1")
"""Models whose thinking stands in the content, in tags, unless it is asked for apart from it."""


class Groq(WholeLists):
    """Groq. What it documents as answered with 400 is refused by its row."""

    own_dialects: ClassVar[Mapping[str, str]] = {"rerank": GroqRerank.name}
    codecs: ClassVar[Mapping[str, Dialect]] = {GroqRerank.name: GroqRerank()}
    whole: ClassVar[frozenset[str]] = frozenset({BATCHES.name, FILES.name})

    @override
    def think(self, request: ChatRequest, gaps: Gaps) -> ChatRequest:
        model = request.model.lower()
        known = next((words for name, words in _EFFORTS if name in model), ())
        return replace(request, thinking=policy.think(request.thinking, known, gaps))

    @override
    def finish(self, body: Json, request: ChatRequest, gaps: Gaps) -> None:
        model = request.model.lower()
        is_hidden = request.thinking is not None and request.thinking.is_shown is False
        if any(name in model for name in _PARSED):
            body["reasoning_format"] = "hidden" if is_hidden else "parsed"
        elif "gpt-oss" in model and is_hidden:
            body["include_reasoning"] = False
        tier = body.get("service_tier")
        if tier is not None:
            body["service_tier"] = _TIERS.get(tier, tier)
