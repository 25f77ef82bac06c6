"""A stream of canonical events and a whole reply mean the same: from one to the other and back.

What has no event of its own travels as a member of another: token probabilities as `logprobs` of a Finish, the service tier as
`service_tier` of a UsageEvent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

from msgspec.structs import replace

from headgate.chat.events import (
    CitationDelta,
    ErrorEvent,
    ExtraDelta,
    Finish,
    PartDelta,
    ReasoningDelta,
    ReasoningEnd,
    RefusalDelta,
    Start,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    UsageEvent,
)
from headgate.chat.messages import Audio, Citation, Image, Item, Message, Part, Reasoning, Refusal, Text, ToolCall
from headgate.chat.reply import ChatReply, Choice
from headgate.errors import ProviderFailed

_TIER = "service_tier"
_LOGPROBS = "logprobs"


def collect(events: Iterable[StreamEvent]) -> ChatReply:
    """The whole reply that a complete stream stands for. Raises ProviderFailed when it ended with an error of the provider."""
    reply = ChatReply("", "", ())
    choices: dict[int, _Growing] = {}
    for event in events:
        match event:
            case Start():
                reply = replace(reply, id=event.id, model=event.model, created=event.created, usage=event.usage)
            case UsageEvent():
                reply = replace(reply, usage=event.usage, extra={**reply.extra, **event.extra})
            case ErrorEvent():
                raise ProviderFailed(event.message or "the provider broke off with an error", code="upstream_failed")
            case _:
                choices.setdefault(event.index, _Growing()).add(event)
    extra = dict(reply.extra)
    tier = extra.pop(_TIER) if isinstance(extra.get(_TIER), str) else None
    held = tuple(choices[index].choice(index) for index in sorted(choices))
    return replace(reply, choices=held, service_tier=tier, extra=extra)


def replay(reply: ChatReply) -> Iterator[StreamEvent]:
    """The stream that says what `reply` says: each part in one delta, calls numbered in their order.

    Without usage, members of the whole reply come with the first choice: a UsageEvent would say that nothing was used.
    """
    extra = {**reply.extra, **({_TIER: reply.service_tier} if reply.service_tier is not None else {})}
    yield Start(reply.id, reply.model, reply.created)
    for number, choice in enumerate(reply.choices):
        calls = 0
        for part in choice.message.parts:
            yield from _events_of(part, choice.index, calls)
            calls += isinstance(part, ToolCall)
        beside = {**choice.message.extra, **(extra if reply.usage is None and not number else {})}
        if beside:
            yield ExtraDelta(beside, choice.index)
        yield from _finish_of(choice)
    if reply.usage is not None:
        yield UsageEvent(reply.usage, extra)


def _events_of(part: Part, index: int, call: int) -> Iterator[StreamEvent]:
    match part:
        case Text():
            yield TextDelta(part.text, index, part.opaque, bool(part.citations))
            for citation in part.citations:
                yield CitationDelta(citation, index)
        case Reasoning():
            if part.text:
                yield ReasoningDelta(part.text, index, part.is_summary)
            yield ReasoningEnd(part.opaque, index, part.is_redacted, part.item_id)
        case Refusal():
            yield RefusalDelta(part.text, index)
        case ToolCall():
            yield ToolCallStart(call, part.id, part.name, index, part.custom, part.item_id, part.opaque, part.extra)
            if part.arguments:
                yield ToolCallDelta(call, part.arguments, index)
        case Image() | Audio() | Item():
            yield PartDelta(part, index)
        case _:
            raise TypeError(f"a model does not answer with a part of type `{type(part).__name__}`")


def _finish_of(choice: Choice) -> Iterator[StreamEvent]:
    """Why a choice ended, with its members; they come alone where nobody said why."""
    extra = {**choice.extra, **({_LOGPROBS: choice.logprobs} if choice.logprobs is not None else {})}
    if choice.finish is not None:
        yield Finish(choice.finish, choice.index, choice.finish_raw, choice.stop, extra)
    elif extra:
        yield ExtraDelta(extra, choice.index)


class _Growing:
    """One choice while it comes: parts in their order and the pieces of their texts.

    The last part is open while it may still be added to, and over when more text would be another part.
    """

    def __init__(self) -> None:
        self._parts: list[Part] = []
        self._pieces: list[list[str]] = []
        self._calls: dict[int, int] = {}
        self._is_open = self._is_over = False
        self._extra: dict[str, Any] = {}
        self._finish: Finish | None = None

    def add(self, event: StreamEvent) -> None:
        """Take in one delta of this choice."""
        match event:
            case TextDelta():
                self._add_text(event)
            case ReasoningDelta():
                self._grow(Reasoning("", is_summary=event.is_summary), event.text)
            case ReasoningEnd():
                self._end_reasoning(event)
            case RefusalDelta():
                self._grow(Refusal(""), event.text)
            case CitationDelta():
                self._cite(event.citation)
            case ToolCallStart():
                self._begin_call(event)
            case ToolCallDelta():
                if event.call not in self._calls:
                    raise ProviderFailed(
                        f"arguments of tool call {event.call} came before the call", code="upstream_bad_reply"
                    )
                self._pieces[self._calls[event.call]].append(event.arguments)
            case PartDelta():
                self._put(event.part)
            case ExtraDelta():
                self._extra = _joined(self._extra, event.members)
            case Finish():
                self._finish = event
            case _:
                raise TypeError(f"`{type(event).__name__}` is no event of a choice")

    def choice(self, index: int) -> Choice:
        """The choice as it stands."""
        parts = tuple(map(_whole, self._parts, self._pieces))
        message = Message("assistant", parts, extra=self._extra)
        finish = self._finish
        if finish is None:
            return Choice(message, index=index)
        extra = dict(finish.extra)
        logprobs = extra.pop(_LOGPROBS, None)
        return Choice(message, finish.reason, finish.raw, finish.stop, index, logprobs, extra)

    def _put(self, part: Part, text: str = "") -> None:
        self._parts.append(part)
        self._pieces.append([text] if text else [])
        self._is_open = self._is_over = False

    def _grow(self, kind: Text | Reasoning | Refusal, text: str) -> None:
        """More of the part that is open, or the first of one like `kind`."""
        last = self._parts[-1] if self._is_open and not self._is_over else None
        is_more = type(last) is type(kind)
        if isinstance(last, Reasoning) and isinstance(kind, Reasoning):
            is_more = last.is_summary == kind.is_summary
        if is_more:
            self._pieces[-1].append(text)
        else:
            self._put(kind, text)
            self._is_open = True

    def _add_text(self, event: TextDelta) -> None:
        """Text that has sources or a signature is over: more of it is another part."""
        if event.begins:
            self._is_over = True
        if event.text:
            self._grow(Text(""), event.text)
        if event.opaque is None:
            return
        last = self._parts[-1] if self._is_open else None
        if not isinstance(last, Text) or last.opaque is not None:
            self._put(Text(""))
        self._parts[-1] = replace(cast("Text", self._parts[-1]), opaque=event.opaque)
        self._is_open = self._is_over = True

    def _end_reasoning(self, event: ReasoningEnd) -> None:
        last = self._parts[-1] if self._is_open else None
        if isinstance(last, Reasoning) and not event.is_redacted:
            self._parts[-1] = replace(last, opaque=event.opaque, item_id=event.item_id)
        elif event.opaque is not None or event.item_id is not None:
            self._put(Reasoning("", event.opaque, is_redacted=event.is_redacted, item_id=event.item_id))
        self._is_open = False

    def _begin_call(self, event: ToolCallStart) -> None:
        self._calls[event.call] = len(self._parts)
        call = ToolCall(
            event.id,
            event.name,
            "",
            event.call,
            custom=event.custom,
            item_id=event.item_id,
            opaque=event.opaque,
            extra=event.extra,
        )
        self._put(call)

    def _cite(self, citation: Citation) -> None:
        """A source of the last text; without one, of the text that is to come."""
        for at in range(len(self._parts) - 1, -1, -1):
            part = self._parts[at]
            if isinstance(part, Text):
                self._parts[at] = replace(part, citations=(*part.citations, citation))
                self._is_over = self._is_over or any(self._pieces[at])
                return
        self._put(Text("", citations=(citation,)))
        self._is_open = True


def _whole(part: Part, pieces: list[str]) -> Part:
    """A part with its text, which until now was in pieces."""
    match part:
        case Text() | Reasoning() | Refusal():
            return replace(part, text="".join(pieces)) if pieces else part
        case ToolCall():
            return replace(part, arguments="".join(pieces)) if pieces else part
        case _:
            return part


def _joined(known: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Members that came in several deltas: objects joined at every depth, lists one behind the other, else the last counts."""
    whole = dict(known)
    for name, value in more.items():
        mine: Any = whole.get(name)
        if isinstance(mine, dict) and isinstance(value, dict):
            whole[name] = _joined(cast("dict[str, Any]", mine), cast("dict[str, Any]", value))
        elif isinstance(mine, list) and isinstance(value, list):
            whole[name] = [*cast("list[Any]", mine), *cast("list[Any]", value)]
        else:
            whole[name] = value
    return whole
