"""The frozen plan: which plugin's method runs in which stage. Compiled once at start-up, swapped whole on reload.

pluggy registers and validates the plugins here and is then let go: a request runs plain tuples of bound methods.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import pluggy
from msgspec import Struct

from headgate.dialects import Dialect
from headgate.errors import Problem, StartupError
from headgate.exchange import Exchange, Target
from headgate.hooks import PROJECT, STAGES, Call, CheckFactory, Command, Hooks, Stage, StoreFactory, Strategy
from headgate.provider import Provider


class Plugin(Struct, frozen=True):
    """An enabled plugin: its name in the configuration, its instance, and the distribution it came from."""

    name: str
    hooks: Hooks
    distribution: str = ""
    version: str = ""


class Step(Struct, frozen=True):
    """One plugin's implementation of one request hook."""

    plugin: str
    hook: str
    stage: Stage
    call: Callable[..., Awaitable[Any]]
    budget_s: float
    hooks: Hooks


class Registry(Struct, frozen=True):
    """What the start-up hooks of all plugins registered, each name once."""

    providers: Mapping[str, type[Provider]] = {}
    dialects: Mapping[str, Dialect] = {}
    strategies: Mapping[str, Strategy] = {}
    checks: Mapping[str, CheckFactory] = {}
    stores: Mapping[str, StoreFactory] = {}
    routes: Sequence[Any] = ()
    commands: Sequence[Command] = ()


class Plan(Struct, frozen=True):
    """What a request runs. Stages hold their steps in the order they run; guards on the way out are already reversed."""

    plugins: tuple[Plugin, ...]
    registry: Registry
    deployments: Mapping[str, Provider]
    models: Mapping[str, Target]
    call: Call
    authenticate: tuple[Step, ...] = ()
    admit: tuple[Step, ...] = ()
    lookup: tuple[Step, ...] = ()
    store: tuple[Step, ...] = ()
    route: tuple[Step, ...] = ()
    guard_request: tuple[Step, ...] = ()
    guard_chunk: tuple[Step, ...] = ()
    guard_reply: tuple[Step, ...] = ()
    settle: tuple[Step, ...] = ()
    record: tuple[Step, ...] = ()
    wraps: tuple[str, ...] = ()

    @property
    def hold_chars(self) -> int:
        """How much of a stream must be held back: the most any stream guard needs, -1 when one needs all of it."""
        chunked = {step.plugin for step in self.guard_chunk}
        if any(step.plugin not in chunked for step in self.guard_reply):
            return -1
        wanted = [step.hooks.hold_chars for step in self.guard_chunk]
        return -1 if any(chars < 0 for chars in wanted) else max(wanted, default=0)

    def steps(self) -> Sequence[Step]:
        """Every step of every request stage, in the order of the stages."""
        return [step for name in _REQUEST for step in getattr(self, name)]


_REQUEST = tuple(name for name, stage in STAGES.items() if stage.fold in {"first", "every", "notify"})
_OUTWARD = {"guard_chunk", "guard_reply"}


def collect(plugins: Sequence[Plugin]) -> Registry:
    """Run the start-up hooks. Raises StartupError listing every plugin that failed and every name claimed twice."""
    problems = validate(plugins)
    found: dict[str, dict[str, Any]] = {
        name: {} for name in ("providers", "dialects", "strategies", "checks", "stores")
    }
    owners: dict[tuple[str, str], str] = {}
    routes: list[Any] = []
    commands: list[Command] = []
    for plugin in plugins:
        try:
            named: dict[str, Mapping[str, Any]] = {
                "providers": {provider.name: provider for provider in plugin.hooks.providers()},
                "dialects": {dialect.name: dialect for dialect in plugin.hooks.dialects()},
                "strategies": plugin.hooks.strategies(),
                "checks": plugin.hooks.checks(),
                "stores": plugin.hooks.stores(),
            }
            routes += plugin.hooks.routes()
            commands += plugin.hooks.commands()
        except Exception as error:
            problems.append(Problem(f"plugin `{plugin.name}` failed to register: {type(error).__name__}: {error}"))
            continue
        for kind, entries in named.items():
            for name, value in entries.items():
                first = owners.setdefault((kind, name), plugin.name)
                if first != plugin.name:
                    what = kind.removesuffix("s").replace("strategie", "strategy")
                    problems.append(Problem(f"{what} `{name}` is claimed by `{first}` and by `{plugin.name}`"))
                found[kind][name] = value
    if problems:
        raise StartupError(problems)
    return Registry(**found, routes=tuple(routes), commands=tuple(commands))


def compile_plan(
    plugins: Sequence[Plugin],
    registry: Registry,
    deployments: Mapping[str, Provider],
    models: Mapping[str, Target],
    budgets: Mapping[str, float] | None = None,
) -> Plan:
    """Fold the plugins, in order, into a Plan. `budgets` are seconds by `plugin.hook`, the operator's word being last.

    Raises StartupError for hooks of the wrong kind and for budgets that name nothing.
    """
    budgets = budgets or {}
    problems = validate(plugins)
    if problems:
        raise StartupError(problems)
    stages: dict[str, tuple[Step, ...]] = {}
    for hook in _REQUEST:
        steps = [_step(plugin, hook, budgets) for plugin in plugins if implements(plugin.hooks, hook)]
        stages[hook] = tuple(reversed(steps)) if hook in _OUTWARD else tuple(steps)
    known = {f"{step.plugin}.{step.hook}" for steps in stages.values() for step in steps}
    unknown = [Problem(f"`budgets.{name}` names no enabled plugin's hook") for name in budgets if name not in known]
    if unknown:
        raise StartupError(unknown)
    call: Call = call_provider
    wrappers = [plugin for plugin in plugins if implements(plugin.hooks, "wrap_call")]
    for plugin in reversed(wrappers):
        call = plugin.hooks.wrap_call(call)
    return Plan(
        tuple(plugins), registry, deployments, models, call, wraps=tuple(plugin.name for plugin in wrappers), **stages
    )


def implements(hooks: Hooks, hook: str) -> bool:
    """Whether a plugin has an implementation of its own of this hook, and a use for it."""
    return getattr(type(hooks), hook) is not getattr(Hooks, hook) and hook not in hooks.inactive


def validate(plugins: Sequence[Plugin]) -> list[Problem]:
    """What is wrong with the plugins' hooks: unknown names, wrong arguments, wrong colour, missing `@hookimpl`."""
    problems: list[Problem] = []
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Hooks)
    for plugin in plugins:
        problems += _colours(plugin)
        try:
            manager.register(plugin.hooks, plugin.name)
        except (pluggy.PluginValidationError, ValueError) as error:
            problems.append(Problem(f"plugin `{plugin.name}`: {' '.join(str(error).split())}"))
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        known = ", ".join(STAGES)
        problems.append(Problem(f"{' '.join(str(error).split())}; the hooks are {known}"))
    return problems


def _colours(plugin: Plugin) -> list[Problem]:
    problems: list[Problem] = []
    for hook in STAGES:
        if not implements(plugin.hooks, hook):
            continue
        method = getattr(plugin.hooks, hook)
        wants_async = inspect.iscoroutinefunction(getattr(Hooks, hook))
        options: Mapping[str, Any] | None = getattr(method, f"{PROJECT}_impl", None)
        if options is None:
            problems.append(Problem(f"plugin `{plugin.name}`: `{hook}` overrides a hook without `@hookimpl`"))
        elif options.get("wrapper") or options.get("hookwrapper") or options.get("tryfirst") or options.get("trylast"):
            problems.append(
                Problem(f"plugin `{plugin.name}`: `{hook}` must be plain; order comes from the configuration")
            )
        if inspect.iscoroutinefunction(method) != wants_async:
            word = "async def" if wants_async else "def"
            problems.append(Problem(f"plugin `{plugin.name}`: `{hook}` must be `{word}`"))
    return problems


def _step(plugin: Plugin, hook: str, budgets: Mapping[str, float]) -> Step:
    stage = STAGES[hook]
    budget = budgets.get(f"{plugin.name}.{hook}", plugin.hooks.budgets.get(hook, stage.budget_s))
    return Step(plugin.name, hook, stage, getattr(plugin.hooks, hook), budget, plugin.hooks)


async def call_provider(ex: Exchange) -> Any:
    """The innermost call: the attempt's provider."""
    attempt = ex.attempt
    if attempt is None:
        raise RuntimeError("no attempt is set")
    return await attempt.provider.call(ex)
