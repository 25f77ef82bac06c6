"""Sections about what a gateway holds: keys and deployments, few and very many, and taking over changes of them."""

import http.client
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

import msgspec
from scale_lab import KEY, KEY_HEADERS, MODEL, Lab, Server, deployment, in_turns, simple_config, wait_until
from scale_parts import Section, judge_bound, judge_flat, judge_linear, number
from scale_ticker import Ticker, ticking

from headgate.secret import GatewaySecret
from headgate_keys.keyfile import Key, KeyFile, encode

KEYS = (10, 10_000, 1_000_000)
KEYS_QUICK = (10, 10_000, 100_000)
DEPLOYMENTS = (10, 1_000, 10_000)
STALL_MS = 50.0

_TICKS = 100_000_000
_KEYS_READ = "keys read again"
_RELOADED = "configuration reloaded"
_REFUSED = "is refused"
_LINGER_S = 0.7
_ENDLESS_S = 120.0


class Stalls(msgspec.Struct, frozen=True):
    """The longest silence of a running stream in ms before and during a change, and a bystander's; the change's seconds."""

    before_ms: float
    during_ms: float
    machine_ms: float
    seconds: float


def watch(ticker: Ticker, server: Server, words: str, change: Callable[[], None]) -> Stalls:
    """Make a change and see how long the stream stood still until the server said `words`, and a while after."""
    quiet_from = time.monotonic()
    time.sleep(_LINGER_S)
    said, refused = server.logged(words), server.logged(_REFUSED)
    began = time.monotonic()
    change()
    wait_until(
        lambda: server.logged(words) > said or server.logged(_REFUSED) > refused, f"`{words}`", timeout_s=_ENDLESS_S
    )
    ended = time.monotonic()
    time.sleep(_LINGER_S)
    if server.logged(words) == said:
        raise RuntimeError(f"{server.name} refused the change: {server.child.log.read_text()[-500:]}")
    return Stalls(ticker.worst_ms(quiet_from, began), ticker.worst_ms(began), server.machine_ms(began), ended - began)


def hang_up(server: Server) -> None:
    """Tell the gateway to reload."""
    os.kill(server.child.process.pid, signal.SIGHUP)


def measure_keys(lab: Lab) -> list[Section]:
    """CPU per request, start, memory and reload pauses with few and with very many keys."""
    counts = KEYS_QUICK if lab.quick else KEYS
    upstream, ticks = lab.upstream(), lab.upstream(_TICKS, 1)
    servers = [_with_keys(lab, count, upstream, ticks) for count in counts]
    rss = [server.child.rss_mb() for server in servers]
    taken = in_turns(servers, lab.pick(7, 3), lambda server: server.load(lab.pick(500, 250)))
    key_stalls = [_key_file_stalls(server, count) for server, count in zip(servers, counts, strict=True)]
    reload_stalls = [_reload_stalls(server) for server in servers]
    rows = [
        [
            server.name,
            number(median(taken[server.name])),
            number(server.cpu_s),
            number(held),
            number(server.child.rss_mb()),
            *_stall_cells(keys),
            *_stall_cells(reload),
        ]
        for server, held, keys, reload in zip(servers, rss, key_stalls, reload_stalls, strict=True)
    ]
    notes = [
        judge_flat("CPU per request", taken),
        judge_linear("start CPU", [(count, server.cpu_s) for count, server in zip(counts, servers, strict=True)]),
        judge_bound("longest silence while the key file changes", max(s.during_ms for s in key_stalls), STALL_MS, "ms"),
        judge_bound("longest silence in a reload", max(s.during_ms for s in reload_stalls), STALL_MS, "ms"),
    ]
    columns = ["keys", "us per request", "start CPU s", "RSS MB", "RSS MB after", *_stall_columns("keys")]
    return [Section("Keys: CPU, start, memory, pauses", "; ".join(notes), [*columns, *_stall_columns("reload")], rows)]


def _with_keys(lab: Lab, count: int, upstream: Server, ticks: Server) -> Server:
    name = f"{count:,}"
    write_keys(lab.server_folder(name) / ".headgate", count)
    config = simple_config(upstream, ticks, plugins=["keys"]) | {"auth": {"mode": "keys"}}
    return lab.gateway(name, config, KEY_HEADERS)


def write_keys(state: Path, count: int, name: str = "keys.yaml") -> Path:
    """Write a file of `count` keys as the gateway writes it; one of them is `KEY`."""
    first = Key(name="bench", digest=f"hmac-sha256:{GatewaySecret(state).digest(KEY)}", user="bench", workspace="bench")
    path = state / name
    with path.open("wb") as out:
        out.write(encode(KeyFile("", [first])))
        for start in range(1, count, 1000):
            noise = os.urandom(32 * 1000).hex()
            out.writelines(
                b'- {"name": "key-%07d", "digest": "hmac-sha256:%b", "user": "user-%d", "workspace": "team-%d"}\n'
                % (at, noise[64 * (at - start) : 64 * (at - start + 1)].encode(), at, at % 997)
                for at in range(start, min(start + 1000, count))
            )
    return path


def _key_file_stalls(server: Server, count: int) -> Stalls:
    state = server.folder / ".headgate"
    new = write_keys(state, count + 1, "keys.next")
    with ticking(server, "bench1") as ticker:
        return watch(ticker, server, _KEYS_READ, lambda: new.rename(state / "keys.yaml") and None)


def _reload_stalls(server: Server) -> Stalls:
    with ticking(server, "bench1") as ticker:
        return watch(ticker, server, _RELOADED, lambda: hang_up(server))


def _stall_columns(what: str) -> list[str]:
    return [f"{what} s", f"{what}: longest silence ms", "before ms", "machine ms"]


def _stall_cells(stalls: Stalls) -> list[str]:
    return [number(stalls.seconds), number(stalls.during_ms), number(stalls.before_ms), number(stalls.machine_ms)]


def measure_deployments(lab: Lab) -> list[Section]:
    """CPU per request, start, memory and reload pauses with few and with very many deployments and model aliases."""
    upstream, ticks = lab.upstream(), lab.upstream(_TICKS, 1)
    base = simple_config(upstream, ticks)
    servers = [_with_deployments(lab, count, base, upstream) for count in DEPLOYMENTS]
    rss = [server.child.rss_mb() for server in servers]
    taken = in_turns(servers, lab.pick(7, 3), lambda server: server.load(lab.pick(500, 250)))
    unknown = [latency_ms(server, "depolyment-00007/model") for server in servers]
    same = [_reload_stalls(server) for server in servers]
    changed = [
        _changed_stalls(server, count, base, upstream) for server, count in zip(servers, DEPLOYMENTS, strict=True)
    ]
    rows = [
        [
            server.name,
            number(median(taken[server.name])),
            number(server.cpu_s),
            number(held),
            number(server.child.rss_mb()),
            number(late),
            *_stall_cells(kept),
            *_stall_cells(new),
        ]
        for server, held, late, kept, new in zip(servers, rss, unknown, same, changed, strict=True)
    ]
    notes = [
        judge_flat("CPU per request", taken),
        judge_linear("start CPU", [(count, server.cpu_s) for count, server in zip(DEPLOYMENTS, servers, strict=True)]),
        judge_bound("answer to an unknown model", max(unknown), STALL_MS, "ms"),
        judge_bound("longest silence in a reload", max(s.during_ms for s in [*same, *changed]), STALL_MS, "ms"),
    ]
    columns = ["deployments", "us per request", "start CPU s", "RSS MB", "RSS MB after", "unknown model ms"]
    columns += [*_stall_columns("same"), *_stall_columns("all changed")]
    return [Section("Deployments and aliases: CPU, start, memory, pauses", "; ".join(notes), columns, rows)]


def _with_deployments(lab: Lab, count: int, base: Mapping[str, object], upstream: Server) -> Server:
    name = f"{count:,} deployments"
    return lab.gateway(name, many_deployments(base, count, upstream, "sk-one"))


def many_deployments(base: Mapping[str, object], count: int, upstream: Server, api_key: str) -> dict[str, object]:
    """A configuration with `count` more deployments, each with an alias of its own."""
    config = {name: value for name, value in base.items() if name not in {"providers", "models"}}
    return config | {
        "providers": _mapping(base["providers"])
        | {f"deployment-{at:05d}": deployment(upstream) | {"api_key": api_key} for at in range(count)},
        "models": _mapping(base["models"]) | {f"alias-{at:05d}": f"deployment-{at:05d}/{MODEL}" for at in range(count)},
    }


def _mapping(value: object) -> dict[str, object]:
    return msgspec.convert(value, dict[str, object])


def _changed_stalls(server: Server, count: int, base: Mapping[str, object], upstream: Server) -> Stalls:
    path = server.folder / "headgate.yaml"
    new = path.with_suffix(".next")
    new.write_text(path.read_text().replace("sk-one", "sk-two"))
    with ticking(server, "bench1") as ticker:
        return watch(ticker, server, _RELOADED, lambda: new.rename(path) and None)


def latency_ms(server: Server, model: str, count: int = 5) -> float:
    """The median time in milliseconds of a request for a model, whatever the answer."""
    body = msgspec.json.encode({"model": model, "messages": [{"role": "user", "content": "hello"}]})
    headers = {"content-type": "application/json", **server.headers}
    taken: list[float] = []
    for _ in range(count):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        began = time.monotonic()
        connection.request("POST", "/v1/chat/completions", body, headers)
        connection.getresponse().read()
        taken.append((time.monotonic() - began) * 1000)
        connection.close()
    return median(taken)
