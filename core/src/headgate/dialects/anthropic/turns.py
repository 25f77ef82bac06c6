"""A history as Anthropic takes it: user and assistant by turns, a user first, tool results before what else is said.

Source: https://platform.claude.com/docs/en/api/messages/create and, for system messages between turns,
https://platform.claude.com/docs/en/build-with-claude/mid-conversation-system-messages
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Sequence
from typing import Any, Literal, cast

import msgspec
from msgspec import Raw

from headgate.chat import (
    Audio,
    ChatRequest,
    File,
    Image,
    Item,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from headgate.dialects.anthropic.decode import HINTS
from headgate.dialects.anthropic.names import NAME, CallIds, ToolNames
from headgate.dialects.anthropic.opaque import ORIGIN
from headgate.dialects.gaps import Gaps
from headgate.dialects.openai.members import Json, given, merged

FIRST_USER = "(start of the conversation)"
"""What stands for the user where a history begins with the assistant, which the API refuses."""
IMAGE_TYPES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
FOREIGN_HINTS = frozenset(
    {
        *HINTS,
        # where a part comes from and what became of it, a prompt cache, and betas of Anthropic's that a client of another names
        "annotations",
        "anthropic_beta",
        "caller",
        "id",
        "prompt_cache_breakpoint",
        "status",
        "title",
        "type",
    }
)
"""Members of other dialects' requests that may be left out besides those that `gaps` knows: they never ask for another answer."""

_SPOKEN = {"system", "developer"}
_PDF = "application/pdf"
_TEXT_TYPES = ("text/", "application/json", "application/xml", "application/yaml")
_members = msgspec.json.Decoder(dict[str, Raw])

Side = Literal["user", "assistant", "system"]


class _Turn:
    """One turn while it grows: the results that must come first, and all else."""

    def __init__(self, side: Side, place: str = "") -> None:
        self.side: Side = side
        self.place = place
        self.results: list[tuple[int, Json]] = []
        self.blocks: list[Json] = []
        self.extra: Json = {}

    def absorb(self, more: _Turn) -> None:
        """Go on with what the same side says next."""
        self.results += more.results
        self.blocks += more.blocks
        self.extra |= more.extra

    def body(self) -> Json | None:
        """The turn as JSON; None when it says nothing."""
        content = [*(block for _, block in sorted(self.results, key=lambda held: held[0])), *self.blocks]
        if not content:
            return None
        return merged({"role": self.side, "content": shortened(content)}, self.extra)


class Turns:
    """Encodes the messages of one request. `gaps` is told what Anthropic cannot say, by its place in the request."""

    def __init__(self, request: ChatRequest, names: ToolNames, gaps: Gaps) -> None:
        self._is_own = request.dialect == NAME
        self._names = names
        self._gaps = gaps
        self._ids = CallIds()
        self._is_echo = False
        self._order: dict[str, int] = {}
        self._turns: list[_Turn] = []
        self._waiting: list[_Turn] = []
        self.system: list[Json] = []
        for at, message in enumerate(request.messages):
            self._add(message, at)
        self._close_stretch()

    def messages(self) -> list[Json]:
        """The turns as JSON. A request that has only system messages says them as the user: nobody else speaks."""
        bodies = [body for turn in self._turns if (body := turn.body()) is not None]
        if not bodies and self.system:
            bodies, self.system = [{"role": "user", "content": shortened(self.system)}], []
            self._gaps.skip("messages[0].role")
        if bodies and bodies[0]["role"] != "user":
            bodies.insert(0, {"role": "user", "content": FIRST_USER})
            self._gaps.skip("messages[0].role")
        if bodies and bodies[-1]["role"] == "assistant":
            bodies[-1] = {**bodies[-1], "content": _trimmed(bodies[-1]["content"])}
        return bodies

    def _add(self, message: Message, at: int) -> None:
        place = f"messages[{at}]"
        if message.name is not None:
            self._gaps.skip(f"{place}.name")
        self._is_echo = message.role == "assistant"
        extra = self._extra(message.extra, place)
        if message.role in _SPOKEN:
            self._add_system(message, place, extra)
            return
        turn = _Turn("assistant" if message.role == "assistant" else "user")
        turn.extra = extra
        for number, part in enumerate(message.parts):
            self._add_part(turn, part, f"{place}.content[{number}]", place)
        if turn.side == "user":
            self._pass_waiting(turn)
        if turn.results or turn.blocks:
            self._turn(turn.side).absorb(turn)

    def _add_system(self, message: Message, place: str, extra: Json) -> None:
        """Instructions before the first turn stand at the top; later ones wait for the end of the user's turn."""
        turn = _Turn("system", place)
        turn.extra = extra
        for number, part in enumerate(message.parts):
            self._add_part(turn, part, f"{place}.content[{number}]", place)
        if not self._turns:
            self.system += turn.blocks
        elif self._is_own:
            self._turns.append(turn)
        else:
            self._waiting.append(turn)

    def _pass_waiting(self, turn: _Turn) -> None:
        """The user goes on behind instructions that wait, where the API takes none: the user says them where they stood.

        Results of tools must come first in their turn, so that instructions before them alone stay behind, and are named.
        """
        for waiting in self._waiting if turn.results or turn.blocks else ():
            self._gaps.skip(f"{waiting.place}.role")
        if turn.blocks:
            said, self._waiting = self._waiting, []
            for waiting in said:
                self._turn("user").blocks += tagged(waiting.blocks)

    def _turn(self, side: Side) -> _Turn:
        """The turn that this side is in, or its next one: neighbours of one side are one turn."""
        if side == "assistant":
            self._close_stretch()
        last = self._turns[-1] if self._turns else None
        if last is None or last.side != side:
            last = _Turn(side)
            self._turns.append(last)
        return last

    def _close_stretch(self) -> None:
        """Put the instructions that waited where they may stand: behind a user's turn and before an assistant's.

        Where no user spoke in between, the user says them.
        """
        waiting, self._waiting = self._waiting, []
        for turn in waiting:
            last = self._turns[-1]
            if last.side == "assistant" and not _ends_with_result(last):
                self._gaps.skip(f"{turn.place}.role")
                turn.side, turn.blocks = "user", tagged(turn.blocks)
            if last.side == turn.side == "system" and not (last.extra or turn.extra):
                last.blocks += turn.blocks
            else:
                self._turns.append(turn)

    def _add_part(self, turn: _Turn, part: Part, place: str, message: str) -> None:
        if isinstance(part, ToolResult):
            order = self._order.get(part.call_id, len(self._order))
            turn.results.append((order, self._result(part, place)))
            return
        block = self._block(part, place, message)
        if block is not None:
            turn.blocks.append(block)

    def _block(self, part: Part, place: str, message: str) -> Json | None:
        """A part as a block; None when there is nothing of it to send."""
        match part:
            case Text():
                self._bare(part.opaque, message, "signature")
                return self._text(part, place)
            case Refusal():
                extra = self._extra(part.extra, place)
                return merged({"type": "text", "text": part.text}, extra) if part.text.strip() else None
            case Image():
                return self._image(part, place)
            case File():
                return self._file(part, place)
            case Reasoning():
                return self._thinking(part, place, message)
            case ToolCall():
                self._bare(part.opaque, message, "signature")
                return self._call(part, place)
            case Item():
                if part.dialect == NAME:
                    return dict(part.raw)
                self._gaps.foreign_block(place, part.raw, part.dialect, is_echo=self._is_echo)
            case Audio():
                if part.transcript or self._is_echo:
                    self._gaps.skip(place)
                    return {"type": "text", "text": part.transcript} if part.transcript else None
                self._gaps.refuse(place, "Claude takes no sound")
            case ToolResult():
                raise TypeError("a tool result is no block among others")
        return None

    def _text(self, part: Text, place: str) -> Json | None:
        """Plain text. A blank one is left out: the API refuses it, and it says nothing."""
        extra = self._extra(part.extra, place)
        block: Any = extra.pop("_block", None)
        if isinstance(block, dict):
            return dict(cast("Json", block))
        if part.citations and not self._is_own:
            self._gaps.skip(f"{place.partition('.')[0]}.annotations")
        if not part.text.strip():
            return None
        citations = [citation.raw for citation in part.citations if "type" in citation.raw] if self._is_own else None
        body: Json = {"type": "text", "text": part.text, **given(citations=citations or None)}
        return merged({**body, **given(cache_control=part.cache)}, extra)

    def _image(self, part: Image, place: str) -> Json | None:
        extra = self._extra(part.extra, place)
        if part.detail not in {None, "auto"}:
            self._gaps.skip(f"{place}.image_url.detail")
        source: Json | None
        if part.file_id is not None:
            source = self._held(part.file_id, place)
        elif part.url is not None:
            source = {"type": "url", "url": part.url}
        elif part.data is not None and part.media_type in IMAGE_TYPES:
            source = {"type": "base64", "media_type": part.media_type, "data": part.data}
        else:
            self._gaps.refuse(place, f"Claude takes no image of type `{part.media_type}`")
            source = None
        if source is None:
            return None
        return merged({"type": "image", "source": source, **given(cache_control=part.cache)}, extra)

    def _file(self, part: File, place: str) -> Json | None:
        """A document: PDF, or plain text, which is what every other kind of text is sent as."""
        extra = self._extra(part.extra, place)
        source = self._file_source(part, place)
        if source is None:
            return None
        body: Json = {
            "type": "document",
            "source": source,
            **given(
                title=part.title or part.filename,
                context=part.context,
                citations=None if part.cites is None else {"enabled": part.cites},
                cache_control=part.cache,
            ),
        }
        return merged(body, extra)

    def _file_source(self, part: File, place: str) -> Json | None:
        if part.file_id is not None:
            return self._held(part.file_id, place)
        if part.url is not None:
            return {"type": "url", "url": part.url}
        kind, data = part.media_type or _PDF, part.data or ""
        if kind == _PDF:
            return {"type": "base64", "media_type": _PDF, "data": data}
        text = _plain(data) if kind.startswith(_TEXT_TYPES) else None
        if text is None:
            self._gaps.refuse(place, f"Claude takes PDF and plain text, no file of type `{kind}`")
            return None
        return {"type": "text", "media_type": "text/plain", "data": text}

    def _held(self, file_id: str, place: str) -> Json | None:
        """A file that was uploaded to Anthropic, which an id that another dialect brings does not name."""
        if self._is_own:
            return {"type": "file", "file_id": file_id}
        self._gaps.foreign_file(place)
        return None

    def _thinking(self, part: Reasoning, place: str, message: str) -> Json | None:
        """Thinking that Anthropic signed. Any other is left out: it could not be verified, and is never faked."""
        opaque = self._bare(part.opaque, message, "reasoning")
        extra = self._extra(part.extra, place)
        if opaque is None:
            if part.text:
                self._gaps.skip(f"{message}.reasoning")
            return None
        if part.is_redacted:
            return merged({"type": "redacted_thinking", "data": opaque.data}, extra)
        return merged({"type": "thinking", "thinking": part.text, "signature": opaque.data}, extra)

    def _bare(self, opaque: Opaque | None, message: str, name: str) -> Opaque | None:
        """The item if it is Anthropic's; another vendor's is left out and named."""
        if opaque is not None and opaque.origin != ORIGIN:
            self._gaps.skip(f"{message}.{name}")
            return None
        return opaque

    def _call(self, part: ToolCall, place: str) -> Json:
        extra = self._extra(part.extra, place)
        sent = self._ids.begin(part.id)
        self._order[part.id] = len(self._order)
        name = self._names[part.name]
        body: Json = {"type": "tool_use", "id": sent, "name": name, "input": input_of(part)}
        return merged({**body, **given(cache_control=part.cache)}, extra)

    def _result(self, part: ToolResult, place: str) -> Json:
        blocks: list[Json] = []
        for number, held in enumerate(part.content):
            inner = f"{place}.content[{number}]"
            block = self._block(held, inner, place)
            if block is not None:
                blocks.append(block)
        body: Json = {"type": "tool_result", "tool_use_id": self._ids.answer(part.call_id)}
        if blocks:
            body["content"] = shortened(blocks)
        if part.is_error:
            body["is_error"] = True
        return merged({**body, **given(cache_control=part.cache)}, self._extra(part.extra, place))

    def _extra(self, extra: Json, place: str) -> Json:
        """Members of this dialect's own; those of another are told to `gaps`. Those of an answer are only echoes of it."""
        if self._is_own or not extra:
            return dict(extra)
        self._gaps.extra(extra, place, hints=extra if self._is_echo else FOREIGN_HINTS)
        return {}


def input_of(call: ToolCall) -> Raw:
    """The arguments of a call as the object that `input` must be, every byte of them kept.

    A custom tool's text becomes `{"input": TEXT}`, and text that is no JSON object `{"arguments": TEXT}`.
    """
    if call.custom:
        return Raw(msgspec.json.encode({"input": call.arguments}))
    said = call.arguments.strip()
    if not said:
        return Raw(b"{}")
    try:
        _members.decode(said)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Raw(msgspec.json.encode({"arguments": call.arguments}))
    return Raw(said.encode())


def shortened(blocks: Sequence[Json]) -> str | list[Json]:
    """A single plain text as a string, anything else as it is."""
    if len(blocks) == 1 and blocks[0].keys() == {"type", "text"}:
        return str(blocks[0]["text"])
    return list(blocks)


def tagged(blocks: Sequence[Json]) -> list[Json]:
    """Instructions as the user says them: their texts as one, with the last mark, and what else they show behind it."""
    texts = [block for block in blocks if block.get("type") == "text"]
    others = [block for block in blocks if block.get("type") != "text"]
    if not texts:
        return others
    said = "".join(str(block["text"]) for block in texts)
    mark = next((block["cache_control"] for block in reversed(texts) if "cache_control" in block), None)
    return [{"type": "text", "text": f"<system>\n{said}\n</system>", **given(cache_control=mark)}, *others]


def _ends_with_result(turn: _Turn) -> bool:
    """Whether the turn ends with what a tool of Anthropic's own found, behind which a system message may stand."""
    return bool(turn.blocks) and str(turn.blocks[-1].get("type")).endswith("_tool_result")


def _trimmed(content: str | list[Json]) -> str | list[Json]:
    """The last turn of an assistant, which the model goes on from: the API refuses white space at its end."""
    if isinstance(content, str):
        return content.rstrip()
    last = content[-1]
    if last.get("type") == "text":
        return [*content[:-1], {**last, "text": str(last["text"]).rstrip()}]
    return content


def _plain(data: str) -> str | None:
    try:
        return b64decode(data, validate=True).decode()
    except (Base64Error, ValueError):
        return None
