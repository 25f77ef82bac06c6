"""The rounds of a run: calibrates each target, then drives the same loads through all of them in turning order."""

import time
from collections.abc import Callable

import msgspec
import uvloop
from driver import Load, Result, drive
from processes import BenchError
from report import Measured, Sample
from targets import Target

BODY_KB = {"1KB": 1, "16KB": 16, "100KB": 100, "c=1": 1}
PHASES = (*BODY_KB, "first", "idle", "stream", "even")
_STREAM_CONNECTIONS = 256
_FIRST_CHUNKS = 2
_FIRST_PER_S = 300.0
_FIRST_BUSY = 0.2
"""Streams of the phase `first` are short and take at most this part of a target's rate, so that none waits for another:
the way to the first content, and nothing else."""
_IDLE_PER_S = 10.0
"""Streams of the phase `idle` are so few that target, driver and upstream sleep before each content chunk."""
_STREAM_BUSY = 0.5
_FEWEST = 20
_EVEN_S = 1.2


class Scale(msgspec.Struct, frozen=True):
    """How much a run does. A phase takes about `phase_s` seconds, with at most so many exchanges, and at least a few.

    Streams start at `streams_per_s` or as fast as half a core of the target can carry. Where that differs much, the phase
    `even` has them at the same rate for all: a chunk costs more on a server that is mostly idle. `quiet_s` is how long
    idle targets are watched.
    """

    rounds: int
    small: int = 1500
    medium: int = 800
    large: int = 400
    single: int = 600
    first: int = 100
    idle: int = 20
    streams: int = 240
    chunks: int = 64
    streams_per_s: float = 240.0
    quiet_s: float = 1.0
    phase_s: float = 0.6
    ceiling_probes: int = 6
    builds_wheels: bool = True
    phases: tuple[str, ...] = PHASES

    def most(self, phase: str) -> int:
        """The most exchanges of a phase."""
        return {"1KB": self.small, "16KB": self.medium, "100KB": self.large, "c=1": self.single}.get(
            phase, self.streams
        )


FULL = Scale(rounds=5)
QUICK = Scale(rounds=2, phase_s=0.3, first=30, idle=10, streams=24, ceiling_probes=0, builds_wheels=False)


class Course(msgspec.Struct, frozen=True):
    """How much of each phase a target gets: exchanges, and streams per second of `stream`, `first` and `even`."""

    exchanges: dict[str, int]
    streams_per_s: float
    first_per_s: float = _IDLE_PER_S
    even_per_s: float = 0.0


def load_for(target: Target, phase: str, course: Course, chunks: int) -> Load:
    """The load of one phase against one target."""
    count = course.exchanges[phase]
    if phase == "first":
        return target.load(count, connections=16, rate=course.first_per_s, stream=True, chunks=_FIRST_CHUNKS)
    if phase == "idle":
        return target.load(count, connections=16, rate=_IDLE_PER_S, stream=True, chunks=chunks)
    if phase in {"stream", "even"}:
        rate = course.streams_per_s if phase == "stream" else course.even_per_s
        return target.load(count, connections=_STREAM_CONNECTIONS, rate=rate, stream=True, chunks=chunks)
    connections = 1 if phase == "c=1" else 8
    return target.load(count, connections=connections, body_bytes=BODY_KB[phase] * 1024)


def carry_out(target: Target, load: Load) -> Result:
    """Drive a load; BenchError when the target does not take connections or gives no good reply at all."""
    try:
        result = uvloop.run(drive(load))
    except OSError as error:
        raise BenchError(f"{target.name} does not accept connections: {error}") from error
    if not result.completed or (load.stream and not result.records):
        raise BenchError(f"{target.name} gave no good reply: {result.errors}")
    return result


def calibrate(target: Target, scale: Scale) -> Course:
    """Warm a target up, and see how many exchanges of each phase fill its time."""

    def pace(phase: str, count: int) -> float:
        count = max(8, min(count, scale.most(phase)))
        return carry_out(target, load_for(target, phase, Course({phase: count}, 0), scale.chunks)).per_second

    first = pace("1KB", 24)
    paces = {"1KB": pace("1KB", int(first * scale.phase_s))}
    for phase in scale.phases:
        if phase == "1KB" or phase not in BODY_KB:
            continue
        paces[phase] = pace(phase, int(paces["1KB"] * scale.phase_s / 5))
    wanted = {phase: max(_FEWEST, int(rate * scale.phase_s)) for phase, rate in paces.items()}
    if "c=1" in wanted:
        wanted["c=1"] = max(wanted["c=1"], 100)
    per_s = _stream_rate(target, scale)
    wanted["stream"] = max(6, int(per_s))
    wanted |= {"first": scale.first, "idle": scale.idle}
    first_per_s = min(_FIRST_PER_S, max(_IDLE_PER_S, _FIRST_BUSY * paces["1KB"]))
    return Course({phase: min(count, scale.most(phase)) for phase, count in wanted.items()}, per_s, first_per_s)


def _stream_rate(target: Target, scale: Scale) -> float:
    """Streams per second that take about half a core, at most as many as the scale says."""
    target.child.settle()
    before = target.child.cpu_s()
    course = Course({"stream": min(8, scale.streams)}, 20.0)
    result = carry_out(target, load_for(target, "stream", course, scale.chunks))
    target.child.settle()
    per_stream_s = (target.child.cpu_s() - before) / result.completed
    return min(scale.streams_per_s, max(2.0, _STREAM_BUSY / max(per_stream_s, 1e-6)))


class Run:
    """Measures running targets; `failed` says why a peer was given up."""

    def __init__(self, targets: list[Target], scale: Scale) -> None:
        self.targets = targets
        self.scale = scale
        self.failed: dict[str, str] = {}
        self.idle: dict[str, float] = {}
        self.courses: dict[str, Course] = {}
        self.rss: dict[str, list[float]] = {target.name: [target.child.rss_mb()] for target in targets}
        self.samples: dict[str, dict[str, list[Sample]]] = {target.name: {} for target in targets}

    def measure(self) -> None:
        """Calibrate, then all rounds; the order of targets turns from round to round."""
        for target in list(self.targets):
            self._attempt(target, self._calibrate)
        phases = self.even_out()
        self._measure_idle()
        for turn in range(self.scale.rounds):
            start = turn % len(self.targets)
            for phase in phases:
                for target in self.targets[start:] + self.targets[:start]:
                    self._attempt(target, lambda one, phase=phase: self._take(one, phase))
        time.sleep(self.scale.quiet_s)

    def _attempt(self, target: Target, step: Callable[[Target], None]) -> None:
        """Do a step; a peer that fails leaves the run, one of ours ends it."""
        if target.name in self.failed:
            return
        try:
            step(target)
        except BenchError as error:
            if target.manifest.is_ours:
                raise
            self.failed[target.name] = str(error)
            self.targets = [one for one in self.targets if one is not target]

    def _calibrate(self, target: Target) -> None:
        self.courses[target.name] = calibrate(target, self.scale)

    def even_out(self) -> list[str]:
        """Give `even` the rate of the slowest target; returns the phases to take, without it when rates are alike."""
        rates = [self.courses[target.name].streams_per_s for target in self.targets]
        if "even" not in self.scale.phases or min(rates) > max(rates) / 2:
            return [phase for phase in self.scale.phases if phase != "even"]
        count = max(8, int(min(rates) * _EVEN_S))
        for name, course in self.courses.items():
            exchanges = {**course.exchanges, "even": count}
            self.courses[name] = Course(exchanges, course.streams_per_s, course.first_per_s, min(rates))
        return list(self.scale.phases)

    def _measure_idle(self) -> None:
        window_s = self.scale.quiet_s
        for target in self.targets:
            target.child.settle()
        before = {target.name: target.child.cpu_s() for target in self.targets}
        time.sleep(window_s)
        self.idle = {target.name: (target.child.cpu_s() - before[target.name]) / window_s for target in self.targets}

    def _take(self, target: Target, phase: str) -> None:
        load = load_for(target, phase, self.courses[target.name], self.scale.chunks)
        self.samples[target.name].setdefault(phase, []).append(self._sample(target, load))
        self.rss[target.name].append(target.child.rss_mb())

    def _sample(self, target: Target, load: Load) -> Sample:
        target.child.settle()
        before, started = target.child.cpu_s(), time.monotonic()
        result = carry_out(target, load)
        target.child.settle()
        spent = target.child.cpu_s() - before - self.idle[target.name] * (time.monotonic() - started)
        units = result.records if load.stream else result.completed
        return Sample(cpu_us=spent / units * 1e6, busy=spent / result.seconds, result=result)

    def measured(self, target: Target) -> Measured:
        """What was found of a target."""
        idle, *loaded = self.rss[target.name]
        manifest, course = target.manifest, self.courses[target.name]
        return Measured(
            about=manifest.about,
            role=manifest.role,
            floor=manifest.floor,
            versions={},
            start=target.start,
            rss_idle_mb=idle,
            rss_loaded_mb=max(loaded),
            rss_after_mb=target.child.rss_mb(),
            idle_cpu_ms=self.idle[target.name] * 1000,
            exchanges=course.exchanges,
            streams_per_s=course.streams_per_s,
            even_per_s=course.even_per_s,
            samples=self.samples[target.name],
        )
