"""What `headgate new` writes passes its own tests, the linter and the type checker as it is."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from headgate import Hooks, Provider, cli
from headgate.cli.templates import SHAPES, class_name, render

ROOT = Path(__file__).parents[2]
SETTINGS = ROOT / "pyproject.toml"
NAMES = {"plugin": "spend-cap", "provider": "acme", "guardrail": "no-words"}

Written = Callable[[str, str], Path]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Writes a package and gives its folder."""

    def write(kind: str, name: str) -> Path:
        folder = tmp_path / name
        assert cli.main(["new", kind, name, "--into", str(folder)]) == 0
        return folder

    return write


def run(arguments: Sequence[str], *folders: Path) -> subprocess.CompletedProcess[str]:
    """Run a Python module in the first of these written packages, which are found without being installed."""
    sources = [str(folder / "src") for folder in folders]
    held = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [*sources, os.environ.get("PYTHONPATH")]))}
    return subprocess.run(
        [sys.executable, "-m", *arguments], check=False, capture_output=True, text=True, cwd=folders[0], env=held
    )


def test_their_own_tests_pass(written: Written, tmp_path: Path) -> None:
    """The tests of fresh packages of all kinds pass under the settings of this repository."""
    folders = [written(kind, name) for kind, name in NAMES.items()]
    found = run(["pytest", "-q", "-c", str(SETTINGS), "--rootdir", str(tmp_path), *files_of_tests(folders)], *folders)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "skipped" not in found.stdout


def test_their_own_tests_pass_elsewhere(written: Written, tmp_path: Path) -> None:
    """They pass outside of this repository, too, where nothing is set: async tests are marked as such."""
    folders = [written(kind, name) for kind, name in NAMES.items()]
    (tmp_path / "pytest.ini").write_text("[pytest]\n", "utf-8")
    found = run(["pytest", "-q", *files_of_tests(folders)], *folders)
    assert found.returncode == 0, found.stdout + found.stderr


def files_of_tests(folders: Sequence[Path]) -> list[str]:
    """Where the tests of written packages are; each has some."""
    paths = [str(path) for folder in folders for path in (folder / "tests").glob("test_*.py")]
    assert len(paths) == len(folders)
    return paths


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("name", ["x", "spend-cap", "a-name-that-goes-on-and-on-for-a-while", "none", "hooks", "words"])
def test_the_linter_is_content(written: Written, kind: str, name: str) -> None:
    """Rules and format of this repository hold, whatever the name."""
    folder = written(kind, name)
    for command in (["check"], ["format", "--check", "--diff"]):
        found = run(["ruff", *command, "--config", str(SETTINGS), "--no-cache", "."], folder)
        assert found.returncode == 0, found.stdout + found.stderr


def test_the_type_checker_is_content(written: Written, tmp_path: Path) -> None:
    """All three kinds pass the strict type checker with this repository's settings."""
    folders = [written(kind, name) for kind, name in NAMES.items()]
    settings = tomllib.loads(SETTINGS.read_text("utf-8"))["tool"]["pyright"]
    environment = Path(sys.prefix)
    settings |= {
        "include": ["."],
        "exclude": [],
        "extraPaths": [str(folder / "src") for folder in folders],
        "venvPath": str(environment.parent),
        "venv": environment.name,
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings), "utf-8")
    found = run(["pyright", "-p", str(tmp_path)], tmp_path)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("kind", SHAPES)
def test_shape_of_a_package(kind: str) -> None:
    """A package is five files: a short pyproject without tool settings, a README of at most 20 lines, code and tests."""
    package = render(kind, "some-name")
    module = "headgate_guard_some_name" if kind == "guardrail" else "headgate_some_name"
    assert sorted(package) == [
        "README.md",
        "pyproject.toml",
        f"src/{module}/__init__.py",
        f"src/{module}/py.typed",
        "tests/test_some_name.py",
    ]
    assert len(package["README.md"].splitlines()) <= 20
    assert len(package["pyproject.toml"].splitlines()) <= 17
    assert "tool" not in tomllib.loads(package["pyproject.toml"])
    assert not any("$" in text for text in package.values())


@pytest.mark.parametrize(
    ("kind", "group", "entry", "value", "base"),
    [
        ("plugin", "headgate.plugins", "spend-cap", "headgate_spend_cap:SpendCap", Hooks),
        ("provider", "headgate.providers", "acme", "headgate_acme:Acme", Provider),
        ("guardrail", "headgate.plugins", "guard-no-words", "headgate_guard_no_words:GuardNoWords", Hooks),
    ],
)
def test_entry_point(kind: str, group: str, entry: str, value: str, base: type[Any]) -> None:
    """The one entry point leads to the class in the code."""
    package = render(kind, NAMES[kind])
    project = tomllib.loads(package["pyproject.toml"])["project"]
    assert project["entry-points"] == {group: {entry: value}}
    module, _, name = value.partition(":")
    classes = [node for node in ast.parse(package[f"src/{module}/__init__.py"]).body if isinstance(node, ast.ClassDef)]
    assert classes[-1].name == name
    namespace: dict[str, Any] = {"__name__": module}
    exec(compile(package[f"src/{module}/__init__.py"], module, "exec"), namespace)
    assert issubclass(namespace[name], base)


@pytest.mark.parametrize("kind", SHAPES)
def test_dependencies_are_those_imported(kind: str) -> None:
    """A package names what it imports and nothing else."""
    package = render(kind, "x")
    code = next(text for path, text in package.items() if path.endswith("__init__.py"))
    imported = {
        (node.module or "").partition(".")[0].replace("_", "-")
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.ImportFrom)
    } - set(sys.stdlib_module_names)
    project = tomllib.loads(package["pyproject.toml"])["project"]
    assert {dependency.partition(">")[0] for dependency in project["dependencies"]} == imported - {"--future--"}


@pytest.mark.parametrize(
    ("kind", "entry", "expected"),
    [
        ("plugin", "spend-cap", "SpendCap"),
        ("provider", "x2-y", "X2Y"),
        ("plugin", "none", "NonePlugin"),
        ("plugin", "hooks", "HooksPlugin"),
        ("guardrail", "guard-words", "GuardWords"),
    ],
)
def test_class_names(kind: str, entry: str, expected: str) -> None:
    """Classes are named as the entry point; Python's words and names already in use get the kind behind them."""
    assert class_name(kind, entry) == expected


def test_nothing_is_overwritten(written: Written, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that is there stays as it is."""
    folder = written("plugin", "mine")
    (folder / "README.md").write_text("changed", "utf-8")
    assert cli.main(["new", "plugin", "mine", "--into", str(folder)]) == 1
    assert "is there already" in capsys.readouterr().err
    assert (folder / "README.md").read_text("utf-8") == "changed"


@pytest.mark.parametrize("name", ["Name", "a_b", "-a", "a--b", "2x", "", "a/b", "../a"])
def test_names(tmp_path: Path, name: str) -> None:
    """A name that makes no distribution name is refused."""
    code = 0
    try:
        code = cli.main(["new", "plugin", "--into", str(tmp_path / "x"), "--", name])
    except SystemExit as ended:
        code = int(ended.code or 0)
    assert code == 2
    assert not (tmp_path / "x").exists()
