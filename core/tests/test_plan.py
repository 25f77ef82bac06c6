"""What a plan refuses, by name, and the order it gives."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, cast

import pluggy
import pytest
from typing_extensions import override

from headgate.builtin import Core
from headgate.errors import InvalidRequest, StartupError
from headgate.exchange import Attempt, Exchange, Reply, Target
from headgate.fleet import call_provider
from headgate.hooks import PROJECT, STAGES, Call, Hooks, Window, hookimpl
from headgate.operations import CHAT, EMBEDDINGS, RESPONSES, Operation
from headgate.plan import Plan, Plugin, collect, compile_plan, implements, narrowed, validate
from headgate.provider import DeploymentConfig, Provider
from headgate.testing import Canned, ReplayUpstream, hostile, request_hooks

impl: Any = pluggy.HookimplMarker(PROJECT)


def made(methods: Mapping[str, Any], **attributes: Any) -> Hooks:
    """A plugin with these methods, exactly as they are."""
    return cast("Hooks", type("Made", (Hooks,), {**methods, **attributes})())


def named(**plugins: Hooks) -> list[Plugin]:
    return [Plugin(name, hooks) for name, hooks in plugins.items()]


def compiled(plugins: Sequence[Plugin], budgets: Mapping[str, float] | None = None) -> Plan:
    return compile_plan(plugins, collect(plugins), {}, {}, budgets)


def problems_of(hooks: Hooks) -> str:
    """What `validate` says about one plugin called `bad`, and that the compiler refuses it with the same words."""
    found = [str(problem) for problem in validate(named(bad=hooks))]
    with pytest.raises(StartupError) as caught:
        compiled(named(bad=hooks))
    assert [str(problem) for problem in caught.value.problems] == found
    return "\n".join(found)


async def admit(self: Any, ex: Exchange) -> None:
    """A proper implementation."""


async def guard_chunk(self: Any, ex: Exchange, window: Window) -> str | None:
    """A proper implementation."""


# what is refused


def test_sync_request_hook() -> None:
    """A request hook that is a plain `def` is refused: it would block every other exchange."""

    def admit(self: Any, ex: Exchange) -> None:
        """Wrong colour."""

    assert problems_of(made({"admit": hookimpl(admit)})) == "plugin `bad`: `admit` must be `async def`"


def test_async_start_up_hook() -> None:
    """A start-up hook that is `async def` is refused: nothing would await it."""

    async def providers(self: Any) -> Iterable[type[Provider]]:
        return ()

    assert problems_of(made({"providers": hookimpl(providers)})) == "plugin `bad`: `providers` must be `def`"


@pytest.mark.parametrize("hook", STAGES)
def test_every_hook_has_one_colour(hook: str) -> None:
    """Whatever hook it is, the other colour is refused by name."""
    is_async = inspect.iscoroutinefunction(getattr(Hooks, hook))

    def plain(*arguments: Any) -> None:
        """The wrong colour of a request hook."""

    async def colourful(*arguments: Any) -> None:
        """The wrong colour of a start-up hook."""

    method: Any = plain if is_async else colourful
    method.__signature__ = inspect.signature(getattr(Hooks, hook))
    word = "async def" if is_async else "def"
    assert f"plugin `bad`: `{hook}` must be `{word}`" in problems_of(made({hook: hookimpl(method)}))


def test_unknown_hook() -> None:
    """A hook of no known name is refused with the names there are."""

    async def admitt(self: Any, ex: Exchange) -> None:
        """Misspelt."""

    said = problems_of(made({"admitt": hookimpl(admitt)}))
    assert "plugin `bad`" in said
    assert "admitt" in said
    assert "admit`" in said or said.endswith(f"the hooks are {', '.join(STAGES)}")


def test_wrong_arguments() -> None:
    """A hook with an argument the contract does not have is refused by plugin, hook and argument."""

    async def admit(self: Any, ex: Exchange, budget: float) -> None:
        """One argument too many."""

    said = problems_of(made({"admit": hookimpl(admit)}))
    assert "plugin `bad`" in said
    assert "'admit'" in said
    assert "budget" in said


def test_missing_hookimpl() -> None:
    """Overriding a hook without `@hookimpl` is refused, not ignored."""
    assert problems_of(made({"admit": admit})) == "plugin `bad`: `admit` overrides a hook without `@hookimpl`"


def test_missing_hookimpl_in_a_base_class() -> None:
    """An override that a base class of the plugin brings is looked at as well."""
    base = type("Base", (Hooks,), {"admit": admit})
    assert "`admit` overrides a hook without `@hookimpl`" in problems_of(cast("Hooks", type("Made", (base,), {})()))


@pytest.mark.parametrize("option", ["tryfirst", "trylast"])
def test_order_is_not_the_plugins(option: str) -> None:
    """A plugin cannot ask to be first or last: the configuration orders."""
    marked = impl(**{option: True})(_copy(admit))
    assert problems_of(made({"admit": marked})) == (
        "plugin `bad`: `admit` must be plain; order comes from the configuration"
    )


@pytest.mark.parametrize("option", ["wrapper", "hookwrapper"])
def test_wrappers_are_refused(option: str) -> None:
    """Wrappers of pluggy are refused: requests do not run through pluggy."""

    def admit(self: Any, ex: Exchange) -> Iterable[None]:
        yield

    marked = impl(**{option: True})(admit)
    assert "plugin `bad`: `admit` must be plain; order comes from the configuration" in problems_of(
        made({"admit": marked})
    )


def test_all_problems_at_once() -> None:
    """Every problem of every plugin is listed."""

    def route(self: Any, ex: Exchange) -> None:
        """Wrong colour."""

    first, second = made({"admit": admit}), made({"route": hookimpl(route), "record": _copy(admit)})
    said = [str(problem) for problem in validate(named(first=first, second=second))]
    assert said == [
        "plugin `first`: `admit` overrides a hook without `@hookimpl`",
        "plugin `second`: `route` must be `async def`",
        "plugin `second`: `record` overrides a hook without `@hookimpl`",
    ]


def test_one_name_for_two_plugins() -> None:
    """Two plugins of one name are refused."""
    plugins = [Plugin("same", made({})), Plugin("same", made({}))]
    assert [str(problem)[:14] for problem in validate(plugins)] == ["plugin `same`:"]


def test_an_inherited_hook_is_one_implementation() -> None:
    """A subclass of a plugin has what it inherits, once; the hooks of `Hooks` itself are no implementations."""
    base = type("Base", (Hooks,), {"admit": hookimpl(_copy(admit))})
    plugin = cast("Hooks", type("Made", (base,), {})())
    assert [hook for hook in STAGES if implements(plugin, hook)] == ["admit"]
    plan = compiled(named(made=plugin))
    assert [(step.plugin, step.hook) for step in plan.steps()] == [("made", "admit")]


def test_proper_hooks_are_fine() -> None:
    """A plugin that implements every hook properly has no problems."""
    for hook in STAGES:
        assert validate(named(fine=hostile("slow", hook))) == []


def test_missing_arguments() -> None:
    """A hook that leaves an argument out is refused: the plan calls every hook with all of them."""

    async def guard_chunk(self: Any, ex: Exchange) -> str | None:
        """Leaves out `window`."""

    said = problems_of(made({"guard_chunk": hookimpl(guard_chunk)}))
    assert "plugin `bad`" in said
    assert "window" in said


# registering


class One(Canned):
    name = "one"


CLAIMS: Mapping[str, tuple[Callable[[], Any], str]] = {
    "providers": (lambda: [One], "provider `one`"),
    "dialects": (lambda: [Core().dialects()[0]], "dialect `openai.chat`"),
    "strategies": (lambda: {"spread": object()}, "strategy `spread`"),
    "checks": (lambda: {"x.words": object()}, "check `x.words`"),
    "stores": (lambda: {"shelf": object()}, "store `shelf`"),
}


def giving(make: Callable[[], Any]) -> Any:
    """A start-up hook that answers with what `make` makes."""

    def method(self: Any) -> Any:
        return make()

    return hookimpl(method)


@pytest.mark.parametrize("kind", CLAIMS)
def test_names_are_claimed_once(kind: str) -> None:
    """Two plugins that register one name are both named."""
    make, what = CLAIMS[kind]
    methods = {kind: giving(make)}
    with pytest.raises(StartupError) as caught:
        collect(named(a=made(methods), b=made(methods)))
    assert str(caught.value) == f"{what} is claimed by `a` and by `b`"


@pytest.mark.parametrize("kind", [*CLAIMS, "routes", "commands"])
@pytest.mark.parametrize("hostility", ["raises", "wrong-type"])
def test_failing_to_register(kind: str, hostility: Literal["raises", "wrong-type"]) -> None:
    """A plugin that fails to register, or registers what is no collection, is named with the reason."""
    with pytest.raises(StartupError, match=r"plugin `bad` failed to register: (RuntimeError|TypeError|AttributeError)"):
        collect(named(bad=hostile(hostility, kind)))


def test_every_failure_is_listed() -> None:
    """Plugins behind one that fails are still asked."""
    with pytest.raises(StartupError) as caught:
        collect(named(a=hostile("raises", "checks"), b=hostile("raises", "routes")))
    assert [str(problem).partition(":")[0] for problem in caught.value.problems] == [
        "plugin `a` failed to register",
        "plugin `b` failed to register",
    ]


def test_what_is_registered_is_found() -> None:
    """The registry holds what the plugins gave, routes and commands in order."""
    methods = {kind: giving(make) for kind, (make, _) in CLAIMS.items()}
    methods["routes"] = giving(lambda: ["r1", "r2"])
    registry = collect(named(a=made(methods), b=made({"routes": giving(lambda: ["r3"])})))
    assert (list(registry.providers), list(registry.dialects)) == (["one"], ["openai.chat"])
    assert (list(registry.strategies), list(registry.checks)) == (["spread"], ["x.words"])
    assert (list(registry.stores), registry.routes) == (["shelf"], ("r1", "r2", "r3"))


# order


@pytest.mark.parametrize("hook", [hook for hook in request_hooks() if hook != "wrap_call"])
def test_order_is_that_of_the_configuration(hook: str) -> None:
    """Steps run in the order of the plugins; guards on the way out in reverse."""
    plan = compiled(named(a=hostile("slow", hook), b=hostile("slow", hook), c=made({})))
    names = [step.plugin for step in getattr(plan, hook)]
    assert names == (["b", "a"] if hook in {"guard_chunk", "guard_reply"} else ["a", "b"])


async def test_the_first_wrapper_is_the_outermost() -> None:
    """`wrap_call` is folded once: the first plugin sees the call first and the reply last."""
    seen: list[str] = []

    def wrapping(name: str) -> Hooks:
        def wrap_call(self: Any, call: Call) -> Call:
            async def wrapped(ex: Exchange) -> Reply:
                seen.append(f"{name} in")
                reply = await call(ex)
                seen.append(f"{name} out")
                return reply

            return wrapped

        return made({"wrap_call": hookimpl(wrap_call)})

    plan = compiled(named(a=wrapping("a"), b=wrapping("b")))
    ex = Exchange(CHAT, {}, request_id="r", trace_id="t")
    ex.body = b'{"model": "m", "messages": []}'
    provider = Canned("d", DeploymentConfig(provider="canned"), ReplayUpstream())
    ex.attempt = Attempt(Target(), provider, "m", 0.0)
    assert (await plan.call(ex)).status == 200
    assert (seen, plan.wraps) == (["a in", "b in", "b out", "a out"], ("a", "b"))


@pytest.mark.parametrize(
    ("wrap", "reason"), [(lambda: 1 / 0, "ZeroDivisionError"), (lambda: None, "NoneType"), (lambda: 7, "int")]
)
def test_a_wrapper_that_cannot_be_made(wrap: Callable[[], Any], reason: str) -> None:
    """A plugin whose `wrap_call` raises, or gives nothing to call, is named at start-up and not at a request."""

    def wrap_call(self: Any, call: Call) -> Call:
        return wrap()

    with pytest.raises(StartupError, match=f"plugin `bad`.*`wrap_call`.*{reason}"):
        compiled(named(bad=made({"wrap_call": hookimpl(wrap_call)})))


async def test_a_call_needs_an_attempt() -> None:
    """The innermost call without an attempt is a mistake of a wrapper, said as one."""
    with pytest.raises(RuntimeError, match="no attempt is set"):
        await call_provider(Exchange(CHAT, {}, request_id="r", trace_id="t"))


def test_a_stage_nobody_implements_is_empty() -> None:
    """A plugin without hooks costs no request anything."""
    plan = compiled(named(idle=made({})))
    assert (list(plan.steps()), plan.wraps, plan.call) == ([], (), call_provider)


def test_the_plan_is_frozen() -> None:
    """Neither a plan nor a step nor a registry can be changed."""
    plan = compiled(named(a=hostile("slow", "admit")))
    for held in (plan, plan.admit[0], plan.registry, plan.plugins[0]):
        for name in held.__struct_fields__:
            with pytest.raises(AttributeError):
                setattr(held, name, None)


# budgets


def test_budgets() -> None:
    """The stage's default holds, then the plugin's word, and the operator's last."""
    plugin = made({"admit": hookimpl(_copy(admit)), "record": hookimpl(_copy(admit))}, budgets={"record": 2.5})
    plan = compiled(named(a=plugin, b=made({"admit": hookimpl(_copy(admit))})), {"b.admit": 0.25})
    budgets = {(step.plugin, step.hook): step.budget_s for step in plan.steps()}
    assert budgets == {("a", "admit"): 1.0, ("a", "record"): 2.5, ("b", "admit"): 0.25}
    operator = compiled(named(a=plugin), {"a.record": 9})
    assert operator.record[0].budget_s == 9


@pytest.mark.parametrize("name", ["a.route", "b.admit", "a", "admit", "a.start"])
def test_budgets_for_nothing(name: str) -> None:
    """A budget that names no enabled plugin's request hook is refused by name."""
    with pytest.raises(StartupError, match=f"`budgets.{name}` names no enabled plugin's hook"):
        compiled(named(a=made({"admit": hookimpl(_copy(admit))})), {name: 1})


def test_every_request_hook_has_a_budget() -> None:
    """No hook of a request, `wrap_call` apart, can run without end."""
    budgets = {hook: STAGES[hook].budget_s for hook in request_hooks() if hook != "wrap_call"}
    assert [hook for hook, budget_s in budgets.items() if budget_s <= 0] == []


# holding back


@pytest.mark.parametrize(
    ("plugins", "expected"),
    [
        ([], 0),
        ([(("guard_chunk",), 10), (("guard_chunk",), 40)], 40),
        ([(("guard_chunk", "guard_reply"), 5)], 5),
        ([(("guard_reply",), 5)], -1),
        ([(("guard_chunk", "guard_reply"), 5), (("guard_reply",), 0)], -1),
        ([(("guard_request",), 7)], 0),
    ],
)
def test_hold_chars(plugins: list[tuple[tuple[str, ...], int]], expected: int) -> None:
    """The most any stream guard needs is held; a plugin that judges only whole replies holds everything."""
    bodies: dict[str, Any] = {"guard_chunk": guard_chunk, "guard_reply": admit, "guard_request": admit}
    made_ = {
        f"p{at}": made({hook: hookimpl(_copy(bodies[hook])) for hook in hooks}, hold_chars=chars)
        for at, (hooks, chars) in enumerate(plugins)
    }
    assert compiled(named(**made_)).hold_chars == expected


# the contract


def test_every_hook_is_a_stage() -> None:
    """Every public method of `Hooks` but four is a hook, in the order of the class, and says since when."""
    methods = [name for name, held in vars(Hooks).items() if inspect.isfunction(held) and not name.startswith("_")]
    assert methods == ["holds", "clears", "is_stale", "try_files", *STAGES]
    assert [name for name in methods if "Added in 0." not in (getattr(Hooks, name).__doc__ or "")] == []


async def test_the_defaults_do_nothing() -> None:
    """The hooks of `Hooks` itself can be called and answer nothing."""
    plain, ex = Hooks(), Exchange(CHAT, {}, request_id="r", trace_id="t")
    asked = [plain.authenticate, plain.admit, plain.lookup, plain.store, plain.route, plain.guard_request]
    assert [await hook(ex) for hook in [*asked, plain.guard_reply, plain.settle, plain.record]] == [None] * 9
    assert await plain.guard_chunk(ex, Window("0.content", "text")) is None
    assert plain.wrap_call(call_provider) is call_provider


def _copy(function: Any) -> Any:
    """A function of its own, so that one mark does not stand on all of them."""

    async def copied(*arguments: Any) -> Any:
        return await function(*arguments)

    copied.__name__ = function.__name__
    cast("Any", copied).__signature__ = inspect.signature(function)
    return copied


# plugins for some operations


class Notes(Hooks):
    """Notes by name when its wrapper is called."""

    def __init__(self, name: str, ran: list[str], *operations: str) -> None:
        self.name, self.ran, self.operations = name, ran, frozenset(operations)

    @override
    @hookimpl
    async def admit(self, ex: Exchange) -> None:
        self.ran.append(self.name)

    @override
    @hookimpl
    def wrap_call(self, call: Call) -> Call:
        async def noted(ex: Exchange) -> Reply:
            self.ran.append(self.name)
            return await call(ex)

        return noted


@pytest.mark.parametrize(
    ("operation", "expected"), [(CHAT, ["all", "chat"]), (RESPONSES, ["first", "all", "last"]), (EMBEDDINGS, ["all"])]
)
async def test_a_plan_of_one_operation(operation: Operation, expected: list[str]) -> None:
    """Hooks and wrappers of plugins for other operations are not in it, wherever they stand, and all others are."""
    ran: list[str] = []
    plugins = named(
        first=Notes("first", ran, "responses"),
        all=Notes("all", ran),
        chat=Notes("chat", ran, "chat"),
        last=Notes("last", ran, "responses"),
    )
    plan = narrowed(compiled(plugins), operation.name)
    assert [step.plugin for step in plan.admit] == expected
    ex = Exchange(operation, {}, request_id="r", trace_id="t")
    ex.attempt = Attempt(Target(), Canned("canned", DeploymentConfig(provider="canned"), ReplayUpstream({})), "m", 0.0)
    with pytest.raises(InvalidRequest):  # its body is empty, which the vendor behind all wrappers sees
        await plan.call(ex)
    assert ran == expected


async def test_a_plan_for_all_operations_stays_as_it_is() -> None:
    """Where no plugin is for some operations alone there is one plan; an outermost wrapper for others is not even called."""
    ran: list[str] = []
    plan = compiled(named(all=Notes("all", ran)))
    assert narrowed(plan, "chat") is plan
    first = compiled(named(first=Notes("first", ran, "responses")))
    assert narrowed(first, "chat").call is call_provider


@pytest.mark.parametrize(
    ("operations", "words"),
    [
        (frozenset({"chats"}), "`operations` names `chats`, which is no operation (did you mean `chat`?)"),
        ({"chat"}, "`operations` must be a frozenset of names of operations"),
        (None, "`operations` must be a frozenset of names of operations"),
    ],
)
def test_operations_that_are_none(operations: Any, words: str) -> None:
    """A plugin that is for something unknown would never run."""
    assert problems_of(made({}, operations=operations)) == f"plugin `bad`: {words}"
