"""TypedDicts of an SDK made strict: a member that they do not know is an error at every depth, and lists are looked through.

As they are, pydantic lets unknown members pass and looks into an `Iterable` only when somebody iterates.
"""

from __future__ import annotations

import collections.abc
import os
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, Literal, NotRequired, Required, Union, cast, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, TypeAdapter
from typing_extensions import TypedDict, is_typeddict

_FORBID = ConfigDict(extra="forbid")
_FILES = (typing.IO, os.PathLike)
"""What the SDKs read from disk: it never stands in JSON."""
_LISTS = (collections.abc.Iterable, collections.abc.Sequence, list)


def closed_adapter(kind: Any) -> TypeAdapter[Any]:
    """A validator of `kind` that forbids unknown members."""
    return TypeAdapter(_Closing().close(kind))


class _Closing:
    """Rewrites types; one that contains itself is looked into once."""

    def __init__(self) -> None:
        self._made: dict[Any, Any] = {}
        self._open: set[Any] = set()

    def close(self, given: Any) -> Any:
        """The type with everything in it closed."""
        kind: Any = given
        if is_typeddict(given):
            return self._dict(kind)
        if isinstance(given, type) and issubclass(given, BaseModel):
            return self._model(given)
        origin, arguments = get_origin(kind), get_args(kind)
        if origin is None or origin is Literal:
            return kind
        if origin in _FILES:
            return None
        if origin is Annotated:
            return cast("Any", Annotated)[(self.close(arguments[0]), *arguments[1:])]
        if origin in (Required, NotRequired):
            return cast("Any", origin)[self.close(arguments[0])]
        if origin in (Union, types.UnionType):
            return cast("Any", Union)[tuple(self.close(each) for each in arguments)]
        if origin in _LISTS:
            return cast("Any", list)[self.close(arguments[0])]
        if origin is dict:
            return cast("Any", dict)[arguments[0], self.close(arguments[1])]
        return kind

    def _dict(self, kind: Any) -> Any:
        needed = kind.__required_keys__
        return self._made_of(
            kind,
            lambda: {
                name: self._field(hint, is_needed=name in needed)
                for name, hint in get_type_hints(kind, include_extras=True).items()
            },
        )

    def _model(self, kind: type[BaseModel]) -> Any:
        """A model as the object it is on the wire."""
        return self._made_of(
            kind,
            lambda: {
                field.alias or name: self._field(field.annotation, is_needed=field.is_required())
                for name, field in kind.model_fields.items()
            },
        )

    def _made_of(self, kind: Any, fields: Callable[[], dict[str, Any]]) -> Any:
        if kind in self._made:
            return self._made[kind]
        if kind in self._open:
            return dict[str, Any]
        self._open.add(kind)
        made: Any = cast("Any", TypedDict)(kind.__name__, fields(), total=False)
        made.__pydantic_config__ = _FORBID
        made.__module__ = kind.__module__
        self._open.discard(kind)
        self._made[kind] = made
        return made

    def _field(self, hint: Any, *, is_needed: bool) -> Any:
        plain = get_args(hint)[0] if get_origin(hint) in (Required, NotRequired) else hint
        inner = self.close(plain)
        return cast("Any", Required)[inner] if is_needed else inner
