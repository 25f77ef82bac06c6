"""Unions at the root of a tool's schema, which Claude refuses wherever it is served."""

from __future__ import annotations

from typing import Any

import pytest
from core.tests.anthropic_sdk import chat, gaps, user
from msgspec.structs import replace

from headgate.chat import Text, Tool
from headgate.dialects.anthropic.policy import adapt
from headgate.dialects.anthropic.roots import plain_root

Json = dict[str, Any]
TEXT: Json = {"type": "string"}
CAT: Json = {"type": "object", "properties": {"kind": {"const": "cat"}, "lives": TEXT}, "required": ["kind", "lives"]}
DOG: Json = {"type": "object", "properties": {"kind": {"const": "dog"}, "bark": TEXT}, "required": ["kind"]}
KINDS: Json = {"anyOf": [{"const": "cat"}, {"const": "dog"}]}
EITHER = (
    '[{"type":"object","properties":{"kind":{"const":"cat"},"lives":{"type":"string"}},"required":["kind","lives"]},'
    '{"type":"object","properties":{"kind":{"const":"dog"},"bark":{"type":"string"}},"required":["kind"]}]'
)


def test_alternatives_are_one_object() -> None:
    """The properties of all, what all require, and in words which of them go together; that is named."""
    tool = Tool("f", None, {"description": "Pets.", "oneOf": [CAT, DOG]})
    told = gaps()
    sent = adapt(replace(chat(user(Text("Hi.")), tools=(tool,)), model="claude-opus-5"), told).tools[0].parameters
    assert sent == {
        "type": "object",
        "description": f"Pets. (oneOf: {EITHER})",
        "properties": {"kind": KINDS, "lives": TEXT, "bark": TEXT},
        "required": ["kind"],
    }
    assert told.dropped == ["tools[0].function.parameters.oneOf"]


@pytest.mark.parametrize(
    ("schema", "plain"),
    [
        ({"anyOf": [DOG, {"type": "null"}]}, DOG),
        ({"anyOf": [{"$ref": "#/$defs/Dog"}], "$defs": {"Dog": DOG}}, {"$defs": {"Dog": DOG}, **DOG}),
        (
            {"allOf": [{"properties": {"a": TEXT}, "required": ["a"]}, {"properties": {"b": TEXT}, "required": ["b"]}]},
            {"type": "object", "properties": {"a": TEXT, "b": TEXT}, "required": ["a", "b"]},
        ),
        (
            {"type": ["object", "null"], "properties": {"a": TEXT}, "anyOf": [{"additionalProperties": False}]},
            {"type": "object", "properties": {"a": TEXT}, "additionalProperties": False},
        ),
        (
            {"properties": {"a": TEXT}, "allOf": [{"properties": {"a": {"minLength": 1}}}]},
            {"type": "object", "properties": {"a": {"allOf": [TEXT, {"minLength": 1}]}}},
        ),
    ],
)
def test_what_loses_nothing(schema: Json, plain: Json) -> None:
    """One object among the alternatives is the object, and all of several are one that has what each has."""
    assert plain_root(schema) == (plain, [])


def test_what_is_required_in_turn() -> None:
    """Alternatives that only require something leave the properties of the root as they are."""
    schema: Json = {
        "type": "object",
        "properties": {"a": TEXT, "b": TEXT},
        "anyOf": [{"properties": {"a": {"const": "x"}}, "required": ["a"]}, {"required": ["b"]}],
    }
    found = plain_root(schema)
    assert found is not None
    plain, lost = found
    assert (plain["properties"], plain.get("required"), lost) == (schema["properties"], None, ["anyOf"])


@pytest.mark.parametrize(
    "schema",
    [
        {"anyOf": [TEXT, {"type": "null"}]},
        {"anyOf": [{"$ref": "#/$defs/Gone"}]},
        {"anyOf": [{"$ref": "#/$defs/Loop"}], "$defs": {"Loop": {"anyOf": [{"$ref": "#/$defs/Loop"}]}}},
        {"allOf": [DOG, TEXT]},
        {"type": "string", "anyOf": [DOG]},
    ],
)
def test_what_is_no_object(schema: Json) -> None:
    """Without an object among the alternatives there is no root to make of it."""
    assert plain_root(schema) is None
