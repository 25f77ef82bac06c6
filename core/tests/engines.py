"""What the tests of the upstream engines share: a server of raw bytes, its answers, name resolution, and the engines.

Every test that takes `upstream` or `engine` runs once for each engine; `h1_only` marks what the reference engine cannot hold.
A test module takes the fixtures with `server = engines.server` and so on.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import pytest
import uvloop

from headgate.errors import ProviderError
from headgate.upstream import Timeouts, Upstream, UpstreamRequest
from headgate.upstream.interface import RawHeaders

HOST = "127.0.0.1"
NAME = "models.internal"
LOCAL = frozenset({HOST, NAME})
BRIEF_S = 0.15
HANG_S = 20
"""After how long a wait that should end by itself is taken for a hang: far beyond any stall of a busy machine."""
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

Answer = Callable[["Connection"], Awaitable[None]]
Engine = type[Upstream]

H1_NAMES = ("h1", pytest.param("h1-uvloop", marks=pytest.mark.timeout(30, method="thread")))
"""The engine on asyncio's own loop and on uvloop, which a signal does not get out of a hang."""
NAMES = ("aiohttp", *H1_NAMES)
h1_only = pytest.mark.parametrize("engine", H1_NAMES, indirect=True)


def header_pairs(*pairs: tuple[str, str]) -> RawHeaders:
    """Request headers as `UpstreamRequest` takes them; each character stands for one byte."""
    return tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs)


class Connection:
    """One connection of the raw server: the request's head and body as they came, and a way to write bytes back."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.head = b""
        self.body = b""
        self.served = 0

    async def read_head(self) -> bool:
        """Take in the head of one request; False when the client has closed instead."""
        try:
            self.head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            return False
        self.served += 1
        return True

    async def read_body(self) -> None:
        self.body = await self.reader.readexactly(int(self.header(b"content-length") or b"0"))

    def header(self, name: bytes) -> bytes | None:
        lines = self.head.split(b"\r\n")[1:]
        return next((line.partition(b": ")[2] for line in lines if line.lower().startswith(name + b":")), None)

    async def send(self, data: bytes) -> None:
        """Raises ConnectionResetError when this side is closed already, on every loop."""
        if self.writer.is_closing():
            raise ConnectionResetError
        self.writer.write(data)
        await self.writer.drain()

    async def closed(self) -> None:
        """Wait until the client has closed."""
        with contextlib.suppress(OSError):
            while await self.reader.read(65536):
                pass


class Server:
    """Listens on loopback; `answer` is run for each request. `open` counts the connections that are open now.

    With `reads_body` false the answer begins when the head is there, and the body is the answer's to read.
    """

    def __init__(self) -> None:
        self.connections: list[Connection] = []
        self.tasks: list[asyncio.Task[None] | None] = []
        self.requests = 0
        self.open = 0
        self.url = ""
        self.port = 0
        self.reads_body = True
        self.answer: Answer = answering(OK)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer)
        self.connections.append(connection)
        self.tasks.append(asyncio.current_task())
        self.open += 1
        try:
            while await connection.read_head():
                if self.reads_body:
                    await connection.read_body()
                self.requests += 1
                await self.answer(connection)
                if writer.is_closing():
                    break
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.open -= 1
            writer.close()

    def request(self, path: str = "/", body: bytes = b"{}", method: str = "POST", **changes: Any) -> UpstreamRequest:
        return UpstreamRequest(method, self.url + path, body=body, private_hosts=LOCAL, **changes)

    def named(self, path: str = "/", **changes: Any) -> UpstreamRequest:
        """A request to this server by its name, which the test must resolve."""
        url = self.url.replace(HOST, NAME) + path
        return UpstreamRequest("POST", url, body=b"{}", private_hosts=LOCAL, **changes)


def answering(*pieces: bytes) -> Answer:
    """Send these bytes, and leave the connection open."""

    async def answer(connection: Connection) -> None:
        for piece in pieces:
            await connection.send(piece)

    return answer


def ending(*pieces: bytes) -> Answer:
    """Send these bytes and close."""

    async def answer(connection: Connection) -> None:
        await answering(*pieces)(connection)
        connection.writer.close()

    return answer


def hanging(*pieces: bytes) -> Answer:
    """Send these bytes and stay silent until the client closes."""

    async def answer(connection: Connection) -> None:
        await answering(*pieces)(connection)
        await connection.closed()

    return answer


async def silent(connection: Connection) -> None:
    """Neither read nor write, until the test ends."""
    await asyncio.Event().wait()


def dripping(head: bytes, piece: bytes, gap_s: float) -> Answer:
    """Send the head, then one piece after another without end."""

    async def answer(connection: Connection) -> None:
        await connection.send(head)
        while True:
            await connection.send(piece)
            await asyncio.sleep(gap_s)

    return answer


def numbering(gap_s: float = 0.0) -> Answer:
    """Send back the request's `x-number` as a body of 8 bytes, in two pieces."""

    async def answer(connection: Connection) -> None:
        number = connection.header(b"x-number") or b""
        await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n")
        await asyncio.sleep(gap_s)
        await connection.send(number.rjust(8))

    return answer


def numbered(server: Server, number: int, **changes: Any) -> UpstreamRequest:
    return server.request(headers=header_pairs(("x-number", str(number))), **changes)


@contextlib.asynccontextmanager
async def serving(tls: ssl.SSLContext | None = None, host: str = HOST, port: int = 0) -> AsyncGenerator[Server]:
    """A server on loopback that is taken down, with all its connections, at the end."""
    held = Server()
    listening = await asyncio.start_server(held, host, port, ssl=tls)
    held.port = listening.sockets[0].getsockname()[1]
    held.url = f"http{'s' if tls else ''}://{host}:{held.port}"
    try:
        yield held
    finally:
        listening.close()
        for connection in held.connections:
            connection.writer.transport.abort()
        tasks = [task for task in held.tasks if task is not None and not task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A plain server."""
    async with serving() as held:
        yield held


@pytest.fixture(name="_asyncio_loop_factory")
def loop_factory(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    """Takes the place of pytest-asyncio's fixture of that name in each test module: the loop goes with the engine."""
    callspec: Any = getattr(request.node, "callspec", None)
    name = callspec.params.get("engine", "") if callspec is not None else ""
    return uvloop.new_event_loop if name.endswith("-uvloop") else asyncio.new_event_loop


@pytest.fixture(params=NAMES)
async def engine(request: pytest.FixtureRequest) -> Engine:
    """The class of the engine under test, on the loop that the name of the test says."""
    name, _, loop = request.param.partition("-")
    assert type(asyncio.get_running_loop()).__module__.startswith(loop or "asyncio")
    module = import_module(f"headgate.upstream.{name}_engine")
    return cast("Engine", getattr(module, f"{name.title()}Upstream"))


@pytest.fixture
async def upstream(engine: Engine) -> AsyncIterator[Upstream]:
    """An engine. Whatever the event loop had to complain about by the end fails the test."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    held = engine()
    yield held
    await held.close()
    assert complaints == [], complaints


def limit(monkeypatch: pytest.MonkeyPatch, name: str, value: float) -> None:
    """Set a limit in every module of `headgate.upstream` that knows it; AssertionError when none does."""
    known = [
        module for at, module in sys.modules.items() if at.startswith("headgate.upstream") and hasattr(module, name)
    ]
    assert known
    for module in known:
        monkeypatch.setattr(module, name, value)


async def fetched(upstream: Upstream, request: UpstreamRequest) -> bytes:
    response = await upstream.send(request)
    try:
        return await response.read()
    finally:
        response.close()


async def refused(upstream: Upstream, request: UpstreamRequest) -> ProviderError:
    """The error of a call that must fail by itself."""
    with pytest.raises(ProviderError) as caught:
        async with asyncio.timeout(HANG_S):
            await fetched(upstream, request)
    return caught.value


async def turns(number: int = 5) -> None:
    """Let the event loop see what lies in the sockets already."""
    for _ in range(number):
        await asyncio.sleep(0)


Resolved = Callable[[str], list[str]]


def resolve(monkeypatch: pytest.MonkeyPatch, found: Resolved) -> list[str]:
    """Make names resolve as `found` says (an empty list: no such name). The names asked for are noted."""
    loop = asyncio.get_running_loop()
    original = loop.getaddrinfo
    asked: list[str] = []

    async def getaddrinfo(host: Any, port: Any, **options: Any) -> list[Any]:
        name = host.decode() if isinstance(host, bytes) else str(host)
        if _is_literal(name):
            return await original(name, port, **options)
        asked.append(name)
        addresses = found(name)
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [_entry(address, int(port or 0)) for address in addresses]

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    return asked


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Make every name resolve to these addresses; the names asked for are noted."""
    return resolve(monkeypatch, lambda _: list(addresses))


def _is_literal(name: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):
            socket.inet_pton(family, name.partition("%")[0])
            return True
    return False


def _entry(address: str, port: int) -> Any:
    if ":" in address:
        return (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0))
    return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))


Connecting = Callable[[socket.socket, Any], Awaitable[None]]


def watch_connecting(monkeypatch: pytest.MonkeyPatch, instead: Connecting | None = None) -> list[socket.socket]:
    """Note the socket of every connection that is begun; `instead` takes the place of connecting."""
    loop = asyncio.get_running_loop()
    connect = instead or loop.sock_connect
    begun: list[socket.socket] = []

    async def sock_connect(sock: socket.socket, address: Any) -> None:
        begun.append(sock)
        await connect(sock, address)

    monkeypatch.setattr(loop, "sock_connect", sock_connect)
    return begun


@contextlib.contextmanager
def black_hole(host: str = "127.0.0.2", port: int = 0) -> Generator[int]:
    """A port on which connecting neither succeeds nor fails: its queue is full and nobody accepts."""
    with contextlib.ExitStack() as held:
        listening = held.enter_context(socket.socket())
        listening.bind((host, port))
        listening.listen(0)
        for _ in range(4):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(listening.getsockname())
        yield listening.getsockname()[1]


class Authority:
    """A certificate authority of one test run, made with the `openssl` command. `file` is its certificate."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.file = str(folder / "ca.pem")
        (folder / "ca.cnf").write_text(_CA_SETTINGS)
        self._openssl("ca", "/CN=test authority", "-extensions", "authority")

    def issue(self, name: str) -> tuple[str, str]:
        """The files of a new certificate for a host name or an address, and of its key."""
        kind = "IP" if _is_literal(name) else "DNS"
        signer = ("-CA", self.file, "-CAkey", str(self._folder / "ca.key"))
        self._openssl(name, f"/CN={name}", "-addext", f"subjectAltName={kind}:{name}", *signer)
        return str(self._folder / f"{name}.pem"), str(self._folder / f"{name}.key")

    def server(self, name: str = NAME) -> ssl.SSLContext:
        """The settings of a server of that name."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue(name))
        return context

    def _openssl(self, file: str, subject: str, *more: str) -> None:
        new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", subject)
        at = self._folder / file
        command = ("openssl", "req", "-x509", "-config", str(self._folder / "ca.cnf"), *new)
        subprocess.run((*command, "-keyout", f"{at}.key", "-out", f"{at}.pem", *more), check=True, capture_output=True)


_CA_SETTINGS = """[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
"""


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that no system trusts."""
    return Authority(tmp_path_factory.mktemp("authority"))


def brief(**limits: float) -> Timeouts:
    """These `limits`, and all others so long that a machine which stalls for a second does not reach them."""
    return Timeouts(
        **(dict.fromkeys(("connect_s", "first_byte_s", "gap_s"), HANG_S) | {"total_s": 2 * HANG_S} | limits)
    )
