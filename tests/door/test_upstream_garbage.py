"""Providers that answer nonsense, in content or in encoding: correct, or a 502, and never a reply for somebody else."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import Callable

import pytest
from tests.door.conftest import MIB
from tests.door.upstream import (
    CHAT_REPLY,
    DONE,
    EVENTS,
    STREAM_HEAD,
    Call,
    Upstream,
    json_response,
    reply_with,
    response,
)
from tests.harness import Answer, Gateway, Wire, ask, chat, chunked, post

JSON = json.dumps(CHAT_REPLY).encode()
STREAM = b"".join(EVENTS)
HTML = b"<!DOCTYPE html><html><head><title>502</title></head><body><h1>Bad Gateway</h1></body></html>"
OK = b"HTTP/1.1 200 OK\r\n"
JSON_TYPE = b"content-type: application/json\r\n"
SSE_TYPE = b"content-type: text/event-stream\r\n"
BOMB_BYTES = 200 * MIB


def framed(body: bytes, kind: bytes, headers: bytes = b"") -> bytes:
    return response(body, headers=kind + headers)


NOT_HTTP = {
    "nothing": b"",
    "a line": b"hello\r\n",
    "a banner": b"SSH-2.0-OpenSSH_9.6\r\n",
    "TLS": b"\x15\x03\x01\x00\x02\x02\x28",
    "HTML without a head": HTML,
    "JSON without a head": JSON,
    "events without a head": STREAM,
    "zeros": b"\x00" * 2000,
    "no status": b"HTTP/1.1\r\n\r\n",
    "status of letters": b"HTTP/1.1 abc OK\r\n\r\n",
    "status of two digits": b"HTTP/1.1 20 OK\r\ncontent-length: 0\r\n\r\n",
    "status of four digits": b"HTTP/1.1 2000 OK\r\ncontent-length: 0\r\n\r\n",
    "negative status": b"HTTP/1.1 -200 OK\r\ncontent-length: 0\r\n\r\n",
    "version 2": b"HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n",
    "other protocol": b"ICY 200 OK\r\n\r\n",
    "header without a colon": OK + b"garbage\r\ncontent-length: 0\r\n\r\n",
    "NUL in a header": OK + b"x: a\x00b\r\n" + JSON_TYPE + b"content-length: %d\r\n\r\n" % len(JSON) + JSON,
    "large header": OK + b"x: " + b"x" * 2_000_000 + b"\r\n" + JSON_TYPE + b"\r\n" + JSON,
    "many headers": OK + b"x: y\r\n" * 200_000 + b"\r\n",
    "length of letters": OK + JSON_TYPE + b"content-length: many\r\n\r\n" + JSON,
    "negative length": OK + JSON_TYPE + b"content-length: -1\r\n\r\n" + JSON,
    "two lengths": OK + JSON_TYPE + b"content-length: 5\r\ncontent-length: %d\r\n\r\n" % len(JSON) + JSON,
    "length and chunked": OK + JSON_TYPE + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n" + chunked(JSON),
    "bad chunk size": OK + JSON_TYPE + b"transfer-encoding: chunked\r\n\r\nzz\r\n" + JSON,
    "chunk too long": OK + JSON_TYPE + b"transfer-encoding: chunked\r\n\r\n5\r\n" + JSON + b"\r\n0\r\n\r\n",
    "switching protocols": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
}
BAD_JSON = {
    "empty": framed(b"", JSON_TYPE),
    "no body": b"HTTP/1.1 204 No Content\r\n\r\n",
    "HTML": framed(HTML, b"content-type: text/html\r\n"),
    "HTML as JSON": framed(HTML, JSON_TYPE),
    "text": framed(b"upstream connect error", b"content-type: text/plain\r\n"),
    "JSON cut short": framed(JSON[:-1], JSON_TYPE),
    "JSON twice": framed(JSON + JSON, JSON_TYPE),
    "NaN": framed(JSON.replace(b"1700000000", b"NaN"), JSON_TYPE),
    "bad UTF-8": framed(JSON.replace(b"Hello", b"\xff\xfe"), JSON_TYPE),
    "length shorter than the body": OK + JSON_TYPE + b"content-length: %d\r\n\r\n" % (len(JSON) - 5) + JSON,
    "length longer than the body": OK + JSON_TYPE + b"content-length: %d\r\n\r\n" % (len(JSON) + 5) + JSON,
    "deep JSON": framed(b"[" * 100_000 + b"]" * 100_000, JSON_TYPE),
    "events": framed(STREAM, SSE_TYPE),
}
BAD_STREAMS = {
    "empty": framed(b"", SSE_TYPE),
    "no body": b"HTTP/1.1 204 No Content\r\n\r\n",
    "HTML": framed(HTML, b"content-type: text/html\r\n"),
    "HTML as events": framed(HTML, SSE_TYPE),
    "JSON": json_response(CHAT_REPLY),
    "JSON as events": framed(JSON, SSE_TYPE),
    "text as events": framed(b"upstream connect error\n\n", SSE_TYPE),
    "zeros as events": framed(b"\x00" * 1000 + b"\n\n", SSE_TYPE),
    "event without end": framed(b"data: " + b"x" * 1000, SSE_TYPE),
}


async def ask_past_end(gateway: Gateway, upstream: Upstream, data: bytes, *, stream: bool) -> Answer:
    """The gateway's answer when the provider sends `data` and closes."""

    async def script(call: Call) -> None:
        await call.send(data)
        call.fin()

    upstream.script = script
    return await ask(gateway, post(chat(stream=stream)))


async def not_502(gateway: Gateway, upstream: Upstream, cases: dict[str, bytes], *, stream: bool) -> dict[str, object]:
    """The cases that were not answered with 502 and the error envelope, by name, with what came."""
    wrong: dict[str, object] = {}
    for name, data in cases.items():
        answer = await ask_past_end(gateway, upstream, data, stream=stream)
        if answer.status != 502 or answer.error["type"] != "upstream_error":
            wrong[name] = answer.status, answer.body[:200]
    return wrong


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_what_is_not_http_is_a_502(gateway: Gateway, upstream: Upstream, stream: bool) -> None:
    """A reply that is not well-formed HTTP/1.1 is a 502, whatever was asked for."""
    wrong = await not_502(gateway, upstream, NOT_HTTP, stream=stream)
    assert not wrong, str(wrong)


async def test_whole_reply_that_is_not_json_is_a_502(gateway: Gateway, upstream: Upstream) -> None:
    """A success without valid JSON is none."""
    wrong = await not_502(gateway, upstream, BAD_JSON, stream=False)
    assert not wrong, str(wrong)


async def test_stream_that_is_none_is_a_502(gateway: Gateway, upstream: Upstream) -> None:
    """A stream was asked for: what does not begin with an event of a chat stream is a 502."""
    wrong = await not_502(gateway, upstream, BAD_STREAMS, stream=True)
    assert not wrong, str(wrong)


async def test_event_that_is_no_json_is_told(gateway: Gateway, upstream: Upstream) -> None:
    """Text where the JSON of a chunk should be is a 502, or is followed by an error event."""
    for data in (b"data: hello\n\n", b"data: \n\n", b"data: {\n\n", b": only a comment\n\n", b"\n\n\n\n"):
        answer = await ask_past_end(gateway, upstream, framed(data, SSE_TYPE), stream=True)
        assert answer.status == 502 or b'data: {"error"' in answer.body, answer


@pytest.mark.parametrize("code", [300, 301, 302, 303, 304, 305, 307, 308])
async def test_redirects_are_not_followed(gateway: Gateway, upstream: Upstream, canary: Upstream, code: int) -> None:
    """A redirect is a 502: nothing connects to where it points, and the client is not told the address."""
    location = b"location: http://127.0.0.1:%d/v1/chat/completions\r\n" % canary.port
    for stream in (True, False):
        answer = await ask_past_end(gateway, upstream, response(b"", f"{code} See", location), stream=stream)
        assert answer.status == 502
        assert answer.header("location") is None
    assert len(upstream.calls) == 2


@pytest.mark.parametrize(
    "interim", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"]
)
async def test_interim_answers_are_skipped(gateway: Gateway, upstream: Upstream, interim: bytes) -> None:
    """An interim answer is not the answer."""
    answer = await ask_past_end(gateway, upstream, interim * 2 + json_response(CHAT_REPLY), stream=False)
    assert (answer.status, answer.json) == (200, CHAT_REPLY)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize(
    "body",
    [
        HTML,
        b"",
        b"oops",
        b'{"message":"oops"}',
        b'{"error":"oops"}',
        b"[1]",
        b"null",
        b"\xff\xfe",
        b'"x"',
        b'{"error":{}}',
    ],
    ids=repr,
)
async def test_error_replies_keep_their_status_and_get_an_envelope(
    gateway: Gateway, upstream: Upstream, body: bytes, stream: bool
) -> None:
    """A provider's error keeps its status; whatever its body was, the client gets the OpenAI envelope."""
    for status in (400, 401, 404, 429, 500, 503, 529, 599):
        answer = await ask_past_end(gateway, upstream, response(body, f"{status} Error"), stream=stream)
        assert answer.status == status
        assert answer.error["message"]


async def test_reply_nobody_asked_for_is_nobodys(gateway: Gateway, upstream: Upstream) -> None:
    """A provider that sends a second reply behind the first cannot make it the answer to the next request."""
    stolen = json_response({**CHAT_REPLY, "id": "stolen"})
    upstream.script = reply_with(json_response(CHAT_REPLY) + stolen)
    for _ in range(5):
        answer = await ask(gateway, post(chat()))
        assert answer.status == 502 or answer.json == CHAT_REPLY, answer
    upstream.script = reply_with(json_response({**CHAT_REPLY, "id": "fresh"}))
    answer = await ask(gateway, post(chat()))
    assert answer.json["id"] == "fresh"


async def test_reply_that_comes_late_is_nobodys(gateway: Gateway, upstream: Upstream) -> None:
    """The answer to an exchange whose client has left is not given to the next one."""
    go = asyncio.Event()

    async def script(call: Call) -> None:
        if call.json["user"] == "first":
            await go.wait()
        await call.send(json_response({**CHAT_REPLY, "id": call.json["user"]}))

    upstream.script = script
    async with Wire.open(gateway) as wire:
        await wire.send(post(chat(user="first")))
        await upstream.call()
        wire.reset()
    later = asyncio.create_task(ask(gateway, post(chat(user="second"))))
    await upstream.marked("second")
    go.set()
    assert (await later).json["id"] == "second"


# content encodings


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data)


def nothing(_: bytes) -> bytes:
    return b""


def brotli(data: bytes) -> bytes:
    return b"\x0b\x02\x80" + data[:6] + b"\x03"


def zstandard(data: bytes) -> bytes:
    return b"\x28\xb5\x2f\xfd\x00\x58" + data


def compressed(data: bytes) -> bytes:
    return b"\x1f\x9d\x90" + data


Encode = Callable[[bytes], bytes]
RIGHT: dict[str, tuple[bytes, Encode]] = {
    "gzip": (b"gzip", gzipped),
    "x-gzip": (b"x-gzip", gzipped),
    "GZip": (b"GZip", gzipped),
    "deflate": (b"deflate", zlib.compress),
    "identity": (b"identity", bytes),
}


def cut_short(data: bytes) -> bytes:
    return gzip.compress(data)[:-12]


def twice(data: bytes) -> bytes:
    return gzip.compress(gzip.compress(data))


def with_tail(data: bytes) -> bytes:
    return gzip.compress(data) + b"garbage"


def flipped(data: bytes) -> bytes:
    packed = bytearray(gzip.compress(data))
    packed[-6] ^= 0xFF  # inside the checksum
    return bytes(packed)


WRONG: dict[str, tuple[bytes, Encode]] = {
    "gzip that is plain": (b"gzip", bytes),
    "deflate that is gzip": (b"deflate", gzipped),
    "gzip that is deflate": (b"gzip", zlib.compress),
    "gzip cut short": (b"gzip", cut_short),
    "gzip without a byte": (b"gzip", nothing),
    "gzip with a tail": (b"gzip", with_tail),
    "gzip with a wrong checksum": (b"gzip", flipped),
    "gzip in gzip, said": (b"gzip, gzip", twice),
    "gzip in gzip, not said": (b"gzip", twice),
    "br that is plain": (b"br", bytes),
    "br": (b"br", brotli),
    "zstd": (b"zstd", zstandard),
    "compress": (b"compress", compressed),
    "unknown": (b"rot13", bytes),
    "plain that is gzip": (b"", gzipped),
    "nonsense": (b",;=", bytes),
}


def encoding_line(name: bytes) -> bytes:
    return b"content-encoding: " + name + b"\r\n" if name else b""


@pytest.mark.parametrize("case", RIGHT)
async def test_encoded_replies_are_decoded(gateway: Gateway, upstream: Upstream, case: str) -> None:
    """A rightly labelled encoding is undone, for whole replies, for streams and for errors; none was asked for."""
    name, encode = RIGHT[case]
    line = encoding_line(name)
    answer = await ask_past_end(gateway, upstream, framed(encode(JSON), JSON_TYPE, line), stream=False)
    assert (answer.status, answer.json, answer.header("content-encoding")) == (200, CHAT_REPLY, None)
    answer = await ask_past_end(gateway, upstream, framed(encode(STREAM), SSE_TYPE, line), stream=True)
    assert (answer.status, answer.body, answer.header("content-encoding")) == (200, STREAM, None)
    error = b'{"error":{"message":"busy","type":"x","param":null,"code":"y"}}'
    data = response(encode(error), "429 Too Many Requests", JSON_TYPE + line)
    answer = await ask_past_end(gateway, upstream, data, stream=False)
    assert (answer.status, answer.body) == (429, error)
    assert {call.header("accept-encoding") for call in upstream.calls} == {"identity"}


async def test_wrong_encodings_of_whole_replies(gateway: Gateway, upstream: Upstream) -> None:
    """A whole reply that does not decode, or is labelled in a way that was not asked for, is a 502."""
    cases = {name: framed(encode(JSON), JSON_TYPE, encoding_line(label)) for name, (label, encode) in WRONG.items()}
    wrong = await not_502(gateway, upstream, cases, stream=False)
    assert not wrong, str(wrong)


async def test_wrong_encodings_of_streams(gateway: Gateway, upstream: Upstream) -> None:
    """A stream that does not decode is a 502 or ends with an error event, and never looks complete.

    What is wrong behind the last event may go unsaid: all there was to say has been said by then.
    """
    wrong: dict[str, object] = {}
    for name, (label, encode) in WRONG.items():
        data = framed(encode(STREAM), SSE_TYPE, encoding_line(label))
        answer = await ask_past_end(gateway, upstream, data, stream=True)
        is_late = answer.body == STREAM and name in {"gzip with a tail", "gzip with a wrong checksum"}
        is_told = answer.status == 502 or b'data: {"error"' in answer.body
        if not is_late and (not is_told or DONE in answer.body):
            wrong[name] = answer.status, answer.body[:200]
    assert not wrong, str(wrong)


@pytest.fixture(scope="session")
def bomb() -> bytes:
    """200 MiB of white space in about 200 kB of gzip, with the begin of a stream before it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [packer.compress(EVENTS[0] + b"data: ")]
    parts += [packer.compress(b" " * MIB) for _ in range(BOMB_BYTES // MIB)]
    return b"".join([*parts, packer.flush()])


@pytest.mark.parametrize("kind", ["whole", "stream", "error", "many events"])
async def test_bomb_costs_little_memory(gateway: Gateway, upstream: Upstream, bomb: bytes, kind: str) -> None:
    """A small reply that decodes to 200 MiB is refused before it is held: memory grows by less than 48 MiB."""
    line = b"content-encoding: gzip\r\n"
    if kind == "many events":
        bomb = gzip.compress(EVENTS[1] * (BOMB_BYTES // len(EVENTS[1])), 1)
    status = "500 Oops" if kind == "error" else "200 OK"
    is_stream = kind in {"stream", "many events"}
    data = response(bomb, status, (SSE_TYPE if is_stream else JSON_TYPE) + line)
    assert (await ask_past_end(gateway, upstream, json_response(CHAT_REPLY), stream=False)).status == 200
    before = gateway.resident_bytes()
    gateway.forget_peak()
    answer = await ask_past_end(gateway, upstream, data, stream=is_stream)
    assert gateway.peak_bytes() - before < 48 * MIB
    if answer.status != 502:
        assert is_stream
        error = answer.body[answer.body.rindex(b"data: ") + 6 :]
        assert json.loads(error)["error"]["type"] == "upstream_error"


async def test_endless_whole_reply_costs_bounded_memory(gateway: Gateway, upstream: Upstream) -> None:
    """A whole reply without end is given up as a 502 at a bounded size."""

    async def script(call: Call) -> None:
        await call.send(OK + JSON_TYPE + b"transfer-encoding: chunked\r\n\r\n")
        piece = chunked(b" " * MIB)
        while True:
            await call.send(piece)

    upstream.script = script
    before = gateway.resident_bytes()
    gateway.forget_peak()
    assert (await ask(gateway, post(chat()))).status == 502
    assert gateway.peak_bytes() - before < 200 * MIB
    await (await upstream.call()).closed(1)


async def test_endless_event_costs_bounded_memory(gateway: Gateway, upstream: Upstream) -> None:
    """One event without end is given up with an error event at a bounded size; what came before it was relayed."""

    async def script(call: Call) -> None:
        await call.send(STREAM_HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunked(EVENTS[0]))
        piece = chunked(b"x" * MIB)
        while True:
            await call.send(piece)

    upstream.script = script
    before = gateway.resident_bytes()
    gateway.forget_peak()
    answer = await ask(gateway, post(chat(stream=True)))
    assert answer.body.startswith(EVENTS[0] + b'data: {"error"')
    assert gateway.peak_bytes() - before < 100 * MIB
    await (await upstream.call()).closed(1)
