"""Reads `.bench/scale.json`, what `scale.py` found about growth, for the page and for the marks."""

from pathlib import Path
from typing import Any

import msgspec
from tables import Table


class Part(msgspec.Struct, frozen=True):
    """One table of a run of `scale.py`; cells may be text or numbers."""

    name: str
    note: str = ""
    columns: list[str] = []
    rows: list[list[Any]] = []

    def table(self) -> Table:
        """The same as a table; short rows are filled up."""
        width = len(self.columns)
        rows = [([str(cell) for cell in row] + [""] * width)[:width] for row in self.rows]
        return Table(self.name, self.columns, rows, self.note)


class Growth(msgspec.Struct, frozen=True):
    """What a run of `scale.py` found; `figures` are single numbers that marks are held against, by name."""

    machine: dict[str, Any] | str = ""
    sections: list[Part] = []
    figures: dict[str, float] = {}

    def place(self) -> str:
        """The machine in one line."""
        if isinstance(self.machine, str):
            return self.machine
        held = self.machine
        return (
            f"{held.get('cpu', '?')}, {held.get('cores', '?')} cores, Python {held.get('python', '?')}" if held else ""
        )


def load_growth(path: Path) -> Growth | None:
    """What `scale.py` wrote; None when there is no such file or it is of another form."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Growth)
    except (OSError, msgspec.DecodeError):
        return None
