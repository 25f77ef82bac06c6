"""Request and trace ids, made in batches: one call to the system's random source serves hundreds of requests."""

from __future__ import annotations

import os
import re
import time

_BATCH = 256
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_FREE = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


class IdSource:
    """Makes ids for one process."""

    def __init__(self) -> None:
        self._pool: list[str] = []
        os.register_at_fork(after_in_child=self._pool.clear)  # no two processes may draw from one batch

    def random(self) -> str:
        """32 random hex digits, as a W3C trace id needs."""
        if not self._pool:
            block = os.urandom(16 * _BATCH).hex()
            self._pool += [block[at : at + 32] for at in range(0, len(block), 32)]
        return self._pool.pop()

    def request_id(self) -> str:
        """`req_` and 32 hex digits that sort by time: 48 bits of Unix milliseconds, then randomness."""
        return f"req_{time.time_ns() // 1_000_000:012x}{self.random()[:20]}"


def trace_id_from(traceparent: str | None, given: str | None) -> str | None:
    """The trace id a caller asks for: of a valid `traceparent` (W3C Trace Context, section 3.2), or a plain one.

    None when there is none, or it is not valid.
    """
    if traceparent is not None:
        match = _TRACEPARENT.fullmatch(traceparent)
        if match and match[1] != "0" * 32 and match[2] != "0" * 16 and not traceparent.startswith("ff"):
            return match[1]
    return given if given and _FREE.fullmatch(given) else None
