"""Child processes of a benchmark run: started, awaited, metered and always stopped."""

import ctypes
import http.client
import os
import socket
import subprocess
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

_TAIL_LINES = 15


class BenchError(Exception):
    """The run cannot go on; the message says why and what to do."""


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process in nanosecond steps; /proc/PID/stat has the same sum in steps of 10 ms."""
    clock = ctypes.c_int()
    if code := ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock)):
        raise ProcessLookupError(code, os.strerror(code))
    return time.clock_gettime(clock.value)


@contextmanager
def _on_cpus(cpus: set[int] | None) -> Generator[None]:
    """Run this thread on `cpus` for a while: a process started meanwhile keeps them, with every thread it makes."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, before if cpus is None else cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _answers(host: str, port: int, path: str, body: bytes, headers: dict[str, str]) -> int | None:
    """The status of one chat request, or None when nobody answers."""
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("POST", path, body, headers)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


class Child:
    """A server process with its descendants; leaving the context stops them. Its output goes to `log`.

    `env` is added to this process's environment.
    """

    def __init__(
        self,
        name: str,
        command: list[str],
        log: Path,
        cpus: set[int] | None = None,
        *,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self.started = time.monotonic()
        try:
            with log.open("wb") as output, _on_cpus(cpus):
                self.process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env={**os.environ, **(env or {})},
                )
        except OSError as error:
            raise BenchError(f"{name} cannot be started: `{command[0]}`: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def wait_ready(
        self,
        port: int,
        body: bytes,
        headers: dict[str, str] | None = None,
        timeout_s: float = 30.0,
        *,
        host: str = "127.0.0.1",
        path: str = "/v1/chat/completions",
    ) -> tuple[float, float]:
        """Poll until a chat request is answered 200; returns CPU seconds and wall seconds since the start."""
        headers = {"content-type": "application/json"} | (headers or {})
        status: int | None = None
        while time.monotonic() - self.started < timeout_s:
            if (code := self.process.poll()) is not None:
                raise BenchError(f"{self.name} exited with status {code} before it answered{self._tail()}")
            status = _answers(host, port, path, body, headers)
            if status == 200:
                return self.cpu_s(), time.monotonic() - self.started
            time.sleep(0.01)
        raise BenchError(f"{self.name} gave no good answer in {timeout_s:.0f} s, last status {status}{self._tail()}")

    def _tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        return "; its last output:\n  " + "\n  ".join(lines) if lines else "; it printed nothing"

    def tree(self) -> list[psutil.Process]:
        """The process and its descendants; empty when it is gone."""
        try:
            root = psutil.Process(self.process.pid)
            return [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _sum(self, read: Callable[[psutil.Process], float]) -> float:
        try:
            return sum([read(process) for process in self.tree()])
        except (psutil.Error, ProcessLookupError) as error:
            raise BenchError(f"a process of {self.name} ended during the measurement{self._tail()}") from error

    def cpu_s(self) -> float:
        """CPU seconds, user and system, of the whole process tree since its start."""
        return self._sum(lambda process: _cpu_seconds(process.pid))

    def rss_mb(self) -> float:
        """Resident memory of the whole process tree in MB (2**20 bytes)."""
        return self._sum(lambda process: process.memory_info().rss) / 2**20

    def settle(self, timeout_s: float = 1.5) -> None:
        """Wait until the process tree has next to nothing to do, so that work behind the last reply is counted too."""
        deadline = time.monotonic() + timeout_s
        before = self.cpu_s()
        while time.monotonic() < deadline:
            time.sleep(0.05)
            now = self.cpu_s()
            if now - before < 0.001:
                return
            before = now

    def stop(self, timeout_s: float = 5.0) -> None:
        """End the process tree: SIGTERM to its root, then SIGKILL to what is left."""
        tree = self.tree()
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for process in tree[1:]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(tree[1:], timeout_s)
