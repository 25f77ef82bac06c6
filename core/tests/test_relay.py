"""From a provider's answer to a reply: which headers pass, what counts as broken, and how streams end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, cast

import pytest
from core.tests.relaying import (
    EVENTS,
    JSON,
    KEY,
    SECOND,
    WHOLE,
    Answer,
    answered,
    chunk,
    event,
    exchange,
    failed,
    read,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from headgate.chat import Usage
from headgate.dialects.sse import DONE
from headgate.errors import ProviderError, ProviderFailed, ProviderTimeout
from headgate.exchange import Exchange, Reply

# whole replies


async def test_a_reply_passes_byte_for_byte() -> None:
    """Body and status are the provider's, its usage is read, and the connection is given back."""
    body = b'{ "id":"x" , "usage": {"prompt_tokens":9,"completion_tokens":3} , "n":1.00}'
    answer = Answer(201, JSON, body[:5], body[5:])
    reply = await answered(answer)
    assert (reply.status, reply.body, reply.chunks) == (201, body, None)
    assert reply.usage == Usage(9, 3, raw={"prompt_tokens": 9, "completion_tokens": 3})
    assert answer.is_closed


@pytest.mark.parametrize(
    "usage",
    [None, [], "many", 5, {}, {"prompt_tokens": "x"}, {"prompt_tokens": []}, {"prompt_tokens_details": 5}, {"a": 1}],
)
async def test_odd_usage_does_not_break_a_reply(usage: Any) -> None:
    """A reply without usage, or with one nobody can read, is still a reply."""
    body = json.dumps({"choices": [], "usage": usage}).encode()
    reply = await answered(Answer(200, JSON, body))
    assert reply.body == body
    assert reply.usage is None or reply.usage.total == 0


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"a":', b"\xff", b"[1]", b'{"a":"\xff"}', b"[" * 100_000])
async def test_a_good_status_without_json_is_broken(body: bytes) -> None:
    """A 200 whose body is no JSON object is the provider's failure, so that another one can be tried."""
    answer = Answer(200, JSON, body)
    error = await failed(answer)
    assert error.error_code == "upstream_bad_reply"
    assert answer.is_closed


@pytest.mark.parametrize("error", [ProviderFailed("cut", code="upstream_cut"), ProviderTimeout("slow")])
async def test_failures_name_provider_and_deployment(error: ProviderError) -> None:
    """Whenever a provider fails, before its reply or within it, the error says which one it was."""
    for ex, answer in (
        (exchange(), error),
        (exchange(), Answer(200, JSON, b'{"a"', error)),
        (exchange(stream=True), Answer(200, EVENTS, b"data: ", error)),
        (exchange(stream=True), Answer(200, EVENTS, chunk("a"), error)),
    ):
        raised = await failed(answer, ex)
        assert (raised.provider, raised.deployment) == ("vendor", "mine")
        assert json.loads(raised.envelope())["provider"] == "vendor"
        assert not isinstance(answer, Answer) or answer.is_closed


# headers


@pytest.mark.parametrize(
    "name",
    [
        "connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding",
        "upgrade content-length content-encoding set-cookie alt-svc strict-transport-security server date",
        "x-headgate-provider x-headgate-anything x-portkey-cache-status",
        "x-accel-redirect x-accel-buffering x-sendfile",
    ],
)
async def test_headers_that_stay_behind(name: str) -> None:
    """Hop-by-hop headers, the vendor's session, the gateway's own names, and orders to a proxy in front of it."""
    headers = tuple((part.encode(), b"x") for part in name.split())
    reply = await answered(Answer(200, (*JSON, *headers), b"{}"))
    assert reply.headers == JSON


async def test_headers_that_pass() -> None:
    """Rate limits, request ids and retry hints reach the client, repeated ones too, as the bytes they are."""
    headers = (
        *JSON,
        (b"x-request-id", b"req_1"),
        (b"x-ratelimit-remaining-requests", b"5"),
        (b"retry-after", b"3"),
        (b"openai-processing-ms", b"12"),
        (b"x-many", b"1"),
        (b"x-many", b"caf\xc3\xa9"),
    )
    assert (await answered(Answer(200, headers, b"{}"))).headers == headers


# errors of the provider


@pytest.mark.parametrize(
    "body",
    [b'{"error":{"message":"no","x":1}}', b' { "error" : {"message":null} }', b'{"error":{"message":"a"},"b":2}'],
)
async def test_an_envelope_passes_byte_for_byte(body: bytes) -> None:
    """An error that already has OpenAI's shape is not touched."""
    reply = await answered(Answer(429, JSON, body))
    assert (reply.status, reply.body, reply.headers) == (429, body, JSON)
    assert reply.usage is None


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (b"application/octet-stream", b"application/json"),
        (None, b"application/json"),
        (b"application/json; charset=utf-8", b"application/json; charset=utf-8"),
    ],
)
async def test_an_envelope_is_json_whatever_it_is_called(given: bytes | None, told: bytes) -> None:
    """DeepSeek has labelled errors as bytes; clients that go by the label must find JSON."""
    headers = ((b"x-id", b"1"), *(((b"content-type", given),) if given else ()))
    body = b'{"error": {"message": "Invalid", "type": "t"}}'
    reply = await answered(Answer(400, headers, body))
    assert (reply.body, reply.headers) == (body, ((b"x-id", b"1"), (b"content-type", told)))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"message":"model is loading"}', "model is loading"),
        (b'{"error":"no such model"}', "no such model"),
        (b'{"detail":[{"loc":["body"]}]}', '[{"loc":["body"]}]'),
        (b'{"odd":1}', '{"odd":1}'),
        (b"upstream connect error", "upstream connect error"),
        (b"<html>Bad Gateway</html>", "the provider answered with status 502"),
        (b"", "the provider answered with status 502"),
        (b"  \n", "the provider answered with status 502"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b'["a"]', '["a"]'),
        (b"null", "null"),
        (b"[" * 100_000, "[" * 2000),
    ],
)
async def test_other_errors_get_an_envelope(body: bytes, words: str) -> None:
    """Any other error is put into OpenAI's envelope with its own words, and the content type says so."""
    reply = await answered(Answer(502, ((b"content-type", b"text/html"), (b"retry-after", b"1")), body))
    expected = {"message": words, "type": "upstream_error", "param": None, "code": "502"}
    assert json.loads(reply.body) == {"error": expected}
    assert reply.headers == ((b"retry-after", b"1"), (b"content-type", b"application/json"))
    assert reply.status == 502


async def test_a_vendors_type_and_code_are_kept() -> None:
    """An error without an envelope keeps the vendor's words for what kind it is."""
    body = b'{"object":"error","message":"bad","type":"BadRequest","code":400}'
    reply = await answered(Answer(502, (), body))
    assert json.loads(reply.body) == {"error": {"message": "bad", "type": "BadRequest", "param": None, "code": "400"}}


@settings(max_examples=60, deadline=None)
@given(st.binary(), st.integers(400, 599))
async def test_any_error_body_becomes_an_envelope(body: bytes, status: int) -> None:
    """Whatever the bytes, a client gets an error it can parse, with the provider's status."""
    reply = await answered(Answer(status, (), body))
    assert "message" in json.loads(reply.body)["error"]
    assert reply.status == status


async def test_an_error_to_a_stream_is_a_whole_reply() -> None:
    """Asked for a stream, an error status still comes whole, so that it can be retried elsewhere."""
    reply = await answered(Answer(503, JSON, b'{"error":{"message":"busy"}}'), exchange(stream=True))
    assert reply.chunks is None
    assert reply.body == b'{"error":{"message":"busy"}}'


# the key


@pytest.mark.parametrize(
    ("ex", "answer"),
    [
        (exchange(), Answer(200, JSON, json.dumps({"a": f"key {KEY}!"}).encode())),
        (exchange(), Answer(401, JSON, json.dumps({"error": {"message": f"bad key {KEY}"}}).encode())),
        (exchange(), Answer(401, JSON, f"bad key {KEY}".encode())),
        (exchange(), Answer(200, (*JSON, (b"x-debug", f"Bearer {KEY}".encode())), b"{}")),
        (exchange(stream=True), Answer(200, EVENTS, chunk(KEY), DONE)),
        (exchange(stream=True), Answer(200, EVENTS, chunk("a"), chunk(KEY)[:40], chunk(KEY)[40:], DONE)),
        (
            exchange(stream=True),
            Answer(200, EVENTS, chunk("a"), b'data: {"error":{"message":"%b"}}\n\n' % KEY.encode()),
        ),
        (exchange(opaque=True), Answer(200, (), f"a {KEY} b".encode())),
        (exchange(opaque=True), Answer(200, (), b"a " + KEY[:9].encode(), KEY[9:].encode() + b" b")),
        (exchange(opaque=True), Answer(200, (), *(bytes([byte]) for byte in f"a {KEY} b".encode()))),
    ],
    ids=["reply", "envelope", "text", "header", "event", "split event", "last event", "opaque", "split", "bytes"],
)
async def test_the_key_never_comes_back(ex: Exchange, answer: Answer) -> None:
    """A provider that echoes the key it was given does not hand it to the caller, whatever pieces it echoes in."""
    reply = await answered(answer, ex, KEY)
    shown = await read(reply) + b"".join(value for _, value in reply.headers)
    assert KEY.encode() not in shown
    assert b"redacted" in shown


@pytest.mark.parametrize("opaque", [False, True])
async def test_secret_headers_of_a_deployment_never_come_back(opaque: bool) -> None:
    """Beside the key, what else a deployment proves itself with is taken out."""
    reply = await answered(
        Answer(200, JSON, json.dumps({"a": SECOND, "b": KEY}).encode()), exchange(opaque=opaque), KEY
    )
    assert json.loads(await read(reply)) == {"a": "[redacted]", "b": "[redacted]"}


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=40), st.binary(max_size=40), st.integers(1, 9))
async def test_other_bytes_of_an_opaque_reply_are_kept(before: bytes, after: bytes, size: int) -> None:
    """Around a taken-out key every byte stays, also ends that look like its beginning."""
    body = before + KEY.encode() + after + KEY[:7].encode()
    answer = Answer(200, (), *(body[at : at + size] for at in range(0, len(body), size)))
    got = await read(await answered(answer, exchange(opaque=True), KEY))
    assert got == body.replace(KEY.encode(), b"[redacted]")


@pytest.mark.parametrize("key", ["x", "none", "stop", "EMPTY", "ollama"])
async def test_a_placeholder_is_no_secret(key: str) -> None:
    """Servers of one's own get keys such as `none`: words like that in a reply are left alone."""
    body = json.dumps({"finish_reason": "stop", "text": f"{key} ollama EMPTY x"}).encode()
    assert (await answered(Answer(200, JSON, body), secret=key)).body == body


# streams

# giving up


async def close(reply: Reply) -> None:
    await cast("AsyncGenerator[bytes, None]", reply.chunks).aclose()


@pytest.mark.parametrize("opaque", [False, True])
@pytest.mark.parametrize("read_first", [True, False])
async def test_a_reply_given_up_closes_its_connection(opaque: bool, read_first: bool) -> None:
    """A running reply nobody goes on with, or nobody has begun with, costs its connection at once."""
    answer = Answer(200, EVENTS, *WHOLE)
    reply = await answered(answer, exchange(stream=True, opaque=opaque))
    assert reply.chunks is not None
    if read_first:
        await anext(reply.chunks)
    assert not answer.is_closed
    await close(reply)
    assert answer.is_closed


async def test_who_leaves_at_the_end_mark_has_used_what_was_stated() -> None:
    """Usage counts that was told before the reader left, though the connection was not at its end."""
    reply = await answered(Answer(200, EVENTS, *WHOLE, b": more\n\n"), exchange(stream=True))
    assert reply.chunks is not None
    while DONE not in await anext(reply.chunks):
        pass
    await close(reply)
    assert reply.usage is not None
    assert reply.usage.total == 12


async def test_cancelling_closes_the_connection() -> None:
    """Cancelled while the first event is awaited, or while the body is read, the connection is closed."""

    class Hanging(Answer):
        @override
        async def chunks(self) -> AsyncIterator[bytes]:
            yield b"{"
            await asyncio.Event().wait()

    for ex, headers in ((exchange(), JSON), (exchange(stream=True), EVENTS)):
        answer = Hanging(200, headers)
        task = asyncio.create_task(answered(answer, ex))
        for _ in range(3):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert answer.is_closed


async def test_an_opaque_reply_is_not_looked_at() -> None:
    """Without a dialect a good reply streams through, whatever it is."""
    answer = Answer(200, ((b"content-type", b"audio/mpeg"),), b"\xff\xf3", b"\x00\n\n")
    reply = await answered(answer, exchange(opaque=True))
    assert (await read(reply), reply.headers) == (b"\xff\xf3\x00\n\n", ((b"content-type", b"audio/mpeg"),))
    assert answer.is_closed


@pytest.mark.parametrize(
    ("first", "status", "message"),
    [
        (event({"error": {"message": "busy", "code": 429}}), 429, "busy"),
        (event({"error": {"message": "busy", "code": "overloaded"}}), 502, "busy"),
        (event({"error": "busy"}), 502, "busy"),
        (b"event: error\ndata: {}\n\n", 502, "the provider began its stream with an error"),
        (b": wait\n\n" + event({"error": {"message": "busy"}}), 502, "busy"),
    ],
)
async def test_a_stream_that_begins_with_an_error_is_an_error_reply(first: bytes, status: int, message: str) -> None:
    """Nothing is committed, so that a fallback can still go elsewhere."""
    reply = await answered(Answer(200, EVENTS, first, DONE), exchange(stream=True))
    assert (reply.status, reply.chunks) == (status, None)
    assert json.loads(reply.body)["error"]["message"] == message
