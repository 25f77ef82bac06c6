"""How large an installation is: Headgate's core and default set from wheels in a fresh environment, peers as unpacked.

Building wheels takes some ten seconds, so the answer is kept in `.bench/install.json` until a dependency changes.
"""

import hashlib
import tempfile
import tomllib
from pathlib import Path

import msgspec
from manifests import Manifest
from peers import installed, run_command, size_mb, uv_command
from processes import BenchError

_ROOT = Path(__file__).parents[2]
_KEPT = _ROOT / ".bench" / "install.json"


class HeadgateSize(msgspec.Struct, frozen=True):
    """What core and default set take in MB of 10**6 bytes without byte code, and their largest packages."""

    spec: str
    size_mb: float
    packages: int
    largest: dict[str, float]


def install_mb(manifest: Manifest, *, build: bool) -> float | None:
    """The size of a target's installation; None where it has none of its own or it is not known without building."""
    if manifest.role == "headgate":
        held = headgate_size(build=build)
        return held.size_mb if held else None
    there = installed(manifest) if manifest.install.kind != "none" else None
    return there.size_mb if there else None


def default_set() -> list[str]:
    """The packages of a default installation: what the workspace itself depends on."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())
    names: list[str] = project["project"]["dependencies"]
    return names


def _spec() -> str:
    held = hashlib.sha256((_ROOT / "uv.lock").read_bytes())
    for path in sorted(
        [_ROOT / "pyproject.toml", *_ROOT.glob("*/*/pyproject.toml"), _ROOT / "core" / "pyproject.toml"]
    ):
        held.update(path.read_bytes())
    return held.hexdigest()


def headgate_size(*, build: bool) -> HeadgateSize | None:
    """The kept answer if it still holds, else a new one; None when it may not be built. Raises BenchError."""
    spec = _spec()
    try:
        kept = msgspec.json.decode(_KEPT.read_bytes(), type=HeadgateSize)
    except (OSError, msgspec.DecodeError):
        kept = None
    if kept is not None and kept.spec == spec:
        return kept
    if not build:
        return None
    with tempfile.TemporaryDirectory(prefix="headgate-install-") as folder:
        found = _measure(Path(folder), spec)
    _KEPT.parent.mkdir(exist_ok=True)
    _KEPT.write_bytes(msgspec.json.encode(found))
    return found


def _measure(folder: Path, spec: str) -> HeadgateSize:
    uv, wheels, home = uv_command(), folder / "wheels", folder / "venv"
    names = default_set()
    for name in names:
        run_command(uv, "build", "--quiet", "--wheel", "--package", name, "--out-dir", str(wheels), folder=_ROOT)
    options = ["--frozen", "--no-dev", "--no-hashes", "--no-emit-workspace", "--no-header", "--no-annotate"]
    pins = run_command(uv, "export", "--quiet", *options, folder=_ROOT)
    (folder / "pins.txt").write_text(pins)
    run_command(uv, "venv", "--quiet", "--python", "3.11", str(home))
    built = [str(path) for path in wheels.glob("*.whl")]
    if len(built) < len(names):
        raise BenchError(f"only {len(built)} of {len(names)} wheels were built")
    into = ["--quiet", "--python", str(home / "bin" / "python"), "--constraint", str(folder / "pins.txt")]
    run_command(uv, "pip", "install", *into, *built)
    (site,) = home.glob("lib/python*/site-packages")
    sizes = {path.name: size_mb(path) for path in site.iterdir() if path.is_dir()}
    largest = sorted(sizes.items(), key=lambda item: -item[1])[:8]
    count = len(list(site.glob("*.dist-info")))
    return HeadgateSize(spec, size_mb(site), count, {name: round(size, 2) for name, size in largest})
