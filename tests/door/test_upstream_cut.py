"""Replies that break off: the client can always tell, and is never given an end that the provider did not send."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator

import openai
import pytest
from tests.door.conftest import DEADLINE_S
from tests.door.upstream import CHAT_REPLY, DONE, EVENTS, STREAM_HEAD, Call, Upstream, chunk_event, json_response
from tests.harness import Answer, Gateway, ask, chat, chunked, post

WHOLE = b"".join(EVENTS)
FINISHED = sum(map(len, EVENTS[:4]))  # where the event with the finish reason ends
FRAMINGS = ("chunked", "length", "close")
ENDINGS = ("fin", "rst")
SLACK_S = 1.5
CROWD = 8


def boundaries() -> Iterator[int]:
    """Where each event ends."""
    at = 0
    for event in EVENTS:
        at += len(event)
        yield at


def offsets() -> list[int]:
    """Cuts around every event's end and many between."""
    near = {end + step for end in boundaries() for step in (-2, -1, 0, 1, 2)}
    return sorted(at for at in near | set(range(0, len(WHOLE), 29)) if 0 <= at < len(WHOLE))


async def send_part(call: Call, framing: str, body: bytes, size: int) -> None:
    """Begin a reply of `body` and send only its first `size` bytes; each event is a chunk of its own."""
    if framing != "chunked":
        length = b"content-length: %d\r\n" % len(body) if framing == "length" else b"connection: close\r\n"
        await call.send(STREAM_HEAD + length + b"\r\n" + body[:size])
        return
    data, at = STREAM_HEAD + b"transfer-encoding: chunked\r\n\r\n", 0
    for event in EVENTS:
        if at + len(event) > size:
            data += b"%x\r\n" % len(event) + event[: size - at]
            break
        data, at = data + chunked(event), at + len(event)
    await call.send(data)


async def cut(call: Call) -> None:
    """Cuts the stream as the request's `user` says: framing, manner and offset."""
    framing, ending, offset = call.json["user"].split()
    await send_part(call, framing, WHOLE, int(offset))
    if ending == "rst":
        call.reset()
    else:
        call.fin()


def whole_events(data: bytes) -> bytes:
    """`data` without the event at its end that is not complete."""
    return data[: data.rfind(b"\n\n") + 2] if b"\n\n" in data else b""


def fault_in(answer: Answer, framing: str, ending: str, offset: int) -> str:
    """What is wrong with the answer to a stream cut at `offset`; empty when nothing is."""
    prefix = whole_events(WHOLE[:offset])
    if answer.status == 502:
        return "" if (not prefix or ending == "rst") and answer.error["type"] == "upstream_error" else "502 too late"
    if answer.status != 200 or not answer.is_whole:
        return f"status {answer.status}, whole: {answer.is_whole}"
    if DONE in answer.body:
        return "a false [DONE]"
    if offset >= len(WHOLE) - 2 and answer.body.strip() == WHOLE.strip():
        return ""  # all of [DONE] came, only the line ends behind it are missing
    relayed, error, rest = answer.body.partition(b'data: {"error"')
    if not error:
        # a server that closes after the finish reason without [DONE] cannot be told from one that never sends it
        is_vendor_habit = (framing, ending) == ("close", "fin") and offset >= FINISHED and WHOLE[:offset] == prefix
        return "" if is_vendor_habit and answer.body == prefix else "no error event"
    if not prefix.startswith(relayed) or relayed != whole_events(relayed):
        return "changed events"
    if ending == "fin" and relayed != prefix:
        return "lost events"
    if not rest.endswith(b"\n\n") or rest.count(b"\n\n") != 1:
        return "more than one event at the end"
    return "" if json.loads(error[6:] + rest)["error"]["message"] else "no message"


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("framing", FRAMINGS)
async def test_cut_stream_ends_with_an_error_event(
    gateway: Gateway, upstream: Upstream, framing: str, ending: str
) -> None:
    """At whatever byte a stream is cut, its whole events are relayed as they came and an error event follows.

    Before the first whole event it is a 502. There is never a [DONE], a finish reason or half an event of the gateway's
    own making.
    """
    upstream.script = cut
    crowd = asyncio.Semaphore(CROWD)

    async def fault(offset: int) -> str:
        async with crowd:
            return fault_in(
                await ask(gateway, post(chat(stream=True, user=f"{framing} {ending} {offset}"))),
                framing,
                ending,
                offset,
            )

    cuts = offsets()
    faults = await asyncio.gather(*(fault(offset) for offset in cuts))
    found = {offset: words for offset, words in zip(cuts, faults, strict=True) if words}
    assert not found, str(found)


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_uncut_stream_is_relayed_whole(gateway: Gateway, upstream: Upstream, framing: str) -> None:
    """The same stream to its end is relayed byte for byte."""

    async def script(call: Call) -> None:
        await send_part(call, framing, WHOLE, len(WHOLE))
        if framing == "chunked":
            await call.send(b"0\r\n\r\n")
        call.fin()

    upstream.script = script
    answer = await ask(gateway, post(chat(stream=True)))
    assert (answer.status, answer.is_whole, answer.body) == (200, True, WHOLE)


async def test_stream_cut_behind_its_done_is_complete(gateway: Gateway, upstream: Upstream) -> None:
    """After [DONE] nothing is missing: a connection that breaks then is no error."""

    async def script(call: Call) -> None:
        await send_part(call, "chunked", WHOLE, len(WHOLE))
        call.fin()

    upstream.script = script
    answer = await ask(gateway, post(chat(stream=True)))
    assert (answer.status, answer.is_whole, answer.body) == (200, True, WHOLE)


async def read_all(client: openai.AsyncOpenAI, user: str) -> None:
    """Read a stream with the official client; none of its chunks may hold a finish reason."""
    stream = await client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "hi"}], stream=True, user=user
    )
    async for chunk in stream:
        assert all(choice.finish_reason is None for choice in chunk.choices)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("framing", FRAMINGS)
async def test_official_sdk_raises_on_a_cut_stream(
    gateway: Gateway, upstream: Upstream, framing: str, ending: str
) -> None:
    """The `openai` package raises an APIError for a cut stream, whatever it has yielded before."""
    upstream.script = cut
    ends = list(boundaries())
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as client:
        for offset in (0, 1, ends[0] - 1, ends[0], ends[1] + 20, ends[2], ends[2] + 5):
            with pytest.raises(openai.APIError):
                await read_all(client, f"{framing} {ending} {offset}")


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("framing", FRAMINGS)
async def test_cut_whole_reply_is_a_502(gateway: Gateway, upstream: Upstream, framing: str, ending: str) -> None:
    """A JSON reply that is not complete is a 502, however it was framed."""
    body = json.dumps(CHAT_REPLY).encode()
    lines = {
        "length": b"content-length: %d\r\n" % len(body),
        "chunked": b"transfer-encoding: chunked\r\n",
        "close": b"connection: close\r\n",
    }

    async def script(call: Call) -> None:
        part = body[: int(call.json["user"])]
        framed = b"%x\r\n" % len(body) + part if framing == "chunked" else part
        await call.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" + lines[framing] + b"\r\n" + framed)
        if ending == "rst":
            call.reset()
        else:
            call.fin()

    upstream.script = script
    found: dict[int, object] = {}
    for size in (*range(0, len(body), 17), len(body) - 1):
        answer = await ask(gateway, post(chat(user=str(size))))
        if answer.status != 502 or answer.error["type"] != "upstream_error":
            found[size] = answer
    assert not found, str(found)


async def test_cut_head_is_a_502(gateway: Gateway, upstream: Upstream) -> None:
    """A connection that ends before the head is complete is a 502; no other call is made for it."""
    data = json_response(CHAT_REPLY)
    size = data.index(b"\r\n\r\n") + 3
    cuts = [(at, ending) for at in (0, 1, 5, 12, 17, 30, size - 2, size) for ending in ENDINGS]

    async def script(call: Call) -> None:
        at, ending = cuts[int(call.json["user"])]
        await call.send(data[:at])
        if ending == "rst":
            call.reset()
        else:
            call.fin()

    upstream.script = script
    statuses = [(await ask(gateway, post(chat(user=str(number))))).status for number in range(len(cuts))]
    assert statuses == [502] * len(cuts)
    assert len(upstream.calls) == len(cuts)


async def timed(gateway: Gateway, request: bytes) -> tuple[Answer, float]:
    started = time.monotonic()
    answer = await ask(gateway, request, DEADLINE_S + SLACK_S)
    return answer, time.monotonic() - started


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize(
    "start",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-type: text/event", id="half a head"),
        pytest.param(STREAM_HEAD + b"transfer-encoding: chunked\r\n\r\n", id="a head"),
        pytest.param(STREAM_HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunked(EVENTS[0][:50]), id="half an event"),
        pytest.param(json_response(CHAT_REPLY)[:-1], id="all but one byte"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", id="an interim answer"),
    ],
)
async def test_silence_before_the_first_event_is_a_504(
    gateway: Gateway, upstream: Upstream, start: bytes, stream: bool
) -> None:
    """A provider that falls silent before there is anything to relay is a 504 at its deadline, and its connection closed."""
    is_json = start.startswith(b"HTTP/1.1 200 OK\r\ncontent-length")
    expected = 502 if is_json and stream else 504  # JSON where a stream was asked for is refused by its head alone

    async def script(call: Call) -> None:
        await call.send(start)
        await call.connection.closed.wait()

    upstream.script = script
    answer, lasted = await timed(gateway, post(chat(stream=stream)))
    assert answer.status == expected
    assert answer.error["type"] == "upstream_error"
    assert lasted < 2 * DEADLINE_S + 0.5
    await (await upstream.call()).closed(1)


async def test_silence_in_a_stream_ends_with_an_error_event(gateway: Gateway, upstream: Upstream) -> None:
    """A stream that falls silent is ended by `gap_s` with an error event, and its connection closed."""

    async def script(call: Call) -> None:
        await send_part(call, "chunked", WHOLE, len(EVENTS[0]) + 10)
        await call.connection.closed.wait()

    upstream.script = script
    answer, lasted = await timed(gateway, post(chat(stream=True)))
    assert answer.body.startswith(EVENTS[0] + b'data: {"error"')
    assert json.loads(answer.body[len(EVENTS[0]) + 6 :])["error"]["code"] == "upstream_timeout"
    assert lasted > DEADLINE_S * 0.8
    await (await upstream.call()).closed(1)


async def test_endless_stream_is_ended_by_its_total_time(gateway: Gateway, upstream: Upstream) -> None:
    """A stream that never falls silent and never ends is ended by `total_s` with an error event."""

    async def script(call: Call) -> None:
        await call.send(STREAM_HEAD + b"transfer-encoding: chunked\r\n\r\n")
        while True:
            await call.send(chunked(chunk_event({"content": "x"})))
            await asyncio.sleep(0.05)

    upstream.script = script
    answer, lasted = await timed(gateway, post(chat(stream=True, model="brief/some-model")))
    assert answer.is_whole
    error = answer.body[answer.body.rindex(b"data: ") + 6 :]
    assert json.loads(error)["error"]["code"] == "upstream_timeout"
    assert DONE not in answer.body
    assert lasted > DEADLINE_S * 0.8
    await (await upstream.call()).closed(1)


async def test_dripping_head_is_ended_by_its_deadline(gateway: Gateway, upstream: Upstream) -> None:
    """A provider that sends its head byte by byte does not get round `first_byte_s`."""

    async def script(call: Call) -> None:
        await call.send(b"HTTP/1.1 200 OK\r\nx-drip: ")
        while True:
            await call.send(b"x")
            await asyncio.sleep(0.05)

    upstream.script = script
    answer, _ = await timed(gateway, post(chat()))
    assert answer.status == 504
    await (await upstream.call()).closed(1)


async def test_unreachable_providers(gateway: Gateway) -> None:
    """A refused connection is a 502 at once; one that is not answered is a 504 at `connect_s`."""
    answer, lasted = await timed(gateway, post(chat(model="dead/x", stream=True)))
    assert (answer.status, answer.error["type"]) == (502, "upstream_error")
    assert lasted < 0.5
    answer, lasted = await timed(gateway, post(chat(model="hole/x")))
    assert (answer.status, answer.error["code"]) == (504, "upstream_timeout")
    assert DEADLINE_S * 0.8 < lasted < DEADLINE_S + 1
