"""The plugin contract: every hook, in the order a request meets them.

A plugin is a class that subclasses `Hooks` and marks methods with `@hookimpl`::

    class SpendCap(Hooks):
        class Config(Struct, frozen=True, forbid_unknown_fields=True):
            limit: float

        def __init__(self, config: Config) -> None:
            self.limit = config.limit

        @override
        @hookimpl
        async def admit(self, ex: Exchange) -> None:
            if spent(ex.principal) > self.limit:
                raise BudgetExceeded(f"the limit of {self.limit} is reached")

Four folds, and no others: **first** (the first answer that is not None wins), **every** (in order; raise to refuse),
**wrap** (callable in, callable out, at start-up) and **notify** (after the reply; errors are counted, never raised).
Request hooks are `async def`, start-up hooks `def`; the compiler refuses anything else by name. What happens when a
hook raises something that is no RequestError, overruns its time budget or answers with the wrong type is its stage's
rule: *closed* ends the exchange with an error, *open* logs it and goes on, *declared* follows the plugin's `on_error`.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, ParamSpec, Protocol, TypeVar

import pluggy
from msgspec import Struct

from headgate.dialects import Dialect
from headgate.exchange import Exchange, Principal, Reply, Target
from headgate.fleet import Fleet
from headgate.policies import Health
from headgate.provider import Provider

if TYPE_CHECKING:
    import argparse

    from headgate.context import Context

PROJECT = "headgate"

P = ParamSpec("P")
R = TypeVar("R")

_spec = pluggy.HookspecMarker(PROJECT)
_impl = pluggy.HookimplMarker(PROJECT)

Fold = Literal["register", "life-cycle", "first", "every", "wrap", "notify"]
Failure = Literal["refuse to start", "closed", "open", "declared", "as the call"]
Call = Callable[[Exchange], Awaitable[Reply]]
"""Carries out `ex.attempt`."""


class Stage(Struct, frozen=True):
    """What the core does with a hook: its stage, fold, failure rule and default time budget in seconds."""

    name: str
    fold: Fold
    failure: Failure
    budget_s: float = 0.0


STAGES: dict[str, Stage] = {}
"""Every hook by name, in the order of `Hooks`."""


def _stage(
    name: str, fold: Fold, failure: Failure, budget_s: float = 0.0
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    def mark(function: Callable[P, R]) -> Callable[P, R]:
        STAGES[function.__name__] = Stage(name, fold, failure, budget_s)
        return _spec(function)

    return mark


def hookimpl(function: Callable[P, R]) -> Callable[P, R]:
    """Mark a method as the plugin's implementation of the hook of the same name. Added in 0.1."""
    return _impl(function)


class Verdict(Struct, frozen=True):
    """What a check says about one text. `text` is the replacement when `outcome` is `transformed`."""

    outcome: Literal["pass", "fail", "transformed", "error"]
    reason: str = ""
    text: str | None = None
    data: Mapping[str, Any] = {}


class Check(Protocol):
    """A configured guardrail check. `hold_chars` is how far back it must see to judge a stream as it judges a whole text."""

    @property
    def hold_chars(self) -> int:
        """Characters of a stream to hold back."""
        ...

    async def judge(self, text: str) -> Verdict:
        """The verdict on one text."""
        ...


CheckFactory = Callable[[Mapping[str, Any]], Check]
"""Makes a Check from its parameters; raises ValueError with the reason when they are wrong."""


CALLERS_OWN = frozenset({400, 405, 411, 413, 414, 415, 422, 428, 431})
"""What a provider says of the request itself: another provider would most likely say the same, so it stands."""


class Outcome(Struct, frozen=True):
    """How one child of a target ended: its place among the siblings, the HTTP status, whether it may be left behind, and
    how many seconds its reply, or the first event of it, took.
    """

    index: int
    status: int
    is_final: bool = False
    elapsed_s: float = 0.0

    def is_left(self, codes: Collection[int] = ()) -> bool:
        """Whether another target may be called for it: with `codes`, a node's `on_status_codes`, for exactly these.

        Without them every failure is left but the gateway's own refusals, which every target would meet alike, and what a
        provider says of the request itself (`CALLERS_OWN`). Added in 0.1.
        """
        if codes:
            return self.status in codes
        return not (200 <= self.status < 300 or self.is_final or self.status in CALLERS_OWN)


Fault = Callable[[str, str], None]
"""Told of a problem: where it stands, and what is wrong and how to mend it."""


class Scene(Struct, frozen=True):
    """The moment of a choice: the time in monotonic seconds, chance, how the deployments are, and the model asked for."""

    now: float
    rng: random.Random
    fleet: Fleet
    model: str = ""

    def health(self, leaf: Target) -> Health:
        """What is known of a leaf."""
        return self.fleet.of(leaf, self.model)

    def healthy(self, target: Target, among: Iterable[int]) -> list[int]:
        """Those of the children `among` whose deployments may be called: not known to fail, not at a limit."""
        return [index for index in among if self.fleet.is_usable(target.targets[index], self.model, self.now)]

    def usable(self, target: Target, among: Iterable[int], outcomes: Sequence[Outcome] = ()) -> list[int]:
        """The healthy ones of those children `among` that were not called yet.

        When none is, it is one that would only rather not be called; after a failure nobody is who is known to fail or has
        asked for a pause, but as the first call it is even one of those: refusing for certain would be no better.
        """
        called = {outcome.index for outcome in outcomes}
        left = [index for index in among if index not in called]
        found = self.healthy(target, left)
        if found:
            return found
        fleet, children = self.fleet, target.targets
        willing = [index for index in left if not fleet.is_shut(children[index], self.model, self.now)]
        rest = willing if willing or called else left
        return [min(rest, key=lambda index: fleet.wait_s(children[index], self.model, self.now))] if rest else []


class Strategy(Protocol):
    """Picks what to call. Pure: all it knows comes in, so that it can be simulated."""

    def compile(self, target: Target, fault: Fault) -> Any:
        """What `choose` needs of a node, made once when its routing config is read and kept as `target.compiled`.

        Tell `fault` of every setting that is wrong: where it stands below the node (`strategy.default`) and what to do.
        """
        del target, fault

    def choose(self, target: Target, ex: Exchange, outcomes: Sequence[Outcome], scene: Scene) -> int | None:
        """The index of the next child of `target` to call, or None when the last outcome stands.

        `outcomes` are this target's own so far, oldest first; the first call has none and must give an index.
        `scene.usable` leaves out what is known to fail. Raises a RequestError when the caller has to hear why nothing is
        called.
        """
        ...

    def ended(self, target: Target, outcome: Outcome, scene: Scene) -> None:
        """Told how each child ended, for those that learn from it. Added in 0.1."""
        del target, outcome, scene

    def hedge_after_s(self, target: Target, ex: Exchange, index: int, scene: Scene) -> float | None:
        """After how many seconds without a reply from child `index` `second` is asked; None for never, which is the default.

        Only for calls that may be made twice. Added in 0.1.
        """
        del target, ex, index, scene
        return None

    def second(self, target: Target, ex: Exchange, index: int, scene: Scene) -> int | None:
        """The child to call beside `index`, which has not answered yet: the first good reply of the two wins. Added in 0.1."""
        del target, ex, index, scene
        return None

    def mirrors(self, target: Target, ex: Exchange, scene: Scene) -> Sequence[int]:
        """The children that get the same request off the path, for the record alone; none by default. Added in 0.1."""
        del target, ex, scene
        return ()


class StateStore(Protocol):
    """Small shared state: counters, limits, locks. Keys and values are bytes; `ttl_s` None means until told otherwise."""

    async def get(self, key: bytes) -> bytes | None:
        """The value, or None when absent or expired."""
        ...

    async def set(self, key: bytes, value: bytes, ttl_s: float | None = None) -> None:
        """Put a value."""
        ...

    async def add(self, key: bytes, amount: int, ttl_s: float | None = None) -> int:
        """Add to a counter atomically and return it. `ttl_s` counts from when the counter came into being."""
        ...

    async def delete(self, key: bytes) -> None:
        """Remove a value; absent is fine."""
        ...


StoreFactory = Callable[["Context"], StateStore]


class ModelFacts(Struct, frozen=True, omit_defaults=True):
    """What is known of a model, as `GET /v1/models` shows it; what is not known is left out. Added in 0.1.

    `usd_per_million_tokens` has `input` and `output`, and where they differ `cached` (read from the provider's cache) and
    `cache_write`: the standard prices now, without those for long prompts. `capabilities` are words such as `tools`.
    """

    context_window: int | None = None
    max_output_tokens: int | None = None
    usd_per_million_tokens: Mapping[str, float] = {}
    capabilities: tuple[str, ...] = ()


FindFacts = Callable[[Provider, str], ModelFacts | None]
"""What is known of a provider's model, from memory; None when nothing is."""


MakeGuards = Callable[[Mapping[str, Any], Mapping[str, CheckFactory], Fault], "Hooks | None"]
"""Makes what judges the requests and replies of a routing config from its `before_request_hooks`, `after_request_hooks`,
`input_guardrails` and `output_guardrails`, and the checks there are: an object with `guard_request`, `guard_chunk` and
`guard_reply`."""


class Command(Struct, frozen=True):
    """A subcommand of `headgate`. `arguments` fills an argparse parser; `run` returns the exit code."""

    name: str
    help: str
    run: Callable[[argparse.Namespace], int]
    arguments: Callable[[argparse.ArgumentParser], None] | None = None


class Window(Struct, frozen=True):
    """Text of a running stream that has not been sent yet.

    `text` is all of it that is held for `channel` (`0.content`, `0.tool.1.arguments`); `before` is what was sent
    already, at most `hold_chars` of it; `start` is how many characters of the channel were sent before `text`;
    `is_last` says that no more is expected in this channel.
    """

    channel: str
    text: str
    before: str = ""
    start: int = 0
    is_last: bool = False


class Hooks:
    """Every hook of Headgate, in the order a request meets them. Subclass it, override with `@hookimpl`."""

    Config: ClassVar[type[Struct] | None] = None
    """The plugin's settings: a frozen Struct with `forbid_unknown_fields=True`; None when it has none."""
    on_error: Literal["deny", "allow"] = "deny"
    """What a failing guardrail hook means for the exchange. Class or instance attribute."""
    hold_chars: int = 0
    """For `guard_chunk`: characters of every stream to hold back, so that nothing unjudged is sent; -1 holds all of it.
    Where a look at the text shows that less is enough, override `holds(text)`, which says how many."""

    def holds(self, text: str) -> int:  # noqa: ARG002 - for those who override it
        """How many characters at the end of a stream's unsent `text` may not be sent yet, at most `hold_chars`.

        Override it where a look at the text shows that less than `hold_chars` is enough, since a match cannot go on over
        a space, say. It is asked after `guard_chunk` has judged that text. Added in 0.1.
        """
        return self.hold_chars

    def clears(self, window: Window) -> bool:  # noqa: ARG002 - as above
        """Whether a look shows that `guard_chunk` would let `window.text` pass as it is, and that nothing of it need wait.

        Override it where that can be said without waiting: such text goes straight from the provider's connection to the
        client's. It is called outside of any task; False leaves the text to `guard_chunk`. Added in 0.1.
        """
        return False

    inactive: frozenset[str] = frozenset()
    """Hooks that this instance, as it is configured, has no use for; set it in `configure` at the latest. They cost nothing."""
    operations: frozenset[str] = frozenset()
    """Names of the operations that the request hooks and `wrap_call` are for, where they are not for all; requests for
    others do not pay for them. Sessions over a WebSocket (`realtime`, `generate.live`) are refused while a guardrail is
    for them, whose texts no hook sees: one that may be passed by leaves them out. Class or instance attribute, set before
    `configure`."""

    def is_stale(self) -> bool:
        """Whether what `start` read has changed, so that a reload must start the plugin anew, though its settings are the same.

        Asked at each reload, on the loop: look at the time of a file, no more. Added in 0.1.
        """
        return False

    def try_files(self, ctx: Context) -> None:
        """Read the files that `start` would read, and keep nothing: `headgate check` asks it of every plugin.

        It may wait for disks. Raise StartupError with every problem that `start` would have. Added in 0.1.
        """

    budgets: ClassVar[Mapping[str, float]] = {}
    """Time budgets in seconds by hook name, where the plugin needs other ones than the stage's."""

    # start-up

    @_stage("start-up", "register", "refuse to start")
    def providers(self) -> Iterable[type[Provider]]:
        """Provider classes this plugin brings, beside those found through the `headgate.providers` entry points.

        Two packages that claim one name are an error at start-up. Added in 0.1.
        """
        return ()

    @_stage("start-up", "register", "refuse to start")
    def dialects(self) -> Iterable[Dialect]:
        """Wire formats this plugin brings; a name may be registered once. Added in 0.1."""
        return ()

    @_stage("start-up", "register", "refuse to start")
    def strategies(self) -> Mapping[str, Strategy]:
        """Routing strategies by the `strategy.mode` that selects them. Added in 0.1."""
        return {}

    @_stage("start-up", "register", "refuse to start")
    def checks(self) -> Mapping[str, CheckFactory]:
        """Guardrail checks by id, such as `default.contains`; any guardrail plugin may use them. Added in 0.1."""
        return {}

    @_stage("start-up", "register", "refuse to start")
    def stores(self) -> Mapping[str, StoreFactory]:
        """State stores by the name that `state:` selects. Added in 0.1."""
        return {}

    @_stage("start-up", "register", "refuse to start")
    def routes(self) -> Sequence[Any]:
        """Litestar route handlers to serve beside the gateway's own. Changes need a restart. Added in 0.1."""
        return ()

    @_stage("start-up", "register", "refuse to start")
    def commands(self) -> Iterable[Command]:
        """Subcommands of `headgate`. Added in 0.1."""
        return ()

    @_stage("start-up", "register", "refuse to start")
    def facts(self) -> FindFacts | None:
        """A function that tells what is known of a model; of several the first answer counts. It must not wait. Added in 0.1."""
        return None

    @_stage("start-up", "register", "refuse to start")
    def guards(self) -> MakeGuards | None:
        """What makes guardrails of those that stand in a routing config; one plugin at most may. Added in 0.1."""
        return None

    @_stage("start-up", "register", "refuse to start")
    def configure(self, ctx: Context) -> None:
        """Check the settings against what other plugins registered: `ctx.check`, `ctx.decode_target`. No I/O.

        `headgate check` calls it too; raise StartupError with every problem. Added in 0.1.
        """

    @_stage("start-up", "life-cycle", "refuse to start", 30.0)
    async def start(self, ctx: Context) -> None:
        """Called once before the first request, in order; open files and connections here.

        A plugin whose settings do not change in a reload is kept, and not started again. Added in 0.1.
        """

    @_stage("start-up", "life-cycle", "open", 10.0)
    async def stop(self) -> None:
        """Called once after the last request, in reverse order; flush and close. Added in 0.1."""

    # auth

    @_stage("auth", "first", "closed", 1.0)
    async def authenticate(self, ex: Exchange) -> Principal | None:
        """Who calls, from the headers alone: the body has not been read yet. None leaves it to the next plugin.

        Raise Unauthenticated for a credential that is wrong; nobody answering is a 401. Added in 0.1.
        """

    @_stage("auth", "every", "closed", 1.0)
    async def admit(self, ex: Exchange) -> None:
        """Whether this principal may do this now: model allowed, rate limits, budget reserved. The body is here.

        Raise Forbidden, RateLimited or BudgetExceeded to refuse. Added in 0.1.
        """

    # cache

    @_stage("cache", "first", "open", 0.5)
    async def lookup(self, ex: Exchange) -> Reply | None:
        """A stored reply, which ends the exchange with `cache_status` HIT. Set `ex.collect` to be given the reply later.

        The key must bind `ex.principal.tenant`, the operation, the model and every byte of `ex.body`. Added in 0.1.
        """

    @_stage("cache", "notify", "open", 1.0)
    async def store(self, ex: Exchange) -> None:
        """After a good, complete reply that was not itself from a cache: `ex.reply_body` holds all of it, streams too.

        Only called when `ex.collect` was set. Of a stream over 8 MiB there is at most the end, `ex.reply_tail`, where
        `ex.tail_bytes` asked for it. Added in 0.1.
        """

    # route

    @_stage("route", "first", "closed", 1.0)
    async def route(self, ex: Exchange) -> Target | None:
        """What to call, as a routing tree. The core answers last: model alias, `deployment/model`, provider header.

        Added in 0.1.
        """

    # guardrail

    @_stage("guardrail", "every", "declared", 5.0)
    async def guard_request(self, ex: Exchange) -> None:
        """Before each attempt, with `ex.attempt` known: read `ex.texts()`, change with `ex.replace_texts`.

        Raise Blocked to refuse the attempt and with it the exchange. Added in 0.1.
        """

    @_stage("guardrail", "every", "declared", 2.0)
    async def guard_chunk(self, ex: Exchange, window: Window) -> str | None:
        """For each piece of a stream, in reverse order of plugins: None lets `window.text` pass, a string replaces it.

        Raise Blocked to cut the stream with an error event. A plugin with `guard_reply` and without this hook has
        every stream held back until its end, then judged whole. Added in 0.1.
        """

    @_stage("guardrail", "every", "declared", 5.0)
    async def guard_reply(self, ex: Exchange) -> None:
        """For each whole reply, in reverse order of plugins: read `ex.reply_texts()`, change with `replace_reply_texts`.

        Raise Blocked to refuse it. Added in 0.1.
        """

    # call

    @_stage("call", "wrap", "as the call")
    def wrap_call(self, call: Call) -> Call:
        """Wrap what carries out an attempt (retry, hedge, trace). Called once at start-up; the first plugin is outermost.

        The wrapper must not swallow CancelledError, and may carry an attempt out again only while `ex.can_repeat`. Added in 0.1.
        """
        return call

    # log

    @_stage("log", "notify", "open", 5.0)
    async def settle(self, ex: Exchange) -> None:
        """After every exchange that was admitted, however it ended: turn reservations into spending. Added in 0.1."""

    @_stage("log", "notify", "open", 5.0)
    async def record(self, ex: Exchange) -> None:
        """After every exchange, refused ones included. Hand it to a queue of your own and return. Added in 0.1."""
