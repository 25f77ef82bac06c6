"""What a request asks for, as its model takes it: thinking in the model's own measure, and answers by schema.

Decisions of this gateway, not of AWS: the budgets that levels of effort stand for, and that a model without structured
output of its own is made to call one tool whose input is the answer.
"""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from headgate.chat import ChatRequest, Message, ResponseFormat, Sampling, Text, Thinking, Tool, ToolChoice
from headgate.dialects import Gaps
from headgate.dialects.anthropic.models import claude_of
from headgate.dialects.anthropic.policy import held_sampling
from headgate.dialects.anthropic.schema import CannotHold, held_schema, load_of
from headgate_bedrock.models import Model
from headgate_bedrock.tools import OUTPUT_TOOL

StructuredOutput = Literal["auto", "native", "tool"]

MIN_BUDGET = 1024
ANSWER_TOKENS = 4096
"""Left for the answer where the caller sets no limit: a budget must be below the limit."""
BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 24576, "max": 24576}
"""Tokens of thinking for a level of effort, for models that take a budget only."""
_LEVELS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_OUTPUT = "Give your final answer by calling this tool. Its input is the answer."


def settle_thinking(request: ChatRequest, model: Model, gaps: Gaps) -> ChatRequest:
    """`request` with thinking in the form its model takes: a mode, a budget, or one of its levels of effort."""
    asked = request.thinking
    if asked is None or not asked.is_asked:
        return replace(request, thinking=None)
    is_off = asked.effort == "none" or asked.mode == "disabled" or asked.budget_tokens == 0
    if is_off and (model.vendor or asked.mode is None):
        gaps.no_effort(asked.effort)
    if asked.summary not in {None, "auto"}:
        gaps.skip("reasoning.summary")
    match model.thinking:
        case "":
            return _unthinking(request, asked, model, gaps, is_off=is_off)
        case "budget":
            return replace(request, thinking=None) if is_off else _with_budget(request, asked, gaps)
        case "adaptive":
            return _adaptive(request, asked, model, gaps, is_off=is_off)
        case _:
            settled = _with_effort(asked, model, gaps, is_off=is_off)
            return replace(request, thinking=_within_nova(settled, request.sampling, model, gaps))


def _unthinking(request: ChatRequest, asked: Thinking, model: Model, gaps: Gaps, *, is_off: bool) -> ChatRequest:
    """A model that is not known to think. One that is not known at all may be Claude, which a mode is the sign of."""
    if not model.vendor and asked.mode is not None:
        return request
    if not is_off:
        gaps.skip("reasoning_effort")
    return replace(request, thinking=None)


def _with_budget(request: ChatRequest, asked: Thinking, gaps: Gaps) -> ChatRequest:
    limit = request.sampling.max_tokens
    budget = asked.budget_tokens
    if budget is None:
        budget = BUDGETS.get(asked.effort or "medium", BUDGETS["medium"])
        if limit is not None:
            budget = min(budget, max(MIN_BUDGET, limit // 2))
        if asked.effort is not None or (limit is not None and limit <= MIN_BUDGET):
            gaps.skip("reasoning_effort")
        if limit is not None and limit <= MIN_BUDGET:  # there is no room for thinking
            return replace(request, thinking=None)
    sampling = request.sampling if limit is not None else replace(request.sampling, max_tokens=budget + ANSWER_TOKENS)
    return replace(request, sampling=sampling, thinking=Thinking(budget_tokens=budget, mode="enabled"))


def _adaptive(request: ChatRequest, asked: Thinking, model: Model, gaps: Gaps, *, is_off: bool) -> ChatRequest:
    if is_off:
        return replace(request, thinking=Thinking(mode="disabled"))
    if asked.budget_tokens is not None and model.has_budgets:
        return _with_budget(request, asked, gaps)
    if asked.budget_tokens is not None:
        gaps.skip("thinking.budget_tokens")
    effort = _nearest(asked.effort, model, gaps) if asked.effort else None
    return replace(request, thinking=Thinking(effort, mode="adaptive", is_shown=asked.is_shown))


def _with_effort(asked: Thinking, model: Model, gaps: Gaps, *, is_off: bool) -> Thinking | None:
    """A model that takes a level of effort and nothing else. Some always think."""
    if is_off:
        if "none" in model.efforts:
            return Thinking("none")
        if model.thinking != "reasoningConfig":  # Nova does not think unless it is told to
            gaps.refuse("reasoning_effort", "this model always thinks")
        return None
    if asked.budget_tokens is not None:
        gaps.skip("thinking.budget_tokens")
    return Thinking(_nearest(asked.effort or "medium", model, gaps))


def _within_nova(thinking: Thinking | None, sampling: Sampling, model: Model, gaps: Gaps) -> Thinking | None:
    """Nova refuses a limit and other sampling beside its highest effort: then it is the one below, which is named.

    https://docs.aws.amazon.com/nova/latest/nova2-userguide/extended-thinking.html
    """
    is_bounded = any(
        value is not None for value in (sampling.max_tokens, sampling.temperature, sampling.top_p, sampling.top_k)
    )
    if model.thinking != "reasoningConfig" or thinking is None or thinking.effort != "high" or not is_bounded:
        return thinking
    gaps.skip("reasoning_effort")
    return replace(thinking, effort="medium")


def _nearest(effort: str, model: Model, gaps: Gaps) -> str:
    """The level of the model that is nearest to `effort`, the higher one of two, and is named; a word nobody knows passes."""
    if effort in model.efforts or effort not in _LEVELS:
        return effort
    gaps.skip("reasoning_effort")
    wanted = _LEVELS.index(effort)
    levels = [level for level in model.efforts if level != "none"] or [effort]
    return min(levels, key=lambda level: (abs(_LEVELS.index(level) - wanted), -_LEVELS.index(level)))


def settle_sampling(request: ChatRequest, model: Model, gaps: Gaps) -> ChatRequest:
    """`request` with the sampling that its model takes: what Claude takes elsewhere as well, and less for some of OpenAI."""
    held = request.sampling
    if model.is_claude:
        return replace(request, sampling=held_sampling(request, claude_of(request.model), gaps))
    if not model.has_sampling:
        for name, value in (("temperature", held.temperature), ("top_p", held.top_p)):
            if value not in {None, 1}:
                gaps.refuse(name, "this model takes none")
        held = replace(held, temperature=None, top_p=None)
    if held.stop and not (model.has_sampling and model.has_stops):
        gaps.refuse("stop", "this model takes none")
        held = replace(held, stop=())
    return replace(request, sampling=held)


def settle_system(request: ChatRequest, model: Model, gaps: Gaps) -> ChatRequest:
    """`request` with its instructions said by the user, in `<system>` tags, for a model that takes none; named."""
    if model.has_system:
        return request
    messages: list[Message] = []
    for at, message in enumerate(request.messages):
        if message.role in {"system", "developer"}:
            gaps.skip(f"messages[{at}].role")
            messages.append(Message("user", (Text(f"<system>\n{message.text}\n</system>"),)))
        else:
            messages.append(message)
    return replace(request, messages=tuple(messages))


def settle_tools(request: ChatRequest, model: Model, gaps: Gaps) -> ChatRequest:
    """`request` without tools, which are refused by name, for a model that takes none."""
    if model.has_tools or not request.tools:
        return request
    gaps.refuse("tools", "this model takes none")
    return replace(request, tools=(), tool_choice=None, parallel_tool_calls=None)


def _held_to(request: ChatRequest, form: ResponseFormat, gaps: Gaps) -> ChatRequest | None:
    """`request` with a schema that Claude can be held to, whose objects are closed; None where there is none."""
    try:
        closed, dropped = held_schema(form.schema or {})
    except CannotHold:
        return None
    if not load_of(closed).fits:
        return None
    for place in dropped:
        gaps.skip(f"response_format.json_schema.schema.{place}")
    return replace(request, response_format=replace(form, schema=closed))


def settle_format(request: ChatRequest, model: Model, gaps: Gaps, wanted: StructuredOutput = "auto") -> ChatRequest:
    """`request` with a schema for its answer as its model takes it: natively, or as a tool that must be called.

    A model that may call the caller's tools keeps them: it then has to call one of them or the one for the answer.
    """
    form = request.response_format
    if form is None or form.kind != "json_schema":
        return request
    if wanted == "native" or (wanted == "auto" and model.has_json_schema):
        settled = _held_to(request, form, gaps) if model.is_claude else request
        if settled is not None or wanted == "native":
            return settled or request
    without = replace(request, response_format=None)
    choice = request.tool_choice
    if choice is not None and choice.mode in {"named", "other"}:
        return without  # the answer is that call
    schema = form.schema or {"type": "object"}
    is_thinking = request.thinking is not None and request.thinking.mode != "disabled"
    problem = ""
    if not model.forces:
        problem = "this model has no structured output and cannot be made to call a tool"
    elif is_thinking and not model.forces_while_thinking:
        problem = "a model that thinks cannot be made to call a tool"
    elif schema.get("type", "object") != "object":
        problem = "the schema must be of an object"
    elif any(tool.name == OUTPUT_TOOL for tool in request.tools):
        problem = f"the tool `{OUTPUT_TOOL}` is the gateway's own"
    if problem:
        gaps.refuse("response_format", problem)
        return without
    output = Tool(OUTPUT_TOOL, form.description or _OUTPUT, schema)
    if not request.tools or (choice is not None and choice.mode == "none"):
        return replace(without, tools=(output,), tool_choice=ToolChoice("named", OUTPUT_TOOL))
    allowed = (*choice.allowed, OUTPUT_TOOL) if choice is not None and choice.allowed else ()
    return replace(without, tools=(*request.tools, output), tool_choice=ToolChoice("required", allowed=allowed))
