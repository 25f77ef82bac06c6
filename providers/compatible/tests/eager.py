"""TypedDicts of SDKs, checked whole: what they declare as an Iterable pydantic only looks at while it is read."""

from __future__ import annotations

from collections.abc import Iterable
from types import UnionType
from typing import Any, NotRequired, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter
from typing_extensions import TypedDict, is_typeddict

Json = dict[str, Any]

_known: dict[Any, Any] = {}


def check(kind: Any, body: Json) -> None:
    """Validate a body by a TypedDict of an SDK; a field that it does not have is an error too."""
    assert is_typeddict(kind)
    known: set[str] = {*kind.__required_keys__, *kind.__optional_keys__}
    assert set(body) <= known, set(body) - known
    TypeAdapter[Any](eager(kind)).validate_python(body)


def eager(kind: Any) -> Any:
    """A type with lists in the place of iterables, at any depth."""
    if is_typeddict(kind):
        if kind not in _known:
            hints = get_type_hints(kind)
            held = {name: eager(hints[name]) for name in hints}
            fields = {
                name: each if name in kind.__required_keys__ else NotRequired[each] for name, each in held.items()
            }
            _known[kind] = TypedDict(kind.__name__, fields)  # pyright: ignore[reportArgumentType] - made at run time
        return _known[kind]
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Iterable:
        return list[eager(inner[0])]
    if origin in {Union, UnionType}:
        return Union[tuple(eager(each) for each in inner)]  # noqa: UP007 - made at run time
    return kind
