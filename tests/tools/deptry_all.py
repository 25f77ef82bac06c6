"""Runs deptry in every package: what a package imports is what it declares, and the other way round."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

SHELVES = ("core", "plugins/*", "providers/*", "guardrails/*")
# imported through a name that deptry cannot map to its distribution
RENAMED = {"google-re2": "re2", "pyyaml": "yaml"}


def main() -> int:
    """Check each package; the exit code is 1 when one of them fails."""
    failed = False
    for shelf in SHELVES:
        for folder in sorted(Path().glob(shelf)):
            if not (folder / "pyproject.toml").is_file():
                continue
            project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
            own = project["name"].replace("-", "_")
            mapped = ",".join(f"{dist}={module}" for dist, module in RENAMED.items())
            command = [
                str(Path(sys.executable).parent / "deptry"),
                "src",
                "--known-first-party",
                own,
                "--package-module-name-map",
                mapped,
            ]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            if done.returncode:
                failed = True
                sys.stdout.write(f"{folder}:\n{done.stdout}{done.stderr}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
