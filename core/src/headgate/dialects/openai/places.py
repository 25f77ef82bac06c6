"""Where the texts of OpenAI chat JSON stand, for guardrails. A wrong shape gives fewer places and no error."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

from headgate.dialects.interface import TextPlace
from headgate.dialects.openai.members import objects

Json = dict[str, Any]
Path = tuple[str | int, ...]

_PLAIN = frozenset({"role", "content", "name"})
"""Members of a message that hold no text but its content."""
_DEFINING = ("tools", "functions", "response_format")
_DESCRIBING = frozenset({"title", "description", "definition"})
_TELLING = frozenset({"text", "title", "thinking", "summary", "content", "code", "output", "stdout", "stderr", "query"})
"""Members of another dialect's blocks that are read or written by a model."""


def request_places(body: Json) -> list[TextPlace]:
    """Every text that a caller sends."""
    places: list[TextPlace] = []
    for at, message in enumerate(objects(body.get("messages"))):
        role, content = str(message.get("role", "")), message.get("content")
        if isinstance(content, str) and message.keys() <= _PLAIN:  # nearly all
            places.append(TextPlace(("messages", at, "content"), content, role, ".content"))
        else:
            _add_message(places, message, ("messages", at), "", role)
    if "prediction" in body:
        _add_content(places, body["prediction"], ("prediction",), "user", ".prediction")
    for name in _DEFINING:
        if name in body:
            places += _strings_in(body[name], (name,), _DESCRIBING, "tool_definition", "")
    return places


def choice_places(data: Json, *, is_stream: bool) -> list[TextPlace]:
    """Every text that a model answers with, in a reply or in an event of a stream."""
    places: list[TextPlace] = []
    for at, choice in enumerate(objects(data.get("choices"))):
        _add_choice(places, choice, ("choices", at), str(choice.get("index", at) if is_stream else at))
    return places


def _strings_in(value: object, path: Path, names: frozenset[str], role: str, channel: str) -> Iterator[TextPlace]:
    """The strings that bear one of these names, at any depth."""
    if isinstance(value, list):
        for at, item in enumerate(cast("list[object]", value)):
            yield from _strings_in(item, (*path, at), names, role, channel)
    elif isinstance(value, dict):
        for name, item in cast("Json", value).items():
            if name in names and isinstance(item, str):
                yield TextPlace((*path, name), item, role, channel)
            yield from _strings_in(item, (*path, name), names, role, channel)


def _add_choice(places: list[TextPlace], choice: Json, path: Path, channel: str) -> None:
    """Some vendors say the text a second time beside the message, or send the message so far beside each delta."""
    _add_strings(places, choice, ("text",), path, "assistant", channel)
    delta, message = choice.get("delta"), choice.get("message")
    if delta is not None:
        _add_message(places, delta, (*path, "delta"), channel)
    if message is not None:
        flow = f"{channel}.message" if isinstance(delta, dict) else channel
        _add_message(places, message, (*path, "message"), flow)


def _add_message(places: list[TextPlace], value: object, path: Path, channel: str, role: str = "assistant") -> None:
    if not isinstance(value, dict):
        return
    message = cast("Json", value)
    _add_content(places, message, path, role, channel)
    if message.keys() <= _PLAIN:
        return
    _add_strings(places, message, ("refusal", "reasoning_content", "reasoning"), path, role, channel)
    for at, detail in enumerate(objects(message.get("reasoning_details"))):
        where, flow = (*path, "reasoning_details", at), f"{channel}.reasoning_details.{detail.get('index', at)}"
        _add_strings(places, detail, ("text", "summary"), where, role, flow)
    _add_strings(places, message.get("audio"), ("transcript",), (*path, "audio"), role, f"{channel}.audio")
    for at, call in enumerate(objects(message.get("tool_calls"))):
        where, flow = (*path, "tool_calls", at), f"{channel}.tool.{call.get('index', at)}"
        _add_strings(places, call.get("function"), ("arguments",), (*where, "function"), role, flow)
        _add_strings(places, call.get("custom"), ("input",), (*where, "custom"), role, flow)
    blocks = (*path, "provider_items")
    places += _strings_in(message.get("provider_items"), blocks, _TELLING, role, f"{channel}.provider_items")
    legacy = (*path, "function_call")
    _add_strings(places, message.get("function_call"), ("arguments",), legacy, role, f"{channel}.function_call")


def _add_content(places: list[TextPlace], value: object, path: Path, role: str, channel: str) -> None:
    """The content of an object, a string or a list of parts; all its texts are one flow, but thinking is another."""
    content = cast("Json", value).get("content") if isinstance(value, dict) else None
    if isinstance(content, str):
        places.append(TextPlace((*path, "content"), content, role, f"{channel}.content"))
        return
    for at, part in enumerate(objects(content)):
        where = (*path, "content", at)
        places += [
            TextPlace((*where, field), part[field], role, f"{channel}.content")
            for field in ("text", "refusal")
            if isinstance(part.get(field), str)
        ]
        _add_strings(places, part, ("thinking",), where, role, channel)
        for number, piece in enumerate(objects(part.get("thinking"))):
            if isinstance(piece.get("text"), str):
                where_piece = (*where, "thinking", number, "text")
                places.append(TextPlace(where_piece, piece["text"], role, f"{channel}.thinking"))


def _add_strings(
    places: list[TextPlace], held: object, fields: Sequence[str], path: Path, role: str, channel: str
) -> None:
    """The strings among these members of an object, each a flow of its own."""
    if isinstance(held, dict):
        members = cast("Json", held)
        for field in fields:
            text = members.get(field)
            if isinstance(text, str):
                places.append(TextPlace((*path, field), text, role, f"{channel}.{field}"))
