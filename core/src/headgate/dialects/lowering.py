"""Tools that only some vendors know, as the functions that every vendor has, and the calls of those on their way back.

Agents bring them with every request: Codex a free-text tool with a grammar, groups of tools (`namespace`), a search that it
runs itself (`tool_search`), and all of them as an item of the input (`additional_tools`). A provider that has functions alone
is offered functions; the client is answered as if the tools had been its own kinds.
Source: https://platform.openai.com/docs/guides/function-calling, https://platform.openai.com/docs/guides/tools-tool-search
and the types of the official SDK (3.52).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from headgate.chat import (
    ChatReply,
    ChatRequest,
    Finish,
    Item,
    Message,
    Part,
    PartDelta,
    StreamEvent,
    Text,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    ToolResult,
)
from headgate.dialects.gaps import Gaps
from headgate.dialects.responses.texts import unsealed

Json = dict[str, Any]

_RESPONSES = "openai.responses"
_TAKES_CUSTOM = frozenset({"openai.chat", _RESPONSES})
"""Dialects that have a place for free-text tools; whether a vendor takes them there is the provider's to say."""
_INPUT: Json = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The whole input of the tool, as plain text."}},
    "required": ["input"],
    "additionalProperties": False,
}
_SEARCH = "tool_search"


class Called(Struct, frozen=True):
    """What the client calls a function that was made for one of its tools. `is_search`: its calls are items of their own."""

    name: str
    custom: bool = False
    namespace: str | None = None
    is_search: bool = False


class Lowered(Struct, frozen=True):
    """A request of functions alone, and what the client calls those that were made for it."""

    request: ChatRequest
    called: Mapping[str, Called] = {}


def lower(request: ChatRequest, gaps: Gaps, *, has_custom: bool) -> Lowered:
    """The request as `gaps.dialect` can say its tools. `has_custom`: the provider takes free-text tools."""
    if request.dialect == gaps.dialect or not (request.tools or request.dialect == _RESPONSES):
        return Lowered(request)
    table = _Table(gaps, has_custom=has_custom and gaps.dialect in _TAKES_CUSTOM)
    tools = [*table.tools(request.tools)]
    table.known |= {tool.name for tool in tools}
    messages = [turn for message in request.messages for turn in table.turns(message)]
    tools += table.found
    return Lowered(replace(request, tools=tuple(tools), messages=tuple(messages)), table.called)


class _Table:
    """The functions of one request while they are made."""

    def __init__(self, gaps: Gaps, *, has_custom: bool) -> None:
        self._gaps = gaps
        self._has_custom = has_custom
        self._count = 0
        self.known: set[str] = set()
        self.called: dict[str, Called] = {}
        self.found: list[Tool] = []

    def tools(self, tools: Iterable[Tool]) -> Iterator[Tool]:
        """Each tool as what can be offered for it."""
        for tool in tools:
            place = f"tools[{self._count}]"
            self._count += 1
            if tool.kind == "function":
                yield tool
            elif tool.kind == "namespace":
                yield from self._group(tool.raw or {}, place)
            elif tool.kind == "custom" and not self._has_custom:
                self.called[tool.name] = Called(tool.name, custom=True)
                yield self._custom(tool.raw or {}, tool.name, place)
            elif tool.kind == _SEARCH and (tool.raw or {}).get("execution") == "client":
                self.called[_SEARCH] = Called(_SEARCH, is_search=True)
                yield _function(tool.raw or {}, _SEARCH)
            else:
                yield tool

    def turns(self, message: Message) -> Iterator[Message]:
        """A message without the tools in the input that only its own dialect understands."""
        if all(type(part) is not Item and type(part) is not ToolCall for part in message.parts):
            yield message
            return
        said: list[Part] = []
        for part in message.parts:
            kind = part.raw.get("type") if isinstance(part, Item) and not self._is_known(part) else None
            if isinstance(part, ToolCall):
                said.append(self._call(part))
            elif not isinstance(part, Item) or not isinstance(kind, str):
                said.append(part)
            elif kind == "additional_tools":
                self._find(part.raw)
            elif kind == "agent_message":
                said += _heard(part)
            elif kind == "tool_search_call" and part.raw.get("execution") == "client":
                said.append(_asked(part.raw))
            elif kind == "tool_search_output" and part.raw.get("execution") == "client":
                yield from _spoken(message, said)
                said = []
                yield self._search(part.raw)
            else:
                said.append(part)
        yield from _spoken(message, said)

    def _is_known(self, item: Item) -> bool:
        """Whether the provider's dialect has this block: platforms of one vendor name theirs alike behind the dot."""
        return item.dialect.partition(".")[2] == self._gaps.dialect.partition(".")[2]

    def _group(self, group: Json, place: str) -> Iterator[Tool]:
        """The tools of a namespace, each by both names; what is said of the group stands with its first tool."""
        name, about = str(group.get("name")), group.get("description")
        for at, tool in enumerate(_objects(group.get("tools"))):
            own = str(tool.get("name"))
            full = own if own.startswith(f"{name}__") else f"{name}__{own}"
            is_custom = tool.get("type") == "custom"
            described = "\n\n".join(str(text) for text in (None if at else about, tool.get("description")) if text)
            raw = {**tool, "name": full, **({"description": described} if described else {})}
            self.called[full] = Called(own, is_custom, name)
            if is_custom:
                yield self._custom(raw, full, place)
            else:
                yield _function(raw, full)

    def _custom(self, raw: Json, name: str, place: str) -> Tool:
        """A free-text tool as a function of one text. A grammar is told, for nothing holds the model to it."""
        if self._has_custom:
            return Tool(name, kind="custom", raw=raw)
        held = _object(raw.get("custom")) or raw
        form = _object(held.get("format"))
        grammar = _object(form.get("grammar")) or form
        about = [str(held["description"])] if held.get("description") else []
        if grammar.get("definition"):
            self._gaps.skip(f"{place}.format")
            about.append(f"Its input follows this {grammar.get('syntax')} grammar:\n{grammar['definition']}")
        return Tool(name, "\n\n".join(about) or None, _INPUT)

    def _call(self, call: ToolCall) -> ToolCall:
        """A call by the name that its function has now; one of a group that is not offered stays as it is."""
        namespace = call.extra.get("namespace")
        if not isinstance(namespace, str):
            return call
        name = call.name if call.name.startswith(f"{namespace}__") else f"{namespace}__{call.name}"
        if name not in self.called:
            return call
        extra = {name: held for name, held in call.extra.items() if name != "namespace"}
        return replace(call, name=name, extra=extra)

    def _find(self, item: Json) -> list[str]:
        """Tools that stand in the conversation are offered like all others, each once; their names."""
        tools = [*self.tools(map(_listed, _objects(item.get("tools"))))]
        self.found += [tool for tool in tools if tool.name not in self.known]
        self.known |= {tool.name for tool in tools}
        return [tool.name for tool in tools]

    def _search(self, item: Json) -> Message:
        """What the client's search found, by name: the tools are offered from now on."""
        names = ", ".join(self._find(item)) or "none"
        found = ToolResult(str(item.get("call_id")), (Text(f"Tools found: {names}"),), name=_SEARCH)
        return Message("tool", (found,))


def _heard(item: Item) -> Iterator[Part]:
    """What another agent of Codex's said, as the user's words. What is none, as a task that OpenAI encrypted, stays a block."""
    held: Any = item.raw.get("content")
    pieces = [{"text": held}] if isinstance(held, str) else [*_objects(held)]
    said = [_words_in(piece) for piece in pieces]
    text = "".join(each for each in said if each)
    if text:
        yield Text(text)
    for piece, words in zip(pieces, said, strict=True):
        if words is None:
            yield Item(item.dialect, piece)


def _words_in(piece: Json) -> str | None:
    """The words of a piece of an agent's message, which may be empty; None where it holds anything else."""
    text: Any = piece.get("text")
    if isinstance(text, str) and not (text == "" and piece.get("encrypted_content")):
        return text
    return unsealed(piece) or None


class CallsBack:
    """Calls of functions that were made for other tools, as calls of those. It holds the state of one answer.

    The text of a free-text tool comes whole, before its choice is finished: until then it is a piece of JSON.
    """

    def __init__(self, called: Mapping[str, Called]) -> None:
        self._called = called
        self._open: dict[tuple[int, int], tuple[ToolCallStart, Called, list[str]]] = {}

    def on_events(self, events: Iterable[StreamEvent]) -> list[StreamEvent]:
        """The events that a client of these tools knows."""
        return [each for event in events for each in self._on_event(event)]

    def on_reply(self, reply: ChatReply) -> ChatReply:
        """The whole reply, likewise."""
        choices = tuple(
            replace(choice, message=replace(choice.message, parts=tuple(map(self._on_part, choice.message.parts))))
            for choice in reply.choices
        )
        return replace(reply, choices=choices)

    def _on_event(self, event: StreamEvent) -> Iterator[StreamEvent]:
        if isinstance(event, ToolCallStart) and event.name in self._called:
            called = self._called[event.name]
            start = replace(event, name=called.name, custom=called.custom, extra=_placed(event.extra, called))
            if called.custom or called.is_search:
                self._open[event.index, event.call] = (start, called, [])
            if not called.is_search:
                yield start
        elif isinstance(event, ToolCallDelta) and (event.index, event.call) in self._open:
            self._open[event.index, event.call][2].append(event.arguments)
        else:
            if isinstance(event, Finish):
                yield from self._ended(event.index)
            yield event

    def _ended(self, index: int) -> Iterator[StreamEvent]:
        for key in [key for key in self._open if key[0] == index]:
            start, called, pieces = self._open.pop(key)
            if called.is_search:
                yield PartDelta(_searching(start.id, "".join(pieces)), index)
            else:
                yield ToolCallDelta(start.call, _text_of("".join(pieces)), index)

    def _on_part(self, part: Part) -> Part:
        called = self._called.get(part.name) if isinstance(part, ToolCall) else None
        if called is None or not isinstance(part, ToolCall):
            return part
        if called.is_search:
            return _searching(part.id, part.arguments)
        arguments = _text_of(part.arguments) if called.custom else part.arguments
        extra = _placed(part.extra, called)
        return replace(part, name=called.name, custom=called.custom, arguments=arguments, extra=extra)


def _listed(raw: Json) -> Tool:
    """A tool of the Responses API that stands in an item."""
    kind = str(raw.get("type") or "function")
    return _function(raw, str(raw.get("name"))) if kind == "function" else Tool(_name(raw, kind), kind=kind, raw=raw)


def _function(raw: Json, name: str) -> Tool:
    about, strict = raw.get("description"), raw.get("strict")
    return Tool(name, str(about) if about else None, _object(raw.get("parameters")) or None, strict is True or None)


def _name(raw: Json, kind: str) -> str:
    name = raw.get("name")
    return name if isinstance(name, str) else kind


def _spoken(message: Message, parts: list[Part]) -> Iterator[Message]:
    if parts:
        yield replace(message, parts=tuple(parts))


def _asked(raw: Json) -> ToolCall:
    """A search of the client's, as the call of a function."""
    return ToolCall(str(raw.get("call_id")), _SEARCH, msgspec.json.encode(raw.get("arguments") or {}).decode())


def _searching(call_id: str, arguments: str) -> Item:
    """The call of a search, as the item that the client runs."""
    held: Json = {"type": "tool_search_call", "call_id": call_id, "execution": "client", "status": "completed"}
    return Item(_RESPONSES, {"id": f"tsc_{call_id}", **held, "arguments": _object(_decoded(arguments))})


def _text_of(arguments: str) -> str:
    """The text in `{"input": TEXT}`, or in an object of one text by another name; anything else as it is."""
    held = _object(_decoded(arguments))
    texts = [text for text in ([held["input"]] if "input" in held else held.values()) if isinstance(text, str)]
    return texts[0] if len(texts) == 1 else arguments


def _decoded(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _placed(extra: Json, called: Called) -> Json:
    return extra if called.namespace is None else {**extra, "namespace": called.namespace}


def _object(value: object) -> Json:
    return cast("Json", value) if isinstance(value, dict) else {}


def _objects(value: object) -> list[Json]:
    return [_object(each) for each in cast("list[object]", value)] if isinstance(value, list) else []
