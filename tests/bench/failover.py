"""What one sick upstream of three costs the callers: `python tests/bench/failover.py [--quick]`.

A real gateway, three real upstream processes, requests in an open loop. Each row is a gateway and upstreams of its own, so
that nothing is known of them when it begins. Exit status: 0, or 2 when the run could not be made.
"""

import argparse
import asyncio
import http.client
import json
import math
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
from failing_upstream import Mode
from measure import Spread
from processes import BenchError, Child, free_port
from scale_parts import Section, render

RATE = 100
"""Requests per second."""
FIRST_BYTE_MS = 1000
LEFT_ALONE_S = 1.0
"""An upstream that gets no call for so long has been left alone; a probe comes later than that."""
EARLY_S, EARLY_REQUESTS = 2.0, 10
STRATEGIES = ("loadbalance", "fallback")
"""A fallback has the sick upstream first."""

_HERE = Path(__file__).parent
_BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]}).encode()
_REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\n"
    b"connection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
)
_ANSWER_S = 30.0


class Asked(msgspec.Struct, frozen=True):
    """One request: when it began (monotonic seconds), how long it took in seconds, and its status, 0 without one."""

    began: float
    took_s: float
    status: int

    @property
    def is_good(self) -> bool:
        """Whether it was answered."""
        return self.status == 200


class Sickness(msgspec.Struct, frozen=True):
    """What came of a run: its requests in the order of their beginning, the calls of the sick upstream, the record."""

    asked: list[Asked]
    calls: list[float]
    records: list[dict[str, Any]]

    def left_alone_s(self) -> float:
        """How long after the first request the sick upstream got its last call before it was left alone; 0 without any."""
        if not self.calls:
            return 0.0
        last = self.calls[0]
        for at in self.calls[1:]:
            if at - last > LEFT_ALONE_S:
                break
            last = at
        return last - self.asked[0].began

    def requests_until(self, after_s: float) -> int:
        """How many requests had begun by then."""
        return sum(one.began - self.asked[0].began <= after_s for one in self.asked)

    def good_share(self, asked: Sequence[Asked] | None = None) -> float:
        """The share of requests that were answered; 1 of none."""
        asked = self.asked if asked is None else asked
        return sum(one.is_good for one in asked) / len(asked) if asked else 1.0

    def late(self) -> list[Asked]:
        """The requests after the time, or the number, by which it should be well."""
        by_time = self.requests_until(EARLY_S)
        return self.asked[min(by_time, EARLY_REQUESTS) :]

    def amplification(self) -> float:
        """How many calls the sick upstream got for each request that was sent there; 1 of none."""
        sick = [one for record in self.records for one in record["attempts"] if one["deployment"] == "sick"]
        return sum(1 + one["retries"] for one in sick) / len(sick) if sick else 1.0

    def calls_per_request(self) -> float:
        """How many calls all upstreams got for each request."""
        tried = [one for record in self.records for one in record["attempts"]]
        return sum(1 + one["retries"] for one in tried) / len(self.records) if self.records else 0.0

    def spread(self, after_s: float = 0.0) -> Spread:
        """The times of the requests that began later than that."""
        return Spread.from_seconds([one.took_s for one in self.asked if one.began - self.asked[0].began >= after_s])


def config_of(strategy: str, ports: Sequence[int]) -> dict[str, Any]:
    """A gateway in front of the upstreams, of which the first is called `sick`."""
    names = ("sick", "second", "third")
    providers = {
        name: {"provider": "openai", "base_url": f"http://127.0.0.1:{port}/v1", "api_key": "sk-bench"}
        for name, port in zip(names, ports, strict=True)
    }
    route = {
        "strategy": {"mode": strategy},
        "retry": {"attempts": 2},
        "timeouts": {"first_byte": FIRST_BYTE_MS},
        "targets": [f"{name}/m" for name in names],
    }
    plugins: list[Any] = ["router-standard", {"logs-jsonl": {"path": "failover.jsonl", "flush_s": 0.05}}]
    return {"auth": {"mode": "open"}, "plugins": plugins, "providers": providers, "models": {"m": route}}


def get(port: int, path: str) -> bytes | None:
    """The body of a 200, or None for anything else."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.read() if answer.status == 200 else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def await_ready(child: Child, port: int, path: str, timeout_s: float = 20.0) -> None:
    """Poll until it answers. Raises BenchError."""
    end = time.monotonic() + timeout_s
    while get(port, path) is None:
        if child.process.poll() is not None or time.monotonic() > end:
            raise BenchError(f"{child.name} is not ready: {child.log.read_text(errors='replace')[-500:]}")
        time.sleep(0.02)


async def ask(port: int) -> Asked:
    """One request over a connection of its own."""
    began, status = time.monotonic(), 0
    try:
        async with asyncio.timeout(_ANSWER_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(_REQUEST)
            answer = await reader.read()
            writer.close()
        status = int(answer[9:12]) if len(answer) > 12 else 0
    except (OSError, TimeoutError):
        pass
    return Asked(began, time.monotonic() - began, status)


async def load(port: int, lasts_s: float, rate: int = RATE) -> list[Asked]:
    """Requests in an open loop: each begins when it is due, whatever has become of those before."""
    loop, tasks = asyncio.get_running_loop(), list[asyncio.Task[Asked]]()
    start = loop.time()
    for number in range(max(1, int(lasts_s * rate))):
        await asyncio.sleep(max(0.0, start + number / rate - loop.time()))
        tasks.append(asyncio.create_task(ask(port)))
    return sorted(await asyncio.gather(*tasks), key=lambda one: one.began)


def run(strategy: str, mode: Mode, lasts_s: float, folder: Path) -> Sickness:
    """A run with servers of its own in a new `folder`. Raises BenchError."""
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        ports = [free_port() for _ in range(3)]
        for number, port in enumerate(ports):
            script = [sys.executable, str(_HERE / "failing_upstream.py"), "--port", str(port)]
            command = [*script, "--mode", "ok" if number else mode]
            await_ready(stack.enter_context(Child("upstream", command, folder / f"{port}.log")), port, "/calls")
        gateway, path = free_port(), folder / "headgate.yaml"
        path.write_text(json.dumps(config_of(strategy, ports)), "utf-8")
        serve = [str(Path(sys.executable).parent / "headgate"), "serve", "--config", str(path), "--port", str(gateway)]
        child = stack.enter_context(Child("gateway", serve, folder / "gateway.log"))
        await_ready(child, gateway, "/v1/ready")
        asked = asyncio.run(load(gateway, lasts_s))
        calls = json.loads(get(ports[0], "/calls") or b"[]")
        child.stop()
        lines = (folder / ".headgate" / "failover.jsonl").read_bytes().splitlines()
    return Sickness(asked, calls, [json.loads(line) for line in lines])


def hanging(strategy: str, well: Sickness, sick: Sickness) -> list[list[str]]:
    """The rows of a strategy with one upstream that hangs, beside the same without it."""
    alone_s = sick.left_alone_s()
    rows: list[list[str]] = []
    for name, seen, after_s in (
        ("all well", well, 0.0),
        ("one hangs", sick, 0.0),
        ("… once it is left alone", sick, math.nextafter(alone_s, math.inf)),
    ):
        spread, base = seen.spread(after_s), well.spread()
        alone = f"{alone_s:.2f} s, {sick.requests_until(alone_s)} requests" if seen is sick else "-"
        ratio = f"{spread.p99 / base.p99:.2f}" if base.p99 else "-"
        rows.append(
            [f"{strategy}, {name}", f"{spread.p50:.1f}", f"{spread.p99:.1f}", ratio, f"{seen.good_share():.2%}", alone]
        )
    return rows


def failing(strategy: str, sick: Sickness) -> list[str]:
    """The row of a strategy with one upstream that always answers 500."""
    bad = [number for number, one in enumerate(sick.asked, 1) if not one.is_good]
    return [
        strategy,
        f"{sick.good_share():.2%}",
        f"{sick.good_share(sick.late()):.2%}",
        str(bad[-1]) if bad else "none",
        f"{len(sick.calls)} of {len(sick.asked)}",
        f"{sick.amplification():.2f}",
        f"{sick.calls_per_request():.2f}",
    ]


def measure(lasts_s: float, folder: Path) -> list[Section]:
    """Both tables. Raises BenchError."""
    hung: list[list[str]] = []
    failed: list[list[str]] = []
    for strategy in STRATEGIES:
        well = run(strategy, "ok", lasts_s, folder / f"{strategy}-ok")
        hung += hanging(strategy, well, run(strategy, "hang", lasts_s, folder / f"{strategy}-hang"))
        failed.append(failing(strategy, run(strategy, "fail", lasts_s, folder / f"{strategy}-fail")))
    return [
        Section(
            "One of three upstreams hangs",
            f"{RATE} requests/s for {lasts_s:g} s, `first_byte` {FIRST_BYTE_MS} ms, 2 retries; a fallback has it first",
            ["route", "p50 ms", "p99 ms", "p99 ratio", "success", "left alone after"],
            hung,
        ),
        Section(
            "One of three upstreams answers 500 always",
            f"marks: success ≥ 99 % after {EARLY_S:g} s or {EARLY_REQUESTS} requests; calls per request there ≤ 1.2",
            ["route", "success", "after that", "last failed", "calls to it", "per request there", "calls per request"],
            failed,
        ),
    ]


def main() -> None:
    """Read the command line, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--quick", action="store_true", help="5 s a run instead of 20")
    given = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder:
            found = measure(5.0 if given.quick else 20.0, Path(folder))
    except BenchError as error:
        print(f"failover: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    print("\n\n".join(map(render, found)))


if __name__ == "__main__":
    main()
