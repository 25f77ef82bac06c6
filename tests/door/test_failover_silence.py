"""Stalls, drips and garbage under a routing config, and clients that leave in the midst of it."""

from __future__ import annotations

import asyncio

import pytest
from tests.door import failing
from tests.door.failing import (
    ANTHROPIC,
    GOOGLE,
    OPENAI,
    PAIRS,
    Case,
    Json,
    Lab,
    Manner,
    Pair,
    Seen,
    retried,
    two_targets,
)
from tests.door.upstream import STREAM_HEAD, Call, response
from tests.harness import Wire, chunked, eventually, eventually_idle

gateway = failing.gateway
lab = failing.lab

LIMIT_MS = 400
"""What a target that is expected to stall is given; the others have seconds."""
STALLS = (
    "nothing",
    "half a head",
    "a head",
    "half an event",
    "an opening",
    "one piece",
    "two pieces",
    "all but its end",
)
BEGUN = STALLS[STALLS.index("one piece") :]
CHUNKED = STREAM_HEAD + b"transfer-encoding: chunked\r\n\r\n"


def stall(at: int) -> Manner:
    """Sends so many bytes of the response, and then nothing until the gateway leaves."""

    async def manner(call: Call, data: bytes) -> None:
        if at:
            await call.send(data[:at])
        await call.connection.closed.wait()

    return manner


def drip(step_s: float, times: int | None = None) -> Manner:
    """Sends the response byte by byte, so many of them at that pace."""

    async def manner(call: Call, data: bytes) -> None:
        slow = data if times is None else data[:times]
        for at in range(len(slow)):
            await call.send(data[at : at + 1])
            await asyncio.sleep(step_s)
        await call.send(data[len(slow) :] or b"")

    return manner


def says(data: bytes) -> Manner:
    """Sends these bytes instead. Whether to leave is the gateway's to find out."""

    async def manner(call: Call, _: bytes) -> None:
        await call.send(data)

    return manner


def place(pair: Pair, stop: str) -> int:
    """After how many bytes of a streamed response a stall begins."""
    marks, opening = pair.vendor.marks(), pair.vendor.opening
    return {
        "nothing": 0,
        "half a head": 20,
        "a head": len(CHUNKED),
        "half an event": marks[0] - 9,
        "an opening": marks[opening - 1] if opening else len(CHUNKED),
        "one piece": marks[opening],
        "two pieces": marks[opening + 1],
        "all but its end": marks[-1] - 9,
    }[stop]


async def closed_all_but_the_last(seen: Seen) -> None:
    """What was given up has been left by the gateway, not only by its provider."""
    for _, call in seen.calls[:-1]:
        await call.closed()


async def statuses(lab: Lab, seen: list[Seen]) -> list[tuple[str, list[int]]]:
    """Outcome and statuses of every case, as the record has them."""
    records = await lab.records([one.case for one in seen])
    found = [records[one.case.model] for one in seen]
    return [(record["outcome"], [one["status"] for one in record["attempts"]]) for record in found]


def limited(pair: Pair, mode: str, *, has_begun: bool) -> Json:
    """A config that gives a silent target up, and leaves what answers all the time that a slow machine takes."""
    if has_begun:
        return two_targets(pair.vendor, mode, timeouts={"gap": LIMIT_MS})
    if mode == "fallback":
        return two_targets(pair.vendor, mode, first={"timeouts": {"first_byte": LIMIT_MS, "gap": LIMIT_MS}})
    return two_targets(pair.vendor, mode, timeouts={"first_byte": 5 * LIMIT_MS, "gap": 5 * LIMIT_MS})


def is_answered_elsewhere(seen: Seen) -> bool:
    return seen.ended == "complete" and len(seen.calls) == 2 and seen.is_whole_text_of(1)


def is_cut(seen: Seen) -> bool:
    return seen.ended == "cut" and len(seen.calls) == 1 and seen.is_part_of(0)


@pytest.mark.parametrize("mode", ["fallback", "loadbalance"])
@pytest.mark.parametrize("pair", PAIRS, ids=str)
async def test_stalled_stream_goes_elsewhere_until_it_has_begun(lab: Lab, pair: Pair, mode: str) -> None:
    """`first_byte` and `gap` give a silent target up: before its first event another answers, behind it an error event.

    The connection that is given up is closed at once.
    """
    cases = [
        Case(pair, limited(pair, mode, has_begun=stop in BEGUN), stall(place(pair, stop)), label=stop)
        for stop in STALLS
    ]
    seen = await lab.ask_all(cases)
    for one in seen:
        has_begun = one.case.label in BEGUN
        may_have_begun = one.case.label == "an opening" and pair.vendor is not GOOGLE
        assert is_cut(one) if has_begun else is_answered_elsewhere(one) or (may_have_begun and is_cut(one)), one
        await one.calls[0][1].closed()
    for one, told in zip(seen, await statuses(lab, seen), strict=True):
        assert told == (("cut", [200]) if is_cut(one) else ("complete", [504, 200]))


@pytest.mark.parametrize("pair", PAIRS, ids=str)
async def test_stall_before_the_first_token_is_invisible(lab: Lab, pair: Pair) -> None:
    """`first_token` covers all before the first piece of text, also the events that say nothing."""
    config = two_targets(pair.vendor, first={"timeouts": {"first_token": LIMIT_MS}})
    stops = [stop for stop in STALLS if stop not in BEGUN]
    seen = await lab.ask_all([Case(pair, config, stall(place(pair, stop)), label=stop) for stop in stops])
    assert [one.case.label for one in seen if not is_answered_elsewhere(one)] == []
    for one in seen:
        await closed_all_but_the_last(one)
    assert await statuses(lab, seen) == [("complete", [504, 200])] * len(stops)


@pytest.mark.parametrize("pair", PAIRS, ids=str)
async def test_stall_before_the_release_is_invisible(lab: Lab, pair: Pair) -> None:
    """With `release_after: 2` a stream that falls silent behind its first piece is answered elsewhere; behind the second
    it ends with an error event.
    """
    config = two_targets(pair.vendor, first={"timeouts": {"gap": LIMIT_MS}, "release_after": 2})
    stops = ("one piece", "two pieces")
    seen = await lab.ask_all([Case(pair, config, stall(place(pair, stop)), label=stop) for stop in stops])
    by_stop = {one.case.label: one for one in seen}
    assert is_answered_elsewhere(by_stop["one piece"])
    assert is_cut(by_stop["two pieces"])
    for one in seen:
        await one.calls[0][1].closed()
    told = await statuses(lab, [by_stop[stop] for stop in stops])
    assert told == [("complete", [504, 200]), ("cut", [200])]


@pytest.mark.parametrize("pair", PAIRS, ids=str)
async def test_stalled_whole_reply_goes_elsewhere(lab: Lab, pair: Pair) -> None:
    """A whole reply that stalls anywhere is given up; where every target stalls it is one 504 in the client's dialect."""
    size = len(pair.vendor.response(0, stream=False))
    limits: Json = {"timeouts": {"first_byte": LIMIT_MS, "gap": LIMIT_MS}}
    one, both = two_targets(pair.vendor, first=limits), two_targets(pair.vendor, **limits)
    cases = [Case(pair, one, stall(at), stream=False) for at in (0, 20, size // 2, size - 1)]
    cases += [Case(pair, both, stall(at), stream=False, failing=2, label="both") for at in (0, size - 1)]
    seen = await lab.ask_all(cases)
    for one in seen:
        assert one.ended == "504" if one.case.label else is_answered_elsewhere(one), one
        for _, call in one.calls[: one.case.failing]:
            await call.closed()
    told = await statuses(lab, seen)
    assert told == [("error", [504, 504]) if one.case.label else ("complete", [504, 200]) for one in seen]


@pytest.mark.parametrize("pair", PAIRS, ids=str)
async def test_stream_that_drips_is_relayed_or_given_up(lab: Lab, pair: Pair) -> None:
    """A stream that comes byte by byte is whole; one whose first text is too slow is answered by the other target."""
    patient = Case(pair, two_targets(pair.vendor), drip(0), label="patient")
    hurried = two_targets(pair.vendor, first={"timeouts": {"first_token": LIMIT_MS}})
    slow = Case(pair, hurried, drip(0.05, 200), label="slow")
    seen = {one.case.label: one for one in await lab.ask_all([patient, slow])}
    assert (seen["patient"].ended, seen["patient"].is_whole_text_of(0)) == ("complete", True)
    assert is_answered_elsewhere(seen["slow"])
    await seen["slow"].calls[0][1].closed()


def garbage(pair: Pair, *, stream: bool) -> dict[str, bytes]:
    """Responses that are none, and none of which says anything."""
    event = pair.vendor.events(["x"])[0]
    found = {
        "no HTTP": b"\x16\x03\x01\x02\x00" * 20,
        "another version": b"HTTP/9.9 200 OK\r\n\r\n",
        "no status": b"HTTP/1.1 OK\r\n\r\n",
        "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
        "a chunk without a size": CHUNKED + b"xyz\r\n" + event,
        "a negative chunk": CHUNKED + b"-5\r\n" + event,
        "an empty stream": CHUNKED + b"0\r\n\r\n",
        "a page": response(b"<html>busy</html>", headers=b"content-type: text/html\r\n"),
        "an error page": response(b"<html>busy</html>", "502 Bad Gateway", b"content-type: text/html\r\n"),
        "an error in plain words": response(b"upstream connect error", "503 Service Unavailable"),
    }
    if stream:
        found["no events"] = CHUNKED + chunked(b"<html>busy</html>\n\n") + b"0\r\n\r\n"
    return found


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("pair", PAIRS, ids=str)
async def test_garbage_goes_elsewhere(lab: Lab, pair: Pair, stream: bool) -> None:
    """What is no answer at all never reaches the client of a route that has another target."""
    config = two_targets(pair.vendor)
    cases = [Case(pair, config, says(data), stream, label=kind) for kind, data in garbage(pair, stream=stream).items()]
    seen = await lab.ask_all(cases)
    assert [(one.case.label, one.ended, one.answer.body) for one in seen if not is_answered_elsewhere(one)] == []
    told = await statuses(lab, seen)
    assert {(outcome, status[1:] == [200], status[0] >= 500) for outcome, status in told} == {("complete", True, True)}


@pytest.mark.parametrize("pair", PAIRS, ids=str)
async def test_garbage_behind_the_first_piece_is_an_error_event(lab: Lab, pair: Pair) -> None:
    """A stream that turns into garbage ends with one error event, and what was said before it stands."""
    marks, opening = pair.vendor.marks(), pair.vendor.opening
    begun = pair.vendor.response(1, stream=True)[: marks[opening] + 2]
    cases = [
        Case(pair, two_targets(pair.vendor), says(begun + rest), label=repr(rest))
        for rest in (b"zz\r\n\x00\xff", b"f" * 20 + b"\r\nx", b"5\r\nabcdefghij", b"\r\n\r\n")
    ]
    seen = await lab.ask_all(cases)
    assert [
        (one.case.label, one.ended, len(one.calls)) for one in seen if (one.ended, len(one.calls)) != ("cut", 1)
    ] == []
    for one in seen:
        await one.calls[0][1].closed()


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("pair", [Pair(OPENAI, OPENAI), Pair(GOOGLE, ANTHROPIC)], ids=str)
async def test_client_that_leaves_during_a_fallback_closes_both_calls(lab: Lab, pair: Pair, how: str) -> None:
    """The first call was given up when the second began, and that one is when the client goes: no call is left open."""
    limits: Json = {"timeouts": {"first_byte": LIMIT_MS, "gap": LIMIT_MS}}
    for manner in (stall(0), stall(place(pair, "one piece"))):
        config = two_targets(pair.vendor, first=limits, release_after=2)
        case = lab.begin(Case(pair, config, manner, failing=2))
        async with Wire.open(lab.gateway) as wire:
            await wire.send(case.request)
            await (await lab.call(case)).closed()
            second = await lab.call(case, 1)
            if how == "rst":
                wire.reset()
            else:
                wire.close()
            await second.closed()
        await eventually_idle(lab.gateway)
        record = (await lab.records([case]))[case.model]
        assert (record["outcome"], [one["status"] for one in record["attempts"]]) == ("client_gone", [504, 0])


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("pair", [Pair(OPENAI, OPENAI), Pair(ANTHROPIC, OPENAI)], ids=str)
async def test_client_that_leaves_while_a_retry_waits_ends_it(lab: Lab, pair: Pair, how: str) -> None:
    """A retry that waits for its moment is never made for a client that has gone, and no connection is kept for it."""

    async def busy(call: Call, _: bytes) -> None:
        await call.send(response(b"{}", "503 Service Unavailable", b"retry-after: 20\r\nconnection: close\r\n"))
        await call.connection.closed.wait()

    config = {**retried(pair.vendor), "retry": {"attempts": 2, "use_retry_after_header": True}}
    case = lab.begin(Case(pair, config, busy, failing=3))
    async with Wire.open(lab.gateway) as wire:
        await wire.send(case.request)
        await (await lab.call(case)).closed()
        if how == "rst":
            wire.reset()
        else:
            wire.close()
        await eventually_idle(lab.gateway)
    record = (await lab.records([case]))[case.model]
    assert (record["outcome"], len(record["attempts"]), len(lab.calls(case))) == ("client_gone", 1, 1)


async def test_client_that_leaves_a_held_stream_closes_it(lab: Lab) -> None:
    """A stream of which nothing has been released yet is given up with its client as well."""
    pair = Pair(OPENAI, OPENAI)
    case = lab.begin(Case(pair, two_targets(OPENAI, release_after=3), stall(place(pair, "two pieces")), failing=2))
    async with Wire.open(lab.gateway) as wire:
        await wire.send(case.request)
        call = await lab.call(case)
        await eventually(lambda: call.connection.sent >= place(pair, "two pieces"), "two pieces were sent")
        assert wire.transcript == b""
        wire.close()
        await call.closed()
    assert len(lab.calls(case)) == 1
