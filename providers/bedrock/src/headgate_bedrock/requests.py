"""Requests for Converse as the canonical model. No client speaks it to the gateway: for tests, and for tools that read them."""

from __future__ import annotations

from typing import Any, Literal, cast

import msgspec

from headgate.body import decode_object
from headgate.chat import (
    ChatRequest,
    Message,
    ResponseFormat,
    Sampling,
    Thinking,
    ThinkingMode,
    Tool,
    ToolChoice,
)
from headgate.dialects.openai.members import Members
from headgate.errors import InvalidRequest
from headgate_bedrock.decode import Blocks, mark_of, request_inputs
from headgate_bedrock.turns import NAME

Json = dict[str, Any]

_ROLES = {"user", "assistant", "system"}
_MODES = {"enabled", "adaptive", "disabled"}


def decode_request(body: bytes) -> ChatRequest:
    """The request; its model stands in the URL. Raises InvalidRequest that names the place of a wrong shape."""
    held = Members(decode_object(body))
    inputs = request_inputs(body)
    system = Blocks(()).decoded(held, "system")
    turns = [_decode_turn(turn, inputs[at]) for at, turn in enumerate(held.listed("messages"))]
    fields = held.inner_if_given("additionalModelRequestFields") or Members({})
    config = held.inner_if_given("toolConfig") or Members({})
    tier = held.inner_if_given("serviceTier")
    return ChatRequest(
        model="",
        messages=(*((Message("system", system),) if system else ()), *turns),
        sampling=_decode_sampling(held, fields),
        tools=_decode_tools(config),
        tool_choice=_decode_choice(config.take("toolChoice")),
        response_format=_decode_format(held),
        thinking=_decode_thinking(fields),
        metadata=held.find("requestMetadata", Json),
        service_tier=tier.find("type", str) if tier else None,
        dialect=NAME,
        extra=held.rest(),
    )


def _decode_turn(turn: Members, inputs: list[bytes | None]) -> Message:
    role = turn.need("role", str)
    if role not in _ROLES:
        raise InvalidRequest(f"`{turn.at('role')}` must be user, assistant or system", param=turn.at("role"))
    parts = Blocks(inputs).decoded(turn, "content")
    return Message(cast('Literal["user", "assistant", "system"]', role), parts, extra=turn.rest())


def _decode_sampling(held: Members, fields: Members) -> Sampling:
    config = held.inner_if_given("inferenceConfig") or Members({})
    return Sampling(
        temperature=config.find("temperature", float),
        top_p=config.find("topP", float),
        top_k=fields.find("top_k", int),
        max_tokens=config.find("maxTokens", int),
        stop=tuple(config.find("stopSequences", list[str]) or ()),
    )


def _decode_thinking(fields: Members) -> Thinking | None:
    """Claude's thinking; what other models take stays where it is."""
    thought = fields.inner_if_given("thinking")
    if thought is None:
        return None
    mode = thought.need("type", str)
    if mode not in _MODES:
        raise InvalidRequest(f"`{thought.at('type')}` must be enabled, adaptive or disabled", param=thought.at("type"))
    shown, output = thought.find("display", str), fields.inner_if_given("output_config")
    return Thinking(
        output.find("effort", str) if output else None,
        thought.find("budget_tokens", int),
        cast("ThinkingMode", mode),
        None if shown is None else shown != "omitted",
    )


def _decode_tools(config: Members) -> tuple[Tool, ...]:
    tools: list[Tool] = []
    for held in config.listed("tools"):
        raw = held.rest()
        if "cachePoint" in raw and tools:
            tools[-1] = msgspec.structs.replace(tools[-1], cache=mark_of(raw["cachePoint"]))
        elif "toolSpec" in raw:
            spec = held.inner("toolSpec")
            name, description, strict = spec.need("name", str), spec.find("description", str), spec.find("strict", bool)
            schema = spec.inner("inputSchema").find("json", Json)
            tools.append(Tool(name, description, schema, strict, extra=spec.rest()))
        else:
            kind = next(iter(raw), "tool")
            tools.append(Tool(kind, kind=kind, raw=raw))
    return tuple(tools)


def _decode_choice(choice: object) -> ToolChoice | None:
    match choice:
        case None:
            return None
        case {"auto": dict()}:
            return ToolChoice("auto")
        case {"any": dict()}:
            return ToolChoice("required")
        case {"tool": {"name": str(name)}}:
            return ToolChoice("named", name)
        case _:
            return ToolChoice("other", raw=choice)


def _decode_format(held: Members) -> ResponseFormat | None:
    """A JSON schema; what else `outputConfig` says stays where it is."""
    config: Any = held.rest().get("outputConfig")
    try:
        form = config["textFormat"]
        stated: Json = form["structure"]["jsonSchema"]
        schema = msgspec.json.decode(stated["schema"], type=Json)
    except (KeyError, TypeError, msgspec.DecodeError):
        return None
    held.inner("outputConfig").take("textFormat")
    return ResponseFormat("json_schema", stated.get("name"), schema, description=stated.get("description"))
