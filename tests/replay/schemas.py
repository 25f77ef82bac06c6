"""JSON Schemas compared by what they demand: written inline, in one form, keyword by keyword."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.replay.reading import Json, each, members

IGNORED = frozenset({"title", "$schema", "$id", "examples", "$comment", "definitions", "$defs", "propertyOrdering"})
"""Keywords that demand nothing of an instance."""
HINTS: dict[str, frozenset[str]] = {
    "google.generate": frozenset({"additionalProperties", "default", "strict"}),
    "ollama.chat": frozenset(),
}
"""Keywords that a vendor's own dialect of schemas has no place for, where bodies do not hold plain JSON Schema."""


def lost(wanted: Json, seen: Json, *, without: frozenset[str] = frozenset()) -> list[str]:
    """The keywords of `wanted` that `seen` does not have, with their place."""
    return list(_lost(_canonical(wanted, wanted, 0), _canonical(seen, seen, 0), "", without))


def _lost(wanted: Any, seen: Any, place: str, without: frozenset[str]) -> Iterator[str]:
    if isinstance(wanted, dict):
        theirs = members(seen)
        for name, value in members(wanted).items():
            if name in without and not place.endswith("properties"):
                continue
            if name not in theirs:
                if value not in ({}, [], None):
                    yield f"{place}.{name}"
            else:
                yield from _lost(value, theirs[name], f"{place}.{name}", without)
    elif isinstance(wanted, list):
        ours, theirs = each(wanted), each(seen)
        if len(ours) != len(theirs):
            yield f"{place}: {len(theirs)} instead of {len(ours)} entries"
        for at, (left, right) in enumerate(zip(ours, theirs, strict=False)):
            yield from _lost(left, right, f"{place}[{at}]", without)
    elif wanted != seen:
        yield f"{place}: {json.dumps(seen, default=str)[:60]} instead of {json.dumps(wanted, default=str)[:60]}"


def _canonical(schema: Any, root: Json, depth: int, *, is_names: bool = False) -> Any:
    """References put in, `null` as a mark, `const` as the only entry of `enum`; orders that mean nothing sorted."""
    if isinstance(schema, list):
        return [_canonical(item, root, depth) for item in each(schema)]
    if not isinstance(schema, dict):
        return schema
    held = members(schema)
    if not is_names:
        held = _in_one_form(_resolved(held, root, depth))
    made: Json = {}
    for name, value in held.items():
        if is_names or name not in IGNORED:
            inner = depth + 1 if depth < 24 else depth
            made[name] = (
                value if depth > 24 else _canonical(value, root, inner, is_names=name == "properties" and not is_names)
            )
    if not is_names:
        for name in ("required", "enum"):
            if isinstance(made.get(name), list):
                made[name] = sorted(made[name], key=str)
    return made


def _resolved(held: Json, root: Json, depth: int) -> Json:
    reference = held.get("$ref")
    if not isinstance(reference, str) or not reference.startswith("#/") or depth > 8:
        return held
    found: Any = root
    for step in reference[2:].split("/"):
        found = members(found).get(step, {})
    return {**members(found), **{name: value for name, value in held.items() if name != "$ref"}}


def _in_one_form(held: Json) -> Json:
    made = dict(held)
    kind = made.get("type")
    if isinstance(kind, list):
        kinds = [str(each_kind) for each_kind in each(kind)]
        if "null" in kinds:
            made["nullable"] = True
        rest = [one for one in kinds if one != "null"]
        made["type"] = rest[0] if len(rest) == 1 else rest
    for name in ("anyOf", "oneOf"):
        options = [members(option) for option in each(made.get(name))]
        rest = [option for option in options if option.get("type") != "null"]
        if len(rest) < len(options):
            made["nullable"] = True
            if len(rest) == 1:
                made = {**rest[0], **{key: value for key, value in made.items() if key != name}}
            else:
                made[name] = rest
    if len(each(made.get("allOf"))) == 1:
        only = members(each(made["allOf"])[0])
        made = {**only, **{key: value for key, value in made.items() if key != "allOf"}}
    if "const" in made:
        made["enum"] = [made.pop("const")]
    made.pop("nullable", None) if made.get("nullable") is False else None
    return made
