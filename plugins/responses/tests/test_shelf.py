"""Keeping and finding entries: tenants, time, a store that fails, a reply that comes before what it left in the store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import openai
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from headgate import HookFailed
from headgate.state import MemoryStateStore
from headgate_responses import Held, Kept, Shelf
from headgate_responses.shelf import key_of

KEPT = Kept(b"{}", b"[]")
HELD = Held("a", "account")

OpenHouse = Callable[..., Awaitable[Any]]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Hanging(MemoryStateStore):
    """A store that never answers."""

    @override
    async def get(self, key: bytes) -> bytes | None:
        await asyncio.Event().wait()
        return None


@pytest.fixture
def events() -> Iterator[list[Any]]:
    """What is logged."""
    with structlog.testing.capture_logs() as captured:
        yield captured


def shelf(clock: Clock | None = None, state: Any = None, sleep: Any = None) -> Shelf:
    made = Shelf(60, sleep=sleep or (lambda _: asyncio.sleep(0)), clock=clock or Clock())
    made.state = state or MemoryStateStore(clock=clock or Clock())
    return made


async def test_entries_come_back() -> None:
    """Both kinds of entries are found by their tenant, and by nobody else."""
    held = shelf()
    await held.put("ann", "resp_1", KEPT)
    await held.put("ann", "resp_2", HELD)
    assert [await held.find("ann", name) for name in ("resp_1", "resp_2", "resp_3")] == [KEPT, HELD, None]
    assert await held.find("bob", "resp_1") is None
    assert await held.remove("bob", "resp_1")
    assert await held.find("ann", "resp_1") == KEPT
    assert await held.remove("ann", "resp_1")
    assert await held.find("ann", "resp_1") is None


@given(one=st.tuples(st.text(), st.text()), other=st.tuples(st.text(), st.text()))
def test_keys_are_of_one_tenant_and_one_id(one: tuple[str, str], other: tuple[str, str]) -> None:
    """No id and no tenant can be written so that it reaches the entry of another."""
    assert (key_of(*one) == key_of(*other)) == (one == other)
    assert len(key_of(*one)) == 74


async def test_entries_expire() -> None:
    """After `ttl_s` an entry is gone."""
    clock = Clock()
    held = shelf(clock)
    await held.put("ann", "resp_1", KEPT)
    clock.now += 59.9
    assert await held.find("ann", "resp_1") == KEPT
    clock.now += 0.2
    assert await held.find("ann", "resp_1") is None


async def test_an_id_of_ours_is_waited_for() -> None:
    """A reply may be with its client before it is in the store; ids of others are not waited for."""
    waits: list[float] = []

    async def sleep(wait_s: float) -> None:
        waits.append(wait_s)
        if len(waits) == 2:
            await held.put("ann", "resp_hg_1", KEPT)

    held = shelf(sleep=sleep)
    assert await held.find("ann", "resp_1") is None
    assert waits == []
    assert await held.find("ann", "resp_hg_1") == KEPT
    assert waits == [0.05, 0.15]


async def test_what_cannot_be_read_is_unknown(events: list[Any]) -> None:
    """An entry of another form is as if it were not there."""
    held = shelf()
    await held.state.set(key_of("ann", "resp_1"), b"\xc1")
    assert await held.find("ann", "resp_1") is None
    assert [entry["event"] for entry in events] == ["a kept response cannot be read"]


async def test_a_store_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that does not answer in time is one that fails."""
    monkeypatch.setattr("headgate_responses.shelf.STORE_S", 0.01)
    with pytest.raises(HookFailed) as caught:
        await shelf(state=Hanging()).find("ann", "resp_1")
    assert (caught.value.status, caught.value.error_code, caught.value.retry_after_s) == (503, "state_unavailable", 1)


async def test_complaints_come_once_a_minute(events: list[Any]) -> None:
    """However often the store fails, the log says so once a minute."""
    clock = Clock()
    held = shelf(clock)
    held.state = None  # pyright: ignore[reportAttributeAccessIssue] - anything that raises
    for _ in range(3):
        await held.put("ann", "resp_1", KEPT)
    assert len(events) == 1
    clock.now += 60
    await held.put("ann", "resp_1", KEPT)
    assert [entry["event"] for entry in events] == ["a response could not be kept"] * 2


@pytest.mark.parametrize("stream", [False, True])
async def test_a_store_that_fails_lets_replies_pass(open_house: OpenHouse, events: list[Any], stream: bool) -> None:
    """Requests that need nothing of the store are answered; those that do get a 503 that may be tried again."""
    house = await open_house()
    sdk = house.sdk()
    one = await sdk.responses.create(model="m", input="first")
    house.store.is_down = True
    for model in ("m", "a/m"):
        made = await sdk.responses.create(model=model, input="second", stream=stream)
        assert not stream or [event async for event in made][-1].type == "response.completed"
    assert [entry["event"] for entry in events if entry.get("plugin") == "responses"] == [
        "a response could not be kept"
    ]
    for ask in (
        sdk.responses.retrieve(one.id),
        sdk.responses.delete(one.id),
        sdk.responses.create(model="m", input="third", previous_response_id=one.id),
        sdk.responses.create(model="a/m", input="third", previous_response_id="resp_1"),
    ):
        with pytest.raises(openai.InternalServerError) as failed:
            await ask
        assert (failed.value.status_code, failed.value.code) == (503, "state_unavailable")
        assert failed.value.response.headers["retry-after"] == "1"
    house.store.is_down = False
    assert (await sdk.responses.retrieve(one.id)).id == one.id


async def test_a_delete_that_fails_says_so(open_house: OpenHouse) -> None:
    """A response is not said to be deleted while it is there."""
    house = await open_house()
    sdk = house.sdk()
    one = await sdk.responses.create(model="m", input="first")

    async def fail(_: bytes) -> None:
        raise ConnectionError("no store")

    house.store.delete = fail
    with pytest.raises(openai.InternalServerError) as failed:
        await sdk.responses.delete(one.id)
    assert (failed.value.status_code, failed.value.code) == (503, "state_unavailable")
    assert (await sdk.responses.retrieve(one.id)).id == one.id
