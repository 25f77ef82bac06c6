"""A server for all tests of a module, emptied for each, a proxy before it, and stores that are closed afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from tests.redis_server import Proxy, RedisServer

from headgate_store_redis import RedisStateStore, StoreRedisConfig
from headgate_store_redis.links import link_of
from headgate_store_redis.store import Bound

OpenStore = Callable[..., RedisStateStore]


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def server(shared_server: RedisServer) -> RedisServer:
    """An empty server, which a test leaves running and as it was configured."""
    shared_server.command("FLUSHALL")
    return shared_server


@pytest.fixture
async def proxy(server: RedisServer) -> AsyncIterator[Proxy]:
    held = Proxy(server.port)
    await held.start()
    yield held
    await held.stop()


@pytest.fixture
async def open_store() -> AsyncIterator[OpenStore]:
    """Makes a store from the plugin's settings, and closes it after the test. Operations may take ten seconds by default."""
    made: list[tuple[RedisStateStore, Bound]] = []

    def create(url: str, timeout_s: float = 10.0, **settings: Any) -> RedisStateStore:
        config = StoreRedisConfig(url=url, timeout_s=timeout_s, **settings)
        bound = Bound(link_of(config), config.prefix.encode(), config.timeout_s)
        store = RedisStateStore()
        store.use(bound)
        made.append((store, bound))
        return store

    yield create
    for store, bound in made:
        await store.drop(bound)
