"""What a Responses reply is made of beside its items: echoes of the request, annotations, errors.

Source: https://platform.openai.com/docs/api-reference/responses/object and the types of the official SDK (3.52).
"""

from __future__ import annotations

from typing import Any, cast

from headgate.chat import ChatRequest, Citation, FinishReason, ResponseFormat, Tool, ToolChoice
from headgate.dialects.openai.members import added, as_object, given, objects
from headgate.dialects.responses.encode import TIERS

Json = dict[str, Any]

ERROR_CODES = frozenset(
    {
        "bio_policy",
        "data_residency_mismatch",
        "empty_image_file",
        "failed_to_download_image",
        "image_content_policy_violation",
        "image_file_not_found",
        "image_file_too_large",
        "image_parse_error",
        "image_too_large",
        "image_too_small",
        "invalid_base64_image",
        "invalid_image",
        "invalid_image_format",
        "invalid_image_mode",
        "invalid_image_url",
        "invalid_prompt",
        "misalignment_policy_violation",
        "rate_limit_exceeded",
        "server_error",
        "unsupported_image_media_type",
        "vector_store_timeout",
    }
)
"""The only codes that the official SDK's type of a failed reply knows."""
CUT: dict[FinishReason, str] = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Why a reply is incomplete, by its finish reason."""
RESERVED = frozenset(
    {
        "access_programs",
        "conversation",
        "image",
        "input_transformations",
        "moderation",
        "output_text",
        "prompt",
        "prompt_cache_diagnostics",
        "prompt_cache_options",
        "prompt_cache_retention",
        "tool_usage",
    }
)
"""Members with a meaning of their own in this dialect, which no other vendor's member of that name may take."""
_PLACED = {
    "file_citation": {"type", "file_id", "filename", "index"},
    "file_path": {"type", "file_id", "index"},
    "container_file_citation": {"type", "container_id", "file_id", "filename", "start_index", "end_index"},
}


def echo(request: ChatRequest) -> Json:
    """The members of a reply that repeat what was asked for. `store` is false: the gateway keeps no replies."""
    custom = {tool.name for tool in request.tools if tool.kind == "custom"}
    sampling, thinking, extra = request.sampling, request.thinking, request.extra
    first = request.messages[0] if request.messages else None
    return {
        "background": False,
        "instructions": first.text if first is not None and "instructions" in first.extra else None,
        "max_output_tokens": sampling.max_tokens,
        "max_tool_calls": extra.get("max_tool_calls"),
        "metadata": {name: str(value) for name, value in (request.metadata or {}).items()},
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "previous_response_id": extra.get("previous_response_id"),
        "prompt_cache_key": request.cache_key,
        "reasoning": {
            "effort": thinking.effort if thinking else None,
            "summary": thinking.summary if thinking else None,
        },
        "safety_identifier": request.safety_identifier,
        "store": False,
        "temperature": sampling.temperature,
        "text": {
            "format": _echo_format(request.response_format),
            **given(verbosity=request.verbosity),
        },
        "tool_choice": _echo_choice(request.tool_choice, custom),
        "tools": [_echo_tool(tool) for tool in request.tools],
        "top_logprobs": sampling.top_logprobs or 0,
        "top_p": sampling.top_p,
        "truncation": extra.get("truncation") or "disabled",
        "user": request.user,
    }


def moderation(extra: Json) -> Json:
    """What a chat completion says of moderation, where each side has a list of results, in this dialect's form: the first one."""
    held = as_object(extra.get("moderation")) or {}
    sides = {name: _judged(as_object(held.get(name)) or {}) for name in ("input", "output")}
    return {"moderation": sides} if all(sides.values()) else {}


def _judged(side: Json) -> Json | None:
    if side.get("type") == "error":
        return side
    results = objects(side.get("results"))
    is_known = side.get("type") == "moderation_results" and bool(results)
    return {"model": side.get("model"), **results[0], "type": "moderation_result"} if is_known else None


def tier(value: object) -> str | None:
    """A service tier that this dialect knows."""
    return value if isinstance(value, str) and value in TIERS else None


def annotation(citation: Citation, start: int, end: int) -> Json | None:
    """A citation as an annotation of the text between `start` and `end`; None for one that is no link and no file."""
    raw = citation.raw
    if _PLACED.get(str(raw.get("type")), {""}) <= raw.keys():
        return raw
    if citation.url is None:
        return None
    first, last = citation.start, citation.end
    return {
        "type": "url_citation",
        "url": citation.url,
        "title": citation.title or "",
        "start_index": start if first is None else start + first,
        "end_index": end if last is None else start + last,
        **given(quote=citation.quote),
    }


def failure(code: str | None, status: int, message: str) -> Json:
    """The `error` of a failed reply."""
    known = code if code in ERROR_CODES else "rate_limit_exceeded" if status == 429 else "server_error"
    return {"code": known, "message": message}


def logprobs_of(value: object) -> list[Json]:
    """The log probabilities of a chat completion's content, each token with its alternatives."""
    content: Any = cast("Json", value).get("content") if isinstance(value, dict) else None
    return [_logprob(each) for each in cast("list[Any]", content)] if isinstance(content, list) else []


def _logprob(value: Json) -> Json:
    others: list[Json] = value.get("top_logprobs") or []
    return {**_token(value), "top_logprobs": [_token(each) for each in others]}


def _token(value: Json) -> Json:
    return {
        "token": value.get("token") or "",
        "logprob": value.get("logprob") or 0.0,
        "bytes": value.get("bytes") or [],
    }


def _echo_tool(tool: Tool) -> Json:
    if tool.raw is not None:
        return tool.raw
    own = {"type": "function", "name": tool.name, **given(description=tool.description)}
    return added({**own, "parameters": tool.parameters, "strict": tool.strict}, tool.extra)


def _echo_choice(choice: ToolChoice | None, custom: set[str]) -> Any:
    def named(name: str) -> Json:
        return {"type": "custom" if name in custom else "function", "name": name}

    if choice is None:
        return "auto"
    if choice.mode == "named":
        return named(choice.name or "")
    if choice.mode == "other":
        return choice.raw
    if choice.allowed:
        return {"type": "allowed_tools", "mode": choice.mode, "tools": [named(name) for name in choice.allowed]}
    return choice.mode


def _echo_format(value: ResponseFormat | None) -> Json:
    if value is None or value.kind != "json_schema":
        return {"type": value.kind if value is not None else "text"}
    own = {"type": "json_schema", "name": value.name or "response", "schema": value.schema or {}}
    return {**own, **given(description=value.description, strict=value.strict)}
