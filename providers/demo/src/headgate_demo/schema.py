"""The smallest JSON value that a JSON Schema accepts, so that tool calls and structured answers can be shown.

Covers what tool and answer schemas use (JSON Schema 2020-12 without `not`, `if` and dynamic references).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import chain
from typing import Any

from headgate.errors import InvalidRequest, UnsupportedField
from headgate_demo.pattern import text_for

Json = dict[str, Any]

_MOST_VALUES = 2_000
_MOST_TRIES = 64
_LONGEST = 10_000
_DEEP = 6
_DEEPEST = 40
_FORMATS: Mapping[str, str] = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "duration": "PT1S",
    "email": "demo@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_HINTS = {
    "object": ("properties", "required", "additionalProperties", "minProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems"),
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}


def example_of(schema: Json, name: str) -> Any:
    """The smallest value `schema` accepts. `name` says in errors whose schema it is.

    Raises InvalidRequest for what is no schema, UnsupportedField for one the demo cannot meet.
    """
    try:
        return _Examples(schema, name).value(schema)
    except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, RecursionError):
        raise InvalidRequest(f"the schema of `{name}` cannot be read", param=name) from None


class _Examples:
    """Builds one example; counts what it built, so that a small schema cannot ask for a huge value."""

    def __init__(self, root: Json, name: str) -> None:
        self.root = root
        self.name = name
        self.built = 0

    def value(self, schema: Any, depth: int = 0, at: int = 0) -> Any:
        """A value for `schema`; a different one for each `at` where the schema leaves a choice."""
        self.built += 1
        if self.built > _MOST_VALUES or depth > _DEEPEST:
            raise self._too_large()
        if isinstance(schema, bool):
            return {}
        held = self._resolved(schema, depth)
        if "const" in held:
            return held["const"]
        if "enum" in held:
            return held["enum"][at % len(held["enum"])]
        match _type_of(held):
            case "object":
                return self._object(held, depth)
            case "array":
                return self._array(held, depth)
            case "string":
                return self._string(held, at)
            case "integer" | "number" as kind:
                return _number(held, at, is_integer=kind == "integer")
            case "boolean":
                return bool(at % 2)
            case "null":
                return None
            case _:
                return {}

    def _resolved(self, schema: Json, depth: int) -> Json:
        """`schema` with references followed and one branch of each choice merged in."""
        held = dict(schema)
        for _ in range(_DEEPEST):
            if "$ref" in held:
                held = _merged(held, self._target(held.pop("$ref")))
            elif "allOf" in held:
                for part in held.pop("allOf"):
                    held = _merged(held, part)
            elif "anyOf" in held or "oneOf" in held:
                branches = held.pop("anyOf", None) or held.pop("oneOf")
                held = _merged(held, _branch(branches, depth))
            else:
                return held
        raise self._too_large()

    def _target(self, reference: str) -> Json:
        node: Any = self.root
        for key in reference.removeprefix("#").split("/")[1:]:
            node = node[key.replace("~1", "/").replace("~0", "~")]
        return node

    def _object(self, schema: Json, depth: int) -> Json:
        properties: Json = schema.get("properties") or {}
        least = schema.get("minProperties", 0)
        names: list[str] = list(schema.get("required") or ())
        spare = chain((name for name in properties if name not in names), (f"x{at}" for at in range(_MOST_VALUES)))
        names += [next(spare) for _ in range(len(names), min(least, _MOST_VALUES))]
        rest = schema.get("additionalProperties", True)
        return {name: self.value(properties.get(name, rest), depth + 1) for name in names}

    def _array(self, schema: Json, depth: int) -> list[Any]:
        first: list[Any] = schema.get("prefixItems") or []
        least = max(schema.get("minItems", 0), min(len(first), schema.get("maxItems", len(first))))
        if least > _MOST_VALUES:
            raise self._too_large()
        items = schema.get("items", True)
        return [self.value(first[at] if at < len(first) else items, depth + 1, at) for at in range(least)]

    def _string(self, schema: Json, at: int) -> str:
        least, most = schema.get("minLength", 0), schema.get("maxLength", _LONGEST)
        if least > _LONGEST:
            raise self._too_large()
        pattern = schema.get("pattern")
        if pattern is None:
            word = _FORMATS.get(schema.get("format", ""), "text" if at == 0 else f"text{at}")
            return word.ljust(least, "x")[: max(most, 0)]
        return self._patterned(pattern, least, most)

    def _patterned(self, pattern: str, least: int, most: int) -> str:
        self.built += _MOST_TRIES if least else 0
        try:
            texts = (text_for(pattern, extra) for extra in range(min(least, _MOST_TRIES) + 1))
            return next(text for text in texts if least <= len(text) <= most)
        except (ValueError, StopIteration):
            message = f"the demo finds no text for the pattern `{pattern}` of `{self.name}`"
            raise UnsupportedField(message, param=self.name) from None

    def _too_large(self) -> UnsupportedField:
        return UnsupportedField(f"the demo cannot meet the schema of `{self.name}`: it is too large", param=self.name)


def _type_of(schema: Json) -> str:
    kind: str | list[str] | None = schema.get("type")
    if isinstance(kind, list):
        kind = next((item for item in kind if item != "null"), "null")
    return kind or next((name for name, hints in _HINTS.items() if any(hint in schema for hint in hints)), "")


def _merged(schema: Json, other: Json) -> Json:
    merged = {**other, **schema}
    if "properties" in schema and "properties" in other:
        merged["properties"] = {**other["properties"], **schema["properties"]}
    if "required" in schema and "required" in other:
        merged["required"] = list(dict.fromkeys([*other["required"], *schema["required"]]))
    return merged


def _branch(branches: list[Json], depth: int) -> Json:
    """The first branch; deep down one that does not refer elsewhere, so that recursive schemas come to an end."""
    ends = (branch for branch in branches if "$ref" not in branch and branch.get("type") not in {"array", "object"})
    return next(ends, branches[0]) if depth > _DEEP else branches[0]


def _number(schema: Json, at: int, *, is_integer: bool) -> float:
    """The bound nearest to zero, or zero; `at` steps further where there is room."""
    low, is_over = _bound(schema, "minimum", "exclusiveMinimum", -math.inf)
    high, is_under = _bound(schema, "maximum", "exclusiveMaximum", math.inf)
    step = schema.get("multipleOf") or 1
    value: float = 0
    if low > 0 or (low == 0 and is_over):
        value = math.ceil(low / step) * step
        value += step if is_over and value == low else 0
    elif high < 0 or (high == 0 and is_under):
        value = math.floor(high / step) * step
        value -= step if is_under and value == high else 0
    if not (low <= value <= high) or (is_under and value == high) or (is_over and value == low):
        value = (low + high) / 2
    further = value + at * step
    value = further if further < high else value
    return int(value) if is_integer else value


def _bound(schema: Json, name: str, exclusive: str, none: float) -> tuple[float, bool]:
    """A limit and whether it is excluded; `exclusive` is a number today and was a boolean in draft 4."""
    limit, strict = schema.get(name), schema.get(exclusive)
    if isinstance(strict, bool):
        return (none if limit is None else limit), strict
    if strict is None:
        return (none if limit is None else limit), False
    if limit is None:
        return strict, True
    is_tighter = strict >= limit if none < 0 else strict <= limit
    return (strict, True) if is_tighter else (limit, False)
