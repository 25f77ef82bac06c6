"""YAML with places: every value remembers its line, so that a problem can point at it."""

from __future__ import annotations

import os
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Union, cast, get_args, get_origin

import msgspec
import yaml
from msgspec import Struct

from headgate.errors import Problem, StartupError
from headgate.secret import Secret
from headgate.suggest import did_you_mean

MAX_DEPTH = 100

Path_ = tuple[str | int, ...]

try:
    from yaml import CSafeLoader as _Loader
except ImportError:
    from yaml import SafeLoader as _Loader


class Document:
    """A parsed file. `decode` turns parts of it into typed values and notes every problem instead of stopping at one."""

    def __init__(self, value: Any, places: Mapping[Path_, tuple[int, int]], source: str, folder: Path) -> None:
        self.value = value
        self.source = source
        self.folder = folder
        self.problems: list[Problem] = []
        self._places = places

    def place(self, path: Path_) -> str:
        """`file:line:column` of a value, or of the nearest value around it that is in the file."""
        while path and path not in self._places:
            path = path[:-1]
        line, column = self._places.get(path, (1, 1))
        return f"{self.source}:{line}:{column}"

    def problem(self, path: Path_, message: str) -> None:
        """Note a problem with the value at `path`."""
        name = dotted(path)
        self.problems.append(Problem(f"`{name}` {message}" if name else message, self.place(path)))

    def raise_problems(self) -> None:
        """StartupError with everything noted, in the order of the file; nothing noted is fine."""
        if self.problems:
            raise StartupError(self.problems)

    def decode(self, value: Any, kind: Any, path: Path_) -> Any:
        """`value` as `kind`: Structs, lists, string maps, secrets, and whatever msgspec converts. None when wrong."""
        inner = _without_none(kind)
        if value is None and inner is not kind:
            return None
        if isinstance(inner, type) and issubclass(inner, Struct):
            return self._struct(value, inner, path)
        if inner is Secret:
            return self._secret(value, path)
        origin, arguments = get_origin(inner), get_args(inner)
        if value is None and origin in {dict, list, tuple}:
            return cast("Any", origin())  # a key whose every entry is commented out
        if origin is dict and isinstance(value, dict):
            items = cast("dict[Any, Any]", value).items()
            return {str(name): self.decode(held, arguments[1], (*path, str(name))) for name, held in items}
        if origin in {list, tuple} and isinstance(value, list):
            held: list[Any] = [
                self.decode(item, arguments[0], (*path, at)) for at, item in enumerate(cast("list[Any]", value))
            ]
            return cast("Any", tuple(held) if origin is tuple else held)
        try:
            converted: Any = msgspec.convert(value, cast("Any", inner))
        except msgspec.ValidationError as error:
            words = str(error).partition(" - at ")[0]
            self.problem(path, f"is wrong: {words[0].lower()}{words[1:]}")
            return None
        return converted

    def _struct(self, value: Any, kind: type[Struct], path: Path_) -> Any:
        if value is None:
            value = {}
        if not isinstance(value, dict):
            self.problem(path, f"must be a mapping, not `{type(value).__name__}`")
            return None
        given = {str(name): held for name, held in cast("dict[Any, Any]", value).items()}
        fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        for name in given:
            if name not in fields:
                self.problem((*path, name), f"is not known{did_you_mean(name, fields)}")
        before = len(self.problems)
        values: dict[str, Any] = {}
        for name, field in fields.items():
            if name in given:
                values[field.name] = self.decode(given[name], field.type, (*path, name))
            elif field.required:
                self.problem(path, f"needs `{name}`")
        if len(self.problems) > before:
            return None
        try:
            return kind(**values)
        except (TypeError, ValueError) as error:
            self.problem(path, f"is wrong: {error}")
            return None

    def _secret(self, value: Any, path: Path_) -> Secret | None:
        if not isinstance(value, str) or not value:
            self.problem(path, "must be a string such as `env:NAME` or `file:PATH`")
            return None
        kind, _, rest = value.partition(":")
        if kind == "env":
            found = os.environ.get(rest)
            if not found:
                self.problem(path, f"refers to the environment variable `{rest}`, which is not set")
                return None
            return self._checked(found.strip(), path)
        if kind == "file":
            try:
                return self._checked((self.folder / rest).read_text("utf-8").strip(), path)
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
                self.problem(path, f"refers to the file `{rest}`, which cannot be read: {reason}")
                return None
        return self._checked(value, path)

    def _checked(self, value: str, path: Path_) -> Secret | None:
        if not value or not value.isprintable() or not value.isascii():
            self.problem(path, "must be one line of printable ASCII, as it travels in a header")
            return None
        return Secret(value)


def read_document(text: str, source: str, folder: Path) -> Document:
    """Parse YAML. StartupError for a syntax error, a repeated key, or a file that is no mapping."""
    _check_depth(text, source)
    loader: Any = _Loader(text)
    try:
        node = loader.get_single_node()
        value: Any = {} if node is None else loader.construct_document(node)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
        what = getattr(error, "problem", None) or str(error)
        raise StartupError([Problem(f"this is not valid YAML: {what}", place)]) from None
    finally:
        loader.dispose()
    places: dict[Path_, tuple[int, int]] = {}
    repeated: list[Path_] = []
    if node is not None:
        for path, line, column in _walk(node, ()):
            if path in places:
                repeated.append(path)
            places[path] = (line, column)
    document = Document(value, places, source, folder)
    if not isinstance(value, dict):
        document.problem((), "the file must be a mapping")
    for path in repeated:
        document.problem(path, "stands here a second time")
    document.raise_problems()
    return document


def _check_depth(text: str, source: str) -> None:
    """Refuse deep nesting before the C loader recurses into it. Syntax errors are left to the loader."""
    depth = 0
    try:
        events: Iterator[Any] = cast("Any", yaml).parse(text, _Loader)
        for event in events:
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                line = event.start_mark.line + 1
                raise StartupError([Problem(f"this is nested deeper than {MAX_DEPTH} levels", f"{source}:{line}")])
    except (yaml.YAMLError, ValueError):
        return


def dotted(path: Path_) -> str:
    """A path as people write it: `providers.openai.models[0]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _walk(node: Any, path: Path_) -> Iterator[tuple[Path_, int, int]]:
    """Every value below a YAML node with its path, 1-based line and column. A key stands for its value."""
    if not path:
        yield (), node.start_mark.line + 1, node.start_mark.column + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in cast("list[tuple[Any, Any]]", node.value):
            below = (*path, str(key.value))
            yield below, key.start_mark.line + 1, key.start_mark.column + 1
            yield from _walk(value, below)
    elif isinstance(node, yaml.SequenceNode):
        for at, item in enumerate(cast("list[Any]", node.value)):
            below = (*path, at)
            yield below, item.start_mark.line + 1, item.start_mark.column + 1
            yield from _walk(item, below)


def _without_none(kind: Any) -> Any:
    """`X` for `X | None`; anything else as it is."""
    if get_origin(kind) in {Union, types.UnionType}:
        rest = [part for part in get_args(kind) if part is not type(None)]
        if len(rest) == 1:
            return rest[0]
    return kind
