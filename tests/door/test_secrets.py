"""Secrets stay inside: the provider's key, the gateway's key and the gateway's secret are in no reply and no log.

Every connection of every test here is searched (`Wire.open`), and so is every file of a gateway when it stops; these
tests make sure that the paths on which something could leak are walked.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable

import pytest
from tests.door.conftest import AUTHORIZED, BODY_LIMITS
from tests.door.upstream import (
    CHAT_REPLY,
    EVENTS,
    STREAM_HEAD,
    Call,
    Script,
    Upstream,
    chunk_event,
    json_response,
    reply_fitting,
    response,
)
from tests.harness import CANARY, GATEWAY_KEY, Gateway, ask, assert_no_secret, chat, chunked, head, post

JSON_TYPE = b"content-type: application/json\r\n"
SSE_TYPE = b"content-type: text/event-stream\r\n"
ERROR = {"error": {"message": f"Incorrect API key provided: {CANARY}.", "type": "x", "param": None, "code": "y"}}
SPLITS = range(1, len(CANARY), 5)


def reply(words: str) -> bytes:
    """A chat reply that says `words`."""
    message = {"role": "assistant", "content": words}
    return json.dumps({**CHAT_REPLY, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()


def echo_lines(key: bytes) -> bytes:
    """Response headers that hold the key in many ways."""
    names = (
        b"x-echo",
        b"x-request-id",
        b"authorization",
        b"www-authenticate",
        b"set-cookie",
        b"x-ratelimit-limit",
        b"via",
    )
    return b"".join(b"%s: Bearer %s\r\n" % (name, key) for name in names)


ECHOES: dict[str, Callable[[bytes], bytes]] = {
    "reply": lambda key: response(reply(f"Bearer {key.decode()}"), headers=JSON_TYPE),
    "reply in gzip": lambda key: response(
        gzip.compress(reply(key.decode())), headers=JSON_TYPE + b"content-encoding: gzip\r\n"
    ),
    "reply headers": lambda key: json_response(CHAT_REPLY, headers=echo_lines(key)),
    "reply cut short": lambda key: response(reply(key.decode()) + b"x", headers=JSON_TYPE),
    "reason": lambda key: json_response(CHAT_REPLY, f"200 {key.decode()}"),
    "reason of an error": lambda key: response(b"", f"500 {key.decode()}"),
    "error": lambda _: json_response(ERROR, "401 Unauthorized"),
    "error headers": lambda key: json_response(ERROR, "401 Unauthorized", echo_lines(key)),
    "error as text": lambda key: response(b"bad key: " + key, "403 Forbidden"),
    "error as HTML": lambda key: response(b"<p>" + key + b"</p>", "403 Forbidden"),
    "error in another shape": lambda key: json_response({"detail": [{"input": key.decode()}]}, "422 Unprocessable"),
    "error in a list": lambda key: json_response([key.decode()], "400 Bad Request"),
    "error that is large": lambda key: response(b"x" * 1995 + key, "400 Bad Request"),
    "redirect": lambda key: response(b"", "302 Found", b"location: http://127.0.0.1:9/?key=" + key + b"\r\n"),
    "content type": lambda key: response(b"{}", headers=b"content-type: " + key + b"\r\n"),
    "content encoding": lambda key: response(b"{}", headers=JSON_TYPE + b"content-encoding: " + key + b"\r\n"),
    "transfer encoding": lambda key: b"HTTP/1.1 200 OK\r\ntransfer-encoding: " + key + b"\r\n\r\n",
    "content length": lambda key: b"HTTP/1.1 200 OK\r\ncontent-length: " + key + b"\r\n\r\n",
    "header without a colon": lambda key: b"HTTP/1.1 200 OK\r\n" + key + b"\r\n\r\n",
    "status line": lambda key: key + b"\r\n\r\n",
    "chunk size": lambda key: b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + key + b"\r\n",
    "stream": lambda key: response(b"".join((chunk_event({"content": key.decode()}), *EVENTS)), headers=SSE_TYPE),
    "stream comment": lambda key: response(b": " + key + b"\n\n" + b"".join(EVENTS), headers=SSE_TYPE),
    "stream error": lambda _: response(EVENTS[0] + b"data: " + json.dumps(ERROR).encode() + b"\n\n", headers=SSE_TYPE),
    "stream that is cut": lambda key: response(EVENTS[0] + b"data: " + key, headers=SSE_TYPE),
    "stream of one line": lambda key: response(b"data: " + key, headers=SSE_TYPE),
    "stream of garbage": lambda key: response(key + b"\n\n", headers=SSE_TYPE),
}


def echo(shape: Callable[[bytes], bytes]) -> Script:
    """A script that sends the key it was given back in some shape, and closes."""

    async def script(call: Call) -> None:
        assert call.header("authorization") == f"Bearer {CANARY}"
        await call.send(shape(CANARY.encode()))
        call.fin()

    return script


@pytest.mark.parametrize("shape", ECHOES)
async def test_echoed_provider_key_is_taken_out(locked: Gateway, upstream: Upstream, shape: str) -> None:
    """A provider that sends the key it was given back, in whatever part of its reply, does not give it to the caller."""
    upstream.script = echo(ECHOES[shape])
    for stream in (False, True):
        answer = await ask(locked, post(chat(stream=stream), AUTHORIZED))
        assert_no_secret(repr(answer).encode(), "a reply")
    answer = await ask(locked, head(AUTHORIZED + b"x-headgate-provider: mock\r\n", b"/v1/files", b"GET"))
    assert_no_secret(repr(answer).encode(), "a reply")
    assert len(upstream.calls) == 3


@pytest.mark.parametrize("framing", ["chunked", "length"])
@pytest.mark.parametrize("operation", ["stream", "passthrough"])
async def test_key_in_two_pieces_is_taken_out(
    locked: Gateway, upstream: Upstream, operation: str, framing: str
) -> None:
    """The echoed key is found although it comes in two pieces, and what stands around it is kept."""
    text = chunk_event({"content": f"before {CANARY} after"}) + b"".join(EVENTS)
    is_stream = operation == "stream"
    at = text.index(CANARY.encode())
    for split in SPLITS:
        parts = text[: at + split], text[at + split :]

        async def script(call: Call, parts: tuple[bytes, bytes] = parts) -> None:
            length = b"content-length: %d\r\n" % len(text)
            await call.send(
                STREAM_HEAD + (b"transfer-encoding: chunked\r\n" if framing == "chunked" else length) + b"\r\n"
            )
            for part in parts:
                await call.send(chunked(part) if framing == "chunked" else part)
                # the pieces arrive apart: the gateway has answered another request between them
                assert (await ask(locked, head(method=b"GET", target=b"/v1/health"))).status == 200
            if framing == "chunked":
                await call.send(b"0\r\n\r\n")

        upstream.script = script
        lines = AUTHORIZED + b"x-headgate-provider: mock\r\n"
        request = post(chat(stream=True), AUTHORIZED) if is_stream else head(lines, b"/v1/files/f/content", b"GET")
        answer = await ask(locked, request)
        assert_no_secret(answer.body, "a reply")
        assert answer.status == 200
        assert b"before " in answer.body
        assert b" after" in answer.body
        assert answer.body.endswith(EVENTS[-1])


REFUSED = {
    "no key": head(b"content-length: 5\r\n"),
    "a key that is too long": post(chat(), AUTHORIZED[:-2] + b"x\r\n"),
    "a key that is too short": post(chat(), AUTHORIZED[:-3] + b"\r\n"),
    "a key in capitals": post(chat(), AUTHORIZED.upper()),
    "a key as basic": post(chat(), AUTHORIZED.replace(b"Bearer", b"Basic")),
    "two keys": post(chat(), AUTHORIZED + AUTHORIZED),
    "invalid json": post(b"{", AUTHORIZED),
    "unknown model": post(chat(model="nobody"), AUTHORIZED),
    "unknown deployment": post(chat(model="nobody/x"), AUTHORIZED),
    "unknown provider": post(chat(), AUTHORIZED + b"x-headgate-provider: nobody\r\n"),
    "bad config": post(chat(), AUTHORIZED + b"x-headgate-config: {\r\n"),
    "wrong method": head(AUTHORIZED, method=b"DELETE"),
    "unknown path": head(AUTHORIZED, b"/nowhere", b"GET"),
    "too large": head(AUTHORIZED + b"content-length: %d\r\n" % (BODY_LIMITS["chat"] + 1)),
    "bad header": head(AUTHORIZED + b"x y: z\r\n"),
    "bad header with the key": head(AUTHORIZED.replace(b":", b" :")),
    "no colon behind the key": head(AUTHORIZED.replace(b":", b"")),
    "key as method": GATEWAY_KEY.encode() + b" / HTTP/1.1\r\n\r\n",
    "head too large": head(AUTHORIZED * 2000),
    "bad length": head(AUTHORIZED + b"content-length: x\r\n"),
    "dead provider": post(chat(model="dead/x"), AUTHORIZED),
    "silent provider": post(chat(model="hole/x"), AUTHORIZED),
    "another operation": post(b"{}", AUTHORIZED, b"/v1/embeddings"),
}
SERVED = {
    "reply": post(chat(), AUTHORIZED),
    "stream": post(chat(stream=True), AUTHORIZED),
    "models": head(AUTHORIZED, b"/v1/models", b"GET"),
    "ready": head(AUTHORIZED, b"/v1/ready", b"GET"),
    "health": head(AUTHORIZED, b"/v1/health", b"GET"),
    "index": head(AUTHORIZED, b"/", b"GET"),
}


@pytest.mark.parametrize("name", [*REFUSED, *SERVED])
async def test_replies_hold_no_secret(locked: Gateway, upstream: Upstream, name: str) -> None:
    """No reply, good or bad, holds the key it was asked with, nor anything else that is secret."""
    upstream.script = reply_fitting()
    answer = await ask(locked, {**REFUSED, **SERVED}[name])
    assert (answer.status < 400) == (name in SERVED)
    assert_no_secret(repr(answer).encode(), "a reply")


async def test_gateway_key_never_leaves_for_the_provider(locked: Gateway, upstream: Upstream) -> None:
    """However the caller shows his key, the provider gets its own and never sees his."""
    key = GATEWAY_KEY.encode()
    shown = (
        *(b"authorization: Bearer " + key, b"authorization: bearer " + key, b"x-headgate-api-key: " + key),
        *(b"x-portkey-api-key: " + key, b"api-key: " + key, b"x-api-key: " + key),
    )
    for line in shown:
        for request in (
            post(chat(), line + b"\r\ncookie: k=" + key + b"\r\n"),
            head(line + b"\r\nx-headgate-provider: mock\r\n", b"/v1/files", b"GET"),
        ):
            await ask(locked, request)
    assert len(upstream.calls) == 2 * len(shown)
    for call in upstream.calls:
        sent = repr((call.target, call.headers)).encode() + call.body
        assert key not in sent
        assert call.header("authorization") == f"Bearer {CANARY}"


async def test_files_hold_no_secret(locked: Gateway, upstream: Upstream) -> None:
    """After good and bad exchanges nothing that is secret stands in the output or any file of the gateway."""
    upstream.script = reply_fitting()
    for request in (*SERVED.values(), *REFUSED.values()):
        await ask(locked, request)
    for shape in ("error", "stream error", "status line", "reply headers"):
        upstream.script = echo(ECHOES[shape])
        await ask(locked, post(chat(stream=True), AUTHORIZED))
    locked.check_files()
