"""The turns of a canonical request as Google's contents: instructions apart, results in one turn and in the order of the calls.

Source: https://ai.google.dev/gemini-api/docs/function-calling
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, cast

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
from headgate.dialects.gaps import Gaps
from headgate.dialects.google.facts import (
    NAME,
    audio_type,
    file_uri,
    is_at_least,
    is_google_file,
    legal_name,
    sent_id,
    type_of_url,
)
from headgate.dialects.google.parts import arguments_of_call, signed, transcribed
from headgate.dialects.openai.members import Json, merged
from headgate.errors import InvalidRequest

PART_HINTS = frozenset({"annotations", "caller", "id", "phase", "status", "title", "type"})
"""Members of other dialects' parts that tell of them and change nothing."""


class Turns:
    """The turns of a request: instructions apart, results of calls in one turn and in the order of the calls."""

    def __init__(self, request: ChatRequest, gaps: Gaps) -> None:
        self._request = request
        self._gaps = gaps
        self._is_own = request.dialect == NAME
        self._names = request.call_names()
        self._calls: list[ToolCall] = []
        self._system: Json = {"parts": []}
        self._contents: list[Json] = []
        self._results: list[tuple[ToolResult, str]] = []
        self._is_echo = False

    def body(self) -> Json:
        """`contents`, and `systemInstruction` where there are instructions."""
        is_leading = True
        for at, message in enumerate(self._request.messages):
            is_leading = is_leading and message.role in {"system", "developer"}
            self._add(message, at, is_leading=is_leading)
        self._flush()
        body: Json = {"contents": self._contents}
        return {"systemInstruction": self._system, **body} if self._system["parts"] else body

    def _add(self, message: Message, at: int, *, is_leading: bool) -> None:
        place = f"messages[{at}]"
        self._is_echo = message.role == "assistant"
        self._tell(message, place)
        results = [part for part in message.parts if isinstance(part, ToolResult)]
        self._results += [(result, f"{place}.content") for result in results]
        others = [part for part in message.parts if not isinstance(part, ToolResult)]
        if message.role == "tool" and not others:
            return
        self._flush()
        parts = list(self._parts(others, place))
        extra = message.extra if self._is_own else {}
        if is_leading:
            self._system["parts"] += parts
            self._system |= extra
            return
        if message.role in {"system", "developer"}:
            self._gaps.skip(f"{place}.role")
            parts = [{"text": f"<system>\n{message.text}\n</system>"}]
        if message.role == "assistant":
            self._answer(message, parts, extra)
        elif parts:
            self._contents.append({"role": "user", "parts": parts, **extra})

    def _answer(self, message: Message, parts: list[Json], extra: Mapping[str, Any]) -> None:
        """A turn of the model's; several of other dialects' in a row are one, for results stand behind the turn that called."""
        calls = [part for part in message.parts if isinstance(part, ToolCall)]
        last = self._contents[-1] if self._contents and not self._is_own else None
        if last is not None and last["role"] == "model":
            last["parts"] += parts
            self._calls += calls
            return
        self._calls = calls
        if parts:
            self._contents.append({"role": "model", "parts": parts, **extra})

    def _tell(self, message: Message, place: str) -> None:
        """What of a turn has no place."""
        if message.name:
            self._gaps.skip(f"{place}.name")
        if not self._is_own:
            echoes = message.extra if message.role == "assistant" else ()
            self._gaps.extra(message.extra, place, hints=echoes)

    def _flush(self) -> None:
        """One turn of all results since the last call, as Google wants: as many, in their order."""
        results, self._results = self._results, []
        if not results:
            return
        calls, self._calls = self._calls, []
        left: dict[str, deque[int]] = {}
        for number, call in enumerate(calls):
            left.setdefault(call.id, deque()).append(number)
        placed: list[tuple[int, ToolResult, str, str]] = []
        for result, place in results:
            open_calls = left.get(result.call_id)
            at = open_calls.popleft() if open_calls else len(calls)
            name = calls[at].name if at < len(calls) else self._names.get(result.call_id) or result.name or ""
            placed.append((at, result, name, place))
        placed.sort(key=lambda entry: entry[0])
        beside: list[Json] = []
        parts = [self._result(result, name, place, beside) for _, result, name, place in placed]
        self._contents.append({"role": "user", "parts": [*parts, *beside]})

    def _result(self, result: ToolResult, name: str, place: str, beside: list[Json]) -> Json:
        """A result. Pictures stand in it from Gemini 3 on, `beside` it before.

        Source: https://ai.google.dev/gemini-api/docs/function-calling#multimodal
        """
        if not name:
            raise InvalidRequest(f"`{place}` answers a call that nobody made: `{result.call_id}`", param=place)
        if result.cache:
            self._gaps.skip(f"{place}.cache_control")
        answer: Json = {"name": legal_name(name), "response": _response(result, is_own=self._is_own)}
        given = sent_id(result.call_id, is_own=self._is_own)
        if given is not None and given != name:
            answer["id"] = given
        for part in result.content:
            if isinstance(part, Text) and not self._is_own:
                self._gaps.extra(part.extra, place, hints=PART_HINTS)
            if isinstance(part, Text) and part.cache:
                self._gaps.skip(f"{place}.cache_control")
        media = [part for part in result.content if not isinstance(part, Text)]
        held = [encoded for part in media for encoded in self._part(part, place)]
        is_inside = is_at_least(self._request.model, 3)
        inside = [part for part in held if is_inside and set(part) == {"inlineData"}]
        beside += [part for part in held if part not in inside]
        if inside:
            answer["parts"] = inside
        return self._with_extra({"functionResponse": answer}, result.extra, place)

    def _parts(self, parts: Sequence[Part], place: str) -> Iterator[Json]:
        for number, part in enumerate(parts):
            yield from self._part(part, f"{place}.content[{number}]", place)

    def _part(self, part: Part, place: str, turn: str = "") -> Iterator[Json]:
        if not isinstance(part, Audio | Reasoning | Refusal | Item) and part.cache:
            self._gaps.skip(f"{place}.cache_control")
        match part:
            case Text():
                yield from self._text(part, place, turn or place)
            case Refusal():
                if part.text:
                    yield self._with_extra({"text": part.text}, part.extra, place)
            case Reasoning():
                yield from self._thought(part, turn or place)
            case ToolCall():
                yield self._call(part, place)
            case Audio():
                yield from self._sound(part, place, turn or place)
            case Image() | File():
                yield from self._media(part, place)
            case Item() if part.dialect == NAME:
                yield dict(part.raw)
            case Item():
                self._gaps.foreign_block(place, part.raw, part.dialect, is_echo=self._is_echo)
            case ToolResult():
                return

    def _text(self, part: Text, place: str, turn: str) -> Iterator[Json]:
        """A text that says something, or that has a signature to bring back."""
        if part.citations:
            self._gaps.skip(f"{turn}.annotations")
        if part.text or part.opaque is not None:
            yield self._with_extra({"text": part.text, **signed(part.opaque)}, part.extra, place)

    def _sound(self, part: Audio, place: str, turn: str) -> Iterator[Json]:
        if part.data:
            blob = {"mimeType": audio_type(part.format), "data": part.data}
            spoken = transcribed(part) if self._is_own else {}
            yield self._with_extra({"inlineData": blob, **spoken}, part.extra, place, hints=self._hints_of(part))
        elif self._is_echo:
            self._gaps.skip(f"{turn}.audio")
            if part.transcript:
                yield {"text": part.transcript}
        else:
            self._gaps.refuse(f"{turn}.audio", "Gemini cannot be told of a sound by its id")

    def _hints_of(self, part: Audio) -> Collection[str]:
        """What of a sound may go unsaid: all that a vendor told of one that a model made."""
        return part.extra if self._is_echo else PART_HINTS

    def _thought(self, part: Reasoning, turn: str) -> Iterator[Json]:
        """Thinking goes back with its signature alone; without one it is of use only to a client of Google's own API."""
        if part.opaque is None and not self._is_own:
            self._gaps.skip(f"{turn}.reasoning_content")
            return
        thought = {"text": part.text, "thought": True, **signed(part.opaque, part.item_id)}
        yield self._with_extra(thought, part.extra, turn)

    def _call(self, part: ToolCall, place: str) -> Json:
        call: Json = {"name": legal_name(part.name), "args": arguments_of_call(part.arguments)}
        given = sent_id(part.id, is_own=self._is_own)
        if given is not None and given != part.name:
            call["id"] = given
        return self._with_extra({"functionCall": call, **signed(part.opaque)}, part.extra, place, hints=part.extra)

    def _media(self, part: Image | File, place: str) -> Iterator[Json]:
        """By its bytes, or by an address that Google fetches itself. A file of another provider is refused."""
        if isinstance(part, Image) and part.detail not in {None, "auto"}:
            self._gaps.skip(f"{place}.detail")
        if isinstance(part, File):
            for name in ("title", "context", "cites"):
                if getattr(part, name):
                    self._gaps.skip(f"{place}.{name}")
        uri = part.url
        if part.file_id is not None:
            if not (self._is_own or is_google_file(part.file_id)):
                self._gaps.foreign_file(place)
                return
            uri = part.file_id if self._is_own else file_uri(part.file_id)
        title = part.filename if isinstance(part, File) else None
        if title and not self._is_own:
            self._gaps.skip(f"{place}.filename")
        named = {"displayName": title} if title and self._is_own else {}
        media_type = part.media_type or (type_of_url(uri or title or "") if uri or title else None)
        typed = {"mimeType": media_type} if media_type else {}
        if part.data is not None:
            blob = {**(typed or {"mimeType": "application/octet-stream"}), "data": part.data, **named}
            yield self._with_extra({"inlineData": blob}, part.extra, place)
        elif uri:
            yield self._with_extra({"fileData": {**typed, "fileUri": uri, **named}}, part.extra, place)
        else:
            self._gaps.refuse(place, "it has neither bytes nor an address")

    def _with_extra(self, part: Json, extra: Json, place: str, *, hints: Collection[str] = PART_HINTS) -> Json:
        if self._is_own:
            return merged(part, extra)
        self._gaps.extra(extra, place, hints=hints)
        return part


def _response(result: ToolResult, *, is_own: bool) -> Any:
    """What a tool answered as the object Google wants: an object as it is, anything else as its `output` or `error`.

    A `$ref` in it would name a part beside it, and is refused where none has that name: such an answer stays a text.
    """
    texts = [part.text for part in result.content if isinstance(part, Text)]
    said = texts[0] if len(texts) == 1 else "\n".join(texts)
    try:
        msgspec.json.decode(said, type=dict[str, Raw] | list[Raw])
        is_text = not is_own and "ref" in said and _refers(msgspec.json.decode(said))
        raw = Raw(msgspec.json.encode(said) if is_text else msgspec.json.format(said.encode(), indent=-1))
        is_object = not is_text and said.lstrip()[:1] == "{"
    except (msgspec.DecodeError, RecursionError):
        raw, is_object = Raw(msgspec.json.encode(said)), False
    if result.is_error:
        return {"error": raw}
    return raw if is_object else {"output": raw}


def _refers(value: object) -> bool:
    """Whether anything in it is named `$ref`."""
    if isinstance(value, dict):
        held = cast("Json", value)
        return "$ref" in held or any(map(_refers, held.values()))
    return isinstance(value, list) and any(map(_refers, cast("list[object]", value)))
