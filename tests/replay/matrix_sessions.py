"""A WebSocket session with each vendor that has them, through the gateway's own front door and engine.

The gateway believes to call the vendor: its engine opens the WebSocket at a scripted server on loopback instead, and the address
and the key are those of the call as it was to be made. Events: https://platform.openai.com/docs/api-reference/realtime.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from core.tests.realtime import KEY as CALLERS_KEY
from core.tests.realtime import Provided, Served, provided, served
from msgspec.structs import replace
from tests.replay.matrix_calls import session_of
from tests.replay.matrix_providers import deployment_of, model_of
from tests.replay.reading import Json
from tests.replay.vendors import DEPLOYMENT, KEY
from websockets.asyncio.server import ServerConnection

from headgate.provider import Provider
from headgate.testing import Recorded, ReplayUpstream
from headgate.upstream import Opening, UpstreamRequest, UpstreamResponse
from headgate.upstream.engines import create_engine
from headgate.upstream.interface import Connecting

LIMIT_S = 20
_USED = {"total_tokens": 16, "input_tokens": 9, "output_tokens": 7}
_TALK: Mapping[str, Json] = {
    "session.update": {"type": "session.updated", "event_id": "e2", "session": {"instructions": "Grüße"}},
    "response.create": {"type": "response.done", "event_id": "e3", "response": {"id": "r", "usage": _USED}},
}
"""What the vendor answers to an event of the client's."""
_HEARD = "conversation.item.input_audio_transcription"
_DICTATION: Mapping[str, Json] = {
    "input_audio_buffer.append": {"type": f"{_HEARD}.delta", "item_id": "i1", "delta": "Grü"},
    "input_audio_buffer.commit": {"type": f"{_HEARD}.completed", "item_id": "i1", "transcript": "Grüße"},
}
"""The same where sessions transcribe and nothing else, and no usage is stated."""
_SCRIPTS: Mapping[str, Mapping[str, Json]] = {"nvidia": _DICTATION, "together": _DICTATION}
_BY_EVENT = frozenset({"zhipu"})
"""Vendors whose sessions are told their model by an event, and not in the address."""
_ONE_MODEL = frozenset({"nvidia"})
"""Servers of one's own that have one model, and are told of none."""
_TOKEN = {"client_secret": {"value": "minted"}}
"""What NVIDIA's servers answer to the call that comes before the handshake."""
_CREATED: Json = {"type": "session.created", "event_id": "e1", "session": {"id": "sess_1"}}


class Elsewhere:
    """An Upstream that opens WebSockets at a port of this machine, whatever the address, and keeps what was asked for."""

    def __init__(self, port: int) -> None:
        self._engine = create_engine("h1")
        self._origin = f"http://127.0.0.1:{port}"
        self.asked: list[UpstreamRequest] = []

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """See Upstream. A call that comes before the handshake is answered with a token."""
        self.asked.append(request)
        return await ReplayUpstream({"*": Recorded.from_json(_TOKEN)}).send(request)

    async def connect(self, request: UpstreamRequest) -> Opening:
        """See Connecting."""
        self.asked.append(request)
        held = request.credential
        credential = replace(held, origins=frozenset({self._origin})) if held is not None else None
        url = f"{self._origin}/{request.url.partition('://')[2].partition('/')[2]}"
        engine = self._engine
        assert isinstance(engine, Connecting)
        hosts = frozenset({"127.0.0.1"})
        return await engine.connect(replace(request, url=url, credential=credential, private_hosts=hosts))

    async def close(self) -> None:
        """See Upstream."""
        await self._engine.close()


async def session_row(kind: type[Provider], operation: str, faults: list[str]) -> Json:
    """Open a session, talk, and close it; what is wrong is told in `faults`."""
    script = _SCRIPTS.get(kind.name, _TALK)
    with tempfile.TemporaryDirectory() as folder:
        said: list[Json] = []
        async with provided(partial(_play, script, said)) as vendor:
            elsewhere = Elsewhere(vendor.port)
            others = {DEPLOYMENT: deployment_of(kind, operation)}
            async with served(vendor.port, Path(folder), kind, others=others, upstream=elsewhere) as gateway:
                wrong = await _talk(gateway, f"{DEPLOYMENT}/{model_of(kind, operation)}", script)
            wrong += keys_of(vendor, has_key=bool(kind.auth))
            if kind.name not in _ONE_MODEL:
                wrong += _named(vendor, model_of(kind, operation), said if kind.name in _BY_EVENT else None)
    if not elsewhere.asked:
        faults.append(f"{operation}: no WebSocket was asked for")
        return {}
    call, more = session_of(elsewhere.asked[-1], kind, operation)
    faults += [f"{operation}: {each}" for each in (*wrong, *more)]
    return {"call": call, "cell": "no" if wrong or more else "yes"}


async def _play(script: Mapping[str, Json], said: list[Json], connection: ServerConnection) -> None:
    await connection.send(json.dumps(_CREATED))
    async for message in connection:
        said.append(json.loads(message))
        await connection.send(json.dumps(script[said[-1]["type"]]))


async def _talk(gateway: Served, model: str, script: Mapping[str, Json]) -> list[str]:
    """What a client does not get of the vendor's session, and what is not counted of it."""
    got: list[Json] = []
    async with asyncio.timeout(LIMIT_S), gateway.connect(model) as client:
        got.append(json.loads(await client.recv()))
        for kind in script:
            await client.send(json.dumps({"type": kind}))
            got.append(json.loads(await client.recv()))
    reply = (await gateway.record()).reply
    usage = reply.usage if reply is not None else None
    wrong = [] if got == [_CREATED, *script.values()] else [f"other events: {got}"]
    stated = (9, 7) if script is _TALK else None
    if (usage and (usage.prompt, usage.completion)) != stated:
        wrong.append(f"usage {usage}")
    return wrong


def _named(vendor: Provided, model: str, said: list[Json] | None) -> Iterator[str]:
    """What is wrong with the model as the vendor was told it: in the address, or by the first of the events `said`."""
    path = vendor.paths[-1] if vendor.paths else ""
    named = path.partition("=")[2] if said is None else said[0].get("session", {}).get("model") if said else None
    if named != model or (said is not None and "=" in path):
        yield f"another model is asked for: {vendor.paths} {said or ''}"


def keys_of(vendor: Provided, *, has_key: bool = True) -> Iterator[str]:
    """What is wrong with the keys that came to the vendor."""
    said = [value for head in vendor.heads[-1:] for value in head.values()]
    if has_key and not any(KEY in value for value in said):
        yield "the vendor did not get its key"
    if any(CALLERS_KEY in value for value in said):
        yield "the vendor got the caller's key"
