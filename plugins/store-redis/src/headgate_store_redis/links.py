"""The ways to reach the server that holds a key: one server, the primary that sentinels name, or a cluster's node."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import AskError, MovedError, RedisError, ResponseError
from redis.exceptions import ConnectionError as Unreachable
from typing_extensions import override

from headgate_store_redis.connections import Command, Dialler, Pool, Socket, ask
from headgate_store_redis.settings import PORT, SENTINEL_PORT, Address, StoreRedisConfig, address_of, endpoint_of

MAX_REDIRECTS = 5
_FAILURES = (RedisError, OSError, ValueError)


class Link(Protocol):
    """Carries commands to the server of a key. It makes no connection before the first command."""

    async def execute(self, key: bytes, command: Command) -> Any:
        """The reply to a command on this key. Raises redis-py's errors, and the system's; it sets no time limit."""
        ...

    async def forget(self, keys: Sequence[bytes]) -> None:
        """Delete keys, wherever they are. Raises as `execute`."""
        ...

    async def renew(self) -> None:
        """Take nothing for granted that was known of servers: connections, addresses, TLS files."""
        ...

    async def load(self) -> None:
        """Read the TLS files. ValueError names a bad one."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


def link_of(config: StoreRedisConfig) -> Link:
    """The link that the settings ask for."""
    dialler = Dialler(config)
    if config.cluster:
        return Cluster(config, dialler)
    return Sentinels(config, dialler) if config.sentinels else Server(config, dialler)


class Server:
    """One server, where the URL says."""

    def __init__(self, config: StoreRedisConfig, dialler: Dialler) -> None:
        self._dialler = dialler
        self._pool = Pool(self._open, config.max_connections)

    async def execute(self, key: bytes, command: Command) -> Any:  # noqa: ARG002 - all keys are there
        """See Link."""
        return await self._pool.execute(command)

    async def forget(self, keys: Sequence[bytes]) -> None:
        """See Link."""
        await self._pool.execute(("DEL", *keys))

    async def renew(self) -> None:
        """See Link."""
        self._dialler.forget_files()
        await self._pool.drop_idle()

    async def load(self) -> None:
        """See Link."""
        await self._dialler.load()

    async def close(self) -> None:
        """See Link."""
        await self._pool.close()

    async def _open(self) -> Socket:
        return await self._dialler.open()


class Sentinels(Server):
    """The primary of a service. Every new connection asks where it is, and what is there whether it is one.

    As https://redis.io/docs/latest/develop/reference/sentinel-clients/ wants it: the sentinel that answered is asked
    first from then on.
    """

    def __init__(self, config: StoreRedisConfig, dialler: Dialler) -> None:
        super().__init__(config, dialler)
        self._service = config.service
        self._sentinels = [address_of(text, SENTINEL_PORT) for text in config.sentinels]
        self._share_s = config.timeout_s / (len(self._sentinels) + 1)

    @override
    async def _open(self) -> Socket:
        connection = await self._dialler.open(await self._primary())
        role = await ask(connection, "ROLE")
        if role[0] != b"master":
            await connection.disconnect(nowait=True)
            raise Unreachable(f"the sentinels name a server for `{self._service}` that is not its primary")
        return connection

    async def _primary(self) -> Address:
        for address in list(self._sentinels):
            try:
                async with asyncio.timeout(self._share_s):
                    found = await self._asked(address)
            except _FAILURES:
                continue
            if found is not None:
                self._sentinels.remove(address)
                self._sentinels.insert(0, address)
                return found
        raise Unreachable(f"no sentinel says where the primary of `{self._service}` is")

    async def _asked(self, address: Address) -> Address | None:
        connection = await self._dialler.open_sentinel(address)
        reply = await ask(connection, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service)
        await connection.disconnect(nowait=True)
        return None if reply is None else (reply[0].decode(), int(reply[1]))


class Cluster:
    """A cluster: each key is at the node that has its slot, and redirections are followed.

    See https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/ for slots, MOVED and ASK.
    """

    def __init__(self, config: StoreRedisConfig, dialler: Dialler) -> None:
        self._dialler = dialler
        self._limit = config.max_connections
        self._known = [endpoint_of(config.url).address, *(address_of(text, PORT) for text in config.nodes)]
        self._seeds = tuple(self._known)
        self._share_s = config.timeout_s / 3
        self._pools: dict[Address, Pool] = {}
        self._slots: list[Address | None] = []
        self._is_stale = True
        self._discovering = asyncio.Lock()

    async def execute(self, key: bytes, command: Command) -> Any:
        """See Link."""
        slot = key_slot(key)
        address = await self._address(slot)
        before: tuple[Command, ...] = ()
        for _ in range(MAX_REDIRECTS):
            try:
                return await self._pool(address).execute(*before, command)
            except MovedError as moved:
                self._is_stale = True
                address, before = _named(moved, address), ()
            except AskError as asked:
                address, before = _named(asked, address), (("ASKING",),)
            except ResponseError:
                raise
            except BaseException:
                self._is_stale = True  # a node that is silent or gone may have been replaced
                raise
        raise Unreachable("the nodes of the cluster send a key to one another")

    async def forget(self, keys: Sequence[bytes]) -> None:
        """See Link."""
        by_slot: defaultdict[int, list[bytes]] = defaultdict(list)
        for key in keys:
            by_slot[key_slot(key)].append(key)
        for group in by_slot.values():
            await self.execute(group[0], ("DEL", *group))

    async def renew(self) -> None:
        """See Link."""
        self._dialler.forget_files()
        self._is_stale = True
        for pool in list(self._pools.values()):
            await pool.drop_idle()

    async def load(self) -> None:
        """See Link."""
        await self._dialler.load()

    async def close(self) -> None:
        """See Link."""
        for pool in list(self._pools.values()):
            await pool.close()

    def _pool(self, address: Address) -> Pool:
        found = self._pools.get(address)
        if found is None:
            found = self._pools[address] = Pool(lambda: self._dialler.open(address), self._limit)
        return found

    async def _address(self, slot: int) -> Address:
        """Which node has a slot; of one that nobody has, some node, whose answer says so."""
        if self._is_stale:
            async with self._discovering:
                if self._is_stale:
                    await self._discover()
        return self._slots[slot] or self._known[0]

    async def _discover(self) -> None:
        for address in list(self._known):
            try:
                async with asyncio.timeout(self._share_s):
                    reply = await self._pool(address).execute(("CLUSTER", "SLOTS"))
                slots = _slots(reply, address)
            except _FAILURES:
                continue
            self._slots, self._is_stale = slots, False
            await self._keep({address, *self._seeds, *(each for each in slots if each is not None)}, address)
            return
        raise Unreachable("no node of the cluster says who has which slots")

    async def _keep(self, wanted: set[Address], first: Address) -> None:
        """Know these nodes only; the one that answered is asked first the next time."""
        self._known = [first, *sorted(wanted - {first})]
        for address in [each for each in self._pools if each not in wanted]:
            await self._pools.pop(address).close()


def _named(error: AskError, asked: Address) -> Address:
    """The node that a redirection names; without a host it is on that of the node that was asked."""
    host: Any = getattr(error, "host", "")
    return (str(host) if host else asked[0], int(error.port))


def _slots(reply: Iterable[Any], asked: Address) -> list[Address | None]:
    """Who has each slot, from CLUSTER SLOTS (https://redis.io/docs/latest/commands/cluster-slots/): the first is the primary.

    A node that does not know its own host leaves it out: it is then the one that was asked.
    """
    slots: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
    for start, end, primary, *_ in reply:
        host = primary[0].decode() if primary[0] else ""
        address = (host if host and host != "?" else asked[0], int(primary[1]))
        slots[start : end + 1] = [address] * (end + 1 - start)
    return slots
