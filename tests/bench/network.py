"""A network namespace for gateways that listen on every interface: nothing outside this machine can reach them."""

import json
import os
import re
import shutil
import subprocess
from contextlib import ExitStack, suppress
from functools import cache
from ipaddress import IPv4Network, ip_network
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
from processes import BenchError

_PREFIX = "hgbench"
_NAMES = Path("/run/netns")
_POOL = ip_network("10.213.0.0/16")


@cache
def missing_reason() -> str:
    """Why no namespace can be made here, or nothing: one is made to see, since containers differ in what root may do."""
    if shutil.which("ip") is None:
        return "it needs a network namespace, and `ip` (iproute2) is not installed"
    if os.geteuid() != 0:
        return "it needs a network namespace, and only root can make one"
    try:
        with Namespace():
            return ""
    except BenchError as error:
        return f"it needs a network namespace: {error}"


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"`ip {' '.join(arguments)}` failed: {done.stderr.strip()}")
    return done.stdout


def _taken() -> list[IPv4Network]:
    return [
        IPv4Network(f"{address['local']}/{address['prefixlen']}", strict=False)
        for link in json.loads(_ip("-4", "-json", "addr"))
        for address in link.get("addr_info", [])
    ]


def _free_subnet() -> IPv4Network:
    """Four addresses that overlap no interface's network; which ones are tried first differs between processes."""
    taken = _taken()
    start = os.getpid() * 4 % 2**16
    for offset in range(0, 2**16, 4):
        subnet = IPv4Network((int(_POOL.network_address) + (start + offset) % 2**16, 30))
        if not any(subnet.overlaps(other) for other in taken):
            return subnet
    raise BenchError(f"every address of {_POOL} is in use")


def remove_leftovers() -> list[str]:
    """Remove namespaces of runs that were killed, with what still runs in them; returns their names."""
    found = [path.name for path in _NAMES.glob(f"{_PREFIX}*")] if _NAMES.is_dir() else []
    left = [
        name for name in found if (match := re.fullmatch(rf"{_PREFIX}(\d+)", name)) and not _is_bench(int(match[1]))
    ]
    for name in left:
        _remove(name)
    return left


def _is_bench(pid: int) -> bool:
    """Whether a process is alive and could be a benchmark run."""
    try:
        return pid == os.getpid() or "python" in psutil.Process(pid).name()
    except psutil.NoSuchProcess:
        return False


def _remove(name: str) -> None:
    """End what runs inside and delete the namespace; its veth pair goes with it."""
    with suppress(BenchError):
        inside = [psutil.Process(int(pid)) for pid in _ip("netns", "pids", name).split() if psutil.pid_exists(int(pid))]
        for process in inside:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(inside, 5)
    with suppress(BenchError):
        _ip("link", "delete", f"{name}h")
    with suppress(BenchError):
        _ip("netns", "delete", name)


class Namespace:
    """A namespace with one way out: a veth pair to this machine. Leaving the context removes all of it.

    `host` is this machine's address on the pair, `inside` the one within; `command` prefixes what runs inside.
    """

    def __init__(self) -> None:
        self.name = f"{_PREFIX}{os.getpid()}"
        self.host = ""
        self.inside = ""

    @property
    def command(self) -> list[str]:
        """`ip netns exec` replaces itself by the command, so that the process id is the command's own."""
        return ["ip", "netns", "exec", self.name]

    def __enter__(self) -> Self:
        remove_leftovers()
        if (_NAMES / self.name).exists():
            raise BenchError(f"the network namespace `{self.name}` exists already")
        with ExitStack() as undo:
            undo.callback(_remove, self.name)
            self._build()
            undo.pop_all()
        return self

    def _build(self) -> None:
        subnet = _free_subnet()
        self.host, self.inside = (str(address) for address in subnet.hosts())
        outer, inner = f"{self.name}h", f"{self.name}n"
        _ip("netns", "add", self.name)
        _ip("link", "add", outer, "type", "veth", "peer", "name", inner, "netns", self.name)
        _ip("addr", "add", f"{self.host}/30", "dev", outer)
        _ip("link", "set", outer, "up")
        _ip("-n", self.name, "addr", "add", f"{self.inside}/30", "dev", inner)
        _ip("-n", self.name, "link", "set", inner, "up")
        _ip("-n", self.name, "link", "set", "lo", "up")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _remove(self.name)
