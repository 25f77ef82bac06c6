"""Cuts at every byte under a routing config: another target or one honest error, and never an answer made of two calls."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from tests.door import failing
from tests.door.failing import PAIRS, PIECES, Case, Json, Lab, Manner, Pair, Seen, retried, two_targets
from tests.door.upstream import Call

gateway = failing.gateway
lab = failing.lab

ENDINGS = ("fin", "rst")
STEP = 5
"""Between the cuts of those policies that are not tried at every byte."""


def cut(at: int, ending: str) -> Manner:
    """Sends so many bytes of the response and leaves."""

    async def manner(call: Call, data: bytes) -> None:
        if at:
            await call.send(data[:at])
        if ending == "rst":
            call.reset()
        else:
            call.fin()

    return manner


def cut_case(pair: Pair, config: Json, at: int, ending: str, *, stream: bool, failing: int = 1) -> Case:
    return Case(pair, config, cut(at, ending), stream, failing, f"{pair} {ending} at {at}")


def size_of(pair: Pair, *, stream: bool) -> int:
    return len(pair.vendor.response(0, stream=stream))


def expected_of_stream(pair: Pair, at: int) -> set[str]:
    """How the answer to a stream that was cut in order at this byte may end; `elsewhere` is another call's whole answer.

    What a vendor says before its first text commits a relay and not a translation. A relay knows OpenAI's end without its
    blank line; Google has none but the end of the body.
    """
    marks, size = pair.vendor.marks(), size_of(pair, stream=True)
    if at == size:
        return {"complete"}
    end = {"openai": marks[-1] - 2 * pair.is_relay, "anthropic": marks[-1], "google": size}[pair.vendor.name]
    if at >= end:
        return {"complete"}
    if at < marks[0]:
        return {"elsewhere"}
    if at >= marks[pair.vendor.opening]:
        return {"cut"}
    return {"cut"} if pair.is_relay else {"elsewhere", "cut"}


def how_it_went(seen: Seen) -> str:
    """How a case ended, checked against the calls that were made: `elsewhere` when a second call answered."""
    if seen.ended == "complete" and len(seen.calls) == 2 and seen.is_whole_text_of(1):
        return "elsewhere"
    if seen.ended == "complete" and len(seen.calls) == 1 and seen.is_whole_text_of(0):
        return "complete"
    if seen.ended == "cut" and len(seen.calls) == 1 and seen.is_part_of(0):
        return "cut"
    return f"{seen.ended!r}, {len(seen.calls)} calls, {seen.answer.body!r}"


def trail_of(record: Json) -> tuple[str, list[tuple[str, int, int]]]:
    """The outcome of a record and its attempts: which of the deployments, with what status, retries included."""
    tried = [(one["deployment"][:3], one["status"], one["retries"]) for one in record["attempts"]]
    return record["outcome"], tried


TRAILS = {
    "elsewhere": ("complete", [("one", 502, 0), ("two", 200, 0)]),
    "complete": ("complete", [("one", 200, 0)]),
    "cut": ("cut", [("one", 200, 0)]),
}
AFTER_RESET = {"elsewhere", "cut"}
"""What may come of a stream that was cut by a reset, which takes with it what was not read yet."""


async def faults_of(lab: Lab, cases: Mapping[int, Case], expected: Mapping[int, set[str]]) -> dict[int, str]:
    """Carry out the cases; what is wrong by where they were cut. The record must tell what came of each, and when."""
    seen = {seen.case.model: seen for seen in await lab.ask_all(cases.values())}
    records = await lab.records(cases.values())
    found: dict[int, str] = {}
    for at, case in cases.items():
        went, trail = how_it_went(seen[case.model]), trail_of(records[case.model])
        if went not in expected[at]:
            found[at] = f"{went}; expected {sorted(expected[at])}"
        elif trail != TRAILS[went]:
            found[at] = f"{went}, but the record says {trail}"
        elif not all(call.connection.closed.is_set() for _, call in seen[case.model].calls[:1] if went != "complete"):
            found[at] = f"{went}, but the broken connection is open"
    return found


@pytest.mark.timeout(120)
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("pair", PAIRS, ids=str)
async def test_stream_cut_at_every_byte(lab: Lab, pair: Pair, ending: str) -> None:
    """Before the first event another target answers the whole; behind it an error event follows, and no other call.

    The record names each attempt with its status.
    """
    config, size = two_targets(pair.vendor), size_of(pair, stream=True)
    cases = {at: cut_case(pair, config, at, ending, stream=True) for at in range(size + 1)}
    also: set[str] = AFTER_RESET if ending == "rst" else set()
    assert await faults_of(lab, cases, {at: expected_of_stream(pair, at) | also for at in cases}) == {}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("pair", PAIRS, ids=str)
async def test_whole_reply_cut_at_every_byte(lab: Lab, pair: Pair, ending: str) -> None:
    """A whole reply that is not whole never reaches the client: at whatever byte it ends, another target answers."""
    config, size = two_targets(pair.vendor), size_of(pair, stream=False)
    cases = {at: cut_case(pair, config, at, ending, stream=False) for at in range(size)}
    assert await faults_of(lab, cases, {at: {"elsewhere"} for at in cases}) == {}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("pieces", [1, 2, 5])
@pytest.mark.parametrize("pair", PAIRS, ids=str)
async def test_cut_before_the_release_is_invisible(lab: Lab, pair: Pair, pieces: int) -> None:
    """With `release_after` a stream that ends before so many pieces were here is answered elsewhere, else an error event."""
    config, size = two_targets(pair.vendor, release_after=pieces), size_of(pair, stream=True)
    release = [*pair.vendor.marks()[pair.vendor.opening :][:PIECES], *[size] * pieces][pieces - 1]
    expected = {at: expected_of_stream(pair, at) for at in range(0, size, STEP)}
    for at, ended in expected.items():
        if at < release and "complete" not in ended:
            expected[at] = {"elsewhere"}
    cases = {at: cut_case(pair, config, at, "fin", stream=True) for at in expected}
    assert await faults_of(lab, cases, expected) == {}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("pair", PAIRS, ids=str)
async def test_load_balancing_fails_over_at_every_byte(lab: Lab, pair: Pair, stream: bool) -> None:
    """Whichever of two targets was drawn first and broke off, the other one answers, or an error event follows."""
    config = two_targets(pair.vendor, "loadbalance")
    cases = [
        cut_case(pair, config, at, ENDINGS[at % 2], stream=stream)
        for at in range(0, size_of(pair, stream=stream), STEP)
    ]
    seen = await lab.ask_all(cases)
    went = set(map(how_it_went, seen))
    assert "elsewhere" in went
    assert went - {"elsewhere", "cut", "complete"} == set()
    records = await lab.records(cases)
    for one in seen:
        outcome, tried = trail_of(records[one.case.model])
        is_first = how_it_went(one) != "elsewhere"
        assert [status for _, status, _ in tried] == ([200] if is_first else [502, 200])
        assert sorted({name for name, _, _ in tried}) == ([tried[0][0]] if is_first else ["one", "two"])
        assert outcome == ("cut" if how_it_went(one) == "cut" else "complete")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("pair", PAIRS, ids=str)
async def test_cut_reply_is_tried_again(lab: Lab, pair: Pair) -> None:
    """A reply that broke off before its first event is asked for again where the target has retries; the record counts them."""
    first = pair.vendor.marks()[0]
    cases = [cut_case(pair, retried(pair.vendor), at, "fin", stream=True) for at in range(0, first, 37)]
    cases += [
        cut_case(pair, retried(pair.vendor), at, "fin", stream=False)
        for at in range(0, size_of(pair, stream=False), 37)
    ]
    seen = await lab.ask_all(cases)
    assert {how_it_went(one) for one in seen} == {"elsewhere"}
    records = await lab.records(cases)
    assert [trail_of(records[case.model]) for case in cases] == [("complete", [("one", 200, 1)])] * len(cases)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("pair", PAIRS, ids=str)
async def test_where_all_targets_break_off_it_is_a_502(lab: Lab, pair: Pair, stream: bool) -> None:
    """When no target answers whole, the client gets one 502 in its own dialect, and the record both attempts."""
    end = pair.vendor.marks()[0] if stream else size_of(pair, stream=False)
    config = two_targets(pair.vendor)
    cases = [cut_case(pair, config, at, ENDINGS[at % 2], stream=stream, failing=2) for at in range(0, end, STEP)]
    seen = await lab.ask_all(cases)
    assert {(one.ended, len(one.calls)) for one in seen} == {("502", 2)}
    records = await lab.records(cases)
    trail = ("error", [("one", 502, 0), ("two", 502, 0)])
    assert [trail_of(records[case.model]) for case in cases] == [trail] * len(cases)
