"""The reply to one request of the h1 engine, between the connection that fills it and the reader who empties it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

from headgate.errors import ProviderFailed, ProviderTimeout
from headgate.upstream.decoding import MAX_BODY_BYTES, Decoder
from headgate.upstream.h1_waiting import Waiter
from headgate.upstream.interface import Pieces, RawHeaders, Timeouts
from headgate.upstream.rules import body_decoder

HIGH_BYTES = 32 * 1024
"""How much of a body may wait for its reader before the socket is left alone."""
_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""Methods that may be sent again after a lost connection, RFC 9110 section 9.2.2."""


class Owner(Protocol):
    """Where a connection comes from and goes back to."""

    loop: asyncio.AbstractEventLoop

    def watch(self, reply: H1Response, deadline: float) -> None:
        """See to it that `reply.expire` is called once its deadline has passed."""
        ...

    def finished(self, reply: H1Response) -> None:
        """The reply needs no more watching."""
        ...

    def release(self, connection: Any) -> None:
        """The connection may carry another exchange."""
        ...

    def forget(self, connection: Any) -> None:
        """The connection is gone."""
        ...


class Wire(Protocol):
    """What a reply needs of the connection it comes over."""

    def begin(self, reply: H1Response, head: bytes, body: bytes) -> None:
        """Write a request; a large body only when `send_body` is awaited."""
        ...

    async def send_body(self, reply: H1Response, body: bytes) -> None:
        """Write a large body."""
        ...

    async def send_pieces(self, reply: H1Response, pieces: Pieces) -> None:
        """Write a body as it comes."""
        ...

    def resume_reading(self) -> None:
        """Take more from the socket."""
        ...

    def end(self) -> None:
        """Give the exchange up, and the connection with it."""
        ...


class Unsent(Exception):
    """The connection was lost, and nothing of the request can have been acted on: another one may be tried."""


class H1Response:
    """An UpstreamResponse of the h1 engine. What has arrived waits here for its reader; the rest waits in the socket."""

    __slots__ = (
        "_connection",
        "_decoder",
        "_error",
        "_is_fed",
        "_is_stirred",
        "_owner",
        "_pieces",
        "_sink",
        "_size",
        "_timeouts",
        "_total_end",
        "_upload",
        "_waiter",
        "deadline",
        "headers",
        "host",
        "is_answered",
        "is_bodyless",
        "is_done",
        "is_safe",
        "must_close",
        "status",
    )

    def __init__(self, owner: Owner, host: str, timeouts: Timeouts, began: float, method: str) -> None:
        self._owner = owner
        self.host = host
        self._timeouts = timeouts
        self._total_end = began + timeouts.total_s
        self.deadline = min(began + timeouts.first_byte_s, self._total_end)
        self._connection: Wire | None = None
        self._waiter: Waiter | None = None
        self._upload: asyncio.Task[None] | None = None
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._error: BaseException | None = None
        self._decoder: Decoder | None = None
        self._sink: Callable[[bytes], bool] | None = None
        self.status = 0
        self.headers: RawHeaders = ()
        self.is_answered = False
        self.is_done = False
        self._is_fed = self._is_stirred = False
        self.is_bodyless = method == "HEAD"
        self.is_safe = method in _SAFE
        self.must_close = False

    # for the reader

    async def head(self, connection: Wire, head: bytes, body: bytes, pieces: Pieces | None = None) -> None:
        """Send the request over `connection` and wait for the head of the reply. Raises Unsent as well."""
        self._connection = connection
        self._owner.watch(self, self.deadline)
        try:
            connection.begin(self, head, body)
            if pieces is not None:
                self.must_close, self.is_safe = True, False  # until it is written whole; what was taken is gone
                self._upload = self._owner.loop.create_task(connection.send_pieces(self, pieces))
            elif self.must_close:
                self._upload = self._owner.loop.create_task(connection.send_body(self, body))
            while not self.is_answered:
                if self._error is not None:
                    raise self._error
                await self.changed()
        except BaseException:
            self.close()
            raise

    async def read(self) -> bytes:
        """The whole body, at most 64 MiB."""
        if self.is_done and self._decoder is None and self._size <= HIGH_BYTES:  # most have come whole
            return self._taken()
        pieces: list[bytes] = []
        size = 0
        async for piece in self:
            size += len(piece)
            if size > MAX_BODY_BYTES:
                self.close()
                raise ProviderFailed(f"the reply is larger than {MAX_BODY_BYTES} bytes", code="upstream_too_large")
            pieces.append(piece)
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return body if self._decoder is None else self._decoded(body)

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives; what arrived together comes together."""
        return self if self._decoder is None else self._decoding(self._decoder)

    async def _decoding(self, decoder: Decoder) -> AsyncIterator[bytes]:
        async for data in self:
            for piece in decoder.feed(data):
                yield piece
        decoder.end()

    async def pour(self, sink: Callable[[bytes], bool]) -> None:
        """See Pouring."""
        if self._pieces or self.is_done or self._error is not None or self._decoder is not None:
            return
        self._await_more()
        self._sink = sink
        try:
            await self.changed()
        finally:
            self._sink = None
        self.deadline = self._total_end

    def close(self) -> None:
        """Close the connection unless the body was read to its end."""
        connection, self._connection = self._connection, None
        if self._upload is not None:
            self._upload.cancel()
        if connection is not None:
            self._owner.finished(self)
            if not self.is_done:
                connection.end()
                self.lose(ProviderFailed("the reply was given up before its end", code="upstream_cut"))

    async def changed(self) -> None:
        """Wait until something happened to the reply or to the connection's buffer."""
        waiter = self._waiter = Waiter(self._owner.loop)
        try:
            await waiter
        finally:
            self._waiter = None

    def __aiter__(self) -> H1Response:
        return self

    async def __anext__(self) -> bytes:
        """All of the body that has arrived, still encoded as it may be, waiting for some."""
        pieces = self._pieces
        if not pieces and not self.is_done and self._error is None:
            self._await_more()
            while not pieces and not self.is_done and self._error is None:
                await self.changed()
            self.deadline = self._total_end
        if pieces:
            data = self._taken()
            self._make_room()
            return data
        if self._error is not None:
            self.close()
            raise self._error
        raise StopAsyncIteration

    def _taken(self) -> bytes:
        """Everything that waits, but of much no more than a slow reader may be kept holding."""
        pieces = self._pieces
        if self._size <= HIGH_BYTES:
            data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            pieces.clear()
        else:
            some = [pieces.popleft()]
            size = len(some[0])
            while pieces and size + len(pieces[0]) <= HIGH_BYTES:
                size += len(pieces[0])
                some.append(pieces.popleft())
            data = b"".join(some)
        self._size -= len(data)
        return data

    def _make_room(self) -> None:
        """Let more come when little waits."""
        if self._connection is not None and not self.is_done and self._size <= HIGH_BYTES:
            self._connection.resume_reading()

    def _await_more(self) -> None:
        """Be watched for silence while waiting, and for the whole call."""
        self.deadline = min(self._owner.loop.time() + self._timeouts.gap_s, self._total_end)
        self._owner.watch(self, self.deadline)

    def _decoded(self, body: bytes) -> bytes:
        decoder = self._decoder
        if decoder is None:
            return body
        pieces = decoder.feed(body)
        decoder.end()
        return b"".join(pieces)

    # for the connection and the watch

    def answer(self, status: int, headers: RawHeaders) -> None:
        """The head is here."""
        self.status, self.headers = status, headers
        self.is_answered = True
        self.deadline = self._total_end
        self.wake()

    def wait_for_client(self) -> None:
        """The rest of the request is not here yet, which is not the server's fault."""
        if not self.is_answered:
            self.deadline = self._total_end

    def wait_for_server(self) -> None:
        """It is the server's turn again: to take what is written, and to answer."""
        if not self.is_answered:
            self.deadline = min(self._owner.loop.time() + self._timeouts.first_byte_s, self._total_end)
            if self._error is None:
                self._owner.watch(self, self.deadline)

    def decode(self) -> None:
        """Look for a content encoding. Raises ProviderFailed for one that was not asked for."""
        self._decoder = body_decoder(self.headers)

    def take(self, body: bytes) -> int:
        """A piece of the body; returns how much is waiting for the reader."""
        self._pieces.append(body)
        self._size += len(body)
        if self._sink is None:
            self.wake()
        return self._size

    def begin_read(self) -> None:
        """What comes now comes together, until `end_read`."""
        self._is_fed, self._is_stirred = True, False

    def end_read(self) -> None:
        """A read of the socket is over: what it brought goes to the sink or to the reader, before this returns."""
        self._is_fed = False
        if self._is_stirred:
            if self._waiter is not None:
                self._waiter.wake_now()
        elif self._sink is not None and self._pieces:
            self._hand_on(self._sink)

    def _hand_on(self, sink: Callable[[bytes], bool]) -> None:
        """Give all that waits to the sink; its reader is woken when it wants no more, or fails."""
        is_much = self._size > HIGH_BYTES
        try:
            goes_on = sink(self._taken())
            while goes_on and self._pieces:
                goes_on = sink(self._taken())
        except Exception as error:
            self._stop_pouring(error)
            return
        if is_much:
            self._make_room()
        if goes_on:
            self.deadline = min(self._owner.loop.time() + self._timeouts.gap_s, self._total_end)
        else:
            self._stop_pouring()

    def complete(self) -> None:
        """The body has ended as its framing says."""
        self.is_done = True
        self._owner.finished(self)
        self.wake()

    def fail(self, words: str, code: str, *, in_body: bool = False) -> None:
        """The reply will never be whole."""
        if in_body:
            self.lose(ProviderFailed(f"the reply was broken off: {words}", code="upstream_cut"))
        else:
            self.lose(ProviderFailed(f"`{self.host}` could not be reached: {words}", code=code or None))

    def lose(self, error: BaseException) -> None:
        """End with an error."""
        if self._error is None and not self.is_done:
            self._error = error
            self._owner.finished(self)
            self.wake()

    def expire(self) -> None:
        """The deadline has passed."""
        limits = self._timeouts
        if self.is_answered:
            is_total = self.deadline >= self._total_end
            words = (
                f"the reply took longer than {limits.total_s:g} s"
                if is_total
                else f"the reply was silent for {limits.gap_s:g} s"
            )
        else:
            words = f"no answer from `{self.host}` within {min(limits.first_byte_s, limits.total_s):g} s"
        self._pieces.clear()
        self.lose(ProviderTimeout(words))
        if self._connection is not None:
            self._connection.end()

    def wake(self) -> None:
        """Let a waiting reader look again; not before the whole read of the socket was looked at."""
        if self._is_fed:
            self._is_stirred = True
        elif self._waiter is not None:
            self._waiter.wake_soon()

    def _stop_pouring(self, error: Exception | None = None) -> None:
        self._sink = None
        if self._waiter is not None:
            self._waiter.wake_now(error)
