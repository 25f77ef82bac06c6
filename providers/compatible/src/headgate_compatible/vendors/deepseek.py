"""DeepSeek: thinking that is on unless switched off, and must come back with the calls it led to.

Sources: https://api-docs.deepseek.com/guides/thinking_mode, https://api-docs.deepseek.com/guides/json_mode
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace
from typing_extensions import override

from headgate.chat import ChatRequest, Thinking
from headgate.dialects import Gaps
from headgate_compatible.provider import Compatible

Json = dict[str, Any]

_THOUGHTLESS = "deepseek-chat"
"""The name under which a model does not think."""


class DeepSeek(Compatible):
    """DeepSeek. The model is not made to call a tool while it thinks, which it refuses: not asked to think, it is told not to."""

    @override
    def think(self, request: ChatRequest, gaps: Gaps) -> ChatRequest:
        request = super().think(request, gaps)
        choice, thinking = request.tool_choice, request.thinking
        if choice is None or choice.mode not in {"required", "named"}:
            return request
        if thinking is not None and thinking.mode == "enabled":
            gaps.refuse("tool_choice", "no call can be forced while the model thinks")
            return replace(request, tool_choice=None)
        return replace(request, thinking=replace(thinking or Thinking(), effort=None, mode="disabled"))

    @override
    def finish(self, body: Json, request: ChatRequest, gaps: Gaps) -> None:
        is_off = request.thinking is not None and request.thinking.mode == "disabled"
        if is_off or request.model == _THOUGHTLESS:
            return
        for message in body["messages"]:
            if message.get(
                "tool_calls"
            ):  # a turn with calls and no thinking is refused, one with empty thinking is not
                message.setdefault("reasoning_content", "")
