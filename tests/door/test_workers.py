"""Several serving processes under one parent: each with its share, one may die, all reload, and the port stays."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from tests.conftest import StartGateway
from tests.door.test_drain import Held, running_stream, until_exit, until_refused
from tests.door.upstream import EVENTS, Upstream
from tests.harness import Gateway

from headgate.config import load_file
from headgate.server.run import bind, bind_each
from headgate.server.supervisor import Loader, Supervisor

DEMO = {"server": {"workers": 2}, "providers": {"demo": {"provider": "demo"}}, "models": {"one": "demo/echo"}}


def workers(gateway: Gateway) -> list[psutil.Process]:
    """The serving processes: those a spawn of multiprocessing started."""
    found: list[psutil.Process] = []
    for child in psutil.Process(gateway.process.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):  # a zombie counts as none
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


def eventually(holds: Callable[[], bool], what: str, deadline_s: float = 15.0) -> None:
    end = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def aliases(gateway: Gateway) -> set[str]:
    with urllib.request.urlopen(f"{gateway.url}/v1/models") as reply:
        return {entry["id"] for entry in json.load(reply)["data"]}


def test_a_dead_worker_is_replaced(start_gateway: StartGateway) -> None:
    """Requests are answered by the other one meanwhile, or wait for its successor; soon there are two again."""
    gateway = start_gateway(DEMO)
    eventually(lambda: len(workers(gateway)) == 2, "two workers serve")
    dead = workers(gateway)[0]
    dead.kill()
    for _ in range(20):
        assert "one" in aliases(gateway)
    eventually(lambda: len(workers(gateway)) == 2 and dead.pid not in [one.pid for one in workers(gateway)], "replaced")


def test_a_new_worker_starts_on_the_last_good_configuration(start_gateway: StartGateway) -> None:
    """A file that is broken while a worker dies keeps neither the other ones nor its successor from serving."""
    gateway = start_gateway(DEMO)
    eventually(lambda: len(workers(gateway)) == 2, "two workers serve")
    path = gateway.folder / "headgate.yaml"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "oops": 1}), "utf-8")
    old = workers(gateway)
    time.sleep(0.5)
    for process in old:
        process.kill()
    eventually(
        lambda: len(workers(gateway)) == 2 and not {one.pid for one in workers(gateway)} & {one.pid for one in old}, ""
    )

    def is_served() -> bool:
        try:
            return "one" in aliases(gateway)
        except OSError:
            return False

    eventually(is_served, "the successors serve")
    with urllib.request.urlopen(f"{gateway.url}/v1/ready") as reply:
        assert "`oops` is not known" in json.load(reply)["config_error"][0]


# sockets


@pytest.fixture
def sockets() -> Iterator[list[socket.socket]]:
    """What the test puts in is closed when it ends."""
    held: list[socket.socket] = []
    yield held
    for sock in held:
        sock.close()


def established(process: psutil.Process, port: int) -> int:
    """How many connections a worker has taken."""
    found = process.net_connections("tcp")
    return sum(entry.status == psutil.CONN_ESTABLISHED and entry.laddr.port == port for entry in found)


def test_workers_have_sockets_of_their_own(sockets: list[socket.socket]) -> None:
    """On one port, also when the system chose it."""
    sockets += bind_each("127.0.0.1", 0, 3)
    assert len(sockets) == (3 if sys.platform == "linux" else 1)
    assert len({sock.getsockname() for sock in sockets}) == 1
    assert sockets[0].getsockname()[1] > 0


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("others", [1, 2])
def test_a_port_in_use_is_refused(sockets: list[socket.socket], workers: int, others: int) -> None:
    """Whatever number of sockets it is used by, and whatever number is wanted: none joins those of another gateway."""
    sockets += bind_each("127.0.0.1", 0, others)
    with pytest.raises(OSError) as caught:
        bind_each("127.0.0.1", sockets[0].getsockname()[1], workers)
    assert caught.value.errno == errno.EADDRINUSE


def test_workers_share_a_socket_where_they_must(sockets: list[socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    """On systems that do not spread connections, and where the further sockets cannot be had."""
    monkeypatch.setattr("headgate.server.run._SPREADS", False)
    sockets += bind_each("127.0.0.1", 0, 2)
    assert len(sockets) == 1

    def refused(host: str, port: int, *, share: bool = False) -> socket.socket:
        if share:
            raise OSError(errno.EADDRINUSE, "in use")
        return bind(host, port)

    monkeypatch.setattr("headgate.server.run._SPREADS", True)
    monkeypatch.setattr("headgate.server.run.bind", refused)
    sockets += bind_each("127.0.0.1", 0, 2)
    assert len(sockets) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux spreads connections over sockets")
def test_no_worker_is_left_idle(start_gateway: StartGateway, sockets: list[socket.socket]) -> None:
    """Of many new connections each worker takes a good part."""
    gateway = start_gateway(DEMO)
    eventually(lambda: len(workers(gateway)) == 2, "two workers serve")
    sockets += [socket.create_connection(("127.0.0.1", gateway.port)) for _ in range(64)]

    def taken() -> list[int]:
        return [established(worker, gateway.port) for worker in workers(gateway)]

    eventually(lambda: sum(taken()) == 64, "all connections were taken")
    assert min(taken()) >= 8


def test_connections_wait_for_a_successor(start_gateway: StartGateway) -> None:
    """When all workers are killed at once, who connects then is answered by those that take their place."""
    gateway = start_gateway(DEMO)
    eventually(lambda: len(workers(gateway)) == 2, "two workers serve")
    for worker in workers(gateway):
        worker.kill()
    for _ in range(8):
        assert "one" in aliases(gateway)


@pytest.mark.parametrize("wanted", ["1", "2"])
def test_a_second_gateway_on_the_port_is_refused(start_gateway: StartGateway, tmp_path: Path, wanted: str) -> None:
    """It says so and ends; the first goes on with its workers."""
    gateway = start_gateway(DEMO)
    command = [str(Path(sys.executable).parent / "headgate"), "serve", "--workers", wanted]
    path = str(gateway.folder / "headgate.yaml")
    second = subprocess.run(
        [*command, "--config", path, "--port", str(gateway.port)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert (second.returncode, second.stdout) == (1, "")
    assert second.stderr == (
        f"headgate: cannot listen on 127.0.0.1:{gateway.port}: address already in use; "
        "choose another with --host and --port\n"
    )
    assert "one" in aliases(gateway)


def test_workers_on_a_port_the_system_chose(tmp_path: Path) -> None:
    """The greeting names it, and both workers answer there."""
    path = tmp_path / "headgate.yaml"
    path.write_text(json.dumps({**DEMO, "auth": {"mode": "open"}, "plugins": []}), "utf-8")
    command = [str(Path(sys.executable).parent / "headgate"), "serve", "--port", "0", "--config", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert found is not None
        for _ in range(8):
            with urllib.request.urlopen(f"{found[0]}/v1/models") as reply:
                assert reply.status == 200
        process.terminate()
        assert process.wait(10) == 0


# signals


def test_all_workers_reload(start_gateway: StartGateway) -> None:
    """SIGHUP to the parent reaches every worker."""
    gateway = start_gateway(DEMO)
    eventually(lambda: len(workers(gateway)) == 2, "two workers serve")
    path = gateway.folder / "headgate.yaml"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "models": {"new": "demo/echo"}}), "utf-8")
    gateway.process.send_signal(signal.SIGHUP)
    eventually(lambda: gateway.output().count(b"configuration reloaded") >= 2, "both have reloaded")
    for _ in range(20):
        assert "new" in aliases(gateway)


@pytest.mark.parametrize("is_typed", [False, True], ids=["SIGTERM", "Ctrl-C"])
async def test_every_worker_drains(start_gateway: StartGateway, upstream: Upstream, *, is_typed: bool) -> None:
    """What runs on any worker comes whole, new connections are refused, and the exit code is 0.

    Ctrl-C goes to all processes of a terminal: the workers are not among them, or it would come to them twice.
    """
    gateway = start_gateway({"server": {"workers": 2, "drain_s": 10, "drain_delay_s": 0}})
    eventually(lambda: len(workers(gateway)) == 2, "two workers serve")
    upstream.script = held = Held()
    async with contextlib.AsyncExitStack() as stack:
        streams = [await running_stream(gateway, stack) for _ in range(8)]
        group = os.getpgid(gateway.process.pid)
        eventually(lambda: all(os.getpgid(worker.pid) != group for worker in workers(gateway)), "workers stand apart")
        gateway.process.send_signal(signal.SIGINT if is_typed else signal.SIGTERM)
        await until_refused(gateway)
        held.go.set()
        for stream in streams:
            answer = await stream.answer()
            assert (answer.status, answer.is_whole, answer.body) == (200, True, b"".join(EVENTS))
        assert await until_exit(gateway, 5) == 0


# loading


def test_what_was_loaded_ahead_is_given_once(tmp_path: Path) -> None:
    """The start looks into the file and serves what it saw; a reload reads the file again."""
    path = tmp_path / "headgate.yaml"
    path.write_text("server: {port: 1}")
    load = Loader(path, tmp_path)
    ahead = load.ahead()
    path.write_text("server: {port: 2}")
    assert load() is ahead
    assert load().config.server.port == 2


@pytest.mark.parametrize(("is_known", "expected"), [(True, 0), (False, 1)])
def test_the_parent_loads_only_what_is_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_known: bool, expected: int
) -> None:
    """A file that the start has found good is not checked a second time."""
    path = tmp_path / "headgate.yaml"
    path.write_text("server: {workers: 2}")
    loaded: list[str] = []
    digest = load_file(path).digest if is_known else ""

    def noted(text: str, *_: object) -> None:
        loaded.append(text)

    monkeypatch.setattr("headgate.server.supervisor.load_text", noted)
    Supervisor(2, path, [], "", digest)
    assert len(loaded) == expected
