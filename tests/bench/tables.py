"""The tables of a run, as text for a terminal and as Markdown for the page."""

from collections.abc import Callable

import msgspec
from metrics import middles
from report import Measured, Ratio, Report, Sample, added, middle, wrong_replies

_BUSY = 0.85


class Table(msgspec.Struct, frozen=True):
    """A title, a line about it, column names and rows of cells; the first cell of a row names it."""

    title: str
    head: list[str]
    rows: list[list[str]]
    note: str = ""

    def text(self) -> str:
        """With aligned columns."""
        widths = [max(len(row[n]) for row in [self.head, *self.rows]) for n in range(len(self.head))]

        def line(row: list[str]) -> str:
            cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
            return "  ".join([row[0].ljust(widths[0]), *cells]).rstrip()

        note = [f"  {self.note}"] if self.note else []
        return "\n".join([self.title, *(f"  {line(row)}" for row in [self.head, *self.rows]), *note])

    def markdown(self) -> str:
        """As GitHub reads it."""

        def line(row: list[str]) -> str:
            return "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"

        rule = "|" + "|".join(["---", *["---:"] * (len(self.head) - 1)]) + "|"
        note = [self.note, ""] if self.note else []
        return "\n".join([*note, line(self.head), rule, *(line(row) for row in self.rows)])


def cpu_table(report: Report) -> Table:
    """CPU by target and phase, with multiples of the bare proxy's."""
    phases = list(next(iter(report.medians.values())))
    rows = [
        [name, *(_with_ratio(medians[phase], report.ratios.get(name, {}).get(phase)) for phase in phases)]
        for name, medians in report.medians.items()
    ]
    title = "CPU microseconds per request or content chunk (multiple of the bare proxy); `direct` is the upstream's"
    return Table(title, ["", *phases], rows, even_note(report))


def even_note(report: Report) -> str:
    """What the phase `even` is, if it was taken."""
    rate = next(iter(report.targets.values())).even_per_s
    said = "`stream` has each target's own rate, at most half a core; `even` has the same for all, {:.0f} streams a second."
    return said.format(rate) if rate else ""


def _with_ratio(value: float, ratio: Ratio | None) -> str:
    if ratio is None:
        return f"{value:.1f}"
    spread = f" ±{ratio.spread:.2f}" if ratio.spread else ""
    return f"{value:.1f} ({ratio.median:.2f}x{spread})"


def latency_table(report: Report) -> Table:
    """Latency of one connection, and of streams."""
    reads: list[tuple[str, Callable[[Sample], float], Callable[[Sample], float]]] = [
        ("c=1", lambda one: one.result.latency.p50, lambda one: one.result.latency.p99),
        ("first", lambda one: one.result.first_content.p50, lambda one: one.result.first_content.p99),
        ("idle", lambda one: one.result.first_content.p50, lambda one: one.result.first_content.p99),
        ("stream", lambda one: one.result.transit.p50, lambda one: one.result.transit.p99),
        ("stream", lambda one: one.result.gap.p50, lambda one: one.result.gap.p99),
    ]
    rows: list[list[str]] = []
    for name, measured in report.targets.items():
        floor = None if measured.role == "upstream" else report.targets[measured.floor]
        rows.append([name, *(_pair(measured, floor, *read) for read in reads)])
    title = "Milliseconds p50 / p99: `direct` whole, the others what they add to it in the same round"
    head = ["", "one connection", "first content", "the same, idle before", "chunk on its way", "between chunks"]
    return Table(title, head, rows)


def _pair(
    measured: Measured,
    floor: Measured | None,
    phase: str,
    low: Callable[[Sample], float],
    high: Callable[[Sample], float],
) -> str:
    samples = measured.samples[phase]
    if floor is None:
        first, last = middles(samples, low, high)
        return f"{first:.2f} / {last:.2f}"
    return f"{added(samples, floor.samples[phase], low):+.2f} / {added(samples, floor.samples[phase], high):+.2f}"


def rate_table(report: Report) -> Table:
    """Rates: of the closed loop, and the highest of an open loop."""
    rows: list[list[str]] = []
    for name, measured in report.targets.items():
        full, ceiling = measured.samples["1KB"], measured.ceiling
        cells = ["-", "-", "-"]
        if ceiling is not None:
            more = "> " if ceiling.is_driver_bound else ""
            cells = [f"{more}{ceiling.per_second:.0f}", f"{ceiling.p99_ms:.1f}", f"{ceiling.target_busy:.0%}"]
        closed = f"{middle(full, lambda one: one.result.per_second):.0f}"
        busy = f"{middle(full, lambda one: one.busy):.0%}"
        rows.append([name, closed, busy, *cells, f"{measured.streams_per_s:.0f}"])
    head = ["", "closed loop /s", "busy", "open loop /s", "its p99 ms", "busy ", "streams /s"]
    title = "1 KB requests: closed loop on 8 connections; highest open-loop rate with no failure and p99 ≤ 50 ms"
    return Table(title, head, rows, "`>`: driver or upstream was full first, so the target could do more.")


def footprint_table(report: Report) -> Table:
    """Memory, start and installation."""
    rows: list[list[str]] = []
    for name, measured in report.targets.items():
        size = "-" if measured.install_mb is None else f"{measured.install_mb:.0f}"
        rows.append(
            [
                name,
                f"{measured.rss_idle_mb:.0f} / {measured.rss_loaded_mb:.0f} / {measured.rss_after_mb:.0f}",
                f"{measured.idle_cpu_ms:.1f}",
                f"{measured.start.cpu_s:.2f} / {measured.start.wall_s:.2f}",
                size,
            ]
        )
    head = ["", "RSS MB idle/loaded/after", "idle CPU ms/s", "start s CPU/wall", "installed MB"]
    note = (
        "Start: until the first good answer. Installed: without interpreter, Node.js, system libraries and byte code."
    )
    return Table("Memory, start, installation", head, rows, note)


def notes(report: Report) -> list[str]:
    """What a reader has to know about the figures of this run."""
    found = [f"not measured: {name}: {reason}" for name, reason in report.not_measured.items()]
    for name, measured in report.targets.items():
        stream = measured.samples["stream"]
        deltas, records = (sum(getattr(one.result, what) for one in stream) for what in ("deltas", "records"))
        if deltas != records:
            found.append(f"{name}: the text of {records} chunks arrived in {deltas}")
        busy = middle(measured.samples["1KB"], lambda one: one.busy)
        if measured.role != "upstream" and busy < _BUSY:
            found.append(
                f"{name} used {busy:.0%} of a core at 1 KB: the machine was shared, or the driver set the pace"
            )
    if "direct-veth" in report.targets:
        way = _over_direct(report, "direct-veth")
        found.append(f"the way into the network namespace adds {way:+.3f} ms to p50; it is part of the floor there")
    return [*wrong_replies(report), *found]


def _over_direct(report: Report, name: str) -> float:
    targets = report.targets
    return added(targets[name].samples["c=1"], targets["direct"].samples["c=1"], lambda one: one.result.latency.p50)


def about(report: Report) -> str:
    """Machine, versions and rounds in one line."""
    machine = report.machine
    pinned = "pinned" if machine.pinned else "not pinned"
    return (
        f"{machine.cpu}, {machine.cores} cores ({pinned}), Linux {machine.kernel}, Python {machine.python}, "
        f"medians of {report.rounds} rounds"
    )


def tables(report: Report) -> list[Table]:
    """All tables of figures, in their order."""
    return [cpu_table(report), latency_table(report), rate_table(report), footprint_table(report)]
