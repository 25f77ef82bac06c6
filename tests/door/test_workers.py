"""Several serving processes under one parent: one may die, all reload, and the socket stays."""

from __future__ import annotations

import contextlib
import json
import time
import urllib.request
from collections.abc import Callable

import psutil
from tests.conftest import StartGateway
from tests.harness import Gateway

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
    """Requests are answered by the other one meanwhile, and soon there are two again."""
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
