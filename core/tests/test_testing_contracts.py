"""The contracts of the test tools: what keeps them passes, what breaks them is caught."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import ClassVar

import pytest

from headgate import (
    Exchange,
    Provider,
    ProviderFailed,
    Reply,
    UpstreamRequest,
    override,
)
from headgate.state import MemoryStateStore
from headgate.testing import (
    ProviderContract,
    StateStoreContract,
)


class TestMemoryStateStore(StateStoreContract):
    """The embedded store keeps the contract."""

    @pytest.fixture
    def store(self) -> MemoryStateStore:
        return MemoryStateStore()


class Plain(Provider):
    """The smallest provider there can be: forwards chat requests to one URL."""

    name = "plain"
    base_url = "https://plain.example/v1"
    key_env = "PLAIN_API_KEY"
    dialects: ClassVar[Mapping[str, str]] = {"chat": "openai.chat"}

    @override
    def prepare(self, ex: Exchange) -> UpstreamRequest:
        return UpstreamRequest(
            "POST",
            f"{self.url}/chat/completions",
            body=ex.body,
            credential=self.credential(ex),
            timeouts=self.config.timeouts,
            private_hosts=self.private_hosts,
        )


class TestPlain(ProviderContract):
    """The smallest provider keeps the contract."""

    provider = Plain


class Leaky(Plain):
    """Answers by itself and does everything wrong that the contract looks for."""

    name = "leaky"

    @override
    async def call(self, ex: Exchange) -> Reply:
        key = self.config.api_key.reveal() if self.config.api_key else ""
        request = UpstreamRequest("POST", f"{self.url}/chat?key={key}", body=ex.body + b" ")
        response = await self.upstream.send(request)
        pieces: list[bytes] = []
        try:
            async for piece in response.chunks():
                pieces.append(piece)  # noqa: PERF401 - what came before the cut is kept on purpose
        except ProviderFailed:
            pass
        return Reply(200, response.headers, b"".join(pieces))

    @override
    def requires_key(self) -> bool:
        return False


CATCHES = (
    "request_goes_where_it_should",
    "credential_is_bound_to_its_origin",
    "reply_is_relayed",
    "usage_is_read",
    "cut_reply_raises",
    "stream_is_relayed",
    "cut_stream_raises",
    "cancelled_call_ends_the_upstream",
    "limits_of_the_deployment_hold",
    "secret_never_comes_back",
)


@pytest.mark.parametrize("name", CATCHES)
async def test_the_contract_catches(name: str) -> None:
    """A provider that breaks every promise fails the tests of each."""
    contract = type("Contract", (ProviderContract,), {"provider": Leaky})()
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        await getattr(contract, f"test_{name}")()


def test_the_contract_catches_a_missing_key() -> None:
    """A provider that starts without its key fails the contract."""
    contract = type("Contract", (ProviderContract,), {"provider": Leaky})()
    with pytest.raises(pytest.fail.Exception):
        contract.test_missing_key_is_refused()


async def test_the_contract_catches_a_changed_status() -> None:
    """A provider that turns errors into successes fails the contract."""
    contract = type("Contract", (ProviderContract,), {"provider": Leaky})()
    with pytest.raises(AssertionError):
        await contract.test_error_keeps_its_status(429)


async def test_the_store_contract_catches() -> None:
    """A store that counts with a wait in between fails the contract."""

    class Racy(MemoryStateStore):
        @override
        async def add(self, key: bytes, amount: int, ttl_s: float | None = None) -> int:
            held = int(await self.get(key) or b"0")
            await asyncio.sleep(0)
            await self.set(key, str(held + amount).encode(), ttl_s)
            return held + amount

    with pytest.raises(AssertionError):
        await StateStoreContract().test_add_is_atomic(Racy())
