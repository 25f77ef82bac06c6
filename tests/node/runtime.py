"""Node.js and the npm packages of this folder: where they are, and what happens without them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
MODULES = FOLDER / "node_modules"


def require_node(package: str) -> str:
    """The path of `node`. Without it, or without the package, the test is skipped with the reason; in CI it fails."""
    node = shutil.which("node")
    if node is not None and (MODULES / package).is_dir():
        return node
    what = "Node.js is not installed" if node is None else f"the npm package `{package}` is not installed"
    reason = f"{what}: run `make node` with Node.js 20 or newer"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
