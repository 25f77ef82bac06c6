"""The turns of a canonical request as OpenAI chat messages.

Results of tools are messages of their own and hold text alone; a picture or a file that a tool gave follows in a user message
behind the last result. https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Sequence
from typing import TypeGuard

from headgate.chat import (
    Audio,
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
from headgate.dialects.data_urls import data_url
from headgate.dialects.gaps import Gaps
from headgate.dialects.openai.answer import encode_citation, encode_image
from headgate.dialects.openai.members import Json, given, merged
from headgate.dialects.openai.message import DIALECT
from headgate.dialects.openai.names import CallIds, legal_name
from headgate.dialects.openai.reasoning import encode_reasoning, encode_signature

Media = Image | File

PART_HINTS = frozenset({"annotations", "caller", "id", "phase", "status", "title", "type"})
"""Members of other dialects' turns and parts that may be left out: they tell where a part came from."""


class Turns:
    """Writes the turns of one request, in order."""

    def __init__(self, gaps: Gaps, *, is_own: bool) -> None:
        self._gaps = gaps
        self._is_own = is_own
        self._ids = CallIds()
        self._sent: list[Json] = []
        self._waiting: list[Json] = []
        self._is_echo = False

    def encode(self, messages: Sequence[Message]) -> list[Json]:
        """The messages to send."""
        for at, message in enumerate(messages):
            self._add(message, f"messages[{at}]")
        self._flush()
        return self._sent

    def _add(self, message: Message, place: str) -> None:
        """One turn: its results first, then what else it says. Members of an answer that comes back are echoes and may go."""
        self._is_echo = message.role == "assistant"
        results = [part for part in message.parts if isinstance(part, ToolResult)]
        others = [part for part in message.parts if not isinstance(part, ToolResult)]
        for number, result in enumerate(results):
            if result.is_error:
                self._gaps.skip(f"{place}.content[{number}].is_error")
            self._sent.append(self._with_extra(self._result(result, place), message.extra, place))
        if others or not results:
            self._flush()
            said = self._with_extra(self._spoken(message, others, place), message.extra, place)
            if said["content"] or not (others and all(isinstance(part, Item) for part in others)):
                self._sent.append(said)  # else all that it held was left out

    def _flush(self) -> None:
        """Say what tools gave beside text, once all results have been said."""
        if self._waiting:
            self._sent.append({"role": "user", "content": self._waiting})
            self._waiting = []

    def _result(self, result: ToolResult, place: str) -> Json:
        call_id = result.call_id if self._is_own else self._ids.of_result(result.call_id)
        texts: list[Json] = []
        for number, part in enumerate(result.content):
            where = f"{place}.content[{number}]"
            if isinstance(part, Text):
                texts.append(self._text(part, where))
                continue
            for media in self._media(part, where):
                if media["type"] == "text":
                    texts.append(media)
                else:
                    note = f"(what this call returned as {_kind_of(part)} follows in a user message)"
                    texts.append({"type": "text", "text": note})
                    self._waiting += [{"type": "text", "text": f"Returned by tool call `{call_id}`:"}, media]
        content = _plain(texts)
        if content is None:
            content = "error" if result.is_error else ""
        name = result.name if self._is_own else None
        body = {"role": "tool", **given(name=name), "tool_call_id": call_id, "content": content}
        if result.cache is not None:
            body |= self._mark(result.cache, place)
        return self._with_extra(body, result.extra, place)

    def _spoken(self, message: Message, parts: Sequence[Part], place: str) -> Json:
        """Everything but results. Only an assistant may say nothing at all, which is a null content."""
        role = "user" if message.role == "tool" else message.role
        calls = [self._call(part, place) for part in parts if isinstance(part, ToolCall)]
        beside: Json = encode_reasoning([part for part in parts if self._is_bare(part)])
        content: list[Json] = []
        for number, part in enumerate(parts):
            where = f"{place}.content[{number}]"
            if isinstance(part, ToolCall):
                continue
            if self._is_bare(part):
                self._with_extra({}, part.extra, where)
                continue
            if role == "assistant":
                content += self._answered(part, where, beside)
            else:
                content += self._part(part, where)
        body: Json = {"role": role, **given(name=message.name)}
        said = _plain(content, is_joined=role == "assistant" and not self._is_own)
        is_silent = role == "assistant" and bool(calls or beside.keys() & {"refusal", "audio"})
        body["content"] = said if said is not None or is_silent else ""
        return {
            **body,
            **beside,
            **self._signature(parts),
            **self._citations(parts, place),
            **given(tool_calls=calls or None),
        }

    def _is_bare(self, part: Part) -> TypeGuard[Reasoning]:
        """Whether a part is thinking that has members of its own in the message."""
        return isinstance(part, Reasoning) and not (self._is_own and part.extra)

    def _answered(self, part: Part, where: str, beside: Json) -> list[Json]:
        """A part of the model's own: what has a member of its own goes there."""
        match part:
            case Refusal() if not (self._is_own and part.extra):
                beside["refusal"] = beside.get("refusal", "") + part.text
                self._with_extra({}, part.extra, where)
                return []
            case Audio() if part.id is not None:
                beside["audio"] = {"id": part.id}  # it stands for all that came with it
                return []
            case Audio():
                self._gaps.skip(where)  # a model's sound is referred to by the id it came with
                return [{"type": "text", "text": part.transcript}] if part.transcript else []
            case Image() if self._is_own:
                beside.setdefault("images", []).append(merged(encode_image(part), part.extra))
                return []
            case Image():
                shown = self._media(part, where)
                self._waiting += [{"type": "text", "text": "The assistant made:"}, *shown] if shown else []
                return []
            case Item() if part.dialect != DIALECT:
                self._gaps.foreign_block(where, part.raw, part.dialect, is_echo=True)
                return []
            case Text(text="", cache=None) if not part.extra:
                return []  # it holds a signature or sources alone
            case _:
                return self._part(part, where)

    def _part(self, part: Part, where: str) -> list[Json]:
        match part:
            case Text():
                return [self._text(part, where)]
            case Image() | File():
                return self._media(part, where)
            case Audio():
                sound = {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}
                return [self._with_extra(sound, part.extra, where)]
            case Refusal():
                return [self._with_extra({"type": "refusal", "refusal": part.text}, part.extra, where)]
            case Reasoning():
                texts = [{"type": "text", "text": part.text}]
                return [self._with_extra({"type": "thinking", "thinking": texts}, part.extra, where)]
            case Item() if part.dialect == DIALECT:
                return [part.raw]
            case Item():
                self._gaps.refuse(where, f"a block of `{part.dialect}` is understood there alone")
                return []
            case _:
                self._gaps.refuse(where, "a call is the assistant's to make")
                return []

    def _text(self, part: Text, where: str) -> Json:
        return self._with_extra({"type": "text", "text": part.text, **self._mark(part.cache, where)}, part.extra, where)

    def _media(self, part: Media, where: str) -> list[Json]:
        """A picture or a file, and before it what a document says about itself. An id holds at the vendor that gave it."""
        if part.file_id is not None and not self._is_own:
            self._gaps.foreign_file(where)
            return []
        parts = self._image(part, where) if isinstance(part, Image) else self._file(part, where)
        if parts:
            parts[-1] = self._with_extra({**parts[-1], **self._mark(part.cache, where)}, part.extra, where)
        return parts

    def _image(self, part: Image, where: str) -> list[Json]:
        url = data_url(part.media_type, part.data) if part.data is not None else part.url
        if url is None:
            self._gaps.refuse(where, "an image goes by its URL or its bytes, not by a file id")
            return []
        detail = part.detail if self._is_own or part.detail != "auto" else None  # unsaid, it is `auto`
        return [{"type": "image_url", "image_url": {"url": url, **given(detail=detail)}}]

    def _file(self, part: File, where: str) -> list[Json]:
        """A file as vendors take it. Plain text is sent as text, since a file here is a PDF."""
        if part.cites:
            self._gaps.refuse(f"{where}.citations")
        about: list[Json] = [{"type": "text", "text": part.context}] if part.context else []
        name = part.filename or part.title
        url = data_url(part.media_type, part.data) if part.data is not None else part.url
        if (part.media_type or "").startswith("video/") and url is not None:
            return [*about, {"type": "video_url", "video_url": {"url": url}}]
        text = None if self._is_own else _text_of(part)
        if text is not None:
            return [*about, {"type": "text", "text": f"{name}:\n{text}" if name else text}]
        is_nameless = name is None and part.data is not None and not self._is_own
        file = given(file_id=part.file_id, filename="document.pdf" if is_nameless else name, file_data=url)
        return [*about, {"type": "file", "file": file}]

    def _call(self, call: ToolCall, place: str) -> Json:
        call_id = call.id if self._is_own else self._ids.of_call(call.id)
        name = call.name if self._is_own else legal_name(call.name)
        kind, field = ("custom", "input") if call.custom else ("function", "arguments")
        text = call.arguments if call.custom or self._is_own else call.arguments.strip() or "{}"
        body = {"id": call_id, "type": kind, kind: {"name": name, field: text}, **self._mark(call.cache, place)}
        return merged(self._with_extra(body, call.extra, place), encode_signature(call.opaque))

    def _signature(self, parts: Sequence[Part]) -> Json:
        signed = [part.opaque for part in parts if isinstance(part, Text) and part.opaque is not None]
        return encode_signature(signed[-1] if signed else None)

    def _citations(self, parts: Sequence[Part], place: str) -> Json:
        """Sources of an earlier answer; only a vendor's own annotations go back."""
        begin = 0
        annotations: list[Json] = []
        for part in parts:
            if isinstance(part, Text):
                end = begin + len(part.text)
                own = [citation for citation in part.citations if self._is_own and "url_citation" in citation.raw]
                annotations += [encode_citation(citation, begin, end) for citation in own]
                if len(own) < len(part.citations):
                    self._gaps.skip(f"{place}.annotations")
                begin = end
        return given(annotations=annotations or None)

    def _mark(self, mark: Json | None, where: str) -> Json:
        if mark is None:
            return {}
        if self._is_own:
            return {"cache_control": mark}
        self._gaps.skip(f"{where}.cache_control")
        return {}

    def _with_extra(self, body: Json, extra: Json, where: str) -> Json:
        if self._is_own:
            return merged(body, extra)
        self._gaps.extra(extra, where, hints=extra if self._is_echo else PART_HINTS)
        return body


def _plain(content: list[Json], *, is_joined: bool = False) -> str | list[Json] | None:
    """One plain text as a string, which every vendor takes; None for nothing. `is_joined`: pieces of one text are one."""
    is_plain = all(part.keys() == {"type", "text"} for part in content)
    if content and is_plain and (is_joined or len(content) == 1):
        return "".join(str(part["text"]) for part in content)
    return content or None


def _kind_of(part: Media) -> str:
    return "an image" if isinstance(part, Image) else "a file"


def _text_of(part: File) -> str | None:
    """The text of a document that is nothing else."""
    if part.data is None or not (part.media_type or "").startswith("text/"):
        return None
    try:
        return b64decode(part.data).decode()
    except (NotBase64, ValueError):
        return None
