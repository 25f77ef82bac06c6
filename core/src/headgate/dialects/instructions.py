"""Instructions where the templates of open models take them, which raise an error for any other: first, and in one message.

Agents send them between turns too: https://github.com/ollama/ollama/issues/17774, https://github.com/vllm-project/vllm/issues/41114
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from headgate.chat import Message, Part, Text, ToolResult
from headgate.dialects.functions import PART_HINTS
from headgate.dialects.gaps import Gaps

_INSTRUCT = frozenset({"system", "developer"})


def is_strict(model: str) -> bool:
    """Whether the template of a model is known to take instructions nowhere else."""
    return "qwen" in model.lower()


def instructed_first(messages: Sequence[Message], gaps: Gaps, apart: str = "\n\n") -> tuple[Message, ...]:
    """The turns with the instructions that they begin with in one message; the user says later ones, which is named.

    They keep their place, in `<system>` tags, but before the result of a call, which comes first. What else such a message has,
    its name and members, goes to `gaps`. Texts of further messages begin with `apart`.
    """
    count = next((at for at, message in enumerate(messages) if message.role not in _INSTRUCT), len(messages))
    turns = [_as_one(messages[:count], gaps, apart)] if count else []
    waiting: list[Part] = []
    for at, message in enumerate(messages[count:], count):
        if message.role in _INSTRUCT:
            gaps.skip(f"messages[{at}].role")
            _name_rest(message, f"messages[{at}]", gaps)
            waiting += _said(message)
        elif message.role == "tool" or any(isinstance(part, ToolResult) for part in message.parts):
            turns.append(message)
        else:
            is_joined = bool(waiting) and message.role == "user" and _is_one_speaker(turns, message)
            _speak(turns, waiting)
            turns[-1:] = (
                [replace(message, parts=(*turns[-1].parts, *message.parts))] if is_joined else [*turns[-1:], message]
            )
            waiting = []
    _speak(turns, waiting)
    return tuple(turns)


def _speak(turns: list[Message], parts: list[Part]) -> None:
    """Let the user say these: in the turn that is already the user's, or in one more."""
    if not parts:
        return
    if turns and turns[-1].role == "user":
        turns[-1] = replace(turns[-1], parts=(*turns[-1].parts, *parts))
    else:
        turns.append(Message("user", tuple(parts)))


def _is_one_speaker(turns: Sequence[Message], message: Message) -> bool:
    """Whether the last turn is not a user's, or that of the same one."""
    last = turns[-1] if turns else message
    return last.role != "user" or (last.name, last.extra) == (message.name, message.extra)


def _as_one(messages: Sequence[Message], gaps: Gaps, apart: str) -> Message:
    first, *others = messages
    for at, message in enumerate(others, 1):
        _name_rest(message, f"messages[{at}]", gaps)
    parts = [part for message in others for part in message.parts]
    told = [replace(part, text=apart + part.text) if isinstance(part, Text) else part for part in parts]
    return replace(first, parts=(*first.parts, *told))


def _name_rest(message: Message, place: str, gaps: Gaps) -> None:
    """Name what a message has beside its parts, which goes into another."""
    if message.name:
        gaps.skip(f"{place}.name")
    gaps.extra(message.extra, place, hints=PART_HINTS)


def _said(message: Message) -> list[Part]:
    """The text of a message in tags, and what else it shows behind it."""
    marks = [part.cache for part in message.parts if isinstance(part, Text) and part.cache]
    others: list[Part] = [part for part in message.parts if not isinstance(part, Text)]
    text = Text(f"<system>\n{message.text}\n</system>", marks[-1] if marks else None)
    return [text, *others] if message.text else others
