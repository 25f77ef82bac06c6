"""Where models are that stand in the address of a call rather than in its body."""

from __future__ import annotations

from urllib.parse import quote

from headgate.caller import check_path


def path_of(model: str) -> str:
    """A model's name as part of an address, its slashes kept. Raises InvalidRequest for one that would lead elsewhere."""
    check_path(model)
    return quote(model, safe="@/")
