"""The canonical model to requests for Ollama's chat. What it cannot say goes to `gaps`, by its name in OpenAI's API.

Source: https://docs.ollama.com/api/chat
"""

from __future__ import annotations

from typing import Any

from headgate.chat import ChatRequest, ResponseFormat, Sampling, Thinking, ToolChoice
from headgate.dialects import Gaps
from headgate.dialects.functions import REQUEST_HINTS, encode_function, tell_rest
from headgate.dialects.openai.encode import EFFORTS
from headgate.dialects.openai.members import Json, given, merged
from headgate.errors import InvalidRequest
from headgate_ollama.replies import NAME
from headgate_ollama.turns import Turns

IGNORED = frozenset(
    {
        "ChatRequest.dialect",  # decides how `extra` is written
        "ChatRequest.include_usage",  # usage always comes; whether the caller gets it is decided on the way back
        "Image.media_type",  # Ollama looks at the bytes
        "ToolCall.index",  # the order says it
        "ToolCall.item_id",
        "Reasoning.is_redacted",  # there is no text then
        "Reasoning.is_summary",
        "Reasoning.item_id",
        "ResponseFormat.name",  # a schema has no name there
        "ResponseFormat.strict",  # a schema is always held to
        "Thinking.is_shown",  # decided on the way back
    }
)
"""Canonical fields that a request to Ollama does not hold as such, and that no `gaps` is told of."""

OPTIONS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "num_predict": "max_tokens",
    "seed": "seed",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
}
"""Ollama's options by the fields of Sampling: https://docs.ollama.com/modelfile#parameter"""
_LEVELS = {"minimal": "low", "low": "low", "medium": "medium"}
"""Efforts as the levels that models know; all higher ones are `high`. https://docs.ollama.com/capabilities/thinking"""


def encode_request(request: ChatRequest, gaps: Gaps) -> Json:
    """A request as JSON. `stream` is always said, since Ollama streams unless told otherwise."""
    is_own = request.dialect == NAME
    sampling = request.sampling
    body: Json = {"model": request.model, "messages": Turns(gaps, is_own=is_own).encode(request.messages)}
    body |= given(
        tools=_encode_tools(request, gaps, is_own=is_own) or None,
        options=_encode_options(sampling, gaps) or None,
        format=_encode_format(request.response_format, gaps),
        think=_encode_thinking(request.thinking, gaps),
        logprobs=sampling.logprobs or None,
        top_logprobs=sampling.top_logprobs or None,
    )
    body["stream"] = request.stream
    tell_rest(request, gaps, "Ollama")
    if is_own:
        return merged(body, request.extra)
    gaps.extra(request.extra, hints=REQUEST_HINTS)
    return body


def _encode_options(sampling: Sampling, gaps: Gaps) -> Json:
    if sampling.logit_bias:
        gaps.refuse("logit_bias")
    if sampling.n not in {None, 1}:
        gaps.refuse("n", "Ollama gives one answer")
    options = {name: getattr(sampling, field) for name, field in OPTIONS.items()}
    return given(**options, stop=list(sampling.stop) or None)


def _encode_thinking(thinking: Thinking | None, gaps: Gaps) -> bool | str | None:
    """Whether to think, or how much: a level where one is asked for. A budget becomes the nearest level."""
    if thinking is None:
        return None
    if thinking.summary is not None:
        gaps.skip("reasoning.summary")
    effort, budget = thinking.effort, thinking.budget_tokens
    if thinking.mode == "disabled" or effort == "none" or budget == 0:
        gaps.no_effort(effort)
        return False
    if budget is not None and budget > 0:
        gaps.skip("thinking.budget_tokens")
        effort = effort or next((word for limit, word in EFFORTS if budget <= limit), "high")
    if effort is not None:
        level = _LEVELS.get(effort, "high")
        if level != thinking.effort and thinking.effort is not None:
            gaps.skip("reasoning_effort")
        return level
    return True if thinking.mode is not None else None


def _encode_format(value: ResponseFormat | None, gaps: Gaps) -> Any:
    if value is None or value.kind == "text":
        return None
    if value.description is not None:
        gaps.skip("response_format.json_schema.description")
    return "json" if value.schema is None else value.schema


def _encode_tools(request: ChatRequest, gaps: Gaps, *, is_own: bool) -> list[Json]:
    """The tools. Which of them is called is the model's to decide: none is only offered where none may be called."""
    choice = request.tool_choice or ToolChoice("auto")
    if choice.mode not in {"auto", "none"} and request.tools:
        gaps.refuse("tool_choice", "Ollama cannot make a model call a tool")
    names = {choice.name} if choice.mode == "named" else set(choice.allowed)
    tools = [(at, tool) for at, tool in enumerate(request.tools) if not names or tool.name in names]
    if request.tools and not tools:
        raise InvalidRequest("`tool_choice` names a function that is not among `tools`", param="tool_choice")
    if choice.mode == "none":
        return []
    said = [encode_function(tool, f"tools[{at}]", gaps, is_own=is_own, has_strict=False) for at, tool in tools]
    return [tool for tool in said if tool is not None]
