"""A session of Gemini's Live API with each vendor that has them, as `matrix_sessions` does with OpenAI's.

Messages: https://ai.google.dev/api/live.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path

from core.tests.realtime import KEY as CALLERS_KEY
from core.tests.realtime import Served, provided, served
from tests.replay.matrix_calls import session_of
from tests.replay.matrix_providers import deployment_of, model_of
from tests.replay.matrix_sessions import LIMIT_S, Elsewhere, keys_of
from tests.replay.reading import Json
from tests.replay.vendors import DEPLOYMENT
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection

from headgate.operations import GENERATE_LIVE
from headgate.provider import Provider

_TURN: Json = {"clientContent": {"turns": [{"role": "user", "parts": [{"text": "Grüße"}]}], "turnComplete": True}}
_COUNTED: Json = {"promptTokenCount": 9, "totalTokenCount": 16}
_SAID: Json = {"modelTurn": {"parts": [{"text": "Grüße"}]}, "turnComplete": True}


async def live_row(kind: type[Provider], operation: str, faults: list[str]) -> Json:
    """Open a session, talk, and close it; what is wrong is told in `faults`."""
    model, setups = model_of(kind, operation), list[Json]()

    async def play(connection: ServerConnection) -> None:
        setups.append(json.loads(await connection.recv()))
        await connection.send(b'{"setupComplete": {}}')
        counted = "candidatesTokenCount" if kind.name == "vertex" else "responseTokenCount"
        async for _ in connection:
            used = {**_COUNTED, counted: 7}
            await connection.send(json.dumps({"serverContent": _SAID, "usageMetadata": used}).encode())

    with tempfile.TemporaryDirectory() as folder:
        async with provided(play) as vendor:
            elsewhere = Elsewhere(vendor.port)
            others = {DEPLOYMENT: deployment_of(kind)}
            async with served(vendor.port, Path(folder), kind, others=others, upstream=elsewhere) as gateway:
                wrong = await _talk(gateway, f"{DEPLOYMENT}/{model}")
    if not elsewhere.asked:
        faults.append(f"{operation}: no WebSocket was asked for")
        return {}
    wrong += keys_of(vendor)
    if not setups or not str(setups[0].get("setup", {}).get("model")).endswith(f"models/{model}"):
        wrong.append(f"another model is asked for: {setups}")
    call, more = session_of(elsewhere.asked[-1], kind, operation)
    faults += [f"{operation}: {each}" for each in (*wrong, *more)]
    return {"call": call, "cell": "no" if wrong or more else "yes"}


async def _talk(gateway: Served, model: str) -> list[str]:
    """What a client does not get of the vendor's session, and what is not counted of it."""
    where = f"ws://127.0.0.1:{gateway.port}{GENERATE_LIVE.path}"
    async with asyncio.timeout(LIMIT_S), connect(f"{where}?key={CALLERS_KEY}", proxy=None) as client:
        await client.send(json.dumps({"setup": {"model": f"models/{model}"}}))
        got = [json.loads(await client.recv())]
        await client.send(json.dumps(_TURN))
        got.append(json.loads(await client.recv()))
    reply = (await gateway.record()).reply
    usage = reply.usage if reply is not None else None
    wanted: list[Json] = [
        {"setupComplete": {}},
        {"serverContent": _SAID, "usageMetadata": {**_COUNTED, "responseTokenCount": 7}},
    ]
    wrong = [] if got == wanted else [f"other messages: {got}"]
    if usage is None or (usage.prompt, usage.completion) != (9, 7):
        wrong.append(f"usage {usage}")
    return wrong
