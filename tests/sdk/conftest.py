"""One gateway, with a demo and a scriptable upstream behind it, and the official clients that drive it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import pytest
from anthropic import Anthropic, AsyncAnthropic
from google import genai
from google.genai import types
from openai import AsyncOpenAI, OpenAI
from tests.harness import CANARY, GATEWAY_KEY, Gateway, eventually_idle, merged


@pytest.fixture(scope="session")
def sdk_config(base_config: Mapping[str, Any], upstream_port: int) -> Mapping[str, Any]:
    """`base_config` with the demo, the alias `fast` for it, and an upstream that is down behind the alias `down`.

    The test's own upstream also stands behind `claude`, `gemini`, `cohere` and `jina`, where it has to speak their dialects.
    """
    dead = {"provider": "openai", "base_url": "http://127.0.0.1:9/v1", "api_key": "sk-dead"}
    vendors = {
        "claude": {"provider": "anthropic", "base_url": f"http://127.0.0.1:{upstream_port}/v1", "api_key": CANARY},
        "cohere": {"provider": "cohere", "base_url": f"http://127.0.0.1:{upstream_port}", "api_key": CANARY},
        "deepinfra": {
            "provider": "deepinfra",
            "base_url": f"http://127.0.0.1:{upstream_port}/v1",
            "api_key": CANARY,
        },
        "jina": {"provider": "jina", "base_url": f"http://127.0.0.1:{upstream_port}/v1", "api_key": CANARY},
        "gemini": {"provider": "google", "base_url": f"http://127.0.0.1:{upstream_port}/v1beta", "api_key": CANARY},
    }
    return merged(
        base_config,
        {
            "providers": {"demo": {"provider": "demo", "timeouts": {"first_byte_s": 2}}, "dead": dead, **vendors},
            "models": {
                "fast": "demo/echo",
                "down": "dead/some-model",
                "claude": "claude/claude-sonnet-4-5",
                "gemini": "gemini/gemini-2.5-flash",
            },
        },
    )


@pytest.fixture(scope="session")
def shared_gateway(tmp_path_factory: pytest.TempPathFactory, sdk_config: Mapping[str, Any]) -> Iterator[Gateway]:
    """One open gateway for all tests that need none of their own."""
    gateway = Gateway(tmp_path_factory.mktemp("sdk"), sdk_config)
    gateway.start()
    yield gateway
    gateway.stop()


@pytest.fixture(scope="session")
def locked_gateway(tmp_path_factory: pytest.TempPathFactory, sdk_config: Mapping[str, Any]) -> Iterator[Gateway]:
    """A gateway that wants a key."""
    keys = {"keys": {"keys": [{"name": "app", "key": GATEWAY_KEY}]}}
    changes = {"auth": {"mode": "keys"}, "plugins": [keys]}
    gateway = Gateway(tmp_path_factory.mktemp("locked"), merged(sdk_config, changes))
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


@pytest.fixture
def claude(gateway: Gateway) -> Iterator[Anthropic]:
    """Anthropic's synchronous client, without retries of its own; its key goes out as `x-api-key`."""
    with Anthropic(base_url=gateway.url, api_key=GATEWAY_KEY, max_retries=0, timeout=10) as held:
        yield held


@pytest.fixture
async def async_claude(gateway: Gateway) -> AsyncIterator[AsyncAnthropic]:
    """Anthropic's asynchronous client, likewise."""
    async with AsyncAnthropic(base_url=gateway.url, api_key=GATEWAY_KEY, max_retries=0, timeout=10) as held:
        yield held


@pytest.fixture
async def gemini(gateway: Gateway) -> AsyncIterator[genai.Client]:
    """Google's client with both its faces, `models` and `aio.models`; its key goes out as `x-goog-api-key`."""
    held = genai.Client(api_key=GATEWAY_KEY, http_options=types.HttpOptions(base_url=gateway.url, timeout=10_000))
    yield held
    await held.aio.aclose()
    held.close()
