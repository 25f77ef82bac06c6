"""One serving process: uvicorn's server with our protocol, signals, reload and drain."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import signal
import socket
import sys
from collections.abc import Callable, Generator
from typing import Any

import structlog
import uvicorn
import uvloop
from typing_extensions import override

from headgate import logs
from headgate.config import Loaded
from headgate.errors import StartupError
from headgate.gateway import Gateway
from headgate.server.app import build_app
from headgate.server.door import Door, use_limits
from headgate.server.handler import Handler
from headgate.upstream.engines import create_engine

WATCH_S = 1.0
TIDY_S = 30.0
BACKLOG = 2048
MMAP_BYTES = 2 * 1024 * 1024
KEPT_BYTES = 16 * 1024 * 1024
"""What glibc gives back to the system, and what it keeps at hand: pages that come and go cost more than what they hold."""
_SPREADS = sys.platform.startswith("linux")  # elsewhere SO_REUSEPORT gives all connections to one of the sockets
_M_TOP_PAD = -2  # malloc.h
_M_MMAP_THRESHOLD = -3

log = structlog.get_logger("headgate")


class Process:
    """Serves one gateway on one socket until it is told to stop.

    `last_good` is used at the start when the configuration has problems: what a worker that takes a dead one's place
    falls back to.
    """

    def __init__(
        self, load: Callable[[], Loaded], sock: socket.socket, url: str, last_good: Callable[[], Loaded] | None = None
    ) -> None:
        self._load = load
        self._last_good = last_good
        self._sock = sock
        self._url = url

    def run(self, greet: Callable[[Gateway], None]) -> int:
        """Serve until SIGTERM or SIGINT; the exit code. `greet` is called once requests are taken."""
        logs.configure()
        try:
            return uvloop.run(self._run(greet))
        except StartupError as error:
            for problem in error.problems:
                sys.stderr.write(f"headgate: {problem}\n")
            return 1

    async def _run(self, greet: Callable[[Gateway], None]) -> int:
        loaded, problems = self._first()
        gateway = Gateway(self._load, create_engine(loaded.config.server.engine), self._url)
        gateway.reload_error = problems
        use_limits(loaded.config.limits)
        try:
            await gateway.start(loaded)
        except StartupError:
            await gateway.abandon()
            raise
        handler = Handler(gateway)
        settings = uvicorn.Config(
            build_app(gateway, handler),
            http=Door,
            interface="asgi3",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=None,
        )
        server = _Server(settings, gateway, handler)
        watch = asyncio.create_task(server.watch_file())
        tidy = asyncio.create_task(_tidy(gateway))
        serving = asyncio.create_task(server.serve(sockets=[self._sock]))
        try:
            while not server.started and not serving.done():
                await asyncio.sleep(0.005)
            if server.started:
                _settle_memory()
                greet(gateway)
            await serving
        finally:
            watch.cancel()
            tidy.cancel()
        return 0

    def _first(self) -> tuple[Loaded, tuple[str, ...]]:
        """The configuration to start with, and what is wrong with the one that should have been."""
        try:
            return self._load(), ()
        except StartupError as error:
            if self._last_good is None:
                raise
            problems = tuple(str(problem) for problem in error.problems)
            log.error("the configuration is refused, the last good one is used", problems=problems)
            return self._last_good(), problems


class _Server(uvicorn.Server):
    """uvicorn's server with a drain in three steps: readiness fails, the listener closes, running replies end."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway, handler: Handler) -> None:
        super().__init__(config)
        self._gateway = gateway
        self._handler = handler
        self._reloads: set[asyncio.Task[bool]] = set()

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop, signal.SIGTERM)
        loop.add_signal_handler(signal.SIGINT, self._stop, signal.SIGINT)
        loop.add_signal_handler(signal.SIGHUP, self.reload)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(number)

    def reload(self) -> None:
        """Read the configuration again, in the background."""
        task = asyncio.create_task(self._reload())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def watch_file(self) -> None:
        """Reload when the configuration file changes."""
        path = self._gateway.generation.loaded.path
        if path is None:
            return
        seen = _stamp(path)
        while True:
            await asyncio.sleep(WATCH_S)
            now = _stamp(path)
            if now != seen and now is not None:
                seen = now
                await self._reload()

    async def _reload(self) -> bool:
        done = await self._gateway.reload()
        use_limits(self._gateway.generation.loaded.config.limits)
        return done

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        settings = self._gateway.generation.loaded.config.server
        loop = asyncio.get_running_loop()
        deadline = loop.time() + settings.drain_delay_s + settings.drain_s
        if settings.drain_delay_s:
            await asyncio.sleep(settings.drain_delay_s)
        for server in self.servers:
            server.close()
        for sock in sockets or []:
            sock.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        while self.server_state.tasks and not self.force_exit and loop.time() < deadline:
            await asyncio.sleep(0.02)
        if self.server_state.tasks:
            log.warning("the drain deadline has passed", cut=len(self.server_state.tasks))
            self._handler.cut_all()
            await asyncio.wait(list(self.server_state.tasks), timeout=2.0)
        for connection in list(self.server_state.connections):
            connection.transport.close()
        await asyncio.sleep(0)
        await self.lifespan.shutdown()

    def _stop(self, number: signal.Signals) -> None:
        self._gateway.is_draining = True
        if self.should_exit and number == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True


def bind(host: str, port: int, *, share: bool = False) -> socket.socket:
    """A listening socket. OSError says why it cannot be had. `share` lets several processes bind the same port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    sock.set_inheritable(True)
    return sock


def bind_each(host: str, port: int, workers: int) -> list[socket.socket]:
    """A listening socket for each worker on one port, among which the kernel spreads connections; elsewhere one for all.

    Of workers that share a socket one is often left idle. OSError says why the port cannot be had.
    """
    first = bind(host, port)
    if workers == 1 or not _SPREADS:
        return [first]
    sockets = [first]
    try:
        # only once it listens: bound with this option it would join the sockets of another gateway instead of failing
        first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sockets += [bind(host, first.getsockname()[1], share=True) for _ in range(workers - 1)]
    except OSError as error:
        log.warning("the workers share one socket", reason=str(error))
    return sockets


def _stamp(path: Any) -> tuple[int, int, int] | None:
    """What changes when a file is written or replaced, as a mounted ConfigMap is."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


async def _tidy(gateway: Gateway) -> None:
    """Collect what small collections leave behind, in a moment when nobody waits."""
    while True:
        await asyncio.sleep(TIDY_S)
        if gateway.in_flight == 0 and gc.get_count()[2]:
            gc.collect()


def _settle_memory() -> None:
    """What start-up made lives as long as the process: keep the collector from walking it for every request."""
    with contextlib.suppress(OSError, AttributeError):
        # large bodies come and go: have glibc give their memory back, but for what the next one needs at once
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, MMAP_BYTES)
        libc.mallopt(_M_TOP_PAD, KEPT_BYTES)
    gc.collect()
    gc.freeze()
    gc.set_threshold(2_000, 5, 1_000)  # small collections often: a large one would hold up every running stream
