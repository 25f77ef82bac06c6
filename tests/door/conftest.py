"""Gateways that the door tests share, with limits small enough to reach and deadlines short enough to wait for."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import pytest
from tests.door.upstream import Upstream
from tests.harness import GATEWAY_KEY, Gateway, eventually_idle, free_port, merged

KIB = 1024
MIB = 1024 * KIB
BODY_LIMITS = {"chat": 2 * MIB, "completions": 64 * KIB, "embeddings": 128 * KIB, "passthrough": 256 * KIB}
HEADER_S = 1.0
BODY_STALL_S = 1.0
READER_STALL_S = 1.5
DEADLINE_S = 1.0
AUTHORIZED = b"authorization: Bearer " + GATEWAY_KEY.encode() + b"\r\n"
TIMEOUTS = {"connect_s": DEADLINE_S, "first_byte_s": DEADLINE_S, "gap_s": DEADLINE_S, "total_s": 20}


@pytest.fixture(scope="session")
def hole() -> Iterator[int]:
    """A port that answers no SYN: its listener's queue is full and nobody accepts."""
    with contextlib.ExitStack() as held:
        listener = held.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = held.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@pytest.fixture(scope="session")
def door_config(base_config: Mapping[str, Any], hole: int, upstream_port: int) -> Mapping[str, Any]:
    """`base_config` with small limits, and deployments that are dead, unreachable or short of time."""
    key = {"provider": "openai", "api_key": "sk-other", "timeouts": TIMEOUTS}
    return merged(
        base_config,
        {
            "limits": {
                "body_bytes": BODY_LIMITS,
                "header_s": HEADER_S,
                "body_stall_s": BODY_STALL_S,
                "reader_stall_s": READER_STALL_S,
            },
            "providers": {
                "mock": {"timeouts": TIMEOUTS},
                "dead": {**key, "base_url": f"http://127.0.0.1:{free_port()}/v1"},
                "hole": {**key, "base_url": f"http://127.0.0.1:{hole}/v1"},
                "brief": {
                    **key,
                    "base_url": f"http://127.0.0.1:{upstream_port}/v1",
                    "timeouts": {**TIMEOUTS, "total_s": DEADLINE_S},
                },
            },
        },
    )


@pytest.fixture(scope="session")
def shared_gateway(tmp_path_factory: pytest.TempPathFactory, door_config: Mapping[str, Any]) -> Iterator[Gateway]:
    """One open gateway for all tests that need none of their own."""
    gateway = Gateway(tmp_path_factory.mktemp("open"), door_config)
    gateway.start()
    yield gateway
    gateway.stop()


@pytest.fixture
async def gateway(shared_gateway: Gateway) -> AsyncIterator[Gateway]:
    """The shared gateway; no exchange may be running on it when the test is over."""
    yield shared_gateway
    await eventually_idle(shared_gateway)


@pytest.fixture
async def canary() -> AsyncIterator[Upstream]:
    """A listener on every address of this machine that nothing may connect to."""
    listener = Upstream()
    await listener.listen(host="0.0.0.0")
    yield listener
    await listener.close()
    assert listener.connections == [], "a connection was made to a place that must not be reached"


@pytest.fixture(scope="session")
def shared_locked(tmp_path_factory: pytest.TempPathFactory, door_config: Mapping[str, Any]) -> Iterator[Gateway]:
    """One gateway that asks for a key and logs what is said, for all tests that need none of their own."""
    plugins = [{"keys": {"keys": [{"name": "door", "key": GATEWAY_KEY}]}}, {"logs-jsonl": {"content": True}}]
    config = merged(door_config, {"auth": {"mode": "keys"}, "plugins": plugins})
    gateway = Gateway(tmp_path_factory.mktemp("locked"), config)
    gateway.start()
    yield gateway
    gateway.stop()


@pytest.fixture
async def locked(shared_locked: Gateway) -> AsyncIterator[Gateway]:
    """The shared gateway that asks for a key; no exchange may be running on it when the test is over."""
    yield shared_locked
    await eventually_idle(shared_locked)
