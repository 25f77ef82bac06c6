"""The settings of the plugin, and what their addresses mean."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal
from urllib.parse import SplitResult, unquote, urlsplit

from msgspec import Meta, Struct

from headgate import Secret
from headgate.upstream import Tls

PORT = 6379
SENTINEL_PORT = 26379

Size = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0, le=10)]
Address = tuple[str, int]
"""Host and port."""


class StoreRedisConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Where Redis or Valkey is, and how long one operation may wait for it.

    `url` is `redis://[user@]host[:port][/db]`, the same with `rediss://` for TLS, or `unix:///path/to/socket`. With
    `sentinels` (`host` or `host:port`) they tell where the primary of `service` is, and the host of `url` is not used. With
    `cluster`, `nodes` are further nodes to ask for the others. `max_connections` is for each server. Every key begins
    with `prefix`.
    """

    url: str = "redis://127.0.0.1"
    password: Secret | None = None
    prefix: str = "headgate:"
    timeout_s: Seconds = 0.25
    max_connections: Size = 50
    sentinels: list[str] = []
    service: str = ""
    sentinel_password: Secret | None = None
    cluster: bool = False
    nodes: list[str] = []
    tls: Tls = Tls()

    def __post_init__(self) -> None:
        """ValueError with everything that is wrong."""
        wrong = "; ".join(_wrong(self))
        if wrong:
            raise ValueError(wrong)


class Endpoint(Struct, frozen=True):
    """What a URL says. `path` is that of a socket, and empty for a host."""

    scheme: Literal["redis", "rediss", "unix"]
    address: Address
    path: str = ""
    user: str = ""
    db: int = 0


def endpoint_of(url: str) -> Endpoint:
    """A URL of Redis as its parts. ValueError says what is wrong, without the URL, which may hold a password."""
    parts = _split(url, "`url`")
    if parts.password is not None:
        raise ValueError("`url` holds a password: put it into `password`, as `env:NAME` or `file:PATH`")
    if parts.query or parts.fragment:
        raise ValueError("`url` has a query: write its settings as keys of their own, the database as `/db`")
    user = unquote(parts.username or "")
    match parts.scheme:
        case "unix":
            if not parts.path.startswith("/") or parts.hostname:
                raise ValueError("`url` needs three slashes before the path of a socket: `unix:///path`")
            return Endpoint("unix", ("", 0), unquote(parts.path), user)
        case "redis" | "rediss" as scheme:
            db = parts.path.removeprefix("/") or "0"
            if not (db.isascii() and db.isdigit()):
                raise ValueError("`url` must end with the number of a database, or with the port")
            return Endpoint(scheme, _address(parts, PORT, "`url`"), "", user, int(db))
        case _:
            raise ValueError("`url` must begin with `redis://`, `rediss://` or `unix://`")


def address_of(text: str, port: int) -> Address:
    """`host` or `host:port` as a pair; ValueError says what is wrong."""
    what = f"`{text}`"
    parts = _split(f"//{text}", what)
    if parts.path or parts.query or parts.fragment or parts.username is not None:
        raise ValueError(f"{what} must be `host` or `host:port`")
    return _address(parts, port, what)


def _split(url: str, what: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise ValueError(f"{what} is no address") from None


def _address(parts: SplitResult, port: int, what: str) -> Address:
    try:
        return (parts.hostname or "127.0.0.1", parts.port or port)
    except ValueError:
        raise ValueError(f"{what} has a port that is no number below 65536") from None


def _wrong(config: StoreRedisConfig) -> Iterator[str]:
    try:
        endpoint = endpoint_of(config.url)
    except ValueError as error:
        yield str(error)
        return
    for text, port in [*((each, SENTINEL_PORT) for each in config.sentinels), *((each, PORT) for each in config.nodes)]:
        try:
            address_of(text, port)
        except ValueError as error:
            yield str(error)
    if bool(config.sentinels) != bool(config.service):
        yield "`sentinels` and `service` go together"
    if config.sentinels and config.cluster:
        yield "`sentinels` and `cluster` cannot both be had"
    if config.nodes and not config.cluster:
        yield "`nodes` are those of a cluster: set `cluster: true`"
    if config.cluster and endpoint.db:
        yield "a cluster has database 0 only"
    if endpoint.path and (config.sentinels or config.cluster):
        yield "a socket is one server: neither `sentinels` nor `cluster` go with it"
    if endpoint.user and config.password is None:
        yield "`url` names a user without `password`"
    if endpoint.scheme != "rediss" and (config.tls.ca_file or config.tls.cert_file):
        yield "`tls` needs a `url` that begins with `rediss://`"
