"""TLS: whom an engine trusts, what it shows, and that the end of a connection is believed only if the server said it."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from core.tests import engines
from core.tests.engines import (
    BRIEF_S,
    HOST,
    LOCAL,
    NAME,
    OK,
    Authority,
    Connection,
    Engine,
    Server,
    answering,
    brief,
    fetched,
    h1_only,
    hanging,
    refused,
    resolve_to,
    serving,
    turns,
)

from headgate.errors import ProviderFailed, ProviderTimeout
from headgate.testing import eventually
from headgate.upstream import Timeouts, Tls, Upstream, UpstreamRequest

engine = engines.engine
loop_factory = engines.loop_factory
upstream = engines.upstream
authority = engines.authority


@pytest.fixture(autouse=True)
async def _names(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    resolve_to(monkeypatch, HOST)


@pytest.fixture
async def server(authority: Authority) -> AsyncIterator[Server]:
    """A server of the name `models.internal`, with a certificate of the authority."""
    async with serving(authority.server()) as held:
        yield held


@pytest.fixture
def trusted(authority: Authority) -> Tls:
    return Tls(ca_file=authority.file)


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Another authority of the same name."""
    return Authority(tmp_path_factory.mktemp("stranger"))


async def test_the_right_authority_passes(server: Server, upstream: Upstream, trusted: Tls) -> None:
    """A certificate of the authority in `ca_file` is trusted, and the connection is kept like any other."""
    for _ in range(5):
        assert await fetched(upstream, server.named(tls=trusted)) == b"ok"
    assert (len(server.connections), server.requests) == (1, 5)


async def test_the_host_name_is_sent(authority: Authority, upstream: Upstream, trusted: Tls) -> None:
    """The server learns which host is meant (RFC 6066 section 3), and that HTTP/1.1 is what is spoken."""
    seen: list[str | None] = []
    context = authority.server()
    context.sni_callback = lambda _, name, __: seen.append(name)
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with serving(context) as server:
        assert await fetched(upstream, server.named(tls=trusted)) == b"ok"
        assert server.connections[0].writer.get_extra_info("ssl_object").selected_alpn_protocol() != "h2"
    assert seen == [NAME]


async def test_an_address_is_verified_too(authority: Authority, upstream: Upstream, trusted: Tls) -> None:
    """A server reached by address must have a certificate for that address."""
    async with serving(authority.server(HOST)) as server:
        assert await fetched(upstream, server.request(tls=trusted)) == b"ok"
    async with serving(authority.server()) as server:
        assert isinstance(await refused(upstream, server.request(tls=trusted)), ProviderFailed)
        assert server.requests == 0


@pytest.mark.parametrize("trusts", ["the system", "another"])
async def test_an_unknown_authority_is_refused(
    server: Server, upstream: Upstream, stranger: Authority, trusts: str
) -> None:
    """Nothing is sent to a server whose certificate nobody trusted vouches for."""
    tls = Tls() if trusts == "the system" else Tls(ca_file=stranger.file)
    error = await refused(upstream, server.named(tls=tls))
    assert isinstance(error, ProviderFailed)
    assert error.message.startswith(f"`{NAME}` could not be reached: the TLS handshake failed")
    assert "Error" not in error.message
    assert server.requests == 0


@pytest.mark.parametrize("name", ["other.internal", "internal", f"a.{NAME}"])
async def test_a_wrong_host_name_is_refused(authority: Authority, upstream: Upstream, trusted: Tls, name: str) -> None:
    """A certificate for another host is none for this one."""
    async with serving(authority.server(name)) as server:
        error = await refused(upstream, server.named(tls=trusted))
        assert "the TLS handshake failed" in error.message
        assert server.requests == 0


async def test_a_plain_server_is_refused(upstream: Upstream, trusted: Tls) -> None:
    """A server that speaks no TLS gets no request."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad\r\ncontent-length: 0\r\n\r\n")
        await reader.read(65536)
        writer.close()

    listening = await asyncio.start_server(greet, HOST, 0)
    url = f"https://{NAME}:{listening.sockets[0].getsockname()[1]}"
    error = await refused(upstream, UpstreamRequest("POST", url, private_hosts=LOCAL, tls=trusted))
    assert "the TLS handshake failed" in error.message
    listening.close()


async def test_a_plain_call_of_a_tls_server_fails(server: Server, upstream: Upstream) -> None:
    """Speaking HTTP to a TLS server is a failure with words."""
    request = UpstreamRequest("POST", server.url.replace("https", "http"), private_hosts=LOCAL)
    assert isinstance(await refused(upstream, request), ProviderFailed)


async def test_a_handshake_that_hangs_ends_in_time(upstream: Upstream, trusted: Tls) -> None:
    """`connect_s` covers the handshake."""

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            pass
        writer.close()

    listening = await asyncio.start_server(wait, HOST, 0)
    url = f"https://{NAME}:{listening.sockets[0].getsockname()[1]}"
    limits = Timeouts(connect_s=BRIEF_S)
    error = await refused(upstream, UpstreamRequest("POST", url, private_hosts=LOCAL, tls=trusted, timeouts=limits))
    assert isinstance(error, ProviderTimeout)
    assert error.message == f"no connection to `{NAME}` within {BRIEF_S:g} s"
    listening.close()


# client certificates


@pytest.fixture
async def asking(authority: Authority) -> AsyncIterator[Server]:
    """A server that lets in only who has a certificate of the authority."""
    context = authority.server()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.file)
    async with serving(context) as held:
        yield held


def joined(cert: str, key: str) -> str:
    """One file that holds both."""
    both = Path(cert).with_name("both.pem")
    both.write_text(Path(key).read_text() + Path(cert).read_text())
    return str(both)


async def test_a_client_certificate_is_shown(asking: Server, authority: Authority, upstream: Upstream) -> None:
    """`cert_file` and `key_file` say who calls; one file may hold both."""
    cert, key = authority.issue("gateway.internal")
    assert await fetched(upstream, asking.named(tls=Tls(authority.file, cert, key))) == b"ok"
    shown = asking.connections[0].writer.get_extra_info("peercert")
    assert shown["subjectAltName"] == (("DNS", "gateway.internal"),)
    assert await fetched(upstream, asking.named(tls=Tls(authority.file, joined(cert, key)))) == b"ok"


async def test_a_missing_client_certificate_is_a_failure(asking: Server, upstream: Upstream, trusted: Tls) -> None:
    """A server that asks for a certificate and gets none refuses, and the error is a failure in words."""
    error = await refused(upstream, asking.named(tls=trusted))
    assert isinstance(error, ProviderFailed)
    assert "Error" not in error.message
    assert asking.requests == 0


async def test_tls_settings_do_not_share_connections(
    asking: Server, authority: Authority, upstream: Upstream, trusted: Tls
) -> None:
    """A connection that was opened with one deployment's certificate is not lent to another deployment."""
    cert, key = authority.issue("gateway.internal")
    tls = Tls(authority.file, cert, key)
    assert await fetched(upstream, asking.named(tls=tls)) == b"ok"
    await refused(upstream, asking.named(tls=trusted))
    await refused(upstream, asking.named(tls=Tls()))
    assert asking.requests == 1
    assert await fetched(upstream, asking.named(tls=tls)) == b"ok"


async def test_trust_is_not_shared(server: Server, upstream: Upstream, stranger: Authority, trusted: Tls) -> None:
    """A connection that one call trusts is no connection for a call that does not."""
    assert await fetched(upstream, server.named(tls=trusted)) == b"ok"
    await refused(upstream, server.named(tls=Tls(ca_file=stranger.file)))
    await refused(upstream, server.named(tls=Tls()))
    assert server.requests == 1


# files


@pytest.mark.parametrize("what", ["ca_file", "cert_file", "key_file"])
@pytest.mark.parametrize("how", ["missing", "no PEM", "empty", "a folder"])
async def test_a_file_that_is_no_pem_is_named(
    server: Server, authority: Authority, upstream: Upstream, tmp_path: Path, what: str, how: str
) -> None:
    """A file that cannot be used is a failure that names it, for this call alone."""
    cert, key = authority.issue("gateway.internal")
    bad = tmp_path / "bad.pem"
    if how == "a folder":
        bad.mkdir()
    elif how != "missing":
        bad.write_text("" if how == "empty" else "no certificate")
    given = {"ca_file": authority.file, "cert_file": cert, "key_file": key} | {what: str(bad)}
    error = await refused(upstream, server.named(tls=Tls(**given)))
    assert isinstance(error, ProviderFailed)
    assert str(bad) in error.message
    assert "Error" not in error.message
    assert server.connections == []
    assert await fetched(upstream, server.named(tls=Tls(ca_file=authority.file))) == b"ok"


async def test_a_key_of_another_certificate_is_refused(
    server: Server, authority: Authority, upstream: Upstream
) -> None:
    """A certificate with a key that is not its own is a failure that names a file."""
    cert, _ = authority.issue("gateway.internal")
    _, key = authority.issue("other.internal")
    error = await refused(upstream, server.named(tls=Tls(authority.file, cert, key)))
    assert isinstance(error, ProviderFailed)
    assert "internal." in error.message
    assert server.connections == []


async def test_a_replaced_file_is_read_again(
    server: Server, authority: Authority, stranger: Authority, upstream: Upstream, tmp_path: Path
) -> None:
    """Certificates are renewed in place: the next connection uses what the file holds by then."""
    file = tmp_path / "ca.pem"
    tls = Tls(ca_file=str(file))
    shutil.copy(stranger.file, file)
    await refused(upstream, server.named(tls=tls))
    shutil.copy(authority.file, file)
    assert await fetched(upstream, server.named(tls=tls)) == b"ok"


# bodies and ends


async def test_large_bodies_pass_both_ways(server: Server, upstream: Upstream, trusted: Tls) -> None:
    """Records are put together again, whatever the size."""
    blob = random.Random(4).randbytes(3 * 1024 * 1024)

    async def answer(connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(connection.body))
        await connection.send(connection.body)

    server.answer = answer
    request = UpstreamRequest("POST", f"https://{NAME}:{server.port}/", body=blob, private_hosts=LOCAL, tls=trusted)
    assert await fetched(upstream, request) == blob


async def test_an_end_that_was_said_is_the_end(server: Server, upstream: Upstream, trusted: Tls) -> None:
    """A body without a length ends with the server's close_notify."""

    async def answer(connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        connection.writer.close()

    server.answer = answer
    for _ in range(3):
        assert await fetched(upstream, server.named(tls=trusted)) == b"all of it"


def cutting(reply: bytes) -> engines.Answer:
    """Send `reply` and end the TCP connection below TLS, as an attacker on the way can."""

    async def answer(connection: Connection) -> None:
        await connection.send(reply)
        with socket.socket(fileno=os.dup(connection.writer.get_extra_info("socket").fileno())) as below:
            below.shutdown(socket.SHUT_WR)
        await connection.closed()
        connection.writer.transport.abort()

    return answer


@pytest.mark.parametrize(
    "head", [b"content-length: 10\r\n\r\nhalf", b"transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"]
)
async def test_a_cut_below_tls_is_a_cut(server: Server, upstream: Upstream, trusted: Tls, head: bytes) -> None:
    """A framed body that ends before its end is cut, with or without a word of the server."""
    server.answer = cutting(b"HTTP/1.1 200 OK\r\n" + head)
    assert (await refused(upstream, server.named(tls=trusted))).error_code == "upstream_cut"
    await eventually(lambda: server.open == 0, "the connection was closed")


@h1_only
async def test_an_end_nobody_said_is_no_end(server: Server, upstream: Upstream, trusted: Tls) -> None:
    """A body without a length that ends without close_notify may have been cut by anyone (RFC 9112 section 9.8).

    aiohttp cannot tell the two ends apart.
    """
    server.answer = cutting(b"HTTP/1.1 200 OK\r\n\r\nhalf")
    assert (await refused(upstream, server.named(tls=trusted))).error_code == "upstream_cut"


async def test_an_idle_tls_connection_that_ended_is_replaced(server: Server, upstream: Upstream, trusted: Tls) -> None:
    """A server that closed an idle connection, politely or not, is called over a new one."""

    async def answer(connection: Connection) -> None:
        await connection.send(OK)
        if len(server.connections) % 2:
            connection.writer.close()
        else:
            await asyncio.sleep(0.01)
            connection.writer.transport.abort()

    server.answer = answer
    for number in range(1, 5):
        assert await fetched(upstream, server.named(tls=trusted)) == b"ok"
        await eventually(lambda: server.open == 0, "the server closed")
        await asyncio.sleep(0.02)
        assert len(server.connections) == number


@h1_only
async def test_stray_data_in_tls_drops_the_connection(server: Server, upstream: Upstream, trusted: Tls) -> None:
    """An unsolicited reply inside TLS is nobody's; aiohttp hands it to the next call."""
    sent = asyncio.Event()

    async def answer(connection: Connection) -> None:
        await connection.send(OK)
        if connection is server.connections[0]:
            await asyncio.sleep(0.02)
            await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
            sent.set()

    server.answer = answer
    assert await fetched(upstream, server.named(tls=trusted)) == b"ok"
    await sent.wait()
    await turns()
    assert await fetched(upstream, server.named(tls=trusted)) == b"ok"
    assert len(server.connections) == 2


async def test_closing_a_tls_response_closes_its_connection(server: Server, upstream: Upstream, trusted: Tls) -> None:
    """A reply given up, a call cut by its limit and an engine closed leave no TLS connection behind."""
    server.answer = hanging(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
    response = await upstream.send(server.named(tls=trusted))
    response.close()
    await eventually(lambda: server.open == 0, "the connection was closed")
    error = await refused(upstream, server.named(tls=trusted, timeouts=brief(gap_s=BRIEF_S)))
    assert isinstance(error, ProviderTimeout)
    await eventually(lambda: server.open == 0, "the connection was closed")


async def test_closing_the_engine_closes_idle_tls(engine: Engine, server: Server, trusted: Tls) -> None:
    """Closing does not wait for servers that do not answer close_notify."""
    upstream = engine()
    server.answer = answering(OK)
    assert await fetched(upstream, server.named(tls=trusted)) == b"ok"
    async with asyncio.timeout(engines.HANG_S):
        await upstream.close()
    await eventually(lambda: server.open == 0, "the connection was closed")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_an_address_is_no_server_name(
    authority: Authority, upstream: Upstream, trusted: Tls, address: str
) -> None:
    """A literal address is verified against the certificate, but never sent as the name (RFC 6066 section 3)."""
    seen: list[str | None] = []
    context = authority.server(address)
    context.sni_callback = lambda _, name, __: seen.append(name)
    async with serving(context, host=address) as server:
        url = f"https://{f'[{address}]' if ':' in address else address}:{server.port}/"
        request = UpstreamRequest("POST", url, private_hosts=frozenset({address}), tls=trusted)
        assert await fetched(upstream, request) == b"ok"
    assert seen == [None]
