"""Starting without a file: what the environment alone switches on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from core.tests.loading import (
    FOLDER,
    KEY,
    KINDS,
    Demo,
    Point,
    Vendor,
)
from typing_extensions import override

from headgate.config import Installed, load_zero
from headgate.config.installed import PLUGINS, PROVIDERS
from headgate.provider import Provider
from headgate.secret import Secret


class Zero(Installed):
    """Installed packages of which any may be switched on."""

    kinds: ClassVar[list[type[Provider]]] = [Demo, Vendor]

    def __init__(self, *more: type[Provider]) -> None:
        super().__init__(
            [
                *(Point(name, PLUGINS, kind) for name, kind in KINDS.items()),
                *(Point(kind.name, PROVIDERS, kind) for kind in (*self.kinds, *more)),
            ]
        )


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.delenv("VENDOR_API_KEY", raising=False)
    monkeypatch.delenv("OTHER_API_KEY", raising=False)
    return monkeypatch


class Other(Provider):
    name = "other"
    base_url = "https://other.example.com"
    key_env = "OTHER_API_KEY"


def test_without_a_file_there_is_the_demo(environment: pytest.MonkeyPatch) -> None:
    """Nothing configured and no variables: plugins, the demo provider and the model `fast`."""
    held = load_zero(FOLDER, Zero())
    assert [entry.name for entry in held.plugins] == ["keys", "responses", "cache-memory", "router-standard"]
    assert list(held.deployments) == ["demo"]
    assert held.config.models == {"fast": "demo/echo"}
    assert held.path is None


def test_a_variable_switches_a_provider_on(environment: pytest.MonkeyPatch) -> None:
    """Its key is the variable's; being the only real one, it takes every other model."""
    environment.setenv("VENDOR_API_KEY", KEY)
    held = load_zero(FOLDER, Zero())
    assert held.deployments["vendor"].api_key == Secret(KEY)
    assert held.config.models == {"fast": "demo/echo", "*": "vendor"}
    assert KEY not in repr(held)


def test_two_providers_are_named_with_their_models(environment: pytest.MonkeyPatch) -> None:
    """With two real ones nobody can tell which is meant, so the deployment must be named."""
    environment.setenv("VENDOR_API_KEY", KEY)
    environment.setenv("OTHER_API_KEY", KEY)
    held = load_zero(FOLDER, Zero(Other))
    assert sorted(held.deployments) == ["demo", "other", "vendor"]
    assert "*" not in held.config.models


def test_an_empty_variable_switches_nothing_on(environment: pytest.MonkeyPatch) -> None:
    """As a compose file with an unset variable leaves it."""
    environment.setenv("VENDOR_API_KEY", "")
    assert list(load_zero(FOLDER, Zero()).deployments) == ["demo"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:11434/v1", "http://x/{a},b#c", "a: b", "", "@x", "%x", "yes"])
def test_any_value_of_the_environment_is_taken_as_it_is(environment: pytest.MonkeyPatch, url: str) -> None:
    """What a provider finds in the environment reaches its settings unchanged, whatever signs it holds."""

    class Found(Provider):
        name = "found"
        is_keyless = True

        @override
        @classmethod
        def from_environment(cls) -> Mapping[str, Any] | None:
            return {"provider": "found", "base_url": url, "models": ["a", "b: c"]}

    held = load_zero(FOLDER, Zero(Found)).deployments["found"]
    assert (held.base_url, held.models) == (url, ["a", "b: c"])
