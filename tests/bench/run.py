"""Measures what the gateway costs beside a bare proxy on the same libraries: `python tests/bench/run.py`.

It starts an upstream and the targets, drives the same loads through each in alternating order, prints tables and writes
`.bench/latest.json`. Exit status: 0, 1 when a reply was wrong, 2 when the run could not be made.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import uvloop
from driver import Load, drive
from processes import BenchError
from report import Machine, Measured, Report, Sample, cpu_medians, cpu_ratios, render, wrong_replies
from targets import TARGETS, Fleet, Target, TargetName

_ROOT = Path(__file__).parents[2]
_GAP_MS = 10.0


class Scale(msgspec.Struct, frozen=True):
    """How much a run does: exchanges per phase and round, and how long it watches idle targets."""

    rounds: int
    small: int
    medium: int
    large: int
    single: int
    streams: int
    chunks: int = 64
    streams_per_s: float = 60.0
    quiet_s: float = 1.0


FULL = Scale(rounds=9, small=1500, medium=800, large=400, single=600, streams=60)
QUICK = Scale(rounds=3, small=800, medium=400, large=200, single=300, streams=30)


def phases_for(scale: Scale, port: int, headers: dict[str, str]) -> dict[str, Load]:
    """The loads of one round against one target, by phase."""

    def load(count: int, body_kb: int, connections: int = 8) -> Load:
        return Load(port=port, headers=headers, count=count, connections=connections, body_bytes=body_kb * 1024)

    streams = Load(
        port=port,
        headers=headers,
        count=scale.streams,
        connections=64,
        rate=scale.streams_per_s,
        stream=True,
        chunks=scale.chunks,
    )
    return {
        "1KB": load(scale.small, 1),
        "16KB": load(scale.medium, 16),
        "100KB": load(scale.large, 100),
        "c=1": load(scale.single, 1, connections=1),
        "stream": streams,
    }


def cpus_for_run(*, pin: bool) -> tuple[set[int], set[int]] | None:
    """A core for driver and upstream and another for the targets; None on one core or when it is not wanted."""
    cores = sorted(os.sched_getaffinity(0))
    return ({cores[0]}, {cores[1]}) if pin and len(cores) > 1 else None


class Run:
    """Measures running targets; `idle` has each one's CPU seconds per second without load."""

    def __init__(self, targets: list[Target], scale: Scale) -> None:
        self.targets = targets
        self.scale = scale
        self.idle: dict[TargetName, float] = {}
        self.rss: dict[TargetName, list[float]] = {target.name: [target.child.rss_mb()] for target in targets}
        self.samples: dict[TargetName, dict[str, list[Sample]]] = {target.name: {} for target in targets}

    def measure(self) -> dict[TargetName, Measured]:
        """Warm up, then all rounds; the order of targets turns from round to round."""
        for target in self.targets:
            uvloop.run(drive(Load(port=target.port, headers=target.headers, count=300)))
        self._measure_idle()
        for turn in range(self.scale.rounds):
            start = turn % len(self.targets)
            self._round(self.targets[start:] + self.targets[:start])
        time.sleep(self.scale.quiet_s)
        return {target.name: self._measured(target) for target in self.targets}

    def _measure_idle(self) -> None:
        window_s = self.scale.quiet_s
        for target in self.targets:
            target.child.settle()
        before = {target.name: target.child.cpu_s() for target in self.targets}
        time.sleep(window_s)
        self.idle = {target.name: (target.child.cpu_s() - before[target.name]) / window_s for target in self.targets}

    def _round(self, targets: list[Target]) -> None:
        for phase in phases_for(self.scale, 0, {}):
            for target in targets:
                sample = self._sample(target, phases_for(self.scale, target.port, target.headers)[phase])
                self.samples[target.name].setdefault(phase, []).append(sample)
                self.rss[target.name].append(target.child.rss_mb())

    def _sample(self, target: Target, load: Load) -> Sample:
        target.child.settle()
        before, started = target.child.cpu_s(), time.monotonic()
        try:
            result = uvloop.run(drive(load))
        except OSError as error:
            raise BenchError(f"{target.name} stopped to accept connections: {error}") from error
        target.child.settle()
        spent = target.child.cpu_s() - before - self.idle[target.name] * (time.monotonic() - started)
        units = result.records if load.stream else result.completed
        if units == 0:
            raise BenchError(f"{target.name} gave no good reply: {result.errors}")
        return Sample(cpu_us=spent / units * 1e6, busy=spent / result.seconds, result=result)

    def _measured(self, target: Target) -> Measured:
        idle, *loaded = self.rss[target.name]
        return Measured(
            start=target.start,
            rss_idle_mb=idle,
            rss_loaded_mb=max(loaded),
            rss_after_mb=target.child.rss_mb(),
            idle_cpu_ms=self.idle[target.name] * 1000,
            samples=self.samples[target.name],
        )


def run(names: list[TargetName], scale: Scale, gateway: Path, *, pin: bool) -> Report:
    """Start the targets, measure, stop them; raises BenchError."""
    started = time.monotonic()
    pins = cpus_for_run(pin=pin)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headgate-bench-")))
        targets = Fleet(stack, folder, gateway, pins).start(names, scale.chunks, _GAP_MS)
        cores = os.cpu_count() or 1
        if pins is not None:
            stack.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
            os.sched_setaffinity(0, pins[0])
        measured = Run(targets, scale).measure()
    return Report(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=time.monotonic() - started,
        rounds=scale.rounds,
        exchanges={phase: load.count for phase, load in phases_for(scale, 0, {}).items()},
        machine=Machine.from_here(cores, pinned=pins is not None),
        targets=measured,
        medians=cpu_medians(measured),
        ratios=cpu_ratios(measured),
    )


def _names(text: str) -> list[TargetName]:
    given = text.split(",")
    if unknown := set(given) - set(TARGETS):
        raise argparse.ArgumentTypeError(f"unknown target {sorted(unknown)}; there are {', '.join(TARGETS)}")
    return [name for name in TARGETS if name in given or name == "direct"]


def _end(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def main() -> None:
    """Read the command line, run, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--quick", action="store_true", help="under 40 s, with more noise")
    parser.add_argument("--rounds", type=int, help="repetitions of every phase")
    parser.add_argument("--targets", type=_names, default=list(TARGETS), help=f"of {','.join(TARGETS)}")
    parser.add_argument("--gateway", type=Path, default=Path(sys.executable).parent / "headgate")
    parser.add_argument("--output", type=Path, default=_ROOT / ".bench" / "latest.json")
    parser.add_argument("--no-pin", action="store_true", help="let the kernel place the processes")
    given = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, _end)
    scale = QUICK if given.quick else FULL
    if given.rounds:
        scale = msgspec.structs.replace(scale, rounds=given.rounds)
    try:
        report = run(given.targets, scale, given.gateway, pin=not given.no_pin)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    print(render(report))
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1))
    print(f"\n{report.seconds:.0f} s, written to {given.output.name}")
    raise SystemExit(1 if wrong_replies(report) else 0)


if __name__ == "__main__":
    main()
