"""What a load yields: checks of each reply's content, and distributions of its times."""

from typing import Protocol

import msgspec
from upstream import RECORD_SIZE, REPLY_TEXT


class Spread(msgspec.Struct, frozen=True):
    """A distribution of times in milliseconds; all zero when there were none."""

    count: int
    mean: float
    p50: float
    p90: float
    p99: float
    max: float

    @classmethod
    def from_seconds(cls, seconds: list[float]) -> "Spread":
        """Nearest-rank percentiles of `seconds`."""
        if not seconds:
            return cls(0, 0, 0, 0, 0, 0)
        ordered = sorted(seconds)
        last = len(ordered) - 1
        ranks = (ordered[round(last * share)] * 1000 for share in (0.5, 0.9, 0.99, 1))
        return cls(len(ordered), sum(ordered) / len(ordered) * 1000, *ranks)


class Times:
    """Raw times of all exchanges of a load, in seconds.

    `latency` and `first_content` count from the scheduled instant. `gap` is the time between two content deltas,
    `transit` the time from the upstream's writing of a record to its arrival here.
    """

    def __init__(self) -> None:
        self.latency: list[float] = []
        self.first_content: list[float] = []
        self.gap: list[float] = []
        self.transit: list[float] = []
        self.deltas = 0
        self.records = 0


class Check(Protocol):
    """Judges one reply as its bytes arrive; `now` is monotonic, in seconds."""

    def feed(self, data: bytes, now: float) -> None: ...
    def verdict(self) -> str | None:
        """What is wrong with the reply, or None."""
        ...


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message = msgspec.field(default_factory=_Message)
    delta: _Message = msgspec.field(default_factory=_Message)
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    total_tokens: int


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: object = None


_decode = msgspec.json.Decoder(_Chunk).decode


class JsonCheck:
    """Holds a JSON reply against the upstream's text and usage."""

    def __init__(self) -> None:
        self.body = b""

    def feed(self, data: bytes, now: float) -> None:
        self.body += data

    def verdict(self) -> str | None:
        try:
            reply = _decode(self.body)
        except msgspec.DecodeError:
            return "body is not a chat reply"
        if [choice.message.content for choice in reply.choices] != [REPLY_TEXT]:
            return "content differs"
        return None if reply.usage else "usage is missing"


class StreamCheck:
    """Holds a stream against the upstream's records: all of them, in order, then finish, usage and `[DONE]`.

    Deltas may be cut otherwise than the upstream cut them; `times` counts deltas and records, so that it shows.
    """

    def __init__(self, records: int, scheduled: float, times: Times) -> None:
        self.expected = records
        self.scheduled = scheduled
        self.times = times
        self.rest = b""
        self.text = ""
        self.records = 0
        self.last_delta: float | None = None
        self.seen: set[str] = set()
        self.wrong: str | None = None

    def feed(self, data: bytes, now: float) -> None:
        events = (self.rest + data).split(b"\n\n")
        self.rest = events.pop()
        for event in events:
            if event.startswith(b"data:"):
                self._read(event[5:].strip(), now)

    def _read(self, data: bytes, now: float) -> None:
        if "done" in self.seen:
            self.wrong = self.wrong or "event after [DONE]"
        elif data == b"[DONE]":
            self.seen.add("done")
        else:
            try:
                self._take(_decode(data), now)
            except msgspec.DecodeError:
                self.wrong = self.wrong or "event is not a chat chunk"

    def _take(self, chunk: _Chunk, now: float) -> None:
        if chunk.error is not None:
            self.wrong = self.wrong or "error event"
        if chunk.usage is not None:
            self.seen.add("usage")
        for choice in chunk.choices:
            if choice.delta.content:
                self._time_delta(now)
                self._match(choice.delta.content, now)
            if choice.finish_reason is not None:
                self.seen.add("finish")

    def _time_delta(self, now: float) -> None:
        self.times.deltas += 1
        if self.last_delta is None:
            self.times.first_content.append(now - self.scheduled)
        else:
            self.times.gap.append(now - self.last_delta)
        self.last_delta = now

    def _match(self, content: str, now: float) -> None:
        self.text += content
        while len(self.text) >= RECORD_SIZE and self.wrong is None:
            text, self.text = self.text[:RECORD_SIZE], self.text[RECORD_SIZE:]
            number, _, written = text.removesuffix(" mock").partition(" ")
            if not (number.isdecimal() and written.isdecimal()):
                self.wrong = "content differs"
            elif int(number) != self.records:
                self.wrong = "chunk out of order"
            else:
                self.records += 1
                self.times.records += 1
                self.times.transit.append(now - int(written) / 1e9)

    def verdict(self) -> str | None:
        if self.wrong:
            return self.wrong
        if self.records != self.expected or self.text:
            return "chunks are missing or too many"
        missing = {"finish", "usage", "done"} - self.seen
        return f"stream ended without {', '.join(sorted(missing))}" if missing else None
