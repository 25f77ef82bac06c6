"""The servers of a run: the upstream, and what its manifests say stands before it."""

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import msgspec
import yaml
from driver import Load, build_body
from manifests import Manifest, fill, load_manifests
from network import Namespace
from processes import BenchError, Child, free_port

_HERE = Path(__file__).parent
_LOOPBACK = "127.0.0.1"
_EVERY_PROXY_OFF = {"NO_PROXY": "*", "no_proxy": "*"}


class Start(msgspec.Struct, frozen=True):
    """What it took until the first good answer."""

    cpu_s: float
    wall_s: float


class Target(msgspec.Struct, frozen=True):
    """A running server and how to call it."""

    manifest: Manifest
    child: Child
    host: str
    port: int
    headers: dict[str, str]
    start: Start

    @property
    def name(self) -> str:
        """The manifest's."""
        return self.manifest.name

    def load(self, count: int, **options: Any) -> Load:
        """A load against this target."""
        manifest = self.manifest
        return Load(
            host=self.host,
            port=self.port,
            headers=self.headers,
            path=manifest.path,
            model=manifest.model,
            count=count,
            **options,
        )


def default_config(upstream_port: int) -> dict[str, object]:
    """The gateway with open auth and no plugins, as `defaults.toml` has it."""
    return _config("defaults", upstream_port, Path())


def all_on_config(upstream_port: int, folder: Path) -> dict[str, object]:
    """The gateway with every stage at work, as `all-on.toml` has it; its log goes to `folder`."""
    return _config("all-on", upstream_port, folder)


def _config(name: str, upstream_port: int, folder: Path) -> dict[str, object]:
    places = {"upstream_host": _LOOPBACK, "upstream_port": str(upstream_port), "folder": str(folder)}
    text = fill(load_manifests()[name].files["headgate.yaml"], places)
    return cast("dict[str, object]", yaml.safe_load(text))


class Fleet:
    """Starts targets and stops them all when `stack` closes; `pins` are the cores of driver and targets."""

    def __init__(
        self,
        stack: ExitStack,
        folder: Path,
        gateway: Path,
        pins: tuple[set[int], set[int]] | None,
        *,
        chunks: int = 64,
        gap_ms: float = 10.0,
    ) -> None:
        self.stack = stack
        self.folder = folder
        self.gateway = gateway
        self.driver_cpus, self.target_cpus = pins or (None, None)
        self.upstream_port = free_port()
        self.pace = {"chunks": str(chunks), "gap_ms": str(gap_ms)}
        self.namespace: Namespace | None = None

    def start(self, manifests: list[Manifest]) -> tuple[list[Target], dict[str, str]]:
        """Start the upstream and what is before it; returns the targets and why others did not start.

        Raises BenchError when one of our own gives no good answer.
        """
        if any(manifest.namespace for manifest in manifests):
            self.namespace = self.stack.enter_context(Namespace())
        targets: list[Target] = []
        failed: dict[str, str] = {}
        for manifest in manifests:
            try:
                targets.append(self._launch(manifest))
            except BenchError as error:
                if manifest.is_ours:
                    raise
                failed[manifest.name] = str(error)
        return targets, failed

    def _launch(self, manifest: Manifest) -> Target:
        if manifest.role == "headgate" and not self.gateway.exists():
            raise BenchError(f"no gateway at `{self.gateway}`: run `uv sync`, or leave it out with `--targets bare`")
        folder = self.folder / manifest.name
        folder.mkdir()
        port = self.upstream_port if manifest.name == "direct" else free_port()
        places = self._places(manifest, folder, port)
        for name, text in manifest.files.items():
            (folder / name).write_text(fill(text, places))
        command = [fill(part, places) for part in manifest.command]
        host = _LOOPBACK
        if manifest.namespace and self.namespace is not None:
            command, host = self.namespace.command + command, self.namespace.inside
        elif manifest.name == "direct" and self.namespace is not None:
            command += ["--host", _LOOPBACK, "--host", self.namespace.host]
        headers = {name: fill(value, places) for name, value in manifest.headers.items()}
        env = _EVERY_PROXY_OFF | {name: fill(value, places) for name, value in manifest.env.items()}
        cpus = self.driver_cpus if manifest.role == "upstream" else self.target_cpus
        child = self.stack.enter_context(Child(manifest.name, command, folder / "output.log", cpus, env=env))
        body = build_body(Load(port=port, count=1, model=manifest.model))
        start = Start(*child.wait_ready(port, body, headers, manifest.ready_s, host=host, path=manifest.path))
        return Target(manifest, child, host, port, headers, start)

    def _places(self, manifest: Manifest, folder: Path, port: int) -> dict[str, str]:
        host = self.namespace.host if manifest.namespace and self.namespace is not None else _LOOPBACK
        return {
            **self.pace,
            "port": str(port),
            "upstream_host": host,
            "upstream_port": str(self.upstream_port),
            "folder": str(folder),
            "install": str(manifest.home),
            "python": sys.executable,
            "bench": str(_HERE),
            "gateway": str(self.gateway),
        }
