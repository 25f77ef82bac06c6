"""The part of JSON Schema that Claude can be held to."""

from __future__ import annotations

from typing import Any

import pytest

from headgate.dialects.anthropic.schema import CannotHold, Load, held_schema, is_held, is_object_schema, load_of

Json = dict[str, Any]

NUMBER: Json = {"type": "integer"}


def closed(**properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def test_what_can_be_held_stays_as_it_is() -> None:
    """A schema of closed objects with what Claude knows is not changed."""
    schema = closed(
        kind={"enum": ["a", "b"]},
        when={"type": "string", "format": "date-time"},
        some={"type": "array", "items": {"$ref": "#/$defs/item"}, "minItems": 1},
        either={"anyOf": [NUMBER, {"type": "null"}]},
        maybe={"type": ["string", "null"], "description": "perhaps"},
        fixed={"const": 1},
        text={"type": "string", "pattern": "^a"},
    ) | {"$defs": {"item": closed(n=NUMBER)}}
    assert held_schema(schema) == (schema, [])
    assert is_held(schema)


def test_objects_are_closed() -> None:
    """Objects at any depth are closed, and `oneOf` is `anyOf`."""
    inner: Json = {"type": "object", "properties": {"n": NUMBER}}
    found, names = held_schema({"type": "object", "properties": {"a": {"oneOf": [inner, NUMBER]}}})
    again: Json = {"anyOf": [inner | {"additionalProperties": False}, NUMBER]}
    assert (found, names) == ({"type": "object", "properties": {"a": again}, "additionalProperties": False}, [])
    assert not is_held({"type": "object", "properties": {"a": NUMBER}})


def test_constraints_are_told_in_words() -> None:
    """What cannot be held is said in the description, and named by its place."""
    length: Json = {"type": "string", "minLength": 2, "maxLength": 5, "description": "a word"}
    several: Json = {"type": "array", "items": NUMBER, "minItems": 2}
    found, names = held_schema(closed(word=length, several=several, when={"type": "string", "format": "odd"}))
    assert found["properties"]["word"] == {"type": "string", "description": "a word (minLength: 2, maxLength: 5)"}
    assert found["properties"]["several"] == {"type": "array", "items": NUMBER, "description": "(minItems: 2)"}
    assert names == [
        "properties.word.minLength",
        "properties.word.maxLength",
        "properties.several.minItems",
        "properties.when.format",
    ]


def test_notes_are_left_out() -> None:
    """What only tells about the schema itself is left out without a word, and makes no tool less strict."""
    schema = closed(n=NUMBER | {"examples": [1]}) | {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    assert held_schema(schema) == (closed(n=NUMBER), [])
    assert is_held(schema)


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"type": "array", "items": NUMBER}, "root of the schema must be an object"),
        ({}, "root of the schema must be an object"),
        ({"type": "object"}, "`schema` is an object of any kind"),
        (closed(a={"type": "object"}), "`properties.a` is an object of any kind"),
        (closed(a={}), "`properties.a` allows anything"),
        (closed(a={"description": "x"}), "`properties.a` has no type"),
        ({"type": "object", "additionalProperties": NUMBER}, "properties of any name"),
        ({"type": "object", "patternProperties": {"^a": NUMBER}}, "properties of any name"),
        (closed(a={"$ref": "#/$defs/none"}), "`#/$defs/none` is not in the schema"),
        (closed(a={"$ref": "https://e.org/s.json"}), "is not in the schema"),
        (closed(a={"$ref": "#"}), "`#` refers to itself"),
        (closed(a={"$ref": "#/$defs/a"}) | {"$defs": {"a": closed(a={"$ref": "#/$defs/a"})}}, "refers to itself"),
    ],
)
def test_what_cannot_be_held(schema: Json, why: str) -> None:
    """A schema that Claude cannot be held to is refused with the reason."""
    with pytest.raises(CannotHold) as caught:
        held_schema(schema)
    assert why in str(caught.value)
    assert not is_held(schema)


def test_an_object_without_properties() -> None:
    """A closed object without properties is held: it is empty."""
    assert is_held({"type": "object", "additionalProperties": False, "properties": {}})
    assert held_schema({"type": "object", "additionalProperties": False})[0]["properties"] == {}


def test_references_to_the_same_place() -> None:
    """A definition may be used more than once, and use others."""
    schema = closed(a={"$ref": "#/$defs/a"}, b={"$ref": "#/$defs/a"})
    schema["$defs"] = {"a": closed(b={"$ref": "#/$defs/b"}), "b": closed(n=NUMBER)}
    assert is_held(schema)


def test_objects_behind_references() -> None:
    """The root of a schema may only refer to the object that it is; one that refers to itself is none."""
    node = closed(next={"$ref": "#/$defs/Node"})
    assert is_object_schema({"$ref": "#/$defs/Node", "$defs": {"Node": node}})
    for schema in ({"$ref": "#"}, {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}, {"$ref": "#/x/y"}, {}):
        assert not is_object_schema(schema)


def test_what_counts_towards_the_limits() -> None:
    """Properties that may be left out and unions count, at any depth."""
    schema: Json = {
        "type": "object",
        "properties": {"a": {"type": ["string", "null"]}, "b": {"anyOf": [NUMBER, {"type": "null"}]}, "c": NUMBER},
        "required": ["c"],
    }
    assert load_of(schema) == Load(2, 2)
    assert load_of({"items": [schema, schema]}) == Load(4, 4)
    assert load_of(None) == Load()
    assert (Load(24, 16).fits, Load(25, 0).fits, Load(0, 17).fits) == (True, False, False)


ODD: list[Json] = [
    {**closed(a={"$ref": "#/$defs/x"}), "$defs": ["x"]},
    closed(a={"type": "string", "format": ["x"]}),
    {**closed(a=NUMBER), "required": [{}]},
    {"type": "object", "properties": ["a"]},
]


@pytest.mark.parametrize("schema", ODD)
def test_odd_schemas(schema: Json) -> None:
    """Members of other types than they should have are counted and judged, and no fault of the gateway."""
    assert (load_of(schema).unions, isinstance(is_held(schema), bool)) == (0, True)
