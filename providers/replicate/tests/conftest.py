"""What all tests of this package have: pauses that are short."""

from __future__ import annotations

import pytest

from headgate_replicate import predictions


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause of these tests is longer than a moment."""
    monkeypatch.setattr(predictions, "POLL_S", 0.001)
    monkeypatch.setattr(predictions, "LEAVING_S", 0.05)
