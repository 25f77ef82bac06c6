"""From a file, or from no file at all, to everything a plan is compiled from. Every problem is found before one is told."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from msgspec import Struct

from headgate.config.document import Document, Path_, read_document
from headgate.config.installed import Installed, distribution_of
from headgate.config.model import Config
from headgate.errors import Problem, StartupError
from headgate.hooks import Hooks
from headgate.operations import OPERATIONS
from headgate.provider import DeploymentConfig, Provider
from headgate.suggest import did_you_mean

ZERO_SOURCE = "defaults"
_ZERO = """\
plugins: [keys, cache-memory, router-standard]
providers:
  demo: {provider: demo}
"""


class PluginEntry(Struct, frozen=True):
    """An enabled plugin: its class, its decoded settings, and the distribution it comes from."""

    name: str
    kind: type[Hooks]
    settings: Struct | None
    distribution: str
    version: str

    def create(self) -> Hooks:
        """A fresh instance. StartupError with the reason when its constructor refuses the settings."""
        try:
            return self.kind() if self.settings is None else cast("Any", self.kind)(self.settings)
        except StartupError:
            raise
        except Exception as error:
            raise StartupError(
                [Problem(f"plugin `{self.name}` cannot be created: {type(error).__name__}: {error}")]
            ) from error


class Loaded(Struct, frozen=True):
    """A checked configuration. `models` are still as written: routing configs need the strategies of the plugins."""

    config: Config
    document: Document
    installed: Installed
    plugins: tuple[PluginEntry, ...]
    deployments: Mapping[str, DeploymentConfig]
    digest: str
    path: Path | None = None

    @property
    def state_dir(self) -> Path:
        """Where the gateway keeps small files of its own."""
        return self.document.folder / self.config.state_dir


def load_file(path: Path, installed: Installed | None = None) -> Loaded:
    """Load `headgate.yaml`. StartupError lists every problem with its line."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise StartupError([Problem(f"cannot be read: {reason}", str(path))]) from None
    return load_text(text, str(path), path.resolve().parent, installed, path)


def load_text(
    text: str, source: str, folder: Path, installed: Installed | None = None, path: Path | None = None
) -> Loaded:
    """Load configuration text; `source` names it in problems, `folder` is what relative paths start from."""
    document = read_document(text, source, folder)
    installed = installed or Installed()
    config: Config = document.decode(document.value, Config, ()) or Config()
    given: dict[str, Any] = document.value
    plugins = _plugins(document, given.get("plugins"), installed)
    deployments = _deployments(document, given.get("providers"), installed, plugins)
    _check_limits(document, config)
    document.raise_problems()
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Loaded(config, document, installed, plugins, deployments, digest, path)


def load_zero(folder: Path, installed: Installed | None = None) -> Loaded:
    """The configuration without a file: demo provider, keys, and every provider its usual variable switches on.

    With exactly one real provider, its models may be named without the deployment.
    """
    installed = installed or Installed()
    lines = [_ZERO]
    real: list[str] = []
    for name in installed.providers():
        kind = installed.provider(name)
        found = kind.from_environment() if kind is not None else None
        if found is not None:
            real.append(name)
            members = ", ".join(f"{field}: {value}" for field, value in found.items())
            lines.append(f"  {name}: {{{members}}}\n")
    lines.append("models:\n  fast: demo/echo\n")
    if len(real) == 1:
        lines.append(f'  "*": {real[0]}\n')
    return load_text("".join(lines), ZERO_SOURCE, folder, installed)


def _plugins(document: Document, given: Any, installed: Installed) -> tuple[PluginEntry, ...]:
    entries: list[PluginEntry] = []
    if not isinstance(given, list):
        return ()
    for at, item in enumerate(cast("list[Any]", given)):
        path: Path_ = ("plugins", at)
        name, settings = _named(item)
        if not name:
            document.problem(path, "must be a name, or one name with its settings: `- name: {setting: value}`")
            continue
        if any(entry.name == name for entry in entries):
            document.problem(path, f"enables `{name}` a second time")
            continue
        try:
            kind, point = installed.plugin(name)
        except StartupError as error:
            for problem in error.problems:
                document.problem(path, problem.message)
            continue
        decoded: Struct | None = None
        if kind.Config is None:
            if settings:
                document.problem((*path, name), f"has no settings: plugin `{name}` takes none")
        else:
            decoded = document.decode(settings, kind.Config, (*path, name))
            if decoded is None:
                continue
        distribution, version = distribution_of(point)
        entries.append(PluginEntry(name, kind, decoded, distribution, version))
    return tuple(entries)


def _named(item: Any) -> tuple[str, Any]:
    if isinstance(item, str):
        return item, None
    if isinstance(item, dict) and len(cast("dict[Any, Any]", item)) == 1:
        name, settings = next(iter(cast("dict[Any, Any]", item).items()))
        return str(name), settings
    return "", None


def _deployments(
    document: Document, given: Any, installed: Installed, plugins: tuple[PluginEntry, ...]
) -> Mapping[str, DeploymentConfig]:
    deployments: dict[str, DeploymentConfig] = {}
    if not isinstance(given, dict):
        return deployments
    for key, value in cast("dict[Any, Any]", given).items():
        name, path = str(key), ("providers", str(key))
        if "/" in name or name.startswith("@") or name == "*":
            document.problem(path, "is no name for a deployment: `/`, `@` and `*` have a meaning in model names")
            continue
        wanted = cast("dict[str, Any]", value).get("provider") if isinstance(value, dict) else None
        if not isinstance(wanted, str):
            document.problem(path, "needs `provider`, the name of an installed provider")
            continue
        try:
            kind = _provider(wanted, installed, plugins)
        except StartupError as error:
            for problem in error.problems:
                document.problem((*path, "provider"), problem.message)
            continue
        if kind is None:
            hint = did_you_mean(wanted, installed.providers()) or "; `headgate plugins` lists those installed"
            document.problem((*path, "provider"), f"`{wanted}` is not installed{hint}")
            continue
        decoded = document.decode(value, kind.Config, path)
        if decoded is not None:
            deployments[name] = decoded
    return deployments


def _provider(name: str, installed: Installed, plugins: tuple[PluginEntry, ...]) -> type[Provider] | None:
    """The provider class of a name, whether it comes from an entry point or from an enabled plugin's `providers()`."""
    found = installed.provider(name)
    for entry in plugins:
        if entry.kind.providers is Hooks.providers:
            continue
        for kind in entry.create().providers():
            if kind.name == name:
                if found is not None:
                    raise StartupError(
                        [Problem(f"provider `{name}` is claimed by plugin `{entry.name}` and a package")]
                    )
                found = kind
    return found


def _check_limits(document: Document, config: Config) -> None:
    names = [operation.name for operation in OPERATIONS]
    for name in config.limits.body_bytes:
        if name not in names:
            document.problem(("limits", "body_bytes", name), f"is no operation{did_you_mean(name, names)}")
    if not 0 <= config.server.port <= 65535:
        document.problem(("server", "port"), "must be 0 to 65535")
    if config.server.workers < 1:
        document.problem(("server", "workers"), "must be 1 or more")
