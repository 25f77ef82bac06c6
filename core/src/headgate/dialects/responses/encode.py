"""The canonical model to a Responses request. Pure functions; `gaps` is told what this dialect cannot say.

Nothing is stored unless the caller asks for it: all items are sent whole, with the encrypted thinking of earlier turns.

Source: https://platform.openai.com/docs/api-reference/responses/create and the types of the official SDK (3.52).
"""

from __future__ import annotations

from typing import Any

from headgate.chat import ChatRequest, ResponseFormat, Thinking, Tool, ToolChoice
from headgate.dialects.gaps import Gaps
from headgate.dialects.openai.encode import effort_of
from headgate.dialects.openai.members import given, merged
from headgate.dialects.openai.names import legal_name
from headgate.dialects.responses.decode import ENCRYPTED, INCLUDE, LOGPROBS
from headgate.dialects.responses.input import FOREIGN_HINTS, InputItems
from headgate.dialects.responses.items import NAME

Json = dict[str, Any]

IGNORED = frozenset(
    {
        # told to `gaps`, since it changes what is asked for
        "Sampling.top_k",
        "Sampling.stop",
        "Sampling.seed",
        "Sampling.presence_penalty",
        "Sampling.frequency_penalty",
        "Sampling.logit_bias",
        "Sampling.n",
        "Audio.data",
        "Audio.format",
        "Audio.id",
        "File.context",
        "File.cites",
        # told to `gaps` as a hint
        "Message.name",
        "File.title",
        "ToolCall.cache",
        "ToolResult.cache",
        "ToolResult.is_error",
        "Tool.cache",
        # signatures of other origins, which the gateway takes out before
        "Text.opaque",
        "ToolCall.opaque",
        # what the order of items, or the call itself, says already
        "ToolCall.index",
        "ToolResult.name",
        "ToolCall.item_id",
        "Reasoning.is_redacted",
        # usage always comes with a stream
        "ChatRequest.include_usage",
    }
)
"""Fields of the canonical request that are never written."""
MIN_OUTPUT_TOKENS = 16
"""OpenAI refuses less."""
TIERS = frozenset({"auto", "default", "flex", "scale", "priority", "fast", "ultrafast"})
_SHARED = ("moderation", "prompt_cache_options", "prompt_cache_retention")
"""Fields that OpenAI's chat dialect has as well, in the same form."""
_SAMPLED = ("top_k", "seed", "presence_penalty", "frequency_penalty", "logit_bias")
_NO_PARAMETERS: Json = {"type": "object", "properties": {}}


def encode_request(request: ChatRequest, gaps: Gaps) -> Json:
    """A request as JSON."""
    is_own = request.dialect == NAME
    written = InputItems(request, gaps)
    body: Json = {"model": request.model, "input": written.items}
    if written.instructions is not None:
        body["instructions"] = written.instructions
    body |= _encode_sampling(request, gaps)
    body |= _encode_tools(request, gaps)
    text = given(
        format=None if request.response_format is None else _encode_format(request.response_format),
        verbosity=request.verbosity,
    )
    reasoning = {} if request.thinking is None else _encode_thinking(request.thinking, gaps)
    body |= {name: held for name, held in (("text", text), ("reasoning", reasoning)) if held}
    body |= _encode_wishes(request, gaps)
    include = _includes(request, has_thoughts=written.has_thoughts)
    if include:
        body["include"] = include
    if request.stream:
        body["stream"] = True
    if is_own:
        return merged(body, {name: held for name, held in request.extra.items() if not name.startswith(INCLUDE)})
    return body


def _encode_sampling(request: ChatRequest, gaps: Gaps) -> Json:
    sampling = request.sampling
    for name in _SAMPLED:
        if getattr(sampling, name):
            gaps.refuse(name)
    if sampling.seed == 0:
        gaps.refuse("seed")
    if sampling.stop:
        gaps.refuse("stop")
    if sampling.n is not None and sampling.n != 1:
        gaps.refuse("n")
    limit = sampling.max_tokens
    if limit is not None and limit < MIN_OUTPUT_TOKENS and request.dialect != NAME:
        gaps.skip("max_completion_tokens")
        limit = MIN_OUTPUT_TOKENS
    return given(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        max_output_tokens=limit,
        top_logprobs=sampling.top_logprobs or None,
    )


def _encode_wishes(request: ChatRequest, gaps: Gaps) -> Json:
    """What OpenAI has the same name for in all its dialects, and what other dialects brought along."""
    store = False if request.store is None and request.dialect != NAME else request.store
    wishes = given(
        user=request.user,
        prompt_cache_key=request.cache_key,
        safety_identifier=request.safety_identifier,
        store=store,
    )
    if request.service_tier in TIERS or request.dialect == NAME:
        wishes |= given(service_tier=request.service_tier)
    elif request.service_tier is not None:
        gaps.refuse("service_tier", f"`{request.service_tier}` is no tier there")
    if request.metadata and all(isinstance(value, str) for value in request.metadata.values()):
        wishes["metadata"] = request.metadata
    elif request.metadata:
        gaps.skip("metadata")
    if request.dialect == NAME:
        return wishes
    others = dict(request.extra)
    if request.dialect == "openai.chat":
        wishes |= given(**{name: others.pop(name, None) for name in _SHARED})
        if others.get("modalities") == ["text"]:
            del others["modalities"]
    gaps.extra(others, hints=FOREIGN_HINTS)
    return wishes


def _includes(request: ChatRequest, *, has_thoughts: bool) -> list[str]:
    """What is asked for beside the reply.

    Models that do not think refuse `reasoning.encrypted_content` with a 400, so it is asked for where thinking is.
    """
    include = [name.removeprefix(INCLUDE) for name in request.extra if name.startswith(INCLUDE)]
    thinking = request.thinking
    is_thinking = thinking is not None and effort_of(thinking) != "none"
    if request.dialect != NAME and (is_thinking or has_thoughts):
        include.append(ENCRYPTED)
    if request.sampling.logprobs:
        include.append(LOGPROBS)
    return include


def _encode_thinking(thinking: Thinking, gaps: Gaps) -> Json:
    """Effort and summary, no budget. Thoughts are shown only as a summary, so whoever wants to see them asks for one."""
    effort = effort_of(thinking)
    if (thinking.budget_tokens or 0) > 0 and effort != "none":
        gaps.skip("thinking.budget_tokens")
    if effort == "none":
        gaps.no_effort(thinking.effort)
    summary = thinking.summary or ("auto" if thinking.is_shown else None)
    return given(effort=effort, summary=None if effort == "none" or thinking.is_shown is False else summary)


def _encode_format(value: ResponseFormat) -> Json:
    if value.kind != "json_schema":
        return {"type": value.kind}
    schema = {"schema": {} if value.schema is None else value.schema}
    others = given(description=value.description, strict=value.strict)
    return {"type": "json_schema", "name": value.name or "response", **schema, **others}


def _encode_tools(request: ChatRequest, gaps: Gaps) -> Json:
    sent = [(tool, _encode_tool(request, at, gaps)) for at, tool in enumerate(request.tools)]
    tools = [written for _, written in sent if written is not None]
    body: Json = {"tools": tools} if tools else {}
    choice = request.tool_choice
    if choice is not None and (tools or choice.mode in {"required", "named", "other"}):
        custom = {tool.name for tool in request.tools if tool.kind == "custom"}
        written = _encode_tool_choice(choice, request, gaps, custom)
        body |= {} if written is None else {"tool_choice": written}
    if request.parallel_tool_calls is not None and (tools or request.dialect == NAME):
        body["parallel_tool_calls"] = request.parallel_tool_calls
    return body


def _encode_tool(request: ChatRequest, at: int, gaps: Gaps) -> Json | None:
    """A tool; None for one that only another dialect knows and that may be dropped.

    Without `strict` OpenAI would try to make the schema strict, which chat completions do not: so it is always said.
    Source: https://platform.openai.com/docs/guides/function-calling#strict-mode
    """
    tool, is_own = request.tools[at], request.dialect == NAME
    if tool.cache:
        gaps.skip(f"tools[{at}].cache_control")
    if tool.kind != "function":
        return _encode_special(tool, request.dialect, at, gaps)
    if not is_own:
        gaps.extra(tool.extra, f"tools[{at}]", hints=FOREIGN_HINTS)
    written: Json = {
        "type": "function",
        "name": tool.name if is_own else legal_name(tool.name),
        **given(description=tool.description),
        "parameters": _NO_PARAMETERS if tool.parameters is None else tool.parameters,
    }
    if not is_own:
        return {**written, "strict": bool(tool.strict)}
    return merged({**written, **given(strict=tool.strict)}, tool.extra)


def _encode_special(tool: Tool, dialect: str, at: int, gaps: Gaps) -> Json | None:
    """A built-in tool of this dialect, or a custom tool as OpenAI's two dialects spell it."""
    if dialect == NAME and tool.raw is not None:
        return tool.raw
    match tool.raw:
        case {"type": "custom", "custom": {"name": str(name), **others}}:
            form: Any = others.get("format")
            if isinstance(form, dict) and isinstance(form.get("grammar"), dict):  # pyright: ignore[reportUnknownMemberType]
                others["format"] = {"type": "grammar", **form["grammar"]}
            return {"type": "custom", "name": legal_name(name), **others}
        case _:
            gaps.refuse(f"tools[{at}].{tool.kind}", "it is a built-in tool of another dialect")
            return None


def _encode_tool_choice(choice: ToolChoice, request: ChatRequest, gaps: Gaps, custom: set[str]) -> Any:
    def named(name: str) -> Json:
        sent = name if request.dialect == NAME else legal_name(name)
        return {"type": "custom" if name in custom else "function", "name": sent}

    if choice.mode == "named":
        return named(choice.name or "")
    if choice.mode == "other":
        if request.dialect != NAME:
            gaps.refuse("tool_choice")
            return None
        return choice.raw
    if choice.allowed:
        return {"type": "allowed_tools", "mode": choice.mode, "tools": [named(name) for name in choice.allowed]}
    return choice.mode
