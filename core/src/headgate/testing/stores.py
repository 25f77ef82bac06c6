"""What every StateStore must do, as a test suite to subclass."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from headgate.hooks import StateStore
from headgate.testing.waiting import eventually

SHORT_S = 0.2
"""A time to live that a test can wait for; stores that keep seconds only may set `ttl_s` to 1."""
KEYS = (b"plain", b"with space", b"a:b/c{d}", "schl\u00fcssel".encode(), b"\x00\xff\r\n", b"k" * 300)
VALUES = (b"", b"0", b"\x00\xff\r\n", b"v" * 100_000)


class StateStoreContract:
    """Subclass it as `class TestRedisStore(StateStoreContract)` and give the fixture `store`. Added in 0.1.

    The fixture gives an empty store, made for each test. Tests are async: with pytest-asyncio they run in every mode.
    """

    ttl_s: float = SHORT_S

    @pytest.fixture
    def store(self) -> Any:
        """The store under test."""
        raise NotImplementedError("give a fixture `store` that returns an empty StateStore")

    @pytest.mark.asyncio
    async def test_absent_is_none(self, store: StateStore) -> None:
        """A key that was never set has no value."""
        assert await store.get(b"absent") is None

    @pytest.mark.asyncio
    @pytest.mark.parametrize("key", KEYS)
    async def test_keys_are_bytes(self, store: StateStore, key: bytes) -> None:
        """Any bytes make a key, and keys do not touch one another."""
        await store.set(key, b"1")
        await store.set(key + b"2", b"2")
        assert await store.get(key) == b"1"

    @pytest.mark.asyncio
    @pytest.mark.parametrize("value", VALUES, ids=len)
    async def test_values_are_bytes(self, store: StateStore, value: bytes) -> None:
        """Any bytes make a value, the empty ones too, and come back as they were."""
        await store.set(b"key", value)
        assert await store.get(b"key") == value

    @pytest.mark.asyncio
    async def test_set_replaces(self, store: StateStore) -> None:
        """The last value counts."""
        await store.set(b"key", b"old")
        await store.set(b"key", b"new")
        assert await store.get(b"key") == b"new"

    @pytest.mark.asyncio
    async def test_value_expires(self, store: StateStore) -> None:
        """A value with a time to live is there before that time and gone after it."""
        await store.set(b"long", b"1", ttl_s=60)
        started = time.monotonic()
        await store.set(b"short", b"1", ttl_s=self.ttl_s)
        await eventually(lambda: _is_absent(store, b"short"), "the value expired", self.ttl_s + 5)
        assert time.monotonic() - started >= self.ttl_s * 0.9
        assert await store.get(b"long") == b"1"

    @pytest.mark.asyncio
    async def test_set_without_ttl_stays(self, store: StateStore) -> None:
        """Setting a value again without a time to live takes the old one away."""
        await store.set(b"key", b"1", ttl_s=self.ttl_s)
        await store.set(b"key", b"2")
        await store.set(b"mark", b"", ttl_s=self.ttl_s * 1.5)
        await eventually(lambda: _is_absent(store, b"mark"), "the mark expired", self.ttl_s + 5)
        assert await store.get(b"key") == b"2"

    @pytest.mark.asyncio
    async def test_set_with_ttl_starts_it_again(self, store: StateStore) -> None:
        """The time to live counts from the last time the value was set."""
        await store.set(b"key", b"1", ttl_s=self.ttl_s)
        await store.set(b"key", b"2", ttl_s=60)
        await store.set(b"mark", b"", ttl_s=self.ttl_s * 1.5)
        await eventually(lambda: _is_absent(store, b"mark"), "the mark expired", self.ttl_s + 5)
        assert await store.get(b"key") == b"2"

    @pytest.mark.asyncio
    async def test_add_counts(self, store: StateStore) -> None:
        """A counter begins at its first amount, takes negative ones and says where it stands."""
        assert [await store.add(b"n", amount) for amount in (5, 0, -7, 2**40)] == [5, 5, -2, 2**40 - 2]

    @pytest.mark.asyncio
    async def test_counter_reads_as_decimal(self, store: StateStore) -> None:
        """`get` shows a counter as decimal digits, and `add` goes on from digits that were set."""
        await store.add(b"n", -12)
        assert await store.get(b"n") == b"-12"
        await store.set(b"m", b"40")
        assert await store.add(b"m", 2) == 42

    @pytest.mark.asyncio
    async def test_add_is_atomic(self, store: StateStore) -> None:
        """Additions at the same time all count: no two of them see the same total."""
        totals = await asyncio.gather(*(store.add(b"n", 1) for _ in range(200)))
        assert sorted(totals) == list(range(1, 201))

    @pytest.mark.asyncio
    async def test_ttl_of_a_counter_runs_from_its_birth(self, store: StateStore) -> None:
        """A window ends however often it is added to, and the next addition begins a new one."""
        started = time.monotonic()
        await store.add(b"n", 1, ttl_s=self.ttl_s)

        async def began_again() -> bool:
            return await store.add(b"n", 1, ttl_s=self.ttl_s) == 1

        await eventually(began_again, "the counter began again", self.ttl_s + 5)
        assert time.monotonic() - started >= self.ttl_s * 0.9

    @pytest.mark.asyncio
    async def test_counter_without_ttl_stays(self, store: StateStore) -> None:
        """A counter made without a time to live is not given one by a later addition."""
        await store.add(b"n", 1)
        await store.add(b"n", 1, ttl_s=self.ttl_s)
        await store.set(b"mark", b"", ttl_s=self.ttl_s * 1.5)
        await eventually(lambda: _is_absent(store, b"mark"), "the mark expired", self.ttl_s + 5)
        assert await store.add(b"n", 1) == 3

    @pytest.mark.asyncio
    async def test_counter_keeps_its_ttl(self, store: StateStore) -> None:
        """Adding without a time to live leaves the one the counter has."""
        await store.add(b"n", 1, ttl_s=self.ttl_s)
        assert await store.add(b"n", 1) == 2
        await eventually(lambda: _is_absent(store, b"n"), "the counter expired", self.ttl_s + 5)

    @pytest.mark.asyncio
    async def test_delete(self, store: StateStore) -> None:
        """A deleted value is gone, others stay, and deleting what is absent is fine."""
        await store.set(b"gone", b"1")
        await store.set(b"kept", b"1")
        await store.delete(b"gone")
        await store.delete(b"never")
        assert (await store.get(b"gone"), await store.get(b"kept")) == (None, b"1")

    @pytest.mark.asyncio
    async def test_deleted_counter_begins_again(self, store: StateStore) -> None:
        """After `delete` a counter starts from nothing, its time to live too."""
        await store.add(b"n", 5, ttl_s=60)
        await store.delete(b"n")
        assert await store.add(b"n", 1) == 1


async def _is_absent(store: StateStore, key: bytes) -> bool:
    return await store.get(key) is None
