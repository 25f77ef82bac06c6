"""The events a streamed chat reply is made of, in the order Start, deltas, Finish, UsageEvent."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from headgate.chat.reply import FinishReason, Usage


class Start(Struct, frozen=True, tag="start"):
    """The reply begins; comes first, once."""

    id: str
    model: str
    created: int = 0
    role: str = "assistant"


class TextDelta(Struct, frozen=True, tag="text"):
    """More visible text of choice `index`."""

    text: str
    index: int = 0


class ReasoningDelta(Struct, frozen=True, tag="reasoning"):
    """More visible thinking of choice `index`."""

    text: str
    index: int = 0


class RefusalDelta(Struct, frozen=True, tag="refusal"):
    """More of the model's refusal of choice `index`."""

    text: str
    index: int = 0


class ToolCallStart(Struct, frozen=True, tag="tool_start"):
    """Tool call number `call` of choice `index` begins; `custom` and `extra` as in ToolCall."""

    call: int
    id: str
    name: str
    index: int = 0
    custom: bool = False
    extra: dict[str, Any] = {}


class ToolCallDelta(Struct, frozen=True, tag="tool_delta"):
    """More argument text of tool call number `call`."""

    call: int
    arguments: str
    index: int = 0


class ExtraDelta(Struct, frozen=True, tag="extra"):
    """Members of a vendor's delta that have no event of their own (audio, annotations, reasoning details), by name."""

    members: dict[str, Any]
    index: int = 0


class Finish(Struct, frozen=True, tag="finish"):
    """Choice `index` is complete. Nothing but usage follows."""

    reason: FinishReason
    index: int = 0
    raw: str | None = None


class UsageEvent(Struct, frozen=True, tag="usage"):
    """What the whole reply used so far. Said once, behind the last Finish; a later one corrects it."""

    usage: Usage


class ErrorEvent(Struct, frozen=True, tag="error"):
    """The provider broke off with an error of its own. It ends the stream; no Finish follows."""

    message: str
    code: str | None = None
    raw: dict[str, Any] | None = None


StreamEvent = (
    Start
    | TextDelta
    | ReasoningDelta
    | RefusalDelta
    | ToolCallStart
    | ToolCallDelta
    | ExtraDelta
    | Finish
    | UsageEvent
    | ErrorEvent
)
