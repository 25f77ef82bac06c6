"""JSON objects taken apart by name and type, and put together again, so that no member is lost on the way."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import msgspec

from headgate.errors import InvalidRequest

Json = dict[str, Any]
T = TypeVar("T")


class Members:
    """The members of one JSON object, taken out by name and type; what nobody took is the `rest`.

    `place` names the object in errors. Every method raises InvalidRequest for a member of another type.
    """

    __slots__ = ("_held", "_inner", "place")

    def __init__(self, value: object, place: str = "") -> None:
        if not isinstance(value, dict):
            raise InvalidRequest(f"`{place}` must be an object", param=place)
        self.place = place
        self._held = dict(cast("Json", value))
        self._inner: dict[str, Members] = {}

    def at(self, name: str) -> str:
        """The place of a member."""
        return f"{self.place}.{name}" if self.place else name

    def peek(self, name: str) -> Any:
        """A member of any type, which stays; None when it is absent."""
        return self._held.get(name)

    def put(self, name: str, value: Any) -> None:
        """Leave a member behind, as if nobody had taken it."""
        self._held[name] = value

    def take(self, name: str) -> Any:
        """A member of any type; None when it is absent."""
        return self._held.pop(name, None)

    def find(self, name: str, kind: type[T]) -> T | None:
        """A member of type `kind`; None when it is absent or null."""
        value = self._held.pop(name, None)
        return None if value is None else typed(value, kind, self.at(name))

    def find_if(self, name: str, kind: type[T]) -> T | None:
        """A member if it is a `kind`; one of another type stays, for vendors do not agree on what it is."""
        value = self._held.get(name)
        if not isinstance(value, kind):
            return None
        del self._held[name]
        return value

    def need(self, name: str, kind: type[T]) -> T:
        """A member of type `kind` that must be there."""
        return typed(self._held.pop(name, None), kind, self.at(name))

    def inner(self, name: str, short: str = "") -> Members:
        """A member that must be an object. With `short`, a plain string stands for an object of that one member."""
        value = self._held.pop(name, None)
        if short and isinstance(value, str):
            value = {short: value}
        self._inner[name] = Members(value, self.at(name))
        return self._inner[name]

    def inner_if_given(self, name: str) -> Members | None:
        """A member that must be an object where it is given; None when it is absent or null."""
        if self._held.get(name) is None:
            self._held.pop(name, None)
            return None
        return self.inner(name)

    def inner_if_object(self, name: str) -> Members | None:
        """A member if it is an object; one of another type stays."""
        return self.inner(name) if isinstance(self._held.get(name), dict) else None

    def listed(self, name: str) -> list[Members]:
        """The objects of a list; empty when it is absent or null."""
        values = self.find(name, list[Any]) or []
        return [Members(value, f"{self.at(name)}[{at}]") for at, value in enumerate(values)]

    def listed_if(self, name: str) -> list[Json]:
        """The objects of a member if it is a list of nothing else; another one stays."""
        value = self._held.get(name)
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in cast("list[Any]", value)):
            return []
        del self._held[name]
        return cast("list[Json]", value)

    def rest(self) -> Json:
        """What was not taken, that of inner objects at their own depth."""
        inner = {name: rest for name, members in self._inner.items() if (rest := members.rest())}
        return {**self._held, **inner}


def typed(value: object, kind: type[T], place: str) -> T:
    """`value` when it is a `kind`; InvalidRequest naming `place` when it is not."""
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, OverflowError) as error:
        raise InvalidRequest(f"`{place}`: {str(error).partition(' - at ')[0].lower()}", param=place) from None


def popped(members: Json, name: str, kind: type[T]) -> T | None:
    """Take a member of type `kind` out; None when it is absent or null. Raises InvalidRequest for one of another type."""
    value = members.pop(name, None)
    return None if value is None else typed(value, kind, name)


def objects(value: object) -> list[Json]:
    """The items of a list, {} in place of those that are no JSON objects; empty when it is no list."""
    if not isinstance(value, list):
        return []
    items = cast("list[Any]", value)
    return [item if isinstance(item, dict) else {} for item in items]


def as_object(value: object) -> Json | None:
    """`value` if it is a JSON object."""
    return cast("Json", value) if isinstance(value, dict) else None


def seconds(value: object) -> int:
    """A time in whole seconds; absent counts as 0."""
    if value is None:
        return 0
    return int(typed(value, float, "created"))


def given(**members: Any) -> Json:
    """The members that are not None."""
    return {name: value for name, value in members.items() if value is not None}


def merged(body: Json, extra: Json) -> Json:
    """`body` with further members, each at its own depth; they win over what `body` has."""
    whole = dict(body)
    for name, value in extra.items():
        mine = whole.get(name)
        is_deeper = isinstance(mine, dict) and isinstance(value, dict)
        whole[name] = merged(cast("Json", mine), cast("Json", value)) if is_deeper else value
    return whole


def added(body: Json, extra: Json, reserved: frozenset[str] = frozenset()) -> Json:
    """`body` with further members where it has none of that name and the name is not `reserved`."""
    return {**{name: value for name, value in extra.items() if name not in reserved}, **body}
