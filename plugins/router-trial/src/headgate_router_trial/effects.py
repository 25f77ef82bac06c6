"""Which requests may be sent twice: those that only ask, and leave nothing behind at the provider."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, cast

from headgate.exchange import Exchange, Target
from headgate.operations import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    EMBEDS,
    GENERATE,
    MESSAGES,
    RERANK,
    RESPONSES,
    Operation,
)

ASKING: Collection[Operation] = frozenset(
    {CHAT, RESPONSES, MESSAGES, GENERATE, COMPLETIONS, EMBEDDINGS, RERANK, *EMBEDS}
)
TOOLS = ("tools", "functions")
ACTING = (
    "background",
    "cachedContent",
    "container",
    "conversation",
    "mcp_servers",
    "plugins",
    "previous_response_id",
    "web_search_options",
)
"""Members with which a provider acts by itself or goes on from what it keeps."""


def is_repeatable(ex: Exchange, target: Target, *, with_functions: bool = False) -> bool:
    """Whether a request may go to the leaves of `target` a second time, with what their config adds to it.

    Tools speak against it, and so does all that a provider keeps: `store`, which is on by default in Responses
    (https://platform.openai.com/docs/api-reference/responses/create) and off in Chat Completions
    (https://platform.openai.com/docs/api-reference/chat/create). `with_functions` allows functions, which the caller runs.
    """
    if ex.operation not in ASKING or ex.upload is not None or ex.is_unreadable:
        return False
    body = ex.json if ex.body else {}
    return all(_only_asks(ex, {**given, **body, **put}, with_functions) for given, put in _params(target))


def _only_asks(ex: Exchange, body: Mapping[str, Any], with_functions: bool) -> bool:  # noqa: FBT001 - passed on
    tools = [tool for name in TOOLS for tool in _listed(body.get(name))]
    if not all(with_functions and _is_function(tool) for tool in tools):
        return False
    is_kept = body.get("store", ex.operation == RESPONSES)
    return not is_kept and not any(body.get(name) for name in ACTING)


def _listed(written: Any) -> list[Any]:
    """The tools of a request; what is no list counts as one that nobody knows."""
    return cast("list[Any]", written) if isinstance(written, list) else [written] if written else []


def _is_function(tool: Any) -> bool:
    """Whether the caller runs this tool: OpenAI's functions, Anthropic's tools with a schema, Google's declarations."""
    if not isinstance(tool, dict):
        return False
    held = cast("dict[str, Any]", tool)
    if "type" in held:
        return held["type"] in {"function", "custom"}
    return held.keys() <= {"functionDeclarations", "function_declarations"} or "name" in held


def _params(target: Target) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """What each leaf puts into a body where it is missing, and whatever stands there."""
    if not target.targets:
        yield target.default_params, target.override_params
    for child in target.targets:
        yield from _params(child)
