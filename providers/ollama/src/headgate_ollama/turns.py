"""The turns of a canonical request as Ollama's messages.

A message has one text and a list of pictures. Texts that stood apart are kept apart by a blank line, as the server itself joins
turns. Results of tools go in the order of their calls, since templates of models match them by that alone.
https://docs.ollama.com/capabilities/tool-calling
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Sequence

from msgspec import Raw

from headgate.chat import Audio, File, Image, Item, Message, Part, Reasoning, Refusal, Text, ToolCall, ToolResult
from headgate.dialects import Gaps
from headgate.dialects.functions import PART_HINTS, arguments_text
from headgate.dialects.openai.members import Json, given, merged
from headgate.dialects.openai.names import CallIds

_TEXTUAL = ("text/", "application/json", "application/xml", "application/yaml")
_APART = "\n\n"


class Turns:
    """Writes the turns of one request, in order."""

    def __init__(self, gaps: Gaps, *, is_own: bool) -> None:
        self._gaps = gaps
        self._is_own = is_own
        self._ids = CallIds()
        self._names: dict[str, str] = {}
        self._order: dict[str, int] = {}
        self._is_echo = False
        self._sent: list[Json] = []
        self._results: list[tuple[int, Json]] = []
        self._shown: list[Json] = []

    def encode(self, messages: Sequence[Message]) -> list[Json]:
        """The messages to send."""
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
            self._result(result, f"{place}.content[{number}]")
        if len(results) < len(message.parts) or not results:
            self._flush()
            self._sent.append(self._extended(self._spoken(message, place), message.extra, place))
        else:
            _, body = self._results[-1]
            body |= self._extended(body, message.extra, place)

    def _flush(self) -> None:
        """Say the results that have come, and show what they gave beside text."""
        self._sent += [body for _, body in sorted(self._results, key=lambda held: held[0])]
        self._sent += self._shown
        self._results, self._shown = [], []

    def _spoken(self, message: Message, place: str) -> Json:
        """Everything but results."""
        role = {"developer": "system", "tool": "user"}.get(message.role, message.role)
        texts: list[str] = []
        images: list[str] = []
        thoughts: list[str] = []
        calls: list[Json] = []
        if role == "assistant":
            self._order = {}
        for number, part in enumerate(message.parts):
            where = f"{place}.content[{number}]"
            match part:
                case ToolCall():
                    calls.append(self._call(part, where))
                case Reasoning() if role == "assistant":
                    thoughts += self._thought(part, where)
                case Image() if role != "system":
                    images += self._image(part, where)
                case ToolResult():
                    pass
                case _:
                    texts += self._text(part, where)
        content = ("" if role == "assistant" else _APART).join(texts)
        thinking = "".join(thoughts) or None
        return {
            "role": role,
            "content": content,
            **given(thinking=thinking, images=images or None, tool_calls=calls or None),
        }

    def _text(self, part: Part, where: str) -> list[str]:
        """A part as text; none for what was left out and said so."""
        match part:
            case Text() | Refusal():
                self._tell(part, where)
                return [part.text] if part.text else []
            case File():
                return self._file(part, where)
            case Item():
                self._gaps.foreign_block(where, part.raw, part.dialect, is_echo=self._is_echo)
                return []
            case Audio() if self._is_echo:
                self._gaps.skip(where)
                return [part.transcript] if part.transcript else []
            case _:
                self._gaps.refuse(where, _REASONS.get(type(part), "Ollama has no such part in a turn of this role"))
                return []

    def _tell(self, part: Text | Refusal | Reasoning | Image | File, where: str) -> None:
        """What of a part has no place in a message."""
        self._gaps.extra(part.extra, where, hints=part.extra if self._is_echo else PART_HINTS)
        if isinstance(part, Text | Image | File) and part.cache is not None:
            self._gaps.skip(f"{where}.cache_control")
        if isinstance(part, Text) and part.opaque is not None:
            self._gaps.skip(f"{where}.signature")
        if isinstance(part, Text) and part.citations:
            self._gaps.skip(f"{where.partition('.')[0]}.annotations")

    def _thought(self, part: Reasoning, where: str) -> list[str]:
        self._tell(part, where)
        if part.opaque is not None or not part.text:
            self._gaps.skip(f"{where.partition('.')[0]}.reasoning")
        return [part.text]

    def _image(self, part: Image, where: str) -> list[str]:
        if part.file_id is not None:
            self._gaps.foreign_file(where)
            return []
        if part.data is None:
            self._gaps.refuse(where, "Ollama takes pictures as bytes alone")
            return []
        if part.detail not in {None, "auto"}:
            self._gaps.skip(f"{where}.image_url.detail")
        self._tell(part, where)
        return [part.data]

    def _file(self, part: File, where: str) -> list[str]:
        """A file that is text, as text."""
        if part.file_id is not None:
            self._gaps.foreign_file(where)
            return []
        text = _text_of(part)
        if text is None:
            self._gaps.refuse(where, "Ollama takes no files but text")
            return []
        if part.cites:
            self._gaps.refuse(f"{where}.citations")
        self._tell(part, where)
        name = part.title or part.filename
        return ["\n".join(word for word in (part.context, f"{name}:" if name else None, text) if word)]

    def _call(self, call: ToolCall, where: str) -> Json:
        if call.cache is not None:
            self._gaps.skip(f"{where}.cache_control")
        if call.opaque is not None:
            self._gaps.skip(f"{where}.signature")
        call_id = call.id if self._is_own else self._ids.of_call(call.id)
        self._names[call_id] = call.name
        self._order[call_id] = len(self._order)
        function = {"name": call.name, "arguments": Raw(arguments_text(call).strip().encode())}
        return self._extended({"id": call_id, "function": function}, call.extra, where)

    def _result(self, result: ToolResult, where: str) -> None:
        if result.cache is not None:
            self._gaps.skip(f"{where}.cache_control")
        if result.is_error:
            self._gaps.skip(f"{where}.is_error")
        call_id = result.call_id if self._is_own else self._ids.of_result(result.call_id)
        texts: list[str] = []
        for number, part in enumerate(result.content):
            place = f"{where}.content[{number}]"
            shown = self._image(part, place) if isinstance(part, Image) else []
            texts += self._text(part, place) if not isinstance(part, Image) else _NOTE if shown else []
            if shown:
                note = f"Returned by tool call `{call_id}`:"
                self._shown.append({"role": "user", "content": note, "images": shown})
        content = _APART.join(texts) or ("error" if result.is_error else "")
        name = self._names.get(call_id) or result.name
        body = {"role": "tool", "content": content, **given(tool_name=name, tool_call_id=call_id or None)}
        self._results.append((self._order.get(call_id, len(self._order)), self._extended(body, result.extra, where)))

    def _extended(self, body: Json, extra: Json, where: str) -> Json:
        if self._is_own:
            return merged(body, extra)
        self._gaps.extra(extra, where, hints=extra if self._is_echo else PART_HINTS)
        return body


_NOTE = ["(what this call returned as an image follows in a user message)"]
_REASONS: dict[type[Part], str] = {
    Audio: "Ollama's chat takes no sound",
    Image: "instructions are text",
    Reasoning: "only a model thinks",
}


def _text_of(part: File) -> str | None:
    if part.data is None or not (part.media_type or "").startswith(_TEXTUAL):
        return None
    try:
        return b64decode(part.data).decode()
    except (NotBase64, ValueError):
        return None
