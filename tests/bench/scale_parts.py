"""What a scale run says: sections of rows, and judgements that compare figures of one run with each other alone."""

import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import msgspec
import psutil

FLAT = 1.10
LINEAR = 1.30
_GROWTH = 0.1
"""A step that adds less than this share is noise, and nothing to hold the next one against."""


class Section(msgspec.Struct, frozen=True):
    """One table; `note` says what is expected and what was seen, `figures` are numbers that marks are held against."""

    name: str
    note: str
    columns: list[str]
    rows: list[list[str]]
    figures: dict[str, float] = {}

    def __post_init__(self) -> None:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"`{self.name}` has rows that are not as wide as its columns")


class Machine(msgspec.Struct, frozen=True):
    """Where a run took place; `pinned` says that driver and servers had a core each."""

    cpu: str
    cores: int
    memory_gb: float
    kernel: str
    python: str
    pinned: bool

    @classmethod
    def from_here(cls, *, pinned: bool) -> "Machine":
        """Describe this machine."""
        named = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        cpu = named[0].partition(":")[2].strip() if named else platform.machine()
        memory_gb = round(psutil.virtual_memory().total / 2**30, 1)
        return cls(cpu, os.cpu_count() or 1, memory_gb, platform.release(), platform.python_version(), pinned)


class Scale(msgspec.Struct, frozen=True):
    """A whole run: the structure of `.bench/scale.json`."""

    machine: Machine
    sections: list[Section]
    figures: dict[str, float] = {}

    @classmethod
    def of(cls, machine: Machine, sections: Sequence[Section]) -> "Scale":
        """A run with the figures of all its sections."""
        figures = {name: value for section in sections for name, value in section.figures.items()}
        return cls(machine, list(sections), figures)


def render(section: Section) -> str:
    """A section as text for a terminal."""
    table = [section.columns, *section.rows]
    widths = [max(len(row[at]) for row in table) for at in range(len(section.columns))]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in table
    ]
    return "\n".join([section.name, section.note, *(f"  {line.rstrip()}" for line in lines)])


def ratio(first: Sequence[float], last: Sequence[float]) -> float:
    """How many times the first the last is: the median over the rounds."""
    return median([b / a for a, b in zip(first, last, strict=True)])


def judge_flat(what: str, rounds: Mapping[str, Sequence[float]], limit: float = FLAT) -> str:
    """Whether a figure stays the same from the first to the last entry of `rounds`."""
    names = list(rounds)
    seen = ratio(rounds[names[0]], rounds[names[-1]])
    return (
        f"{what}: expected flat, {'flat' if seen <= limit else 'NOT FLAT'}: x{seen:.2f} from {names[0]} to {names[-1]}"
    )


def judge_linear(what: str, points: Sequence[tuple[float, float]], limit: float = LINEAR) -> str:
    """Whether the last of (size, cost) adds no more per unit than those before it did."""
    (first, cost), (before, cost_before), (last, cost_last) = points[0], points[-2], points[-1]
    early = (cost_before - cost) / (before - first)
    late = (cost_last - cost_before) / (last - before)
    if cost_before - cost < _GROWTH * cost:
        return f"{what}: expected linear, too little growth to judge"
    seen = late / early
    words = "linear or less" if seen <= limit else "MORE THAN LINEAR"
    return f"{what}: expected linear, {words}: the last step adds x{seen:.2f} per unit of what the steps before it add"


def judge_bound(what: str, seen: float, bound: float, unit: str) -> str:
    """Whether a figure stays under an absolute bound."""
    return f"{what}: expected at most {bound:g} {unit}, {'seen' if seen <= bound else 'EXCEEDED'}: {seen:.1f} {unit}"


def number(value: float) -> str:
    """A figure with about three digits that mean something."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
