"""A canonical chat request as the body of Converse.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
"""

from __future__ import annotations

import re
from typing import Any, cast

import msgspec

from headgate.chat import ChatRequest, ResponseFormat, Sampling
from headgate.dialects import Gaps
from headgate.dialects.openai.members import merged
from headgate_bedrock.models import Model, find_model
from headgate_bedrock.tools import encode_tools
from headgate_bedrock.turns import NAME, Turns

Json = dict[str, Any]

IGNORED = frozenset(
    {
        # the model and the kind of reply stand in the URL, and usage always comes
        "ChatRequest.model",
        "ChatRequest.stream",
        "ChatRequest.include_usage",
        # hints of OpenAI's that Bedrock has no place for; each is told to `gaps`
        "ChatRequest.user",
        "ChatRequest.verbosity",
        "ChatRequest.cache_key",
        "ChatRequest.safety_identifier",
        "ChatRequest.store",
        "Message.name",
        "Image.detail",
        # refused: Converse takes bytes, and no sampling beyond temperature, topP, topK
        "Image.url",
        "Image.file_id",
        "File.url",
        "File.file_id",
        "Sampling.seed",
        "Sampling.presence_penalty",
        "Sampling.frequency_penalty",
        "Sampling.logit_bias",
        "Sampling.logprobs",
        "Sampling.top_logprobs",
        "Sampling.n",
        # what a reply says of itself, and names that Converse has no use for
        "Audio.id",
        "Citation.url",
        "Citation.title",
        "Citation.quote",
        "Citation.start",
        "Citation.end",
        "Reasoning.is_summary",
        "Reasoning.item_id",
        "Opaque.account",
        "Text.opaque",
        "ToolCall.index",
        "ToolCall.item_id",
        "ToolCall.opaque",
        "ToolResult.name",
        # its structured output is always strict, and thinking has no summaries to choose from
        "ResponseFormat.strict",
        "Thinking.summary",
    }
)
"""Canonical fields that are never written, and why."""

MAX_CACHE_POINTS = 4
_TIERS = frozenset({"default", "flex", "priority", "reserved"})
_METADATA = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{0,256}")
_MAX_METADATA = 16
_HINTS = frozenset({"moderation", "prediction", "prompt_cache_options", "prompt_cache_retention"})
_STOP_PATHS = ["/stop_sequence", "/delta/stop_sequence"]
"""Where Claude says which stop sequence it met: in a whole reply, and in a stream."""


def encode_request(request: ChatRequest, gaps: Gaps) -> Json:
    """The body. What Converse has no place for is told to `gaps` in the words of OpenAI's chat."""
    model = find_model(request.model)
    is_own = request.dialect == NAME
    turns = Turns(request, model, gaps)
    body: Json = {"messages": turns.encoded()}
    if turns.system:
        body["system"] = turns.system
    _encode_sampling(body, request.sampling, model, gaps)
    config, switch = encode_tools(request, model, gaps, is_own=is_own)
    if config is not None:
        body["toolConfig"] = config
    fields = _additional(request, model, gaps)
    if switch is not None:
        fields["tool_choice"] = switch
    if fields:
        body["additionalModelRequestFields"] = fields
    if request.response_format is not None and request.response_format.kind != "text":
        _encode_format(body, request.response_format, gaps)
    _encode_hints(body, request, gaps)
    if is_own:
        body = merged(body, request.extra)
    else:
        gaps.extra(request.extra, hints=_HINTS)
    _bound_cache_points(body, gaps)
    return body


def _encode_sampling(body: Json, sampling: Sampling, model: Model, gaps: Gaps) -> None:
    asked: dict[str, Any] = {
        "seed": sampling.seed,
        "presence_penalty": sampling.presence_penalty or None,
        "frequency_penalty": sampling.frequency_penalty or None,
        "logit_bias": sampling.logit_bias or None,
        "logprobs": sampling.logprobs or None,
        "top_logprobs": sampling.top_logprobs or None,
        "n": None if sampling.n == 1 else sampling.n,
    }
    for name, value in asked.items():
        if value is not None:
            gaps.refuse(name)
    config: Json = {}
    if sampling.max_tokens is not None:
        config["maxTokens"] = sampling.max_tokens
    if sampling.temperature is not None:
        if 0 <= sampling.temperature <= 1:
            config["temperature"] = sampling.temperature
        else:
            gaps.refuse("temperature", "Bedrock takes 0 to 1")
    if sampling.top_p is not None:
        config["topP"] = sampling.top_p
    stops = [stop for stop in sampling.stop if stop.strip() or (stop and not model.is_claude)]
    if len(stops) < len(sampling.stop):
        gaps.refuse("stop", "a stop sequence must not be blank")
    if stops:
        config["stopSequences"] = stops
        if model.is_claude:
            body["additionalModelResponseFieldPaths"] = list(_STOP_PATHS)
    if config:
        body["inferenceConfig"] = config


def _additional(request: ChatRequest, model: Model, gaps: Gaps) -> Json:
    """What only some models take. https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html"""
    fields: Json = {}
    if request.sampling.top_k is not None:
        if model.top_k == "top_k":
            fields["top_k"] = request.sampling.top_k
        elif model.top_k:
            fields["inferenceConfig"] = {"topK": request.sampling.top_k}
        else:
            gaps.refuse("top_k", "this model takes none")
    return merged(fields, _encode_thinking(request, model, gaps))


def _encode_thinking(request: ChatRequest, model: Model, gaps: Gaps) -> Json:
    """Thinking as `adapt` has settled it: with a mode for Claude, with an effort for all others."""
    thinking = request.thinking
    if thinking is None:
        return {}
    if model.thinking in {"budget", "adaptive"} or thinking.mode is not None:
        held: Json = {"type": thinking.mode or "enabled"}
        if thinking.budget_tokens is not None and held["type"] == "enabled":
            held["budget_tokens"] = thinking.budget_tokens
        if thinking.is_shown is not None and held["type"] == "adaptive":
            held["display"] = "summarized" if thinking.is_shown else "omitted"
        effort = {"output_config": {"effort": thinking.effort}} if thinking.effort else {}
        return {"thinking": held, **effort}
    match model.thinking:
        case "reasoningConfig":
            return {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": thinking.effort}}
        case "reasoning.effort":
            return {"reasoning": {"effort": thinking.effort}}
        case "reasoning_effort" | "reasoning_config":
            return {model.thinking: thinking.effort}
        case _:
            gaps.skip("reasoning_effort")
            return {}


def _encode_format(body: Json, wanted: ResponseFormat, gaps: Gaps) -> None:
    if wanted.kind != "json_schema":
        gaps.refuse("response_format", "Bedrock has no JSON mode; give a schema")
        return
    schema: Json = {"schema": msgspec.json.encode(wanted.schema or {"type": "object"}).decode()}
    if wanted.name:
        schema["name"] = wanted.name
    if wanted.description:
        schema["description"] = wanted.description
    body["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}}}


def _encode_hints(body: Json, request: ChatRequest, gaps: Gaps) -> None:
    for name, value in (
        ("user", request.user),
        ("verbosity", request.verbosity),
        ("prompt_cache_key", request.cache_key),
        ("safety_identifier", request.safety_identifier),
        ("store", request.store or None),
    ):
        if value is not None:
            gaps.skip(name)
    if request.metadata:
        if _is_loggable(request.metadata):
            body["requestMetadata"] = request.metadata
        else:
            gaps.skip("metadata")
    tier = request.service_tier
    if tier in _TIERS:
        body["serviceTier"] = {"type": tier}
    elif tier == "auto":
        gaps.skip("service_tier")
    elif tier is not None:
        gaps.refuse("service_tier")


def _is_loggable(metadata: Json) -> bool:
    """Whether metadata can stand in the invocation log, which bounds its number, length and characters."""
    texts = [*metadata, *metadata.values()]
    fits = all(isinstance(text, str) and _METADATA.fullmatch(text) for text in texts)
    return fits and all(metadata) and len(metadata) <= _MAX_METADATA


def _bound_cache_points(body: Json, gaps: Gaps) -> None:
    """Leave the last four cache points, in the order of the prompt: tools, instructions, turns."""
    contents: list[list[Json]] = [body.get("toolConfig", {}).get("tools", []), body.get("system", [])]
    contents += [turn["content"] for turn in cast("list[Json]", body["messages"])]
    surplus = sum("cachePoint" in block for content in contents for block in content) - MAX_CACHE_POINTS
    if surplus <= 0:
        return
    gaps.skip("cache_control")
    for content in contents:
        points = [at for at, block in enumerate(content) if "cachePoint" in block][:surplus]
        surplus -= len(points)
        left = set(points)
        content[:] = [block for at, block in enumerate(content) if at not in left]
