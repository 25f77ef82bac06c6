"""Whether a body may be sent to a vendor: by the types of its official SDK, unknown members forbidden.

Calibrated on recorded requests that the vendors answered with 200: see test_validators.py.
"""

from __future__ import annotations

import base64
import binascii
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NotRequired, cast

import cohere.v2.client
import groq.types.chat.completion_create_params as groq_params
import mistralai.client.models
import ollama._types
import openrouter.components
import perplexity.types.chat.completion_create_params as perplexity_params
import together.types.chat.completion_create_params as together_params
from anthropic.types import message_create_params
from botocore.loaders import Loader  # pyright: ignore[reportMissingTypeStubs] - botocore has no types
from botocore.model import ServiceModel  # pyright: ignore[reportMissingTypeStubs]
from botocore.validate import ParamValidator  # pyright: ignore[reportMissingTypeStubs]
from cerebras.cloud.sdk.types.chat import completion_create_params as cerebras_params
from google.genai import types as google_types
from openai.types.chat import completion_create_params
from openai.types.responses import response_create_params
from pydantic import TypeAdapter, ValidationError
from tests.replay.closed import closed_adapter
from tests.replay.reading import Json, each, members, objects
from typing_extensions import TypedDict

_SAMPLING = frozenset({"temperature", "top_k", "top_p"})
"""Members of API version 2023-06-01, which is what is asked for, that the SDK's types no longer list."""
_CLOUD = frozenset({"anthropic_version", "anthropic_beta"})
"""Members that Bedrock and Vertex AI want in a body of Claude."""
_GOOGLE: Mapping[str, Any] = {
    "contents": list[google_types.Content],
    "systemInstruction": google_types.Content,
    "generationConfig": google_types.GenerationConfig,
    "tools": list[google_types.Tool],
    "toolConfig": google_types.ToolConfig,
    "safetySettings": list[google_types.SafetySetting],
    "cachedContent": str,
    "labels": dict[str, str],
    "serviceTier": str,
    "store": bool,
}
"""https://ai.google.dev/api/generate-content#request-body and, for `labels`, Vertex AI's reference."""


@dataclass(frozen=True)
class _Extras:
    """Names a vendor documents beside OpenAI's."""

    members: frozenset[str] = frozenset()
    of_messages: frozenset[str] = frozenset()
    parts: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])


_EXTRAS: Mapping[str, _Extras] = {
    "deepseek": _Extras(frozenset({"thinking"}), frozenset({"reasoning_content"})),
    "fireworks": _Extras(
        frozenset({"top_k"}),
        frozenset({"reasoning_content"}),
        {"audio_url": frozenset({"url"}), "video_url": frozenset({"url"})},
    ),
    "xai": _Extras(frozenset(), frozenset({"reasoning_content"})),
}
"""https://api-docs.deepseek.com/guides/thinking_mode, https://docs.fireworks.ai/api-reference/post-chatcompletions and
https://docs.x.ai/docs/api-reference; parts, with the members of what stands in them:
https://docs.fireworks.ai/guides/video-audio-inputs"""


def problems(dialect: str, body: Json) -> list[str]:
    """Why the vendor's SDK could not have sent this body; empty when it could."""
    return list(_VALIDATORS[dialect](body))


def _anthropic(body: Json) -> Iterator[str]:
    kind = "Streaming" if body.get("stream") else "NonStreaming"
    adapter = _closed("anthropic", getattr(message_create_params, f"MessageCreateParams{kind}"))
    yield from _errors(adapter, {name: body[name] for name in body if name not in _SAMPLING | _CLOUD})


def _claude_on_vertex(body: Json) -> Iterator[str]:
    if "model" in body or body.get("anthropic_version") != "vertex-2023-10-16":
        yield "Vertex AI takes no `model` and wants its `anthropic_version`"
    yield from _anthropic({"model": "in the path", **body})


def _chat(body: Json) -> Iterator[str]:
    kind = "Streaming" if body.get("stream") else "NonStreaming"
    yield from _errors(_closed("chat", getattr(completion_create_params, f"CompletionCreateParams{kind}")), body)


def _with_extras(vendor: str) -> Callable[[Json], Iterator[str]]:
    """A body of chat completions, but for what the vendor documents beside OpenAI's members."""
    own = _EXTRAS[vendor]

    def validate(body: Json) -> Iterator[str]:
        kept = {name: value for name, value in body.items() if name not in own.members}
        kept["messages"] = [_message(message, own) for message in objects(body.get("messages"))]
        yield from _chat(kept)

    return validate


def _message(message: Json, own: _Extras) -> Json:
    kept = {name: value for name, value in message.items() if name not in own.of_messages}
    if isinstance(kept.get("content"), list):
        kept["content"] = [part for part in objects(kept["content"]) if not _is_own(part, own)]
    if kept.get("role") == "assistant" and kept.get("content") is None:
        kept["content"] = ""
    return kept


def _is_own(part: Json, own: _Extras) -> bool:
    """Whether a part is one the vendor documents, with its members and no others."""
    kind = str(part.get("type"))
    return kind in own.parts and part.keys() == {"type", kind} and members(part[kind]).keys() == own.parts[kind]


def _groq(body: Json) -> Iterator[str]:
    """The SDK lists one class for both; `stream_options` is in the API's reference and not in the SDK."""
    plain = {name: value for name, value in body.items() if name != "stream_options"}
    kept = {**plain, "messages": [_message(message, _Extras()) for message in objects(body.get("messages"))]}
    yield from _errors(_closed("groq", groq_params.CompletionCreateParams), kept)


def _cerebras(body: Json) -> Iterator[str]:
    yield from _errors(_closed("cerebras", cerebras_params.CompletionCreateParams), body)


def _perplexity(body: Json) -> Iterator[str]:
    kind = "Streaming" if body.get("stream") else "NonStreaming"
    yield from _errors(_closed("perplexity", getattr(perplexity_params, f"CompletionCreateParams{kind}")), body)


def _openrouter(body: Json) -> Iterator[str]:
    """The SDK lacks the documented `reasoning.max_tokens`, and says details of reasoning by a class for each kind.

    https://openrouter.ai/docs/use-cases/reasoning-tokens
    """
    kept = {name: value for name, value in body.items() if (name, value) != ("n", 1)}
    own = _Extras(of_messages=frozenset({"reasoning_details"}))
    kept["messages"] = [_message(message, own) for message in objects(body.get("messages"))]
    if "reasoning" in body:
        kept["reasoning"] = {name: value for name, value in members(body["reasoning"]).items() if name != "max_tokens"}
    yield from _errors(_closed("openrouter", openrouter.components.ChatRequest), kept)


def _together(body: Json) -> Iterator[str]:
    kind = "Streaming" if body.get("stream") else "NonStreaming"
    adapter = _closed("together", getattr(together_params, f"CompletionCreateParams{kind}"))
    kept = {**body, "messages": [_message(message, _Extras()) for message in objects(body.get("messages"))]}
    yield from _errors(adapter, kept)


def _responses(body: Json) -> Iterator[str]:
    kind = "Streaming" if body.get("stream") else "NonStreaming"
    yield from _errors(_closed("responses", getattr(response_create_params, f"ResponseCreateParams{kind}")), body)


def _google(body: Json) -> Iterator[str]:
    for name, value in body.items():
        if name not in _GOOGLE:
            yield f"{name}: no member of the request"
        else:
            yield from (f"{name}.{reason}" for reason in _errors(_adapter(name), value))


def _converse(body: Json) -> Iterator[str]:
    shape = _converse_shape()
    given = {"modelId": "in-the-path", **_with_bytes(body, shape)}
    yield from _unknown(body, shape, "")
    report = cast("Any", ParamValidator()).validate(given, shape)
    if report.has_errors():
        yield from str(report.generate_report()).splitlines()


def _cohere(body: Json) -> Iterator[str]:
    yield from _errors(_cohere_adapter(), body)


def _ollama(body: Json) -> Iterator[str]:
    """The SDK narrows schemas of parameters down to five keywords, knows no ids of calls and has pictures as objects that it
    turns into text; the server takes any schema, and gives ids to calls itself.
    """
    tools = [
        {**tool, "function": {**members(tool["function"]), "parameters": {"type": "object"}}}
        for tool in objects(body.get("tools"))
    ]
    plain = {name: value for name, value in body.items() if name not in {"messages", "options"}}
    yield from _errors(_closed("ollama", ollama._types.ChatRequest), {**plain, **({"tools": tools} if tools else {})})
    for message in objects(body.get("messages")):
        calls = [
            {name: value for name, value in call.items() if name != "id"} for call in objects(message.get("tool_calls"))
        ]
        held = {name: value for name, value in message.items() if name not in {"images", "tool_call_id"}}
        yield from _errors(
            _closed("ollama", ollama._types.Message), {**held, **({"tool_calls": calls} if calls else {})}
        )
        if not all(isinstance(image, str) for image in each(message.get("images"))):
            yield "images: must be base64 text"
    yield from _errors(_closed("ollama", ollama._types.Options), body.get("options") or {})


def _mistral(body: Json) -> Iterator[str]:
    yield from _errors(_closed("mistral", mistralai.client.models.ChatCompletionRequest), body)


_VALIDATORS: Mapping[str, Callable[[Json], Iterator[str]]] = {
    "anthropic.messages": _anthropic,
    "vertex.messages": _claude_on_vertex,
    "openai.chat": _chat,
    **{vendor: _with_extras(vendor) for vendor in _EXTRAS},
    "groq": _groq,
    "cerebras": _cerebras,
    "perplexity": _perplexity,
    "openrouter": _openrouter,
    "together": _together,
    "openai.responses": _responses,
    "google.generate": _google,
    "bedrock.converse": _converse,
    "cohere.chat": _cohere,
    "ollama.chat": _ollama,
    "mistral.chat": _mistral,
}
OFFICIAL = frozenset(_VALIDATORS) - frozenset(_EXTRAS)
"""The validators that are a vendor's own types; the others are OpenAI's, and names from the vendor's documents."""


def _errors(adapter: TypeAdapter[Any], value: Any) -> Iterator[str]:
    try:
        adapter.validate_python(value)
    except ValidationError as error:
        found = sorted(error.errors(), key=lambda each: -len(each["loc"]))
        for each in found[:3]:
            yield f"{'.'.join(str(step) for step in each['loc'])}: {each['msg']}"


_adapters: dict[str, TypeAdapter[Any]] = {}


def _closed(name: str, kind: Any) -> TypeAdapter[Any]:
    key = f"{name} {kind.__name__}"
    if key not in _adapters:
        _adapters[key] = closed_adapter(kind)
    return _adapters[key]


@cache
def _adapter(name: str) -> TypeAdapter[Any]:
    return TypeAdapter(_GOOGLE[name])


@cache
def _cohere_adapter() -> TypeAdapter[Any]:
    """The parameters of the SDK's method, which are the members of the body."""
    method = cohere.v2.client.V2Client.chat
    hints = typing.get_type_hints(method, include_extras=True)
    needed = {
        name
        for name, parameter in inspect.signature(method).parameters.items()
        if parameter.default is inspect.Parameter.empty
    }
    fields = {
        name: hint if name in needed else NotRequired[hint]
        for name, hint in hints.items()
        if name not in {"return", "request_options"}
    }
    return closed_adapter(cast("Any", TypedDict)("CohereChat", {**fields, "stream": NotRequired[bool]}))


# botocore


@cache
def _converse_shape() -> Any:
    loader: Any = Loader()
    data: Any = loader.load_service_model("bedrock-runtime", "service-2")
    model: Any = ServiceModel(data)
    return model.operation_model("Converse").input_shape


def _with_bytes(value: Any, shape: Any) -> Any:
    """A value of the wire as botocore's validator takes it: bytes for base64, numbers as float."""
    match shape.type_name:
        case "structure":
            known = shape.members
            return {name: _with_bytes(held, known[name]) for name, held in members(value).items() if name in known}
        case "list":
            return [_with_bytes(held, shape.member) for held in value]
        case "map":
            return {name: _with_bytes(held, shape.value) for name, held in members(value).items()}
        case "blob":
            try:
                return base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError, TypeError):
                return value
        case "float" | "double":
            return float(value)
        case _:
            return value


def _unknown(value: Any, shape: Any, place: str) -> Iterator[str]:
    """Members that the service model does not have, which botocore's validator lets pass."""
    kind = shape.type_name
    if kind == "structure" and not getattr(shape, "is_document_type", False):
        for name, held in members(value).items():
            if name not in shape.members:
                yield f"{place}.{name}: no member of the request"
            else:
                yield from _unknown(held, shape.members[name], f"{place}.{name}")
        if getattr(shape, "is_tagged_union", False) and len(members(value)) != 1:
            yield f"{place}: a union must have one member"
    elif kind == "list":
        for at, held in enumerate(objects(value)):
            yield from _unknown(held, shape.member, f"{place}[{at}]")
