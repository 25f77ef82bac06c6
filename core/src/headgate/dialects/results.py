"""Results of calls where every vendor wants them: right behind the turn that called, before anything else.

Agents send results as they come, and what the user says between them: https://github.com/wecode-ai/Wegent/pull/2657,
https://github.com/diegosouzapw/OmniRoute/pull/4882 and, for pictures, https://github.com/Yeachan-Heo/gajae-code/issues/4807
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from headgate.chat import Message, Part, ToolCall, ToolResult


class _Called(Struct, eq=False):
    """The calls of one turn, or of several that follow each other.

    `said_at` is the turn in which something was said after them, `late` are the results that came behind it.
    """

    said_at: int | None = None
    late: list[Message] = []


def results_first(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The turns with late results of calls before what was said in between; the very same turns where there are none.

    An id that is used again is that of the last call.
    """
    turns: list[Message] = []
    called: list[_Called] = []
    by_id: dict[str, _Called] = {}
    for message in messages:
        if message.role == "assistant":
            if not turns or turns[-1].role != "assistant":
                _speak(called, len(turns))
                called.append(_Called())
            by_id |= {part.id: called[-1] for part in message.parts if isinstance(part, ToolCall)}
            turns.append(message)
            continue
        late = {at: calls for at, part in enumerate(message.parts) if (calls := _missed(part, by_id)) is not None}
        for calls in dict.fromkeys(late.values()):
            results = tuple(message.parts[at] for at, owner in late.items() if owner is calls)
            calls.late.append(replace(message, parts=results))
        rest = _without(message, late) if late else message
        if rest.parts or not late:
            turns.append(rest)
        if not all(map(_is_result, rest.parts)):
            _speak(called, len(turns) - 1)
    moved = {calls.said_at: calls.late for calls in called if calls.late}
    return tuple(_placed(turns, moved))


def _speak(called: Sequence[_Called], at: int) -> None:
    """Note that the turn `at` says something after the last calls."""
    if called and called[-1].said_at is None:
        called[-1].said_at = at


def _missed(part: Part, by_id: Mapping[str, _Called]) -> _Called | None:
    """The calls that a result comes too late for, since something was said after them."""
    calls = by_id.get(part.call_id) if isinstance(part, ToolResult) else None
    return None if calls is None or calls.said_at is None else calls


def _without(message: Message, places: Container[int]) -> Message:
    return replace(message, parts=tuple(part for at, part in enumerate(message.parts) if at not in places))


def _placed(turns: Sequence[Message], moved: Mapping[int | None, Sequence[Message]]) -> Iterator[Message]:
    """The turns with results before the words of those they were late for, in them where they have some themselves."""
    for at, turn in enumerate(turns):
        late = moved.get(at, ())
        parts = turn.parts
        count = next((number for number in range(len(parts), 0, -1) if _is_result(parts[number - 1])), 0) if late else 0
        if count:
            results = (part for each in late for part in each.parts)
            yield replace(turn, parts=(*parts[:count], *results, *parts[count:]))
        else:
            yield from late
            yield turn


def _is_result(part: Part) -> bool:
    return isinstance(part, ToolResult)
