"""Guardrails on a running stream: text is held back until it has been judged, then its own bytes are released.

Each text flow of a stream (a choice's content, a tool call's arguments) is a channel. An event is released when every
piece of text in it lies at least `hold` characters behind the end of its channel, or when the channel has ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import msgspec

from headgate.body import decode_object, replace_paths
from headgate.dialects import Dialect, TextPlace
from headgate.dialects.sse import data_event, data_of, events_of
from headgate.errors import InvalidRequest, ProviderFailed
from headgate.exchange import Exchange, Reply
from headgate.folds import bounded, every, fail
from headgate.hooks import Window
from headgate.plan import Plan

MAX_HELD_BYTES = 32 * 1024 * 1024


class _Event:
    """A held event: its bytes, its decoded data, and the pieces of text in it with their end in their channel."""

    __slots__ = ("changes", "data", "pieces", "raw")

    def __init__(self, raw: bytes, data: dict[str, Any], pieces: list[tuple[TextPlace, int]]) -> None:
        self.raw = raw
        self.data = data
        self.pieces = pieces
        self.changes: dict[tuple[str | int, ...], str] = {}

    def bytes(self) -> bytes:
        if not self.changes:
            return self.raw
        return data_event(msgspec.json.encode(replace_paths(self.data, self.changes.items())))


class _Channel:
    __slots__ = ("pending", "received", "sent")

    def __init__(self) -> None:
        self.pending = ""
        self.received = 0
        self.sent = ""


class StreamGuard:
    """Judges one stream. `hold` is in characters; -1 holds everything until the end."""

    def __init__(self, plan: Plan, ex: Exchange, dialect: Dialect) -> None:
        self._plan = plan
        self._ex = ex
        self._dialect = dialect
        self._hold = plan.hold_chars
        self._queue: deque[_Event] = deque()
        self._channels: dict[str, _Channel] = {}
        self._held_bytes = 0

    async def run(self, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """The judged stream. Raises Blocked to cut it."""
        async for slice_ in chunks:
            touched: set[str] = set()
            for raw in events_of(slice_):
                touched |= self._take(raw)
            if self._hold >= 0:
                for name in touched:
                    await self._judge(name, is_last=False)
            released = self._release(is_last=False)
            if released:
                yield released
        for name in self._channels:
            await self._judge(name, is_last=True)
        if self._hold < 0:
            await self._judge_whole()
        released = self._release(is_last=True)
        if released:
            yield released

    def _take(self, raw: bytes) -> set[str]:
        data = data_of(raw)
        decoded: dict[str, Any] = {}
        if data and data.strip() != b"[DONE]":
            try:
                decoded = decode_object(data)
            except InvalidRequest:
                raise ProviderFailed("a stream event is not JSON", code="upstream_bad_reply") from None
        pieces: list[tuple[TextPlace, int]] = []
        touched: set[str] = set()
        for place in self._dialect.event_texts(decoded):
            if place.text:
                channel = self._channels.setdefault(place.channel, _Channel())
                channel.pending += place.text
                channel.received += len(place.text)
                pieces.append((place, channel.received))
                touched.add(place.channel)
        self._queue.append(_Event(raw, decoded, pieces))
        self._held_bytes += len(raw)
        if self._held_bytes > MAX_HELD_BYTES:
            raise ProviderFailed("the stream is too large to be judged by the guardrails", code="upstream_too_large")
        return touched

    async def _judge(self, name: str, *, is_last: bool) -> None:
        channel = self._channels[name]
        for step in self._plan.guard_chunk:
            window = Window(name, channel.pending, channel.sent, is_last)
            try:
                answer = await bounded(step.call(self._ex, window), step.budget_s)
                if answer is not None and not isinstance(answer, str):
                    raise TypeError(f"it answered with `{type(answer).__name__}` instead of `str` or None")
            except Exception as error:
                fail(step, self._ex, error)
                continue
            if answer is not None and answer != channel.pending:
                self._rewrite(name, channel, answer)

    async def _judge_whole(self) -> None:
        """Run `guard_reply` of the plugins that cannot judge pieces, on a whole reply made of the held text."""
        chunked = {step.plugin for step in self._plan.guard_chunk}
        steps = [step for step in self._plan.guard_reply if step.plugin not in chunked]
        names = list(self._channels)
        is_chat = self._dialect.operation == "chat"
        choices = [
            {"message": {"content": self._channels[name].pending}}
            if is_chat
            else {"text": self._channels[name].pending}
            for name in names
        ]
        running, whole = self._ex.reply, Reply(200, body=msgspec.json.encode({"choices": choices}))
        self._ex.reply = whole
        try:
            await every(steps, self._ex)
        finally:
            self._ex.reply = running
        for name, choice in zip(names, decode_object(whole.body)["choices"], strict=True):
            text = choice["message"]["content"] if is_chat else choice["text"]
            if text != self._channels[name].pending:
                self._rewrite(name, self._channels[name], text)

    def _rewrite(self, name: str, channel: _Channel, text: str) -> None:
        """Spread `text` over the held pieces: those before and behind the change keep their words and their time.

        What lies between goes into the last piece that the change touches, so nothing is released early.
        """
        pieces = [(event, place) for event in self._queue for place, _ in event.pieces if place.channel == name]
        words = [event.changes.get(place.path, place.text) for event, place in pieces]
        start, end = 0, len(pieces)
        head, tail = 0, 0
        while start < end and text.startswith(words[start], head) and channel.pending.startswith(words[start], head):
            head += len(words[start])
            start += 1
        while end - 1 > start and text[head : len(text) - tail].endswith(words[end - 1]):
            tail += len(words[end - 1])
            end -= 1
        for at in range(start, end):
            event, place = pieces[at]
            event.changes[place.path] = text[head : len(text) - tail] if at == end - 1 else ""
        channel.pending = text

    def _release(self, *, is_last: bool) -> bytes:
        out: list[bytes] = []
        while self._queue and (is_last or self._is_clear(self._queue[0])):
            event = self._queue.popleft()
            self._held_bytes -= len(event.raw)
            for place, _ in event.pieces:
                channel = self._channels[place.channel]
                text = event.changes.get(place.path, place.text)
                channel.pending = channel.pending[len(text) :]
                channel.sent = (channel.sent + text)[-max(self._hold, 0) :] if self._hold else ""
            out.append(event.bytes())
        return b"".join(out)

    def _is_clear(self, event: _Event) -> bool:
        if self._hold < 0:
            return False
        return all(self._channels[place.channel].received - end >= self._hold for place, end in event.pieces)
