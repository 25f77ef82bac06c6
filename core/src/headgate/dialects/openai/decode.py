"""OpenAI chat requests to the canonical model. Pure functions; they raise InvalidRequest that names the place of a wrong shape.

Source: https://platform.openai.com/docs/api-reference/chat/create; members of other vendors' OpenAI-shaped APIs that mean the
same everywhere (`thinking`, `reasoning`) are understood too.
"""

from __future__ import annotations

from typing import Any, Literal, cast

from headgate.body import decode_object
from headgate.chat import ChatRequest, ResponseFormat, Sampling, Thinking, ThinkingMode, Tool, ToolChoice
from headgate.dialects.openai.members import Json, Members, as_object, objects, seconds, typed
from headgate.dialects.openai.message import DIALECT, decode_message
from headgate.errors import InvalidRequest

__all__ = [
    "HINTS",
    "LEGACY",
    "REASONING",
    "SAMPLING",
    "Json",
    "Members",
    "decode_request",
    "objects",
    "seconds",
    "typed",
]

SAMPLING: dict[str, type[Any]] = {
    "temperature": float,
    "top_p": float,
    "top_k": int,
    "seed": int,
    "presence_penalty": float,
    "frequency_penalty": float,
    "logit_bias": dict[str, float],
    "logprobs": bool,
    "top_logprobs": int,
    "n": int,
}
"""Fields of Sampling that this dialect calls by the same name."""
HINTS = frozenset(
    {
        "closed",
        "namespace",
        "prediction",
        "prompt_cache_options",
        "prompt_cache_retention",
        "stream_options",
        "transforms",
        "usage",
    }
)
"""Members in `extra` that another dialect may leave out: they change speed, cost or what is told beside, or say, as Mistral's
`closed` does of thinking, that a part is whole."""
LEGACY = "functions"
"""In a request's `extra`, with nothing as its value: the caller has functions instead of tools, and wants `function_call`."""
REASONING = "reasoning"
"""In a request's `extra`, even with nothing left in it: the caller has this object instead of `reasoning_effort`."""

_MODES: dict[object, ThinkingMode] = {"enabled": "enabled", "adaptive": "adaptive", "disabled": "disabled"}


def decode_request(encoded: bytes) -> ChatRequest:
    """A chat request."""
    body = Members(decode_object(encoded))
    messages = body.take("messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidRequest("`messages` must be a list with at least one message", param="messages")
    turns = [decode_message(value, f"messages[{at}]") for at, value in enumerate(cast("list[object]", messages))]
    tools, is_legacy = _decode_tools(body)
    forms: Json = {REASONING: {}} if isinstance(body.peek(REASONING), dict) else {}
    return ChatRequest(
        model=body.find("model", str) or "",
        messages=tuple(turns),
        sampling=_decode_sampling(body),
        tools=tools,
        tool_choice=_decode_tool_choice(body),
        parallel_tool_calls=_decode_parallel(body, is_legacy=is_legacy),
        response_format=_decode_format(body),
        thinking=_decode_thinking(body),
        stream=body.find("stream", bool) or False,
        include_usage=_decode_stream_options(body),
        user=body.find("user", str),
        metadata=body.find("metadata", Json),
        service_tier=body.find("service_tier", str),
        verbosity=body.find("verbosity", str),
        cache_key=body.find("prompt_cache_key", str),
        safety_identifier=body.find("safety_identifier", str),
        store=body.find("store", bool),
        dialect=DIALECT,
        extra={**forms, **_rest_of(body, is_legacy=is_legacy)},
    )


def _rest_of(body: Members, *, is_legacy: bool) -> Json:
    """What has no place, without what asks for nothing: another dialect would have to refuse it."""
    if body.peek("modalities") == ["text"]:
        body.take("modalities")
    if body.peek("web_search_options") == {}:
        body.put("web_search_options", {"search_context_size": "medium"})  # an empty object asks for a search
    rest = body.rest()
    return {**rest, LEGACY: None} if is_legacy else rest


def _decode_sampling(body: Members) -> Sampling:
    stop, older = body.take("stop"), body.find("max_tokens", int)
    limit = body.find("max_completion_tokens", int)
    return Sampling(
        max_tokens=older if limit is None else limit,
        stop=(stop,) if isinstance(stop, str) else tuple(typed(stop or [], list[str], "stop")),
        **{name: body.find(name, kind) for name, kind in SAMPLING.items()},
    )


def _decode_stream_options(body: Members) -> bool:
    """Whether usage was asked for. That no padding is wanted is true of every translated stream."""
    options = body.inner_if_given("stream_options")
    if options is None:
        return False
    if options.peek("include_obfuscation") is False:
        options.take("include_obfuscation")
    return bool(options.find("include_usage", bool))


def _decode_thinking(body: Members) -> Thinking | None:
    """How much to think: OpenAI's `reasoning_effort`, the `thinking` of Anthropic and DeepSeek, OpenRouter's `reasoning`.

    https://api-docs.deepseek.com/guides/thinking_mode, https://openrouter.ai/docs/use-cases/reasoning-tokens
    """
    effort = body.find_if("reasoning_effort", str)
    mode, budget, is_shown = _decode_switch(body)
    summary: str | None = None
    reasoning = body.inner_if_object("reasoning")
    if reasoning is not None:
        effort = reasoning.find("effort", str) or effort
        budget = reasoning.find("max_tokens", int) or budget
        summary = reasoning.find("summary", str)
        is_enabled, is_hidden = reasoning.find("enabled", bool), reasoning.find("exclude", bool)
        mode = mode if is_enabled is None else ("enabled" if is_enabled else "disabled")
        is_shown = is_shown if is_hidden is None else not is_hidden
    older = body.find_if("include_reasoning", bool)
    thinking = Thinking(effort, budget, mode, older if is_shown is None else is_shown, summary)
    if body.peek("reasoning_effort") is None:
        body.take("reasoning_effort")
    return None if thinking == Thinking() else thinking


def _decode_switch(body: Members) -> tuple[ThinkingMode | None, int | None, bool | None]:
    thinking = body.inner_if_object("thinking")
    if thinking is None:
        return None, None, None
    kind = thinking.peek("type")
    mode = _MODES.get(kind) if isinstance(kind, str) else None
    if mode is not None:
        thinking.take("type")
    shown = thinking.find("display", str)
    return mode, thinking.find("budget_tokens", int), None if shown is None else shown != "omitted"


def _decode_tools(body: Members) -> tuple[tuple[Tool, ...], bool]:
    """The tools, and whether they are functions of the older form."""
    tools = [_decode_tool(tool) for tool in body.listed("tools")]
    legacy = body.listed("functions")
    tools += [_decode_function(function, function) for function in legacy]
    return tuple(tools), bool(legacy)


def _decode_tool(tool: Members) -> Tool:
    raw = tool.rest()
    kind = tool.find("type", str) or "function"
    if kind != "function":
        name = tool.inner("custom").find("name", str) if kind == "custom" else None
        return Tool(name or kind, kind=kind, raw=raw)
    is_flat = (
        tool.peek("function") is None and tool.peek("name") is not None
    )  # as in Responses: Cursor sends both in one list
    return _decode_function(tool if is_flat else tool.inner("function"), tool)


def _decode_function(function: Members, tool: Members) -> Tool:
    """A function; `tool` is the object around it, which may be the function itself."""
    mark = tool.find("cache_control", Json)
    name, description = function.need("name", str), function.find("description", str)
    parameters, is_strict = function.find("parameters", Json), function.find("strict", bool)
    return Tool(name, description, parameters, is_strict, cache=mark, extra=tool.rest())


def _decode_tool_choice(body: Members) -> ToolChoice | None:
    choice: object = body.take("tool_choice")
    older: object = body.take("function_call")
    if choice is None:
        named = as_object(older)
        choice = older if named is None else {"type": "function", "function": named}
    if choice is None:
        return None
    if isinstance(choice, str):
        mode = "required" if choice == "any" else choice  # Mistral's word
        if mode in {"auto", "none", "required"}:
            return ToolChoice(cast('Literal["auto", "none", "required"]', mode))
        return ToolChoice("other", raw=choice)
    if not isinstance(choice, dict):
        raise InvalidRequest("`tool_choice` must be a word or an object", param="tool_choice")
    return _decode_named(cast("Json", choice)) or ToolChoice("other", raw=choice)


def _decode_named(choice: Json) -> ToolChoice | None:
    """The tools that this choice names, when that is all it says."""
    match choice:
        case {"type": "function", "function": {"name": str(name), **inner}, **outer} if not inner and not outer:
            return ToolChoice("named", name)
        case {"type": "custom", "custom": {"name": str(name), **inner}, **outer} if not inner and not outer:
            return ToolChoice("named", name)
        case {"type": "allowed_tools", "allowed_tools": {"mode": "auto" | "required" as mode, "tools": tools}}:
            names = [_name_of(tool) for tool in objects(tools)]
            if names and all(names):
                return ToolChoice(cast('Literal["auto", "required"]', mode), allowed=tuple(map(str, names)))
        case _:
            pass
    return None


def _name_of(tool: Json) -> str | None:
    match tool:
        case {"type": "function", "function": {"name": str(name)}} | {"type": "custom", "custom": {"name": str(name)}}:
            return name
        case _:
            return None


def _decode_parallel(body: Members, *, is_legacy: bool) -> bool | None:
    """Whether calls may come together; the older form has room for one."""
    return False if is_legacy else body.find("parallel_tool_calls", bool)


def _decode_format(body: Members) -> ResponseFormat | None:
    """The format of the answer. One of a kind that OpenAI does not have stays in `extra`."""
    held = body.peek("response_format")
    kind: object = (as_object(held) or {}).get("type")
    if held is not None and (not isinstance(kind, str) or kind not in {"text", "json_object", "json_schema"}):
        if not isinstance(kind, str):
            place = "response_format.type"
            raise InvalidRequest(f"`{place}` must be one of text, json_object, json_schema", param=place)
        return None
    value = body.inner_if_given("response_format")
    if value is None:
        return None
    kind = value.need("type", str)
    if kind != "json_schema":
        return ResponseFormat(cast('Literal["text", "json_object"]', kind))
    schema = value.inner("json_schema")
    return ResponseFormat(
        "json_schema",
        schema.find("name", str),
        schema.find("schema", Json),
        schema.find("strict", bool),
        schema.find("description", str),
    )
