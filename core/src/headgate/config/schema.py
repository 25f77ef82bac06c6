"""The JSON Schema of `headgate.yaml`, for editors: core settings, and those of every installed plugin and provider."""

from __future__ import annotations

from typing import Any

import msgspec

from headgate.config.installed import Installed
from headgate.config.model import Config
from headgate.errors import StartupError
from headgate.secret import Secret


def config_schema(installed: Installed) -> dict[str, Any]:
    """A draft 2020-12 schema. What cannot be imported is left open rather than refused."""
    kinds: list[Any] = [Config]
    plugins: dict[str, Any] = {}
    providers: dict[str, Any] = {}
    for name in installed.plugins():
        found = _config_of(lambda name=name: installed.plugin(name)[0].Config)
        if found is not None:
            plugins[name] = found
            kinds.append(found)
    for name in installed.providers():
        found = _config_of(lambda name=name: getattr(installed.provider(name), "Config", None))
        if found is not None:
            providers[name] = found
            kinds.append(found)
    schemas, components = msgspec.json.schema_components(
        list(dict.fromkeys(kinds)), schema_hook=_hook, ref_template="#/$defs/{name}"
    )
    by_kind = dict(zip(dict.fromkeys(kinds), schemas, strict=True))
    root: dict[str, Any] = dict(components["Config"])
    members: dict[str, Any] = dict(root["properties"])
    settings = [
        {"type": "object", "properties": {name: by_kind[kind]}, "required": [name], "additionalProperties": False}
        for name, kind in plugins.items()
    ]
    members["plugins"] = {
        "type": "array",
        "items": {"anyOf": [{"type": "string", "examples": list(installed.plugins())}, *settings, {"type": "object"}]},
    }
    members["providers"] = {
        "type": "object",
        "additionalProperties": {
            "type": "object",
            "properties": {"provider": {"type": "string", "examples": list(providers)}},
            "required": ["provider"],
            "allOf": [
                {"if": {"properties": {"provider": {"const": name}}}, "then": by_kind[kind]}
                for name, kind in providers.items()
            ],
        },
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "headgate.yaml",
        **root,
        "properties": members,
        "$defs": components,
    }


def _config_of(read: Any) -> Any:
    try:
        return read()
    except StartupError:
        return None


def _hook(kind: type[Any]) -> dict[str, Any]:
    if kind is Secret:
        return {"type": "string", "description": "a secret: `env:NAME`, `file:PATH`, or the value itself"}
    raise TypeError(f"`{kind.__name__}` has no JSON Schema")
