"""The canonical model to Anthropic Messages JSON: whole replies, as the official SDK reads them.

Source: https://platform.claude.com/docs/en/api/messages (Message)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

from headgate.chat import (
    Audio,
    ChatReply,
    ChatRequest,
    Choice,
    Citation,
    File,
    FinishReason,
    Image,
    Item,
    Message,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    Usage,
)
from headgate.dialects.anthropic.decode import FINISH
from headgate.dialects.anthropic.names import NAME
from headgate.dialects.anthropic.opaque import seal
from headgate.dialects.anthropic.turns import input_of
from headgate.dialects.anthropic.usage import TIERS, encode_usage
from headgate.dialects.openai.members import Json, given
from headgate.errors import ProviderFailed

IGNORED = frozenset(
    {
        "ChatReply.created",  # a message has no time
        "Choice.index",  # there is one answer
        "Citation.end",  # a citation stands with its text
        "Citation.start",
        "Message.name",
        "Reasoning.is_summary",
        "Text.cache",
        "ToolCall.cache",
        "ToolCall.index",
        "ToolCall.item_id",
        "Usage.audio_in",
        "Usage.audio_out",
        "Message.role",  # it is the assistant's
        "Start.role",
        "Start.created",
        "Finish.index",
        "Audio.extra",  # a model of Anthropic's makes neither sounds nor pictures nor refusals
        "Image.cache",
        "Image.detail",
        "Image.extra",
        "Refusal.extra",
        "ReasoningDelta.is_summary",
        "ToolCallStart.call",  # the order says it
        "ToolCallStart.custom",  # its input is an object like any other's
        "ToolCallStart.item_id",
        "ErrorEvent.code",  # an error has a type and a message
        "ErrorEvent.raw",
    }
)
"""Canonical fields of a reply that a message has no place for; `raw` of Usage and Citation is written where it is Anthropic's."""
CITATIONS = frozenset(
    {
        "char_location",
        "content_block_location",
        "page_location",
        "search_result_location",
        "web_search_result_location",
    }
)

_STOPS: dict[FinishReason, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
_TIERS = {name: tier for tier, name in TIERS.items()}
_SAID_TIERS = ("standard", "priority", "batch")


class Beside:
    """What a reply says that no block can: it stands as further members of the message, where it harms nobody."""

    def __init__(self) -> None:
        self.images: list[Json] = []
        self.audio: list[Json] = []
        self.items: list[Json] = []
        self.citations: list[Json] = []

    def add(self, part: Image | Audio | Item) -> None:
        """Take in a part that is no block."""
        match part:
            case Image():
                self.images.append({"type": "image", "source": _image_source(part)})
            case Audio():
                held = given(id=part.id, data=part.data, format=part.format, transcript=part.transcript)
                self.audio.append(held)
            case Item():
                self.items.append({**part.raw, "dialect": part.dialect})

    def cite(self, citation: Citation) -> None:
        """Take in a source that no text block can name."""
        self.citations.append(citation.raw or given(title=citation.title, cited_text=citation.quote))

    def members(self) -> Json:
        """The members; none where there is nothing."""
        return given(
            images=self.images or None,
            audio=self.audio or None,
            provider_items=self.items or None,
            citations=self.citations or None,
        )


def encode_reply(reply: ChatReply, request: ChatRequest) -> Json:
    """A message. Raises ProviderFailed when the provider ended it with an error, which no stop reason can say."""
    choice = reply.choices[0] if reply.choices else Choice(Message("assistant"), "stop")
    is_own = reply.dialect == NAME
    beside = Beside()
    content = list(encode_blocks(choice.message.parts, beside, tail=reply.id[-8:], is_own=is_own))
    body: Json = {
        "id": reply.id or "msg_headgate",
        "type": "message",
        "role": "assistant",
        "model": reply.model or request.model,
        "content": content,
        **stop_of(choice, is_own=is_own),
        "usage": said_usage(reply.usage, reply.service_tier, is_own=is_own),
    }
    further = {
        **given(service_tier=other_tier(reply.service_tier)),
        **reply.extra,
        **choice.message.extra,
        **choice.extra,
        **beside.members(),
    }
    if choice.logprobs is not None:
        further["logprobs"] = choice.logprobs
    return {**further, **body}


def encode_blocks(parts: Iterable[Part], beside: Beside, tail: str, *, is_own: bool) -> Iterator[Json]:
    """The parts of an answer as blocks. `tail` is the end of the reply's id, for calls that came without one."""
    ids: set[str] = set()
    for part in parts:
        match part:
            case Text() | Refusal():
                extra = part.extra if is_own and isinstance(part, Text) else {}
                yield from ({**extra, **block} for block in _text_blocks(part, beside))
            case Reasoning():
                yield thinking_block(part)
            case ToolCall():
                if part.opaque is not None:
                    yield {"type": "thinking", "thinking": "", "signature": seal(part.opaque, "call")}
                own = {"type": "tool_use", "id": unused_id(part.id, ids, tail), "name": part.name}
                yield {**call_extra(part.extra), **own, "input": input_of(part)}
            case Item() if part.dialect == NAME:
                yield part.raw
            case Image() | Audio() | Item():
                if isinstance(part, Audio) and part.transcript:
                    yield {"type": "text", "text": part.transcript}
                beside.add(part)
            case File() | ToolResult():
                raise ProviderFailed("a model does not answer with such a part", code="upstream_bad_reply")


def _text_blocks(part: Text | Refusal, beside: Beside) -> Iterator[Json]:
    citations = _citations(part, beside) if isinstance(part, Text) else None
    if part.text:
        yield {"type": "text", "text": part.text, **given(citations=citations)}
    if isinstance(part, Text) and part.opaque is not None:
        yield {"type": "thinking", "thinking": "", "signature": seal(part.opaque, "text")}


def thinking_block(part: Reasoning) -> Json:
    """Thinking as a block; an unsigned one has an empty signature, and is left out when it comes back."""
    if part.is_redacted:
        return {"type": "redacted_thinking", "data": seal(part.opaque, item_id=part.item_id) if part.opaque else ""}
    signature = "" if part.opaque is None else seal(part.opaque, item_id=part.item_id)
    return {**part.extra, "type": "thinking", "thinking": part.text, "signature": signature}


def stop_of(choice: Choice, *, is_own: bool) -> Json:
    """`stop_reason`, `stop_sequence` and `stop_details`. The provider's own word stays where it is one of Anthropic's."""
    finish, raw = choice.finish, choice.finish_raw
    if finish == "error":
        raise ProviderFailed(f"the provider ended its reply with `{raw or 'error'}`", code="upstream_failed")
    refusal = "".join(part.text for part in choice.message.parts if isinstance(part, Refusal))
    reason = None if finish is None else _STOPS[finish]
    if raw in FINISH and FINISH[raw] == finish:
        reason = raw
    elif choice.stop is not None and finish == "stop":
        reason = "stop_sequence"
    details: Any = choice.extra.get("stop_details")
    if refusal:
        reason, details = "refusal", {"type": "refusal", "category": None, "explanation": refusal}
    said: Json = {"stop_reason": reason, "stop_sequence": choice.stop, **given(stop_details=details)}
    if not is_own and raw is not None and raw != reason:
        said["native_finish_reason"] = raw
    return said


def said_usage(usage: Usage | None, tier: str | None, *, is_own: bool) -> Json:
    """A reply's usage object; Anthropic's own as it came."""
    if is_own and usage is not None and usage.raw is not None:
        return {"input_tokens": 0, "output_tokens": 0, **usage.raw}
    said = _TIERS.get(tier or "", tier)
    return {**encode_usage(usage), **given(service_tier=said if said in _SAID_TIERS else None)}


def other_tier(tier: str | None) -> str | None:
    """A service tier that Anthropic does not have, which stands beside."""
    return None if _TIERS.get(tier or "", tier) in _SAID_TIERS else tier


def call_extra(extra: Json) -> Json:
    """Further members of a call, without a `caller` that is none of Anthropic's."""
    caller: Any = extra.get("caller")
    kind: Any = cast("Json", caller).get("type") if isinstance(caller, dict) else None
    is_known = isinstance(kind, str) and kind.startswith(("direct", "code_execution"))
    return {name: value for name, value in extra.items() if name != "caller" or is_known}


def encode_citation(citation: Citation) -> Json | None:
    """A citation of a text block; None for one that has no place there."""
    if citation.raw.get("type") in CITATIONS:
        return citation.raw
    if citation.url is None:
        return None
    return {
        "type": "web_search_result_location",
        "url": citation.url,
        "title": citation.title,
        "cited_text": citation.quote or "",
        "encrypted_index": "",
    }


def unused_id(call_id: str, ids: set[str], tail: str) -> str:
    """The id of a call, or one made of the reply's and the number of the call where it has none or one twice."""
    found = call_id if call_id and call_id not in ids else f"toolu_{tail or 'headgate'}_{len(ids)}"
    ids.add(found)
    return found


def _citations(part: Text, beside: Beside) -> list[Json] | None:
    held: list[Json] = []
    for citation in part.citations:
        sent = encode_citation(citation)
        if sent is None:
            beside.cite(citation)
        else:
            held.append(sent)
    return held or None


def _image_source(image: Image) -> Json:
    if image.data is not None:
        return {"type": "base64", "media_type": image.media_type, "data": image.data}
    if image.file_id is not None:
        return {"type": "file", "file_id": image.file_id}
    return {"type": "url", "url": image.url}
