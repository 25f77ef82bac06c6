"""Guardrails on a running stream: text is held back until it has been judged, then its own bytes are released.

Each text flow of a stream (a choice's content, a tool call's arguments) is a channel. An event is released when every
piece of text in it lies before what the plugins want held at the end of its channel (`Hooks.holds`, at most
`hold_chars`), or when the channel has ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

import msgspec

from headgate.body import decode_object
from headgate.dialects import Dialect, EventView, TextPlace
from headgate.dialects.sse import data_event, data_of, events_of, lines_of
from headgate.errors import InvalidRequest, ProviderFailed
from headgate.exchange import Exchange, Reply
from headgate.folds import begin, every, fail, rest
from headgate.hooks import Window
from headgate.plan import Plan

MAX_HELD_BYTES = 32 * 1024 * 1024
_NOTHING = EventView(())


class _Event:
    """A held event: its bytes, and the pieces of text in it."""

    __slots__ = ("changes", "pieces", "raw")

    def __init__(self, raw: bytes, pieces: Sequence[TextPlace]) -> None:
        self.raw = raw
        self.pieces = pieces
        self.changes: dict[tuple[str | int, ...], str] | None = None

    def text_of(self, place: TextPlace) -> str:
        return place.text if self.changes is None else self.changes.get(place.path, place.text)

    def change(self, place: TextPlace, text: str) -> None:
        if self.changes is None:
            self.changes = {}
        self.changes[place.path] = text

    def bytes(self, dialect: Dialect) -> bytes:
        """Its own bytes, or with replaced text its other fields and new data."""
        if not self.changes:
            return self.raw
        others = [line + b"\n" for line in lines_of(self.raw) if line and not line.startswith(b"data:")]
        data = dialect.replace_reply_texts(decode_object(data_of(self.raw)), self.changes.items())
        return b"".join(others) + data_event(msgspec.json.encode(data))


class _Channel:
    """One flow of text. `need` is how much of the end of `pending` may not be sent before more is known."""

    __slots__ = ("choice", "has_ended", "need", "pending", "quiet", "sent", "start")

    def __init__(self, choice: str) -> None:
        self.choice = choice
        self.pending = ""
        self.need = 0
        self.sent = ""
        self.start = 0
        self.quiet = 0
        self.has_ended = False


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
                self._take(raw, touched)
            if self._hold >= 0:
                for name in touched:
                    await self._judge(name, is_last=self._channels[name].has_ended)
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

    def _take(self, raw: bytes, touched: set[str]) -> None:
        """Take an event in; `touched` gets the channels that there is something new to judge in."""
        data = data_of(raw)
        view = _NOTHING
        if data and data.strip() != b"[DONE]":
            try:
                view = self._dialect.view_event(data)
            except InvalidRequest:
                raise ProviderFailed("a stream event is not JSON", code="upstream_bad_reply") from None
        for place in view.texts:
            if not place.text:
                continue
            name = place.channel
            channel = self._channels.get(name)
            if channel is None:
                channel = self._channels[name] = _Channel(name.partition(".")[0])
            channel.pending += place.text
            channel.has_ended, channel.quiet = False, 0
            touched.add(name)
            if len(self._channels) > 1:
                touched |= self._pass_over(channel.choice, name, len(place.text))
        for choice in view.finished:
            touched |= self._end(choice)
        self._queue.append(_Event(raw, view.texts))
        self._held_bytes += len(raw)
        if self._held_bytes > MAX_HELD_BYTES:
            raise ProviderFailed("the stream is too large to be judged by the guardrails", code="upstream_too_large")

    def _pass_over(self, choice: str, speaking: str, size: int) -> set[str]:
        """Channels of a choice that were silent while others said more than is held: thinking that is over, say."""
        ended: set[str] = set()
        for name, channel in self._channels.items():
            if channel.choice == choice and name != speaking and not channel.has_ended:
                channel.quiet += size
                if channel.quiet > self._hold:
                    channel.has_ended = True
                    ended.add(name)
        return ended

    def _end(self, choice: str) -> set[str]:
        """A choice has finished: nothing of it is held any longer."""
        ended = {name for name, channel in self._channels.items() if channel.choice == choice and not channel.has_ended}
        for name in ended:
            self._channels[name].has_ended = True
        return ended

    async def _judge(self, name: str, *, is_last: bool) -> None:
        channel = self._channels[name]
        for step in self._plan.guard_chunk:
            window = Window(name, channel.pending, channel.sent, channel.start, is_last)
            try:
                coroutine = step.call(self._ex, window)
                is_done, answer = begin(coroutine, step.budget_s)
                if not is_done:
                    answer = await rest(coroutine, answer, step.budget_s)
                if answer is not None and not isinstance(answer, str):
                    raise TypeError(f"it answered with `{type(answer).__name__}` instead of `str` or None")
            except Exception as error:
                fail(step, self._ex, error)
                continue
            if answer is not None and answer != channel.pending:
                self._rewrite(name, channel, answer)
        if not is_last:
            channel.need = self._need(channel.pending)

    def _need(self, pending: str) -> int:
        """How much of the end of a text must wait: what the plugin that needs most says, at most what is always enough."""
        need = 0
        for step in self._plan.guard_chunk:
            try:
                need = max(need, min(step.hooks.holds(pending), self._hold))
            except Exception as error:
                fail(step, self._ex, error)
                need = self._hold
        return need

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
        pieces = [(event, place) for event in self._queue for place in event.pieces if place.channel == name]
        if not pieces:
            return  # nothing is held that could carry it
        words = [event.text_of(place) for event, place in pieces]
        start, end = 0, len(pieces)
        head, tail = 0, 0
        while (
            start < end - 1 and text.startswith(words[start], head) and channel.pending.startswith(words[start], head)
        ):
            head += len(words[start])
            start += 1
        while end - 1 > start and text[head : len(text) - tail].endswith(words[end - 1]):
            tail += len(words[end - 1])
            end -= 1
        for at in range(start, end):
            event, place = pieces[at]
            event.change(place, text[head : len(text) - tail] if at == end - 1 else "")
        channel.pending = text

    def _release(self, *, is_last: bool) -> bytes:
        out: list[bytes] = []
        while self._queue and (is_last or self._is_clear(self._queue[0])):
            event = self._queue.popleft()
            self._held_bytes -= len(event.raw)
            for place in event.pieces:
                text = event.text_of(place)
                if text:
                    channel = self._channels[place.channel]
                    channel.pending = channel.pending[len(text) :]
                    channel.start += len(text)
                    channel.sent = (channel.sent + text)[-self._hold :] if self._hold > 0 else ""
            out.append(event.bytes(self._dialect))
        return out[0] if len(out) == 1 else b"".join(out)

    def _is_clear(self, event: _Event) -> bool:
        """Whether what is held behind every text of the first event is enough to have judged it for good."""
        if self._hold < 0:
            return False
        pieces = event.pieces
        if len(pieces) == 1:
            return self._is_past(pieces[0].channel, len(event.text_of(pieces[0])))
        own: dict[str, int] = {}
        for place in pieces:
            own[place.channel] = own.get(place.channel, 0) + len(event.text_of(place))
        return all(self._is_past(name, size) for name, size in own.items())

    def _is_past(self, name: str, size: int) -> bool:
        """Whether the next `size` characters of a channel lie before what must wait."""
        channel = self._channels.get(name)
        return channel is None or channel.has_ended or len(channel.pending) - size >= channel.need
