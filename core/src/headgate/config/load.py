"""From a file, or from no file at all, to everything a plan is compiled from. Every problem is found before one is told."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec
import yaml
from msgspec import Struct

from headgate.config.document import Document, read_document
from headgate.config.installed import Installed, distribution_of
from headgate.config.model import MAX_S, Config
from headgate.config.parse import Path_
from headgate.errors import Problem, StartupError
from headgate.garbage import uncollected
from headgate.hooks import Hooks
from headgate.operations import OPERATIONS
from headgate.provider import DeploymentConfig, Provider
from headgate.suggest import did_you_mean, name_in, shown

ZERO_SOURCE = "defaults"
_ZERO_PLUGINS = ["keys", "responses", "cache-memory", "router-standard"]


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
            raise _failed(f"plugin `{self.name}` cannot be created", error) from error


class Loaded(Struct, frozen=True):
    """A checked configuration. `models` are still as written: routing configs need the strategies of the plugins.

    `config` names plugins and deployments without their settings, which hold secrets.
    """

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


@uncollected()
def load_text(
    text: str, source: str, folder: Path, installed: Installed | None = None, path: Path | None = None
) -> Loaded:
    """Load configuration text; `source` names it in problems, `folder` is what relative paths start from."""
    document = read_document(text, source, folder)
    installed = installed or Installed()
    given: dict[str, Any] = document.value
    sections = document.fields(given, Config, ()) or {}
    plugins = _plugins(document, given.get("plugins"), installed)
    deployments = _deployments(document, given.get("providers"), installed, plugins)
    _check_operations(document, given)
    document.raise_problems()
    sections["plugins"] = [entry.name for entry in plugins]
    sections["providers"] = {name: {} for name in deployments}
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Loaded(Config(**sections), document, installed, plugins, deployments, digest, path)


def load_zero(folder: Path, installed: Installed | None = None) -> Loaded:
    """The configuration without a file: demo provider, keys, and every provider its usual variable switches on.

    With exactly one real provider, its models may be named without the deployment.
    """
    installed = installed or Installed()
    found = {name: config for name in installed.providers() if (config := _switched_on(name, installed)) is not None}
    models = {"fast": "demo/echo"}
    if len(found) == 1:
        models["*"] = next(iter(found))
    written = {"plugins": _ZERO_PLUGINS, "providers": {"demo": {"provider": "demo"}, **found}, "models": models}
    return load_text(yaml.safe_dump(written, sort_keys=False), ZERO_SOURCE, folder, installed)


def _switched_on(name: str, installed: Installed) -> dict[str, Any] | None:
    """The deployment that the environment switches on for an installed provider, as it would stand in a file."""
    kind = installed.provider(name)
    try:
        found = kind.from_environment() if kind is not None else None
        return None if found is None else cast("dict[str, Any]", msgspec.to_builtins(dict(found)))
    except Exception as error:
        raise _failed(f"provider `{name}` cannot read the environment", error) from error


def _plugins(document: Document, given: Any, installed: Installed) -> tuple[PluginEntry, ...]:
    entries: dict[str, PluginEntry] = {}
    for at, item in enumerate(cast("list[Any]", given) if isinstance(given, list) else ()):
        path: Path_ = ("plugins", at)
        name, settings = _named(item)
        if not name:
            document.problem(path, "must be a name, or one name with its settings: `- name: {setting: value}`")
        elif name in entries:
            document.problem(path, f"enables `{name}` a second time")
        else:
            try:
                entry = _entry(document, (*path, name), settings, installed)
            except StartupError as error:
                _note(document, path, error)
            else:
                if entry is not None:
                    entries[name] = entry
    return tuple(entries.values())


def _entry(document: Document, path: Path_, settings: Any, installed: Installed) -> PluginEntry | None:
    """The plugin that the end of `path` names. None when its settings are wrong; StartupError when it cannot be had."""
    name = str(path[-1])
    kind, point = installed.plugin(name)
    decoded: Struct | None = None
    if kind.Config is not None:
        decoded = document.decode(settings, kind.Config, path)
        if decoded is None:
            return None
    elif settings:
        document.problem(path, f"has no settings: plugin `{name}` takes none")
    return PluginEntry(name, kind, decoded, *distribution_of(point))


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
    for key, value in cast("dict[Any, Any]", given).items() if isinstance(given, dict) else ():
        name = str(key)
        decoded = _deployment(document, name, value, installed, plugins)
        if decoded is not None:
            deployments[name] = decoded
    return deployments


def _deployment(
    document: Document, name: str, value: Any, installed: Installed, plugins: tuple[PluginEntry, ...]
) -> DeploymentConfig | None:
    """One entry of `providers:`; None when something of it is wrong, which is noted."""
    path: Path_ = ("providers", name)
    if "/" in name or name.startswith("@") or name in {"", "*"}:
        document.problem(path, "is no name for a deployment: `/`, `@` and `*` have a meaning in model names")
        return None
    wanted = cast("dict[str, Any]", value).get("provider") if isinstance(value, dict) else None
    if not isinstance(wanted, str):
        document.problem(path, "needs `provider`, the name of an installed provider")
        return None
    try:
        kind = _provider(wanted, installed, plugins)
        if kind is None:
            hint = did_you_mean(wanted, installed.providers()) or "; `headgate plugins` lists those installed"
            document.problem((*path, "provider"), f"`{name_in(wanted)}` is not installed{hint}")
            return None
    except StartupError as error:
        _note(document, (*path, "provider"), error)
        return None
    decoded: DeploymentConfig | None = document.decode(value, kind.Config, path)
    if decoded is not None:
        _check_timeouts(document, decoded, path)
    return decoded


def _provider(name: str, installed: Installed, plugins: Iterable[PluginEntry]) -> type[Provider] | None:
    """The provider class of a name, whether it comes from an entry point or from an enabled plugin's `providers()`."""
    found = installed.provider(name)
    owner = "a package"
    for entry in plugins:
        if entry.kind.providers is Hooks.providers:
            continue
        hooks = entry.create()
        try:
            brought = [kind for kind in hooks.providers() if kind.name == name]
        except Exception as error:
            raise _failed(f"plugin `{entry.name}` failed to register", error) from error
        for kind in brought:
            if found is not None:
                raise StartupError([Problem(f"provider `{name}` is claimed by plugin `{entry.name}` and {owner}")])
            found, owner = kind, f"plugin `{entry.name}`"
    return found


def _check_timeouts(document: Document, config: DeploymentConfig, path: Path_) -> None:
    for name, seconds in msgspec.structs.asdict(config.timeouts).items():
        if not 0 < seconds <= MAX_S:
            document.problem((*path, "timeouts", name), f"must be more than 0 seconds, and at most {MAX_S}")


def _check_operations(document: Document, given: Mapping[str, Any]) -> None:
    names = [operation.name for operation in OPERATIONS]
    limits = given.get("limits")
    sizes: Any = cast("dict[Any, Any]", limits).get("body_bytes") if isinstance(limits, dict) else None
    for name in cast("dict[Any, Any]", sizes) if isinstance(sizes, dict) else ():
        if name not in names:
            document.problem(("limits", "body_bytes", str(name)), f"is no operation{did_you_mean(str(name), names)}")


def _note(document: Document, path: Path_, error: StartupError) -> None:
    for problem in error.problems:
        document.problem(path, problem.message)


def _failed(what: str, error: Exception) -> StartupError:
    return StartupError([Problem(f"{what}: {type(error).__name__}: {shown(str(error))}")])
