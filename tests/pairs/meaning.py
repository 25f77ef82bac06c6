"""What a request or a reply means, as a table of slots: the one form in which two dialects are compared.

Boundaries of blocks are free, adjacent turns of one role are one, ids only join results to their calls, and the words that the
gateway itself puts around what a dialect has no place for count for nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from headgate.chat import (
    Audio,
    ChatReply,
    ChatRequest,
    Choice,
    File,
    Image,
    Item,
    Message,
    Part,
    Reasoning,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Usage,
)

Json = dict[str, Any]

_NOTES = re.compile(
    r"\(what this call returned as an? [a-z]+ follows in a user message\)|Returned by tool call `[^`]*`:|</?system>"
    r"|See the document\.|Answer with one JSON object and nothing else: no text around it and no code fence\.|\n"
)
"""What the gateway says around what it moves elsewhere or cannot say otherwise, and line breaks, by which texts are joined."""


def asked(request: ChatRequest, names: Mapping[str, str] | None = None) -> Json:
    """The meaning of a request, slot by slot. `names` are names of tools that stand for others."""
    known = names or {}
    parts = [part for message in request.messages for part in message.parts]
    return {
        **_said(request.messages),
        **_tools(request, known),
        "media": sorted(map(_media, _shown(parts))),
        "calls": [
            (known.get(part.name, part.name), arguments_of(part)) for part in parts if isinstance(part, ToolCall)
        ],
        "results": [(at, text) for at, text, _ in _results(parts)],
        "failed": [at for at, _, is_error in _results(parts) if is_error],
        "speakers": [message.name for message in request.messages if message.name and message.role != "tool"],
        "marks": sum(_is_marked(part) for part in (*parts, *_offered(request))),
        "refusals": [part.text for part in parts if isinstance(part, Refusal)],
        "thoughts": [part.text for part in parts if isinstance(part, Reasoning)],
        "signatures": [part.opaque.data for part in parts if isinstance(part, Reasoning) and part.opaque],
        "details": [
            part.detail for part in _shown(parts) if isinstance(part, Image) and part.detail not in {None, "auto"}
        ],
        "filenames": [part.title or part.filename for part in _shown(parts) if isinstance(part, File)],
        **_params(request),
    }


def answered(reply: ChatReply, names: Mapping[str, str] | None = None) -> Json:
    """The meaning of a reply, slot by slot; slots of answers are lists of what each answer says."""
    known = names or {}
    held = [_answer(choice, known) for choice in reply.choices]
    slots = {slot: [answer[slot] for answer in held] for slot in (held[0] if held else ())}
    usage = reply.usage or Usage()
    return {
        "answers": len(held),
        **slots,
        "prompt": usage.prompt,
        "completion": usage.completion,
        "cached": usage.cached,
        "cache_write": usage.cache_write,
        "reasoning_tokens": usage.reasoning,
        "id": reply.id,
        "model": reply.model,
        "created": reply.created,
        "service_tier": reply.service_tier,
    }


def _answer(choice: Choice, names: Mapping[str, str]) -> Json:
    parts = choice.message.parts
    texts = [part for part in parts if isinstance(part, Text)]
    return {
        "said": "".join(part.text for part in parts if isinstance(part, Text | Refusal)).replace("\n", ""),
        "refusal": "".join(part.text for part in parts if isinstance(part, Refusal)),
        "sources": [(cited.url, cited.title) for part in texts for cited in part.citations],
        "thought": "".join(part.text for part in parts if isinstance(part, Reasoning)),
        "signed": [part.opaque for part in parts if isinstance(part, Reasoning) and part.opaque],
        "calls": [
            (names.get(part.name, part.name), arguments_of(part)) for part in parts if isinstance(part, ToolCall)
        ],
        "signed_calls": [part.opaque for part in parts if isinstance(part, ToolCall) and part.opaque],
        "pictures": [_media(part) for part in parts if isinstance(part, Image)],
        "items": [(part.dialect, part.raw) for part in parts if isinstance(part, Item)],
        "finish": choice.finish,
        "stop": choice.stop,
    }


def arguments_of(call: ToolCall) -> str:
    """The arguments of a call as JSON in one form; none at all are an empty object."""
    text = call.arguments.strip() or "{}"
    return text if call.custom else json.dumps(json.loads(text), sort_keys=True)


def _said(messages: Iterable[Message]) -> Json:
    """Every word in its order, and whose they are: instructions apart, adjacent turns of one role as one."""
    turns: list[list[str]] = []
    for message in messages:
        role = {"developer": "system", "tool": "user"}.get(message.role, message.role)
        said = _NOTES.sub("", "".join(part.text for part in message.parts if isinstance(part, Text | Refusal)))
        if said and turns and turns[-1][0] == role:
            turns[-1][1] += said
        elif said:
            turns.append([role, said])
    return {"turns": turns, "words": "".join(said for _, said in turns)}


def _shown(parts: Iterable[Part]) -> list[Image | File | Audio]:
    """Pictures, files and sounds, those that tools gave too."""
    found: list[Image | File | Audio] = []
    for part in parts:
        if isinstance(part, ToolResult):
            found += [held for held in part.content if not isinstance(held, Text)]
        elif isinstance(part, Image | File | Audio):
            found.append(part)
    return found


def _media(part: Image | File | Audio) -> str:
    if isinstance(part, Audio):
        return f"{part.format} {part.data}"
    return f"{part.media_type} {part.data}" if part.data is not None else part.url or f"id {part.file_id}"


def _results(parts: Iterable[Part]) -> list[tuple[int, str, bool]]:
    """What tools answered, by the number of the call."""
    calls: dict[str, int] = {}
    found: list[tuple[int, str, bool]] = []
    for part in parts:
        if isinstance(part, ToolCall):
            calls[part.id] = len(calls)
        elif isinstance(part, ToolResult):
            found.append((calls.get(part.call_id, -1), _NOTES.sub("", part.text), part.is_error))
    return sorted(found)


def _is_marked(held: object) -> bool:
    inner: Any = getattr(held, "content", ())
    return getattr(held, "cache", None) is not None or any(map(_is_marked, inner))


def _offered(request: ChatRequest) -> list[Tool]:
    """The functions that may be called, after all that is said of their use."""
    choice = request.tool_choice or ToolChoice("auto")
    functions = [tool for tool in request.tools if tool.kind == "function"]
    only = {choice.name} if choice.mode == "named" else set(choice.allowed) or {tool.name for tool in functions}
    return [tool for tool in functions if choice.mode != "none" and tool.name in only]


def _tools(request: ChatRequest, names: Mapping[str, str]) -> Json:
    choice = request.tool_choice or ToolChoice("auto")
    offered = _offered(request)
    return {
        "tools": [names.get(tool.name, tool.name) for tool in offered],
        "must_call": choice.mode in {"required", "named"} and bool(offered),
        "parallel_tool_calls": not (request.parallel_tool_calls is False and offered),
        "descriptions": [tool.description for tool in offered if tool.description],
        "parameters": [{"properties": {}, **(tool.parameters or {"type": "object"})} for tool in offered],
        "strict": [names.get(tool.name, tool.name) for tool in offered if tool.strict],
        "others": [tool.kind for tool in request.tools if tool.kind != "function"],
    }


def _params(request: ChatRequest) -> Json:
    """Values that ask for something: what is 0, empty or the default asks for nothing where that is so everywhere."""
    sampling, form = request.sampling, request.response_format
    return {
        "temperature": sampling.temperature,
        "top_p": None if sampling.top_p == 1 else sampling.top_p,
        "top_k": sampling.top_k,
        "max_tokens": sampling.max_tokens,
        "stop": list(sampling.stop),
        "seed": sampling.seed,
        "presence_penalty": sampling.presence_penalty or None,
        "frequency_penalty": sampling.frequency_penalty or None,
        "logit_bias": sampling.logit_bias or None,
        "logprobs": bool(sampling.logprobs or sampling.top_logprobs),
        "top_logprobs": sampling.top_logprobs or None,
        "n": sampling.n or 1,
        "format": "text" if form is None else form.kind,
        "schema": None if form is None else form.schema,
        "schema_name": None if form is None else form.name,
        "schema_description": None if form is None else form.description,
        "schema_strict": bool(form is not None and form.strict),
        **_thinking(request.thinking or Thinking()),
        "stream": request.stream,
        "user": request.user,
        "metadata": request.metadata,
        "service_tier": request.service_tier,
        "verbosity": request.verbosity,
        "cache_key": request.cache_key,
        "safety_identifier": request.safety_identifier,
        "store": bool(request.store),
    }


def _thinking(thinking: Thinking) -> Json:
    """Whether to think at all, which every vendor can say in one way or another, and how much, where it has words for it."""
    is_off = thinking.effort == "none" or thinking.mode == "disabled" or thinking.budget_tokens == 0
    is_on = thinking.mode == "enabled" or thinking.is_shown or bool(thinking.effort or thinking.budget_tokens)
    return {
        "thinks": "no" if is_off else "yes" if is_on else thinking.mode,
        "effort": None if is_off else thinking.effort,
        "budget": None if is_off or thinking.budget_tokens == -1 else thinking.budget_tokens,
        "shown": None if is_off else thinking.is_shown,
        "summary": None if is_off or thinking.summary == "auto" else thinking.summary,
    }
