"""Uploads through the real server: flat memory, back-pressure both ways, and polite ends."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from tests.conftest import StartGateway
from tests.door.conftest import BODY_STALL_S, KIB, MIB
from tests.harness import Answer, Gateway, Wire, ask, chunked, eventually, eventually_idle, head

PROVIDER = b"x-headgate-provider: mock\r\n"
TARGET = b"/v1/audio/transcriptions"
BOUNDARY = b"b0undary-of-this-f0rm"
KIND = b"content-type: multipart/form-data; boundary=" + BOUNDARY + b"\r\n"
SOUND = random.Random(3).randbytes(MIB) * 20
HEARD = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 16\r\n\r\n{"text":"heard"}'
REFUSED = (
    b'HTTP/1.1 401 No\r\ncontent-type: application/json\r\ncontent-length: 31\r\n\r\n{"error":{"message":"bad key"}}'
)


class Taken:
    """One request as a vendor takes it: never held, only counted and digested."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.head = b""
        self.size = 0
        self.digest = hashlib.sha256()
        self.is_whole = False
        self.is_closed = asyncio.Event()

    async def take(self, limit: int | None = None) -> None:
        """Read the body, or the first `limit` bytes of it."""
        lines = self.head.lower().split(b"\r\n")
        length = next((int(line[16:]) for line in lines if line.startswith(b"content-length: ")), None)
        if length is None:
            while size := int(await self.reader.readline(), 16):
                await self._read(size)
                await self.reader.readexactly(2)
            await self.reader.readexactly(2)
        else:
            await self._read(length if limit is None else min(limit, length))
        self.is_whole = length is None or self.size == length

    async def _read(self, size: int) -> None:
        end = self.size + size
        while self.size < end:
            data = await self.reader.readexactly(min(64 * KIB, end - self.size))
            self.size += len(data)
            self.digest.update(data)


Script = Callable[[Taken], Awaitable[None]]


async def hear(taken: Taken) -> None:
    await taken.take()
    taken.writer.write(HEARD)


class Vendor:
    """A vendor that answers each request by `script`, on the port that the deployment `mock` names."""

    def __init__(self) -> None:
        self.script: Script = hear
        self.requests: list[Taken] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                taken = Taken(reader, writer)
                taken.head = await reader.readuntil(b"\r\n\r\n")
                self.requests.append(taken)
                await self.script(taken)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            for each in self.requests:
                if each.writer is writer:
                    each.is_closed.set()
            writer.close()


@pytest.fixture
async def vendor(upstream_port: int) -> AsyncIterator[Vendor]:
    """The vendor behind the deployment `mock`."""
    held = Vendor()
    listening = await asyncio.start_server(held, "127.0.0.1", upstream_port, reuse_port=True)
    yield held
    listening.close()
    for taken in held.requests:
        taken.writer.transport.abort()


def part(name: bytes, value: bytes, more: bytes = b"") -> bytes:
    return b'--%b\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n' % (BOUNDARY, name, more, value)


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--%b--\r\n" % BOUNDARY


MODEL = part(b"model", b"m")
FILE = part(b"file", SOUND, b'; filename="a.wav"')
BODY = form(MODEL, FILE)
SENT = form(part(b"model", b"some-model"), FILE)


def upload(body: bytes = BODY, headers: bytes = b"", target: bytes = TARGET) -> bytes:
    """A whole request with a form."""
    lines = KIND + headers + b"content-length: %d\r\n" % len(body)
    return b"POST %b HTTP/1.1\r\nhost: gateway\r\n%b\r\n" % (target, lines) + body


@pytest.mark.parametrize("engine", ["h1", "aiohttp"])
async def test_a_large_upload_costs_no_memory(start_gateway: StartGateway, vendor: Vendor, engine: str) -> None:
    """Four uploads of 20 MB at a time pass through in a few hundred kilobytes each, every byte as it was but the model."""
    gateway = start_gateway({"server": {"engine": engine}})
    for _ in range(2):
        assert (await ask(gateway, upload())).status == 200
    before = gateway.resident_bytes()
    gateway.forget_peak()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ask(gateway, upload(), 20)) for _ in range(4)]
    assert [task.result().json for task in tasks] == 4 * [{"text": "heard"}]
    assert gateway.peak_bytes() - before < 6 * MIB
    assert {taken.digest.digest() for taken in vendor.requests} == {hashlib.sha256(SENT).digest()}


async def test_a_large_file_costs_no_memory(start_gateway: StartGateway, vendor: Vendor) -> None:
    """The same for files, of which nothing is read."""
    gateway = start_gateway()
    request = upload(form(FILE), PROVIDER, b"/v1/files")
    assert (await ask(gateway, request)).status == 200
    before = gateway.resident_bytes()
    gateway.forget_peak()
    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(ask(gateway, request, 20))
    assert gateway.peak_bytes() - before < 6 * MIB
    assert {taken.digest.digest() for taken in vendor.requests} == {hashlib.sha256(form(FILE)).digest()}


def answer_of(told: object) -> bytes:
    """A whole answer in JSON."""
    body = json.dumps(told).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


@pytest.mark.parametrize("engine", ["h1", "aiohttp"])
@pytest.mark.parametrize("parts", [(part(b"purpose", b"batch"), FILE), (FILE, part(b"purpose", b"batch"))])
async def test_a_file_that_becomes_a_dataset_costs_no_memory(
    start_gateway: StartGateway, vendor: Vendor, upstream_port: int, engine: str, parts: tuple[bytes, bytes]
) -> None:
    """Where a vendor keeps datasets, one is made first, and then the file alone passes into it as it comes."""
    dataset = {"name": "accounts/acme/datasets/batch-1", "state": "UPLOADING"}

    async def script(taken: Taken) -> None:
        await taken.take()
        is_filling = b":upload " in taken.head.partition(b"\r\n")[0]
        taken.writer.write(answer_of({"id": dataset["name"], "bytes": len(SOUND)} if is_filling else dataset))

    vendor.script = script
    base = f"http://127.0.0.1:{upstream_port}/v1"
    deployed = {"provider": "fireworks", "api_key": "sk-other", "account_id": "acme", "base_url": base}
    gateway = start_gateway({"server": {"engine": engine}, "providers": {"fire": deployed}})
    request = upload(form(*parts), b"x-headgate-provider: fire\r\n", b"/v1/files")
    assert (await ask(gateway, request, 20)).status == 200
    before = gateway.resident_bytes()
    gateway.forget_peak()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ask(gateway, request, 20)) for _ in range(4)]
    assert {(task.result().json["id"], task.result().json["bytes"]) for task in tasks} == {("batch-1", len(SOUND))}
    assert gateway.peak_bytes() - before < 6 * MIB
    filled = [taken for taken in vendor.requests if taken.size > MIB]
    assert len(filled) == 5
    assert {taken.digest.digest() for taken in filled} == {hashlib.sha256(form(FILE)).digest()}


async def test_the_content_of_a_dataset_costs_no_memory(
    start_gateway: StartGateway, vendor: Vendor, upstream_port: int
) -> None:
    """Content passes as the vendor's storage sends it, and its length is not known before."""

    async def script(taken: Taken) -> None:
        if b":getDownloadEndpoint " in taken.head.partition(b"\r\n")[0]:
            url = f"http://127.0.0.1:{upstream_port}/stored/results.jsonl?sig=1"
            taken.writer.write(answer_of({"filenameToSignedUrls": {"results.jsonl": url}}))
            return
        taken.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(SOUND))
        for at in range(0, len(SOUND), MIB):
            taken.writer.write(SOUND[at : at + MIB])
            await taken.writer.drain()

    vendor.script = script
    base = f"http://127.0.0.1:{upstream_port}/v1"
    deployed = {"provider": "fireworks", "api_key": "sk-other", "account_id": "acme", "base_url": base}
    gateway = start_gateway({"providers": {"fire": deployed}})
    request = head(b"x-headgate-provider: fire\r\n", b"/v1/files/out-1/content", b"GET")
    assert (await ask(gateway, request, 20)).status == 200
    before = gateway.resident_bytes()
    gateway.forget_peak()
    answer = await ask(gateway, request, 20)
    assert (answer.status, answer.body == SOUND) == (200, True)
    assert gateway.peak_bytes() - before < 6 * MIB
    stored = [taken.head.lower() for taken in vendor.requests if taken.head.startswith(b"GET /stored")]
    assert len(stored) == 2
    assert b"authorization" not in b"".join(stored)


async def test_a_file_before_its_model_is_held(start_gateway: StartGateway, vendor: Vendor) -> None:
    """A form that says its model last is held until then, and only once; with the header nothing is held."""
    gateway = start_gateway()
    body = form(FILE, MODEL)
    assert (await ask(gateway, upload())).status == 200
    for headers, most in ((b"x-headgate-model: m\r\n", 6 * MIB), (b"", 30 * MIB)):
        before = gateway.resident_bytes()
        gateway.forget_peak()
        assert (await ask(gateway, upload(body, headers), 20)).status == 200
        assert gateway.peak_bytes() - before < most
    expected = form(FILE, part(b"model", b"some-model"))
    assert [taken.digest.digest() for taken in vendor.requests[1:]] == 2 * [hashlib.sha256(expected).digest()]


async def flood(wire: Wire, data: bytes) -> int:
    """Send until the gateway has taken nothing for a while; how much it took."""
    sent, moved = 0, time.monotonic()
    while sent < len(data) and time.monotonic() - moved < 0.5:
        try:
            sent += wire.socket.send(data[sent : sent + 64 * KIB])
            moved = time.monotonic()
        except BlockingIOError:
            await asyncio.sleep(0.01)
    return sent


async def test_a_vendor_that_does_not_read_stops_the_client(start_gateway: StartGateway, vendor: Vendor) -> None:
    """What a vendor does not take the gateway does not take either: the client's own socket fills up."""
    going_on = asyncio.Event()

    async def script(taken: Taken) -> None:
        await going_on.wait()
        await hear(taken)

    vendor.script = script
    gateway = start_gateway({"providers": {"mock": {"timeouts": {"first_byte_s": 20}}}, "limits": {"body_stall_s": 20}})
    before = gateway.resident_bytes()
    gateway.forget_peak()
    request = upload()
    async with Wire.open(gateway) as wire:
        sent = await flood(wire, request)
        assert sent < len(request)
        assert gateway.peak_bytes() - before < 6 * MIB
        going_on.set()
        await wire.send(request[sent:])
        assert (await wire.answer(20)).status == 200
    assert vendor.requests[0].digest.digest() == hashlib.sha256(SENT).digest()


@pytest.mark.parametrize("engine", ["h1", "aiohttp"])
async def test_a_client_that_sends_everything_reads_an_early_refusal(
    start_gateway: StartGateway, vendor: Vendor, engine: str
) -> None:
    """A vendor that refuses before it has read: most clients send all of their 20 MB first, and still find the answer."""

    async def script(taken: Taken) -> None:
        await taken.take(64 * KIB)
        taken.writer.write(REFUSED)
        await taken.writer.drain()
        await asyncio.sleep(0.05)

    vendor.script = script
    gateway = start_gateway({"server": {"engine": engine}})
    for _ in range(3):
        answer = await ask(gateway, upload(), 20)
        assert (answer.status, answer.json) == (401, {"error": {"message": "bad key"}})
    await eventually_idle(gateway)


async def test_an_early_refusal_is_there_at_once(gateway: Gateway, vendor: Vendor) -> None:
    """A client that waits in the middle of its body has the vendor's refusal without sending the rest."""

    async def script(taken: Taken) -> None:
        await taken.take(KIB)
        taken.writer.write(REFUSED)

    vendor.script = script
    async with Wire.open(gateway) as wire:
        await wire.send(upload()[: 64 * KIB])
        started = time.monotonic()
        answer = await wire.answer()
        assert time.monotonic() - started < BODY_STALL_S
    assert (answer.status, answer.header("connection")) == (401, "close")


@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_a_client_that_leaves_ends_the_upload(gateway: Gateway, vendor: Vendor, how: str) -> None:
    """The vendor's connection is closed as soon as the client is gone, and what came is no whole request."""
    async with Wire.open(gateway) as wire:
        await wire.send(upload()[: 2 * MIB])
        await eventually(lambda: vendor.requests and vendor.requests[0].size > MIB, "the upload is under way")
        if how == "rst":
            wire.reset()
        else:
            wire.close()
        async with asyncio.timeout(10):
            await vendor.requests[0].is_closed.wait()
    await eventually_idle(gateway)
    assert not vendor.requests[0].is_whole


async def test_a_client_that_stalls_reads_a_408(gateway: Gateway, vendor: Vendor) -> None:
    """A client that stops in the middle of its body is told so in time, and the vendor sees a cut request."""
    async with Wire.open(gateway) as wire:
        await wire.send(upload()[: 2 * MIB])
        answer = await wire.answer(BODY_STALL_S + 3)
    assert (answer.status, answer.error["code"]) == (408, "body_timeout")
    async with asyncio.timeout(10):
        await vendor.requests[0].is_closed.wait()
    assert not vendor.requests[0].is_whole


async def test_a_connection_is_used_again(gateway: Gateway, vendor: Vendor) -> None:
    """After an upload that was read to its end the client's connection goes on."""
    small = form(MODEL, part(b"file", SOUND[: 200 * KIB], b'; filename="a"'))
    async with Wire.open(gateway) as wire:
        for _ in range(3):
            await wire.send(upload(small))
            assert (await wire.answer()).status == 200
    assert len(vendor.requests) == 3


async def test_a_client_that_waits_to_go_on(gateway: Gateway, vendor: Vendor) -> None:
    """`Expect: 100-continue` is answered before the form is looked at."""
    request = upload(headers=b"expect: 100-continue\r\n")
    at = request.index(b"\r\n\r\n") + 4
    async with Wire.open(gateway) as wire:
        await wire.send(request[:at])
        assert (await wire.head()).status == 100
        await wire.send(request[at:])
        assert (await wire.answer()).status == 200


async def test_a_chunked_upload_over_its_limit(start_gateway: StartGateway, vendor: Vendor) -> None:
    """What is not announced is counted: the client reads a 413 although it goes on for a while."""
    gateway = start_gateway({"limits": {"body_bytes": {"audio.transcriptions": MIB}}})
    async with Wire.open(gateway) as wire:
        await wire.send(b"POST %b HTTP/1.1\r\nhost: gateway\r\n%btransfer-encoding: chunked\r\n\r\n" % (TARGET, KIND))
        for at in range(0, 3 * MIB // 2, 64 * KIB):
            await wire.send(chunked(BODY[at : at + 64 * KIB]))
        answer = await wire.answer()
    assert (answer.status, answer.error["code"]) == (413, "body_too_large")
    await eventually_idle(gateway)


@pytest.mark.parametrize(
    "path", [b"/v1/files/..", b"/v1/files/../chat/completions", b"/v1/batches/%2e%2E/x", b"/v1/uploads/."]
)
async def test_paths_do_not_climb(gateway: Gateway, vendor: Vendor, path: bytes) -> None:
    """No path below an operation leads out of the API."""
    answer: Answer = await ask(gateway, head(PROVIDER, path, b"GET"))
    assert (answer.status, answer.error["code"]) == (400, "invalid_path")
    assert vendor.requests == []


CANCELS = int(os.environ.get("HEADGATE_CANCELS", "1000")) // 20


async def test_many_clients_that_leave(gateway: Gateway, vendor: Vendor) -> None:
    """Clients that leave anywhere in an upload leave nothing behind: no connection, no exchange, no descriptor."""
    rng = random.Random(9)
    assert (await ask(gateway, upload())).status == 200
    before = gateway.descriptors()
    request = upload(form(MODEL, part(b"file", SOUND[: 512 * KIB], b'; filename="a"')))
    for _ in range(CANCELS):
        async with Wire.open(gateway) as wire:
            with contextlib.suppress(ConnectionError):
                await wire.send(request[: rng.randrange(len(request))])
            if rng.random() < 0.5:
                wire.reset()
    await eventually_idle(gateway)
    await eventually(lambda: gateway.descriptors() <= before + 1, "every connection was closed", 8)
