"""The canonical model to Anthropic Messages JSON: requests. What cannot be said is told to `gaps`.

Source: https://platform.claude.com/docs/en/api/messages/create
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from msgspec.structs import replace

from headgate.chat import ChatRequest, Sampling, Thinking, Tool, ToolCall, ToolChoice
from headgate.dialects.anthropic.models import claude_of
from headgate.dialects.anthropic.names import NAME, ToolNames
from headgate.dialects.anthropic.turns import FOREIGN_HINTS, Turns, shortened
from headgate.dialects.gaps import Gaps
from headgate.dialects.openai.members import Json, given, merged, objects

IGNORED = frozenset(
    {
        # refused or left out by name: the API has nothing like them
        "Audio.data",
        "Audio.extra",
        "Audio.format",
        "Audio.id",
        "ChatRequest.cache_key",
        "ChatRequest.metadata",
        "ChatRequest.store",
        "ChatRequest.verbosity",
        "Image.detail",
        "Message.name",
        "Sampling.frequency_penalty",
        "Sampling.logit_bias",
        "Sampling.logprobs",
        "Sampling.n",
        "Sampling.presence_penalty",
        "Sampling.seed",
        "Sampling.top_logprobs",
        # the API says it anyway, or the place of the part says it
        "ChatRequest.include_usage",
        "ToolCall.index",
        "ToolResult.name",
        # only a label of what is sent
        "ResponseFormat.name",
        "ResponseFormat.strict",
        "Thinking.summary",
        # another vendor's: told as `reasoning` or `signature`
        "Opaque.account",
        "Reasoning.is_summary",
        "Reasoning.item_id",
        "ToolCall.item_id",
        "Citation.end",
        "Citation.quote",
        "Citation.start",
        "Citation.title",
        "Citation.url",
    }
)
"""Canonical fields that no request holds."""
MAX_MARKS = 4
"""Cache breakpoints in a request. https://platform.claude.com/docs/en/build-with-claude/prompt-caching"""

_EFFORTS = {"low", "medium", "high", "xhigh", "max"}
_HINTS = ("metadata", "store", "verbosity", "cache_key")
_CALLED = {"cache_key": "prompt_cache_key"}
_PENALTIES = ("presence_penalty", "frequency_penalty")


def encode_request(request: ChatRequest, gaps: Gaps) -> Json:
    """A Messages request. Raises UnsupportedField through `gaps`; a missing token limit is the model's own."""
    names = ToolNames(request)
    turns = Turns(request, names, gaps)
    messages = turns.messages()
    body: Json = {
        "model": request.model,
        "max_tokens": _max_tokens(request),
        **given(system=shortened(turns.system) if turns.system else None),
        "messages": messages,
        **_encode_sampling(request.sampling, gaps),
        **_encode_tools(request, names, gaps),
        **_encode_output(request, gaps),
    }
    user = request.safety_identifier or request.user
    if user is not None:
        body["metadata"] = {"user_id": user}
    if request.user not in {None, user}:
        gaps.skip("user")
    if request.stream:
        body["stream"] = True
    tier = _encode_tier(request.service_tier, gaps)
    if tier is not None:
        body["service_tier"] = tier
    for name in _HINTS:
        if getattr(request, name) is not None:
            gaps.skip(_CALLED.get(name, name))
    if request.dialect == NAME:
        body = merged(body, request.extra)
    else:
        gaps.extra(request.extra, hints=FOREIGN_HINTS)
    return _with_few_marks(body, gaps)


def _max_tokens(request: ChatRequest) -> int:
    """What the caller asks for, else all that the model can write, but more than it may think."""
    asked = request.sampling.max_tokens
    if asked is not None:
        return asked
    budget = request.thinking.budget_tokens if request.thinking is not None else None
    return max(claude_of(request.model).max_output, (budget or 0) + 1024)


def _encode_sampling(sampling: Sampling, gaps: Gaps) -> Json:
    if sampling.temperature is not None and sampling.temperature > 1:
        gaps.refuse("temperature", "it goes from 0 to 1 there")
        sampling = replace(sampling, temperature=None)
    for name in ("seed", "logit_bias", "logprobs", "top_logprobs"):
        if getattr(sampling, name):
            gaps.refuse(name)
    if sampling.seed == 0:
        gaps.refuse("seed")
    for name in _PENALTIES:
        if getattr(sampling, name):
            gaps.refuse(name)
    if (sampling.n or 1) > 1:
        gaps.refuse("n", "it gives one answer at a time")
    stop = [text for text in sampling.stop if text.strip()]
    if len(stop) < len(sampling.stop):
        gaps.refuse("stop", "a stop sequence of white space alone is refused there")
    return given(
        temperature=sampling.temperature, top_p=sampling.top_p, top_k=sampling.top_k, stop_sequences=stop or None
    )


def _encode_tools(request: ChatRequest, names: ToolNames, gaps: Gaps) -> Json:
    """The tools and what is said about their use. Of a history with calls the tools are declared even when none is given."""
    choice = request.tool_choice
    allowed = set(choice.allowed) if choice is not None else set[str]()
    tools = [
        sent
        for at, tool in enumerate(request.tools)
        if not allowed or tool.kind != "function" or tool.name in allowed
        if (sent := _encode_tool(request, tool, names, f"tools[{at}]", gaps)) is not None
    ]
    if not tools:
        called = dict.fromkeys(names[name] for name in _called(request))
        stubs = [{"name": name, "input_schema": {"type": "object"}} for name in called]
        return {"tools": stubs, "tool_choice": {"type": "none"}} if stubs else {}
    sent_choice = _encode_choice(request, choice, names, gaps)
    if request.parallel_tool_calls is not None and (sent_choice or {}).get("type") != "none":
        is_own = request.dialect == NAME
        if is_own or not request.parallel_tool_calls:
            sent_choice = {**(sent_choice or {"type": "auto"})}
            sent_choice["disable_parallel_tool_use"] = not request.parallel_tool_calls
    return {"tools": tools, **given(tool_choice=sent_choice)}


def _called(request: ChatRequest) -> Iterator[str]:
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, ToolCall):
                yield part.name


def _encode_tool(request: ChatRequest, tool: Tool, names: ToolNames, place: str, gaps: Gaps) -> Json | None:
    is_own = request.dialect == NAME
    if tool.kind != "function":
        if is_own and tool.raw is not None:
            return dict(tool.raw)
        gaps.refuse(place, f"the tool `{tool.kind}` is another provider's own")
        return None
    body: Json = {
        "name": names[tool.name],
        **given(description=tool.description or None),
        "input_schema": _object_schema(tool.parameters, place, gaps),
        **given(strict=tool.strict if is_own else tool.strict or None, cache_control=tool.cache),
    }
    if is_own:
        return merged(body, tool.extra)
    gaps.extra(tool.extra, place, hints=FOREIGN_HINTS)
    return body


def _object_schema(schema: Json | None, place: str, gaps: Gaps) -> Json:
    """A schema whose root says that it is an object, as the API demands."""
    if not schema:
        return {"type": "object", "properties": {}}
    kind = schema.get("type")
    if kind == "object":
        return schema
    if isinstance(kind, list) and "object" in kind:
        return {**schema, "type": "object"}
    if "type" not in schema and not {"anyOf", "oneOf", "allOf", "enum", "const"} & schema.keys():
        return {"type": "object", **schema}
    gaps.refuse(f"{place}.function.parameters", "the root of the schema must be an object")
    return {"type": "object"}


def _encode_choice(request: ChatRequest, choice: ToolChoice | None, names: ToolNames, gaps: Gaps) -> Json | None:
    if choice is None:
        return None
    match choice.mode:
        case "named":
            return {"type": "tool", "name": names[choice.name or ""]}
        case "required":
            return {"type": "any"}
        case "other":
            raw: object = choice.raw
            if request.dialect == NAME and isinstance(raw, dict):
                return dict(cast("Json", raw))
            gaps.refuse("tool_choice")
            return None
        case _:
            return {"type": choice.mode}


def _encode_output(request: ChatRequest, gaps: Gaps) -> Json:
    """`thinking` and `output_config`. A schema is written as it is; a policy has seen to it that the model takes it."""
    config: Json = {}
    thinking, held = request.thinking, request.response_format
    if thinking is not None and thinking.effort in _EFFORTS:
        config["effort"] = thinking.effort
    elif thinking is not None and thinking.effort == "minimal":
        config["effort"] = "low"
    if held is not None and held.kind == "json_schema" and held.schema is not None:
        about = {"description": held.description} if held.description else {}
        config["format"] = {"type": "json_schema", "schema": {**about, **held.schema}}
    elif held is not None and held.kind != "text":
        gaps.refuse("response_format", "there is no JSON mode without a schema")
    return given(thinking=_encode_thinking(thinking), output_config=config or None)


def _encode_thinking(thinking: Thinking | None) -> Json | None:
    if thinking is None:
        return None
    if thinking.mode == "disabled" or thinking.effort == "none":
        return {"type": "disabled"}
    shown = None if thinking.is_shown is None else "summarized" if thinking.is_shown else "omitted"
    if thinking.mode == "enabled" or (thinking.mode is None and thinking.budget_tokens is not None):
        return {"type": "enabled", "budget_tokens": max(1024, thinking.budget_tokens or 0), **given(display=shown)}
    if thinking.mode == "adaptive":
        return {"type": "adaptive", **given(display=shown)}
    return None


def _encode_tier(tier: str | None, gaps: Gaps) -> str | None:
    """OpenAI's `default` is standard capacity alone; `auto` is what both do unasked."""
    if tier in {None, "auto"}:
        return tier
    if tier in {"default", "standard_only"}:
        return "standard_only"
    gaps.refuse("service_tier")
    return None


def _with_few_marks(body: Json, gaps: Gaps) -> Json:
    """No more cache marks than the API takes: the last ones stay, since they cover the most."""
    marked = list(_marked(body))
    spare = len(marked) + ("cache_control" in body) - MAX_MARKS
    if spare <= 0:
        return body
    gaps.skip("cache_control")
    for block in marked[:spare]:
        del block["cache_control"]
    return body


def _marked(body: Json) -> Iterator[Json]:
    """The blocks with a cache mark, in the order of the prompt."""
    holders = [body.get("tools"), body.get("system"), *(message.get("content") for message in body["messages"])]
    for holder in holders:
        for block in objects(holder):
            yield from (
                held for held in (*objects(block.get("content")), block) if held.get("cache_control") is not None
            )
