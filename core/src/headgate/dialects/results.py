"""Results of calls where every vendor wants them: right behind the turn that called, before anything else.

Agents send results as they come, and what the user says between them: https://github.com/wecode-ai/Wegent/pull/2657,
https://github.com/diegosouzapw/OmniRoute/pull/4882 and, for pictures, https://github.com/Yeachan-Heo/gajae-code/issues/4807
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from headgate.chat import Message, Part, ToolCall, ToolResult


def results_first(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The turns with late results of calls before what the user said in between; the very same turns where there are none."""
    turns: list[Message] = []
    called: set[str] = set()
    said_at: int | None = None
    """Where the user began to speak since the last calls."""
    for message in messages:
        if message.role == "assistant":
            is_more = bool(turns) and turns[-1].role == "assistant"
            calls = {part.id for part in message.parts if isinstance(part, ToolCall)}
            called = called | calls if is_more else calls
            said_at = None
        late = tuple(part for part in message.parts if isinstance(part, ToolResult) and part.call_id in called)
        if said_at is not None and late:
            said_at = _put(turns, said_at, replace(message, parts=late))
            rest = tuple(part for part in message.parts if part not in late)
            turns += [replace(message, parts=rest)] if rest else []
            continue
        turns.append(message)
        if said_at is None and message.role == "user" and not all(map(_is_result, message.parts)):
            said_at = len(turns) - 1
    return tuple(turns)


def _put(turns: list[Message], at: int, results: Message) -> int:
    """Put results before the words of the turn `at`, into it where it has some itself; tell where it is then."""
    parts = turns[at].parts
    count = next((number for number in range(len(parts), 0, -1) if _is_result(parts[number - 1])), 0)
    if count:
        turns[at] = replace(turns[at], parts=(*parts[:count], *results.parts, *parts[count:]))
        return at
    turns.insert(at, results)
    return at + 1


def _is_result(part: Part) -> bool:
    return isinstance(part, ToolResult)
