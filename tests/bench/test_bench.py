"""The benchmark's own parts work together and notice wrong replies; nothing here asserts a time."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import msgspec
import psutil
import pytest
from driver import Load, build_body, drive
from manifests import load_manifests
from measure import Spread, StreamCheck, Times
from phases import PHASES, Course, Run, Scale
from processes import BenchError, Child, free_port
from report import Ratio, wrong_replies
from run import render, run
from targets import Target
from upstream import record

HERE = Path(__file__).parent
CHUNKS = 12


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    folder = tmp_path_factory.mktemp("bench")
    direct, bare = free_port(), free_port()
    pace = ["--chunks", str(CHUNKS), "--gap-ms", "1"]
    commands = {
        "direct": (direct, ["upstream.py", "--port", str(direct), *pace]),
        "bare": (bare, ["bare_proxy.py", "--port", str(bare), "--origin", f"http://127.0.0.1:{direct}"]),
    }
    with ExitStack() as stack:
        for name, (port, (script, *options)) in commands.items():
            command = [sys.executable, str(HERE / script), *options]
            child = stack.enter_context(Child(name, command, folder / f"{name}.log"))
            child.wait_ready(port, b"{}")
        yield {name: port for name, (port, _) in commands.items()}


@pytest.mark.parametrize("name", ["direct", "bare"])
@pytest.mark.parametrize("body_bytes", [1024, 100 * 1024])
async def test_closed_loop_counts_every_json_reply(ports: dict[str, int], name: str, body_bytes: int) -> None:
    """All exchanges of a closed loop complete with the upstream's content."""
    result = await drive(Load(port=ports[name], count=60, connections=4, body_bytes=body_bytes))
    assert result.errors == {}
    assert result.completed == result.latency.count == 60


@pytest.mark.parametrize("name", ["direct", "bare"])
async def test_open_loop_counts_every_chunk_of_streams(ports: dict[str, int], name: str) -> None:
    """Streams started at a fixed rate arrive whole: each chunk once, in order, with a first content and gaps."""
    result = await drive(Load(port=ports[name], count=20, connections=8, rate=200, stream=True, chunks=CHUNKS))
    assert result.errors == {}
    assert result.deltas == result.records == result.transit.count == 20 * CHUNKS
    assert result.first_content.count == 20
    assert result.gap.count == 20 * (CHUNKS - 1)


async def test_open_loop_waits_for_a_free_connection(ports: dict[str, int]) -> None:
    """More due exchanges than connections are kept waiting and counted, not dropped."""
    result = await drive(Load(port=ports["direct"], count=8, connections=1, rate=1000, stream=True, chunks=CHUNKS))
    assert (result.errors, result.completed) == ({}, 8)


@pytest.mark.parametrize("name", ["direct", "bare"])
async def test_query_sets_the_pace(ports: dict[str, int], name: str) -> None:
    """The query of a request overrides the upstream's number of chunks, through the proxy as well."""
    path = "/v1/chat/completions?chunks=3&gap_ms=0&delay_ms=1"
    result = await drive(Load(port=ports[name], count=4, connections=2, stream=True, chunks=3, path=path))
    assert (result.errors, result.records) == ({}, 12)


@pytest.mark.parametrize("name", ["direct", "bare"])
async def test_wrong_status_is_an_error(ports: dict[str, int], name: str) -> None:
    """A reply other than 200 counts as an error under its status, with its connection still in use."""
    result = await drive(Load(port=ports[name], count=5, connections=1, path="/v1/nothing"))
    assert (result.errors, result.completed) == ({"status 404": 5}, 0)


async def test_missing_chunks_are_an_error(ports: dict[str, int]) -> None:
    """A stream with fewer chunks than due is an error."""
    load = Load(port=ports["direct"], count=2, connections=1, stream=True, chunks=CHUNKS + 1)
    assert (await drive(load)).errors == {"chunks are missing or too many": 2}


async def test_lost_connections_are_errors_and_replaced() -> None:
    """A server that closes instead of answering costs one error per exchange, and the load still ends."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        port: int = server.sockets[0].getsockname()[1]
        result = await drive(Load(port=port, count=3, connections=1))
    assert result.errors == {"connection closed before the reply ended": 3}


async def test_silence_is_an_error() -> None:
    """Exchanges without a reply within the time of the load are counted as such."""

    async def keep_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(keep_silent, "127.0.0.1", 0)
    async with server:
        port: int = server.sockets[0].getsockname()[1]
        result = await drive(Load(port=port, count=3, connections=2, timeout_s=0.1))
    assert result.errors == {"no reply in time": 3}


@pytest.mark.parametrize("size", [1024, 16 * 1024, 100 * 1024])
@pytest.mark.parametrize("stream", [False, True])
def test_body_has_its_exact_size(size: int, stream: bool) -> None:
    """A request body is JSON of exactly the size asked for."""
    body = build_body(Load(port=1, count=1, body_bytes=size, stream=stream))
    request = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    assert len(body) == size
    assert ("stream" in request) == stream


def events(*contents: bytes, tail: bytes = b"fud") -> bytes:
    """A stream of content chunks, then what `tail` names: finish, usage, done, error."""
    ends = {
        "f": b'{"choices":[{"delta":{},"finish_reason":"stop"}]}',
        "u": b'{"choices":[],"usage":{"total_tokens":3}}',
        "d": b"[DONE]",
        "e": b'{"error":{"message":"broken"}}',
    }
    chunks = [b'{"choices":[{"delta":{"content":"%s"}}]}' % content for content in contents]
    return b"".join(b"data: %s\n\n" % data for data in [*chunks, *(ends[letter] for letter in tail.decode())])


def judge(stream: bytes, size: int = 7) -> tuple[str | None, Times]:
    times = Times()
    check = StreamCheck(3, 0.0, times)
    for start in range(0, len(stream), size):
        check.feed(stream[start : start + size], 1.0)
    return check.verdict(), times


RECORDS = [record(n, 0) for n in range(3)]


@pytest.mark.parametrize(
    ("stream", "verdict"),
    [
        (events(*RECORDS), None),
        (b": keep-alive\n\n" + events(*RECORDS), None),
        (events(RECORDS[0], RECORDS[2], RECORDS[1]), "chunk out of order"),
        (events(RECORDS[0], RECORDS[0], RECORDS[1]), "chunk out of order"),
        (events(*RECORDS[:2]), "chunks are missing or too many"),
        (events(*RECORDS, b"more"), "chunks are missing or too many"),
        (events(*RECORDS[:2], b"x" * len(RECORDS[2])), "content differs"),
        (events(*RECORDS, tail=b"fu"), "stream ended without done"),
        (events(*RECORDS, tail=b"d"), "stream ended without finish, usage"),
        (events(*RECORDS, tail=b"fudf"), "event after [DONE]"),
        (events(*RECORDS[:2], tail=b"e"), "error event"),
        (b"data: {\n\n" + events(*RECORDS), "event is not a chat chunk"),
    ],
)
def test_stream_check_judges(stream: bytes, verdict: str | None) -> None:
    """A stream is good only with all records in order, finish, usage and `[DONE]`, however the bytes are cut."""
    assert judge(stream)[0] == verdict
    assert judge(stream, size=len(stream))[0] == verdict


def test_merged_chunks_are_counted() -> None:
    """Chunks that arrive merged are good text, and show in the number of deltas."""
    verdict, times = judge(events(RECORDS[0] + RECORDS[1], RECORDS[2]))
    assert (verdict, times.deltas, times.records) == (None, 2, 3)


def test_spread_takes_nearest_ranks() -> None:
    """Percentiles are observed values, in milliseconds."""
    spread = Spread.from_seconds([n / 1000 for n in range(101)])
    assert (spread.p50, spread.p90, spread.p99, spread.max) == (50, 90, 99, 100)
    assert Spread.from_seconds([]).count == 0


def test_child_is_stopped_with_its_descendants_when_the_run_fails(tmp_path: Path) -> None:
    """Leaving a child's context by an exception ends the process and those it started."""
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    pids: list[int] = []

    def fail() -> None:
        with Child("parent", [sys.executable, "-c", code], tmp_path / "log") as child:
            while len(pids) < 2:
                pids[:] = [process.pid for process in child.tree()]
            raise BenchError("failed")

    with pytest.raises(BenchError, match="failed"):
        fail()
    assert [pid for pid in pids if is_alive(pid)] == []


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_child_that_ends_early_is_a_clear_error(tmp_path: Path) -> None:
    """A server that exits before it answers is named with its status and last output."""
    command = [sys.executable, "-c", "print('no such option'); raise SystemExit(3)"]
    with (
        Child("gateway", command, tmp_path / "log") as child,
        pytest.raises(BenchError, match=r"gateway exited with status 3 before it answered; .*\n  no such option"),
    ):
        child.wait_ready(free_port(), b"{}")


def test_missing_gateway_is_a_clear_error(tmp_path: Path) -> None:
    """Without a gateway the run ends with status 2 and one line that says what to do."""
    command = [sys.executable, str(HERE / "run.py"), "--targets", "defaults", "--gateway", str(tmp_path / "none")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("bench: no gateway at")
    assert len(done.stderr.splitlines()) == 1


def test_run_measures_and_reports(tmp_path: Path) -> None:
    """A small run has every phase of every target, no wrong reply, and tables that name the targets.

    Without `even`, which is taken or not by how fast the machine finds the targets.
    """
    asked = PHASES[:-1]
    scale = Scale(
        rounds=1,
        small=20,
        medium=10,
        large=5,
        single=10,
        streams=4,
        chunks=5,
        quiet_s=0.05,
        ceiling_probes=0,
        phases=asked,
    )
    manifests = load_manifests()
    report = run([manifests[name] for name in ("direct", "bare")], scale, tmp_path / "none", pin=True)
    assert wrong_replies(report) == []
    assert list(report.targets) == ["direct", "bare"]
    for measured in report.targets.values():
        assert tuple(measured.samples) == asked
    assert report.targets["bare"].samples["stream"][0].result.records == 20
    assert all(name in render(report) for name in ("direct", "bare", "1KB", "first content", "not measured"))


@pytest.mark.parametrize(("slowest", "phases"), [(5.0, PHASES), (50.0, PHASES[:-1])])
def test_streams_are_compared_at_one_rate(slowest: float, phases: tuple[str, ...]) -> None:
    """When a target cannot take streams as often as others, all get its rate in a phase of their own."""
    taken = Run([], Scale(rounds=1))
    taken.targets = [cast("Target", SimpleNamespace(name=name)) for name in ("fast", "slow")]
    taken.courses = {"fast": Course({}, 60.0), "slow": Course({}, slowest)}
    assert taken.even_out() == list(phases)
    assert {course.even_per_s for course in taken.courses.values()} == {slowest if "even" in phases else 0.0}


def test_ratio_summarises_rounds() -> None:
    """A ratio is the median of its rounds with half of their middle half; one round has no spread."""
    assert Ratio.from_rounds([5.0, 1.0, 3.0, 2.0, 4.0]) == Ratio(median=3.0, spread=1.0)
    assert Ratio.from_rounds([2.0]) == Ratio(median=2.0, spread=0.0)
