"""The tool calls of a streamed OpenAI choice, told apart whatever vendors do with their numbers and ids."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from headgate.chat import ExtraDelta, Opaque, StreamEvent, ToolCallDelta, ToolCallStart
from headgate.dialects.openai.members import Json, Members, as_object
from headgate.dialects.openai.message import decode_arguments
from headgate.dialects.openai.reasoning import take_signature
from headgate.dialects.openai.reply import minted_id


class Calls:
    """The calls of one choice, numbered as they begin.

    A piece belongs to the call of its `index`; without one to that of its id, else to the last, or of several such pieces
    each to the call at its own place. A piece with a name and an id other than the one its `index` has begins a call of its
    own: Google's and other servers number every call 0 (https://github.com/ai-dynamo/dynamo/pull/4723). A legacy
    `function_call` is one call.
    """

    def __init__(self, choice: int) -> None:
        self._choice = choice
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}

    @property
    def has_any(self) -> bool:
        """Whether there is a call."""
        return bool(self._calls)

    def feed(self, delta: Members, reply_id: str) -> list[StreamEvent]:
        """The events of one delta's calls."""
        events: list[StreamEvent] = []
        pieces = delta.listed("tool_calls")
        are_in_order = len(pieces) > 1 and all(map(_is_bare, pieces))
        for at, piece in enumerate(pieces):
            events += self._piece(piece, reply_id, at if are_in_order else -1)
        legacy = delta.inner_if_given("function_call")
        if legacy is not None:
            call = self._calls[0] if self._calls else self._new(None)
            call.take(legacy.find("name", str) or "", decode_arguments(legacy.take("arguments")))
            events += self._said(call, reply_id)
        return events

    def more(self, index: int, arguments: str) -> ToolCallDelta | None:
        """The event of a piece that only goes on with the call of this `index`; None for one that is still to begin."""
        call = self._by_index.get(index)
        if call is None or not call.has_begun or call.extra:
            return None
        call.remember(arguments)
        return ToolCallDelta(call.number, arguments, self._choice)

    def end(self, reply_id: str) -> Iterator[StreamEvent]:
        """The calls that never had a name."""
        for call in self._calls:
            yield from self._said(call, reply_id, is_last=True)

    def _piece(self, piece: Members, reply_id: str, at: int) -> Iterator[StreamEvent]:
        piece.take("type")
        call_id, index = piece.find("id", str) or "", piece.find("index", int)
        is_custom = piece.peek("custom") is not None
        held = piece.inner_if_given("custom" if is_custom else "function") or Members({}, piece.place)
        name = held.find("name", str) or ""
        call = self._calls[at] if 0 <= at < len(self._calls) else self._find(call_id, index, name)
        if call is None:
            call = self._new(index)
        call.is_custom |= is_custom
        call.id = call.id or call_id
        call.take(name, decode_arguments(held.take("input" if is_custom else "arguments")))
        call.opaque = take_signature(piece) or call.opaque
        call.extra |= {name: value for name, value in piece.rest().items() if value not in (None, {})}
        yield from self._said(call, reply_id)

    def _find(self, call_id: str, index: int | None, name: str) -> _Call | None:
        if index is None:
            known = next((call for call in self._calls if call_id and call.id == call_id), None)
            is_more = not call_id and not name and bool(self._calls)
            return self._calls[-1] if known is None and is_more else known
        call = self._by_index.get(index)
        return None if call is not None and name and call.is_other(call_id) else call

    def _new(self, index: int | None) -> _Call:
        call = _Call(len(self._calls))
        self._calls.append(call)
        self._by_index[len(self._by_index) if index is None else index] = call
        return call

    def _said(self, call: _Call, reply_id: str, *, is_last: bool = False) -> Iterator[StreamEvent]:
        """What of a call can be said: nothing before its name is known."""
        if not call.has_begun:
            if not call.name and not is_last:
                return
            call.has_begun = True
            call.minted = "" if call.id else minted_id(reply_id, self._choice, call.number)
            call.id = call.id or call.minted
            extra, call.extra = call.extra, {}
            yield ToolCallStart(
                call.number, call.id, call.name, self._choice, call.is_custom, opaque=call.opaque, extra=extra
            )
        elif call.extra:
            extra, call.extra = call.extra, {}
            yield ExtraDelta({"tool_calls": [{"index": call.number, **extra}]}, self._choice)
        if call.arguments:
            text, call.arguments = call.arguments, ""
            yield ToolCallDelta(call.number, text, self._choice)


class _Call:
    """One call while it comes. `arguments` and `extra` are what has not been said yet."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.id = self.minted = ""
        self.name = ""
        self.arguments = ""
        self.is_custom = False
        self.has_begun = False
        self.opaque: Opaque | None = None
        self.extra: Json = {}
        self._told: list[str] = []

    def is_other(self, call_id: str) -> bool:
        """Whether a piece that has a name and this id begins another call. Without ids it does when this call is whole."""
        if call_id or self.id != self.minted:
            return bool(call_id and self.id) and call_id != self.id
        return _is_json("".join(self._told))

    def take(self, name: str, arguments: str) -> None:
        """Take in a piece; a name that is repeated says nothing new."""
        self.name = self.name or name
        self.arguments += arguments
        self.remember(arguments)

    def remember(self, arguments: str) -> None:
        """Keep a piece, to know when the whole is one."""
        self._told.append(arguments)


def _is_bare(piece: Members) -> bool:
    """Whether a piece says nothing of the call that it belongs to."""
    named = as_object(piece.peek("function")) or as_object(piece.peek("custom")) or {}
    return piece.peek("index") is None and not piece.peek("id") and not named.get("name")


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
