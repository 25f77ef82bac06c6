"""What a WebSocket session used: of every event that states it, by the model that used it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from core.tests.realtime import closed, provided, served
from websockets.asyncio.server import ServerConnection

from headgate.dialects.openai.realtime import RealtimeMeter

ASR = "conversation.item.input_audio_transcription.completed"
HEARD = {
    "type": "tokens",
    "total_tokens": 22,
    "input_tokens": 13,
    "input_token_details": {"text_tokens": 3, "audio_tokens": 10},
    "output_tokens": 9,
}
SECONDS = {"type": "duration", "seconds": 1.5}


def event(kind: str, **members: Any) -> bytes:
    return json.dumps({"type": kind, "event_id": "e", **members}).encode()


def done(prompt: int, completion: int, status: str = "completed") -> bytes:
    """A `response.done` of an answer that ended so."""
    usage = {
        "total_tokens": prompt + completion,
        "input_tokens": prompt,
        "output_tokens": completion,
        "input_token_details": {"audio_tokens": 1},
    }
    return event("response.done", response={"id": f"r{prompt}", "status": status, "usage": usage})


def transcribed(usage: object = HEARD) -> bytes:
    return event(ASR, item_id="i", content_index=0, transcript="hello", usage=usage)


def set_up(model: str | None, kind: str = "session.updated") -> bytes:
    """A session event as the interface has it now."""
    transcription = None if model is None else {"model": model}
    return event(kind, session={"audio": {"input": {"transcription": transcription}}})


def set_up_in_beta(model: str, kind: str = "session.created") -> bytes:
    return event(kind, session={"input_audio_transcription": {"model": model}})


def metered(*messages: bytes) -> RealtimeMeter:
    meter = RealtimeMeter()
    for message in messages:
        meter.take(message)
    return meter


def tokens(meter: RealtimeMeter) -> dict[str, tuple[int, int]]:
    """Tokens in and out, by model; "*" are all of them."""
    found = {name: (used.prompt, used.completion) for name, used in meter.by_model.items()}
    return found if meter.usage is None else {"*": (meter.usage.prompt, meter.usage.completion), **found}


@pytest.mark.parametrize("status", ["completed", "cancelled", "failed", "incomplete"])
def test_answers_count_whatever_became_of_them(status: str) -> None:
    """An answer that was cancelled half-way or failed is billed for what it states, and so it counts."""
    assert tokens(metered(done(10, 5), done(20, 1, status))) == {"*": (30, 6), "": (30, 6)}


@pytest.mark.parametrize(
    "session",
    [
        set_up("gpt-4o-transcribe"),
        set_up("gpt-4o-transcribe", "session.created"),
        set_up_in_beta("gpt-4o-transcribe"),
        set_up_in_beta("gpt-4o-transcribe", "transcription_session.updated"),
    ],
)
def test_transcription_counts_beside_the_answers(session: bytes) -> None:
    """What the user says is transcribed by another model: it is added, and kept apart under that model's name."""
    meter = metered(session, transcribed(), done(10, 5), transcribed())
    assert tokens(meter) == {"*": (36, 23), "gpt-4o-transcribe": (26, 18), "": (10, 5)}
    assert meter.usage is not None
    assert meter.usage.audio_in == 21
    assert meter.by_model["gpt-4o-transcribe"].audio_in == 20


def test_transcription_in_seconds() -> None:
    """A model that is billed by time counts no tokens, and its seconds are kept in sum."""
    meter = metered(set_up("whisper-1"), transcribed(SECONDS), transcribed(SECONDS), done(1, 1))
    assert tokens(meter) == {"*": (1, 1), "whisper-1": (0, 0), "": (1, 1)}
    assert meter.by_model["whisper-1"].raw == {"type": "duration", "seconds": 3.0}


def test_the_transcriber_may_change() -> None:
    """Each transcription belongs to the model that the session named last; to the session's own where it named none."""
    meter = metered(transcribed(), set_up("a"), transcribed(), set_up("b"), transcribed(), set_up(None), transcribed())
    assert tokens(meter) == {"*": (52, 36), "": (26, 18), "a": (13, 9), "b": (13, 9)}


@pytest.mark.parametrize(
    "message",
    [
        event("response.created", response={"status": "in_progress", "usage": HEARD}),
        event("response.output_item.done", usage=HEARD),
        event("response.done", usage=HEARD),
        event("response.done", response={"usage": None}),
        event("response.done", response={"usage": {}}),
        event("response.done", response=[{"usage": HEARD}]),
        event(ASR.replace("completed", "delta"), usage=HEARD),
        event(ASR.replace("completed", "failed"), usage=HEARD),
        event(ASR, response={"usage": HEARD}),
        transcribed(None),
        transcribed([5]),
        b'{"type":["response.done"],"usage":{"input_tokens":1}}',
        b'{"type":"response.done","response":{"usage":{"input_tokens":1}}',
        b'"usage"',
        b'\xff"usage"',
        b'{"usage":' + b"[" * 100_000,
    ],
)
def test_nothing_else_states_usage(message: bytes) -> None:
    """Events on the way, and what cannot be read, state nothing, so that nothing counts twice."""
    assert metered(message).usage is None
    assert tokens(metered(done(1, 2), message, done(3, 4))) == {"*": (4, 6), "": (4, 6)}


@pytest.mark.parametrize(
    "session", [None, 5, {"audio": 5}, {"audio": {"input": []}}, {"input_audio_transcription": {}}]
)
def test_a_session_that_names_no_transcriber(session: object) -> None:
    """Whatever stands where the name should be, the session goes on."""
    assert tokens(metered(event("session.updated", session=session), transcribed())) == {"*": (13, 9), "": (13, 9)}


async def test_the_record_has_all_of_it(tmp_path: Path) -> None:
    """The exchange of a session that has ended has the sum, and what each model used of it."""

    async def answer(connection: ServerConnection) -> None:
        for message in (set_up("whisper-1"), transcribed(), done(10, 5, "cancelled")):
            await connection.send(message.decode())
        await connection.recv()
        await connection.close()

    async with provided(answer) as provider, served(provider.port, tmp_path) as gateway:
        async with gateway.connect() as client:
            for _ in range(3):
                await client.recv()
            await client.send("enough")
            assert await closed(client) == (1000, "")
        reply = (await gateway.record()).reply
        assert reply is not None
        assert reply.usage is not None
        assert (reply.usage.prompt, reply.usage.completion) == (23, 14)
        assert {name: used.prompt for name, used in reply.usage_by_model.items()} == {"whisper-1": 13, "": 10}
