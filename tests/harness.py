"""The gateway as a process, and raw client connections to it.

A raw connection can send and receive what no well-behaved client would. What a client receives and what the process
writes is searched for the planted secrets, whichever test caused it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

CANARY = "sk-CANARY-f3b1c7d2e9a84056"
GATEWAY_KEY = "hg-CANARY-7c0de1f4b2a95d38"
GATEWAY_SECRET = "CANARY-5e3b9f0a6d1c4782-hmac"
CANARIES = (CANARY.encode(), GATEWAY_KEY.encode(), GATEWAY_SECRET.encode())

RESET = struct.pack("ii", 1, 0)  # SO_LINGER of zero seconds: close sends RST


def assert_no_secret(data: bytes, where: str) -> None:
    """No planted secret stands in `data`, in capitals, small letters, or base64."""
    folded = data.lower()
    for secret in CANARIES:
        at = folded.find(secret.lower())
        assert at < 0, f"{where} holds a secret: …{data[max(0, at - 80) : at + 120]!r}…"
        coded = [base64.b64encode(pad + secret)[4:-4] for pad in (b"", b"a", b"ab")]
        assert not any(code in data for code in coded), f"{where} holds a secret in base64: {data[:2000]!r}"


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def eventually(predicate: Callable[[], Any], what: str, deadline_s: float = 5.0) -> None:
    """Poll until `predicate()` is true; AssertionError with `what` after the deadline."""
    end = time.monotonic() + deadline_s
    while not predicate():
        assert time.monotonic() < end, f"within {deadline_s:g} s it did not happen that {what}"
        await asyncio.sleep(0.005)


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `changes` put over it, mappings merged at every level."""
    result = dict(base)
    for name, value in changes.items():
        held = result.get(name)
        if isinstance(held, Mapping) and isinstance(value, Mapping):
            result[name] = merged(cast("Mapping[str, Any]", held), cast("Mapping[str, Any]", value))
        else:
            result[name] = value
    return result


class Gateway:
    """A `headgate serve` process with its configuration and output in `folder`."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        self.folder = folder
        self.port = free_port()
        self.config = merged(config, {"server": {"host": "127.0.0.1", "port": self.port}})
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, deadline_s: float = 20.0) -> None:
        """Start the process and wait until `GET /v1/ready` answers 200."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "headgate.yaml"
        path.write_text(json.dumps(self.config, indent=1), "utf-8")
        command = [str(Path(sys.executable).parent / "headgate"), "serve"]
        with (self.folder / "stdout").open("wb") as stdout, (self.folder / "stderr").open("wb") as stderr:
            self._process = subprocess.Popen(
                [*command, "--config", str(path), "--port", str(self.port)],
                stdout=stdout,
                stderr=stderr,
                stdin=subprocess.DEVNULL,
                cwd=self.folder,
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder), "HEADGATE_SECRET": GATEWAY_SECRET},
            )
        end = time.monotonic() + deadline_s
        while not self._is_ready():
            assert self.process.poll() is None, f"the gateway ended: {self.output()[-2000:].decode()}"
            assert time.monotonic() < end, f"the gateway was not ready: {self.output()[-2000:].decode()}"
            time.sleep(0.02)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the gateway was not started"
        return self._process

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def stop(self, deadline_s: float = 10.0) -> None:
        """End the process if it still runs: it must exit with 0, and leave neither a secret nor a traceback behind."""
        if self._process is None:
            return
        if self.process.poll() is None:
            self.terminate()
        try:
            code = self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the gateway still ran {deadline_s:g} s after SIGTERM") from None
        output = self.output()
        assert code == 0, f"exit code {code}: {output[-2000:].decode()}"
        assert b"Traceback" not in output, output[output.find(b"Traceback") - 500 :][:4000].decode()
        self.check_files()

    def check_files(self) -> None:
        """No file in the folder but the configuration holds a planted secret."""
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and path.name != "headgate.yaml":
                assert_no_secret(path.read_bytes(), f"the file {path.relative_to(self.folder)}")

    def output(self) -> bytes:
        """What the process has written to stdout and stderr."""
        return (self.folder / "stdout").read_bytes() + (self.folder / "stderr").read_bytes()

    def descriptors(self) -> int:
        """Open file descriptors of the process and its children."""
        return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in self._pids())

    def resident_bytes(self) -> int:
        """Resident memory of the process and its children now."""
        return self._status("VmRSS")

    def peak_bytes(self) -> int:
        """The most memory that was resident since `forget_peak`."""
        return self._status("VmHWM")

    def forget_peak(self) -> None:
        """Start measuring the peak anew (see proc(5), clear_refs)."""
        for pid in self._pids():
            Path(f"/proc/{pid}/clear_refs").write_text("5", "ascii")

    def _status(self, name: str) -> int:
        lines = [line for pid in self._pids() for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines()]
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))

    def _pids(self) -> Iterator[int]:
        waiting = [self.process.pid]
        while waiting:
            pid = waiting.pop()
            yield pid
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                waiting.extend(int(child) for child in children.read_text("ascii").split())

    def _is_ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as wire:
                wire.sendall(b"GET /v1/ready HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n")
                return wire.recv(64).split(b" ")[1:2] == [b"200"]
        except OSError:
            return False


@dataclass
class Answer:
    """One HTTP response as it came. `is_whole` tells whether its framing reached its end."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    is_whole: bool = True
    interim: tuple[int, ...] = ()

    def header(self, name: str) -> str | None:
        """The first value of a header by lower-case name."""
        return next((value for held, value in self.headers if held == name), None)

    def all(self, name: str) -> list[str]:
        """Every value of a header by lower-case name."""
        return [value for held, value in self.headers if held == name]

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error of an OpenAI envelope, which must be exactly one."""
        assert (self.header("content-type") or "").startswith("application/json"), self
        error: dict[str, Any] = self.json["error"]
        assert {"message", "type", "param", "code"} <= set(error), self.body
        return error


class Wire:
    """A raw connection to the gateway, on a bare socket: a failing write loses nothing of what can still be read."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.transcript = bytearray()
        self._used = 0

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, gateway: Gateway | int) -> AsyncGenerator[Wire]:
        """Connect, and close on leaving. What was received is then searched for secrets."""
        with socket.socket() as sock:
            sock.setblocking(False)
            wire = cls(sock)
            port = gateway.port if isinstance(gateway, Gateway) else gateway
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
            yield wire
        assert_no_secret(bytes(wire.transcript), "a reply")

    async def send(self, data: bytes) -> None:
        """Write all of `data`; raises ConnectionError when the gateway has closed."""
        await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def answer(self, deadline_s: float = 10.0, *, method: str = "POST") -> Answer:
        """The next response, interim ones folded in. AssertionError when none comes within the deadline."""
        try:
            async with asyncio.timeout(deadline_s):
                answer = await self.head()
                interim: list[int] = []
                while 100 <= answer.status < 200 and answer.status != 101:
                    interim.append(answer.status)
                    answer = await self.head()
                answer.interim = tuple(interim)
                if method != "HEAD" and answer.status not in {204, 304}:
                    await self._body(answer)
        except TimeoutError:
            raise AssertionError(f"no answer within {deadline_s:g} s; received {bytes(self.transcript)!r}") from None
        return answer

    async def head(self) -> Answer:
        """The next response head, interim or final; raises EOFError when the connection ended instead."""
        lines = [await self._line()]
        while lines[-1]:
            lines.append(await self._line())
        version, _, rest = lines[0].partition(b" ")
        assert version in {b"HTTP/1.1", b"HTTP/1.0"}, lines[0]
        headers: list[tuple[str, str]] = []
        for line in lines[1:-1]:
            name, colon, value = line.partition(b":")
            assert colon, line
            headers.append((name.decode("ascii").lower(), value.strip().decode("latin-1")))
        return Answer(int(rest[:3]), tuple(headers))

    async def until(self, mark: bytes, deadline_s: float = 5.0) -> None:
        """Receive until `mark` has been seen anywhere since the start."""
        async with asyncio.timeout(deadline_s):
            while mark not in self.transcript:
                await self._some()

    async def rest(self, deadline_s: float = 5.0) -> bytes:
        """Everything until the gateway closes. AssertionError when it does not within the deadline."""
        try:
            async with asyncio.timeout(deadline_s):
                with contextlib.suppress(ConnectionError, EOFError):
                    while True:
                        await self._some()
        except TimeoutError:
            raise AssertionError(f"still open after {deadline_s:g} s: {bytes(self.transcript)!r}") from None
        return self._take(len(self.transcript) - self._used)

    def reset(self) -> None:
        """Close with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.socket.close()

    def close(self) -> None:
        """Close with FIN."""
        self.socket.close()

    async def _body(self, answer: Answer) -> None:
        length = answer.header("content-length")
        try:
            if (answer.header("transfer-encoding") or "").lower() == "chunked":
                assert length is None, "a response has both `content-length` and `transfer-encoding`"
                await self._chunks(answer)
            elif length is not None:
                answer.body = await self._exactly(int(length))
            else:
                answer.body = await self.rest(60)
        except (EOFError, ConnectionError):
            answer.is_whole = False

    async def _chunks(self, answer: Answer) -> None:
        while size := int(await self._line(), 16):
            answer.body += await self._exactly(size)
            assert await self._line() == b""
        while await self._line():
            pass

    async def _line(self) -> bytes:
        while (end := self.transcript.find(b"\r\n", self._used)) < 0:
            await self._some()
        return self._take(end + 2 - self._used)[:-2]

    async def _exactly(self, size: int) -> bytes:
        while len(self.transcript) - self._used < size:
            try:
                await self._some()
            except (EOFError, ConnectionError):
                self._used = len(self.transcript)
                raise
        return self._take(size)

    def _take(self, size: int) -> bytes:
        self._used += size
        return bytes(self.transcript[self._used - size : self._used])

    async def _some(self) -> None:
        data = await asyncio.get_running_loop().sock_recv(self.socket, 65536)
        if not data:
            raise EOFError
        self.transcript += data


def chat(stream: bool = False, **members: Any) -> bytes:  # noqa: FBT002 - reads as the member it becomes
    """A chat request body for the model alias `m`."""
    body: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    if stream:
        body["stream"] = True
    return json.dumps({**body, **members}, separators=(",", ":")).encode()


def post(body: bytes, headers: bytes = b"", target: bytes = b"/v1/chat/completions") -> bytes:
    """A whole request; `headers` are lines with their CRLF."""
    return head(b"content-length: %d\r\n%s" % (len(body), headers), target) + body


def head(headers: bytes = b"", target: bytes = b"/v1/chat/completions", method: bytes = b"POST") -> bytes:
    """A request head with a Host and a JSON content type; `headers` are lines with their CRLF."""
    return b"%s %s HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n%s\r\n" % (method, target, headers)


def chunked(data: bytes) -> bytes:
    """`data` as one HTTP chunk."""
    return b"%x\r\n%s\r\n" % (len(data), data)


async def ask(gateway: Gateway | int, request: bytes, deadline_s: float = 10.0) -> Answer:
    """Send one request over a connection of its own and read the answer."""
    async with Wire.open(gateway) as wire:
        await wire.send(request)
        return await wire.answer(deadline_s, method=request.partition(b" ")[0].decode())


async def readiness(gateway: Gateway) -> dict[str, Any]:
    """What `GET /v1/ready` says."""
    answer = await ask(gateway, head(method=b"GET", target=b"/v1/ready"))
    assert answer.status == 200, answer
    return answer.json


async def eventually_idle(gateway: Gateway, deadline_s: float = 5.0) -> None:
    """Poll until no exchange runs on the gateway."""
    end = time.monotonic() + deadline_s
    while running := (await readiness(gateway))["in_flight"]:
        assert time.monotonic() < end, f"{running} exchanges still ran after {deadline_s:g} s"
        await asyncio.sleep(0.01)
