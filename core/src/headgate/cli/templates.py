"""The packages that `headgate new` writes."""

from __future__ import annotations


def render(kind: str, name: str) -> dict[str, str]:
    """File contents by relative path."""
    raise KeyError(kind, name)
