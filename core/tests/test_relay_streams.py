"""A provider's stream on its way to the client: what it must be, how it ends, and when it is cut."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest
from core.tests.relaying import (
    CUT,
    EVENTS,
    JSON,
    USAGE,
    WHOLE,
    Answer,
    Headers,
    answered,
    chunk,
    event,
    exchange,
    failed,
    read,
)
from typing_extensions import override

from headgate.dialects.sse import DONE, data_of, events_of
from headgate.errors import ProviderError, ProviderFailed, ProviderTimeout
from headgate.relay import COMMENTS_HELD_BYTES


async def test_a_stream_passes_byte_for_byte() -> None:
    """All bytes in their order, in whole events, whatever pieces they came in; usage is known at the end."""
    stream = b": hello\n\n" + b"".join(WHOLE).replace(b"\n\n", b"\r\n\r\n", 1)
    for size in (1, 2, 3, 7, 50, len(stream)):
        answer = Answer(200, EVENTS, *(stream[at : at + size] for at in range(0, len(stream), size)))
        reply = await answered(answer, exchange(stream=True))
        assert reply.chunks is not None
        got = [piece async for piece in reply.chunks]
        assert b"".join(got) == stream
        assert all(piece.endswith((b"\n\n", b"\n\r\n")) for piece in got)
        assert reply.usage is not None
        assert reply.usage.total == 12
        assert answer.is_closed


@pytest.mark.parametrize("headers", [(), JSON, ((b"content-type", b"text/plain"),)])
async def test_a_stream_must_be_events(headers: Headers) -> None:
    """Something else where a stream was asked for is the provider's failure."""
    answer = Answer(200, headers, b"{}")
    assert (await failed(answer, exchange(stream=True))).error_code == "upstream_bad_reply"
    assert answer.is_closed


@pytest.mark.parametrize(
    ("pieces", "code"),
    [
        ((), "upstream_cut"),
        ((b"",), "upstream_cut"),
        ((ProviderFailed("cut", code="upstream_cut"),), "upstream_cut"),
        ((b"data: {", ProviderTimeout("slow")), "upstream_timeout"),
        ((b'{"error":{"message":"x"}}',), "upstream_bad_reply"),
        ((b"<html>\n\n</html>\n\n",), "upstream_bad_reply"),
        ((b"x" * (17 * 1024 * 1024),), "upstream_bad_reply"),
    ],
)
async def test_before_the_first_event_a_stream_can_go_elsewhere(pieces: Sequence[bytes | Exception], code: str) -> None:
    """What breaks before the first whole event is raised before there is a reply."""
    answer = Answer(200, EVENTS, *pieces)
    with pytest.raises(ProviderError) as caught:
        await answered(answer, exchange(stream=True))
    assert caught.value.error_code == code
    assert answer.is_closed


async def relayed(*pieces: bytes | Exception) -> tuple[bytes, ProviderError | None]:
    """What a client got of a stream, and the error it ended with."""
    reply = await answered(Answer(200, EVENTS, *pieces), exchange(stream=True))
    assert reply.chunks is not None
    got: list[bytes] = []
    try:
        async for piece in reply.chunks:
            got.append(piece)  # noqa: PERF401 - what came before the error counts
    except ProviderError as error:
        return b"".join(got), error
    return b"".join(got), None


@pytest.mark.parametrize("end", [None, CUT], ids=["closed", "broken"])
async def test_a_cut_at_every_byte_is_never_complete(end: ProviderError | None) -> None:
    """Cut anywhere before its finish, a stream ends with an error, and the client has seen whole events only."""
    stream = b"".join(WHOLE)
    for at in range(len(WHOLE[0]), len(b"".join(WHOLE[:3])) - 2):
        got, error = await relayed(stream[:at], *([end] if end else []))
        assert error is not None, at
        assert stream.startswith(got)
        assert all(piece.endswith(b"\n\n") for piece in events_of(got))
        assert got.endswith(b"\n\n")


@pytest.mark.parametrize("end", [None, CUT], ids=["closed", "broken"])
async def test_a_cut_behind_the_finish_gives_no_half_event(end: ProviderError | None) -> None:
    """After the last choice has finished a cut is no error, but half an event is never sent."""
    stream = b"".join(WHOLE[:4])
    behind = len(b"".join(WHOLE[:3]))
    for at in range(behind, len(stream)):
        got, _ = await relayed(stream[:at], *([end] if end else []))
        is_unended = at >= len(stream) - 2  # the event is whole but for its blank line
        assert got == stream[:behind] or (is_unended and got == stream[:at]), at


async def test_one_finished_choice_does_not_finish_the_other() -> None:
    """With two choices, a stream that breaks while one of them runs was cut."""
    _, error = await relayed(chunk("a"), chunk("b", index=1), chunk(finish="stop"), chunk("c", index=1), CUT)
    assert error is not None


@pytest.mark.parametrize(
    "pieces",
    [
        (chunk("a"), DONE),
        (chunk("a"), DONE.rstrip()),
        (chunk("a"), chunk(finish="stop")),
        (chunk("a"), chunk(finish="stop"), USAGE),
        (chunk("a"), DONE, CUT),
        (chunk("a"), event({"error": {"message": "busy"}})),
        (chunk("a") + DONE,),
        (DONE,),
        (chunk("a"), chunk(finish="stop"), *(b": ping\n\n" for _ in range(20))),
    ],
    ids=["done", "done unended", "no done", "usage", "cut after done", "error", "one", "only", "pings"],
)
async def test_streams_that_end_properly(pieces: Sequence[bytes | Exception]) -> None:
    """`[DONE]`, a finish reason, or an error of the provider's own: all bytes pass and nothing is added."""
    got, error = await relayed(*pieces)
    assert error is None
    assert got == b"".join(piece for piece in pieces if isinstance(piece, bytes))


@pytest.mark.parametrize(
    "last",
    [b'data: {"usage": {"x": "\xff"}}\n\n', b'data: {"usage": ' + b"[" * 100_000 + b"\n\n", b'data: "usage"\n\n'],
)
async def test_odd_usage_does_not_break_a_stream(last: bytes) -> None:
    """A last event whose usage cannot be read costs the usage, not the stream."""
    got, error = await relayed(chunk("a"), chunk(finish="stop"), last, DONE)
    assert error is None
    assert got.endswith(last + DONE)


async def test_usage_is_the_last_that_was_stated() -> None:
    """Vendors that state usage in every chunk count up: the last one counts."""
    first = event({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}})
    null = event({"choices": [], "usage": None})
    reply = await answered(Answer(200, EVENTS, chunk("a"), first, USAGE, null, DONE), exchange(stream=True))
    await read(reply)
    assert reply.usage is not None
    assert reply.usage.total == 12


class Counted(Answer):
    """An answer that knows how many of its pieces were asked for."""

    given = 0

    @override
    async def chunks(self) -> AsyncIterator[bytes]:
        async for piece in super().chunks():
            self.given += 1
            yield piece


PINGS = b":\n\n" * 1000


async def test_a_stream_of_comments_begins() -> None:
    """Comments are held back only so far: past that the client gets them, and whatever comes behind them."""
    pieces = (*[PINGS] * 100, *WHOLE)
    answer = Counted(200, EVENTS, *pieces)
    reply = await answered(answer, exchange(stream=True))
    assert answer.given == COMMENTS_HELD_BYTES // len(PINGS) + 1
    assert await read(reply) == b"".join(pieces)


async def test_comments_commit_to_nothing() -> None:
    """Behind as many as are held back an error is still an error reply, and a stream that breaks can go elsewhere."""
    comments = PINGS[:3000], PINGS[: COMMENTS_HELD_BYTES // 3 * 3 - 3000]
    error = event({"error": {"message": "busy", "code": 503}})
    assert (await answered(Answer(200, EVENTS, *comments, error), exchange(stream=True))).status == 503
    for broken in (CUT, b"data: {"):
        with pytest.raises(ProviderFailed, match=r"before its first event|broken off"):
            await answered(Answer(200, EVENTS, *comments, broken), exchange(stream=True))


async def test_comments_before_an_event_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error behind them in the same piece is an error reply, and it alone is taken apart."""
    taken: list[bytes] = []

    def taking(event: bytes) -> bytes:
        taken.append(event)
        return data_of(event)

    monkeypatch.setattr("headgate.relay.data_of", taking)
    error = event({"error": {"message": "busy", "code": 503}})
    assert (await answered(Answer(200, EVENTS, PINGS + error), exchange(stream=True))).status == 503
    assert set(taken) == {error}
