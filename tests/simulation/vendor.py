"""Scripted providers: how each call of theirs goes follows from a law and a seed, and every call says how it ended.

The wire below `headgate.relay` is replaced, and nothing above it: a call keeps the limits that the request states, as the
engine does, and its bytes come in pieces of any size.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import formatdate
from itertools import pairwise
from typing import Protocol

from msgspec import Struct
from tests.simulation.clock import START_S, VirtualLoop
from typing_extensions import override

from headgate.errors import ProviderError, ProviderFailed, ProviderTimeout
from headgate.exchange import Exchange, RawHeaders, Reply
from headgate.provider import DeploymentConfig, Provider
from headgate.relay import Origin, relay
from headgate.upstream import Timeouts, UpstreamRequest, UpstreamResponse

DONE = b"data: [DONE]\n\n"
FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
ERROR_EVENT = b'data: {"error":{"message":"the model fell over","type":"server_error"}}\n\n'
COMMENT = b": still here\n\n"
GARBAGE = (b"data: {{{\n\n", b"\xff\x00\xfe", b"<html>bad gateway</html>\n\n", b"data: {}\n\n", b"data: [1]\n\n")
_EVENTS = ((b"content-type", b"text/event-stream"),)
_JSON = ((b"content-type", b"application/json"),)

FAULTS = (
    *("400", "404", "408", "429", "500", "503", "529"),
    *("refused", "no_connect", "reset", "hang", "early_error", "empty", "wrong_type"),
    *("cut", "cut_clean", "stall", "garbage", "bad_event", "drip", "no_done", "comments"),
)
"""What can go wrong with a call, the last row in a running stream."""


class Law(Struct, frozen=True):
    """How a provider behaves. `faults` are chances by name; `outages` are `(from, to, fault)` in seconds from the start.

    Of `capacity` calls at once more wait in a queue of `queue`, others get an `overflow`; `rate` calls are allowed within
    `window_s`. 0 is no limit. `headers` is whose rate-limit headers it sends, `retry_after` in which form a 429 says when to
    come back. A stream that is cut ends at byte `cut_at`, or anywhere.
    """

    latency_s: float = 0.2
    spread: float = 0.3
    faults: Mapping[str, float] = {}
    outages: tuple[tuple[float, float, str], ...] = ()
    capacity: int = 0
    queue: int = 0
    rate: int = 0
    window_s: float = 1.0
    headers: str = "none"
    retry_after: str = "none"
    pieces: int = 4
    gap_s: float = 0.05
    is_torn: bool = False
    cut_at: int = -1
    overflow: int = 529
    timeouts: Timeouts = Timeouts(1.0, 5.0, 2.0, 30.0)


class Watcher(Protocol):
    """Whoever wants to know what becomes of calls."""

    loop: VirtualLoop

    def called(self, call: Call) -> None:
        """A call has started."""
        ...

    def over(self, call: Call) -> None:
        """A call has ended, or was given up."""
        ...


class Script(Struct):
    """How one call goes: the seconds until its head, a status or an error, and the pieces of its body with the gaps before.

    A body ends well (`end`), breaks off (`raise`) or says nothing more (`stall`).
    """

    head_s: float
    status: int = 200
    error: str = ""
    headers: RawHeaders = _JSON
    pieces: Sequence[tuple[float, bytes]] = ()
    ending: str = "end"


class Vendor(Provider):
    """A deployment of a scripted provider. It draws from its own source of chance, one call after another."""

    name = "scripted"
    base_url = "https://vendor.test"
    is_keyless = True
    dialects = {"chat": "openai.chat"}  # noqa: RUF012 - read only
    paths = {"chat": "/chat"}  # noqa: RUF012 - read only

    def __init__(self, deployment: str, law: Law, rng: random.Random, watcher: Watcher) -> None:
        config = DeploymentConfig(provider="scripted", timeouts=law.timeouts)
        super().__init__(deployment, config, Nowhere())
        self.law = law
        self.rng = rng
        self.watcher = watcher
        self.calls = 0
        self.busy = 0
        self.refused = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._recent: deque[float] = deque()

    @override
    def call(self, ex: Exchange) -> Awaitable[Reply]:  # pyright: ignore[reportIncompatibleMethodOverride] - any awaitable does
        self.calls += 1
        return relay(ex, Line(Call(self, ex)), self.prepare(ex), Origin(self.name, self.deployment))

    # capacity and rate

    async def enter(self, until: float) -> bool:
        """Wait for a place; False when the queue is full. Raises ProviderTimeout at `until`."""
        law, loop = self.law, self.watcher.loop
        if not law.capacity or (self.busy < law.capacity and not self._waiting):
            self.busy += 1
            return True
        if len(self._waiting) >= law.queue:
            return False
        place: asyncio.Future[None] = loop.create_future()
        self._waiting.append(place)
        try:
            async with asyncio.timeout_at(until):
                await place
        except BaseException as error:
            if place.done() and not place.cancelled():
                self.leave()
            elif place in self._waiting:
                self._waiting.remove(place)
            if isinstance(error, TimeoutError):
                raise ProviderTimeout("the provider's queue is long") from None
            raise
        return True

    def leave(self) -> None:
        """A place is free; the first who waits has it."""
        self.busy -= 1
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                self.busy += 1
                place.set_result(None)
                return

    def take(self) -> bool:
        """Take a call from the rate limit."""
        law, now = self.law, self.watcher.loop.time()
        while self._recent and self._recent[0] <= now - law.window_s:
            self._recent.popleft()
        if law.rate and len(self._recent) >= law.rate:
            return False
        self._recent.append(now)
        return True

    def limit_headers(self) -> RawHeaders:
        """What the provider says of its rate limit: how much is left, and when all of it is back."""
        law, loop = self.law, self.watcher.loop
        if law.headers == "none":
            return ()
        if law.headers == "wrong":
            return ((b"x-ratelimit-limit-requests", b"-1"), (b"x-ratelimit-remaining-requests", b"many"))
        limit, left = law.rate or 1000, max(0, (law.rate or 1000) - len(self._recent))
        reset_s = max(0.0, self._recent[-1] + law.window_s - loop.time()) if self._recent else 0.0
        if law.headers == "anthropic":
            reset = datetime.fromtimestamp(loop.unix() + reset_s, UTC).isoformat()
            names = [f"anthropic-ratelimit-requests-{what}" for what in ("limit", "remaining", "reset")]
        else:
            reset = f"{reset_s * 1000:.0f}ms"
            names = [f"x-ratelimit-{what}-requests" for what in ("limit", "remaining", "reset")]
        values = (str(limit), str(left), reset)
        return tuple((name.encode(), value.encode()) for name, value in zip(names, values, strict=True))

    def retry_after(self) -> RawHeaders:
        """When to come back, in the form of the law."""
        law, loop = self.law, self.watcher.loop
        wait_s = law.window_s if law.rate else 1.0
        written: Mapping[str, tuple[bytes, str]] = {
            "seconds": (b"retry-after", f"{math.ceil(wait_s)}"),
            "ms": (b"retry-after-ms", f"{wait_s * 1000:.0f}"),
            "date": (b"retry-after", formatdate(loop.unix() + wait_s, usegmt=True)),
            "nonsense": (b"retry-after", "soon"),
            "long": (b"retry-after", "86400"),
            "negative": (b"retry-after", "-5"),
        }
        found = written.get(law.retry_after)
        return () if found is None else ((found[0], found[1].encode()),)

    # scripts

    def script(self, number: int, *, is_stream: bool) -> Script:
        """How a call that begins now goes."""
        law, rng = self.law, self.rng
        head_s = law.latency_s * math.exp(rng.gauss(0.0, law.spread)) if law.spread else law.latency_s
        fault = self._fault()
        if fault.isdigit():
            return self._refusal(int(fault), head_s)
        if fault in {"refused", "no_connect", "reset", "hang"}:
            return Script(head_s, error=fault)
        if not is_stream:
            return self._whole(number, head_s, fault)
        return self._stream(number, head_s, fault)

    def _fault(self) -> str:
        law, rng = self.law, self.rng
        now = self.watcher.loop.time() - START_S
        for start, end, kind in law.outages:
            if start <= now < end:
                return kind
        draw = rng.random()
        for kind, chance in law.faults.items():
            draw -= chance
            if draw < 0:
                return kind
        return ""

    def _refusal(self, status: int, head_s: float) -> Script:
        self.refused += 1
        headers = (*_JSON, *self.limit_headers(), *(self.retry_after() if status in {429, 503} else ()))
        body = b'{"error":{"message":"refused","type":"x","code":"%d"}}' % status
        return Script(head_s, status, headers=headers, pieces=((0.0, body),))

    def too_many(self, status: int) -> Script:
        """A call that a limit refuses at once."""
        return self._refusal(status, 0.005)

    def _whole(self, number: int, head_s: float, fault: str) -> Script:
        body = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"c%d.0 "}}]}' % number
        headers = (*_JSON, *self.limit_headers())
        if fault in {"cut", "cut_clean"}:
            return Script(
                head_s, headers=headers, pieces=((0.0, body[: self.rng.randrange(len(body))]),), ending="raise"
            )
        if fault == "stall":
            return Script(head_s, headers=headers, pieces=((0.0, body[:10]),), ending="stall")
        if fault == "garbage":
            return Script(head_s, headers=headers, pieces=((0.0, self.rng.choice(GARBAGE)),))
        return Script(head_s, headers=headers, pieces=((0.0, body),))

    def _stream(self, number: int, head_s: float, fault: str) -> Script:
        law, rng = self.law, self.rng
        count = rng.randint(1, max(1, 2 * law.pieces - 1))
        events = [event_of(number, at) for at in range(count)] + [FINISH]
        headers = (*(_JSON if fault == "wrong_type" else _EVENTS), *self.limit_headers())
        if fault == "early_error":
            events = [ERROR_EVENT]
        elif fault == "empty":
            events = []
        elif fault in {"garbage", "bad_event"}:
            at = rng.randint(0, count)
            events[at:] = [ERROR_EVENT if fault == "bad_event" else rng.choice(GARBAGE)]
        elif fault != "no_done":
            events.append(DONE)
        if fault == "comments":
            events[0:0] = [COMMENT] * 3
        ending = "end"
        if fault in {"cut", "cut_clean", "stall"}:
            whole = b"".join(events)
            events = [whole[: law.cut_at if law.cut_at >= 0 else rng.randrange(len(whole))]]
            ending = {"cut": "raise", "cut_clean": "end", "stall": "stall"}[fault]
            if not law.is_torn:
                events = [event + b"\n\n" for event in events[0].split(b"\n\n")[:-1]] + [
                    events[0].rpartition(b"\n\n")[2]
                ]
        if law.is_torn:
            events = _torn(b"".join(events), rng)
        gap_s = law.timeouts.gap_s * 0.9 if fault == "drip" else law.gap_s
        return Script(
            head_s,
            headers=headers,
            pieces=[(gap_s if at else 0.0, data) for at, data in enumerate(events) if data],
            ending=ending,
        )


class Nowhere:
    """An engine that nobody may call: each call is its own."""

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        raise AssertionError(f"nothing goes to {request.url}")

    async def close(self) -> None:
        """Nothing is open."""


class Line:
    """The engine of one call."""

    def __init__(self, call: Call) -> None:
        self._call = call

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        return await self._call.open(request)

    async def close(self) -> None:
        """The call itself is closed."""


class Call:
    """One call to a vendor, and the response that it gets. Its number is in all that it says."""

    def __init__(self, vendor: Vendor, ex: Exchange) -> None:
        self.vendor = vendor
        self.ex = ex
        self.number = -1
        self.status = 0
        self.headers: RawHeaders = ()
        self.started = self.ended = 0.0
        self.how = ""
        """How it ended, empty while it is under way."""
        self.sent = b""
        self._loop = vendor.watcher.loop
        self._has_place = False
        self._limits = Timeouts()
        self._script = Script(0.0)
        self._at = 0

    async def open(self, request: UpstreamRequest) -> UpstreamResponse:
        """Carry out the script up to the head of the reply, within the limits of the request."""
        loop, vendor = self._loop, self.vendor
        self.started, self._limits = loop.time(), request.timeouts
        vendor.watcher.called(self)
        try:
            until = self.started + min(self._limits.first_byte_s, self._limits.total_s)
            await self._begin(until)
            self.status, self.headers = self._script.status, self._script.headers
        except BaseException as error:
            self._over(type(error).__name__)
            raise
        return self

    async def _begin(self, until: float) -> None:
        vendor = self.vendor
        if not vendor.take():
            self._script = vendor.too_many(429)
        elif not await vendor.enter(until):
            self._script = vendor.too_many(vendor.law.overflow)
        else:
            self._has_place = True
            self._script = vendor.script(self.number, is_stream=self.ex.stream)
        script = self._script
        if script.error == "refused":
            raise ProviderFailed("nobody listens")
        if script.error == "no_connect":
            await self._rest(math.inf, min(until, self.started + self._limits.connect_s))
        await self._rest(math.inf if script.error == "hang" else script.head_s, until)
        if script.error:
            raise ProviderFailed("the connection was reset")

    async def read(self) -> bytes:
        """The whole body."""
        pieces = [piece async for piece in self]
        return b"".join(pieces)

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes."""
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        script = self._script
        if self._at < len(script.pieces):
            gap_s, data = script.pieces[self._at]
            await self._pause(gap_s)
            self._at += 1
            self.sent += data
            return data
        if script.ending == "stall":
            await self._pause(math.inf)
        self._over("whole" if script.ending == "end" else script.ending)
        if script.ending == "raise":
            raise ProviderFailed("the connection broke", code="upstream_cut")
        raise StopAsyncIteration

    async def pour(self, sink: Callable[[bytes], bool]) -> None:
        """Give pieces to `sink` as they come, until it wants no more or only `chunks` can go on."""
        pieces = self._script.pieces
        while self._at < len(pieces):
            gap_s, data = pieces[self._at]
            if self._loop.time() + gap_s >= self._until():
                return
            if gap_s > 0:
                await asyncio.sleep(gap_s)
            self._at += 1
            self.sent += data
            if not sink(data):
                return

    def close(self) -> None:
        """Nobody wants the rest."""
        self._over("closed")

    def _until(self) -> float:
        return min(self._loop.time() + self._limits.gap_s, self.started + self._limits.total_s)

    async def _pause(self, seconds: float) -> None:
        try:
            await self._rest(seconds, self._until())
        except ProviderError:
            self._over("timeout")
            raise

    async def _rest(self, seconds: float, until: float) -> None:
        """Wait. Raises ProviderTimeout at `until` if that comes first."""
        now = self._loop.time()
        if now + seconds >= until:
            if until > now:
                await asyncio.sleep(until - now)
            raise ProviderTimeout("the provider is silent")
        if seconds > 0:
            await asyncio.sleep(seconds)

    def _over(self, how: str) -> None:
        if self.how:
            return
        self.how, self.ended = how, self._loop.time()
        if self._has_place:
            self.vendor.leave()
        self.vendor.watcher.over(self)


def event_of(number: int, at: int) -> bytes:
    """A piece of text that says from which call it is, and its place there."""
    return b'data: {"choices":[{"index":0,"delta":{"content":"c%d.%d "}}]}\n\n' % (number, at)


def _torn(data: bytes, rng: random.Random) -> list[bytes]:
    """The same bytes, cut anywhere."""
    cuts = sorted(rng.randrange(len(data)) for _ in range(rng.randint(1, 6))) if data else []
    edges = [0, *cuts, len(data)]
    return [data[start:end] for start, end in pairwise(edges)]
