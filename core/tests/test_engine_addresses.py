"""Where an engine connects: denied addresses, names with several addresses, and credentials that stay with their origin."""

from __future__ import annotations

import asyncio
import gc
import socket
from typing import Any

import pytest
from core.tests import engines
from core.tests.engines import (
    HOST,
    NAME,
    OK,
    Connection,
    Engine,
    Server,
    black_hole,
    brief,
    fetched,
    h1_only,
    header_pairs,
    refused,
    resolve,
    resolve_to,
    serving,
    watch_connecting,
)

from headgate.errors import ProviderError, ProviderFailed, ProviderTimeout
from headgate.secret import Secret
from headgate.testing import eventually
from headgate.upstream import Credential, Timeouts, Upstream, UpstreamRequest

server = engines.server
engine = engines.engine
loop_factory = engines.loop_factory
upstream = engines.upstream


# credentials


@pytest.mark.parametrize("name", ["authorization", "Authorization", "X-Api-Key"])
async def test_a_credential_goes_to_its_origin(server: Server, upstream: Upstream, name: str) -> None:
    """The header is set once, whatever the caller put there before."""
    seen: list[bytes] = []

    async def answer(connection: Connection) -> None:
        own = name.lower().encode() + b":"
        seen.extend(line for line in connection.head.split(b"\r\n") if line.lower().startswith(own))
        await connection.send(OK)

    server.answer = answer
    credential = Credential(name, Secret("sk-1"), frozenset({server.url}), "Bearer ")
    await fetched(upstream, server.request(headers=header_pairs((name.lower(), "mine")), credential=credential))
    assert [line.partition(b": ")[2] for line in seen] == [b"Bearer sk-1"]


@pytest.mark.parametrize("origin", ["https://127.0.0.1:{port}", "http://localhost:{port}", "http://127.0.0.1:1", ""])
async def test_a_credential_goes_nowhere_else(server: Server, upstream: Upstream, origin: str) -> None:
    """Another scheme, host or port is another origin: nothing is sent and the secret is not in the error."""
    bound = frozenset({origin.format(port=server.url.rpartition(":")[2])})
    error = await refused(upstream, server.request(credential=Credential("x-key", Secret("sk-canary"), bound)))
    assert error.error_code == "upstream_denied"
    assert "sk-canary" not in str(error)
    assert server.requests == 0


@pytest.mark.parametrize("secret", ["sk-canary\r\nx-evil: 1", "sk-canary\0", "sk-canary\n"])
async def test_a_credential_cannot_add_headers(server: Server, upstream: Upstream, secret: str) -> None:
    """A line break in a secret, as from a file, is refused without a word of the secret."""
    error = await refused(
        upstream, server.request(credential=Credential("x-key", Secret(secret), frozenset({server.url})))
    )
    assert "sk-canary" not in error.message
    assert server.requests == 0


# denied addresses


@pytest.mark.parametrize(
    "addresses",
    [
        ("127.0.0.1",),
        ("169.254.169.254",),
        ("10.0.0.1", "8.8.8.8"),
        ("8.8.8.8", "10.0.0.1"),
        ("::1",),
        ("::ffff:127.0.0.1",),
        ("64:ff9b::7f00:1",),
        ("100.64.0.1",),
        ("168.63.129.16",),
    ],
)
async def test_a_name_with_a_denied_address_is_refused(
    server: Server, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, addresses: tuple[str, ...]
) -> None:
    """One denied address among those a name has refuses the name; nothing is connected to."""
    resolve_to(monkeypatch, *addresses)
    begun = watch_connecting(monkeypatch)
    error = await refused(upstream, UpstreamRequest("GET", f"http://api.example.com:{server.port}/"))
    assert error.error_code == "upstream_denied"
    assert "allow_private" in error.message
    assert (begun, server.connections) == ([], [])


async def test_a_private_name_may_be_allowed(
    engine: Engine, server: Server, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator's own name may be private, but no other name, and never a metadata service."""
    allowed = frozenset({NAME})
    request = UpstreamRequest("GET", f"http://{NAME}:{server.port}/", private_hosts=allowed)
    asked = resolve_to(monkeypatch, HOST)
    assert await fetched(upstream, request) == b"ok"
    assert asked == [NAME]
    other = UpstreamRequest("GET", f"http://other.internal:{server.port}/", private_hosts=allowed)
    assert (await refused(upstream, other)).error_code == "upstream_denied"
    resolve_to(monkeypatch, "169.254.169.254")
    fresh = engine()
    assert (await refused(fresh, request)).error_code == "upstream_denied"
    await fresh.close()


async def test_leave_for_a_private_name_is_the_calls_own(
    server: Server, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one deployment may reach is neither resolved nor connected for another that may not, and the other way round."""
    resolve_to(monkeypatch, HOST)
    denied = UpstreamRequest("GET", f"http://{NAME}:{server.port}/")
    assert (await refused(upstream, denied)).error_code == "upstream_denied"
    assert await fetched(upstream, server.named()) == b"ok"
    assert (await refused(upstream, denied)).error_code == "upstream_denied"
    assert server.requests == 1


async def test_the_vetted_address_is_the_one_used(
    server: Server, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that points elsewhere when it is asked again (DNS rebinding) is vetted again or not asked at all."""
    answers = [["8.8.8.8"], [HOST]]
    connected: list[str] = []

    async def refuse(_: socket.socket, address: Any) -> None:
        connected.append(address[0])
        raise OSError(111, "Connection refused")

    resolve(monkeypatch, lambda _: answers.pop(0) if len(answers) > 1 else answers[0])
    watch_connecting(monkeypatch, refuse)
    for _ in range(3):
        await refused(upstream, UpstreamRequest("GET", f"http://rebind.example.com:{server.port}/"))
    assert set(connected) == {"8.8.8.8"}
    assert server.connections == []


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "127.0.0.1.",
        "0177.0.0.1",
        "0x7f.0.0.1",
        "0x7f000001",
        "2130706433",
        "0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[fe80::1%25lo]",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "\uff11\uff12\uff17.0.0.1",
        "①②⑦.0.0.1",
        "127。0。0。1",
        "%31%32%37.0.0.1",
        "8.8.8.8@127.0.0.1",
        "127.0.0.1:80@127.0.0.1",
        "127.0.0.1\\@8.8.8.8",
        "8.8.8.8\\@127.0.0.1",
        "127.0.0.1#@8.8.8.8",
        "127.0.0.1?@8.8.8.8",
        "\t127.0.0.1",
        "127.0.0.1\n",
        "127.0.\t0.1",
        "[::1",
        "[127.0.0.1]",
        "",
    ],
)
async def test_no_way_of_writing_loopback_reaches_it(server: Server, upstream: Upstream, host: str) -> None:
    """Whatever form an address takes in a URL, loopback is not connected to, and the caller gets a ProviderError."""
    port = server.port
    url = f"http://{host}:{port}/" if not host.endswith(("8.8.8.8", "\n")) else f"http://{host.strip()}/"
    url = url.replace("127.0.0.1#", f"127.0.0.1:{port}#").replace("127.0.0.1?", f"127.0.0.1:{port}?")
    with pytest.raises(ProviderError):
        async with asyncio.timeout(engines.HANG_S):
            await fetched(upstream, UpstreamRequest("GET", url, timeouts=Timeouts(connect_s=0.2, first_byte_s=1)))
    assert server.connections == []


@pytest.mark.parametrize(
    "url",
    [
        "ftp://8.8.8.8/",
        "file:///etc/passwd",
        "unix:///run/x",
        "http:///a",
        "//8.8.8.8/",
        "",
        "http://",
        "http://a:99999/",
    ],
)
async def test_what_is_no_web_address_is_refused(upstream: Upstream, url: str) -> None:
    """Only http and https URLs with a host and a port that exists lead anywhere."""
    assert isinstance(await refused(upstream, UpstreamRequest("GET", url)), ProviderFailed)


# names


async def test_a_name_that_does_not_resolve(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says so and names the host; the next call asks again."""
    asked = resolve_to(monkeypatch)
    for _ in range(2):
        error = await refused(upstream, UpstreamRequest("GET", "http://nowhere.example/"))
        assert error.message == "`nowhere.example` could not be reached: its name does not resolve"
    assert asked == ["nowhere.example"] * 2


async def test_a_resolver_that_hangs(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time spent on a name counts as time to connect or to answer, and one hanging name holds no other."""

    async def getaddrinfo(host: Any, port: Any, **_: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    limits = Timeouts(connect_s=0.1, first_byte_s=0.3)
    error = await refused(upstream, UpstreamRequest("GET", "http://hangs.example/", timeouts=limits))
    assert isinstance(error, ProviderTimeout)
    assert "hangs.example" in error.message


async def test_a_lookup_given_up_fails_in_silence(
    engine: Engine, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name nobody waits for any more may fail to resolve without a complaint; who still waits gets the answer."""
    going_on = asyncio.Event()

    async def getaddrinfo(host: Any, port: Any, **_: Any) -> Any:
        await going_on.wait()
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    request = UpstreamRequest("GET", "http://nowhere.example/")
    tasks = [asyncio.create_task(refused(upstream, request)) for _ in range(3)]
    alone = asyncio.create_task(refused(upstream, UpstreamRequest("GET", "http://alone.example/")))
    await engines.turns()
    for task in (*tasks[:2], alone):
        task.cancel()
    await engines.turns()
    going_on.set()
    assert "does not resolve" in (await tasks[2]).message
    await asyncio.gather(*tasks, alone, return_exceptions=True)
    await engines.turns()
    await upstream.close()
    gc.collect()


async def test_a_name_is_not_asked_for_each_call(
    server: Server, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls at once share one lookup."""
    asked = resolve_to(monkeypatch, HOST)
    await asyncio.gather(*(fetched(upstream, server.named()) for _ in range(20)))
    assert asked == [NAME]


async def test_a_dead_address_costs_a_moment(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the first address does not answer, the second is tried beside it after a quarter second (RFC 8305)."""
    with black_hole() as port:
        async with serving(port=port) as server:
            resolve_to(monkeypatch, "127.0.0.2", HOST)
            loop = asyncio.get_running_loop()
            began = loop.time()
            assert await fetched(upstream, server.named()) == b"ok"
            assert loop.time() - began < 0.6
            assert len(server.connections) == 1


async def test_a_refusing_address_costs_nothing(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the first address refuses, the second is tried at once; where all refuse, the error says so."""
    async with serving() as server:
        resolve_to(monkeypatch, "127.0.0.3", "127.0.0.2", HOST)
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await fetched(upstream, server.named()) == b"ok"
        assert loop.time() - began < 0.2
        resolve_to(monkeypatch, "127.0.0.3", "127.0.0.2")
        url = f"http://all.{NAME}:{server.port}/"
        error = await refused(upstream, UpstreamRequest("GET", url, private_hosts=frozenset({f"all.{NAME}"})))
        assert error.message == f"`all.{NAME}` could not be reached: connection refused"


async def test_losing_addresses_leave_no_connection(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two addresses that both answer late, one connection is kept and the other is closed."""
    connect = asyncio.get_running_loop().sock_connect

    async def late(sock: socket.socket, address: Any) -> None:
        await asyncio.sleep(0.3 if address[0] == "127.0.0.2" else 0.05)
        await connect(sock, address)

    async with serving() as first, serving(host="127.0.0.2", port=first.port) as second:
        resolve_to(monkeypatch, "127.0.0.2", HOST)
        begun = watch_connecting(monkeypatch, late)
        assert await fetched(upstream, first.named(timeouts=brief())) == b"ok"
        assert len(begun) == 2
        await asyncio.sleep(0.1)
        assert first.open + second.open == 1
        await upstream.close()
        await eventually(lambda: first.open + second.open == 0, "every connection was closed")
        assert [sock.fileno() for sock in begun] == [-1, -1]


@h1_only
async def test_every_address_dead_is_a_timeout(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """`connect_s` bounds the whole attempt, however many addresses there are; aiohttp gives each of them that long."""
    with black_hole() as port, black_hole("127.0.0.3", port):
        resolve_to(monkeypatch, "127.0.0.2", "127.0.0.3")
        loop = asyncio.get_running_loop()
        began = loop.time()
        url = f"http://{NAME}:{port}/"
        limits = Timeouts(connect_s=0.4)
        error = await refused(upstream, UpstreamRequest("GET", url, private_hosts=frozenset({NAME}), timeouts=limits))
        assert isinstance(error, ProviderTimeout)
        assert error.message == f"no connection to `{NAME}` within 0.4 s"
        assert loop.time() - began < 0.7


# addresses in place of names


@pytest.mark.parametrize("port", ["{port}", "80"])
async def test_the_host_header_names_an_address(upstream: Upstream, monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    """An IPv6 address stands in brackets, with the port unless it is the scheme's own (RFC 9110 section 7.2)."""
    async with serving(host="::1") as server:
        if port == "80":
            connect = asyncio.get_running_loop().sock_connect

            async def elsewhere(sock: socket.socket, _: Any) -> None:
                await connect(sock, ("::1", server.port, 0, 0))

            watch_connecting(monkeypatch, elsewhere)
        url = f"http://[::1]:{port.format(port=server.port)}/"
        assert await fetched(upstream, UpstreamRequest("GET", url, private_hosts=frozenset({"::1"}))) == b"ok"
        shown = b"[::1]" if port == "80" else b"[::1]:%d" % server.port
        assert server.connections[0].header(b"host") == shown


@h1_only
async def test_an_address_with_a_zone(upstream: Upstream) -> None:
    """The zone says which interface is meant (RFC 6874) and is not sent; one that does not exist is a failure."""
    async with serving(host="::1") as server:
        for zone, is_there in (("lo", True), ("1", True), ("nowhere0", False)):
            host = f"::1%25{zone}"
            request = UpstreamRequest("GET", f"http://[{host}]:{server.port}/", private_hosts=frozenset({host}))
            if is_there:
                assert await fetched(upstream, request) == b"ok"
            else:
                assert "could not be reached" in (await refused(upstream, request)).message
        assert {connection.header(b"host") for connection in server.connections} == {b"[::1]:%d" % server.port}


@h1_only
async def test_a_name_in_other_letters(server: Server, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with letters beyond ASCII is sent as DNS writes it (RFC 5890); aiohttp sends its UTF-8."""
    resolve_to(monkeypatch, HOST)
    name = "b\u00fccher.internal"
    request = UpstreamRequest("GET", f"http://{name}:{server.port}/", private_hosts=frozenset({name}))
    assert await fetched(upstream, request) == b"ok"
    assert server.connections[0].header(b"host") == b"xn--bcher-kva.internal:%d" % server.port
