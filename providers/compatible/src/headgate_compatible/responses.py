"""Whether a vendor's own Responses API can carry out a request: agents bring tools that most of these APIs do not know."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal, cast

import msgspec

Json = dict[str, Any]

ToolKind = Literal["apply_patch", "custom", "namespace", "tool_search"]
"""Kinds of tools beside functions that translation makes functions of; `apply_patch` is a custom tool of that name.

https://platform.openai.com/docs/guides/function-calling"""
Way = Literal["auto", "native", "chat"]

_LISTED = "additional_tools"
_PATCH = "apply_patch"
_ITEMS: Mapping[str, str] = {
    "agent_message": "agent_message",
    "custom_tool_call": "custom",
    "tool_search_call": "tool_search",
    "tool_search_output": "tool_search",
}
"""Items of the input that only make sense where there is such a tool, or that Codex alone has and no vendor but OpenAI takes."""
_MARKS = (b'"custom', b'"namespace"', b'"tool_search', b'"additional_tools"', b'"agent_message"')


def has_strange_tools(body: bytes, known: Collection[str]) -> bool:
    """Whether a Responses request has a tool of a kind that is not `known`, or what came of one in its input."""
    if not any(mark in body for mark in _MARKS):
        return False
    try:
        asked: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False  # the vendor's to refuse
    taken = {*known, *([_PATCH] if "custom" in known else [])}
    return isinstance(asked, dict) and not set(_kinds_in(cast("Json", asked))) <= taken


def _kinds_in(asked: Json) -> Iterator[str]:
    yield from _kinds_of(asked.get("tools"))
    for item in _objects(asked.get("input")):
        kind = item.get("type")
        if kind == _LISTED:
            yield _LISTED
        elif isinstance(kind, str) and kind in _ITEMS:
            yield _named(_ITEMS[kind], item)
        elif kind == "function_call" and item.get("namespace"):
            yield "namespace"


def _kinds_of(tools: object) -> Iterator[str]:
    for tool in _objects(tools):
        kind = tool.get("type")
        if kind in {"custom", "namespace", "tool_search"}:
            yield _named(str(kind), tool)
        if kind == "namespace":
            yield from _kinds_of(tool.get("tools"))


def _named(kind: str, held: Json) -> str:
    return _PATCH if kind == "custom" and held.get("name") == _PATCH else kind


def _objects(values: object) -> Iterator[Json]:
    for value in cast("list[object]", values) if isinstance(values, list) else ():
        if isinstance(value, dict):
            yield cast("Json", value)
