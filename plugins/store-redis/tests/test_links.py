"""Every way to reach Redis, against real servers: sockets, passwords, TLS, sentinels and a failover, a cluster and its moves."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from core.tests.engines import Authority
from redis.crc import key_slot
from redis.exceptions import ConnectionError as Cut
from tests.harness import free_port
from tests.redis_server import HOST, RedisServer

from headgate import Secret
from headgate.testing import eventually
from headgate.upstream import Tls
from headgate_store_redis import RedisStateStore
from headgate_store_redis.links import Cluster

OpenStore = Callable[..., RedisStateStore]
StartServer = Callable[..., RedisServer]

GUARD_S = 20.0


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """Starts servers of this test's own."""
    started: list[RedisServer] = []

    def start(*options: str, settings: str = "") -> RedisServer:
        server = RedisServer(tmp_path / f"server-{len(started)}", *options, settings=settings)
        started.append(server)
        server.start()
        return server

    yield start
    for server in started:
        server.stop()


async def works(store: RedisStateStore) -> None:
    """The store counts in Redis."""
    assert [await store.add(b"n", 1, 60) for _ in range(2)] == [1, 2], store.reason
    assert await store.get(b"n") == b"2"
    assert (store.failures, store.answered_locally) == (0, 0), store.reason


async def test_a_socket(start_server: StartServer, open_store: OpenStore, tmp_path: Path) -> None:
    """`unix:///path` reaches a server without a port."""
    start_server("--unixsocket", str(tmp_path / "redis.sock"))
    await works(open_store(f"unix://{tmp_path}/redis.sock"))


async def test_a_password(start_server: StartServer, open_store: OpenStore) -> None:
    """With the password it works; without, or with another one, this process answers, and the reason holds no secret."""
    server = start_server("--requirepass", "right")
    await works(open_store(server.url, password=Secret("right")))
    for password in (None, Secret("wr0ng-canary")):
        store = open_store(server.url, password=password)
        assert await store.add(b"n", 1) == 1
        assert store.failures == 1
        assert "canary" not in store.reason


RIGHTS = ("+get", "+set", "+del", "+eval", "+incrby", "+setrange", "+select")


async def test_a_user_and_a_database(start_server: StartServer, open_store: OpenStore) -> None:
    """The URL names both; a user needs no rights beyond keys of its own."""
    server = start_server()
    server.command("ACL", "SETUSER", "gate", "on", ">right", "~headgate:*", "-@all", *RIGHTS)
    await works(open_store(f"redis://gate@{HOST}:{server.port}/3", password=Secret("right")))
    assert (server.command("DBSIZE"), server.command("SWAPDB", "0", "3"), server.command("DBSIZE")) == (0, True, 1)


async def test_tls(start_server: StartServer, open_store: OpenStore, tmp_path: Path) -> None:
    """A server that shows a certificate of the named authority, and wants one; others are not trusted."""
    authority = Authority(tmp_path)
    cert, key = authority.issue(HOST)
    port = free_port()
    files = ("--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", authority.file)
    start_server("--tls-port", str(port), *files)
    url = f"rediss://{HOST}:{port}"
    await works(open_store(url, tls=Tls(authority.file, cert, key)))
    for tls in (Tls(), Tls(authority.file)):
        store = open_store(url, tls=tls)
        assert await store.get(b"n") is None
        assert store.failures == 1


@pytest.mark.parametrize("tls", [Tls("/nowhere.pem"), Tls("", "/nowhere.pem", "/nowhere.key")])
async def test_bad_tls_files_are_named(open_store: OpenStore, tls: Tls) -> None:
    """A file that cannot be read is a fault of the store, not of a request."""
    store = open_store("rediss://127.0.0.1", tls=tls)
    with pytest.raises(ValueError, match=r"`tls\.(ca|cert)_file` `/nowhere.pem` cannot be used"):
        await store._links[-1].link.load()
    assert await store.get(b"n") is None
    assert "/nowhere.pem" in store.reason


@pytest.fixture
def sentinel(start_server: StartServer) -> tuple[RedisServer, RedisServer, RedisServer]:
    """A primary, a replica, and a sentinel that decides alone."""
    primary = start_server()
    replica = start_server("--replicaof", HOST, str(primary.port))
    lines = (
        f"sentinel monitor main {HOST} {primary.port} 1",
        "sentinel down-after-milliseconds main 500",
        "sentinel failover-timeout main 5000",
    )
    return primary, replica, start_server(settings="\n".join(lines) + "\n")


async def test_sentinels(sentinel: tuple[RedisServer, RedisServer, RedisServer], open_store: OpenStore) -> None:
    """The primary is found past a sentinel that is gone, and found anew when another takes its place."""
    primary, replica, watching = sentinel
    sentinels = [f"{HOST}:{free_port()}", f"{HOST}:{watching.port}"]
    store = open_store("redis://", timeout_s=3.0, sentinels=sentinels, service="main")
    await works(store)
    await eventually(lambda: replica.command("GET", "headgate:n") == b"2", "the replica has it", GUARD_S)
    await eventually(lambda: watching.command("SENTINEL", "REPLICAS", "main"), "the sentinel knows it", GUARD_S)
    await asyncio.to_thread(primary.stop)

    async def is_used() -> bool:
        await store.add(b"m", 1)
        try:
            return replica.command("EXISTS", "headgate:m") == 1
        except Cut:
            return False  # a sentinel cuts every client of the server that it promotes

    await eventually(is_used, "the new primary is used", GUARD_S)
    assert await store.get(b"n") == b"2"


async def test_a_service_that_no_sentinel_knows(
    sentinel: tuple[RedisServer, RedisServer, RedisServer], open_store: OpenStore
) -> None:
    """It is named in the reason."""
    store = open_store("redis://", sentinels=[f"{HOST}:{sentinel[2].port}"], service="other")
    assert await store.add(b"n", 1) == 1
    assert "no sentinel says where the primary of `other` is" in store.reason


async def test_a_primary_that_is_none(start_server: StartServer, open_store: OpenStore) -> None:
    """A sentinel that is behind names a server that has become a replica: it is not written to."""
    replica = start_server("--replicaof", HOST, str(free_port()))
    watching = start_server(settings=f"sentinel monitor main {HOST} {replica.port} 1\n")
    store = open_store("redis://", sentinels=[f"{HOST}:{watching.port}"], service="main")
    assert await store.add(b"n", 1) == 1
    assert "is not its primary" in store.reason or "no sentinel" in store.reason


@pytest.fixture
async def nodes(start_server: StartServer) -> list[RedisServer]:
    """A cluster of three."""
    ports = [free_port() for _ in range(3)]
    made = [start_server("--cluster-enabled", "yes", "--cluster-port", str(port)) for port in ports]
    for number, node in enumerate(made):
        node.command("CLUSTER", "ADDSLOTSRANGE", *BOUNDS[number])
        node.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
    for port, node in zip(ports, made, strict=True):
        made[0].command("CLUSTER", "MEET", HOST, node.port, port)
    for node in made:
        await eventually(lambda node=node: is_whole(node), "the cluster is whole", GUARD_S)
    return made


BOUNDS = ((0, 5460), (5461, 10922), (10923, 16383))


def is_whole(node: RedisServer) -> bool:
    state = node.command("CLUSTER INFO")
    return state["cluster_state"] == "ok" and state["cluster_known_nodes"] == "3"


def cluster_of(store: RedisStateStore) -> Cluster:
    link = store._links[-1].link
    assert isinstance(link, Cluster)
    return link


async def test_a_cluster(nodes: list[RedisServer], open_store: OpenStore) -> None:
    """Every key goes to the node that has its slot; one node is enough to find the others, and may be gone at first."""
    store = open_store(f"redis://{HOST}:{free_port()}", cluster=True, nodes=[f"{HOST}:{nodes[1].port}"])
    await works(store)
    for number in range(60):
        await store.set(f"k{number}".encode(), str(number).encode(), 60)
    assert [await store.get(f"k{number}".encode()) for number in range(60)] == [str(n).encode() for n in range(60)]
    sizes = [node.command("DBSIZE") for node in nodes]
    assert sum(sizes) == 61
    assert min(sizes) > 5
    assert store.failures == 0


async def test_a_slot_that_moves(nodes: list[RedisServer], open_store: OpenStore) -> None:
    """While a slot moves new keys of it are made at its new node; once it has moved that is asked directly."""
    store = open_store(nodes[0].url, cluster=True)
    await works(store)
    slot = key_slot(b"headgate:moving")
    source = next(at for at, (first, last) in enumerate(BOUNDS) if first <= slot <= last)
    goal = (source + 1) % 3
    ids = [str(node.command("CLUSTER", "MYID"), "ascii") for node in nodes]
    nodes[goal].command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
    nodes[source].command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[goal])
    assert await store.add(b"moving", 5) == 5
    assert nodes[goal].command("CLUSTER", "COUNTKEYSINSLOT", slot) == 1
    for at in (goal, source):
        nodes[at].command("CLUSTER", "SETSLOT", slot, "NODE", ids[goal])
    assert await store.add(b"moving", 1) == 6
    assert await store.add(b"moving", 1) == 7
    assert store.failures == 0


async def test_a_node_that_is_gone(nodes: list[RedisServer], open_store: OpenStore) -> None:
    """While the keys of one node cannot be had, this process keeps them all; then the cluster is the store again."""
    store = open_store(nodes[0].url, timeout_s=2.0, cluster=True)
    keys = [f"k{number}".encode() for number in range(60)]
    for key in keys:
        await store.add(key, 10)
    await asyncio.to_thread(nodes[2].stop)
    await asyncio.gather(*(store.add(key, 1) for key in keys))
    assert store.state == "local"
    await asyncio.gather(*(store.delete(key) for key in keys))
    await asyncio.to_thread(nodes[2].start)
    await eventually(lambda: store.state == "shared", "the cluster is the store again", GUARD_S)
    assert await asyncio.gather(*(store.add(key, 1) for key in keys)) == [1] * 60
    assert cluster_of(store)._slots.count(None) == 0
