"""Instructions where the templates of open models take them, which raise an error for any other: first, and in one message.

Agents send them between turns too: https://github.com/ollama/ollama/issues/17774, https://github.com/vllm-project/vllm/issues/41114
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from headgate.chat import Message, Text, ToolResult
from headgate.dialects.gaps import Gaps

_INSTRUCT = frozenset({"system", "developer"})


def is_strict(model: str) -> bool:
    """Whether the template of a model is known to take instructions nowhere else."""
    return "qwen" in model.lower()


def instructed_first(messages: Sequence[Message], gaps: Gaps) -> tuple[Message, ...]:
    """The turns with the instructions that they begin with in one message; the user says later ones, which is named.

    They keep their place, in `<system>` tags, but before the result of a call, which comes first.
    """
    count = next((at for at, message in enumerate(messages) if message.role not in _INSTRUCT), len(messages))
    turns = [_as_one(messages[:count])] if count else []
    waiting: list[Text] = []
    for at, message in enumerate(messages[count:], count):
        if message.role in _INSTRUCT:
            gaps.skip(f"messages[{at}].role")
            waiting.append(_said(message))
        elif message.role == "tool" or any(isinstance(part, ToolResult) for part in message.parts):
            turns.append(message)
        else:
            _speak(turns, waiting)
            is_joined = bool(waiting) and message.role == "user"
            turns[-1:] = (
                [replace(message, parts=(*turns[-1].parts, *message.parts))] if is_joined else [*turns[-1:], message]
            )
            waiting = []
    _speak(turns, waiting)
    return tuple(turns)


def _speak(turns: list[Message], texts: list[Text]) -> None:
    """Let the user say these: in the turn that is already the user's, or in one more."""
    if not texts:
        return
    if turns and turns[-1].role == "user":
        turns[-1] = replace(turns[-1], parts=(*turns[-1].parts, *texts))
    else:
        turns.append(Message("user", tuple(texts)))


def _as_one(messages: Sequence[Message]) -> Message:
    first, *others = messages
    apart = [replace(part, text=f"\n\n{part.text}") for each in others for part in each.parts if isinstance(part, Text)]
    return replace(first, parts=(*first.parts, *apart))


def _said(message: Message) -> Text:
    marks = [part.cache for part in message.parts if isinstance(part, Text) and part.cache]
    return Text(f"<system>\n{message.text}\n</system>", marks[-1] if marks else None)
