"""Lines to a file, off the request path: a bounded queue, one task that drains it, one write for all that waits."""

from __future__ import annotations

import asyncio
import fcntl
import os
import stat
from collections import deque
from contextlib import suppress
from pathlib import Path

import structlog

MAX_PAUSE_S = 5.0
"""The longest pause between two tries to write."""

log = structlog.get_logger("headgate")


class LineFile:
    """A file that several processes append whole lines to. It is opened again when it was moved away."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1

    def open(self) -> None:
        """Open or create the file, and its folder. Raises OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self.close()
        self._descriptor = descriptor

    def append(self, lines: bytes) -> None:
        """Write all of `lines`, or nothing and raise OSError. Other processes wait for the lock meanwhile."""
        if self._has_moved():
            self.open()
        descriptor = self._descriptor
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            held = os.fstat(descriptor)
            is_file = stat.S_ISREG(held.st_mode)
            if is_file and held.st_size and os.pread(descriptor, 1, held.st_size - 1) != b"\n":
                lines = b"\n" + lines  # a process died in the middle of a line
            _write_all(descriptor, lines, held.st_size if is_file else None)
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file if it is open."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _has_moved(self) -> bool:
        if self._descriptor < 0:
            return True
        try:
            there = self.path.stat()
        except FileNotFoundError:
            return True
        held = os.fstat(self._descriptor)
        return (there.st_dev, there.st_ino) != (held.st_dev, held.st_ino)


class LineWriter:
    """Takes lines without waiting and writes them in batches. What does not fit into the queue is dropped and counted."""

    def __init__(self, file: LineFile, max_lines: int, max_bytes: int, flush_s: float) -> None:
        self._file = file
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self._flush_s = flush_s
        self._queue: deque[bytes] = deque()
        self._bytes = 0
        self._untold = 0
        self._failures = 0
        self._ready = asyncio.Event()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.dropped = 0
        self.write_errors = 0

    @property
    def waiting(self) -> int:
        """How many lines are not written yet."""
        return len(self._queue)

    async def start(self) -> None:
        """Open the file and begin to write. Raises OSError when the file cannot be opened."""
        await asyncio.to_thread(self._file.open)
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Write what waits and close the file. What cannot be written now is lost, and the log says how much."""
        if self._task is None:
            return
        self._stopping.set()
        self._ready.set()
        await self._task
        self._file.close()

    def put(self, line: bytes) -> None:
        """Queue a line, which ends with a newline and holds no other; dropped when the queue is full."""
        queue = self._queue
        if len(queue) >= self._max_lines or self._bytes + len(line) > self._max_bytes:
            self._drop()
            return
        if not queue:
            self._ready.set()
        queue.append(line)
        self._bytes += len(line)

    def _drop(self) -> None:
        if not self._untold:
            log.error("the request log is behind, lines are dropped", file=str(self._file.path))
        self._untold += 1
        self.dropped += 1

    async def _run(self) -> None:
        while not self._stopping.is_set():
            await self._ready.wait()
            await self._pause(min(self._flush_s * 2**self._failures, MAX_PAUSE_S))
            await self._flush()
            if not self._queue:
                self._ready.clear()
        while self._queue and await self._flush():
            pass
        if self._queue:
            lost = len(self._queue) + self._untold
            log.error("the request log could not be written, lines are lost", file=str(self._file.path), lines=lost)

    async def _pause(self, seconds: float) -> None:
        """Wait, but no longer than until the end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _flush(self) -> bool:
        """Write all that waits in one go; what could not be written stays in the queue."""
        batch = list(self._queue)
        if not batch:
            return True
        try:
            await asyncio.to_thread(self._file.append, b"".join(batch))
        except Exception as error:
            self.write_errors += 1
            if self._failures == 0:
                reason = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
                log.error("the request log cannot be written, lines wait", file=str(self._file.path), reason=reason)
            self._failures = min(self._failures + 1, 16)
            return False
        if self._failures:
            log.info("the request log is written again", file=str(self._file.path), write_errors=self.write_errors)
            self._failures = 0
        for _ in batch:
            self._queue.popleft()
        self._bytes -= sum(map(len, batch))
        self._tell_dropped()
        return True

    def _tell_dropped(self) -> None:
        """Leave a line where lines are missing."""
        if self._untold:
            log.error("lines of the request log were dropped", file=str(self._file.path), dropped=self._untold)
            line = b'{"dropped":%d}\n' % self._untold
            self._queue.append(line)
            self._bytes += len(line)
            self._untold = 0


def _write_all(descriptor: int, data: bytes, end: int | None) -> None:
    """Write all of `data`; after an error a file that ended at `end` is cut back to it."""
    written = 0
    try:
        while written < len(data):
            written += os.write(descriptor, memoryview(data)[written:])
    except OSError:
        if written and end is not None:
            os.ftruncate(descriptor, end)
        raise
