"""A stream that is poured past its task comes out as one that is read: the same bytes, the same end, the same account."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from core.tests.relaying import CUT, EVENTS, KEY, USAGE, WHOLE, Answer, answered, chunk, exchange
from typing_extensions import override

from headgate import pipeline
from headgate.dialects.sse import DONE, MAX_EVENT_BYTES
from headgate.exchange import Exchange
from headgate.upstream import Pouring


class Pourable(Answer, Pouring):
    """An answer that pours what it has until the sink stops; how it ends is for the reader."""

    poured = 0

    @override
    async def pour(self, sink: Callable[[bytes], bool]) -> None:
        while self._pieces and isinstance(piece := self._pieces[0], bytes):
            self._pieces = self._pieces[1:]
            self.poured += 1
            if not sink(piece):
                return

    @override
    async def chunks(self) -> AsyncIterator[bytes]:
        while self._pieces:
            piece, self._pieces = self._pieces[0], self._pieces[1:]
            if isinstance(piece, Exception):
                raise piece
            yield piece


async def sent(answer: Answer, seed: int, *, collect: bool = False) -> tuple[bytes, Any]:
    """What a client got, and the account of it. With a seed the client is now and then not ready for more."""
    rng = random.Random(seed)
    ex: Exchange = exchange(stream=True)
    ex.collect = collect
    got: list[bytes] = []

    async def send(piece: bytes) -> None:
        got.append(piece)

    def offer(piece: bytes) -> bool:
        if piece:
            got.append(piece)
        return rng.random() < 0.7

    reply = ex.reply = await answered(answer, ex, KEY)
    assert reply.chunks is not None
    await pipeline.relay_stream(ex, reply.chunks, send, offer)
    error = ex.error.error_code if ex.error else None
    account = (ex.outcome, error, ex.reply_bytes, ex.reply_body, reply.usage, reply.has_error_event, answer.is_closed)
    return b"".join(got), account


def cut(stream: bytes, at: int) -> list[bytes]:
    """A stream in pieces of at most `at` bytes."""
    return [stream[start : start + at] for start in range(0, len(stream), at)]


WAYS = [
    pytest.param(WHOLE, id="whole"),
    pytest.param((*WHOLE[:3], DONE), id="no usage"),
    pytest.param(WHOLE[:2], id="closed early"),
    pytest.param((*WHOLE[:2], CUT), id="broken"),
    pytest.param((*WHOLE[:4], CUT), id="broken behind its finish"),
    pytest.param((*WHOLE[:4], b"data: [DONE]"), id="done without its blank line"),
    pytest.param((*WHOLE[:2], b": alive\n\n", *WHOLE[2:]), id="comments"),
    pytest.param((WHOLE[0], chunk(f"the key is {KEY}"), *WHOLE[2:]), id="secret"),
    pytest.param((WHOLE[0], b'data: {"error":{"message":"x"}}\n\n'), id="error event"),
    pytest.param((*WHOLE[:3], USAGE, b"data: " + bytes(MAX_EVENT_BYTES)), id="endless event"),
    pytest.param((*WHOLE[:4], DONE, b"data: " + bytes(MAX_EVENT_BYTES)), id="endless event behind the end"),
]


@pytest.mark.parametrize("pieces", WAYS)
@pytest.mark.parametrize("collect", [False, True])
async def test_a_poured_stream_is_the_read_one(pieces: tuple[bytes | Exception, ...], *, collect: bool) -> None:
    """Bytes, outcome, error, usage, what is counted and what is kept are the same both ways."""
    expected = await sent(Answer(200, EVENTS, *pieces), 0, collect=collect)
    assert expected[1][-1]
    answers = [Pourable(200, EVENTS, *pieces) for _ in range(6)]
    for seed, answer in enumerate(answers):
        assert await sent(answer, seed, collect=collect) == expected
    assert any(answer.poured for answer in answers)


@pytest.mark.parametrize("size", [1, 7, 40, 1000])
async def test_pieces_of_any_size_pour_the_same(size: int) -> None:
    """Events are put together from pieces on both ways, whichever takes which piece."""
    pieces = cut(b"".join(WHOLE), size)
    expected = await sent(Answer(200, EVENTS, *pieces), 0)
    for seed in range(20):
        assert await sent(Pourable(200, EVENTS, *pieces), seed) == expected


async def test_too_much_to_collect_is_not_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream larger than what is kept passes whole and is not kept."""
    monkeypatch.setattr(pipeline, "MAX_COLLECTED_BYTES", len(WHOLE[0]) + 1)
    got, account = await sent(Pourable(200, EVENTS, *WHOLE), 0, collect=True)
    assert got == b"".join(WHOLE)
    assert account[3] is None
