"""Connections to one server, and the rule that makes cancelling safe.

redis-py's own pools wait for locks while they give a connection back, so a task that is cancelled there loses it for good
(https://github.com/redis/redis-py/issues/4121 is one such case), and a connection that was given back with a reply still
to come hands it to whoever sends next (CVE-2023-28858, CVE-2023-28859). Here a connection belongs to one caller from the
first byte it sends to the last byte of the reply; anything else that ends the call closes it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, cast

from redis.asyncio import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import RedisError, ResponseError

from headgate.upstream import Tls
from headgate_store_redis.settings import Address, Endpoint, StoreRedisConfig, endpoint_of

Socket = Connection | UnixDomainSocketConnection
Command = tuple[bytes | str | int, ...]
Open = Callable[[], Awaitable[Socket]]


class Pool:
    """Connections to one server, at most `limit`; the one that was used last is used first."""

    def __init__(self, open_: Open, limit: int) -> None:
        self._open = open_
        self._slots = asyncio.Semaphore(limit)
        self._idle: list[Socket] = []
        self._is_closed = False

    async def execute(self, *commands: Command) -> Any:
        """Send the commands together; the reply to the last of them. Raises redis-py's errors, and the system's."""
        async with self._slots:
            connection = await self._take()
            try:
                for command in commands:
                    await connection.send_command(*command)
                replies = [await _reply(connection) for _ in commands]
            except BaseException:
                await connection.disconnect(nowait=True)
                raise
            if self._is_closed:
                await connection.disconnect(nowait=True)
            else:
                self._idle.append(connection)
        if isinstance(replies[-1], ResponseError):
            raise replies[-1]
        return replies[-1]

    async def drop_idle(self) -> None:
        """Close what nobody uses: after a failover it may lead to the wrong server, or to none."""
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.disconnect(nowait=True)

    async def close(self) -> None:
        """Close every connection, those in use when their calls end."""
        self._is_closed = True
        await self.drop_idle()

    async def _take(self) -> Socket:
        while self._idle:
            connection = self._idle.pop()
            if await _is_quiet(connection):
                return connection
            await connection.disconnect(nowait=True)
        return await self._open()


class Dialler:
    """Opens connections as the settings say, handshake included."""

    def __init__(self, config: StoreRedisConfig) -> None:
        self._config = config
        self._endpoint: Endpoint = endpoint_of(config.url)
        self._context: ssl.SSLContext | None = None

    async def open(self, address: Address | None = None) -> Socket:
        """A connection to a server of this address, by default to the one the URL names."""
        endpoint, password = self._endpoint, self._config.password
        words = password.reveal() if password is not None else None
        return await self._opened(address or endpoint.address, endpoint.user, words, endpoint.db)

    async def open_sentinel(self, address: Address) -> Socket:
        """A connection to a sentinel."""
        password = self._config.sentinel_password
        return await self._opened(address, "", password.reveal() if password is not None else None, 0)

    def forget_files(self) -> None:
        """Read the TLS files again at the next connection."""
        self._context = None

    async def load(self) -> None:
        """Read the TLS files, where there are any to read. ValueError names a bad one."""
        if self._endpoint.scheme == "rediss" and self._context is None:
            self._context = await asyncio.to_thread(_context, self._config.tls)

    async def _opened(self, address: Address, user: str, password: str | None, db: int) -> Socket:
        await self.load()
        options: dict[str, Any] = {
            "username": user or None,
            "password": password,
            "db": db,
            "socket_timeout": None,  # the caller bounds the whole operation
            "protocol": 2,
            "driver_info": None,
        }
        connection = self._made(address, options)
        try:
            await connection.connect()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return connection

    def _made(self, address: Address, options: dict[str, Any]) -> Socket:
        if self._endpoint.path:
            return UnixDomainSocketConnection(path=self._endpoint.path, **options)
        host, port = address
        if self._endpoint.scheme == "redis":
            return Connection(host=host, port=port, **options)
        connection = SSLConnection(host=host, port=port, **options)
        connection.ssl_context.context = self._context  # made once: reading a trust store takes 10 ms and more
        return connection


async def ask(connection: Socket, *command: str) -> Any:
    """One command on a connection of one's own; it is closed when that fails."""
    try:
        await connection.send_command(*command)
        return await cast("Any", connection).read_response()
    except BaseException:
        await connection.disconnect(nowait=True)
        raise


async def _reply(connection: Socket) -> Any:
    """The next reply, an error reply as a value: it is as whole as any other."""
    try:
        reply = await cast("Any", connection).read_response()
    except ResponseError as error:
        return error
    return reply


async def _is_quiet(connection: Socket) -> bool:
    """Whether nothing is to be read from a connection that nobody waits on, not even its end. Does not wait."""
    try:
        return connection.is_connected and not await connection.can_read()
    except (RedisError, OSError):
        return False


def _context(tls: Tls) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=tls.ca_file or None)
    except OSError:
        raise ValueError(f"`tls.ca_file` `{tls.ca_file}` cannot be used: name a PEM file of certificates") from None
    if tls.cert_file:
        try:
            context.load_cert_chain(tls.cert_file, tls.key_file or None)
        except OSError:
            fix = "name PEM files of a certificate and its key"
            raise ValueError(f"`tls.cert_file` `{tls.cert_file}` cannot be used: {fix}") from None
    return context
