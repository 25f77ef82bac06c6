"""Shared fixtures of the end-to-end tests."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.door.upstream import Upstream
from tests.harness import CANARY, Gateway, merged

StartGateway = Callable[..., Gateway]


@pytest.fixture(scope="session")
def upstream_port() -> Iterator[int]:
    """A loopback port kept for the upstream of every test. Nothing listens on it between tests."""
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


@pytest.fixture
async def upstream(upstream_port: int) -> AsyncIterator[Upstream]:
    """The scriptable upstream behind the deployment `mock`."""
    server = Upstream()
    await server.listen(upstream_port)
    yield server
    await server.close()


@pytest.fixture(scope="session")
def base_config(upstream_port: int) -> Mapping[str, Any]:
    """An open gateway with one deployment `mock`, the alias `m`, and short deadlines."""
    return {
        "server": {"drain_s": 5, "drain_delay_s": 0.2},
        "auth": {"mode": "open"},
        "plugins": [],
        "providers": {
            "mock": {
                "provider": "openai",
                "base_url": f"http://127.0.0.1:{upstream_port}/v1",
                "api_key": CANARY,
                "timeouts": {"connect_s": 1, "first_byte_s": 2, "gap_s": 2, "total_s": 20},
            }
        },
        "models": {"m": "mock/some-model"},
    }


@pytest.fixture
def start_gateway(tmp_path: Path, base_config: Mapping[str, Any]) -> Iterator[StartGateway]:
    """Start a gateway of this test's own; the argument is merged into `base_config`."""
    started: list[Gateway] = []

    def start(changes: Mapping[str, Any] | None = None) -> Gateway:
        gateway = Gateway(tmp_path / f"gateway-{len(started)}", merged(base_config, changes or {}))
        started.append(gateway)
        gateway.start()
        return gateway

    yield start
    for gateway in started:
        gateway.stop()
