"""What Gemini models take, applied to a canonical request before it is encoded: for every provider that serves Gemini.

`adapt` is for `Provider.adapt` and `fetches` for `Provider.fetches`.
Sources: https://ai.google.dev/gemini-api/docs/thinking, https://ai.google.dev/gemini-api/docs/thought-signatures and
https://docs.cloud.google.com/vertex-ai/generative-ai/docs/thinking
"""

from __future__ import annotations

import re

from msgspec.structs import replace

from headgate.chat import ChatRequest, File, Image, Message, Opaque, Thinking, Tool, ToolCall, ToolChoice
from headgate.dialects.gaps import Gaps
from headgate.dialects.google.facts import (
    ANY_SIGNATURE,
    ORIGIN,
    OUTPUT_TOOL,
    generation,
    is_at_least,
    is_google_file,
    type_of_url,
)

MAX_STOP = 5
BUDGETS = {"minimal": 1024, "low": 1024, "medium": 8192, "high": 24_576, "xhigh": 32_768, "max": 32_768}
"""Tokens to think for each effort, as Google's own OpenAI layer has them: https://ai.google.dev/gemini-api/docs/openai"""
_RANGES = (
    (re.compile(r"gemini-2\.5-pro"), 128, 32_768, False),
    (re.compile(r"gemini-2\.5-flash-lite"), 512, 24_576, True),
    (re.compile(r"gemini-2\.5"), 1, 24_576, True),
)
"""Budgets that models with budgets take, least and most, and whether they can be told not to think."""
_LEVELS = (
    (re.compile(r"gemini-3-pro"), ("low", "high")),
    (re.compile(r"gemini-3\.[1-9]-pro|gemini-3\.[78]-flash|gemini-[4-9]"), ("low", "medium", "high")),
    (re.compile(r"gemini-3"), ("minimal", "low", "medium", "high")),
)
_USUAL_LEVELS = ("low", "medium", "high")
"""Levels that models with levels take; every one that came later takes these three."""
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_OUTPUT_ABOUT = "Give your answer to the user by calling this tool, once, when it is complete."
_FIELD = "reasoning_effort"
_BUDGET = "thinking.budget_tokens"


def adapt(request: ChatRequest, gaps: Gaps) -> ChatRequest:
    """The request as this model takes it. What it cannot honour goes to `gaps`."""
    sampling = replace(request.sampling, stop=gaps.most("stop", request.sampling.stop, MAX_STOP))
    request = replace(request, sampling=sampling, thinking=_thinking(request, gaps))
    return _signed(_with_format(_unstrict(request, gaps), gaps))


def fetches(part: Image | File) -> bool:
    """Whether Google fetches the URL of a part itself: from its own stores, and by https where the media type is known.

    Source: https://ai.google.dev/gemini-api/docs/file-input-methods
    """
    url = part.url
    if url is None or url.startswith("gs://") or is_google_file(url):
        return True
    return url.startswith("https://") and (part.media_type or type_of_url(url)) is not None


def _thinking(request: ChatRequest, gaps: Gaps) -> Thinking | None:
    """A level or a budget, by what the model knows; none where it does not think.

    Whoever asks for thinking gets to see it, unless they say no: `includeThoughts` is refused by models that do not think,
    so it is set for nobody else.
    """
    asked = request.thinking
    if asked is None or asked == Thinking():
        return None
    if asked.summary not in {None, "auto"}:
        gaps.skip("reasoning.summary")
    if not is_at_least(request.model, 2, 5):
        if generation(request.model) is not None:
            return _unable(asked, gaps)
        return replace(asked, effort=_nearest(asked.effort, _USUAL_LEVELS, gaps), summary=None)
    is_off = asked.mode == "disabled" or asked.effort == "none" or asked.budget_tokens == 0
    shown = False if is_off else asked.is_shown is not False
    if not is_at_least(request.model, 3):
        return _budgeted(request, asked, gaps, is_off=is_off, is_shown=shown)
    levels = next((held for name, held in _LEVELS if name.match(_name(request.model))), _USUAL_LEVELS)
    if is_off:
        gaps.skip(_FIELD)  # no model of this generation can be told not to think
        return Thinking(levels[0])
    budget = asked.budget_tokens
    if budget is not None and budget > 0 and not is_at_least(request.model, 4):
        if asked.effort is not None:
            gaps.skip(_FIELD)  # a level and a budget are refused together
        return Thinking(budget_tokens=budget, is_shown=shown or None)
    if budget is not None and budget > 0:
        gaps.skip(_BUDGET)
    effort = asked.effort or (_effort_of(budget) if budget else None)
    return Thinking(_nearest(effort, levels, gaps), is_shown=shown or None)


def _unable(asked: Thinking, gaps: Gaps) -> None:
    if asked.mode != "disabled" and asked.effort != "none" and asked.budget_tokens != 0:
        gaps.skip(_FIELD)
    else:
        gaps.no_effort(asked.effort)


def _budgeted(request: ChatRequest, asked: Thinking, gaps: Gaps, *, is_off: bool, is_shown: bool) -> Thinking:
    """A budget within the model's range and below the caller's limit, of which thinking may take half."""
    _, least, most, can_stop = next(
        held for held in _RANGES if held[0].match(_name(request.model)) or held is _RANGES[-1]
    )
    if is_off:
        if not can_stop:
            gaps.skip(_FIELD)
        gaps.no_effort(asked.effort)
        return Thinking(budget_tokens=0 if can_stop else least)
    budget = asked.budget_tokens
    if asked.effort is not None:
        gaps.skip(_FIELD)
    if budget is None and asked.effort is not None:
        budget = BUDGETS.get(asked.effort, BUDGETS["medium"])
    if budget is None:
        return Thinking(is_shown=is_shown or None)  # the model decides how much
    limit = request.sampling.max_tokens
    if limit is not None and budget >= limit:
        budget = limit // 2
    budget = min(max(budget, least), most)
    if asked.budget_tokens not in {None, budget}:
        gaps.skip(_BUDGET)
    return Thinking(budget_tokens=budget, is_shown=is_shown or None)


def _effort_of(budget: int) -> str:
    """The effort that a budget stands for."""
    return next((effort for effort in ("low", "medium") if budget <= BUDGETS[effort]), "high")


def _nearest(effort: str | None, levels: tuple[str, ...], gaps: Gaps) -> str | None:
    """The level that comes closest to an effort, the higher one of two, and is named; an unknown word stays as it is."""
    if effort is None or effort in levels or effort not in _EFFORTS:
        return effort
    gaps.skip(_FIELD)
    wanted = _EFFORTS.index(effort)
    return next((level for level in levels if _EFFORTS.index(level) >= wanted), levels[-1])


def _unstrict(request: ChatRequest, gaps: Gaps) -> ChatRequest:
    """Models before 2.0 have no mode that holds calls to their schemas."""
    if generation(request.model) is None or is_at_least(request.model, 2, 0):
        return request
    for at, tool in enumerate(request.tools):
        if tool.strict:
            gaps.skip(f"tools[{at}].function.strict")
    return replace(request, tools=tuple(replace(tool, strict=None) for tool in request.tools))


def _with_format(request: ChatRequest, gaps: Gaps) -> ChatRequest:
    """Answers by schema beside tools: no model takes that while it must call one, and none before Gemini 3 at all.

    There a tool whose input is the answer stands for it, and one of the tools must be called.
    https://ai.google.dev/gemini-api/docs/structured-output#structured_outputs_with_tools
    """
    held, choice = request.response_format, request.tool_choice
    has_tools = bool(request.tools) and not (choice is not None and choice.mode == "none")
    if held is None or held.kind == "text" or not has_tools:
        return request
    without = replace(request, response_format=None)
    if choice is not None and choice.mode in {"required", "named"}:
        gaps.skip("response_format")  # a call is asked for now, and the answer only after its result
        return without
    if generation(request.model) is None or is_at_least(request.model, 3):
        return request
    if held.kind == "json_object" or held.schema is None:
        gaps.skip("response_format")  # what is no schema only says what the prompt must say as well
        return without
    taken = any(tool.name == OUTPUT_TOOL for tool in request.tools)
    if taken or held.schema.get("type") != "object":
        gaps.refuse("response_format", f"`{request.model}` takes no schema of its answer beside these tools")
        return without
    allowed = (*choice.allowed, OUTPUT_TOOL) if choice is not None and choice.allowed else ()
    tool = Tool(OUTPUT_TOOL, f"{_OUTPUT_ABOUT} {held.description or ''}".strip(), held.schema)
    return replace(without, tools=(*request.tools, tool), tool_choice=ToolChoice("required", allowed=allowed))


def _signed(request: ChatRequest) -> ChatRequest:
    """Calls of another model with the word that stands for a signature: Gemini 3 demands one of the first call of each turn."""
    if not is_at_least(request.model, 3):
        return request
    return replace(request, messages=tuple(_signed_turn(message) for message in request.messages))


def _signed_turn(message: Message) -> Message:
    for at, part in enumerate(message.parts):
        if isinstance(part, ToolCall):
            if part.opaque is not None:
                return message
            signed = replace(part, opaque=Opaque(ORIGIN, ANY_SIGNATURE))
            return replace(message, parts=(*message.parts[:at], signed, *message.parts[at + 1 :]))
    return message


def _name(model: str) -> str:
    return model.rpartition("/")[2]
