"""The root of a tool's schema as Claude takes it: an object without a union, which the API refuses there.

The page names what is refused: top-level `oneOf`, `anyOf` and `allOf`
(https://platform.claude.com/docs/en/managed-agents/self-hosted-sandboxes); the API answers "input_schema does not support
oneOf, allOf, or anyOf at the top level" (https://github.com/anthropics/claude-code/issues/5973).
"""

from __future__ import annotations

from functools import reduce
from typing import Any, cast

import msgspec
from msgspec.structs import replace

from headgate.chat import ChatRequest, Tool
from headgate.dialects.anthropic.names import OUTPUT_TOOL
from headgate.dialects.gaps import Gaps

Json = dict[str, Any]

_EITHER = ("anyOf", "oneOf")
_UNIONS = (*_EITHER, "allOf")
_MAX_DEPTH = 8
"""How far unions within unions at the root are followed; deeper ones lead back to themselves."""


def with_plain_roots(request: ChatRequest, gaps: Gaps) -> ChatRequest:
    """The request whose tools have no union at the root of their schema; one that lost something is named."""
    if not any(_has_union(tool) for tool in request.tools):
        return request
    tools: list[Tool] = []
    for at, tool in enumerate(request.tools):
        plain = plain_root(tool.parameters) if tool.parameters and _has_union(tool) else None
        if plain is None:
            tools.append(tool)
            continue
        parameters, lost = plain
        is_answer = tool.name == OUTPUT_TOOL
        place = "response_format.json_schema.schema" if is_answer else f"tools[{at}].function.parameters"
        for name in lost:
            gaps.skip(f"{place}.{name}")
        tools.append(replace(tool, parameters=parameters))
    return replace(request, tools=tuple(tools))


def plain_root(schema: Json) -> tuple[Json, list[str]] | None:
    """The object that a schema with a union at its root describes, and the unions that it does not hold to.

    It has the properties of all alternatives and requires what all of them require, so that nothing which `schema`
    describes is shut out. Which of them go together stands in the description. None if no alternative is an object.
    """
    lost: list[str] = []
    found = _flat(schema, schema, _MAX_DEPTH, lost)
    if found is None:
        return None
    if lost:
        told = ", ".join(f"{name}: {msgspec.json.encode(schema[name]).decode()}" for name in lost)
        found["description"] = f"{found.get('description', '')} ({told})".lstrip()
    return found, lost


def _has_union(tool: Tool) -> bool:
    return tool.parameters is not None and any(isinstance(tool.parameters.get(name), list) for name in _UNIONS)


def _flat(schema: Json, root: Json, depth: int, lost: list[str]) -> Json | None:
    """`schema` without unions at its own root, None where it is no object. `lost` are those of it that said more."""
    kind: object = schema.get("type", "object")
    if depth == 0 or (kind != "object" and not (isinstance(kind, list) and "object" in kind)):
        return None
    flat = {name: value for name, value in schema.items() if name not in _UNIONS} | {"type": "object"}
    for name in _UNIONS:
        held: object = schema.get(name)
        if not isinstance(held, list):
            continue
        inner: list[str] = []
        branches = [
            _flat(_resolved(cast("Json", branch), root), root, depth - 1, inner)
            for branch in cast("list[object]", held)
            if isinstance(branch, dict)
        ]
        objects = [branch for branch in branches if branch is not None]
        if not objects or (name == "allOf" and len(objects) < len(branches)):
            return None
        more = reduce(_both if name == "allOf" else _either, objects)
        known = _properties(flat)
        more["properties"] = {
            key: value
            for key, value in more["properties"].items()
            if name == "allOf" or key not in known or all(key in _properties(branch) for branch in objects)
        }
        flat = _both(flat, more)
        if inner or (name in _EITHER and len(objects) > 1):
            lost.append(name)
    flat.setdefault("properties", {})
    return flat


def _resolved(held: Json, root: Json) -> Json:
    """An alternative with what it refers to in the schema's own definitions."""
    reference: object = held.get("$ref")
    if not isinstance(reference, str):
        return held
    target = root
    for name in reference.removeprefix("#/").split("/"):
        found: object = target.get(name)
        target = cast("Json", found) if isinstance(found, dict) else {"type": "unknown"}
    return {**target, **{name: value for name, value in held.items() if name != "$ref"}}


def _either(one: Json, other: Json) -> Json:
    """What fits the one or the other: the properties of both, and what both require."""
    mine, yours = _properties(one), _properties(other)
    shared = {name: _any_of(mine[name], yours[name]) for name in mine if name in yours}
    required = [name for name in _required(one) if name in _required(other)]
    is_closed = one.get("additionalProperties") is False and other.get("additionalProperties") is False
    return _object({**mine, **yours, **shared}, required, is_closed=is_closed)


def _both(one: Json, other: Json) -> Json:
    """What fits the one and the other. Beside properties and what is required, the members of the first stay."""
    mine, yours = _properties(one), _properties(other)
    shared = {
        name: mine[name] if mine[name] == yours[name] else {"allOf": [mine[name], yours[name]]}
        for name in mine
        if name in yours
    }
    required = list(dict.fromkeys([*_required(one), *_required(other)]))
    is_closed = other.get("additionalProperties") is False
    rest = {name: value for name, value in other.items() if name != "additionalProperties"}
    return {**rest, **one, **_object({**mine, **yours, **shared}, required, is_closed=is_closed)}


def _object(properties: Json, required: list[object], *, is_closed: bool) -> Json:
    needed = {"required": required} if required else {}
    closed = {"additionalProperties": False} if is_closed else {}
    return {"type": "object", "properties": properties, **needed, **closed}


def _any_of(one: object, other: object) -> object:
    """A schema for the values of both."""
    if one == other:
        return one
    choices = [*_alternatives(one), *(held for held in _alternatives(other) if held not in _alternatives(one))]
    return {"anyOf": choices}


def _alternatives(schema: object) -> list[object]:
    held = cast("Json", schema) if isinstance(schema, dict) else {}
    return cast("list[object]", held["anyOf"]) if held.keys() == {"anyOf"} else [schema]


def _properties(schema: Json) -> Json:
    held: object = schema.get("properties")
    return cast("Json", held) if isinstance(held, dict) else {}


def _required(schema: Json) -> list[object]:
    held: object = schema.get("required")
    return cast("list[object]", held) if isinstance(held, list) else []
