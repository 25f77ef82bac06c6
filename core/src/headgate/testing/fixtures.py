"""The pytest plugin of Headgate: fixtures for the tests of plugins and providers.

pytest loads it in every run of an environment that has Headgate installed, so nothing is imported before it is used.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

try:
    from pytest_asyncio import fixture as async_fixture
except ImportError:
    async_fixture = pytest.fixture

if TYPE_CHECKING:
    from headgate.testing import MockUpstream, OpenGateway

pytest.register_assert_rewrite("headgate.testing.providers", "headgate.testing.stores", "headgate.testing.waiting")


@async_fixture
async def gateway_client() -> AsyncIterator[OpenGateway]:
    """Opens gateways that last as long as the test: call it with plugins, await it, and there is a client.

    It takes what `headgate.testing.gateway` takes. Added in 0.1.
    """
    from headgate.testing import gateway

    async with AsyncExitStack() as stack:
        yield lambda *plugins, **options: stack.enter_async_context(gateway(*plugins, **options))


@async_fixture
async def mock_upstream() -> AsyncIterator[MockUpstream]:
    """A vendor on loopback that replays recorded answers; see `headgate.testing.MockUpstream`. Added in 0.1."""
    from headgate.testing import MockUpstream

    async with MockUpstream() as upstream:
        yield upstream
