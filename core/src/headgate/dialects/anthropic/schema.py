"""The part of JSON Schema that Claude can be held to: for strict tools and for structured outputs.

Source: https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import msgspec
from msgspec import Struct

Json = dict[str, Any]

MAX_STRICT_TOOLS = 20
MAX_OPTIONAL = 24
MAX_UNIONS = 16
"""Limits of one request, over all its strict tools and its response format together."""

_FORMATS = ("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid")
_KEPT = {
    "$ref",
    "const",
    "default",
    "description",
    "enum",
    "items",
    "pattern",
    "properties",
    "required",
    "title",
    "type",
}
_NOTES = {"$schema", "$id", "$comment", "$anchor", "deprecated", "examples", "readOnly", "writeOnly"}
_HOLDERS = ("$defs", "definitions")
_CHOICES = {"anyOf": "anyOf", "oneOf": "anyOf", "allOf": "allOf"}


class CannotHold(ValueError):
    """A schema that Claude cannot be held to; the message says why."""


class Load(Struct, frozen=True):
    """What a schema counts towards the limits of a request."""

    optional: int = 0
    unions: int = 0

    def __add__(self, other: Load) -> Load:
        return Load(self.optional + other.optional, self.unions + other.unions)

    @property
    def fits(self) -> bool:
        """Whether a request may hold this much."""
        return self.optional <= MAX_OPTIONAL and self.unions <= MAX_UNIONS


def held_schema(schema: Json) -> tuple[Json, list[str]]:
    """A schema that Claude can be held to and whose values fit `schema`, and the places of what it had to leave out.

    Objects are closed; a constraint that cannot be kept is told in the description instead. Raises CannotHold.
    """
    if schema.get("type") != "object" and "$ref" not in schema:
        raise CannotHold("the root of the schema must be an object")
    _check_references(schema)
    dropped: list[str] = []
    return _held(schema, "", dropped), dropped


def is_held(schema: Json) -> bool:
    """Whether Claude can be held to exactly this schema."""
    try:
        held, dropped = held_schema(schema)
    except CannotHold:
        return False
    return not dropped and _without_notes(held) == _without_notes(schema)


def is_object_schema(schema: Json) -> bool:
    """Whether the root of a schema, or what it refers to there, says that it is an object."""
    seen: set[str] = set()
    held = schema
    while "type" not in held and isinstance(held.get("$ref"), str) and held["$ref"] not in seen:
        seen.add(held["$ref"])
        _, holder, name = (*held["$ref"].split("/", 2), "", "")[:3]
        held = _members(_members(schema.get(holder) if holder in _HOLDERS else None).get(name))
    return held.get("type") == "object"


def load_of(schema: object) -> Load:
    """The optional properties and the unions in a schema, at any depth."""
    if isinstance(schema, list):
        return sum((load_of(item) for item in cast("list[object]", schema)), Load())
    if not isinstance(schema, dict):
        return Load()
    held = cast("Json", schema)
    properties, required = held.get("properties"), held.get("required")
    names = set(_members(properties))
    needed = set(map(str, cast("list[object]", required))) if isinstance(required, list) else set[str]()
    own = Load(len(names - needed), int("anyOf" in held or isinstance(held.get("type"), list)))
    return sum((load_of(value) for value in held.values()), own)


def _held(value: object, place: str, dropped: list[str]) -> Json:
    if not isinstance(value, dict) or not value:
        raise CannotHold(f"`{place or 'schema'}` allows anything")
    schema = cast("Json", value)
    body: Json = {}
    left: Json = {}
    for name, held in schema.items():
        if name in _HOLDERS or name == "properties":
            body[name] = {key: _held(item, _at(place, name, key), dropped) for key, item in _members(held).items()}
        elif name in _CHOICES and isinstance(held, list):
            items = cast("list[object]", held)
            body[_CHOICES[name]] = [_held(item, _at(place, name, at), dropped) for at, item in enumerate(items)]
        elif name == "items":
            body[name] = _held(held, _at(place, name), dropped)
        elif name in _KEPT or _is_kept(name, held):
            body[name] = held
        elif name not in _NOTES and name != "additionalProperties":
            left[name] = held
    _check_kind(body, schema, place)
    if _is_object(schema):
        body.setdefault("properties", {})
        body["additionalProperties"] = False
    if left:
        dropped += [_at(place, name) for name in left]
        told = ", ".join(f"{name}: {msgspec.json.encode(held).decode()}" for name, held in left.items())
        body["description"] = f"{body.get('description', '')} ({told})".lstrip()
    return body


def _is_kept(name: str, value: object) -> bool:
    return (name == "format" and value in _FORMATS) or (name == "minItems" and value in (0, 1))


def _check_kind(body: Json, schema: Json, place: str) -> None:
    if not body.keys() & {"type", "anyOf", "allOf", "enum", "const", "$ref"}:
        raise CannotHold(f"`{place or 'schema'}` has no type")
    if not _is_object(schema):
        return
    more = schema.get("additionalProperties")
    if isinstance(more, dict) or schema.get("patternProperties"):
        raise CannotHold(f"`{place or 'schema'}` has properties of any name")
    if not schema.get("properties") and more is not False:
        raise CannotHold(f"`{place or 'schema'}` is an object of any kind")


def _is_object(schema: Json) -> bool:
    kind = schema.get("type")
    return kind == "object" or (isinstance(kind, list) and "object" in kind)


def _members(value: object) -> Json:
    return cast("Json", value) if isinstance(value, dict) else {}


def _check_references(schema: Json) -> None:
    """References must stay within the schema and never lead back to where they stand."""
    targets = {
        f"#/{holder}/{name}": cast("Json", held)
        for holder in _HOLDERS
        for name, held in _members(schema.get(holder)).items()
    }
    done: set[str] = set()

    def follow(reference: str, way: tuple[str, ...]) -> None:
        if reference in way or reference == "#":
            raise CannotHold(f"`{reference}` refers to itself")
        if reference not in targets:
            raise CannotHold(f"`{reference}` is not in the schema")
        if reference not in done:
            for further in _references(targets[reference]):
                follow(further, (*way, reference))
            done.add(reference)

    for reference in _references(schema):
        follow(reference, ())


def _references(value: object) -> Iterator[str]:
    if isinstance(value, list):
        for item in cast("list[object]", value):
            yield from _references(item)
    elif isinstance(value, dict):
        for name, item in cast("Json", value).items():
            if name == "$ref" and isinstance(item, str):
                yield item
            yield from _references(item)


def _without_notes(value: object) -> object:
    if isinstance(value, list):
        return [_without_notes(item) for item in cast("list[object]", value)]
    if isinstance(value, dict):
        held = cast("Json", value)
        return {name: _without_notes(item) for name, item in held.items() if name not in _NOTES}
    return value


def _at(place: str, *names: str | int) -> str:
    return ".".join(str(name) for name in (place, *names) if name != "")
