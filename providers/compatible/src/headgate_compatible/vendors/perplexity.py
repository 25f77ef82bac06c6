"""Perplexity: no tools, turns that alternate strictly behind instructions at the top, and vectors in bytes.

Sources: https://docs.perplexity.ai/api-reference/sonar-post, https://docs.perplexity.ai/docs/sonar/features (a schema is the
only format of JSON) and the types of `perplexityai` 0.46.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from msgspec.structs import replace
from typing_extensions import override

from headgate.body import decode_object
from headgate.chat import ChatRequest, Message, Part, Text, ToolCall, ToolResult
from headgate.dialects import Dialect, Gaps
from headgate.exchange import Exchange
from headgate.operations import EMBEDDINGS
from headgate_compatible.provider import AS_IT_IS, Compatible
from headgate_compatible.vendors.embeddings import PerplexityEmbeddings
from headgate_compatible.vendors.sonar import SonarChat

Json = dict[str, Any]


class Perplexity(Compatible):
    """Perplexity's Sonar. Its agent API, whose models have names with a slash, is what `responses` calls."""

    own_dialects: ClassVar[Mapping[str, str]] = {"embeddings": PerplexityEmbeddings.name}
    codecs: ClassVar[Mapping[str, Dialect]] = {each.name: each for each in (SonarChat(), PerplexityEmbeddings())}

    @override
    def spoken(self, ex: Exchange, model: str) -> tuple[str, str] | None:
        is_own = ex.operation is EMBEDDINGS and _asks_for_bytes(ex.source)
        return (EMBEDDINGS.name, EMBEDDINGS.dialect) if is_own else super().spoken(ex, model)

    @override
    def adapt(self, request: ChatRequest, gaps: Gaps) -> ChatRequest:
        request = super().adapt(request, gaps)
        if gaps.dialect in AS_IT_IS:
            return request
        spoken = [_without_calls(message, at, gaps) for at, message in enumerate(request.messages)]
        return replace(request, messages=tuple(alternating(spoken, gaps)))

    @override
    def finish(self, body: Json, request: ChatRequest, gaps: Gaps) -> None:
        body.pop("stream_options", None)  # not documented; every chunk tells the usage so far


def _asks_for_bytes(body: bytes) -> bool:
    """Whether a client wants vectors as Perplexity writes them, and says so in its words."""
    return b'"base64_' in body and str(decode_object(body).get("encoding_format")).startswith("base64_")


def alternating(messages: Iterable[Message], gaps: Gaps) -> list[Message]:
    """The turns with neighbours of one role as one. Instructions between turns cannot be said; let drop, the user says them."""
    turns: list[Message] = []
    has_begun = False
    for at, message in enumerate(messages):
        if message.role == "system" and has_begun:
            gaps.refuse(f"messages[{at}].role", "system messages are taken at the beginning only")
            message = Message("user", (Text(f"<system>\n{message.text}\n</system>"),))  # noqa: PLW2901 - it is said by another
        has_begun |= message.role != "system"
        if not message.parts:
            continue
        if turns and turns[-1].role == message.role:
            turns[-1] = replace(turns[-1], parts=_one_after_the_other(turns[-1].parts, message.parts))
        else:
            turns.append(message)
    return turns


def _one_after_the_other(first: tuple[Part, ...], second: tuple[Part, ...]) -> tuple[Part, ...]:
    """The parts of two turns as those of one: texts that meet become one, with a blank line where they met."""
    last, following = first[-1], second[0]
    if isinstance(last, Text) and isinstance(following, Text):
        return (*first[:-1], Text(f"{last.text}\n\n{following.text}"), *second[1:])
    return (*first, *second)


def _without_calls(message: Message, at: int, gaps: Gaps) -> Message:
    """A turn without calls of tools and what they gave, which have no place there."""
    kept = tuple(part for part in message.parts if not isinstance(part, ToolCall | ToolResult))
    if len(kept) < len(message.parts):
        gaps.refuse(f"messages[{at}].tool_calls", "there are no tools there")
    return replace(message, role="user" if message.role == "tool" else message.role, parts=kept)
