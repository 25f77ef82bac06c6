"""What a run found: the structure of `.bench/latest.json` and the tables a person reads."""

import platform
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median, quantiles

import msgspec
from driver import Result
from targets import Start, TargetName

_PACKAGES = ("headgate", "uvicorn", "aiohttp", "uvloop", "httptools", "litestar", "msgspec")
_BUSY = 0.85


class Sample(msgspec.Struct, frozen=True):
    """One phase against one target in one round; `cpu_us` is per request, or per content chunk of a stream.

    `busy` is the share of one core that the target used. `direct` has the upstream's own CPU.
    """

    cpu_us: float
    busy: float
    result: Result


class Measured(msgspec.Struct, frozen=True):
    """All that was measured of one target; memory in MB, `idle_cpu_ms` per second, samples by phase, one per round."""

    start: Start
    rss_idle_mb: float
    rss_loaded_mb: float
    rss_after_mb: float
    idle_cpu_ms: float
    samples: dict[str, list[Sample]]


class Machine(msgspec.Struct, frozen=True):
    """Where a run took place."""

    cpu: str
    cores: int
    kernel: str
    python: str
    packages: dict[str, str]
    pinned: bool

    @classmethod
    def from_here(cls, cores: int, *, pinned: bool) -> "Machine":
        """Describe this machine."""
        packages: dict[str, str] = {}
        for name in _PACKAGES:
            try:
                packages[name] = version(name)
            except PackageNotFoundError:
                continue
        return cls(_cpu_model(), cores, platform.release(), platform.python_version(), packages, pinned)


class Ratio(msgspec.Struct, frozen=True):
    """CPU as a multiple of the bare proxy's in the same round: the median of the rounds, and half their middle half."""

    median: float
    spread: float

    @classmethod
    def from_rounds(cls, values: list[float]) -> "Ratio":
        """Summarise one ratio per round."""
        low, middle, high = quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
        return cls(middle, (high - low) / 2)


class Report(msgspec.Struct, frozen=True):
    """A whole run; `medians` are CPU microseconds."""

    at: str
    seconds: float
    rounds: int
    exchanges: dict[str, int]
    machine: Machine
    targets: dict[TargetName, Measured]
    medians: dict[TargetName, dict[str, float]]
    ratios: dict[TargetName, dict[str, "Ratio"]]


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def middle(samples: list[Sample], read: Callable[[Sample], float]) -> float:
    """The median over the rounds."""
    return median([read(sample) for sample in samples])


def added(samples: list[Sample], direct: list[Sample], read: Callable[[Sample], float]) -> float:
    """The median over the rounds of what a target adds to the direct way in the same round."""
    return median([read(one) - read(other) for one, other in zip(samples, direct, strict=True)])


def cpu_medians(targets: dict[TargetName, Measured]) -> dict[TargetName, dict[str, float]]:
    """CPU microseconds by target and phase."""
    return {
        name: {phase: middle(samples, lambda one: one.cpu_us) for phase, samples in measured.samples.items()}
        for name, measured in targets.items()
    }


def cpu_ratios(targets: dict[TargetName, Measured]) -> dict[TargetName, dict[str, Ratio]]:
    """CPU as a multiple of the bare proxy's, by target and phase; empty without the bare proxy."""
    if "bare" not in targets:
        return {}
    bare = targets["bare"].samples
    return {
        name: {
            phase: Ratio.from_rounds([a.cpu_us / b.cpu_us for a, b in zip(samples, bare[phase], strict=True)])
            for phase, samples in measured.samples.items()
        }
        for name, measured in targets.items()
    }


def _table(title: str, head: list[str], rows: list[list[str]]) -> str:
    widths = [max(len(row[n]) for row in [head, *rows]) for n in range(len(head))]

    def line(row: list[str]) -> str:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        return "  ".join(cells).rstrip()

    return "\n".join([title, *(f"  {line(row)}" for row in [head, *rows])])


def _cpu_table(report: Report) -> str:
    phases = list(next(iter(report.medians.values())))
    rows = [
        [name, *(_with_ratio(medians[phase], report.ratios.get(name, {}).get(phase)) for phase in phases)]
        for name, medians in report.medians.items()
    ]
    title = "CPU microseconds per request or content chunk (multiple of the bare proxy); `direct` is the upstream's"
    return _table(title, ["", *phases], rows)


def _with_ratio(value: float, ratio: Ratio | None) -> str:
    if ratio is None:
        return f"{value:.1f}"
    spread = f" ±{ratio.spread:.2f}" if ratio.spread else ""
    return f"{value:.1f} ({ratio.median:.2f}x{spread})"


def _pair(low: float, high: float) -> str:
    return f"{low:.2f} / {high:.2f}"


def _latency_table(report: Report) -> str:
    direct = report.targets["direct"].samples
    rows: list[list[str]] = []
    for name, measured in report.targets.items():
        single, stream = measured.samples["c=1"], measured.samples["stream"]
        floor_single, floor_stream = direct["c=1"], direct["stream"]
        if name == "direct":
            floor_single, floor_stream = [], []
        rows.append(
            [
                name,
                _added_pair(
                    single, floor_single, lambda one: one.result.latency.p50, lambda one: one.result.latency.p99
                ),
                _added_pair(
                    stream,
                    floor_stream,
                    lambda one: one.result.first_content.p50,
                    lambda one: one.result.first_content.p99,
                ),
                _added_pair(
                    stream, floor_stream, lambda one: one.result.transit.p50, lambda one: one.result.transit.p99
                ),
                _pair(middle(stream, lambda one: one.result.gap.p50), middle(stream, lambda one: one.result.gap.p99)),
            ]
        )
    head = ["", "c=1", "first content", "chunk transit", "chunk gap (whole)"]
    return _table("Milliseconds p50 / p99: `direct` whole, the others what they add to it", head, rows)


def _added_pair(
    samples: list[Sample], floor: list[Sample], low: Callable[[Sample], float], high: Callable[[Sample], float]
) -> str:
    if not floor:
        return _pair(middle(samples, low), middle(samples, high))
    return f"+{added(samples, floor, low):.2f} / +{added(samples, floor, high):.2f}"


def _load_table(report: Report) -> str:
    rows: list[list[str]] = []
    for name, measured in report.targets.items():
        full = measured.samples["1KB"]
        rows.append(
            [
                name,
                f"{middle(full, lambda one: one.result.per_second):.0f}",
                f"{middle(full, lambda one: one.busy) * 100:.0f}%",
                f"{measured.idle_cpu_ms:.1f}",
                f"{measured.rss_idle_mb:.0f} / {measured.rss_loaded_mb:.0f} / {measured.rss_after_mb:.0f}",
                f"{measured.start.cpu_s:.2f} / {measured.start.wall_s:.2f}",
            ]
        )
    head = ["", "1KB per s", "busy", "idle ms/s", "RSS MB idle/loaded/after", "start s CPU/wall"]
    return _table("Closed loop at 8 connections, memory, start", head, rows)


def wrong_replies(report: Report) -> list[str]:
    """The errors of the run, by target and phase; its figures are worth nothing while there are any."""
    return [
        f"wrong: {name} {phase}: {count} x {error}"
        for name, measured in report.targets.items()
        for phase, samples in measured.samples.items()
        for sample in samples
        for error, count in sample.result.errors.items()
    ]


def _recut_streams(report: Report) -> list[str]:
    found: list[str] = []
    for name, measured in report.targets.items():
        for phase, samples in measured.samples.items():
            deltas = sum(sample.result.deltas for sample in samples)
            records = sum(sample.result.records for sample in samples)
            if deltas != records:
                found.append(f"note: {name} {phase}: the text of {records} chunks arrived in {deltas}")
    return found


def _unloaded(report: Report) -> list[str]:
    found: list[str] = []
    for name, measured in report.targets.items():
        busy = middle(measured.samples["1KB"], lambda one: one.busy)
        if name != "direct" and busy < _BUSY:
            found.append(f"note: {name} used {busy:.0%} of a core: the machine was shared, or the driver set the pace")
    return found


def render(report: Report) -> str:
    """The tables, wrong replies and notes, as text."""
    machine = report.machine
    pinned = "pinned" if machine.pinned else "not pinned"
    about = (
        f"{machine.cpu}, {machine.cores} cores ({pinned}), Python {machine.python}, medians of {report.rounds} rounds"
    )
    tables = [_cpu_table(report), _latency_table(report), _load_table(report)]
    lines = wrong_replies(report) + _recut_streams(report) + _unloaded(report)
    return "\n\n".join([about, *tables, *(["\n".join(lines)] if lines else [])])
