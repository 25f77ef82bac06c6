"""Sections about many streams at one time on one worker: what each costs, and whether any of them ever stands still."""

import asyncio
import time
from collections.abc import Callable

import msgspec
import uvloop
from driver import Load, Result, drive
from processes import BenchError
from scale_lab import Lab, Server, simple_config
from scale_parts import Section, judge_bound, judge_linear, number
from scale_request import collections

HELD = (500, 1_000, 2_000)
PACED = (50, 100, 200, 300, 400, 500, 600, 800)
STALL_MS = 50.0

_SLOW_MS, _FAST_MS = 1_000, 10
_RAMP_S = 2.0
_FAST_RAMP_S = 0.5
_FAST_S = 1.5
_MARGIN_S = 0.3
_TRANSIT = ["transit p50", "p99", "max ms"]
_SATURATED = 0.97


class Held(msgspec.Struct, frozen=True):
    """A number of streams held at one time: what came of them, and the CPU share and memory while all were there."""

    streams: int
    result: Result
    busy: float
    driver_busy: float
    rss_mb: float
    collections_ms: list[float]
    machine_ms: float = 0.0

    @property
    def pause_ms(self) -> float:
        """The longest collection."""
        return max(self.collections_ms, default=0.0)


async def _hold(server: Server, load: Load, ramp_s: float, hold_s: float) -> tuple[Result, float, float, float]:
    """Start the streams over `ramp_s`, which spreads their phases; meter the server while all of them are there."""
    driving = asyncio.create_task(drive(load))
    await asyncio.sleep(ramp_s + _MARGIN_S)
    before, own, started = server.child.cpu_s(), time.process_time(), time.monotonic()
    rss = server.child.rss_mb()
    await asyncio.sleep(hold_s - 2 * _MARGIN_S)
    spent, window = server.child.cpu_s() - before, time.monotonic() - started
    driver = (time.process_time() - own) / window
    return await driving, spent / window, driver, max(rss, server.child.rss_mb())


def hold(server: Server, streams: int, gap_ms: float, ramp_s: float, hold_s: float, model: str) -> Held:
    """Hold streams; BenchError when any was broken, lost a chunk or had them out of order."""
    chunks = round((ramp_s + hold_s) * 1000 / gap_ms)
    load = Load(
        port=server.port,
        headers=server.headers,
        count=streams,
        connections=streams,
        rate=streams / ramp_s,
        stream=True,
        chunks=chunks,
        model=model,
    )
    server.child.settle()
    began = time.monotonic()
    result, busy, driver_busy, rss = uvloop.run(_hold(server, load, ramp_s, hold_s))
    if result.errors:
        raise BenchError(f"{server.name} broke streams: {result.errors}")
    time.sleep(0.3)
    pauses = [took * 1000 for ended, _, took in collections(server) if ended >= began]
    return Held(streams, result, busy, driver_busy, rss, pauses, server.machine_ms(began))


def measure_streams(lab: Lab) -> list[Section]:
    """Streams of a chunk a second, as many as 2,000; then of a chunk each 10 ms, more and more until the worker is full."""
    hold_s = float(lab.pick(4, 2))
    slow = lab.upstream(round((_RAMP_S + hold_s) * 1000 / _SLOW_MS), _SLOW_MS)
    fast = lab.upstream(round((_FAST_RAMP_S + _FAST_S) * 1000 / _FAST_MS), _FAST_MS)
    probe = {"probe": {"path": str(lab.server_folder("defaults") / "collections")}}
    gateway = lab.gateway("defaults", simple_config(slow, fast, plugins=[probe]))
    hold(gateway, 50, _SLOW_MS, _RAMP_S, hold_s, "bench")
    return [_held_section(gateway, slow, hold_s), _paced_section(gateway, fast)]


def _held_section(gateway: Server, direct: Server, hold_s: float) -> Section:
    idle_mb = gateway.child.rss_mb()
    floor = hold(direct, HELD[-1], _SLOW_MS, _RAMP_S, hold_s, "bench")
    found = [hold(gateway, streams, _SLOW_MS, _RAMP_S, hold_s, "bench") for streams in HELD]
    rows = [_held_row(held, f"{held.streams:,}", idle_mb) for held in found]
    rows.append(_held_row(floor, f"{floor.streams:,} direct", None))
    worst = max(held.result.transit.max for held in found)
    notes = [
        judge_bound("longest transit of a chunk", worst, STALL_MS, "ms"),
        f"{worst - floor.result.transit.max:.1f} ms above direct",
        judge_bound("longest collection", max(held.pause_ms for held in found), STALL_MS, "ms"),
        judge_linear("CPU share by streams", [(held.streams, held.busy) for held in found]),
        "every chunk arrived, in order; `machine` is the longest stall of a bystander on the same core",
    ]
    columns = ["streams", "CPU share", "KB per stream", *_TRANSIT, "machine ms", "collections", "longest ms"]
    figures = {"streams.longest_stall_ms": found[-1].result.transit.max}
    return Section("Streams held on one worker: a chunk a second each", "; ".join(notes), columns, rows, figures)


def _held_row(held: Held, name: str, idle_mb: float | None) -> list[str]:
    return [
        name,
        f"{held.busy:.0%}",
        "-" if idle_mb is None else number((held.rss_mb - idle_mb) * 1024 / held.streams),
        *_transit(held.result),
        number(held.machine_ms),
        str(len(held.collections_ms)),
        number(held.pause_ms),
    ]


def _paced_section(gateway: Server, direct: Server) -> Section:
    found = until_full(
        lambda streams: hold(gateway, streams, _FAST_MS, _FAST_RAMP_S, _FAST_S, "bench1"),
    )
    most = [held for held in found if held.result.transit.p99 <= STALL_MS]
    floor = hold(direct, (most or found)[-1].streams, _FAST_MS, _FAST_RAMP_S, _FAST_S, "bench")
    rows = [_paced_row(held, f"{held.streams:,}") for held in found]
    rows.append(_paced_row(floor, f"{floor.streams:,} direct"))
    last = found[-1]
    limit = "the worker" if last.busy >= _SATURATED else "not the worker, but the cores it shares with others"
    note = (
        f"expected: cost per chunk does not grow until the worker is full; seen: p99 of transit within {STALL_MS:g} ms up "
        f"to {most[-1].streams if most else 0:,} streams ({most[-1].streams * 1000 // _FAST_MS if most else 0:,} chunks "
        f"a second); what is full at {last.streams:,} is {limit}; every chunk arrived, in order"
    )
    columns = [
        "streams",
        "chunks per s",
        "CPU share",
        "us per chunk",
        "deltas",
        "driver share",
        *_TRANSIT,
        "machine ms",
    ]
    return Section("Streams with a chunk each 10 ms, until one worker is full", note, columns, rows)


def until_full(take: Callable[[int], Held]) -> list[Held]:
    """More and more streams until the worker is full or chunks come late."""
    found: list[Held] = []
    for streams in PACED:
        found.append(take(streams))
        last = found[-1]
        is_late = last.result.transit.p99 > STALL_MS > last.machine_ms
        if last.busy >= _SATURATED or is_late:
            break
    return found


def _paced_row(held: Held, name: str) -> list[str]:
    per_s = held.streams * 1000 / _FAST_MS
    return [
        name,
        number(per_s),
        f"{held.busy:.0%}",
        number(held.busy * 1e6 / per_s),
        f"{held.result.deltas / held.result.records:.0%}",
        f"{held.driver_busy:.0%}",
        *_transit(held.result),
        number(held.machine_ms),
    ]


def _transit(result: Result) -> list[str]:
    return [number(result.transit.p50), number(result.transit.p99), number(result.transit.max)]
