"""Who goes next when more is asked than can be carried at once: by priority, and fairly between the tenants of one priority.

Within a priority it is start-time fair queueing (Goyal, Vin and Cheng, "Start-time Fair Queuing", SIGCOMM 1996): the tenant
whose turn begins first in virtual time is served, and a turn moves its next one on by what it costs over its weight. The cost
is the time for which the tenant's exchanges hold their slots, so that one with long streams gets no more than its share.
"""

from __future__ import annotations

import math
from bisect import insort
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import count
from types import MappingProxyType
from typing import Literal

from msgspec import Struct

from headgate.policies.concurrency import ConcurrencyLimit

UNKNOWN_HOLD_S = 1.0
"""How long an exchange is taken to hold its slot while none has ended yet."""
MAX_RETRY_AFTER_S = 3600.0
_AVERAGED = 64
_MAX_EMPTIED = 64
_NO_WEIGHTS: Mapping[str, float] = MappingProxyType({})


class QueueRule(Struct, frozen=True):
    """The bounds: exchanges that run at once, and those that wait, in all and of one tenant, and for how many seconds.

    `reserve` is the share of turns that lower priorities get while higher ones wait. One tenant has at most `tenant_share`
    of the slots, so that others find some free however long its exchanges take. An adaptive limit begins at `in_flight`
    and moves between a tenth of it and ten times as much.
    """

    in_flight: int = 200
    waiting: int = 1000
    waiting_per_tenant: int = 100
    max_wait_s: float = 5.0
    reserve: float = 0.1
    is_adaptive: bool = False
    tenant_share: float = 1.0


class Refusal(Struct, frozen=True):
    """Why there was no turn: whether the tenant asks for more than its share, and in how many seconds there may be one."""

    is_tenants: bool
    retry_after_s: float


class Ticket:
    """One exchange's place: it waits until `until` at most, runs since `since`, or was refused. Ended with `leave`."""

    __slots__ = ("flow", "refusal", "since", "state", "tenant", "until")

    def __init__(self, tenant: _Tenant, now: float) -> None:
        self.state: Literal["waiting", "running", "refused", "over"] = "running"
        self.since = self.until = now
        self.refusal: Refusal | None = None
        self.tenant = tenant
        self.flow: _Flow | None = None


class FairQueue:
    """At most so many run, the others wait in queues per tenant and priority. `tell` gets every ticket whose wait has ended.

    Whoever enters leaves again, however it went; leaving twice is harmless. A ticket that waits beyond its `until` must be
    brought to `expire`. `weights` are by tenant, 1 for those that are not named. Times are monotonic seconds.
    """

    def __init__(
        self, rule: QueueRule, tell: Callable[[Ticket], object], weights: Mapping[str, float] = _NO_WEIGHTS
    ) -> None:
        self._rule = rule
        self._tell = tell
        self._weights = weights
        most = rule.in_flight
        self._adaptive = ConcurrencyLimit(most, max(1, most // 10), most * 10) if rule.is_adaptive else None
        self._tenants: dict[str, _Tenant] = {}
        self._classes: list[_Class] = []
        self._weight = 0.0
        self._turns = count()
        self._hold = _Mean()
        self.running = 0
        self.waiting = 0

    @property
    def limit(self) -> int:
        """How many may run at once."""
        return self._rule.in_flight if self._adaptive is None else self._adaptive.limit

    @property
    def tenants(self) -> int:
        """How many tenants have something running or waiting; others are not remembered."""
        return len(self._tenants)

    def enter(self, name: str, priority: int, now: float, deadline: float = math.inf) -> Ticket:
        """A place for an exchange of tenant `name`: it runs, waits, or is refused because it could only wait in vain."""
        tenant = self._tenants.get(name)
        if tenant is None:
            tenant = self._add(name)
        ticket = Ticket(tenant, now)
        if self.running < self.limit and not self._is_at_most(tenant):  # all that wait are at their most, too
            self._start(ticket, now)
            return ticket
        flow = ticket.flow = self._flow_of(tenant, priority)
        ticket.until = min(now + self._rule.max_wait_s, deadline)
        if now + self._known_wait_s(flow) <= ticket.until and self._make_room(flow):
            self._put(flow, ticket)
        else:
            self._refuse(ticket)
            self._forget_idle(tenant)
        return ticket

    def leave(self, ticket: Ticket, now: float) -> None:
        """The exchange is over, or does not want to wait any longer: its slot or its place is free."""
        state, ticket.state = ticket.state, "over"
        tenant = ticket.tenant
        if state == "waiting":
            self._take_out(ticket)
        elif state == "running":
            self.running -= 1
            tenant.running -= 1
            held_s = now - ticket.since
            self._hold.observed(held_s)
            tenant.hold.observed(held_s)
            self._list_again(tenant)
            if self._adaptive is not None:
                self._adaptive.ended(now)
        else:
            return
        if not tenant.running and not tenant.waiting:
            self._forget_idle(tenant)
        if self.waiting:
            self._fill(now)

    def expire(self, ticket: Ticket) -> None:
        """Its time to wait is over: it is refused, unless its turn came before."""
        if ticket.state == "waiting":
            self._take_out(ticket)
            self._refuse(ticket)
            self._forget_idle(ticket.tenant)
            self._tell(ticket)

    def overloaded(self, now: float) -> None:
        """Whoever carries the exchanges has too much to do: an adaptive limit goes down."""
        if self._adaptive is not None:
            self._adaptive.overloaded(now)

    # turns

    def _start(self, ticket: Ticket, now: float) -> None:
        ticket.state, ticket.since = "running", now
        ticket.tenant.running += 1
        self.running += 1
        if self._adaptive is not None:
            self._adaptive.started()

    def _fill(self, now: float) -> None:
        """Give the free slots to those whose turn it is."""
        while self.waiting and self.running < self.limit:
            ticket = self._next()
            if ticket is None:
                return
            if ticket.until < now:
                self._refuse(ticket)
                self._forget_idle(ticket.tenant)
            else:
                self._start(ticket, now)
            self._tell(ticket)

    def _next(self) -> Ticket | None:
        """Take out the ticket whose turn it is; None when all who wait belong to tenants that have as much as they may."""
        for group in self._order():
            while group.listed:
                begins, _, flow = heappop(group.listed)
                flow.is_listed = False
                if flow.tickets and not self._is_at_most(flow.tenant):
                    return self._take_first(flow, begins)
        return None

    def _take_first(self, flow: _Flow, begins: float) -> Ticket:
        ticket = next(iter(flow.tickets))
        self._take_out(ticket)
        tenant, group = flow.tenant, flow.group
        flow.next_begin = begins + (tenant.hold.value or self._hold.value or UNKNOWN_HOLD_S) / tenant.weight
        group.clock = max(group.clock, begins) if group.waiting else max(group.clock, flow.next_begin)
        if flow.tickets:
            self._list(flow)
        return ticket

    def _order(self) -> Sequence[_Class]:
        """The priorities that wait, the highest first, but for the turns that are kept for the lower ones."""
        waiting = [group for group in self._classes if group.waiting]
        for at, group in enumerate(waiting[:-1]):
            group.owed += self._rule.reserve
            if group.owed < 1.0:
                return waiting[at:] + waiting[:at]
            group.owed -= 1.0
        return waiting[-1:] + waiting[:-1]

    def _is_at_most(self, tenant: _Tenant) -> bool:
        """Whether a tenant has as many slots as it may."""
        return tenant.running >= max(1, int(self._rule.tenant_share * self.limit))

    def _list_again(self, tenant: _Tenant) -> None:
        """A tenant that was at its most has a slot less."""
        for flow in tenant.flows.values():
            if flow.tickets and not flow.is_listed:
                self._list(flow)

    def _list(self, flow: _Flow) -> None:
        group = flow.group
        if len(group.listed) > 2 * group.waiting + _MAX_EMPTIED:
            group.drop_emptied()
        flow.next_begin = max(flow.next_begin, group.clock)
        flow.is_listed = True
        heappush(group.listed, (flow.next_begin, next(self._turns), flow))

    # places

    def _put(self, flow: _Flow, ticket: Ticket) -> None:
        ticket.state = "waiting"
        if not flow.tickets:
            flow.group.weight += flow.tenant.weight
        flow.tickets[ticket] = None
        self._count(flow, 1)
        if not flow.is_listed:
            self._list(flow)

    def _take_out(self, ticket: Ticket) -> None:
        """Out of its queue, wherever it stands there."""
        flow = ticket.flow
        if flow is None:
            return
        del flow.tickets[ticket]
        self._count(flow, -1)
        if not flow.tickets:
            flow.group.weight -= flow.tenant.weight
        if not flow.group.waiting:
            flow.group.weight = 0.0

    def _count(self, flow: _Flow, change: int) -> None:
        self.waiting += change
        flow.group.waiting += change
        flow.tenant.waiting += change

    def _make_room(self, flow: _Flow) -> bool:
        """Whether one more may wait, if need be in the place of one that has less right to."""
        if flow.tenant.waiting >= self._rule.waiting_per_tenant:
            own = [other for other in flow.tenant.flows.values() if other.tickets]
            lowest = min(own, key=_priority, default=flow)
            if lowest.group.priority >= flow.group.priority:
                return False
            self._push_out(lowest, flow.tenant)
        if self.waiting < self._rule.waiting:
            return True
        group = next((group for group in reversed(self._classes) if group.waiting), None)
        if group is None or group.priority > flow.group.priority:
            return False
        flows = (tenant.flows.get(group.priority) for tenant in self._tenants.values())
        longest = max((other for other in flows if other is not None and other.tickets), key=_load)
        if group is flow.group and _load(longest) <= _load(flow) + 1 / flow.tenant.weight:
            return False
        self._push_out(longest, flow.tenant)
        return True

    def _push_out(self, flow: _Flow, comer: _Tenant) -> None:
        """Refuse the one that came last, for one of `comer`."""
        ticket = next(reversed(flow.tickets))
        self._take_out(ticket)
        self._refuse(ticket)
        if flow.tenant is not comer:
            self._forget_idle(flow.tenant)
        self._tell(ticket)

    # refusals

    def _refuse(self, ticket: Ticket) -> None:
        ticket.state = "refused"
        flow = ticket.flow
        if flow is not None:
            is_tenants = self._is_over(flow.tenant)
            wait_s = self._wait_s(flow) if is_tenants else (self.waiting + 1) * self._turn_s
            ticket.refusal = Refusal(is_tenants, min(MAX_RETRY_AFTER_S, wait_s))

    def _is_over(self, tenant: _Tenant) -> bool:
        """Whether a tenant has all that it may have, or more at the gateway than its share of what is there."""
        if 0 < self._rule.waiting_per_tenant <= tenant.waiting or (
            self.running < self.limit and self._is_at_most(tenant)
        ):
            return True
        share = (self.running + self.waiting) * tenant.weight / max(self._weight, tenant.weight)
        return len(self._tenants) > 1 and tenant.running + tenant.waiting > share

    @property
    def _turn_s(self) -> float:
        """How long it takes until a slot is free, on average, while all are taken (Little's law)."""
        return (UNKNOWN_HOLD_S if self._hold.value is None else self._hold.value) / self.limit

    def _wait_s(self, flow: _Flow) -> float:
        """How long one more of this flow will wait: after those of higher priority, and its own, at its tenant's share.

        Others have no more turns before it than they wait for.
        """
        above = sum(group.waiting for group in self._classes if group.priority > flow.group.priority)
        weight = flow.tenant.weight
        weights = flow.group.weight if flow.tickets else flow.group.weight + weight
        turns = min((len(flow.tickets) + 1) * weights / weight, flow.group.waiting + 1)
        own = (len(flow.tickets) + 1) / self._rule.tenant_share
        return max(above + turns, own) * self._turn_s

    def _known_wait_s(self, flow: _Flow) -> float:
        """The same, but 0 while it is not known how long exchanges take: nobody is refused for a guess."""
        return 0.0 if self._hold.value is None else self._wait_s(flow)

    # tenants

    def _add(self, name: str) -> _Tenant:
        tenant = self._tenants[name] = _Tenant(name, self._weights.get(name, 1.0))
        self._weight += tenant.weight
        return tenant

    def _flow_of(self, tenant: _Tenant, priority: int) -> _Flow:
        flow = tenant.flows.get(priority)
        if flow is None:
            group = next((group for group in self._classes if group.priority == priority), None)
            if group is None:
                group = _Class(priority)
                insort(self._classes, group, key=lambda held: -held.priority)
            flow = tenant.flows[priority] = _Flow(tenant, group)
        return flow

    def _forget_idle(self, tenant: _Tenant) -> None:
        if not tenant.running and not tenant.waiting and self._tenants.pop(tenant.name, None) is not None:
            self._weight = self._weight - tenant.weight if self._tenants else 0.0


class _Mean:
    """The mean of the last 64 or so; None before there is any."""

    __slots__ = ("_seen", "value")

    def __init__(self) -> None:
        self.value: float | None = None
        self._seen = 0

    def observed(self, value: float) -> None:
        self._seen = min(_AVERAGED, self._seen + 1)
        held = self.value
        self.value = value if held is None else held + (value - held) / self._seen


class _Tenant:
    """Somebody with something running or waiting."""

    __slots__ = ("flows", "hold", "name", "running", "waiting", "weight")

    def __init__(self, name: str, weight: float) -> None:
        self.name = name
        self.weight = weight
        self.running = 0
        self.waiting = 0
        self.hold = _Mean()
        self.flows: dict[int, _Flow] = {}


class _Class:
    """All that waits at one priority. `listed` are the flows by when their next turn begins; some may have emptied since."""

    __slots__ = ("clock", "listed", "owed", "priority", "waiting", "weight")

    def __init__(self, priority: int) -> None:
        self.priority = priority
        self.waiting = 0
        self.weight = 0.0
        self.clock = 0.0
        self.owed = 0.0
        self.listed: list[tuple[float, int, _Flow]] = []

    def drop_emptied(self) -> None:
        """Forget the flows in which nobody waits any longer."""
        for _, _, flow in self.listed:
            flow.is_listed = bool(flow.tickets)
        self.listed = [entry for entry in self.listed if entry[2].tickets]
        heapify(self.listed)


class _Flow:
    """What one tenant has waiting at one priority, the oldest first."""

    __slots__ = ("group", "is_listed", "next_begin", "tenant", "tickets")

    def __init__(self, tenant: _Tenant, group: _Class) -> None:
        self.tenant = tenant
        self.group = group
        self.next_begin = 0.0
        self.is_listed = False
        self.tickets: OrderedDict[Ticket, None] = OrderedDict()


def _priority(flow: _Flow) -> int:
    return flow.group.priority


def _load(flow: _Flow) -> float:
    return len(flow.tickets) / flow.tenant.weight
