"""The embedded state store: lazy expiry, bounded size, counters that keep their first time limit."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from headgate.state import OVERHEAD_BYTES, MemoryStateStore


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_set_get_delete() -> None:
    """A value is there until it is deleted; deleting what is not there is fine."""
    store = MemoryStateStore()
    await store.set(b"k", b"v")
    assert await store.get(b"k") == b"v"
    await store.delete(b"k")
    await store.delete(b"k")
    assert await store.get(b"k") is None


async def test_a_value_expires_at_its_time() -> None:
    """Until just before its time it is there; from then on it is not."""
    clock = Clock()
    store = MemoryStateStore(clock=clock)
    await store.set(b"k", b"v", ttl_s=10)
    clock.now += 9.999
    assert await store.get(b"k") == b"v"
    clock.now += 0.001
    assert await store.get(b"k") is None


async def test_setting_again_replaces_the_time_limit() -> None:
    """A value set without a limit stays, even if it had one before."""
    clock = Clock()
    store = MemoryStateStore(clock=clock)
    await store.set(b"k", b"v", ttl_s=1)
    await store.set(b"k", b"w")
    clock.now += 1000
    assert await store.get(b"k") == b"w"


async def test_a_counter_counts_its_time_from_its_birth() -> None:
    """Adding to a counter does not prolong it; after its time it starts anew."""
    clock = Clock()
    store = MemoryStateStore(clock=clock)
    assert await store.add(b"n", 2, ttl_s=10) == 2
    clock.now += 6
    assert await store.add(b"n", 3, ttl_s=10) == 5
    clock.now += 4
    assert await store.add(b"n", 1, ttl_s=10) == 1
    assert await store.add(b"n", -4) == -3


async def test_the_least_recently_used_goes_first() -> None:
    """Reading and counting both count as use."""
    store = MemoryStateStore(max_entries=3)
    await store.set(b"a", b"1")
    await store.set(b"b", b"1")
    await store.set(b"c", b"1")
    await store.get(b"a")
    await store.add(b"b", 1)
    await store.set(b"d", b"1")
    assert [await store.get(key) for key in (b"a", b"b", b"c", b"d")] == [b"1", b"2", None, b"1"]


def room(*values: int) -> int:
    """What entries of one-letter keys with values of these sizes take."""
    return sum(OVERHEAD_BYTES + 1 + size for size in values)


async def test_bytes_are_bounded() -> None:
    """However long values are, all of them together stay within `max_bytes`, replaced, counted and deleted ones too."""
    store = MemoryStateStore(max_bytes=room(9, 9, 0))
    for key, size in ((b"a", 9), (b"b", 9), (b"a", 9), (b"c", 9), (b"d", 0)):
        await store.set(key, b"1" * size)
    assert [await store.get(key) for key in (b"b", b"a", b"c", b"d")] == [None, b"1" * 9, b"1" * 9, b""]
    assert (store.bytes_held, store.evicted) == (room(9, 9, 0), 1)
    await store.delete(b"c")
    await store.set(b"n", b"9")
    await store.add(b"n", 1)
    assert (store.bytes_held, store.evicted) == (room(9, 0, 2), 1)


async def test_what_is_larger_than_the_store_pushes_nothing_out() -> None:
    """It is not kept, an older value of its key is gone, and all others stay."""
    store = MemoryStateStore(max_bytes=room(1, 1))
    await store.set(b"a", b"1")
    await store.set(b"b", b"1")
    await store.set(b"b", b"1" * 500)
    assert [await store.get(key) for key in (b"a", b"b")] == [b"1", None]
    assert (store.bytes_held, store.evicted) == (room(1), 1)


async def test_it_says_that_entries_go_early() -> None:
    """Once a minute and with a count; what had expired anyway is not counted."""
    clock = Clock()
    store = MemoryStateStore(max_entries=1, clock=clock)
    with capture_logs() as logs:
        await store.set(b"a", b"1", ttl_s=1)
        clock.now += 1
        await store.set(b"b", b"1")
        assert logs == []
        await store.set(b"c", b"1")
        clock.now += 59
        await store.set(b"d", b"1", ttl_s=60)
        clock.now += 1
        await store.set(b"e", b"1")
    assert [(line["evicted"], line["log_level"]) for line in logs] == [(1, "warning"), (3, "warning")]
    assert "raise `limits.state_bytes`" in logs[0]["event"]


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("gsadt"), st.sampled_from([b"x", b"y", b"z"]), st.integers(0, 5))))
async def test_it_behaves_as_a_dictionary_with_limits(steps: list[tuple[str, bytes, int]]) -> None:
    """Any sequence of calls gives what a plain dictionary with expiry times gives."""
    clock = Clock()
    store = MemoryStateStore(clock=clock)
    model: dict[bytes, tuple[int, float | None]] = {}
    for action, key, number in steps:
        held = model.get(key)
        if held is not None and held[1] is not None and held[1] <= clock.now:
            held = None
            del model[key]
        match action:
            case "g":
                assert await store.get(key) == (None if held is None else str(held[0]).encode())
            case "s":
                await store.set(key, str(number).encode(), number or None)
                model[key] = (number, clock.now + number if number else None)
            case "a":
                total = number + (held[0] if held else 0)
                model[key] = (total, held[1] if held else clock.now + 3)
                assert await store.add(key, number, 3) == total
            case "d":
                await store.delete(key)
                model.pop(key, None)
            case _:
                clock.now += number
