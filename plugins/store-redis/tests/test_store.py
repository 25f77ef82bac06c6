"""What the store does while Redis is well: the contract of all stores, and what Redis itself decides."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest
from tests.redis_server import Proxy, RedisServer

from headgate.fleet import Fleet
from headgate.sharing import SharedBreakers
from headgate.testing import StateStoreContract, eventually
from headgate_store_redis import RedisStateStore
from headgate_store_redis.links import Server

OpenStore = Callable[..., RedisStateStore]


@pytest.fixture
def store(server: RedisServer, open_store: OpenStore) -> RedisStateStore:
    return open_store(server.url)


class TestRedisStateStore(StateStoreContract):
    """Redis keeps the contract."""

    @pytest.fixture
    def store(self, server: RedisServer, open_store: OpenStore) -> RedisStateStore:
        return open_store(server.url)


class TestLocalStateStore(StateStoreContract):
    """So does the store while there is no Redis at all."""

    @pytest.fixture
    def store(self) -> RedisStateStore:
        return RedisStateStore()


async def test_gateways_share(server: RedisServer, open_store: OpenStore) -> None:
    """What one process sets and counts, another sees; processes with another prefix see nothing of it."""
    first, second, stranger = open_store(server.url), open_store(server.url), open_store(server.url, prefix="x:")
    await first.set(b"k", b"v")
    assert [await each.add(b"n", 1) for each in (first, second, first, stranger)] == [1, 2, 3, 1]
    assert [await each.get(b"k") for each in (second, stranger)] == [b"v", None]
    assert server.command("GET", "headgate:k") == b"v"
    assert first.state == "shared"
    assert first.answered_locally == 0


async def test_large_counters_are_exact(store: RedisStateStore) -> None:
    """Counters have 64 bits, more than the doubles of a script hold."""
    large = 2**62 + 1
    assert await store.add(b"n", large, ttl_s=60) == large
    assert await store.add(b"n", 2) == large + 2


@pytest.mark.parametrize("amount", [2**63, -(2**63) - 1, 2**63 - 1])
async def test_what_is_no_number_is_the_callers_mistake(store: RedisStateStore, amount: int) -> None:
    """It raises, as in the store `memory`, changes nothing, and says nothing of Redis."""
    await store.set(b"word", b"many")
    await store.add(b"n", 5)
    for key in (b"word", b"n"):
        with pytest.raises(ValueError, match=r"number|64 bits"):
            await store.add(key, amount)
    assert (await store.get(b"word"), await store.get(b"n")) == (b"many", b"5")
    assert (store.state, store.failures) == ("shared", 0)


@pytest.mark.parametrize("ttl_s", [0.0, -1.0, 1e-9])
async def test_a_time_that_is_over_is_over(store: RedisStateStore, ttl_s: float) -> None:
    """Redis refuses a time to live below a millisecond, so it gets one."""
    await store.set(b"k", b"v", ttl_s)
    await store.add(b"n", 1, ttl_s)
    await asyncio.sleep(0.01)
    assert (await store.get(b"k"), await store.get(b"n")) == (None, None)
    assert store.failures == 0


@pytest.mark.parametrize("ttl_s", [1e18, float("inf")])
async def test_a_time_without_end_has_none(store: RedisStateStore, ttl_s: float) -> None:
    """However long a time to live is, Redis takes it."""
    await store.set(b"k", b"v", ttl_s)
    assert await store.add(b"n", 1, ttl_s) == 1
    assert (await store.get(b"k"), store.failures) == (b"v", 0)


async def test_a_key_of_somebody_elses_does_no_harm(server: RedisServer, store: RedisStateStore) -> None:
    """A list under our prefix can be neither read nor counted: this process keeps the key, and Redis is well."""
    server.command("RPUSH", "headgate:k", "1")
    assert await store.get(b"k") is None
    assert [await store.add(b"k", 1) for _ in range(10)] == list(range(1, 11))
    assert (store.state, store.failures) == ("shared", 0)


async def test_more_callers_than_connections(server: RedisServer, open_store: OpenStore) -> None:
    """They wait for one another, and all are answered."""
    store = open_store(server.url, max_connections=3)
    totals = await asyncio.gather(*(store.add(b"n", 1) for _ in range(300)))
    assert sorted(totals) == list(range(1, 301))
    assert server.clients() == 3


async def test_a_cancelled_call_never_hands_its_reply_to_another(
    server: RedisServer, proxy: Proxy, open_store: OpenStore
) -> None:
    """10,000 reads of as many keys over few connections, a third cancelled at any point: every value is that of its key.

    This is the class of CVE-2023-28858 and CVE-2023-28859. No connection is lost on the way either.
    """
    rng = random.Random(7)
    server.command("EVAL", "for i = 0, 9999 do redis.call('SET', 'headgate:' .. i, 'value ' .. i) end", 0)
    store = open_store(proxy.url, max_connections=8)
    cancelled = 0

    async def read(number: int) -> None:
        assert await store.get(str(number).encode()) == f"value {number}".encode()

    for start in range(0, 10_000, 50):
        reads = [asyncio.create_task(read(number)) for number in range(start, start + 50)]
        victims = rng.sample(reads, 17)
        while victims:
            for _ in range(rng.randrange(8)):
                await asyncio.sleep(0)
            victims.pop().cancel()
        ended = await asyncio.gather(*reads, return_exceptions=True)
        assert [each for each in ended if isinstance(each, Exception)] == []
        cancelled += sum(isinstance(each, asyncio.CancelledError) for each in ended)
    assert cancelled > 1000
    assert sorted(await asyncio.gather(*(store.add(b"n", 1) for _ in range(100)))) == list(range(1, 101))
    assert (store.state, store.failures) == ("shared", 0)
    assert proxy.open <= 8


async def test_a_reply_that_nobody_read_is_noticed(server: RedisServer, open_store: OpenStore) -> None:
    """A connection on which a reply is still to come, whatever the reason, is not read from."""
    store = open_store(server.url, max_connections=1)
    await store.set(b"a", b"1")
    await store.set(b"b", b"2")
    link = store._links[-1].link
    assert isinstance(link, Server)
    connection = link._pool._idle[0]
    await connection.send_command("GET", "headgate:a")
    await eventually(connection.can_read, "the reply is here")
    assert await store.get(b"b") == b"2"


async def test_breakers_are_shared_over_redis(server: RedisServer, open_store: OpenStore) -> None:
    """Two gateways on one Redis: what one has found to fail the other leaves alone, and finds well again by itself."""
    here, there = Fleet(), Fleet()
    ours = SharedBreakers(here, open_store(server.url))
    theirs = SharedBreakers(there, open_store(server.url))
    failing, told = here.health("a", "m"), there.health("a", "m")
    for _ in range(5):
        call = failing.begin(here.clock())
        failing.failed(call, here.clock())
        failing.end(call, here.clock())
    await ours.exchange()
    await theirs.exchange()
    now = there.clock()
    assert not told.is_usable(now)
    assert abs(told.wait_s(now) - failing.wait_s(now)) < 1.0
    assert told.begin(now + 6.0).is_probe
