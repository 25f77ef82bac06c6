"""What happens before what: authentication, then the body, then the provider; nothing leaves the gateway early."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest
from tests.door.conftest import AUTHORIZED
from tests.door.upstream import Upstream
from tests.harness import GATEWAY_KEY, Gateway, Wire, ask, chat, chunked, head, post

KEY = GATEWAY_KEY.encode()
CHUNKED = b"transfer-encoding: chunked\r\n"
EARLY_S = 0.8


async def assert_nothing_left(gateway: Gateway, upstream: Upstream, headers: bytes = b"") -> None:
    """A request of another client comes through first: whatever the earlier one could cause had its time."""
    before = len(upstream.calls)
    assert (await ask(gateway, post(chat(user="control"), headers))).status == 200
    assert [call.json["user"] for call in upstream.calls[before:]] == ["control"]


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_no_call_before_the_body_is_complete(gateway: Gateway, upstream: Upstream, framing: str) -> None:
    """The provider is called when the last byte of the body is here, not sooner."""
    request = (
        post(chat(user="first")) if framing == "length" else head(CHUNKED) + chunked(chat(user="first")) + b"0\r\n\r\n"
    )
    async with Wire.open(gateway) as wire:
        await wire.send(request[:-1])
        await assert_nothing_left(gateway, upstream)
        await wire.send(request[-1:])
        assert (await wire.answer()).status == 200
    assert [call.json["user"] for call in upstream.calls] == ["control", "first"]


@pytest.mark.parametrize("leave", ["fin", "rst"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_no_call_for_a_body_that_ends_early(
    gateway: Gateway, upstream: Upstream, framing: str, leave: str
) -> None:
    """A client that leaves before its body is complete causes no call, whatever its `content-length` promised."""
    lying = head(b"content-length: %d\r\n" % (len(chat()) + 1)) + chat()
    async with Wire.open(gateway) as wire:
        await wire.send(lying if framing == "length" else head(CHUNKED) + chunked(chat()))
        await assert_nothing_left(gateway, upstream)
        if leave == "rst":
            wire.reset()
        else:
            wire.close()
    await assert_nothing_left(gateway, upstream)


async def test_no_call_when_the_last_byte_makes_it_invalid(gateway: Gateway, upstream: Upstream) -> None:
    """The whole body is judged: one wrong last byte is a 400 and no call."""
    body = chat()[:-1]
    async with Wire.open(gateway) as wire:
        await wire.send(head(b"content-length: %d\r\n" % (len(body) + 1)) + body)
        await assert_nothing_left(gateway, upstream)
        await wire.send(b"]")
        assert (await wire.answer()).status == 400
    assert len(upstream.calls) == 1


@pytest.mark.parametrize(
    "credential",
    [
        b"",
        b"authorization: Bearer hg_wrong\r\n",
        b"authorization: Bearer " + KEY[:-1] + b"\r\n",
        b"authorization: Bearer " + KEY + b"x\r\n",
        b"authorization: " + KEY + b"\r\n",
        b"authorization: Basic " + KEY + b"\r\n",
        b"authorization: Bearer\r\n",
        b"authorization: Bearer \xff\xfe\r\n",
        b"authorization: Bearer " + b"x" * 10_000 + b"\r\n",
        b"x-api-key: wrong\r\n",
        b"x-headgate-api-key: wrong\r\n" + AUTHORIZED,
    ],
    ids=lambda value: value[:40].decode("latin-1"),
)
@pytest.mark.parametrize("framing", [b"content-length: 1000\r\n", CHUNKED, b"content-length: 99999999\r\n"], ids=str)
async def test_refused_before_the_body(locked: Gateway, upstream: Upstream, credential: bytes, framing: bytes) -> None:
    """Without a known key the answer is 401, at once, although no byte of the body ever arrives."""
    started = time.monotonic()
    answer = await ask(locked, head(credential + framing))
    assert time.monotonic() - started < EARLY_S
    assert answer.status == 401
    assert answer.error["type"] == "authentication_error"
    assert upstream.calls == []


async def test_no_continue_without_a_key(locked: Gateway, upstream: Upstream) -> None:
    """A client that asks whether to send its body is told 401, never to go on."""
    answer = await ask(locked, head(b"expect: 100-continue\r\ncontent-length: 1000\r\n"))
    assert (answer.status, answer.interim) == (401, ())
    async with Wire.open(locked) as wire:
        await wire.send(head(b"expect: 100-continue\r\ncontent-length: %d\r\n" % len(chat()) + AUTHORIZED))
        assert (await wire.head()).status == 100
        await wire.send(chat())
        assert (await wire.answer()).status == 200
    assert len(upstream.calls) == 1


async def test_body_of_a_stranger_is_not_held(locked: Gateway, upstream: Upstream) -> None:
    """A stranger who sends his body at once still gets his 401, and his second request is not served either."""
    async with Wire.open(locked) as wire:
        await wire.send(post(chat()) + post(chat()))
        async with asyncio.timeout(5):
            assert (await wire.answer()).status == 401
            with contextlib.suppress(EOFError, ConnectionError):
                assert (await wire.answer()).status == 401
    await assert_nothing_left(locked, upstream, AUTHORIZED)


async def test_known_key_is_served_and_stays_here(locked: Gateway, upstream: Upstream) -> None:
    """A known key is served, and the provider gets its own key in place of the gateway's."""
    answer = await ask(locked, post(chat(), AUTHORIZED + b"cookie: " + KEY + b"\r\n"))
    assert answer.status == 200
    sent = repr(upstream.calls[0].headers).encode() + upstream.calls[0].body
    assert KEY not in sent
