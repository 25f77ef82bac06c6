"""The regression gate: fails when a request or a chunk costs more than `bounds.toml` allows, as `make bench-gate`.

CPU is held against the bare proxy's in the same rounds, each stage against a fixed piece of work in the same process,
and calls of Python functions against a number. What is over its bound is measured once more before it counts, except
for calls, which do not vary. `--propose` prints bounds with head-room over what is seen. Exit status: 0, 1 on excess,
2 when nothing could be measured.
"""

import argparse
import os
import sys
import tempfile
import tomllib
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import msgspec
from manifests import load_manifests
from phases import Run, Scale
from processes import BenchError
from report import cpu_ratio
from run import cpus_for_run
from stages import Cost, measure_stages
from tables import Table
from targets import Fleet

_FILE = Path(__file__).parent / "bounds.toml"
_SCALE = Scale(rounds=4, small=1200, streams=30, phase_s=0.5, quiet_s=0.5, phases=("1KB", "stream"))
_OURS = ("defaults", "all-on")
_HEADROOM = {"cpu": 1.35, "stages": 1.3, "calls": 1.08, "calls_per_chunk": 1.05}
_LEAST = {"stages": 0.5, "calls": 3.0, "calls_per_chunk": 1.0}

Seen = dict[str, float]


class Bounds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The most that is allowed. `cpu`: multiples of the bare proxy, by target and phase. The rest: by stage.

    `stages` is CPU in units of `stages.reference_work`; `calls` are of Python functions, per request and per chunk.
    `call` is the pipeline without plugins, `all` the one with every stage, the others what they add to `call`.
    """

    cpu: dict[str, float]
    stages: dict[str, float]
    calls: dict[str, float]
    calls_per_chunk: dict[str, float]


class Check(msgspec.Struct, frozen=True):
    """A figure beside its bound."""

    name: str
    seen: float
    bound: float

    @property
    def is_over(self) -> bool:
        """Whether the bound is exceeded."""
        return self.seen > self.bound


def load_bounds(path: Path = _FILE) -> Bounds:
    """The bounds; raises BenchError for a file that does not hold them."""
    try:
        return msgspec.convert(tomllib.loads(path.read_text()), Bounds)
    except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise BenchError(f"`{path.name}`: {error}") from None


def compare(kind: str, seen: Seen, bounds: Seen) -> list[Check]:
    """Each figure with its bound; raises BenchError when one has none, or a bound no figure."""
    if odd := set(seen) ^ set(bounds):
        raise BenchError(f"`{_FILE.name}`: `{kind}` and what is measured differ in {', '.join(sorted(odd))}")
    return [Check(f"{kind}: {name}", seen[name], bounds[name]) for name in bounds]


def least(first: Seen, second: Seen) -> Seen:
    """The lower of two measurements: noise only adds."""
    return {name: min(value, second[name]) for name, value in first.items()}


def within(kind: str, measure: Callable[[], Seen], bounds: Seen) -> list[Check]:
    """Measure, and once more if something is over its bound."""
    seen = measure()
    checks = compare(kind, seen, bounds)
    if any(check.is_over for check in checks):
        print(f"{kind}: over a bound, measured again", flush=True)
        checks = compare(kind, least(seen, measure()), bounds)
    return checks


def measure_cpu(gateway: Path) -> Seen:
    """CPU of our targets per request and per chunk as multiples of the bare proxy's: medians of the rounds."""
    manifests = load_manifests()
    pins = cpus_for_run(pin=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headgate-bench-")))
        fleet = Fleet(stack, folder, gateway, pins, chunks=_SCALE.chunks)
        targets, _ = fleet.start([manifests[name] for name in ("direct", "bare", *_OURS)])
        if pins is not None:
            stack.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
            os.sched_setaffinity(0, pins[0])
        taken = Run(targets[1:], _SCALE)
        taken.measure()
    bare = taken.samples["bare"]
    wrong = {
        error for phases in taken.samples.values() for one in phases.values() for s in one for error in s.result.errors
    }
    if wrong:
        raise BenchError(f"wrong replies: {', '.join(sorted(wrong))}")
    return {
        f"{name} {phase}": cpu_ratio(taken.samples[name][phase], bare[phase]).median
        for name in _OURS
        for phase in _SCALE.phases
    }


def stage_figures(costs: dict[str, Cost]) -> tuple[Seen, Seen, Seen]:
    """CPU units, calls and calls per chunk by stage."""
    return (
        {name: cost.units for name, cost in costs.items()},
        {name: cost.calls for name, cost in costs.items()},
        {name: cost.calls_per_chunk for name, cost in costs.items()},
    )


def check_all(bounds: Bounds, gateway: Path) -> list[Check]:
    """Every figure with its bound."""
    costs = measure_stages()
    _, calls, per_chunk = stage_figures(costs)
    again = iter([stage_figures(costs)[0]])
    units = within("stages", lambda: next(again, None) or stage_figures(measure_stages())[0], bounds.stages)
    return [
        *compare("calls", calls, bounds.calls),
        *compare("calls_per_chunk", per_chunk, bounds.calls_per_chunk),
        *units,
        *within("cpu", lambda: measure_cpu(gateway), bounds.cpu),
    ]


def propose(gateway: Path) -> str:
    """Bounds with head-room over what is seen now, as TOML."""
    units, calls, per_chunk = stage_figures(measure_stages())
    lines: list[str] = []
    seen = {"cpu": measure_cpu(gateway), "stages": units, "calls": calls, "calls_per_chunk": per_chunk}
    for kind, figures in seen.items():
        lines.append(f"[{kind}]")
        for name, value in figures.items():
            bound = max(value * _HEADROOM[kind], max(value, 0) + _LEAST.get(kind, 0))
            lines.append(f'"{name}" = {bound:.2f} # seen {value:.2f}')
        lines.append("")
    return "\n".join(lines)


def as_table(checks: list[Check]) -> Table:
    """The checks for a person."""
    rows = [[one.name, f"{one.seen:.2f}", f"{one.bound:.2f}", "OVER" if one.is_over else "ok"] for one in checks]
    return Table("Regression gate", ["figure", "seen", "bound", ""], rows)


def main() -> None:
    """Read the command line, measure and judge."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--gateway", type=Path, default=Path(sys.executable).parent / "headgate")
    parser.add_argument("--bounds", type=Path, default=_FILE)
    parser.add_argument("--propose", action="store_true", help="print bounds with head-room instead of judging")
    given = parser.parse_args()
    try:
        if given.propose:
            print(propose(given.gateway))
            return
        checks = check_all(load_bounds(given.bounds), given.gateway)
    except BenchError as error:
        print(f"bench-gate: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    print(as_table(checks).text())
    over = [check.name for check in checks if check.is_over]
    if over:
        print(f"\nover its bound: {', '.join(over)}", file=sys.stderr)
    raise SystemExit(1 if over else 0)


if __name__ == "__main__":
    main()
