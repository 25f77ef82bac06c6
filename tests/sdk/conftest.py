"""One gateway, with a demo and a scriptable upstream behind it, and the official clients that drive it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI
from tests.harness import GATEWAY_KEY, Gateway, eventually_idle, merged


@pytest.fixture(scope="session")
def sdk_config(base_config: Mapping[str, Any]) -> Mapping[str, Any]:
    """`base_config` with the demo, the alias `fast` for it, and an upstream that is down behind the alias `down`."""
    dead = {"provider": "openai", "base_url": "http://127.0.0.1:9/v1", "api_key": "sk-dead"}
    return merged(
        base_config,
        {
            "providers": {"demo": {"provider": "demo", "timeouts": {"first_byte_s": 2}}, "dead": dead},
            "models": {"fast": "demo/echo", "down": "dead/some-model"},
        },
    )


@pytest.fixture(scope="session")
def shared_gateway(tmp_path_factory: pytest.TempPathFactory, sdk_config: Mapping[str, Any]) -> Iterator[Gateway]:
    """One open gateway for all tests that need none of their own."""
    gateway = Gateway(tmp_path_factory.mktemp("sdk"), sdk_config)
    gateway.start()
    yield gateway
    gateway.stop()


@pytest.fixture
async def gateway(shared_gateway: Gateway) -> AsyncIterator[Gateway]:
    """The shared gateway; no exchange may be running on it when the test is over."""
    yield shared_gateway
    await eventually_idle(shared_gateway)


@pytest.fixture
def client(gateway: Gateway) -> Iterator[OpenAI]:
    """The synchronous client, without retries of its own."""
    with OpenAI(base_url=f"{gateway.url}/v1", api_key=GATEWAY_KEY, max_retries=0, timeout=10) as held:
        yield held


@pytest.fixture
async def async_client(gateway: Gateway) -> AsyncIterator[AsyncOpenAI]:
    """The asynchronous client, without retries of its own."""
    async with AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=GATEWAY_KEY, max_retries=0, timeout=10) as held:
        yield held
