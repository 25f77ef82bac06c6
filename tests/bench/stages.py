"""What each stage of the pipeline costs, measured inside one process with an upstream in memory: no sockets, little noise.

Two instruments: calls of Python functions per request, which are the same on every machine, and CPU in units of a fixed
piece of work done in between, which is nearly so.
"""

import asyncio
import gc
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import quantiles
from types import FrameType, SimpleNamespace
from typing import Any

import msgspec
from driver import Load, build_body
from targets import all_on_config, default_config
from upstream import reply_body, stream_events

from headgate.gateway import Gateway
from headgate.server.app import build_app
from headgate.server.handler import Handler
from headgate.testing import load
from headgate.testing.transport import Lifespan
from headgate.upstream import UpstreamRequest

PLUGINS = {
    "auth": "keys",
    "cache": "cache-memory",
    "route": "router-standard",
    "guardrail": "guard-basic",
    "log": "logs-jsonl",
}
"""Which plugin puts which stage to work; `call` is what remains without any."""

_KEY = b"Bearer hg-bench-0123456789abcdef0123456789abcdef"
_WARM = 50
_COUNTED = 20
_ROUNDS = 3
_BLOCK = 4
_REPEATS = 250
_COLLECTED = 25
_DEPTH = 8
_REFERENCE = build_body(Load(port=1, count=1))
_SHORT, _LONG = 8, 72
_NONCE = b"0" * 20

App = Callable[[Any, Any, Any], Awaitable[None]]


class Cost(msgspec.Struct, frozen=True):
    """What a request costs: calls of Python functions and CPU in units of `reference_work`, and calls per stream chunk."""

    calls: float
    units: float
    calls_per_chunk: float


class _Reply:
    """A reply of the upstream in memory."""

    def __init__(self, pieces: list[bytes], kind: bytes) -> None:
        self.status = 200
        self.headers = ((b"content-type", kind),)
        self._pieces = pieces

    async def read(self) -> bytes:
        return b"".join(self._pieces)

    async def chunks(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece

    def close(self) -> None:
        pass


class Upstream:
    """Answers at once: a stream of `chunks` when it is asked for one."""

    def __init__(self) -> None:
        self.body = [reply_body()]
        self.events: list[bytes] = []

    async def send(self, request: UpstreamRequest) -> _Reply:
        if b'"stream":true' in request.body:
            return _Reply(self.events, b"text/event-stream")
        return _Reply(self.body, b"application/json")

    async def close(self) -> None:
        pass


async def reference_work() -> None:
    """A fixed piece of work of the kind that a gateway does: JSON, dicts, coroutines in each other, calls of functions."""
    held: dict[str, Any] = msgspec.json.decode(_REFERENCE)
    for number in range(_DEPTH):
        held[f"field {number}"] = await _layer(number, held)
    msgspec.json.encode(held)


async def _layer(depth: int, held: dict[str, Any]) -> str:
    if depth:
        return await _layer(depth - 1, held)
    return ",".join([name.title() for name in held if name.isidentifier()])


def stage_config(stage: str, folder: Path) -> dict[str, Any]:
    """The configuration with one stage at work: `call` has none, `all` every one."""
    whole: dict[str, Any] = dict(all_on_config(1, folder))
    if stage == "all":
        return whole
    plain: dict[str, Any] = dict(default_config(1))
    if stage == "call":
        return plain
    entries: list[str | dict[str, Any]] = whole["plugins"]
    wanted = [entry for entry in entries if entry == PLUGINS[stage] or PLUGINS[stage] in list(entry)]
    return plain | {"plugins": wanted} | ({"auth": whole["auth"]} if stage == "auth" else {})


class Bench:
    """A started gateway without a socket; `request` sends one through its application."""

    def __init__(self, app: App, upstream: Upstream, stage: str) -> None:
        self.app = app
        self.upstream = upstream
        self.number = 0
        self.bodies = {wants: build_body(Load(port=1, count=1, stream=wants)).split(_NONCE) for wants in (False, True)}
        self.headers = [(b"host", b"gateway.test"), (b"content-type", b"application/json"), (b"accept", b"*/*")]
        if stage in {"auth", "all"}:
            self.headers.append((b"authorization", _KEY))
        if stage in {"cache", "all"}:
            self.headers.append((b"x-headgate-cache", b"exact"))

    async def request(self, *, stream: bool = False) -> None:
        """One exchange with a body of its own; AssertionError when it is not answered 200."""
        self.number += 1
        before, after = self.bodies[stream]
        body = before + b"%020d" % self.number + after
        message = {"type": "http.request", "body": body, "more_body": False}
        statuses: list[int] = []

        async def receive() -> Any:
            return message

        async def send(sent: Any) -> None:
            if sent["type"] == "http.response.start":
                statuses.append(sent["status"])

        await self.app(self._scope(len(body)), receive, send)
        assert statuses == [200]

    def _scope(self, size: int) -> dict[str, Any]:
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/v1/chat/completions",
            "raw_path": b"/v1/chat/completions",
            "query_string": b"",
            "root_path": "",
            "headers": [*self.headers, (b"content-length", str(size).encode())],
            "client": ("127.0.0.1", 50_000),
            "server": ("127.0.0.1", 80),
            "state": {},
            "extensions": {"headgate.cycle": SimpleNamespace(on_gone=None, is_lost=False, is_done=False)},
        }

    async def count_calls(self, *, stream: bool = False) -> float:
        """Calls of Python functions per request; the harness's own few are among them, always the same ones.

        What else the process does in between, such as a timer, only adds: the least of some rounds is taken.
        """
        for _ in range(_WARM):
            await self.request(stream=stream)
        return min([await self._count_round(stream=stream) for _ in range(_ROUNDS)])

    async def _count_round(self, *, stream: bool) -> float:
        seen = 0

        def count(frame: FrameType, event: str, argument: Any) -> None:
            nonlocal seen
            seen += event == "call"

        sys.setprofile(count)
        try:
            for _ in range(_COUNTED):
                await self.request(stream=stream)
        finally:
            sys.setprofile(None)
        return seen / _COUNTED

    async def calls_per_chunk(self) -> float:
        """What one more chunk adds."""
        found: list[float] = []
        for chunks in (_SHORT, _LONG):
            self.upstream.events = stream_events(chunks)
            found.append(await self.count_calls(stream=True))
        return (found[1] - found[0]) / (_LONG - _SHORT)


async def open_bench(stack: AsyncExitStack, stage: str) -> Bench:
    """Start a gateway that `stack` stops."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headgate-bench-")))
    upstream = Upstream()
    loaded = load(config=stage_config(stage, folder), folder=folder)
    gateway = Gateway(lambda: loaded, upstream)
    await gateway.start(loaded)
    app = build_app(gateway, Handler(gateway))
    lifespan = Lifespan(app)
    await lifespan.start()
    stack.push_async_callback(lifespan.stop)
    return Bench(app, upstream, stage)


async def _cpu_s(step: Callable[[], Awaitable[None]]) -> float:
    """CPU seconds of a few steps: so short that most blocks are not disturbed by what else runs on the machine."""
    started = time.process_time()
    for _ in range(_BLOCK):
        await step()
    return time.process_time() - started


async def _measure(stages: list[str], repeats: int) -> dict[str, Cost]:
    async with AsyncExitStack() as stack:
        benches = {stage: await open_bench(stack, stage) for stage in stages}
        gc.collect()  # what others have left must not end while calls are counted
        gc.disable()
        stack.callback(gc.enable)
        calls = {stage: await bench.count_calls() for stage, bench in benches.items()}
        per_chunk = {stage: await bench.calls_per_chunk() for stage, bench in benches.items()}
        steps = {"": reference_work, **{stage: bench.request for stage, bench in benches.items()}}
        spent: dict[str, list[float]] = {name: [] for name in steps}
        for turn in range(repeats):
            if turn % _COLLECTED == 0:
                gc.collect()
            for name, step in steps.items():
                spent[name].append(await _cpu_s(step))
    quick = {name: quantiles(blocks, n=4, method="inclusive")[0] for name, blocks in spent.items()}
    return {stage: Cost(calls[stage], quick[stage] / quick[""], per_chunk[stage]) for stage in stages}


def measure_stages(repeats: int = _REPEATS) -> dict[str, Cost]:
    """What each stage adds to `call`, by name, and what `call` and `all` cost as a whole.

    CPU is that of the quickest quarter of many short blocks in turn: noise only adds.
    """
    found = asyncio.run(_measure(["call", *PLUGINS, "all"], repeats))
    call = found["call"]
    return {
        stage: cost
        if stage in {"call", "all"}
        else Cost(cost.calls - call.calls, cost.units - call.units, cost.calls_per_chunk - call.calls_per_chunk)
        for stage, cost in found.items()
    }


if __name__ == "__main__":
    for name, one in measure_stages().items():
        print(f"{name:10} {one.calls:8.2f} calls  {one.units:6.2f} units  {one.calls_per_chunk:6.2f} calls per chunk")
