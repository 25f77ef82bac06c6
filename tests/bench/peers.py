"""Installs what the manifests ask for under `.bench/peers`: `make bench-peers`. What is installed already is left alone.

The versions come from the manifests, and those of everything below them from the lock files in `gateways/locks`;
`--lock` writes these anew. Exit status: 0, or 1 when something could not be installed.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
from manifests import FOLDER, PEERS, Install, Manifest, load_manifests
from network import missing_reason as no_namespace
from processes import BenchError

LOCKS = FOLDER / "locks"
_ROOT = Path(__file__).parents[2]
_MARKER = "installed.json"


class Installed(msgspec.Struct, frozen=True):
    """What an installation holds; `spec` changes with its manifest and lock file. Sizes are without byte code."""

    spec: str
    versions: dict[str, str]
    size_mb: float


def spec_of(manifest: Manifest) -> str:
    """A digest of what an installation is made from."""
    lock = lock_of(manifest)
    held = msgspec.json.encode(manifest.install) + (lock.read_bytes() if lock.exists() else b"")
    return hashlib.sha256(held).hexdigest()


def lock_of(manifest: Manifest) -> Path:
    """Where the versions of its dependencies stand."""
    ending = {"npm": "package-lock.json", "pip": "requirements.txt"}.get(manifest.install.kind, "lock")
    return LOCKS / f"{manifest.name}.{ending}"


def installed(manifest: Manifest) -> Installed | None:
    """What is installed of a gateway, if it is what the manifest says."""
    try:
        held = msgspec.json.decode((manifest.home / _MARKER).read_bytes(), type=Installed)
    except (OSError, msgspec.DecodeError):
        return None
    return held if held.spec == spec_of(manifest) else None


def missing_reason(manifest: Manifest) -> str:
    """Why a gateway cannot be measured here, or nothing."""
    if manifest.install.kind != "none":
        if not (manifest.home / _MARKER).exists():
            return "it is not installed: `make bench-peers`"
        if installed(manifest) is None:
            return "its manifest has changed since it was installed: `make bench-peers`"
    if absent := [name for name in manifest.install.also if shutil.which(name) is None]:
        return f"`{absent[0]}` is not installed"
    return no_namespace() if manifest.namespace else ""


def size_mb(folder: Path) -> float:
    """What the files of a folder hold, without byte code, which is made while running; in MB of 10**6 bytes."""
    total = 0
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        total += sum(os.lstat(os.path.join(parent, name)).st_size for name in names)  # noqa: PTH118 - 50,000 files
    return total / 1e6


def run_command(*command: str, folder: Path | None = None) -> str:
    """What a command printed; raises BenchError with its last words when it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    except OSError as error:
        raise BenchError(f"`{command[0]}` cannot be run: {error.strerror}") from None
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip())[-600:]
        raise BenchError(f"`{' '.join(command[:3])}` failed: {words}")
    return done.stdout


def uv_command() -> str:
    """Where uv is; the Makefile puts it into `.uv` when there is none."""
    return shutil.which("uv") or str(_ROOT / ".uv" / "bin" / "uv")


def install(manifest: Manifest, *, lock: bool = False) -> Installed:
    """Install one gateway into a folder of its own, anew; raises BenchError."""
    home = manifest.home
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    LOCKS.mkdir(exist_ok=True)
    kinds = {"apt": _unpack_debian, "npm": _install_npm, "pip": _install_pip}
    versions = kinds[manifest.install.kind](manifest.install, home, lock_of(manifest), lock)
    held = Installed(spec_of(manifest), versions, size_mb(home))
    (home / _MARKER).write_bytes(msgspec.json.encode(held))
    return held


def _unpack_debian(install: Install, home: Path, _: Path, __: bool) -> dict[str, str]:
    """Unpacked and not installed: no service starts, and nobody has to be root."""
    versions: dict[str, str] = {}
    for name in install.packages:
        run_command("apt-get", "download", "-qq", name, folder=home)
        (package,) = home.glob(f"{name}_*.deb")
        versions[name] = run_command("dpkg-deb", "-f", str(package), "Version").strip()
        run_command("dpkg-deb", "-x", str(package), str(home))
        package.unlink()
    return versions


def _install_npm(install: Install, home: Path, lock_file: Path, lock: bool) -> dict[str, str]:
    wanted = {"private": True, "dependencies": install.packages, "overrides": install.overrides}
    (home / "package.json").write_text(json.dumps(wanted))
    how = ["ci"]
    if lock or not lock_file.exists():
        how = ["install"]
    else:
        shutil.copy(lock_file, home / "package-lock.json")
    run_command("npm", *how, "--silent", "--no-audit", "--no-fund", "--ignore-scripts", folder=home)
    if lock:
        locked = json.loads((home / "package-lock.json").read_text())
        for package in locked["packages"].values():
            for key in ("resolved", "funding"):
                package.pop(key, None)
        lock_file.write_text(json.dumps(locked, indent=1) + "\n")
    return install.packages | install.overrides


def _install_pip(install: Install, home: Path, lock_file: Path, lock: bool) -> dict[str, str]:
    uv = uv_command()
    wanted = home / "wanted.txt"
    wanted.write_text("".join(f"{name}=={version}\n" for name, version in install.packages.items()))
    if lock:
        options = ["--python-version", install.python, "--no-header", "--no-annotate", "--no-emit-index-url"]
        pinned = run_command(uv, "pip", "compile", "--quiet", *options, str(wanted))
        lock_file.write_text("".join(f"{line}\n" for line in pinned.splitlines() if not line.startswith("-")))
    source = lock_file if lock_file.exists() else wanted
    run_command(uv, "venv", "--quiet", "--python", install.python, "--allow-existing", str(home))
    run_command(uv, "pip", "install", "--quiet", "--python", str(home / "bin" / "python"), "-r", str(source))
    return dict(install.packages)


def main() -> None:
    """Read the command line and install what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("names", nargs="*", metavar="NAME", help="gateways to install; all of them without a name")
    parser.add_argument("--lock", action="store_true", help="take the newest dependencies and write the lock files")
    given = parser.parse_args()
    manifests = [one for one in load_manifests().values() if one.install.kind != "none"]
    if unknown := set(given.names) - {one.name for one in manifests}:
        parser.error(f"nothing to install is called {sorted(unknown)}")
    failed = False
    for manifest in manifests:
        if given.names and manifest.name not in given.names:
            continue
        held = None if given.lock else installed(manifest)
        try:
            done = held or install(manifest, lock=given.lock)
        except BenchError as error:
            failed = True
            print(f"{manifest.name}: {error}", file=sys.stderr)
            continue
        versions = ", ".join(f"{name} {version}" for name, version in done.versions.items())
        print(f"{manifest.name}: {versions}, {done.size_mb:.0f} MB{' (already there)' if held else ''}")
    print(f"in {PEERS.relative_to(_ROOT)}")
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
