"""The section about versions of Python: the same gateway from the same lock file, an environment for each."""

import os
import platform
import subprocess
from pathlib import Path
from statistics import median

from processes import BenchError
from scale_lab import ALL_ON_HEADERS, Lab, Server, all_on_config, find_uv, in_turns, simple_config
from scale_parts import Section, number, ratio

VERSIONS = ("3.11", "3.12", "3.13")

_ROOT = Path(__file__).parents[2]
_PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
_SYNC_S = 600


def find_python(version: str) -> Path | None:
    """The newest interpreter of a version below pyenv's folder, or the one on the path; None without one."""
    found = [path / "bin" / "python3" for path in _PYENV.glob(f"{version}.*") if (path / "bin" / "python3").exists()]
    newest = max(found, key=lambda path: int(path.parts[-3].rpartition(".")[2]), default=None)
    if newest is not None:
        return newest
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if "shims" not in folder]
    return next((folder / f"python{version}" for folder in folders if (folder / f"python{version}").exists()), None)


def make_environment(version: str, python: Path) -> Path:
    """The `headgate` of an environment with this Python, made from the lock file when it is not there; BenchError."""
    uv = find_uv()
    if uv is None:
        raise BenchError("there is no `uv` to make environments with")
    folder = _ROOT / ".bench" / f"python-{version}"
    command = [uv, "sync", "--quiet", "--frozen", "--all-packages", "--no-dev", "--python", str(python)]
    environment = os.environ | {"UV_PROJECT_ENVIRONMENT": str(folder)}
    environment.pop("VIRTUAL_ENV", None)
    done = subprocess.run(
        command, cwd=_ROOT, env=environment, capture_output=True, text=True, timeout=_SYNC_S, check=False
    )
    if done.returncode:
        raise BenchError(f"no environment with Python {version}: {done.stderr.strip()[-500:]}")
    return folder / "bin" / "headgate"


def measure_pythons(lab: Lab) -> list[Section]:
    """CPU per request, start and memory of each Python that is here."""
    commands: dict[str, Path] = {}
    absent: list[str] = []
    for version in VERSIONS:
        python = find_python(version)
        if python is None:
            absent.append(version)
        else:
            commands[version] = make_environment(version, python)
    if not commands:
        raise BenchError(f"none of Python {', '.join(VERSIONS)} is here")
    note = f"expected: none is slower than {next(iter(commands))} by more than a tenth"
    rows, slower = _compare(lab, commands)
    note += f"; {f'SLOWER: {chr(44).join(slower)}' if slower else 'seen'}"
    if absent:
        note += f"; not measured, as they are not here: {', '.join(absent)}"
    columns = ["Python", "defaults us", "of first", "all on us", "of first", "us per chunk", "start CPU s", "RSS MB"]
    return [Section(f"Pythons: CPU per request (driver on {platform.python_version()})", note, columns, rows)]


def _compare(lab: Lab, commands: dict[str, Path]) -> tuple[list[list[str]], list[str]]:
    upstream = lab.upstream()
    defaults = [lab.gateway(version, simple_config(upstream), command=command) for version, command in commands.items()]
    full = [
        lab.gateway(f"{version} all on", _full(lab, version, upstream), ALL_ON_HEADERS, command=command)
        for version, command in commands.items()
    ]
    rounds, count = lab.pick(7, 3), lab.pick(500, 250)
    few = in_turns(defaults, rounds, lambda server: server.load(count), warm=1000)
    many = in_turns(full, rounds, lambda server: server.load(count), warm=1000)
    chunks = in_turns(defaults, lab.pick(3, 1), lambda server: server.streams(lab.pick(40, 20)), warm=10)
    rows = [
        [
            version,
            *_with_ratio(few, version, defaults[0].name),
            *_with_ratio(many, all_on.name, full[0].name),
            number(median(chunks[version])),
            number(server.cpu_s),
            number(server.child.rss_mb()),
        ]
        for version, server, all_on in zip(commands, defaults, full, strict=True)
    ]
    pairs = ((few, defaults), (many, full))
    slower = [s.name for taken, servers in pairs for s in servers if ratio(taken[servers[0].name], taken[s.name]) > 1.1]
    return rows, slower


def _full(lab: Lab, version: str, upstream: Server) -> dict[str, object]:
    return all_on_config(lab.server_folder(f"{version} all on"), upstream)


def _with_ratio(taken: dict[str, list[float]], name: str, first: str) -> tuple[str, str]:
    return number(median(taken[name])), f"x{ratio(taken[first], taken[name]):.2f}"
