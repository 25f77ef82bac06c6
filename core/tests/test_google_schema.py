"""JSON Schema and Google's Schema object say the same, as far as each can."""

from __future__ import annotations

from typing import Any

import pytest
from google.genai import types
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.dialects.google.schema import plain_schema, reduced_schema, sent_schema

Json = dict[str, Any]

NODE: Json = {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}}}


def reduced(schema: Json) -> tuple[Json, list[str]]:
    lost: list[str] = []
    made = reduced_schema(schema, lost)
    types.Schema.model_validate(made)
    return made, lost


@pytest.mark.parametrize(
    ("schema", "sent"),
    [
        ({"type": "object", "exclusiveMinimum": 1}, {"type": "object", "exclusiveMinimum": 1}),
        ({"properties": {"a": {"const": 1}}}, {"properties": {"a": {"enum": [1]}}}),
        ({"$ref": "#/$defs/A", "description": "d"}, {"anyOf": [{"$ref": "#/$defs/A"}], "description": "d"}),
        ({"$ref": "#/$defs/A"}, {"$ref": "#/$defs/A"}),
        (
            {"items": {"allOf": [{"$ref": "#/$defs/A"}], "default": 1}},
            {"items": {"anyOf": [{"$ref": "#/$defs/A"}], "default": 1}},
        ),
        ({"properties": {"a": True}}, {"properties": {"a": {}}}),
        (
            {"definitions": {"A": {"const": "x"}}, "items": {"$ref": "#/definitions/A"}},
            {"$defs": {"A": {"enum": ["x"]}}, "items": {"$ref": "#/$defs/A"}},
        ),
        ({"properties": {"definitions": {"const": 1}}}, {"properties": {"definitions": {"enum": [1]}}}),
        ({"enum": [{"const": 1}], "default": {"const": 1}}, {"enum": [{"const": 1}], "default": {"const": 1}}),
    ],
)
def test_json_schema_as_gemini_reads_it(schema: Json, sent: Json) -> None:
    """What Gemini does not document is said with what it does; values are never taken for schemas."""
    assert sent_schema(schema) == sent


def test_a_schema_object_as_json_schema() -> None:
    """Types, nullable, counts and the order of properties are those of JSON Schema."""
    schema = {
        "type": "OBJECT",
        "properties": {
            "b": {"type": "STRING", "nullable": True, "enum": ["x"], "minLength": "2"},
            "a": {"type": "ARRAY", "items": {"type": "INTEGER"}, "max_items": 3, "example": [1]},
            "c": {"anyOf": [{"type": "STRING"}, {"type": "NUMBER"}], "nullable": True},
            "d": {"type": "TYPE_UNSPECIFIED", "ref": "#/defs/x"},
        },
        "propertyOrdering": ["a", "b"],
        "additionalProperties": {"type": "BOOLEAN"},
        "required": ["a"],
    }
    plain = plain_schema(schema)
    assert plain == {
        "type": "object",
        "properties": {
            "a": {"type": "array", "items": {"type": "integer"}, "maxItems": 3, "examples": [[1]]},
            "b": {"type": ["string", "null"], "enum": ["x", None], "minLength": 2},
            "c": {"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "null"}]},
            "d": {"$ref": "#/$defs/x"},
        },
        "additionalProperties": {"type": "boolean"},
        "required": ["a"],
    }
    assert list(plain["properties"]) == ["a", "b", "c", "d"]


def test_json_schema_as_a_schema_object() -> None:
    """References are put in place, types are Google's, and what cannot be said is named."""
    schema: Json = {
        "$schema": "x",
        "$defs": {"City": {"type": "string", "minLength": 1}},
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "city": {"$ref": "#/$defs/City", "description": "where"},
            "unit": {"type": ["string", "null"], "enum": ["c", "f", None]},
            "kind": {"const": "x"},
            "size": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            "both": {"type": ["string", "integer"]},
            "whole": {"allOf": [{"type": "object", "required": ["a"]}, {"properties": {"a": {}}, "required": ["b"]}]},
            "list": {"type": "array"},
            "odd": {"enum": [1, 2], "multipleOf": 2},
        },
    }
    made, lost = reduced(schema)
    assert made == {
        "type": "OBJECT",
        "properties": {
            "city": {"type": "STRING", "minLength": 1, "description": "where"},
            "unit": {"type": "STRING", "nullable": True, "enum": ["c", "f"]},
            "kind": {"type": "STRING", "enum": ["x"]},
            "size": {"type": "INTEGER", "nullable": True},
            "both": {"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}]},
            "whole": {"type": "OBJECT", "required": ["a", "b"], "properties": {"a": {"type": "OBJECT"}}},
            "list": {"type": "ARRAY", "items": {"type": "STRING"}},
            "odd": {"type": "INTEGER"},
        },
    }
    assert sorted(lost) == ["enum", "multipleOf"]


def test_types_by_their_numbers() -> None:
    """The Python library for Vertex writes the numbers of the enumeration of types."""
    schema = {"type": 6, "properties": {"a": {"type": 1, "nullable": True}, "b": {"type": 5, "items": {"type": 3}}}}
    assert plain_schema(schema) == {
        "type": "object",
        "properties": {"a": {"type": ["string", "null"]}, "b": {"type": "array", "items": {"type": "integer"}}},
    }
    assert plain_schema({"type": 0}) == {}


def test_recursion_ends() -> None:
    """A schema that holds itself ends in an object of any shape, and that is told."""
    made, lost = reduced({"$defs": {"Node": NODE}, **NODE})
    assert made["properties"]["next"]["properties"]["next"] == {"type": "OBJECT", "nullable": True}
    assert lost == ["$ref"]
    assert reduced({"$ref": "#"})[1] == ["$ref"]


def test_references_to_everything_end() -> None:
    """A few definitions that all refer to each other do not make an endless schema."""
    names = [f"D{at}" for at in range(9)]
    shared = {"properties": {name: {"$ref": f"#/$defs/{name}"} for name in names}}
    made, lost = reduced({"$defs": dict.fromkeys(names, shared), "$ref": "#/$defs/D0"})
    assert made["type"] == "OBJECT"
    assert lost == ["$ref"]


PLAIN = st.recursive(
    st.sampled_from(
        [
            {"type": "string", "minLength": 1},
            {"type": ["integer", "null"]},
            {"type": "string", "enum": ["a", "b"]},
            {"type": "boolean", "description": "d"},
            {"type": "number", "minimum": 0.5, "maximum": 2},
        ]
    ),
    lambda inner: (
        st.fixed_dictionaries({"type": st.just("array"), "items": inner, "maxItems": st.integers(1, 9)})
        | st.fixed_dictionaries(
            {
                "type": st.just("object"),
                "properties": st.dictionaries(st.sampled_from(["a", "b", "type", "items"]), inner),
            }
        )
    ),
    max_leaves=6,
)


@settings(max_examples=80, deadline=None)
@given(PLAIN)
def test_there_and_back(schema: Json) -> None:
    """A schema of what both can say is the same after going there and back, and nothing is lost."""
    made, lost = reduced(schema)
    assert (plain_schema(made), lost) == (schema, [])
    assert sent_schema(schema) == schema
