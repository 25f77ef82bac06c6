"""JSON Schema and Google's own Schema object: from one to the other, and JSON Schema as Gemini reads it.

`parametersJsonSchema` and `responseJsonSchema` take JSON Schema of a subset of keywords; `parameters` and `responseSchema`
take the Schema object, which refuses every keyword it does not know.
Source: https://ai.google.dev/api/caching#Schema and https://ai.google.dev/gemini-api/docs/structured-output
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from headgate.dialects.openai.members import Json

_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLES = ("items", "additionalProperties", "not", "contains", "propertyNames", "if", "then", "else")
_ANNOTATIONS = frozenset({"$schema", "$id", "$comment", "examples", "readOnly", "writeOnly", "deprecated"})
"""Keywords that constrain nothing."""
_KEPT = frozenset(
    {
        "title",
        "description",
        "format",
        "default",
        "minItems",
        "maxItems",
        "minProperties",
        "maxProperties",
        "minLength",
        "maxLength",
        "pattern",
        "minimum",
        "maximum",
        "required",
        "propertyOrdering",
    }
)
"""Keywords that the Schema object has as they are."""
_COUNTS = ("minItems", "maxItems", "minProperties", "maxProperties", "minLength", "maxLength")
_READ = (
    _KEPT | _ANNOTATIONS | {"type", "properties", "items", "enum", "const", "anyOf", "oneOf", "$defs", "definitions"}
)
_MAX_NODES = 5000


def sent_schema(schema: Mapping[str, Any]) -> Json:
    """JSON Schema in the keywords that Gemini documents, wherever another way of saying the same exists.

    `const` becomes an `enum` of one, `allOf` of one an `anyOf` of one, a `$ref` with siblings likewise (Gemini takes none),
    `definitions` become `$defs`. Other keywords stay as they are.
    """
    held = dict(schema)
    if "definitions" in held and "$defs" not in held:
        held["$defs"] = held.pop("definitions")
    return _mapped(held, _sent)


def _sent(schema: Json) -> Json:
    if isinstance(schema.get("$ref"), str):
        schema["$ref"] = schema["$ref"].replace("#/definitions/", "#/$defs/")
    if "const" in schema and "enum" not in schema:
        schema["enum"] = [schema.pop("const")]
    whole = schema.get("allOf")
    if isinstance(whole, list) and len(cast("list[Any]", whole)) == 1 and "anyOf" not in schema:
        schema["anyOf"] = schema.pop("allOf")
    if "$ref" in schema and any(not name.startswith("$") for name in schema) and "anyOf" not in schema:
        schema["anyOf"] = [{"$ref": schema.pop("$ref")}]
    return schema


def _mapped(schema: Any, change: Callable[[Json], Json]) -> Any:
    """A copy of a schema with `change` made to it and to every schema in it, the innermost first."""
    if not isinstance(schema, dict):
        return {} if schema is True else schema
    held: Json = dict(cast("Json", schema))
    for name in _MAPS:
        if isinstance(held.get(name), dict):
            held[name] = {key: _mapped(item, change) for key, item in held[name].items()}
    for name in _LISTS:
        if isinstance(held.get(name), list):
            held[name] = [_mapped(item, change) for item in held[name]]
    for name in _SINGLES:
        value = held.get(name)
        if isinstance(value, list):
            held[name] = [_mapped(item, change) for item in cast("list[Any]", value)]
        elif isinstance(value, dict):
            held[name] = _mapped(value, change)
    return change(held)


_NUMBERED = ("type_unspecified", "string", "number", "integer", "boolean", "array", "object", "null")
"""Types by their number in `google.cloud.aiplatform.v1.Type`, as the Python library for Vertex writes them as JSON."""


def plain_schema(schema: Any) -> Any:
    """A Schema object as JSON Schema: types in small letters, `nullable` as a type, counts as numbers, properties in order."""
    if not isinstance(schema, dict):
        return schema
    names = {
        "any_of": "anyOf",
        "property_ordering": "propertyOrdering",
        "additional_properties": "additionalProperties",
    }
    names |= {"ref": "$ref", "defs": "$defs"} | {_snake(name): name for name in _COUNTS}
    held: Json = {names.get(name, name): value for name, value in cast("Json", schema).items()}
    for name in ("properties", "$defs"):
        if isinstance(held.get(name), dict):
            held[name] = {key: plain_schema(item) for key, item in held[name].items()}
    for name in ("items", "additionalProperties"):
        if isinstance(held.get(name), dict):
            held[name] = plain_schema(held[name])
    if isinstance(held.get("anyOf"), list):
        held["anyOf"] = [plain_schema(item) for item in held["anyOf"]]
    for name in _COUNTS:
        if isinstance(held.get(name), str) and held[name].isdigit():
            held[name] = int(held[name])
    if isinstance(held.get("$ref"), str):
        held["$ref"] = held["$ref"].replace("#/defs/", "#/$defs/")
    if "example" in held:
        held["examples"] = [held.pop("example")]
    _plain_type(held)
    order = held.pop("propertyOrdering", None)
    if isinstance(order, list) and isinstance(held.get("properties"), dict):
        properties: Json = held["properties"]
        listed = [name for name in cast("list[Any]", order) if isinstance(name, str) and name in properties]
        held["properties"] = {name: properties[name] for name in dict.fromkeys([*listed, *properties])}
    return held


def _plain_type(held: Json) -> None:
    kind, is_nullable = held.get("type"), held.pop("nullable", None)
    if isinstance(kind, int) and 0 <= kind < len(_NUMBERED):
        kind = _NUMBERED[kind]
    if isinstance(kind, str):
        kind = held["type"] = kind.lower()
        if kind == "type_unspecified":
            kind = held.pop("type", None)
    if is_nullable is True:
        if isinstance(kind, str) and kind != "null":
            held["type"] = [kind, "null"]
            if isinstance(held.get("enum"), list) and None not in held["enum"]:
                held["enum"] = [*held["enum"], None]
        elif isinstance(held.get("anyOf"), list):
            held["anyOf"] = [*held["anyOf"], {"type": "null"}]


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def reduced_schema(schema: Mapping[str, Any], lost: list[str]) -> Json:
    """JSON Schema as a Schema object, for models that know nothing else. Constraints it cannot say are named in `lost`.

    References are put in place; one that leads back to itself ends in an object of any shape.
    """
    return _Reducer(dict(schema), lost).reduce(dict(schema))


class _Reducer:
    def __init__(self, root: Json, lost: list[str]) -> None:
        self._root = root
        self._lost = lost
        self._left = _MAX_NODES

    def reduce(self, schema: Any, seen: tuple[str, ...] = ()) -> Json:
        self._left -= 1
        if not isinstance(schema, dict) or self._left < 0:
            return (
                {"type": "OBJECT"}
                if schema is True
                else self._drop("false" if schema is False else "$ref", {"type": "OBJECT"})
            )
        held, seen = self._resolved(dict(cast("Json", schema)), seen)
        made: Json = {name: held[name] for name in held if name in _KEPT}
        self._put_type(made, held, seen)
        if isinstance(held.get("properties"), dict):
            made["properties"] = {name: self.reduce(item, seen) for name, item in held["properties"].items()}
        if isinstance(held.get("items"), dict):
            made["items"] = self.reduce(held["items"], seen)
        elif made.get("type") == "ARRAY":
            made["items"] = self._drop("items", {"type": "STRING"}) if "items" in held else {"type": "STRING"}
        self._put_enum(made, held)
        for name in held:
            if name not in _READ and not (name == "additionalProperties" and isinstance(held[name], bool)):
                self._drop(name, None)
        return made

    def _resolved(self, held: Json, seen: tuple[str, ...]) -> tuple[Json, tuple[str, ...]]:
        """The schema with its references and its `allOf` put into it, and the references that are being put in."""
        while "$ref" in held or held.get("allOf"):
            target, parts = held.pop("$ref", None), _list(held.pop("allOf", None))
            if target is not None:
                found = self._find(str(target)) if str(target) not in seen else None
                parts.append(self._drop("$ref", {"type": "object"}) if found is None else found)
                seen = (*seen, str(target))
            for part in parts:
                _merge(held, cast("Json", part if isinstance(part, dict) else {}))
        return held, seen

    def _find(self, target: str) -> Json | None:
        node: Any = self._root
        for step in target.removeprefix("#").strip("/").split("/"):
            key = step.replace("~1", "/").replace("~0", "~")
            node = cast("Json", node).get(key) if isinstance(node, dict) else None
        return cast("Json", node) if isinstance(node, dict) else None

    def _put_type(self, made: Json, held: Json, seen: tuple[str, ...]) -> None:
        kinds: Any = held.get("type")
        listed: list[Any] = cast("list[Any]", kinds) if isinstance(kinds, list) else [kinds] if kinds else []
        options: list[Any] = [*_list(held.get("anyOf")), *_list(held.get("oneOf"))]
        plain = [option for option in options if option != {"type": "null"}]
        if "null" in listed or len(plain) < len(options):
            made["nullable"] = True
        named = [str(kind).upper() for kind in listed if kind != "null"]
        if len(named) == 1:
            made["type"] = named[0]
        elif named:
            made["anyOf"] = [{"type": name} for name in named]
        if len(plain) == 1:
            only = self.reduce(plain[0], seen)
            made.update({name: value for name, value in only.items() if name not in made})
        elif plain:
            made["anyOf"] = [self.reduce(option, seen) for option in plain]
        if "type" not in made and "anyOf" not in made:
            made["type"] = _type_of(held)

    def _put_enum(self, made: Json, held: Json) -> None:
        values: list[Any] = _list(held.get("enum")) or ([held["const"]] if "const" in held else [])
        values = [value for value in values if value is not None]
        if values and all(isinstance(value, str) for value in values):
            made["enum"] = values
        elif values:
            self._drop("enum", None)

    def _drop(self, name: str, instead: Any) -> Any:
        if name not in self._lost:
            self._lost.append(name)
        return instead


def _type_of(held: Json) -> str:
    """The type that a schema without one has by its values; an object where it says nothing."""
    values: list[Any] = _list(held.get("enum")) or ([held["const"]] if "const" in held else [])
    kinds: set[type[Any]] = {type(value) for value in values if value is not None}
    if not kinds:
        return "OBJECT"
    if kinds <= {int, float}:
        return "INTEGER" if kinds == {int} else "NUMBER"
    return "BOOLEAN" if kinds == {bool} else "STRING"


def _merge(held: Json, more: Json) -> None:
    """Put the keywords of `more` beside those of `held`, which win where both say something."""
    for name, value in more.items():
        mine = held.get(name)
        if isinstance(mine, dict) and isinstance(value, dict):
            held[name] = {**value, **mine}
        elif name in {"required", "allOf"} and isinstance(mine, list) and isinstance(value, list):
            held[name] = [*mine, *(item for item in cast("list[Any]", value) if item not in mine)]
        else:
            held.setdefault(name, value)


def _list(value: object) -> list[Any]:
    return [*cast("list[Any]", value)] if isinstance(value, list) else []
