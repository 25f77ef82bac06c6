"""Every piece of text in Google's JSON, with the place it stands at: what guardrails read and change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

from headgate.dialects.google.parts import camel
from headgate.dialects.interface import TextPlace
from headgate.dialects.openai.members import Json

Path = tuple[str | int, ...]

_DESCRIBING = {"title", "description"}
_ROLES = {"model": "assistant", "function": "tool"}


def request_texts(body: Json) -> list[TextPlace]:
    """What a caller sends: instructions, all turns, tools and schemas."""
    places: list[TextPlace] = []
    for name, value in body.items():
        match camel(name):
            case "systemInstruction" if isinstance(value, str):
                places.append(TextPlace((name,), value, "system"))
            case "systemInstruction":
                places += _content(value, (name,), "system", "")
            case "contents":
                for path, content in _each(value, (name,)):
                    said = str(content.get("role") or "user").lower()
                    places += _content(content, path, _ROLES.get(said, said), "")
            case "tools" | "generationConfig":
                places += _definitions(value, (name,))
            case _:
                pass
    return places


def reply_texts(body: Json) -> list[TextPlace]:
    """What a model answers, in a whole reply or in one chunk. A channel is a candidate and what of it."""
    places: list[TextPlace] = []
    for at, (path, candidate) in enumerate(_each(body.get("candidates"), ("candidates",))):
        places += _content(candidate.get("content"), (*path, "content"), "assistant", str(candidate.get("index", at)))
    return places


def finished(body: Json) -> list[str]:
    """The candidates that a chunk says are complete."""
    return [
        str(candidate.get("index", at))
        for at, (_, candidate) in enumerate(_each(body.get("candidates"), ()))
        if candidate.get("finishReason") or candidate.get("finish_reason")
    ]


def without_echoes(body: Json, changed: Iterable[Path]) -> None:
    """Take out, in place, what else would tell the old texts of candidates: log probabilities and quotes of sources."""
    for path in changed:
        if len(path) < 2 or path[0] != "candidates":
            continue
        candidate: Any = body["candidates"][path[1]]
        for name in ("logprobsResult", "logprobs_result", "citationMetadata", "citation_metadata"):
            candidate.pop(name, None)
        for name in ("groundingMetadata", "grounding_metadata"):
            if isinstance(candidate.get(name), dict):
                quoting = {"groundingSupports", "grounding_supports"}
                candidate[name] = {key: value for key, value in candidate[name].items() if key not in quoting}


def _content(value: Any, path: Path, role: str, channel: str) -> Iterator[TextPlace]:
    if not isinstance(value, dict):
        return
    number = 0
    for where, part in _each(cast("Json", value).get("parts"), (*path, "parts")):
        flow = "thought" if part.get("thought") is True else "content"
        for name, held in part.items():
            match camel(name):
                case "text" if isinstance(held, str):
                    yield TextPlace((*where, name), held, role, f"{channel}.{flow}")
                case "functionCall":
                    yield from _leaves(held, (*where, name), role, f"{channel}.tool.{number}")
                    number += 1
                case "functionResponse":
                    yield from _leaves(held, (*where, name), "tool", f"{channel}.result")
                case "executableCode" | "codeExecutionResult":
                    yield from _leaves(held, (*where, name), role, f"{channel}.code")
                case _:
                    pass


_UNREAD = {"id", "name", "language", "outcome", "willContinue", "scheduling", "parts"}
"""Members beside the texts of a call, a result or code that are no texts themselves."""
_PIECES = {("partialArgs",), ("partial_args",)}


def _leaves(value: Any, path: Path, role: str, channel: str) -> Iterator[TextPlace]:
    """The strings of a call's arguments, a result or code, each a flow of its own."""
    for name, held in cast("Json", value).items() if isinstance(value, dict) else ():
        if camel(name) not in _UNREAD:
            yield from _strings(held, (*path, name), role, channel)


def _strings(value: Any, path: Path, role: str, channel: str) -> Iterator[TextPlace]:
    if isinstance(value, str):
        yield TextPlace(path, value, role, channel)
    elif isinstance(value, dict):
        members = cast("Json", value)
        piece = members.get("jsonPath", members.get("json_path")) if path[-2:-1] in _PIECES else None
        for name, item in members.items():
            if piece is None or camel(name) == "stringValue":
                yield from _strings(item, (*path, name), role, f"{channel}.{piece or name}")
    elif isinstance(value, list):
        for at, item in enumerate(cast("list[Any]", value)):
            yield from _strings(item, (*path, at), role, f"{channel}.{at}")


def _definitions(value: Any, path: Path) -> Iterator[TextPlace]:
    """What tools and schemas say about themselves, at any depth: a model reads all of it."""
    if isinstance(value, list):
        for at, item in enumerate(cast("list[Any]", value)):
            yield from _definitions(item, (*path, at))
    elif isinstance(value, dict):
        for name, item in cast("Json", value).items():
            if name in _DESCRIBING and isinstance(item, str):
                yield TextPlace((*path, name), item, "tool_definition")
            yield from _definitions(item, (*path, name))


def _each(value: Any, path: Path) -> Iterator[tuple[Path, Json]]:
    """The objects of a list with their places; an object stands for a list of itself."""
    if isinstance(value, dict):
        yield path, cast("Json", value)
    elif isinstance(value, list):
        for at, item in enumerate(cast("list[Any]", value)):
            if isinstance(item, dict):
                yield (*path, at), cast("Json", item)
