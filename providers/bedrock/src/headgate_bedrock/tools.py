"""Tools, the choice among them, and the names and ids they go by, which Converse restricts.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolConfiguration.html
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from headgate.chat import ChatRequest, ToolCall, ToolResult
from headgate.dialects import Gaps
from headgate.dialects.anthropic.schema import is_held
from headgate_bedrock.models import Model

Json = dict[str, Any]

OUTPUT_TOOL = "headgate_output"
"""The tool a model is made to call where it has no structured output of its own; its input is the answer."""
MAX_STRICT_TOOLS = 20
MAX_OPTIONAL = 24
MAX_UNIONS = 16
"""What Anthropic compiles for one request. https://platform.claude.com/docs/en/build-with-claude/structured-outputs"""

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_UNNAMED = re.compile(r"[^a-zA-Z0-9_-]")
_UNFIT = re.compile(r"[^a-zA-Z0-9_.:-]")
_MAX_ID = 64
_MISTRAL_ID = 9


def sent_names(request: ChatRequest) -> Mapping[str, str]:
    """The name each function goes by on the wire, by its own name: that of tools, and of calls in the history.

    A name Converse would refuse gets its odd characters replaced and a digest of the whole. The same request always
    gives the same names, so that a reply can be read with the request at hand.
    """
    own = dict.fromkeys(tool.name for tool in request.tools if tool.kind == "function")
    own |= dict.fromkeys(request.call_names().values())
    return {name: name if _NAME.fullmatch(name) else _legal_name(name) for name in own}


def own_names(request: ChatRequest) -> Mapping[str, str]:
    """The way back: a function's own name by the one on the wire, for those that differ."""
    return {sent: name for name, sent in sent_names(request).items() if sent != name}


def called_name(name: str) -> str:
    """The function that a reply calls. gpt-oss sometimes leaves marks of its own format behind it: `f<|channel|>commentary`."""
    return name.partition("<|")[0]


def _legal_name(name: str) -> str:
    return f"{_UNNAMED.sub('_', name)[:55]}_{_digest(name)[:8]}"


class CallIds:
    """Ids of calls as Converse takes them, each once: a call that came without one has its function's name as id.

    The first answer to an id belongs to its first call, the second to the second.
    """

    def __init__(self, *, is_short: bool = False) -> None:
        self._is_short = is_short
        self._calls: dict[str, int] = {}
        self._answers: dict[str, int] = {}

    def of_call(self, call: ToolCall) -> str:
        """The id of the next call."""
        return self._next(self._calls, call.id)

    def of_result(self, result: ToolResult) -> str:
        """The id of the call that this answers."""
        return self._next(self._answers, result.call_id)

    def _next(self, seen: dict[str, int], call_id: str) -> str:
        number = seen[call_id] = seen.get(call_id, 0) + 1
        wanted = call_id if number == 1 else f"{call_id}#{number}"
        if self._is_short:
            return wanted if len(wanted) == _MISTRAL_ID and wanted.isalnum() else _digest(wanted)[:_MISTRAL_ID]
        plain = _UNFIT.sub("_", wanted)
        if plain == wanted and 0 < len(wanted) <= _MAX_ID:
            return wanted
        return f"{plain[: _MAX_ID - 9]}_{_digest(wanted)[:8]}"


def encode_tools(request: ChatRequest, model: Model, gaps: Gaps, *, is_own: bool) -> tuple[Json | None, Json | None]:
    """`toolConfig`, and Claude's own `tool_choice` where that says what Converse cannot."""
    has_history = any(isinstance(part, ToolCall | ToolResult) for turn in request.messages for part in turn.parts)
    choice = request.tool_choice
    is_none = choice is not None and choice.mode == "none"
    if is_none and not has_history:
        return None, None
    tools = list(_listed(request, model, gaps, is_own=is_own))
    if not tools and has_history:
        tools = [_described(name, None, None) for name in dict.fromkeys(_called(request))]
        is_none = True  # they are told for the history's sake, and nobody offers them
    if not tools:
        return None, None
    config: Json = {"tools": tools}
    if is_none:
        if not model.has_tool_switches:
            gaps.skip("tool_choice")
        return config, {"type": "none"} if model.has_tool_switches else None
    forced = _forced(request, model, gaps, config, is_own=is_own)
    if request.parallel_tool_calls is False:
        if model.has_tool_switches:
            return config, {**_switch(forced), "disable_parallel_tool_use": True}
        gaps.refuse("parallel_tool_calls", "this model cannot be held to one call at a time")
    if forced is not None:
        config["toolChoice"] = forced
    return config, None


def _listed(request: ChatRequest, model: Model, gaps: Gaps, *, is_own: bool) -> Iterator[Json]:
    names = sent_names(request)
    allowed = request.tool_choice.allowed if request.tool_choice else ()
    is_strict = is_own or (model.has_json_schema and model.has_strict_tools and _fits(request))
    for at, tool in enumerate(request.tools):
        place = f"tools[{at}]"
        if tool.kind != "function":
            if is_own and tool.raw is not None:
                yield tool.raw
            else:
                gaps.refuse(place, "only functions can be offered to a model on Bedrock")
        elif not allowed or tool.name in allowed:
            spec = _described(names[tool.name], tool.description, tool.parameters)
            if tool.strict and is_strict and (is_own or not model.is_claude or is_held(tool.parameters or {})):
                spec["toolSpec"]["strict"] = True
            elif tool.strict:
                gaps.skip(f"{place}.function.strict")
            if is_own:
                spec["toolSpec"] |= tool.extra
            else:
                gaps.extra(tool.extra, place)
            yield spec
            if tool.cache is not None and ("tools" in model.caches or is_own):
                yield cache_point(tool.cache, model, gaps, place)
            elif tool.cache is not None:
                gaps.skip(f"{place}.cache_control")


def cache_point(cache: Json, model: Model, gaps: Gaps, place: str) -> Json:
    """The mark behind a block up to which the prompt is to be cached."""
    point: Json = {"type": "default"}
    ttl: object = cache.get("ttl")
    if ttl in {"5m", "1h"} and (model.has_long_cache or ttl == "5m"):
        point["ttl"] = ttl
    elif ttl is not None:
        gaps.skip(f"{place}.cache_control.ttl")
    return {"cachePoint": point}


def _described(name: str, description: str | None, parameters: Json | None) -> Json:
    spec: Json = {"name": name}
    if description and description.strip():
        spec["description"] = description
    schema = {"type": "object", **(parameters or {})}
    if isinstance(schema["type"], list) and "object" in schema["type"]:
        schema["type"] = "object"  # the one word that Converse takes there
    spec["inputSchema"] = {"json": schema}
    return {"toolSpec": spec}


def _called(request: ChatRequest) -> Iterator[str]:
    """The functions of the history: a conversation that has calls needs tools to be sent along, whatever they are."""
    names = sent_names(request)
    for turn in request.messages:
        for part in turn.parts:
            if isinstance(part, ToolCall):
                yield names[part.name]


def _forced(request: ChatRequest, model: Model, gaps: Gaps, config: Json, *, is_own: bool) -> Json | None:
    """`toolChoice`, None for the default. A tool that cannot be named is left as the only one there is."""
    choice = request.tool_choice
    if choice is None or choice.mode == "auto":
        return None
    if choice.mode == "other":
        raw: object = choice.raw
        if is_own and isinstance(raw, dict):
            return cast("Json", raw)
        gaps.refuse("tool_choice")
        return None
    if choice.mode == "required" and "any" in model.forces:
        return {"any": {}}
    if choice.mode == "named":
        name = sent_names(request).get(choice.name or "", choice.name or "")
        if "tool" in model.forces:
            return {"tool": {"name": name}}
        if "any" in model.forces:
            config["tools"] = [tool for tool in config["tools"] if tool.get("toolSpec", {}).get("name") == name]
            return {"any": {}}
    gaps.refuse("tool_choice", "this model cannot be made to call a tool")
    return None


def _switch(forced: Json | None) -> Json:
    """A choice in Claude's own words. https://docs.claude.com/en/docs/agents-and-tools/tool-use/implement-tool-use"""
    if forced is None:
        return {"type": "auto"}
    return {"type": "tool", **forced["tool"]} if "tool" in forced else {"type": "any"}


def _fits(request: ChatRequest) -> bool:
    """Whether the strict schemas of a request are within what is compiled for one."""
    strict = [tool for tool in request.tools if tool.strict and tool.kind == "function"]
    counts = [_counted(tool.parameters) for tool in strict]
    optional, unions = sum(count[0] for count in counts), sum(count[1] for count in counts)
    return len(strict) <= MAX_STRICT_TOOLS and optional <= MAX_OPTIONAL and unions <= MAX_UNIONS


def _counted(schema: object) -> tuple[int, int]:
    """How many optional and how many union-typed members a schema has, at any depth."""
    if isinstance(schema, list):
        counts = [_counted(item) for item in cast("list[object]", schema)]
        return sum(count[0] for count in counts), sum(count[1] for count in counts)
    if not isinstance(schema, dict):
        return 0, 0
    held = cast("Json", schema)
    properties: Any = held.get("properties")
    required: Any = held.get("required")
    needed = set(map(str, cast("list[Any]", required))) if isinstance(required, list) else set[str]()
    optional = len(set(cast("Json", properties)) - needed) if isinstance(properties, dict) else 0
    unions = int("anyOf" in held or isinstance(held.get("type"), list))
    deeper = [_counted(item) for item in held.values()]
    return optional + sum(count[0] for count in deeper), unions + sum(count[1] for count in deeper)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
