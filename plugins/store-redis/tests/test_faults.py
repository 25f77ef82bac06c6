"""What the store does while Redis is not well, and that it finds back."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from functools import partial

import pytest
from structlog.testing import capture_logs
from tests.redis_server import Mode, Proxy, RedisServer

from headgate.testing import eventually
from headgate_store_redis import RedisStateStore
from headgate_store_redis.store import BATCH, RULE

OpenStore = Callable[..., RedisStateStore]
Fault = Callable[[str], contextlib.AbstractAsyncContextManager[None]]

TIMEOUT_S = 1.0
"""Of an operation: long enough for a machine that stands still for a moment, short enough for a test."""
BACK_S = 20.0
"""A guard: the rule says that a probe goes out within `RULE.max_penalty_s`."""
FAULTS = ("closed", "silent", "slow", "cut", "frozen", "read-only", "full", "lonely", "gone")


@pytest.fixture
async def store(proxy: Proxy, open_store: OpenStore) -> RedisStateStore:
    """A store that has been in use, over the proxy."""
    held = open_store(proxy.url, TIMEOUT_S)
    await held.set(b"value", b"old")
    await held.set(b"gone", b"old")
    assert await held.add(b"count", 10) == 10
    return held


@contextlib.asynccontextmanager
async def unwell(server: RedisServer, proxy: Proxy, name: str) -> AsyncGenerator[None]:
    """Redis is not well in this way while the block runs."""
    undo: Callable[[], object]
    match name:
        case "closed" | "silent" | "slow" | "cut":
            proxy.delay_s = 3 * TIMEOUT_S
            proxy.become(name)
            undo = partial(proxy.become, "pass")
        case "frozen":
            server.freeze()
            undo = server.thaw
        case "read-only":
            server.command("REPLICAOF", "127.0.0.1", "1")
            undo = partial(server.command, "REPLICAOF", "NO", "ONE")
        case "full":
            server.command("CONFIG", "SET", "maxmemory", "1")
            undo = partial(server.command, "CONFIG", "SET", "maxmemory", "0")
        case "lonely":
            server.command("CONFIG", "SET", "min-replicas-to-write", "1")
            undo = partial(server.command, "CONFIG", "SET", "min-replicas-to-write", "0")
        case _:
            server.stop()
            undo = server.start
    try:
        yield
    finally:
        undo()


@pytest.fixture
def fault(server: RedisServer, proxy: Proxy) -> Fault:
    """Makes Redis unwell, in one of `FAULTS`, while a block runs."""
    return partial(unwell, server, proxy)


async def opened(store: RedisStateStore) -> None:
    """Twenty calls at once, which is enough for the store to leave Redis alone; none of them raises."""
    started = time.monotonic()
    await asyncio.gather(*(store.add(b"trial", 1) for _ in range(20)))
    assert store.state == "local"
    assert time.monotonic() - started < TIMEOUT_S + BACK_S


async def back(store: RedisStateStore) -> None:
    await eventually(lambda: store.state == "shared", "Redis is the store again", BACK_S)


@pytest.mark.parametrize("name", FAULTS)
async def test_it_serves_on_and_finds_back(name: str, fault: Fault, store: RedisStateStore) -> None:
    """No call raises or waits, what is counted here stays here, no older value comes back, and the log says it once each way."""
    with capture_logs() as lines:
        async with fault(name):
            await opened(store)
            assert [await store.add(b"count", 1) for _ in range(3)] == [1, 2, 3]
            await store.set(b"value", b"new")
            await store.delete(b"gone")
            assert [await store.get(key) for key in (b"value", b"gone", b"never")] == [b"new", None, None]
            took = sorted([await timed(store) for _ in range(200)])
            assert took[197] < 0.05
        await back(store)
        fresh = 0 if name == "gone" else 10  # the server keeps nothing over a restart
        assert await store.add(b"count", 1) == fresh + 1
        assert [await store.get(key) for key in (b"value", b"gone")] == [None, None]
    levels = [line["log_level"] for line in lines]
    assert levels == ["warning", "info"]
    assert lines[0]["reason"]
    assert store.reason


async def timed(store: RedisStateStore) -> float:
    started = time.perf_counter()
    await store.get(b"value")
    return time.perf_counter() - started


REASONS: Mapping[str, str] = {
    "silent": "no answer within 1 s",
    "read-only": "read only replica",
    "full": "maxmemory",
}


@pytest.mark.parametrize("name", REASONS)
async def test_the_reason_says_what_is_wrong(name: str, fault: Fault, store: RedisStateStore) -> None:
    """The operator reads in the log why Redis is left alone."""
    with capture_logs() as lines:
        async with fault(name):
            await opened(store)
    assert REASONS[name] in lines[0]["reason"]


async def test_one_probe_at_a_time(proxy: Proxy, store: RedisStateStore) -> None:
    """However many call while Redis is silent, one connection at a time finds out whether it is well; none of them waits."""
    proxy.become("silent")
    await opened(store)
    await eventually(lambda: proxy.open == 0, "the failed calls are over", BACK_S)
    proxy.most_open, asked = 0, proxy.asked
    end = time.monotonic() + 3.0
    while time.monotonic() < end:
        await asyncio.gather(*(store.add(b"n", 1) for _ in range(50)))
        await asyncio.sleep(0.005)
    assert proxy.most_open == 1
    assert 1 <= proxy.asked - asked <= 6


async def test_probes_keep_their_distance(store: RedisStateStore, proxy: Proxy) -> None:
    """Each penalty is between half of what the rule says and all of it, so that gateways do not probe together."""
    proxy.become("closed")
    await opened(store)
    waits: set[float] = set()
    for _ in range(20):
        ends = store._breaker.wait_s(0.0)
        waits.add(ends)
        now = store._breaker._ends
        assert store._breaker.admit(now) == "probe"
        store._breaker.failed(now, store._rng, is_probe=True)
        assert store._breaker.wait_s(now) <= RULE.max_penalty_s < 5.0
    assert len(waits) == 20


async def test_a_single_failure_changes_little(
    proxy: Proxy, store: RedisStateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One call that fails is answered here and mended soon after; others go on being shared, and nothing is logged."""
    monkeypatch.setattr("headgate_store_redis.store.SUSPECT_S", 3.0)
    with capture_logs() as lines:
        proxy.become("cut")
        await store.set(b"value", b"new")
        proxy.become("pass")
        assert (store.state, store.failures) == ("shared", 1)
        assert await store.add(b"count", 1) == 11
        assert await store.get(b"value") == b"new"
        await eventually(lambda: store._mending is None, "the change is mended", BACK_S)
        assert await store.get(b"value") is None
        await store.set(b"value", b"newer")
        assert await store.get(b"value") == b"newer"
    assert lines == []


async def test_an_outage_leaves_nothing_for_the_next(proxy: Proxy, store: RedisStateStore) -> None:
    """What was counted and set here in one outage is not there in another."""
    for _ in range(2):
        proxy.become("closed")
        await opened(store)
        assert await store.get(b"value") is None
        assert await store.add(b"count", 1) == 1
        await store.set(b"value", b"new")
        proxy.become("pass")
        await back(store)


async def test_everything_changed_meanwhile_is_mended(
    server: RedisServer, proxy: Proxy, store: RedisStateStore
) -> None:
    """Many keys are deleted in many steps; counters are left as they are."""
    keys = [f"key {number}".encode() for number in range(3 * BATCH + 1)]
    for key in keys:
        await store.set(key, b"old")
    proxy.become("closed")
    await opened(store)
    for key in keys:
        await store.set(key, b"new")
    proxy.become("pass")
    await back(store)
    assert sorted(server.command("KEYS", "*")) == [b"headgate:count", b"headgate:gone", b"headgate:value"]


async def test_it_remembers_so_many_changes(
    proxy: Proxy, store: RedisStateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past the bound the oldest are no longer known, and the log says how many."""
    monkeypatch.setattr("headgate_store_redis.store.MAX_CHANGED", 3)
    with capture_logs() as lines:
        proxy.become("closed")
        await opened(store)
        for number in range(5):
            await store.set(str(number).encode(), b"new")
        assert store.unmended == 2
        proxy.become("pass")
        await back(store)
    assert lines[-1]["unmended_keys"] == 2
    assert store.unmended == 0


async def test_flushed_meanwhile(server: RedisServer, store: RedisStateStore) -> None:
    """A server that has lost everything is a server that knows nothing: counters begin again, and it stays the store."""
    server.command("FLUSHALL")
    server.command("SCRIPT", "FLUSH")
    assert (await store.get(b"value"), await store.add(b"count", 1)) == (None, 1)
    assert (store.state, store.failures) == ("shared", 0)


async def test_a_restart_while_nobody_calls_is_not_noticed(server: RedisServer, open_store: OpenStore) -> None:
    """Connections that ended meanwhile are not used: the first call after a restart is answered by Redis."""
    store = open_store(server.url)
    await asyncio.gather(*(store.add(b"n", 1) for _ in range(10)))
    await asyncio.to_thread(server.stop)
    await asyncio.to_thread(server.start)
    assert await store.add(b"n", 1) == 1
    assert (store.state, store.failures) == ("shared", 0)


async def test_standing_still_oneself_is_not_the_servers_fault(server: RedisServer, open_store: OpenStore) -> None:
    """When this process does not turn for longer than the time limit, calls are answered here, and Redis stays the store."""
    store = open_store(server.url, 0.25)
    await store.get(b"value")
    calls = [asyncio.create_task(store.get(b"value")) for _ in range(40)]
    await asyncio.sleep(0)
    time.sleep(0.8)  # noqa: ASYNC251 - this is what is tested
    assert await asyncio.gather(*calls) == [None] * 40
    assert store.state == "shared"


@pytest.mark.parametrize("mode", ["silent", "slow", "cut"])
async def test_cancelling_while_redis_is_not_well(proxy: Proxy, store: RedisStateStore, mode: Mode) -> None:
    """A caller that leaves is let go at once, its connection is closed, and none is lost."""
    proxy.become(mode)
    calls = [asyncio.create_task(store.get(b"value")) for _ in range(30)]
    await eventually(lambda: proxy.asked, "a call reached the server")
    for call in calls:
        call.cancel()
    ended = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), BACK_S)
    assert all(each is None or isinstance(each, asyncio.CancelledError) for each in ended)
    proxy.become("pass")
    await back(store)
    await eventually(lambda: store._mending is None, "what failed is mended", BACK_S)
    assert await asyncio.gather(*(store.get(b"value") for _ in range(100))) == [b"old"] * 100


async def test_closed_for_good(server: RedisServer, open_store: OpenStore, proxy: Proxy) -> None:
    """A store without a link answers from this process, asks nobody, and leaves no task behind."""
    store = open_store(proxy.url, TIMEOUT_S)
    proxy.become("closed")
    await opened(store)
    await store.drop(store._links[-1])
    assert (store.state, store._mending) == ("closed", None)
    await store.set(b"k", b"v")
    assert await store.get(b"k") == b"v"


async def test_a_link_of_later_mends_what_was_kept_meanwhile(server: RedisServer, open_store: OpenStore) -> None:
    """A store that gets a link again, while it was away from Redis, finds back by itself."""
    store = open_store(server.url)
    await store.set(b"value", b"old")
    bound = store._links[-1]
    other = open_store(server.url)
    await store.drop(bound)
    await store.set(b"value", b"new")
    store.use(other._links[-1])
    await eventually(lambda: server.command("EXISTS", "headgate:value") == 0, "the older value is gone", BACK_S)
