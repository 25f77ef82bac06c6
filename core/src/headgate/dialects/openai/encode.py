"""The canonical model to OpenAI chat requests. What this dialect cannot say goes to `gaps`, by its name in OpenAI's API.

Source: https://platform.openai.com/docs/api-reference/chat/create. Names of one vendor's own (`max_tokens`, `random_seed`) and
what a model refuses are the provider's concern, which has `adapt` and `finish_body` for them.
"""

from __future__ import annotations

from typing import Any, cast

from headgate.chat import ChatRequest, ResponseFormat, Thinking, Tool, ToolChoice
from headgate.dialects.gaps import Gaps
from headgate.dialects.openai.decode import LEGACY, REASONING, SAMPLING
from headgate.dialects.openai.members import Json, given, merged
from headgate.dialects.openai.message import DIALECT
from headgate.dialects.openai.names import legal_name
from headgate.dialects.openai.turns import Turns

IGNORED = frozenset(
    {
        "ChatRequest.dialect",  # decides how `extra` is written
        "ChatRequest.include_usage",  # usage is always asked for; whether the caller gets it is decided on the way back
        "ToolCall.index",  # the order says it
        "ToolResult.is_error",  # told to `gaps`: its text says so, and a result without one becomes `error`
        "Audio.transcript",  # goes with the sound, and stands in for one that cannot be sent
        "ToolResult.name",  # the call's id says it
        "ToolCall.item_id",  # a name of another API's
        "Thinking.is_shown",  # decided on the way back
    }
)
"""Canonical fields that a request to an OpenAI-shaped provider does not hold as such."""

EXTRA_HINTS = frozenset(
    {"anthropic_beta", "betas", "include", "labels", "prompt_cache_retention", "title", "truncation"}
)
"""Members of other dialects' requests that may be left out: they ask for more output, or say something about the caller."""
EFFORTS = ((1024, "low"), (8192, "medium"))
"""Up to how many tokens of thinking a budget is called what; more is `high`. A provider that knows its models decides before."""
_TIERS = {"auto", "default", "flex", "scale", "priority", "fast"}
_SCHEMA_NAME = "answer"


def encode_request(request: ChatRequest, gaps: Gaps) -> Json:
    """A chat request as JSON. The token limit is `max_completion_tokens`, which every current model takes."""
    is_own = request.dialect == DIALECT
    body: Json = {"model": request.model, "messages": Turns(gaps, is_own=is_own).encode(request.messages)}
    body |= _encode_sampling(request)
    body |= _encode_tools(request, gaps, is_own=is_own)
    body |= _own_thinking(request) if is_own else _encode_thinking(request.thinking, gaps)
    body |= given(
        response_format=_encode_format(request.response_format, is_own=is_own),
        user=request.user,
        metadata=request.metadata,
        service_tier=_encode_tier(request, gaps, is_own=is_own),
        verbosity=request.verbosity,
        prompt_cache_key=request.cache_key,
        safety_identifier=request.safety_identifier,
        store=request.store,
    )
    if request.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    if is_own:
        forms = {name for name in (LEGACY, REASONING) if not request.extra.get(name)}
        return merged(body, {name: value for name, value in request.extra.items() if name not in forms})
    gaps.extra(request.extra, hints=EXTRA_HINTS)
    return body


def _encode_sampling(request: ChatRequest) -> Json:
    sampling = request.sampling
    held = {name: getattr(sampling, name) for name in SAMPLING}
    if sampling.logit_bias is not None:
        held["logit_bias"] = {token: _whole(bias) for token, bias in sampling.logit_bias.items()}
    return given(**held, max_completion_tokens=sampling.max_tokens, stop=list(sampling.stop) or None)


def _whole(number: float) -> float:
    return int(number) if float(number).is_integer() else number


def _encode_tools(request: ChatRequest, gaps: Gaps, *, is_own: bool) -> Json:
    """The tools and what is said of their use, which is an error without tools: https://platform.openai.com/docs/guides/tools"""
    tools: list[Json] = []
    for at, tool in enumerate(request.tools):
        said = _encode_tool(tool, f"tools[{at}]", gaps, is_own=is_own)
        tools += [] if said is None else [said]
    choice = None if request.tool_choice is None else _encode_choice(request, request.tool_choice, gaps, is_own=is_own)
    body = given(tools=tools or None, tool_choice=choice, parallel_tool_calls=request.parallel_tool_calls)
    return body if tools or is_own else {}


def _encode_tool(tool: Tool, place: str, gaps: Gaps, *, is_own: bool) -> Json | None:
    if tool.kind != "function":
        own = tool.raw if is_own else _custom_of(tool)
        if own is None:
            gaps.refuse(place, f"a tool of type `{tool.kind}` is not known there")
        return own
    name = tool.name if is_own else legal_name(tool.name)
    function = given(name=name, description=tool.description, parameters=tool.parameters, strict=tool.strict)
    body: Json = {"type": "function", "function": function}
    if is_own:
        return merged({**body, **given(cache_control=tool.cache)}, tool.extra)
    if tool.cache is not None:
        gaps.skip(f"{place}.cache_control")
    gaps.extra(tool.extra, place, hints=EXTRA_HINTS)
    return body


def _custom_of(tool: Tool) -> Json | None:
    """A custom tool of the Responses API, which has the same with its members at another depth."""
    raw = tool.raw or {}
    if tool.kind != "custom" or not isinstance(raw.get("name"), str):
        return None
    form: Any = raw.get("format")
    if isinstance(form, dict) and cast("Json", form).get("type") == "grammar":
        grammar = {name: value for name, value in cast("Json", form).items() if name != "type"}
        form = {"type": "grammar", "grammar": grammar}
    return {"type": "custom", "custom": given(name=raw["name"], description=raw.get("description"), format=form)}


def _encode_choice(request: ChatRequest, choice: ToolChoice, gaps: Gaps, *, is_own: bool) -> Any:
    kinds = {tool.name: tool.kind for tool in request.tools}

    def named(name: str) -> Json:
        kind = "custom" if kinds.get(name) == "custom" else "function"
        return {"type": kind, kind: {"name": name if is_own else legal_name(name)}}

    if choice.mode == "other":
        if not is_own:
            gaps.refuse("tool_choice")
        return choice.raw if is_own else None
    if choice.mode == "named":
        return named(choice.name or "")
    if choice.allowed and choice.mode != "none":
        return {
            "type": "allowed_tools",
            "allowed_tools": {"mode": choice.mode, "tools": [named(name) for name in choice.allowed]},
        }
    return choice.mode


def _own_thinking(request: ChatRequest) -> Json:
    """How much to think, in the form that the caller has for it: vendors that take one do not take the other."""
    thinking = request.thinking or Thinking()
    is_hidden = None if thinking.is_shown is None else not thinking.is_shown
    if REASONING in request.extra:
        is_enabled = None if thinking.mode is None else thinking.mode != "disabled"
        shown = given(exclude=is_hidden, summary=thinking.summary, enabled=is_enabled)
        return {REASONING: {**given(effort=thinking.effort, max_tokens=thinking.budget_tokens), **shown}}
    switch = given(type=thinking.mode, budget_tokens=thinking.budget_tokens)
    display = None if is_hidden is None else "omitted" if is_hidden else "summarized"
    if switch:
        return given(reasoning_effort=thinking.effort, thinking={**switch, **given(display=display)})
    shown = None if is_hidden is None else not is_hidden
    return given(reasoning_effort=thinking.effort, include_reasoning=shown)


def _encode_thinking(thinking: Thinking | None, gaps: Gaps) -> Json:
    """`reasoning_effort`, which is all that OpenAI has."""
    if thinking is None:
        return {}
    if thinking.summary is not None:
        gaps.skip("reasoning.summary")
    effort = effort_of(thinking)
    if thinking.effort is None and effort not in {None, "none"}:
        gaps.skip("thinking.budget_tokens")
    if effort == "none":
        gaps.no_effort(thinking.effort)
    return given(reasoning_effort=effort)


def effort_of(thinking: Thinking) -> str | None:
    """`none` where thinking is switched off, else the effort asked for, or the one nearest to a budget.

    A model that shall decide itself is asked for nothing.
    """
    if thinking.mode == "disabled" or thinking.budget_tokens == 0:
        return "none"
    if thinking.effort is not None:
        return thinking.effort
    if thinking.budget_tokens is None or thinking.budget_tokens < 0:
        return None
    return next((effort for limit, effort in EFFORTS if thinking.budget_tokens <= limit), "high")


def _encode_format(value: ResponseFormat | None, *, is_own: bool) -> Json | None:
    """The format of the answer. A schema must have a name here; other dialects have none."""
    if value is None:
        return None
    if value.kind != "json_schema":
        return {"type": value.kind}
    name = value.name if is_own else legal_name(value.name or _SCHEMA_NAME)
    held = given(name=name, description=value.description, schema=value.schema, strict=value.strict)
    return {"type": "json_schema", "json_schema": held}


def _encode_tier(request: ChatRequest, gaps: Gaps, *, is_own: bool) -> str | None:
    tier = request.service_tier
    if tier is None or is_own or tier in _TIERS:
        return tier
    gaps.refuse("service_tier", f"`{tier}` is no tier there")
    return None
