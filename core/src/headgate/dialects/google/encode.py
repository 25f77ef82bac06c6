"""The canonical model to generateContent requests. What Google cannot say goes to `gaps`, by the name the client called it.

Source: https://ai.google.dev/api/generate-content and https://ai.google.dev/gemini-api/docs/function-calling
"""

from __future__ import annotations

from typing import cast

from headgate.chat import (
    ChatRequest,
    ResponseFormat,
    Tool,
    ToolChoice,
)
from headgate.dialects.gaps import Gaps
from headgate.dialects.google.facts import (
    NAME,
    TIERS,
    generation,
    legal_name,
)
from headgate.dialects.google.schema import reduced_schema, sent_schema
from headgate.dialects.google.turns import Turns
from headgate.dialects.openai.members import Json, merged

IGNORED = frozenset(
    {
        # where the call goes says them
        "ChatRequest.model",
        "ChatRequest.stream",
        "ChatRequest.include_usage",  # Google always tells
        # hints and bookkeeping of others: named in `gaps`
        "ChatRequest.user",
        "ChatRequest.metadata",
        "ChatRequest.verbosity",
        "ChatRequest.cache_key",
        "ChatRequest.safety_identifier",
        "Message.name",
        "Text.cache",
        "Image.cache",
        "File.cache",
        "ToolCall.cache",
        "ToolResult.cache",
        "Tool.cache",
        "Image.detail",
        "File.title",
        "File.context",
        "File.cites",
        "Text.citations",
        # refused by name
        "ChatRequest.parallel_tool_calls",
        "Sampling.logit_bias",
        # say nothing a model could use: places in lists, ids of another API's items, names of a schema
        "ToolCall.id",
        "ToolCall.index",
        "ToolCall.item_id",
        "ToolCall.custom",
        "Reasoning.is_redacted",
        "Reasoning.is_summary",
        "Audio.id",
        "ResponseFormat.name",
        "ResponseFormat.strict",
        "Thinking.summary",
    }
)
"""Canonical fields that are never written, and why."""

_HINTS = frozenset(
    {
        "anthropic_beta",
        "betas",
        "cache_control",
        "context_management",
        "defer_loading",
        "diagnostics",
        "eager_input_streaming",
        "include",
        "input_examples",
        "output_config",
        "prediction",
        "prompt_cache_breakpoint",
        "prompt_cache_options",
        "prompt_cache_retention",
        "speed",
        "stream_options",
        "title",
        "truncation",
    }
)
"""Members of other dialects' requests that may be left out: they ask for less cost or time, never for another answer."""
_LEVELS = frozenset({"minimal", "low", "medium", "high", "xhigh"})
_PLAIN_CHOICES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}


def encode_request(request: ChatRequest, gaps: Gaps) -> Json:
    """A request as JSON; model and streaming go into the URL. Raises InvalidRequest for a result of a call nobody made."""
    is_own = request.dialect == NAME
    body: Json = Turns(request, gaps).body()
    tools = _encode_tools(request, gaps)
    if tools:
        body["tools"] = tools
    choice = _encode_choice(request, gaps)
    if choice:
        body["toolConfig"] = {"functionCallingConfig": choice}
    config = _encode_config(request, gaps)
    if config:
        body["generationConfig"] = config
    _encode_rest(request, body, gaps)
    if is_own:
        return merged(body, request.extra)
    extra = dict(request.extra)
    modalities = _encode_modalities(extra.get("modalities"))
    if modalities is not None:
        del extra["modalities"]
        if modalities:
            body.setdefault("generationConfig", {})["responseModalities"] = modalities
    gaps.extra(extra, hints=_HINTS)
    return body


def _encode_modalities(value: object) -> list[str] | None:
    """What an answer may consist of: text alone asks for nothing, pictures are Gemini's to make. None for anything else.

    https://ai.google.dev/gemini-api/docs/image-generation
    """
    asked = cast("list[object]", value) if isinstance(value, list) else []
    if not asked or not all(kind in ("text", "image") for kind in asked):
        return None
    return [str(kind).upper() for kind in asked] if "image" in asked else []


def names_back(request: ChatRequest) -> dict[str, str]:
    """What a reply calls a tool, to what the request called it; only the names that differ."""
    names = {*(tool.name for tool in request.tools), *request.call_names().values()}
    return {legal_name(name): name for name in names if legal_name(name) != name}


def _encode_rest(request: ChatRequest, body: Json, gaps: Gaps) -> None:
    is_own = request.dialect == NAME
    tier = request.service_tier
    if tier is not None and tier != "auto":
        told = {ours: theirs for theirs, ours in TIERS.items()}.get(tier)
        if told is None and not is_own:
            gaps.refuse("service_tier", f"`{tier}` is no tier of Google's")
        else:
            body["serviceTier"] = told or tier
    if request.store is not None:
        if is_own:
            body["store"] = request.store
        else:
            gaps.skip("store")
    if request.parallel_tool_calls is False and request.tools:
        gaps.refuse("parallel_tool_calls", "Gemini has no switch for it")
    hints = {
        "user": request.user,
        "metadata": request.metadata,
        "verbosity": request.verbosity,
        "prompt_cache_key": request.cache_key,
        "safety_identifier": request.safety_identifier,
    }
    for name, value in hints.items():
        if value:
            gaps.skip(name)


def _encode_tools(request: ChatRequest, gaps: Gaps) -> list[Json]:
    functions: list[Json] = []
    others: list[Json] = []
    for at, tool in enumerate(request.tools):
        place = f"tools[{at}]"
        if tool.kind == "function":
            functions.append(_encode_function(tool, request, place, gaps))
        elif request.dialect == NAME and tool.raw is not None:
            others.append(tool.raw)
        else:
            gaps.refuse(place, f"`{tool.kind}` is no tool of Gemini's")
    return [{"functionDeclarations": functions}, *others] if functions else others


def _encode_function(tool: Tool, request: ChatRequest, place: str, gaps: Gaps) -> Json:
    function: Json = {"name": legal_name(tool.name)}
    if tool.description:
        function["description"] = tool.description
    if tool.cache:
        gaps.skip(f"{place}.cache_control")
    if tool.parameters:
        older = generation(request.model)
        if older is not None and older < (2, 0):
            function["parameters"] = _reduced(tool.parameters, f"{place}.function.parameters", gaps)
        else:
            schema = sent_schema(tool.parameters)
            function["parametersJsonSchema"] = schema if "type" in schema else {"type": "object", **schema}
    if request.dialect == NAME:
        return merged(function, tool.extra)
    gaps.extra(tool.extra, place, hints=_HINTS)
    return function


def _reduced(schema: Json, place: str, gaps: Gaps) -> Json:
    lost: list[str] = []
    reduced = reduced_schema(schema, lost)
    for name in lost:
        gaps.refuse(f"{place}.{name}", "this model's schemas have no such keyword")
    return reduced


def _encode_choice(request: ChatRequest, gaps: Gaps) -> Json:
    """`functionCallingConfig`; strict tools that may but need not be called make it VALIDATED.

    Source: https://ai.google.dev/gemini-api/docs/function-calling#function_calling_modes
    """
    choice = request.tool_choice or ToolChoice("auto")
    strict = any(tool.strict for tool in request.tools)
    if choice.mode == "other":
        gaps.refuse("tool_choice", "Gemini has no such choice")
        return {}
    if choice.mode == "named":
        return {"mode": "ANY", "allowedFunctionNames": [legal_name(choice.name or "")]}
    mode = _PLAIN_CHOICES[choice.mode]
    if mode == "AUTO" and (strict or choice.allowed):
        mode = "VALIDATED"
    if choice.allowed:
        return {"mode": mode, "allowedFunctionNames": [legal_name(name) for name in choice.allowed]}
    return {"mode": mode} if request.tool_choice is not None or mode != "AUTO" else {}


def _encode_config(request: ChatRequest, gaps: Gaps) -> Json:
    sampling = request.sampling
    if sampling.logit_bias:
        gaps.refuse("logit_bias")
    held: Json = {
        "temperature": sampling.temperature,
        "topP": sampling.top_p,
        "topK": sampling.top_k,
        "maxOutputTokens": sampling.max_tokens,
        "stopSequences": list(sampling.stop) or None,
        "seed": sampling.seed,
        "presencePenalty": sampling.presence_penalty or None,
        "frequencyPenalty": sampling.frequency_penalty or None,
        "responseLogprobs": sampling.logprobs or (True if sampling.top_logprobs else None),
        "logprobs": sampling.top_logprobs or None,
        "candidateCount": None if sampling.n == 1 else sampling.n,
        "thinkingConfig": _encode_thinking(request, gaps) or None,
    }
    config = {name: value for name, value in held.items() if value is not None}
    if request.response_format is not None:
        config |= _encode_format(request.response_format, request, gaps)
    return config


def _encode_thinking(request: ChatRequest, gaps: Gaps) -> Json:
    """A level or a budget, never both: Google refuses that. What efforts mean to a model is the provider's to say."""
    thinking = request.thinking
    if thinking is None:
        return {}
    held: Json = {}
    if thinking.budget_tokens is not None:
        held["thinkingBudget"] = thinking.budget_tokens
    elif thinking.effort in _LEVELS:
        held["thinkingLevel"] = thinking.effort.upper()
    elif thinking.mode == "disabled" or thinking.effort == "none":
        held["thinkingBudget"] = 0
    elif thinking.effort is not None:
        gaps.refuse("reasoning_effort", f"`{thinking.effort}` is no level of thinking of Gemini's")
    elif thinking.mode == "adaptive" and request.dialect == NAME:
        held["thinkingBudget"] = -1
    if thinking.is_shown is not None:
        held["includeThoughts"] = thinking.is_shown
    return held


def _encode_format(value: ResponseFormat, request: ChatRequest, gaps: Gaps) -> Json:
    if value.kind == "text":
        return {}
    config: Json = {"responseMimeType": "application/json"}
    if value.kind == "json_schema" and value.schema is not None:
        schema = dict(value.schema)
        if value.description and "description" not in schema:
            schema["description"] = value.description
        older = generation(request.model)
        if older is not None and older < (2, 0):
            config["responseSchema"] = _reduced(schema, "response_format.json_schema.schema", gaps)
        else:
            config["responseJsonSchema"] = sent_schema(schema)
    return config
