"""The running gateway: the current generation of plugins and plan, its replacement on reload, and its end."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Collection, Coroutine, Generator, Mapping, Sequence
from typing import Any

import msgspec
import structlog
from msgspec import Struct
from typing_extensions import override

from headgate.builtin import CallerCredential, Core, ModelRoute, OpenAccess
from headgate.config import Config, Loaded
from headgate.config.document import in_order
from headgate.context import Context
from headgate.errors import Problem, StartupError
from headgate.exchange import Target
from headgate.folds import bounded, failures
from headgate.garbage import uncollected
from headgate.hooks import STAGES, ModelFacts
from headgate.mirroring import end_mirrors
from headgate.models import facts_of
from headgate.operations import OPERATIONS
from headgate.plan import Plan, Plugin, Registry, collect, compile_plan, implements, narrowed
from headgate.provider import DeploymentConfig, Provider
from headgate.resumable import UPLOADS, Resumable
from headgate.routing import INLINE, Asked, Known, decode_target
from headgate.sharing import SharedBreakers
from headgate.upstream import Upstream
from headgate.version import VERSION

log = structlog.get_logger("headgate")

MIRRORS_S = 5.0
"""How long shadows may still run when the gateway ends."""
HOLD_S = 0.002
"""How long a reload holds the loop before exchanges get their turn."""
_FREED_AT_ONCE = 200


class Generation(Struct):
    """One configuration at work. `in_flight` exchanges still use it; `retired` ones end when the last of them ends.

    `plans` are by operation, `body_limits` bytes by operation.
    """

    loaded: Loaded
    plan: Plan
    number: int
    body_limits: Mapping[str, int]
    plans: Mapping[str, Plan]
    in_flight: int = 0
    retired: bool = False


class Gateway:
    """Owns the plan. `load` reads the configuration again on every reload."""

    def __init__(self, load: Callable[[], Loaded], upstream: Upstream, url: str = "") -> None:
        self._load = load
        self._upstream = upstream
        self._url = url
        self._reloading = asyncio.Lock()
        self._stopping: set[asyncio.Task[None]] = set()
        self._alive: list[Generation] = []
        self._sharing: asyncio.Task[None] | None = None
        self.context: Context
        self.generation: Generation
        self.reload_error: tuple[str, ...] = ()
        self.is_draining = False
        self.started_at = time.time()
        self.body_bytes = 0
        self.in_flight = 0
        """Exchanges running now, on this configuration and on those before it."""

    @property
    def plan(self) -> Plan:
        """The plan new exchanges run."""
        return self.generation.plan

    async def start(self, loaded: Loaded | None = None) -> None:
        """Compose and start the first generation. StartupError lists every problem."""
        loaded = loaded or self._load()
        self.context = Context(self._upstream, loaded.state_dir, self._url)
        plan = compose(loaded, self.context)
        loaded.document.forget()
        await _start(plan.plugins, self.context)
        self.generation = _generation(loaded, plan, 1)
        self._alive.append(self.generation)
        if loaded.config.state != "memory":
            shared = SharedBreakers(self.context.fleet, self.context.state)
            self._sharing = asyncio.create_task(shared.run())

    async def reload(self) -> bool:
        """Load, compose, start and swap in a new generation; on any problem the current one stays and says why."""
        async with self._reloading:
            old = self.generation
            try:
                loaded, plan = await self._load_and_compose(old)
                await _start([plugin for plugin in plan.plugins if not _has(old.plan, plugin)], self.context)
            except Exception as error:
                self._refuse(old, error)
                return False
            self.reload_error = ()
            self.generation = _generation(loaded, plan, old.number + 1)
            self._alive.append(self.generation)
            old.retired = True
            log.info("configuration reloaded", generation=self.generation.number)
            _say_what_waits(old.loaded, loaded)
            if old.in_flight == 0:
                self._retire(old)
            return True

    async def _load_and_compose(self, old: Generation) -> tuple[Loaded, Plan]:
        """The new configuration and its plan. No piece of the work holds the loop: what does is the collector, so it waits."""
        with uncollected():
            loaded = await asyncio.to_thread(self._load)
            try:
                plan = await _in_turns(composing(loaded, self.context, old))
            finally:
                await asyncio.to_thread(loaded.document.forget)
            gc.freeze()  # it lives as long as what the start made, and is as little worth a walk
            return loaded, plan

    def _refuse(self, old: Generation, error: Exception) -> None:
        """Stay with the old generation: say why, and let its plugins see their own configuration again."""
        problems = error.problems if isinstance(error, StartupError) else (f"{type(error).__name__}: {error}",)
        self.reload_error = tuple(str(problem) for problem in problems)
        log.error("the new configuration is refused, the last good one stays", problems=self.reload_error)
        _publish(self.context, old.plan.registry, old.plan.deployments, old.loaded.config)
        _configure(old.plan.plugins, self.context)

    def enter(self) -> Generation:
        """An exchange begins: the generation it runs on to its end."""
        generation = self.generation
        generation.in_flight += 1
        self.in_flight += 1
        return generation

    def leave(self, generation: Generation) -> None:
        """An exchange has ended."""
        generation.in_flight -= 1
        self.in_flight -= 1
        if generation.retired and generation.in_flight == 0:
            self._retire(generation)

    def status(self) -> Mapping[str, Any]:
        """What `/v1/ready` says."""
        return {
            "status": "draining" if self.is_draining else "ready",
            "generation": self.generation.number,
            "in_flight": self.in_flight,
            "config_error": list(self.reload_error) or None,
            "plugin_failures": dict(failures),
        }

    async def close(self) -> None:
        """Stop the plugins in reverse order and close every outbound connection."""
        await end_mirrors(MIRRORS_S)
        if self._sharing is not None:
            self._sharing.cancel()
            await asyncio.gather(self._sharing, return_exceptions=True)
        for task in list(self._stopping):
            await task
        everything: list[Plugin] = []
        for generation in self._alive:
            everything += [plugin for plugin in generation.plan.plugins if not _holds(everything, plugin)]
        await _stop(everything)
        await self.context.close()
        await self._upstream.close()

    async def abandon(self) -> None:
        """Close what a failed start has opened."""
        await self.context.close()
        await self._upstream.close()

    def _retire(self, old: Generation) -> None:
        """Stop the plugins that no generation needs any longer."""
        self._alive.remove(old)
        gone = [
            plugin
            for plugin in old.plan.plugins
            if not any(_has(generation.plan, plugin) for generation in self._alive)
        ]
        if gone:
            self._finish(_stop(gone))
        self._finish(_free([*old.plan.deployments.values(), *old.plan.models.values()]))

    def _finish(self, work: Coroutine[Any, Any, None]) -> None:
        """Let an old generation's end go on in the background; closing waits for it."""
        task = asyncio.create_task(work)
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)


def _generation(loaded: Loaded, plan: Plan, number: int) -> Generation:
    limits = loaded.config.limits
    sizes = {each.name: limits.body_limit(each.name) for each in OPERATIONS}
    return Generation(loaded, plan, number, sizes, {each.name: narrowed(plan, each.name) for each in OPERATIONS})


def compose(loaded: Loaded, ctx: Context, old: Generation | None = None) -> Plan:
    """Create plugins and deployments, register, resolve models, and compile. What has not changed is taken from `old`.

    Does no I/O. StartupError lists every problem.
    """
    steps = composing(loaded, ctx, old)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return done.value


async def _in_turns(steps: Generator[None, None, Plan]) -> Plan:
    """Compose on the loop, where plugins expect to be called, but let it turn between the steps."""
    until = time.monotonic() + HOLD_S
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return done.value
        if time.monotonic() > until:
            await asyncio.sleep(0)
            until = time.monotonic() + HOLD_S


async def _free(held: list[Any]) -> None:
    """Let go of what may be thousands of objects, in turns with exchanges."""
    while held:
        del held[-_FREED_AT_ONCE:]
        await asyncio.sleep(0)


def composing(loaded: Loaded, ctx: Context, old: Generation | None) -> Generator[None, None, Plan]:
    """What `compose` does, in steps: it yields after each deployment and each model, of which there may be thousands."""
    config = loaded.config
    problems: list[Problem] = []
    plugins: list[Plugin] = []
    for entry in loaded.plugins:
        kept = _kept_plugin(old, entry.name, entry.kind, entry.settings)
        try:
            hooks = kept or entry.create()
            plugins.append(Plugin(entry.name, hooks, entry.distribution, entry.version))
        except StartupError as error:
            problems += error.problems
    core = Plugin("core", Core(), "headgate", VERSION)
    registry = Registry()
    try:
        registry = collect([*plugins, core])
    except StartupError as error:
        problems += error.problems
    yield
    deployments = yield from _deployments(loaded, ctx.upstream, old, problems)
    written = _known(loaded.deployments, registry, config)
    models = yield from _models(loaded, written, problems)
    if config.state not in registry.stores:
        place = loaded.document.place(("state",))
        problems.append(Problem(f"`state` `{config.state}` is no store of the enabled plugins", place))
    _raise(problems)
    known = _Deployments(deployments, loaded, ctx.upstream)
    route = ModelRoute(models, known.find)
    _publish(ctx, registry, known, config)
    _raise(_configure(plugins, ctx))
    for target in models.values():
        if target.targets:
            ctx.fleet.watch(target)
    uploads = Plugin(UPLOADS, Resumable(ctx.secret.digest), "headgate", VERSION)
    everything = [uploads, *plugins, core, Plugin("route", route, "headgate", VERSION), *_access(loaded, ctx)]
    plan = compile_plan(everything, registry, known, models, config.budgets, ctx.fleet)
    if config.auth.mode != "keys":
        own = tuple(step for step in plan.authenticate if step.plugin in {UPLOADS, config.auth.mode})
        plan = msgspec.structs.replace(plan, authenticate=own)  # the mode says who may call, so no plugin is asked
    if all(step.plugin == UPLOADS for step in plan.authenticate):
        path = ("auth", "mode")
        loaded.document.problem(path, "is `keys`, but no enabled plugin authenticates: enable `keys`, or set `open`")
        loaded.document.raise_problems()
    return plan


class _Deployments(dict[str, Provider]):
    """Deployments by name. A provider's own name makes one on first use, without a key: in `passthrough` mode, and for
    routing configs that bring a key (`INLINE`).
    """

    def __init__(self, deployments: Mapping[str, Provider], loaded: Loaded, upstream: Upstream) -> None:
        super().__init__(deployments)
        self._loaded = loaded
        self._upstream = upstream

    def __missing__(self, name: str) -> Provider:
        own = name.removeprefix(INLINE)
        if own == name and self._loaded.config.auth.mode != "passthrough":
            raise KeyError(name)
        kind = self._loaded.installed.provider(own)
        if kind is None or kind.is_keyless:
            raise KeyError(name)  # a server of the operator's own is reached only where the file says so
        provider = self[name] = _keyless(kind)(own, kind.Config(provider=own), self._upstream)
        return provider

    def takes_keys(self, name: str) -> bool:
        """Whether a provider of that name is installed that a routing config can bring a key for."""
        return self.find(f"{INLINE}{name}") is not None

    @override
    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (isinstance(name, str) and self.find(name) is not None)

    def find(self, name: str) -> Provider | None:
        """The deployment of that name, or None."""
        try:
            return self[name]
        except (KeyError, StartupError):
            return None


def _keyless(kind: type[Provider]) -> type[Provider]:
    """The same provider for callers who bring their own key."""
    return type(kind.__name__, (kind,), {"is_keyless": True})


def _access(loaded: Loaded, ctx: Context) -> list[Plugin]:
    match loaded.config.auth.mode:
        case "open":
            return [Plugin("open", OpenAccess(), "headgate", VERSION)]
        case "passthrough":
            return [Plugin("passthrough", CallerCredential(ctx.secret.digest), "headgate", VERSION)]
        case "keys":
            return []


def _deployments(
    loaded: Loaded, upstream: Upstream, old: Generation | None, problems: list[Problem]
) -> Generator[None, None, dict[str, Provider]]:
    deployments: dict[str, Provider] = {}
    for name, config in loaded.deployments.items():
        yield
        held = old.plan.deployments.get(name) if old is not None else None
        if held is not None and type(held.config) is type(config) and held.config == config:
            deployments[name] = held
            continue
        try:
            deployments[name] = _kind_of(loaded, config)(name, config, upstream)
        except StartupError as error:
            place = loaded.document.place(("providers", name))
            problems += [Problem(f"`providers.{name}`: {problem.message}", place) for problem in error.problems]
        except ValueError as error:
            problems.append(
                Problem(f"`providers.{name}.base_url`: {error}", loaded.document.place(("providers", name, "base_url")))
            )
        except Exception as error:
            words = f"`providers.{name}` cannot be made: {type(error).__name__}: {error}"
            problems.append(Problem(words, loaded.document.place(("providers", name))))
    return deployments


def _kind_of(loaded: Loaded, config: DeploymentConfig) -> type[Provider]:
    kind = loaded.installed.provider(config.provider)
    if kind is not None:
        return kind
    for entry in loaded.plugins:
        for found in entry.create().providers():
            if found.name == config.provider:
                return found
    raise StartupError([Problem(f"provider `{config.provider}` is not installed")])


def _models(loaded: Loaded, known: Known, problems: list[Problem]) -> Generator[None, None, dict[str, Target]]:
    models: dict[str, Target] = {}
    for alias, written in loaded.config.models.items():
        yield
        try:
            models[alias] = decode_target(written, known)
        except StartupError as error:
            place = loaded.document.place(("models", alias))
            problems += [Problem(f"`models.{alias}`: {problem.message}", place) for problem in error.problems]
    for name, config in loaded.config.configs.items():
        yield
        try:
            decode_target(config, known, asked=Asked(is_open=True))
        except StartupError as error:
            place = loaded.document.place(("configs", name))
            problems += [Problem(f"`configs.{name}`: {problem.message}", place) for problem in error.problems]
    return models


def _say_what_waits(old: Loaded, new: Loaded) -> None:
    """Settings that a running process cannot take up."""
    names = [
        f"server.{name}"
        for name in ("host", "port", "workers", "engine")
        if getattr(old.config.server, name) != getattr(new.config.server, name)
    ]
    names += [name for name in ("state", "state_dir") if getattr(old.config, name) != getattr(new.config, name)]
    names += ["limits.state_bytes"] if old.config.limits.state_bytes != new.config.limits.state_bytes else []
    if names:
        log.warning("these settings changed and need a restart", settings=names)


def _configure(plugins: Sequence[Plugin], ctx: Context) -> list[Problem]:
    """Let every plugin check its settings; what is wrong with them."""
    problems: list[Problem] = []
    for plugin in plugins:
        try:
            plugin.hooks.configure(ctx)
        except StartupError as error:
            problems += [Problem(f"plugin `{plugin.name}`: {problem}") for problem in error.problems]
        except Exception as error:
            problems.append(Problem(f"plugin `{plugin.name}` cannot be configured: {type(error).__name__}: {error}"))
    return problems


def _known(deployments: Collection[str], registry: Registry, config: Config) -> Known:
    """What routing configs may name."""
    strategies, guards, checks = registry.strategies, registry.guards, registry.checks
    return Known(deployments, strategies, config.models, config.configs, guards, checks)


def _publish(ctx: Context, registry: Registry, deployments: Mapping[str, Provider], config: Config) -> None:
    """Let plugins see the newest configuration through the context they hold."""
    known = _known(deployments, registry, config)
    if isinstance(deployments, _Deployments):
        known = msgspec.structs.replace(known, takes_keys=deployments.takes_keys)
    ctx.known = known

    def find_facts(deployment: str, model: str) -> ModelFacts | None:
        provider = deployments.get(deployment)
        return None if provider is None else facts_of(registry.facts, provider, model)

    ctx.find_facts = find_facts
    if not hasattr(ctx, "state"):
        ctx.state_bytes = config.limits.state_bytes
        ctx.state = registry.stores[config.state](ctx)


def _kept_plugin(old: Generation | None, name: str, kind: type[Any], settings: Struct | None) -> Any:
    """The instance of the old generation whose class and settings are the same, if any, and which is not stale."""
    if old is None:
        return None
    same = any(entry.name == name and entry.kind is kind and entry.settings == settings for entry in old.loaded.plugins)
    held = next((plugin.hooks for plugin in old.plan.plugins if plugin.name == name), None) if same else None
    return None if held is None or held.is_stale() else held


def _has(plan: Plan, plugin: Plugin) -> bool:
    return _holds(plan.plugins, plugin)


def _holds(plugins: Sequence[Plugin], plugin: Plugin) -> bool:
    return any(held.hooks is plugin.hooks for held in plugins)


def _raise(problems: list[Problem]) -> None:
    if problems:
        raise StartupError(in_order(problems))


async def _start(plugins: Any, ctx: Context) -> None:
    """Start in order; if one fails, those already started are stopped again."""
    started: list[Plugin] = []
    for plugin in plugins:
        if not implements(plugin.hooks, "start"):
            started.append(plugin)
            continue
        budget = plugin.hooks.budgets.get("start", STAGES["start"].budget_s)
        try:
            await bounded(plugin.hooks.start(ctx), budget)
        except Exception as error:
            await _stop(started)
            if isinstance(error, StartupError):
                raise
            what = f"did not start within {budget:g} s" if isinstance(error, TimeoutError) else "failed to start"
            words = f"plugin `{plugin.name}` {what}: {type(error).__name__}: {error}"
            raise StartupError([Problem(words)]) from error
        started.append(plugin)


async def _stop(plugins: Any) -> None:
    for plugin in reversed(list(plugins)):
        if not implements(plugin.hooks, "stop"):
            continue
        try:
            await bounded(plugin.hooks.stop(), plugin.hooks.budgets.get("stop", STAGES["stop"].budget_s))
        except Exception as error:
            log.error("plugin failed to stop", plugin=plugin.name, error=f"{type(error).__name__}: {error}")
