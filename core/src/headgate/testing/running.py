"""A whole gateway inside a test: the real application and pipeline, reached without a socket."""

from __future__ import annotations

import functools
import re
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, cast

import httpx2
import msgspec
import yaml
from msgspec.structs import replace
from typing_extensions import override

from headgate.config import Auth, Installed, Loaded, PluginEntry, load_text
from headgate.config.installed import CATALOGUES, PLUGINS, PROVIDERS
from headgate.errors import StartupError
from headgate.gateway import Gateway
from headgate.hooks import Hooks
from headgate.plan import implements
from headgate.provider import Provider
from headgate.server.app import build_app
from headgate.server.handler import Handler
from headgate.testing.canned import Canned
from headgate.testing.transport import AppTransport, Lifespan
from headgate.upstream import Upstream
from headgate.upstream.engines import create_engine

URL = "http://gateway.test"
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class Client(httpx2.AsyncClient):
    """An httpx2 client of a gateway in this process; `gateway` is that gateway. Added in 0.1."""

    def __init__(self, gateway: Gateway, app: Any) -> None:
        super().__init__(transport=AppTransport(app), base_url=URL, trust_env=False)
        self.gateway = gateway


OpenGateway = Callable[..., Awaitable[Client]]
"""What the fixture `gateway_client` is: takes the arguments of `gateway`. Added in 0.1."""


@asynccontextmanager
async def gateway(
    *plugins: Hooks | type[Provider],
    providers: Mapping[str, Mapping[str, Any]] | None = None,
    models: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | str = "",
    upstream: Upstream | None = None,
) -> AsyncGenerator[Client]:
    """A started gateway, and a client of it. StartupError when it cannot start. Added in 0.1.

    See `load` for the arguments. `upstream` is what providers call through, by default the real engine.
    """
    with tempfile.TemporaryDirectory() as folder:
        loaded = load(*plugins, providers=providers, models=models, config=config, folder=Path(folder))
        held = Gateway(lambda: loaded, upstream or create_engine(loaded.config.server.engine), URL)
        try:
            await held.start(loaded)
        except StartupError:
            await held.abandon()
            raise
        app = build_app(held, Handler(held))
        lifespan = Lifespan(app)
        await lifespan.start()
        try:
            async with Client(held, app) as client:
                yield client
        finally:
            await lifespan.stop()


def load(
    *plugins: Hooks | type[Provider],
    providers: Mapping[str, Mapping[str, Any]] | None = None,
    models: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | str = "",
    folder: Path | None = None,
) -> Loaded:
    """A configuration that enables these plugin instances, in order. StartupError lists every problem. Added in 0.1.

    A plugin is named as its class, `SpendCap` as `spend-cap`. Provider classes among them count as installed.
    `config` is the rest of headgate.yaml as a mapping or as text; plugins it enables by name come after those given.
    `providers` and `models` take the place of its own. Without any provider there is the deployment `demo`, the demo
    provider if it is installed and `Canned` if not, with the model alias `fast`. Unless `config` says otherwise
    everybody may call, or those whom one of the plugins authenticates.
    """
    hooks = [plugin for plugin in plugins if isinstance(plugin, Hooks)]
    kinds = [plugin for plugin in plugins if not isinstance(plugin, Hooks)]
    written = _written(config, providers, models)
    installed = _Known([*kinds, *_brought(hooks)])
    text = msgspec.json.encode(written).decode()
    loaded = load_text(text, "config", folder or Path(), installed)
    entries = (*_entries(hooks), *loaded.plugins)
    if "auth" not in written:
        has_own = any(implements(plugin, "authenticate") for plugin in hooks) or any(
            entry.kind.authenticate is not Hooks.authenticate for entry in loaded.plugins
        )
        loaded = replace(loaded, config=replace(loaded.config, auth=Auth("keys" if has_own else "open")))
    return replace(loaded, plugins=entries)


class Given(PluginEntry, frozen=True):
    """An enabled plugin that exists already."""

    instance: Hooks

    @override
    def create(self) -> Hooks:
        return self.instance


class _Known(Installed):
    """What is installed, and the providers a test brings."""

    def __init__(self, kinds: Sequence[type[Provider]]) -> None:
        super().__init__(_points())
        own = {kind.name: kind for kind in (Canned, *kinds)}
        if not any(point.group == PROVIDERS and point.name == "demo" for point in _points()):
            own.setdefault("demo", type("Demo", (Canned,), {"name": "demo"}))
        self._own = own

    @override
    def providers(self) -> list[str]:
        return sorted({*super().providers(), *self._own})

    @override
    def provider(self, name: str) -> type[Provider] | None:
        return self._own.get(name) or super().provider(name)


@functools.cache
def _points() -> tuple[EntryPoint, ...]:
    """The entry points of this environment: reading them is slow, and they do not change while tests run."""
    return tuple(point for group in (PLUGINS, PROVIDERS, CATALOGUES) for point in entry_points(group=group))


def _written(
    config: Mapping[str, Any] | str, providers: Mapping[str, Any] | None, models: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The configuration as one mapping, with the demo deployment where none is named."""
    parsed: Any = yaml.safe_load(config) if isinstance(config, str) else config
    written = dict(cast("Mapping[str, Any]", parsed or {}))
    if providers is not None:
        written["providers"] = dict(providers)
    if models is not None:
        written["models"] = dict(models)
    if "providers" not in written:
        written["providers"] = {"demo": {"provider": "demo"}}
        written.setdefault("models", {"fast": "demo/echo"})
    return written


def _brought(plugins: Sequence[Hooks]) -> list[type[Provider]]:
    """Provider classes that the plugins bring. One that fails here fails again when the plan is made, and is named."""
    found: list[type[Provider]] = []
    for plugin in plugins:
        try:
            found += plugin.providers()
        except Exception:  # noqa: S112 - told by the plan
            continue
    return found


def _entries(plugins: Sequence[Hooks]) -> list[Given]:
    entries: list[Given] = []
    for plugin in plugins:
        name = plugin_name(plugin)
        taken = sum(1 for entry in entries if entry.name == name or entry.name.startswith(f"{name}-"))
        entries.append(Given(f"{name}-{taken + 1}" if taken else name, type(plugin), None, "", "", plugin))
    return entries


def plugin_name(plugin: Hooks) -> str:
    """The name a plugin instance goes by in a test's gateway: its class, in lower case with dashes. Added in 0.1."""
    return _WORD.sub("-", type(plugin).__name__.lstrip("_")).lower()
