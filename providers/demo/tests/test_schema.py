"""Examples for schemas are judged by pydantic, which wrote the schemas, and by the limits themselves."""

from __future__ import annotations

from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from headgate.errors import InvalidRequest, UnsupportedField
from headgate_demo.schema import example_of


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Node(BaseModel):
    name: str
    next: Node | None


class Branching(BaseModel):
    left: Branching | None
    right: Branching | None


class Everything(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: str
    long: Annotated[str, Field(min_length=20)]
    short: Annotated[str, Field(max_length=2)]
    code: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]
    day: date
    key: UUID
    whole: Annotated[int, Field(gt=5, lt=9)]
    half: Annotated[float, Field(gt=0, lt=0.5)]
    below: Annotated[int, Field(le=-3)]
    even: Annotated[int, Field(ge=3, multiple_of=4)]
    flag: bool
    nothing: None
    colour: Colour
    kind: Literal["a"]
    either: int | str
    maybe: Node | None
    items: Annotated[list[Colour], Field(min_length=2)]
    unique: Annotated[set[int], Field(min_length=3)]
    pair: tuple[int, str]
    table: dict[str, int]
    filled: Annotated[dict[str, int], Field(min_length=2)]
    left_out: int = 5


@pytest.mark.parametrize("model", [Everything, Node, Branching])
def test_examples_satisfy_the_schema(model: type[BaseModel]) -> None:
    """Every kind of constraint that schemas of tools use is met, recursion included."""
    example = example_of(model.model_json_schema(), "f")
    model.model_validate(example)
    assert "left_out" not in example


def test_examples_are_deterministic() -> None:
    """The same schema gives the same value."""
    schema = Everything.model_json_schema()
    assert example_of(schema, "f") == example_of(schema, "f")


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({}, {}),
        ({"properties": {"a": {"type": "string"}}}, {}),
        ({"type": "object", "required": ["a"]}, {"a": {}}),
        ({"type": "object", "required": ["a"], "additionalProperties": {"type": "integer"}}, {"a": 0}),
        ({"type": ["null", "string"]}, "text"),
        ({"type": ["null"]}, None),
        ({"allOf": [{"required": ["a"]}, {"properties": {"a": {"const": 3}}}]}, {"a": 3}),
        ({"allOf": [{"required": ["a"]}, {"required": ["b"]}], "type": "object"}, {"b": {}, "a": {}}),
        ({"oneOf": [{"type": "integer", "minimum": 2}, {"type": "string"}]}, 2),
        ({"$ref": "#/definitions/a~1b", "definitions": {"a/b": {"type": "boolean"}}}, False),
        ({"minimum": 0, "exclusiveMinimum": True, "type": "integer"}, 1),
        ({"minimum": 2, "exclusiveMinimum": 1, "type": "integer"}, 2),
        ({"maximum": -2, "exclusiveMaximum": -2, "type": "integer"}, -3),
        ({"minItems": 2, "items": {"type": "integer"}}, [0, 1]),
        ({"type": "array", "prefixItems": [{"const": 1}, {"const": 2}], "maxItems": 1}, [1]),
        ({"minLength": 1, "maxLength": 3}, "tex"),
        ({"type": "object", "minProperties": 2, "properties": {"a": {"type": "integer"}}}, {"a": 0, "x0": {}}),
    ],
)
def test_small_schemas(schema: dict[str, Any], value: object) -> None:
    """Each construct has the smallest value it allows."""
    assert example_of(schema, "f") == value


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "required": 5},
        {"$ref": "#/nowhere"},
        {"enum": []},
        {"type": "integer", "minimum": "a"},
        {"type": "array", "minItems": "many"},
        {"type": "object", "required": ["a"], "properties": {"a": 5}},
        {"anyOf": [5]},
    ],
)
def test_what_is_no_schema(schema: dict[str, Any]) -> None:
    """A broken schema is the caller's mistake, named by its function."""
    with pytest.raises(InvalidRequest, match="`lookup`"):
        example_of(schema, "lookup")


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "minItems": 10**9},
        {"type": "string", "minLength": 10**9},
        {"type": "object", "minProperties": 10**9},
        {"type": "string", "pattern": "^(?=hopeless)"},
        {"type": "string", "pattern": "^a{3}$", "minLength": 9},
        {"type": "string", "pattern": "("},
        {"$ref": "#"},
        {"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#"}}},
        {"type": "array", "minItems": 100, "items": {"type": "array", "minItems": 100, "items": {"minItems": 100}}},
    ],
)
def test_schemas_that_cannot_be_met(schema: dict[str, Any]) -> None:
    """Huge, endless and too odd schemas are refused instead of filling the memory or answering wrongly."""
    with pytest.raises(UnsupportedField):
        example_of(schema, "f")


LIMITS = st.none() | st.integers(-20, 20)


@given(LIMITS, LIMITS, LIMITS, LIMITS, st.sampled_from([None, 1, 2, 5]))
def test_numbers_keep_their_limits(
    least: int | None, most: int | None, over: int | None, under: int | None, step: int | None
) -> None:
    """Wherever some integer fits the limits, the example is one that does."""
    limits = {
        "minimum": least,
        "maximum": most,
        "exclusiveMinimum": over,
        "exclusiveMaximum": under,
        "multipleOf": step,
    }
    schema: dict[str, Any] = {"type": "integer", **{name: limit for name, limit in limits.items() if limit is not None}}

    def fits(value: int) -> bool:
        return (
            (least is None or value >= least)
            and (most is None or value <= most)
            and (over is None or value > over)
            and (under is None or value < under)
            and value % (step or 1) == 0
        )

    assume(any(fits(value) for value in range(-40, 41)))
    assert fits(example_of(schema, "f"))
