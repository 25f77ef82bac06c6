"""A chat request."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from headgate.chat.messages import Message


class Tool(Struct, frozen=True):
    """A function the model may call. `parameters` is a JSON Schema; `kind` other than `function` keeps `raw` only.

    `cache` is a provider cache mark; `extra` holds members of the client's tool that have no place here, at their own depth.
    """

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    kind: str = "function"
    raw: dict[str, Any] | None = None
    cache: dict[str, Any] | None = None
    extra: dict[str, Any] = {}


class ToolChoice(Struct, frozen=True):
    """`mode` auto, none, required, or named with `name`; other choices of a vendor are kept in `raw`."""

    mode: Literal["auto", "none", "required", "named", "other"]
    name: str | None = None
    raw: Any = None


class ResponseFormat(Struct, frozen=True):
    """`kind` text, json_object or json_schema (then `name`, `schema`, `strict`)."""

    kind: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None
    description: str | None = None


class Sampling(Struct, frozen=True):
    """How to sample. None means: not asked for. `logit_bias` maps token ids to -100..100."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    n: int | None = None


class ChatRequest(Struct, frozen=True):
    """What the caller asks of a chat model.

    `extra` holds every field of the client's dialect that has no place here, at its own depth.
    """

    model: str
    messages: tuple[Message, ...]
    sampling: Sampling = Sampling()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: str | None = None
    stream: bool = False
    include_usage: bool = False
    user: str | None = None
    metadata: dict[str, Any] | None = None
    extra: dict[str, Any] = {}
