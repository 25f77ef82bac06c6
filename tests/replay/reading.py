"""What an answer says, read from bytes without the product: the one form in which a vendor's answer and a client's are compared.

Every `read_*` module beside this one makes it from the bytes of one wire format, and knows nothing of Headgate.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, cast

Json = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """A function the model wants called. `arguments` is parsed JSON, or the text of a custom tool's input."""

    name: str
    arguments: Any
    id: str = ""
    is_custom: bool = False


@dataclass(frozen=True)
class Usage:
    """Tokens. `prompt` includes `cached` and `cache_write`, `completion` includes `reasoning`."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0


@dataclass(frozen=True)
class Answer:
    """One choice. `items` are blocks only the vendor understands; `opaque` are signatures and encrypted thinking."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: tuple[Call, ...] = ()
    finish: str | None = None
    stop: str | None = None
    images: tuple[str, ...] = ()
    opaque: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    items: int = 0


@dataclass(frozen=True)
class Reading:
    """A whole answer. `error` is the message of an error that ended a stream."""

    answers: tuple[Answer, ...] = ()
    usage: Usage | None = None
    model: str = ""
    error: str | None = None


def parse(text: str | bytes) -> Any:
    """JSON whose numbers keep their value: integers of any size, and fractions as Decimal."""
    return json.loads(text, parse_float=Decimal)


def members(value: Any) -> Json:
    """An object, or an empty one for anything else."""
    return cast("Json", value) if isinstance(value, dict) else {}


def each(value: Any) -> list[Any]:
    """A list, or an empty one for anything else."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def objects(value: Any) -> list[Json]:
    """The objects of a list."""
    return [members(item) for item in each(value) if isinstance(item, dict)]


def count(value: Any) -> int:
    """A number of tokens; what is missing or null is none."""
    return int(value) if isinstance(value, int | Decimal) else 0


def arguments_of(text: str) -> Any:
    """The arguments of a call as JSON; nothing at all means none. Text that is no JSON stays text."""
    if not text.strip():
        return {}
    try:
        return parse(text) or {}
    except ValueError:
        return text


@dataclass(frozen=True)
class Event:
    """One server-sent event. https://html.spec.whatwg.org/multipage/server-sent-events.html"""

    name: str
    data: str

    @property
    def json(self) -> Json:
        """The data as an object."""
        return members(parse(self.data))


def events_of(body: bytes) -> Iterator[Event]:
    """The server-sent events of a stream; comments, and what has no blank line behind it, do not count."""
    name, data = "", list[str]()
    for line in body.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        if not line:
            if data:
                yield Event(name, "\n".join(data))
            name, data = "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data.append(value)
        elif field == "event":
            name = value


def settled(answer: Answer) -> Answer:
    """The answer with the finish that its calls make of a plain stop: a vendor that says `stop` beside calls wants them made."""
    if answer.calls and answer.finish in {"stop", None, ""}:
        return replace(answer, finish="tool_calls")
    return answer
