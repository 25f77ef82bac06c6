"""A real redis-server for a test, and a proxy before it that can be slow, silent, closed, or cut a reply in two."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Literal, cast

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from tests.harness import free_port

HOST = "127.0.0.1"
READY_S = 20.0

Mode = Literal["pass", "slow", "silent", "closed", "cut"]


class RedisServer:
    """A server of this test's own on loopback, with its files in `folder`; `options` are redis-server's.

    With `settings`, the lines of a configuration file, it is a sentinel.
    """

    def __init__(self, folder: Path, *options: str, settings: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.url = f"redis://{HOST}:{self.port}"
        self._options = options
        if settings:
            file = folder / "sentinel.conf"
            file.write_text(settings)
            self._options = (str(file), "--sentinel", *options)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        plain = ("--port", str(self.port), "--bind", HOST, "--dir", str(self.folder), "--daemonize", "no")
        command = [executable(), *self._options, *plain]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        end = time.monotonic() + READY_S
        while not self._answers():
            assert self._process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < end, (self.folder / "log").read_text()
            time.sleep(0.01)

    def stop(self) -> None:
        """End it, at once; stopping it twice is fine."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def command(self, *words: Any) -> Any:
        """What it answers to a command, over a connection of its own."""
        client = redis.Redis(HOST, self.port, socket_timeout=READY_S, protocol=2, retry=Retry(NoBackoff(), 0))
        try:
            return cast("Any", client).execute_command(*words)
        finally:
            client.close()

    def clients(self) -> int:
        """How many connections it has beside the one that asks."""
        return self.command("CLIENT", "LIST").count(b"\n") - 1

    def freeze(self) -> None:
        """Make the process stand still: the system takes connections, and nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _answers(self) -> bool:
        try:
            return bool(self.command("PING"))
        except redis.AuthenticationError:
            return True
        except redis.RedisError:
            return False


class Proxy:
    """Passes bytes to the server on `port` and back, as `mode` says; a change of mode holds for open connections too.

    `slow` passes every reply after `delay_s`, `silent` none; `closed` ends every connection at once; `cut` passes half
    of a reply and ends the connection. `open` counts connections, `asked` the pieces that clients have sent.
    """

    def __init__(self, port: int) -> None:
        self._upstream = port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.mode: Mode = "pass"
        self.delay_s = 1.0
        self.most_open = 0
        self.asked = 0

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}"

    @property
    def open(self) -> int:
        return len(self._writers)

    def become(self, mode: Mode) -> None:
        self.mode = mode
        if mode == "closed":
            for writer in list(self._writers):
                writer.close()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.close()
        while self._writers:
            await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.mode == "closed":
            writer.close()
            return
        self._writers.add(writer)
        self.most_open = max(self.most_open, self.open)
        try:
            back, onward = await asyncio.open_connection(HOST, self._upstream)
        except OSError:
            self._writers.discard(writer)
            writer.close()
            return
        answering = asyncio.create_task(self._answer(back, writer))
        try:
            while piece := await reader.read(65536):
                self.asked += 1
                onward.write(piece)
        except OSError:
            pass
        finally:
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)
            self._writers.discard(writer)
            for each in (onward, writer):
                each.close()

    async def _answer(self, back: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await back.read(65536):
            if self.mode == "slow":
                await asyncio.sleep(self.delay_s)
            if self.mode == "cut":
                writer.write(piece[: len(piece) // 2])
                break
            if self.mode != "silent":
                writer.write(piece)
        writer.close()


def executable() -> str:
    """Where redis-server is. Without it tests are skipped, but not where all of them must run."""
    found = shutil.which("redis-server")
    if found is None:
        missing = "redis-server is not installed: on Debian, `apt-get install redis-server`"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found
