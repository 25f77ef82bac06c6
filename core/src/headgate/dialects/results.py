"""Results of calls where every vendor wants them: right behind the turn that called, before anything else.

Agents send results as they come, and what the user says between them: https://github.com/wecode-ai/Wegent/pull/2657,
https://github.com/diegosouzapw/OmniRoute/pull/4882 and, for pictures, https://github.com/Yeachan-Heo/gajae-code/issues/4807
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from headgate.chat import Message, Part, ToolCall, ToolResult


class _Called(Struct):
    """The calls of one turn, or of several that follow each other, and the turn in which something was said after them."""

    ids: set[str]
    said_at: int | None = None


def results_first(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The turns with late results of calls before what was said in between; the very same turns where there are none."""
    turns: list[Message] = []
    called: list[_Called] = []
    for message in messages:
        if message.role == "assistant":
            _call(called, turns, message)
            turns.append(message)
            continue
        parts = list(message.parts)
        for calls in called:
            late = tuple(part for part in parts if _is_late(part, calls, called))
            if late:
                _put(turns, called, calls.said_at or 0, replace(message, parts=late))
                parts = [part for part in parts if part not in late]
        if len(parts) == len(message.parts):
            turns.append(message)
        elif parts:
            turns.append(replace(message, parts=tuple(parts)))
        if not all(map(_is_result, parts)):
            _speak(called, len(turns) - 1)
    return tuple(turns)


def _call(called: list[_Called], turns: Sequence[Message], message: Message) -> None:
    """Note the calls of the assistant's next turn."""
    ids = {part.id for part in message.parts if isinstance(part, ToolCall)}
    if turns and turns[-1].role == "assistant":
        called[-1].ids |= ids
        return
    _speak(called, len(turns))
    called.append(_Called(ids))


def _speak(called: Sequence[_Called], at: int) -> None:
    """Note that the turn `at` says something after the last calls."""
    if called and called[-1].said_at is None:
        called[-1].said_at = at


def _is_late(part: Part, calls: _Called, called: Sequence[_Called]) -> bool:
    """Whether a part is a result of these calls, and something was said before it. An id belongs to its last call."""
    if not isinstance(part, ToolResult) or calls.said_at is None:
        return False
    return next((each for each in reversed(called) if part.call_id in each.ids), None) is calls


def _put(turns: list[Message], called: Sequence[_Called], at: int, results: Message) -> None:
    """Put results before the words of the turn `at`, into it where it has some itself."""
    parts = turns[at].parts
    count = next((number for number in range(len(parts), 0, -1) if _is_result(parts[number - 1])), 0)
    if count:
        turns[at] = replace(turns[at], parts=(*parts[:count], *results.parts, *parts[count:]))
        return
    turns.insert(at, results)
    for each in called:
        if each.said_at is not None and each.said_at >= at:
            each.said_at += 1


def _is_result(part: Part) -> bool:
    return isinstance(part, ToolResult)
