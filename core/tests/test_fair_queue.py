"""Fair queueing on a virtual clock: who runs, who waits and who is told to come back, and what that does to goodput."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from heapq import heappop, heappush
from itertools import count

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from headgate.policies import FairQueue, QueueRule, Refusal, Ticket


class Source(Struct, frozen=True):
    """Requests of one tenant: so many a second, each holding its slot for `hold_s` on average."""

    tenant: str
    per_s: float
    priority: int = 0
    hold_s: float = 0.1


class Lab:
    """Runs sources against a queue, without waiting. `served` and `refused` count by tenant and priority."""

    def __init__(self, rule: QueueRule, weights: Mapping[str, float] | None = None, seed: int = 1) -> None:
        self.queue = FairQueue(rule, self._told, weights or {})
        self.rng = random.Random(seed)
        self.now = 0.0
        self.served: Counter[tuple[str, int]] = Counter()
        self.refused: Counter[tuple[str, int]] = Counter()
        self.refusals: list[tuple[str, Refusal]] = []
        self.waits: list[float] = []
        self._owners: dict[Ticket, tuple[Source, float]] = {}
        self._events: list[tuple[float, int, Source | Ticket]] = []
        self._order = count()

    def run(self, sources: Sequence[Source], seconds: float) -> None:
        for source in sources:
            self._at(self.rng.expovariate(source.per_s), source)
        while self._events and self._events[0][0] <= seconds:
            self.now, _, what = heappop(self._events)
            if isinstance(what, Source):
                self._at(self.now + self.rng.expovariate(what.per_s), what)
                self._enter(what)
            elif what.state == "running":
                source, _ = self._owners.pop(what)
                self.queue.leave(what, self.now)
                self.served[source.tenant, source.priority] += 1
            else:
                self.queue.expire(what)

    def _enter(self, source: Source) -> None:
        ticket = self.queue.enter(source.tenant, source.priority, self.now)
        self._owners[ticket] = (source, self.now)
        if ticket.state == "waiting":
            self._at(ticket.until, ticket)
        else:
            self._told(ticket)

    def _told(self, ticket: Ticket) -> None:
        source, entered = self._owners[ticket]
        if ticket.state == "running":
            self.waits.append(self.now - entered)
            self._at(self.now + self.rng.expovariate(1 / source.hold_s), ticket)
        elif ticket.refusal is not None:
            del self._owners[ticket]
            self.refused[source.tenant, source.priority] += 1
            self.refusals.append((source.tenant, ticket.refusal))

    def _at(self, when: float, what: Source | Ticket) -> None:
        if isinstance(what, Ticket):  # a turn that came takes the place of the end of the wait
            self._events = [event for event in self._events if event[2] is not what]
            self._events.sort()
        heappush(self._events, (when, next(self._order), what))


RULE = QueueRule(in_flight=10, waiting=200, waiting_per_tenant=50, max_wait_s=2.0)
CAPACITY = 100.0
"""Requests a second that RULE lets through at 0.1 s each."""


def queue_of(told: list[Ticket], rule: QueueRule, weights: Mapping[str, float] | None = None) -> FairQueue:
    return FairQueue(rule, told.append, weights or {})


# marks


@pytest.mark.parametrize("seed", range(3))
def test_a_tenant_at_ten_times_its_share_costs_the_others_nothing(seed: int) -> None:
    """Four tenants below their share keep 95 % of what they get without the fifth, which asks for ten times its share."""
    others = [Source(f"t{at}", 0.9 * CAPACITY / 5) for at in range(4)]
    calm, noisy = Lab(RULE, seed=seed), Lab(RULE, seed=seed)
    calm.run(others, 60.0)
    noisy.run([*others, Source("noisy", 10 * CAPACITY / 5)], 60.0)
    for other in others:
        key = (other.tenant, 0)
        asked = noisy.served[key] + noisy.refused[key]
        assert noisy.served[key] / asked >= 0.95 * calm.served[key] / (calm.served[key] + calm.refused[key])
    assert sum(noisy.served.values()) >= 0.9 * CAPACITY * 60


@pytest.mark.parametrize("seed", range(3))
def test_critical_goodput_is_the_same_at_three_times_the_load(seed: int) -> None:
    """What is asked at a high priority is all served, whatever is asked below it."""
    critical = Source("critical", 0.4 * CAPACITY, priority=10)
    lab = Lab(RULE, seed=seed)
    lab.run([critical, Source("a", 1.3 * CAPACITY), Source("b", 1.3 * CAPACITY)], 60.0)
    key = ("critical", 10)
    assert lab.refused[key] == 0
    assert lab.served[key] >= 0.95 * 0.4 * CAPACITY * 60


@pytest.mark.parametrize(("times", "least"), [(2, 0.9), (5, 0.8)])
def test_goodput_holds_at_many_times_the_capacity(times: int, least: float) -> None:
    """At twice and at five times what it can carry the gateway goes on to carry nearly all it can."""
    lab = Lab(RULE)
    lab.run([Source(f"t{at}", times * CAPACITY / 4) for at in range(4)], 30.0)
    assert sum(lab.served.values()) >= least * CAPACITY * 30
    assert max(lab.waits) <= RULE.max_wait_s


def test_every_refusal_says_when_to_come_back_and_it_is_true() -> None:
    """Whoever is refused gets a time; it is that in which as much as waits now gets through, within a factor of two."""
    lab = Lab(RULE)
    lab.run([Source("a", 5 * CAPACITY), Source("b", 0.2 * CAPACITY)], 30.0)
    late = [refusal for tenant, refusal in lab.refusals[200:] if tenant == "a"]
    assert late
    assert all(refusal.is_tenants for refusal in late)
    waiting_s = RULE.waiting_per_tenant / (0.8 * CAPACITY)
    assert all(waiting_s / 2 <= refusal.retry_after_s <= 2 * waiting_s for refusal in late)


# shares


def test_weights_divide_the_turns() -> None:
    """A tenant of weight 3 is served three times as often as one of weight 1, while both want more than they get."""
    lab = Lab(RULE, {"a": 3.0})
    lab.run([Source("a", 3 * CAPACITY), Source("b", 3 * CAPACITY)], 60.0)
    assert 2.7 <= lab.served["a", 0] / lab.served["b", 0] <= 3.3


def test_long_exchanges_are_paid_for() -> None:
    """A tenant whose exchanges take ten times as long has half of the slots, not ten of eleven."""
    lab = Lab(RULE)
    lab.run([Source("long", 60.0, hold_s=1.0), Source("short", 300.0)], 120.0)
    long_s, short_s = lab.served["long", 0] * 1.0, lab.served["short", 0] * 0.1
    assert 0.75 <= long_s / short_s <= 1.33


def test_lower_priorities_are_not_starved() -> None:
    """While the highest priority could take every turn, the lower ones get the share that is kept for them."""
    lab = Lab(RULE)
    lab.run([Source("high", 3 * CAPACITY, 1), Source("low", 3 * CAPACITY, 0)], 60.0)
    share = lab.served["low", 0] / sum(lab.served.values())
    assert 0.08 <= share <= 0.12


@pytest.mark.parametrize("hold_s", [2.0, 20.0])
def test_long_exchanges_of_one_tenant_leave_slots_for_others(hold_s: float) -> None:
    """With a bound on what one may have, others lose nothing to exchanges that take far longer than anybody may wait."""
    others = [Source(f"t{at}", 0.1 * CAPACITY) for at in range(4)]
    lab = Lab(msgspec.structs.replace(RULE, tenant_share=0.5))
    lab.run([*others, Source("noisy", 100.0, hold_s=hold_s)], 60.0)
    assert sum(lab.served[other.tenant, 0] for other in others) >= 0.95 * 4 * 0.1 * CAPACITY * 60
    assert not any(lab.refused[other.tenant, 0] for other in others)
    assert all(refusal.is_tenants for _, refusal in lab.refusals)


# one at a time


def test_a_tenant_at_its_most_waits_beside_free_slots() -> None:
    """It does not stand in the way of others meanwhile, and its own next one runs when one of its own has ended."""
    told: list[Ticket] = []
    queue = queue_of(told, QueueRule(in_flight=4, tenant_share=0.5))
    a = [queue.enter("a", 0, 0.0) for _ in range(3)]
    b = queue.enter("b", 0, 0.0)
    assert [ticket.state for ticket in (*a, b)] == ["running", "running", "waiting", "running"]
    queue.leave(b, 1.0)
    assert told == []
    queue.leave(a[0], 2.0)
    assert told == [a[2]]


def test_there_is_no_wait_while_there_is_room() -> None:
    """Below the limit everybody runs at once."""
    queue = queue_of([], QueueRule(in_flight=2))
    assert [queue.enter("a", 0, 0.0).state for _ in range(3)] == ["running", "running", "waiting"]


def test_turns_alternate_between_tenants() -> None:
    """One who came with five does not keep another waiting for more than one turn."""
    told: list[Ticket] = []
    queue = queue_of(told, QueueRule(in_flight=1))
    running = queue.enter("x", 0, 0.0)
    a = [queue.enter("a", 0, 0.0) for _ in range(5)]
    b = [queue.enter("b", 0, 0.0) for _ in range(2)]
    for at in range(1, 5):
        queue.leave(running, float(at))
        running = told[-1]
    assert told == [a[0], b[0], a[1], b[1]]


def test_a_place_that_is_given_up_is_nobodys() -> None:
    """Who leaves while it waits is passed over, and leaving twice changes nothing."""
    told: list[Ticket] = []
    queue = queue_of(told, QueueRule(in_flight=1))
    running, gone, waiting = (queue.enter("a", 0, 0.0) for _ in range(3))
    queue.leave(gone, 1.0)
    queue.leave(gone, 1.0)
    queue.leave(running, 2.0)
    queue.leave(running, 2.0)
    assert told == [waiting]
    assert (queue.running, queue.waiting) == (1, 0)
    queue.leave(waiting, 3.0)
    assert (queue.running, queue.tenants) == (0, 0)


def test_who_waits_for_too_long_is_refused() -> None:
    """`until` is the longest wait or the deadline, whichever comes first; at it the ticket is refused."""
    told: list[Ticket] = []
    queue = queue_of(told, QueueRule(in_flight=1, max_wait_s=5.0))
    queue.enter("a", 0, 0.0)
    late, hurried = queue.enter("b", 0, 0.0), queue.enter("c", 0, 0.0, deadline=3.0)
    assert (late.until, hurried.until) == (5.0, 3.0)
    queue.expire(hurried)
    assert (told, queue.tenants) == ([hurried], 2)
    assert hurried.refusal is not None
    assert not hurried.refusal.is_tenants
    queue.expire(hurried)
    assert told == [hurried]


def test_a_slot_that_comes_too_late_goes_to_the_next() -> None:
    """Whoever's time was over before anybody said so is refused, and the turn is that of the one behind it."""
    told: list[Ticket] = []
    queue = queue_of(told, QueueRule(in_flight=1, max_wait_s=50.0))
    running = queue.enter("a", 0, 0.0)
    late, next_one = queue.enter("b", 0, 0.0, deadline=3.0), queue.enter("c", 0, 0.0)
    queue.leave(running, 4.0)
    assert told == [late, next_one]
    assert (late.state, next_one.state, queue.tenants) == ("refused", "running", 1)


def test_the_time_to_come_back_counts_the_turns_of_others() -> None:
    """Four turns of one tenant are seven while another has three waiting, and no more than wait in all."""
    queue = queue_of([], QueueRule(in_flight=1, waiting_per_tenant=3, max_wait_s=50.0))
    queue.leave(queue.enter("a", 0, 0.0), 1.0)
    for tenant in ("a", "a", "a", "a", "b", "b", "b"):
        assert queue.enter(tenant, 0, 1.0).state != "refused"
    assert queue.enter("b", 0, 1.0).refusal == Refusal(is_tenants=True, retry_after_s=7.0)


def test_who_would_wait_in_vain_is_refused_at_once() -> None:
    """When turns come every ten seconds, nobody is let wait who may only for five."""
    queue = queue_of([], QueueRule(in_flight=1, max_wait_s=5.0))
    queue.leave(queue.enter("a", 0, 0.0), 10.0)
    queue.enter("a", 0, 10.0)
    refused = queue.enter("b", 0, 11.0)
    assert refused.state == "refused"
    assert refused.refusal == Refusal(is_tenants=False, retry_after_s=10.0)
    assert queue.tenants == 1


def test_a_deadline_that_is_over_is_refused() -> None:
    """Nothing waits past its deadline, known drain rate or not."""
    queue = queue_of([], QueueRule(in_flight=1))
    queue.enter("a", 0, 10.0)
    assert queue.enter("b", 0, 10.0, deadline=9.0).state == "refused"


def test_a_tenants_own_queue_is_bounded() -> None:
    """Past it the tenant hears that it asks for too much, and others still find a place."""
    queue = queue_of([], QueueRule(in_flight=1, waiting=10, waiting_per_tenant=2))
    tickets = [queue.enter("a", 0, 0.0) for _ in range(4)]
    assert [ticket.state for ticket in tickets] == ["running", "waiting", "waiting", "refused"]
    assert tickets[-1].refusal is not None
    assert tickets[-1].refusal.is_tenants
    assert queue.enter("b", 0, 0.0).state == "waiting"


def test_a_full_queue_gives_up_the_place_of_the_greediest() -> None:
    """A tenant with nothing waiting gets the place of the last one of whoever has most."""
    told: list[Ticket] = []
    queue = queue_of(told, QueueRule(in_flight=1, waiting=3))
    greedy = [queue.enter("a", 0, 0.0) for _ in range(4)]
    modest = queue.enter("b", 0, 0.0)
    assert modest.state == "waiting"
    assert told == [greedy[-1]]
    assert greedy[-1].refusal is not None
    assert greedy[-1].refusal.is_tenants
    assert [queue.enter("b", 0, 0.0).state for _ in range(2)] == ["refused", "refused"]


def test_a_full_queue_gives_up_the_lowest_priority() -> None:
    """A higher priority takes the place of a lower one, of its own tenant too; a lower one takes nobody's."""
    told: list[Ticket] = []
    queue = queue_of(told, QueueRule(in_flight=1, waiting=2, waiting_per_tenant=1))
    queue.enter("x", 5, 0.0)
    own, other = queue.enter("a", 0, 0.0), queue.enter("b", 1, 0.0)
    assert queue.enter("a", 9, 0.0).state == "waiting"
    assert told == [own]
    assert queue.enter("c", 9, 0.0).state == "waiting"
    assert told == [own, other]
    refused = queue.enter("d", 0, 0.0)
    assert refused.state == "refused"


def test_without_a_queue_everything_else_is_refused() -> None:
    """A bound of 0 lets nobody wait."""
    queue = queue_of([], QueueRule(in_flight=1, waiting=0))
    assert [queue.enter("a", 0, 0.0).state for _ in range(2)] == ["running", "refused"]


def test_an_adaptive_limit_gives_way_and_comes_back() -> None:
    """It goes down while the gateway says that it is overloaded, and up again while it is used and nobody does."""
    told: list[Ticket] = []
    queue = queue_of(told, QueueRule(in_flight=20, is_adaptive=True))
    for at in range(30):
        queue.overloaded(2.0 * at)
    lowest = queue.limit
    assert lowest == 2
    for at in range(100):
        tickets = [queue.enter("a", 0, 100.0 + at) for _ in range(queue.limit)]
        for ticket in tickets:
            queue.leave(ticket, 100.5 + at)
    assert queue.limit > 20


def test_tenants_that_come_and_go_are_not_kept() -> None:
    """Thousands who wait and give up while nobody is served leave nothing behind."""
    queue = queue_of([], QueueRule(in_flight=1))
    queue.enter("x", 0, 0.0)
    queue.enter("y", 0, 0.0)
    for at in range(5000):
        queue.leave(queue.enter(f"t{at}", 0, 0.0), 0.0)
    assert queue.tenants == 2
    assert len(queue._classes[0].listed) < 200  # pyright: ignore[reportPrivateUsage]


STEPS = st.lists(
    st.tuples(st.sampled_from(["enter", "leave", "expire", "late"]), st.integers(0, 3), st.integers(0, 2)), max_size=80
)


@given(
    STEPS,
    st.integers(1, 3),
    st.integers(0, 4),
    st.integers(0, 3),
    st.sampled_from([0.0, 0.1, 0.5]),
    st.sampled_from([0.5, 1.0]),
)
def test_no_slot_is_lost_whatever_happens(
    steps: list[tuple[str, int, int]], slots: int, waiting: int, own: int, reserve: float, share: float
) -> None:
    """The bounds hold after each step, free slots are never idle while somebody waits, everybody is told once, and when
    all have left nothing is kept.
    """
    told: list[Ticket] = []
    rule = QueueRule(slots, waiting, own, max_wait_s=50.0, reserve=reserve, tenant_share=share)
    queue, held, now = queue_of(told, rule), list[Ticket](), 0.0
    for what, tenant, number in steps:
        now += 1.0
        if what == "enter":
            held.append(queue.enter(f"t{tenant}", number, now, math.inf if tenant else now + 5.0))
        elif held:
            ticket = held[(tenant + number) % len(held)]
            if what == "expire":
                queue.expire(ticket)
            else:
                queue.leave(ticket, now + (40.0 if what == "late" else 0.0))
        states = Counter(ticket.state for ticket in held)
        assert (queue.running, queue.waiting) == (states["running"], states["waiting"])
        assert queue.running <= slots
        assert queue.waiting <= waiting
        assert queue.running == slots or all(
            ticket.tenant.running >= max(1, int(share * slots)) for ticket in held if ticket.state == "waiting"
        )
        assert len(set(told)) == len(told)
        assert all(
            (ticket.refusal is not None) == (ticket.state == "refused") for ticket in held if ticket.state != "over"
        )
    for ticket in held:
        queue.leave(ticket, now)
    assert (queue.running, queue.waiting, queue.tenants) == (0, 0, 0)
