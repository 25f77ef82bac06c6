"""The figures of good routing on bad days: what a hanging provider costs the others, and how soon a dead one is left."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import quantiles
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from tests.simulation.clock import START_S
from tests.simulation.strategies import BALANCERS
from tests.simulation.vendor import Law
from tests.simulation.world import Asked, Client, Machine, Schedule, World

from headgate.upstream import Timeouts

CALM_S = 30.0
"""How long everything is well before something breaks."""
SUCCEEDED = frozenset({"whole", "complete"})
WELL = Law(latency_s=0.3, spread=0.3, pieces=3, timeouts=Timeouts(1.0, 10.0, 5.0, 60.0))
MODES = ("loadbalance", "fallback", *BALANCERS)


class Hanging(Struct, frozen=True):
    """The p99 of the time to the first byte in seconds, with one of three upstreams hanging and without that one.

    `rest` is of the requests that never met it, `everyone` of all of them; `met` is how many met it.
    """

    without: float
    rest: float
    everyone: float
    met: int
    asked: int

    @property
    def ratio(self) -> float:
        """How much longer the rest take than without the hanging upstream."""
        return self.rest / self.without


class Dead(Struct, frozen=True):
    """What share of requests succeeds while one of three upstreams fails every call, and when that share was first 99 %.

    `settled_s` and `settled_after` count from its first failure to the last request that failed; 0 when none did.
    """

    share: float
    settled_s: float
    settled_after: int

    @property
    def is_good(self) -> bool:
        """99 % of all that came 2 s or 10 requests after the first failure, whichever is later, or of all."""
        return self.share >= 0.99 or self.settled_s <= 2.0 or self.settled_after <= 10


def config_of(mode: str, names: Sequence[str] = ("a", "b", "c"), **settings: Any) -> Mapping[str, Any]:
    """A routing config over deployments of these names."""
    return {"strategy": {"mode": mode}, "targets": [f"{name}/m" for name in names], **settings}


def arrivals(count: int, per_s: float, **asked: Any) -> list[Asked]:
    """Requests at an even pace."""
    return [Asked(at_s=at / per_s, **asked) for at in range(count)]


def hanging(machine: Machine, mode: str, seed: int = 1, count: int = 6000) -> Hanging:
    """Measure with `a` hanging from the 30th second on, at 20 requests per second."""
    asked = arrivals(count, 20.0, stream=True)
    names, laws = ("a", "b", "c"), {"b": WELL, "c": WELL}
    without = machine.run(Schedule(seed, laws, config_of(mode, names[1:]), asked))
    ill = replace(WELL, outages=((CALM_S, math.inf, "hang"),))
    world = machine.run(Schedule(seed, {"a": ill, **laws}, config_of(mode, names), asked))
    stuck = {
        made.client for made in world.made if made.call.vendor.deployment == "a" and _since(made.call.started) >= CALM_S
    }
    met = [client for client in _after(world) if client.id in stuck]
    rest = [client for client in _after(world) if client.id not in stuck]
    return Hanging(_p99(_after(without)), _p99(rest), _p99(_after(world)), len(met), len(_after(world)))


def dead(machine: Machine, mode: str, seed: int = 1, count: int = 3000) -> Dead:
    """Measure with `a` failing every call from the 30th second on, at 20 requests per second."""
    ill = replace(WELL, outages=((CALM_S, math.inf, "500"),))
    laws = {"a": ill, "b": WELL, "c": WELL}
    world = machine.run(Schedule(seed, laws, config_of(mode), arrivals(count, 20.0, stream=True)))
    clients = _after(world)
    failed = [at for at, client in enumerate(clients) if not SUCCEEDED.issuperset(client.ends)]
    last = failed[-1] if failed else -1
    settled_s = clients[last].asked.at_s - CALM_S if failed else 0.0
    return Dead(1 - len(failed) / len(clients), settled_s, last + 1)


def print_figures() -> bool:
    """Print the figures for every balancing strategy; whether all are as they must be."""
    is_good = True
    machine = Machine()
    for mode in MODES:
        found, lost = hanging(machine, mode), dead(machine, mode)
        is_good = is_good and found.ratio <= 1.1 and lost.is_good
        print(
            f"{mode}: one of three upstreams hangs: p99 of the rest {found.rest * 1000:.0f} ms, "
            f"{found.ratio:.2f} of what it is without that one ({found.without * 1000:.0f} ms); "
            f"{found.met} of {found.asked} requests met it, p99 of all {found.everyone * 1000:.0f} ms"
        )
        print(
            f"{mode}: one of three upstreams fails every call: {lost.share:.2%} of requests succeed, "
            f"the last failure {lost.settled_s:.1f} s and {lost.settled_after} requests after the first call it failed"
        )
    return is_good


def _after(world: World) -> list[Client]:
    return [client for client in world.clients.values() if client.asked.at_s >= CALM_S]


def _p99(clients: Sequence[Client]) -> float:
    """Of the time to the first byte; what never came took until the end."""
    times = [(client.first_byte_s or client.ended_s) - client.asked.at_s - START_S for client in clients]
    return quantiles(times, n=100)[98]


def _since(at: float) -> float:
    return at - START_S
