"""Every figure that tables, marks, losses and plots speak of, by one name each."""

from collections.abc import Callable

import msgspec
from report import Report, Sample, added, cpu_ratio, middle

Read = Callable[[Report, str], float | None]


class Metric(msgspec.Struct, frozen=True):
    """How to read a figure of a target, and what it is called; `digits` stand behind the point."""

    label: str
    unit: str
    read: Read
    digits: int = 2
    is_higher_better: bool = False


def _cpu(phase: str) -> Read:
    return lambda report, name: report.medians[name].get(phase)


def _added(phase: str, read: Callable[[Sample], float]) -> Read:
    def over_floor(report: Report, name: str) -> float:
        measured = report.targets[name]
        return added(measured.samples[phase], report.targets[measured.floor].samples[phase], read)

    return over_floor


def _ceiling(report: Report, name: str) -> float | None:
    ceiling = report.targets[name].ceiling
    return ceiling.per_second if ceiling else None


METRICS: dict[str, Metric] = {
    "cpu.1KB": Metric("CPU per request, 1 KB", "µs", _cpu("1KB"), 1),
    "cpu.16KB": Metric("CPU per request, 16 KB", "µs", _cpu("16KB"), 1),
    "cpu.100KB": Metric("CPU per request, 100 KB", "µs", _cpu("100KB"), 1),
    "cpu.stream": Metric("CPU per stream chunk", "µs", _cpu("stream"), 1),
    "cpu.even": Metric("CPU per stream chunk, same rate for all", "µs", _cpu("even"), 1),
    "added.p50": Metric("added latency p50, one connection", "ms", _added("c=1", lambda one: one.result.latency.p50)),
    "added.p99": Metric("added latency p99, one connection", "ms", _added("c=1", lambda one: one.result.latency.p99)),
    "ttft.p50": Metric(
        "added time to first content p50", "ms", _added("first", lambda one: one.result.first_content.p50)
    ),
    "ttft.p99": Metric(
        "added time to first content p99", "ms", _added("first", lambda one: one.result.first_content.p99)
    ),
    "ttft.idle": Metric(
        "added time to first content p50, after idleness",
        "ms",
        _added("idle", lambda one: one.result.first_content.p50),
    ),
    "transit.p50": Metric("added time per chunk p50", "ms", _added("stream", lambda one: one.result.transit.p50)),
    "transit.p99": Metric("added time per chunk p99", "ms", _added("stream", lambda one: one.result.transit.p99)),
    "gap.p99": Metric("added gap between chunks p99", "ms", _added("stream", lambda one: one.result.gap.p99)),
    "rate": Metric("highest rate", "/s", _ceiling, 0, is_higher_better=True),
    "rss.idle": Metric("memory, idle", "MB", lambda report, name: report.targets[name].rss_idle_mb, 0),
    "rss.loaded": Metric("memory, most under load", "MB", lambda report, name: report.targets[name].rss_loaded_mb, 0),
    "rss.after": Metric("memory, after load", "MB", lambda report, name: report.targets[name].rss_after_mb, 0),
    "start.cpu": Metric("CPU until the first answer", "s", lambda report, name: report.targets[name].start.cpu_s),
    "start.wall": Metric("time until the first answer", "s", lambda report, name: report.targets[name].start.wall_s),
    "install": Metric("installation", "MB", lambda report, name: report.targets[name].install_mb, 0),
}


def value_of(report: Report, name: str, metric: str) -> float | None:
    """A figure of a target; None when it was not measured."""
    return METRICS[metric].read(report, name) if name in report.targets else None


def share_of(report: Report, name: str, other: str, metric: str) -> float | None:
    """A figure as a share of another target's: of CPU the median of the rounds' shares. None when either is missing."""
    if name not in report.targets or other not in report.targets:
        return None
    if metric.startswith("cpu."):
        phase = metric.removeprefix("cpu.")
        mine, theirs = (report.targets[one].samples.get(phase) for one in (name, other))
        return cpu_ratio(mine, theirs).median if mine and theirs else None
    value, base = value_of(report, name, metric), value_of(report, other, metric)
    return None if value is None or not base or base <= 0 else value / base


def shown(metric: str, value: float | None) -> str:
    """A figure with its unit."""
    kind = METRICS[metric]
    if value is None:
        return "-"
    digits = 0 if abs(value) >= 1000 else kind.digits
    return f"{value:,.{digits}f} {kind.unit}"


def middles(samples: list[Sample], *reads: Callable[[Sample], float]) -> list[float]:
    """The median over the rounds of several figures."""
    return [middle(samples, read) for read in reads]
