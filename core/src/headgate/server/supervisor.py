"""Several serving processes on one port: started, respawned, drained and told to reload by one small parent."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from multiprocessing.connection import wait
from multiprocessing.context import SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path

from headgate.config import Loaded, load_file, load_text, load_zero
from headgate.errors import StartupError
from headgate.gateway import Gateway
from headgate.server.run import Process

MAX_CRASHES = 5
CRASH_WINDOW_S = 30.0
WATCH_S = 0.2


class Supervisor:
    """Keeps `workers` processes running. Gives up when they crash too often, with the exit code 1.

    Each worker serves its own of `sockets`, or all the only one. They stay open here, so that what connects after a
    worker's death waits for its successor. `digest` is that of a configuration known to be good.
    """

    def __init__(
        self, workers: int, path: Path | None, sockets: Sequence[socket.socket], url: str, digest: str = ""
    ) -> None:
        self._workers = workers
        self._path = path
        self._sockets = sockets
        self._url = url
        self._digest = digest
        self._context: SpawnContext = multiprocessing.get_context("spawn")
        self._processes: list[BaseProcess] = []
        self._crashes: deque[float] = deque(maxlen=MAX_CRASHES)
        self._stop = threading.Event()
        self._seen = 0.0
        self._good: str = ""
        self._remember()

    def run(self) -> int:
        """Run until SIGTERM or SIGINT; the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda got, _: self._forward(got, stop=True))
        signal.signal(signal.SIGHUP, lambda got, _: self._forward(got, stop=False))
        for at in range(self._workers):
            self._spawn(at, quiet=at > 0)
        code = 0
        while not self._stop.is_set():
            wait([process.sentinel for process in self._processes], WATCH_S)
            self._remember()
            if not self._stop.is_set() and not self._respawn():
                code = 1
                self._forward(signal.SIGTERM, stop=True)
        for process in self._processes:
            process.join()
        return code

    def _spawn(self, at: int, *, quiet: bool) -> None:
        sock = self._sockets[at % len(self._sockets)]
        process = self._context.Process(
            target=serve_worker, args=(self._path, Path.cwd(), sock, self._url, self._good, quiet), daemon=False
        )
        process.start()
        self._processes[at : at + 1] = [process]
        if self._stop.is_set():
            process.terminate()  # it was not there yet when the others were told

    def _remember(self) -> None:
        """Keep the text of the last configuration without problems, for workers that must start while the file has some."""
        if self._path is None:
            return
        try:
            changed = self._path.stat().st_mtime
            if changed == self._seen:
                return
            self._seen = changed
            text = self._path.read_text("utf-8")
            digest = hashlib.sha256(text.encode()).hexdigest()
            if digest != self._digest:
                load_text(text, str(self._path), self._path.resolve().parent)
        except (OSError, UnicodeDecodeError, StartupError):
            return  # the workers say what is wrong with it
        self._good, self._digest = text, digest

    def _respawn(self) -> bool:
        """Replace what has died; False when it dies too often to go on."""
        for at, process in enumerate(self._processes):
            if process.is_alive():
                continue
            now = time.monotonic()
            self._crashes.append(now)
            sys.stderr.write(f"headgate: worker {process.pid} ended with code {process.exitcode}, starting another\n")
            if len(self._crashes) == MAX_CRASHES and now - self._crashes[0] < CRASH_WINDOW_S:
                sys.stderr.write("headgate: workers keep ending, giving up\n")
                return False
            self._spawn(at, quiet=True)
        return True

    def _forward(self, number: int, *, stop: bool) -> None:
        for process in self._processes:
            if process.is_alive() and process.pid is not None:
                os.kill(process.pid, number)
        if stop:
            for sock in self._sockets:
                sock.close()  # or connections would wait here for a worker that is gone
            self._stop.set()


class Loader:
    """How a process reads its configuration: from the file, or the defaults without one."""

    def __init__(self, path: Path | None, folder: Path) -> None:
        self._path = path
        self._folder = folder
        self._held: Loaded | None = None

    def ahead(self) -> Loaded:
        """Load now what the next call is to give: a large file takes seconds, and who starts looks into it first."""
        self._held = self()
        return self._held

    def __call__(self) -> Loaded:
        """What was loaded ahead, once; else what the file has now. StartupError lists every problem."""
        held, self._held = self._held, None
        if held is not None:
            return held
        return load_zero(self._folder) if self._path is None else load_file(self._path)


def serve_worker(
    path: Path | None,
    folder: Path,
    sock: socket.socket,
    url: str,
    good: str,
    quiet: bool,  # noqa: FBT001
) -> None:
    """One worker process; it exits with the code of its server. `good` is the text of the last good configuration."""
    os.setpgid(0, 0)  # Ctrl-C is for the parent, which passes it on: a second one would cut running replies

    def last_good() -> Loaded:
        return load_text(good, str(path), folder if path is None else path.resolve().parent, path=path)

    process = Process(Loader(path, folder), sock, url, last_good if good else None)
    sys.exit(process.run(announce if quiet else greet))


def greet(gateway: Gateway) -> None:
    """Tell the person at the terminal that requests are taken, and what plugins had to say."""
    sys.stdout.write(f"headgate is ready on {gateway.context.url}\n")
    announce(gateway)


def announce(gateway: Gateway) -> None:
    """What plugins had to say alone: of several workers only the first greets, but any of them may have made the key."""
    for text in gateway.context.announcements:
        sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
