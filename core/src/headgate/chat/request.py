"""A chat request."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from headgate.chat.messages import Message, ToolCall

ThinkingMode = Literal["enabled", "adaptive", "disabled"]


class Tool(Struct, frozen=True):
    """A function the model may call. `parameters` is a JSON Schema; `kind` other than `function` keeps `raw` only.

    `raw` belongs to the request's own dialect. `cache` is a provider cache mark; `extra` holds members of the client's tool
    that have no place here, at their own depth.
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
    """`mode` auto, none, required, or named with `name`; other choices of a dialect are kept in `raw`.

    `allowed` narrows auto or required down to these functions; empty means all.
    """

    mode: Literal["auto", "none", "required", "named", "other"]
    name: str | None = None
    allowed: tuple[str, ...] = ()
    raw: Any = None


class ResponseFormat(Struct, frozen=True):
    """`kind` text, json_object or json_schema (then `name`, `schema`, `strict`)."""

    kind: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None
    description: str | None = None


class Thinking(Struct, frozen=True):
    """How much a model shall think. None means: not asked for.

    `effort` is none, minimal, low, medium, high, xhigh or max; `budget_tokens` bounds it; `mode` switches it where a
    dialect has a switch; `is_shown` says whether thoughts come back; `summary` is OpenAI's auto, concise or detailed.
    """

    effort: str | None = None
    budget_tokens: int | None = None
    mode: ThinkingMode | None = None
    is_shown: bool | None = None
    summary: str | None = None

    @property
    def is_asked(self) -> bool:
        """Whether this asks to think, or not to: only not to be shown thoughts leaves that to the model."""
        return self not in _UNASKED


_UNASKED = (Thinking(), Thinking(is_shown=False))


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

    `dialect` is the one it was decoded from. `extra` holds every field of that dialect that has no place here, at its own
    depth; the `extra` of its messages, parts and tools likewise. `service_tier`, `verbosity`, `cache_key`
    (`prompt_cache_key`), `safety_identifier` and `store` are OpenAI's.
    """

    model: str
    messages: tuple[Message, ...]
    sampling: Sampling = Sampling()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    thinking: Thinking | None = None
    stream: bool = False
    include_usage: bool = False
    user: str | None = None
    metadata: dict[str, Any] | None = None
    service_tier: str | None = None
    verbosity: str | None = None
    cache_key: str | None = None
    safety_identifier: str | None = None
    store: bool | None = None
    dialect: str = ""
    extra: dict[str, Any] = {}

    def call_names(self) -> dict[str, str]:
        """The function of every tool call in the history, by the call's id."""
        return {part.id: part.name for message in self.messages for part in message.parts if isinstance(part, ToolCall)}
