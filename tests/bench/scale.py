"""Measures what grows and what does not: `python tests/bench/scale.py [--only NAME,...] [--quick]`.

Each section compares figures of the same run and says what is expected. Tables go to the terminal and to
`.bench/scale.json`. Exit status: 0, or 2 when the run could not be made.
"""

import argparse
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec
from processes import BenchError
from scale_lab import Lab, lab
from scale_parts import Machine, Scale, Section, render
from scale_pythons import measure_pythons
from scale_request import measure_bodies, measure_gc, measure_plugins
from scale_state import measure_deployments, measure_keys
from scale_streams import measure_streams
from scale_turns import measure_turns
from scale_workers import measure_workers

SECTIONS: Mapping[str, Callable[[Lab], list[Section]]] = {
    "workers": measure_workers,
    "bodies": measure_bodies,
    "plugins": measure_plugins,
    "keys": measure_keys,
    "deployments": measure_deployments,
    "streams": measure_streams,
    "turns": measure_turns,
    "pythons": measure_pythons,
    "gc": measure_gc,
}

_OUTPUT = Path(__file__).parents[2] / ".bench" / "scale.json"


def measure(names: list[str], *, quick: bool, pin: bool = True) -> Scale:
    """Carry out the named sections, each with servers of its own, printing each when it is done; raises BenchError."""
    sections: list[Section] = []
    pinned = False
    for name in names:
        started = time.monotonic()
        with lab(quick=quick, pin=pin) as made:
            pinned = made.pinned
            found = SECTIONS[name](made)
        sections += found
        print("\n\n".join(map(render, found)))
        print(f"({name}: {time.monotonic() - started:.0f} s)\n", flush=True)
    return Scale.of(Machine.from_here(pinned=pinned), sections)


def write(found: Scale, path: Path) -> None:
    """Write what was found. Sections of an earlier run that this one left out are kept when they are of this machine."""
    sections = {section.name: section for section in found.sections}
    with suppress(OSError, msgspec.DecodeError):
        before = msgspec.json.decode(path.read_bytes(), type=Scale)
        if before.machine == found.machine:
            sections = {section.name: section for section in before.sections} | sections
    whole = Scale.of(found.machine, list(sections.values()))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(whole), indent=1))


def _names(text: str) -> list[str]:
    given = text.split(",")
    if unknown := set(given) - set(SECTIONS):
        raise argparse.ArgumentTypeError(f"unknown section {sorted(unknown)}; there are {', '.join(SECTIONS)}")
    return [name for name in SECTIONS if name in given]


def _end(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def _allow_files() -> None:
    """Let this process and its children open as many connections as the machine allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main() -> None:
    """Read the command line, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--quick", action="store_true", help="about 10 s a section, with more noise")
    parser.add_argument("--only", type=_names, default=list(SECTIONS), help=f"of {','.join(SECTIONS)}")
    parser.add_argument("--output", type=Path, default=_OUTPUT)
    parser.add_argument("--no-pin", action="store_true", help="let the kernel place the processes")
    given = parser.parse_args()
    for signal_number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(signal_number, _end)
    _allow_files()
    try:
        found = measure(given.only, quick=given.quick, pin=not given.no_pin)
    except BenchError as error:
        print(f"scale: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    write(found, given.output)
    print(f"written to {given.output.name}")


if __name__ == "__main__":
    main()
