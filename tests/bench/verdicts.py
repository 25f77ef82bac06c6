"""Marks and losses as tables."""

from marks import Loss, Verdict
from metrics import METRICS
from tables import Table


def marks_table(verdicts: list[Verdict]) -> Table:
    """Each mark with its bound, what was measured, and whether that meets it."""
    rows = [
        [one.name, one.bound, one.measured, one.word + (f" ({one.reason})" if one.reason else "")] for one in verdicts
    ]
    return Table("Marks", ["mark", "bound", "measured", "verdict"], rows)


def losses_table(losses: list[Loss]) -> Table:
    """Where others are ahead of us."""
    rows = [
        [METRICS[one.metric].label, *(_listed(names) for names in (one.ours, one.ahead_of_all, one.ahead_of_some))]
        for one in losses
    ]
    head = ["figure", "ours", "ahead of all of ours", "ahead of one of ours"]
    return Table("What we lose: figures in which another target is ahead", head, rows)


def _listed(names: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in names.items()) or "-"
