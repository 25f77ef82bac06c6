"""A guarded stream that is poured past its task is judged as one that is read: what clears at a look, and what does not."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Sequence

import pytest
from core.tests.test_guarding import FINISH, Chunked, blocking, chunk, passing, plan_of, tool
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from headgate.dialects import OpenAIChat
from headgate.dialects.sse import DONE
from headgate.errors import Blocked
from headgate.exchange import Exchange, Reply
from headgate.guarding import StreamGuard
from headgate.hooks import Hooks, Window
from headgate.operations import CHAT
from headgate.relay import Sink

SLICES = st.lists(
    st.sampled_from(
        [chunk("a"), chunk("pro"), chunk("ject-x"), chunk("b "), chunk(""), tool("{}"), chunk("c", 1), FINISH]
    ),
    max_size=12,
)


class Looking(Chunked):
    """Refuses the secret, holds what could begin it, and says at a look what cannot have to do with it."""

    def __init__(self) -> None:
        super().__init__(blocking, 8)
        self.looks = 0

    @override
    def holds(self, text: str) -> int:
        return 0 if text.endswith(("a", "b ")) else 8

    @override
    def clears(self, window: Window) -> bool:
        self.looks += 1
        return window.text in {"a", "b "}


class Broken(Looking):
    """Fails when it is asked to look."""

    @override
    def clears(self, window: Window) -> bool:
        raise RuntimeError("no eyes")


async def judged(plugins: Sequence[Hooks], slices: Sequence[bytes], rng: random.Random | None) -> tuple[bytes, bool]:
    """What comes out, and whether it was cut. With `rng` the client takes slices past the task, now and then."""
    left = list(slices)
    out: list[bytes] = []
    ex = Exchange(CHAT, {}, request_id="r", trace_id="t", dialect=OpenAIChat())

    async def chunks() -> AsyncIterator[bytes]:
        while left:
            yield left.pop(0)

    async def pour(sink: Sink) -> None:
        while left and sink(left.pop(0)):
            pass

    def offer(slice_: bytes) -> bool:
        out.append(slice_)
        return rng is None or rng.random() < 0.7

    guard = StreamGuard(plan_of(*plugins), ex, OpenAIChat())
    ex.reply = Reply(200, chunks=chunks())
    way = guard.way_of(pour)
    try:
        async for piece in guard.run(chunks()):
            out.append(piece)
            if rng is not None and way is not None:
                poured: Awaitable[None] = way(offer)
                await poured
    except Blocked:
        return b"".join(out), True
    return b"".join(out), False


@given(slices=SLICES, seed=st.integers(0, 99))
@settings(max_examples=200, deadline=None)
@pytest.mark.asyncio
async def test_poured_and_read_agree(slices: list[bytes], seed: int) -> None:
    """The same bytes and the same cut, whether slices go past the task or through it, and whether anybody looks."""
    through = await judged([Chunked(blocking, 8)], slices, None)
    assert (await judged([Looking()], slices, None))[1] == through[1]
    assert await judged([Looking()], slices, random.Random(seed)) == await judged([Looking()], slices, None)


@pytest.mark.asyncio
async def test_what_clears_is_not_judged_again() -> None:
    """A plugin that cleared a slice at a look is not asked about it a second time."""
    plugin = Looking()
    slices = [chunk("a"), chunk("a"), chunk("a"), FINISH, DONE]
    assert await judged([plugin], slices, random.Random(1)) == (b"".join(slices), False)
    assert plugin.looks == 2
    assert [window.text for window in plugin.windows if window.text] == ["a"]


@pytest.mark.asyncio
async def test_every_plugin_must_clear() -> None:
    """Where one plugin cannot say at a look, all of them judge."""
    looking, other = Looking(), Chunked(passing)
    slices = [chunk("a"), chunk("a"), FINISH, DONE]
    assert await judged([looking, other], slices, random.Random(1)) == (b"".join(slices), False)
    assert [window.text for window in other.windows if window.text] == ["a", "a"]


@pytest.mark.asyncio
async def test_a_look_that_fails_is_no_verdict() -> None:
    """A plugin that fails to look is asked to judge, by the rule of its stage."""
    plugin = Broken()
    slices = [chunk("a"), chunk("a"), FINISH, DONE]
    assert await judged([plugin], slices, random.Random(1)) == (b"".join(slices), False)
    assert [window.text for window in plugin.windows if window.text] == ["a", "a"]


def test_held_streams_are_not_poured() -> None:
    """Where all of a stream is held, nothing may pass a task by."""

    async def pour(_: Sink) -> None:
        raise AssertionError("it was poured")

    ex = Exchange(CHAT, {}, request_id="r", trace_id="t", dialect=OpenAIChat())
    assert StreamGuard(plan_of(Chunked(passing, -1)), ex, OpenAIChat()).way_of(pour) is None
