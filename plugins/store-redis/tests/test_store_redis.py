"""The plugin in a gateway: it brings the store, starts without Redis, and hands it over in a reload."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.redis_server import HOST, RedisServer

from headgate import StartupError
from headgate.config import Loaded, load_text
from headgate.gateway import Gateway
from headgate.state import MemoryStateStore
from headgate.testing import Client, chat_request, eventually, gateway
from headgate.upstream.engines import create_engine
from headgate_store_redis import RedisStateStore, StoreRedis, StoreRedisConfig

CHAT = "/v1/chat/completions"
NOWHERE = f"redis://{HOST}:1"


def configured(**settings: Any) -> dict[str, Any]:
    return {"state": "redis", "plugins": [{"store-redis": settings}]}


def store_of(client: Client | Gateway) -> RedisStateStore:
    held = client if isinstance(client, Gateway) else client.gateway
    assert isinstance(held.context.state, RedisStateStore)
    return held.context.state


async def test_hook_stores(server: RedisServer) -> None:
    """`state: redis` makes Redis the store of all plugins; what it would hold in this process has the configured bound."""
    async with gateway(config={**configured(url=server.url), "limits": {"state_bytes": 1000}}) as client:
        store = store_of(client)
        await store.set(b"k", b"v")
        assert server.command("GET", "headgate:k") == b"v"
        assert store._local._max_bytes == 1000


async def test_hook_start(server: RedisServer) -> None:
    """The first request finds a connection."""
    async with gateway(config=configured(url=server.url)):
        assert server.clients() == 1


async def test_hook_stop(server: RedisServer) -> None:
    """A gateway that has ended has closed its connections, and its store answers alone."""
    async with gateway(config=configured(url=server.url)) as client:
        store = store_of(client)
    await eventually(lambda: server.clients() == 0, "the connections are closed")
    assert store.state == "closed"


async def test_it_starts_without_redis() -> None:
    """A gateway whose Redis is away starts, says so by and by, and serves."""
    with capture_logs() as lines:
        async with gateway(config=configured(url=NOWHERE)) as client:
            reply = await client.post(CHAT, json=chat_request("Hello"))
            assert reply.status_code == 200
            store = store_of(client)
            await eventually(lambda: store.state == "local", "Redis is left alone", 20.0)
    assert "is not to be relied on" in lines[0]["event"]


async def test_another_store() -> None:
    """A plugin that is enabled while another store is selected says that it has nothing to do."""
    with capture_logs() as lines:
        async with gateway(config={"plugins": ["store-redis"]}) as client:
            assert isinstance(client.gateway.context.state, MemoryStateStore)
    assert [line["event"] for line in lines] == ["the plugin `store-redis` has nothing to do: set `state: redis`"]


async def test_bad_files_are_refused() -> None:
    """A TLS file that cannot be read keeps the gateway from starting."""
    with pytest.raises(StartupError, match=re.escape("`tls.ca_file` `/nowhere.pem` cannot be used")):
        async with gateway(config=configured(url="rediss://cache", tls={"ca_file": "/nowhere.pem"})):
            pass


def test_wrong_settings_have_a_place() -> None:
    """A setting that is wrong is told with the line it stands on."""
    text = "state: redis\nplugins:\n  - store-redis: {service: main}\nproviders: {demo: {provider: demo}}\n"
    with pytest.raises(StartupError, match=r"c\.yaml:3.*`sentinels` and `service` go together"):
        load_text(text, "c.yaml", Path())


class Configured:
    """A gateway whose configuration a test changes between reloads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.text = ""
        self.gateway = Gateway(self.load, create_engine("h1"), "http://gateway.test")

    def write(self, url: str, **settings: Any) -> None:
        words = "".join(f", {name}: {value}" for name, value in settings.items())
        self.text = (
            f"state: redis\nstate_dir: {self.folder}\nauth: {{mode: open}}\n"
            f"plugins: [{{store-redis: {{url: '{url}'{words}}}}}]\nproviders: {{demo: {{provider: demo}}}}\n"
        )

    def load(self) -> Loaded:
        return load_text(self.text, "config", self.folder)


async def test_a_reload_with_other_settings(server: RedisServer, tmp_path: Path) -> None:
    """The same store goes on over new connections, and the old ones are closed; a refused reload leaves it as it was."""
    held = Configured(tmp_path)
    held.write(server.url, prefix="'a:'")
    await held.gateway.start()
    store = store_of(held.gateway)
    await store.add(b"n", 1)
    held.write(server.url, prefix="'b:'")
    assert await held.gateway.reload()
    assert store_of(held.gateway) is store
    assert await store.add(b"n", 1) == 1
    assert sorted(server.command("KEYS", "*")) == [b"a:n", b"b:n"]
    await eventually(lambda: server.clients() == 1, "the old connections are closed")
    held.write("rediss://cache", tls="{ca_file: /nowhere.pem}")
    assert not await held.gateway.reload()
    assert await store.add(b"n", 1) == 2
    assert await held.gateway.reload() is False
    held.write(server.url, prefix="'b:'")
    assert await held.gateway.reload()
    assert (await store.add(b"n", 1), store.state) == (3, "shared")
    await held.gateway.close()
    assert store.state == "closed"


def test_nothing_is_opened_before_the_start() -> None:
    """Creating the plugin and its store needs neither a loop nor a server: `headgate check` does both."""
    plugin = StoreRedis(StoreRedisConfig(url=NOWHERE, cluster=True))
    assert list(plugin.stores()) == ["redis"]
    StoreRedis(StoreRedisConfig(sentinels=["a"], service="main"))
