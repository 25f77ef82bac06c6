"""HTTP/1.1 on the wire: what is ambiguous or malformed is refused and closed, and never becomes an upstream call."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

import pytest
from tests.door.conftest import AUTHORIZED, BODY_STALL_S, HEADER_S
from tests.door.upstream import CHAT_REPLY, EVENTS, STREAM_HEAD, Call, Upstream, json_response
from tests.harness import Gateway, Wire, ask, chat, chunked, head, post

BODY = chat()
LENGTH = b"content-length: %d\r\n" % len(BODY)
CHUNKED = b"transfer-encoding: chunked\r\n"
GOOD_CHUNKS = chunked(BODY) + b"0\r\n\r\n"
SMUGGLED = post(chat(user="smuggled"))
LINE = b"POST /v1/chat/completions HTTP/1.1\r\n"
HOST = b"host: gateway\r\n"
DEADLINE_S = max(HEADER_S, BODY_STALL_S) + 2

HOSTS = {
    "missing": LINE + LENGTH + b"\r\n" + BODY,
    "twice the same": LINE + HOST + HOST + LENGTH + b"\r\n" + BODY,
    "two different": LINE + HOST + b"Host: other\r\n" + LENGTH + b"\r\n" + BODY,
    **{
        f"value {value!r}": LINE + b"host: " + value + b"\r\n" + LENGTH + b"\r\n" + BODY
        for value in (
            *(
                b"",
                b"a b",
                b"a/b",
                b"a?b",
                b"a#b",
                b"user@host",
                b"user:pw@host",
                b"host:port",
                b"host:",
            ),
            *(b"host:-1", b"host:80:80", b"[::1", b"::1]", b"[::1]x", b"a,b", b"a\\b", b"<a>", b"a\tb", b'"a"', b"a;b"),
            *(b"h\xc3\xb6st", b"http://gateway", b"gateway\x01", b"%zz", b"a^b", b"a|b", b"[zz::1]", b"a{b}"),
        )
    },
}
LENGTHS = {
    f"content-length {value!r}": head(b"content-length: " + value + b"\r\n") + BODY
    for value in (
        *(
            b"",
            b"+%d" % len(BODY),
            b"-1",
            b"-0",
            b"0x10",
            b"1e2",
            b"1 0",
            b"%d;" % len(BODY),
            b"%d," % len(BODY),
            b"abc",
        ),
        *(b"%d, %d" % (len(BODY), len(BODY)), b"%d, 5" % len(BODY), b"1.0", b"99999999999999999999999", b"1_0", b"0b1"),
        *(b"18446744073709551617", b"\xd9\xa5", b"%d\x0b" % len(BODY), b'"%d"' % len(BODY), b"%d %d" % (1, 2), b"0,1"),
    )
} | {
    "two lengths, the second smaller": head(LENGTH + b"content-length: 5\r\n") + BODY,
    "two lengths, the first smaller": head(b"content-length: 5\r\n" + LENGTH) + BODY,
    "the same length twice": head(LENGTH + LENGTH) + BODY,
    "length with a space before the colon": head(b"content-length : %d\r\n" % len(BODY)) + BODY,
    "length zero and a good one": head(b"content-length: 0\r\n" + LENGTH) + BODY,
}
CODINGS = {
    f"transfer-encoding {value!r}": head(b"transfer-encoding: " + value + b"\r\n") + GOOD_CHUNKS
    for value in (
        *(b"", b"identity", b"gzip", b"gzip, chunked", b"chunked, chunked", b"chunked, identity", b"identity, chunked"),
        *(b"xchunked", b"chunkedx", b"x, chunked", b"chunked;q=1", b'"chunked"', b"chunked,", b",chunked", b"chunk ed"),
        *(
            b"\x0bchunked",
            b"chunked\x0b",
            b"chunked\x00",
            b"\xa0chunked",
            b"ch\xc3\xbcnked",
            b"cow",
            b"chunked chunked",
        ),
    )
} | {
    "length then chunked": head(LENGTH + CHUNKED) + GOOD_CHUNKS,
    "chunked then length": head(CHUNKED + LENGTH) + GOOD_CHUNKS,
    "length covers a smuggled request": head(CHUNKED + b"content-length: %d\r\n" % (5 + len(SMUGGLED))) + b"0\r\n\r\n",
    "chunked and length zero": head(b"content-length: 0\r\n" + CHUNKED) + GOOD_CHUNKS,
    "coding with a space before the colon": head(b"transfer-encoding : chunked\r\n") + GOOD_CHUNKS,
    "coding twice": head(CHUNKED + CHUNKED) + GOOD_CHUNKS,
    "coding twice, one unknown": head(CHUNKED + b"transfer-encoding: cow\r\n") + GOOD_CHUNKS,
    "folded coding": head(b"transfer-encoding:\r\n chunked\r\n") + GOOD_CHUNKS,
    "coding behind a bare LF": head(b"x: y\ntransfer-encoding: chunked\r\n" + LENGTH) + GOOD_CHUNKS,
    "coding behind a bare CR": head(b"x: y\rtransfer-encoding: chunked\r\n" + LENGTH) + GOOD_CHUNKS,
    "coding in HTTP/1.0": head(CHUNKED).replace(b"HTTP/1.1", b"HTTP/1.0") + GOOD_CHUNKS,
    "length and folded coding": head(LENGTH + b"transfer-encoding:\r\n\tchunked\r\n") + GOOD_CHUNKS,
}
CHUNKS = {
    name: head(CHUNKED) + chunks
    for name, chunks in {
        "no size": b"\r\n" + BODY + b"\r\n0\r\n\r\n",
        "size is no hex": b"xyz\r\n" + BODY + b"\r\n0\r\n\r\n",
        "negative size": b"-%x\r\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n",
        "signed size": b"+%x\r\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n",
        "size with 0x": b"0x%x\r\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n",
        "size with underscore": b"0_%x\r\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n",
        "space before size": b" %x\r\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n",
        "tab behind size": b"%x\t\t\x0b\r\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n",
        "size overflows": b"FFFFFFFFFFFFFFFFF\r\n" + BODY + b"\r\n0\r\n\r\n",
        "size wraps round": b"1%016x\r\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n",
        "size ends in bare LF": b"%x\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n",
        "size ends in bare CR": b"%x\r" % len(BODY) + BODY + b"\r\n0\r\n\r\n",
        "size too small": b"%x\r\n" % (len(BODY) - 2) + BODY + b"\r\n0\r\n\r\n",
        "size too large": b"%x\r\n" % (len(BODY) + 2) + BODY + b"\r\n0\r\n\r\n",
        "data ends in bare LF": b"%x\r\n" % len(BODY) + BODY + b"\n0\r\n\r\n",
        "data ends in bare CR": b"%x\r\n" % len(BODY) + BODY + b"\r0\r\n\r\n",
        "data without an end": b"%x\r\n" % len(BODY) + BODY + b"0\r\n\r\n",
        "data ends in letters": b"%x\r\n" % len(BODY) + BODY + b"xx0\r\n\r\n",
        "bare LF in an extension": b"%x;a=b\nc\r\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n",
        "bare CR in an extension": b"%x;a=b\rc\r\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n",
        "NUL in an extension": b"%x;a=\x00\r\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n",
        "last chunk ends in bare LF": chunked(BODY) + b"0\n\n",
        "last chunk ends in letters": chunked(BODY) + b"0\r\nX\r\n",
        "NUL in a trailer": chunked(BODY) + b"0\r\nx: \x00\r\n\r\n",
        "folded trailer": chunked(BODY) + b"0\r\nx: y\r\n z\r\n\r\n",
        "trailer without a colon": chunked(BODY) + b"0\r\nx y\r\n\r\n",
        "size in wide digits": "\uff15\r\n".encode() + BODY + b"\r\n0\r\n\r\n",
    }.items()
}
HEADERS = {
    f"header line {line!r}": head(line + LENGTH) + BODY
    for line in (
        *(b"x: a\r\n folded\r\n", b"x: a\r\n\tfolded\r\n", b" x: leading space\r\n", b"x : space\r\n", b"x\t: tab\r\n"),
        *(
            b"no colon\r\n",
            b": no name\r\n",
            b"x y: space in name\r\n",
            b"x(: paren\r\n",
            b'x": quote\r\n',
            b"x/y: z\r\n",
        ),
        *(
            b"x\x00y: z\r\n",
            b"x: a\x00b\r\n",
            b"x: a\rb\r\n",
            b"x: a\nb\r\n",
            b"x: \x01\r\n",
            b"x: \x7f\r\n",
            b"x\x7f: y\r\n",
        ),
        *(
            b"x\xc3\xa9: y\r\n",
            b"x: \x0b\r\n",
            b"x: \x0c\r\n",
            b"x: \x1b[31m\r\n",
            b"\r\r\n",
            b"x@y: z\r\n",
            b"[x]: z\r\n",
        ),
    )
} | {
    "bare LF everywhere": (head(LENGTH).replace(b"\r\n", b"\n")) + BODY,
    "bare LF behind the request line": LINE.replace(b"\r\n", b"\n") + HOST + LENGTH + b"\r\n" + BODY,
    "bare LF ends the head": LINE + HOST + LENGTH + b"\n" + BODY,
    "bare CR everywhere": (head(LENGTH).replace(b"\r\n", b"\r")) + BODY,
    "bare CR behind the request line": LINE.replace(b"\r\n", b"\r") + HOST + LENGTH + b"\r\n" + BODY,
    "space before the first header": LINE + b" " + HOST + LENGTH + b"\r\n" + BODY,
}
LINES = {
    f"request line {line!r}": line + b"\r\n" + HOST + LENGTH + b"\r\n" + BODY
    for line in (
        *(b"post /v1/chat/completions HTTP/1.1", b"P OST /v1/chat/completions HTTP/1.1", b"POST", b"POST HTTP/1.1"),
        *(b"POST  HTTP/1.1", b"POST /v1/chat/completions", b"POST /v1/chat/completions HTTP/1.1 x", b"\x16\x03\x01\x02"),
        *(b"POST /v1/chat/completions HTTP/2.0", b"POST /v1/chat/completions HTTP/0.9", b"POST /v1/chat/completions HTTP/9"),
        *(b"POST /v1/chat/completions http/1.1", b"POST /v1/chat/completions HTTPS/1.1", b"POST /v1/chat/completions HTTP/1,1"),
        *(b"POST /v1/chat/completions HTTP/11", b"POST /v1/chat/completions HTTP/1.1.1", b"POST /v1/chat/completions HTTP/-1.1"),
        *(b"POST /v1/chat/completions ICE/1.0", b"POST /v1/chat/completions HTTP /1.1", b"POST /v1/chat/completions HTTP/1.x"),
        *(b"PO\x00ST /v1/chat/completions HTTP/1.1", b"PO(ST /v1/chat/completions HTTP/1.1", b"\x00POST / HTTP/1.1"),
        *(b"POST\t/v1/chat/completions\tHTTP/1.1", b"POST /v1/\x00 HTTP/1.1", b"POST v1/chat/completions HTTP/1.1"),
        *(b"POST /v1/chat/completions\x0b HTTP/1.1", b"POST \xff\xfe HTTP/1.1", b"FOOBAR /v1/chat/completions HTTP/1.1"),
        *(b"A" * 5000 + b" /v1/chat/completions HTTP/1.1", b" POST /v1/chat/completions HTTP/1.1", b"PRI * HTTP/2.0"),
        *(b"POST gateway:80 HTTP/1.1", b"CONNECT gateway:80 HTTP/1.1", b"CONNECT /v1/chat/completions HTTP/1.1"),
        *(b"POST http://other/v1/chat/completions HTTP/1.1", b"POST http://gateway/v1/chat/completions HTTP/1.1"),
        *(b"POST https://gateway/v1/chat/completions HTTP/1.1", b"POST http://u:p@gateway/v1/chat/completions HTTP/1.1"),
        *(b"POST ftp://gateway/v1/chat/completions HTTP/1.1", b"POST * HTTP/1.1"),
        *(b"POST /v1/chat/completions#x HTTP/1.1", b"POST ?x HTTP/1.1"),
    )
}  # fmt: skip
UPGRADES = {
    "upgrade to h2c": head(
        b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAA\r\n" + LENGTH
    )
    + BODY,
    "websocket": head(
        b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAA\r\n",
        method=b"GET",
    ),
}
GROUPS = {
    "host": HOSTS,
    "content-length": LENGTHS,
    "transfer-encoding": CODINGS,
    "chunks": CHUNKS,
    "headers": HEADERS,
    "request line": LINES,
}


async def outcome(gateway: Gateway, data: bytes) -> str:
    """What a request with a second one behind it leads to: empty when it was refused and the connection closed."""
    statuses: list[int] = []
    async with Wire.open(gateway) as wire:
        try:
            async with asyncio.timeout(DEADLINE_S):
                await wire.send(data + SMUGGLED)
                while True:
                    statuses.append((await wire.answer(60)).status)
        except (EOFError, ConnectionError):
            pass
        except TimeoutError:
            return f"{statuses} and still open"
    return "" if all(400 <= status < 500 for status in statuses) else str(statuses)


async def outcomes(gateway: Gateway, cases: Mapping[str, bytes]) -> dict[str, str]:
    """The outcomes of all cases that were not simply refused, by name."""
    found = await asyncio.gather(*(outcome(gateway, data) for data in cases.values()))
    return {name: words for name, words in zip(cases, found, strict=True) if words}


@pytest.mark.parametrize("group", GROUPS)
async def test_malformed_requests_are_refused(gateway: Gateway, upstream: Upstream, group: str) -> None:
    """Each is answered with a 4xx or not at all, the connection is closed, and the request behind it is not served."""
    wrong = await outcomes(gateway, GROUPS[group])
    assert not wrong, str(wrong)
    assert (await ask(gateway, post(chat(user="control")))).status == 200
    assert [call.body for call in upstream.calls if b"control" not in call.body] == []


@pytest.mark.parametrize("method", [b"GET", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE"], ids=str)
async def test_other_methods_are_not_allowed(gateway: Gateway, upstream: Upstream, method: bytes) -> None:
    """A method that the path does not have is a 405 that names the right one, and the next request is served."""
    async with Wire.open(gateway) as wire:
        await wire.send(head(LENGTH, method=method) + BODY + post(chat(user="next")))
        answer = await wire.answer()
        assert answer.status == 405
        assert answer.header("allow") == "POST"
        assert answer.error["code"] == "method_not_allowed"
        with contextlib.suppress(EOFError, ConnectionError):
            assert (await wire.answer()).status == 200
    assert all(b"next" in call.body for call in upstream.calls)


@pytest.mark.parametrize(
    "target",
    [b"/", b"//gateway/v1/chat/completions", b"/v1", b"/V1/chat/completions"],
    ids=str,
)
async def test_other_paths_are_not_found(gateway: Gateway, upstream: Upstream, target: bytes) -> None:
    """A path that means nothing is a 4xx with the error envelope; no other spelling reaches an operation."""
    answer = await ask(gateway, post(BODY, target=target))
    assert answer.status in {400, 404, 405}
    assert answer.error["type"] == "invalid_request_error"
    assert upstream.calls == []


async def test_valid_requests_are_served(gateway: Gateway, upstream: Upstream) -> None:
    """Strictness refuses nothing that RFC 9112 allows."""
    cases = {
        **{
            f"host {value!r}": LINE + b"host: " + value + b"\r\n" + LENGTH + b"\r\n" + BODY
            for value in (b"localhost", b"127.0.0.1:8787", b"[::1]:8787", b"[::1]", b"xn--bcher-kva.example.", b"a-b_c")
        },
        "chunks": head(CHUNKED) + b"".join(chunked(BODY[at : at + 1]) for at in range(len(BODY))) + b"0\r\n\r\n",
        "chunk extension": head(CHUNKED) + b"%x;a=b;c\r\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n",
        "upper case chunk size": head(CHUNKED) + b"%X\r\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n",
        "zeros before the chunk size": head(CHUNKED) + b"000%x\r\n" % len(BODY) + BODY + b"\r\n000\r\n\r\n",
        "trailer": head(CHUNKED) + chunked(BODY) + b"0\r\nx-checksum: 1\r\n\r\n",
        "coding in capitals": head(b"Transfer-Encoding: Chunked\r\n") + GOOD_CHUNKS,
        "white space around a value": head(b"content-length:\t %d \t\r\n" % len(BODY)) + BODY,
        "no white space before a value": head(b"content-length:%d\r\n" % len(BODY)) + BODY,
        "empty value": head(b"x-empty:\r\n" + LENGTH) + BODY,
        "bytes above 127 in a value": head(b"x-name: \xc3\xa9\xff\r\n" + LENGTH) + BODY,
        "every character of a name": head(b"!#$%&'*+-.^_`|~09aZ: x\r\n" + LENGTH) + BODY,
        "query": head(LENGTH, target=b"/v1/chat/completions?a=b&c") + BODY,
        "empty lines before": b"\r\n" + post(BODY),
        "HTTP/1.0": post(BODY).replace(b"HTTP/1.1", b"HTTP/1.0"),
    }
    wrong = {name: answer for name, data in cases.items() if (answer := await ask(gateway, data)).status != 200}
    assert wrong == {}
    assert all(call.json == {**call.json, "model": "some-model"} for call in upstream.calls)
    assert len(upstream.calls) == len(cases)


async def test_trailers_never_become_headers(gateway: Gateway, upstream: Upstream) -> None:
    """A trailer cannot add a gateway option or a header that the provider sees."""
    trailer = b"0\r\nx-headgate-provider: nobody\r\nx-smuggled: 1\r\nhost: other\r\ncontent-length: 5\r\n\r\n"
    async with Wire.open(gateway) as wire:
        await wire.send(head(CHUNKED) + chunked(BODY) + trailer)
        assert (await wire.answer()).status in {200, 400}
    assert all(call.header("x-smuggled") is None for call in upstream.calls)


async def test_upgrades_are_not_taken(gateway: Gateway, upstream: Upstream) -> None:
    """A request that asks to change the protocol is refused, or answered without changing it."""

    async def answer(data: bytes) -> int:
        async with Wire.open(gateway) as wire:
            await wire.send(data)
            return (await wire.head()).status

    statuses = {name: await answer(data) for name, data in UPGRADES.items()}
    assert {name: status for name, status in statuses.items() if status != 200 and not 400 <= status < 500} == {}


@pytest.mark.parametrize(
    ("data", "allowed"),
    [
        pytest.param(head(b"x-large: " + b"x" * 70_000 + b"\r\n" + LENGTH), {431}, id="one large header"),
        pytest.param(head(b"x-small: 12345678\r\n" * 5_000 + LENGTH), {431}, id="many small headers"),
        pytest.param(head(b"x" * 70_000 + b": y\r\n" + LENGTH), {431}, id="large name"),
        pytest.param(head(LENGTH, target=b"/v1/" + b"x" * 70_000), {400, 414, 431}, id="large target"),
        pytest.param(b"POST /" + b"x" * 200_000, {400, 414, 431}, id="target without end"),
        pytest.param(LINE + HOST + b"x: " + b"x" * 200_000, {431}, id="header without end"),
        pytest.param(LINE + HOST + b"x: y\r\n" * 100_000, {431}, id="headers without end"),
        pytest.param(b"x" * 200_000, {400, 431}, id="method without end"),
    ],
)
async def test_large_heads_are_refused(gateway: Gateway, upstream: Upstream, data: bytes, allowed: set[int]) -> None:
    """A head over `header_bytes` is a 431 (or another 4xx for a request line), and the client gets to read it."""
    async with Wire.open(gateway) as wire:
        await wire.send(data)
        answer = await wire.answer()
        assert answer.status in allowed
        assert answer.error["type"] == "invalid_request_error"
        await wire.rest()
    assert upstream.calls == []


async def test_large_trailers_and_extensions_are_refused(gateway: Gateway, upstream: Upstream) -> None:
    """What stands between the chunks is bounded as the head is."""
    cases = {
        "extension": head(CHUNKED) + b"1;" + b"x" * 200_000,
        "trailer": head(CHUNKED) + chunked(BODY) + b"0\r\nx: " + b"x" * 200_000,
        "trailers": head(CHUNKED) + chunked(BODY) + b"0\r\n" + b"x: y\r\n" * 50_000,
        "tiny chunks with extensions": head(CHUNKED) + (b"1;" + b"x" * 1_000 + b"\r\n \r\n") * 5_000,
    }
    wrong = await outcomes(gateway, cases)
    assert not wrong, str(wrong)
    assert upstream.calls == []


async def test_trailers_are_no_headers(locked: Gateway, upstream: Upstream) -> None:
    """What stands behind the body neither lets a caller in nor says anything of the request (RFC 9110 section 6.5.1)."""
    body = head(CHUNKED) + chunked(BODY) + b"0\r\n"
    assert (await ask(locked, body + AUTHORIZED + b"\r\n")).status == 401
    said = head(CHUNKED + AUTHORIZED) + chunked(BODY) + b"0\r\n"
    for trailer in (b"authorization: Bearer wrong\r\n", b"content-encoding: gzip\r\n", b"x-headgate-config: none\r\n"):
        assert (await ask(locked, said + trailer + b"\r\n")).status == 200, trailer
    assert len(upstream.calls) == 3


async def test_pipelined_requests_are_answered_in_order(gateway: Gateway, upstream: Upstream) -> None:
    """Requests sent at once over one connection are answered one after the other, each with its own answer."""

    async def script(call: Call) -> None:
        if call.json["user"] == "0":
            await asyncio.sleep(0.1)
        await call.send(json_response({**CHAT_REPLY, "id": call.json["user"]}))

    upstream.script = script
    async with Wire.open(gateway) as wire:
        await wire.send(b"".join(post(chat(user=str(number))) for number in range(8)))
        answers = [await wire.answer() for _ in range(8)]
    assert [answer.json["id"] for answer in answers] == [str(number) for number in range(8)]


@pytest.mark.parametrize("moment", ["with the first", "while it streams"])
@pytest.mark.parametrize(
    "second",
    [
        pytest.param(b"GARBAGE\r\n\r\n", id="garbage"),
        pytest.param(LINE + b"\r\n", id="no host"),
        pytest.param(head(b"content-length: x\r\n"), id="bad length"),
        pytest.param(head(LENGTH + CHUNKED) + GOOD_CHUNKS, id="length and chunked"),
        pytest.param(head(CHUNKED) + b"zz\r\n", id="bad chunk"),
        pytest.param(head(b"content-length: 99999999\r\n"), id="too large"),
        pytest.param(head(b"x: " + b"x" * 70_000 + b"\r\n"), id="large head"),
        pytest.param(post(b"{"), id="bad json"),
        pytest.param(b"\x00" * 100, id="NULs"),
    ],
)
async def test_bad_second_request_leaves_the_first_reply_whole(
    gateway: Gateway, upstream: Upstream, second: bytes, moment: str
) -> None:
    """Whatever comes behind a request, its streaming reply is relayed to its end; then comes a 4xx or the close."""
    go = asyncio.Event()

    async def script(call: Call) -> None:
        await call.send(STREAM_HEAD + CHUNKED + b"\r\n" + chunked(EVENTS[0]))
        await go.wait()
        for event in EVENTS[1:]:
            await call.send(chunked(event))
        await call.send(b"0\r\n\r\n")

    upstream.script = script
    first = post(chat(stream=True))
    statuses: list[int] = []
    async with Wire.open(gateway) as wire:
        if moment == "with the first":
            await wire.send(first + second)
        else:
            await wire.send(first)
            await wire.until(EVENTS[0])
            await wire.send(second)
            # what the gateway does with the bad bytes it does at once, so another exchange comes after it
            assert (await ask(gateway, head(method=b"GET", target=b"/v1/ready"))).status == 200
        await wire.until(EVENTS[0])
        go.set()
        reply = await wire.answer()
        assert reply.is_whole
        assert reply.status == 200
        assert reply.body == b"".join(EVENTS)
        with contextlib.suppress(EOFError, ConnectionError):
            statuses.append((await wire.answer(DEADLINE_S)).status)
    assert all(400 <= status < 500 for status in statuses), statuses
    assert len(upstream.calls) == 1


async def test_expect_continue_is_answered_when_the_body_is_wanted(gateway: Gateway, upstream: Upstream) -> None:
    """`expect: 100-continue` gets its 100 before the body, and the final answer after it."""
    async with Wire.open(gateway) as wire:
        await wire.send(head(b"expect: 100-continue\r\n" + LENGTH))
        assert (await wire.head()).status == 100
        await wire.send(BODY)
        answer = await wire.answer()
        assert (answer.status, answer.interim) == (200, ())


async def test_expect_continue_is_not_answered_for_a_body_that_is_too_large(gateway: Gateway) -> None:
    """The size is checked before the client is told to go on."""
    answer = await ask(gateway, head(b"expect: 100-continue\r\ncontent-length: 99999999\r\n"))
    assert (answer.status, answer.interim) == (413, ())
