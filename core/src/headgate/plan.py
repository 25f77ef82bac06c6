"""The frozen plan: which plugin's method runs in which stage. Compiled once at start-up, swapped whole on reload.

pluggy registers and validates the plugins here and is then let go: a request runs plain tuples of bound methods.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec
import pluggy
from msgspec import Struct
from pluggy import HookimplOpts
from typing_extensions import override

from headgate.dialects import Dialect
from headgate.errors import Problem, StartupError
from headgate.exchange import Exchange, Target
from headgate.fleet import Fleet, call_provider
from headgate.hooks import (
    PROJECT,
    STAGES,
    Call,
    CheckFactory,
    Command,
    FindFacts,
    Hooks,
    MakeGuards,
    Stage,
    StoreFactory,
    Strategy,
)
from headgate.operations import OPERATIONS
from headgate.provider import Provider
from headgate.suggest import did_you_mean, shown


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
    facts: Sequence[FindFacts] = ()
    guards: MakeGuards | None = None


class Plan(Struct, frozen=True):
    """What a request runs. Stages hold their steps in the order they run; guards on the way out are already reversed.

    `inside` are the calls that the wrappers wrap, the outermost first.
    """

    plugins: tuple[Plugin, ...]
    registry: Registry
    deployments: Mapping[str, Provider]
    models: Mapping[str, Target]
    call: Call
    fleet: Fleet
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
    inside: tuple[tuple[Hooks, Call], ...] = ()

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
_OPERATIONS = frozenset(operation.name for operation in OPERATIONS)
_OUTWARD = {"guard_chunk", "guard_reply"}
_MARK = f"{PROJECT}_impl"
_NOT_PLAIN = ("wrapper", "hookwrapper", "tryfirst", "trylast", "optionalhook", "specname")
_BY_PLACE = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
_NAMED = {
    "providers": "provider",
    "dialects": "dialect",
    "strategies": "strategy",
    "checks": "check",
    "stores": "store",
}


def collect(plugins: Sequence[Plugin]) -> Registry:
    """Run the start-up hooks. Raises StartupError listing every plugin that failed and every name claimed twice."""
    problems: list[Problem] = []
    found: dict[str, dict[str, Any]] = {name: {} for name in _NAMED}
    owners: dict[tuple[str, str], str] = {}
    routes: list[Any] = []
    commands: list[Command] = []
    facts: list[FindFacts] = []
    guards: list[tuple[str, MakeGuards]] = []
    for plugin, wrong in _examined(plugins):
        problems += wrong
        if wrong:
            continue  # nothing it would register can be relied on
        try:
            named = _registered(plugin.hooks)
            routes += list(plugin.hooks.routes())
            commands += list(plugin.hooks.commands())
            find_facts = plugin.hooks.facts()
            facts += [find_facts] if find_facts is not None else []
            make = plugin.hooks.guards()
            guards += [(plugin.name, make)] if make is not None else []
        except Exception as error:
            problems.append(_failed(plugin, "failed to register", error))
            continue
        for kind, entries in named.items():
            for name, value in entries.items():
                first = owners.setdefault((kind, name), plugin.name)
                if first != plugin.name:
                    problems.append(Problem(f"{_NAMED[kind]} `{name}` is claimed by `{first}` and by `{plugin.name}`"))
                found[kind][name] = value
    if len(guards) > 1:
        problems.append(
            Problem(f"the guardrails of routing configs are made by `{guards[0][0]}` and by `{guards[1][0]}`")
        )
    if problems:
        raise StartupError(problems)
    make = guards[0][1] if guards else None
    return Registry(**found, routes=tuple(routes), commands=tuple(commands), facts=tuple(facts), guards=make)


def _registered(hooks: Hooks) -> dict[str, dict[str, Any]]:
    """What a plugin registers under names. Raises whatever the plugin raises, and TypeError for what is no collection."""
    return {
        "providers": {provider.name: provider for provider in hooks.providers()},
        "dialects": {dialect.name: dialect for dialect in hooks.dialects()},
        "strategies": dict(hooks.strategies()),
        "checks": dict(hooks.checks()),
        "stores": dict(hooks.stores()),
    }


def compile_plan(
    plugins: Sequence[Plugin],
    registry: Registry,
    deployments: Mapping[str, Provider],
    models: Mapping[str, Target],
    budgets: Mapping[str, float] | None = None,
    fleet: Fleet | None = None,
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
    problems = [Problem(f"`budgets.{name}` names no enabled plugin's hook") for name in budgets if name not in known]
    wrappers = [plugin for plugin in plugins if implements(plugin.hooks, "wrap_call")]
    call, inside = _wrapped(wrappers, problems)
    if problems:
        raise StartupError(problems)
    names = tuple(plugin.name for plugin in wrappers)
    return Plan(
        tuple(plugins), registry, deployments, models, call, fleet or Fleet(), wraps=names, inside=inside, **stages
    )


def narrowed(plan: Plan, operation: str) -> Plan:
    """The plan of one operation: without the plugins that are for others. The plan itself when there are none of these."""
    call = plan.call
    for hooks, inside in plan.inside:
        if _is_for(hooks, operation):
            break
        call = inside
    stages = {hook: [step for step in getattr(plan, hook) if _is_for(step.hooks, operation)] for hook in _REQUEST}
    fewer = {hook: tuple(steps) for hook, steps in stages.items() if len(steps) < len(getattr(plan, hook))}
    return msgspec.structs.replace(plan, call=call, **fewer) if fewer or call is not plan.call else plan


def _is_for(hooks: Hooks, operation: str) -> bool:
    return not hooks.operations or operation in hooks.operations


def _only(operations: frozenset[str], call: Call, otherwise: Call) -> Call:
    """A call for some operations, and what carries out the others."""

    def chosen(ex: Exchange) -> Awaitable[Any]:
        return (call if ex.operation.name in operations else otherwise)(ex)

    return chosen


def _wrapped(wrappers: Sequence[Plugin], problems: list[Problem]) -> tuple[Call, tuple[tuple[Hooks, Call], ...]]:
    """The provider's call inside every plugin's wrapper, the first outermost, and what each of them wraps.

    What cannot be had goes to `problems`.
    """
    call: Call = call_provider
    inside: list[tuple[Hooks, Call]] = []
    for plugin in reversed(wrappers):
        try:
            made: Any = plugin.hooks.wrap_call(call)
        except Exception as error:
            problems.append(_failed(plugin, "failed in `wrap_call`", error))
            continue
        if callable(made):
            inside.insert(0, (plugin.hooks, call))
            wrapped, names = cast("Call", made), plugin.hooks.operations
            call = _only(names, wrapped, call) if names else wrapped
        else:
            kind = type(made).__name__
            problems.append(Problem(f"plugin `{plugin.name}`: `wrap_call` gave `{kind}`, which cannot be called"))
    return call, tuple(inside)


def implements(hooks: Hooks, hook: str) -> bool:
    """Whether a plugin has an implementation of its own of this hook, and a use for it."""
    return getattr(type(hooks), hook) is not getattr(Hooks, hook) and hook not in hooks.inactive


def validate(plugins: Sequence[Plugin]) -> list[Problem]:
    """What is wrong with the plugins' hooks: unknown names, wrong arguments, wrong colour, missing `@hookimpl`."""
    return [problem for _, problems in _examined(plugins) for problem in problems]


class _Manager(pluggy.PluginManager):
    """pluggy, which looks at the hooks there are and not at every attribute of a plugin."""

    @override
    def parse_hookimpl_opts(self, plugin: object, name: str) -> HookimplOpts | None:
        return super().parse_hookimpl_opts(plugin, name) if name in STAGES else None


def _examined(plugins: Sequence[Plugin]) -> Iterator[tuple[Plugin, list[Problem]]]:
    """Each plugin with what is wrong with its hooks."""
    manager = _Manager(PROJECT)
    manager.add_hookspecs(Hooks)
    for plugin in plugins:
        problems = [Problem(f"plugin `{plugin.name}`: {words}") for words in _wrong_hooks(plugin.hooks)]
        try:
            manager.register(plugin.hooks, plugin.name)
        except Exception as error:
            problems.append(Problem(f"plugin `{plugin.name}`: {' '.join(str(error).split())}"))
        yield plugin, problems
    for _, hooks in manager.list_name_plugin():
        manager.unregister(hooks)  # the manager holds itself, and would hold them until the collector comes by


def _wrong_hooks(hooks: Hooks) -> Iterator[str]:
    """What is wrong with one plugin's hooks, in words; pluggy finds arguments that a hook does not have."""
    held = {name: value for kind in reversed(type(hooks).__mro__) for name, value in vars(kind).items()}
    for name in sorted(held.keys() - STAGES.keys()):
        if hasattr(held[name], _MARK):
            yield f"`{name}` is no hook{did_you_mean(name, STAGES)}; the hooks are {', '.join(STAGES)}"
    given: Any = hooks.operations
    if not isinstance(given, frozenset):
        yield "`operations` must be a frozenset of names of operations"
    else:
        for name in sorted(map(str, cast("frozenset[Any]", given) - _OPERATIONS)):
            yield f"`operations` names `{name}`, which is no operation{did_you_mean(name, _OPERATIONS)}"
    for hook in STAGES:
        if implements(hooks, hook):
            yield from _wrong_hook(hook, getattr(hooks, hook))


def _wrong_hook(hook: str, method: Any) -> Iterator[str]:
    options: Mapping[str, Any] | None = getattr(method, _MARK, None)
    if options is None:
        yield f"`{hook}` overrides a hook without `@hookimpl`"
    elif any(options.get(name) for name in _NOT_PLAIN):
        yield f"`{hook}` must be plain; order comes from the configuration"
    contract = getattr(Hooks, hook)
    wants_async = inspect.iscoroutinefunction(contract)
    if inspect.iscoroutinefunction(method) != wants_async:
        yield f"`{hook}` must be `{'async def' if wants_async else 'def'}`"
    wanted = list(inspect.signature(contract).parameters)[1:]
    if not _takes(method, wanted):
        yield f"`{hook}` must take the arguments `{', '.join(wanted)}`, in this order"


def _takes(method: Any, wanted: Sequence[str]) -> bool:
    """Whether a method can be called with these arguments, which come by position."""
    given = list(inspect.signature(method).parameters.values())
    if any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in given):
        return True
    by_place = [parameter.name for parameter in given if parameter.kind in _BY_PLACE]
    return by_place[: len(wanted)] == list(wanted)


def _failed(plugin: Plugin, what: str, error: Exception) -> Problem:
    return Problem(f"plugin `{plugin.name}` {what}: {type(error).__name__}: {shown(str(error))}")


def _step(plugin: Plugin, hook: str, budgets: Mapping[str, float]) -> Step:
    stage = STAGES[hook]
    budget = budgets.get(f"{plugin.name}.{hook}", plugin.hooks.budgets.get(hook, stage.budget_s))
    return Step(plugin.name, hook, stage, getattr(plugin.hooks, hook), budget, plugin.hooks)
