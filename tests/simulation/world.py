"""One schedule on a virtual clock: the real executor between clients that come and go and providers that follow a script.

`World.run` carries every request through `headgate.pipeline` as the server does, and keeps a trace of all that happened.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from msgspec import Struct
from msgspec.structs import replace
from tests.simulation.clock import VirtualLoop
from tests.simulation.strategies import CHOOSERS, EXTRA
from tests.simulation.vendor import Call, Law, Vendor
from typing_extensions import override

from headgate import pipeline
from headgate.builtin import Core
from headgate.errors import Blocked, RequestError
from headgate.exchange import Attempt, Exchange, Principal, Reply, Target
from headgate.fleet import Fleet
from headgate.hooks import Fault, Hooks, Outcome, Scene, Strategy, hookimpl
from headgate.operations import CHAT
from headgate.plan import Plan, Plugin, Registry, collect, compile_plan
from headgate.policies import Health, RetryBudget
from headgate.relay import discard
from headgate.routing import Known, decode_target
from headgate_router_standard import RouterStandard

BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
STREAM_BODY = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}'
GUARD_S = 0.2
"""How long the guardrail takes over an answer."""


class Asked(Struct, frozen=True):
    """A request: when it comes, whether it streams, how long it may take, and when its client leaves (both seconds, 0: never).

    A client that `pours` takes chunks past its task.
    """

    at_s: float
    stream: bool = False
    deadline_s: float = 0.0
    leaves_s: float = 0.0
    pours: bool = False
    metadata: Mapping[str, str] = {}


class Schedule(Struct, frozen=True):
    """All that a run is made of: providers, the routing config as written, requests, the reserve of retries per second, and
    `changes`: laws that take the place of others after so many seconds. `is_guarded`: a guardrail refuses some answers.
    """

    seed: int
    laws: Mapping[str, Law]
    config: Mapping[str, Any]
    asked: Sequence[Asked]
    reserve_per_s: float = 10.0
    changes: Sequence[tuple[float, str, Law]] = ()
    is_guarded: bool = False


class Client(Struct, eq=False):
    """One request as its client saw it. `ends` lists every way it ended, which must be one; `settled` counts records."""

    id: str
    asked: Asked
    ends: list[str] = []
    status: int = 0
    got: bytes = b""
    pieces: int = 0
    first_byte_s: float | None = None
    ended_s: float = 0.0
    settled: int = 0
    deadline: float = float("inf")
    left_open: int = 0
    """Calls still under way when the request had ended."""
    beside: int = 0
    """Calls still under way beside the one that answered, when it had."""
    error: str = ""
    calls: list[Call] = []
    """What was called for it, without the calls of its shadows."""


class Made(Struct, eq=False):
    """A call as the provider saw it: which request's, its place among the tries of its attempt, and whether it probes."""

    call: Call
    attempt: Attempt
    client: str
    retry: int
    decided_s: float
    """When it was decided to make it, which for a retry is before a wait."""
    is_shadow: bool
    is_probe: bool
    breaks_in: bool
    """Whether it should not have been made: a breaker was shut and another target was well."""
    after_byte: bool
    probes: int
    """Other probes of the same breaker that were under way when it started."""
    health: Health | None
    is_budgeted: bool
    """Whether its target may be tried again, so that its calls pay into the budget of retries."""
    allowed: int
    """How many calls its deployment was allowed at once when it started."""


class World:
    """A schedule while it runs, and what came of it."""

    def __init__(self, schedule: Schedule, machine: Machine, loop: VirtualLoop) -> None:
        self.schedule = schedule
        self.loop = loop
        self.trace: list[tuple[Any, ...]] = []
        self.made: list[Made] = []
        self.clients: dict[str, Client] = {}
        self.faults: list[str] = []
        self.past_breakers: list[str] = []
        self.refused: dict[int, float] = {}
        self.freely: dict[tuple[str, str], bool] = {}
        self.vendors = {
            name: Vendor(name, law, random.Random(f"{schedule.seed}/{name}"), self)
            for name, law in schedule.laws.items()
        }
        rng = random.Random(schedule.seed)
        self.fleet = Fleet(self.loop.time, self.loop.unix, rng)
        self.fleet.budget = RetryBudget(reserve_per_s=schedule.reserve_per_s)
        registry = machine.registry()
        self.root = decode_target(schedule.config, Known(schedule.laws, registry.strategies))
        self._limit_retries(self.root)
        plan = machine.guarded if schedule.is_guarded else machine.plan
        self.plan = replace(plan, registry=registry, deployments=self.vendors, fleet=self.fleet)
        self._last: dict[int, Made] = {}
        self._probing: dict[int, list[Call]] = {}

    def _limit_retries(self, target: Target) -> None:
        for child in target.targets:
            self._limit_retries(child)
        if not target.targets:
            health = self.fleet.health(target.deployment, target.model or "m", target.breaker)
            health.budget = RetryBudget(reserve_per_s=self.schedule.reserve_per_s)

    # told by the providers

    def called(self, call: Call) -> None:
        """A provider is called."""
        ex = call.ex
        attempt = ex.attempt
        if attempt is None:
            raise AssertionError("a call without an attempt")
        call.number = len(self.made)
        health, begun = attempt.health, attempt.call
        last = self._last.get(id(attempt))
        retry = last.retry + 1 if last is not None else 0
        decided_s = self.loop.time() if last is None else self.refused.get(last.call.number, last.call.ended)
        client = self.clients[ex.shadow_of or ex.id]
        is_probe = begun is not None and begun.is_probe
        probing = self._probing.setdefault(id(health), []) if is_probe else []
        probes = sum(1 for other in probing if not other.how)
        if is_probe:
            probing[:] = [other for other in probing if not other.how] + [call]
        is_shut = health is not None and health.breaker.state != "closed" and not is_probe and retry == 0
        broke = is_shut and self.freely.get((ex.id, attempt.target.path), False)
        is_late, is_budgeted = client.first_byte_s is not None, attempt.target.retry.attempts > 0
        shadow, name = bool(ex.shadow_of), attempt.target.deployment
        made = Made(
            call,
            attempt,
            client.id,
            retry,
            decided_s,
            shadow,
            is_probe,
            broke,
            is_late,
            probes,
            health,
            is_budgeted,
            health.limit.limit if health is not None else 0,
        )
        self.made.append(made)
        if not shadow:
            client.calls.append(call)
        self._last[id(attempt)] = made
        self.trace.append((self.loop.time(), "call", call.number, client.id, name, retry, shadow, is_probe))

    def over(self, call: Call) -> None:
        """A call has ended."""
        self.trace.append((self.loop.time(), "over", call.number, call.how, call.status))

    def chose(self, target: Target, ex: Exchange, outcomes: Sequence[Outcome], index: int | None, scene: Scene) -> None:
        """A strategy has chosen. What it leaves out and what it takes is judged by its deployments' own health."""
        self.trace.append((scene.now, "choose", ex.shadow_of or ex.id, target.path, index))
        if index is None or target.strategy not in CHOOSERS:
            return
        is_good = [self._is_usable(child, scene) for child in target.targets]
        others = [at for at, child in enumerate(target.targets) if child.weight > 0 and is_good[at] and at != index]
        if outcomes:
            called = {outcome.index for outcome in outcomes}
            others = [at for at in others if at not in called]
            if scene.fleet.is_shut(target.targets[index], ex.model, scene.now):
                self.past_breakers.append(f"{ex.id}: {target.path} went on to child {index}, which is known to fail")
        elif not is_good[index] and others:
            self.past_breakers.append(
                f"{ex.id}: {target.path} chose child {index}, which is known to fail, of {others}"
            )
        # the calls of a race begin a turn of the loop after their choice, when a breaker may just have been taken
        self.freely[ex.id, target.targets[index].path] = bool(others) and target.strategy != "hedge"

    def _is_usable(self, target: Target, scene: Scene) -> bool:
        if target.targets:
            return any(self._is_usable(child, scene) for child in target.targets)
        return scene.health(target).is_usable(scene.now)

    # the clients

    def open_calls(self, client: Client) -> list[Call]:
        """Calls for a request that have not ended, but for those of its shadows."""
        return [call for call in client.calls if not call.how]

    async def run(self) -> None:
        """Carry every request through; returns when all are over and nothing is left to run."""
        for at_s, name, law in self.schedule.changes:
            self.loop.call_later(at_s, setattr, self.vendors[name], "law", law)
        tasks = [asyncio.create_task(self._serve(at, asked)) for at, asked in enumerate(self.schedule.asked)]
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in tasks:
            if not task.cancelled() and task.exception() is not None:
                self.faults.append(f"the client of a request saw {task.exception()!r}")
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others)

    async def _serve(self, at: int, asked: Asked) -> None:
        client = self.clients[f"r{at}"] = Client(f"r{at}", asked)
        await asyncio.sleep(asked.at_s)
        self.trace.append((self.loop.time(), "ask", client.id))
        task = asyncio.current_task()
        leaving = self.loop.call_later(asked.leaves_s, task.cancel) if asked.leaves_s and task is not None else None
        headers = {b"x-headgate-deadline": b"%d" % (asked.deadline_s * 1000)} if asked.deadline_s else {}
        dialect = self.plan.registry.dialects["openai.chat"]
        ex = Exchange(CHAT, headers, request_id=client.id, trace_id="t", dialect=dialect)
        ex.metadata = asked.metadata
        try:
            await self._answer(client, ex)
        except asyncio.CancelledError:
            if ex.reply is not None:
                await discard(ex.reply)
            ex.outcome = "client_gone"
            client.ends.append("gone")
        finally:
            if leaving is not None:
                leaving.cancel()
            await pipeline.finish(self.plan, ex)
        client.ended_s, client.left_open = self.loop.time(), len(self.open_calls(client))
        self.trace.append((self.loop.time(), "end", client.id, client.ends, client.status, client.error))

    async def _answer(self, client: Client, ex: Exchange) -> None:
        body = STREAM_BODY if client.asked.stream else BODY

        async def read_body() -> bytes:
            client.deadline = ex.deadline
            return body

        try:
            reply = await pipeline.run(self.plan, ex, read_body)
            client.beside = max(0, len(self.open_calls(client)) - (reply.chunks is not None))
            client.status = reply.status
            await self._write(client, ex, reply)
        except RequestError as error:
            ex.error, ex.outcome = error, "error"
            client.status, client.error = error.status, error.error_code
            client.ends.append("error")

    async def _write(self, client: Client, ex: Exchange, reply: Reply) -> None:
        if reply.chunks is None:
            self._take(client, reply.body)
            ex.outcome = "complete"
            client.ends.append("whole" if reply.is_ok else "refused")
            return

        async def send(chunk: bytes) -> None:
            self._take(client, chunk)

        def offer(chunk: bytes) -> bool:
            if chunk:
                self._take(client, chunk)
            return client.asked.pours and client.pieces % 3 > 0

        try:
            await pipeline.relay_stream(ex, reply.chunks, send, offer)
        finally:
            await discard(reply)
        client.ends.append(ex.outcome)
        if ex.error is not None:
            client.error = ex.error.error_code

    def _take(self, client: Client, chunk: bytes) -> None:
        if client.first_byte_s is None:
            client.first_byte_s = self.loop.time()
        client.got += chunk
        client.pieces += 1
        self.trace.append((self.loop.time(), "byte", client.id, len(chunk)))

    def digest(self) -> str:
        """What stands for all that happened, in its order and at its times, and for every byte that a client got."""
        told = repr((self.trace, [client.got for client in self.clients.values()]))
        return hashlib.sha256(told.encode()).hexdigest()

    def healths(self) -> list[tuple[str, Health]]:
        """The health of every deployment that was called."""
        return [(name, health) for name, _, health in self.fleet.known()]


class Watched(Strategy):
    """A strategy whose choices are noted."""

    def __init__(self, inner: Strategy, machine: Machine) -> None:
        self._inner = inner
        self._machine = machine

    @override
    def compile(self, target: Target, fault: Fault) -> Any:
        return self._inner.compile(target, fault)

    @override
    def choose(self, target: Target, ex: Exchange, outcomes: Sequence[Outcome], scene: Scene) -> int | None:
        index = self._inner.choose(target, ex, outcomes, scene)
        if self._machine.world is not None:
            self._machine.world.chose(target, ex, outcomes, index, scene)
        return index

    @override
    def ended(self, target: Target, outcome: Outcome, scene: Scene) -> None:
        self._inner.ended(target, outcome, scene)

    @override
    def hedge_after_s(self, target: Target, ex: Exchange, index: int, scene: Scene) -> float | None:
        return self._inner.hedge_after_s(target, ex, index, scene)

    @override
    def second(self, target: Target, ex: Exchange, index: int, scene: Scene) -> int | None:
        return self._inner.second(target, ex, index, scene)

    @override
    def mirrors(self, target: Target, ex: Exchange, scene: Scene) -> Sequence[int]:
        return self._inner.mirrors(target, ex, scene)


class Gate(Hooks):
    """Lets everybody in, routes to the tree of the world that runs, and counts records."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    @override
    @hookimpl
    async def authenticate(self, ex: Exchange) -> Principal | None:
        return Principal("k", metadata=ex.metadata)

    @override
    @hookimpl
    async def route(self, ex: Exchange) -> Target | None:
        world = self._machine.world
        return world.root if world is not None else None

    @override
    @hookimpl
    async def record(self, ex: Exchange) -> None:
        world = self._machine.world
        if world is not None and not ex.shadow_of:
            world.clients[ex.id].settled += 1


class Censor(Hooks):
    """Takes its time over each whole answer, and refuses one of three."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    @override
    @hookimpl
    async def guard_reply(self, ex: Exchange) -> None:
        reply, world = ex.reply, self._machine.world
        if world is not None and reply is not None and reply.chunks is None:
            await asyncio.sleep(GUARD_S)
            stamp = re.search(rb"c(\d+)\.", reply.body)
            if stamp is not None and int(stamp[1]) % 3 == 0:
                world.refused[int(stamp[1])] = world.loop.time()
                raise Blocked("the censor says no")


class Extra(Hooks):
    """Registers the strategies that only tests have, and others that are `held`."""

    def __init__(self, held: Mapping[str, Strategy]) -> None:
        self._held = held

    @override
    @hookimpl
    def strategies(self) -> Mapping[str, Strategy]:
        return {**{name: make() for name, make in EXTRA.items()}, **self._held}


class Machine:
    """What schedules share, one after another: the plan of the real plugins.

    `more` are strategies beside those that every schedule may name.
    """

    def __init__(self, more: Mapping[str, Strategy] | None = None) -> None:
        self.world: World | None = None
        self._chance = random.Random(0)
        router = Plugin("router", RouterStandard(rng=self._chance))
        gate, extra = Plugin("gate", Gate(self)), Plugin("extra", Extra(more or {}))
        plugins = [gate, router]
        registry = collect([*plugins, extra, Plugin("core", Core())])
        self._routers = (router, extra)
        self.plan: Plan = compile_plan(plugins, registry, {}, {})
        self.guarded: Plan = compile_plan([*plugins, Plugin("censor", Censor(self))], registry, {}, {})

    def registry(self) -> Registry:
        """What the plugins register, with strategies that have seen nothing yet."""
        made = {name: each for plugin in self._routers for name, each in plugin.hooks.strategies().items()}
        watched = {name: Watched(strategy, self) for name, strategy in made.items()}
        return replace(self.plan.registry, strategies=watched)

    def run(self, schedule: Schedule) -> World:
        """Run a schedule from the beginning of time. What the product logs as an error is a fault of the world."""
        self._chance.seed(schedule.seed)
        loop = VirtualLoop()  # its own, for an old one remembers timers, and with them in which order others are due
        with structlog.testing.capture_logs() as logged:
            self.world = world = World(schedule, self, loop)
            try:
                loop.run_until_complete(world.run())
            except RuntimeError as stuck:
                world.faults.append(f"the schedule did not end: {stuck}")
            finally:
                self.world = None
                loop.close()
        world.faults += [f"logged: {line}" for line in logged if line["log_level"] in {"error", "critical"}]
        return world
