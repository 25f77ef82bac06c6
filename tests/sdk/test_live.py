"""Gemini's Live API with the `google-genai` package and with clients that put their key into the address, through a gateway with
keys and a log.
"""

# The package's signatures name types of optional dependencies that are not installed.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from core.tests import engines
from core.tests.engines import Authority
from google import genai
from google.genai import errors, types
from tests.conftest import StartGateway
from tests.harness import CANARY, GATEWAY_KEY, Gateway, eventually
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

Json = dict[str, Any]
authority = engines.authority
LIVE = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
USED = {
    "promptTokenCount": 143,
    "cachedContentTokenCount": 40,
    "responseTokenCount": 19,
    "thoughtsTokenCount": 5,
    "totalTokenCount": 167,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 43}, {"modality": "AUDIO", "tokenCount": 100}],
    "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": 19}],
}
NAMES = {"responseTokenCount": "candidatesTokenCount", "responseTokensDetails": "candidatesTokensDetails"}
SOUND = b"\x00\x01\xfe\xff" * 600


class Vendor:
    """As much of the Live API as a client needs: it takes `setup`, answers turns and calls a tool, all in binary frames."""

    def __init__(self) -> None:
        self.heads: list[Mapping[str, str]] = []
        self.paths: list[str] = []
        self.setups: list[Json] = []
        self.heard: list[Json] = []

    async def __call__(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.heads.append({name.lower(): value for name, value in connection.request.headers.raw_items()})
        self.paths.append(connection.request.path)
        try:
            self.setups.append(json.loads(await connection.recv()))
            if "nobody" in str(self.setups[-1]):
                await connection.close(1008, "models/nobody is not found for API version v1beta")
                return
            await connection.send(b'{\n  "setupComplete": {}\n}\n')
            async for message in connection:
                self.heard.append(json.loads(message))
                for answer in self._answers(self.heard[-1]):
                    await connection.send(json.dumps(answer).encode())
        except ConnectionClosed:
            pass

    def _answers(self, said: Json) -> list[Json]:
        if "tool_response" in said:
            return self._turn("It is -3 in Bergen.")
        if "weather" in str(said):
            call = {"id": "c1", "name": "weather", "args": {"city": "Bergen"}}
            return [{"toolCall": {"functionCalls": [call]}, "usageMetadata": USED}]
        return self._turn("Grüße")

    def _turn(self, text: str) -> list[Json]:
        data = {"mimeType": "audio/pcm;rate=24000", "data": "AAEC"}
        return [
            {"serverContent": {"modelTurn": {"parts": [{"text": text}, {"inlineData": data}]}}},
            {"serverContent": {"turnComplete": True}, "usageMetadata": USED},
        ]


@pytest.fixture
async def vendor(upstream_port: int) -> AsyncIterator[Vendor]:
    """The vendor behind the deployment `gemini`."""
    held = Vendor()
    async with serve(held, "127.0.0.1", upstream_port, reuse_port=True):
        yield held


@pytest.fixture
def keyed(start_gateway: StartGateway, upstream_port: int) -> Gateway:
    """A gateway with one key, a log and an alias for a model of the vendor's."""
    base = f"http://127.0.0.1:{upstream_port}/v1beta"
    return start_gateway(
        {
            "auth": {"mode": "keys"},
            "providers": {"gemini": {"provider": "google", "base_url": base, "api_key": CANARY}},
            "models": {"voice": "gemini/gemini-live-2.5-flash"},
            "plugins": [
                {"keys": {"keys": [{"name": "app", "key": GATEWAY_KEY}]}},
                {"logs-jsonl": {"flush_s": 0}},
            ],
        }
    )


@pytest.fixture
async def client(keyed: Gateway, authority: Authority) -> AsyncIterator[genai.Client]:
    """Google's client, which is told where the gateway is and nothing else. It insists on TLS, which ends before the gateway."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_connection("127.0.0.1", int(keyed.url.rpartition(":")[2]))
        await asyncio.gather(pump(reader, outer), pump(inner, writer))

    server = await asyncio.start_server(relay, "127.0.0.1", 0, ssl=authority.server("127.0.0.1"))
    trusted = {"ssl": ssl.create_default_context(cafile=authority.file)}
    base = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with server:
        held = genai.Client(
            api_key=GATEWAY_KEY, http_options=types.HttpOptions(base_url=base, async_client_args=trusted)
        )
        yield held
        await held.aio.aclose()
        held.close()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what comes until it ends."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def last_record(gateway: Gateway) -> Json:
    """The only line of the log, as soon as it is there."""
    path = gateway.folder / ".headgate" / "requests.jsonl"
    await eventually(lambda: path.exists() and path.read_bytes().endswith(b"\n"), "the session was logged")
    (line,) = path.read_text("utf-8").splitlines()
    return json.loads(line)


async def said_by(session: Any) -> tuple[str, bytes]:
    """The texts and the sound of one turn."""
    text, sound = "", b""
    async for message in session.receive():
        text += message.text or ""
        sound += message.data or b""
    return text, sound


@pytest.mark.filterwarnings("ignore:Warning. there are:UserWarning")
async def test_the_official_client(vendor: Vendor, keyed: Gateway, client: genai.Client) -> None:
    """Turns of text and of sound go both ways; the model is the deployment's, the key too; the log has what all turns used."""
    config = types.LiveConnectConfig(
        response_modalities=[types.Modality.AUDIO], system_instruction="be brief", temperature=0.5
    )
    async with client.aio.live.connect(model="voice", config=config) as session:
        assert session.setup_complete is not None
        for _ in range(2):
            await session.send_client_content(turns=types.Content(role="user", parts=[types.Part(text="hi")]))
            assert await said_by(session) == ("Grüße", b"\x00\x01\x02")
        await session.send_realtime_input(audio=types.Blob(data=SOUND, mime_type="audio/pcm;rate=16000"))
        assert (await said_by(session))[0] == "Grüße"
    (setup,) = vendor.setups
    assert setup["setup"]["model"] == "models/gemini-live-2.5-flash"
    assert setup["setup"]["generationConfig"] == {"responseModalities": ["AUDIO"], "temperature": 0.5}
    assert setup["setup"]["systemInstruction"]["parts"] == [{"text": "be brief"}]
    assert vendor.heard[2]["realtime_input"]["audio"]["mime_type"] == "audio/pcm;rate=16000"
    assert vendor.paths == [LIVE]
    assert vendor.heads[0]["x-goog-api-key"] == CANARY
    assert GATEWAY_KEY not in f"{vendor.heads}{vendor.setups}"
    record = await last_record(keyed)
    assert (record["operation"], record["status"], record["outcome"]) == ("generate.live", 101, "complete")
    assert (record["principal"]["key"], record["model"], record["called"]) == ("app", "voice", "gemini-live-2.5-flash")
    assert record["closed_by"] == "client"
    counted = {
        "prompt": 3 * 143,
        "completion": 3 * 24,
        "cached": 3 * 40,
        "cache_write": 0,
        "reasoning": 15,
        "total": 501,
    }
    assert record["usage"] == counted


async def test_a_tool_loop(vendor: Vendor, client: genai.Client) -> None:
    """A call of the model's is answered, and what it says then arrives."""
    config = types.LiveConnectConfig(response_modalities=[types.Modality.TEXT])
    async with client.aio.live.connect(model="gemini/gemini-live-2.5-flash", config=config) as session:
        await session.send_client_content(turns=types.Content(role="user", parts=[types.Part(text="the weather?")]))
        text = ""
        async for message in session.receive():
            text += message.text or ""
            for call in (message.tool_call.function_calls or []) if message.tool_call else []:
                assert (call.name, call.args) == ("weather", {"city": "Bergen"})
                await session.send_tool_response(
                    function_responses=types.FunctionResponse(id=call.id, name=call.name, response={"cold": True})
                )
    assert text == "It is -3 in Bergen."
    assert vendor.heard[1]["tool_response"]["functionResponses"][0]["id"] == "c1"


async def test_a_model_that_is_not_there(client: genai.Client, vendor: Vendor) -> None:
    """What the gateway has to say against a session reaches the client's exception, as does what the vendor says."""
    with pytest.raises(errors.APIError, match=r"`absent`") as held:
        async with client.aio.live.connect(model="absent"):
            raise AssertionError("a session was opened")
    assert held.value.code == 1008
    with pytest.raises(errors.APIError, match="is not found for API version") as held:
        async with client.aio.live.connect(model="gemini/nobody"):
            raise AssertionError("a session was opened")
    assert held.value.code == 1008
    assert len(vendor.heads) == 1


async def test_a_client_of_vertex_ai(vendor: Vendor, keyed: Gateway) -> None:
    """It asks another path, names the model as a resource, and reads what was used by Vertex AI's names."""
    where = keyed.url.replace("http", "ws") + "/ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent"
    async with connect(where, additional_headers={"x-goog-api-key": GATEWAY_KEY}, proxy=None) as session:
        setup = {"model": "projects/p/locations/l/publishers/google/models/voice"}
        await session.send(json.dumps({"setup": setup}))
        assert json.loads(await session.recv()) == {"setupComplete": {}}
        await session.send(json.dumps({"clientContent": {"turns": []}}))
        assert "modelTurn" in json.loads(await session.recv())["serverContent"]
        used = json.loads(await session.recv())["usageMetadata"]
    assert used == {NAMES.get(name, name): value for name, value in USED.items()}
    assert vendor.paths == [LIVE]
    assert vendor.setups == [{"setup": {"model": "models/gemini-live-2.5-flash"}}]
    record = await last_record(keyed)
    assert (record["usage"]["prompt"], record["usage"]["completion"]) == (143, 24)


async def test_a_key_in_the_address(vendor: Vendor, keyed: Gateway) -> None:
    """Clients in browsers say their key in the query, where the vendor must not see it; without a key there is no session."""
    where = keyed.url.replace("http", "ws") + LIVE.replace("v1beta", "v1alpha")
    async with connect(f"{where}?key={GATEWAY_KEY}&alt=x", proxy=None) as session:
        await session.send(json.dumps({"setup": {"model": "models/voice"}}))
        assert json.loads(await session.recv()) == {"setupComplete": {}}
    assert vendor.paths == [f"{LIVE.replace('v1beta', 'v1alpha')}?alt=x"]
    assert vendor.heads[0]["x-goog-api-key"] == CANARY
    with pytest.raises(InvalidStatus) as held:
        async with connect(where, proxy=None):
            raise AssertionError("a session was opened")
    assert held.value.response.status_code == 401
    told = json.loads(held.value.response.body or b"")["error"]
    assert (told["code"], told["status"]) == (401, "UNAUTHENTICATED")
