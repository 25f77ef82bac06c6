"""Gateways whose plugins note their lives, on a configuration that the test changes.

A test module takes the fixtures with `source = generations.source` and so on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from core.tests.loading import Bringer, Point
from msgspec import Struct
from typing_extensions import override

from headgate.config import Installed, Loaded, load_text
from headgate.config.installed import PLUGINS, PROVIDERS
from headgate.context import Context
from headgate.errors import Problem, StartupError
from headgate.exchange import Exchange, Principal
from headgate.gateway import Gateway
from headgate.hooks import Call, Check, CheckFactory, Hooks, StateStore, StoreFactory, hookimpl
from headgate.operations import CHAT
from headgate.provider import Provider
from headgate.state import MemoryStateStore
from headgate.testing import ReplayUpstream

LIVES: list[str] = []
"""What happened to the plugins of the running test, in order."""


class Lively(Hooks):
    """Notes its life under the name of its settings."""

    class Config(Struct, frozen=True, forbid_unknown_fields=True):
        """A name, and where it fails."""

        name: str = "a"
        fails: str = ""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.seen: list[tuple[str, ...]] = []
        if config.fails == "create":
            raise ValueError("create")

    @override
    @hookimpl
    def configure(self, ctx: Context) -> None:
        self.seen.append(tuple(ctx.deployments))
        if self.config.fails == "configure":
            raise ValueError("configure")
        if self.config.fails == "problems":
            raise StartupError([Problem("one"), Problem("two")])

    @override
    @hookimpl
    async def start(self, ctx: Context) -> None:
        LIVES.append(f"start {self.config.name}")
        if self.config.fails == "start":
            raise ValueError("start")
        if self.config.fails == "hang":
            await asyncio.Event().wait()

    budgets: ClassVar[Mapping[str, float]] = {"start": 0.05, "stop": 0.05}

    @override
    @hookimpl
    async def stop(self) -> None:
        LIVES.append(f"stop {self.config.name}")
        if self.config.fails == "stop":
            raise ValueError("stop")

    @override
    @hookimpl
    async def authenticate(self, ex: Exchange) -> Principal | None:
        return Principal(self.config.name)

    @override
    @hookimpl
    def wrap_call(self, call: Call) -> Call:
        if self.config.fails == "wrap":
            raise ValueError("wrap")
        return call


class Second(Lively):
    pass


class Stores(Hooks):
    @override
    @hookimpl
    def stores(self) -> Mapping[str, StoreFactory]:
        return {"mine": self.make}

    @staticmethod
    def make(_: Context) -> StateStore:
        return MemoryStateStore()

    @override
    @hookimpl
    def checks(self) -> Mapping[str, CheckFactory]:
        def factory(parameters: Mapping[str, Any]) -> Check:
            raise ValueError(f"no {parameters}")

        return {"default.never": factory}


class Vendor(Provider):
    name = "vendor"
    base_url = "https://api.example.com"
    key_env = "VENDOR_API_KEY"
    dialects: ClassVar[Mapping[str, str]] = {"chat": "openai.chat"}


class Local(Provider):
    name = "local"
    is_keyless = True
    models: ClassVar[tuple[str, ...]] = ("x",)


class Faulty(Provider):
    name = "faulty"
    is_keyless = True

    def __init__(self, *arguments: Any) -> None:
        raise RuntimeError("faulty")


INSTALLED = Installed(
    [
        Point("lively", PLUGINS, Lively),
        Point("second", PLUGINS, Second),
        Point("stores", PLUGINS, Stores),
        Point("bringer", PLUGINS, Bringer),
        *(Point(kind.name, PROVIDERS, kind) for kind in (Vendor, Local, Faulty)),
    ]
)


class Source:
    """A configuration that tests change."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.text = ""
        self.error: Exception | None = None

    def __call__(self) -> Loaded:
        if self.error is not None:
            raise self.error
        return load_text(self.text, "f.yaml", self.folder, INSTALLED)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    LIVES.clear()
    return Source(tmp_path)


@pytest.fixture
async def start(source: Source) -> AsyncIterator[Callable[[str], Any]]:
    """Starts a gateway on a text; it is closed when the test ends."""
    opened: list[Gateway] = []

    async def begin(text: str) -> Gateway:
        source.text = text
        gateway = Gateway(source, ReplayUpstream({}))
        opened.append(gateway)
        await gateway.start()
        return gateway

    yield begin
    for gateway in opened:
        if hasattr(gateway, "generation"):
            await gateway.close()


def plugin(gateway: Gateway, name: str) -> Any:
    return next(held.hooks for held in gateway.plan.plugins if held.name == name)


async def principal(gateway: Gateway) -> str:
    """Who the current plan's plugin says is calling."""
    ex = Exchange(CHAT, {}, request_id="r", trace_id="t")
    found = await gateway.plan.authenticate[-1].call(ex)
    return found.key


BASE = "plugins: [lively: {name: a}]\nproviders: {one: {provider: local}}\nmodels: {fast: one/x}\n"
