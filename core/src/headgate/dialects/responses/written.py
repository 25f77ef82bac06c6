"""Items of a Responses reply while they are written: what they say in events, and what they are in the end.

Source: https://platform.openai.com/docs/api-reference/responses-streaming and the types of the official SDK (3.52).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from headgate.chat import Citation, Opaque, ToolCallStart
from headgate.dialects.openai.members import added, given
from headgate.dialects.openai.reasoning import encode_signature
from headgate.dialects.responses.ids import sealed
from headgate.dialects.responses.items import ALIEN
from headgate.dialects.responses.reply import annotation

Json = dict[str, Any]
Say = Callable[[str, Json], None]


class WrittenMessage:
    """A message while it is written: its parts so far, and the one that grows."""

    def __init__(self, say: Say, at: int, item_id: str, phase: str | None) -> None:
        self.at = at
        self.opaque: Opaque | None = None
        self._say = say
        self._where: Json = {"item_id": item_id, "output_index": at}
        self._item: Json = {"id": item_id, "type": "message", "role": "assistant", **given(phase=phase)}
        self._parts: list[Json] = []
        self._kind = ""
        self._texts: list[str] = []
        self._notes: list[Json] = []
        self._others: list[Json] = []
        self._length = self._start = 0
        self._is_cited = False
        say("response.output_item.added", {"output_index": at, "item": self._as_item([], "in_progress")})

    def write(self, kind: str, text: str) -> None:
        """More of a text or a refusal; another kind begins another part."""
        if kind != self._kind:
            self._end_part([])
            self._kind = kind
            self._say("response.content_part.added", {**self._place(), "part": self._part("", [])})
        if self._is_cited:
            self._start, self._is_cited = self._length, False
        self._texts.append(text)
        self._length += len(text)
        if text:
            more: Json = {"logprobs": []} if kind == "output_text" else {}
            self._say(f"response.{kind}.delta", {**self._place(), "delta": text, **more})

    def cite(self, citation: Citation) -> bool:
        """A source of the text since the last source; False when there is no text."""
        if self._kind != "output_text":
            return False
        self._is_cited = True
        note = annotation(citation, self._start, self._length)
        if note is None:
            self._others.append(citation.raw or given(title=citation.title, quote=citation.quote))
            return True
        place = {**self._place(), "annotation_index": len(self._notes), "annotation": note}
        self._notes.append(note)
        self._say("response.output_text.annotation.added", place)
        return True

    def end(self, logprobs: list[Json], *, is_cut: bool) -> Json:
        """The whole item."""
        self._end_part(logprobs)
        return self._as_item(self._parts, "incomplete" if is_cut else "completed")

    def _end_part(self, logprobs: list[Json]) -> None:
        if not self._kind:
            return
        text = "".join(self._texts)
        part = self._part(text, logprobs)
        is_text = self._kind == "output_text"
        said: Json = {"text": text, "logprobs": part["logprobs"]} if is_text else {"refusal": text}
        self._say(f"response.{self._kind}.done", {**self._place(), **said})
        self._say("response.content_part.done", {**self._place(), "part": part})
        self._parts.append(part)
        self._kind, self._texts, self._notes, self._others, self.opaque = "", [], [], [], None
        self._length = self._start = 0

    def _part(self, text: str, logprobs: list[Json]) -> Json:
        if self._kind == "refusal":
            return {"type": "refusal", "refusal": text}
        others: Json = {"citations": self._others} if self._others else {}
        own = {"type": "output_text", "text": text, "annotations": list(self._notes), "logprobs": logprobs}
        return {**own, **encode_signature(self.opaque), **others}

    def _place(self) -> Json:
        return {**self._where, "content_index": len(self._parts)}

    def _as_item(self, content: list[Json], status: str) -> Json:
        return {**self._item, "status": status, "content": content}


class WrittenThought:
    """A reasoning item while it is written; its text is one summary part."""

    def __init__(self, say: Say, at: int, item_id: str) -> None:
        self.at = at
        self._say = say
        self._id = item_id
        self._where: Json = {"item_id": item_id, "output_index": at, "summary_index": 0}
        self._texts: list[str] = []
        say("response.output_item.added", {"output_index": at, "item": self._item([])})

    def write(self, text: str) -> None:
        """More thinking."""
        if not self._texts:
            self._say("response.reasoning_summary_part.added", {**self._where, "part": _summary("")})
        self._texts.append(text)
        self._say("response.reasoning_summary_text.delta", {**self._where, "delta": text})

    def end(self, opaque: Opaque | None) -> Json:
        """The whole item."""
        content: Json = {} if opaque is None else {"encrypted_content": sealed(opaque)}
        if not self._texts:
            return {**self._item([]), **content}
        text = "".join(self._texts)
        self._say("response.reasoning_summary_text.done", {**self._where, "text": text})
        self._say("response.reasoning_summary_part.done", {**self._where, "part": _summary(text)})
        return {**self._item([_summary(text)]), **content}

    def _item(self, summary: list[Json]) -> Json:
        return {"id": self._id, "type": "reasoning", "summary": summary}


class WrittenCall:
    """A tool call while it is written. A function's arguments are never empty: clients decode them."""

    def __init__(self, say: Say, at: int, item_id: str, call_id: str, start: ToolCallStart) -> None:
        self.at = at
        self._say = say
        self._where: Json = {"item_id": item_id, "output_index": at}
        self._field = "input" if start.custom else "arguments"
        self._event = "response.custom_tool_call_input" if start.custom else "response.function_call_arguments"
        kind = "custom_tool_call" if start.custom else "function_call"
        own = {"id": item_id, "type": kind, "call_id": call_id, "name": start.name, **encode_signature(start.opaque)}
        self._item = added({**own, "status": "in_progress", self._field: ""}, _fitting(start.extra))
        self._texts: list[str] = []
        say("response.output_item.added", {"output_index": at, "item": self._item})

    def write(self, text: str) -> None:
        """More arguments."""
        self._texts.append(text)
        self._say(f"{self._event}.delta", {**self._where, "delta": text})

    def end(self, *, is_cut: bool) -> Json:
        """The whole item."""
        if not self._texts and self._field == "arguments" and not is_cut:
            self.write("{}")
        text = "".join(self._texts)
        self._say(f"{self._event}.done", {**self._where, self._field: text})
        return {**self._item, "status": "incomplete" if is_cut else "completed", self._field: text}


def _summary(text: str) -> Json:
    return {"type": "summary_text", "text": text}


def _fitting(extra: Json) -> Json:
    """Members of a call; another vendor's under a name that has a meaning here gets a name of its own."""
    return {
        f"{ALIEN}{name}" if name in _TYPED and not _TYPED[name](held) else name: held for name, held in extra.items()
    }


def _is_caller(value: object) -> bool:
    return isinstance(value, dict) and cast("Json", value).get("type") in {"direct", "program"}


_TYPED: dict[str, Callable[[object], bool]] = {
    "async": lambda value: isinstance(value, bool),
    "caller": _is_caller,
    "namespace": lambda value: isinstance(value, str),
}
"""What the official SDK's types want of further members of a call."""
