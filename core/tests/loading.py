"""What tests of loading a configuration load: a plugin and a provider of every kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from typing_extensions import override

from headgate.config import Installed, Loaded, load_text
from headgate.config.installed import PLUGINS, PROVIDERS
from headgate.errors import StartupError
from headgate.hooks import Hooks, hookimpl
from headgate.provider import DeploymentConfig, Provider
from headgate.secret import Secret

KEY = "sk-canary-31c9"
FOLDER = Path("/nonexistent")


class Plain(Hooks):
    pass


class Guard(Hooks):
    class Config(Struct, frozen=True, forbid_unknown_fields=True):
        """Settings of every kind."""

        words: list[str] = []
        token: Secret | None = None
        limit: int = 5

    def __init__(self, config: Config) -> None:
        if config.limit < 0:
            raise ValueError("`limit` is below 0")
        self.config = config


class Needy(Hooks):
    class Config(Struct, frozen=True, forbid_unknown_fields=True):
        """One setting that has no default."""

        path: str

    def __init__(self, config: Config) -> None:
        self.config = config


class Vendor(Provider):
    name = "vendor"
    base_url = "https://api.example.com/v1"
    key_env = "VENDOR_API_KEY"


class Local(Provider):
    name = "local"
    is_keyless = True

    class Config(DeploymentConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
        """One setting more than every deployment has."""

        size: int = 1

    @override
    @classmethod
    def from_environment(cls) -> Mapping[str, Any] | None:
        return None


class Demo(Provider):
    name = "demo"
    is_keyless = True


class Brought(Provider):
    name = "brought"
    is_keyless = True


class Bringer(Hooks):
    @override
    @hookimpl
    def providers(self) -> Iterable[type[Provider]]:
        return [Brought]


class Breaker(Hooks):
    @override
    @hookimpl
    def providers(self) -> Iterable[type[Provider]]:
        raise RuntimeError("broken")


class Point(EntryPoint):
    """An entry point that loads what it is given, or raises it."""

    def __init__(self, name: str, group: str, found: Any) -> None:
        super().__init__(name, f"sample:{name}", group)
        vars(self)["found"] = found

    @override
    def load(self) -> Any:
        found = vars(self)["found"]
        if isinstance(found, Exception):
            raise found
        return found


KINDS: dict[str, type[Hooks]] = {
    "keys": Plain,
    "cache-memory": Plain,
    "responses": Plain,
    "router-standard": Plain,
    "plain": Plain,
    "guard": Guard,
    "needy": Needy,
    "bringer": Bringer,
    "breaker": Breaker,
}
INSTALLED = Installed(
    [
        *(Point(name, PLUGINS, kind) for name, kind in KINDS.items()),
        *(Point(kind.name, PROVIDERS, kind) for kind in (Vendor, Local, Demo)),
    ]
)


def load(text: str, folder: Path = FOLDER) -> Loaded:
    return load_text(text, "f.yaml", folder, INSTALLED)


def problems(text: str) -> list[str]:
    with pytest.raises(StartupError) as caught:
        load(text)
    return [str(problem) for problem in caught.value.problems]
