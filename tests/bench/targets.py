"""The servers a run compares: the upstream itself, the bare proxy, and the gateway with few and with all stages."""

import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import msgspec
import yaml
from driver import Load, build_body
from processes import BenchError, Child, free_port

TargetName = Literal["direct", "bare", "defaults", "all-on"]
TARGETS: tuple[TargetName, ...] = ("direct", "bare", "defaults", "all-on")

_HERE = Path(__file__).parent
_KEY = "hg-bench-0123456789abcdef0123456789abcdef"
_ALL_ON_HEADERS = {"authorization": f"Bearer {_KEY}", "x-headgate-cache": "exact"}
_PATTERN = r"\b\d{3}-\d{2}-\d{4}\b"


class Start(msgspec.Struct, frozen=True):
    """What it took until the first good answer."""

    cpu_s: float
    wall_s: float


class Target(msgspec.Struct, frozen=True):
    """A running server and how to call it."""

    name: TargetName
    child: Child
    port: int
    headers: dict[str, str]
    start: Start


def default_config(upstream_port: int) -> dict[str, object]:
    """The gateway with open auth and no plugins."""
    base_url = f"http://127.0.0.1:{upstream_port}/v1"
    return {
        "auth": {"mode": "open"},
        "plugins": [],
        "providers": {"mock": {"provider": "openai", "base_url": base_url, "api_key": "sk-bench"}},
        "models": {"bench": "mock/bench-model"},
    }


def all_on_config(upstream_port: int, folder: Path) -> dict[str, object]:
    """The gateway with key auth, a cache that always misses, one regex on the way in and out, and a log file."""
    plugins: list[object] = [
        {"keys": {"keys": [{"name": "bench", "key": _KEY}]}},
        "cache-memory",
        "router-standard",
        {
            "guard-basic": {
                "checks": [
                    {"check": "regexMatch", "on": ["request", "reply"], "parameters": {"rule": _PATTERN, "not": True}}
                ]
            }
        },
        {"logs-jsonl": {"path": str(folder / "records.jsonl")}},
    ]
    return default_config(upstream_port) | {"auth": {"mode": "keys"}, "plugins": plugins}


class Fleet:
    """Starts targets and stops them all when `stack` closes; `cpus` are the cores the targets run on."""

    def __init__(self, stack: ExitStack, folder: Path, gateway: Path, pins: tuple[set[int], set[int]] | None) -> None:
        self.stack = stack
        self.folder = folder
        self.gateway = gateway
        self.driver_cpus, self.target_cpus = pins or (None, None)
        self.upstream_port = free_port()

    def start(self, names: list[TargetName], chunks: int, gap_ms: float) -> list[Target]:
        """Start the upstream and the named targets; raises BenchError when one gives no good answer."""
        script = [sys.executable, str(_HERE / "upstream.py")]
        pace = ["--chunks", str(chunks), "--gap-ms", str(gap_ms)]
        command = [*script, "--port", str(self.upstream_port), *pace]
        direct = self._launch("direct", command, self.upstream_port, {}, self.driver_cpus)
        starters: dict[TargetName, Callable[[], Target]] = {
            "direct": lambda: direct,
            "bare": self._bare,
            "defaults": lambda: self._gateway("defaults", default_config(self.upstream_port), {}),
            "all-on": lambda: self._gateway("all-on", all_on_config(self.upstream_port, self.folder), _ALL_ON_HEADERS),
        }
        return [starters[name]() for name in names]

    def _bare(self) -> Target:
        port = free_port()
        origin = f"http://127.0.0.1:{self.upstream_port}"
        command = [sys.executable, str(_HERE / "bare_proxy.py"), "--port", str(port), "--origin", origin]
        return self._launch("bare", command, port, {}, self.target_cpus)

    def _gateway(self, name: TargetName, config: dict[str, object], headers: dict[str, str]) -> Target:
        if not self.gateway.exists():
            raise BenchError(
                f"no gateway at `{self.gateway}`: run `uv sync`, or leave it out with `--targets direct,bare`"
            )
        port = free_port()
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"server": {"host": "127.0.0.1", "port": port}} | config, sort_keys=False))
        command = [str(self.gateway), "serve", "--config", str(path), "--port", str(port)]
        return self._launch(name, command, port, headers, self.target_cpus)

    def _launch(
        self, name: TargetName, command: list[str], port: int, headers: dict[str, str], cpus: set[int] | None
    ) -> Target:
        child = self.stack.enter_context(Child(name, command, self.folder / f"{name}.log", cpus))
        body = build_body(Load(port=port, count=1))
        cpu_s, wall_s = child.wait_ready(port, body, headers)
        return Target(name, child, port, headers, Start(cpu_s, wall_s))
