"""Recorded answers of a vendor, and how they come over the wire: whole, in pieces, late, stalled or cut."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

JSON = (("content-type", "application/json"),)
EVENT_STREAM = (("content-type", "text/event-stream"),)
MAX_RANDOM_PIECE = 48


class Recorded(Struct, frozen=True, kw_only=True):
    """One answer. Positions are bytes of the body, times are seconds. Added in 0.1.

    The body goes out in pieces of `sizes`, taken in turn, or of random sizes from `seed`; in one piece without both.
    `delay_s` passes before the head and `gap_s` before each piece. At `stall_at` nothing more is sent while the
    connection stays open; -1 stalls before the head. At `cut_at` the connection ends with a FIN or an RST. `framing`
    says how the reader can tell the end: a content-length, chunks, or the end of the connection.
    """

    status: int = 200
    headers: tuple[tuple[str, str], ...] = JSON
    body: bytes = b""
    framing: Literal["length", "chunked", "close"] = "length"
    sizes: tuple[int, ...] = ()
    seed: int | None = None
    delay_s: float = 0.0
    gap_s: float = 0.0
    stall_at: int | None = None
    cut_at: int | None = None
    cut: Literal["fin", "rst"] = "fin"

    @classmethod
    def from_json(cls, data: Any, status: int = 200) -> Recorded:
        """A whole JSON reply."""
        return cls(status=status, body=msgspec.json.encode(data))

    @classmethod
    def from_events(cls, *data: Any) -> Recorded:
        """A stream of server-sent events, one for each of `data`, that ends with `[DONE]`."""
        events = [b"data: " + msgspec.json.encode(item) + b"\n\n" for item in data]
        return cls(headers=EVENT_STREAM, body=b"".join((*events, b"data: [DONE]\n\n")), framing="chunked")

    def varied(self, **changes: Any) -> Recorded:
        """The same answer with other values for some fields."""
        return msgspec.structs.replace(self, **changes)

    def pieces(self) -> Iterator[bytes]:
        """What is sent of the body, in order, up to the first of `stall_at` and `cut_at`."""
        ends = [end for end in (self.stall_at, self.cut_at) if end is not None]
        body = self.body[: max(0, min(ends))] if ends else self.body
        rng = None if self.seed is None else random.Random(self.seed)  # noqa: S311 - spreads cuts, protects nothing
        at = turn = 0
        while at < len(body):
            size = len(body)
            if rng is not None:
                size = rng.randint(1, MAX_RANDOM_PIECE)
            elif self.sizes:
                size = self.sizes[turn % len(self.sizes)]
            yield body[at : at + size]
            at, turn = at + size, turn + 1

    @property
    def is_stalled(self) -> bool:
        """Whether it stalls after the last piece instead of ending."""
        return self.stall_at is not None and (self.cut_at is None or self.stall_at <= self.cut_at)


class Answers:
    """Which answer a request gets: by path, in the order they were given, the last one again and again."""

    def __init__(self, answers: Mapping[str, Recorded | Sequence[Recorded]] | None = None) -> None:
        self._by_path: dict[str, list[Recorded]] = {}
        for path, recorded in (answers or {}).items():
            self.put(path, *([recorded] if isinstance(recorded, Recorded) else recorded))

    def put(self, path: str, *recorded: Recorded) -> None:
        """Answer `path` with these from now on; `*` is every path that has none of its own."""
        if not recorded:
            raise ValueError(f"no answer was given for `{path}`")
        self._by_path[path] = list(recorded)

    def take(self, path: str) -> Recorded:
        """The next answer for a path, without its query string; a 404 in OpenAI's shape when there is none."""
        held = self._by_path.get(path.partition("?")[0]) or self._by_path.get("*")
        if held is None:
            return Recorded.from_json({"error": {"message": f"nothing is recorded for `{path}`"}}, 404)
        return held.pop(0) if len(held) > 1 else held[0]
