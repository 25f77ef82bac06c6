"""Sessions of GLM-Realtime: an event tells their model, which OpenAI's clients name in the address."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from core.tests.realtime import Served, provided, served
from providers.compatible.tests.asking import KEY, Json
from websockets.asyncio.server import ServerConnection

from headgate_compatible import catalogue
from headgate_compatible.vendors.zhipu_sessions import SessionWriter

AUDIO: Json = {"chat_mode": "audio"}
DONE: Json = {
    "event_id": "e3",
    "type": "response.done",
    "response": {
        "id": "resp_1",
        "object": "realtime.response",
        "status": "completed",
        "usage": {
            "total_tokens": 150,
            "input_tokens": 50,
            "output_tokens": 100,
            "input_token_details": {"text_tokens": 30, "audio_tokens": 20},
            "output_token_details": {"text_tokens": 80, "audio_tokens": 20},
        },
    },
}
"""Usage as the vendor's document shows it."""


def told(writer: SessionWriter, event: Json) -> list[Json]:
    return [json.loads(message) for message in writer(json.dumps(event).encode())]


def test_each_update_names_the_model() -> None:
    """The model is the one of the session, whatever an update says; what must be said and was not is said as usual."""
    writer = SessionWriter("glm-realtime-flash")
    own = {"chat_mode": "video_passive", "auto_search": False}
    update = {"event_id": "c1", "type": "session.update", "session": {"model": "other", "beta_fields": own}}
    assert told(writer, update) == [{**update, "session": {"model": "glm-realtime-flash", "beta_fields": own}}]
    again: Json = {"type": "session.update", "session": {"instructions": "Grüße"}}
    session = {"instructions": "Grüße", "model": "glm-realtime-flash", "beta_fields": AUDIO}
    assert told(writer, again) == [{"type": "session.update", "session": session}]
    escaped = rb'{"type":"session\u002eupdate","session":{"model":"other"}}'
    assert json.loads(writer(escaped)[0])["session"]["model"] == "glm-realtime-flash"


@pytest.mark.parametrize("message", [b'{"type":"response.create"}', b"no json", b'{"type":7}', b"[]", b"\xff"])
def test_a_session_that_begins_otherwise(message: bytes) -> None:
    """Before any other first message the vendor is told the model; the message itself, and all later ones, pass as they are."""
    writer = SessionWriter("glm-realtime-air")
    first, second = writer(message)
    assert json.loads(first) == {
        "type": "session.update",
        "session": {"beta_fields": AUDIO, "model": "glm-realtime-air"},
    }
    assert (second, list(writer(message))) == (message, [message])


async def _zhipu(connection: ServerConnection) -> None:
    """A vendor that says which model it was told, and answers with what was used."""
    await connection.send(json.dumps({"type": "session.created", "session": {"id": "s"}}))
    async for message in connection:
        event = json.loads(message)
        match event["type"]:
            case "session.update":
                await connection.send(json.dumps({"type": "session.updated", "session": event["session"]}))
            case _:
                await connection.send(json.dumps(DONE))


async def test_a_session(tmp_path: Path) -> None:
    """The address names no model, the first event does; what an answer used is recorded."""
    async with provided(_zhipu) as vendor:
        own = {"provider": "zhipu", "api_key": KEY, "base_url": f"http://127.0.0.1:{vendor.port}/api/paas/v4"}
        held: Served
        async with served(vendor.port, tmp_path, catalogue()["zhipu"], others={"mine": own}) as held:
            async with held.connect("mine/glm-realtime-flash") as client:
                got = [json.loads(await client.recv())]
                await client.send(json.dumps({"type": "session.update", "session": {"modalities": ["text"]}}))
                got.append(json.loads(await client.recv()))
                await client.send(json.dumps({"type": "response.create"}))
                got.append(json.loads(await client.recv()))
            ex = await held.record()
    assert vendor.paths == ["/api/paas/v4/realtime"]
    assert vendor.heads[0]["authorization"] == f"Bearer {KEY}"
    session = {"beta_fields": AUDIO, "modalities": ["text"], "model": "glm-realtime-flash"}
    assert [each["type"] for each in got] == ["session.created", "session.updated", "response.done"]
    assert (got[1]["session"], got[2]) == (session, DONE)
    assert ex.reply is not None
    assert ex.reply.usage is not None
    usage = ex.reply.usage
    assert (usage.prompt, usage.completion, usage.audio_in, usage.audio_out) == (50, 100, 20, 20)
