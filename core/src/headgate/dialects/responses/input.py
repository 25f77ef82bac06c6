"""The turns of a canonical request as input items of a Responses request, in their order.

Facts that no documentation states, each answered with a 400 by OpenAI: a reasoning item needs the item that came behind it,
takes no plain `content`, and names nothing that can be found when it was not stored and holds no encrypted content.
Source: https://platform.openai.com/docs/guides/reasoning#keeping-reasoning-items-in-context
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, cast

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
from headgate.dialects.data_urls import data_url
from headgate.dialects.gaps import Gaps
from headgate.dialects.openai.members import given, merged
from headgate.dialects.openai.names import CallIds, legal_name
from headgate.dialects.responses.ids import ORIGIN, digest, is_made, sealed
from headgate.dialects.responses.items import ALIEN, NAME, encode_mark

Json = dict[str, Any]

FOREIGN_HINTS = frozenset(
    {
        "annotations",
        "betas",
        "cache_control",
        "caller",
        "context_management",
        "defer_loading",
        "detail",
        "diagnostics",
        "eager_input_streaming",
        "id",
        "input_examples",
        "phase",
        "prediction",
        "prompt_cache_options",
        "prompt_cache_retention",
        "speed",
        "status",
        "stream_options",
        "title",
        "type",
        "usage",
    }
)
"""Members of other dialects' `extra` that ask for less cost or time, or tell where something came from; nothing more."""
NAMESPACE = "namespace"
"""The member of a call that tells which group of tools its name belongs to."""
_CLIENTS = frozenset({None, "message", "function_call_output", "custom_tool_call_output"})
"""Kinds of items that are the caller's unless their role is `assistant`."""
_TYPES = {
    "pdf": "application/pdf",
    "txt": "text/plain",
    "md": "text/markdown",
    "csv": "text/csv",
    "html": "text/html",
    "json": "application/json",
}


class InputItems:
    """The items of `request`; `instructions` is the text that came as such, `has_thoughts` whether any item is thinking."""

    def __init__(self, request: ChatRequest, gaps: Gaps) -> None:
        self._gaps = gaps
        self._is_own = request.dialect == NAME
        self._ids = CallIds()
        self._custom: set[str] = set()
        self._is_echo = False
        self.items: list[Json] = []
        self.instructions: str | None = None
        for at, message in enumerate(request.messages):
            self._add(message, f"messages[{at}]")
        if not self._is_own:
            self.items = self._without_stray_thoughts()
        self.has_thoughts = any(item.get("type") == "reasoning" for item in self.items)

    def _add(self, message: Message, place: str) -> None:
        if message.name is not None:
            self._gaps.skip(f"{place}.name")
        if self._is_own and "instructions" in message.extra:
            self.instructions = message.text
            return
        self._is_echo = message.role == "assistant"
        self._tell({name: held for name, held in message.extra.items() if name != "phase"}, place)
        results = [part for part in message.parts if isinstance(part, ToolResult)]
        for number, result in enumerate(results):
            self.items.append(self._encode_result(result, f"{place}.content[{number}]"))
        rest = [(at, part) for at, part in enumerate(message.parts) if not isinstance(part, ToolResult)]
        if message.role == "assistant":
            self._add_answer(message, rest, place)
        else:
            self._add_spoken(message, rest, place)

    def _add_spoken(self, message: Message, parts: Sequence[tuple[int, Part]], place: str) -> None:
        """What the caller's side says: one message, and its own kinds of items as they are."""
        content: list[Json] = []
        for at, part in parts:
            where = f"{place}.content[{at}]"
            if isinstance(part, Item):
                self._add_item(part, where)
            else:
                content += self._encode_part(part, where)
        if content:
            role = "user" if message.role == "tool" else message.role
            self.items.append(merged({"role": role, "content": _short(content)}, self._own(message.extra)))

    # the assistant's turn

    def _add_answer(self, message: Message, parts: Sequence[tuple[int, Part]], place: str) -> None:
        """Thinking, texts and calls, each an item; texts that follow each other are one message."""
        said: list[Text | Refusal] = []
        has_thoughts = any(isinstance(part, Reasoning) and self._is_kept(part) for _, part in parts)
        for at, part in parts:
            where = f"{place}.content[{at}]"
            words = self._words_of(part, where)
            if words is not None:
                said.append(words)
                continue
            self._add_said(message, said, place)
            said = []
            match part:
                case Reasoning():
                    self._add_thought(part, place)
                case ToolCall():
                    self.items.append(self._encode_call(part, where, with_id=has_thoughts or self._is_own))
                case Item():
                    self._add_item(part, where)
                case Image() if part.data is not None and self._is_own:
                    self.items.append(_picture(part, where))
                case _:
                    self._gaps.refuse(where, "an assistant's turn holds text and calls only")
        self._add_said(message, said, place)

    def _words_of(self, part: Part, where: str) -> Text | Refusal | None:
        """A part that is words; of a sound the words in it."""
        if isinstance(part, Audio):
            self._gaps.skip(f"{where}.audio")
            return Text(part.transcript or "")
        return part if isinstance(part, Text | Refusal) else None

    def _add_said(self, message: Message, said: list[Text | Refusal], place: str) -> None:
        """An easy message where the words are all; the form with an id for refusals and annotations."""
        if not any(part.text for part in said):
            return
        for part in said:
            self._tell(part.extra, f"{place}.content")
            if isinstance(part, Text):
                self._skip_marks(part.cache, place)
                if part.citations and not self._is_own:
                    self._gaps.skip(f"{place}.annotations")
        phase = message.extra.get("phase")
        named = {"phase": phase} if phase else {}
        is_plain = all(isinstance(part, Text) and not self._own(part.extra) for part in said)
        if is_plain and not (self._is_own and (len(said) > 1 or any(_notes(part) for part in said))):
            text = "".join(part.text for part in said)
            self.items.append({"role": "assistant", "content": text, **named})
            return
        content = [self._encode_said(part) for part in said if part.text]
        made = {"id": f"msg_hg_{len(self.items)}", "type": "message", "status": "completed"}
        self.items.append({**made, "role": "assistant", "content": content, **named})

    def _encode_said(self, part: Text | Refusal) -> Json:
        if isinstance(part, Refusal):
            return merged({"type": "refusal", "refusal": part.text}, self._own(part.extra))
        notes = _notes(part) if self._is_own else []
        return merged({"type": "output_text", "text": part.text, "annotations": notes}, self._own(part.extra))

    def _is_kept(self, part: Reasoning) -> bool:
        """Whether thinking can be sent: encrypted by OpenAI, or an item of the caller's that a provider has stored."""
        if part.opaque is not None:
            return part.opaque.origin == ORIGIN
        return self._is_own and part.item_id is not None and not is_made(part.item_id)

    def _add_thought(self, part: Reasoning, place: str) -> None:
        """A reasoning item, or more of the last one when it has the same id."""
        last: Json = self.items[-1] if self.items else {}
        is_same = part.item_id is not None and last.get("type") == "reasoning" and last.get("id") == part.item_id
        if not self._is_kept(part) and not is_same and not self._may_follow(part):
            self._gaps.skip(f"{place}.reasoning_content")
            return
        item: Json = last if is_same else {"type": "reasoning", "id": _thought_id(part), "summary": []}
        if part.text:
            as_content = self._is_own and not part.is_summary
            kind = ("content", "reasoning_text") if as_content else ("summary", "summary_text")
            item.setdefault(kind[0], []).append({"type": kind[1], "text": part.text})
        if part.opaque is not None:
            item["encrypted_content"] = sealed(part.opaque)
        item |= self._own(part.extra)
        if not is_same:
            self.items.append(item)

    def _may_follow(self, part: Reasoning) -> bool:
        """Whether this is the summary of an item whose encrypted content comes next."""
        return part.item_id is not None and not is_made(part.item_id) and part.item_id.startswith("rs_")

    def _without_stray_thoughts(self) -> list[Json]:
        """Without reasoning items that have no encrypted content, or that no answer follows."""
        kept: list[Json] = []
        for item in reversed(self.items):
            is_followed = bool(kept) and (kept[-1].get("role") == "assistant" or kept[-1].get("type") not in _CLIENTS)
            if item.get("type") != "reasoning" or ("encrypted_content" in item and is_followed):
                kept.append(item)
            else:
                self._gaps.skip("reasoning_content")
        return kept[::-1]

    def _encode_call(self, call: ToolCall, where: str, *, with_id: bool) -> Json:
        self._skip_marks(call.cache, where)
        namespace: Json = {}
        if not self._is_own:
            namespace, others = _namespace_of(call)
            self._tell(others, where)
        item: Json = {
            "type": "custom_tool_call" if call.custom else "function_call",
            "call_id": call.id if self._is_own else self._ids.of_call(call.id),
            "name": call.name if self._is_own else legal_name(call.name),
            "input" if call.custom else "arguments": call.arguments if call.custom else call.arguments or "{}",
            **namespace,
        }
        if call.custom:
            self._custom.add(call.id)
        if with_id and call.item_id is not None and not is_made(call.item_id):
            item["id"] = call.item_id
        return merged(item, self._own(call.extra))

    # the caller's side

    def _encode_result(self, result: ToolResult, where: str) -> Json:
        """What a tool answered: a string where it is text alone, else a list."""
        self._skip_marks(result.cache, where)
        if result.is_error:
            self._gaps.skip(f"{where}.is_error")
        self._tell(result.extra, where)
        content = [written for part in result.content for written in self._encode_part(part, where)]
        output: Any = _short(content) if content else ""
        if isinstance(output, list) and not self._is_own and all(isinstance(part, Text) for part in result.content):
            output = result.text
        kind = "custom_tool_call_output" if result.call_id in self._custom else "function_call_output"
        call_id = result.call_id if self._is_own else self._ids.of_result(result.call_id)
        item: Json = {"type": kind, "call_id": call_id, "output": output}
        return merged(item, self._own(result.extra))

    def _encode_part(self, part: Part, where: str) -> list[Json]:
        """A part of the caller's; nothing where it cannot be said and may be dropped."""
        if isinstance(part, Image | File) and part.file_id is not None and not self._is_own:
            self._gaps.foreign_file(where)
            return []
        if isinstance(part, Text | Image | File):
            self._skip_marks(part.cache, where)
            self._tell(part.extra, where)
            mark = encode_mark(part.cache) if self._is_own else {}
            return [merged({**self._encode_plain(part, where), **mark}, self._own(part.extra))]
        self._gaps.refuse(where, f"a part of type `{type(part).__name__.lower()}` has no place there")
        return []

    def _encode_plain(self, part: Text | Image | File, where: str) -> Json:
        match part:
            case Text():
                return {"type": "input_text", "text": part.text}
            case Image():
                url = part.url if part.data is None else data_url(part.media_type or "image/png", part.data)
                held = given(image_url=url, file_id=part.file_id)
                detail = part.detail or (None if self._is_own else "auto")
                return {"type": "input_image", **given(detail=detail), **held}
            case File():
                return self._encode_file(part, where)

    def _encode_file(self, part: File, where: str) -> Json:
        if part.title:
            self._gaps.skip(f"{where}.title")
        if part.context:
            self._gaps.refuse(f"{where}.context")
        if part.cites:
            self._gaps.refuse(f"{where}.citations")
        name, data = part.filename, None
        if part.data is not None:
            kind = part.media_type or _TYPES.get((name or "").rpartition(".")[2].lower(), "application/pdf")
            data = data_url(kind, part.data)
            name = name or f"file.{next((ext for ext, each in _TYPES.items() if each == kind), 'bin')}"
        return {"type": "input_file", **given(file_url=part.url, file_data=data, file_id=part.file_id, filename=name)}

    def _add_item(self, part: Item, where: str) -> None:
        if part.dialect == NAME:
            self.items.append(part.raw)
        else:
            self._gaps.foreign_block(where, part.raw, part.dialect, is_echo=self._is_echo)

    def _tell(self, extra: Json, where: str) -> None:
        """Members of other dialects, which have no place. Those of an answer that comes back are echoes and may go."""
        if not self._is_own:
            self._gaps.extra(extra, where, hints=extra if self._is_echo else FOREIGN_HINTS)

    def _skip_marks(self, cache: Json | None, where: str) -> None:
        if cache and not self._is_own:
            self._gaps.skip(f"{where}.cache_control")

    def _own(self, extra: Json) -> Json:
        """Members to write as they are: those of this dialect, but for the mark of instructions and what the gateway named."""
        if not self._is_own:
            return {}
        return {name: held for name, held in extra.items() if name != "instructions" and not name.startswith(ALIEN)}


def _notes(part: Text | Refusal) -> list[Json]:
    """The annotations of a text, without the words of the source that the gateway tells beside other providers' citations."""
    raws = [citation.raw for citation in part.citations if citation.raw] if isinstance(part, Text) else []
    return [{name: held for name, held in raw.items() if name != "quote"} for raw in raws]


def _short(content: Collection[Json]) -> str | list[Json]:
    """One plain text as a string, anything else as a list."""
    listed = list(content)
    if len(listed) == 1 and listed[0].keys() == {"type", "text"}:
        return str(listed[0]["text"])
    return listed


def _namespace_of(call: ToolCall) -> tuple[Json, Json]:
    """The namespace that OpenAI gave a call, and what else is said of it; Google's clients hold it as metadata of the part."""
    others = dict(call.extra)
    found: Any = others.pop(NAMESPACE, None)
    noted: Any = others.get("partMetadata")
    if found is None and isinstance(noted, dict):
        rest: Json = dict(cast("Json", noted))
        found = rest.pop(NAMESPACE, None)
        others["partMetadata"] = rest
    return ({NAMESPACE: found} if isinstance(found, str) else {}), others


def _thought_id(part: Reasoning) -> str:
    """The item's own id; one made from its content where it lost that, since an item must have one."""
    if part.item_id is not None and part.item_id.startswith("rs_"):
        return part.item_id
    return f"rs_{digest(part.opaque.data if part.opaque else part.text)}"


def _picture(part: Image, where: str) -> Json:
    """A picture that the model made, as the gateway writes it in replies."""
    kind = (part.media_type or "image/png").rpartition("/")[2]
    made = {"id": f"ig_hg_{digest(where)}", "status": "completed", "output_format": kind}
    return {"type": "image_generation_call", **made, "result": part.data}
