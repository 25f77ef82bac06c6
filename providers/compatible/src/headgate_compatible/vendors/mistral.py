"""Mistral: ids of nine letters and digits, an order of roles of its own, and thinking as parts of the content.

Sources: https://docs.mistral.ai/api/, the types of `mistralai` 3.7, https://github.com/mistralai/mistral-common (which roles may
follow which). Members that are not in its schema are answered with 422.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, cast

import msgspec
from msgspec import Raw
from msgspec.structs import replace
from typing_extensions import override

from headgate.chat import ChatRequest, Message, Part, Reasoning, Text, ToolCall, ToolResult
from headgate.dialects import Dialect, Gaps
from headgate.dialects.openai.members import Members, objects
from headgate.dialects.openai.reasoning import take_reasoning
from headgate.exchange import Exchange, Reply
from headgate.operations import CHAT, COMPLETIONS, MODERATIONS, SPEECH
from headgate.provider import operation_of
from headgate_compatible import policy
from headgate_compatible.functions import with_parameters
from headgate_compatible.vendors import fim, moderation, speech
from headgate_compatible.vendors.batches import MistralBatches
from headgate_compatible.vendors.reshaped import Reshaped, Shape

Json = dict[str, Any]

_LEGAL = re.compile(r"[A-Za-z0-9]{9}")
_ALWAYS_THINKS, _EFFORTS = "mistral-large-4", ("low", "medium", "high")
"""The model with efforts of its own: https://docs.mistral.ai/inference/conversations/reasoning"""
_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_members = msgspec.json.Decoder(dict[str, Raw])
_messages = msgspec.json.Decoder(list[Json])
_THINKING = ("reasoning", "reasoning_content", "reasoning_details")
_BRIDGE: Json = {"role": "assistant", "content": "OK."}
"""What stands between the result of a tool and another turn than the assistant's, which Mistral does not take."""


class Mistral(Reshaped):
    """Mistral's La Plateforme."""

    own_dialects: ClassVar[Mapping[str, str]] = {"batches": MistralBatches.name}
    codecs: ClassVar[Mapping[str, Dialect]] = {MistralBatches.name: MistralBatches()}
    origins_of_thought: ClassVar[frozenset[str]] = frozenset({"mistral"})

    shapes: ClassVar[Mapping[str, Shape]] = {
        COMPLETIONS.name: Shape(fim.encode),
        SPEECH.name: Shape(speech.encode, speech.decode),
        MODERATIONS.name: Shape(moderation.encode, moderation.decode),
    }

    @override
    def body_for(self, ex: Exchange) -> bytes:
        body = super().body_for(ex)
        if operation_of(ex) != CHAT.name:
            return body
        return with_parameters(short_ids(body) if b'"tool_call_id"' in body else body)

    @override
    def call(self, ex: Exchange) -> Coroutine[Any, Any, Reply]:
        return self._complete(ex) if operation_of(ex) == COMPLETIONS.name else super().call(ex)

    async def _complete(self, ex: Exchange) -> Reply:
        return fim.tell(await super().call(ex))

    @override
    def adapt(self, request: ChatRequest, gaps: Gaps) -> ChatRequest:
        request = super().adapt(request, gaps)
        return replace(request, messages=tuple(with_short_ids(in_order(request.messages))))

    @override
    def think(self, request: ChatRequest, gaps: Gaps) -> ChatRequest:
        if not request.model.startswith(_ALWAYS_THINKS):
            return super().think(request, gaps)
        return replace(request, thinking=policy.think(request.thinking, _EFFORTS, gaps))

    @override
    def finish(self, body: Json, request: ChatRequest, gaps: Gaps) -> None:
        finish_members(body)


def finish_members(body: Json) -> None:
    """Tell the members of an encoded chat request as Mistral has them."""
    body.pop("stream_options", None)  # not in its schema; usage always comes with the last chunk
    for tool in body.get("tools", ()):
        tool["function"].setdefault("parameters", {"type": "object", "properties": {}})
    messages = body["messages"] = bridged(body["messages"])
    for message in messages:
        _finish_message(message)
    if messages and messages[-1]["role"] == "assistant":
        messages[-1]["prefix"] = True  # an answer to go on with: https://docs.mistral.ai/guides/prefix/


def in_order(messages: Iterable[Message]) -> list[Message]:
    """The turns with instructions where Mistral takes them, which is not behind the assistant or a tool.

    Such an instruction waits for the next turn of the user; without one the user says it.
    """
    turns: list[Message] = []
    waiting: list[Message] = []
    for message in _apart(messages):
        if message.role == "system" and turns and turns[-1].role in {"assistant", "tool"}:
            waiting.append(message)
            continue
        if message.role == "assistant" and waiting:
            turns.append(_spoken(waiting))
            waiting = []
        turns.append(message)
        if message.role == "user":
            turns += waiting
            waiting = []
    return [*turns, _spoken(waiting)] if waiting else turns


def bridged(messages: Iterable[Json]) -> list[Json]:
    """Encoded turns with a word of the assistant's between the result of a tool and what follows."""
    turns: list[Json] = []
    for message in messages:
        if turns and turns[-1]["role"] == "tool" and message["role"] not in {"assistant", "tool"}:
            turns.append(dict(_BRIDGE))
        turns.append(message)
    return turns


def short_ids(body: bytes) -> bytes:
    """A chat client's body with ids of calls as Mistral takes them; the very same bytes where they are."""
    try:
        members = _members.decode(body)
        messages = _messages.decode(members["messages"])
    except (KeyError, msgspec.ValidationError):
        return body  # no messages: the vendor says so
    calls = [call for message in messages for call in objects(message.get("tool_calls"))]
    short, is_changed = _shortening([str(call.get("id")) for call in calls]), False
    for held, name in [*((call, "id") for call in calls), *((message, "tool_call_id") for message in messages)]:
        given = held.get(name)
        if isinstance(given, str) and short(given) != given:
            held[name], is_changed = short(given), True
    return msgspec.json.encode({**members, "messages": messages}) if is_changed else body


def with_short_ids(messages: Sequence[Message]) -> Iterator[Message]:
    """The turns with ids of calls as Mistral takes them; the same id becomes the same, and no two become one."""
    short = _shortening([part.id for message in messages for part in message.parts if isinstance(part, ToolCall)])
    for message in messages:
        parts: list[Part] = []
        for part in message.parts:
            if isinstance(part, ToolCall):
                parts.append(replace(part, id=short(part.id)))
            else:
                parts.append(replace(part, call_id=short(part.call_id)) if isinstance(part, ToolResult) else part)
        yield replace(message, parts=tuple(parts))


def _shortening(ids: Iterable[str]) -> Callable[[str], str]:
    """What makes an id one that Mistral takes; none becomes one of `ids` that is one."""
    known: dict[str, str] = {}
    taken = {each for each in ids if _LEGAL.fullmatch(each)}

    def short(given: str) -> str:
        if given not in known:
            known[given] = given if _LEGAL.fullmatch(given) else _made(given, taken)
            taken.add(known[given])
        return known[given]

    return short


def _made(given: str, taken: set[str]) -> str:
    """An id of nine letters and digits that depends on the one given alone, but for the ids that are taken."""
    for turn in range(len(taken) + 1):
        number = int.from_bytes(hashlib.sha256(f"{turn}:{given}".encode()).digest()[:8])
        made = "".join(_LETTERS[number // 62**place % 62] for place in range(9))
        if made not in taken:
            return made
    raise AssertionError("more ids are taken than there are")


def _apart(messages: Iterable[Message]) -> Iterator[Message]:
    """Every turn, results of tools in turns of their own before what else a turn says."""
    for message in messages:
        results = tuple(part for part in message.parts if isinstance(part, ToolResult))
        others = tuple(part for part in message.parts if not isinstance(part, ToolResult))
        if results:
            yield replace(message, role="tool", parts=results)
        if others or not results:
            yield replace(message, role="user" if message.role == "tool" else message.role, parts=others)


def _spoken(instructions: Iterable[Message]) -> Message:
    text = "\n\n".join(message.text for message in instructions)
    return Message("user", (Text(f"<system>\n{text}\n</system>"),))


def _finish_message(message: Json) -> None:
    """Members and parts as Mistral has them."""
    thinking = take_reasoning(Members({name: message.pop(name, None) for name in _THINKING}))
    refusal = message.pop("refusal", None)
    content: Any = message.get("content")
    if isinstance(content, list):
        content = [_finish_part(part) for part in cast("list[Json]", content)]
    if thinking or (refusal and content):
        content = [{"type": "text", "text": content}] if isinstance(content, str) and content else content or []
        content = [*map(_thought, thinking), *content, *([{"type": "text", "text": refusal}] if refusal else [])]
    message["content"] = content or refusal or content


def _thought(part: Reasoning) -> Json:
    """Thinking as a part, with the signature that came with it."""
    signed = {"signature": part.opaque.data} if part.opaque is not None else {}
    return {"type": "thinking", "thinking": [{"type": "text", "text": part.text}], **signed}


def _finish_part(part: Json) -> Json:
    match part:
        case {"type": "file", "file": {"file_data": str(url), **file}}:
            name = file.get("filename")
            return {"type": "document_url", "document_url": url, **({"document_name": name} if name else {})}
        case {"type": "file", "file": {"file_id": str(held)}}:
            return {"type": "file", "file_id": held}
        case {"type": "input_audio", "input_audio": {"data": str(data)}}:
            return {"type": "input_audio", "input_audio": data}
        case _:
            return part
