"""What a reply used, and why it ended.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html. `inputTokens` leaves out what
was read from or written to the cache: in every recorded answer `totalTokens` is the sum of all four.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from headgate.chat import FinishReason, Usage

Json = dict[str, Any]

FINISH: Mapping[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "malformed_model_output": "error",
    "malformed_tool_use": "error",
}
"""What Converse's words for the end mean; a word that is not here means `stop`."""


def finish_of(raw: str, *, has_calls: bool) -> FinishReason:
    """Why a reply ended. Calls make it `tool_calls` unless it was cut; an answer that is the input of a tool is none."""
    finish = FINISH.get(raw, "stop")
    if finish in {"stop", "tool_calls"}:
        return "tool_calls" if has_calls else "stop"
    return finish


def stop_of(fields: object) -> str | None:
    """The stop sequence that Claude met, out of `additionalModelResponseFields` of a reply or of a stream."""
    held = cast("Json", fields) if isinstance(fields, dict) else {}
    delta = held.get("delta")
    found = held.get("stop_sequence") or (cast("Json", delta).get("stop_sequence") if isinstance(delta, dict) else None)
    return found if isinstance(found, str) else None


def usage_of(raw: Json) -> Usage:
    """A usage object; null, absent and negative numbers count as 0."""
    cached, written = _count(raw, "cacheReadInputTokens"), _count(raw, "cacheWriteInputTokens")
    return Usage(
        prompt=_count(raw, "inputTokens") + cached + written,
        completion=_count(raw, "outputTokens"),
        cached=cached,
        cache_write=written,
        raw=raw,
    )


def raw_of(usage: Usage) -> Json:
    """The other way round."""
    raw: Json = {
        "inputTokens": max(0, usage.prompt - usage.cached - usage.cache_write),
        "outputTokens": usage.completion,
        "totalTokens": usage.total,
    }
    if usage.cached or usage.cache_write:
        raw |= {"cacheReadInputTokens": usage.cached, "cacheWriteInputTokens": usage.cache_write}
    return raw


def _count(raw: Json, name: str) -> int:
    value: object = raw.get(name)
    return max(0, int(value)) if isinstance(value, int | float) and not isinstance(value, bool) else 0
