"""The canonical model to requests for Cohere's chat. What it cannot say goes to `gaps`, by its name in OpenAI's API.

Source: https://docs.cohere.com/reference/chat
"""

from __future__ import annotations

from headgate.chat import ChatRequest, ResponseFormat, Sampling, Thinking, Tool, ToolChoice
from headgate.dialects import Gaps
from headgate.dialects.functions import REQUEST_HINTS, encode_function, tell_rest
from headgate.dialects.openai.members import Json, given, merged
from headgate.errors import InvalidRequest
from headgate_cohere.replies import NAME
from headgate_cohere.turns import Turns

IGNORED = frozenset(
    {
        "ChatRequest.dialect",  # decides how `extra` is written
        "ChatRequest.include_usage",  # usage always comes; whether the caller gets it is decided on the way back
        "ToolCall.index",  # the order says it
        "ToolCall.item_id",
        "ToolResult.name",  # the call's id says it
        "Reasoning.is_redacted",  # there is no text then
        "Reasoning.is_summary",
        "Reasoning.item_id",
        "ResponseFormat.name",  # a schema has no name there
        "ResponseFormat.strict",  # a schema is always held to
        "Thinking.is_shown",  # decided on the way back
    }
)
"""Canonical fields that a request to Cohere does not hold as such, and that no `gaps` is told of."""

MAX_STOPS = 5
_P_MIN, _P_MAX = 0.01, 0.99
"""What `p` may be; OpenAI's 1, which asks for all tokens, becomes the largest."""
_BUDGETS = {"minimal": 512, "low": 1024, "medium": 8192}
"""Efforts as tokens to think with. Higher ones are unlimited, which is what Cohere recommends.
https://docs.cohere.com/docs/reasoning"""
_RESPONSE_TOKENS = 1024
"""What thinking must leave for the answer, by the same page."""


def encode_request(request: ChatRequest, gaps: Gaps) -> Json:
    """A request as JSON."""
    is_own = request.dialect == NAME
    body: Json = {"model": request.model, "messages": Turns(gaps, is_own=is_own).encode(request.messages)}
    body |= _encode_sampling(request.sampling, gaps)
    body |= _encode_tools(request, gaps, is_own=is_own)
    body |= given(
        response_format=_encode_format(request.response_format, gaps),
        thinking=_encode_thinking(request.thinking, request.sampling.max_tokens, gaps),
        stream=True if request.stream else None,
    )
    tell_rest(request, gaps, "Cohere")
    if is_own:
        return merged(body, request.extra)
    gaps.extra(request.extra, hints=REQUEST_HINTS)
    return body


def _encode_sampling(sampling: Sampling, gaps: Gaps) -> Json:
    top_p = sampling.top_p
    if sampling.logit_bias:
        gaps.refuse("logit_bias")
    if sampling.n not in {None, 1}:
        gaps.refuse("n", "Cohere gives one answer")
    if sampling.top_logprobs:
        gaps.refuse("top_logprobs", "Cohere tells the probabilities of the tokens it chose alone")
    return given(
        max_tokens=sampling.max_tokens,
        temperature=sampling.temperature,
        p=None if top_p is None else min(max(top_p, _P_MIN), _P_MAX),
        k=sampling.top_k,
        seed=sampling.seed,
        stop_sequences=list(gaps.most("stop", sampling.stop, MAX_STOPS)) or None,
        frequency_penalty=_penalty("frequency_penalty", sampling.frequency_penalty, gaps),
        presence_penalty=_penalty("presence_penalty", sampling.presence_penalty, gaps),
        logprobs=sampling.logprobs or None,
    )


def _penalty(name: str, value: float | None, gaps: Gaps) -> float | None:
    if value is not None and not 0 <= value <= 1:
        gaps.refuse(name, "Cohere takes 0 to 1")
        return None
    return value or None


def _encode_thinking(thinking: Thinking | None, max_tokens: int | None, gaps: Gaps) -> Json | None:
    """The switch of thinking and its budget; models that think do so unless told otherwise."""
    if thinking is None:
        return None
    if thinking.summary is not None:
        gaps.skip("reasoning.summary")
    budget = thinking.budget_tokens
    if thinking.mode == "disabled" or thinking.effort == "none" or budget == 0:
        gaps.no_effort(thinking.effort)
        return {"type": "disabled"}
    if thinking.effort is not None:
        gaps.skip("reasoning_effort")
    if budget is None and thinking.effort in _BUDGETS:
        budget = _BUDGETS[thinking.effort]
        if max_tokens is not None and budget + _RESPONSE_TOKENS > max_tokens:
            budget = max(1, max_tokens - _RESPONSE_TOKENS, max_tokens // 2)
    if thinking.effort is None and thinking.mode is None and budget is None:
        return None
    return {"type": "enabled", **given(token_budget=budget if budget is not None and budget > 0 else None)}


def _encode_format(value: ResponseFormat | None, gaps: Gaps) -> Json | None:
    if value is None or value.kind == "text":
        return None
    if value.description is not None:
        gaps.skip("response_format.json_schema.description")
    return {"type": "json_object", **given(json_schema=value.schema)}


def _encode_tools(request: ChatRequest, gaps: Gaps, *, is_own: bool) -> Json:
    """The tools and what is said of their use. One that is named is forced by leaving the others out.

    https://docs.cohere.com/docs/tool-use-usage-patterns
    """
    choice = request.tool_choice or ToolChoice("auto")
    word = {"none": "NONE", "required": "REQUIRED", "named": "REQUIRED"}.get(choice.mode)
    if choice.mode == "other":
        word = choice.raw if is_own else None
        if not is_own:
            gaps.refuse("tool_choice")
    tools = _chosen(request, choice)
    sent: list[Json] = []
    for at, tool in tools:
        said = encode_function(tool, f"tools[{at}]", gaps, is_own=is_own, has_strict=True)
        sent += [] if said is None else [said]
    if not sent:
        return {}
    return {"tools": sent, **given(strict_tools=_encode_strict(tools, gaps), tool_choice=word)}


def _chosen(request: ChatRequest, choice: ToolChoice) -> list[tuple[int, Tool]]:
    """The tools that the choice leaves, with their places."""
    names = {choice.name} if choice.mode == "named" else set(choice.allowed)
    if not names or choice.mode == "none":
        return list(enumerate(request.tools))
    left = [(at, tool) for at, tool in enumerate(request.tools) if tool.name in names]
    if not left:
        raise InvalidRequest("`tool_choice` names a function that is not among `tools`", param="tool_choice")
    return left


def _encode_strict(tools: list[tuple[int, Tool]], gaps: Gaps) -> bool | None:
    """`strict_tools` holds for all tools or none, and each must have a parameter that is required.

    https://docs.cohere.com/docs/tool-use-parameter-types
    """
    strict = [at for at, tool in tools if tool.strict]
    if len(strict) == len(tools) and all((tool.parameters or {}).get("required") for _, tool in tools):
        return True
    for at in strict:
        gaps.skip(f"tools[{at}].strict")
    return None
