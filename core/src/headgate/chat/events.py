"""The events a streamed chat reply is made of, in the order Start, deltas, Finish, UsageEvent.

Deltas of one choice come in the order of its parts. A part ends where a delta of another kind begins, where `ReasoningEnd`
says so, or at the Finish; arguments of several tool calls may come interleaved.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from headgate.chat.messages import Audio, Citation, Image, Item, Opaque
from headgate.chat.reply import FinishReason, Usage


class Start(Struct, frozen=True, tag="start"):
    """The reply begins; comes first, once. `usage` is what is known of the prompt by then."""

    id: str
    model: str
    created: int = 0
    role: str = "assistant"
    usage: Usage | None = None


class TextDelta(Struct, frozen=True, tag="text"):
    """More visible text of choice `index`. `opaque` belongs to the text so far.

    `begins`: the vendor began another text with it, so that sources which follow are not of the text before.
    """

    text: str
    index: int = 0
    opaque: Opaque | None = None
    begins: bool = False


class CitationDelta(Struct, frozen=True, tag="citation"):
    """A source of the text of choice `index`."""

    citation: Citation
    index: int = 0


class ReasoningDelta(Struct, frozen=True, tag="reasoning"):
    """More visible thinking of choice `index`."""

    text: str
    index: int = 0
    is_summary: bool = False


class ReasoningEnd(Struct, frozen=True, tag="reasoning_end"):
    """A block of thinking of choice `index` is over; `opaque` travels with it. `is_redacted` as in Reasoning: it had no text."""

    opaque: Opaque | None = None
    index: int = 0
    is_redacted: bool = False
    item_id: str | None = None


class RefusalDelta(Struct, frozen=True, tag="refusal"):
    """More of the model's refusal of choice `index`."""

    text: str
    index: int = 0


class ToolCallStart(Struct, frozen=True, tag="tool_start"):
    """Tool call number `call` (0, 1, …) of choice `index` begins; the other fields as in ToolCall."""

    call: int
    id: str
    name: str
    index: int = 0
    custom: bool = False
    item_id: str | None = None
    opaque: Opaque | None = None
    extra: dict[str, Any] = {}


class ToolCallDelta(Struct, frozen=True, tag="tool_delta"):
    """More argument text of tool call number `call`."""

    call: int
    arguments: str
    index: int = 0


class PartDelta(Struct, frozen=True, tag="part"):
    """A part that came whole: a picture or sound the model made, or a block of the provider's own."""

    part: Image | Audio | Item
    index: int = 0


class ExtraDelta(Struct, frozen=True, tag="extra"):
    """Members of a vendor's delta that have no event of their own (audio, reasoning details), by name."""

    members: dict[str, Any]
    index: int = 0


class Finish(Struct, frozen=True, tag="finish"):
    """Choice `index` is complete. Nothing but usage follows. `raw` is the provider's word, `stop` the stop sequence found."""

    reason: FinishReason
    index: int = 0
    raw: str | None = None
    stop: str | None = None
    extra: dict[str, Any] = {}


class UsageEvent(Struct, frozen=True, tag="usage"):
    """What the whole reply used so far. Said once, behind the last Finish; a later one corrects it.

    `extra` holds vendor members of the whole reply that came with the stream: citations, a service tier, a cost.
    """

    usage: Usage
    extra: dict[str, Any] = {}


class ErrorEvent(Struct, frozen=True, tag="error"):
    """The provider broke off with an error of its own. It ends the stream; no Finish follows.

    `status` is the HTTP status the error stands for, 0 when it says none.
    """

    message: str
    code: str | None = None
    raw: dict[str, Any] | None = None
    status: int = 0


StreamEvent = (
    Start
    | TextDelta
    | CitationDelta
    | ReasoningDelta
    | ReasoningEnd
    | RefusalDelta
    | ToolCallStart
    | ToolCallDelta
    | PartDelta
    | ExtraDelta
    | Finish
    | UsageEvent
    | ErrorEvent
)
