"""What Claude models take, applied to a canonical request before it is encoded: for every provider that serves Claude.

`adapt` is for `Provider.adapt` and `finish_body` for `Provider.finish_body`; a platform that lacks something passes the
model's facts with that changed. The facts are in `anthropic_models`.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from headgate.chat import ChatRequest, File, Image, Message, ResponseFormat, Sampling, Text, Thinking, Tool, ToolChoice
from headgate.dialects.anthropic.models import Claude, claude_of
from headgate.dialects.anthropic.names import OUTPUT_TOOL
from headgate.dialects.anthropic.roots import with_plain_roots
from headgate.dialects.anthropic.schema import (
    MAX_STRICT_TOOLS,
    CannotHold,
    Load,
    held_schema,
    is_held,
    is_object_schema,
    load_of,
)
from headgate.dialects.gaps import Gaps

Json = dict[str, Any]

MIN_BUDGET = 1024
BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16_384, "xhigh": 24_576, "max": 32_000}
"""Tokens to think for each effort, on models that only know a budget."""
ANSWER_TOKENS = 8192
"""What a default limit leaves for the answer beside the tokens to think."""

_LEVELS = tuple(BUDGETS)
_SPOKEN = frozenset({"system", "developer"})
_DEFAULT_EFFORT = "medium"
_JSON_ONLY = "Answer with one JSON object and nothing else: no text around it and no code fence."
_OUTPUT_ABOUT = "Give your answer to the user by calling this tool, once, when it is complete."
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


def adapt(request: ChatRequest, gaps: Gaps, claude: Claude | None = None) -> ChatRequest:
    """The request as this model takes it. What it cannot honour goes to `gaps`."""
    facts = claude or claude_of(request.model)
    request = _with_spoken_system(request, facts, gaps)
    request = with_plain_roots(_with_format(request, facts, gaps), gaps)
    request = replace(request, tool_choice=_choice(request, facts, gaps))
    request = replace(request, thinking=_thinking(request, facts, gaps))
    request = replace(request, sampling=held_sampling(request, facts, gaps))
    if request.sampling.max_tokens is None:
        request = replace(request, sampling=replace(request.sampling, max_tokens=facts.max_output))
    return _with_strict_tools(request, facts, gaps)


def finish_body(body: bytes, request: ChatRequest, claude: Claude | None = None) -> bytes:
    """An encoded request with the word that this model has for not thinking, where it is another."""
    facts = claude or claude_of(request.model)
    is_off = request.thinking is not None and request.thinking.mode == "disabled"
    if not is_off or facts.off != "between_tools":
        return body
    members = _members.decode(body)
    members["thinking"] = msgspec.Raw(b'{"type":"between_tools"}')
    return msgspec.json.encode(members)


def fetches(part: Image | File) -> bool:
    """Whether Anthropic fetches the URL of a part itself: pictures and PDF, by https only."""
    return part.url is None or (
        part.url.startswith("https://") and (isinstance(part, Image) or part.media_type in {None, "application/pdf"})
    )


# instructions


def _with_spoken_system(request: ChatRequest, facts: Claude, gaps: Gaps) -> ChatRequest:
    """Instructions between turns are said as the user, for a model that only takes them at the top, and that is told.

    They keep their place, in `<system>` tags: at the top they would count for what was said before them, too.
    """
    if facts.instructs:
        return request
    messages: list[Message] = []
    has_begun = False
    for at, message in enumerate(request.messages):
        is_spoken = message.role in _SPOKEN
        if is_spoken and has_begun:
            gaps.skip(f"messages[{at}].role")
            marks = [part.cache for part in message.parts if isinstance(part, Text) and part.cache]
            parts = (Text(f"<system>\n{message.text}\n</system>", marks[-1] if marks else None),)
            messages.append(Message("user", parts))
            continue
        has_begun = has_begun or not is_spoken
        messages.append(message)
    return replace(request, messages=tuple(messages))


# thinking


def _thinking(request: ChatRequest, facts: Claude, gaps: Gaps) -> Thinking | None:
    """Effort, budget and switch in the words of the model."""
    asked = request.thinking
    if asked is None or asked == Thinking() or not (facts.thinks or asked.is_asked):
        return None
    if asked.summary not in {None, "auto"}:
        gaps.skip("reasoning.summary")
    shown = True if asked.is_shown is None and asked.summary is not None else asked.is_shown
    asked = replace(asked, is_shown=shown, summary=None)
    if facts.thinking == "none":
        return _unable(asked, gaps)
    if asked.mode == "disabled" or asked.effort == "none" or asked.budget_tokens == 0:
        return _off(asked, facts, gaps)
    if facts.thinking == "manual" or (facts.thinking == "both" and asked.budget_tokens is not None):
        return _manual(request, asked, facts, gaps)
    return _adaptive(asked, facts, gaps)


def _unable(asked: Thinking, gaps: Gaps) -> None:
    if asked.mode != "disabled" and asked.effort != "none":
        gaps.skip(_name_of(asked))
    else:
        gaps.no_effort(asked.effort)


def _off(asked: Thinking, facts: Claude, gaps: Gaps) -> Thinking | None:
    """Not to think. Where nothing stops the model the lowest effort comes closest."""
    if facts.off:
        effort = asked.effort if asked.effort in {"low", "medium", "high"} and asked.effort in facts.efforts else None
        if effort is None:
            gaps.no_effort(asked.effort)
        return Thinking(effort, mode="disabled")
    gaps.skip(_name_of(asked))
    return Thinking(facts.efforts[0]) if facts.efforts else None


def _manual(request: ChatRequest, asked: Thinking, facts: Claude, gaps: Gaps) -> Thinking | None:
    """A budget of at least 1024 tokens and below the caller's limit, of which it may take half."""
    if _is_forced(request.tool_choice):
        gaps.skip(_name_of(asked))  # a model with a budget to think cannot be made to call a tool
        return None
    limit = request.sampling.max_tokens
    wanted = asked.budget_tokens
    if wanted is None or wanted < 0:
        wanted = BUDGETS[asked.effort if asked.effort in BUDGETS else _DEFAULT_EFFORT]
    ceiling = facts.max_output - ANSWER_TOKENS if limit is None else limit - 1
    if ceiling < MIN_BUDGET:
        gaps.skip(_name_of(asked))
        return None
    if wanted > ceiling:
        wanted = ceiling if limit is None else max(MIN_BUDGET, limit // 2)
    effort = _level(asked.effort, facts, gaps) if facts.efforts else None
    if asked.effort is not None and not facts.efforts:
        gaps.skip("reasoning_effort")
    wanted = max(MIN_BUDGET, wanted)
    if asked.budget_tokens is not None and 0 < asked.budget_tokens != wanted:
        gaps.skip("thinking.budget_tokens")
    return Thinking(effort, wanted, "enabled", asked.is_shown)


def _adaptive(asked: Thinking, facts: Claude, gaps: Gaps) -> Thinking:
    """An effort. A budget, which these models do not take, becomes the effort that it stands for."""
    effort = asked.effort
    if asked.budget_tokens is not None and asked.budget_tokens > 0:
        if effort is None:
            effort = next((level for level in _LEVELS if asked.budget_tokens <= BUDGETS[level]), "max")
        gaps.skip("thinking.budget_tokens")
    level = _level(effort, facts, gaps)
    is_needed = not facts.thinks or asked.is_shown is not None or asked.mode == "adaptive"
    return Thinking(level, mode="adaptive" if is_needed else None, is_shown=asked.is_shown if is_needed else None)


def _level(effort: str | None, facts: Claude, gaps: Gaps) -> str | None:
    """The highest level of the model's that is not above `effort`, or its lowest."""
    if effort is None or effort not in _LEVELS:
        if effort is not None:
            gaps.refuse("reasoning_effort", f"`{effort}` is no level of effort")
        return None
    below = [level for level in facts.efforts if _LEVELS.index(level) <= _LEVELS.index(effort)]
    found = below[-1] if below else facts.efforts[0]
    if found != effort:
        gaps.skip("reasoning_effort")
    return found


def _name_of(asked: Thinking) -> str:
    return "reasoning_effort" if asked.effort is not None else "thinking"


# sampling


def held_sampling(request: ChatRequest, facts: Claude, gaps: Gaps) -> Sampling:
    """Of temperature, top_p and top_k what the model takes; at their defaults they ask for nothing."""
    held = request.sampling
    thinking = request.thinking
    is_thinking = thinking is not None and thinking.mode in {"enabled", "adaptive"}
    if facts.samples == "none":
        held = _none_of(held, gaps, f"`{request.model}` takes none")
    elif is_thinking:
        top_p = held.top_p if held.top_p is not None and 0.95 <= held.top_p <= 1 else None
        rest = held if top_p is None else replace(held, top_p=None)
        held = replace(_none_of(rest, gaps, "not while the model thinks"), top_p=top_p)
    elif facts.samples == "one" and held.temperature is not None and held.top_p is not None:
        held = _one_of(held, gaps, request.model)
    return held


def _none_of(held: Sampling, gaps: Gaps, why: str) -> Sampling:
    if held.temperature not in {None, 1}:
        gaps.refuse("temperature", why)
    if held.top_p not in {None, 1, 0.99}:
        gaps.refuse("top_p", why)
    if held.top_k is not None:
        gaps.refuse("top_k", why)
    return replace(held, temperature=None, top_p=None, top_k=None)


def _one_of(held: Sampling, gaps: Gaps, model: str) -> Sampling:
    """Only one of temperature and top_p: the one that is not at its default, if one is."""
    if held.temperature == 1:
        return replace(held, temperature=None)
    if held.top_p != 1:
        gaps.refuse("top_p", f"`{model}` takes it only without `temperature`")
    return replace(held, top_p=None)


# tools


def _is_forced(choice: ToolChoice | None) -> bool:
    return choice is not None and choice.mode in {"required", "named"}


def _choice(request: ChatRequest, facts: Claude, gaps: Gaps) -> ToolChoice | None:
    choice = request.tool_choice
    if choice is None or facts.forces or not _is_forced(choice):
        return choice
    gaps.refuse("tool_choice", f"`{request.model}` cannot be made to call a tool")
    return replace(choice, mode="auto", name=None)


def _with_strict_tools(request: ChatRequest, facts: Claude, gaps: Gaps) -> ChatRequest:
    """Strict as many tools as the limits let be, in their order; the others are sent as they are, without `strict`."""
    held = request.response_format
    load = load_of(held.schema) if held is not None and held.kind == "json_schema" else Load()
    tools: list[Tool] = []
    count = 0
    for at, tool in enumerate(request.tools):
        if not tool.strict or tool.kind != "function":
            tools.append(tool)
            continue
        own = load_of(tool.parameters)
        is_able = facts.structures and count < MAX_STRICT_TOOLS and (load + own).fits and is_held(tool.parameters or {})
        if is_able:
            count, load = count + 1, load + own
            tools.append(tool)
        else:
            gaps.skip(f"tools[{at}].function.strict")
            tools.append(replace(tool, strict=None))
    return replace(request, tools=tuple(tools))


# response format


def _with_format(request: ChatRequest, facts: Claude, gaps: Gaps) -> ChatRequest:
    """A schema natively where the model has that, else by a tool whose input is the answer; JSON mode by instruction."""
    for at, tool in enumerate(request.tools):
        if tool.name == OUTPUT_TOOL:
            gaps.refuse(f"tools[{at}].function.name", f"`{OUTPUT_TOOL}` is the gateway's own")
    held = request.response_format
    if held is None or held.kind == "text":
        return replace(request, response_format=None)
    if held.kind == "json_object" or held.schema is None:
        gaps.skip("response_format")
        return replace(request, response_format=None, messages=_instructed(request, _JSON_ONLY))
    why = "the model has no structured output"
    if facts.structures:
        try:
            return _with_schema(request, held, held.schema, gaps)
        except CannotHold as error:
            why = str(error)
    return _with_output_tool(request, held, facts, gaps, why)


def _instructed(request: ChatRequest, text: str) -> tuple[Message, ...]:
    """The messages with one more instruction behind those at the beginning."""
    messages = request.messages
    at = next((at for at, held in enumerate(messages) if held.role not in _SPOKEN), len(messages))
    return (*messages[:at], Message("system", (Text(text),)), *messages[at:])


def _with_schema(request: ChatRequest, held: ResponseFormat, schema: Json, gaps: Gaps) -> ChatRequest:
    closed, dropped = held_schema(schema)
    if not load_of(closed).fits:
        raise CannotHold("the schema has too many optional properties or unions")
    for place in dropped:
        gaps.skip(f"response_format.json_schema.schema.{place}")
    return replace(request, response_format=replace(held, schema=closed))


def _with_output_tool(request: ChatRequest, held: ResponseFormat, facts: Claude, gaps: Gaps, why: str) -> ChatRequest:
    """The tool `headgate_output`, which the decoders turn back into content. Beside other tools one of them must be called."""
    without = replace(request, response_format=None)
    choice = request.tool_choice
    if _is_forced(choice):
        return without  # a call is asked for now, and the answer only after its result
    if not facts.forces or not is_object_schema(held.schema or {}):
        gaps.refuse("response_format", why)
        return without
    about = f"{_OUTPUT_ABOUT} {held.description or ''}".strip()
    tool = Tool(OUTPUT_TOOL, about, held.schema)
    is_alone = not request.tools or (choice is not None and choice.mode == "none")
    forced = ToolChoice("named", OUTPUT_TOOL) if is_alone else ToolChoice("required", allowed=_allowed(choice))
    return replace(without, tools=(*request.tools, tool), tool_choice=forced)


def _allowed(choice: ToolChoice | None) -> tuple[str, ...]:
    return (*choice.allowed, OUTPUT_TOOL) if choice is not None and choice.allowed else ()
