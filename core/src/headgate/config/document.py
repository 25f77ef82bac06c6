"""A configuration file as typed values: every problem is noted with its place, and none of them shows a secret."""

from __future__ import annotations

import math
import os
import re
import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

import msgspec
from msgspec import Struct

from headgate.config.parse import Path_, parse
from headgate.errors import Problem, StartupError
from headgate.secret import Secret
from headgate.suggest import did_you_mean, name_in, shown

_VARIABLE = re.compile(r"[A-Za-z0-9_]*")
_PLACE = re.compile(r":(\d+)(?::(\d+))?$")


class Document:
    """A parsed file. `decode` turns parts of it into typed values and notes every problem instead of stopping at one."""

    def __init__(self, value: Any, places: dict[Path_, tuple[int, int]], source: str, folder: Path) -> None:
        self.value: Any = value
        self.source = source
        self.folder = folder
        self.problems: list[Problem] = []
        self._places = places
        self._fields: dict[type[Struct], dict[str, msgspec.structs.FieldInfo]] = {}

    def place(self, path: Path_) -> str:
        """`file:line:column` of a value, or of the nearest value around it that is in the file."""
        while path and path not in self._places:
            path = path[:-1]
        line, column = self._places.get(path, (1, 1))
        return f"{self.source}:{line}:{column}"

    def problem(self, path: Path_, message: str) -> None:
        """Note a problem with the value at `path`."""
        self._problem_at(path, path, message)

    def _problem_at(self, place: Path_, path: Path_, message: str) -> None:
        name = dotted(path)
        self.problems.append(Problem(shown(f"`{name}` {message}" if name else message), self.place(place)))

    def raise_problems(self) -> None:
        """StartupError with everything noted, in the order of the file; nothing noted is fine."""
        if self.problems:
            raise StartupError(in_order(self.problems))

    def forget(self) -> None:
        """Let go of the parsed file, bit by bit, so that other threads can run; from now on every place is its first line."""
        while self._places:
            self._places.popitem()
        sections, self.value = cast("dict[str, Any]", self.value), {}
        for section in sections.values():
            while section and isinstance(section, dict):
                cast("dict[str, Any]", section).popitem()

    def decode(self, value: Any, kind: Any, path: Path_) -> Any:
        """`value` as `kind`: Structs, lists, string maps, secrets, and whatever msgspec converts. None when wrong."""
        inner = _without_none(kind)
        if value is None and inner is not kind:
            return None
        plain = get_args(inner)[0] if get_origin(inner) is Annotated else inner
        if isinstance(plain, type) and issubclass(plain, Struct):
            return self._struct(value, plain, path)
        if plain is Secret:
            return self._secret(value, path)
        origin, arguments = get_origin(plain), get_args(plain)
        if value is None and origin in {dict, list, tuple}:
            value = cast("Any", {} if origin is dict else [])  # a key whose every entry is commented out
        if origin is dict and isinstance(value, dict):
            items = cast("dict[Any, Any]", value).items()
            return {str(name): self.decode(held, arguments[1], (*path, str(name))) for name, held in items}
        is_run = origin is list or (origin is tuple and arguments[1:] == (...,))
        if is_run and isinstance(value, list):
            held: list[Any] = [
                self.decode(item, arguments[0], (*path, at)) for at, item in enumerate(cast("list[Any]", value))
            ]
            return tuple(held) if origin is tuple else held
        return self._converted(value, inner, path)

    def _converted(self, value: Any, kind: Any, path: Path_) -> Any:
        endless = list(_endless(value, path))
        for place in endless:
            self.problem(place, "must be a number, and neither infinite nor `nan`")
        if endless:
            return None
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            words = str(error).partition(" - at ")[0]
            choices = _choices(kind)
            self.problem(path, _no_choice(value, choices) if choices else f"is wrong: {words[0].lower()}{words[1:]}")
            return None

    def _struct(self, value: Any, kind: type[Struct], path: Path_) -> Any:
        before = len(self.problems)
        values = self.fields(value, kind, path)
        if values is None or len(self.problems) > before:
            return None
        try:
            return kind(**values)
        except Exception as error:
            self.problem(path, f"is wrong: {error}")
            return None

    def fields(self, value: Any, kind: type[Struct], path: Path_) -> dict[str, Any] | None:
        """The fields of a Struct by name, those that are right; wrong, unknown and missing ones are noted."""
        if value is None:
            value = {}
        if not isinstance(value, dict):
            self.problem(path, f"must be a mapping, not `{type(value).__name__}`")
            return None
        given = {str(name): held for name, held in cast("dict[Any, Any]", value).items()}
        fields = self._fields_of(kind)
        for name in given:
            if name not in fields:
                message = f"is not known{did_you_mean(name, fields)}"
                self._problem_at((*path, name), (*path, name_in(name)), message)
        values: dict[str, Any] = {}
        for name, field in fields.items():
            if name in given:
                before = len(self.problems)
                decoded = self.decode(given[name], field.type, (*path, name))
                if len(self.problems) == before:
                    values[field.name] = decoded
            elif field.required:
                self.problem(path, f"needs `{name}`")
        return values

    def _fields_of(self, kind: type[Struct]) -> dict[str, msgspec.structs.FieldInfo]:
        """The fields of a Struct by their names in files. Working out their types is slow, and deployments share a kind."""
        found = self._fields.get(kind)
        if found is None:
            found = {field.encode_name: field for field in msgspec.structs.fields(kind)}
            self._fields[kind] = found
        return found

    def _secret(self, value: Any, path: Path_) -> Secret | None:
        if not isinstance(value, str) or not value:
            self.problem(path, "must be a string such as `env:NAME` or `file:PATH`")
            return None
        kind, _, rest = value.partition(":")
        match kind:
            case "env":
                return self._from_environment(rest, path)
            case "file":
                return self._from_file(rest, path)
            case _:
                return self._checked(value, path)

    def _from_environment(self, name: str, path: Path_) -> Secret | None:
        if not _VARIABLE.fullmatch(name):
            self.problem(path, "must be `env:NAME`, with the name of an environment variable")
            return None
        found = os.environ.get(name)
        if not found:
            self.problem(path, f"refers to the environment variable `{name}`, which is not set")
            return None
        return self._checked(found.strip(), path)

    def _from_file(self, name: str, path: Path_) -> Secret | None:
        try:
            return self._checked((self.folder / name).read_text("utf-8").strip(), path)
        except UnicodeDecodeError:
            reason = "not UTF-8 text"
        except OSError as error:
            reason = str(error.strerror)
        except ValueError:
            reason = "not a path"
        self.problem(path, f"refers to the file `{name}`, which cannot be read: {reason}")
        return None

    def _checked(self, value: str, path: Path_) -> Secret | None:
        if not value or not value.isprintable() or not value.isascii():
            self.problem(path, "must be one line of printable ASCII, as it travels in a header")
            return None
        return Secret(value)


def read_document(text: str, source: str, folder: Path) -> Document:
    """Parse YAML. StartupError for a syntax error, a repeated key, or a file that is no mapping."""
    value, places, repeated = parse(text, source)
    document = Document(value, places, source, folder)
    if not isinstance(value, dict):
        document.problem((), "the file must be a mapping")
    for path in repeated:
        document.problem(path, "stands here a second time")
    document.raise_problems()
    return document


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Problems by line and column, each once; those without a place come last."""

    def place(problem: Problem) -> tuple[float, float]:
        found = _PLACE.search(problem.place)
        return (float(found[1]), float(found[2] or 0)) if found else (math.inf, 0)

    return sorted(dict.fromkeys(problems), key=place)


def dotted(path: Path_) -> str:
    """A path as people write it: `providers.openai.models[0]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _endless(value: Any, path: Path_) -> Iterator[Path_]:
    """Where in a value there are infinite numbers, or `nan`."""
    if isinstance(value, float):
        if not math.isfinite(value):
            yield path
    elif isinstance(value, dict):
        for name, held in cast("dict[Any, Any]", value).items():
            yield from _endless(held, (*path, str(name)))
    elif isinstance(value, list):
        for at, held in enumerate(cast("list[Any]", value)):
            yield from _endless(held, (*path, at))


def _choices(kind: Any) -> list[str]:
    """The values that a setting may have, as they are written; empty where they are not counted."""
    return (
        [msgspec.json.encode(choice).decode().strip('"') for choice in get_args(kind)]
        if get_origin(kind) is Literal
        else []
    )


def _no_choice(value: Any, choices: list[str]) -> str:
    listed = ", ".join(f"`{choice}`" for choice in choices)
    given = f", not `{name_in(value)}`{did_you_mean(value, choices)}" if isinstance(value, str) else ""
    return f"must be one of {listed}{given}"


def _without_none(kind: Any) -> Any:
    """`X` for `X | None`; anything else as it is."""
    if get_origin(kind) in {Union, types.UnionType}:
        rest = [part for part in get_args(kind) if part is not type(None)]
        if len(rest) == 1:
            return rest[0]
    return kind
