"""Generations: a reload swaps all at once or changes nothing, and a plugin stops once, after its last exchange."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from importlib.metadata import EntryPoint
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import pytest
from msgspec import Struct
from structlog.testing import capture_logs
from typing_extensions import override

from headgate.config import Installed, Loaded, load_text
from headgate.config.installed import PLUGINS, PROVIDERS
from headgate.context import Context
from headgate.errors import Problem, StartupError
from headgate.exchange import Exchange, Principal
from headgate.gateway import Gateway, compose
from headgate.hooks import Call, Check, CheckFactory, Hooks, StateStore, StoreFactory, hookimpl
from headgate.operations import CHAT
from headgate.provider import Provider
from headgate.state import MemoryStateStore
from headgate.testing import ReplayUpstream, eventually

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


class Brought(Provider):
    name = "brought"
    is_keyless = True


class Bringer(Hooks):
    @override
    @hookimpl
    def providers(self) -> Iterable[type[Provider]]:
        return [Brought]


class Point(EntryPoint):
    def __init__(self, name: str, group: str, found: Any) -> None:
        super().__init__(name, f"sample:{name}", group)
        vars(self)["found"] = found

    @override
    def load(self) -> Any:
        return vars(self)["found"]


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
    found = await gateway.plan.authenticate[0].call(ex)
    return found.key


BASE = "plugins: [lively: {name: a}]\nproviders: {one: {provider: local}}\nmodels: {fast: one/x}\n"

# starting


async def test_a_gateway_starts_and_stops_its_plugins(source: Source) -> None:
    """In order, and in reverse order; the upstream is closed last."""
    source.text = "plugins: [lively: {name: a}, second: {name: b}]"
    upstream = ReplayUpstream({})
    gateway = Gateway(source, upstream)
    await gateway.start()
    assert gateway.status()["status"] == "ready"
    await gateway.close()
    assert LIVES == ["start a", "start b", "stop b", "stop a"]
    assert upstream.is_closed


@pytest.mark.parametrize("fails", ["start", "hang"])
async def test_a_failed_start_stops_what_was_started(source: Source, fails: str) -> None:
    """The plugin that failed is named, those before it are stopped, and nothing is left open."""
    source.text = f"plugins: [lively: {{name: a}}, second: {{name: b, fails: {fails}}}]"
    upstream = ReplayUpstream({})
    gateway = Gateway(source, upstream)
    with pytest.raises(StartupError, match="plugin `second`"):
        await gateway.start()
    await gateway.abandon()
    assert LIVES == ["start a", "start b", "stop a"]
    assert upstream.is_closed


async def test_a_plugin_that_fails_to_stop_does_not_hinder_others(source: Source) -> None:
    """Every plugin is asked to stop."""
    source.text = "plugins: [lively: {name: a}, second: {name: b, fails: stop}]"
    gateway = Gateway(source, ReplayUpstream({}))
    await gateway.start()
    await gateway.close()
    assert LIVES[-2:] == ["stop b", "stop a"]


# composing


def composed(source: Source, text: str) -> None:
    source.text = text
    compose(source(), Context(ReplayUpstream({}), source.folder, ""))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plugins: [lively: {fails: create}]", "plugin `lively` cannot be created: ValueError: create"),
        ("plugins: [lively: {fails: configure}]", "plugin `lively` cannot be configured: ValueError: configure"),
        ("plugins: [lively: {fails: problems}]", "plugin `lively`: one\nplugin `lively`: two"),
        ("plugins: [lively: {fails: wrap}]", "plugin `lively`"),
        ("auth: {mode: keys}", "f.yaml:1:8: `auth.mode` is `keys`, but no enabled plugin authenticates"),
        ("plugins: [lively]\nstate: redis", "f.yaml:2:1: `state` `redis` is no store"),
        ("plugins: [lively]\nbudgets: {lively.admit: 1}", "`budgets.lively.admit` names no enabled plugin's hook"),
        ("plugins: [lively]\nproviders: {v: {provider: vendor}}", "f.yaml:2:13: `providers.v`: `api_key` is missing"),
        (
            "plugins: [lively]\nproviders: {v: {provider: local, base_url: nonsense}}",
            "f.yaml:2:34: `providers.v.base_url`: `nonsense` is no http or https URL",
        ),
        ("plugins: [lively]\nproviders: {v: {provider: faulty}}", "`providers.v`"),
        (
            "plugins: [lively]\nmodels: {m: nobody/x}",
            "f.yaml:2:10: `models.m`: `config` deployment `nobody` is not known",
        ),
        ("plugins: [lively]\nmodels: {m: {strategy: {mode: x}, targets: []}}", "`models.m`"),
        ("plugins: [lively]\nmodels: {m: {strategy: {mode: [x]}, targets: []}}", "`models.m`"),
    ],
)
def test_what_is_wrong_is_a_startup_error(source: Source, text: str, expected: str) -> None:
    """Whoever finds it, with the place where it stands."""
    with pytest.raises(StartupError) as caught:
        composed(source, text)
    assert expected in str(caught.value)


def test_every_problem_of_composing_is_listed(source: Source) -> None:
    """Deployments, models, state, budgets and plugins: mending one does not bring up the next."""
    with pytest.raises(StartupError) as caught:
        composed(
            source,
            """
plugins: [lively: {fails: create}]
providers: {v: {provider: vendor}, w: {provider: local, base_url: nonsense}, one: {provider: local}}
models: {m: nobody/x, n: one/y, o: oen/z}
state: redis
""",
        )
    shown = str(caught.value)
    for words in ("`lively`", "`providers.v`", "`providers.w.base_url`", "`models.m`", "did you mean `one`", "`state`"):
        assert words in shown, words


def test_a_model_may_use_a_deployment_that_could_not_be_made(source: Source) -> None:
    """A deployment with a mistake of its own is known by its name: no second problem is made of it."""
    with pytest.raises(StartupError) as caught:
        composed(source, "plugins: [lively]\nproviders: {v: {provider: vendor}}\nmodels: {m: v/x}\n")
    assert len(caught.value.problems) == 1


def test_a_provider_of_a_plugin_is_deployed(source: Source) -> None:
    """What `providers()` brings can be used at once."""
    source.text = "auth: {mode: open}\nplugins: [bringer]\nproviders: {b: {provider: brought}}"
    plan = compose(source(), Context(ReplayUpstream({}), source.folder, ""))
    assert isinstance(plan.deployments["b"], Brought)


async def test_checks_and_stores_reach_the_context(source: Source, start: Callable[[str], Any]) -> None:
    """Other plugins' checks by id, with or without the `default.` before it; the chosen store."""
    gateway = await start("auth: {mode: open}\nplugins: [stores]\nstate: mine")
    context = gateway.context
    assert isinstance(context.state, MemoryStateStore)
    for name in ("never", "default.never"):
        with pytest.raises(StartupError, match=r"no \{'a': 1\}"):
            context.check(name, {"a": 1})
    with pytest.raises(StartupError, match=r"did you mean `default\.never`"):
        context.check("nevr", {})


@pytest.mark.parametrize(("mode", "expected"), [("open", "open"), ("passthrough", "passthrough"), ("keys", "lively")])
async def test_the_mode_says_who_authenticates(start: Callable[[str], Any], mode: str, expected: str) -> None:
    """In the modes without keys no plugin is asked."""
    gateway = await start(f"auth: {{mode: {mode}}}\nplugins: [lively]")
    assert [step.plugin for step in gateway.plan.authenticate] == [expected]


# reloading


async def test_a_reload_swaps_the_plan(source: Source, start: Callable[[str], Any]) -> None:
    """New exchanges run the new plan; the number goes up."""
    gateway = await start(BASE)
    source.text = BASE.replace("name: a", "name: b").replace("fast", "quick")
    assert await gateway.reload() is True
    assert (gateway.generation.number, list(gateway.plan.models), await principal(gateway)) == (2, ["quick"], "b")
    await eventually(lambda: LIVES == ["start a", "start b", "stop a"], "the old plugin was stopped")
    assert gateway.status()["config_error"] is None


async def test_what_did_not_change_is_kept(source: Source, start: Callable[[str], Any]) -> None:
    """Plugins and deployments with the same settings are the same objects, and not started again."""
    gateway = await start(BASE)
    kept, deployment = plugin(gateway, "lively"), gateway.plan.deployments["one"]
    source.text = BASE + "server: {timing: true}\nlimits: {in_flight: 7}\n"
    await gateway.reload()
    assert plugin(gateway, "lively") is kept
    assert gateway.plan.deployments["one"] is deployment
    assert gateway.generation.loaded.config.limits.in_flight == 7
    assert LIVES == ["start a"]


async def test_a_stale_plugin_is_made_anew(source: Source, start: Callable[[str], Any]) -> None:
    """One that says that what it read has changed is started again, and one that then fails leaves the old one at work."""
    gateway = await start(BASE)
    old = plugin(gateway, "lively")
    old.is_stale = lambda: True
    assert await gateway.reload()
    assert plugin(gateway, "lively") is not old
    await eventually(lambda: LIVES == ["start a", "start a", "stop a"], "the old plugin was stopped")


async def test_the_bound_of_the_store(source: Source, start: Callable[[str], Any]) -> None:
    """`limits.state_bytes` bounds the store in memory; a new bound waits for a restart, and that is said."""
    gateway = await start(BASE + "limits: {state_bytes: 400}\n")
    await gateway.context.state.set(b"a", b"x" * 500)
    assert await gateway.context.state.get(b"a") is None
    source.text = BASE
    with capture_logs() as logs:
        assert await gateway.reload()
    assert [line["settings"] for line in logs if "settings" in line] == [["limits.state_bytes"]]


async def test_a_changed_deployment_is_made_anew(source: Source, start: Callable[[str], Any]) -> None:
    """Other settings, another object."""
    gateway = await start(BASE)
    old = gateway.plan.deployments["one"]
    source.text = BASE.replace("{provider: local}", "{provider: local, models: [y]}")
    await gateway.reload()
    assert gateway.plan.deployments["one"] is not old


BAD = [
    ("a: [", "this is not valid YAML"),
    (BASE + "typo: 1\n", "`typo` is not known"),
    (BASE.replace("one/x", "two/x"), "deployment `two` is not known"),
    (BASE.replace("name: a", "fails: create"), "cannot be created"),
    (BASE.replace("name: a", "fails: configure"), "cannot be configured"),
    (BASE.replace("name: a", "name: z, fails: start"), "failed to start"),
    (BASE.replace("name: a", "name: z, fails: hang"), "did not start within"),
    (BASE.replace("name: a", "name: z, fails: wrap"), "lively"),
    (BASE.replace("provider: local", "provider: faulty"), "providers.one"),
    ("plugins: []", "no enabled plugin authenticates"),
    ("plugins: [!!bool x]", "YAML"),
    ("models: &a {x: *a}", ""),
]


@pytest.mark.parametrize(("text", "expected"), BAD)
async def test_a_bad_reload_keeps_the_last_good(
    source: Source, start: Callable[[str], Any], text: str, expected: str
) -> None:
    """Nothing changes, the status says why, and a good file later is taken."""
    gateway = await start(BASE)
    plan, generation = gateway.plan, gateway.generation
    source.text = text
    assert await gateway.reload() is False
    assert gateway.plan is plan
    assert gateway.generation is generation
    assert expected in "\n".join(gateway.status()["config_error"])
    assert await principal(gateway) == "a"
    assert "stop a" not in LIVES
    source.text = BASE + "server: {timing: true}\n"
    assert await gateway.reload() is True
    assert gateway.status()["config_error"] is None
    assert gateway.generation.number == 2


@pytest.mark.parametrize("error", [RuntimeError("bug"), OSError("disk"), KeyError("x"), RecursionError("deep")])
async def test_an_unexpected_error_keeps_the_last_good(
    source: Source, start: Callable[[str], Any], error: Exception
) -> None:
    """Whatever loading raises, the gateway goes on and says why: whoever watches the file must not die of it."""
    gateway = await start(BASE)
    source.error = error
    assert await gateway.reload() is False
    assert gateway.status()["config_error"]
    source.error = None
    assert await gateway.reload() is True


async def test_a_refused_reload_leaves_kept_plugins_as_they_were(source: Source, start: Callable[[str], Any]) -> None:
    """A plugin that is kept ends up configured for the configuration that runs, not for the one that was refused."""
    gateway = await start(BASE + "\n")
    kept = plugin(gateway, "lively")
    assert kept.seen == [("one",)]
    source.text = BASE.replace("[lively: {name: a}]", "[lively: {name: a}, second: {name: b, fails: start}]").replace(
        "{one: {provider: local}}", "{one: {provider: local}, two: {provider: local}}"
    )
    assert await gateway.reload() is False
    assert tuple(gateway.context.deployments) == ("one",)
    assert kept.seen[-1] == ("one",)


async def test_a_failed_reload_stops_what_it_started(source: Source, start: Callable[[str], Any]) -> None:
    """New plugins before the one that failed are stopped again; kept ones are not touched."""
    gateway = await start("plugins: [lively: {name: a}]")
    source.text = "plugins: [lively: {name: b}, second: {name: c, fails: start}]"
    assert await gateway.reload() is False
    assert LIVES == ["start a", "start b", "start c", "stop b"]
    assert await principal(gateway) == "a"


async def test_reloads_do_not_overlap(source: Source, start: Callable[[str], Any]) -> None:
    """Many at once are taken one after another."""
    gateway = await start(BASE)
    assert await asyncio.gather(*(gateway.reload() for _ in range(5))) == [True] * 5
    assert gateway.generation.number == 6
    assert LIVES == ["start a"]


async def test_a_reload_lets_exchanges_take_turns(
    source: Source, start: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the deployments and models of a large file, so that nobody waits for all of them."""
    gateway = await start(BASE)
    turns = 0
    made: list[int] = []
    make = Local.__init__

    def noted(self: Local, *arguments: Any) -> None:
        made.append(turns)
        make(self, *arguments)

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(Local, "__init__", noted)
    monkeypatch.setattr("headgate.gateway.HOLD_S", 0)
    turning = asyncio.create_task(turn())
    many = ", ".join(f"d{at}: {{provider: local}}" for at in range(50))
    source.text = f"plugins: [lively: {{name: a}}]\nproviders: {{{many}}}\n"
    assert await gateway.reload() is True
    turning.cancel()
    assert len(made) == 50
    assert all(later > earlier for earlier, later in pairwise(made))


async def test_what_was_replaced_is_freed_without_the_collector(source: Source, start: Callable[[str], Any]) -> None:
    """Nothing of an old generation holds itself: what a reload has made is never walked by the collector again."""
    gateway = await start(BASE)
    source.text = BASE + "limits: {in_flight: 7}\n"
    await gateway.reload()
    gc.disable()
    try:
        old = [weakref.ref(gateway.plan.deployments), weakref.ref(gateway.generation.loaded.document)]
        source.text = BASE.replace("{provider: local}", "{provider: local, models: [y]}")
        assert await gateway.reload() is True
        assert gc.isenabled() is False
        await eventually(lambda: [ref() for ref in old] == [None, None], "the old generation was freed")
    finally:
        gc.enable()


@pytest.mark.parametrize("text", [BASE, "a: [", BASE.replace("one/x", "two/x")])
async def test_the_collector_runs_after_a_reload(source: Source, start: Callable[[str], Any], text: str) -> None:
    """Whether the reload was good or not."""
    gateway = await start(BASE)
    source.text = text
    await gateway.reload()
    assert gc.isenabled()


# exchanges across reloads


async def test_an_exchange_ends_on_the_plan_it_began_on(source: Source, start: Callable[[str], Any]) -> None:
    """Its plugins are stopped when it has ended, and not before."""
    gateway = await start(BASE)
    held = gateway.enter()
    plan = held.plan
    source.text = BASE.replace("name: a", "name: b")
    await gateway.reload()
    await asyncio.sleep(0)
    assert (held.plan is plan, held.retired, "stop a" in LIVES) == (True, True, False)
    assert gateway.enter().plan is not plan
    gateway.leave(held)
    await eventually(lambda: "stop a" in LIVES, "the old plugin was stopped")
    assert LIVES == ["start a", "start b", "stop a"]
    gateway.leave(gateway.generation)


async def test_a_plugin_used_by_an_older_generation_is_not_stopped(source: Source, start: Callable[[str], Any]) -> None:
    """Kept in one reload and gone in the next, a plugin lives until the last exchange of any generation that has it."""
    gateway = await start(BASE)
    held = gateway.enter()
    source.text = BASE + "server: {timing: true}\n"
    await gateway.reload()
    source.text = BASE.replace("name: a", "name: b")
    await gateway.reload()
    for _ in range(5):
        await asyncio.sleep(0)
    assert LIVES == ["start a", "start b"]
    gateway.leave(held)
    await eventually(lambda: "stop a" in LIVES, "the old plugin was stopped")
    assert LIVES.count("stop a") == 1


async def test_a_plugin_is_stopped_once(source: Source, start: Callable[[str], Any]) -> None:
    """However many generations had it."""
    gateway = await start(BASE)
    held = [gateway.enter()]
    for number in range(3):
        source.text = BASE + f"limits: {{in_flight: {number + 5}}}\n"
        await gateway.reload()
        held.append(gateway.enter())
    source.text = BASE.replace("name: a", "name: b")
    await gateway.reload()
    for generation in held:
        gateway.leave(generation)
    await eventually(lambda: "stop a" in LIVES, "the old plugin was stopped")
    for _ in range(5):
        await asyncio.sleep(0)
    assert LIVES == ["start a", "start b", "stop a"]


async def test_closing_stops_what_older_exchanges_still_had(source: Source) -> None:
    """An exchange cut by the end of the process does not keep its plugin from flushing."""
    source.text = BASE
    gateway = Gateway(source, ReplayUpstream({}))
    await gateway.start()
    gateway.enter()
    source.text = BASE.replace("name: a", "name: b")
    await gateway.reload()
    await gateway.close()
    assert sorted(LIVES) == ["start a", "start b", "stop a", "stop b"]


async def test_in_flight_counts_every_generation(source: Source, start: Callable[[str], Any]) -> None:
    """A reload does not make running exchanges invisible to the limit and to readiness."""
    gateway = await start(BASE)
    held = [gateway.enter() for _ in range(3)]
    assert gateway.in_flight == 3
    await gateway.reload()
    held.append(gateway.enter())
    assert gateway.in_flight == 4
    assert gateway.status()["in_flight"] == 4
    for generation in held:
        gateway.leave(generation)
    assert gateway.in_flight == 0


# callers' own keys


async def test_passthrough_deploys_providers_by_their_own_name(start: Callable[[str], Any]) -> None:
    """No configuration and no key: the caller brings it. What is not installed is not there."""
    gateway = await start("auth: {mode: passthrough}")
    deployment = gateway.plan.deployments["vendor"]
    assert isinstance(deployment, Vendor)
    assert deployment is gateway.plan.deployments["vendor"]
    assert (deployment.deployment, deployment.config.api_key) == ("vendor", None)
    with pytest.raises(KeyError):
        gateway.plan.deployments["nobody"]


async def test_passthrough_survives_a_provider_that_cannot_be_made(start: Callable[[str], Any]) -> None:
    """A provider whose constructor fails is one that cannot be called, not a crash."""
    gateway = await start("auth: {mode: passthrough}")
    route = next(held.hooks for held in gateway.plan.plugins if held.name == "route")
    assert vars(route)["_find"]("faulty") is None


@pytest.mark.parametrize("mode", ["open", "keys"])
async def test_other_modes_have_only_what_is_configured(start: Callable[[str], Any], mode: str) -> None:
    """The gateway's own keys are never lent to a provider nobody configured."""
    gateway = await start(f"auth: {{mode: {mode}}}\nplugins: [lively]\nproviders: {{one: {{provider: local}}}}")
    assert list(gateway.plan.deployments) == ["one"]
    with pytest.raises(KeyError):
        gateway.plan.deployments["vendor"]


async def test_a_callers_key_goes_to_the_callers_host(start: Callable[[str], Any]) -> None:
    """Own key and own host: the credential is bound to that host and to no other."""
    gateway = await start("auth: {mode: passthrough}")
    vendor = gateway.plan.deployments["vendor"]
    ex = Exchange(CHAT, {b"authorization": b"Bearer sk-own"}, request_id="r", trace_id="t")
    ex.principal = await gateway.plan.authenticate[0].call(ex)
    held = vendor.credential(ex)
    assert held is not None
    assert (held.secret.reveal(), held.origins) == ("sk-own", frozenset({"https://api.example.com:443"}))
    ex.base_url = "https://own.example.com/v1"
    held = vendor.credential(ex)
    assert held is not None
    assert held.origins == frozenset({"https://own.example.com:443"})
