"""What an OpenAI-shaped vendor takes, applied to a canonical request before it is encoded.

It reads the quirks of a row; a class beside a row adds what data cannot say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec
from msgspec.structs import replace

from headgate.chat import (
    Audio,
    ChatRequest,
    File,
    Image,
    Message,
    Part,
    Reasoning,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from headgate.dialects import Gaps, instructions
from headgate_compatible.row import Media, Quirks

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
BUDGETS = ((1024, "low"), (8192, "medium"))
"""Up to how many tokens of thinking a budget is called what; more is `high`."""
_HINTS = {
    "user": "user",
    "metadata": "metadata",
    "store": "store",
    "prompt_cache_key": "cache_key",
    "safety_identifier": "safety_identifier",
    "verbosity": "verbosity",
}
"""Fields that only hint, by their name in OpenAI's API and in the canonical request."""
_JSON_ONLY = "Answer with one JSON object that is valid by this JSON Schema, and with nothing else: "


def adapt(request: ChatRequest, quirks: Quirks, gaps: Gaps) -> ChatRequest:
    """The request as the vendor takes it, but for its thinking. What cannot be honoured goes to `gaps`."""
    request = _with_known_fields(request, quirks, gaps)
    request = _with_functions(request, gaps)
    request = _with_stops(request, quirks, gaps)
    request = _with_format(request, quirks, gaps)
    messages: Sequence[Message] = [_turn(message, at, quirks, gaps) for at, message in enumerate(request.messages)]
    if quirks.system_first or instructions.is_strict(request.model):
        messages = instructions.instructed_first(messages, gaps)
    if quirks.flat:
        messages = [replace(message, parts=_joined(message.parts)) for message in messages]
    return replace(request, messages=tuple(messages))


def think(thinking: Thinking | None, known: Sequence[str], gaps: Gaps, switch: str = "") -> Thinking | None:
    """What is asked of thinking: an effort in the `known` words, and a mode for vendors that have a `switch`.

    A vendor that has neither is asked for nothing. Another effort, and a budget that becomes one, are named.
    """
    if thinking is None:
        return None
    effort = effort_of(thinking)
    if effort == "none":
        gaps.no_effort(thinking.effort)
    word = nearest(effort, known) if effort is not None else None
    has_budget = switch in {"enable_thinking", "chat_template_kwargs"}
    if (thinking.budget_tokens or 0) > 0 and effort != "none" and not has_budget:
        gaps.skip("thinking.budget_tokens")
    is_switched = bool(switch) and (effort == "none" or thinking.effort is None)
    if word != effort and not is_switched:
        gaps.skip("reasoning_effort")
    is_on = effort is not None or thinking.mode in {"enabled", "adaptive"}
    mode = "disabled" if effort == "none" else ("enabled" if is_on else None)
    budget = thinking.budget_tokens or None if has_budget else None
    return Thinking(word, budget, mode if switch else None, thinking.is_shown, thinking.summary)


def say_thinking(body: dict[str, Any], thinking: Thinking | None, switch: str) -> None:
    """Put into an encoded body what `think` decided: the effort by its word, and the vendor's switch."""
    body.pop("reasoning_effort", None)
    if thinking is None:
        return
    if thinking.effort is not None:
        body |= _effort_said(thinking.effort, switch)
    if thinking.mode is None or thinking.effort == "none":
        return
    is_on = thinking.mode != "disabled"
    match switch:
        case "thinking":
            body["thinking"] = {"type": "enabled" if is_on else "disabled"}
        case "enable_thinking":
            body["enable_thinking"] = is_on
            if is_on and thinking.budget_tokens:
                body["thinking_budget"] = thinking.budget_tokens
        case "chat_template_kwargs":
            budget = {"thinking_budget": thinking.budget_tokens} if is_on and thinking.budget_tokens else {}
            body["chat_template_kwargs"] = {"enable_thinking": is_on, **budget}
        case "reasoning":
            body["reasoning"] = {"enabled": is_on}
        case _:
            pass


def _effort_said(effort: str, switch: str) -> dict[str, Any]:
    return {"reasoning": {"effort": effort}} if switch == "reasoning/effort" else {"reasoning_effort": effort}


def say_sound(body: dict[str, Any], way: str) -> None:
    """Put the sound in an encoded body as `Quirks.sound` says. What is an address already stays one."""
    for message in body["messages"]:
        content = message.get("content")
        for part in cast("list[dict[str, Any]]", content) if isinstance(content, list) else ():
            if part.get("type") == "input_audio":
                part.update(_sound_said(part.pop("input_audio"), way))


def _sound_said(sound: dict[str, Any], way: str) -> dict[str, Any]:
    data, kind = str(sound["data"]), f"audio/{sound['format']}" if way == "audio_url" else ""
    url = data if ":" in data else f"data:{kind};base64,{data}"
    if way == "audio_url":
        return {"type": "audio_url", "audio_url": {"url": url}}
    return {"input_audio": {**sound, "data": url}}


def effort_of(thinking: Thinking | None) -> str | None:
    """The effort asked for, or the one that a budget or a switch comes to; None where the model may decide."""
    if thinking is None:
        return None
    if thinking.mode == "disabled" or thinking.budget_tokens == 0:
        return "none"
    if thinking.effort is not None or thinking.budget_tokens is None or thinking.budget_tokens < 0:
        return thinking.effort
    return next((effort for limit, effort in BUDGETS if thinking.budget_tokens <= limit), "high")


def nearest(effort: str, known: Sequence[str]) -> str | None:
    """The known effort closest to one asked for, the higher of two; thinking is never switched off in place of less."""
    if effort in known:
        return effort
    if effort not in EFFORTS or effort == "none":
        return None
    ranks = [word for word in EFFORTS if word in known and word != "none"]
    wanted = EFFORTS.index(effort)
    return min(ranks, key=lambda word: (abs(EFFORTS.index(word) - wanted), -EFFORTS.index(word)), default=None)


def instruct(request: ChatRequest, text: str) -> ChatRequest:
    """The request with one more instruction, behind those it begins with."""
    messages = list(request.messages)
    at = next((n for n, message in enumerate(messages) if message.role not in {"system", "developer"}), len(messages))
    messages.insert(at, Message("system", (Text(text),)))
    return replace(request, messages=tuple(messages))


def _with_known_fields(request: ChatRequest, quirks: Quirks, gaps: Gaps) -> ChatRequest:
    """Without the optional fields that the vendor has no place for."""
    left_out: dict[str, Any] = {}
    for field, name in _HINTS.items():
        if getattr(request, name) is not None and field not in quirks.knows:
            gaps.skip(field)
            left_out[name] = None
    if request.service_tier is not None and "service_tier" not in quirks.knows:
        tell = gaps.skip if request.service_tier in {"auto", "default"} else gaps.refuse
        tell("service_tier")
        left_out["service_tier"] = None
    if request.sampling.top_k is not None and "top_k" not in quirks.knows:
        gaps.refuse("top_k")
        left_out["sampling"] = replace(request.sampling, top_k=None)
    return replace(request, **left_out) if left_out else request


def _with_functions(request: ChatRequest, gaps: Gaps) -> ChatRequest:
    """With functions alone for tools, and of those the ones that may be called."""
    for at, tool in enumerate(request.tools):
        if tool.kind != "function":
            gaps.refuse(f"tools[{at}]", f"a tool of type `{tool.kind}` is not known there")
    tools = tuple(tool for tool in request.tools if tool.kind == "function")
    choice = request.tool_choice
    if choice is not None and choice.allowed:
        tools = tuple(tool for tool in tools if tool.name in choice.allowed)
        choice = replace(choice, allowed=())
    return replace(request, tools=tools, tool_choice=choice)


def _with_stops(request: ChatRequest, quirks: Quirks, gaps: Gaps) -> ChatRequest:
    sampling = request.sampling
    if quirks.max_stop is None:
        return request
    return replace(request, sampling=replace(sampling, stop=gaps.most("stop", sampling.stop, quirks.max_stop)))


def _with_format(request: ChatRequest, quirks: Quirks, gaps: Gaps) -> ChatRequest:
    """With a format of the answer that the vendor has. A schema it cannot enforce is told to the model, and said."""
    wanted = request.response_format
    if wanted is None or wanted.kind == "text" or wanted.kind in quirks.formats:
        return request
    tell = gaps.refuse if wanted.strict or "json_object" not in quirks.formats else gaps.skip
    tell("response_format.json_schema" if wanted.kind == "json_schema" else "response_format")
    own = replace(wanted, kind="json_object", schema=None) if "json_object" in quirks.formats else None
    request = replace(request, response_format=own)
    if wanted.kind != "json_schema":
        return request
    return instruct(request, _JSON_ONLY + msgspec.json.encode(wanted.schema or {}).decode())


def _turn(message: Message, at: int, quirks: Quirks, gaps: Gaps) -> Message:
    place = f"messages[{at}]"
    taken = [_taken(part, message.role, quirks, gaps, place) for part in message.parts]
    parts = [part for part in taken if part is not None]
    name = message.name
    if name is not None and "name" not in quirks.knows:
        gaps.skip(f"{place}.name")
        name = None
    role = "system" if message.role == "developer" and not quirks.developer else message.role
    return replace(message, role=role, name=name, parts=tuple(parts))


def _taken(part: Part, role: str, quirks: Quirks, gaps: Gaps, place: str) -> Part | None:
    """A part as the vendor takes it; None for one it does not, which is told. Text for a custom tool becomes an object."""
    if isinstance(part, Reasoning):
        if not quirks.thoughts:
            gaps.skip(f"{place}.reasoning")
        if quirks.thoughts in {"", "reasoning_details"}:
            return part if quirks.thoughts else None
        return replace(part, opaque=None, item_id=None, is_redacted=False)  # whose item it was says nothing here
    if isinstance(part, ToolResult):
        content = tuple(held for held in part.content if _is_taken(held, quirks, gaps, place))
        return replace(part, content=content)
    if isinstance(part, ToolCall) and part.custom:
        gaps.skip(f"{place}.tool_calls.custom")
        return replace(part, custom=False, arguments=msgspec.json.encode({"input": part.arguments}).decode())
    if isinstance(part, Image) and role == "assistant" and "images" not in quirks.knows:
        gaps.skip(f"{place}.images")
        return None
    if isinstance(part, Audio) and role == "assistant" and "audio" not in quirks.takes:
        gaps.skip(f"{place}.audio")
        return Text(part.transcript) if part.transcript else None
    return part if _is_taken(part, quirks, gaps, place) else None


def _is_taken(part: Part, quirks: Quirks, gaps: Gaps, place: str) -> bool:
    kind = _kind(part)
    if kind is None or kind in quirks.takes:
        return True
    gaps.refuse(f"{place}.content", f"no part of kind `{kind}` is taken there")
    return False


def _kind(part: Part) -> Media | None:
    """What kind of media a part is; None for text, and for documents that are nothing else."""
    if isinstance(part, Image):
        return "image"
    if isinstance(part, Audio):
        return "audio" if part.data else None
    if not isinstance(part, File):
        return None
    kind = part.media_type or ""
    if kind.startswith("video/"):
        return "video"
    return None if kind.startswith("text/") and part.data is not None else "file"


def _joined(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Texts that stand beside each other as one."""
    joined: list[Part] = []
    for part in parts:
        last = joined[-1] if joined else None
        if isinstance(part, Text) and isinstance(last, Text):
            joined[-1] = replace(last, text=last.text + part.text)
        else:
            joined.append(part)
    return tuple(joined)
