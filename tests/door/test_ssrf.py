"""Addresses chosen by callers: none of them leads into the network the gateway stands in, however it is written."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from tests.door.conftest import AUTHORIZED as GATEWAY_AUTHORIZED
from tests.door.upstream import CHAT_REPLY, Upstream
from tests.harness import CANARY, Gateway, ask, chat, eventually_idle, head, merged, post

CALLER_KEY = b"sk-caller-2f6f2a"
AUTHORIZED = b"authorization: Bearer " + CALLER_KEY + b"\r\nx-headgate-provider: mock\r\n"

LOOPBACK = r"""
    127.0.0.1 127.1 127.0.1 127.255.255.254 0.0.0.0 0 00 0x0 2130706433 017700000001 0x7f000001 0X7F000001 0x7f.0.0.1
    0177.0.0.1 0177.1 0x7f.1 127.0x1 127.000.000.001 127.0.0.01 127.0.0.1. 127.0.0.1.. 127%2e0%2e0%2e1 %31%32%37.0.0.1
    [::1] [0:0:0:0:0:0:0:1] [::] [::ffff:127.0.0.1] [::ffff:7f00:1] [0:0:0:0:0:ffff:7f00:1] [::127.0.0.1]
    [64:ff9b::7f00:1] [64:ff9b::127.0.0.1] [2002:7f00:1::] [::1%25lo] [::1%lo] [fe80::1%25lo] [::ffff:0:127.0.0.1]
    [64:ff9b:1::7f00:1] [::ffff:0.0.0.0] [2001:0:7f00:1::] ::1 [127.0.0.1] [::1
    localhost LOCALHOST localhost. LocalHost. localhost.localdomain a.localhost ip6-localhost ip6-loopback
    user@127.0.0.1 user:pw@127.0.0.1 a.test@127.0.0.1 127.0.0.1\@a.test a\@127.0.0.1 a.test\@127.0.0.1
    127.0.0.1\.test @127.0.0.1 :@127.0.0.1 127.0.0.1#@a.test a.test:80@127.0.0.1 127.0.0.1?@a.test
    a.test%40127.0.0.1 //127.0.0.1 ///127.0.0.1
"""
DISGUISED = (
    "127\u30020\u30020\u30021",
    "\uff11\uff12\uff17.0.0.1",
    "\u2460\u2461\u2466.0.0.1",
    "\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54",
    "loc\u0430lhost",
    "local\u00adhost",
    "local\thost",
    "127.0.0.1 ",
    "127.0.0.1\t",
)
ELSEWHERE = """
    10.0.0.1 10.1 172.16.0.1 172.31.255.255 192.168.0.1 100.64.0.1 169.254.169.254 169.254.1.1 2852039166 0xa9fea9fe
    0251.0376.0251.0376 169.254.43518 168.63.129.16 192.0.0.192 198.18.0.1 224.0.0.1 255.255.255.255 240.0.0.1
    [::ffff:169.254.169.254] [64:ff9b::a9fe:a9fe] [2002:a9fe:a9fe::] [fd00:ec2::254] [fe80::1] [fec0::1] [fc00::1]
    [ff02::1] [::ffff:10.0.0.1] [fd12:3456::1] [64:ff9b::a00:1] [::10.0.0.1] [::ffff:0:10.0.0.1]
"""
SCHEMES = (
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/x",
    "ftp://127.0.0.1:{port}/",
    "unix:///x",
    "data:,x",
    "javascript:1",
)


def own_names() -> list[str]:
    """Names under which this machine reaches itself."""
    name = socket.gethostname()
    return [name, name.upper(), f"{name}."]


@pytest.fixture(scope="session")
def shared_passing(tmp_path_factory: pytest.TempPathFactory, door_config: Mapping[str, Any]) -> Iterator[Gateway]:
    """A gateway to which callers bring the provider's key, and may bring its address."""
    gateway = Gateway(tmp_path_factory.mktemp("passing"), merged(door_config, {"auth": {"mode": "passthrough"}}))
    gateway.start()
    yield gateway
    gateway.stop()


@pytest.fixture
async def passing(shared_passing: Gateway) -> Gateway:
    """The shared gateway in `passthrough` mode, idle."""
    await eventually_idle(shared_passing)
    return shared_passing


async def shoot(gateway: Gateway, url: str, stream: bool = False) -> int:  # noqa: FBT002 - as in `chat`
    """The status of a request that names `url` as the provider's address."""
    line = b"x-headgate-custom-host: " + url.encode() + b"\r\n"
    answer = await ask(gateway, post(chat(stream=stream, model="gpt-4o"), AUTHORIZED + line))
    assert answer.error["message"]
    return answer.status


def is_refused(status: int) -> bool:
    return 400 <= status < 500 or status == 502


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_own_machine_is_not_reached(passing: Gateway, upstream: Upstream, canary: Upstream, scheme: str) -> None:
    """No spelling of this machine's addresses or names is connected to: each is a 4xx or a 502."""
    hosts = [*LOOPBACK.split(), *DISGUISED, *own_names()]
    urls = [f"{scheme}://{host}:{canary.port}/v1" for host in hosts]
    statuses = {url: await shoot(passing, url) for url in urls}
    assert {url: status for url, status in statuses.items() if not is_refused(status)} == {}
    assert (upstream.calls, canary.connections) == ([], [])


async def test_private_networks_are_not_reached(passing: Gateway, upstream: Upstream, canary: Upstream) -> None:
    """Private, link-local, metadata and reserved addresses are refused before anything is sent to them."""
    statuses = {host: await shoot(passing, f"http://{host}:{canary.port}/v1") for host in ELSEWHERE.split()}
    assert {host: status for host, status in statuses.items() if not is_refused(status)} == {}
    assert upstream.calls == []


async def test_other_schemes_are_refused(passing: Gateway, upstream: Upstream, canary: Upstream) -> None:
    """Only http and https are addresses of providers."""
    urls = [scheme.format(port=canary.port) for scheme in SCHEMES]
    urls += [
        f"127.0.0.1:{canary.port}",
        f"//127.0.0.1:{canary.port}/v1",
        "http://",
        "http:///v1",
        "http://:80",
        "http:x",
    ]
    urls += [
        f"http:127.0.0.1:{canary.port}",
        f"http:\\\\127.0.0.1:{canary.port}",
        f"http://127.0.0.1:{canary.port}:80/v1",
    ]
    urls += ["http://example.test:99999/v1", "http://example.test:x/v1", "http://example.test:-1/v1", "http://[::1]x/"]
    statuses = {url: await shoot(passing, url) for url in urls}
    assert {url: status for url, status in statuses.items() if not is_refused(status)} == {}
    assert (upstream.calls, canary.connections) == ([], [])


@pytest.mark.parametrize(
    "target", [b"/v1/files", b"/v1/embeddings", b"/v1/completions", b"/v1/images/generations"], ids=str
)
async def test_every_operation_is_guarded(
    passing: Gateway, upstream: Upstream, canary: Upstream, target: bytes
) -> None:
    """The guard stands where connections are made, so no path goes round it."""
    for name in (b"x-headgate-custom-host", b"x-portkey-custom-host", b"X-Portkey-Custom-Host"):
        line = name + b": http://127.0.0.1:%d/v1\r\n" % canary.port
        answer = await ask(passing, post(chat(model="gpt-4o"), AUTHORIZED + line, target))
        assert is_refused(answer.status)
        answer = await ask(passing, head(AUTHORIZED + line, b"/v1/files", b"GET"))
        assert is_refused(answer.status)
    assert (upstream.calls, canary.connections) == ([], [])


async def test_repeated_address_is_refused(passing: Gateway, upstream: Upstream, canary: Upstream) -> None:
    """Two addresses are one too many, under one name or both."""
    line = b"x-headgate-custom-host: http://127.0.0.1:%d/v1\r\n" % canary.port
    good = b"x-headgate-custom-host: https://api.example.test/v1\r\n"
    for lines in (good + line, line + good, good + line.replace(b"headgate", b"portkey")):
        answer = await ask(passing, post(chat(model="gpt-4o"), AUTHORIZED + lines))
        assert is_refused(answer.status)
    assert (upstream.calls, canary.connections) == ([], [])


@pytest.mark.parametrize("mode", ["open", "keys"])
async def test_address_is_ignored_where_the_key_is_the_gateways(
    gateway: Gateway, locked: Gateway, upstream: Upstream, canary: Upstream, mode: str
) -> None:
    """Where the gateway's own provider key is used, no caller decides where it goes."""
    here = gateway if mode == "open" else locked
    for name in (b"x-headgate-custom-host", b"x-portkey-custom-host"):
        line = name + b": http://127.0.0.1:%d/v1\r\n" % canary.port
        answer = await ask(here, post(chat(), GATEWAY_AUTHORIZED + line))
        assert answer.status in {200, 400, 403}
    assert canary.connections == []


async def test_callers_key_goes_to_the_configured_provider(passing: Gateway, upstream: Upstream) -> None:
    """Without an address of his own the caller reaches a deployment by name, with his key and not the gateway's."""
    answer = await ask(passing, post(chat(model="gpt-4o"), AUTHORIZED))
    assert (answer.status, answer.json) == (200, CHAT_REPLY)
    call = upstream.calls[0]
    assert call.header("authorization") == f"Bearer {CALLER_KEY.decode()}"
    assert CANARY not in repr(call.headers)


async def test_no_key_is_no_entry(passing: Gateway, upstream: Upstream) -> None:
    """A caller without a key is a 401, and the deployment's key does not stand in for his."""
    answer = await ask(passing, post(chat(model="gpt-4o"), b"x-headgate-provider: mock\r\n"))
    assert answer.status == 401
    assert upstream.calls == []
