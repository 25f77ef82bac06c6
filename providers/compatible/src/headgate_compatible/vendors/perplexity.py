"""Perplexity: its Agent API for models with a slash in their names, Sonar for others, and vectors in bytes.

Sonar has no tools, and turns that alternate strictly behind instructions at the top. Since 27 September 2026 it is there for
customers alone who had their access prolonged: https://docs.perplexity.ai/docs/legacy/sonar/media. Other sources:
https://docs.perplexity.ai/api-reference/sonar-post, https://docs.perplexity.ai/docs/sonar/features (a schema is the only format
of JSON), the types of `perplexityai` 0.46 and, for the Agent API, `agent`.
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
from headgate.operations import EMBEDDINGS, RESPONSES
from headgate.provider import operation_of
from headgate_compatible.provider import Compatible
from headgate_compatible.vendors import agent
from headgate_compatible.vendors.agent import AgentResponses
from headgate_compatible.vendors.embeddings import PerplexityEmbeddings
from headgate_compatible.vendors.sonar import SonarChat

Json = dict[str, Any]


class Perplexity(Compatible):
    """Perplexity's Sonar and its Agent API. Clients of OpenAI's Responses are relayed to that, others are translated into it."""

    own_dialects: ClassVar[Mapping[str, str]] = {"embeddings": PerplexityEmbeddings.name}
    codecs: ClassVar[Mapping[str, Dialect]] = {
        each.name: each for each in (SonarChat(), AgentResponses(), PerplexityEmbeddings())
    }
    origins_of_thought: ClassVar[frozenset[str]] = frozenset({agent.ORIGIN})

    @override
    def spoken(self, ex: Exchange, model: str) -> tuple[str, str] | None:
        if ex.operation is EMBEDDINGS and _asks_for_bytes(ex.source):
            return EMBEDDINGS.name, EMBEDDINGS.dialect
        if ex.operation.is_chat and "/" in model:
            return RESPONSES.name, RESPONSES.dialect
        return super().spoken(ex, model)

    @override
    def body_for(self, ex: Exchange) -> bytes:
        body = super().body_for(ex)
        if operation_of(ex) != RESPONSES.name:
            return body
        gaps = Gaps(self.name, self.policy(ex))
        body = agent.fitted(body, gaps)
        ex.tell_dropped(gaps.dropped)
        return body

    @override
    def adapt(self, request: ChatRequest, gaps: Gaps) -> ChatRequest:
        if gaps.dialect == AgentResponses.name:
            return agent.adapt(request, gaps)
        request = super().adapt(request, gaps)
        spoken = [_without_calls(message, at, gaps) for at, message in enumerate(request.messages)]
        return replace(request, messages=tuple(alternating(spoken, gaps)))

    @override
    def finish_body(self, body: bytes, request: ChatRequest, gaps: Gaps) -> bytes:
        return body if gaps.dialect == AgentResponses.name else super().finish_body(body, request, gaps)

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
