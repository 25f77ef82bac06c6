"""Where the sections of a scale run get their servers: started once, pinned, metered in turns, stopped at the end."""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import psutil
import uvloop
import yaml
from driver import Load, Result, build_body, drive
from processes import BenchError, Child, free_port

MODEL = "bench-model"
KEY = "hg-scale-0123456789abcdef0123456789abcdef"
SECRET = "5ca1e" * 12
KEY_HEADERS = {"authorization": f"Bearer {KEY}"}
ALL_ON_HEADERS = {**KEY_HEADERS, "x-headgate-cache": "exact"}

_HERE = Path(__file__).parent
_READY_S = 120.0
_PATTERN = r"\b\d{3}-\d{2}-\d{4}\b"
_PROBES = {"probe": "scale_probe:Probe", "count": "scale_probe:Count"}


class Server(msgspec.Struct, frozen=True):
    """A running server and how to call it; `folder` holds its configuration and state, `cpu_s` is what starting took."""

    name: str
    child: Child
    port: int
    headers: dict[str, str]
    folder: Path
    cpu_s: float
    wall_s: float
    bystander: Path

    def machine_ms(self, since: float, until: float = float("inf")) -> float:
        """The longest time between two instants that the machine itself kept a bystander on the targets' core waiting."""
        lines = [line.split() for line in self.bystander.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return max((float(late) for ended, late in lines if since <= float(ended) <= until), default=0.0) * 1000

    def load(self, count: int, body_kb: float = 1, connections: int = 8) -> Load:
        """A closed loop against this server."""
        body_bytes = int(body_kb * 1024)
        return Load(port=self.port, headers=self.headers, count=count, connections=connections, body_bytes=body_bytes)

    def streams(self, count: int) -> Load:
        """An open loop of paced streams against this server."""
        return Load(port=self.port, headers=self.headers, count=count, connections=64, rate=60.0, stream=True)

    def logged(self, words: str) -> int:
        """How many lines of the server's output have these words."""
        return self.child.log.read_text(errors="replace").count(words)


class Memory(msgspec.Struct, frozen=True):
    """What one process takes, in MB: resident, its fair share of what is shared, and what is its alone."""

    rss: float
    pss: float
    uss: float


class Lab:
    """Starts servers in a folder of its own; leaving `lab()` stops them all.

    `quick` asks sections for less. `wide` servers may use every core, others the targets' one.
    """

    def __init__(self, stack: ExitStack, folder: Path, *, quick: bool, pin: bool = True) -> None:
        self.stack = stack
        self.folder = folder
        self.quick = quick
        cores = sorted(os.sched_getaffinity(0))
        self.cores = len(cores)
        self.pinned = pin and len(cores) > 1
        self.all_cpus = set(cores)
        self.driver_cpus, self.target_cpus = ({cores[0]}, {cores[1]}) if self.pinned else (set(cores), set(cores))
        self.bystander = folder / "bystander.log"
        watch = [sys.executable, str(_HERE / "scale_bystander.py")]
        stack.enter_context(Child("bystander", watch, self.bystander, self.target_cpus))
        self.gateway_command = Path(sys.executable).parent / "headgate"
        self.plugins = Packages(folder / "site")
        self.plugins.add("bench-probe", _PROBES, "scale_probe", (_HERE / "scale_probe.py").read_text())

    def pick(self, full: int, quick: int) -> int:
        """One of two sizes of a measurement."""
        return quick if self.quick else full

    def upstream(self, chunks: int = 64, gap_ms: float = 10.0) -> Server:
        """A mock upstream whose streams have this pace, on the driver's core."""
        port = free_port()
        pace = ["--chunks", str(chunks), "--gap-ms", str(gap_ms)]
        command = [sys.executable, str(_HERE / "upstream.py"), "--port", str(port), *pace]
        return self._launch(f"upstream-{port}", command, port, {}, self.folder, wide=False, cpus=self.driver_cpus)

    def gateway(
        self,
        name: str,
        config: Mapping[str, object],
        headers: dict[str, str] | None = None,
        *,
        text: str = "",
        command: Path | None = None,
        wide: bool = False,
    ) -> Server:
        """A gateway with this configuration; `text` is more of it, as YAML. `command` is another `headgate`."""
        executable = command or self.gateway_command
        if not executable.exists():
            raise BenchError(f"no gateway at `{executable}`: run `uv sync --all-packages`")
        port = free_port()
        folder = self.server_folder(name)
        path = folder / "headgate.yaml"
        path.write_text(yaml.safe_dump(dict(config), sort_keys=False) + text)
        run = ["env", f"PYTHONPATH={self.plugins.folder}", str(executable)]
        serve = [*run, "serve", "--config", str(path), "--host", "127.0.0.1", "--port", str(port)]
        return self._launch(name, serve, port, headers or {}, folder, wide=wide)

    def server_folder(self, name: str) -> Path:
        """The folder that the gateway of this name has or will have, with a secret in its state."""
        state = self.folder / name / ".headgate"
        state.mkdir(parents=True, exist_ok=True)
        (state / "secret").write_text(SECRET)
        return self.folder / name

    def _launch(
        self,
        name: str,
        command: list[str],
        port: int,
        headers: dict[str, str],
        folder: Path,
        *,
        wide: bool,
        cpus: set[int] | None = None,
    ) -> Server:
        cores = self.all_cpus if wide else cpus or self.target_cpus
        child = self.stack.enter_context(Child(name, command, self.folder / f"{name}.log", cores))
        body = build_body(Load(port=port, count=1))
        cpu_s, wall_s = child.wait_ready(port, body, headers, timeout_s=_READY_S)
        return Server(name, child, port, headers, folder, cpu_s, wall_s, self.bystander)


class Packages:
    """Installed packages that exist for this run alone: modules and metadata in a folder for PYTHONPATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, name: str, plugins: Mapping[str, str], module: str, source: str) -> None:
        """A package with one module whose classes are plugins by entry points, such as `{"x": "module:X"}`."""
        (self.folder / f"{module}.py").write_text(source)
        info = self.folder / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        points = "".join(f"{plugin} = {place}\n" for plugin, place in plugins.items())
        (info / "entry_points.txt").write_text(f"[headgate.plugins]\n{points}")


@contextmanager
def lab(*, quick: bool, pin: bool = True) -> Generator[Lab]:
    """A lab in a temporary folder; this process keeps to the driver's core as long as it stands."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headgate-scale-")))
        made = Lab(stack, folder, quick=quick, pin=pin)
        stack.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
        os.sched_setaffinity(0, made.driver_cpus)
        yield made


def simple_config(*upstreams: Server, plugins: Sequence[object] = ()) -> dict[str, object]:
    """A gateway with open auth; the model `bench` is the first upstream, `bench1` the second and so on."""
    names = [f"mock{at or ''}" for at in range(len(upstreams))]
    return {
        "auth": {"mode": "open"},
        "plugins": list(plugins),
        "providers": {name: deployment(upstream) for name, upstream in zip(names, upstreams, strict=True)},
        "models": {f"bench{at or ''}": f"{name}/{MODEL}" for at, name in enumerate(names)},
    }


def deployment(upstream: Server) -> dict[str, str]:
    """An upstream as it stands under `providers:`."""
    return {"provider": "openai", "base_url": f"http://127.0.0.1:{upstream.port}/v1", "api_key": "sk-bench"}


def all_on_config(folder: Path, *upstreams: Server, plugins: Sequence[object] = ()) -> dict[str, object]:
    """Key auth, a cache that always misses, the router, a regex in and out, and a log file."""
    rule = {"check": "regexMatch", "on": ["request", "reply"], "parameters": {"rule": _PATTERN, "not": True}}
    stages: list[object] = [
        {"keys": {"keys": [{"name": "bench", "key": KEY}]}},
        "cache-memory",
        "router-standard",
        {"guard-basic": {"checks": [rule]}},
        {"logs-jsonl": {"path": str(folder / "records.jsonl")}},
    ]
    return simple_config(*upstreams, plugins=[*stages, *plugins]) | {"auth": {"mode": "keys"}}


def run_load(server: Server, load: Load) -> Result:
    """Drive a load; BenchError when any reply was wrong."""
    try:
        result = uvloop.run(drive(load))
    except OSError as error:
        raise BenchError(f"{server.name} stopped to accept connections: {error}") from error
    if result.errors:
        raise BenchError(f"{server.name} gave wrong replies: {result.errors}")
    return result


def cpu_us(server: Server, load: Load) -> float:
    """CPU microseconds of the server's process tree per request of a load, or per chunk of a stream."""
    server.child.settle()
    before = server.child.cpu_s()
    result = run_load(server, load)
    server.child.settle()
    return (server.child.cpu_s() - before) / (result.records if load.stream else result.completed) * 1e6


def in_turns(
    servers: Sequence[Server], rounds: int, load: Callable[[Server], Load], warm: int = 300
) -> dict[str, list[float]]:
    """CPU per request by server, one figure per round; the order of servers turns from round to round."""
    for server in servers:
        run_load(server, server.load(warm))
    found: dict[str, list[float]] = {server.name: [] for server in servers}
    for turn in range(rounds):
        start = turn % len(servers)
        for server in [*servers[start:], *servers[:start]]:
            found[server.name].append(cpu_us(server, load(server)))
    return found


def memory(process: psutil.Process) -> Memory:
    """What a process takes now, from the kernel's own sums."""
    text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    kb = {line.split(":")[0]: int(line.split()[1]) for line in text.splitlines()[1:]}
    return Memory(kb["Rss"] / 1024, kb["Pss"] / 1024, (kb["Private_Clean"] + kb["Private_Dirty"]) / 1024)


def wait_until(met: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
    """Poll until `met`; BenchError when it does not come in time."""
    deadline = time.monotonic() + timeout_s
    while not met():
        if time.monotonic() > deadline:
            raise BenchError(f"{what} did not happen in {timeout_s:g} s")
        time.sleep(0.02)


def find_uv() -> str | None:
    """The uv that makes environments, if there is one."""
    return shutil.which("uv")
