"""Lines reach the file whole and in order, through full disks, full queues, rotation and several processes."""

from __future__ import annotations

import json
import resource
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog
from typing_extensions import override

from headgate.testing import eventually
from headgate_logs_jsonl.writer import LineFile, LineWriter

FULL = Path("/dev/full")


class Disk(LineFile):
    """A file whose writes fail or wait when a test says so."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.is_full = False
        self.writes: list[bytes] = []
        self.tries = 0
        self.free = threading.Event()
        self.free.set()

    @override
    def append(self, lines: bytes) -> None:
        self.tries += 1
        assert self.free.wait(10)
        if self.is_full:
            raise OSError(28, "No space left on device")
        self.writes.append(lines)
        super().append(lines)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "requests.jsonl"


def read(path: Path) -> bytes:
    return path.read_bytes()


async def opened(file: LineFile, max_lines: int = 100, max_bytes: int = 10_000, flush_s: float = 0.001) -> LineWriter:
    writer = LineWriter(file, max_lines, max_bytes, flush_s)
    await writer.start()
    return writer


async def test_lines_are_written_by_themselves(path: Path) -> None:
    """A line is in the file soon, without anybody waiting for it."""
    writer = await opened(LineFile(path))
    for at in range(2):
        writer.put(b"%d\n" % at)
        await eventually(lambda at=at: read(path).count(b"\n") == at + 1, "the line was written")
    await writer.stop()


async def test_stop_drains_in_one_write(path: Path) -> None:
    """What waits when the gateway stops is written, in order, in one go."""
    disk = Disk(path)
    writer = await opened(disk, flush_s=3600)
    lines = [b"%d\n" % at for at in range(50)]
    for line in lines:
        writer.put(line)
    await writer.stop()
    assert disk.writes == [b"".join(lines)]
    assert read(path) == b"".join(lines)


async def test_stop_without_lines_or_start(path: Path) -> None:
    """Stopping what never wrote, or never started, is fine."""
    await (await opened(LineFile(path))).stop()
    await LineWriter(LineFile(path), 1, 1, 0).stop()
    assert read(path) == b""


@pytest.mark.parametrize(("max_lines", "max_bytes"), [(3, 10_000), (100, 8)])
async def test_a_full_queue_drops_and_says_so(path: Path, max_lines: int, max_bytes: int) -> None:
    """Past either bound lines are dropped, counted, and a line stands where they are missing."""
    disk = Disk(path)
    writer = await opened(disk, max_lines, max_bytes)
    disk.free.clear()
    writer.put(b"0\n")
    await eventually(lambda: disk.tries == 1, "the first write began")
    with structlog.testing.capture_logs() as logs:
        for at in range(1, 6):
            writer.put(b"%d\n" % at)
        kept = 3 if max_lines == 3 else 4
        disk.free.set()
        await eventually(lambda: not writer.waiting, "the count was written")
    writer.put(b"9\n")
    await writer.stop()
    expected = [*range(kept), {"dropped": 6 - kept}, 9]
    assert [json.loads(line) for line in read(path).splitlines()] == expected
    assert writer.dropped == 6 - kept
    assert [entry.get("dropped") for entry in logs] == [None, 6 - kept]


async def test_a_full_disk_loses_nothing_that_fits(path: Path) -> None:
    """While writing fails lines wait; once it works again they are all there, and the log told both."""
    disk = Disk(path)
    disk.is_full = True
    writer = await opened(disk)
    with structlog.testing.capture_logs() as logs:
        writer.put(b"1\n")
        await eventually(lambda: writer.write_errors >= 2, "it was tried again")
        writer.put(b"2\n")
        disk.is_full = False
        await eventually(lambda: read(path) == b"1\n2\n", "both lines were written")
        await writer.stop()
    assert [entry["log_level"] for entry in logs] == ["error", "info"]
    assert logs[0]["reason"] == "No space left on device"


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
async def test_the_full_device() -> None:
    """On a device that is always full nothing raises, the queue stays bounded, and the end tells what is lost."""
    writer = await opened(LineFile(FULL), max_lines=5)
    with structlog.testing.capture_logs() as logs:
        for _ in range(7):
            writer.put(b"1\n")
        await eventually(lambda: writer.write_errors > 0, "a write failed")
        await writer.stop()
    assert writer.dropped == 2
    assert logs[-1]["lines"] == 7


@contextmanager
def file_size_limit(size: int) -> Generator[None]:
    """No file of this process grows past `size` bytes: a write stops in the middle, as on a disk that fills up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_that_breaks_off_leaves_no_half_line(path: Path) -> None:
    """When only part of a batch fits, none of it stays, so that it can be written whole later."""
    file = LineFile(path)
    file.append(b"first\n")
    assert path.stat().st_mode & 0o137 == 0
    with file_size_limit(10), pytest.raises(OSError, match="too large"):
        file.append(b"second\n")
    assert path.read_bytes() == b"first\n"
    file.append(b"second\n")
    assert path.read_bytes() == b"first\nsecond\n"
    file.close()


def test_a_torn_line_is_ended(path: Path) -> None:
    """What a process that was killed left behind spoils no other line."""
    path.parent.mkdir()
    path.write_bytes(b'{"half')
    file = LineFile(path)
    file.append(b"{}\n")
    assert path.read_bytes() == b'{"half\n{}\n'
    file.close()


def test_rotation(path: Path) -> None:
    """After the file was renamed or removed, lines go into a new one."""
    file = LineFile(path)
    file.append(b"1\n")
    path.rename(path.with_suffix(".1"))
    file.append(b"2\n")
    assert (path.with_suffix(".1").read_bytes(), path.read_bytes()) == (b"1\n", b"2\n")
    path.unlink()
    file.append(b"3\n")
    assert path.read_bytes() == b"3\n"
    file.close()


def test_several_writers_share_a_file(path: Path) -> None:
    """Batches of different writers never mix, whatever their size."""

    def write(name: int) -> None:
        file = LineFile(path)
        for at in range(30):
            file.append(b"".join(b'{"writer":%d,"batch":%d}\n' % (name, at) * 200 for _ in range(2)))
        file.close()

    threads = [threading.Thread(target=write, args=(name,)) for name in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert len(lines) == 3 * 30 * 400
    batches = [(line["writer"], line["batch"]) for line in lines[::400]]
    assert [(line["writer"], line["batch"]) for line in lines] == [batch for batch in batches for _ in range(400)]
