"""The shape of the repository: who may depend on whom, and what a package may hold."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from headgate.hooks import STAGES

ROOT = Path(__file__).parents[2]
SHELVES = ("core", "plugins", "providers", "guardrails")
TOP = {
    *SHELVES,
    "deploy",
    "tests",
    "pyproject.toml",
    "README.md",
    "uv.lock",
    "Makefile",
    "LICENSE",
    "CHANGELOG.md",
    "conftest.py",
    "CONTRIBUTING.md",
}
DIALECT_PROVIDERS = {"headgate-compatible", "headgate-google", "headgate-openai"}
LOCAL_PROVIDERS = {"demo"}
"""Providers that send nothing over a network, so that the contract suite has nothing to replay."""
GROUPS = {
    "plugins": {"headgate.plugins"},
    "providers": {"headgate.providers", "headgate.catalogues"},
    "guardrails": {"headgate.plugins"},
}
PACKAGES = sorted(path.parent for shelf in SHELVES[1:] for path in (ROOT / shelf).glob("*/pyproject.toml"))


def _project(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))


def _own_dependencies(folder: Path) -> set[str]:
    """Dependencies that are packages of this product."""
    names = {re.split(r"[<>=!~\[; ]", text)[0] for text in _project(folder)["project"]["dependencies"]}
    return {name for name in names if name == "headgate" or name.startswith("headgate-")}


def _imports(folder: Path) -> set[str]:
    """Top-level modules of this product that a package's sources import."""
    found: set[str] = set()
    for path in (folder / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names.append(node.module)
            found |= {name.partition(".")[0] for name in names if name.startswith("headgate")}
    return found


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda folder: folder.name)
def test_dependency_direction(folder: Path) -> None:
    """Plugins and guardrails depend on the core alone; providers also on a dialect provider; nothing on a plugin."""
    allowed = {"headgate"}
    if folder.parent.name == "providers":
        allowed |= DIALECT_PROVIDERS
    own = _project(folder)["project"]["name"]

    assert _own_dependencies(folder) <= allowed - {own}
    assert _imports(folder) - {own.replace("-", "_")} <= {name.replace("-", "_") for name in allowed}


def test_core_imports_no_extension() -> None:
    """The core knows no plugin and no provider."""
    assert _imports(ROOT / "core") == {"headgate"}
    assert _own_dependencies(ROOT / "core") == set()


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda folder: folder.name)
def test_entry_points(folder: Path) -> None:
    """A package announces itself in the groups of its shelf only, under its own name, and perhaps further ones of its vendor."""
    groups = _project(folder)["project"]["entry-points"]
    prefix = "guard-" if folder.parent.name == "guardrails" else ""

    assert set(groups) <= GROUPS[folder.parent.name]
    assert all(f"{prefix}{folder.name}" in points for points in groups.values())
    module = _project(folder)["project"]["name"].replace("-", "_")
    assert all(target.startswith(f"{module}:") for points in groups.values() for target in points.values())


@pytest.mark.parametrize("folder", [ROOT / "core", *PACKAGES], ids=lambda folder: folder.name)
def test_package_holds_no_tool_tables(folder: Path) -> None:
    """Tool configuration lives at the root; a package has a README of at most 20 lines and a typed source folder."""
    project = _project(folder)
    name = project["project"]["name"].replace("-", "_")

    assert "tool" not in project
    assert project["project"]["license"] == "Apache-2.0"
    assert not {"Makefile", "LICENSE", "uv.lock", "setup.cfg", "ruff.toml"} & {path.name for path in folder.iterdir()}
    assert (folder / "src" / name / "py.typed").is_file()
    if folder.name != "core":
        assert len((folder / "README.md").read_text("utf-8").splitlines()) <= 20
        assert list((folder / "tests").glob("test_*.py"))


def test_versions_are_in_lockstep() -> None:
    """One version for all."""
    versions = {_project(folder)["project"]["version"] for folder in (ROOT / "core", *PACKAGES)}

    assert len(versions) == 1


def test_top_level_is_fixed() -> None:
    """Nothing grows at the top level of the repository."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    top = {line.partition("/")[0] for line in listed.splitlines()}

    assert {name for name in top if not name.startswith(".")} <= TOP


def test_every_hook_is_documented_and_tested() -> None:
    """A hook has a contract in its docstring that says since when, a place in hooks.md, and a test of its own."""
    reference = (ROOT / "core/docs/hooks.md").read_text("utf-8")
    tests = "".join(path.read_text("utf-8") for path in (ROOT / "core/tests").glob("test_hooks*.py"))

    for name in STAGES:
        assert f"### `{name}`" in reference
        assert f"def test_hook_{name}(" in tests
    assert reference.count("Added in 0.") >= len(STAGES)


def test_every_provider_package_runs_the_contract() -> None:
    """A provider's tests subclass the contract suite."""
    for folder in PACKAGES:
        if folder.parent.name == "providers" and folder.name not in LOCAL_PROVIDERS:
            text = "".join(path.read_text("utf-8") for path in (folder / "tests").glob("test_*.py"))
            assert "ProviderContract" in text, folder.name


def test_files_stay_small() -> None:
    """A source file has at most 500 lines, a test file 1,000: past that, two things live in it."""
    long = {
        str(path.relative_to(ROOT)): count
        for shelf in (*SHELVES, "tests")
        for path in (ROOT / shelf).rglob("*.py")
        if "node_modules" not in path.parts
        and (count := len(path.read_text("utf-8").splitlines())) > (1000 if "tests" in path.parts else 500)
    }

    assert long == {}
