"""Messages of the canonical model as turns of Converse: roles alternate, results come first, nothing is blank.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Message.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw

from headgate.chat import (
    Audio,
    ChatRequest,
    File,
    Image,
    Item,
    Message,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from headgate.dialects import Gaps
from headgate.dialects.openai.members import merged
from headgate_bedrock.media import DocumentNames, audio_block, file_block, image_block
from headgate_bedrock.models import Model
from headgate_bedrock.tools import CallIds, cache_point, sent_names

Json = dict[str, Any]

NAME = "bedrock.converse"
_INSTRUCTING = {"system", "developer"}
_BESIDE_DOCUMENTS = "See the document."
"""Converse refuses a document without a text in the same turn."""
_FAILED = "error"
"""What a tool that failed without a word is said to have answered: Converse refuses an error that says nothing."""


class Turn:
    """One turn while it is put together. `groups` are blocks that belong together, such as one and the mark behind it."""

    def __init__(self, role: str) -> None:
        self.role = role
        self.results: list[tuple[str, list[Json]]] = []
        self.groups: list[list[Json]] = []
        self.calls: list[str] = []

    def content(self, calls: list[str]) -> list[Json]:
        """All blocks: results first, in the order of the calls they answer, and a text beside documents."""
        order = {call: at for at, call in enumerate(calls)}
        ranked = sorted(self.results, key=lambda result: order.get(result[0], len(order)))
        blocks = [block for _, group in ranked for block in group]
        spoken = [block for group in self.groups for block in group]
        if any("document" in block for block in spoken) and not any("text" in block for block in spoken):
            spoken.append({"text": _BESIDE_DOCUMENTS})
        return blocks + spoken


class Turns:
    """Encodes the messages of one request. `system` are the instructions, `encoded()` the turns."""

    def __init__(self, request: ChatRequest, model: Model, gaps: Gaps) -> None:
        self._model = model
        self._gaps = gaps
        self._is_own = request.dialect == NAME
        self._names = sent_names(request)
        self._ids = CallIds(is_short=model.vendor == "mistral")
        self._documents = DocumentNames()
        self._is_echo = False
        self._turns: list[Turn] = []
        self.system: list[Json] = []
        for at, (message, following) in enumerate(zip(request.messages, _followers(request.messages), strict=True)):
            self._ends_turn = following == "assistant"
            self._add(message, f"messages[{at}]")

    def encoded(self) -> list[Json]:
        """The turns, without those that have nothing to say. A last word of the assistant does not end in blanks."""
        turns: list[Json] = []
        calls: list[str] = []
        for turn in self._turns:
            content = turn.content(calls)
            calls = turn.calls
            if content and turns and turns[-1]["role"] == turn.role:
                turns[-1]["content"] += content
            elif content:
                turns.append({"role": turn.role, "content": content})
        if turns and turns[-1]["role"] == "assistant" and set(turns[-1]["content"][-1]) == {"text"}:
            last = turns[-1]["content"][-1]
            last["text"] = last["text"].rstrip()
        return turns

    def _add(self, message: Message, place: str) -> None:
        if message.name is not None and message.role != "tool":
            self._gaps.skip(f"{place}.name")
        self._is_echo = message.role == "assistant"
        self._tell(message.extra, place)
        if message.role in _INSTRUCTING:
            self._instruct(message, place)
            return
        turn = self._turn("assistant" if message.role == "assistant" else "user")
        for number, part in enumerate(message.parts):
            where = f"{place}.content[{number}]"
            if isinstance(part, ToolResult):
                call_id = self._ids.of_result(part)
                turn.results.append((call_id, self._marked(self._result(part, call_id, where), part.cache, where)))
                continue
            block = self._block(part, turn, where)
            if block is not None:
                turn.groups.append(self._marked(block, _cache_of(part), where))

    def _tell(self, extra: Json, place: str) -> None:
        """Members of other dialects, which have no place. Those of an answer that comes back are echoes and may go."""
        if not self._is_own:
            self._gaps.extra(extra, place, hints=extra if self._is_echo else ())

    def _turn(self, role: str) -> Turn:
        """The turn to go on with: roles alternate, so that messages of one role in a row are one turn."""
        if not self._turns or self._turns[-1].role != role:
            self._turns.append(Turn(role))
        return self._turns[-1]

    def _instruct(self, message: Message, place: str) -> None:
        """Instructions stand before all turns. Later ones stay where they are if the model takes them there, which Claude
        does between a user's turn and an assistant's, else the user says them, in `<system>` tags.
        """
        blocks: list[Json] = []
        for number, part in enumerate(message.parts):
            where = f"{place}.content[{number}]"
            block = self._spoken(part, where) if isinstance(part, Text | Item) else None
            if block is not None:
                blocks += self._marked(block, _cache_of(part), where, "system")
            elif not isinstance(part, Text):
                self._gaps.refuse(where, "instructions on Bedrock are text")
        if not blocks:
            return
        may_stand = self._model.has_system_turns and self._ends_turn
        if self._turns and (self._is_own or (may_stand and self._turns[-1].role == "user")):
            self._turn("system").groups.append(blocks)
            return
        if self._turns:
            self._gaps.skip(f"{place}.role")
            marks = [mark for part in message.parts if (mark := _cache_of(part)) is not None]
            said: Json = {"text": f"<system>\n{message.text}\n</system>"}
            self._turn("user").groups.append(self._marked(said, marks[-1] if marks else None, place))
            return
        self.system += blocks

    def _marked(self, block: Json, cache: Json | None, place: str, field: str = "messages") -> list[Json]:
        if cache is None:
            return [block]
        if field in self._model.caches or self._is_own:
            return [block, cache_point(cache, self._model, self._gaps, place)]
        self._gaps.skip(f"{place}.cache_control")
        return [block]

    def _block(self, part: Part, turn: Turn, place: str) -> Json | None:
        """One part as a block; None for what says nothing, or was left out and said so."""
        match part:
            case Text() | Refusal() | Item():
                return self._spoken(part, place)
            case Image() | File() | Audio():
                return self._medium(part, turn.role, place)
            case ToolCall():
                return self._call(part, turn, place)
            case Reasoning():
                return self._thought(part, place)
            case _:
                raise TypeError(f"`{type(part).__name__}` is no part of a turn")

    def _spoken(self, part: Text | Refusal | Item, place: str) -> Json | None:
        if isinstance(part, Item):
            if part.dialect == NAME:
                return part.raw
            self._gaps.foreign_block(place, part.raw, part.dialect, is_echo=self._is_echo)
            return None
        self._tell(part.extra, place)
        if not part.text.strip():
            return None
        if isinstance(part, Refusal):
            return {"text": part.text}
        if part.opaque is not None:
            self._gaps.skip(f"{place}.signature")
        if self._is_own and "guardContent" in part.extra:
            return {"guardContent": {"text": {"text": part.text, **part.extra["guardContent"]}}}
        if part.citations and not self._is_own:
            self._gaps.skip(f"{place}.annotations")
        elif part.citations:
            cited = {"content": [{"text": part.text}], "citations": [citation.raw for citation in part.citations]}
            return {"citationsContent": cited}
        return {"text": part.text, **(part.extra if self._is_own else {})}

    def _medium(self, part: Image | File | Audio, role: str, place: str) -> Json | None:
        self._tell(part.extra, place)
        if isinstance(part, Audio) and self._is_echo:
            self._gaps.skip(place)
            return {"text": part.transcript} if part.transcript else None
        if isinstance(part, Image | File) and part.file_id is not None:
            self._gaps.foreign_file(place)
            return None
        if isinstance(part, Image):
            if part.detail not in {None, "auto"}:
                self._gaps.skip(f"{place}.image_url.detail")
            block = image_block(part, is_own=self._is_own)
        elif isinstance(part, File):
            block = file_block(part, self._documents, is_own=self._is_own)
        else:
            block = audio_block(part)
        if block is None or role != "user":
            why = "only users may show media" if role != "user" else "Bedrock takes bytes of the formats it lists"
            self._gaps.refuse(place, why)
            return None
        return block

    def _call(self, part: ToolCall, turn: Turn, place: str) -> Json:
        if part.opaque is not None:
            self._gaps.skip(f"{place}.signature")
        self._tell(part.extra, place)
        call_id = self._ids.of_call(part)
        turn.calls.append(call_id)
        use: Json = {"toolUseId": call_id, "name": self._names[part.name], "input": arguments_of(part)}
        return {"toolUse": merged(use, part.extra) if self._is_own else use}

    def _thought(self, part: Reasoning, place: str) -> Json | None:
        """Thinking goes back to where its signature is understood, byte for byte; without one it says nothing there."""
        self._tell(part.extra, place)
        opaque, known = part.opaque, self._model
        if opaque is not None and part.is_redacted and opaque.origin == "bedrock":
            return {"reasoningContent": {"redactedContent": opaque.data}}
        is_readable = not known.vendor or known.is_thinking_signed
        if opaque is not None and not part.is_redacted and is_readable and opaque.origin in {"anthropic", "bedrock"}:
            return {"reasoningContent": {"reasoningText": {"text": part.text, "signature": opaque.data}}}
        if self._is_own and opaque is None:
            return {"reasoningContent": {"reasoningText": {"text": part.text}}}
        self._gaps.skip(f"{place.partition('.')[0]}.reasoning")
        return None

    def _result(self, part: ToolResult, call_id: str, place: str) -> Json:
        content: list[Json] = []
        for number, held in enumerate(part.content):
            block = self._result_block(held, f"{place}.content[{number}]")
            if block is not None:
                content.append(block)
        result: Json = {"toolUseId": call_id, "content": content}
        if part.is_error:
            result["content"] = content or [{"text": _FAILED}]
            if self._model.has_result_status or self._is_own:
                result["status"] = "error"
            else:
                self._gaps.skip(f"{place}.is_error")
        if self._is_own:
            result |= part.extra
        self._tell(part.extra, place)
        return {"toolResult": result}

    def _result_block(self, part: Text | Image | File, place: str) -> Json | None:
        if part.cache is not None:
            self._gaps.skip(f"{place}.cache_control")
        if isinstance(part, Text) and self._is_own and "block" in part.extra:
            return part.extra["block"]
        if isinstance(part, Text) and self._is_own and "json" in part.extra:
            return {"json": Raw(part.text.encode())}
        return self._spoken(part, place) if isinstance(part, Text) else self._medium(part, "user", place)


def _followers(messages: Sequence[Message]) -> list[str]:
    """Who speaks behind each message, instructions left aside; behind the last the assistant will."""
    followers: list[str] = []
    speaker = "assistant"
    for message in reversed(messages):
        followers.append(speaker)
        speaker = speaker if message.role in _INSTRUCTING else message.role
    return followers[::-1]


def arguments_of(call: ToolCall) -> Raw:
    """The input of a call as JSON: "" is `{}`. What is no JSON object (free text, a broken answer) stands as `input` in one."""
    text = call.arguments.strip()
    if not text:
        return Raw(b"{}")
    if not call.custom:
        try:
            msgspec.json.decode(text, type=dict[str, Raw])
            return Raw(text.encode())
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            pass
    return Raw(msgspec.json.encode({"input": call.arguments}))


def _cache_of(part: Part) -> Json | None:
    return part.cache if isinstance(part, Text | Image | File | ToolCall) else None
