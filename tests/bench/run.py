"""Measures what the gateway costs beside proxies and other gateways: `python tests/bench/run.py`.

It starts an upstream and the targets, drives the same loads through each in alternating order, prints tables and marks
and writes `.bench/latest.json`; `--publish` writes core/docs/performance.md. Exit status: 0, 1 when a reply of one of
our own targets was wrong, 2 when the run could not be made. A missed mark is no failure: `gate.py` is there for that.
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
from ceiling import find_ceiling, probe_of
from growth import load_growth
from manifests import Manifest, load_manifests, with_floors
from marks import judge, load_marks, losses
from peers import installed, missing_reason
from phases import FULL, QUICK, Run, Scale
from processes import BenchError
from publish import publish
from report import Machine, Measured, Report, cpu_medians, cpu_ratios, middle, wrong_replies
from sizes import install_mb
from tables import about, notes, tables
from targets import Fleet, Target
from verdicts import losses_table, marks_table

_ROOT = Path(__file__).parents[2]
_BENCH = _ROOT / ".bench"


def cpus_for_run(*, pin: bool) -> tuple[set[int], set[int]] | None:
    """A core for driver and upstream and another for the targets; None on one core or when it is not wanted."""
    cores = sorted(os.sched_getaffinity(0))
    return ({cores[0]}, {cores[1]}) if pin and len(cores) > 1 else None


def run(manifests: list[Manifest], scale: Scale, gateway: Path, *, pin: bool, command: str = "") -> Report:
    """Start the targets, measure, stop them; raises BenchError. What is not installed is left out and named."""
    started = time.monotonic()
    pins = cpus_for_run(pin=pin)
    reasons = {one.name: reason for one in manifests if (reason := missing_reason(one))}
    there = _without_idle_floors([one for one in manifests if one.name not in reasons])
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headgate-bench-")))
        targets, failed = Fleet(stack, folder, gateway, pins, chunks=scale.chunks).start(there)
        if pins is not None:
            stack.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
            os.sched_setaffinity(0, pins[0])
        taken = Run(targets, scale)
        taken.measure()
        measured = {target.name: taken.measured(target) for target in taken.targets}
        for target in taken.targets:
            measured[target.name] = _with_ceiling(target, measured[target.name], scale, targets[0])
    for manifest in there:
        if manifest.name in measured:
            measured[manifest.name] = _with_installation(manifest, measured[manifest.name], build=scale.builds_wheels)
    return Report(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        seconds=time.monotonic() - started,
        rounds=scale.rounds,
        chunks=scale.chunks,
        machine=Machine.from_here(os.cpu_count() or 1, pinned=pins is not None),
        targets=measured,
        not_measured={name: " ".join(words.split())[:300] for name, words in (reasons | failed | taken.failed).items()},
        medians=cpu_medians(measured),
        ratios=cpu_ratios(measured),
    )


def _without_idle_floors(manifests: list[Manifest]) -> list[Manifest]:
    """Leave out a floor that nothing is measured against; `direct` always stays."""
    used = {"direct", *(one.floor for one in manifests if one.role != "upstream")}
    return [one for one in manifests if one.role != "upstream" or one.name in used]


def _with_ceiling(target: Target, measured: Measured, scale: Scale, upstream: Target) -> Measured:
    if not scale.ceiling_probes or (measured.role == "upstream" and target is not upstream):
        return measured
    guess = middle(measured.samples["1KB"], lambda one: one.result.per_second) * 0.8
    found = find_ceiling(probe_of(target, upstream), guess, scale.ceiling_probes)
    return msgspec.structs.replace(measured, ceiling=found)


def _with_installation(manifest: Manifest, measured: Measured, *, build: bool) -> Measured:
    there = installed(manifest) if manifest.install.kind != "none" else None
    versions = there.versions if there else {}
    return msgspec.structs.replace(measured, versions=versions, install_mb=install_mb(manifest, build=build))


def render(report: Report) -> str:
    """The tables, marks, losses and notes, as text."""
    verdicts = judge(load_marks(), report, load_growth(_BENCH / "scale.json"))
    parts = [about(report), *(table.text() for table in tables(report))]
    parts += [marks_table(verdicts).text(), losses_table(losses(report)).text()]
    if said := notes(report):
        parts.append("\n".join(said))
    return "\n\n".join(parts)


def _choose(given: argparse.Namespace, manifests: dict[str, Manifest]) -> list[Manifest]:
    names = [name for name, one in manifests.items() if not (given.quick and one.role == "peer")]
    if given.targets:
        names = given.targets.split(",")
        if unknown := set(names) - set(manifests):
            raise BenchError(f"unknown target {sorted(unknown)}; there are {', '.join(manifests)}")
    return [manifests[name] for name in with_floors(names, manifests)]


def _scale(given: argparse.Namespace) -> Scale:
    scale = QUICK if given.quick else FULL
    return msgspec.structs.replace(scale, rounds=given.rounds) if given.rounds else scale


def _end(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--quick", action="store_true", help="under a minute, without peers, with more noise")
    parser.add_argument("--rounds", type=int, help="repetitions of every phase")
    parser.add_argument("--targets", help="names of gateways/*.toml, with commas; `direct` is always among them")
    parser.add_argument("--gateway", type=Path, default=Path(sys.executable).parent / "headgate")
    parser.add_argument("--output", type=Path, default=_BENCH / "latest.json")
    parser.add_argument("--publish", action="store_true", help="write core/docs/performance.md with its plots")
    parser.add_argument("--from", dest="source", type=Path, help="measure nothing; show or publish this earlier report")
    parser.add_argument("--no-pin", action="store_true", help="let the kernel place the processes")
    return parser


def main() -> None:
    """Read the command line, run, print and write the report."""
    given = _parser().parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, _end)
    try:
        report = _report(given)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    print(render(report))
    if given.publish:
        page = publish(report, load_growth(_BENCH / "scale.json"), _ROOT / "core" / "docs")
        print(f"\npublished in {page.relative_to(_ROOT)}")
    raise SystemExit(1 if wrong_replies(report, ours=True) else 0)


def _report(given: argparse.Namespace) -> Report:
    if given.source:
        try:
            return msgspec.json.decode(given.source.read_bytes(), type=Report)
        except (OSError, msgspec.DecodeError) as error:
            raise BenchError(f"`{given.source}` is no report: {error}") from None
    words = [word for word in sys.argv[1:] if word != "--publish"]
    command = f'make bench ARGS="{" ".join(words)}"' if words else "make bench"
    report = run(_choose(given, load_manifests()), _scale(given), given.gateway, pin=not given.no_pin, command=command)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1))
    print(f"{report.seconds:.0f} s, written to {given.output.name}\n")
    return report


if __name__ == "__main__":
    main()
