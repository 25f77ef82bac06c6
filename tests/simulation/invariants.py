"""What must hold in every schedule, whatever happens in it. Each check lists what breaks it, in words, and is empty otherwise."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from tests.simulation.vendor import DONE
from tests.simulation.world import GUARD_S, Client, Made, World

TICK_S = 0.0011
"""How much later than its deadline a request may end: the least time that a call is given, and a rounding."""
SHARE = 0.2
TTL_S = 10.0

_STAMP = re.compile(rb"c(\d+)\.(\d+) ")
_ERROR = b'data: {"error":'
_STREAMED = {"complete", "cut"}

Check = Callable[[World], Iterator[str]]


def ends_once(world: World) -> Iterator[str]:
    """Every request ends exactly once, is recorded once, and nothing hangs or fails inside."""
    yield from world.faults
    for client in world.clients.values():
        if len(client.ends) != 1:
            yield f"{client.id} ended {len(client.ends)} times: {client.ends}"
        if client.settled != 1:
            yield f"{client.id} was recorded {client.settled} times"


def one_source(world: World) -> Iterator[str]:
    """What a client gets comes from one call only, in its order and without a gap, and as it was sent."""
    for client in world.clients.values():
        stamps = _STAMP.findall(client.got)
        calls = {number for number, _ in stamps}
        if len(calls) > 1:
            yield f"{client.id} got an answer made of the calls {sorted(calls)}"
        elif [int(place) for _, place in stamps] != list(range(len(stamps))):
            yield f"{client.id} got the pieces {[place for _, place in stamps]} of call {calls}"
        elif calls and client.ends != ["refused"]:
            sent = _sent(world, next(iter(calls)))
            told = client.got.rpartition(_ERROR)[0] if client.ends == ["cut"] else client.got
            if not sent.startswith(told) and not sent.endswith(_ERROR):
                yield f"{client.id} got bytes that call {calls} did not send"


def _sent(world: World, number: bytes) -> bytes:
    """What a call sent; nothing for one that was never made."""
    return world.made[int(number)].call.sent if int(number) < len(world.made) else b""


def nothing_after_a_byte(world: World) -> Iterator[str]:
    """No call starts for a request once its client has a byte."""
    for made in world.made:
        if made.after_byte and not made.is_shadow:
            yield f"call {made.call.number} started after {made.client} had its first byte"


def retries_in_budget(world: World) -> Iterator[str]:
    """Retries are at most a fifth of the first calls of the last ten seconds and the reserve: of each deployment, and of all."""
    groups: dict[object, list[Made]] = {}
    for made in world.made:
        if made.is_budgeted:
            groups.setdefault("all", []).append(made)
            groups.setdefault(id(made.health), []).append(made)
    reserve = world.schedule.reserve_per_s * TTL_S
    for group in groups.values():
        for made in group:
            if made.retry == 0:
                continue
            since, until = int(made.decided_s) - TTL_S, made.decided_s
            recent = [other for other in group if int(other.decided_s) > since and other.decided_s <= until]
            retries = sum(other.retry > 0 for other in recent)
            if retries > reserve + SHARE * (len(recent) - retries) + 1e-6:
                calls = len(recent) - retries
                yield f"call {made.call.number} is retry {retries} within {TTL_S:g} s of {calls} first calls"


def deadline_kept(world: World) -> Iterator[str]:
    """Nothing starts after a request's deadline, and the request is over at most one tick later.

    What a guardrail takes over an answer that came in time is its own.
    """
    for made in world.made:
        if made.call.started >= world.clients[made.client].deadline:
            yield f"call {made.call.number} of {made.client} started after the deadline"
        if made.is_shadow and made.call.ended > world.clients[made.client].deadline + TICK_S:
            yield f"shadow {made.call.number} of {made.client} ran on after the deadline"
    for client in world.clients.values():
        if client.ended_s > client.deadline + TICK_S + (GUARD_S if world.schedule.is_guarded else 0.0):
            yield f"{client.id} ended {client.ended_s - client.deadline:.4f} s after its deadline"


def nothing_left(world: World) -> Iterator[str]:
    """In the end no deployment has a call under way, by any of its counters, and each call that was given up is closed."""
    for made in world.made:
        if not made.call.how:
            yield f"call {made.call.number} of {made.client} was never closed"
    for client in world.clients.values():
        if client.left_open:
            yield f"{client.id} ended with {client.left_open} calls open"
    for name, health in world.healths():
        counts = (health.in_flight, health.limit.in_flight, health.latency.in_flight)
        if any(counts):
            yield f"deployment {name} counts {counts} calls under way"
    for name, vendor in world.vendors.items():
        if vendor.law.capacity and vendor.busy:
            yield f"provider {name} has {vendor.busy} places taken"


def one_probe(world: World) -> Iterator[str]:
    """A breaker that is half open lets one probe through at a time, and where another target is well, nothing else."""
    yield from world.past_breakers
    for made in world.made:
        if made.probes:
            yield f"call {made.call.number} probes beside {made.probes} others"
        if made.breaks_in:
            yield f"call {made.call.number} of {made.client} went past a shut breaker while another target was well"


def losers_cancelled(world: World) -> Iterator[str]:
    """When a request has its answer, every other call for it has ended."""
    for client in world.clients.values():
        if client.beside:
            yield f"{client.id} was answered while {client.beside} other calls went on"


def no_false_success(world: World) -> Iterator[str]:
    """A stream ends as its provider's did: with a success only where that was sent, else with an error that says so."""
    for client in world.clients.values():
        if not client.asked.stream or client.status != 200 or len(client.ends) != 1:
            continue
        numbers = _STAMP.findall(client.got)
        sent = _sent(world, numbers[0][0]) if numbers else b""
        ended_well = b"[DONE]" in sent or b'"finish_reason":"stop"' in sent
        yield from _endings(client, sent, is_good=ended_well)


def _endings(client: Client, sent: bytes, *, is_good: bool) -> Iterator[str]:
    has_error, [end] = b'"error":' in client.got, client.ends
    if client.got.count(DONE.strip()) > sent.count(b"data: [DONE]"):
        yield f"{client.id} got a [DONE] that nobody sent"
    if end == "complete" and not is_good:
        yield f"{client.id} got a stream that was cut as if it were whole"
    if end == "cut" and not has_error:
        yield f"{client.id} was cut off without a word"
    if end == "complete" and has_error:
        yield f"{client.id} got an error in a stream that is called complete"


CHECKS: Mapping[str, Check] = {
    check.__name__.replace("_", " "): check
    for check in (
        ends_once,
        one_source,
        nothing_after_a_byte,
        retries_in_budget,
        deadline_kept,
        nothing_left,
        one_probe,
        losers_cancelled,
        no_false_success,
    )
}
"""Every invariant by name; that a seed replays is checked where it is run twice."""


def broken(world: World) -> list[str]:
    """Every invariant that a run broke, each with what broke it."""
    return [f"{name}: {words}" for name, check in CHECKS.items() for words in check(world)]
