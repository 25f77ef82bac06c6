"""Reads `gateways/*.toml`: what a run measures, one file per gateway, so that adding one is adding a file."""

import re
import tomllib
from pathlib import Path
from typing import Literal

import msgspec
from processes import BenchError

HERE = Path(__file__).parent
FOLDER = HERE / "gateways"
PEERS = HERE.parents[1] / ".bench" / "peers"

_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_PLACES = frozenset(
    {"port", "upstream_host", "upstream_port", "folder", "install", "python", "bench", "gateway", "chunks", "gap_ms"}
)

Role = Literal["upstream", "reference", "headgate", "peer"]


class Install(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a gateway gets onto the machine; `packages` and `overrides` map names to exact versions.

    `npm` and `pip` install into a folder or virtual environment of their own. `apt` unpacks Debian packages there, in
    the version that the distribution has; nothing is installed system-wide. `also` names what the system must have.
    """

    kind: Literal["none", "apt", "npm", "pip"] = "none"
    packages: dict[str, str] = {}
    overrides: dict[str, str] = {}
    python: str = "3.11"
    also: list[str] = []


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One gateway: how to install, start and call it. README.md explains each field to who adds one.

    `command`, `files`, `headers` and `env` may hold placeholders such as `{port}`. `floor` is the target that latency
    is counted from; one that is reached through a namespace has a floor that is too.
    """

    name: str
    about: str
    command: list[str]
    role: Role = "peer"
    order: int = 100
    install: Install = Install()
    files: dict[str, str] = {}
    headers: dict[str, str] = {}
    env: dict[str, str] = {}
    path: str = "/v1/chat/completions"
    model: str = "bench"
    namespace: bool = False
    floor: str = "direct"
    ready_s: float = 30.0

    @property
    def home(self) -> Path:
        """Where it is installed."""
        return PEERS / self.name

    @property
    def is_ours(self) -> bool:
        """Whether its failure fails the run."""
        return self.install.kind == "none"


def decode_manifest(text: str, source: str) -> Manifest:
    """A manifest from TOML; raises BenchError that names `source` and the key which is wrong."""
    try:
        manifest = msgspec.convert(tomllib.loads(text), Manifest)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise BenchError(f"`{source}`: {error}") from None
    if problem := _problem(manifest, Path(source).stem):
        raise BenchError(f"`{source}`: {problem}")
    return manifest


def _problem(manifest: Manifest, stem: str) -> str:
    install = manifest.install
    if manifest.name != stem:
        return f"`name` is `{manifest.name}`, but the file is called `{stem}`"
    if not manifest.command:
        return "`command` is empty"
    if (install.kind == "none") != (not install.packages):
        return f"`install.packages` does not go with `install.kind` `{install.kind}`"
    if install.kind in {"npm", "pip"}:
        loose = [name for name, version in {**install.packages, **install.overrides}.items() if not version]
        if loose:
            return f"`install` has no version for `{loose[0]}`"
    texts = {
        "command": " ".join(manifest.command),
        **{f"files.{name}": text for name, text in manifest.files.items()},
        **{f"headers.{name}": text for name, text in manifest.headers.items()},
        **{f"env.{name}": text for name, text in manifest.env.items()},
    }
    for key, text in texts.items():
        if unknown := set(_PLACEHOLDER.findall(text)) - _PLACES:
            return f"`{key}` has the placeholder `{{{min(unknown)}}}`; there are {', '.join(sorted(_PLACES))}"
    return ""


def fill(text: str, places: dict[str, str]) -> str:
    """`text` with every placeholder replaced; other braces stay as they are."""
    return _PLACEHOLDER.sub(lambda match: places.get(match[1], match[0]), text)


def load_manifests(folder: Path = FOLDER) -> dict[str, Manifest]:
    """Every manifest by name, in the order of the tables. Raises BenchError for the first bad one."""
    found = [decode_manifest(path.read_text(), path.name) for path in sorted(folder.glob("*.toml"))]
    manifests = {manifest.name: manifest for manifest in sorted(found, key=lambda one: (one.order, one.name))}
    for manifest in found:
        if manifest.floor not in manifests or manifests[manifest.floor].role != "upstream":
            raise BenchError(f"`{manifest.name}.toml`: `floor` `{manifest.floor}` is no target with role `upstream`")
    return manifests


def with_floors(names: list[str], manifests: dict[str, Manifest]) -> list[str]:
    """`names` and the floors they are measured against, in the order of the tables; `direct` is always there."""
    wanted = {"direct", *names, *(manifests[name].floor for name in names)}
    return [name for name in manifests if name in wanted]
