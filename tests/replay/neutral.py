"""A question that asks for nothing but an answer, in the words of every client; its tools are those of a recording.

The tools are read back from the vendor's recorded request, or made up from the calls of its answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.replay.corpus import Recording
from tests.replay.reading import Json, Reading, each, members, objects

TEXT = "What do you say?"


@dataclass(frozen=True)
class Function:
    """A tool as a JSON Schema describes it."""

    name: str
    description: str
    schema: Json


@dataclass(frozen=True)
class Question:
    """What is asked of `model`."""

    model: str
    stream: bool
    functions: tuple[Function, ...] = ()


def functions_of(recording: Recording, truth: Reading) -> tuple[Function, ...]:
    """The tools that the recorded answer may call."""
    known = {each.name: each for each in _functions(recording.request or {})}
    for answer in truth.answers:
        for call in answer.calls:
            if not call.is_custom:
                known.setdefault(call.name, Function(call.name, "made up", {"type": "object", "properties": {}}))
    return tuple(known.values())


def _functions(request: Json) -> Iterator[Function]:
    held = request.get("tools") or members(request.get("toolConfig")).get("tools")
    for tool in objects(held):
        for declared in objects(tool.get("functionDeclarations") or tool.get("function_declarations")):
            yield _function(declared)
        if "toolSpec" in tool:
            spec = members(tool["toolSpec"])
            schema = members(members(spec.get("inputSchema")).get("json"))
            yield _function({**spec, "parameters": schema})
        elif "function" in tool:
            yield _function(members(tool["function"]))
        elif tool.get("type", "function") in {"function", "custom"} and "name" in tool:
            yield _function(tool)


def _function(said: Json) -> Function:
    names = ("parameters", "input_schema", "parametersJsonSchema", "parameters_json_schema")
    schema = next((members(said[name]) for name in names if said.get(name)), Json())
    plain = plain_schema(schema)
    return Function(
        str(said["name"]), str(said.get("description") or ""), {"type": "object", "properties": {}, **plain}
    )


def plain_schema(schema: Any) -> Any:
    """Gemini's schema as JSON Schema: types in small letters, `nullable` as a type."""
    if isinstance(schema, list):
        return [plain_schema(item) for item in each(schema)]
    if not isinstance(schema, dict):
        return schema
    held = {name: plain_schema(value) for name, value in members(schema).items() if name not in {"nullable", "type_"}}
    kind = held.get("type")
    if isinstance(kind, str):
        held["type"] = kind.lower()
        if members(schema).get("nullable") is True:
            held["type"] = [kind.lower(), "null"]
    return held
