"""The StateStore on Redis: shared while Redis is well, in this process while it is not, and never waiting to find out."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable
from typing import Any, Literal

import structlog
from msgspec import Struct
from redis.exceptions import ResponseError

from headgate.policies import Breaker, BreakerRule
from headgate.state import MemoryStateStore
from headgate_store_redis.connections import Command
from headgate_store_redis.links import Link

RULE = BreakerRule(consecutive=5, share=0.2, minimum=20, window_s=10.0, penalty_s=1.0, max_penalty_s=4.0)
"""Opens after five failures in a row or at a fifth of twenty; a probe goes out every four seconds at the latest."""
SUSPECT_S = 0.5
"""How long after a failure that opened nothing Redis is asked whether it is well."""
MAX_CHANGED = 100_000
"""Keys that are remembered as set or deleted while Redis could not be told."""
BATCH = 100
MAX_TTL_MS = 2**53
MAX_COUNT = 2**63
MAX_REASON = 200

_ADD = """\
if ARGV[2] ~= '' then redis.call('SET', KEYS[1], '0', 'NX', 'PX', ARGV[2]) end
redis.call('INCRBY', KEYS[1], ARGV[1])
return redis.call('GET', KEYS[1])"""
"""The time to live is set where the counter begins, and nowhere else. What INCRBY gives would lose digits in Lua: numbers
there are doubles (https://redis.io/docs/latest/develop/programmability/lua-api/)."""
_PROBE = "return redis.call('SETRANGE', KEYS[1], 0, '')"
"""A write that changes nothing (https://redis.io/docs/latest/commands/setrange/) and is refused where writes are: by
replicas, by a server out of memory, by one that cannot run scripts."""
_LOCAL = object()
_NO_NUMBER = ("not an integer", "would overflow")

State = Literal["shared", "local", "closed"]

log = structlog.get_logger("headgate")


class Bound(Struct, frozen=True, eq=False):
    """A link with what one plugin's settings say of its use: what keys begin with, and how long an operation may take."""

    link: Link
    prefix: bytes
    timeout_s: float


class RedisStateStore:
    """A StateStore in Redis or Valkey. It raises for a wrong argument only, never for the state of Redis.

    An operation that fails, or takes longer than the link's `timeout_s`, is carried out in a MemoryStateStore of this
    process instead. After several such failures Redis is left alone, and one probe at a time finds out when it is well; no
    operation waits for that. Then the process's own store is dropped: what was counted there is not added to Redis, and
    what was set or deleted there is deleted in Redis first, so that no older value comes back.

    `state` is `shared`, `local` while Redis is left alone, `closed` without a link; `reason` is the last failure;
    `failures` and `answered_locally` count operations, `unmended` keys whose older values may come back because more than
    MAX_CHANGED changed.
    """

    def __init__(
        self,
        local: Callable[[], MemoryStateStore] = MemoryStateStore,
        rng: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._new_local = local
        self._local = local()
        self._rng = rng or random.Random()  # noqa: S311 - spreads load, protects nothing
        self._clock = clock
        self._links: list[Bound] = []
        self._breaker = Breaker(RULE)
        self._changed: dict[bytes, None] = {}
        self._suspect = b""
        self._mending: asyncio.Task[None] | None = None
        self._away_since: float | None = None
        self.reason = ""
        self.failures = 0
        self.answered_locally = 0
        self.unmended = 0

    @property
    def state(self) -> State:
        """Who answers."""
        if not self._links:
            return "closed"
        return "shared" if self._breaker.state == "closed" else "local"

    def use(self, bound: Bound) -> None:
        """Answer over this link from now on; the ones before it are kept until they are dropped."""
        if bound not in self._links:
            self._links.append(bound)
        if self._changed or self._breaker.state != "closed":
            self._start_mending()

    async def drop(self, bound: Bound) -> None:
        """Close a link; the newest of those left is used again. Without any, this process answers."""
        if bound in self._links:
            self._links.remove(bound)
        if not self._links and self._mending is not None:
            self._mending.cancel()
            await asyncio.gather(self._mending, return_exceptions=True)
            self._mending = None
        await bound.link.close()

    async def get(self, key: bytes) -> bytes | None:
        """See StateStore."""
        reply = await self._ask(key, "GET")
        return await self._local.get(key) if reply is _LOCAL else reply

    async def set(self, key: bytes, value: bytes, ttl_s: float | None = None) -> None:
        """See StateStore."""
        words = () if ttl_s is None else ("PX", _ms(ttl_s))
        if await self._ask(key, "SET", value, *words) is _LOCAL:
            self._change(key)
            await self._local.set(key, value, ttl_s)

    async def add(self, key: bytes, amount: int, ttl_s: float | None = None) -> int:
        """See StateStore. ValueError for a value that is no number, or a sum beyond 64 bits."""
        if not -MAX_COUNT <= amount < MAX_COUNT:
            raise ValueError(f"`{amount}` is more than a counter of Redis holds, which has 64 bits")
        reply = await self._ask(key, "EVAL", amount, "" if ttl_s is None else _ms(ttl_s))
        return await self._local.add(key, amount, ttl_s) if reply is _LOCAL else int(reply)

    async def delete(self, key: bytes) -> None:
        """See StateStore."""
        if await self._ask(key, "DEL") is _LOCAL:
            self._change(key)
            await self._local.delete(key)

    async def _ask(self, key: bytes, name: str, *words: bytes | str | int) -> Any:
        """The reply of Redis, or `_LOCAL` when this process has to answer. ValueError for a counter that is none."""
        if self._breaker.state != "closed" or not self._links or key in self._changed:
            self.answered_locally += 1
            return _LOCAL
        bound = self._links[-1]
        full = bound.prefix + key
        command: Command = ("EVAL", _ADD, 1, full, *words) if name == "EVAL" else (name, full, *words)
        started = self._clock()
        try:
            async with asyncio.timeout(bound.timeout_s):
                reply = await bound.link.execute(full, command)
        except Exception as error:
            self._judge(key, error, self._clock() - started, bound)
            self.answered_locally += 1
            return _LOCAL
        self._breaker.succeeded(self._clock())
        return reply

    def _judge(self, key: bytes, error: Exception, took_s: float, bound: Bound) -> None:
        """What a failure says of Redis. ValueError when it was the caller's."""
        if isinstance(error, ResponseError):
            if any(words in str(error) for words in _NO_NUMBER):
                raise ValueError("the value is no number, or the sum has more than 64 bits") from None
            if "WRONGTYPE" in str(error):
                return  # somebody else's key: Redis is well
        self.failures += 1
        self.reason = _reason(error, bound.timeout_s)
        self._suspect = key
        if took_s > 2 * bound.timeout_s:
            self._breaker.released()  # this process stood still: the timer itself came late
        else:
            self._breaker.failed(self._clock(), self._rng)
        self._say_if_opened()
        self._start_mending()

    def _start_mending(self) -> None:
        if self._mending is None:
            self._mending = asyncio.create_task(self._mend())

    def _change(self, key: bytes) -> None:
        """Remember that Redis has an older value than this process."""
        self._changed[key] = None
        if len(self._changed) > MAX_CHANGED:
            del self._changed[next(iter(self._changed))]
            self.unmended += 1

    async def _mend(self) -> None:
        """Ask until Redis is well; then it is the store again."""
        while True:
            quiet_s = SUSPECT_S * (0.5 + self._rng.random() / 2)
            await asyncio.sleep(self._breaker.wait_s(self._clock()) or quiet_s)
            admission = self._breaker.admit(self._clock())
            if admission == "no":
                continue
            is_probe = admission == "probe"
            try:
                await self._probe(self._links[-1])
            except Exception as error:
                self.reason = _reason(error, self._links[-1].timeout_s)
                self._breaker.failed(self._clock(), self._rng, is_probe=is_probe)
                self._say_if_opened()
                continue
            self._recover(is_probe=is_probe)
            return

    async def _probe(self, bound: Bound) -> None:
        """Raises when Redis is not well. Takes back there what this process has changed."""
        key = bound.prefix + self._suspect
        async with asyncio.timeout(bound.timeout_s):
            await bound.link.renew()
            await bound.link.execute(key, ("EVAL", _PROBE, 1, key))
        while self._changed:
            batch = list(self._changed)[:BATCH]
            async with asyncio.timeout(bound.timeout_s):
                await bound.link.forget([bound.prefix + key for key in batch])
            for key in batch:
                del self._changed[key]
            await self._drop_local(batch)

    async def _drop_local(self, keys: list[bytes]) -> None:
        for key in keys:
            await self._local.delete(key)

    def _recover(self, *, is_probe: bool) -> None:
        self._breaker.succeeded(self._clock(), is_probe=is_probe)
        self._local = self._new_local()
        self._mending = None
        if self._away_since is not None:
            log.info(
                "the store `redis` is shared again, and what was kept in this process meanwhile is dropped",
                away_s=round(self._clock() - self._away_since, 1),
                unmended_keys=self.unmended,
            )
        self._away_since, self.unmended = None, 0

    def _say_if_opened(self) -> None:
        """Log once that Redis is left alone."""
        if self._breaker.state == "closed" or self._away_since is not None:
            return
        self._away_since = self._clock()
        log.warning(
            "the store `redis` is not to be relied on, so state is kept in this process until it is",
            reason=self.reason,
            failures=self.failures,
        )


def _ms(ttl_s: float) -> int:
    """A time to live for PX: at least a millisecond, since Redis refuses less, and never more than it can hold."""
    return max(1, math.ceil(ttl_s * 1000)) if ttl_s * 1000 < MAX_TTL_MS else MAX_TTL_MS


def _reason(error: Exception, timeout_s: float) -> str:
    """A failure in words for the log; a server's own words are cut and hold no control characters."""
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout_s:g} s"
    words = "".join(letter if letter.isprintable() else "?" for letter in str(error)[:MAX_REASON])
    return f"{type(error).__name__}: {words}"
