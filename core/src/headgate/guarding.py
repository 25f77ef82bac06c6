"""Guardrails on a running stream: text is held back until it has been judged, then its own bytes are released.

Each text flow of a stream (a choice's content, a tool call's arguments) is a channel. An event is released when every
piece of text in it lies before what the plugins want held at the end of its channel (`Hooks.holds`, at most
`hold_chars`), or when the channel has ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Sequence

import msgspec
from msgspec import Struct

from headgate.body import decode_object
from headgate.dialects import Dialect, EventView, OpenAIChat, TextPlace
from headgate.dialects.sse import data_event, data_of, events_of, lines_of, sole_data
from headgate.errors import InvalidRequest, ProviderFailed
from headgate.exchange import Exchange, Reply
from headgate.folds import begin, every, fail, rest
from headgate.hooks import STAGES, Hooks, Window
from headgate.plan import Plan, Step, implements
from headgate.relay import Pour, Sink

MAX_HELD_BYTES = 32 * 1024 * 1024
_NOTHING = EventView(())
_WHOLE = OpenAIChat()
"""What a held stream is shown in to plugins that judge whole replies, whatever its own dialect."""


class _Event(Struct, gc=False):
    """A held event: its bytes, and the pieces of text in it."""

    raw: bytes
    pieces: Sequence[TextPlace]
    changes: dict[tuple[str | int, ...], str] | None = None

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

    __slots__ = ("choice", "has_ended", "name", "need", "pending", "quiet", "sent", "start")

    def __init__(self, name: str) -> None:
        self.name = name
        self.choice = name.partition(".")[0]
        self.pending = ""
        self.need = 0
        self.sent = ""
        self.start = 0
        self.quiet = 0
        self.has_ended = False

    def send(self, size: int, keep: int) -> None:
        """The first `size` characters of what is pending are sent; `keep` characters of all that was are remembered."""
        text = self.pending[:size]
        self.pending = self.pending[size:]
        self.start += size
        self.sent = (self.sent + text)[-keep:] if keep > 0 else ""

    def send_all(self, keep: int) -> None:
        """The same with all that is pending."""
        text, self.pending = self.pending, ""
        self.start += len(text)
        self.sent = (self.sent + text)[-keep:] if keep > 0 else ""


_Touched = dict[_Channel, None]
"""Channels with something new to judge, in the order they spoke."""


def with_guards(plan: Plan, guards: Hooks) -> Plan:
    """`plan` with the guardrails of a routing config: the last on the way in, and so the first on the way out."""
    steps = {
        hook: (Step("config", hook, STAGES[hook], getattr(guards, hook), STAGES[hook].budget_s, guards),)
        if implements(guards, hook)
        else ()
        for hook in ("guard_request", "guard_chunk", "guard_reply")
    }
    return msgspec.structs.replace(
        plan,
        guard_request=(*plan.guard_request, *steps["guard_request"]),
        guard_chunk=(*steps["guard_chunk"], *plan.guard_chunk),
        guard_reply=(*steps["guard_reply"], *plan.guard_reply),
    )


class StreamGuard:
    """Judges one stream. `hold` is in characters; -1 holds everything until the end."""

    def __init__(self, plan: Plan, ex: Exchange, dialect: Dialect) -> None:
        self._plan = plan
        self._ex = ex
        self._dialect = dialect
        self._hold = plan.hold_chars
        self._holds = [(step, step.hooks.holds) for step in plan.guard_chunk]
        self._looks = [step.hooks.clears for step in plan.guard_chunk]
        self._left = b""
        self._queue: deque[_Event] = deque()
        self._channels: dict[str, _Channel] = {}
        self._held_bytes = 0
        self._only: _Channel | None = None

    def way_of(self, pour: Pour | None) -> Pour | None:
        """How slices that clear at once go past the task; None where the stream cannot be poured or all of it is held."""
        if pour is None or self._hold < 0:
            return None

        def pour_judged(sink: Sink) -> Awaitable[None]:
            def pass_on(slice_: bytes) -> bool:
                if self._clears(slice_):
                    return sink(slice_)
                self._left = slice_
                return False

            return pour(pass_on)

        return pour_judged

    async def run(self, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """The judged stream. Raises Blocked to cut it."""
        async for slice_ in chunks:
            released = slice_ if self._clears(slice_) else await self._pass(slice_)
            if released:
                yield released
            while self._left:
                left, self._left = self._left, b""
                released = await self._pass(left)
                if released:
                    yield released
        for channel in self._channels.values():
            await self._judge(channel, is_last=True)
        if self._hold < 0:
            await self._judge_whole()
        released = self._release_all()
        if released:
            yield released

    def _clears(self, slice_: bytes) -> bool:
        """The short way, for nearly every slice: one event, with more text of the only channel there is, while nothing is
        held, and every plugin says at a look that it passes. Any other slice is left to `_pass`.
        """
        only, data = self._only, sole_data(slice_)
        if only is None or data is None:
            return False
        try:
            view = self._dialect.view_event(data)
            texts = view.texts
            if len(texts) != 1 or texts[0].channel != only.name or not texts[0].text or view.finished:
                return False
            window = Window(only.name, texts[0].text, only.sent, only.start)
            for clears in self._looks:
                if not clears(window):
                    return False
        except Exception:  # the long way meets it again, and says it by the rule of its stage
            return False
        only.pending = window.text
        only.send_all(self._hold)
        return True

    async def _pass(self, slice_: bytes) -> bytes:
        """Take a slice in, judge what it adds, and give what may be sent by now."""
        touched: _Touched = {}
        for raw in events_of(slice_):
            self._take(raw, self._view(data_of(raw)), touched)
        if self._hold < 0:
            return b""
        for channel in touched:
            await self._judge(channel, is_last=channel.has_ended)
        released = self._release_clear() if any(map(_must_wait, self._channels.values())) else self._release_all()
        self._only = self._find_only()
        return released

    def _view(self, data: bytes) -> EventView:
        try:
            return self._dialect.view_event(data) if data else _NOTHING
        except InvalidRequest:
            if data.strip() == b"[DONE]":
                return _NOTHING
            raise ProviderFailed("a stream event is not JSON", code="upstream_bad_reply") from None

    def _take(self, raw: bytes, view: EventView, touched: _Touched) -> None:
        """Take an event in; `touched` gets the channels that there is something new to judge in."""
        channels = self._channels
        for place in view.texts:
            text = place.text
            if not text:
                continue
            channel = channels.get(place.channel)
            if channel is None:
                channel = channels[place.channel] = _Channel(place.channel)
            channel.pending += text
            channel.has_ended, channel.quiet = False, 0
            touched[channel] = None
            if len(channels) > 1:
                self._pass_over(channel, len(text), touched)
        for choice in view.finished:
            self._end(choice, touched)
        self._queue.append(_Event(raw, view.texts))
        self._held_bytes += len(raw)
        if self._held_bytes > MAX_HELD_BYTES:
            raise ProviderFailed("the stream is too large to be judged by the guardrails", code="upstream_too_large")

    def _pass_over(self, speaking: _Channel, size: int, touched: _Touched) -> None:
        """End channels of a choice that were silent while others said more than is held: thinking that is over, say."""
        for channel in self._channels.values():
            if channel.choice == speaking.choice and channel is not speaking and not channel.has_ended:
                channel.quiet += size
                if channel.quiet > self._hold:
                    channel.has_ended = True
                    touched[channel] = None

    def _end(self, choice: str, touched: _Touched) -> None:
        """A choice has finished: nothing of it is held any longer."""
        for channel in self._channels.values():
            if channel.choice == choice and not channel.has_ended:
                channel.has_ended = True
                touched[channel] = None

    async def _judge(self, channel: _Channel, *, is_last: bool) -> None:
        for step in self._plan.guard_chunk:
            window = Window(channel.name, channel.pending, channel.sent, channel.start, is_last)
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
                self._rewrite(channel, answer)
        if not is_last:
            channel.need = self._need(channel.pending)

    def _need(self, pending: str) -> int:
        """How much of the end of a text must wait: what the plugin that needs most says, at most what is always enough."""
        need = 0
        for step, holds in self._holds:
            try:
                wanted = holds(pending)
                if wanted > need:
                    need = min(wanted, self._hold)
            except Exception as error:
                fail(step, self._ex, error)
                need = self._hold
        return need

    async def _judge_whole(self) -> None:
        """Run `guard_reply` of the plugins that cannot judge pieces, on a whole reply made of the held text."""
        chunked = {step.plugin for step in self._plan.guard_chunk}
        steps = [step for step in self._plan.guard_reply if step.plugin not in chunked]
        channels = list(self._channels.values())
        choices = [{"message": {"content": channel.pending}} for channel in channels]
        ex, whole = self._ex, Reply(200, body=msgspec.json.encode({"choices": choices}))
        running, dialect = ex.reply, ex.dialect
        ex.reply, ex.dialect = whole, _WHOLE
        try:
            await every(steps, ex)
        finally:
            ex.reply, ex.dialect = running, dialect
        for channel, choice in zip(channels, decode_object(whole.body)["choices"], strict=True):
            text = choice["message"]["content"]
            if text != channel.pending:
                self._rewrite(channel, text)

    def _rewrite(self, channel: _Channel, text: str) -> None:
        """Spread `text` over the held pieces: those before and behind the change keep their words and their time.

        What lies between goes into the last piece that the change touches, so nothing is released early.
        """
        pieces = [(event, place) for event in self._queue for place in event.pieces if place.channel == channel.name]
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

    def _find_only(self) -> _Channel | None:
        """The one channel that has not ended, while nothing is held: the short way is for more of its text."""
        if self._queue:
            return None
        speaking = [channel for channel in self._channels.values() if not channel.has_ended]
        return speaking[0] if len(speaking) == 1 else None

    def _release_clear(self) -> bytes:
        out: list[bytes] = []
        while self._queue and self._is_clear(self._queue[0]):
            event = self._queue.popleft()
            self._held_bytes -= len(event.raw)
            for place in event.pieces:
                size = len(event.text_of(place))
                if size:
                    self._channels[place.channel].send(size, self._hold)
            out.append(event.bytes(self._dialect))
        return b"".join(out)

    def _release_all(self) -> bytes:
        for channel in self._channels.values():
            if channel.pending:
                channel.send_all(self._hold)
        out = [event.bytes(self._dialect) for event in self._queue]
        self._queue.clear()
        self._held_bytes = 0
        return b"".join(out)

    def _is_clear(self, event: _Event) -> bool:
        """Whether what is held behind every text of the first event is enough to have judged it for good."""
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
        return channel is None or not _must_wait(channel) or len(channel.pending) - size >= channel.need


def _must_wait(channel: _Channel) -> bool:
    return channel.need > 0 and not channel.has_ended
