"""Commands that write files: init and new."""

from __future__ import annotations

import argparse
import re
import sys
from importlib.resources import files
from pathlib import Path

from headgate.cli.templates import render
from headgate.errors import Problem, StartupError

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_FOLDERS = {"plugin": "plugins", "provider": "providers", "guardrail": "guardrails"}


def init(arguments: argparse.Namespace) -> int:
    """Write a commented configuration."""
    path: Path = arguments.path
    if path.exists() and not arguments.force:
        print(f"headgate: `{path}` is there already; --force overwrites it", file=sys.stderr)
        return 1
    _write(path, files("headgate.config").joinpath("headgate.yaml").read_text("utf-8"))
    print(f"wrote {path}; look through it, then run `headgate serve`")
    return 0


def new(arguments: argparse.Namespace) -> int:
    """Write a package."""
    kind: str = arguments.kind
    name: str = arguments.name
    if not _NAME.fullmatch(name):
        print(f"headgate: `{name}` is no name: lower case letters, digits and single dashes", file=sys.stderr)
        return 2
    folder = _folder(kind, name, arguments.into)
    if folder.exists():
        print(f"headgate: `{folder}` is there already", file=sys.stderr)
        return 1
    for relative, text in render(kind, name).items():
        path = folder / relative
        _write(path, text, with_folder=True)
    is_member = folder.parent == Path(_FOLDERS[kind])
    print(
        f"wrote {folder}\nnext: {'make docs check test' if is_member else f'uv pip install -e {folder} && pytest {folder}'}"
    )
    return 0


def _write(path: Path, text: str, *, with_folder: bool = False) -> None:
    """Write a file, and the folder it is in when that is wanted. StartupError says why it cannot be written."""
    try:
        if with_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise StartupError([Problem(f"`{path}` cannot be written: {reason}")]) from None


def _folder(kind: str, name: str, into: Path | None) -> Path:
    """Inside a workspace of Headgate its own place, elsewhere a folder named as the distribution."""
    if into is not None:
        return into
    shelf = Path(_FOLDERS[kind])
    if shelf.is_dir() and Path("core/src/headgate").is_dir():
        return shelf / name
    return Path(f"headgate-guard-{name}" if kind == "guardrail" else f"headgate-{name}")
