"""Queries of conditional routing: what a request must look like for a branch to be taken.

The operators are those of Portkey's conditional routing
(https://portkey.ai/docs/product/ai-gateway/conditional-routing), after MongoDB's query language.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

from msgspec import Struct

from headgate.hooks import Fault

Predicate = Callable[["Facts"], bool]
MAX_PATTERN = 512
MAX_TEXT = 65_536
MAX_LEVELS = 16
MISSING: Any = object()
_PLACES = ("metadata.", "params.", "url.pathname")
_KNOWN = "`$eq`, `$ne`, `$gt`, `$gte`, `$lt`, `$lte`, `$in`, `$nin` or `$regex`"


class Facts(Struct, frozen=True):
    """What queries can look at: the request's metadata, its body, and the path of its URL."""

    metadata: Mapping[str, str] = {}
    params: Mapping[str, Any] = {}
    pathname: str = ""

    def at(self, place: str) -> Any:
        """The value at `metadata.KEY`, `params.A.B` or `url.pathname`; MISSING when there is none."""
        if place == "url.pathname":
            return self.pathname
        root, _, rest = place.partition(".")
        if root == "metadata":
            return self.metadata.get(rest, MISSING)
        held: Any = self.params
        for name in rest.split("."):
            if not isinstance(held, Mapping) or name not in held:
                return MISSING
            held = cast("Mapping[str, Any]", held)[name]
        return held


def compile_query(query: object, fault: Fault, at: str = "", level: int = 1) -> Predicate:
    """A predicate that holds when every member of `query` does. What is wrong goes to `fault`; then it holds for nothing.

    Where Portkey looks at the first of several members alone (`$or` beside a key, `$regex` beside `$ne`), all count here.
    """
    if not isinstance(query, dict) or not query:
        fault(at, "must be a mapping of conditions, such as {'metadata.plan': {'$eq': 'paid'}}")
        return _never
    if level > MAX_LEVELS:
        fault(at, f"is nested deeper than {MAX_LEVELS} levels")
        return _never
    return _all_of(list(_members(cast("dict[str, Any]", query), fault, at, level)))


def _members(query: Mapping[str, Any], fault: Fault, at: str, level: int) -> Iterator[Predicate]:
    for name, wanted in query.items():
        place = f"{at}.{name}"
        if name in {"$and", "$or"}:
            yield _joined(name, wanted, fault, place, level)
        elif name.startswith(_PLACES) and (name == "url.pathname" or not name.startswith("url.")):
            yield _compared(name, wanted, fault, place)
        else:
            fault(place, "is no condition: use `metadata.KEY`, `params.KEY`, `url.pathname`, `$and` or `$or`")


def _joined(name: str, wanted: object, fault: Fault, place: str, level: int) -> Predicate:
    if not isinstance(wanted, list) or not wanted:
        fault(place, "must be a list of conditions")
        return _never
    listed = cast("list[Any]", wanted)
    parts = [compile_query(part, fault, f"{place}[{at}]", level + 1) for at, part in enumerate(listed)]
    return _all_of(parts) if name == "$and" else lambda facts: any(part(facts) for part in parts)


def _compared(name: str, wanted: object, fault: Fault, place: str) -> Predicate:
    """Every operator on one value."""
    operators: Mapping[str, Any] = cast("dict[str, Any]", wanted) if isinstance(wanted, dict) else {"$eq": wanted}
    if not operators:
        fault(place, f"needs an operator: {_KNOWN}")
    tests: list[Callable[[Any], bool]] = []
    for operator, operand in operators.items():
        made = _OPERATORS.get(operator)
        test = made(operand) if made is not None else None
        if test is None:
            problem = "takes no such value" if made is not None else f"is not known: use {_KNOWN}"
            fault(f"{place}.{operator}", problem if operator != "$regex" else _regex_problem(operand))
        else:
            tests.append(test)

    def holds(facts: Facts) -> bool:
        value = facts.at(name)
        return all(test(value) for test in tests)

    return holds


def _all_of(parts: Sequence[Predicate]) -> Predicate:
    return parts[0] if len(parts) == 1 else lambda facts: all(part(facts) for part in parts)


def _never(_: Facts) -> bool:
    return False


def _is_same(value: Any, wanted: Any) -> bool:
    """Equality of JSON: `true` is not 1, and 1 is 1.0."""
    return value is not MISSING and isinstance(value, bool) == isinstance(wanted, bool) and value == wanted


def _number(value: Any) -> float:
    """A number, or text that is one: metadata are always text. NaN for anything else, which compares with nothing."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan


def _ordered(compare: Callable[[float, float], bool]) -> Callable[[Any], Callable[[Any], bool] | None]:
    def made(wanted: Any) -> Callable[[Any], bool] | None:
        bound = _number(wanted)
        return None if math.isnan(bound) else lambda value: compare(_number(value), bound)

    return made


def _listed(*, has: bool) -> Callable[[Any], Callable[[Any], bool] | None]:
    def made(wanted: Any) -> Callable[[Any], bool] | None:
        if not isinstance(wanted, list):
            return None
        choices = cast("list[Any]", wanted)
        return lambda value: any(_is_same(value, choice) for choice in choices) is has

    return made


def _regex(wanted: Any) -> Callable[[Any], bool] | None:
    """Patterns come from callers, so they run in RE2, whose time is linear in the text."""
    if not isinstance(wanted, str) or len(wanted) > MAX_PATTERN:
        return None
    import re2 as untyped  # pyright: ignore[reportMissingTypeStubs] - loaded where a config has a pattern

    re2: Any = untyped
    try:
        pattern = re2.compile(wanted)
    except re2.error:
        return None
    return lambda value: isinstance(value, str) and pattern.search(value[:MAX_TEXT]) is not None


def _regex_problem(operand: object) -> str:
    if not isinstance(operand, str):
        return "must be a string"
    if len(operand) > MAX_PATTERN:
        return f"is longer than {MAX_PATTERN} characters"
    return (
        "is no pattern of RE2 (https://github.com/google/re2/wiki/Syntax): it has no look-around and no back-references"
    )


_OPERATORS: Mapping[str, Callable[[Any], Callable[[Any], bool] | None]] = {
    "$eq": lambda wanted: lambda value: _is_same(value, wanted),
    "$ne": lambda wanted: lambda value: not _is_same(value, wanted),
    "$gt": _ordered(lambda value, bound: value > bound),
    "$gte": _ordered(lambda value, bound: value >= bound),
    "$lt": _ordered(lambda value, bound: value < bound),
    "$lte": _ordered(lambda value, bound: value <= bound),
    "$in": _listed(has=True),
    "$nin": _listed(has=False),
    "$regex": _regex,
}
