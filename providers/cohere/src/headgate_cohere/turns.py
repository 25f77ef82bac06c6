"""The turns of a canonical request as Cohere's messages.

Every result of a tool is a message of its own and holds text and documents; a picture that a tool gave follows in a user message.
Text beside calls goes as content: its newer models refuse a `tool_plan` that is sent back, and all take content.
https://docs.cohere.com/reference/chat
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Sequence

from headgate.chat import Audio, File, Image, Item, Message, Part, Reasoning, Refusal, Text, ToolCall, ToolResult
from headgate.dialects import Gaps
from headgate.dialects.data_urls import data_url
from headgate.dialects.functions import PART_HINTS, arguments_text
from headgate.dialects.openai.members import Json, given, merged
from headgate.dialects.openai.names import CallIds
from headgate_cohere.replies import NAME

_TEXTUAL = ("text/", "application/json", "application/xml", "application/yaml")
_DOCUMENT = "document"
"""In the `extra` of a text of a result: the document it stands for."""


class Turns:
    """Writes the turns of one request, in order."""

    def __init__(self, gaps: Gaps, *, is_own: bool) -> None:
        self._gaps = gaps
        self._is_own = is_own
        self._ids = CallIds()
        self._is_echo = False
        self._sent: list[Json] = []
        self._waiting: list[Json] = []

    def encode(self, messages: Sequence[Message]) -> list[Json]:
        """The messages to send; turns that say nothing are left out, since Cohere refuses them."""
        for at, message in enumerate(messages):
            self._add(message, f"messages[{at}]")
        self._flush()
        return self._sent

    def _add(self, message: Message, place: str) -> None:
        """One turn, behind the results it holds. Members of an answer that comes back are echoes and may go."""
        self._is_echo = message.role == "assistant"
        if message.name is not None and message.role != "tool":
            self._gaps.skip(f"{place}.name")
        results = [(n, part) for n, part in enumerate(message.parts) if isinstance(part, ToolResult)]
        for number, result in results:
            self._sent.append(self._result(result, f"{place}.content[{number}]"))
        body = self._spoken(message, place)
        if body.keys() - {"role"} or not results:
            body = self._extended(body, message.extra, place)
        else:
            self._sent[-1] = self._extended(self._sent[-1], message.extra, place)
        if body.keys() - {"role"}:
            self._flush()
            self._sent.append(body)

    def _flush(self) -> None:
        """Show what tools gave beside text, once all results have been said."""
        if self._waiting:
            self._sent.append({"role": "user", "content": self._waiting})
            self._waiting = []

    def _spoken(self, message: Message, place: str) -> Json:
        """Everything but results."""
        role = {"developer": "system", "tool": "user"}.get(message.role, message.role)
        content: list[Json] = []
        calls: list[Json] = []
        cited: list[Json] = []
        for number, part in enumerate(message.parts):
            where = f"{place}.content[{number}]"
            if isinstance(part, ToolCall):
                calls.append(self._call(part, where))
            elif not isinstance(part, ToolResult):
                content += self._block(part, role, where)
                cited += self._citations(part, place)
        if not self._is_own:
            content = [block for block in content if block.get("type") != "text" or block["text"].strip()]
        return {"role": role, **given(content=_plain(content), tool_calls=calls or None, citations=cited or None)}

    def _block(self, part: Part, role: str, where: str) -> list[Json]:
        """A part as blocks of content; none for what was left out and said so."""
        match part:
            case Text() | Refusal():
                return [self._text(part, where)]
            case Reasoning() if role == "assistant":
                return self._thought(part, where)
            case Image() if role == "user":
                return self._image(part, where)
            case File():
                return self._file(part, where)
            case Item() if part.dialect == NAME:
                return [part.raw]
            case Item():
                self._gaps.foreign_block(where, part.raw, part.dialect, is_echo=self._is_echo)
                return []
            case Audio() if self._is_echo:
                self._gaps.skip(where)
                return [{"type": "text", "text": part.transcript}] if part.transcript else []
            case _:
                self._gaps.refuse(where, _REASONS.get(type(part), "Cohere has no such part in a turn of this role"))
                return []

    def _text(self, part: Text | Refusal, where: str) -> Json:
        if isinstance(part, Text):
            self._mark(part.cache, where)
            if part.opaque is not None:
                self._gaps.skip(f"{where}.signature")
        return self._extended({"type": "text", "text": part.text}, part.extra, where)

    def _thought(self, part: Reasoning, where: str) -> list[Json]:
        """Thinking goes back as it came: it is not signed."""
        if part.opaque is not None or not part.text:
            self._gaps.skip(f"{where.partition('.')[0]}.reasoning")
        block = self._extended({"type": "thinking", "thinking": part.text}, part.extra, where)
        return [block] if part.text else []

    def _image(self, part: Image, where: str) -> list[Json]:
        if part.file_id is not None:
            self._gaps.foreign_file(where)
            return []
        url = data_url(part.media_type, part.data) if part.data is not None else part.url
        if url is None:
            self._gaps.refuse(where, "an image goes by its URL or its bytes, not by a file id")
            return []
        self._mark(part.cache, where)
        image = {"type": "image_url", "image_url": {"url": url, **given(detail=part.detail)}}
        return [self._extended(image, part.extra, where)]

    def _file(self, part: File, where: str) -> list[Json]:
        """A file that is text, as text."""
        if part.file_id is not None:
            self._gaps.foreign_file(where)
            return []
        text = _text_of(part)
        if text is None:
            self._gaps.refuse(where, "Cohere takes no files but text")
            return []
        if part.cites:
            self._gaps.refuse(f"{where}.citations")
        self._mark(part.cache, where)
        name = part.title or part.filename
        said = "\n".join(word for word in (part.context, f"{name}:" if name else None, text) if word)
        return [self._extended({"type": "text", "text": said}, part.extra, where)]

    def _call(self, call: ToolCall, where: str) -> Json:
        self._mark(call.cache, where)
        if call.opaque is not None:
            self._gaps.skip(f"{where}.signature")
        call_id = call.id if self._is_own else self._ids.of_call(call.id)
        function = {"name": call.name, "arguments": arguments_text(call)}
        return self._extended({"id": call_id, "type": "function", "function": function}, call.extra, where)

    def _result(self, result: ToolResult, where: str) -> Json:
        self._mark(result.cache, where)
        if result.is_error:
            self._gaps.skip(f"{where}.is_error")
        call_id = result.call_id if self._is_own else self._ids.of_result(result.call_id)
        content: list[Json] = []
        for number, part in enumerate(result.content):
            place = f"{where}.content[{number}]"
            if isinstance(part, Image):
                self._show(self._image(part, place), call_id, content)
            elif isinstance(part, Text) and self._is_own and _DOCUMENT in part.extra:
                content.append({"type": _DOCUMENT, **part.extra})
            else:
                content += self._block(part, "tool", place)
        said = _plain(content)
        if said is None:
            said = "error" if result.is_error else ""
        return self._extended({"role": "tool", "tool_call_id": call_id, "content": said}, result.extra, where)

    def _show(self, image: list[Json], call_id: str, content: list[Json]) -> None:
        if image:
            note = "(what this call returned as an image follows in a user message)"
            content.append({"type": "text", "text": note})
            self._waiting += [{"type": "text", "text": f"Returned by tool call `{call_id}`:"}, *image]

    def _citations(self, part: Part, place: str) -> list[Json]:
        cited = part.citations if isinstance(part, Text) else ()
        if cited and not self._is_own:
            self._gaps.skip(f"{place}.annotations")
            return []
        return [citation.raw for citation in cited]

    def _mark(self, mark: Json | None, where: str) -> None:
        if mark is not None:
            self._gaps.skip(f"{where}.cache_control")

    def _extended(self, body: Json, extra: Json, where: str) -> Json:
        if self._is_own:
            return merged(body, extra)
        self._gaps.extra(extra, where, hints=extra if self._is_echo else PART_HINTS)
        return body


_REASONS: dict[type[Part], str] = {
    Audio: "Cohere's chat takes no sound",
    Image: "only users may show images",
    Reasoning: "only a model thinks",
}


def _plain(content: list[Json]) -> str | list[Json] | None:
    """One plain text as a string; None for nothing."""
    if len(content) == 1 and content[0].keys() == {"type", "text"}:
        return str(content[0]["text"])
    return content or None


def _text_of(part: File) -> str | None:
    if part.data is None or not (part.media_type or "").startswith(_TEXTUAL):
        return None
    try:
        return b64decode(part.data).decode()
    except (NotBase64, ValueError):
        return None
