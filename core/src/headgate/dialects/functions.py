"""What dialects tell alike that took over OpenAI's functions and little else: tools, calls, and hints without a place."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from headgate.chat import ChatRequest, Tool, ToolCall
from headgate.dialects.gaps import Gaps
from headgate.dialects.openai.members import Json, given, merged

PART_HINTS = frozenset({"annotations", "caller", "id", "phase", "status", "title", "type"})
"""Members of other dialects' turns, parts and tools that may be left out: they tell where a part came from."""
REQUEST_HINTS = PART_HINTS | {
    "anthropic_beta", "betas", "include", "labels", "prediction", "prompt_cache_options", "prompt_cache_retention", "truncation"
}  # fmt: skip
"""The same of requests."""

_HINTS = {
    "user": "user",
    "metadata": "metadata",
    "verbosity": "verbosity",
    "prompt_cache_key": "cache_key",
    "safety_identifier": "safety_identifier",
    "store": "store",
}
"""Hints by their names in OpenAI's API, and the fields of ChatRequest that hold them."""
USUAL_TIERS = frozenset({"auto", "default", "standard"})
"""Service tiers that ask for nothing in particular."""


def tell_rest(request: ChatRequest, gaps: Gaps, vendor: str) -> None:
    """What of the request itself has no place at a `vendor` that has one service tier and no word for any hint."""
    for name, field in _HINTS.items():
        value = getattr(request, field)
        if value is not None and value != {}:
            gaps.skip(name)
    if request.parallel_tool_calls is False:
        gaps.refuse("parallel_tool_calls", f"{vendor}'s models may always call several tools at once")
    if request.service_tier in USUAL_TIERS:
        gaps.skip("service_tier")
    elif request.service_tier is not None:
        gaps.refuse("service_tier")


def encode_function(tool: Tool, place: str, gaps: Gaps, *, is_own: bool, has_strict: bool) -> Json | None:
    """A tool as a function in OpenAI's shape; None for one of another kind, which is refused.

    `is_own`: the request is of this dialect, so that what other dialects know nothing of goes back as it came. `has_strict`:
    the vendor has a word for `strict`, which the caller writes.
    """
    if tool.kind != "function":
        if not is_own:
            gaps.refuse(place, f"a tool of type `{tool.kind}` is not known there")
        return tool.raw if is_own else None
    if tool.cache is not None:
        gaps.skip(f"{place}.cache_control")
    if tool.strict and not has_strict:
        gaps.skip(f"{place}.strict")
    parameters = tool.parameters or {"type": "object", "properties": {}}
    function = {"name": tool.name, **given(description=tool.description), "parameters": parameters}
    body: Json = {"type": "function", "function": function}
    if is_own:
        return merged(body, tool.extra)
    gaps.extra(tool.extra, place, hints=PART_HINTS)
    return body


def arguments_text(call: ToolCall) -> str:
    """The arguments of a call as the JSON text of an object, every byte of them kept.

    None at all, "" or `null`, are `{}`. What is no object (free text, a broken answer) stands as `input` in one.
    """
    text = call.arguments.strip()
    if text in {"", "null"}:
        return "{}"
    if not call.custom:
        try:
            msgspec.json.decode(text, type=dict[str, Raw])
            return call.arguments
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            pass
    return msgspec.json.encode({"input": call.arguments}).decode()
