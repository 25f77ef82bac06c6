"""Ids: every reply, the server's own refusals among them, says which request it answers and in which trace."""

from __future__ import annotations

import asyncio
import re

import pytest
from tests.door.upstream import CHAT_REPLY, Call, Upstream, json_response, reply_fitting
from tests.harness import Answer, Gateway, Wire, ask, chat, head, post

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN_ID = "00f067aa0ba902b7"
REPLIES = {
    "chat": (200, post(chat())),
    "stream": (200, post(chat(stream=True))),
    "models": (200, head(method=b"GET", target=b"/v1/models")),
    "health": (200, head(method=b"GET", target=b"/v1/health")),
    "ready": (200, head(method=b"GET", target=b"/v1/ready")),
    "provider's error": (200, post(chat(user="teapot"))),
    "invalid json": (400, post(b"{")),
    "invalid http": (400, b"GARBAGE\r\n\r\n"),
    "no host": (400, b"POST /v1/chat/completions HTTP/1.1\r\n\r\n"),
    "bad length": (400, head(b"content-length: x\r\n")),
    "bad chunk": (400, head(b"transfer-encoding: chunked\r\n") + b"zz\r\n"),
    "unknown model": (404, post(chat(model="nobody"))),
    "unknown path": (404, head(method=b"GET", target=b"/nowhere")),
    "wrong method": (405, head(method=b"GET")),
    "wrong method for health": (405, head(method=b"DELETE", target=b"/v1/health")),
    "stalled body": (408, head(b"content-length: 5\r\n")),
    "slow head": (408, b"POST /v1/chat"),
    "body too large": (413, head(b"content-length: 999999999\r\n")),
    "head too large": (431, head(b"x: y\r\n" * 20_000)),
    "dead provider": (502, post(chat(model="dead/x"))),
    "silent provider": (504, post(chat(model="hole/x"))),
}


def assert_identified(answer: Answer) -> None:
    """Exactly one of each id, in its form."""
    request_ids, trace_ids = answer.all("x-headgate-request-id"), answer.all("x-headgate-trace-id")
    assert len(request_ids) == len(trace_ids) == 1
    assert re.fullmatch(r"[A-Za-z0-9_-]{16,64}", request_ids[0])
    assert re.fullmatch(r"[0-9a-f]{32}", trace_ids[0])
    assert answer.all("x-portkey-trace-id") == trace_ids


@pytest.mark.parametrize("name", REPLIES)
async def test_every_reply_has_its_ids(gateway: Gateway, upstream: Upstream, name: str) -> None:
    """Request id and trace id stand once on every reply, good or bad, whoever has made it."""
    upstream.script = reply_fitting()
    status, request = REPLIES[name]
    answer = await ask(gateway, request)
    assert answer.status == status
    assert_identified(answer)
    if status >= 400:
        assert answer.error["message"]


async def test_refused_callers_get_ids_too(locked: Gateway) -> None:
    """A 401 has its ids, for a known path and for one that is not."""
    for target in (b"/v1/chat/completions", b"/v1/files", b"/v1/models"):
        method = b"POST" if target.endswith(b"completions") else b"GET"
        answer = await ask(locked, head(b"authorization: Bearer wrong\r\n", target, method))
        assert answer.status == 401
        assert_identified(answer)


async def test_request_ids_are_the_gateways_own(gateway: Gateway, upstream: Upstream) -> None:
    """Ids are unique, and neither client nor provider can set them."""
    forged = b"".join(b"%s: forged\r\n" % name for name in (b"x-headgate-request-id", b"x-request-id"))
    names = b"x-headgate-trace-id: t\r\nx-portkey-trace-id: t\r\nx-headgate-request-id: forged\r\nx-headgate-provider: forged\r\n"

    async def script(call: Call) -> None:
        await call.send(json_response(CHAT_REPLY, headers=names))

    upstream.script = script
    answers = [await ask(gateway, post(chat(), forged)) for _ in range(50)]
    for answer in answers:
        assert_identified(answer)
        assert "forged" not in repr(answer.headers)
    assert len({answer.header("x-headgate-request-id") for answer in answers}) == 50
    assert len({answer.header("x-headgate-trace-id") for answer in answers}) == 50


@pytest.mark.parametrize("flags", ["00", "01", "ff"])
async def test_valid_traceparent_is_honoured(gateway: Gateway, upstream: Upstream, flags: str) -> None:
    """The trace id of a valid `traceparent` (W3C Trace Context) becomes the exchange's own."""
    line = f"traceparent: 00-{TRACE_ID}-{SPAN_ID}-{flags}\r\n".encode()
    for request in (post(chat(), line), post(b"{", line)):
        answer = await ask(gateway, request)
        assert_identified(answer)
        assert answer.header("x-headgate-trace-id") == TRACE_ID


@pytest.mark.parametrize(
    "value",
    [
        "",
        "x",
        TRACE_ID,
        f"00-{TRACE_ID}-{SPAN_ID}",
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"ff-{TRACE_ID}-{SPAN_ID}-01",
        f"0-{TRACE_ID}-{SPAN_ID}-01",
        f"00-{TRACE_ID[:-1]}-{SPAN_ID}-01",
        f"00-{TRACE_ID}0-{SPAN_ID}-01",
        f"00-{TRACE_ID.upper()}-{SPAN_ID}-01",
        f"00-{'g' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{SPAN_ID}-01-extra",
        f"00-{TRACE_ID}-{SPAN_ID}-1",
        f"00_{TRACE_ID}_{SPAN_ID}_01",
        f"00-{TRACE_ID}-{SPAN_ID}-01" * 100,
    ],
)
async def test_invalid_traceparent_is_replaced(gateway: Gateway, upstream: Upstream, value: str) -> None:
    """A `traceparent` that is not valid is as none: the exchange is served under a trace id of its own."""
    answer = await ask(gateway, post(chat(), f"traceparent: {value}\r\n".encode()))
    assert answer.status == 200
    assert_identified(answer)
    assert answer.header("x-headgate-trace-id") != TRACE_ID


async def test_pipelined_replies_have_ids_of_their_own(gateway: Gateway, upstream: Upstream) -> None:
    """Requests over one connection share no ids."""
    async with Wire.open(gateway) as wire:
        await wire.send(post(chat()) * 3)
        async with asyncio.timeout(5):
            answers = [await wire.answer() for _ in range(3)]
    assert len({answer.header("x-headgate-request-id") for answer in answers}) == 3
