"""Reading a node's settings, with what is wrong told at its place."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from headgate.exchange import Target
from headgate.hooks import Fault


def only(target: Target, known: Collection[str], fault: Fault) -> None:
    """Every setting must be known."""
    takes = ", ".join(f"`{name}`" for name in sorted(known))
    for name in target.settings.keys() - {*known}:
        fault(f"strategy.{name}", f"is not known: `{target.strategy}` takes {takes}")


def number(target: Target, name: str, fault: Fault, *, least: float, most: float) -> float | None:
    """A number within bounds; None where it is not said or wrong."""
    written: Any = target.settings.get(name)
    if written is None:
        return None
    if isinstance(written, int | float) and not isinstance(written, bool) and least <= written <= most:
        return float(written)
    fault(f"strategy.{name}", f"must be a number from {least:g} to {most:g}")
    return None
