"""Shared state in Redis or Valkey: several gateways count, limit and remember together, and each serves on without it."""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from typing_extensions import override

from headgate import Context, Hooks, Problem, StartupError, hookimpl
from headgate.hooks import StoreFactory
from headgate.state import MemoryStateStore
from headgate_store_redis.links import link_of
from headgate_store_redis.settings import StoreRedisConfig
from headgate_store_redis.store import Bound, RedisStateStore

__all__ = ["RedisStateStore", "StoreRedis", "StoreRedisConfig"]

log = structlog.get_logger("headgate")


class StoreRedis(Hooks):
    """Brings the store `redis`. The store lives as long as the gateway; the connections are this instance's.

    After a reload with other settings the store goes on over the new instance's connections, and `stop` of the old one,
    which comes once no exchange uses it, closes its own.
    """

    Config = StoreRedisConfig

    def __init__(self, config: StoreRedisConfig) -> None:
        self._bound = Bound(link_of(config), config.prefix.encode(), config.timeout_s)
        self._store: RedisStateStore | None = None

    @override
    @hookimpl
    def stores(self) -> Mapping[str, StoreFactory]:
        return {"redis": self._create}

    @override
    @hookimpl
    async def start(self, ctx: Context) -> None:
        """Reads TLS files and takes the store over. A Redis that is away does not keep the gateway from starting."""
        if not isinstance(ctx.state, RedisStateStore):
            log.warning("the plugin `store-redis` has nothing to do: set `state: redis`")
            return
        try:
            await self._bound.link.load()
        except ValueError as error:
            raise StartupError([Problem(f"plugin `store-redis`: {error}")]) from None
        self._store = ctx.state
        self._store.use(self._bound)
        await self._store.get(b"")  # connects, so that the first request need not

    @override
    @hookimpl
    async def stop(self) -> None:
        if self._store is not None:
            await self._store.drop(self._bound)

    def _create(self, ctx: Context) -> RedisStateStore:
        store = RedisStateStore(lambda: MemoryStateStore(max_bytes=ctx.state_bytes))
        store.use(self._bound)
        return store
