"""From YAML text to a value and the place of everything in it: bounded, and in words that quote nothing of the file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError
from yaml.reader import ReaderError

from headgate.errors import Problem, StartupError
from headgate.suggest import shown

MAX_DEPTH = 100
MAX_ALIASED = 10_000
"""How many values aliases may stand for, beside those that are written out."""
_MERGE = "tag:yaml.org,2002:merge"

Path_ = tuple[str | int, ...]


def _words_loader() -> Any:
    """The safe loader with the booleans of YAML 1.2: `true` and `false`. `on`, `off`, `yes`, `no` and dates are words."""
    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    resolvers = {
        first: [
            (tag, pattern)
            for tag, pattern in known
            if not tag.endswith((":bool", ":timestamp")) or (tag.endswith(":bool") and first in "tTfF")
        ]
        for first, known in base.yaml_implicit_resolvers.items()
    }
    return type("Loader", (base,), {"yaml_implicit_resolvers": resolvers})


_Loader = _words_loader()


class Parsed(NamedTuple):
    """The value of a file, 1-based line and column of every path in it, and the paths that are there twice."""

    value: Any
    places: dict[Path_, tuple[int, int]]
    repeated: list[Path_]


def parse(text: str, source: str) -> Parsed:
    """Parse YAML; an empty file is an empty mapping. StartupError with one problem for whatever is no plain YAML."""
    try:
        has_aliases = _check_depth(text, source)
        loader: Any = _Loader(text)
        try:
            node: Any = loader.get_single_node()
            if node is None:
                return Parsed({}, {}, [])
            if has_aliases:
                _check_aliases(node, source)
            places, repeated = _places(node)
            value = _constructed(loader, node)
            _free(node)
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError) as error:
        raise StartupError([_problem(error, text, source)]) from None
    return Parsed({} if value is None else value, places, repeated)


def _constructed(loader: Any, root: Any) -> Any:
    """The value of a node. Values that do not fit their tag get a place, and numbers past 64 bits are refused."""
    construct = loader.construct_object

    def construct_object(node: Any, *rest: Any, **deep: Any) -> Any:
        try:
            made: Any = construct(node, *rest, **deep)
        except yaml.YAMLError:
            raise
        except Exception:
            words = "a value does not fit its tag, or is no such date or number"
            raise ConstructorError(None, None, words, node.start_mark) from None
        if isinstance(made, int) and not -(2**63) <= made < 2**64:
            raise ConstructorError(None, None, "a number is past 64 bits", node.start_mark)
        return made

    loader.construct_object = construct_object
    try:
        return loader.construct_document(root)
    finally:
        del loader.construct_object  # or the loader would hold itself


def _free(root: Any) -> None:
    """Free the nodes of a large file bit by bit: all at once they keep every other thread from running for long."""
    for child in _children(root):
        held: Any = child.value
        while held and isinstance(held, list):
            cast("list[Any]", held).pop()


def _problem(error: Exception, text: str, source: str) -> Problem:
    """What a parser's error says without the words it quotes: a tag or alias may be a secret that was not quoted."""
    words = str(getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read")
    if isinstance(error, ComposerError | ConstructorError):
        words = re.split("['\"]", words, maxsplit=1)[0].rstrip(" :;,")
    if words == "second occurrence":
        words = "an anchor is defined a second time"
    place = source
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        place = f"{source}:{mark.line + 1}:{mark.column + 1}"
    elif isinstance(error, ReaderError):
        before = text[: error.position]
        place = f"{source}:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
    return Problem(f"this is not valid YAML: {shown(words)}", place)


def _check_depth(text: str, source: str) -> bool:
    """Refuse deep nesting before the C loader recurses into it. Whether there are aliases; errors are left to the loader."""
    depth, has_aliases = 0, False
    try:
        events: Iterator[Any] = cast("Any", yaml).parse(text, _Loader)
        for event in events:
            has_aliases = has_aliases or isinstance(event, yaml.AliasEvent)
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise StartupError([Problem(f"this is nested deeper than {MAX_DEPTH} levels", _at(event, source))])
    except yaml.YAMLError:
        pass
    return has_aliases


def _check_aliases(root: Any, source: str) -> None:
    """Refuse aliases that stand for themselves, for too much, or for too deep a nesting, before anything walks them."""
    measured: dict[int, tuple[int, int] | None] = {}

    def measure(node: Any) -> tuple[int, int]:
        if id(node) in measured:
            known = measured[id(node)]
            if known is None:
                raise StartupError([Problem("an alias stands for something that it is itself in", _at(node, source))])
            return known
        measured[id(node)] = None
        sizes = [measure(child) for child in _children(node)]
        size = 1 + sum(held for held, _ in sizes)
        depth = 1 + max((held for _, held in sizes), default=0)
        if depth > MAX_DEPTH + 1:
            raise StartupError(
                [Problem(f"this is nested deeper than {MAX_DEPTH} levels by aliases", _at(node, source))]
            )
        measured[id(node)] = (size, depth)
        return size, depth

    if measure(root)[0] - len(measured) > MAX_ALIASED:
        raise StartupError([Problem(f"aliases stand for more than {MAX_ALIASED} values", source)])


def _children(node: Any) -> Iterator[Any]:
    if isinstance(node, yaml.MappingNode):
        for pair in cast("list[tuple[Any, Any]]", node.value):
            yield from pair
    elif isinstance(node, yaml.SequenceNode):
        yield from cast("list[Any]", node.value)


def _places(root: Any) -> tuple[dict[Path_, tuple[int, int]], list[Path_]]:
    """Places by path. Of a repeated key the last counts, as its value does."""
    places: dict[Path_, tuple[int, int]] = {(): (root.start_mark.line + 1, root.start_mark.column + 1)}
    repeated: list[Path_] = []
    for path, mark in _walk(root, ()):
        if path in places and path not in repeated:
            repeated.append(path)
        places[path] = (mark.line + 1, mark.column + 1)
    return places, repeated


def _walk(node: Any, path: Path_) -> Iterator[tuple[Path_, Any]]:
    """Every value below a YAML node with its path and mark. A key stands for its value; merged keys stand nowhere."""
    if isinstance(node, yaml.MappingNode):
        for key, value in cast("list[tuple[Any, Any]]", node.value):
            if key.tag == _MERGE or not isinstance(key, yaml.ScalarNode):
                continue
            below = (*path, str(cast("Any", key).value))
            yield below, key.start_mark
            yield from _walk(value, below)
    elif isinstance(node, yaml.SequenceNode):
        for at, item in enumerate(cast("list[Any]", node.value)):
            below = (*path, at)
            yield below, item.start_mark
            yield from _walk(item, below)


def _at(marked: Any, source: str) -> str:
    return f"{source}:{marked.start_mark.line + 1}"
