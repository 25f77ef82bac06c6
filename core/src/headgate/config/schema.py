"""The JSON Schema of `headgate.yaml`, for editors: core settings, and those of every installed plugin and provider."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from headgate.config.installed import Installed
from headgate.config.model import Config
from headgate.errors import StartupError
from headgate.secret import Secret


def config_schema(installed: Installed) -> dict[str, Any]:
    """A draft 2020-12 schema. What cannot be imported is left open rather than refused."""
    plugins = _configs(installed.plugins(), lambda name: installed.plugin(name)[0].Config)
    providers = _configs(installed.providers(), lambda name: getattr(installed.provider(name), "Config", None))
    kinds = list(dict.fromkeys([Config, *plugins.values(), *providers.values()]))
    schemas, components = msgspec.json.schema_components(kinds, schema_hook=_hook, ref_template="#/$defs/{name}")
    by_kind = dict(zip(kinds, schemas, strict=True))
    root: dict[str, Any] = components[by_kind[Config]["$ref"].removeprefix("#/$defs/")]
    members = {
        **root["properties"],
        "plugins": _plugins(installed.plugins(), {name: by_kind[kind] for name, kind in plugins.items()}),
        "providers": _providers({name: by_kind[kind] for name, kind in providers.items()}),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **root,
        "title": "headgate.yaml",
        "properties": members,
        "$defs": components,
    }


def _plugins(installed: Iterable[str], settings: Mapping[str, Any]) -> dict[str, Any]:
    """A list of names, and of names with their settings."""
    named = [
        {"type": "object", "properties": {name: schema}, "required": [name], "additionalProperties": False}
        for name, schema in settings.items()
    ]
    name_alone = {"type": "string", "examples": list(installed)}
    return {"type": "array", "items": {"anyOf": [name_alone, *named, {"type": "object"}]}}


def _providers(deployments: Mapping[str, Any]) -> dict[str, Any]:
    """Deployments by name, each with the fields of the provider it names."""
    rules = [
        {"if": {"properties": {"provider": {"const": name}}}, "then": schema} for name, schema in deployments.items()
    ]
    deployment = {
        "type": "object",
        "properties": {"provider": {"type": "string", "examples": list(deployments)}},
        "required": ["provider"],
        "allOf": rules,
    }
    return {"type": "object", "additionalProperties": deployment}


def _configs(names: Iterable[str], read: Callable[[str], Any]) -> dict[str, Any]:
    """The settings of those that can be imported and have some."""
    found: dict[str, Any] = {}
    for name in names:
        with contextlib.suppress(StartupError):
            kind = read(name)
            if kind is not None:
                found[name] = kind
    return found


def _hook(kind: type[Any]) -> dict[str, Any]:
    if kind is Secret:
        return {"type": "string", "description": "a secret: `env:NAME`, `file:PATH`, or the value itself"}
    raise TypeError(f"`{kind.__name__}` has no JSON Schema")
