"""The JSON Schema of the configuration: complete, and true for what the loader takes."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from core.tests.loading import Point
from msgspec import Struct

from headgate.config import Config, Installed
from headgate.config.installed import PLUGINS, PROVIDERS
from headgate.config.schema import config_schema
from headgate.hooks import Hooks
from headgate.provider import DeploymentConfig, Provider
from headgate.secret import Secret

Json = dict[str, Any]


class Plain(Hooks):
    pass


class Guard(Hooks):
    class Config(Struct, frozen=True, forbid_unknown_fields=True):
        """What a guard may be told."""

        words: list[str]
        token: Secret | None = None


class Other(Hooks):
    class Config(Struct, frozen=True, forbid_unknown_fields=True):
        """Of the same name as the other's."""

        size: int = 1


class Vendor(Provider):
    name = "vendor"

    class Config(DeploymentConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
        """A deployment's settings and one more."""

        region: str = "eu"


@pytest.fixture
def schema() -> Json:
    return config_schema(
        Installed(
            [
                Point("plain", PLUGINS, Plain),
                Point("guard", PLUGINS, Guard),
                Point("other", PLUGINS, Other),
                Point("broken", PLUGINS, ImportError("x")),
                Point("vendor", PROVIDERS, Vendor),
                Point("simple", PROVIDERS, type("Simple", (Provider,), {"name": "simple"})),
                Point("broken", PROVIDERS, ImportError("x")),
            ]
        )
    )


def resolved(schema: Json, held: Json) -> Json:
    reference = held.get("$ref")
    return schema["$defs"][reference.removeprefix("#/$defs/")] if reference else held


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        held = cast("Json", value)
        own = {str(held["$ref"])} if "$ref" in held else set[str]()
        return own.union(*map(references, held.values()))
    return set[str]().union(*map(references, cast("list[Any]", value))) if isinstance(value, list) else set()


def test_every_section_is_there(schema: Json) -> None:
    """The sections are those of the Struct, and nothing else is allowed."""
    assert set(schema["properties"]) == set(Config.__struct_fields__)
    assert schema["additionalProperties"] is False
    assert schema["type"] == "object"
    assert resolved(schema, schema["properties"]["server"])["additionalProperties"] is False


def test_every_reference_has_its_definition(schema: Json) -> None:
    """No editor stumbles over a dangling reference."""
    found = references(schema)
    assert {name.removeprefix("#/$defs/") for name in found} <= set(schema["$defs"])
    json.dumps(schema)


def test_plugins_offer_their_settings(schema: Json) -> None:
    """Each installed plugin's own settings, even where several classes are called `Config`."""
    items = schema["properties"]["plugins"]["items"]["anyOf"]
    held = {name: resolved(schema, kind) for item in items for name, kind in item.get("properties", {}).items()}
    assert set(held) == {"guard", "other"}
    assert set(held["guard"]["properties"]) == {"words", "token"}
    assert held["guard"]["required"] == ["words"]
    assert set(held["other"]["properties"]) == {"size"}
    assert items[0]["examples"] == ["broken", "guard", "other", "plain"]


def test_deployments_depend_on_their_provider(schema: Json) -> None:
    """A provider's own fields are known where it is named."""
    held = schema["properties"]["providers"]["additionalProperties"]
    kinds = {rule["if"]["properties"]["provider"]["const"]: resolved(schema, rule["then"]) for rule in held["allOf"]}
    assert set(kinds) == {"vendor", "simple"}
    assert "region" in kinds["vendor"]["properties"]
    assert "region" not in kinds["simple"]["properties"]
    assert held["required"] == ["provider"]


def test_secrets_are_strings_that_say_how(schema: Json) -> None:
    """An editor shows what a secret may look like."""
    items = schema["properties"]["plugins"]["items"]["anyOf"]
    guard = next(item["properties"]["guard"] for item in items if "guard" in item.get("properties", {}))
    assert "env:NAME" in json.dumps(resolved(schema, guard)["properties"]["token"])


def test_what_is_really_installed_has_a_schema() -> None:
    """The environment's own plugins and providers."""
    assert config_schema(Installed())["title"] == "headgate.yaml"
