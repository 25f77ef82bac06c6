"""The keys in memory, in many small tables, so that no step of building or freeing them stops the running streams.

A table of a million keys holds Python's lock for a tenth of a second when it grows or goes.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from msgspec import Struct

from headgate import Principal
from headgate_keys.keyfile import PAUSE_S, Key, KeyFileError

PARTS = 256
FREED_AT_ONCE = 50
WORK_S = 0.001
MAX_RECENT = 1024

Parts = list[dict[str, Key]]


class Caller(Struct, frozen=True, gc=False):
    """Who presents a key, until when: `ends` is in Unix seconds."""

    principal: Principal
    ends: float


class Table:
    """Keys by digest. It is whole when it is made and never changes, so readers need no lock.

    `recent` holds who presented a key of this table lately, by a mark of the presenter's own making, and is forgotten
    with the table: nobody outlives their key. Only the thread that serves requests may touch it.
    """

    __slots__ = ("_parts", "recent")

    def __init__(self, parts: Iterable[dict[str, Key]] = ()) -> None:
        self._parts = tuple(parts) or tuple(_new_parts())
        self.recent: dict[bytes, Caller] = {}

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def find(self, digest: str) -> Key | None:
        """The key of a digest, or None."""
        return self._parts[_part_of(digest)].get(digest)

    def remember(self, mark: bytes, caller: Caller) -> None:
        """Keep a caller in `recent`, which begins anew when it is full."""
        if len(self.recent) >= MAX_RECENT:
            self.recent.clear()
        self.recent[mark] = caller

    def parts(self) -> Parts:
        """What to hand to `free` once nothing else refers to this table; one that is still used stays whole."""
        return list(self._parts)


def build(pieces: Iterable[Sequence[Key]], before: Table) -> Table:
    """A table of all keys. Raises KeyFileError when a name or a key stands twice.

    Keys that have not changed are taken from the table `before`, so that the two together need little memory.
    """
    by_digest, by_name = _new_parts(), _new_parts()
    try:
        for piece in pieces:
            _add(piece, by_digest, by_name, before.parts())
        return Table(by_digest)
    except BaseException:
        free(by_digest)
        raise
    finally:
        free(by_name)


def free(parts: Parts) -> None:
    """Empty the list and let the keys go, with a pause after each millisecond of work. For a thread of its own.

    The last keys take longest: their going empties the memory that all keys were spread over, and it is given back.
    """
    began = time.perf_counter()
    while parts:
        keys = list(parts.pop().values())
        while keys:
            del keys[-FREED_AT_ONCE:]
            if time.perf_counter() - began > WORK_S:
                time.sleep(PAUSE_S)
                began = time.perf_counter()


def _add(keys: Sequence[Key], by_digest: Parts, by_name: Parts, before: Parts) -> None:
    for key in keys:
        name, digest = key.name, key.digest
        part = _part_of(digest)
        named, known = by_name[_part_of(name)], by_digest[part]
        if name in named:
            raise KeyFileError(f"there are two keys of the name `{name}`")
        if digest in known:
            raise KeyFileError(f"`{name}` and `{known[digest].name}` are the same key")
        held = before[part].get(digest)
        if held is None or held != key:
            held = key
        named[held.name] = known[held.digest] = held


def _new_parts() -> Parts:
    return [{} for _ in range(PARTS)]


def _part_of(text: str) -> int:
    """The low bits of a hash place it within a table, so higher ones choose the table."""
    return (hash(text) >> 16) % PARTS
