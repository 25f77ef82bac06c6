"""Sections about the cost of one request: by the size of its body, by the plugins enabled, by the collector's settings."""

import json
import time
from collections.abc import Mapping
from statistics import median

from scale_lab import ALL_ON_HEADERS, Lab, Server, all_on_config, cpu_us, in_turns, simple_config
from scale_parts import Section, judge_flat, judge_linear, number, ratio

SIZES_KB = (1, 4, 16, 64, 256, 1024)
HOOKED = (0, 5, 10, 20)
IDLE = 20

_EXTRA = """
from typing_extensions import override

from headgate import Context, Exchange, Hooks, hookimpl
"""
_CHEAP = """

class Cheap{at}(Hooks):
    @override
    @hookimpl
    async def admit(self, ex: Exchange) -> None:
        self.last = ex.model


class Idle{at}(Hooks):
    @override
    @hookimpl
    def configure(self, ctx: Context) -> None:
        self.context = ctx
"""


def measure_bodies(lab: Lab) -> list[Section]:
    """CPU per request from 1 KB to 1 MB, for the smallest and the fullest configuration."""
    upstream = lab.upstream()
    full = all_on_config(lab.folder, upstream)
    servers = [
        lab.gateway("defaults", simple_config(upstream)),
        lab.gateway("all-on", full, ALL_ON_HEADERS),
    ]
    rounds = lab.pick(5, 2)
    found: dict[tuple[str, int], float] = {}
    for size in SIZES_KB:
        count = max(lab.pick(40, 15), lab.pick(500, 200) // (1 + size // 32))
        taken = in_turns(servers, rounds, lambda server, size=size, count=count: server.load(count, size), warm=count)
        found |= {(name, size): median(values) for name, values in taken.items()}
    note = "; ".join(
        judge_linear(f"{server.name}, cost by KB", [(size, found[server.name, size]) for size in SIZES_KB])
        for server in servers
    )
    columns = ["body", *(f"{server.name} {unit}" for server in servers for unit in ("us", "us per KB over 1"))]
    rows = [
        [f"{size} KB", *(cell for server in servers for cell in _by_size(found, server.name, size))]
        for size in SIZES_KB
    ]
    return [Section("Body size: CPU per request", note, columns, rows)]


def _by_size(found: Mapping[tuple[str, int], float], name: str, size: int) -> tuple[str, str]:
    extra = found[name, size] - found[name, 1]
    return number(found[name, size]), number(extra / (size - 1)) if size > 1 else "-"


def measure_plugins(lab: Lab) -> list[Section]:
    """CPU per request with more and more plugins of one cheap hook, and with many that have no request hook."""
    add_extra_plugins(lab)
    upstream = lab.upstream()
    servers = [
        lab.gateway(f"{count} with a hook", simple_config(upstream, plugins=[f"cheap-{at}" for at in range(count)]))
        for count in HOOKED
    ]
    idle = [f"idle-{at}" for at in range(IDLE)]
    servers.append(lab.gateway(f"{IDLE} without", simple_config(upstream, plugins=idle)))
    taken = in_turns(servers, lab.pick(9, 3), lambda server: server.load(lab.pick(500, 250)))
    medians = {name: median(values) for name, values in taken.items()}
    none = servers[0].name
    points = [(count, medians[server.name]) for count, server in zip(HOOKED, servers, strict=False)]
    flat = judge_flat("plugins without a request hook", {name: taken[name] for name in (none, servers[-1].name)})
    note = f"{judge_linear('one cheap hook each', points)}; {flat}"
    rows = [
        [
            server.name,
            number(medians[server.name]),
            f"x{ratio(taken[none], taken[server.name]):.2f}",
            number((medians[server.name] - medians[none]) / count) if count else "-",
            number(server.cpu_s),
        ]
        for server, count in zip(servers, [*HOOKED, IDLE], strict=True)
    ]
    columns = ["extra plugins", "us per request", "of none", "us per plugin", "start CPU s"]
    return [Section("Plugins: CPU per request", note, columns, rows)]


def add_extra_plugins(lab: Lab) -> None:
    """Install the plugins `cheap-N`, which implement `admit`, and `idle-N`, which implement no request hook."""
    most = max(*HOOKED, IDLE)
    source = _EXTRA + "".join(_CHEAP.format(at=at) for at in range(most))
    points = {f"{kind}-{at}": f"bench_extra:{kind.title()}{at}" for kind in ("cheap", "idle") for at in range(most)}
    lab.plugins.add("bench-extra", points, "bench_extra", source)


def measure_gc(lab: Lab) -> list[Section]:
    """What the process's settings of the collector bring against Python's own, and against no collector at all."""
    upstream = lab.upstream()
    servers = [_collecting(lab, upstream, choice) for choice in ("own", "python", "off")]
    began = time.monotonic()
    taken = in_turns(servers, lab.pick(9, 3), lambda server: server.load(lab.pick(600, 300)), warm=1000)
    large = {server.name: cpu_us(server, server.load(lab.pick(200, 60), 100)) for server in servers}
    streams = {server.name: cpu_us(server, server.streams(lab.pick(60, 30))) for server in servers}
    own = servers[0].name
    noted = {
        server.name: [took * 1000 for ended, _, took in collections(server) if ended >= began] for server in servers
    }
    rows = [
        [
            server.name,
            number(median(taken[server.name])),
            f"x{ratio(taken[own], taken[server.name]):.2f}",
            number(large[server.name]),
            number(streams[server.name]),
            *_pauses(noted[server.name]),
        ]
        for server in servers
    ]
    gain = ratio(taken[own], taken[servers[1].name])
    longest = [max(noted[server.name], default=0) for server in servers]
    note = (
        f"expected: own settings cost no more than Python's and pause for less; seen: Python's cost x{gain:.2f} of own, "
        f"longest pause own {longest[0]:.1f} ms, Python's {longest[1]:.1f} ms (all on, under load)"
    )
    columns = [
        "settings",
        "us per request",
        "of own",
        "us at 100 KB",
        "us per chunk",
        "pauses",
        "longest ms",
        "ms per s",
    ]
    return [Section("Garbage collector: CPU and pauses", note, columns, rows)]


def _collecting(lab: Lab, upstream: Server, choice: str) -> Server:
    name = f"gc-{choice}"
    probe = {"probe": {"path": str(lab.server_folder(name) / "collections"), "gc": choice}}
    config = all_on_config(lab.server_folder(name), upstream, plugins=[probe])
    return lab.gateway(name, config, ALL_ON_HEADERS)


def collections(server: Server) -> list[tuple[float, int, float]]:
    """The collections a server's probe noted: when each ended, its generation, and its seconds."""
    path = server.folder / "collections"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(ended, generation, took) for ended, generation, took in map(json.loads, lines)]


def _pauses(noted: list[float]) -> list[str]:
    return [str(len(noted)), number(max(noted, default=0)), number(sum(noted))]
