"""What a run found: the structure of `.bench/latest.json`, and how rounds become one figure."""

import platform
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median, quantiles

import msgspec
from driver import Result
from manifests import Role
from targets import Start

_PACKAGES = ("headgate", "uvicorn", "aiohttp", "uvloop", "httptools", "litestar", "msgspec")


class Sample(msgspec.Struct, frozen=True):
    """One phase against one target in one round; `cpu_us` is per request, or per content chunk of a stream.

    `busy` is the share of one core that the target used. `direct` has the upstream's own CPU.
    """

    cpu_us: float
    busy: float
    result: Result


class Ceiling(msgspec.Struct, frozen=True):
    """The highest rate of an open loop without a failure and with p99 within the bound, requests per second; 0 for none.

    `target_busy` and `driver_busy` are shares of a core at that rate. `is_driver_bound` says that driver and upstream
    set it, so that the target could do more. `tried` has every rate and its p99 in ms, -1 for failures.
    """

    per_second: float
    p99_ms: float
    target_busy: float
    driver_busy: float
    is_driver_bound: bool
    tried: list[tuple[float, float]]


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """All that was measured of one target; memory in MB, `idle_cpu_ms` per second, samples by phase, one per round.

    `exchanges` are per phase and round, chosen so that phases take about equally long. `streams_per_s` is the rate of the
    phase `stream`, `even_per_s` that of `even`, 0 without it. `floor` is the target that latency counts from.
    `install_mb` is in 10**6 bytes, memory in 2**20.
    """

    about: str
    role: Role
    floor: str
    versions: dict[str, str]
    start: Start
    rss_idle_mb: float
    rss_loaded_mb: float
    rss_after_mb: float
    idle_cpu_ms: float
    exchanges: dict[str, int]
    streams_per_s: float
    even_per_s: float
    samples: dict[str, list[Sample]]
    ceiling: Ceiling | None = None
    install_mb: float | None = None


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
    """CPU as a multiple of another target's in the same round: the median of the rounds, and half their middle half."""

    median: float
    spread: float

    @classmethod
    def from_rounds(cls, values: list[float]) -> "Ratio":
        """Summarise one ratio per round."""
        low, middle, high = quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
        return cls(middle, (high - low) / 2)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run; `medians` are CPU microseconds. `not_measured` says of a target why not."""

    at: str
    command: str
    seconds: float
    rounds: int
    chunks: int
    machine: Machine
    targets: dict[str, Measured]
    not_measured: dict[str, str]
    medians: dict[str, dict[str, float]]
    ratios: dict[str, dict[str, "Ratio"]]


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def middle(samples: list[Sample], read: Callable[[Sample], float]) -> float:
    """The median over the rounds."""
    return median([read(sample) for sample in samples])


def added(samples: list[Sample], floor: list[Sample], read: Callable[[Sample], float]) -> float:
    """The median over the rounds of what a target adds to its floor in the same round."""
    return median([read(one) - read(other) for one, other in zip(samples, floor, strict=True)])


def cpu_medians(targets: dict[str, Measured]) -> dict[str, dict[str, float]]:
    """CPU microseconds by target and phase."""
    return {
        name: {phase: middle(samples, lambda one: one.cpu_us) for phase, samples in measured.samples.items()}
        for name, measured in targets.items()
    }


def cpu_ratio(samples: list[Sample], other: list[Sample]) -> Ratio:
    """CPU as a multiple of another target's."""
    return Ratio.from_rounds([a.cpu_us / b.cpu_us for a, b in zip(samples, other, strict=True)])


def cpu_ratios(targets: dict[str, Measured]) -> dict[str, dict[str, Ratio]]:
    """CPU as a multiple of the bare proxy's, by target and phase; empty without the bare proxy."""
    if "bare" not in targets:
        return {}
    bare = targets["bare"].samples
    return {
        name: {phase: cpu_ratio(samples, bare[phase]) for phase, samples in measured.samples.items()}
        for name, measured in targets.items()
    }


def wrong_replies(report: Report, *, ours: bool | None = None) -> list[str]:
    """The errors of the run, by target and phase: of our own targets, of the peers, or of all of them."""
    return [
        f"wrong: {name} {phase}: {count} x {error}"
        for name, measured in report.targets.items()
        if ours in {None, measured.role != "peer"}
        for phase, samples in measured.samples.items()
        for sample in samples
        for error, count in sample.result.errors.items()
    ]
